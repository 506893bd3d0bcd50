//! Expo projects, with the example app of this repository.

use hivesync::domain::preview::{Platform, SandboxLevel};
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Built, Tree, dependency_sets};

fn example() -> Tree {
    Tree::folder("examples/hello-expo")
}

/// One test, because the dependencies take the longest: both platforms, then
/// a change.
#[tokio::test(flavor = "multi_thread")]
async fn an_expo_project_builds_for_ios_and_android_and_warm_after_a_change() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let mut tree = example();
    let commit = builder.upload(project, &tree).await;
    // Together: one installs, the other waits for it.
    let ios = builder.request(project, &commit, Platform::Ios).await;
    let android = builder.request(project, &commit, Platform::Android).await;
    let ios = builder.success(&ios).await;
    let android = builder.success(&android).await;
    for (built, platform) in [(&ios, "ios"), (&android, "android")] {
        check_bundle(built, platform);
        assert_eq!(built.preview.sandbox, Some(SandboxLevel::Isolated));
        assert_eq!(built.preview.warm, Some(false));
    }
    assert_eq!(dependency_sets(&builder).len(), 1);
    let installs = [&ios, &android]
        .iter()
        .filter(|built| built.log.contains("$ npm ci"))
        .count();
    assert_eq!(installs, 1, "one of two concurrent builds installs");

    let file = "src/greeting.js";
    let old = tree.text(file);
    tree.put(
        file,
        &format!("{old}\nexport const MARK = 'changed-by-a-test';\nglobalThis.mark = MARK;\n"),
    );
    let changed = builder.build(project, &tree, Platform::Ios).await;
    assert_eq!(changed.preview.warm, Some(true));
    assert!(changed.log.contains("are cached"));
    let told = "the bundle is plain JavaScript on purpose";
    assert!(changed.log.contains(told), "{}", changed.log);
    assert!(changed.text("main.jsbundle").contains("changed-by-a-test"));
    assert!(!ios.text("main.jsbundle").contains("changed-by-a-test"));

    // Another project has the dependencies, and a transform cache of its own;
    // its bundle of the same tree is the same.
    let other = builder.project(ProjectConfig::default()).await;
    let again = builder.build(other, &example(), Platform::Ios).await;
    assert_eq!(again.preview.warm, Some(false));
    assert!(!again.log.contains("$ npm ci"));
    assert_eq!(again.names(), ios.names());
    for (name, bytes) in &ios.files {
        if name != "build.log" && name != "metadata.json" {
            assert!(again.files[name] == *bytes, "{name} differs");
        }
    }
    builder.stop().await;
}

fn check_bundle(built: &Built, platform: &str) {
    let main = built.text("main.jsbundle");
    assert!(
        main.contains("__d(function"),
        "a Metro bundle in plain JavaScript"
    );
    assert!(main.contains("Hive"), "the app's own text");
    let metadata = built.metadata();
    assert_eq!(metadata["kind"], "expo");
    assert_eq!(metadata["platform"], platform);
    assert_eq!(metadata["runtime_version"], "1.0.0");
    assert_eq!(metadata["expo"]["slug"], "hello-expo");
    assert_eq!(
        metadata["sizes"]["bundle"].as_u64(),
        Some(built.files["main.jsbundle"].len() as u64)
    );
    let assets = metadata["assets"].as_array().expect("assets");
    assert!(!assets.is_empty());
    for asset in assets {
        let path = asset["path"].as_str().expect("a path");
        let digest = ring::digest::digest(&ring::digest::SHA256, &built.files[path]);
        let hash = data_encoding::BASE64URL_NOPAD.encode(digest.as_ref());
        assert_eq!(asset["hash"], hash.as_str(), "{path}");
        let extension = asset["extension"].as_str().expect("an extension");
        assert!(path.ends_with(&format!(".{extension}")), "{path}");
    }
    assert!(built.text("build.log").contains("$ node"));
    assert!(built.log.contains("expo/bin/cli export"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expo_project_with_react_native_web_builds_for_the_web() {
    let builder = Builder::start().await;
    let config = ProjectConfig {
        root: Some("apps/mobile".to_owned()),
        ..ProjectConfig::default()
    };
    let project = builder.project(config).await;
    let mut tree = example().below("apps/mobile");
    tree.put("README.md", "An app in a folder.");
    let built = builder.build(project, &tree, Platform::Web).await;
    assert!(built.text("dist/index.html").contains("<script"));
    assert!(
        built
            .names()
            .iter()
            .any(|name| { name.starts_with("dist/_expo/static/js/web/") && name.contains(".js") })
    );
    assert_eq!(built.metadata()["platform"], "web");
    builder.stop().await;
}

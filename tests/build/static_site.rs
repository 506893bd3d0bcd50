//! Static projects.

use hivesync::domain::preview::{Platform, SandboxLevel};
use hivesync::domain::project::{ProjectConfig, ProjectKind};

use crate::builder::{Builder, Tree};

#[tokio::test(flavor = "multi_thread")]
async fn a_static_folder_becomes_a_bundle() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let mut tree = Tree::folder("tests/fixtures/static-site");
    tree.put(".env", "SECRET=1");
    tree.put(".well-known/security.txt", "Contact: mailto:a@example.com");
    let built = builder.build(project, &tree, Platform::Web).await;

    assert!(built.text("dist/index.html").contains("<html"));
    assert!(built.files.contains_key("dist/meadow.png"));
    assert!(built.files.contains_key("dist/.well-known/security.txt"));
    assert!(!built.files.contains_key("dist/.env"));
    let metadata = built.metadata();
    assert_eq!(metadata["kind"], "static");
    assert_eq!(metadata["platform"], "web");
    assert_eq!(metadata["commit"], built.preview.commit.as_str());
    assert_eq!(metadata["job_id"], built.preview.id.as_str());

    let preview = &built.preview;
    assert_eq!(preview.percent, 100);
    assert_eq!(preview.stage, None);
    assert_eq!(preview.sandbox, Some(SandboxLevel::Isolated));
    assert_eq!((preview.warm, preview.bundler), (Some(true), None));
    assert!(preview.started_at.is_some() && preview.completed_at.is_some());
    let bundle = preview.bundle.as_ref().expect("a bundle");
    assert_eq!(bundle.kind, ProjectKind::Static);
    for stage in ["checkout", "dependencies", "bundle", "package", "upload"] {
        assert!(
            built.log.contains(&format!("\n== {stage} done ")),
            "{stage}"
        );
    }
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_for_package_managers_is_not_published_beside_a_site() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let mut tree = Tree::folder("tests/fixtures/static-site");
    for name in ["package.json", "package-lock.json", "data/package.json"] {
        tree.put(name, "{}");
    }
    let built = builder.build(project, &tree, Platform::Web).await;
    assert!(built.files.contains_key("dist/index.html"));
    assert!(built.files.contains_key("dist/data/package.json"));
    for name in ["dist/package.json", "dist/package-lock.json"] {
        assert!(!built.files.contains_key(name), "{name}");
    }
    let remark = "the files of the top folder are published as they are";
    assert!(built.log.contains(remark), "{}", built.log);
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_builds_of_one_tree_differ_only_in_what_names_the_build() {
    let builder = Builder::start().await;
    let tree = Tree::folder("tests/fixtures/static-site");
    let mut bundles = Vec::new();
    for _ in 0..2 {
        let project = builder.project(ProjectConfig::default()).await;
        bundles.push(builder.build(project, &tree, Platform::Web).await);
    }
    let [one, two] = &bundles[..] else {
        unreachable!("two builds")
    };
    assert_eq!(one.names(), two.names());
    for (name, bytes) in &one.files {
        if name == "build.log" || name == "metadata.json" {
            continue;
        }
        assert!(two.files[name] == *bytes, "{name} differs");
    }
    let plain = |built: &crate::builder::Built| {
        let mut metadata = built.metadata();
        for key in ["job_id", "built_at", "project_id"] {
            metadata.as_object_mut().expect("an object").remove(key);
        }
        metadata
    };
    assert_eq!(plain(one), plain(two));
    builder.stop().await;
}

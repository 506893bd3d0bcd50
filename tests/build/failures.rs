//! Builds that cannot succeed, and what their owner is told.

use hivesync::config::SandboxChoice;
use hivesync::domain::preview::{Platform, Stage};
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Tree};

#[tokio::test(flavor = "multi_thread")]
async fn each_failure_has_its_code_and_says_what_to_do() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let disagreeing = Tree::of(&[
        (
            "package.json",
            r#"{"name": "a", "scripts": {"build": "x"}, "dependencies": {"ms": "2.1.3"}}"#,
        ),
        (
            "package-lock.json",
            r#"{"name": "a", "lockfileVersion": 3, "packages": {"": {"name": "a"}}}"#,
        ),
    ]);
    let cases = [
        (
            Tree::script("echo before; echo broken >&2; exit 3"),
            "PREVIEW_BUILD_FAILED",
            "`npm run build` ended with code 3",
        ),
        (
            Tree::script("echo 'Error: no bees in the hive' >&2; exit 3"),
            "PREVIEW_BUILD_FAILED",
            "Error: no bees in the hive; `npm run build` ended with code 3",
        ),
        (
            Tree::script("true"),
            "INVALID_PROJECT_STRUCTURE",
            "no output folder with an index.html",
        ),
        (
            Tree::of(&[("README.md", "")]),
            "INVALID_PROJECT_STRUCTURE",
            "no project was found",
        ),
        (disagreeing, "MISSING_DEPENDENCIES", "commit the lockfile"),
    ];
    for (tree, code, says) in cases {
        let (got, message, log) = builder.failure(project, &tree, Platform::Web).await;
        assert_eq!(got, code, "{message}\n{log}");
        assert!(message.contains(says), "{message}");
        assert!(log.ends_with(&format!("{code}: {message}\n")), "{log}");
    }
    let tree = Tree::of(&[("index.html", "<html>")]);
    let (code, message, _) = builder.failure(project, &tree, Platform::Ios).await;
    assert_eq!(code, "UNSUPPORTED_PLATFORM");
    assert!(message.contains("on web"), "{message}");
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_shows_its_output_and_its_stage() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let tree =
        Tree::script("echo to-stdout; echo to-stderr >&2; echo '== upload done 1.0s'; exit 1");
    let commit = builder.upload(project, &tree).await;
    let id = builder.request(project, &commit, Platform::Web).await;
    let preview = builder.ended(&id).await;
    assert_eq!(preview.stage, Some(Stage::Bundle));
    assert_eq!(preview.percent, 50);
    let log = builder.log(&id);
    assert!(log.contains("\nto-stdout\nto-stderr\n"), "{log}");
    // A command cannot write a marker of ours.
    assert!(log.contains("\n == upload done 1.0s\n"), "{log}");
    assert!(log.contains("\n== bundle failed "), "{log}");
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_commit_is_tried_again_and_then_fails() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    builder
        .upload(project, &Tree::of(&[("index.html", "")]))
        .await;
    let missing = "0123456789".repeat(4);
    let id = builder.request(project, &missing, Platform::Web).await;
    let preview = builder.ended(&id).await;
    assert_eq!(
        preview.error.expect("the reason").code,
        "SOURCE_UNAVAILABLE"
    );
    let log = builder.log(&id);
    assert!(log.contains("== attempt 3\n"), "{log}");
    assert!(!log.contains("== attempt 4\n"), "{log}");
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_sandbox_only_trusted_projects_build() {
    let builder = Builder::with(|config| config.builds.sandbox = SandboxChoice::None).await;
    let tree = Tree::script("mkdir dist && echo '<html>' > dist/index.html");
    let project = builder.project(ProjectConfig::default()).await;
    let (code, message, _) = builder.failure(project, &tree, Platform::Web).await;
    assert_eq!(code, "SANDBOX_UNAVAILABLE");
    assert!(message.contains("bubblewrap"), "{message}");
    // Of these nothing runs.
    let page = Tree::of(&[("index.html", "<html>")]);
    let built = builder.build(project, &page, Platform::Web).await;
    assert!(built.files.contains_key("dist/index.html"));

    let trusted = builder.trusted_project().await;
    let built = builder.build(trusted, &tree, Platform::Web).await;
    assert!(built.files.contains_key("dist/index.html"));
    builder.stop().await;
}

/// What a manifest becomes in the server's memory no sandbox bounds.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_is_far_too_large_is_refused() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let filled = |count: usize, end: &str| {
        let zeros = "0,".repeat(count);
        format!(r#"{{"scripts": {{"build": "x"}}, "babel": [{zeros}0]}}{end}"#)
    };
    for (manifest, says) in [
        (filled(150_000, ""), "than is read of manifests"),
        (filled(0, &" ".repeat(3 << 20)), "no more than 2048 KB"),
    ] {
        let tree = Tree::of(&[("package.json", manifest.as_str())]);
        let (code, message, _) = builder.failure(project, &tree, Platform::Web).await;
        assert_eq!(code, "INVALID_PROJECT_STRUCTURE");
        assert!(message.contains(says), "{message}");
    }
    let settings = "# ".repeat(40_000);
    let tree = Tree::of(&[("index.html", ""), ("hivesync.toml", settings.as_str())]);
    let (code, message, _) = builder.failure(project, &tree, Platform::Web).await;
    assert_eq!(code, "INVALID_PROJECT_STRUCTURE");
    assert!(message.contains("hivesync.toml"), "{message}");
    builder.stop().await;
}

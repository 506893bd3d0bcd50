//! Web projects.

use hivesync::domain::preview::Platform;
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Tree, dependency_sets};

#[tokio::test(flavor = "multi_thread")]
async fn a_vite_project_with_a_pnpm_lockfile_builds_and_its_dependencies_are_kept() {
    let builder = Builder::start().await;
    let project = builder.project(ProjectConfig::default()).await;
    let mut tree = Tree::folder("tests/fixtures/vite-web");
    let built = builder.build(project, &tree, Platform::Web).await;
    let page = built.text("dist/index.html");
    assert!(page.contains("./assets/index-"), "{page}");
    assert!(
        built
            .names()
            .iter()
            .any(|name| name.starts_with("dist/assets/") && name.contains(".js"))
    );
    assert_eq!(built.metadata()["kind"], "web");
    assert_eq!(built.preview.warm, Some(false));
    assert!(built.log.contains("$ pnpm install --frozen-lockfile"));
    assert_eq!(dependency_sets(&builder).len(), 1);

    // Another project with the same lockfile installs nothing.
    let other = builder.project(ProjectConfig::default()).await;
    tree.replace("index.html", "</title>", " again</title>");
    let built = builder.build(other, &tree, Platform::Web).await;
    assert!(built.text("dist/index.html").contains(" again</title>"));
    assert!(!built.log.contains("pnpm install"), "{}", built.log);
    assert_eq!(dependency_sets(&builder).len(), 1);
    builder.stop().await;
}

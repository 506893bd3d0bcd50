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

    // The same lockfile installs nothing again, but in another project: what
    // pnpm has unpacked is not checked against the lockfile.
    tree.replace("index.html", "</title>", " again</title>");
    for (project, sets) in [
        (project, 1),
        (builder.project(ProjectConfig::default()).await, 2),
    ] {
        let built = builder.build(project, &tree, Platform::Web).await;
        assert!(built.text("dist/index.html").contains(" again</title>"));
        let installed = built.log.contains("pnpm install");
        assert_eq!(installed, sets == 2, "{}", built.log);
        assert_eq!(dependency_sets(&builder).len(), sets);
    }
    builder.stop().await;
}

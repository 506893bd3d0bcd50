//! Warm bundlers where nothing can be mounted: each sees the machine's own paths,
//! which are others than those of the cold build that it must be equal to.

use hivesync::config::SandboxChoice;
use hivesync::domain::preview::{Platform, SandboxLevel};
use hivesync::domain::project::ProjectConfig;

use crate::builder::{Builder, Tree};
use crate::warm::{EXPO, processes, same_when_cold, series};

async fn warm_and_cold_are_the_same(choice: SandboxChoice, level: SandboxLevel) {
    let builder = Builder::with(|config| {
        config.builds.sandbox = choice;
        config.builds.warm.count = 1;
    })
    .await;
    let project = match level {
        SandboxLevel::None => builder.trusted_project().await,
        _ => builder.project(ProjectConfig::default()).await,
    };
    let tree = Tree::folder("examples/hello-expo");
    let made = series(&builder, project, tree, &[Platform::Ios], &EXPO[..3]).await;
    for made in &made {
        assert_eq!(made.warm.preview.sandbox, Some(level));
    }
    assert_eq!(processes().len(), 1, "{:?}", processes());
    same_when_cold(builder, project, &made).await;
    assert!(processes().is_empty(), "bundlers outlive their server");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_bundler_builds_what_a_cold_build_does() {
    warm_and_cold_are_the_same(SandboxChoice::Restricted, SandboxLevel::Restricted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundler_without_a_sandbox_builds_what_a_cold_build_does() {
    warm_and_cold_are_the_same(SandboxChoice::None, SandboxLevel::None).await;
}

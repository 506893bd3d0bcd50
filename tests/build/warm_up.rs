//! Building ahead of being asked, by the real worker.

use hivesync::domain::ProjectId;
use hivesync::domain::job::Queue;
use hivesync::domain::preview::{Platform, Preview, PreviewStatus};
use hivesync::domain::project::ProjectConfig;
use hivesync::services::previews::warm_up;
use hivesync::store::{Page, PreviewFilter};

use crate::builder::{Builder, Tree};
use crate::endings::cancel;

async fn ahead() -> Builder {
    Builder::with(|config| config.builds.warm_up = true).await
}

/// All previews of the project, newest first; those that nobody has asked for
/// only with `unasked`.
async fn previews(builder: &Builder, project: ProjectId, unasked: bool) -> Vec<Preview> {
    let filter = PreviewFilter {
        project: Some(project),
        unasked,
        ..PreviewFilter::default()
    };
    let page = Page::first(Page::MAX);
    let found = builder.app().store.previews(&filter, &page).await;
    found.expect("a page").items
}

/// The preview of this commit that is built ahead.
async fn built_ahead(builder: &Builder, project: ProjectId, commit: &str) -> Preview {
    let queue = &builder.app().queue;
    loop {
        let found = previews(builder, project, true).await;
        let ours = |p: &Preview| p.commit == commit && !p.is_asked_for();
        if let Some(preview) = found.into_iter().find(ours) {
            return preview;
        }
        // Woken by every change of the queue.
        queue.wait(&[Queue::WarmUp]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_likely_to_be_asked_for_is_built_and_stands_in_no_list() {
    let builder = ahead().await;
    let project = builder.project(ProjectConfig::default()).await;
    let first = Tree::of(&[("index.html", "<html>one")]);
    builder.build(project, &first, Platform::Web).await;

    let second = Tree::of(&[("index.html", "<html>two")]);
    let commit = builder.upload(project, &second).await;
    warm_up::request(builder.app(), project).await;
    let found = built_ahead(&builder, project, &commit).await;
    let ended = builder.ended(&found.id).await;
    assert_eq!(ended.status, PreviewStatus::Success, "{:?}", ended.error);
    assert_eq!(ended.platform, Platform::Web, "as it was previewed before");
    assert_eq!(previews(&builder, project, false).await.len(), 1);
    assert_eq!(previews(&builder, project, true).await.len(), 2);
    builder.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_is_asked_for_goes_first() {
    let builder = ahead().await;
    let endless = builder.project(ProjectConfig::default()).await;
    let tree = Tree::script("echo started; sleep 3000");
    let commit = builder.upload(endless, &tree).await;
    warm_up::request(builder.app(), endless).await;
    let found = built_ahead(&builder, endless, &commit).await;
    builder
        .until(&found.id, |_, log| log.contains("\nstarted\n"))
        .await;

    // Somebody asks for something else, which begins only when we let it.
    let queue = &builder.app().queue;
    queue.set_paused(Queue::PreviewBuild, true).await.unwrap();
    let project = builder.project(ProjectConfig::default()).await;
    let page = Tree::of(&[("index.html", "<html>")]);
    let commit = builder.upload(project, &page).await;
    let asked = builder.request(project, &commit, Platform::Web).await;
    let row = builder
        .until(&found.id, |row, _| row.status == PreviewStatus::Queued)
        .await;
    assert!(row.error.is_none(), "it is no failure of the project");
    queue.set_paused(Queue::PreviewBuild, false).await.unwrap();
    builder.success(&asked).await;
    // Then it is taken up again.
    builder
        .until(&found.id, |row, _| row.status == PreviewStatus::Bundling)
        .await;
    cancel(&builder, &found.id).await;
    builder.stop().await;
}

//! Deleting a project: its previews are gone at once, its files soon after.

use std::time::Duration;

use hivesync::domain::job::{JobState, Queue};
use hivesync::domain::preview::PreviewStatus;
use hivesync::domain::{JobId, ProjectId};
use hivesync::jobs::purge::{self, PurgeJob};
use hivesync::services::token;
use hivesync::store::{ClaimRequest, Page, PreviewFilter};
use reqwest::Method;

use crate::common::{DEADLINE, Setup, TestServer};
use crate::sources::files_below;
use crate::world::{self, People};

/// The purge that waits in the queue.
async fn waiting(server: &TestServer) -> PurgeJob {
    let request = ClaimRequest {
        queues: vec![Queue::Cleanup],
        worker: "test".into(),
        lease: Duration::from_secs(30),
        group_limit: 1,
    };
    let claimed = server.app.queue.claim(&request).await.expect("a queue");
    let (_, job) = claimed.expect("a job was left");
    assert_eq!(job.kind, "purge");
    serde_json::from_str(&job.payload).expect("its payload")
}

async fn previews_of(server: &TestServer, project: ProjectId) -> usize {
    let filter = PreviewFilter {
        project: Some(project),
        ..PreviewFilter::default()
    };
    let page = server.app.store.previews(&filter, &Page::first(200)).await;
    page.expect("a page").items.len()
}

/// Everything on disk whose path names the project or one of its jobs.
fn traces(server: &TestServer, project: ProjectId, jobs: &[JobId]) -> Vec<String> {
    let names = |part: &str| {
        part == project.to_string() || jobs.iter().any(|job| part.contains(job.as_str()))
    };
    files_below(server.data())
        .into_iter()
        .filter_map(|path| Some(path.strip_prefix(server.data()).ok()?.display().to_string()))
        .filter(|path| !path.starts_with("db/") && !path.starts_with("ephemeral/"))
        .filter(|path| path.split('/').any(names))
        .collect()
}

#[tokio::test]
async fn a_deleted_project_leaves_nothing() {
    let server = TestServer::start().await;
    let people = People::register(&server).await;
    let project = world::project(&server, &people, "doomed").await;
    let neighbour = world::project(&server, &people, "neighbour").await;
    world::upload(&server, project).await;
    world::upload(&server, neighbour).await;
    let ready = world::preview(&server, &people, project, PreviewStatus::Success).await;
    let running = world::preview(&server, &people, project, PreviewStatus::Queued).await;
    let other = world::preview(&server, &people, neighbour, PreviewStatus::Success).await;
    let jobs = [ready.clone(), running.clone()];
    let data = &server.app.data;
    for folder in [
        data.transform_cache(project),
        data.web_cache().join(ready.as_str()),
        data.job_tmp(&running),
    ] {
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(folder.join("file"), "x").expect("written");
    }
    assert!(traces(&server, project, &jobs).len() > 5);

    let path = format!("/projects/{project}");
    server.delete(&path, &people.owner.token).await.expect(204);
    server
        .delete(&path, &people.owner.token)
        .await
        .expect_error(404, "PROJECT_NOT_FOUND");
    let job = server
        .app
        .store
        .job(&running)
        .await
        .expect("read")
        .expect("kept");
    assert_eq!(job.state, JobState::Cancelled);
    let access = token::access(&server.app.config.secrets.preview_token, &ready);
    for path in ["status", "download", "logs", "events"] {
        let path = format!("/preview/{path}/{ready}");
        assert_eq!(
            server.get(&path, &people.owner.token).await.status,
            404,
            "{path}"
        );
        let held = server.call(Method::GET, &path, Some(&access), None).await;
        assert_eq!(held.status, 404, "{path} by access token");
    }

    let job = waiting(&server).await;
    assert_eq!(job.project_id, project);
    purge::run(&server.app, &job).await.expect("purged");
    assert_eq!(traces(&server, project, &jobs), Vec::<String>::new());
    assert_eq!(previews_of(&server, project).await, 0);
    purge::run(&server.app, &job)
        .await
        .expect("once more does no harm");

    assert_eq!(previews_of(&server, neighbour).await, 1);
    assert!(!traces(&server, neighbour, &[other]).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_project_that_exists_is_never_purged() {
    let server = TestServer::start().await;
    let people = People::register(&server).await;
    let project = world::project(&server, &people, "alive").await;
    let id = world::preview(&server, &people, project, PreviewStatus::Success).await;
    let job = PurgeJob {
        project_id: project,
    };
    let error = purge::run(&server.app, &job).await.expect_err("refused");
    assert!(error.retry_after.is_none(), "final");
    assert_eq!(previews_of(&server, project).await, 1);
    assert!(!traces(&server, project, &[id]).is_empty());
    server.stop().await;
}

#[tokio::test]
async fn the_worker_purges_soon_after() {
    let server = Setup::new().worker().start().await;
    let people = People::register(&server).await;
    let project = world::project(&server, &people, "doomed").await;
    world::upload(&server, project).await;
    let id = world::preview(&server, &people, project, PreviewStatus::Success).await;
    let path = format!("/projects/{project}");
    server.delete(&path, &people.owner.token).await.expect(204);
    let purged = async {
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while previews_of(&server, project).await > 0
            || !traces(&server, project, std::slice::from_ref(&id)).is_empty()
        {
            tick.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, purged)
        .await
        .expect("purged in time");
    server.stop().await;
}

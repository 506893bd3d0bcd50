//! Building ahead of being asked: what queues it, and who is shown it.

use std::time::Duration;

use hivesync::domain::job::Queue;
use hivesync::domain::preview::{Platform, PreviewStatus};
use hivesync::domain::{JobId, ProjectId};
use hivesync::jobs::JobKind;
use hivesync::jobs::warm_up::WarmUpJob;
use hivesync::services::previews::warm_up;
use hivesync::store::{Batch, Claim, ClaimRequest};
use reqwest::Method;
use serde_json::Value;

use crate::common::Setup;
use crate::previews_world::{World, job_id, text};
use crate::sources::{FILE, item, tar_gz};

async fn world(on: bool) -> World {
    World::with(Setup::new().config(|config| config.builds.warm_up = on)).await
}

async fn upload(world: &World, page: &str) {
    let path = format!("/projects/{}/source/archive", world.project);
    let archive = tar_gz(&[item(FILE, "index.html", page.as_bytes())]);
    let request = world.server.request(Method::PUT, &path);
    let sent = request.bearer_auth(&world.owner.token).body(archive).send();
    assert!(sent.await.expect("an answer").status().is_success());
}

async fn waiting(world: &World) -> u64 {
    let stats = world.server.app.queue.stats(Queue::WarmUp).await;
    stats.expect("stats").queued
}

#[tokio::test]
async fn an_upload_asks_for_a_look_once() {
    let world = world(true).await;
    upload(&world, "one").await;
    upload(&world, "two").await;
    assert_eq!(waiting(&world).await, 1);
    world.server.stop().await;
}

#[tokio::test]
async fn it_can_be_turned_off() {
    let world = world(false).await;
    upload(&world, "one").await;
    assert_eq!(waiting(&world).await, 0);
    world.server.stop().await;
}

/// As the worker begins to build ahead.
async fn begin(world: &World, platform: Platform) -> (Claim, bool) {
    let app = &world.server.app;
    let project_id = ProjectId(world.project);
    let build = WarmUpJob {
        project_id,
        platform: Some(platform),
    };
    let job = build
        .into_new_job(JobId::generate(&*app.random, app.clock.now()))
        .expect("a job");
    app.store
        .commit(Batch::new().enqueue(job))
        .await
        .expect("queued");
    let request = ClaimRequest {
        queues: vec![Queue::WarmUp],
        worker: "test".to_owned(),
        lease: Duration::from_mins(10),
        group_limit: 10,
    };
    let (claim, _) = app
        .queue
        .claim(&request)
        .await
        .expect("a claim")
        .expect("a job");
    let begun = warm_up::begin(app, &claim, project_id, platform).await;
    (claim, begun.expect("a decision"))
}

async fn listed(world: &World) -> Vec<Value> {
    let path = format!("/projects/{}/previews", world.project);
    let list = world
        .server
        .get(&path, &world.owner.token)
        .await
        .expect(200);
    list["previews"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn what_was_built_ahead_is_listed_once_it_is_asked_for() {
    let world = world(true).await;
    let (claim, begun) = begin(&world, Platform::Web).await;
    assert!(begun);
    world.succeed(&claim, &[("dist/index.html", b"<p>")]).await;
    assert_eq!(listed(&world).await, Vec::<Value>::new());

    let accepted = world.build("upload", "web").await;
    assert_eq!(job_id(&accepted), claim.job);
    assert_eq!(accepted["estimated_seconds"], 0);
    assert_eq!(world.queued().await, 0);
    let list = listed(&world).await;
    assert_eq!(list.len(), 1);
    assert_eq!(text(&list[0]["job_id"]), claim.job.as_str());
    let row = world.preview(&claim.job).await;
    assert_eq!(
        (row.requested_by, row.git_ref.as_str()),
        (world.owner.id, "upload")
    );
    // There is nothing more to do ahead.
    let (_, begun) = begin(&world, Platform::Web).await;
    assert!(!begun);
    world.server.stop().await;
}

#[tokio::test]
async fn a_request_does_not_wait_for_what_is_built_ahead() {
    let world = world(true).await;
    for newer in [false, true] {
        let (ahead, begun) = begin(&world, Platform::Ios).await;
        assert!(begun);
        if newer {
            world.upload("a newer commit").await;
        }
        let accepted = world.build("latest", "ios").await;
        assert_ne!(job_id(&accepted), ahead.job);
        assert_eq!(world.queued().await, 1);
        let row = world.preview(&ahead.job).await;
        assert_eq!(row.status, PreviewStatus::Cancelled);
        assert_eq!(listed(&world).await.len(), 1 + usize::from(newer));
        // While somebody's own build is under way, none is begun ahead.
        let (_, begun) = begin(&world, Platform::Ios).await;
        assert!(!begun);
        let claim = world.claim().await;
        world.fail(&claim).await;
    }
    world.server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_built_is_not_tried_ahead() {
    let world = world(true).await;
    let app = r#"{"dependencies": {"expo": "56.0.0"}}"#;
    world.upload_files(&[("package.json", app)]).await;
    let (_, begun) = begin(&world, Platform::Web).await;
    assert!(!begun);
    let (_, begun) = begin(&world, Platform::Ios).await;
    assert!(begun);
    world.server.stop().await;
}

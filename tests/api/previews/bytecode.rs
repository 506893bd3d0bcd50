//! Bytecode of previews: which jobs there are for it, and how it is handed out.

use std::time::Duration;

use hivesync::app::App;
use hivesync::blobs::BlobKey;
use hivesync::domain::JobId;
use hivesync::domain::job::{Job, Queue};
use hivesync::domain::preview::{Bytecode, Preview};
use hivesync::domain::project::ProjectKind;
use hivesync::jobs::bytecode::BytecodeJob;
use hivesync::services::previews::bytecode;
use hivesync::store::{Batch, Claim, ClaimRequest};
use reqwest::Method;
use reqwest::header::{IF_NONE_MATCH, RANGE};
use serde_json::Value;

use crate::common::{Answer, Setup, manual_clock};
use crate::previews_world::{World, text};

const BYTES: &[u8] = b"bytecode, as far as this test is concerned";

/// A finished preview of a new commit, as if of an Expo app.
async fn finished(world: &World, commit: &str, platform: &str) -> Preview {
    world.upload(commit).await;
    let accepted = world.build("latest", platform).await;
    let claim = world.claim().await;
    assert_eq!(text(&accepted["job_id"]), claim.job.as_str());
    world.succeed(&claim, &[("main.jsbundle", b"js")]).await;
    let mut preview = world.preview(&claim.job).await;
    preview.bundle.as_mut().expect("a bundle").kind = ProjectKind::Expo;
    preview
}

fn job(app: &App, preview: &Preview) -> Option<hivesync::domain::job::NewJob> {
    let bundle = preview.bundle.as_ref().expect("a bundle");
    bytecode::job(app, preview, bundle).expect("a payload")
}

async fn enqueue(app: &App, preview: &Preview) {
    let batch = Batch::new().enqueue(job(app, preview).expect("a job"));
    app.store.commit(batch).await.expect("queued");
}

/// Every job that waits, as a worker would claim it.
async fn claim_all(app: &App) -> Vec<(Claim, Job)> {
    let request = ClaimRequest {
        queues: vec![Queue::Bytecode],
        worker: "test".to_owned(),
        lease: Duration::from_mins(10),
        group_limit: 10,
    };
    let mut claimed = Vec::new();
    while let Some(next) = app.queue.claim(&request).await.expect("a claim") {
        claimed.push(next);
    }
    claimed
}

fn preview_of(job: &Job) -> JobId {
    let payload: BytecodeJob = serde_json::from_str(&job.payload).expect("a payload");
    payload.preview
}

#[tokio::test]
async fn of_a_branch_and_platform_only_the_newest_waits() {
    let world = World::with(Setup::new().config(|c| c.builds.bytecode = true)).await;
    let app = &world.server.app;
    let older = finished(&world, "one", "ios").await;
    let android = finished(&world, "two", "android").await;
    let newer = finished(&world, "three", "ios").await;
    for preview in [&older, &android, &newer] {
        enqueue(app, preview).await;
    }
    let waiting = claim_all(app).await;
    let mut previews: Vec<JobId> = waiting.iter().map(|(_, job)| preview_of(job)).collect();
    previews.sort();
    let mut expected = [newer.id.clone(), android.id.clone()];
    expected.sort();
    assert_eq!(previews, expected);
    world.server.stop().await;
}

#[tokio::test]
async fn only_native_builds_of_apps_have_a_job() {
    let world = World::with(Setup::new().config(|c| c.builds.bytecode = true)).await;
    let app = &world.server.app;
    let mut preview = finished(&world, "one", "ios").await;
    let mut kind = |kind| {
        preview.bundle.as_mut().expect("a bundle").kind = kind;
        job(app, &preview).is_some()
    };
    assert!(kind(ProjectKind::Expo) && kind(ProjectKind::ReactNative));
    assert!(!kind(ProjectKind::Web) && !kind(ProjectKind::Static));
    let web = finished(&world, "two", "web").await;
    assert!(job(app, &web).is_none());
    world.server.stop().await;

    let off = World::with(Setup::new().config(|c| c.builds.bytecode = false)).await;
    let preview = finished(&off, "one", "ios").await;
    assert!(job(&off.server.app, &preview).is_none());
    off.server.stop().await;
}

async fn get(world: &World, method: Method, id: &JobId, range: Option<&str>) -> Answer {
    let path = format!("/preview/bytecode/{id}");
    let request = world.server.request(method, &path);
    let request = request.bearer_auth(&world.owner.token);
    Answer::of(match range {
        Some(range) => request.header(RANGE, range),
        None => request,
    })
    .await
}

/// What a worker does once the compiler is through.
async fn make(world: &World, preview: &Preview) -> Bytecode {
    let app = &world.server.app;
    enqueue(app, preview).await;
    let (claim, _) = claim_all(app).await.remove(0);
    let digest = ring::digest::digest(&ring::digest::SHA256, BYTES);
    let made = Bytecode {
        size: BYTES.len() as u64,
        sha256: data_encoding::HEXLOWER.encode(digest.as_ref()),
        version: 98,
    };
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), BYTES).expect("written");
    let key = BlobKey::bytecode(preview.project_id, &preview.id);
    app.blobs.put_file(&key, file.path()).await.expect("stored");
    let shown = bytecode::show(app, &claim, &preview.id, &made).await;
    assert!(shown.expect("a store"));
    made
}

#[tokio::test]
async fn bytecode_is_shown_and_downloaded_as_long_as_its_bundle() {
    let clock = manual_clock();
    let setup = Setup::new().clock(clock.clone());
    let world = World::with(setup.config(|c| c.builds.bytecode = true)).await;
    let preview = finished(&world, "one", "android").await;
    let id = &preview.id;
    let status = async || {
        let path = format!("/preview/status/{id}");
        let answer = world.server.get(&path, &world.owner.token).await;
        answer.expect(200)
    };
    let before = status().await;
    assert_eq!(before["bytecode"], Value::Null);
    let none = get(&world, Method::GET, id, None).await;
    none.expect_error(404, "NOT_FOUND");

    let made = make(&world, &preview).await;
    let mut now = status().await;
    let shown = now["bytecode"].take();
    assert_eq!(shown, serde_json::to_value(&made).expect("JSON"));
    assert_eq!(now, before, "nothing else has changed");

    let whole = get(&world, Method::GET, id, None).await;
    assert_eq!(whole.status, 200);
    assert_eq!(whole.body, BYTES);
    assert_eq!(whole.header("content-type"), "application/octet-stream");
    assert_eq!(whole.header("etag"), format!("\"{}\"", made.sha256));
    let name = format!("attachment; filename=\"{id}-android.hbc\"");
    assert_eq!(whole.header("content-disposition"), name);
    let part = get(&world, Method::GET, id, Some("bytes=2-5")).await;
    assert_eq!(part.status, 206);
    assert_eq!(part.body, &BYTES[2..6]);
    let head = get(&world, Method::HEAD, id, None).await;
    assert_eq!(head.header("content-length"), BYTES.len().to_string());
    let request = world
        .server
        .request(Method::GET, &format!("/preview/bytecode/{id}"))
        .bearer_auth(&world.owner.token)
        .header(IF_NONE_MATCH, whole.header("etag"));
    assert_eq!(Answer::of(request).await.status, 304);

    clock.advance(world.server.app.config.previews.bundle_ttl + Duration::from_secs(1));
    let token = &world.owner.token;
    let path = format!("/preview/bytecode/{id}");
    let late = world.server.get(&path, token).await;
    late.expect_error(410, "PREVIEW_EXPIRED");
    world.server.stop().await;
}

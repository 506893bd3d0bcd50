//! What becomes of requests: shared, reused, replaced, cancelled, retried.

use std::time::Duration;

use hivesync::domain::preview::Stage;
use serde_json::{Value, json};

use crate::common::{Setup, manual_clock};
use crate::previews_world::{World, job_id, text};

async fn status(world: &World, accepted: &Value) -> Value {
    let path = format!("/preview/status/{}", text(&accepted["job_id"]));
    world
        .server
        .get(&path, &world.owner.token)
        .await
        .expect(200)
}

#[tokio::test]
async fn a_preview_tells_how_it_stands() {
    let clock = manual_clock();
    let world = World::with(Setup::new().clock(clock.clone())).await;
    let commit = world.upload("the commit").await;
    let accepted = world.build("latest", "ios").await;
    let queued = status(&world, &accepted).await;
    let estimate = accepted["estimated_seconds"].clone();
    let created = queued["created_at"].clone();
    assert_eq!(
        queued,
        json!({"job_id": accepted["job_id"], "project_id": world.project, "status": "queued",
               "stage": null, "progress": 0.0, "eta_seconds": estimate, "commit": commit,
               "platform": "ios", "size": null, "bytecode": null, "warm": null, "bundler": null, "sandbox": null,
               "created_at": created, "started_at": null, "completed_at": null, "error": null})
    );

    let claim = world.claim().await;
    for (stage, status_then, progress) in [
        (Stage::Checkout, "building", 0.1),
        (Stage::Dependencies, "downloading_deps", 0.25),
        (Stage::Bundle, "bundling", 0.5),
        (Stage::Package, "uploading", 0.8),
    ] {
        world.enter(&claim, stage).await;
        let now = status(&world, &accepted).await;
        assert_eq!(now["status"], status_then);
        assert_eq!(now["stage"], stage.as_str());
        assert_eq!(now["progress"], progress);
        assert_eq!(now["sandbox"], "isolated");
    }
    clock.advance(Duration::from_secs(7));
    let later = status(&world, &accepted).await;
    assert_eq!(later["eta_seconds"], estimate.as_u64().unwrap() - 7);
    let zip = world.succeed(&claim, &[("main.jsbundle", b"js")]).await;
    let done = status(&world, &accepted).await;
    assert_eq!(done["status"], "success");
    assert_eq!(done["progress"], 1.0);
    assert_eq!(done["size"], zip.len());
    assert_eq!(done["warm"], false);
    assert_eq!(done["eta_seconds"], Value::Null);

    // The next estimate goes by what this build took.
    world.upload("another").await;
    let next = world.build("latest", "ios").await;
    assert_eq!(next["estimated_seconds"], 7);
    world.server.stop().await;
}

#[tokio::test]
async fn identical_running_builds_share_one_job() {
    let world = World::new().await;
    let first = world.build("latest", "ios").await;
    let queued = world.build("upload", "ios").await;
    assert_eq!(first["job_id"], queued["job_id"]);
    let claim = world.claim().await;
    world.enter(&claim, Stage::Bundle).await;
    let running = world.build("latest", "ios").await;
    assert_eq!(first["job_id"], running["job_id"]);
    // Another platform is another build.
    let other = world.build("latest", "android").await;
    assert_ne!(first["job_id"], other["job_id"]);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn identical_requests_at_the_same_time_share_one_job() {
    let world = World::new().await;
    let asked = futures::future::join_all((0..16).map(|_| world.build("latest", "ios"))).await;
    let mut jobs: Vec<_> = asked.iter().map(job_id).collect();
    jobs.sort();
    jobs.dedup();
    assert_eq!(jobs.len(), 1, "one build for one commit");
    assert_eq!(world.queued().await, 1);
    world.server.stop().await;
}

#[tokio::test]
async fn a_finished_bundle_is_reused_and_lives_longer() {
    let clock = manual_clock();
    let world = World::with(Setup::new().clock(clock.clone())).await;
    let first = world.build("latest", "ios").await;
    let claim = world.claim().await;
    world.succeed(&claim, &[("main.jsbundle", b"js")]).await;
    let ends = world.preview(&claim.job).await.bundle.unwrap().expires_at;

    clock.advance(Duration::from_hours(23));
    let again = world.build("latest", "ios").await;
    assert_eq!(first["job_id"], again["job_id"]);
    assert_eq!(again["estimated_seconds"], 0);
    assert_eq!(world.queued().await, 0);
    let renewed = world.preview(&claim.job).await.bundle.unwrap().expires_at;
    assert_eq!(renewed, ends.after(Duration::from_hours(23)));

    // After its end the same commit is built anew.
    clock.advance(Duration::from_hours(25));
    let login = json!({"username_or_email": "ada", "password": crate::common::PASSWORD});
    let session = world
        .server
        .call(reqwest::Method::POST, "/auth/login", None, Some(&login))
        .await
        .expect(200);
    let body = json!({"project_id": world.project, "git_ref": "latest", "platform": "ios"});
    let issued = world
        .server
        .post("/preview/token", session["token"].as_str().unwrap(), &body);
    let token = text(&issued.await.expect(200)["token"]);
    let anew = world.ask_build(&token).await.expect(202);
    assert_ne!(first["job_id"], anew["job_id"]);
    world.server.stop().await;
}

#[tokio::test]
async fn a_newer_commit_replaces_the_builds_of_its_branch_and_platform() {
    let world = World::new().await;
    let running = world.build("latest", "ios").await;
    let claim = world.claim().await;
    world.enter(&claim, Stage::Bundle).await;
    let other_platform = world.build("latest", "android").await;
    let commit = world.upload("newer").await;
    let newer = world.build("latest", "ios").await;

    assert_ne!(running["job_id"], newer["job_id"]);
    let replaced = status(&world, &running).await;
    assert_eq!(replaced["status"], "cancelled");
    assert_eq!(replaced["error"]["code"], "CANCELLED");
    let message = text(&replaced["error"]["message"]);
    assert!(message.contains(&commit[..12]), "{message}");
    assert_eq!(status(&world, &other_platform).await["status"], "queued");
    assert_eq!(status(&world, &newer).await["status"], "queued");
    // The worker that still runs the old build can write nothing more.
    let late = world
        .server
        .app
        .queue
        .complete(&claim, hivesync::store::Batch::new())
        .await;
    assert_eq!(late.unwrap_err().code, hivesync::error::Code::Conflict);
    world.server.stop().await;
}

#[tokio::test]
async fn requests_at_the_same_instant_build_a_branch_once() {
    let world = World::new().await;
    for round in 0..5 {
        let mut tokens = Vec::new();
        for _ in 0..6 {
            tokens.push(world.token("latest", "ios").await);
        }
        let text = format!("round {round}");
        let asked = futures::future::join_all(tokens.iter().map(|token| world.ask_build(token)));
        let (commit, answers) = tokio::join!(world.upload(&text), asked);
        for answer in answers {
            answer.expect(202);
        }
        world.build("latest", "ios").await;
        let store = &world.server.app.store;
        let project = hivesync::domain::ProjectId(world.project);
        let under_way = store.active_previews(project).await.unwrap();
        let commits: Vec<_> = under_way.iter().map(|p| p.commit.clone()).collect();
        assert_eq!(commits, [commit]);
    }
    world.server.stop().await;
}

#[tokio::test]
async fn a_build_of_a_commit_by_its_id_is_replaced_by_nothing() {
    let world = World::new().await;
    let commit = world.upload("pinned").await;
    let pinned = world.build(&commit, "ios").await;
    world.upload("newer").await;
    world.build("latest", "ios").await;
    assert_eq!(status(&world, &pinned).await["status"], "queued");
    assert_eq!(world.queued().await, 2);
    world.server.stop().await;
}

#[tokio::test]
async fn a_build_is_cancelled_once() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let cancel = format!("/preview/cancel/{}", text(&accepted["job_id"]));
    let token = &world.owner.token;
    let cancelled = world
        .server
        .post(&cancel, token, &json!({}))
        .await
        .expect(200);
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!(cancelled["error"]["code"], "CANCELLED");
    assert_eq!(cancelled["error"]["message"], "cancelled by ada");
    assert_eq!(world.queued().await, 0);
    let again = world.server.post(&cancel, token, &json!({})).await;
    again.expect_error(409, "JOB_ALREADY_COMPLETED");
    world.server.stop().await;
}

#[tokio::test]
async fn cancelling_a_running_build_tells_the_worker() {
    use futures::StreamExt;
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let claim = world.claim().await;
    let topic = hivesync::ephemeral::topic::CANCEL;
    let mut told = world.server.app.ephemeral.subscribe(topic).await.unwrap();
    let cancel = format!("/preview/cancel/{}", text(&accepted["job_id"]));
    world
        .server
        .post(&cancel, &world.owner.token, &json!({}))
        .await
        .expect(200);
    let event = tokio::time::timeout(crate::common::DEADLINE, told.next()).await;
    assert_eq!(event.unwrap().as_deref(), Some(claim.job.as_str()));
    let renewed = world
        .server
        .app
        .queue
        .renew(&claim, Duration::from_secs(30))
        .await;
    assert_eq!(renewed.unwrap_err().code, hivesync::error::Code::Conflict);
    drop(told);
    world.server.stop().await;
}

#[tokio::test]
async fn what_has_ended_badly_can_be_retried() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let retry = format!("/preview/retry/{}", text(&accepted["job_id"]));
    let token = &world.owner.token;
    let early = world.server.post(&retry, token, &json!({})).await;
    early.expect_error(409, "CONFLICT");

    let claim = world.claim().await;
    world.enter(&claim, Stage::Bundle).await;
    world.fail(&claim).await;
    let failed = status(&world, &accepted).await;
    assert_eq!(failed["error"]["code"], "PREVIEW_BUILD_FAILED");
    let queued = world
        .server
        .post(&retry, token, &json!({}))
        .await
        .expect(200);
    assert_eq!(queued["status"], "queued");
    assert_eq!(queued["progress"], 0.0);
    assert_eq!(queued["error"], Value::Null);

    let claim = world.claim().await;
    world.succeed(&claim, &[("main.jsbundle", b"js")]).await;
    let late = world.server.post(&retry, token, &json!({})).await;
    late.expect_error(409, "CONFLICT");
    world.server.stop().await;
}

#[tokio::test]
async fn a_projects_previews_are_listed_newest_first_by_pages() {
    let clock = manual_clock();
    let world = World::with(Setup::new().clock(clock.clone())).await;
    let mut made = Vec::new();
    for platform in ["ios", "android", "web"] {
        clock.advance(Duration::from_secs(1));
        made.insert(0, text(&world.build("latest", platform).await["job_id"]));
    }
    let claim = world.claim().await;
    world.fail(&claim).await;
    let list = |query: &'static str| {
        let path = format!("/projects/{}/previews{query}", world.project);
        let (server, token) = (&world.server, &world.owner.token);
        async move { server.get(&path, token).await.expect(200) }
    };
    let ids = |page: &Value| -> Vec<String> {
        let previews = page["previews"].as_array().unwrap();
        previews.iter().map(|p| text(&p["job_id"])).collect()
    };
    assert_eq!(ids(&list("").await), made);
    assert_eq!(ids(&list("?status=failed").await), made[2..]);
    assert_eq!(ids(&list("?platform=web").await), made[..1]);
    assert_eq!(ids(&list("?platform=web&status=failed").await), made[..0]);
    let first = list("?limit=2").await;
    assert_eq!(ids(&first), made[..2]);
    let cursor = text(&first["next_cursor"]);
    let path = format!(
        "/projects/{}/previews?limit=2&cursor={cursor}",
        world.project
    );
    let second = world
        .server
        .get(&path, &world.owner.token)
        .await
        .expect(200);
    assert_eq!(ids(&second), made[2..]);
    assert_eq!(second["next_cursor"], Value::Null);
    let wrong = format!("/projects/{}/previews?status=sleeping", world.project);
    let refused = world.server.get(&wrong, &world.owner.token).await;
    refused.expect_error(422, "INVALID_INPUT");
    world.server.stop().await;
}

#[tokio::test]
async fn strangers_see_and_change_nothing() {
    let world = World::new().await;
    let accepted = world.build("latest", "ios").await;
    let id = text(&accepted["job_id"]);
    let stranger = world.server.register("mallory").await;
    for path in ["status", "events", "download", "logs"] {
        let path = format!("/preview/{path}/{id}");
        let answer = world.server.get(&path, &stranger.token).await;
        answer.expect_error(403, "PROJECT_ACCESS_DENIED");
        let answer = world
            .server
            .call(reqwest::Method::GET, &path, None, None)
            .await;
        answer.expect_error(401, "UNAUTHENTICATED");
    }
    for path in ["cancel", "retry"] {
        let path = format!("/preview/{path}/{id}");
        let answer = world.server.post(&path, &stranger.token, &json!({})).await;
        answer.expect_error(403, "PROJECT_ACCESS_DENIED");
    }
    let list = format!("/projects/{}/previews", world.project);
    let answer = world.server.get(&list, &stranger.token).await;
    answer.expect_error(403, "PROJECT_ACCESS_DENIED");
    for unknown in ["job_00000000000000000000000000", "job_x", "nonsense"] {
        let path = format!("/preview/status/{unknown}");
        let answer = world.server.get(&path, &world.owner.token).await;
        answer.expect_error(404, "JOB_NOT_FOUND");
    }
    assert_eq!(status(&world, &accepted).await["status"], "queued");
    world.server.stop().await;
}

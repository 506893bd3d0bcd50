//! Asking for a preview: which tokens are good, and what they start.

use std::time::Duration;

use hivesync::domain::user::Role;
use hivesync::services::token;
use reqwest::Method;
use ring::hmac;
use serde_json::{Value, json};

use crate::common::{Setup, manual_clock};
use crate::previews_world::{World, job_id, text};

/// Signs any payload with a secret, as somebody who knows it could.
fn signed(secret: &str, payload: &Value) -> String {
    let encode = |bytes: &[u8]| data_encoding::BASE64URL_NOPAD.encode(bytes);
    let first = encode(payload.to_string().as_bytes());
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = encode(hmac::sign(&key, first.as_bytes()).as_ref());
    format!("{first}.{tag}")
}

fn payload(world: &World) -> Value {
    let now = world.server.app.clock.now().as_secs();
    json!({"pid": world.project, "ref": "upload", "uid": world.owner.id.0, "ts": now,
           "exp": now + 300, "plat": "web", "ver": 1})
}

#[tokio::test]
async fn a_token_starts_a_build() {
    let world = World::new().await;
    let issued = world.ask_token("latest", "ios").await.expect(200);
    assert_eq!(issued["expires_in"], 300);
    let token = text(&issued["token"]);
    let page = world.server.url(&format!("/t/{token}"));
    assert_eq!(issued["preview_url"], page.as_str());

    let accepted = world.ask_build(&token).await.expect(202);
    assert_eq!(accepted["status"], "accepted");
    assert!(accepted["estimated_seconds"].as_u64().unwrap() > 0);
    let id = job_id(&accepted);
    let status_url = world.server.url(&format!("/api/v1/preview/status/{id}"));
    assert_eq!(accepted["status_url"], status_url.as_str());
    let download_url = world.server.url(&format!("/api/v1/preview/download/{id}"));
    assert_eq!(accepted["download_url"], download_url.as_str());
    assert_eq!(world.queued().await, 1);

    // Neither the token nor its signature is anywhere in the row.
    let row = format!("{:?}", world.preview(&id).await);
    let (first, tag) = token.split_once('.').unwrap();
    assert!(!row.contains(first) && !row.contains(tag));
    world.server.stop().await;
}

#[tokio::test]
async fn forged_tokens_are_refused_and_start_nothing() {
    let world = World::new().await;
    let good = world.token("upload", "web").await;
    let (first, tag) = good.split_once('.').unwrap();
    let mut altered_payload = payload(&world);
    altered_payload["uid"] = json!(99);
    let altered = data_encoding::BASE64URL_NOPAD.encode(altered_payload.to_string().as_bytes());
    for (what, token) in [
        ("altered payload", format!("{altered}.{tag}")),
        ("altered signature", format!("{first}.A{}", &tag[1..])),
        ("truncated", good[..good.len() - 1].to_owned()),
        ("without signature", first.to_owned()),
        ("empty signature", format!("{first}.")),
        ("twice", format!("{good}.{tag}")),
        ("padded", format!("{good}=")),
        (
            "wrong secret",
            signed("another secret of thirty-two bytes", &payload(&world)),
        ),
        ("empty", String::new()),
        ("far too long", "a".repeat(100_000)),
    ] {
        let answer = world.ask_build(&token).await;
        let error = answer.expect_error(403, "INVALID_OR_EXPIRED_TOKEN");
        // Which part failed is not told.
        assert_eq!(error["details"]["reason"], "invalid", "{what}");
    }
    assert_eq!(world.queued().await, 0);
    world.server.stop().await;
}

#[tokio::test]
async fn an_expired_token_is_refused_and_starts_nothing() {
    let clock = manual_clock();
    let world = World::with(Setup::new().clock(clock.clone())).await;
    let token = world.token("upload", "web").await;
    clock.advance(Duration::from_mins(5));
    let answer = world.ask_build(&token).await;
    let error = answer.expect_error(403, "INVALID_OR_EXPIRED_TOKEN");
    assert_eq!(error["details"]["reason"], "expired");
    assert_eq!(world.queued().await, 0);
    world.server.stop().await;
}

#[tokio::test]
async fn a_token_ends_with_the_right_to_read_the_project() {
    let world = World::new().await;
    let guest = world.server.register("grace").await;
    let members = format!("/projects/{}/members", world.project);
    let share = json!({"user_id": guest.id.0, "role": "viewer"});
    let shared = world
        .server
        .post(&members, &world.owner.token, &share)
        .await;
    assert!(shared.status.is_success(), "{}", shared.text());
    let body = json!({"project_id": world.project, "git_ref": "latest", "platform": "web"});
    let issued = world
        .server
        .post("/preview/token", &guest.token, &body)
        .await;
    let token = text(&issued.expect(200)["token"]);

    let member = format!("{members}/{}", guest.id.0);
    let removed = world.server.delete(&member, &world.owner.token).await;
    assert!(removed.status.is_success(), "{}", removed.text());
    let answer = world.ask_build(&token).await;
    answer.expect_error(403, "PROJECT_ACCESS_DENIED");
    assert_eq!(world.queued().await, 0);
    world.server.stop().await;
}

#[tokio::test]
async fn a_signed_token_for_an_unknown_platform_says_so_and_starts_nothing() {
    let world = World::new().await;
    let secret = world
        .server
        .app
        .config
        .secrets
        .preview_token
        .expose()
        .to_owned();
    let mut other = payload(&world);
    other["plat"] = json!("tizen");
    let answer = world.ask_build(&signed(&secret, &other)).await;
    answer.expect_error(422, "UNSUPPORTED_PLATFORM");
    let asked = world.ask_token("latest", "tizen").await;
    asked.expect_error(422, "UNSUPPORTED_PLATFORM");
    assert_eq!(world.queued().await, 0);

    // The same payload with a platform that exists is good, without its nonce.
    let good = signed(&secret, &payload(&world));
    world.ask_build(&good).await.expect(202);
    world.server.stop().await;
}

#[tokio::test]
async fn a_token_is_issued_only_for_what_is_there_and_may_be_read() {
    let world = World::new().await;
    let gone = world.ask_token("no-such-branch", "web").await;
    gone.expect_error(404, "REF_NOT_FOUND");
    for bad in ["", "a\nb", &"x".repeat(300)] {
        let refused = world.ask_token(bad, "web").await;
        refused.expect_error(422, "INVALID_INPUT");
    }
    let stranger = world.server.register("mallory").await;
    let body = json!({"project_id": world.project, "git_ref": "latest", "platform": "web"});
    let asked = world
        .server
        .post("/preview/token", &stranger.token, &body)
        .await;
    asked.expect_error(403, "PROJECT_ACCESS_DENIED");
    let anonymous = world
        .server
        .call(Method::POST, "/preview/token", None, Some(&body))
        .await;
    anonymous.expect_error(401, "UNAUTHENTICATED");
    let missing = json!({"project_id": 4711, "git_ref": "latest", "platform": "web"});
    let asked = world
        .server
        .post("/preview/token", &world.owner.token, &missing)
        .await;
    asked.expect_error(404, "PROJECT_NOT_FOUND");
    world.server.stop().await;
}

#[tokio::test]
async fn the_same_token_is_the_same_job() {
    let world = World::new().await;
    let token = world.token("latest", "android").await;
    let first = world.ask_build(&token).await.expect(202);
    // Also when the branch has moved on, and when the build has ended.
    world.upload("second").await;
    let again = world.ask_build(&token).await.expect(202);
    assert_eq!(first["job_id"], again["job_id"]);
    let claim = world.claim().await;
    world.fail(&claim).await;
    let again = world.ask_build(&token).await.expect(202);
    assert_eq!(first["job_id"], again["job_id"]);
    assert_eq!(world.queued().await, 0);
    world.server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_token_at_the_same_time_is_one_job() {
    let world = World::new().await;
    let token = world.token("latest", "android").await;
    let asked = futures::future::join_all((0..16).map(|_| world.ask_build(&token))).await;
    let mut jobs: Vec<_> = asked.iter().map(|a| job_id(&a.expect(202))).collect();
    jobs.dedup();
    assert_eq!(jobs.len(), 1);
    assert_eq!(world.queued().await, 1);
    world.server.stop().await;
}

#[tokio::test]
async fn an_admins_token_is_good_for_any_project() {
    let world = World::new().await;
    let admin = world.server.account("root", Role::Admin).await;
    let body = json!({"project_id": world.project, "git_ref": "latest", "platform": "web"});
    let issued = world
        .server
        .post("/preview/token", &admin.token, &body)
        .await;
    let token = text(&issued.expect(200)["token"]);
    world.ask_build(&token).await.expect(202);
    world.server.stop().await;
}

#[tokio::test]
async fn an_access_token_opens_its_job_and_no_other() {
    let world = World::new().await;
    let first = world.build("latest", "ios").await;
    let second = world.build("latest", "android").await;
    let access = text(&first["access_token"]);
    let status = |job: &Value| format!("/preview/status/{}", text(&job["job_id"]));
    world.server.get(&status(&first), &access).await.expect(200);
    let other = world.server.get(&status(&second), &access).await;
    other.expect_error(403, "INVALID_OR_EXPIRED_TOKEN");
    let bare = format!("{}?access={access}", status(&first));
    let by_query = world.server.call(Method::GET, &bare, None, None).await;
    by_query.expect(200);
    // It reads; it does not cancel.
    let cancel = format!("/preview/cancel/{}", text(&first["job_id"]));
    let refused = world.server.post(&cancel, &access, &json!({})).await;
    refused.expect_error(401, "UNAUTHENTICATED");
    let list = format!("/projects/{}/previews", world.project);
    let refused = world.server.get(&list, &access).await;
    refused.expect_error(401, "UNAUTHENTICATED");
    world.server.stop().await;
}

#[tokio::test]
async fn the_inspector_shows_a_payload_and_refuses_a_token() {
    let world = World::new().await;
    let full = world.token("latest", "ios").await;
    let now = world.server.app.clock.now();
    assert!(token::decode_payload(&full, now).is_err());
    let (first, _) = full.split_once('.').unwrap();
    let shown = token::decode_payload(first, now).unwrap();
    assert_eq!(shown.payload["plat"], "ios");
    world.server.stop().await;
}

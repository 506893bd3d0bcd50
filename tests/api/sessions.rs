//! Sessions: logging in and out, what is limited, what is refused.

use std::sync::Arc;
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use hivesync::clock::{Clock, ManualClock, Timestamp};
use hivesync::config::Secret;
use hivesync::domain::user::{Session, User};
use hivesync::services::auth::jwt::{self, Claims};
use hivesync::store::{Batch, Expect, Record};
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Account, Answer, PASSWORD, Setup, TestServer, manual_clock};

async fn login(server: &TestServer, name: &str, password: &str) -> Answer {
    let body = json!({"username_or_email": name, "password": password});
    server
        .call(Method::POST, "/auth/login", None, Some(&body))
        .await
}

async fn log_in(server: &TestServer, name: &str) -> String {
    let answer = login(server, name, PASSWORD).await.expect(200);
    answer["token"].as_str().expect("a token").to_owned()
}

async fn me(server: &TestServer, token: &str) -> u16 {
    server.get("/auth/me", token).await.status.as_u16()
}

async fn timed() -> (TestServer, Arc<ManualClock>) {
    let clock = manual_clock();
    (Setup::new().clock(clock.clone()).start().await, clock)
}

async fn disable(server: &TestServer, account: &Account) {
    let found = server
        .app
        .store
        .user(account.id)
        .await
        .expect("the store answers")
        .expect("the account");
    let disabled = User {
        disabled: true,
        ..found.value
    };
    let batch = Batch::new().put(Record::User(disabled), Expect::Revision(found.revision));
    server.app.store.commit(batch).await.expect("written");
}

#[tokio::test]
async fn either_name_in_any_case_logs_in() {
    let (server, clock) = timed().await;
    server.register("ada").await;
    for name in ["ada", "ADA", "ada@example.com", " Ada@Example.com "] {
        let answer = login(&server, name, PASSWORD).await.expect(200);
        assert_eq!(answer["user"]["username"], "ada");
        let ends = clock.now().after(Duration::from_hours(720));
        assert_eq!(answer["expires_at"], ends.to_rfc3339());
    }
    server.stop().await;
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_account_look_the_same() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let gone = server.register("gone").await;
    disable(&server, &gone).await;
    let mut told = Vec::new();
    for (name, password) in [
        ("ada", "wrong password"),
        ("nobody", PASSWORD),
        ("nobody@example.com", PASSWORD),
        ("gone", PASSWORD),
        ("gone", "wrong password"),
        ("", ""),
        ("ada", &"x".repeat(5000)),
    ] {
        let answer = login(&server, name, password).await;
        let mut error = answer.expect_error(401, "UNAUTHENTICATED");
        error["details"]["trace_id"].take();
        assert!(!error.to_string().contains("nobody"), "{error}");
        told.push(error);
    }
    assert!(told.windows(2).all(|pair| pair[0] == pair[1]), "{told:?}");
    assert_eq!(me(&server, &ada.token).await, 200);
    let answer = server.get("/auth/me", &gone.token).await;
    answer.expect_error(401, "UNAUTHENTICATED");
    server.stop().await;
}

#[tokio::test]
async fn guessing_at_one_account_is_limited_until_the_window_passes() {
    let (server, clock) = timed().await;
    server.register("ada").await;
    server.register("grace").await;
    for _ in 0..10 {
        login(&server, "ada", "wrong password")
            .await
            .expect_error(401, "UNAUTHENTICATED");
    }
    // Either name is the same account, and the right password comes too late.
    for name in ["ada", "ada@example.com"] {
        let limited = login(&server, name, PASSWORD).await;
        limited.expect_error(429, "RATE_LIMIT_EXCEEDED");
        assert!(
            limited
                .header("retry-after")
                .parse::<u64>()
                .is_ok_and(|s| s <= 300)
        );
    }
    log_in(&server, "grace").await;
    clock.advance(Duration::from_mins(5));
    log_in(&server, "ada").await;
    server.stop().await;
}

#[tokio::test]
async fn guessing_from_one_address_is_limited() {
    let (server, clock) = timed().await;
    server.register("ada").await;
    // Too long to be hashed: a flood costs the server little.
    let long = "x".repeat(1025);
    for n in 0..30 {
        login(&server, &format!("name{n}"), &long)
            .await
            .expect_error(401, "UNAUTHENTICATED");
    }
    login(&server, "ada", PASSWORD)
        .await
        .expect_error(429, "RATE_LIMIT_EXCEEDED");
    clock.advance(Duration::from_mins(5));
    log_in(&server, "ada").await;
    server.stop().await;
}

#[tokio::test]
async fn logging_out_ends_this_session_only() {
    let server = TestServer::start().await;
    let first = server.register("ada").await.token;
    let second = log_in(&server, "ada").await;
    server
        .call(Method::POST, "/auth/logout", Some(&first), None)
        .await
        .expect(204);
    assert_eq!(me(&server, &first).await, 401);
    assert_eq!(me(&server, &second).await, 200);
    server
        .call(Method::POST, "/auth/logout", Some(&first), None)
        .await
        .expect_error(401, "UNAUTHENTICATED");
    server.stop().await;
}

#[tokio::test]
async fn a_session_ends_after_its_life() {
    let (server, clock) = timed().await;
    let ada = server.register("ada").await;
    clock.advance(Duration::from_hours(720) - Duration::from_secs(1));
    assert_eq!(me(&server, &ada.token).await, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(me(&server, &ada.token).await, 401);
    server.stop().await;
}

#[tokio::test]
async fn a_new_password_ends_every_other_session() {
    let server = TestServer::start().await;
    let mine = server.register("ada").await.token;
    let other = log_in(&server, "ada").await;
    let change = |old: &str, new: &str| json!({"current_password": old, "new_password": new});
    let new = "a new and longer password";

    let error = server
        .post(
            "/auth/change-password",
            &mine,
            &change("wrong password", new),
        )
        .await
        .expect_error(403, "FORBIDDEN");
    assert_eq!(error["details"]["field"], "current_password");
    let error = server
        .post("/auth/change-password", &mine, &change(PASSWORD, "short"))
        .await
        .expect_error(422, "INVALID_INPUT");
    assert_eq!(error["details"]["field"], "new_password");
    assert_eq!(me(&server, &other).await, 200, "nothing has changed yet");

    server
        .post("/auth/change-password", &mine, &change(PASSWORD, new))
        .await
        .expect(204);
    assert_eq!(me(&server, &mine).await, 200);
    assert_eq!(me(&server, &other).await, 401);
    login(&server, "ada", PASSWORD)
        .await
        .expect_error(401, "UNAUTHENTICATED");
    login(&server, "ada", new).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn no_login_with_the_old_password_survives_its_change() {
    let server = TestServer::start().await;
    let mine = server.register("ada").await.token;
    let change = json!({"current_password": PASSWORD, "new_password": "a new and longer password"});
    let (logins, changed) = tokio::join!(
        futures::future::join_all((0..6).map(|_| login(&server, "ada", PASSWORD))),
        server.post("/auth/change-password", &mine, &change),
    );
    changed.expect(204);
    for answer in logins.iter().filter(|a| a.status == 200) {
        let token = answer.expect(200)["token"]
            .as_str()
            .expect("a token")
            .to_owned();
        assert_eq!(me(&server, &token).await, 401, "an old session goes on");
    }
    server.stop().await;
}

/// A JWT of any header and payload, with a signature or without.
fn forge(header: &Value, claims: &Value, signature: &str) -> String {
    let part = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
    format!("{}.{}.{signature}", part(header), part(claims))
}

/// Tokens that are not ours, or not `token` any more, whose claims those are.
fn forgeries(
    secret: &Secret,
    token: &str,
    claims: &Claims,
    another: &Account,
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    let payload = serde_json::to_value(claims).expect("claims");
    let signature = token.rsplit('.').next().expect("a signature");
    let signed = |claims: &Claims| jwt::encode(secret, claims).expect("signed");
    let other_key = Secret::new("another secret of more than 32 bytes");
    vec![
        ("alg none", forge(&json!({"alg": "none"}), &payload, "")),
        (
            "alg none, signed",
            forge(&json!({"alg": "none"}), &payload, signature),
        ),
        (
            "alg None",
            forge(&json!({"alg": "None", "typ": "JWT"}), &payload, ""),
        ),
        (
            "another alg",
            forge(&json!({"alg": "HS512"}), &payload, signature),
        ),
        (
            "a public-key alg",
            forge(&json!({"alg": "RS256"}), &payload, signature),
        ),
        (
            "another key",
            jwt::encode(&other_key, claims).expect("signed"),
        ),
        (
            "another user",
            signed(&Claims {
                sub: another.id.to_string(),
                ..claims.clone()
            }),
        ),
        (
            "no such session",
            signed(&Claims {
                sid: "x".repeat(26),
                ..claims.clone()
            }),
        ),
        (
            "over",
            signed(&Claims {
                exp: now.as_secs(),
                ..claims.clone()
            }),
        ),
        (
            "no user's id",
            signed(&Claims {
                sub: "ada".into(),
                ..claims.clone()
            }),
        ),
        ("cut", token[..token.len() - 1].to_owned()),
        ("longer", format!("{token}A")),
        ("no JWT", "x".into()),
        ("an API token of nobody", format!("hs_{}", "a".repeat(52))),
    ]
}

#[tokio::test]
async fn forged_tokens_open_nothing() {
    let (server, clock) = timed().await;
    let ada = server.register("ada").await;
    let grace = server.register("grace").await;
    let secret = &server.app.config.secrets.jwt;
    let now = clock.now();
    let claims = jwt::decode(secret, &ada.token, now).expect("our own token");
    for (what, token) in &forgeries(secret, &ada.token, &claims, &grace, now) {
        let answer = server.get("/auth/me", token).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.text());
        answer.expect_error(401, "UNAUTHENTICATED");
        assert!(
            answer.header("www-authenticate").starts_with("Bearer"),
            "{what}"
        );
    }
    let signed = jwt::encode(secret, &claims).expect("signed");
    assert_eq!(me(&server, &signed).await, 200, "by the right key");
    let basic = server
        .request(Method::GET, "/auth/me")
        .basic_auth("ada", Some(PASSWORD));
    Answer::of(basic).await.expect_error(401, "UNAUTHENTICATED");
    server.stop().await;
}

#[tokio::test]
async fn an_account_keeps_a_bounded_number_of_sessions() {
    let (server, clock) = timed().await;
    let ada = server.register("ada").await;
    let mut batch = Batch::new();
    for n in 1..=60 {
        let began = clock.now().after(Duration::from_secs(n));
        let session = Session {
            id: format!("{n:026}"),
            user_id: ada.id,
            created_at: began,
            // The last three have ended by then.
            expires_at: began.after(Duration::from_mins(if n > 57 { 1 } else { 60 })),
        };
        batch = batch.put(Record::Session(session), Expect::Absent);
    }
    server.app.store.commit(batch).await.expect("written");
    clock.advance(Duration::from_mins(5));
    let last = log_in(&server, "ada").await;
    let mut left = server
        .app
        .store
        .sessions_of(ada.id)
        .await
        .expect("sessions");
    left.sort_by_key(|session| session.created_at);
    assert_eq!(left.len(), 50);
    assert_eq!(left[0].id, format!("{:026}", 9), "the oldest have ended");
    assert_eq!(me(&server, &ada.token).await, 401);
    assert_eq!(me(&server, &last).await, 200);
    server.stop().await;
}

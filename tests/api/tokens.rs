//! API tokens: shown once, scoped, ending.

use std::time::Duration;

use hivesync::clock::Clock;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Account, Answer, Setup, TestServer, manual_clock};

async fn create(server: &TestServer, owner: &Account, scope: &str) -> (i64, String) {
    let body = json!({"name": format!("a {scope} token"), "scope": scope});
    let answer = server
        .post("/auth/tokens", &owner.token, &body)
        .await
        .expect(201);
    let secret = answer["token"].as_str().expect("a secret").to_owned();
    (answer["id"].as_i64().expect("an id"), secret)
}

#[tokio::test]
async fn a_token_is_shown_once_and_opens_until_it_is_deleted() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let body = json!({"name": " CI ", "scope": "build"});
    let made = server
        .post("/auth/tokens", &ada.token, &body)
        .await
        .expect(201);
    assert_eq!(made["name"], "CI");
    assert_eq!(made["scope"], "build");
    assert_eq!(made["expires_at"], Value::Null);
    let secret = made["token"].as_str().expect("a secret");
    assert!(secret.starts_with("hs_") && secret.len() == 55, "{secret}");
    assert_eq!(
        server.get("/auth/me", secret).await.expect(200)["username"],
        "ada"
    );

    let listed = server.get("/auth/tokens", &ada.token).await;
    assert!(!listed.text().contains(secret), "listed with its secret");
    let listed = listed.expect(200);
    assert_eq!(listed["tokens"][0]["id"], made["id"]);
    assert!(listed["tokens"][0].get("token").is_none());
    assert_eq!(listed["next_cursor"], Value::Null);

    let path = format!("/auth/tokens/{}", made["id"]);
    server.delete(&path, &ada.token).await.expect(204);
    server
        .get("/auth/me", secret)
        .await
        .expect_error(401, "UNAUTHENTICATED");
    server
        .delete(&path, &ada.token)
        .await
        .expect_error(404, "NOT_FOUND");
    server.stop().await;
}

#[tokio::test]
async fn tokens_are_listed_in_pages() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(create(&server, &ada, "read").await.0);
    }
    let first = server
        .get("/auth/tokens?limit=2", &ada.token)
        .await
        .expect(200);
    let cursor = first["next_cursor"].as_str().expect("a next page");
    let second = server
        .get(&format!("/auth/tokens?limit=2&cursor={cursor}"), &ada.token)
        .await
        .expect(200);
    let listed: Vec<_> = [&first, &second]
        .iter()
        .flat_map(|page| page["tokens"].as_array().expect("tokens"))
        .map(|token| token["id"].as_i64().expect("an id"))
        .collect();
    assert_eq!(listed, made);
    assert_eq!(second["next_cursor"], Value::Null);
    server
        .get("/auth/tokens?limit=0", &ada.token)
        .await
        .expect_error(422, "INVALID_INPUT");
    server
        .get("/auth/tokens?cursor=%21", &ada.token)
        .await
        .expect_error(400, "BAD_REQUEST");
    server.stop().await;
}

#[tokio::test]
async fn a_token_ends_when_it_says() {
    let clock = manual_clock();
    let server = Setup::new().clock(clock.clone()).start().await;
    let ada = server.register("ada").await;
    let now = clock.now();
    let ask = |end: Value| json!({"name": "CI", "scope": "read", "expires_at": end});
    for end in [json!(now.to_rfc3339()), json!("tomorrow"), json!(12)] {
        let error = server
            .post("/auth/tokens", &ada.token, &ask(end))
            .await
            .expect_error(422, "INVALID_INPUT");
        assert_eq!(error["details"]["field"], "expires_at");
    }
    let end = now.after(Duration::from_hours(1));
    let made = server
        .post("/auth/tokens", &ada.token, &ask(json!(end.to_rfc3339())))
        .await
        .expect(201);
    assert_eq!(made["expires_at"], end.to_rfc3339());
    let secret = made["token"].as_str().expect("a secret");
    clock.advance(Duration::from_hours(1) - Duration::from_millis(1));
    server.get("/auth/me", secret).await.expect(200);
    clock.advance(Duration::from_millis(1));
    server
        .get("/auth/me", secret)
        .await
        .expect_error(401, "UNAUTHENTICATED");
    server.stop().await;
}

#[tokio::test]
async fn a_token_needs_a_name_and_a_scope() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    for (field, body) in [
        ("name", json!({"name": "  ", "scope": "read"})),
        ("name", json!({"name": "x".repeat(101), "scope": "read"})),
        ("name", json!({"scope": "read"})),
        ("scope", json!({"name": "CI", "scope": "root"})),
        ("scope", json!({"name": "CI"})),
    ] {
        let error = server
            .post("/auth/tokens", &ada.token, &body)
            .await
            .expect_error(422, "INVALID_INPUT");
        assert_eq!(error["details"]["field"], field);
    }
    server.stop().await;
}

/// What each scope may do, and what only a session may.
#[tokio::test]
async fn a_token_does_what_its_scope_says() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "one").await;
    let path = format!("/projects/{project}");
    let calls: [(Method, &str, Value, [u16; 3]); 9] = [
        (Method::GET, &path, json!(null), [200, 200, 200]),
        (Method::GET, "/projects", json!(null), [200, 200, 200]),
        (
            Method::POST,
            "/projects",
            json!({"name": "two"}),
            [403, 403, 201],
        ),
        (
            Method::PATCH,
            &path,
            json!({"name": "three"}),
            [403, 403, 200],
        ),
        (
            Method::PATCH,
            "/auth/me",
            json!({"preferences": {}}),
            [403, 403, 200],
        ),
        (
            Method::PATCH,
            "/auth/me",
            json!({"email": "x@example.com"}),
            [403, 403, 403],
        ),
        (Method::GET, "/auth/tokens", json!(null), [403, 403, 403]),
        (
            Method::POST,
            "/auth/tokens",
            json!({"name": "more", "scope": "full"}),
            [403, 403, 403],
        ),
        (
            Method::POST,
            "/auth/change-password",
            json!({"current_password": "x", "new_password": "y"}),
            [403, 403, 403],
        ),
    ];
    for (at, scope) in ["read", "build", "full"].into_iter().enumerate() {
        let (_, secret) = create(&server, &ada, scope).await;
        for (method, path, body, expected) in &calls {
            let body = Some(body).filter(|body| !body.is_null());
            let answer = server.call(method.clone(), path, Some(&secret), body).await;
            assert_eq!(
                answer.status,
                expected[at],
                "{scope}: {method} {path}: {}",
                answer.text()
            );
        }
        let logout = server
            .call(Method::POST, "/auth/logout", Some(&secret), None)
            .await;
        logout.expect_error(403, "FORBIDDEN");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_token_that_may_build_asks_for_previews_and_one_that_reads_does_not() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "one").await;
    let (_, build) = create(&server, &ada, "build").await;
    // With the scope it would be something else than 403: there is no source yet.
    let body = json!({"project_id": project, "git_ref": "latest", "platform": "web"});
    let (_, read) = create(&server, &ada, "read").await;
    let ask = async |token: &str| {
        server
            .post("/preview/token", token, &body)
            .await
            .status
            .as_u16()
    };
    assert_ne!(ask(&build).await, 403);
    assert!(ask(&read).await == 403 || ask(&read).await == 404);
    server.stop().await;
}

#[tokio::test]
async fn nobody_manages_the_tokens_of_another() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let grace = server.register("grace").await;
    let (id, secret) = create(&server, &ada, "full").await;
    let (other, _) = create(&server, &ada, "full").await;
    server
        .delete(&format!("/auth/tokens/{id}"), &grace.token)
        .await
        .expect_error(404, "NOT_FOUND");
    let listed = server.get("/auth/tokens", &grace.token).await.expect(200);
    assert_eq!(listed["tokens"], json!([]));
    // A token may end itself and no other.
    server
        .delete(&format!("/auth/tokens/{other}"), &secret)
        .await
        .expect_error(403, "FORBIDDEN");
    server
        .delete(&format!("/auth/tokens/{id}"), &secret)
        .await
        .expect(204);
    let gone: Answer = server.get("/auth/me", &secret).await;
    gone.expect_error(401, "UNAUTHENTICATED");
    server.stop().await;
}

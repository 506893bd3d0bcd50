//! What surrounds every route: errors, trace ids, headers, the document.

use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, Setup, TestServer};

async fn raw(server: &TestServer, method: Method, path: &str) -> Answer {
    Answer::of(server.client.request(method, server.url(path))).await
}

#[tokio::test]
async fn unknown_addresses_and_methods_have_the_errors_shape() {
    let server = TestServer::start().await;
    for path in ["/nothing", "/api/v1/nothing", "/api/v1"] {
        raw(&server, Method::GET, path)
            .await
            .expect_error(404, "NOT_FOUND");
    }
    let wrong = raw(&server, Method::DELETE, "/health").await;
    wrong.expect_error(405, "METHOD_NOT_ALLOWED");
    assert!(wrong.header("allow").contains("GET"), "{wrong:?}");
    server.stop().await;
}

#[tokio::test]
async fn bodies_are_checked_before_anything_else() {
    let server = TestServer::start().await;
    let login = |kind: &'static str, body: String| {
        let request = server
            .request(Method::POST, "/auth/login")
            .header("content-type", kind)
            .body(body);
        Answer::of(request)
    };
    let json = "application/json";
    login(json, "{".into())
        .await
        .expect_error(400, "BAD_REQUEST");
    login("text/plain", "{}".into())
        .await
        .expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
    let missing = login(json, r#"{"password": "x"}"#.into()).await;
    let error = missing.expect_error(422, "INVALID_INPUT");
    assert_eq!(error["details"]["field"], "username_or_email");
    let wrong = login(
        json,
        json!({"username_or_email": 7, "password": "x"}).to_string(),
    )
    .await;
    let error = wrong.expect_error(422, "INVALID_INPUT");
    assert_eq!(error["details"]["field"], "username_or_email");
    server.stop().await;
}

#[tokio::test]
async fn callers_without_a_credential_are_told_how() {
    let server = TestServer::start().await;
    let none = server.call(Method::GET, "/projects", None, None).await;
    none.expect_error(401, "UNAUTHENTICATED");
    assert_eq!(none.header("www-authenticate"), "Bearer");
    let basic = server
        .request(Method::GET, "/projects")
        .basic_auth("user", Some("password"));
    Answer::of(basic).await.expect_error(401, "UNAUTHENTICATED");
    server.stop().await;
}

#[tokio::test]
async fn listings_check_their_parameters() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    for (query, code, field) in [
        ("limit=0", 422, "limit"),
        ("limit=201", 422, "limit"),
        ("limit=many", 422, "limit"),
        ("cursor=%25", 400, ""),
    ] {
        let answer = server.get(&format!("/projects?{query}"), &ada.token).await;
        let body = answer.expect(code);
        if !field.is_empty() {
            assert_eq!(body["error"]["details"]["field"], field, "{query}");
        }
    }
    server.stop().await;
}

#[tokio::test]
async fn trace_ids_come_from_the_caller_or_are_made() {
    let server = TestServer::start().await;
    let url = server.url("/api/v1/nothing");
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let request = server
        .client
        .get(&url)
        .header("traceparent", format!("00-{trace}-00f067aa0ba902b7-01"));
    let answer = Answer::of(request).await;
    assert_eq!(answer.header("x-request-id"), trace);
    assert_eq!(answer.expect(404)["error"]["details"]["trace_id"], trace);
    let (first, second) = (
        raw(&server, Method::GET, "/health").await,
        raw(&server, Method::GET, "/health").await,
    );
    assert_ne!(first.header("x-request-id"), second.header("x-request-id"));
    server.stop().await;
}

#[tokio::test]
async fn every_answer_has_the_security_headers() {
    let server = TestServer::start().await;
    for path in ["/health", "/api/v1/nothing", "/api/docs/"] {
        let answer = raw(&server, Method::GET, path).await;
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        if path != "/api/docs/" {
            assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        }
        assert!(
            answer
                .header("content-security-policy")
                .contains("default-src"),
            "{path}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn only_listed_origins_may_call() {
    let ours = "https://app.example.com";
    let server = Setup::new()
        .config(|config| config.server.cors_origins = vec![ours.to_owned()])
        .start()
        .await;
    let preflight = |origin: &'static str| {
        let request = server
            .client
            .request(Method::OPTIONS, server.url("/api/v1/projects"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization");
        Answer::of(request)
    };
    let allowed = preflight(ours).await;
    assert_eq!(allowed.header("access-control-allow-origin"), ours);
    let refused = preflight("https://evil.example.com").await;
    assert_eq!(refused.header("access-control-allow-origin"), "");
    server.stop().await;
}

#[tokio::test]
async fn the_document_is_complete_and_its_page_stays_at_home() {
    let server = TestServer::start().await;
    let document = raw(&server, Method::GET, "/api/v1/openapi.json").await;
    let document: Value = document.expect(200);
    for path in ["/health", "/api/v1/health/deep", "/livez", "/readyz"] {
        assert!(document["paths"][path]["get"].is_object(), "{path}");
    }
    let redirect = raw(&server, Method::GET, "/api/docs").await;
    assert_eq!(redirect.status, 308);
    assert_eq!(redirect.header("location"), "docs/");
    let page = raw(&server, Method::GET, "/api/docs/").await;
    page_stays_at_home(&page.text());
    let script = raw(&server, Method::GET, "/api/docs/swagger-initializer.js").await;
    assert!(
        script.text().contains("../v1/openapi.json"),
        "{}",
        script.text()
    );
    assert!(
        script.text().contains(r#""validatorUrl": "none""#),
        "{}",
        script.text()
    );
    page_stays_at_home(&script.text());
    // Whatever the page would load stands beside it.
    for name in ["swagger-ui.css", "swagger-ui-bundle.js", "index.css"] {
        let file = raw(&server, Method::GET, &format!("/api/docs/{name}")).await;
        assert_eq!(file.status, 200, "{name}");
    }
    raw(&server, Method::GET, "/api/docs/nothing.js")
        .await
        .expect_error(404, "NOT_FOUND");
    server.stop().await;
}

fn page_stays_at_home(text: &str) {
    for mark in ["http://", "https://", "src=\"//", "href=\"//"] {
        assert!(!text.contains(mark), "{mark} in {text}");
    }
}

#[tokio::test]
async fn text_is_compressed_for_those_who_ask() {
    let server = TestServer::start().await;
    let request = server
        .client
        .get(server.url("/api/v1/openapi.json"))
        .header("accept-encoding", "gzip");
    let answer = Answer::of(request).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    let plain = raw(&server, Method::GET, "/api/v1/openapi.json").await;
    assert_eq!(plain.header("content-encoding"), "");
    assert!(answer.body.len() < plain.body.len());
    server.stop().await;
}

#[tokio::test]
async fn readiness_ends_with_the_stop() {
    let server = TestServer::start().await;
    for path in [
        "/livez",
        "/readyz",
        "/health",
        "/health/db",
        "/health/redis",
        "/api/v1/health",
    ] {
        let body = raw(&server, Method::GET, path).await.expect(200);
        assert_eq!(body["status"], "ok", "{path}");
    }
    let name = server.app.store.name();
    assert_eq!(
        raw(&server, Method::GET, "/health/db").await.expect(200)[name],
        true
    );
    server.stop().await;
}

#[tokio::test]
async fn the_deep_look_is_for_administrators() {
    use hivesync::domain::user::Role;
    let server = TestServer::start().await;
    let user = server.account("ann", Role::User).await;
    server
        .get("/health/deep", &user.token)
        .await
        .expect_error(403, "FORBIDDEN");
    for (name, role) in [("ada", Role::Admin), ("sam", Role::Sysops)] {
        let account = server.account(name, role).await;
        let health = server.get("/health/deep", &account.token).await.expect(200);
        assert_eq!(health["serving"], true);
    }
    server.stop().await;
}

//! Accounts: registering, the own account, finding others.

use std::time::Duration;

use hivesync::config::Registration;
use hivesync::domain::user::Role;
use hivesync::services::auth::Actor;
use hivesync::services::auth::setup;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Account, Answer, PASSWORD, Setup, TestServer, manual_clock};

fn new_account(username: &str) -> Value {
    json!({
        "email": format!("{username}@example.com"),
        "username": username,
        "password": PASSWORD,
    })
}

async fn register(server: &TestServer, body: &Value) -> Answer {
    server
        .call(Method::POST, "/auth/register", None, Some(body))
        .await
}

/// The secret of a new invite link.
async fn invite(server: &TestServer) -> String {
    let link = setup::invite(&server.app, &Actor::Operator)
        .await
        .expect("an invite");
    let url = link.url("http://host");
    let (address, secret) = url.split_once("?invite=").expect("a secret");
    assert_eq!(address, "http://host/register");
    secret.to_owned()
}

#[tokio::test]
async fn registering_logs_in() {
    let server = TestServer::start().await;
    let body = json!({
        "email": " Ada@Example.COM ", "username": "Ada_L", "password": PASSWORD, "more": 1,
    });
    let answer = register(&server, &body).await.expect(201);
    assert_eq!(answer["user"]["email"], "ada@example.com");
    assert_eq!(answer["user"]["username"], "ada_l");
    assert_eq!(answer["user"]["role"], "user");
    assert!(
        answer["user"]["created_at"]
            .as_str()
            .is_some_and(|t| t.ends_with('Z'))
    );
    assert!(answer["user"].get("password_hash").is_none());

    let token = answer["token"].as_str().expect("a token");
    let me = server.get("/auth/me", token).await.expect(200);
    let id = &answer["user"]["id"];
    assert_eq!(
        me,
        json!({
            "id": id, "email": "ada@example.com", "username": "ada_l",
            "role": "user", "preferences": {},
        })
    );
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_taken_names_the_field() {
    let server = TestServer::start().await;
    for (field, value) in [
        ("email", json!("no address")),
        ("email", json!(7)),
        ("username", json!("ab")),
        ("username", json!("a b c")),
        ("username", json!(null)),
        ("password", json!("short")),
        ("password", json!("x".repeat(1025))),
        ("password", json!("ada@example.com")),
    ] {
        let mut body = new_account("ada");
        body[field] = value;
        let error = register(&server, &body)
            .await
            .expect_error(422, "INVALID_INPUT");
        assert_eq!(error["details"]["field"], field, "{error}");
    }
    let error = register(&server, &json!({}))
        .await
        .expect_error(422, "INVALID_INPUT");
    assert_eq!(error["details"]["field"], "email");
    let broken = server
        .request(Method::POST, "/auth/register")
        .header("content-type", "application/json")
        .body("{\"email\": ");
    Answer::of(broken).await.expect_error(400, "BAD_REQUEST");
    let form = server
        .request(Method::POST, "/auth/register")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("email=ada%40example.com");
    Answer::of(form)
        .await
        .expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
    server.stop().await;
}

#[tokio::test]
async fn names_are_taken_whatever_their_case() {
    let server = TestServer::start().await;
    server.register("ada").await;
    let mut body = new_account("ADA");
    body["email"] = json!("other@example.com");
    register(&server, &body)
        .await
        .expect_error(409, "USERNAME_TAKEN");
    let mut body = new_account("other");
    body["email"] = json!("ADA@example.com");
    register(&server, &body)
        .await
        .expect_error(409, "EMAIL_TAKEN");

    let other = server.register("other").await;
    let change = |body: Value| server_patch(&server, &other.token, body);
    change(json!({"username": "Ada"}))
        .await
        .expect_error(409, "USERNAME_TAKEN");
    change(json!({"email": "ada@example.com"}))
        .await
        .expect_error(409, "EMAIL_TAKEN");
    server.stop().await;
}

async fn server_patch(server: &TestServer, token: &str, body: Value) -> Answer {
    server.patch("/auth/me", token, &body).await
}

#[tokio::test]
async fn of_many_at_once_one_gets_the_name() {
    let server = TestServer::start().await;
    let body = new_account("ada");
    let answers = futures::future::join_all((0..6).map(|_| register(&server, &body))).await;
    let made = answers.iter().filter(|a| a.status == 201).count();
    assert_eq!(made, 1);
    for refused in answers.iter().filter(|a| a.status != 201) {
        assert_eq!(refused.status, 409, "{}", refused.text());
    }
    server.stop().await;
}

#[tokio::test]
async fn an_invite_works_once_and_for_a_week() {
    let clock = manual_clock();
    let server = Setup::new()
        .clock(clock.clone())
        .config(|config| config.accounts.registration = Registration::Invite)
        .start()
        .await;
    register(&server, &new_account("ada"))
        .await
        .expect_error(403, "FORBIDDEN");
    let with = |name: &str, secret: &str| {
        let mut body = new_account(name);
        body["invite"] = json!(secret);
        body
    };
    register(&server, &with("ada", "nonsense"))
        .await
        .expect_error(403, "INVALID_OR_EXPIRED_TOKEN");

    let secret = invite(&server).await;
    let mut short = with("ada", &secret);
    short["password"] = json!("short");
    register(&server, &short)
        .await
        .expect_error(422, "INVALID_INPUT");
    // A mistake has not used it up.
    let bodies: Vec<_> = (0..4).map(|n| with(&format!("ada{n}"), &secret)).collect();
    let answers =
        futures::future::join_all(bodies.iter().map(|body| register(&server, body))).await;
    let made = answers.iter().filter(|a| a.status == 201).count();
    assert_eq!(made, 1, "one invite, one account");
    for refused in answers.iter().filter(|a| a.status != 201) {
        refused.expect_error(403, "INVALID_OR_EXPIRED_TOKEN");
    }

    let late = invite(&server).await;
    clock.advance(Duration::from_hours(7 * 24));
    register(&server, &with("late", &late))
        .await
        .expect_error(403, "INVALID_OR_EXPIRED_TOKEN");
    server.stop().await;
}

#[tokio::test]
async fn closed_registration_takes_only_invites() {
    let server = Setup::new()
        .config(|config| config.accounts.registration = Registration::Closed)
        .start()
        .await;
    register(&server, &new_account("ada"))
        .await
        .expect_error(403, "FORBIDDEN");
    let mut body = new_account("ada");
    body["invite"] = json!(invite(&server).await);
    register(&server, &body).await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn the_own_account_changes() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let preferences = json!({"theme": "dark", "nested": {"a": [1, null, "x"]}});
    let change = json!({
        "email": "Countess@example.com", "username": "Lovelace", "preferences": preferences,
    });
    let me = server
        .patch("/auth/me", &ada.token, &change)
        .await
        .expect(200);
    assert_eq!(me["email"], "countess@example.com");
    assert_eq!(me["username"], "lovelace");
    assert_eq!(me["preferences"], preferences);
    assert_eq!(server.get("/auth/me", &ada.token).await.expect(200), me);

    // Nothing given, nothing changed; the role is nothing that one changes.
    let same = server
        .patch("/auth/me", &ada.token, &json!({"role": "admin", "id": 1}))
        .await
        .expect(200);
    assert_eq!(same, me);
    let login = json!({"username_or_email": "lovelace", "password": PASSWORD});
    server
        .call(Method::POST, "/auth/login", None, Some(&login))
        .await
        .expect(200);
    server.stop().await;
}

#[tokio::test]
async fn preferences_are_a_small_object() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    for preferences in [
        json!([1]),
        json!("text"),
        json!({"big": "x".repeat(16 * 1024)}),
    ] {
        let error = server
            .patch("/auth/me", &ada.token, &json!({"preferences": preferences}))
            .await
            .expect_error(422, "INVALID_INPUT");
        assert_eq!(error["details"]["field"], "preferences");
    }
    let fits = json!({"big": "x".repeat(16 * 1024 - 10)});
    server
        .patch("/auth/me", &ada.token, &json!({"preferences": fits}))
        .await
        .expect(200);
    server.stop().await;
}

async fn search(server: &TestServer, who: &Account, q: &str) -> Answer {
    server
        .get(&format!("/users/search?q={q}"), &who.token)
        .await
}

#[tokio::test]
async fn people_are_found_by_the_beginning_of_a_name() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    server.register("adam").await;
    server.register("grace").await;
    let search = async |q: &str| search(&server, &ada, q).await;
    let found = search("AD").await.expect(200);
    let names: Vec<_> = found["results"]
        .as_array()
        .expect("results")
        .iter()
        .map(|user| user["username"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(names, ["ada", "adam"]);
    assert_eq!(
        found["results"][1]
            .as_object()
            .map(|user| user.keys().cloned().collect::<Vec<_>>()),
        Some(vec!["email".into(), "id".into(), "username".into()]),
        "and nothing else of them"
    );
    assert_eq!(
        search("grace%40example").await.expect(200)["results"][0]["username"],
        "grace"
    );
    assert_eq!(search("zz").await.expect(200), json!({"results": []}));
    for q in ["", "a", "%20a%20"] {
        let error = search(q).await.expect_error(422, "INVALID_INPUT");
        assert_eq!(error["details"]["field"], "q");
    }
    server
        .get("/users/search", &ada.token)
        .await
        .expect_error(422, "INVALID_INPUT");
    server.stop().await;
}

#[tokio::test]
async fn searching_for_people_is_limited() {
    let clock = manual_clock();
    let server = Setup::new().clock(clock.clone()).start().await;
    let ada = server.register("ada").await;
    let mut limited = None;
    for _ in 0..100 {
        let answer = search(&server, &ada, "ad").await;
        if answer.status != 200 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("searching is limited");
    limited.expect_error(429, "RATE_LIMIT_EXCEEDED");
    assert!(
        limited
            .header("retry-after")
            .parse::<u64>()
            .is_ok_and(|s| (1..=60).contains(&s))
    );
    clock.advance(Duration::from_mins(1));
    search(&server, &ada, "ad").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn accounts_of_any_role_are_made_by_admins_only() {
    use hivesync::config::Secret;
    use hivesync::error::Code;
    use hivesync::services::auth::accounts::{NewAccount, create_user};
    use hivesync::services::auth::authenticate;

    let server = TestServer::start().await;
    let support = server.account("support", Role::Support).await;
    let me = server.get("/auth/me", &support.token).await.expect(200);
    assert_eq!(me["role"], "support");
    let new = || NewAccount {
        email: "eve@example.com".into(),
        username: "eve".into(),
        password: Secret::new(PASSWORD),
    };
    let actor = authenticate(&server.app, &support.token)
        .await
        .expect("a session");
    let refused = create_user(&server.app, &actor, new(), Role::Admin).await;
    assert_eq!(refused.expect_err("no admin").code, Code::Forbidden);

    let admin = server.account("boss", Role::Admin).await;
    let actor = authenticate(&server.app, &admin.token)
        .await
        .expect("a session");
    let made = create_user(&server.app, &actor, new(), Role::Sysops).await;
    assert_eq!(made.expect("an admin makes accounts").role, Role::Sysops);
    drop(actor);
    server.stop().await;
}

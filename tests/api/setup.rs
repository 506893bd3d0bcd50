//! The first admin: by link, once, and never from a race.

use std::time::Duration;

use hivesync::config::Secret;
use hivesync::domain::user::Role;
use hivesync::services::auth::setup::{self, FirstAdmin};
use hivesync::store::Page;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, PASSWORD, Setup, TestServer, manual_clock};

/// The secret of the setup link that is good now.
async fn link(server: &TestServer) -> Option<String> {
    let link = setup::setup_link(&server.app)
        .await
        .expect("the store answers")?;
    let url = link.url("https://host/");
    let (address, secret) = url.split_once("?token=").expect("a secret");
    assert_eq!(address, "https://host/setup");
    assert!(
        !format!("{link:?}").contains(secret),
        "a link prints its secret"
    );
    Some(secret.to_owned())
}

async fn set_up(server: &TestServer, token: &str, username: &str) -> Answer {
    let body = json!({
        "token": token, "username": username, "password": PASSWORD,
        "email": format!("{username}@example.com"),
    });
    server.call(Method::POST, "/setup", None, Some(&body)).await
}

async fn page(server: &TestServer, token: &str) -> u16 {
    let url = server.url(&format!("/setup?token={token}"));
    Answer::of(server.client.get(url)).await.status.as_u16()
}

async fn accounts(server: &TestServer) -> Vec<Role> {
    let users = server
        .app
        .store
        .users(&Page::default())
        .await
        .expect("users");
    users.items.iter().map(|user| user.role).collect()
}

#[tokio::test]
async fn the_link_makes_the_first_admin_and_then_nothing() {
    let server = TestServer::start().await;
    let secret = link(&server).await.expect("nobody is admin yet");
    assert_eq!(link(&server).await.as_ref(), Some(&secret), "printed again");
    for wrong in ["", "nonsense", &secret[1..], &format!("{secret}a")] {
        set_up(&server, wrong, "ada")
            .await
            .expect_error(403, "INVALID_OR_EXPIRED_TOKEN");
        assert_eq!(page(&server, wrong).await, 403);
    }
    let without = Answer::of(server.client.get(server.url("/setup"))).await;
    assert_eq!(without.status, 403);
    assert_eq!(page(&server, &secret).await, 200);

    // A mistake does not use it up.
    let error = set_up(&server, &secret, "a")
        .await
        .expect_error(422, "INVALID_INPUT");
    assert_eq!(error["details"]["field"], "username");
    let made = set_up(&server, &secret, "ada").await.expect(201);
    assert_eq!(made["user"]["role"], "admin");
    let token = made["token"].as_str().expect("a session");
    assert_eq!(
        server.get("/auth/me", token).await.expect(200)["role"],
        "admin"
    );

    for token in [secret.as_str(), "nonsense", ""] {
        set_up(&server, token, "eve")
            .await
            .expect_error(404, "NOT_FOUND");
        assert_eq!(page(&server, token).await, 404);
    }
    assert_eq!(link(&server).await, None);
    assert_eq!(accounts(&server).await, [Role::Admin]);
    server.stop().await;
}

#[tokio::test]
async fn of_two_setups_at_once_one_wins() {
    let server = TestServer::start().await;
    let secret = link(&server).await.expect("a link");
    let names = ["ada", "eve", "mallory", "trudy"];
    let answers = futures::future::join_all(names.map(|n| set_up(&server, &secret, n))).await;
    let made = answers.iter().filter(|a| a.status == 201).count();
    assert_eq!(made, 1);
    for refused in answers.iter().filter(|a| a.status != 201) {
        assert!(
            matches!(refused.status.as_u16(), 403 | 404),
            "{}",
            refused.text()
        );
    }
    assert_eq!(accounts(&server).await, [Role::Admin]);
    server.stop().await;
}

#[tokio::test]
async fn the_link_lives_thirty_minutes() {
    let clock = manual_clock();
    let server = Setup::new().clock(clock.clone()).start().await;
    let old = link(&server).await.expect("a link");
    clock.advance(Duration::from_mins(30));
    set_up(&server, &old, "ada")
        .await
        .expect_error(403, "INVALID_OR_EXPIRED_TOKEN");
    let new = link(&server).await.expect("another link");
    assert_ne!(new, old);
    set_up(&server, &old, "ada")
        .await
        .expect_error(403, "INVALID_OR_EXPIRED_TOKEN");
    set_up(&server, &new, "ada").await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn an_ordinary_account_does_not_close_the_setup() {
    let server = TestServer::start().await;
    server.register("early").await;
    let secret = link(&server).await.expect("still nobody is admin");
    set_up(&server, &secret, "early")
        .await
        .expect_error(409, "EMAIL_TAKEN");
    set_up(&server, &secret, "ada").await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn the_first_admin_comes_from_the_configuration() {
    let server = Setup::new()
        .config(|config| {
            config.accounts.admin = Some(("Root@example.com".into(), Secret::new(PASSWORD)));
        })
        .start()
        .await;
    let first = setup::first_admin(&server.app).await.expect("made");
    let FirstAdmin::Created(user) = first else {
        panic!("{first:?}")
    };
    assert_eq!((user.username.as_str(), user.role), ("root", Role::Admin));
    let again = setup::first_admin(&server.app)
        .await
        .expect("nothing to do");
    assert!(matches!(again, FirstAdmin::Exists));
    assert_eq!(page(&server, "x").await, 404);
    let login = json!({"username_or_email": "root@example.com", "password": PASSWORD});
    let answer: Value = server
        .call(Method::POST, "/auth/login", None, Some(&login))
        .await
        .expect(200);
    assert_eq!(answer["user"]["role"], "admin");
    server.stop().await;
}

async fn configured(server: &TestServer) -> Result<FirstAdmin, String> {
    let first = setup::first_admin(&server.app).await;
    first.map_err(|error| error.message.to_string())
}

#[tokio::test]
async fn a_configured_admin_takes_no_other_account_over() {
    let with = |email: &'static str, password: &'static str| {
        Setup::new().config(move |config| {
            config.accounts.admin = Some((email.into(), Secret::new(password)));
        })
    };
    let server = with("root@example.com", PASSWORD).start().await;
    server.register("root").await;
    let refused = configured(&server).await.expect_err("the address is taken");
    assert!(refused.contains("ADMIN_EMAIL"), "{refused}");
    assert_eq!(accounts(&server).await, [Role::User]);
    server.stop().await;

    // The name alone is no reason to fail.
    let server = with("root@other.example.com", PASSWORD).start().await;
    server.register("root").await;
    server.register("admin").await;
    let Ok(FirstAdmin::Created(user)) = configured(&server).await else {
        panic!("no admin was made")
    };
    assert!(user.username.starts_with("admin-"), "{}", user.username);
    server.stop().await;

    let server = with("root@example.com", "short").start().await;
    let refused = configured(&server).await.expect_err("too short");
    assert!(refused.contains("ADMIN_PASSWORD"), "{refused}");
    server.stop().await;
}

#[tokio::test]
async fn links_printed_at_once_are_the_same() {
    let server = TestServer::start().await;
    let links = futures::future::join_all((0..6).map(|_| link(&server))).await;
    assert!(links[0].is_some());
    assert!(links.windows(2).all(|pair| pair[0] == pair[1]), "{links:?}");
    server.stop().await;
}

//! Projects: making, changing, sharing, deleting.

use std::time::Duration;

use hivesync::domain::user::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Account, Answer, Setup, TestServer, manual_clock};

pub(crate) async fn create(server: &TestServer, owner: &Account, body: Value) -> Answer {
    server.post("/projects", &owner.token, &body).await
}

#[tokio::test]
async fn a_project_is_made_shown_and_renamed() {
    let clock = manual_clock();
    let server = Setup::new().clock(clock.clone()).start().await;
    let ada = server.register("ada").await;
    let config = json!({"kind": "react-native", "root": "apps/mobile", "entry_file": "index.js"});
    let made = create(&server, &ada, json!({"name": " Shop ", "config": config}))
        .await
        .expect(201);
    assert_eq!(made["name"], "Shop");
    assert_eq!(made["owner_id"], ada.id.0);
    assert_eq!(made["source"], json!({"kind": "upload"}));
    assert_eq!(made["config"]["root"], "apps/mobile");
    assert_eq!(made["config"]["kind"], "react-native");
    assert_eq!(made["trusted"], false);
    assert_eq!(made["synced_at"], Value::Null);
    let path = format!("/projects/{}", made["id"]);
    assert_eq!(server.get(&path, &ada.token).await.expect(200), made);

    clock.advance(Duration::from_secs(1));
    let changed = server
        .patch(&path, &ada.token, &json!({"name": "Store"}))
        .await
        .expect(200);
    assert_eq!(changed["name"], "Store");
    assert_eq!(changed["config"], made["config"]);
    assert_eq!(changed["created_at"], made["created_at"]);
    assert_ne!(changed["updated_at"], made["updated_at"]);
    let changed = server
        .patch(
            &path,
            &ada.token,
            &json!({"config": {"output_dir": "dist"}}),
        )
        .await
        .expect(200);
    assert_eq!(changed["config"]["output_dir"], "dist");
    assert_eq!(changed["config"]["root"], "apps/mobile", "not named: kept");
    let reset = json!({"config": {"root": null}});
    let changed = server.patch(&path, &ada.token, &reset).await.expect(200);
    assert_eq!(changed["config"]["root"], Value::Null);
    assert_eq!(changed["config"]["output_dir"], "dist");
    server.stop().await;
}

/// Asks for a new project and for a change of an old one with each body: both
/// are refused with the field's name, and nothing is written.
pub(crate) async fn refuse_all(table: Vec<(&str, Value)>) {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "one").await;
    let path = format!("/projects/{project}");
    for (field, body) in table {
        for answer in [
            create(&server, &ada, body.clone()).await,
            server.patch(&path, &ada.token, &body).await,
        ] {
            let error = answer.expect_error(422, "INVALID_INPUT");
            let named = error["details"]["field"].as_str().expect("a field");
            assert!(named == field, "{body}: {error}");
        }
    }
    let one = server.get(&path, &ada.token).await.expect(200);
    assert_eq!(one["name"], "one");
    assert_eq!(one["created_at"], one["updated_at"]);
    let list = server.get("/projects", &ada.token).await.expect(200);
    assert_eq!(list["projects"].as_array().map(Vec::len), Some(1));
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_project_names_the_field() {
    let config = |key: &str, value: &str| json!({"name": "x", "config": {key: value}});
    refuse_all(vec![
        ("name", json!({"name": ""})),
        ("name", json!({"name": " \n "})),
        ("name", json!({"name": "x".repeat(101)})),
        ("name", json!({"name": "a\nb"})),
        ("name", json!({"name": 5})),
        ("config.root", config("root", "../..")),
        ("config.root", config("root", "/etc")),
        ("config.entry_file", config("entry_file", "a/../b.js")),
        ("config.output_dir", config("output_dir", "C:\\x")),
        ("config.build_script", config("build_script", "--help")),
        ("config.kind", config("kind", "flutter")),
        ("config.install_script", config("install_script", "x")),
        ("config", json!({"name": "x", "config": "web"})),
    ])
    .await;
}

#[tokio::test]
async fn a_list_holds_the_own_and_the_shared() {
    let clock = manual_clock();
    let server = Setup::new().clock(clock.clone()).start().await;
    let ada = server.register("ada").await;
    let grace = server.register("grace").await;
    let mut own = Vec::new();
    for n in 0..3 {
        clock.advance(Duration::from_secs(1));
        own.push(server.project(&ada, &format!("p{n}")).await);
    }
    clock.advance(Duration::from_secs(1));
    let shared = server.project(&grace, "shared").await;
    server.project(&grace, "hers").await;
    let member = json!({"user_id": ada.id, "role": "viewer"});
    server
        .post(
            &format!("/projects/{shared}/members"),
            &grace.token,
            &member,
        )
        .await
        .expect(201);

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server
            .get(&format!("/projects?limit=2{cursor}"), &ada.token)
            .await
            .expect(200);
        for project in page["projects"].as_array().expect("projects") {
            seen.push(project["id"].as_i64().expect("an id"));
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    own.push(shared);
    own.reverse();
    assert_eq!(seen, own, "newest first");
    server.stop().await;
}

#[tokio::test]
async fn only_an_admin_vouches_for_code() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let admin = server.account("boss", Role::Admin).await;
    let support = server.account("helper", Role::Support).await;
    let project = server.project(&ada, "one").await;
    let path = format!("/projects/{project}");
    let trust = json!({"trusted": true});
    let error = server
        .patch(&path, &ada.token, &trust)
        .await
        .expect_error(403, "FORBIDDEN");
    assert_eq!(error["details"]["field"], "trusted");
    server
        .patch(&path, &support.token, &trust)
        .await
        .expect_error(403, "PROJECT_ACCESS_DENIED");
    assert_eq!(
        server.patch(&path, &admin.token, &trust).await.expect(200)["trusted"],
        true
    );
    // What already is so is no change.
    server
        .patch(&path, &ada.token, &json!({"trusted": true, "name": "x"}))
        .await
        .expect(200);
    let own = create(&server, &ada, json!({"name": "x", "trusted": true}))
        .await
        .expect(201);
    assert_eq!(own["trusted"], false);
    server.stop().await;
}

#[tokio::test]
async fn ids_that_nothing_has_are_not_found() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    for id in ["0", "-1", "999999", "9223372036854775807"] {
        let path = format!("/projects/{id}");
        server
            .get(&path, &ada.token)
            .await
            .expect_error(404, "PROJECT_NOT_FOUND");
        server
            .delete(&path, &ada.token)
            .await
            .expect_error(404, "PROJECT_NOT_FOUND");
    }
    let error = server
        .get("/projects/one", &ada.token)
        .await
        .expect_error(422, "INVALID_INPUT");
    assert_eq!(error["details"]["field"], "id");
    let anonymous = server.call(Method::GET, "/projects/1", None, None).await;
    anonymous.expect_error(401, "UNAUTHENTICATED");
    server.stop().await;
}

//! Projects: making, changing, sharing, deleting.

use std::time::Duration;

use hivesync::config::Config;
use hivesync::domain::ProjectId;
use hivesync::domain::project::Source;
use hivesync::domain::user::Role;
use hivesync::services::seal;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Account, Answer, Setup, TestServer, manual_clock};

async fn create(server: &TestServer, owner: &Account, body: Value) -> Answer {
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
    assert_eq!(
        changed["config"]["root"],
        Value::Null,
        "replaced as a whole"
    );
    assert_eq!(changed["config"]["output_dir"], "dist");
    server.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_project_names_the_field() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "one").await;
    let git = |url: &str| json!({"kind": "git", "url": url});
    let table = [
        ("name", json!({"name": ""})),
        ("name", json!({"name": " \n "})),
        ("name", json!({"name": "x".repeat(101)})),
        ("name", json!({"name": "a\nb"})),
        ("name", json!({"name": 5})),
        (
            "config.root",
            json!({"name": "x", "config": {"root": "../.."}}),
        ),
        (
            "config.root",
            json!({"name": "x", "config": {"root": "/etc"}}),
        ),
        (
            "config.entry_file",
            json!({"name": "x", "config": {"entry_file": "a/../b.js"}}),
        ),
        (
            "config.output_dir",
            json!({"name": "x", "config": {"output_dir": "C:\\x"}}),
        ),
        (
            "config.build_script",
            json!({"name": "x", "config": {"build_script": "--help"}}),
        ),
        (
            "config.kind",
            json!({"name": "x", "config": {"kind": "flutter"}}),
        ),
        (
            "source.kind",
            json!({"name": "x", "source": {"kind": "push"}}),
        ),
        (
            "source.kind",
            json!({"name": "x", "source": {"kind": "local", "path": "/tmp"}}),
        ),
        (
            "source.url",
            json!({"name": "x", "source": git("http://example.com/a.git")}),
        ),
        (
            "source.url",
            json!({"name": "x", "source": git("file:///etc")}),
        ),
        (
            "source.url",
            json!({"name": "x", "source": git("ext::sh -c id")}),
        ),
        (
            "source.url",
            json!({"name": "x", "source": git("--upload-pack=id")}),
        ),
        (
            "source.url",
            json!({"name": "x", "source": git("https://u:p@example.com/a.git")}),
        ),
        (
            "source.url",
            json!({"name": "x", "source": git("https://127.0.0.1/a.git")}),
        ),
        (
            "source.url",
            json!({"name": "x", "source": git("https://169.254.169.254/a.git")}),
        ),
        (
            "source.branch",
            json!({"name": "x", "source": {"kind": "git", "url": "https://example.com/a.git", "branch": "-x"}}),
        ),
        (
            "source.credential.password",
            json!({"name": "x", "source": {"kind": "git", "url": "https://example.com/a.git",
                "credential": {"username": "u", "password": ""}}}),
        ),
        (
            "source.credential.username",
            json!({"name": "x", "source": {"kind": "git", "url": "https://example.com/a.git",
                "credential": {"username": "u:v", "password": "p"}}}),
        ),
    ];
    for (field, body) in table {
        let error = create(&server, &ada, body.clone())
            .await
            .expect_error(422, "INVALID_INPUT");
        assert_eq!(error["details"]["field"], field, "{body}: {error}");
        let patched = server
            .patch(&format!("/projects/{project}"), &ada.token, &body)
            .await;
        patched.expect_error(422, "INVALID_INPUT");
    }
    // Of an enum by kind, serde names the enum.
    for source in [
        json!({"kind": "svn"}),
        json!({}),
        json!({"kind": "git"}),
        json!("git"),
    ] {
        let error = create(&server, &ada, json!({"name": "x", "source": source}))
            .await
            .expect_error(422, "INVALID_INPUT");
        let field = error["details"]["field"].as_str().expect("a field");
        assert!(field.starts_with("source"), "{error}");
    }
    let one = server
        .get(&format!("/projects/{project}"), &ada.token)
        .await
        .expect(200);
    assert_eq!(one["name"], "one", "nothing was changed on the way");
    let list = server.get("/projects", &ada.token).await.expect(200);
    assert_eq!(list["projects"].as_array().map(Vec::len), Some(1));
    server.stop().await;
}

/// The source's stored credential in the clear.
async fn credential(server: &TestServer, id: &Value) -> Option<(String, String)> {
    let id = ProjectId(id.as_i64().expect("an id"));
    let project = server
        .app
        .store
        .project(id)
        .await
        .expect("read")
        .expect("there");
    let Source::Git { credential, .. } = project.value.source else {
        panic!("another source")
    };
    credential.map(|sealed| {
        let text = String::from_utf8_lossy(&sealed.0).into_owned();
        assert!(!text.contains("s3cret"), "stored in the clear");
        let open = seal::open(&server.app, id, &sealed).expect("it opens");
        (open.username.clone(), open.password.clone())
    })
}

#[tokio::test]
async fn a_credential_is_written_and_never_read() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let git = |url: &str, credential: Option<Value>| {
        let mut source = json!({"kind": "git", "url": url, "branch": "main"});
        if let Some(credential) = credential {
            source["credential"] = credential;
        }
        json!({"name": "x", "source": source})
    };
    let url = "https://example.com/a.git";
    let answer = create(
        &server,
        &ada,
        git(url, Some(json!({"username": "u", "password": "s3cret"}))),
    )
    .await;
    assert!(!answer.text().contains("s3cret"), "{}", answer.text());
    let made = answer.expect(201);
    assert_eq!(
        made["source"],
        json!({"kind": "git", "url": url, "branch": "main", "has_credential": true})
    );
    let id = &made["id"];
    let path = format!("/projects/{id}");
    let patch = async |body: Value| {
        let answer = server.patch(&path, &ada.token, &body).await;
        assert!(!answer.text().contains("s3cret"), "{}", answer.text());
        answer.expect(200)["source"]["has_credential"].clone()
    };
    let kept = Some(("u".to_owned(), "s3cret".to_owned()));
    assert_eq!(credential(&server, id).await, kept);
    assert_eq!(patch(git(url, None)).await, true, "left out: kept");
    assert_eq!(credential(&server, id).await, kept);
    // Another address is never told it.
    assert_eq!(
        patch(git("https://evil.example.com/a.git", None)).await,
        false
    );
    assert_eq!(patch(git(url, None)).await, false);
    let only_token = json!({"password": "s3cret"});
    assert_eq!(patch(git(url, Some(only_token))).await, true);
    assert_eq!(
        credential(&server, id).await,
        Some((String::new(), "s3cret".to_owned()))
    );
    assert_eq!(patch(git(url, Some(Value::Null))).await, false);
    assert_eq!(credential(&server, id).await, None);
    server.stop().await;
}

#[tokio::test]
async fn a_local_folder_is_for_local_dev_mode() {
    let server = Setup::new()
        .config(|config: &mut Config| config.server.local_dev_mode = true)
        .start()
        .await;
    let ada = server.register("ada").await;
    let folder = tempfile::tempdir().expect("a folder");
    let real = folder.path().canonicalize().expect("a real path");
    let file = folder.path().join("file");
    std::fs::write(&file, "x").expect("written");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(server.data(), &link).expect("linked");
    let ask = async |path: &str| {
        create(
            &server,
            &ada,
            json!({"name": "x", "source": {"kind": "local", "path": path}}),
        )
        .await
    };
    let made = ask(folder.path().to_str().expect("text")).await.expect(201);
    assert_eq!(
        made["source"],
        json!({"kind": "local", "path": real.to_str()})
    );
    let data = server.data().to_str().expect("text").to_owned();
    for bad in [
        "relative",
        "/no/such/folder/here",
        file.to_str().expect("text"),
        data.as_str(),
        &format!("{data}/db"),
        "/",
        link.to_str().expect("text"),
    ] {
        let error = ask(bad).await.expect_error(422, "INVALID_INPUT");
        assert_eq!(error["details"]["field"], "source.path", "{bad}");
    }
    server.stop().await;
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
async fn members_come_change_and_go() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let grace = server.register("grace").await;
    let eve = server.register("eve").await;
    let project = server.project(&ada, "one").await;
    let path = format!("/projects/{project}/members");
    let share = async |by: &Account, with: &Account, role: &str| {
        server
            .post(&path, &by.token, &json!({"user_id": with.id, "role": role}))
            .await
    };
    let made = share(&ada, &grace, "viewer").await.expect(201);
    assert_eq!(
        (&made["user_id"], &made["username"], &made["role"]),
        (&json!(grace.id), &json!("grace"), &json!("viewer"))
    );
    let rename = async |by: &Account| {
        server
            .patch(
                &format!("/projects/{project}"),
                &by.token,
                &json!({"name": "two"}),
            )
            .await
            .status
            .as_u16()
    };
    assert_eq!(rename(&grace).await, 403);
    share(&ada, &grace, "editor").await.expect(201);
    assert_eq!(rename(&grace).await, 200, "the new role counts at once");
    share(&grace, &eve, "viewer")
        .await
        .expect_error(403, "PROJECT_ACCESS_DENIED");

    let list = server.get(&path, &grace.token).await.expect(200);
    assert_eq!(list["members"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["members"][0]["role"], "editor");
    for (body, field) in [
        (json!({"user_id": ada.id, "role": "viewer"}), "user_id"),
        (json!({"user_id": 999, "role": "viewer"}), "user_id"),
        (json!({"user_id": eve.id, "role": "owner"}), "role"),
        (json!({"role": "viewer"}), "user_id"),
    ] {
        let error = server
            .post(&path, &ada.token, &body)
            .await
            .expect_error(422, "INVALID_INPUT");
        assert_eq!(error["details"]["field"], field);
    }

    let remove = async |by: &Account, who: &Account| {
        server
            .delete(&format!("{path}/{}", who.id), &by.token)
            .await
    };
    share(&ada, &eve, "viewer").await.expect(201);
    remove(&grace, &eve)
        .await
        .expect_error(403, "PROJECT_ACCESS_DENIED");
    remove(&eve, &eve).await.expect(204);
    remove(&ada, &eve).await.expect_error(404, "NOT_FOUND");
    remove(&ada, &grace).await.expect(204);
    let gone = server
        .get(&format!("/projects/{project}"), &grace.token)
        .await;
    gone.expect_error(403, "PROJECT_ACCESS_DENIED");
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

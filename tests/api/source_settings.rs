//! Where a project's commits come from: what may be set, what is kept, what is
//! shown.

use hivesync::config::Config;
use hivesync::domain::ProjectId;
use hivesync::domain::project::Source;
use hivesync::services::seal;
use serde_json::{Value, json};

use crate::common::{Setup, TestServer};
use crate::projects::{create, refuse_all};

#[tokio::test]
async fn what_cannot_be_a_source_names_the_field() {
    let with = |source: Value| json!({"name": "x", "source": source});
    let git = |url: &str| with(json!({"kind": "git", "url": url}));
    let full = |key: &str, value: Value| {
        let mut source = json!({"kind": "git", "url": "https://example.com/a.git"});
        source[key] = value;
        with(source)
    };
    refuse_all(vec![
        ("source.kind", with(json!({"kind": "svn"}))),
        ("source.kind", with(json!({}))),
        ("source.url", with(json!({"kind": "git"}))),
        ("source", with(json!("git"))),
        ("source.kind", with(json!({"kind": "push"}))),
        (
            "source.kind",
            with(json!({"kind": "local", "path": "/tmp"})),
        ),
        ("source.url", git("http://example.com/a.git")),
        ("source.url", git("file:///etc")),
        ("source.url", git("ext::sh -c id")),
        ("source.url", git("--upload-pack=id")),
        ("source.url", git("https://u:p@example.com/a.git")),
        ("source.url", git("https://127.0.0.1/a.git")),
        ("source.url", git("https://0x7f.1/a.git")),
        ("source.url", git("https://169.254.169.254/a.git")),
        ("source.branch", full("branch", json!("-x"))),
        (
            "source.credential.password",
            full("credential", json!({"username": "u", "password": ""})),
        ),
        (
            "source.credential.username",
            full("credential", json!({"username": "u:v", "password": "p"})),
        ),
    ])
    .await;
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
    let change = async |body: Value| {
        let answer = server.patch(&path, &ada.token, &body).await;
        assert!(!answer.text().contains("s3cret"), "{}", answer.text());
        answer.expect(200)["source"]["has_credential"].clone()
    };
    let kept = Some(("u".to_owned(), "s3cret".to_owned()));
    assert_eq!(credential(&server, id).await, kept);
    assert_eq!(change(git(url, None)).await, true, "left out: kept");
    assert_eq!(credential(&server, id).await, kept);
    // Another address is never told it.
    assert_eq!(
        change(git("https://evil.example.com/a.git", None)).await,
        false
    );
    assert_eq!(change(git(url, None)).await, false);
    let only_token = json!({"password": "s3cret"});
    assert_eq!(change(git(url, Some(only_token))).await, true);
    assert_eq!(
        credential(&server, id).await,
        Some((String::new(), "s3cret".to_owned()))
    );
    assert_eq!(change(git(url, Some(Value::Null))).await, false);
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

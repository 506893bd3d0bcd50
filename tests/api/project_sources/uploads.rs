//! Uploading an archive over HTTP, and looking at what came in.

use hivesync::domain::ProjectId;
use reqwest::Method;
use serde_json::{Value, json};

use super::{site, upload};
use crate::common::{Answer, Setup, TestServer};
use crate::sources::{FILE, item, tar_gz, zip};

#[tokio::test]
async fn an_upload_becomes_a_commit_that_can_be_read() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "site").await;
    let answer = upload(&server, &ada, project, site()).await.expect(201);
    let commit = answer["commit"].as_str().expect("a commit").to_owned();
    assert_eq!(answer["ref"], "upload");
    assert_eq!(answer["files"], 4);
    assert_eq!(answer["skipped"]["node_modules"], 1);
    let again = upload(&server, &ada, project, site()).await.expect(201);
    assert_eq!(again["commit"], commit.as_str());

    let get = async |path: &str| {
        let path = format!("/projects/{project}/{path}");
        server.get(&path, &ada.token).await
    };
    let refs = get("refs").await.expect(200);
    assert_eq!(refs["refs"][0]["name"], "upload");
    assert_eq!(refs["refs"][0]["kind"], "branch");
    assert_eq!(refs["refs"][0]["commit"], commit.as_str());
    assert_eq!(refs["refs"][0]["default"], true);
    assert_eq!(refs["next_cursor"], Value::Null);

    let tree = get("tree").await.expect(200);
    assert_eq!(tree["commit"], commit.as_str());
    assert_eq!(
        tree["entries"],
        json!([
            {"name": "bin", "kind": "folder", "size": null},
            {"name": "data.bin", "kind": "file", "size": 2},
            {"name": "index.html", "kind": "file", "size": 11},
            {"name": "link", "kind": "symlink", "size": 10},
        ])
    );
    let bin = get("tree?ref=upload&path=bin").await.expect(200);
    assert_eq!(bin["entries"][0]["kind"], "executable");

    let file = get("file?ref=latest&path=index.html").await.expect(200);
    assert_eq!(
        file,
        json!({
            "commit": commit, "path": "index.html", "kind": "file", "size": 11,
            "binary": false, "encoding": "utf-8", "content": "<h1>hi</h1>",
        })
    );
    let file = get("file?path=data.bin").await.expect(200);
    assert_eq!(file["binary"], true);
    assert_eq!(file["encoding"], "base64");
    assert_eq!(file["content"], "AP8=");
    let link = get(&format!("file?ref={commit}&path=link"))
        .await
        .expect(200);
    assert_eq!(
        (&link["kind"], &link["content"]),
        (&json!("symlink"), &json!("index.html"))
    );

    let shown = server
        .get(&format!("/projects/{project}"), &ada.token)
        .await;
    assert_ne!(shown.expect(200)["synced_at"], Value::Null);
    server.stop().await;
}

#[tokio::test]
async fn listings_come_in_pages() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "site").await;
    let names: Vec<String> = (0..5).map(|n| format!("f{n}")).collect();
    let items: Vec<_> = names.iter().map(|name| item(FILE, name, b"x")).collect();
    upload(&server, &ada, project, tar_gz(&items))
        .await
        .expect(201);
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/projects/{project}/tree?limit=2{cursor}");
        let page = server.get(&path, &ada.token).await.expect(200);
        for entry in page["entries"].as_array().expect("entries") {
            seen.push(entry["name"].as_str().expect("a name").to_owned());
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, names);
    let path = format!("/projects/{project}/tree?cursor=AAAA");
    server
        .get(&path, &ada.token)
        .await
        .expect_error(400, "BAD_REQUEST");
    server.stop().await;
}

#[tokio::test]
async fn paths_stay_inside_the_repository() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "site").await;
    upload(&server, &ada, project, site()).await.expect(201);
    for path in [
        "..",
        "../x",
        "%2e%2e/x",
        "..%2f..%2fetc%2fpasswd",
        "/etc/passwd",
        "bin/../../x",
        "./bin",
        "a%00b",
        "a%0ab",
        "bin//run",
    ] {
        for call in ["tree", "file"] {
            let path = format!("/projects/{project}/{call}?path={path}");
            let error = server
                .get(&path, &ada.token)
                .await
                .expect_error(422, "INVALID_INPUT");
            assert_eq!(error["details"]["field"], "path", "{path}");
        }
    }
    for git_ref in [
        "-x",
        "--output=x",
        "main..x",
        "a%00b",
        "upload:index.html",
        "HEAD~1",
    ] {
        let path = format!("/projects/{project}/tree?ref={git_ref}");
        server
            .get(&path, &ada.token)
            .await
            .expect_error(422, "INVALID_INPUT");
    }
    for place in [
        "tree?ref=gone",
        "tree?path=gone",
        "file?path=gone",
        "tree?path=link/x",
    ] {
        let path = format!("/projects/{project}/{place}");
        server
            .get(&path, &ada.token)
            .await
            .expect_error(404, "REF_NOT_FOUND");
    }
    server.stop().await;
}

#[tokio::test]
async fn bad_uploads_are_refused_and_leave_nothing() {
    let server = Setup::new()
        .config(|config| config.sources.max_upload_bytes = 100_000)
        .start()
        .await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "site").await;
    let put = async |body: Vec<u8>| upload(&server, &ada, project, body).await;
    put(b"{}".to_vec())
        .await
        .expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
    put(Vec::new())
        .await
        .expect_error(415, "UNSUPPORTED_MEDIA_TYPE");
    let evil = zip(&[item(FILE, "../evil", b"x")]);
    put(evil).await.expect_error(422, "INVALID_INPUT");
    let error = put(vec![b'x'; 100_001])
        .await
        .expect_error(413, "PAYLOAD_TOO_LARGE");
    assert_eq!(error["details"]["limit"], 100_000);
    let bomb = tar_gz(&[item(FILE, "bomb", &vec![0; 40 << 20])]);
    put(bomb).await.expect_error(413, "PAYLOAD_TOO_LARGE");

    // Without an announced length, the body itself is counted.
    let chunks = (0..20).map(|_| Ok::<_, std::io::Error>(vec![b'x'; 10_000]));
    let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    let path = format!("/projects/{project}/source/archive");
    let request = server.request(Method::PUT, &path).bearer_auth(&ada.token);
    let answer = Answer::of(request.body(body)).await;
    answer.expect_error(413, "PAYLOAD_TOO_LARGE");

    let refs = server
        .get(&format!("/projects/{project}/refs"), &ada.token)
        .await;
    assert_eq!(refs.expect(200)["refs"], json!([]));
    assert!(!server.app.data.repo(ProjectId(project)).exists());
    server.stop().await;
}

#[tokio::test]
async fn only_editors_bring_commits_in() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let bob = server.register("bob").await;
    let project = server.project(&ada, "site").await;
    let sync = format!("/projects/{project}/sync");
    for (role, status) in [(None, 403), (Some("viewer"), 403), (Some("editor"), 201)] {
        if let Some(role) = role {
            let body = json!({"user_id": bob.id, "role": role});
            let path = format!("/projects/{project}/members");
            server.post(&path, &ada.token, &body).await.expect(201);
        }
        let answer = upload(&server, &bob, project, site()).await;
        assert_eq!(answer.status, status, "{role:?}: {}", answer.text());
        let readable = if role.is_some() { 200 } else { 403 };
        for place in ["refs", "tree", "file?path=index.html"] {
            // Something is there to be read for all but the first.
            upload(&server, &ada, project, site()).await.expect(201);
            let path = format!("/projects/{project}/{place}");
            server.get(&path, &bob.token).await.expect(readable);
        }
    }
    // Nothing is linked to it.
    server
        .post(&sync, &bob.token, &json!({}))
        .await
        .expect_error(409, "CONFLICT");
    let nowhere = upload(&server, &ada, 999, site()).await;
    nowhere.expect_error(404, "PROJECT_NOT_FOUND");
    let request = server.request(Method::PUT, &format!("/projects/{project}/source/archive"));
    Answer::of(request.body(site()))
        .await
        .expect_error(401, "UNAUTHENTICATED");
    server.stop().await;
}

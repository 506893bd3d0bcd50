//! Bringing commits in over HTTP, and looking at them.

use std::time::Duration;

use hivesync::domain::job::{JobFailure, JobState, Queue};
use hivesync::domain::user::Role;
use hivesync::jobs::sync;
use hivesync::store::{Batch, ClaimRequest};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::common::{Account, Answer, DEADLINE, Setup, TestServer};
use crate::git_server::GitServer;
use crate::sources::{FILE, LINK, PROGRAM, item, tar_gz, zip};

async fn upload(server: &TestServer, who: &Account, project: i64, body: Vec<u8>) -> Answer {
    let path = format!("/projects/{project}/source/archive");
    let request = server.request(Method::PUT, &path);
    Answer::of(request.bearer_auth(&who.token).body(body)).await
}

fn site() -> Vec<u8> {
    zip(&[
        item(FILE, "index.html", b"<h1>hi</h1>"),
        item(PROGRAM, "bin/run", b"#!/bin/sh\n"),
        item(FILE, "data.bin", b"\x00\xff"),
        item(LINK, "link", b"index.html"),
        item(FILE, "node_modules/x/index.js", b"x"),
    ])
}

/// A server whose projects may link to `git`.
async fn linking_to(git: &GitServer) -> TestServer {
    let host = git.host();
    Setup::new()
        .config(|config| config.sources.allowed_hosts = vec![host])
        .start()
        .await
}

async fn linked(server: &TestServer, owner: &Account, source: Value) -> i64 {
    let body = json!({"name": "linked", "source": source});
    let answer = server.post("/projects", &owner.token, &body).await;
    answer.expect(201)["id"].as_i64().expect("an id")
}

/// Does what a worker would do with the next sync, and answers how it ended.
async fn work(server: &TestServer) -> Option<JobState> {
    let request = ClaimRequest {
        queues: vec![Queue::Sync],
        worker: "test".to_owned(),
        lease: Duration::from_mins(1),
        group_limit: 1,
    };
    let app = &server.app;
    let (claim, job) = app.queue.claim(&request).await.expect("a queue")?;
    let sync = serde_json::from_str(&job.payload).expect("a sync's payload");
    match sync::run(app, &claim, &job, &sync, &CancellationToken::new()).await {
        Ok(batch) => {
            app.queue.complete(&claim, batch).await.expect("completed");
            Some(JobState::Succeeded)
        }
        Err(failed) => {
            let failure = JobFailure {
                code: failed.error.code.as_str().to_owned(),
                message: failed.error.message.to_string(),
            };
            let retry_at = failed.retry_after.map(|after| app.clock.now().after(after));
            let state = app.queue.fail(&claim, failure, retry_at, Batch::new());
            Some(state.await.expect("failed"))
        }
    }
}

async fn sync_once(server: &TestServer, who: &Account, project: i64) -> Value {
    let path = format!("/projects/{project}/sync");
    let answer = server.post(&path, &who.token, &json!({})).await.expect(202);
    let id = answer["job_id"].as_str().expect("an id").to_owned();
    work(server).await.expect("a job");
    server
        .get(&format!("/jobs/{id}"), &who.token)
        .await
        .expect(200)
}

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
    assert!(
        !server
            .app
            .data
            .repo(hivesync::domain::ProjectId(project))
            .exists()
    );
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

#[tokio::test]
async fn a_linked_repository_is_fetched_by_its_job() {
    let git = GitServer::start().await;
    let work_tree = git.repository("app");
    git.require_login("ada:s3cr3t/word");
    let server = linking_to(&git).await;
    let ada = server.register("ada").await;
    let credential = json!({"username": "ada", "password": "s3cr3t/word"});
    let source = json!({"kind": "git", "url": git.url("app"), "credential": credential});
    let project = linked(&server, &ada, source).await;
    let job = sync_once(&server, &ada, project).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(job["kind"], "sync");
    assert_eq!(job["project_id"], project);
    assert_eq!(job["error"], Value::Null);
    assert_ne!(job["completed_at"], Value::Null);
    let path = format!("/projects/{project}/refs");
    let refs = server.get(&path, &ada.token).await.expect(200);
    assert_eq!(refs["refs"][0]["name"], "main");
    assert_eq!(refs["refs"][0]["default"], true);
    assert_eq!(refs["refs"][0]["subject"], "One");
    let head = work_tree.git(&["rev-parse", "main"]);
    assert_eq!(refs["refs"][0]["commit"], head.as_str());
    let shown = server
        .get(&format!("/projects/{project}"), &ada.token)
        .await;
    let shown = shown.expect(200);
    assert_ne!(shown["synced_at"], Value::Null);
    assert!(!shown.to_string().contains("s3cr3t"), "{shown}");
    // Uploads would be lost at the next sync.
    let answer = upload(&server, &ada, project, site()).await;
    answer.expect_error(409, "CONFLICT");
    server.stop().await;
}

#[tokio::test]
async fn a_sync_that_waits_is_answered_again() {
    let git = GitServer::start().await;
    git.repository("app");
    let server = linking_to(&git).await;
    let ada = server.register("ada").await;
    let source = json!({"kind": "git", "url": git.url("app")});
    let project = linked(&server, &ada, source).await;
    let path = format!("/projects/{project}/sync");
    let first = server.post(&path, &ada.token, &json!({})).await.expect(202);
    let second = server.post(&path, &ada.token, &json!({})).await.expect(202);
    assert_eq!(first, second);
    assert_eq!(work(&server).await, Some(JobState::Succeeded));
    assert_eq!(work(&server).await, None);
    let third = server.post(&path, &ada.token, &json!({})).await.expect(202);
    assert_ne!(first, third);
    server.stop().await;
}

#[tokio::test]
async fn failures_that_stay_are_final_and_others_are_tried_again() {
    let git = GitServer::start().await;
    let server = linking_to(&git).await;
    let ada = server.register("ada").await;
    let source = json!({"kind": "git", "url": git.url("missing")});
    let project = linked(&server, &ada, source).await;
    let job = sync_once(&server, &ada, project).await;
    assert_eq!(job["status"], "failed", "{job}");
    assert_eq!(job["error"]["code"], "SOURCE_UNAVAILABLE");
    let message = job["error"]["message"].as_str().expect("a message");
    assert!(message.contains("no such repository"), "{message}");

    drop(git);
    let job = sync_once(&server, &ada, project).await;
    assert_eq!(job["status"], "queued", "{job}");
    assert_eq!(job["attempts"], 1);
    assert_eq!(job["error"]["code"], "SOURCE_UNAVAILABLE");
    server.stop().await;
}

#[tokio::test]
async fn refused_urls_never_become_a_source() {
    let server = TestServer::start().await;
    let ada = server.register("ada").await;
    let project = server.project(&ada, "site").await;
    for url in [
        "ext::sh -c id",
        "file:///etc",
        "--upload-pack=id",
        "-oProxyCommand=id",
        "ssh://git@example.com/x",
        "git@example.com:a/b",
        "http://example.com/x",
        "https://user:password@example.com/x",
        "https://example.com/x\r\nHost: y",
        "https://127.0.0.1/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[64:ff9b::7f00:1]/x",
        "https://169.254.169.254/latest",
        "https://2130706433/x",
    ] {
        let body = json!({"name": "x", "source": {"kind": "git", "url": url}});
        let answer = server.post("/projects", &ada.token, &body).await;
        let error = answer.expect_error(422, "INVALID_INPUT");
        assert_eq!(error["details"]["field"], "source.url", "{url}");
        let answer = server
            .patch(&format!("/projects/{project}"), &ada.token, &body)
            .await;
        answer.expect_error(422, "INVALID_INPUT");
    }
    let source = json!({"kind": "git", "url": "https://example.com/x", "branch": "-x"});
    let body = json!({"name": "x", "source": source});
    let answer = server.post("/projects", &ada.token, &body).await;
    let error = answer.expect_error(422, "INVALID_INPUT");
    assert_eq!(error["details"]["field"], "source.branch");
    server.stop().await;
}

#[tokio::test]
async fn a_host_that_is_no_longer_allowed_is_not_asked() {
    let git = GitServer::start().await;
    git.repository("app");
    let server = linking_to(&git).await;
    let ada = server.register("ada").await;
    let source = json!({"kind": "git", "url": git.url("app")});
    let project = linked(&server, &ada, source).await;
    let data = server.stop_and_keep().await;
    let server = Setup::on(data).start().await;
    let job = sync_once(&server, &ada, project).await;
    assert_eq!(job["status"], "failed", "{job}");
    assert_eq!(job["error"]["code"], "INVALID_INPUT");
    assert!(git.seen().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_local_folder_is_synced_in_dev_mode_only() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("index.html"), "hi").expect("written");
    let source = json!({"kind": "local", "path": folder.path()});
    let dev = || Setup::new().config(|config| config.server.local_dev_mode = true);
    let server = dev().start().await;
    let ada = server.register("ada").await;
    let project = linked(&server, &ada, source.clone()).await;
    let job = sync_once(&server, &ada, project).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let path = format!("/projects/{project}/file?path=index.html");
    let file = server.get(&path, &ada.token).await.expect(200);
    assert_eq!(file["content"], "hi");

    // The mode was switched off: not even what is linked already.
    let data = server.stop_and_keep().await;
    let server = Setup::on(data).start().await;
    let job = sync_once(&server, &ada, project).await;
    assert_eq!(job["error"]["code"], "FORBIDDEN", "{job}");
    let body = json!({"name": "x", "source": source});
    let answer = server.post("/projects", &ada.token, &body).await;
    answer.expect_error(422, "INVALID_INPUT");
    server.stop().await;
}

#[tokio::test]
async fn jobs_are_shown_to_those_who_read_the_project() {
    let git = GitServer::start().await;
    git.repository("app");
    let server = linking_to(&git).await;
    let ada = server.register("ada").await;
    let bob = server.register("bob").await;
    let admin = server.account("root", Role::Admin).await;
    let source = json!({"kind": "git", "url": git.url("app")});
    let project = linked(&server, &ada, source).await;
    let job = sync_once(&server, &ada, project).await;
    let path = format!("/jobs/{}", job["job_id"].as_str().expect("an id"));
    server
        .get(&path, &bob.token)
        .await
        .expect_error(403, "PROJECT_ACCESS_DENIED");
    server.get(&path, &admin.token).await.expect(200);
    let unknown = "/jobs/job_00000000000000000000000000";
    server
        .get(unknown, &ada.token)
        .await
        .expect_error(404, "JOB_NOT_FOUND");
    server
        .get("/jobs/nonsense", &ada.token)
        .await
        .expect_error(404, "JOB_NOT_FOUND");
    let answer = server.call(Method::GET, &path, None, None).await;
    answer.expect_error(401, "UNAUTHENTICATED");
    server.stop().await;
}

#[tokio::test]
async fn a_project_deleted_during_a_sync_leaves_no_repository() {
    let git = GitServer::start().await;
    git.repository("app");
    let server = linking_to(&git).await;
    let ada = server.register("ada").await;
    let source = json!({"kind": "git", "url": git.url("app")});
    let project = linked(&server, &ada, source).await;
    let app = &server.app;
    let id = hivesync::domain::ProjectId(project);
    let record = app
        .store
        .project(id)
        .await
        .expect("a store")
        .expect("there");
    server
        .delete(&format!("/projects/{project}"), &ada.token)
        .await
        .expect(204);
    // The sync had read the project before it was deleted.
    hivesync::services::sources::sync::bring_in(app, &record.value)
        .await
        .expect("fetched");
    let error = hivesync::services::sources::mark_synced(app, id, None).await;
    assert_eq!(error.expect_err("gone").code.as_str(), "PROJECT_NOT_FOUND");
    assert!(!app.data.repo(id).exists());
    server.stop().await;
}

/// The job once it has ended; the worker does it.
async fn ended(server: &TestServer, who: &Account, id: &str) -> Value {
    let path = format!("/jobs/{id}");
    let follow = async {
        loop {
            let job = server.get(&path, &who.token).await.expect(200);
            if job["completed_at"] != Value::Null {
                return job;
            }
        }
    };
    tokio::time::timeout(DEADLINE, follow)
        .await
        .expect("an end")
}

#[tokio::test]
async fn the_worker_syncs() {
    let git = GitServer::start().await;
    git.repository("app");
    let host = git.host();
    let server = Setup::new()
        .config(|config| config.sources.allowed_hosts = vec![host])
        .worker()
        .start()
        .await;
    let ada = server.register("ada").await;
    let source = json!({"kind": "git", "url": git.url("app")});
    let project = linked(&server, &ada, source).await;
    let path = format!("/projects/{project}/sync");
    let answer = server.post(&path, &ada.token, &json!({})).await.expect(202);
    let job = ended(&server, &ada, answer["job_id"].as_str().expect("an id")).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    let path = format!("/projects/{project}/file?path=index.html");
    let file = server.get(&path, &ada.token).await.expect(200);
    assert_eq!(file["content"], "<h1>one</h1>");
    server.stop().await;
}

#[tokio::test]
async fn a_sync_is_handed_back_at_the_stop_and_done_after_the_next_start() {
    let git = GitServer::start().await;
    git.repository("app");
    git.hang(true);
    let host = git.host();
    let allow = |config: &mut hivesync::config::Config| {
        config.sources.allowed_hosts = vec![host.clone()];
    };
    let server = Setup::new().config(allow).worker().start().await;
    let ada = server.register("ada").await;
    let source = json!({"kind": "git", "url": git.url("app")});
    let project = linked(&server, &ada, source).await;
    let path = format!("/projects/{project}/sync");
    let answer = server.post(&path, &ada.token, &json!({})).await.expect(202);
    let id = answer["job_id"].as_str().expect("an id").to_owned();
    git.asked_by_git().await;
    server.app.lifecycle.halt();
    let data = server.stop_and_keep().await;

    git.hang(false);
    let allow = |config: &mut hivesync::config::Config| {
        config.sources.allowed_hosts = vec![host.clone()];
    };
    let server = Setup::on(data).config(allow).worker().start().await;
    let job = ended(&server, &ada, &id).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(job["attempts"], 1, "the first one does not count");
    server.stop().await;
}

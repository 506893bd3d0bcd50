//! Projects that link to a repository or a folder, and their syncs.

use hivesync::domain::ProjectId;
use hivesync::domain::job::JobState;
use hivesync::domain::user::Role;
use hivesync::services::sources;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Linked, link, site, sync_once, upload, work};
use crate::common::{DEADLINE, Setup, TestServer};
use crate::git_server::GitServer;

#[tokio::test]
async fn a_linked_repository_is_fetched_by_its_job() {
    let git = GitServer::start().await;
    let work_tree = git.repository("app");
    git.require_login("ada:s3cr3t/word");
    let credential = json!({"username": "ada", "password": "s3cr3t/word"});
    let source = json!({"kind": "git", "url": git.url("app"), "credential": credential});
    let Linked {
        git: _git,
        server,
        ada,
        project,
    } = Linked::to(git, Setup::new(), source).await;
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
    let Linked {
        git: _git,
        server,
        ada,
        project,
    } = Linked::to_app(Setup::new()).await;
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
async fn a_server_that_hangs_keeps_no_other_waiting() {
    let (slow, quick) = (GitServer::start().await, GitServer::start().await);
    for git in [&slow, &quick] {
        git.repository("app");
    }
    let hosts = vec![slow.host(), quick.host()];
    let setup = Setup::new().config(|config| config.sources.allowed_hosts = hosts);
    let server = setup.worker().start().await;
    let ada = server.register("ada").await;
    slow.hang(true);
    let of = |git: &GitServer| json!({"kind": "git", "url": git.url("app")});
    let asked = async |git: &GitServer| {
        let path = format!("/projects/{}", link(&server, &ada, of(git)).await);
        let (sync, body) = (format!("{path}/sync"), json!({}));
        server.post(&sync, &ada.token, &body).await.expect(202);
        path
    };
    asked(&slow).await;
    slow.asked_by_git().await;

    let path = asked(&quick).await;
    // A round trip each time: the server does something meanwhile.
    let synced =
        async { while server.get(&path, &ada.token).await.expect(200)["synced_at"].is_null() {} };
    let synced = tokio::time::timeout(DEADLINE, synced).await;
    synced.expect("the other server's repository is fetched");
    // The slow fetch is not waited for.
    server.app.lifecycle.halt();
    server.stop().await;
}

#[tokio::test]
async fn failures_that_stay_are_final_and_others_are_tried_again() {
    let git = GitServer::start().await;
    let source = json!({"kind": "git", "url": git.url("missing")});
    let Linked {
        git,
        server,
        ada,
        project,
    } = Linked::to(git, Setup::new(), source).await;
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
    let Linked {
        git,
        server,
        ada,
        project,
    } = Linked::to_app(Setup::new()).await;
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
    let project = link(&server, &ada, source.clone()).await;
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
    let Linked {
        git: _git,
        server,
        ada,
        project,
    } = Linked::to_app(Setup::new()).await;
    let bob = server.register("bob").await;
    let admin = server.account("root", Role::Admin).await;
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
    let Linked {
        git: _git,
        server,
        ada,
        project,
    } = Linked::to_app(Setup::new()).await;
    let app = &server.app;
    let id = ProjectId(project);
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
    sources::sync::bring_in(app, &record.value)
        .await
        .expect("fetched");
    let error = sources::mark_synced(app, id, None).await;
    assert_eq!(error.expect_err("gone").code.as_str(), "PROJECT_NOT_FOUND");
    assert!(!app.data.repo(id).exists());
    server.stop().await;
}

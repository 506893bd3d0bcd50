//! Bringing commits in over HTTP, and looking at them.

mod linked;
mod uploads;
mod worker;

use std::time::Duration;

use hivesync::domain::job::{JobFailure, JobState, Queue};
use hivesync::jobs::sync;
use hivesync::store::{Batch, ClaimRequest};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::common::{Account, Answer, Setup, TestServer};
use crate::git_server::GitServer;
use crate::sources::{FILE, LINK, PROGRAM, item, zip};

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
async fn linking_to(setup: Setup, git: &GitServer) -> TestServer {
    let host = git.host();
    setup
        .config(|config| config.sources.allowed_hosts = vec![host])
        .start()
        .await
}

/// Ada's project on a server, linked to the repository `app` of another.
struct Linked {
    git: GitServer,
    server: TestServer,
    ada: Account,
    project: i64,
}

impl Linked {
    async fn to_app(setup: Setup) -> Self {
        let git = GitServer::start().await;
        git.repository("app");
        let source = json!({"kind": "git", "url": git.url("app")});
        Self::to(git, setup, source).await
    }

    /// To what `source` says of `git`.
    async fn to(git: GitServer, setup: Setup, source: Value) -> Self {
        let server = linking_to(setup, &git).await;
        let ada = server.register("ada").await;
        let project = link(&server, &ada, source).await;
        Self {
            git,
            server,
            ada,
            project,
        }
    }
}

/// A new project of `owner` whose source that is.
async fn link(server: &TestServer, owner: &Account, source: Value) -> i64 {
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

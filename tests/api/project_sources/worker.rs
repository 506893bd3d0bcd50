//! Syncs as the worker does them.

use serde_json::{Value, json};

use super::{Linked, linking_to};
use crate::common::{Account, DEADLINE, Setup, TestServer};

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
    let Linked {
        git: _git,
        server,
        ada,
        project,
    } = Linked::to_app(Setup::new().worker()).await;
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
    let Linked {
        git,
        server,
        ada,
        project,
    } = Linked::to_app(Setup::new().worker()).await;
    git.hang(true);
    let path = format!("/projects/{project}/sync");
    let answer = server.post(&path, &ada.token, &json!({})).await.expect(202);
    let id = answer["job_id"].as_str().expect("an id").to_owned();
    git.asked_by_git().await;
    server.app.lifecycle.halt();
    let data = server.stop_and_keep().await;

    git.hang(false);
    let server = linking_to(Setup::on(data).worker(), &git).await;
    let job = ended(&server, &ada, &id).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(job["attempts"], 1, "the first one does not count");
    server.stop().await;
}

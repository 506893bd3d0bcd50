//! The disk of a running server fails: it says so, acknowledges nothing, and
//! goes on when the disk does, in this process or in the next.

use crate::client::{Client, Tree};
use crate::common::DEADLINE;
use crate::ledger::{Ledger, balance};
use crate::process::Home;
use crate::server::{Server, start, start_outlasting_limits};

async fn build(client: &Client, ledger: &Ledger, project: i64, text: &str) {
    let tree = Tree::page(text);
    client
        .upload(ledger, project, &tree)
        .await
        .expect("a commit");
    let job = client.build(ledger, project).await.expect("a build");
    let end = client.end_of(&job).await.expect("its end");
    assert_eq!(end["status"], "success", "{end}");
}

/// Nothing can be written any more: a write is refused with the reason, and so
/// is readiness from then on.
async fn fails(server: &Server, client: &Client, name: &str) {
    server.writes(false);
    let refused = client.refused_project(name).await;
    let said = refused["error"]["message"].as_str().unwrap_or_default();
    assert!(!said.is_empty(), "{refused}");
    let error = client.readiness().await.expect("it is not ready");
    assert_eq!(error["code"], "DEPENDENCY_FAILURE", "{error}");
    let said = error["message"].as_str().unwrap_or_default();
    assert!(said.contains("database"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_disk_fails_is_not_ready_until_it_recovers() {
    let home = Home::new();
    let server = start_outlasting_limits(&home).ready();
    let ledger = Ledger::new();
    let client = Client::register(&home, &server).await;
    let project = client
        .new_project(&ledger, "kept")
        .await
        .expect("a project");
    build(&client, &ledger, project, "before").await;
    assert_eq!(client.readiness().await, None);

    // In the same process: a read is enough to have the file opened again.
    fails(&server, &client, "lost").await;
    server.writes(true);
    let recovered = async { while client.readiness().await.is_some() {} };
    let recovered = tokio::time::timeout(DEADLINE, recovered).await;
    recovered.expect("it is ready again");
    build(&client, &ledger, project, "between").await;

    // In the next.
    fails(&server, &client, "lost again").await;
    server.kill();
    let server = start(&home, None).ready();
    let client = client.on(&server);
    assert_eq!(client.readiness().await, None);
    build(&client, &ledger, project, "after").await;
    let builds = balance(&home, server, &client, &ledger).await;
    assert_eq!(builds, 3);
}

//! Processes of a server that was killed do not outlive it.

use serde_json::json;

use crate::client::{Client, Tree};
use crate::git_server::GitServer;
use crate::ledger::{Ledger, balance};
use crate::process::Home;
use crate::server::{expect_no_survivors, start, start_with, survivors};

#[tokio::test(flavor = "multi_thread")]
async fn a_fetch_ends_with_its_server() {
    let origin = GitServer::start().await;
    origin.repository("slow");
    let home = Home::new();
    let hosts = origin.host();
    let settings = [("SOURCE_ALLOWED_HOSTS", hosts.as_str())];
    let server = start_with(&home, None, &settings).ready();
    let ledger = Ledger::new();
    let client = Client::register(&home, &server).await;
    origin.hang(true);
    let source = json!({"kind": "git", "url": origin.url("slow")});
    let body = json!({"name": "linked", "source": source});
    let project = client.project_of(&ledger, &body).await.expect("a project");
    client.sync(project).await.expect("a sync");
    origin.asked_by_git().await;
    let fetching = survivors(home.path());
    assert!(
        fetching.iter().any(|(_, words)| words.contains("fetch")),
        "{fetching:?}"
    );
    server.kill();
    expect_no_survivors(home.path());

    // What was fetched half is fetched whole by the next process.
    origin.hang(false);
    let server = start_with(&home, None, &settings).ready();
    let client = client.on(&server);
    client.synced(project).await.expect("a sync");
    let job = client.build(&ledger, project).await.expect("a build");
    let end = client.end_of(&job).await.expect("its end");
    assert_eq!(end["status"], "success", "{end}");
    balance(&home, server, &client, &ledger).await;
}

/// Processes that have left their parent, their group and their session.
#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_has_run_away_ends_with_its_server() {
    let home = Home::new();
    let server = start(&home, None).ready();
    let ledger = Ledger::new();
    let client = Client::register(&home, &server).await;
    // The home's path stands among its arguments, by which it is found.
    let script = format!(
        "(setsid sh -c 'sh -c \"while :; do sleep 1; done\" {} &' &); \
         echo away; while :; do sleep 1; done",
        home.path().display()
    );
    let tree = Tree::script(&script, "");
    let begun = client.begun(&ledger, "away", &tree, "away").await;
    begun.expect("a build");
    let running = survivors(home.path());
    assert!(
        running.iter().any(|(_, words)| words.contains("while :")),
        "{running:?}"
    );
    server.kill();
    expect_no_survivors(home.path());
}

//! A server process that is stopped for longer than a lease, as by `SIGSTOP` or
//! a machine that sleeps, while its builds go on: whatever it does about the
//! build when it is resumed, the build ends once, with one whole artifact.

use std::time::Duration;

use rustix::process::Signal;

use crate::client::{Client, Tree};
use crate::ledger::{Ledger, balance};
use crate::process::Home;
use crate::server::start;

/// Longer than a lease: the one thing here that takes its time.
const STANDSTILL: Duration = Duration::from_secs(33);

#[tokio::test(flavor = "multi_thread")]
async fn a_build_that_its_server_has_slept_over_ends_once() {
    let home = Home::new();
    let server = start(&home, None).ready();
    let ledger = Ledger::new();
    let client = Client::register(&home, &server).await;
    let script = "echo begun; sleep 2; mkdir dist; printf %s slept > dist/index.html";
    let tree = Tree::script(script, "slept");
    let begun = client.begun(&ledger, "slept", &tree, "begun").await;
    let (project, job) = begun.expect("a build");
    server.signal(Signal::STOP);
    tokio::time::sleep(STANDSTILL).await;
    server.signal(Signal::CONT);
    let end = client.end_of(&job).await.expect("its end");
    assert_eq!(end["status"], "success", "{end}");

    // Both slots are free for what comes next.
    let page = Tree::page("awake");
    client
        .upload(&ledger, project, &page)
        .await
        .expect("a commit");
    let next = client.build(&ledger, project).await.expect("a build");
    let end = client.end_of(&next).await.expect("its end");
    assert_eq!(end["status"], "success", "{end}");
    let builds = balance(&home, server, &client, &ledger).await;
    assert_eq!(builds, 2);
}

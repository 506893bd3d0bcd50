//! Removing a repository, and what a killed process leaves of one.

use std::fs;

use hivesync::domain::ProjectId;

use super::tree;
use crate::sources::{Bench, FILE, PROJECT, files_below, item, zip};

#[tokio::test]
async fn removing_a_repository_is_done_once_and_for_all() {
    let bench = Bench::new();
    bench.import(zip(&tree())).await.expect("an upload");
    bench.repos.remove(PROJECT).await.expect("removed");
    bench.repos.remove(PROJECT).await.expect("still removed");
    bench
        .repos
        .remove(ProjectId(99))
        .await
        .expect("never there");
    assert!(files_below(&bench.data.repos()).is_empty());
    bench.import(zip(&tree())).await.expect("anew");
}

#[tokio::test]
async fn what_a_killed_writer_left_does_not_stop_the_next() {
    let bench = Bench::new();
    bench.import(zip(&tree())).await.expect("an upload");
    for leftover in [
        "refs/heads/upload.lock",
        "packed-refs.lock",
        "HEAD.lock",
        "objects/pack/tmp_pack_x",
    ] {
        fs::write(bench.repo().join(leftover), "").expect("written");
    }
    let import = bench.import(zip(&[item(FILE, "a", b"new")])).await;
    import.expect("the next upload");
    assert!(!bench.repo().join("objects/pack/tmp_pack_x").exists());
}

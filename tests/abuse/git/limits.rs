//! Servers that hang and repositories that are too large.

use std::time::Duration;

use hivesync::error::Code;

use super::Linked;
use crate::sources::files_below;

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let linked = Linked::with(|limits| limits.git_timeout = Duration::from_millis(300)).await;
    linked.server.hang(true);
    let failure = linked.fetch().await.expect_err("given up");
    assert_eq!(failure.error.code, Code::SourceUnavailable);
    assert!(failure.transient);
    assert!(failure.error.message.contains("GIT_TIMEOUT_SECONDS"));
    linked.bench.assert_nothing_written();
}

#[tokio::test]
async fn a_repository_that_is_too_large_is_given_up() {
    let linked = Linked::with(|limits| limits.max_repo_bytes = 10).await;
    let failure = linked.fetch().await.expect_err("given up");
    assert_eq!(failure.error.code, Code::SourceUnavailable);
    let told = failure.error.message;
    assert!(told.contains("GIT_MAX_REPO_MB"), "{told}");
    assert!(!failure.transient);
}

#[tokio::test]
async fn a_tree_that_multiplies_is_not_checked_out() {
    let linked = Linked::new().await;
    // Ten levels of ten folders, all the same: ten objects, 10^10 files.
    let mut tree = linked.work.git(&["rev-parse", "HEAD^{tree}"]);
    for _ in 0..10 {
        let lines: Vec<String> = (0..10)
            .map(|n| format!("040000 tree {tree}\td{n}\n"))
            .collect();
        tree = linked.work.tree_of(&lines.concat());
    }
    let commit = linked.publish(&tree);
    linked.fetch().await.expect("fetched");
    let (into, checkout) = linked.checkout(&commit).await;
    assert_eq!(checkout.expect_err("a bomb").code, Code::SourceUnavailable);
    assert!(files_below(&into).is_empty());
}

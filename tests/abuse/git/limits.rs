//! Servers that hang, repositories that are too large or hold what is, and
//! crowds that look into one.

use std::time::Duration;

use hivesync::error::Code;
use hivesync::git::Repos;

use super::{Linked, allowing};
use crate::sources::{Bench, PROJECT, files_below};

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

#[tokio::test]
async fn a_commit_of_any_size_is_not_held_in_memory() {
    let linked = Linked::new().await;
    let message = linked.bench.folder.path().join("message");
    std::fs::write(&message, "twenty megabytes\n".repeat(20 << 16)).expect("written");
    let message = message.to_str().expect("text");
    let commit = linked
        .work
        .git(&["commit-tree", "-F", message, "HEAD^{tree}"]);
    linked
        .work
        .git(&["update-ref", "refs/heads/large", &commit]);
    linked.work.push();
    linked
        .fetch()
        .await
        .expect("fetched, as files of that size are");

    let repos = &linked.bench.repos;
    let refs = repos.refs(PROJECT, None).await.expect_err("refused");
    assert_eq!(refs.code, Code::PayloadTooLarge);
    // Git itself takes a commit that it cannot hold for one that is not there.
    let tree = repos.tree(PROJECT, &commit, "").await.expect_err("refused");
    assert_eq!(tree.code, Code::RefNotFound);
    let (into, checkout) = linked.checkout(&commit).await;
    assert_eq!(checkout.expect_err("refused").code, Code::SourceUnavailable);
    assert!(files_below(&into).is_empty());
    // The rest of the repository is there.
    let good = repos
        .resolve(PROJECT, "main", None)
        .await
        .expect("a branch");
    repos.tree(PROJECT, &good.commit, "").await.expect("a tree");
}

#[tokio::test]
async fn more_branches_than_anybody_has_are_given_up() {
    let mut linked = Linked::new().await;
    let limits = allowing(&linked.allowed);
    linked.bench.repos = Repos::new(&linked.bench.data, &limits).with_most_refs(20);
    for n in 0..21 {
        let name = format!("refs/heads/many/{n}");
        linked.work.git(&["update-ref", &name, "HEAD"]);
    }
    linked.work.push();
    let failure = linked.fetch().await.expect_err("given up");
    assert_eq!(failure.error.code, Code::SourceUnavailable);
    assert!(failure.error.message.contains("branches and tags"));
    assert!(!failure.transient);
}

#[tokio::test]
async fn a_crowd_that_looks_into_one_repository_is_told_to_come_back() {
    let bench = Bench::new();
    let archive = crate::sources::tar_gz(&[crate::sources::item(
        crate::sources::FILE,
        "index.html",
        b"x",
    )]);
    let commit = bench.import(archive).await.expect("a commit").commit;
    // All of them ask before the first program ends.
    let looks = (0..100).map(|_| bench.repos.tree(PROJECT, &commit, ""));
    let answers = futures::future::join_all(looks).await;
    let (seen, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!(seen.len(), 64);
    for refusal in refused {
        let error = refusal.expect_err("refused");
        assert_eq!(error.code, Code::RateLimitExceeded);
    }
    let again = bench.repos.tree(PROJECT, &commit, "").await;
    again.expect("there is room again");
}

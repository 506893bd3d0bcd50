//! Repositories fetched from a real git server.

use hivesync::config::SourceLimits;
use hivesync::error::Code;
use hivesync::git::{FetchError, Fetched, Link, Remote};

use crate::git_server::GitServer;
use crate::sources::{Bench, PROJECT, limits};

fn allowing(server: &GitServer) -> SourceLimits {
    let mut limits = limits();
    limits.allowed_hosts = vec![server.host()];
    limits
}

async fn fetch(
    bench: &Bench,
    server: &GitServer,
    branch: Option<&str>,
) -> Result<Fetched, FetchError> {
    let remote = Remote::parse(&server.url("app"), &[server.host()])?;
    let link = Link {
        remote: &remote,
        branch,
        credential: None,
    };
    bench.repos.fetch(PROJECT, &link).await
}

#[tokio::test]
async fn a_fetch_mirrors_branches_and_tags() {
    let server = GitServer::start().await;
    let work = server.repository("app");
    let first = work.git(&["rev-parse", "HEAD"]);
    work.git(&["branch", "feature/x"]);
    work.git(&["tag", "-a", "-m", "One", "v1"]);
    work.push();
    let bench = Bench::with(&allowing(&server));
    let fetched = fetch(&bench, &server, None).await.expect("fetched");
    assert_eq!((fetched.branch.as_str(), &fetched.commit), ("main", &first));
    let refs = || bench.git(&["for-each-ref", "--format=%(refname)"]);
    assert_eq!(
        refs(),
        "refs/heads/feature/x\nrefs/heads/main\nrefs/tags/v1\n"
    );

    // Rewritten, renamed, removed; and a name that was a folder.
    work.git(&["branch", "-D", "feature/x"]);
    work.git(&["branch", "feature"]);
    work.git(&["tag", "-d", "v1"]);
    work.write("index.html", "rewritten");
    work.git(&["add", "--all"]);
    work.git(&["commit", "--quiet", "--amend", "-m", "Rewritten"]);
    work.push();
    let again = fetch(&bench, &server, None).await.expect("fetched");
    assert_eq!(again.commit, work.git(&["rev-parse", "main"]));
    assert_ne!(again.commit, first);
    assert_eq!(refs(), "refs/heads/feature\nrefs/heads/main\n");
    assert_eq!(fetch(&bench, &server, None).await.expect("idle"), again);
}

#[tokio::test]
async fn the_default_branch_is_the_remotes_or_the_configured_one() {
    let server = GitServer::start().await;
    let work = server.repository("app");
    work.git(&["branch", "develop"]);
    work.git(&["branch", "release"]);
    work.push();
    work.git_served(&["symbolic-ref", "HEAD", "refs/heads/develop"]);
    let bench = Bench::with(&allowing(&server));
    let fetched = fetch(&bench, &server, None).await.expect("fetched");
    assert_eq!(fetched.branch, "develop");
    let latest = bench.repos.resolve(PROJECT, "latest", None).await;
    assert_eq!(latest.expect("resolved").branch.as_deref(), Some("develop"));
    let fetched = fetch(&bench, &server, Some("release")).await;
    assert_eq!(fetched.expect("fetched").branch, "release");
    let failure = fetch(&bench, &server, Some("gone")).await;
    let failure = failure.expect_err("no such branch");
    assert_eq!(failure.error.code, Code::RefNotFound);
    assert!(!failure.transient);
    assert!(failure.error.message.contains("`gone`"));
}

#[tokio::test]
async fn empty_and_missing_repositories_say_so() {
    let server = GitServer::start().await;
    let bench = Bench::with(&allowing(&server));
    let failure = fetch(&bench, &server, None).await.expect_err("missing");
    assert_eq!(failure.error.code, Code::SourceUnavailable);
    assert!(!failure.transient);
    assert!(failure.error.message.contains("no such repository"));

    let work = server.repository("app");
    work.git_served(&["update-ref", "-d", "refs/heads/main"]);
    let failure = fetch(&bench, &server, None).await.expect_err("empty");
    assert_eq!(failure.error.code, Code::RefNotFound);
    assert!(failure.error.message.contains("no default branch"));
}

#[tokio::test]
async fn a_server_that_is_away_is_tried_again() {
    let server = GitServer::start().await;
    let limits = allowing(&server);
    let remote = Remote::parse(&server.url("app"), &limits.allowed_hosts);
    let remote = remote.expect("a URL");
    drop(server);
    let bench = Bench::with(&limits);
    let link = Link {
        remote: &remote,
        branch: None,
        credential: None,
    };
    let failure = bench.repos.fetch(PROJECT, &link).await;
    let failure = failure.expect_err("away");
    assert_eq!(failure.error.code, Code::SourceUnavailable);
    assert!(failure.transient);
}

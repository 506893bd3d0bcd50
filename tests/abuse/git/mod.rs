//! Repository URLs that are more than they seem, and repositories that want to
//! do more than be read.

mod addresses;
mod contents;
mod credentials;
mod limits;
mod urls;

use std::path::PathBuf;

use hivesync::config::SourceLimits;
use hivesync::error::Result;
use hivesync::git::{Checkout, Credential, FetchError, Fetched, Link, Remote};

use crate::git_server::{GitServer, Work};
use crate::sources::{Bench, PROJECT};

/// A server that may be fetched from, its repository `app`, and a project of
/// ours that is linked to it.
struct Linked {
    server: GitServer,
    work: Work,
    allowed: Vec<String>,
    bench: Bench,
}

impl Linked {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut SourceLimits)) -> Self {
        let server = GitServer::start().await;
        let work = server.repository("app");
        let allowed = vec![server.host()];
        let mut limits = allowing(&allowed);
        change(&mut limits);
        Self {
            server,
            work,
            allowed,
            bench: Bench::with(&limits),
        }
    }

    async fn fetch(&self) -> Result<Fetched, FetchError> {
        fetch(&self.bench, &self.server.url("app"), &self.allowed, None).await
    }

    async fn fetch_as(&self, credential: &Credential) -> Result<Fetched, FetchError> {
        let url = self.server.url("app");
        fetch(&self.bench, &url, &self.allowed, Some(credential)).await
    }

    /// Checks `commit` out into a new folder.
    async fn checkout(&self, commit: &str) -> (PathBuf, Result<Checkout>) {
        let into = self.bench.folder.path().join("out");
        std::fs::create_dir(&into).expect("made");
        let checkout = self.bench.repos.checkout(PROJECT, commit, &into).await;
        (into, checkout)
    }

    /// Makes `tree` the whole of branch `main`.
    fn publish(&self, tree: &str) -> String {
        let commit = self.work.git(&["commit-tree", "-m", "hostile", tree]);
        self.work.git(&["update-ref", "refs/heads/main", &commit]);
        self.work.push();
        commit
    }
}

fn allowing(hosts: &[String]) -> SourceLimits {
    let mut limits = crate::sources::limits();
    limits.allowed_hosts = hosts.to_vec();
    limits
}

async fn fetch(
    bench: &Bench,
    url: &str,
    allowed: &[String],
    credential: Option<&Credential>,
) -> Result<Fetched, FetchError> {
    let remote = Remote::parse(url, allowed)?;
    let link = Link {
        remote: &remote,
        branch: None,
        credential,
    };
    bench.repos.fetch(PROJECT, &link).await
}

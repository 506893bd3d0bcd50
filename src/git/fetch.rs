//! Fetching a linked repository.
//!
//! [`super::probe`] has found and judged where it lies; git is held to exactly
//! that: one URL, no redirects, the judged addresses, one protocol. A stored
//! credential travels in git's environment, not among its arguments.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::cli::{self, Failure, Git};
use super::credential::Credential;
use super::probe::{FetchError, Probe, Target};
use super::url::Remote;
use super::{Repos, blocking, objects, paths, refname};
use crate::domain::ProjectId;
use crate::error::{Code, Error};
use crate::net::resolve::Resolver;

/// How often the size of what arrives is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(500);
/// Branches and tags, each of which is a file of ours. Far more than people use,
/// and a remote can name millions without sending a byte of contents.
pub(super) const MAX_REFS: usize = 50_000;
/// How much of git's complaint a caller sees.
const SHOWN: usize = 300;

/// The first git that knows `http.curloptResolve`.
const FIRST_WITH_PINNING: (u32, u32) = (2, 37);

/// Where we differ from fsck's own judgement: what many old and harmless
/// repositories have is let through, what must not be in a tree is not.
const JUDGEMENTS: &[&str] = &[
    "fetch.fsck.zeroPaddedFilemode=warn",
    "fetch.fsck.badTimezone=warn",
    "fetch.fsck.missingSpaceBeforeDate=warn",
    "fetch.fsck.missingEmail=warn",
    "fetch.fsck.missingNameBeforeEmail=warn",
    "fetch.fsck.hasDotgit=error",
];

/// A repository to fetch.
pub struct Link<'a> {
    pub remote: &'a Remote,
    /// What `latest` is to mean; `None`: as the remote has it.
    pub branch: Option<&'a str>,
    pub credential: Option<&'a Credential>,
}

/// What a fetch has brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The branch that `latest` means now, and its commit.
    pub branch: String,
    pub commit: String,
}

impl Repos {
    /// Brings the project's repository to the state of the remote: its branches
    /// and tags, and none that it no longer has. What was fetched stays when a
    /// later step fails; a ref is only ever moved to a complete history.
    ///
    /// # Errors
    /// `INVALID_INPUT` for an address that is refused, `REF_NOT_FOUND` when the
    /// branch is not there, else `SOURCE_UNAVAILABLE`. Dropping the future ends
    /// the fetch.
    pub async fn fetch(&self, project: ProjectId, link: &Link<'_>) -> Result<Fetched, FetchError> {
        self.require_pinning().await?;
        let probe = Probe {
            allowed_hosts: &self.config.allowed_hosts,
            resolver: &self.resolver,
            credential: link.credential,
        };
        let target = probe.find(link.remote).await?;

        let _turn = self.turn(project).await;
        let workshop = self.workshop(project);
        let repo = blocking(move || workshop.open().map(Path::to_owned)).await?;
        let credential = link
            .credential
            .filter(|_| target.remote.same_origin(link.remote));
        let git = transfer(&repo, &target, credential).timeout(self.config.git_timeout);
        let bounds = Bounds {
            bytes: self.config.max_repo_bytes,
            refs: self.max_refs,
        };
        tokio::select! {
            outcome = git.run(b"") => {
                outcome.map_err(|failure| self.explain(failure, link.credential))?;
            }
            error = outgrown(&repo, bounds) => return Err(error),
        }
        check_size(&repo, bounds).await?;
        settle(&repo, link.branch, target.head.as_deref()).await
    }

    /// An older git would ignore the judged addresses without a word.
    async fn require_pinning(&self) -> Result<(), FetchError> {
        let version = self
            .git_version
            .get_or_try_init(cli::version)
            .await
            .map_err(FetchError::from)?;
        if *version >= FIRST_WITH_PINNING {
            return Ok(());
        }
        Err(FetchError::last(format!(
            "this server's git is {}.{}, and only 2.37 or newer fetches repositories safely; its \
             operator must update git",
            version.0, version.1
        )))
    }

    fn explain(&self, failure: Failure, credential: Option<&Credential>) -> FetchError {
        match failure {
            Failure::Refused(said) => complaint(&said, credential),
            Failure::TimedOut => FetchError::passing(format!(
                "fetching the repository took longer than {} s; raise GIT_TIMEOUT_SECONDS if it is that large",
                self.config.git_timeout.as_secs()
            )),
            Failure::Broken(error) => error.into(),
        }
    }
}

fn transfer(repo: &Path, target: &Target, credential: Option<&Credential>) -> Git {
    let scheme = target.remote.url().scheme();
    let mut git = Git::guarded_at(repo)
        .durable()
        .with_history()
        .set(format!("protocol.{scheme}.allow=always"))
        .set("http.followRedirects=false")
        .set("http.sslVerify=true")
        // A connection that stands still is given up before the whole time is.
        .set("http.lowSpeedLimit=1000")
        .set("http.lowSpeedTime=60")
        .set("transfer.bundleURI=false")
        .set("fetch.fsckObjects=true")
        // One pack, whose size can be watched.
        .set("fetch.unpackLimit=1")
        .set("fetch.writeCommitGraph=false");
    for setting in JUDGEMENTS {
        git = git.set(setting);
    }
    if !target.addresses.is_empty() {
        git = git.set(pin(target));
    }
    if let Some(file) = std::env::var_os("SSL_CERT_FILE") {
        git = git.env("GIT_SSL_CAINFO", file);
    }
    if let Some(credential) = credential {
        let header = format!("Authorization: {}", *credential.basic());
        git = git
            .env("GIT_CONFIG_COUNT", "1")
            .env(
                "GIT_CONFIG_KEY_0",
                format!("http.{}.extraHeader", target.remote.as_str()),
            )
            .env("GIT_CONFIG_VALUE_0", header);
    }
    git.args(["fetch", "--quiet", "--force", "--prune", "--no-tags"])
        .args(["--no-recurse-submodules", "--no-write-fetch-head"])
        .args(["--no-auto-maintenance", "--no-show-forced-updates", "--"])
        .arg(target.remote.as_str())
        .args(["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"])
}

/// `HOST:PORT:ADDRESS,…`, as curl's `CURLOPT_RESOLVE` takes it.
fn pin(target: &Target) -> String {
    let addresses: Vec<String> = target
        .addresses
        .iter()
        .map(|address| match address.ip() {
            std::net::IpAddr::V4(ip) => ip.to_string(),
            std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        })
        .collect();
    format!(
        "http.curloptResolve={}:{}:{}",
        target.remote.host(),
        target.remote.port(),
        addresses.join(",")
    )
}

/// What a repository may have.
#[derive(Clone, Copy)]
struct Bounds {
    bytes: u64,
    refs: usize,
}

/// Ends when the repository, with what is arriving, is too large.
async fn outgrown(repo: &Path, bounds: Bounds) -> FetchError {
    let mut ticks = tokio::time::interval(WATCH_EVERY);
    loop {
        ticks.tick().await;
        if let Err(error) = check_size(repo, bounds).await {
            return error;
        }
    }
}

async fn check_size(repo: &Path, bounds: Bounds) -> Result<(), FetchError> {
    if pack_bytes(repo).await > bounds.bytes {
        return Err(too_large(bounds.bytes));
    }
    let (refs, limit) = (repo.join("refs"), bounds.refs);
    if blocking(move || Ok(has_more_files(refs, limit))).await? {
        return Err(FetchError::last(format!(
            "the repository has more than {limit} branches and tags; delete those that nobody needs"
        )));
    }
    Ok(())
}

/// Whether there are more than so many files below a folder.
fn has_more_files(folder: PathBuf, limit: usize) -> bool {
    let mut folders = vec![folder];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            } else {
                files += 1;
            }
            if files + folders.len() > limit {
                return true;
            }
        }
    }
    false
}

async fn pack_bytes(repo: &Path) -> u64 {
    let folder = repo.join("objects/pack");
    let size = blocking(move || {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        Ok(entries
            .filter_map(|entry| entry.metadata().ok())
            .map(|facts| facts.len())
            .sum())
    });
    size.await.unwrap_or(0)
}

/// Points HEAD to the branch that `latest` means.
async fn settle(
    repo: &Path,
    wanted: Option<&str>,
    advertised: Option<&str>,
) -> Result<Fetched, FetchError> {
    let candidates: Vec<&str> = match wanted {
        Some(branch) => vec![branch],
        None => advertised.into_iter().chain(["main", "master"]).collect(),
    };
    for branch in candidates {
        if !refname::is_valid(branch) {
            continue;
        }
        if let Some(commit) = objects::head_of(repo, branch).await? {
            Git::at(repo)
                .durable()
                .args(["symbolic-ref", "HEAD"])
                .arg(format!("refs/heads/{branch}"))
                .run(b"")
                .await
                .map_err(|f| f.into_error("set the default branch"))?;
            return Ok(Fetched {
                branch: branch.to_owned(),
                commit,
            });
        }
    }
    let message = match wanted {
        Some(branch) => format!(
            "the repository was fetched, but has no branch {}; correct source.branch",
            paths::shown(branch)
        ),
        None => {
            "the repository was fetched, but has no default branch; push to it, or name a branch \
                 in source.branch"
                .to_owned()
        }
    };
    Err(Error::new(Code::RefNotFound, message).into())
}

fn too_large(limit: u64) -> FetchError {
    FetchError::last(format!(
        "the repository has more than {} MB; raise GIT_MAX_REPO_MB if it is meant to be that large",
        limit >> 20
    ))
}

/// Turns git's words into what a person can do.
fn complaint(said: &str, credential: Option<&Credential>) -> FetchError {
    let masked = credential.map_or_else(|| said.to_owned(), |c| c.mask(said));
    if let Some(error) = cli::disk_full(&masked) {
        return error.into();
    }
    if cli::too_large(&masked) {
        return FetchError::last(format!(
            "the repository is too large to be taken in: it holds {}",
            cli::more_than_a_history_may_have()
        ));
    }
    let line = masked
        .lines()
        .find(|line| line.starts_with("fatal:") || line.starts_with("error:"))
        .or_else(|| masked.lines().next_back())
        .unwrap_or_default();
    let line: String = line
        .chars()
        .filter(|c| !c.is_control())
        .take(SHOWN)
        .collect();
    let message = format!("git could not fetch the repository: {line}");
    let passing = [
        "Could not resolve",
        "Failed to connect",
        "Connection",
        "timed out",
        "early EOF",
        "hung up",
        "RPC failed",
        "error: 5",
        "Operation too slow",
    ];
    let mut failure = if passing.iter().any(|sign| masked.contains(sign)) {
        FetchError::passing(message)
    } else {
        FetchError::last(message)
    };
    failure.error = failure.error.caused_by(masked);
    failure
}

/// For tests that decide what a name resolves to, and how much is too much.
impl Repos {
    #[must_use]
    pub fn with_most_refs(mut self, refs: usize) -> Self {
        self.max_refs = refs;
        self
    }

    #[must_use]
    pub fn resolving_with(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }
}

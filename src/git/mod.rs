//! Repositories: one bare repository per project under `DATA_DIR/repos`,
//! worked by the system's git in a hardened environment ([`cli`]).
//!
//! Commits enter in three ways: as an archive or a local folder ([`import`]),
//! or fetched from a linked repository ([`fetch`]). They are read in place
//! ([`read`]), written out for a build ([`checkout`]) or, where that was done
//! before, brought to another commit (`update`).
//!
//! Writers of one repository take turns: this process is the only one that
//! works on `DATA_DIR`, so a lock in memory is enough. Readers need none: git
//! objects never change and refs are replaced whole.

pub mod checkout;
mod cli;
pub mod credential;
pub mod fetch;
mod heads;
pub mod import;
mod objects;
pub mod paths;
pub mod probe;
pub mod read;
pub mod refname;
mod turns;
mod update;
pub mod url;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::config::SourceLimits;
use crate::data_dir::DataDir;
use crate::disk::remove_tree;
use crate::domain::ProjectId;
use crate::error::{Code, Context, Error, Result};
use crate::net::resolve::{Resolver, SystemResolver};

pub use checkout::Checkout;
pub use credential::Credential;
pub use fetch::{Fetched, Link};
pub use import::{Format, Imported, Skipped};
pub use probe::FetchError;
pub use read::{EntryKind, FileContent, Ref, RefKind, Resolved, Tree, TreeEntry};
use turns::Turns;
pub use update::{Change, Changed};
pub use url::Remote;

/// The repositories of all projects.
pub struct Repos {
    data: DataDir,
    config: SourceLimits,
    resolver: Arc<dyn Resolver>,
    /// Asked once, at the first fetch.
    git_version: tokio::sync::OnceCell<(u32, u32)>,
    writers: Mutex<HashMap<ProjectId, Arc<tokio::sync::Mutex<()>>>>,
    looks: Turns,
    /// Branches and tags that a linked repository may have.
    max_refs: usize,
}

/// The right to write a project's repository.
type Turn = OwnedMutexGuard<()>;

impl Repos {
    /// Below `data`, within the limits of `config`.
    #[must_use]
    pub fn new(data: &DataDir, config: &SourceLimits) -> Self {
        Self {
            data: data.clone(),
            config: config.clone(),
            resolver: Arc::new(SystemResolver),
            git_version: tokio::sync::OnceCell::new(),
            writers: Mutex::default(),
            looks: Turns::default(),
            max_refs: fetch::MAX_REFS,
        }
    }

    /// Deletes the project's repository. Deleting what is absent is no error.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the disk refuses.
    pub async fn remove(&self, project: ProjectId) -> Result<()> {
        let turn = self.turn(project).await;
        let repo = self.data.repo(project);
        let doomed = self.aside(project, "old");
        blocking(move || {
            let _turn = turn;
            let what = "remove a project's repository";
            remove_tree(&doomed).or_internal(what)?;
            // Renamed first, so that no reader meets half a repository.
            match fs::rename(&repo, &doomed) {
                Ok(()) => remove_tree(&doomed).or_internal(what),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
                Err(e) => Err(e).or_internal(what),
            }
        })
        .await
    }

    /// The project's repository, if anything was ever brought into it.
    fn existing(&self, project: ProjectId) -> Result<PathBuf> {
        let repo = self.data.repo(project);
        if repo.join("HEAD").is_file() {
            Ok(repo)
        } else {
            Err(Error::new(
                Code::RefNotFound,
                "the project has no source yet; upload an archive or sync its repository first",
            ))
        }
    }

    async fn turn(&self, project: ProjectId) -> Turn {
        let lock = {
            let mut writers = self.writers.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(writers.entry(project).or_default())
        };
        lock.lock_owned().await
    }

    /// A name beside the repository, for what is not one yet or no more.
    fn aside(&self, project: ProjectId, suffix: &str) -> PathBuf {
        self.data.repos().join(format!(".{project}.{suffix}"))
    }

    /// What a writer needs to know once it has its turn.
    fn workshop(&self, project: ProjectId) -> Workshop {
        Workshop {
            repo: self.data.repo(project),
            unborn: self.aside(project, "new"),
            repos: self.data.repos(),
        }
    }
}

/// A repository that its writer may work on; blocking.
struct Workshop {
    repo: PathBuf,
    unborn: PathBuf,
    /// The folder of both.
    repos: PathBuf,
}

impl Workshop {
    /// Makes the repository if it is not there, and clears what a writer that
    /// was killed has left in it. Answers the repository's folder.
    fn open(&self) -> Result<&Path> {
        if self.repo.join("HEAD").is_file() {
            sweep(&self.repo);
            return Ok(&self.repo);
        }
        remove_tree(&self.unborn).or_internal("remove an unfinished repository")?;
        cli::Git::outside()
            .durable()
            .args(["init", "--quiet", "--bare", "--template="])
            .args(["--object-format=sha1", "--initial-branch=main", "--"])
            .arg(&self.unborn)
            .run_blocking()?;
        cli::close_attributes(&self.unborn)?;
        fs::rename(&self.unborn, &self.repo)
            .and_then(|()| fs::File::open(&self.repos)?.sync_all())
            .or_internal("put a new repository in its place")?;
        Ok(&self.repo)
    }
}

/// Removes git's lock files and unfinished packs. Only under the writer's
/// turn: then nobody is left to whom they could belong.
fn sweep(repo: &Path) {
    let in_folder = |folder: PathBuf, stale: fn(&str) -> bool| {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(stale) {
                // What stays is met again by git, which names it.
                let _ = fs::remove_file(entry.path());
            }
        }
    };
    in_folder(repo.join("objects/pack"), |name| {
        name.starts_with("tmp_") || name.starts_with(".tmp-")
    });
    in_folder(repo.to_owned(), |name| {
        has_extension(name, "lock") || name.starts_with("fast_import_crash_")
    });
    let mut folders = vec![repo.join("refs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
        in_folder(folder, |name| has_extension(name, "lock"));
    }
}

fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name).extension().is_some_and(|e| e == extension)
}

/// Runs blocking work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|e| Err(Error::internal("git work panicked").caused_by(e)))
}

//! The data folder: where everything lies, and who may look.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::domain::{JobId, ProjectId};
use crate::error::{Code, Error, Result};

/// Paths below `DATA_DIR`. Folders are 0700, files 0600.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Makes what is missing of the folder.
    ///
    /// # Errors
    /// `DEPENDENCY_FAILURE` that names the owner, our uid and the command that
    /// mends it, when the folder cannot be written.
    pub fn open(root: &Path) -> Result<Self> {
        let make = |path: &Path| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .and_then(|()| {
                    rustix::fs::access(path, rustix::fs::Access::WRITE_OK).map_err(io::Error::from)
                })
        };
        make(root).map_err(|e| unwritable(root, root, e))?;
        // Symlinks on the way are resolved once, so that later checks of
        // "inside the data folder" compare like with like.
        let root = root.canonicalize().map_err(|e| unwritable(root, root, e))?;
        for sub in [
            "repos",
            "previews",
            "tmp",
            "logs/builds",
            "cache",
            "db",
            "ephemeral",
            "run",
        ] {
            let path = root.join(sub);
            make(&path).map_err(|e| unwritable(&root, &path, e))?;
        }
        Ok(Self { root })
    }

    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    #[must_use]
    pub fn repo(&self, project: ProjectId) -> PathBuf {
        self.root.join("repos").join(project.to_string())
    }

    #[must_use]
    pub fn repos(&self) -> PathBuf {
        self.root.join("repos")
    }

    /// The blob store's root: keys begin with `previews/`.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.root.clone()
    }

    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The folder of one running build.
    #[must_use]
    pub fn job_tmp(&self, job: &JobId) -> PathBuf {
        self.tmp().join(format!("preview-job-{job}"))
    }

    #[must_use]
    pub fn build_log(&self, job: &JobId) -> PathBuf {
        self.root.join("logs/builds").join(format!("{job}.log"))
    }

    #[must_use]
    pub fn dependency_cache(&self) -> PathBuf {
        self.root.join("cache/preview_deps")
    }

    /// What the bundlers of one project keep between builds.
    #[must_use]
    pub fn transform_cache(&self, project: ProjectId) -> PathBuf {
        self.root.join("cache/transform").join(project.to_string())
    }

    /// Package managers, installed on first use.
    #[must_use]
    pub fn tools(&self) -> PathBuf {
        self.root.join("cache/tools")
    }

    /// Web bundles unpacked for serving.
    #[must_use]
    pub fn web_cache(&self) -> PathBuf {
        self.root.join("cache/web")
    }

    #[must_use]
    pub fn db(&self) -> PathBuf {
        self.root.join("db")
    }

    #[must_use]
    pub fn ephemeral(&self) -> PathBuf {
        self.root.join("ephemeral")
    }

    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/hivesync.sock")
    }

    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets.toml")
    }
}

fn unwritable(root: &Path, path: &Path, cause: io::Error) -> Error {
    let uid = rustix::process::geteuid().as_raw();
    let existing = path.ancestors().find(|p| p.exists()).unwrap_or(root);
    let owner =
        fs::metadata(existing).map_or_else(|_| "unknown".to_owned(), |m| m.uid().to_string());
    Error::new(
        Code::DependencyFailure,
        format!(
            "cannot write the data folder: {path} ({cause}); {existing} belongs to uid {owner} and this \
             process runs as uid {uid}; mend it with: sudo chown -R {uid} {existing}, or set DATA_DIR",
            path = path.display(),
            existing = existing.display(),
        ),
    )
    .caused_by(cause)
}

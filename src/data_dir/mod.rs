//! The data folder: where everything lies, and who may look.

mod doubted;
mod unwritable;

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, statvfs};

use crate::domain::{JobId, ProjectId};
use crate::error::{Code, Context, Error, Result};
use unwritable::unwritable;

/// The beginning of the name of a running build's folder.
const JOB_TMP: &str = "preview-job-";
/// The beginning of the name of such a folder when its build has ended.
const ENDED_TMP: &str = "ended-";

/// Paths below `DATA_DIR`. Folders are 0700, files 0600.
#[derive(Clone, Debug)]
pub struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// The paths below `root`, of which nothing need be there: for whoever
    /// looks before, or without, a server of its own.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// Makes what is missing of the folder.
    ///
    /// A folder that is there already keeps its mode: it may be a volume with
    /// rules of its own. What is made is 0700.
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
                    Ok(rustix::fs::access(
                        path,
                        Access::WRITE_OK | Access::EXEC_OK,
                    )?)
                })
        };
        make(root).map_err(|e| unwritable(root, root, &e))?;
        // Symlinks on the way are resolved once, so that later checks of
        // "inside the data folder" compare like with like.
        let root = root
            .canonicalize()
            .map_err(|e| unwritable(root, root, &e))?;
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
            make(&path).map_err(|e| unwritable(&root, &path, &e))?;
        }
        Ok(Self { root })
    }

    /// Bytes of the folder's disk that this process may still fill.
    pub fn free_bytes(&self) -> Result<u64> {
        let stat = statvfs(&self.root).or_code(
            Code::DependencyFailure,
            "measure the disk of the data folder",
        )?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// Refuses to begin something that fills the disk when less than `floor`
    /// bytes are free.
    ///
    /// # Errors
    /// `STORAGE_FULL`.
    pub fn require_free(&self, floor: u64) -> Result<()> {
        let free = self.free_bytes()?;
        if free >= floor {
            return Ok(());
        }
        let megabytes = |bytes: u64| bytes / (1024 * 1024);
        Err(Error::new(
            Code::StorageFull,
            format!(
                "only {} MB are free on the server's disk and this needs {} MB, the reserve of \
                 MIN_FREE_DISK_MB included; the operator must make room",
                megabytes(free),
                megabytes(floor)
            ),
        ))
    }

    /// The data folder itself, absolute.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The bare repository of one project.
    #[must_use]
    pub fn repo(&self, project: ProjectId) -> PathBuf {
        self.root.join("repos").join(project.to_string())
    }

    /// The repositories of all projects.
    #[must_use]
    pub fn repos(&self) -> PathBuf {
        self.root.join("repos")
    }

    /// The blob store's root: keys begin with `previews/`.
    #[must_use]
    pub fn blobs(&self) -> PathBuf {
        self.root.clone()
    }

    /// What is in the making. Nothing in it outlives a start.
    #[must_use]
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The folder of one running build.
    #[must_use]
    pub fn job_tmp(&self, job: &JobId) -> PathBuf {
        self.tmp().join(format!("{JOB_TMP}{job}"))
    }

    /// The build that a folder of this name in [`DataDir::tmp`] belongs to.
    #[must_use]
    pub fn job_of_tmp(name: &str) -> Option<JobId> {
        name.strip_prefix(JOB_TMP)?.parse().ok()
    }

    /// Where the folder of a build goes when the attempt of that fence has ended,
    /// to be removed from there.
    #[must_use]
    pub fn ended_tmp(&self, job: &JobId, fence: u64) -> PathBuf {
        self.tmp().join(format!("{ENDED_TMP}{job}-{fence}"))
    }

    /// Where the `number`th of what an earlier process has left goes, to be removed
    /// from there. `start` is a name that no other start has.
    #[must_use]
    pub fn left_tmp(&self, start: &str, number: usize) -> PathBuf {
        self.tmp().join(format!("{ENDED_TMP}{start}-{number}"))
    }

    /// Whether a folder of this name in [`DataDir::tmp`] is nobody's any more.
    #[must_use]
    pub fn is_ended_tmp(name: &str) -> bool {
        name.starts_with(ENDED_TMP)
    }

    /// The log of one build, of all its attempts.
    #[must_use]
    pub fn build_log(&self, job: &JobId) -> PathBuf {
        self.root.join("logs/builds").join(format!("{job}.log"))
    }

    /// Installed dependencies, by their digest.
    #[must_use]
    pub fn dependency_cache(&self) -> PathBuf {
        self.root.join("cache/preview_deps")
    }

    /// What the package manager `name` keeps of its downloads: for everyone,
    /// or for one project alone.
    #[must_use]
    pub fn download_cache(&self, name: &str, owner: Option<ProjectId>) -> PathBuf {
        match owner {
            None => self.root.join("cache").join(name),
            Some(project) => self.private_downloads(project).join(name),
        }
    }

    /// The download caches of one project alone.
    #[must_use]
    pub fn private_downloads(&self, project: ProjectId) -> PathBuf {
        self.root.join("cache/private").join(project.to_string())
    }

    /// What is kept for builds: of each project what its builds write, and the
    /// sets of dependencies that they share. As many as are there.
    #[must_use]
    pub fn build_caches(&self) -> Vec<PathBuf> {
        let cache = self.root.join("cache");
        ["transform", "private", "preview_deps"]
            .into_iter()
            .filter_map(|name| fs::read_dir(cache.join(name)).ok())
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect()
    }

    /// What the bundlers of one project keep between builds.
    #[must_use]
    pub fn transform_cache(&self, project: ProjectId) -> PathBuf {
        self.root.join("cache/transform").join(project.to_string())
    }

    /// What the warm bundlers of this process work in.
    #[must_use]
    pub fn bundlers(&self) -> PathBuf {
        self.root.join("cache/bundlers")
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

    /// The folder of the database.
    #[must_use]
    pub fn db(&self) -> PathBuf {
        self.root.join("db")
    }

    /// Refuses a folder whose database is gone while repositories or bundles
    /// are there. They are named by numbers that a new database gives out
    /// again: whoever makes its first project would be shown what another has
    /// left.
    ///
    /// # Errors
    /// `DEPENDENCY_FAILURE`, with the two ways to go on.
    pub fn insist_on(&self, database: &Path) -> Result<()> {
        let what = "look for the database";
        if database
            .try_exists()
            .or_code(Code::DependencyFailure, what)?
        {
            return Ok(());
        }
        for folder in [self.repos(), self.root.join("previews")] {
            let mut entries = fs::read_dir(&folder).or_code(Code::DependencyFailure, what)?;
            if entries.next().is_some() {
                return Err(Error::new(
                    Code::DependencyFailure,
                    format!(
                        "the database {} is missing, and {} still holds what belonged to its \
                         projects. Bring the database back from a backup; to start anew, use \
                         another DATA_DIR or move the whole of {} away",
                        database.display(),
                        folder.display(),
                        self.root.display()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The folder of what may be lost.
    #[must_use]
    pub fn ephemeral(&self) -> PathBuf {
        self.root.join("ephemeral")
    }

    /// Where the operator's commands find the running server.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.root.join("run/hivesync.sock")
    }

    /// The secrets that the server has made for itself.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets.toml")
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_made_is_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a/b");
        let data = DataDir::open(&root).unwrap();
        assert_eq!(data.root(), root.canonicalize().unwrap());
        let folders = ignore::WalkBuilder::new(dir.path().join("a"))
            .standard_filters(false)
            .build();
        let mut seen = 0;
        for folder in folders {
            let mode = folder.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700);
            seen += 1;
        }
        assert!(seen >= 11, "{seen}");
        DataDir::open(&root).unwrap();
    }

    #[test]
    fn a_link_on_the_way_is_resolved() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        let data = DataDir::open(&link.join("data")).unwrap();
        assert_eq!(data.root(), dir.path().canonicalize().unwrap().join("data"));
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("data");
        fs::write(&root, "").unwrap();
        let message = DataDir::open(&root).unwrap_err().message;
        assert!(
            message.contains("data is not a folder: move it"),
            "{message}"
        );
        let message = DataDir::open(&root.join("below")).unwrap_err().message;
        assert!(
            message.contains("data is not a folder: move it"),
            "{message}"
        );
        fs::remove_file(&root).unwrap();
        fs::create_dir(&root).unwrap();
        fs::write(root.join("tmp"), "").unwrap();
        let message = DataDir::open(&root).unwrap_err().message;
        assert!(message.contains("data/tmp is not a folder"), "{message}");
    }

    #[test]
    fn a_disk_below_its_floor_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        data.require_free(0).unwrap();
        let refusal = data.require_free(u64::MAX).unwrap_err();
        assert_eq!(refusal.code, Code::StorageFull);
        assert!(refusal.message.contains("MIN_FREE_DISK_MB"));
    }
}

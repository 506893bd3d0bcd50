//! Repositories: one bare repository per project under `DATA_DIR/repos`,
//! worked by the system's git in a hardened environment.

use std::path::Path;

use crate::data_dir::DataDir;
use crate::domain::ProjectId;
use crate::error::Result;

pub struct Repos {
    data: DataDir,
}

/// A ref made definite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// 40 or 64 hex digits.
    pub commit: String,
    /// The branch, where the ref named one (or was `latest`).
    pub branch: Option<String>,
}

impl Repos {
    #[must_use]
    pub fn new(data: &DataDir) -> Self {
        Self { data: data.clone() }
    }

    /// The commit that `git_ref` names: a branch, tag, commit id (at least 7
    /// digits) or `latest` (`default_branch`, else the repository's HEAD).
    ///
    /// # Errors
    /// `REF_NOT_FOUND`.
    pub async fn resolve(
        &self,
        project: ProjectId,
        git_ref: &str,
        default_branch: Option<&str>,
    ) -> Result<Resolved> {
        let _ = (project, git_ref, default_branch, &self.data);
        unimplemented!()
    }

    /// Writes the files of `commit` below the empty folder `into`. The
    /// repository is not written to.
    ///
    /// # Errors
    /// `SOURCE_UNAVAILABLE`.
    pub async fn checkout(&self, project: ProjectId, commit: &str, into: &Path) -> Result<()> {
        let _ = (project, commit, into);
        unimplemented!()
    }
}

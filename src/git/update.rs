//! Bringing a checkout that was kept to another commit: only what has changed
//! is written.

use std::path::{Path, PathBuf};

use super::Repos;
use super::checkout::unavailable;
use super::cli::{Failure, Git};
use super::refname;
use crate::domain::ProjectId;
use crate::error::Result;

/// Changes beyond this are better checked out anew.
const MOST_CHANGES: usize = 400;

/// What became of a file between two commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Added,
    Modified,
    Deleted,
}

/// A file that differs between two commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    pub change: Change,
    /// Relative to the top of the tree.
    pub path: PathBuf,
}

impl Repos {
    /// The files that differ between two commits; `None` where the way from
    /// one to the other is more than writing and removing a few plain files.
    ///
    /// # Errors
    /// `SOURCE_UNAVAILABLE` when a commit is not there, or the new one is
    /// larger than the limits of an upload; `STORAGE_FULL` when the disk has no
    /// room for that one.
    pub async fn changes(
        &self,
        project: ProjectId,
        from: &str,
        to: &str,
    ) -> Result<Option<Vec<Changed>>> {
        refname::require_commit_id(from)?;
        refname::require_commit_id(to)?;
        let repo = self.existing(project)?;
        let differing = async {
            Git::at(&repo)
                .args(["diff-tree", "-r", "-z", "--raw", "--no-renames", from, to])
                .output_limit(MOST_CHANGES * 4096)
                .run(b"")
                .await
                .map_err(unavailable)
        };
        // The limits hold for every commit, however it is written out.
        let (differing, survey) = tokio::join!(differing, self.survey(&repo, to));
        survey?;
        let differing = differing?;
        if differing.truncated {
            return Ok(None);
        }
        Ok(parse(&differing.stdout))
    }

    /// Brings the checkout `into`, whose index lies at `index`, from one commit
    /// to another. Answers `false` when it is not as git has left it.
    ///
    /// # Errors
    /// Only when git could not be run to its end.
    pub async fn update(
        &self,
        project: ProjectId,
        from: &str,
        to: &str,
        into: &Path,
        index: &Path,
    ) -> Result<bool> {
        refname::require_commit_id(from)?;
        refname::require_commit_id(to)?;
        let merged = Git::writing_out(&self.existing(project)?, index, into)?
            // What was checked out may have been given to another user since.
            .set("core.trustctime=false")
            .set("core.checkStat=minimal")
            .args(["read-tree", "-m", "-u", from, to])
            .run(b"")
            .await;
        match merged {
            Ok(_) => Ok(true),
            Err(Failure::Refused(said)) => {
                tracing::debug!(said, "a kept checkout was refused");
                Ok(false)
            }
            Err(failure) => Err(unavailable(failure)),
        }
    }
}

/// The records of `diff-tree --raw -z`: `:<mode> <mode> <id> <id> <status>`,
/// then the path.
fn parse(raw: &[u8]) -> Option<Vec<Changed>> {
    let mut changed = Vec::new();
    let mut fields = raw.split(|byte| *byte == 0).filter(|f| !f.is_empty());
    while let Some(facts) = fields.next() {
        let facts = std::str::from_utf8(facts).ok()?.strip_prefix(':')?;
        let words: Vec<&str> = facts.split(' ').collect();
        let [before, after, old, new, status] = words[..] else {
            return None;
        };
        // A link or a submodule on either side needs what a checkout does.
        let plain = |mode: &str| mode == "000000" || mode.starts_with("100");
        if !plain(before) || !plain(after) {
            return None;
        }
        let path = PathBuf::from(std::str::from_utf8(fields.next()?).ok()?);
        let change = match status {
            "A" => Change::Added,
            "D" => Change::Deleted,
            "M" if old == new => continue,
            "M" => Change::Modified,
            _ => return None,
        };
        changed.push(Changed { change, path });
    }
    (changed.len() <= MOST_CHANGES).then_some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<Vec<(Change, String)>> {
        let changed = parse(text.as_bytes())?;
        let shown = |c: Changed| (c.change, c.path.to_string_lossy().into_owned());
        Some(changed.into_iter().map(shown).collect())
    }

    #[test]
    fn plain_files_are_told_by_what_became_of_them() {
        let raw = ":100644 100644 a b M\0src/a.js\0:000000 100644 0 c A\0new.js\0\
                   :100644 000000 d 0 D\0old.js\0:100644 100755 e e M\0run.sh\0";
        assert_eq!(
            parsed(raw).unwrap(),
            [
                (Change::Modified, "src/a.js".to_owned()),
                (Change::Added, "new.js".to_owned()),
                (Change::Deleted, "old.js".to_owned()),
            ]
        );
        assert_eq!(parsed("").unwrap(), []);
    }

    #[test]
    fn whatever_is_no_plain_file_needs_a_checkout() {
        for raw in [
            ":000000 120000 0 a A\0link\0",
            ":160000 160000 a b M\0module\0",
            ":100644 120000 a b T\0was-a-file\0",
            "nonsense\0",
        ] {
            assert_eq!(parsed(raw), None, "{raw}");
        }
        let many = ":000000 100644 0 a A\0x\0".repeat(MOST_CHANGES + 1);
        assert_eq!(parsed(&many), None);
    }
}

//! Writing a commit's files out for a build.
//!
//! The index lies beside them, so the repository is only read. Files get the
//! commit's own bytes: what the tree's attributes say takes no part. Hooks are off,
//! submodules become empty folders, and a symbolic link that leaves the tree is
//! left out.

use std::path::Path;

use super::cli::{self, Failure, Git};
use super::read::{EntryKind, parse_entry};
use super::{Repos, paths, refname};
use crate::domain::ProjectId;
use crate::error::{Code, Context, Error, Result};

/// Bytes of the disk that even the smallest file takes.
const BLOCK: u64 = 4096;

/// What a checkout did not write as it stands in the commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkout {
    /// Symbolic links that point outside of the tree.
    pub left_out: Vec<String>,
    /// Submodules, now empty folders.
    pub submodules: Vec<String>,
}

pub(super) struct Link {
    path: Vec<u8>,
    object: String,
}

impl Repos {
    /// Writes the files of `commit` below the empty folder `into`. The
    /// repository is not written to. Meanwhile a temporary folder lies beside
    /// `into`; a caller that is killed removes both with their parent.
    ///
    /// # Errors
    /// `SOURCE_UNAVAILABLE` when the commit is not there, is larger than the
    /// limits of an upload or holds paths that git refuses; `STORAGE_FULL` when
    /// the disk has no room for it.
    pub async fn checkout(
        &self,
        project: ProjectId,
        commit: &str,
        into: &Path,
    ) -> Result<Checkout> {
        let aside = tempfile::Builder::new()
            .prefix(".index-")
            .tempdir_in(into.parent().unwrap_or(into))
            .or_internal("make a folder for an index")?;
        let index = aside.path().join("index");
        self.checkout_with(project, commit, into, &index).await
    }

    /// The same, with the index at `index`, which is left there.
    ///
    /// # Errors
    /// As [`Repos::checkout`].
    pub async fn checkout_with(
        &self,
        project: ProjectId,
        commit: &str,
        into: &Path,
        index: &Path,
    ) -> Result<Checkout> {
        refname::require_commit_id(commit)?;
        let repo = self.existing(project)?;
        let (links, submodules) = self.survey(&repo, commit).await?;
        let left_out = unsafe_links(&repo, links).await?;

        let git = || Git::writing_out(&repo, index, into);
        git()?
            .args(["read-tree", commit])
            .run(b"")
            .await
            .map_err(unavailable)?;
        if !left_out.is_empty() {
            let names: Vec<u8> = left_out
                .iter()
                .flat_map(|path| path.iter().copied().chain([0]))
                .collect();
            git()?
                .args(["update-index", "--force-remove", "-z", "--stdin"])
                .run(&names)
                .await
                .map_err(unavailable)?;
        }
        // `--index`: the index knows the files as they were written, so that an
        // update can tell whether they still are.
        git()?
            .args(["checkout-index", "--all", "--force", "--quiet", "--index"])
            .run(b"")
            .await
            .map_err(unavailable)?;
        let text = |paths: Vec<Vec<u8>>| {
            paths
                .iter()
                .map(|path| String::from_utf8_lossy(path).into_owned())
                .collect()
        };
        Ok(Checkout {
            left_out: text(left_out),
            submodules: text(submodules),
        })
    }

    /// Counts before anything is written: a tree of a few kilobytes can
    /// stand for billions of files.
    pub(super) async fn survey(
        &self,
        repo: &Path,
        commit: &str,
    ) -> Result<(Vec<Link>, Vec<Vec<u8>>)> {
        let (max_files, max_bytes) = (self.config.max_files, self.config.max_unpacked_bytes);
        // A record has at most a path and some 70 bytes of facts; ordinary
        // ones are far below 512 bytes.
        let listing = usize::try_from(max_files.saturating_mul(512)).unwrap_or(usize::MAX);
        let output = Git::at(repo)
            .args(["ls-tree", "-r", "-z", "-l", "--full-tree", commit])
            .output_limit(listing)
            .run(b"")
            .await
            .map_err(unavailable)?;
        let mut links = Vec::new();
        let mut submodules = Vec::new();
        let (mut files, mut bytes, mut room) = (0, 0_u64, self.config.free_bytes);
        for record in output.stdout.split(|b| *b == 0) {
            let Some(entry) = parse_entry(record) else {
                continue;
            };
            files += 1;
            let size = entry.size.unwrap_or(0);
            bytes = bytes.saturating_add(size);
            room = room.saturating_add(size).saturating_add(BLOCK);
            let path = || {
                let tab = record.iter().position(|b| *b == b'\t').unwrap_or(0);
                record.get(tab + 1..).unwrap_or_default().to_vec()
            };
            match entry.kind {
                EntryKind::Symlink => links.push(Link {
                    path: path(),
                    object: entry.object,
                }),
                EntryKind::Submodule => submodules.push(path()),
                _ => {}
            }
        }
        if output.truncated || files > max_files || bytes > max_bytes {
            return Err(Error::new(
                Code::SourceUnavailable,
                format!(
                    "the commit has more than {max_files} files or {max_bytes} bytes; leave out what is \
                     not needed for the build, or raise UPLOAD_MAX_FILES and UPLOAD_MAX_UNPACKED_MB"
                ),
            ));
        }
        self.data.require_free(room)?;
        Ok((links, submodules))
    }
}

/// Which of the links leave the tree.
async fn unsafe_links(repo: &Path, links: Vec<Link>) -> Result<Vec<Vec<u8>>> {
    if links.is_empty() {
        return Ok(Vec::new());
    }
    let mut names = String::new();
    for link in &links {
        names.push_str(&link.object);
        names.push('\n');
    }
    let output = Git::at(repo)
        .args(["cat-file", "--batch=%(objectsize)"])
        .run(names.as_bytes())
        .await
        .map_err(unavailable)?;
    let mut rest = output.stdout.as_slice();
    let mut left_out = Vec::new();
    for link in links {
        let inside = next_target(&mut rest)
            .and_then(|target| std::str::from_utf8(target).ok())
            .zip(std::str::from_utf8(&link.path).ok())
            .is_some_and(|(target, path)| paths::link_stays_inside(path, target));
        if !inside {
            left_out.push(link.path);
        }
    }
    Ok(left_out)
}

/// `<size>\n<bytes>\n`. When one record is broken, the rest is not read.
fn next_target<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let bytes = *rest;
    *rest = &[];
    let line = bytes.iter().position(|b| *b == b'\n')?;
    let size: usize = std::str::from_utf8(bytes.get(..line)?).ok()?.parse().ok()?;
    let start = line + 1;
    let end = start.checked_add(size)?;
    let target = bytes.get(start..end)?;
    *rest = bytes.get(end + 1..).unwrap_or_default();
    Some(target)
}

pub(super) fn unavailable(failure: Failure) -> Error {
    match failure {
        Failure::Refused(said) => cli::disk_full(&said).unwrap_or_else(|| {
            Error::new(
                Code::SourceUnavailable,
                "the commit could not be checked out; sync or upload the project again",
            )
            .caused_by(said)
        }),
        Failure::TimedOut => Error::new(
            Code::SourceUnavailable,
            "checking the commit out took too long; try again",
        ),
        Failure::Broken(error) => error,
    }
}

//! Archives and local folders become commits, without their entries ever
//! being files: they stream from the archive into `git fast-import`.
//!
//! Everything is read twice. The first pass ([`plan`]) only judges: names,
//! kinds, sizes, links. Nothing has been written when it refuses. The second
//! pass streams what was judged into a commit on a private ref. Only when that
//! stands does the branch move, in one step.
//!
//! - A single folder that holds everything (GitHub's `name-branch/`) is
//!   stripped, so that the project's files are at the root; unless an entry
//!   `./` says that the root itself was packed.
//! - `.git` and `node_modules` folders are skipped and counted, and so is what
//!   macOS adds (`__MACOSX`, `.DS_Store`).
//! - Links stay when they stay inside; hard links, devices and other special
//!   entries are refused. Of the permissions only the executable bit is kept.
//! - The same tree as the branch has already is the same commit.

mod folder;
mod plan;
mod stream;
mod tar;
mod zip;

use std::fmt::Write as _;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::cli::Git;
use super::{Repos, blocking, objects, paths};
use crate::clock::Timestamp;
use crate::config::SourceLimits;
use crate::domain::ProjectId;
use crate::error::{Code, Context, Error, Result};
use plan::Plan;

/// Where the second pass writes; only ever one at a time, under the turn.
const PRIVATE_REF: &str = "refs/hivesync/import";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Zip,
    TarGz,
}

impl Format {
    /// By the first bytes: names and media types are often wrong.
    #[must_use]
    pub fn of(start: &[u8]) -> Option<Format> {
        if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
            Some(Format::Zip)
        } else if start.starts_with(&[0x1f, 0x8b]) {
            Some(Format::TarGz)
        } else {
            None
        }
    }

    /// # Errors
    /// `UNSUPPORTED_MEDIA_TYPE`.
    pub fn of_file(file: &mut File) -> Result<Format> {
        let mut start = Vec::new();
        file.seek(SeekFrom::Start(0))
            .and_then(|_| (&mut *file).take(4).read_to_end(&mut start))
            .or_internal("read an uploaded archive")?;
        Format::of(&start).ok_or_else(|| {
            Error::new(
                Code::UnsupportedMediaType,
                "the body is neither a .zip nor a .tar.gz; send one of these as the body itself",
            )
        })
    }
}

/// What came of an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    pub commit: String,
    /// The branch that has it.
    pub branch: &'static str,
    /// Files and links in the commit.
    pub files: u64,
    pub skipped: Skipped,
}

/// Entries that were left out on purpose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Below a `.git` folder.
    pub git: u64,
    /// Below a `node_modules` folder.
    pub node_modules: u64,
    /// What macOS adds, and in a local folder what cannot be kept: links that
    /// lead outside, sockets, devices.
    pub other: u64,
}

/// The commit to make.
struct Commit {
    branch: &'static str,
    message: &'static str,
    at: Timestamp,
    parent: Option<String>,
}

/// One entry of what is imported.
struct Incoming<'a> {
    /// As the archive spells it.
    name: &'a str,
    kind: Kind,
}

enum Kind {
    Folder,
    File { executable: bool, size: u64 },
    Link { target: String },
}

/// Something that can be walked twice, with the same result.
///
/// `visit` may read a file's content from its second argument, or not.
trait Intake: Send {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<()>;
    /// Bytes of the archive, to judge what it unpacks to.
    fn packed_size(&self) -> Option<u64>;
    /// Whether everything is inside one folder that is not meant.
    fn may_have_wrapper(&self) -> bool;
    /// Entries that the walk itself has left out.
    fn passed_over(&self) -> u64 {
        0
    }
}

type Visit<'a> = dyn FnMut(Incoming<'_>, &mut dyn Read) -> Result<()> + 'a;

impl Repos {
    /// Makes the archive in `file` the newest commit of branch `upload`.
    ///
    /// # Errors
    /// `INVALID_INPUT` for an archive that is damaged or holds what must not be
    /// stored, `PAYLOAD_TOO_LARGE` above the limits, `UNSUPPORTED_MEDIA_TYPE`.
    /// After an error the repository is as it was.
    pub async fn import_archive(
        &self,
        project: ProjectId,
        mut file: File,
        at: Timestamp,
    ) -> Result<Imported> {
        let commit = Commit {
            branch: "upload",
            message: "Upload",
            at,
            parent: None,
        };
        let config = self.config.clone();
        let open = move || -> Result<Box<dyn Intake>> {
            Ok(match Format::of_file(&mut file)? {
                Format::Zip => Box::new(zip::Zip::new(file, &config)?),
                Format::TarGz => Box::new(tar::TarGz::new(file, &config)?),
            })
        };
        self.import(project, commit, open).await
    }

    /// Makes the folder, as it is now, the newest commit of branch `local`.
    /// What its `.gitignore` files name is left out.
    ///
    /// # Errors
    /// `SOURCE_UNAVAILABLE` when the folder cannot be read.
    pub async fn import_folder(
        &self,
        project: ProjectId,
        folder: PathBuf,
        at: Timestamp,
    ) -> Result<Imported> {
        let commit = Commit {
            branch: "local",
            message: "Snapshot",
            at,
            parent: None,
        };
        let own = self.data.root().to_owned();
        let open =
            move || -> Result<Box<dyn Intake>> { Ok(Box::new(folder::Folder::new(&folder, own)?)) };
        self.import(project, commit, open).await
    }

    async fn import(
        &self,
        project: ProjectId,
        mut commit: Commit,
        open: impl FnOnce() -> Result<Box<dyn Intake>> + Send + 'static,
    ) -> Result<Imported> {
        let turn = self.turn(project).await;
        let config = self.config.clone();
        let (mut intake, plan) = blocking(move || {
            let mut intake = open()?;
            let plan = judge(intake.as_mut(), &config)?;
            Ok((intake, plan))
        })
        .await?;

        let workshop = self.workshop(project);
        let repo = blocking(move || workshop.open().map(Path::to_owned)).await?;
        commit.parent = objects::head_of(&repo, commit.branch).await?;
        let (files, skipped) = (plan.files(), plan.skipped());
        let branch = commit.branch;
        let parent = commit.parent.clone();
        // The turn goes along: when the caller goes away, the thread still
        // writes, and nobody else may.
        let (repo, turn) = blocking(move || {
            let written = write(&repo, intake.as_mut(), &plan, &commit);
            if written.is_err() {
                super::sweep(&repo);
            }
            written.map(|()| (repo, turn))
        })
        .await?;
        stop_point!(UploadWritten);
        let commit = settle(&repo, branch, parent).await?;
        stop_point!(UploadMoved);
        drop(turn);
        Ok(Imported {
            commit,
            branch,
            files,
            skipped,
        })
    }
}

/// The first pass.
fn judge(intake: &mut dyn Intake, config: &SourceLimits) -> Result<Plan> {
    let mut plan = Plan::new(config, intake.packed_size());
    intake.each(&mut |entry, _content| plan.admit(&entry))?;
    plan.pass_over(intake.passed_over());
    plan.settle(intake.may_have_wrapper())?;
    Ok(plan)
}

/// The second pass.
fn write(repo: &Path, intake: &mut dyn Intake, plan: &Plan, commit: &Commit) -> Result<()> {
    let mut stream = stream::Stream::open(repo, PRIVATE_REF, commit)?;
    intake.each(&mut |entry, content| {
        let Some(path) = plan.place(entry.name)? else {
            return Ok(());
        };
        match entry.kind {
            Kind::Folder => Ok(()),
            Kind::File { executable, size } => stream.file(&path, executable, size, content),
            Kind::Link { target } => stream.link(&path, &target),
        }
    })?;
    stream.finish()
}

/// Moves the branch to the private ref's commit, unless its tree is there
/// already. Answers the branch's commit.
async fn settle(repo: &Path, branch: &str, parent: Option<String>) -> Result<String> {
    let missing = || Error::internal("git has not made the commit it was given");
    let new_tree = objects::tree_of(repo, PRIVATE_REF)
        .await?
        .ok_or_else(missing)?;
    let old_tree = match &parent {
        Some(commit) => objects::tree_of(repo, commit).await?,
        None => None,
    };
    let mut transaction = format!("start\ndelete {PRIVATE_REF}\n");
    let commit = match parent {
        Some(commit) if old_tree.as_ref() == Some(&new_tree) => commit,
        parent => {
            let new = objects::commit_of(repo, PRIVATE_REF)
                .await?
                .ok_or_else(missing)?;
            let old = parent.unwrap_or_else(|| "0".repeat(new.len()));
            let _ = writeln!(transaction, "update refs/heads/{branch} {new} {old}");
            new
        }
    };
    transaction.push_str("prepare\ncommit\n");
    Git::at(repo)
        .durable()
        .args(["update-ref", "--stdin"])
        .run(transaction.as_bytes())
        .await
        .map_err(|f| f.into_error("move a branch"))?;
    Ok(commit)
}

fn damaged(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::invalid(
        "archive",
        "the archive is damaged or incomplete; pack it again and repeat the upload",
    )
    .caused_by(cause)
}

fn special(name: &str) -> Error {
    Error::invalid(
        "archive",
        format!(
            "the archive holds {}, which is neither a file, a folder nor a symbolic link; nothing was stored",
            paths::shown(name)
        ),
    )
}

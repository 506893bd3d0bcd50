//! Looking into a repository: refs, trees and files, straight from git's
//! objects. Nothing is checked out and no symbolic link is followed.

use std::path::Path;

use super::cli::Git;
use super::heads::head_in_files;
use super::objects::{Object, head_branch, head_of, look_up};
use super::{Repos, blocking, paths, refname};
use crate::clock::Timestamp;
use crate::domain::ProjectId;
use crate::error::{Code, Error, Result};

/// Refs listed at most, newest first.
const MAX_REFS: usize = 2000;
/// Bytes of a folder's listing; about 50,000 entries.
const MAX_LISTING: usize = 4 << 20;
/// Bytes of a file that is shown.
pub const MAX_FILE: u64 = 2 << 20;

/// A ref made definite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// 40 or 64 hex digits.
    pub commit: String,
    /// The branch, where the ref named one (or was `latest`).
    pub branch: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefKind {
    Branch,
    Tag,
}

/// A branch or a tag, as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ref {
    pub kind: RefKind,
    /// Without `refs/heads/` or `refs/tags/`.
    pub name: String,
    pub commit: String,
    /// When the commit was made.
    pub committed_at: Timestamp,
    /// The commit message's first line.
    pub subject: String,
    /// Whether `latest` means this branch.
    pub is_default: bool,
}

/// What an entry of a tree is, by its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    File,
    Executable,
    Folder,
    Symlink,
    Submodule,
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    pub name: String,
    pub kind: EntryKind,
    /// Bytes; files and symbolic links have one.
    pub size: Option<u64>,
    pub(super) object: String,
}

/// A folder in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    pub commit: String,
    pub entries: Vec<TreeEntry>,
    /// There are more entries than are listed.
    pub truncated: bool,
}

/// A file in a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileContent {
    pub commit: String,
    /// A file, an executable, or a symbolic link, whose content is its target.
    pub kind: EntryKind,
    pub content: Vec<u8>,
}

impl Repos {
    /// The commit that `git_ref` names: a branch, tag, commit id (at least 7
    /// digits) or `latest` (`default_branch`, else the repository's HEAD).
    ///
    /// # Errors
    /// `REF_NOT_FOUND`, `INVALID_INPUT` for text that cannot be a ref.
    pub async fn resolve(
        &self,
        project: ProjectId,
        git_ref: &str,
        default_branch: Option<&str>,
    ) -> Result<Resolved> {
        refname::check("git_ref", git_ref)?;
        let repo = self.existing(project)?;
        if git_ref == "latest" {
            let branch = match default_branch {
                Some(branch) => Some(branch.to_owned()),
                None => head_branch(&repo),
            };
            return self.latest(project, &repo, branch).await;
        }
        let branch = git_ref.strip_prefix("refs/heads/").unwrap_or(git_ref);
        if let Some(commit) = quick_head(&repo, branch).await? {
            return Ok(Resolved {
                commit,
                branch: Some(branch.to_owned()),
            });
        }
        let tag = git_ref.strip_prefix("refs/tags/").unwrap_or(git_ref);
        let mut names = vec![
            format!("refs/heads/{branch}^{{commit}}"),
            format!("refs/tags/{tag}^{{commit}}"),
        ];
        if refname::is_commit_id(git_ref) {
            names.push(format!("{git_ref}^{{commit}}"));
        }
        let turn = self.looks.look(project).await?;
        let found = look_up(&repo, &names).await?;
        drop(turn);
        let (which, object) = found
            .into_iter()
            .enumerate()
            .find_map(|(i, object)| Some((i, object?)))
            .ok_or_else(|| no_ref(git_ref))?;
        Ok(Resolved {
            commit: object.id,
            branch: (which == 0).then(|| branch.to_owned()),
        })
    }

    async fn latest(
        &self,
        project: ProjectId,
        repo: &Path,
        branch: Option<String>,
    ) -> Result<Resolved> {
        let none = || {
            Error::new(
                Code::RefNotFound,
                "the project has no commits yet; upload an archive or sync its repository first",
            )
        };
        let branch = branch.ok_or_else(none)?;
        if !refname::is_valid(&branch) {
            return Err(no_ref(&branch));
        }
        if let Some(commit) = quick_head(repo, &branch).await? {
            return Ok(Resolved {
                commit,
                branch: Some(branch),
            });
        }
        let _turn = self.looks.look(project).await?;
        let commit = head_of(repo, &branch).await?.ok_or_else(|| {
        Error::new(
            Code::RefNotFound,
            format!(
                "the default branch {} has no commits; push to it, or name another in source.branch",
                paths::shown(&branch)
            ),
        )
    })?;
        Ok(Resolved {
            commit,
            branch: Some(branch),
        })
    }

    /// Branches and tags, newest first; empty before anything was brought in.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the repository is damaged.
    pub async fn refs(&self, project: ProjectId, default_branch: Option<&str>) -> Result<Vec<Ref>> {
        let Ok(repo) = self.existing(project) else {
            return Ok(Vec::new());
        };
        let _turn = self.looks.look(project).await?;
        let default = default_branch
            .map(str::to_owned)
            .or_else(|| head_branch(&repo));
        let output = Git::at(&repo)
            .args(["for-each-ref", "--sort=-creatordate"])
            .arg(format!("--count={MAX_REFS}"))
            // An annotated tag's own fields are followed by its commit's.
            .arg(
                "--format=%(refname)%00%(objecttype)%00%(objectname)%00%(committerdate:unix)%00\
                 %(contents:subject)%00%(*objecttype)%00%(*objectname)%00%(*committerdate:unix)%00\
                 %(*contents:subject)",
            )
            .args(["refs/heads/", "refs/tags/"])
            .run(b"")
            .await
            .map_err(|f| f.into_error("list refs"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text
            .lines()
            .filter_map(|line| parse_ref(line, default.as_deref()))
            .collect())
    }

    /// The entries of the folder `path` (`""` is the root) in `commit`.
    ///
    /// # Errors
    /// `REF_NOT_FOUND` when there is no such folder, `INVALID_INPUT` for a path
    /// that is not one.
    pub async fn tree(&self, project: ProjectId, commit: &str, path: &str) -> Result<Tree> {
        refname::require_commit_id(commit)?;
        let path = paths::requested(path)?;
        let repo = self.existing(project)?;
        let _turn = self.looks.look(project).await?;
        let name = format!("{commit}:{path}");
        let object = look_up(&repo, std::slice::from_ref(&name))
            .await?
            .pop()
            .flatten();
        let Some(Object { id, kind }) = object else {
            return Err(no_path(&path));
        };
        if kind != "tree" {
            return Err(Error::invalid(
                "path",
                format!(
                    "{} is not a folder; ask for it as a file",
                    paths::shown(&path)
                ),
            ));
        }
        let output = Git::at(&repo)
            .args(["ls-tree", "-z", "-l"])
            .arg(id)
            .output_limit(MAX_LISTING)
            .run(b"")
            .await
            .map_err(|f| f.into_error("list a folder"))?;
        let mut records: Vec<&[u8]> = output.stdout.split(|b| *b == 0).collect();
        // After the last NUL comes nothing, or the record that was cut off.
        records.pop();
        Ok(Tree {
            commit: commit.to_owned(),
            entries: records.into_iter().filter_map(parse_entry).collect(),
            truncated: output.truncated,
        })
    }

    /// The file at `path` in `commit`. A symbolic link's content is its target.
    ///
    /// # Errors
    /// `REF_NOT_FOUND`, `INVALID_INPUT` for what is not a file,
    /// `PAYLOAD_TOO_LARGE` above [`MAX_FILE`].
    pub async fn file(&self, project: ProjectId, commit: &str, path: &str) -> Result<FileContent> {
        refname::require_commit_id(commit)?;
        let path = paths::requested(path)?;
        if path.is_empty() {
            return Err(Error::invalid("path", "give the path of a file"));
        }
        let repo = self.existing(project)?;
        let _turn = self.looks.look(project).await?;
        let output = Git::at(&repo)
            .args(["ls-tree", "-z", "-l", "--full-tree"])
            .args([commit, "--", &path])
            .run(b"")
            .await
            .map_err(|f| f.into_error("find a file"))?;
        let entry = output
            .stdout
            .split(|b| *b == 0)
            .find_map(parse_entry)
            .ok_or_else(|| no_path(&path))?;
        let Some(size) = entry.size else {
            return Err(Error::invalid(
                "path",
                format!("{} is a folder; ask for it as a tree", paths::shown(&path)),
            ));
        };
        if size > MAX_FILE {
            return Err(Error::new(
                Code::PayloadTooLarge,
                format!(
                    "the file has {size} bytes and at most {MAX_FILE} are shown; check the repository out instead"
                ),
            )
            .with("size", size)
            .with("limit", MAX_FILE));
        }
        let output = Git::at(&repo)
            .with_files()
            .args(["cat-file", "blob", &entry.object])
            .run(b"")
            .await
            .map_err(|f| f.into_error("read a file"))?;
        Ok(FileContent {
            commit: commit.to_owned(),
            kind: entry.kind,
            content: output.stdout,
        })
    }
}

/// The branch's newest commit, where no git is needed to tell.
async fn quick_head(repo: &Path, branch: &str) -> Result<Option<String>> {
    let (repo, branch) = (repo.to_owned(), branch.to_owned());
    blocking(move || Ok(head_in_files(&repo, &branch))).await
}

fn parse_ref(line: &str, default: Option<&str>) -> Option<Ref> {
    let fields: Vec<&str> = line.split('\0').collect();
    let [
        name,
        kind,
        id,
        time,
        subject,
        tagged_kind,
        tagged_id,
        tagged_time,
        tagged_subject,
    ] = fields.as_slice()
    else {
        return None;
    };
    let (commit, time, subject) = match (*kind, *tagged_kind) {
        ("commit", _) => (id, time, subject),
        ("tag", "commit") => (tagged_id, tagged_time, tagged_subject),
        // A tag of a tree or a blob cannot be built.
        _ => return None,
    };
    let (kind, name) = match name.strip_prefix("refs/heads/") {
        Some(branch) => (RefKind::Branch, branch),
        None => (RefKind::Tag, name.strip_prefix("refs/tags/")?),
    };
    Some(Ref {
        kind,
        name: name.to_owned(),
        commit: (*commit).to_owned(),
        committed_at: Timestamp::from_secs(time.parse().unwrap_or(0)),
        subject: (*subject).to_owned(),
        is_default: kind == RefKind::Branch && default == Some(name),
    })
}

/// `<mode> <type> <id> <size>\t<name>`, the size padded or `-`.
pub(super) fn parse_entry(record: &[u8]) -> Option<TreeEntry> {
    let tab = record.iter().position(|b| *b == b'\t')?;
    let (facts, name) = (record.get(..tab)?, record.get(tab + 1..)?);
    let facts = std::str::from_utf8(facts).ok()?;
    let mut facts = facts.split_ascii_whitespace();
    let (mode, _, object, size) = (facts.next()?, facts.next()?, facts.next()?, facts.next()?);
    let kind = match mode {
        "040000" => EntryKind::Folder,
        "100755" => EntryKind::Executable,
        "120000" => EntryKind::Symlink,
        "160000" => EntryKind::Submodule,
        _ => EntryKind::File,
    };
    Some(TreeEntry {
        name: String::from_utf8_lossy(name).into_owned(),
        kind,
        size: size.parse().ok(),
        object: object.to_owned(),
    })
}

fn no_ref(git_ref: &str) -> Error {
    Error::new(
        Code::RefNotFound,
        format!(
            "the repository has no branch, tag or commit {}; check its spelling, or sync if it is new",
            paths::shown(git_ref)
        ),
    )
}

fn no_path(path: &str) -> Error {
    Error::new(
        Code::RefNotFound,
        format!("there is no {} in this commit", paths::shown(path)),
    )
}

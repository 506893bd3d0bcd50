//! A folder on this machine, as its developer sees it: without what its
//! `.gitignore` files name. Local dev mode only; the service sees to that.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use super::{Incoming, Intake, Kind, Visit};
use crate::error::{Code, Error, Result};
use crate::git::paths;

pub(super) struct Folder {
    root: PathBuf,
    /// The data folder may lie inside, and is never source.
    own: PathBuf,
    /// Paths below the root, in order; taken at the first walk, so that both
    /// see the same.
    found: Option<Vec<Found>>,
    passed_over: u64,
}

struct Found {
    name: String,
    kind: Seen,
}

#[derive(Clone)]
enum Seen {
    File { executable: bool, size: u64 },
    Link { target: String },
}

impl Folder {
    pub(super) fn new(folder: &Path, own: PathBuf) -> Result<Self> {
        let root = folder
            .canonicalize()
            .ok()
            .filter(|root| root.is_dir())
            .ok_or_else(|| {
                Error::new(
                    Code::SourceUnavailable,
                    format!(
                        "there is no folder {}; correct the project's source",
                        paths::shown(&folder.to_string_lossy())
                    ),
                )
            })?;
        Ok(Self {
            root,
            own,
            found: None,
            passed_over: 0,
        })
    }

    fn look(&mut self) -> Result<Vec<Found>> {
        let own = self.own.clone();
        let mut found = Vec::new();
        let walk = WalkBuilder::new(&self.root)
            .hidden(false)
            .parents(true)
            .git_global(false)
            .require_git(false)
            .follow_links(false)
            .sort_by_file_name(Ord::cmp)
            .filter_entry(move |entry| {
                let name = entry.file_name();
                entry.depth() == 0
                    || (name != ".git" && name != "node_modules" && entry.path() != own)
            })
            .build();
        for entry in walk {
            let entry = entry.map_err(|e| unreadable(&self.root, e))?;
            let Some(name) = entry
                .path()
                .strip_prefix(&self.root)
                .ok()
                .and_then(Path::to_str)
            else {
                self.passed_over += 1;
                continue;
            };
            if entry.file_type().is_none_or(|kind| kind.is_dir()) {
                continue;
            }
            match see(entry.path(), name) {
                Some(kind) => found.push(Found {
                    name: name.to_owned(),
                    kind,
                }),
                None => self.passed_over += 1,
            }
        }
        Ok(found)
    }
}

impl Intake for Folder {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        let second = self.found.is_some();
        let found = match self.found.take() {
            Some(found) => found,
            None => self.look()?,
        };
        for Found { name, kind } in &found {
            let mut content: Box<dyn Read> = match kind {
                // The first pass only judges.
                Seen::File { .. } if second => Box::new(open(&self.root.join(name))?),
                _ => Box::new(std::io::empty()),
            };
            let kind = match kind.clone() {
                Seen::File { executable, size } => Kind::File { executable, size },
                Seen::Link { target } => Kind::Link { target },
            };
            visit(Incoming { name, kind }, content.as_mut())?;
        }
        self.found = Some(found);
        Ok(())
    }

    fn packed_size(&self) -> Option<u64> {
        None
    }

    fn may_have_wrapper(&self) -> bool {
        false
    }

    fn passed_over(&self) -> u64 {
        self.passed_over
    }
}

/// What is kept of a directory entry: `None` for links that lead outside,
/// sockets, devices, paths that a commit cannot hold and what is gone already.
fn see(path: &Path, name: &str) -> Option<Seen> {
    if paths::normalise(name).ok()?.as_deref() != Some(name) {
        return None;
    }
    let facts = fs::symlink_metadata(path).ok()?;
    if facts.is_file() {
        return Some(Seen::File {
            executable: facts.permissions().mode() & 0o100 != 0,
            size: facts.len(),
        });
    }
    if facts.is_symlink() {
        let target = fs::read_link(path).ok()?.to_str()?.to_owned();
        return paths::link_stays_inside(name, &target).then_some(Seen::Link { target });
    }
    None
}

/// Not through a link that has taken the file's place meanwhile, and without
/// waiting where a pipe has.
fn open(path: &Path) -> Result<File> {
    use rustix::fs::{Mode, OFlags};
    rustix::fs::open(
        path,
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map(File::from)
    .map_err(|e| unreadable(path, e))
}

fn unreadable(path: &Path, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(
        Code::SourceUnavailable,
        format!(
            "{} cannot be read; see that the server's user may, and sync again",
            paths::shown(&path.to_string_lossy())
        ),
    )
    .caused_by(cause)
}

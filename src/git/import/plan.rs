//! The first pass over what is imported: what is taken, what is skipped, and
//! whether anything in it forbids taking it at all.

use std::collections::HashSet;

use super::{Incoming, Kind, Skipped};
use crate::config::SourceLimits;
use crate::error::{Code, Error, Result};
use crate::git::paths;

/// Unpacked bytes for each packed one, above which an archive is taken for a
/// bomb. Deflate reaches 1032; source trees stay below 20.
const MAX_RATIO: u64 = 200;
/// Below this an archive may be as dense as it likes.
const RATIO_MATTERS_FROM: u64 = 32 << 20;
/// Entries looked at, skipped ones included, for each one that may be taken.
const ENTRIES_PER_FILE: u64 = 4;

pub(super) struct Plan {
    max_files: u64,
    max_bytes: u64,
    packed: Option<u64>,
    entries: u64,
    bytes: u64,
    /// Files and links.
    files: HashSet<String>,
    /// The folders that they lie in.
    folders: HashSet<String>,
    links: Vec<(String, String)>,
    skipped: Skipped,
    /// An entry names the archive's own root, as `tar -C folder .` makes one:
    /// what lies in it is the project, even where that is a single folder.
    has_root: bool,
    /// The folder that everything lies in, with its slash, once it is known.
    wrapper: String,
}

/// Where an entry belongs.
enum Place {
    Root,
    Git,
    NodeModules,
    MacOs,
    At(String),
}

impl Plan {
    pub(super) fn new(config: &SourceLimits, packed: Option<u64>) -> Self {
        Self {
            max_files: config.max_files,
            max_bytes: config.max_unpacked_bytes,
            packed,
            entries: 0,
            bytes: 0,
            files: HashSet::new(),
            folders: HashSet::new(),
            links: Vec::new(),
            skipped: Skipped::default(),
            has_root: false,
            wrapper: String::new(),
        }
    }

    pub(super) fn admit(&mut self, entry: &Incoming<'_>) -> Result<()> {
        self.entries += 1;
        if self.entries > most_entries(self.max_files) {
            return Err(too_many(self.max_files));
        }
        let folder = matches!(entry.kind, Kind::Folder);
        let path = match place(entry.name, folder)? {
            Place::At(path) if !folder => path,
            place => {
                self.has_root |= matches!(place, Place::Root);
                self.skip(&place);
                return Ok(());
            }
        };
        match &entry.kind {
            Kind::File { size, .. } => self.weigh(*size)?,
            Kind::Link { target } => self.links.push((path.clone(), target.clone())),
            Kind::Folder => {}
        }
        self.take(path)
    }

    fn skip(&mut self, place: &Place) {
        match place {
            Place::Git => self.skipped.git += 1,
            Place::NodeModules => self.skipped.node_modules += 1,
            Place::MacOs => self.skipped.other += 1,
            Place::Root | Place::At(_) => {}
        }
    }

    fn weigh(&mut self, size: u64) -> Result<()> {
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.max_bytes {
            return Err(Error::new(
                Code::PayloadTooLarge,
                format!(
                    "the archive unpacks to more than {} bytes; leave out what is not source, or raise \
                     UPLOAD_MAX_UNPACKED_MB",
                    self.max_bytes
                ),
            )
            .with("limit", self.max_bytes));
        }
        let suspicious = self
            .packed
            .is_some_and(|packed| self.bytes / MAX_RATIO > packed);
        if self.bytes > RATIO_MATTERS_FROM && suspicious {
            return Err(Error::new(
                Code::PayloadTooLarge,
                format!(
                    "the archive unpacks to more than {MAX_RATIO} times its size, as only a \
                     decompression bomb does"
                ),
            ));
        }
        Ok(())
    }

    fn take(&mut self, path: String) -> Result<()> {
        let refuse = |path: &str, why: &str| {
            Err(Error::invalid(
                "archive",
                format!(
                    "the archive holds {} {why}; nothing was stored",
                    paths::shown(path)
                ),
            ))
        };
        if self.folders.contains(&path) {
            return refuse(&path, "both as a file and as a folder");
        }
        let mut end = 0;
        while let Some(slash) = path.get(end..).and_then(|rest| rest.find('/')) {
            let folder = path.get(..end + slash).unwrap_or_default();
            if self.files.contains(folder) {
                return refuse(folder, "both as a file or link and as a folder");
            }
            if !self.folders.contains(folder) {
                self.folders.insert(folder.to_owned());
            }
            end += slash + 1;
        }
        if self.files.contains(&path) {
            return refuse(&path, "twice");
        }
        self.files.insert(path);
        if self.files() > self.max_files {
            return Err(too_many(self.max_files));
        }
        Ok(())
    }

    pub(super) fn pass_over(&mut self, entries: u64) {
        self.skipped.other += entries;
    }

    /// Judges what only the whole shows: the wrapping folder, the links.
    pub(super) fn settle(&mut self, may_have_wrapper: bool) -> Result<()> {
        if self.files.is_empty() {
            return Err(Error::invalid(
                "archive",
                "there is no file in it; pack the project's folder and try again",
            ));
        }
        if may_have_wrapper && !self.has_root {
            self.wrapper = self.find_wrapper();
        }
        for (path, target) in &self.links {
            let path = path.strip_prefix(&self.wrapper).unwrap_or(path);
            let reserved = path
                .rsplit('/')
                .next()
                .is_some_and(|name| name == ".gitmodules");
            if reserved || !paths::link_stays_inside(path, target) {
                return Err(Error::invalid(
                    "archive",
                    format!(
                        "the archive holds the symbolic link {} to {}, which leads outside of it; \
                         nothing was stored",
                        paths::shown(path),
                        paths::shown(target)
                    ),
                ));
            }
        }
        Ok(())
    }

    fn find_wrapper(&self) -> String {
        let mut tops = self.files.iter().map(|path| path.split_once('/'));
        let Some(Some((first, _))) = tops.next() else {
            return String::new();
        };
        if tops.all(|top| top.is_some_and(|(name, _)| name == first)) {
            format!("{first}/")
        } else {
            String::new()
        }
    }

    /// Where an entry goes in the commit, if it goes there; for the second
    /// pass.
    pub(super) fn place(&self, name: &str) -> Result<Option<String>> {
        Ok(match place(name, false)? {
            Place::At(path) if self.files.contains(&path) => {
                Some(path.strip_prefix(&self.wrapper).unwrap_or(&path).to_owned())
            }
            _ => None,
        })
    }

    pub(super) fn files(&self) -> u64 {
        self.files.len() as u64
    }

    pub(super) fn skipped(&self) -> Skipped {
        self.skipped
    }
}

/// Entries an archive may have, for a limit on its files.
pub(super) fn most_entries(max_files: u64) -> u64 {
    max_files.saturating_mul(ENTRIES_PER_FILE)
}

pub(super) fn too_many(max_files: u64) -> Error {
    Error::new(
        Code::PayloadTooLarge,
        format!(
            "the archive holds more than {max_files} files; leave out what is not source, or raise \
             UPLOAD_MAX_FILES"
        ),
    )
    .with("limit", max_files)
}

fn place(name: &str, folder: bool) -> Result<Place> {
    let Some(path) = paths::normalise(name)? else {
        return Ok(Place::Root);
    };
    let last = path.split('/').count() - 1;
    for (depth, part) in path.split('/').enumerate() {
        let is_folder = depth < last || folder;
        match part {
            // A file of that name is a worktree's or submodule's link.
            ".git" => return Ok(Place::Git),
            "node_modules" if is_folder => return Ok(Place::NodeModules),
            "__MACOSX" if depth == 0 && is_folder => return Ok(Place::MacOs),
            ".DS_Store" if !is_folder => return Ok(Place::MacOs),
            _ if paths::is_dot_git(part) => {
                return Err(Error::invalid(
                    "archive",
                    format!(
                        "the archive holds {}, which some file systems take for `.git`; nothing was stored",
                        paths::shown(name)
                    ),
                ));
            }
            _ => {}
        }
    }
    Ok(Place::At(path))
}

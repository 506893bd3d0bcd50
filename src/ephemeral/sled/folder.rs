//! The folder that sled works in: opened, wiped when it is damaged, opened
//! again after an error, rid of what is over.
//!
//! Any error opening the folder wipes it. An error or a panic of sled later
//! on closes it, and the next call opens it again: sled refuses everything
//! after its first failed write, so a disk that was full for a moment would
//! otherwise end this tier until the next start.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sled::{Db, Tree};

use crate::clock::Timestamp;
use crate::ephemeral::PURGE_INTERVAL;
use crate::error::{Code, Error, Result};

#[derive(Clone)]
pub(super) struct Trees {
    pub(super) db: Db,
    pub(super) values: Tree,
    pub(super) windows: Tree,
    pub(super) heartbeats: Tree,
}

pub(super) struct Folder {
    path: PathBuf,
    /// `None` after an error, until the next call.
    trees: Mutex<Option<Trees>>,
    /// Milliseconds.
    next_purge: AtomicI64,
}

/// sled's page cache. What is kept here fits many times.
const CACHE_BYTES: u64 = 4 * 1024 * 1024;
/// Nothing here needs to survive a crash, so the disk is left in peace.
const FLUSH_EVERY_MS: u64 = 30_000;

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            trees: Mutex::new(Some(open_or_wipe(path)?)),
            next_purge: AtomicI64::new(0),
        })
    }

    /// Lets `work` use the trees; its failure closes the folder until the
    /// next call.
    pub(super) fn run<T>(&self, work: impl FnOnce(&Trees) -> sled::Result<T>) -> Result<T> {
        let trees = self.trees()?;
        let failure = match catch_unwind(AssertUnwindSafe(|| work(&trees))) {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(e)) => e.to_string(),
            Err(_) => "sled panicked".to_owned(),
        };
        // Another call may have opened it anew by now; closing that too only
        // costs an opening.
        *self.lock() = None;
        Err(unusable(&self.path, &failure))
    }

    fn trees(&self) -> Result<Trees> {
        let mut open = self.lock();
        if open.is_none() {
            *open = Some(open_or_wipe(&self.path)?);
        }
        open.clone()
            .ok_or_else(|| unusable(&self.path, "it is closed"))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Trees>> {
        // A panic while opening leaves `None`, which is what it should be.
        self.trees.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the records that `is_over` says are, once in an interval.
    pub(super) fn purge_if_due(
        &self,
        trees: &Trees,
        now: Timestamp,
        is_over: impl Fn(&[u8]) -> bool,
    ) -> sled::Result<()> {
        let due = self.next_purge.load(Ordering::Relaxed);
        let next = now.after(PURGE_INTERVAL).as_millis();
        // A clock that was set back must not stop the purges.
        let is_due = now.as_millis() >= due || due > next;
        let won = is_due
            && self
                .next_purge
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if won { trees.purge(is_over) } else { Ok(()) }
    }
}

impl Trees {
    fn open(path: &Path) -> sled::Result<Self> {
        let db = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .open()?;
        let trees = Self {
            values: db.open_tree("values")?,
            windows: db.open_tree("windows")?,
            heartbeats: db.open_tree("heartbeats")?,
            db,
        };
        // sled finds some damage only when it reads a page.
        for tree in trees.all() {
            for entry in tree {
                entry?;
            }
        }
        Ok(trees)
    }

    fn all(&self) -> [&Tree; 3] {
        [&self.values, &self.windows, &self.heartbeats]
    }

    fn purge(&self, is_over: impl Fn(&[u8]) -> bool) -> sled::Result<()> {
        for tree in self.all() {
            for entry in tree {
                let (key, record) = entry?;
                if is_over(&record) {
                    // Not when it has been written anew meanwhile.
                    let _ = tree.compare_and_swap(key, Some(record), None::<&[u8]>)?;
                }
            }
        }
        Ok(())
    }
}

fn open_or_wipe(path: &Path) -> Result<Trees> {
    let failure = match try_open(path) {
        Ok(trees) => return Ok(trees),
        Err(failure) => failure,
    };
    // A folder in use is not damaged; wiping it would hurt its owner.
    if failure.contains("could not acquire lock") {
        return Err(unusable(path, "another process holds it"));
    }
    tracing::warn!(path = %path.display(), failure, "the ephemeral store was damaged; wiped it");
    wipe(path).map_err(|e| unusable(path, &e.to_string()))?;
    try_open(path).map_err(|failure| unusable(path, &failure))
}

/// sled panics on some damaged files where it should return an error.
fn try_open(path: &Path) -> Result<Trees, String> {
    match catch_unwind(|| Trees::open(path)) {
        Ok(Ok(trees)) => Ok(trees),
        Ok(Err(e)) => Err(e.to_string()),
        Err(_) => Err("sled panicked".to_owned()),
    }
}

/// Empties the folder, which may itself be a mount point.
fn wipe(path: &Path) -> io::Result<()> {
    if !path.is_dir() {
        let _ = fs::remove_file(path);
        return fs::create_dir_all(path);
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::new(
        Code::DependencyFailure,
        format!("cannot use the ephemeral store {}: {why}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with_a_value(path: &Path) -> Folder {
        let folder = Folder::open(path).unwrap();
        folder
            .run(|trees| trees.values.insert("k", "v").map(drop))
            .unwrap();
        folder
    }

    fn value(folder: &Folder) -> Option<Vec<u8>> {
        let value = folder.run(|trees| trees.values.get("k")).unwrap();
        value.map(|value| value.to_vec())
    }

    #[test]
    fn an_error_of_sled_costs_one_call() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder_with_a_value(dir.path());
        let failed = folder.run(|_| Err::<(), _>(sled::Error::Unsupported("as a test".into())));
        assert_eq!(failed.unwrap_err().code, Code::DependencyFailure);
        assert_eq!(value(&folder).as_deref(), Some(&b"v"[..]));
    }

    #[test]
    fn a_panic_of_sled_costs_one_call() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder_with_a_value(dir.path());
        let failed = folder.run(|_| -> sled::Result<()> { panic!("as a test") });
        assert_eq!(failed.unwrap_err().code, Code::DependencyFailure);
        assert_eq!(value(&folder).as_deref(), Some(&b"v"[..]));
    }

    #[test]
    fn a_folder_in_use_is_refused_and_not_wiped() {
        let dir = tempfile::tempdir().unwrap();
        let folder = folder_with_a_value(dir.path());
        let refusal = Folder::open(dir.path()).err().unwrap();
        assert!(refusal.message.contains("another process"), "{refusal}");
        assert_eq!(value(&folder).as_deref(), Some(&b"v"[..]));
    }

    #[test]
    fn a_damaged_folder_is_wiped_whatever_the_damage() {
        let damages: [fn(&Path); 4] = [
            |path| fs::write(path.join("db"), b"no database at all").unwrap(),
            |path| fs::write(path.join("conf"), vec![b'x'; 64]).unwrap(),
            |path| {
                let mut bytes = fs::read(path.join("db")).unwrap();
                bytes.iter_mut().skip(16).for_each(|byte| *byte ^= 0x55);
                fs::write(path.join("db"), bytes).unwrap();
            },
            |path| {
                fs::remove_dir_all(path).unwrap();
                fs::write(path, b"a file in the way").unwrap();
            },
        ];
        for damage in damages {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("ephemeral");
            drop(folder_with_a_value(&path));
            damage(&path);
            let folder = Folder::open(&path).unwrap();
            folder
                .run(|trees| trees.values.insert("new", "v").map(drop))
                .unwrap();
        }
    }
}

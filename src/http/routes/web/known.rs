//! What is put into the files that were asked for lately, so that each is
//! searched for addresses once and not for every reader.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

use super::insertions::Insertions;
use super::rewrite;
use crate::error::{Context, Result};

/// The most files, and places in them, that are kept.
const FILES: usize = 4096;
const PLACES: usize = 1024 * 1024;

/// How many files are searched at a time: each is read whole, and may cost
/// a second.
static SEARCHING: Semaphore = Semaphore::const_new(2);

/// By the file's path, which never has other bytes: a site is its job's.
static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Known {
    files: HashMap<PathBuf, Option<Arc<Insertions>>>,
    places: usize,
}

/// What is put into the file at `path` of the site in `root`; `None` for a file
/// that is sent as it is.
pub(super) async fn insertions(
    root: &Path,
    path: &Path,
    is_page: bool,
) -> Result<Option<Arc<Insertions>>> {
    if let Some(known) = find(path) {
        return Ok(known);
    }
    let what = "search a file of a web preview for addresses";
    let turn = SEARCHING.acquire().await.or_internal(what)?;
    if let Some(known) = find(path) {
        return Ok(known);
    }
    let (root, path) = (root.to_owned(), path.to_owned());
    let search = move || {
        // Who asked may go away meanwhile; the turn ends with the search.
        let _turn = turn;
        let bytes = fs::read(&path).or_internal(what)?;
        let found = rewrite::insertions(&bytes, &root, is_page).map(Arc::new);
        keep(path, found.clone());
        Ok(found)
    };
    tokio::task::spawn_blocking(search)
        .await
        .or_internal(what)?
}

#[expect(
    clippy::option_option,
    reason = "unknown; known to be sent as it is; known"
)]
fn find(path: &Path) -> Option<Option<Arc<Insertions>>> {
    lock().files.get(path).cloned()
}

/// Makes room where there are too many, whichever go: searching again is cheap
/// for a few.
fn keep(path: PathBuf, found: Option<Arc<Insertions>>) {
    let mut known = lock();
    let places = found.as_ref().map_or(0, |found| found.len());
    known.remove(&path);
    while known.files.len() >= FILES || known.places + places > PLACES {
        let Some(any) = known.files.keys().next().cloned() else {
            break;
        };
        known.remove(&any);
    }
    known.places += places;
    known.files.insert(path, found);
}

impl Known {
    fn remove(&mut self, path: &Path) {
        let found = self.files.remove(path).flatten();
        self.places -= found.map_or(0, |found| found.len());
    }
}

fn lock() -> MutexGuard<'static, Known> {
    // Nothing panics while it is held.
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Bundles that were read lately, with their packs open: a client that fetches
//! a bundle in many small ranges costs one opening.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::BlobKey;
use super::super::extent::Extents;

/// The most files that are kept open. A bundle has at most 32 of them.
const FILES: usize = 128;
/// The most extents that are kept, of 32 bytes each.
const EXTENTS: usize = 32 * 1024;

/// The bundles that are kept open, bounded in files and memory; what was asked
/// for longest ago goes first.
///
/// A bundle that is put or deleted must be [forgotten](Opened::forget) *after*
/// the change: what is opened before that does not stay.
#[derive(Default)]
pub(super) struct Opened(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    bundles: HashMap<BlobKey, Bundle>,
    /// Grows with every look, to tell which was longest ago.
    looks: u64,
    /// Grows with every change of a bundle.
    changes: u64,
    files: usize,
    extents: usize,
}

struct Bundle {
    extents: Arc<Extents>,
    files: usize,
    looked_at: u64,
}

impl Opened {
    /// The bundle, if it is kept.
    pub(super) fn find(&self, key: &BlobKey) -> Option<Arc<Extents>> {
        let mut kept = self.lock();
        kept.looks += 1;
        let now = kept.looks;
        let bundle = kept.bundles.get_mut(key)?;
        bundle.looked_at = now;
        Some(Arc::clone(&bundle.extents))
    }

    /// Opens the bundle and keeps it, unless some bundle changed meanwhile:
    /// it might have been this one. Blocking.
    pub(super) fn open(
        &self,
        key: &BlobKey,
        open: impl FnOnce() -> io::Result<Option<Extents>>,
    ) -> io::Result<Option<Arc<Extents>>> {
        let before = self.lock().changes;
        let Some(extents) = open()?.map(Arc::new) else {
            return Ok(None);
        };
        let mut kept = self.lock();
        if kept.changes == before {
            kept.keep(key, &extents);
        }
        Ok(Some(extents))
    }

    /// To be called after the bundle has changed, and before that is told.
    pub(super) fn forget(&self, key: &BlobKey) {
        let mut kept = self.lock();
        kept.changes += 1;
        kept.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, key: &BlobKey, extents: &Arc<Extents>) {
        let files = extents.count_files();
        let count = extents.as_slice().len();
        if files > FILES || count > EXTENTS {
            return;
        }
        self.remove(key);
        while self.files + files > FILES || self.extents + count > EXTENTS {
            let oldest = self.bundles.iter().min_by_key(|(_, b)| b.looked_at);
            match oldest.map(|(key, _)| key.clone()) {
                Some(oldest) => self.remove(&oldest),
                None => return,
            }
        }
        self.looks += 1;
        self.files += files;
        self.extents += count;
        let bundle = Bundle {
            extents: Arc::clone(extents),
            files,
            looked_at: self.looks,
        };
        self.bundles.insert(key.clone(), bundle);
    }

    fn remove(&mut self, key: &BlobKey) {
        if let Some(bundle) = self.bundles.remove(key) {
            self.files -= bundle.files;
            self.extents -= bundle.extents.as_slice().len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::extent::Extent;
    use super::*;
    use crate::clock::SystemEntropy;
    use crate::domain::{JobId, ProjectId};

    fn key() -> BlobKey {
        BlobKey::bundle(
            ProjectId(7),
            &JobId::generate(&SystemEntropy::new(), crate::clock::Timestamp::default()),
        )
    }

    /// A bundle in `files` files.
    fn bundle(files: usize) -> Extents {
        let extents = (0..files).map(|_| Extent {
            file: Arc::new(tempfile::tempfile().unwrap()),
            range: 0..1,
        });
        extents.collect()
    }

    #[test]
    fn a_bundle_is_opened_once() {
        let (opened, key) = (Opened::default(), key());
        assert!(opened.find(&key).is_none());
        let first = opened.open(&key, || Ok(Some(bundle(3)))).unwrap().unwrap();
        assert!(Arc::ptr_eq(&first, &opened.find(&key).unwrap()));
        opened.forget(&key);
        assert!(opened.find(&key).is_none());
    }

    /// A deleted bundle's bytes would stay on the disk as long as it is open,
    /// and a replaced one would be sent in place of the new.
    #[test]
    fn what_changed_while_it_was_opened_is_not_kept() {
        let (opened, key) = (Opened::default(), key());
        let raced = opened.open(&key, || {
            opened.forget(&key);
            Ok(Some(bundle(1)))
        });
        assert!(raced.unwrap().is_some(), "who asked before gets it");
        assert!(opened.find(&key).is_none());
    }

    #[test]
    fn what_was_asked_for_longest_ago_is_closed_first() {
        let opened = Opened::default();
        let keys: Vec<_> = (0..5).map(|_| key()).collect();
        for key in &keys[..4] {
            opened.open(key, || Ok(Some(bundle(FILES / 4)))).unwrap();
        }
        opened.find(&keys[0]).unwrap();
        opened.open(&keys[4], || Ok(Some(bundle(1)))).unwrap();
        let kept: Vec<_> = keys.iter().map(|key| opened.find(key).is_some()).collect();
        assert_eq!(kept, [true, false, true, true, true]);
        opened
            .open(&keys[1], || Ok(Some(bundle(FILES + 1))))
            .unwrap();
        assert!(opened.find(&keys[1]).is_none(), "more than may be kept");
        assert!(opened.find(&keys[0]).is_some());
    }
}

//! The parts that a bundle is put together from, and those of earlier bundles
//! that may serve again.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::extent::Extent;

/// What a part's bytes are: a SHA-256 that its maker chooses so that parts of
/// one name may stand for each other. It need not be the digest of the bytes
/// themselves: of compressed bytes it is that of what they were made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PartName(pub [u8; 32]);

/// Some of a bundle's bytes.
#[derive(Clone, Debug)]
pub struct Part {
    /// `None` for bytes that no other bundle can use.
    pub name: Option<PartName>,
    pub extent: Extent,
    /// The file of an earlier bundle that they lie in.
    pub(super) kept: Option<Arc<KeptFile>>,
}

/// A file of a stored bundle that others may share.
#[derive(Debug)]
pub(super) struct KeptFile {
    pub(super) path: PathBuf,
    /// Its name: the hex SHA-256 of its bytes.
    pub(super) digest: String,
    pub(super) size: u64,
}

impl Part {
    #[must_use]
    pub fn new(name: Option<PartName>, extent: Extent) -> Self {
        Self {
            name,
            extent,
            kept: None,
        }
    }

    /// A whole file, which nothing is known of.
    ///
    /// # Errors
    /// When its length cannot be told.
    pub fn of_file(file: File) -> io::Result<Self> {
        let range = 0..file.metadata()?.len();
        let file = Arc::new(file);
        Ok(Self::new(None, Extent { file, range }))
    }
}

/// The parts of a project's earlier bundles.
pub trait Shelf: Send + Sync {
    /// A part of that name, checked to be as it was stored. It stays readable
    /// for as long as it is held, even when its bundle is deleted. Blocking.
    fn find(&self, name: &PartName) -> Option<Part>;
}

/// A store that keeps no parts.
#[derive(Debug)]
pub struct EmptyShelf;

impl Shelf for EmptyShelf {
    fn find(&self, _: &PartName) -> Option<Part> {
        None
    }
}

//! The port of the bundles: named byte strings, written once, read often.
//!
//! A bundle is *put together from parts*. A store on this disk keeps a part
//! once for all bundles of its project ([`local`]); a store elsewhere sees the
//! concatenation and nothing of the parts ([`store`], over `object_store`). To
//! every reader a blob is one string of bytes, and it is there whole or not at
//! all.

pub mod extent;
pub mod local;
pub mod part;
pub mod store;

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use extent::{Extent, Extents};
pub use part::{EmptyShelf, Part, PartName, Shelf};

use crate::clock::Timestamp;
use crate::domain::{JobId, ProjectId};
use crate::error::{Context, Result};

/// What there is of a preview, a blob each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobKind {
    Bundle,
    /// The bundle's JavaScript, compiled for Hermes.
    Bytecode,
}

impl BlobKind {
    pub const ALL: [BlobKind; 2] = [BlobKind::Bundle, BlobKind::Bytecode];

    /// The last part of the blob's name.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            BlobKind::Bundle => "bundle.zip",
            BlobKind::Bytecode => "main.hbc",
        }
    }
}

/// A blob's name, such as `previews/<project_id>/<job_id>/bundle.zip`: never
/// made from text that a user chose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobKey(String);

impl BlobKey {
    /// The key of the bundle that `job` makes.
    #[must_use]
    pub fn bundle(project: ProjectId, job: &JobId) -> Self {
        Self::of(BlobKind::Bundle, project, job)
    }

    #[must_use]
    pub fn bytecode(project: ProjectId, job: &JobId) -> Self {
        Self::of(BlobKind::Bytecode, project, job)
    }

    #[must_use]
    pub fn of(kind: BlobKind, project: ProjectId, job: &JobId) -> Self {
        Self(format!("previews/{project}/{job}/{}", kind.file_name()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BlobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a store tells of a blob without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    pub key: String,
    /// Bytes.
    pub size: u64,
    pub modified: Timestamp,
}

/// Finished bundles. Every call may be made again after an error.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores the bytes of `parts`, one after the other, under `key`, replacing
    /// what was there; durable and visible only when it returns `Ok`. On an
    /// error nothing is left. Parts that come from [`Blobs::shelf`] may be
    /// shared instead of stored again; deleting the one blob never harms the
    /// other.
    ///
    /// # Errors
    /// `STORAGE_FULL`, `DEPENDENCY_FAILURE`.
    async fn put(&self, key: &BlobKey, parts: &[Part]) -> Result<()>;

    /// The same with one file's bytes as the only part.
    async fn put_file(&self, key: &BlobKey, file: &Path) -> Result<()> {
        let what = "open the file that is to be stored";
        let file = file.to_owned();
        let part = tokio::task::spawn_blocking(move || Part::of_file(File::open(file)?))
            .await
            .or_internal(what)?
            .or_internal(what)?;
        self.put(key, &[part]).await
    }

    /// Parts of the project's blobs of that kind as they are now. A store that
    /// keeps no parts has none to offer.
    async fn shelf(&self, project: ProjectId, kind: BlobKind) -> Result<Arc<dyn Shelf>>;

    /// `None` when there is no such blob.
    async fn head(&self, key: &BlobKey) -> Result<Option<BlobInfo>>;

    /// The bytes of `range` (`start..end`, within the size).
    async fn read(
        &self,
        key: &BlobKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>>;

    /// The blob in files of this machine, where the adapter keeps it there:
    /// what [`Blobs::head`] and [`Blobs::read`] tell in one, and readable to the
    /// end even when the blob is deleted meanwhile. `NOT_FOUND` when there is
    /// no such blob.
    async fn on_disk(&self, key: &BlobKey) -> Result<Option<Arc<Extents>>>;

    /// Deleting what is absent is no error.
    async fn delete(&self, key: &BlobKey) -> Result<()>;

    /// Every blob under `previews/`, in no promised order.
    async fn list(&self) -> Result<Vec<BlobInfo>>;

    /// The adapter's name, for health answers.
    fn name(&self) -> &'static str;
}

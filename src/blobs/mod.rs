//! The port of the bundles: named byte strings, written once, read often.
//!
//! `object_store` underneath; this module adds the typed keys, durability and
//! writing from a file. A blob is there whole or not at all.

mod folder;
pub mod store;

use std::fmt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

use crate::clock::Timestamp;
use crate::domain::{JobId, ProjectId};
use crate::error::Result;

/// A blob's name, `previews/<project_id>/<job_id>/bundle.zip`: never made
/// from text that a user chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobKey(String);

impl BlobKey {
    #[must_use]
    pub fn bundle(project: ProjectId, job: &JobId) -> Self {
        Self(format!("previews/{project}/{job}/bundle.zip"))
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    pub key: String,
    pub size: u64,
    pub modified: Timestamp,
}

#[async_trait]
pub trait Blobs: Send + Sync {
    /// Stores the file's bytes under `key`, replacing what was there; durable
    /// and visible only when it returns `Ok`. On an error nothing is left.
    async fn put_file(&self, key: &BlobKey, file: &Path) -> Result<()>;
    /// `None` when there is no such blob.
    async fn head(&self, key: &BlobKey) -> Result<Option<BlobInfo>>;
    /// The bytes of `range` (`start..end`, within the size).
    async fn read(
        &self,
        key: &BlobKey,
        range: std::ops::Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>>;
    /// Deleting what is absent is no error.
    async fn delete(&self, key: &BlobKey) -> Result<()>;
    /// Every blob under `previews/`, in no promised order.
    async fn list(&self) -> Result<Vec<BlobInfo>>;
    /// Where the blob lies on this machine's disk, if the adapter keeps it
    /// there as a plain file.
    fn local_path(&self, key: &BlobKey) -> Option<PathBuf>;
    fn name(&self) -> &'static str;
}

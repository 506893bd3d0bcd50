//! The adapter over `object_store`: typed keys, bytes streamed in constant
//! memory. Only the store in memory is built today.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};

use super::extent::{Extents, Reader};
use super::part::{EmptyShelf, Part, Shelf};
use super::{BlobInfo, BlobKey, BlobKind, Blobs};
use crate::clock::Timestamp;
use crate::disk;
use crate::domain::ProjectId;
use crate::error::{Code, Context, Error, Result};

pub struct ObjectBlobs {
    store: Arc<dyn ObjectStore>,
    name: &'static str,
}

/// What is held in memory of a bundle on its way in: object stores want pieces
/// of at least 5 MiB.
const PIECE_BYTES: usize = 5 * 1024 * 1024;
/// Every key starts with it.
const PREFIX: &str = "previews";

impl ObjectBlobs {
    /// Gone with the process: for tests, and the oracle of the others.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            store: Arc::new(InMemory::new()),
            name: "memory",
        }
    }

    /// Streams the bytes to the store, which shows them when they are whole.
    async fn upload(&self, location: &ObjectPath, bytes: Extents) -> Result<()> {
        let (mut piece, mut rest) = next_piece(bytes.reader()).await?;
        if piece.len() < PIECE_BYTES {
            return match self.store.put(location, piece.into()).await {
                Ok(_) => Ok(()),
                Err(e) => Err(failed("store", location, e)),
            };
        }
        let mut upload = self
            .store
            .put_multipart(location)
            .await
            .map_err(|e| failed("store", location, e))?;
        let sent = async {
            while !piece.is_empty() {
                upload
                    .put_part(PutPayload::from(piece))
                    .await
                    .map_err(|e| failed("store", location, e))?;
                (piece, rest) = next_piece(rest).await?;
            }
            let done = upload.complete().await;
            done.map_err(|e| failed("store", location, e)).map(drop)
        }
        .await;
        if sent.is_err() {
            // The first error is the one to tell.
            let _ = upload.abort().await;
        }
        sent
    }
}

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn put(&self, key: &BlobKey, parts: &[Part]) -> Result<()> {
        let location = ObjectPath::from(key.as_str());
        let bytes = parts.iter().map(|part| part.extent.clone()).collect();
        self.upload(&location, bytes).await
    }

    async fn shelf(&self, _: ProjectId, _: BlobKind) -> Result<Arc<dyn Shelf>> {
        Ok(Arc::new(EmptyShelf))
    }

    async fn head(&self, key: &BlobKey) -> Result<Option<BlobInfo>> {
        let location = ObjectPath::from(key.as_str());
        match self.store.head(&location).await {
            Ok(meta) => Ok(Some(info(meta))),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(failed("look up", &location, e)),
        }
    }

    async fn read(
        &self,
        key: &BlobKey,
        range: Range<u64>,
    ) -> Result<BoxStream<'static, Result<Bytes>>> {
        let location = ObjectPath::from(key.as_str());
        if range.is_empty() {
            // Object stores refuse such a range; the blob must be there all
            // the same.
            let blob = self.head(key).await?;
            return match blob {
                Some(_) => Ok(stream::empty().boxed()),
                None => Err(absent(&location)),
            };
        }
        let options = GetOptions::new().with_range(Some(GetRange::Bounded(range)));
        let found = self.store.get_opts(&location, options).await;
        let found = found.map_err(|e| failed("read", &location, e))?;
        Ok(found
            .into_stream()
            .map_err(move |e| failed("read", &location, e))
            .boxed())
    }

    async fn on_disk(&self, _: &BlobKey) -> Result<Option<Arc<Extents>>> {
        Ok(None)
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        let location = ObjectPath::from(key.as_str());
        match self.store.delete(&location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(failed("delete", &location, e)),
        }
    }

    async fn list(&self) -> Result<Vec<BlobInfo>> {
        let prefix = ObjectPath::from(PREFIX);
        self.store
            .list(Some(&prefix))
            .map_ok(info)
            .map_err(|e| failed("list", &prefix, e))
            .try_collect()
            .await
    }

    fn name(&self) -> &'static str {
        self.name
    }
}

fn info(meta: ObjectMeta) -> BlobInfo {
    BlobInfo {
        key: meta.location.into(),
        size: meta.size,
        modified: Timestamp::from_millis(meta.last_modified.timestamp_millis()),
    }
}

fn absent(location: &ObjectPath) -> Error {
    Error::new(Code::NotFound, format!("there is no blob {location}"))
}

fn failed(what: &str, location: &ObjectPath, cause: object_store::Error) -> Error {
    if matches!(cause, object_store::Error::NotFound { .. }) {
        return absent(location);
    }
    let code = disk::code_of(&cause, Code::DependencyFailure);
    Error::new(code, format!("could not {what} {location}")).caused_by(cause)
}

/// The next bytes, and where to go on; shorter than a piece only at the end.
async fn next_piece(mut reader: Reader) -> Result<(Bytes, Reader)> {
    let what = "read what is to be stored";
    tokio::task::spawn_blocking(move || {
        let mut piece = vec![0; PIECE_BYTES];
        let filled = reader.fill(&mut piece).or_internal(what)?;
        piece.truncate(filled);
        Ok((Bytes::from(piece), reader))
    })
    .await
    .or_internal(what)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_its_own_code() {
        let generic = |kind: std::io::ErrorKind| object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(std::io::Error::from(kind)),
        };
        let location = ObjectPath::from("previews/1/job/bundle.zip");
        let code = |kind| failed("store", &location, generic(kind)).code;
        assert_eq!(code(std::io::ErrorKind::StorageFull), Code::StorageFull);
        assert_eq!(code(std::io::ErrorKind::QuotaExceeded), Code::StorageFull);
        assert_eq!(code(std::io::ErrorKind::Other), Code::DependencyFailure);
    }
}

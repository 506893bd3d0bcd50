//! The adapter over `object_store`: typed keys, files streamed in constant
//! memory, nothing left of what failed.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{
    GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutPayload,
};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::folder::LocalFolder;
use super::{BlobInfo, BlobKey, Blobs};
use crate::clock::Timestamp;
use crate::disk;
use crate::error::{Code, Context, Error, Result};

pub struct ObjectBlobs {
    store: Arc<dyn ObjectStore>,
    /// The folder, when the objects are plain files.
    local: Option<PathBuf>,
    name: &'static str,
}

/// What is held in memory of a file on its way in: object stores want parts of
/// at least 5 MiB.
const PART_BYTES: usize = 5 * 1024 * 1024;
/// One read of a file on its way out.
const CHUNK_BYTES: usize = 256 * 1024;
/// Every key starts with it.
const PREFIX: &str = "previews";

impl ObjectBlobs {
    /// Plain files below `root`, an existing folder.
    pub fn local(root: &Path) -> Result<Self> {
        let store = LocalFileSystem::new_with_prefix(root)
            .or_code(Code::DependencyFailure, "open the folder of the bundles")?
            .with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
            local: Some(root.to_owned()),
            name: "local",
        })
    }

    /// Gone with the process: for tests, and the oracle of the others.
    #[must_use]
    pub fn in_memory() -> Self {
        Self {
            store: Arc::new(InMemory::new()),
            local: None,
            name: "memory",
        }
    }

    /// Streams the file to the store, which shows it when it is whole.
    async fn upload(&self, location: &ObjectPath, file: &mut tokio::fs::File) -> Result<()> {
        let mut part = next_part(file).await?;
        if part.len() < PART_BYTES {
            return match self.store.put(location, part.into()).await {
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
            while !part.is_empty() {
                upload
                    .put_part(PutPayload::from(part))
                    .await
                    .map_err(|e| failed("store", location, e))?;
                part = next_part(file).await?;
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

    async fn get(&self, location: &ObjectPath, range: Range<u64>) -> Result<GetResult> {
        let options = GetOptions::new().with_range(Some(GetRange::Bounded(range)));
        self.store
            .get_opts(location, options)
            .await
            .map_err(|e| failed("read", location, e))
    }
}

#[async_trait]
impl Blobs for ObjectBlobs {
    async fn put_file(&self, key: &BlobKey, file: &Path) -> Result<()> {
        let mut source = tokio::fs::File::open(file)
            .await
            .or_internal("open the file that is to be stored")?;
        let location = ObjectPath::from(key.as_str());
        let folder = LocalFolder::of(self.local.as_deref(), key);
        blocking(folder.as_ref(), LocalFolder::make).await?;
        stop_point!(BlobBefore);
        let stored = self.upload(&location, &mut source).await;
        stop_point!(BlobAfter);
        if stored.is_ok() {
            blocking(folder.as_ref(), LocalFolder::close_to_others).await?;
        } else {
            // The first error is the one to tell.
            let _ = blocking(folder.as_ref(), LocalFolder::clear_after_failure).await;
        }
        stored
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
        let found = self.get(&location, range).await?;
        let length = found.range.end - found.range.start;
        let start = found.range.start;
        match found.payload {
            // object_store reads a file in pieces of 8 KiB, each in a thread
            // switch of its own.
            GetResultPayload::File(file, _) => file_stream(file, start, length, location).await,
            GetResultPayload::Stream(stream) => Ok(stream
                .map_err(move |e| failed("read", &location, e))
                .boxed()),
        }
    }

    async fn delete(&self, key: &BlobKey) -> Result<()> {
        let location = ObjectPath::from(key.as_str());
        match self.store.delete(&location).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(e) => return Err(failed("delete", &location, e)),
        }
        blocking(
            LocalFolder::of(self.local.as_deref(), key).as_ref(),
            LocalFolder::remove,
        )
        .await
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

    fn local_path(&self, key: &BlobKey) -> Option<PathBuf> {
        Some(self.local.as_ref()?.join(key.as_str()))
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

/// The next part of the file; shorter than a part only at the file's end.
async fn next_part(file: &mut (impl AsyncRead + Unpin)) -> Result<Bytes> {
    let mut part = BytesMut::new();
    let mut rest = file.take(PART_BYTES as u64);
    while rest
        .read_buf(&mut part)
        .await
        .or_internal("read the file that is to be stored")?
        > 0
    {}
    Ok(part.freeze())
}

/// `length` bytes of the file from `start`; an error when it ends before.
async fn file_stream(
    file: File,
    start: u64,
    length: u64,
    location: ObjectPath,
) -> Result<BoxStream<'static, Result<Bytes>>> {
    use tokio::io::AsyncSeekExt;

    let what = format!("read {location}");
    let mut file = tokio::fs::File::from_std(file);
    file.seek(io::SeekFrom::Start(start))
        .await
        .or_code(Code::DependencyFailure, &what)?;
    let state = (file, length, what);
    Ok(
        stream::try_unfold(state, |(mut file, left, what)| async move {
            if left == 0 {
                return Ok(None);
            }
            let wanted = usize::try_from(left).map_or(CHUNK_BYTES, |left| left.min(CHUNK_BYTES));
            let mut chunk = BytesMut::with_capacity(wanted);
            let read = (&mut file)
                .take(wanted as u64)
                .read_buf(&mut chunk)
                .await
                .and_then(|read| match read {
                    0 => Err(io::ErrorKind::UnexpectedEof.into()),
                    read => Ok(read),
                })
                .or_code(Code::DependencyFailure, &what)?;
            Ok(Some((chunk.freeze(), (file, left - read as u64, what))))
        })
        .boxed(),
    )
}

/// Does `work` on the folder, if there is one, where it may block.
async fn blocking(
    folder: Option<&LocalFolder>,
    work: fn(&LocalFolder) -> io::Result<()>,
) -> Result<()> {
    let Some(folder) = folder.cloned() else {
        return Ok(());
    };
    tokio::task::spawn_blocking(move || work(&folder))
        .await
        .or_internal("prepare the folder of a bundle")?
        .map_err(|e| {
            let code = disk::code_of(&e, Code::DependencyFailure);
            Error::new(code, "could not prepare the folder of a bundle").caused_by(e)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_has_its_own_code() {
        let generic = |kind: io::ErrorKind| object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::from(kind)),
        };
        let location = ObjectPath::from("previews/1/job/bundle.zip");
        let code = |kind| failed("store", &location, generic(kind)).code;
        assert_eq!(code(io::ErrorKind::StorageFull), Code::StorageFull);
        assert_eq!(code(io::ErrorKind::QuotaExceeded), Code::StorageFull);
        assert_eq!(code(io::ErrorKind::Other), Code::DependencyFailure);
    }
}

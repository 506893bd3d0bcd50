//! Handing the finished bundle out.

use std::sync::Arc;

use futures::TryStreamExt;
use tokio::io::AsyncWriteExt;

use super::{Reader, expired, open};
use crate::app::App;
use crate::blobs::{BlobKey, Extents};
use crate::domain::JobId;
use crate::domain::preview::{Bundle, Preview, PreviewStatus};
use crate::error::{Code, Context, Error, Result};

/// A bundle that can be read now.
pub struct Opened {
    pub preview: Preview,
    pub bundle: Bundle,
    pub bytes: Bytes,
}

/// Where its bytes come from.
pub enum Bytes {
    /// The blob store keeps it in files of this machine.
    Local(Arc<Extents>),
    /// It is streamed through the blob store's port.
    Stored(BlobKey),
}

/// Opens the bundle for a download.
///
/// # Errors
/// `JOB_NOT_READY` with `status` and `progress` before the build has
/// succeeded, `PREVIEW_EXPIRED` when its life is over or the blob is gone, and
/// what [`super::open`] refuses.
pub async fn download(app: &App, reader: &Reader, id: &JobId) -> Result<Opened> {
    let preview = open(app, reader, id).await?.value;
    let bundle = finished(app, &preview)?.clone();
    let bytes = bytes(app, BlobKey::bundle(preview.project_id, id)).await?;
    Ok(Opened {
        preview,
        bundle,
        bytes,
    })
}

/// Where the blob of a preview that lives can be read.
///
/// # Errors
/// `PREVIEW_EXPIRED` when it is gone.
pub(super) async fn bytes(app: &App, key: BlobKey) -> Result<Bytes> {
    match app.blobs.on_disk(&key).await.map_err(gone)? {
        Some(extents) => Ok(Bytes::Local(extents)),
        None if app.blobs.head(&key).await?.is_some() => Ok(Bytes::Stored(key)),
        None => Err(expired()),
    }
}

/// The bundle in files of this machine.
///
/// # Errors
/// `PREVIEW_EXPIRED` when the blob is gone.
pub async fn fetch(app: &App, preview: &Preview) -> Result<Extents> {
    let key = BlobKey::bundle(preview.project_id, &preview.id);
    if let Some(zip) = app.blobs.on_disk(&key).await.map_err(gone)? {
        return Ok(Extents::clone(&zip));
    }
    let what = "copy a bundle to this machine";
    let info = app.blobs.head(&key).await?.ok_or_else(expired)?;
    let file = tempfile::tempfile_in(app.data.tmp()).or_internal(what)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut bytes = app.blobs.read(&key, 0..info.size).await?;
    while let Some(piece) = bytes.try_next().await? {
        file.write_all(&piece).await.or_internal(what)?;
    }
    file.flush().await.or_internal(what)?;
    Extents::of_file(file.into_std().await).or_internal(what)
}

/// A bundle whose row lives and whose bytes do not has expired too.
pub(super) fn gone(error: Error) -> Error {
    if error.code == Code::NotFound {
        expired()
    } else {
        error
    }
}

/// The preview's bundle, as long as it lives.
///
/// # Errors
/// `JOB_NOT_READY`, `PREVIEW_EXPIRED`.
pub(super) fn finished<'a>(app: &App, preview: &'a Preview) -> Result<&'a Bundle> {
    if preview.status != PreviewStatus::Success {
        return Err(not_ready(preview));
    }
    match &preview.bundle {
        Some(bundle) if bundle.expires_at > app.clock.now() => Ok(bundle),
        _ => Err(expired()),
    }
}

fn not_ready(preview: &Preview) -> Error {
    let status = preview.status.as_str();
    let message = match preview.status {
        PreviewStatus::Failed => {
            "this preview's build has failed, there is no bundle; read its log".to_owned()
        }
        PreviewStatus::Cancelled => {
            "this preview was cancelled, there is no bundle; retry it".to_owned()
        }
        _ => format!("this preview is not ready yet ({status}); follow its events"),
    };
    Error::new(Code::JobNotReady, message)
        .with("status", status)
        .with("progress", f64::from(preview.percent) / 100.0)
}

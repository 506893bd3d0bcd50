//! Handing the finished bundle out.

use std::fs::File;

use super::{Reader, expired, open};
use crate::app::App;
use crate::blobs::BlobKey;
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
    /// The blob store keeps it as a file of this machine.
    Local(File),
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
    let key = BlobKey::bundle(preview.project_id, id);
    let bytes = match app.blobs.local_path(&key) {
        Some(path) => match tokio::fs::File::open(path).await {
            Ok(file) => Bytes::Local(file.into_std().await),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(expired()),
            Err(e) => return Err(e).or_internal("open a bundle"),
        },
        None if app.blobs.head(&key).await?.is_some() => Bytes::Stored(key),
        None => return Err(expired()),
    };
    Ok(Opened {
        preview,
        bundle,
        bytes,
    })
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

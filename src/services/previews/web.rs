//! A web preview's files: its bundle, unpacked once on this machine's disk.

use std::path::{Path, PathBuf};

use tokio::sync::Semaphore;

use super::bundle::{fetch, finished};
use super::unpack::Unpacking;
use super::{Reader, open};
use crate::app::App;
use crate::disk;
use crate::domain::JobId;
use crate::domain::path::plain;
use crate::domain::preview::{Platform, Preview, PreviewStatus};
use crate::error::{Code, Context, Error, Result};
use crate::store::{Page, PreviewFilter};

/// How many earlier sites of the project are looked at for equal files.
const RELATIVES: usize = 8;
/// How many bundles are unpacked at a time, whoever asks: each may fill a disk
/// for a while, and keep it busy.
static UNPACKING: Semaphore = Semaphore::const_new(2);

/// A web preview ready to be served.
pub struct Site {
    pub root: PathBuf,
    /// Hex SHA-256 of the bundle: equal for equal files.
    pub sha256: String,
}

/// The site of a web preview; unpacks it where nobody has yet.
///
/// # Errors
/// `NOT_FOUND` for another platform, `JOB_NOT_READY`, `PREVIEW_EXPIRED`,
/// `PAYLOAD_TOO_LARGE`, `STORAGE_FULL`, and what [`super::open`] refuses.
pub async fn site(app: &App, reader: &Reader, id: &JobId) -> Result<Site> {
    let preview = open(app, reader, id).await?.value;
    if preview.platform != Platform::Web {
        return Err(Error::new(
            Code::NotFound,
            format!(
                "{id} is a preview for {}; only web previews are shown in a browser",
                preview.platform
            ),
        ));
    }
    let sha256 = finished(app, &preview)?.sha256.clone();
    let root = app.data.web_cache().join(id.as_str());
    if !is_unpacked(&root).await? {
        unpack(app, &preview, &root).await?;
    }
    Ok(Site { root, sha256 })
}

async fn is_unpacked(root: &Path) -> Result<bool> {
    let there = tokio::fs::try_exists(root).await;
    there.or_internal("look for an unpacked bundle")
}

/// Unpacks the bundle once, however many ask for it at once.
async fn unpack(app: &App, preview: &Preview, root: &Path) -> Result<()> {
    let held = disk::hold(root).await;
    if is_unpacked(root).await? {
        return Ok(());
    }
    // However many previews a project has, the other turn is another's. It also
    // finds what it shares with the one before.
    let project = app.data.repo(preview.project_id);
    let alone = disk::hold(&project.join("web")).await;
    let turn = UNPACKING.acquire().await.or_internal("wait for a turn")?;
    let zip = fetch(app, preview).await?;
    let nonce: [u8; 8] = app.random.bytes();
    let nonce = data_encoding::HEXLOWER.encode(&nonce);
    tokio::fs::create_dir_all(app.data.web_cache())
        .await
        .or_internal("make the folder of unpacked bundles")?;
    let unpacking = Unpacking {
        aside: app.data.tmp().join(format!("web-{}-{nonce}", preview.id)),
        root: root.to_owned(),
        relatives: relatives(app, preview).await?,
        // A build may have written as much.
        limit: app.config.builds.limits.disk_bytes,
        data: app.data.clone(),
        reserve: app.config.min_free_disk_bytes,
    };
    let run = move || {
        // Who asked may go away meanwhile; the work goes on, and is still alone.
        let _alone = (held, alone, turn);
        unpacking.run(zip)
    };
    tokio::task::spawn_blocking(run)
        .await
        .or_internal("unpack a web bundle")?
}

/// Where the project's last sites lie, or would if somebody had looked at them.
async fn relatives(app: &App, preview: &Preview) -> Result<Vec<PathBuf>> {
    let filter = PreviewFilter {
        project: Some(preview.project_id),
        status: Some(PreviewStatus::Success),
        platform: Some(Platform::Web),
        unasked: true,
        ..PreviewFilter::default()
    };
    let last = app.store.previews(&filter, &Page::first(RELATIVES)).await?;
    let others = last
        .items
        .into_iter()
        .filter(|other| other.id != preview.id);
    Ok(others
        .map(|other| app.data.web_cache().join(other.id.as_str()))
        .collect())
}

/// `text`, an address or a name below some folder, as a relative path that
/// stays in there; `None` for anything else, and for the folder itself.
#[must_use]
pub fn inside(text: &str) -> Option<PathBuf> {
    let text = text.strip_prefix('/').unwrap_or(text);
    // To some clients a backslash is a slash.
    plain(text)
        .filter(|path| !path.is_empty() && !path.contains('\\'))
        .map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_inside() {
        for good in [
            "a",
            "/a/b.js",
            "a/b/c",
            "..a/b",
            "assets/%2e%2e",
            "a/",
            "./a",
        ] {
            assert!(inside(good).is_some(), "{good}");
        }
        for bad in ["", "/", "..", "../a", "a/../b", "//a", "a\\b", "a\0"] {
            assert!(inside(bad).is_none(), "{bad}");
        }
    }
}

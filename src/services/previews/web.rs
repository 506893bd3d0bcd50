//! A web preview's files: its bundle, unpacked once on this machine's disk.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use tokio::io::AsyncWriteExt;
use zip::ZipArchive;

use super::bundle::finished;
use super::{Reader, expired, open};
use crate::app::App;
use crate::blobs::BlobKey;
use crate::domain::JobId;
use crate::domain::path::plain;
use crate::domain::preview::{Platform, Preview};
use crate::error::{Code, Context, Error, Result};

/// Where a web bundle keeps its site; see [`crate::bundle::product::DIST`].
const SITE: &str = "dist/";

/// A web preview ready to be served.
pub struct Site {
    pub root: PathBuf,
    /// Hex SHA-256 of the bundle: equal for equal files.
    pub sha256: String,
}

/// The site of a web preview; unpacks it where nobody has yet.
///
/// # Errors
/// `NOT_FOUND` for another platform, `JOB_NOT_READY`, `PREVIEW_EXPIRED`, and
/// what [`super::open`] refuses.
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
    let there = tokio::fs::try_exists(&root)
        .await
        .or_internal("look for an unpacked bundle")?;
    if !there {
        unpack(app, &preview, &root).await?;
    }
    Ok(Site { root, sha256 })
}

async fn unpack(app: &App, preview: &Preview, root: &Path) -> Result<()> {
    let zip = fetch(app, preview).await?;
    let nonce: [u8; 8] = app.random.bytes();
    let nonce = data_encoding::HEXLOWER.encode(&nonce);
    let aside = app.data.tmp().join(format!("web-{}-{nonce}", preview.id));
    tokio::fs::create_dir_all(app.data.web_cache())
        .await
        .or_internal("make the folder of unpacked bundles")?;
    let (root, limit) = (root.to_owned(), app.config.sources.max_unpacked_bytes);
    tokio::task::spawn_blocking(move || {
        let unpacked = unpack_site(zip, &aside, limit).and_then(|()| fs::rename(&aside, &root));
        match unpacked {
            Ok(()) => Ok(()),
            Err(error) => {
                // What is left of a failed try is of no use to anybody.
                let _ = fs::remove_dir_all(&aside);
                // Somebody else was faster: theirs is as good.
                if root.is_dir() { Ok(()) } else { Err(error) }
            }
        }
    })
    .await
    .or_internal("unpack a web bundle")?
    .or_internal("unpack a web bundle")
}

/// The bundle as a file that can be sought in.
async fn fetch(app: &App, preview: &Preview) -> Result<fs::File> {
    let key = BlobKey::bundle(preview.project_id, &preview.id);
    if let Some(path) = app.blobs.local_path(&key) {
        return match fs::File::open(path) {
            Ok(file) => Ok(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(expired()),
            Err(e) => Err(e).or_internal("open a web bundle"),
        };
    }
    let what = "copy a web bundle to this machine";
    let info = app.blobs.head(&key).await?.ok_or_else(expired)?;
    let file = tempfile::tempfile_in(app.data.tmp()).or_internal(what)?;
    let mut file = tokio::fs::File::from_std(file);
    let mut bytes = app.blobs.read(&key, 0..info.size).await?;
    while let Some(piece) = bytes.try_next().await? {
        file.write_all(&piece).await.or_internal(what)?;
    }
    file.flush().await.or_internal(what)?;
    Ok(file.into_std().await)
}

/// Writes the regular files below `dist/` into the new folder `into`.
fn unpack_site(zip: fs::File, into: &Path, limit: u64) -> io::Result<()> {
    let mut archive = ZipArchive::new(io::BufReader::new(zip))?;
    fs::create_dir(into)?;
    let mut left = limit;
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        // Folders are made for their files; links are never followed because
        // they are never made.
        if !entry.is_file() || entry.is_symlink() {
            continue;
        }
        let Some(name) = entry.name()?.strip_prefix(SITE).and_then(inside) else {
            continue;
        };
        let path = into.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = fs::File::create_new(&path)?;
        // One byte more than allowed tells that there is more.
        left = match io::copy(&mut entry.take(left.saturating_add(1)), &mut file)? {
            written if written > left => {
                return Err(io::Error::other(
                    "the web bundle unpacks to more than is allowed",
                ));
            }
            written => left - written,
        };
    }
    Ok(())
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
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    fn zip_of(files: &[(&str, &str)]) -> fs::File {
        let mut zip = ZipWriter::new(tempfile::tempfile().unwrap());
        for (name, content) in files {
            zip.start_file(*name, SimpleFileOptions::default()).unwrap();
            zip.write_all(content.as_bytes()).unwrap();
        }
        zip.add_symlink("dist/link", "/etc/passwd", SimpleFileOptions::default())
            .unwrap();
        zip.finish().unwrap()
    }

    #[test]
    fn only_the_site_is_unpacked_and_only_regular_files() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("site");
        let zip = zip_of(&[
            ("dist/index.html", "<p>"),
            ("dist/assets/a.js", "1"),
            ("dist/../../escape", "no"),
            ("build.log", "no"),
            ("distant/x", "x"),
        ]);
        unpack_site(zip, &into, 1000).unwrap();
        let mut found = Vec::new();
        let mut folders = vec![into.clone()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&into).unwrap().to_owned());
                }
            }
        }
        found.sort();
        assert_eq!(found, [Path::new("assets/a.js"), Path::new("index.html")]);
        assert!(!folder.path().join("escape").exists());
    }

    #[test]
    fn a_bundle_over_the_limit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let zip = zip_of(&[("dist/a", "12345"), ("dist/b", "67890")]);
        assert!(unpack_site(zip, &folder.path().join("x"), 9).is_err());
    }

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

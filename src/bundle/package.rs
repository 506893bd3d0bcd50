//! The bundle: a zip that is the same, byte for byte, for the same product.
//!
//! Names are sorted, times and modes fixed, and whether a file is compressed
//! depends on its bytes alone. Only `metadata.json` (the job's id and time) and
//! `build.log` differ between two builds of one tree.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use ring::digest::{Context as Digest, SHA256};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::product::{MAIN, Product};
use super::workbench::{Limit, cancelled};
use crate::clock::Timestamp;
use crate::domain::preview::Platform;
use crate::domain::project::ProjectKind;
use crate::domain::{JobId, ProjectId};
use crate::error::{Code, Context, Error, Result};

/// Bytes of a whole bundle before compression.
const LARGEST: u64 = 2 << 30;
/// How much of a file is tried for whether compressing pays.
const SAMPLE: u64 = 64 << 10;

/// What is known of the build, for `metadata.json`.
#[derive(Clone, Debug)]
pub struct Facts {
    pub job_id: JobId,
    pub project_id: ProjectId,
    pub commit: String,
    pub platform: Platform,
    pub kind: ProjectKind,
    pub built_at: Timestamp,
    pub token_version: u32,
}

#[derive(Serialize)]
struct Metadata<'a> {
    job_id: &'a JobId,
    project_id: ProjectId,
    commit: &'a str,
    platform: Platform,
    kind: ProjectKind,
    built_at: Timestamp,
    token_version: u32,
    runtime_version: Option<&'a str>,
    sizes: Sizes,
    #[serde(skip_serializing_if = "Option::is_none")]
    launch_asset: Option<AssetFacts<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assets: Vec<AssetFacts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expo: Option<&'a serde_json::Value>,
}

/// Bytes before compression.
#[derive(Default, Serialize)]
struct Sizes {
    /// `main.jsbundle`, or all of `dist/`.
    bundle: u64,
    assets: u64,
    files: u64,
}

/// What an Expo manifest says of a file.
#[derive(Serialize)]
struct AssetFacts<'a> {
    path: &'a str,
    key: &'a str,
    /// SHA-256 in unpadded base64url.
    hash: String,
    content_type: String,
    extension: &'a str,
}

/// The finished zip.
#[derive(Clone, Debug)]
pub struct Packed {
    pub size: u64,
    /// Hex.
    pub sha256: String,
}

/// What may stop the packing.
pub struct Stop<'a> {
    pub limit: &'a Limit,
    pub cancel: &'a CancellationToken,
}

impl Stop<'_> {
    fn check(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            return Err(cancelled());
        }
        self.limit.check()
    }
}

/// Writes the bundle to `target`: aside, synced, renamed. Blocking.
pub fn pack(
    product: &Product,
    facts: &Facts,
    log: &Path,
    target: &Path,
    stop: &Stop<'_>,
) -> Result<Packed> {
    let what = "write the bundle";
    let metadata = metadata(product, facts, stop)?;
    let mut sources: Vec<(&str, Source<'_>)> = product
        .entries
        .iter()
        .map(|entry| (entry.name.as_str(), Source::File(&entry.file)))
        .collect();
    sources.push(("metadata.json", Source::Bytes(&metadata)));
    sources.push(("build.log", Source::File(log)));
    sources.sort_by(|one, two| one.0.cmp(two.0));

    let aside = target.with_extension("part");
    let file = File::create(&aside).or_internal(what)?;
    let mut zip = ZipWriter::new(io::BufWriter::with_capacity(256 << 10, file));
    for (name, source) in sources {
        stop.check()?;
        add(&mut zip, name, &source).or_internal(what)?;
    }
    let file = zip
        .finish()
        .or_internal(what)?
        .into_inner()
        .map_err(io::IntoInnerError::into_error)
        .or_internal(what)?;
    file.sync_all().or_internal(what)?;
    stop_point!(PackageBeforeRename);
    fs::rename(&aside, target).or_internal(what)?;
    stop_point!(PackageAfter);
    let size = file.metadata().or_internal(what)?.len();
    let sha256 = HEXLOWER.encode(&digest(target).or_internal(what)?);
    Ok(Packed { size, sha256 })
}

enum Source<'a> {
    File(&'a Path),
    Bytes(&'a [u8]),
}

impl<'a> Source<'a> {
    fn open(&self) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Source::File(path) => Box::new(File::open(path)?),
            Source::Bytes(bytes) => Box::new(*bytes),
        })
    }
}

fn add<W: Write + io::Seek>(
    zip: &mut ZipWriter<W>,
    name: &str,
    source: &Source<'_>,
) -> zip::result::ZipResult<()> {
    let mut sample = Vec::new();
    source.open()?.take(SAMPLE).read_to_end(&mut sample)?;
    let options = SimpleFileOptions::default()
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let options = if pays(&sample)? {
        options
            .compression_method(CompressionMethod::Deflated)
            .compression_level(Some(6))
    } else {
        options.compression_method(CompressionMethod::Stored)
    };
    zip.start_file(name, options)?;
    io::copy(&mut source.open()?, zip)?;
    Ok(())
}

/// Whether compressing takes off a twentieth at least: pictures and fonts are
/// compressed already, and devices unpack stored files faster.
fn pays(sample: &[u8]) -> io::Result<bool> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(sample)?;
    let compressed = encoder.finish()?.len();
    Ok(compressed + sample.len() / 20 < sample.len())
}

fn metadata(product: &Product, facts: &Facts, stop: &Stop<'_>) -> Result<Vec<u8>> {
    let what = "describe the bundle";
    let sizes = sizes(product)?;
    let file_of = |name: &str| {
        product
            .entries
            .iter()
            .find(|entry| entry.name == name)
            .map(|entry| entry.file.as_path())
    };
    let mut launch_asset = None;
    if let Some(main) = file_of(MAIN) {
        launch_asset = Some(AssetFacts {
            path: MAIN,
            key: "bundle",
            hash: BASE64URL_NOPAD.encode(&digest(main).or_internal(what)?),
            content_type: "application/javascript".to_owned(),
            extension: "bundle",
        });
    }
    let mut assets = Vec::new();
    for asset in &product.assets {
        stop.check()?;
        let Some(file) = file_of(&asset.name) else {
            continue;
        };
        assets.push(AssetFacts {
            path: &asset.name,
            key: &asset.key,
            hash: BASE64URL_NOPAD.encode(&digest(file).or_internal(what)?),
            content_type: mime_guess::from_ext(&asset.extension)
                .first_or_octet_stream()
                .to_string(),
            extension: &asset.extension,
        });
    }
    assets.sort_by(|one, two| one.path.cmp(two.path));
    let mut json = serde_json::to_vec_pretty(&Metadata {
        job_id: &facts.job_id,
        project_id: facts.project_id,
        commit: &facts.commit,
        platform: facts.platform,
        kind: facts.kind,
        built_at: facts.built_at,
        token_version: facts.token_version,
        runtime_version: product.runtime_version.as_deref(),
        sizes,
        launch_asset,
        assets,
        expo: product.expo.as_ref(),
    })
    .or_internal(what)?;
    json.push(b'\n');
    Ok(json)
}

fn sizes(product: &Product) -> Result<Sizes> {
    let mut sizes = Sizes::default();
    for entry in &product.entries {
        let length = entry
            .file
            .metadata()
            .or_internal("read the build's output")?
            .len();
        sizes.files += 1;
        if entry.name.starts_with("assets/") {
            sizes.assets += length;
        } else {
            sizes.bundle += length;
        }
    }
    if sizes.assets + sizes.bundle > LARGEST {
        return Err(Error::new(
            Code::PreviewBuildFailed,
            format!("the build's output is larger than {} MiB", LARGEST >> 20),
        ));
    }
    Ok(sizes)
}

/// The file's SHA-256.
fn digest(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut digest = Digest::new(&SHA256);
    let mut chunk = vec![0; 128 << 10];
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            return Ok(digest.finish().as_ref().to_vec());
        }
        digest.update(&chunk[..read]);
    }
}

#[cfg(test)]
mod tests;

//! The bundle: a zip that is the same, byte for byte, for the same product.
//!
//! Names are sorted, times and modes fixed, and whether a file is compressed
//! depends on its bytes alone. Only `metadata.json` (the job's id and time) and
//! `build.log` differ between two builds of one tree.
//!
//! It is made as *parts* ([`layout`]), so that what an earlier bundle of the
//! project has is neither compressed nor stored again.

mod chunks;
mod layout;
mod metadata;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use data_encoding::HEXLOWER;

use self::layout::{Layout, Share, Source};
use self::metadata::Sizes;
use super::bounds::Bounds;
use super::product::Product;
use super::stop::Stop;
use crate::blobs::{Extents, Part, Shelf};
use crate::clock::Timestamp;
use crate::disk;
use crate::domain::preview::Platform;
use crate::domain::project::ProjectKind;
use crate::domain::{JobId, ProjectId};
use crate::error::{Code, Error, Result};

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

/// The finished zip.
#[derive(Clone, Debug)]
pub struct Packed {
    pub size: u64,
    /// Hex.
    pub sha256: String,
    /// One after the other they are the zip.
    pub parts: Vec<Part>,
}

impl Packed {
    /// The zip's bytes.
    #[must_use]
    pub fn bytes(&self) -> Extents {
        self.parts.iter().map(|part| part.extent.clone()).collect()
    }
}

/// Where a bundle is made.
pub struct Target<'a> {
    /// What earlier bundles have of it.
    pub shelf: &'a dyn Shelf,
    /// A new file for the rest, which must stay until the parts are stored.
    pub scratch: &'a Path,
    pub bounds: &'a Bounds,
}

/// Makes the bundle. What is too large for `target` is refused before any of it is
/// read. Blocking.
///
/// # Errors
/// `PREVIEW_TIMEOUT`, `CANCELLED`, `PREVIEW_BUILD_FAILED` for a product that is
/// too large, `STORAGE_FULL`.
pub fn pack(
    product: &Product,
    facts: &Facts,
    log: &Path,
    target: &Target<'_>,
    stop: &Stop,
) -> Result<Packed> {
    let sizes = Sizes::of(product)?;
    target.bounds.judge(sizes.largest, sizes.together())?;
    let metadata = metadata::describe(product, facts, sizes, stop)?;
    let mut sources: Vec<(&str, Share, Source<'_>)> = product
        .entries
        .iter()
        .map(|entry| (entry.name.as_str(), Share::Yes, Source::File(&entry.file)))
        .collect();
    sources.push(("metadata.json", Share::No, Source::Bytes(&metadata)));
    sources.push(("build.log", Share::No, Source::File(log)));
    sources.sort_by(|one, two| one.0.cmp(two.0));

    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(target.scratch)
        .map_err(unwritten)?;
    let mut layout = Layout::new(file, target.shelf);
    for (name, share, source) in sources {
        layout.add(name, share, &source, &mut || stop.check())?;
    }
    let parts = layout.finish()?;
    stop_point!(PackageBeforeRename);
    let mut packed = Packed {
        size: 0,
        sha256: String::new(),
        parts,
    };
    let bytes = packed.bytes();
    packed.size = bytes.size();
    let digest = stop.reading("read the bundle", bytes.reader(), disk::sha256_of)?;
    packed.sha256 = HEXLOWER.encode(&digest);
    stop_point!(PackageAfter);
    Ok(packed)
}

fn unwritten(cause: io::Error) -> Error {
    let code = disk::code_of(&cause, Code::InternalError);
    Error::new(code, "could not write the bundle").caused_by(cause)
}

#[cfg(test)]
mod tests;

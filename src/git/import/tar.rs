//! Gzipped tar archives, header by header.
//!
//! The extension headers (GNU long names, pax) are read here rather than by
//! the library, which would hold one of any size in memory.

use std::cell::Cell;
use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::rc::Rc;

use ::tar::{Archive, EntryType, Header, PaxExtensions};
use flate2::read::MultiGzDecoder;

use super::plan::{most_entries, too_many};
use super::{Incoming, Intake, Kind, Visit, damaged, special};
use crate::config::SourceLimits;
use crate::error::{Code, Context, Error, Result};
use crate::git::paths;

/// Bytes of one extension header: a path and a few attributes.
const MAX_EXTENSION: u64 = 64 << 10;

pub(super) struct TarGz {
    file: File,
    size: u64,
    /// Bytes of the tar, with its headers and with what is skipped in it.
    max_stream: u64,
    /// What is told: the limit as the operator set it.
    max_unpacked: u64,
    max_files: u64,
}

impl TarGz {
    pub(super) fn new(file: File, config: &SourceLimits) -> Result<Self> {
        let size = file
            .metadata()
            .or_internal("look at an uploaded archive")?
            .len();
        Ok(Self {
            file,
            size,
            max_stream: config.max_unpacked_bytes.saturating_mul(2),
            max_unpacked: config.max_unpacked_bytes,
            max_files: config.max_files,
        })
    }
}

impl Intake for TarGz {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        self.file
            .seek(SeekFrom::Start(0))
            .or_internal("read an uploaded archive")?;
        let over = Rc::new(Cell::new(false));
        let unpacked = Bounded {
            inner: MultiGzDecoder::new(BufReader::new(&self.file)),
            left: self.max_stream,
            over: Rc::clone(&over),
        };
        walk(unpacked, most_entries(self.max_files), self.max_files, visit).map_err(|error| {
            if over.get() {
                Error::new(
                    Code::PayloadTooLarge,
                    format!(
                        "the archive unpacks to more than {} bytes; leave out what is not source, or \
                         raise UPLOAD_MAX_UNPACKED_MB",
                        self.max_unpacked
                    ),
                )
                .with("limit", self.max_unpacked)
            } else {
                error
            }
        })
    }

    fn packed_size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn may_have_wrapper(&self) -> bool {
        true
    }
}

/// What extension headers say about the entry after them.
#[derive(Default)]
struct Extension {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    sparse: bool,
}

fn walk(
    unpacked: impl Read,
    most_entries: u64,
    max_files: u64,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let mut archive = Archive::new(unpacked);
    let mut extension = Extension::default();
    let mut seen = 0;
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let mut entry = entry.map_err(damaged)?;
        seen += 1;
        // Twice, because an entry may have extension headers.
        if seen > most_entries.saturating_mul(2) {
            return Err(too_many(max_files));
        }
        let header = entry.header().clone();
        match header.entry_type() {
            EntryType::XGlobalHeader => {}
            EntryType::XHeader => pax(&bounded(&mut entry)?, &mut extension)?,
            EntryType::GNULongName => extension.path = Some(text(bounded(&mut entry)?)),
            EntryType::GNULongLink => extension.target = Some(text(bounded(&mut entry)?)),
            _ => {
                let extension = std::mem::take(&mut extension);
                let size = entry.size();
                one(&header, extension, size, &mut entry, visit)?;
            }
        }
    }
    // To the end, where gzip has its checksum.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(damaged)?;
    Ok(())
}

fn one(
    header: &Header,
    extension: Extension,
    size: u64,
    content: &mut dyn Read,
    visit: &mut Visit<'_>,
) -> Result<()> {
    let path = extension
        .path
        .unwrap_or_else(|| header.path_bytes().into_owned());
    let name = utf8(path)?;
    // Readers disagree about such entries, and none is needed for source.
    if extension.sparse || extension.size.is_some_and(|said| said != size) {
        return Err(special(&name));
    }
    let kind = match header.entry_type() {
        // Old tars mark folders by the slash alone.
        EntryType::Regular | EntryType::Continuous if name.ends_with('/') => Kind::Folder,
        EntryType::Regular | EntryType::Continuous => Kind::File {
            executable: header.mode().map_err(damaged)? & 0o100 != 0,
            size,
        },
        EntryType::Directory => Kind::Folder,
        EntryType::Symlink => Kind::Link {
            target: utf8(
                extension
                    .target
                    .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
                    .unwrap_or_default(),
            )?,
        },
        _ => return Err(special(&name)),
    };
    visit(Incoming { name: &name, kind }, content)
}

fn pax(records: &[u8], extension: &mut Extension) -> Result<()> {
    for record in PaxExtensions::new(records) {
        let record = record.map_err(damaged)?;
        match record.key_bytes() {
            b"path" => extension.path = Some(record.value_bytes().to_vec()),
            b"linkpath" => extension.target = Some(record.value_bytes().to_vec()),
            b"size" => {
                let size = record.value().ok().and_then(|text| text.parse().ok());
                extension.size = Some(size.unwrap_or(u64::MAX));
            }
            key => extension.sparse |= key.starts_with(b"GNU.sparse."),
        }
    }
    Ok(())
}

fn bounded(entry: &mut impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    entry
        .take(MAX_EXTENSION + 1)
        .read_to_end(&mut bytes)
        .map_err(damaged)?;
    if bytes.len() as u64 > MAX_EXTENSION {
        return Err(Error::invalid(
            "archive",
            "the archive holds a path that is too long; nothing was stored",
        ));
    }
    Ok(bytes)
}

/// GNU ends its long names with a NUL.
fn text(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

fn utf8(bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| {
        Error::invalid(
            "archive",
            format!(
                "the archive holds {}, a path that is not UTF-8; nothing was stored",
                paths::shown(&String::from_utf8_lossy(e.as_bytes()))
            ),
        )
    })
}

/// A reader that fails after `left` bytes and tells so, since the error itself
/// comes out of the library wrapped.
struct Bounded<R> {
    inner: R,
    left: u64,
    over: Rc<Cell<bool>>,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let got = self.inner.read(buffer)?;
        let Some(left) = self.left.checked_sub(got as u64) else {
            self.over.set(true);
            return Err(std::io::Error::other("over the limit of unpacked bytes"));
        };
        self.left = left;
        Ok(got)
    }
}

//! The zip as PKWARE's APPNOTE 6.3.10 lays it out, made as parts.
//!
//! A small file is one part, with its header: the same file gives the same
//! part. A larger one is its header and a part for each chunk. What the shelf
//! has under a part's name is taken from there; the rest is written to a file
//! of our own, in the order of the zip, so that a bundle which shares nothing
//! is that file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use flate2::Crc;

use super::chunks::{Chunks, Deflater, Method, Place, name_of};
use super::unwritten;
use crate::blobs::{Extent, Part, PartName, Shelf};
use crate::error::{Code, Error, Result};

/// Where a file's bytes come from.
pub(super) enum Source<'a> {
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

/// Whether another bundle may have the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Yes,
    No,
}

pub(super) struct Layout<'a> {
    shelf: &'a dyn Shelf,
    file: Arc<File>,
    /// Bytes of `file`.
    written: u64,
    parts: Vec<Part>,
    /// Bytes of all parts.
    size: u64,
    directory: Vec<u8>,
    entries: u64,
    deflater: Deflater,
}

/// What the headers say of a file.
struct ZipEntry<'a> {
    name: &'a str,
    method: Method,
    crc: u32,
    packed: u64,
    plain: u64,
}

impl<'a> Layout<'a> {
    /// `file` is empty.
    pub(super) fn new(file: File, shelf: &'a dyn Shelf) -> Self {
        Self {
            shelf,
            file: Arc::new(file),
            written: 0,
            parts: Vec::new(),
            size: 0,
            directory: Vec::new(),
            entries: 0,
            deflater: Deflater::default(),
        }
    }

    /// Adds a file; `check` is asked between its chunks.
    pub(super) fn add(
        &mut self,
        name: &str,
        share: Share,
        source: &Source<'_>,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        check()?;
        let open = || source.open().map_err(unwritten);
        let mut entry = ZipEntry {
            name,
            method: Method::for_file(open()?).map_err(unwritten)?,
            crc: Crc::new().sum(),
            packed: 0,
            plain: 0,
        };
        let offset = self.size;
        let mut chunks = Chunks::of(open()?);
        let first = chunks.next().transpose().map_err(unwritten)?;
        match first {
            Some((chunk, Place::Inner)) => {
                self.in_chunks(&mut entry, share, chunk, chunks, check)?;
            }
            Some((chunk, Place::Last)) => self.in_one(&mut entry, share, &chunk)?,
            None => self.in_one(&mut entry, share, &[])?,
        }
        entry.in_directory(offset, &mut self.directory)?;
        self.entries += 1;
        Ok(())
    }

    /// A small file: header and bytes are one part.
    fn in_one(&mut self, entry: &mut ZipEntry<'_>, share: Share, bytes: &[u8]) -> Result<()> {
        let mut crc = Crc::new();
        crc.update(bytes);
        entry.crc = crc.sum();
        entry.plain = bytes.len() as u64;
        let name = name_of(&[b"file", entry.name.as_bytes(), entry.method.tag(), bytes]);
        let name = (share == Share::Yes).then_some(name);
        let head = entry.header_length();
        if let Some(part) = self.known(name.as_ref())
            && let Some(packed) = part.extent.len().checked_sub(head)
        {
            entry.packed = packed;
            self.push(part);
            return Ok(());
        }
        let packed = match entry.method {
            Method::Deflated => &self
                .deflater
                .deflate(bytes, Place::Last)
                .map_err(unwritten)?,
            Method::Stored => bytes,
        };
        entry.packed = packed.len() as u64;
        let mut whole = entry.header()?;
        whole.extend_from_slice(packed);
        self.append(name, &whole)
    }

    /// A larger file. Its header stands before the chunks and tells their sizes,
    /// so its place is kept until they are known.
    fn in_chunks(
        &mut self,
        entry: &mut ZipEntry<'_>,
        share: Share,
        first: Vec<u8>,
        rest: Chunks<Box<dyn Read + '_>>,
        check: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let head = entry.header_length();
        let place = Extent {
            file: Arc::clone(&self.file),
            range: self.written..self.written + head,
        };
        let header = self.parts.len();
        self.push(Part::new(None, place.clone()));
        self.written += head;

        let mut crc = Crc::new();
        for chunk in std::iter::once(Ok((first, Place::Inner))).chain(rest) {
            check()?;
            let (bytes, at) = chunk.map_err(unwritten)?;
            crc.update(&bytes);
            entry.plain += bytes.len() as u64;
            entry.packed += self.chunk(entry.method, share, &bytes, at)?;
        }
        entry.crc = crc.sum();
        let bytes = entry.header()?;
        let name = (share == Share::Yes).then(|| name_of(&[b"header", &bytes]));
        // Where nothing was new the header is known as well, and next to the
        // chunks that it belongs to.
        let known = (self.written == place.range.end)
            .then(|| self.known(name.as_ref()))
            .flatten()
            .filter(|part| part.extent.len() == head);
        if let Some(part) = known {
            self.written = place.range.start;
            self.parts[header] = part;
        } else {
            self.file
                .write_all_at(&bytes, place.range.start)
                .map_err(unwritten)?;
            self.parts[header] = Part::new(name, place);
        }
        Ok(())
    }

    /// Answers how long the chunk is in the zip.
    fn chunk(&mut self, method: Method, share: Share, bytes: &[u8], at: Place) -> Result<u64> {
        // Stored bytes are the same wherever they stand.
        let place: &[u8] = match (method, at) {
            (Method::Deflated, Place::Last) => b"last",
            _ => b"inner",
        };
        let name = name_of(&[b"chunk", method.tag(), place, bytes]);
        let name = (share == Share::Yes).then_some(name);
        if let Some(part) = self.known(name.as_ref()) {
            let length = part.extent.len();
            self.push(part);
            return Ok(length);
        }
        let packed = match method {
            Method::Deflated => &self.deflater.deflate(bytes, at).map_err(unwritten)?,
            Method::Stored => bytes,
        };
        self.append(name, packed)?;
        Ok(packed.len() as u64)
    }

    /// The directory and its end. Answers the parts of the zip.
    pub(super) fn finish(mut self) -> Result<Vec<Part>> {
        let mut end = std::mem::take(&mut self.directory);
        let length = end.len() as u64;
        directory_end(self.entries, length, self.size, &mut end)?;
        self.append(None, &end)?;
        Ok(self.parts)
    }

    fn known(&self, name: Option<&PartName>) -> Option<Part> {
        self.shelf.find(name?)
    }

    fn append(&mut self, name: Option<PartName>, bytes: &[u8]) -> Result<()> {
        let range = self.written..self.written + bytes.len() as u64;
        self.file
            .write_all_at(bytes, range.start)
            .map_err(unwritten)?;
        self.written = range.end;
        let file = Arc::clone(&self.file);
        self.push(Part::new(name, Extent { file, range }));
        Ok(())
    }

    fn push(&mut self, part: Part) {
        self.size += part.extent.len();
        self.parts.push(part);
    }
}

/// "Version made by" (4.4.2): Unix, for the modes; and of what is needed to
/// extract (4.4.3).
const MADE_BY: u16 = 0x0300 | NEEDS_ZIP64;
const NEEDS: u16 = 20;
const NEEDS_ZIP64: u16 = 45;
/// General purpose bit 11 (4.4.4): the name is UTF-8.
const UTF_8: u16 = 1 << 11;
/// The first moment of DOS (4.4.6): the same for all files, time and date.
const TIME: u16 = 0;
const DATE: u16 = 0b1_00001;
/// A regular file that its owner may write and everybody read (4.4.15).
const ATTRIBUTES: u32 = 0o100_644 << 16;

impl Method {
    /// 4.4.5.
    fn number(self) -> u16 {
        match self {
            Method::Stored => 0,
            Method::Deflated => 8,
        }
    }

    /// For the names of parts.
    fn tag(self) -> &'static [u8] {
        match self {
            Method::Stored => b"stored",
            Method::Deflated => b"deflated",
        }
    }
}

impl ZipEntry<'_> {
    fn header_length(&self) -> u64 {
        30 + self.name.len() as u64
    }

    /// The local file header, 4.3.7.
    fn header(&self) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(30 + self.name.len());
        long(&mut out, 0x0403_4b50);
        self.common(&mut out)?;
        out.extend_from_slice(self.name.as_bytes());
        Ok(out)
    }

    /// Its header in the central directory, 4.3.12.
    fn in_directory(&self, offset: u64, out: &mut Vec<u8>) -> Result<()> {
        long(out, 0x0201_4b50);
        short(out, MADE_BY);
        self.common(out)?;
        // No comment, on the first disk, not known to be text.
        for _ in 0..3 {
            short(out, 0);
        }
        long(out, ATTRIBUTES);
        long(out, narrow(offset)?);
        out.extend_from_slice(self.name.as_bytes());
        Ok(())
    }

    /// What both headers have: from the version that is needed to the length of
    /// the extra field, which is none.
    fn common(&self, out: &mut Vec<u8>) -> Result<()> {
        short(out, NEEDS);
        short(out, if self.name.is_ascii() { 0 } else { UTF_8 });
        short(out, self.method.number());
        short(out, TIME);
        short(out, DATE);
        long(out, self.crc);
        long(out, narrow(self.packed)?);
        long(out, narrow(self.plain)?);
        let length = u16::try_from(self.name.len()).map_err(|_| too_large())?;
        short(out, length);
        short(out, 0);
        Ok(())
    }
}

/// The end of the central directory, 4.3.16. A directory of more entries than
/// its 16 bits can count has the ZIP64 records before it, 4.3.14 and 4.3.15.
fn directory_end(entries: u64, length: u64, offset: u64, out: &mut Vec<u8>) -> Result<()> {
    let counted = u16::try_from(entries).ok().filter(|n| *n < u16::MAX);
    if counted.is_none() {
        let record = offset + length;
        long(out, 0x0606_4b50);
        longer(out, 44);
        short(out, MADE_BY);
        short(out, NEEDS_ZIP64);
        long(out, 0);
        long(out, 0);
        for number in [entries, entries, length, offset] {
            longer(out, number);
        }
        long(out, 0x0706_4b50);
        long(out, 0);
        longer(out, record);
        long(out, 1);
    }
    long(out, 0x0605_4b50);
    short(out, 0);
    short(out, 0);
    for _ in 0..2 {
        short(out, counted.unwrap_or(u16::MAX));
    }
    long(out, narrow(length)?);
    long(out, narrow(offset)?);
    short(out, 0);
    Ok(())
}

/// Sizes and offsets have 32 bits: a product is far smaller than that.
fn narrow(number: u64) -> Result<u32> {
    u32::try_from(number).map_err(|_| too_large())
}

fn too_large() -> Error {
    Error::new(
        Code::PreviewBuildFailed,
        "the build's output does not fit into a zip; see that `output_dir` names the folder of \
         the site alone",
    )
}

fn short(out: &mut Vec<u8>, number: u16) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn long(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn longer(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

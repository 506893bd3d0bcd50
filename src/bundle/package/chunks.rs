//! A file's bytes, cut and compressed so that what two versions of it have in
//! common comes out as the same bytes.
//!
//! Files are cut where their content says so (`FastCDC`), so that a line more
//! near the beginning moves the cuts but does not change the chunks after it.
//! Each chunk is deflated on its own and ended with a full flush, which leaves
//! the stream at a byte's edge and looks back at nothing (RFC 1951, section
//! 3.2.4; zlib's `Z_FULL_FLUSH`). So the chunks, one after the other, are one
//! plain deflate stream, the last chunk with its final block: any unzip reads
//! it without knowing.

use std::io::{self, Read};
use std::iter::Peekable;

use fastcdc::v2020::StreamCDC;
use flate2::{Compress, Compression, FlushCompress, Status};
use ring::digest::{Context as Digest, SHA256};

use crate::blobs::PartName;

/// Bytes of a chunk. Smaller ones compress worse, larger ones share less: of
/// an edit one or two chunks are new.
const SMALLEST: usize = 8 << 10;
const USUAL: usize = 32 << 10;
const LARGEST: usize = 128 << 10;
/// How much of a file is tried for whether compressing pays.
const SAMPLE: usize = 64 << 10;
const LEVEL: u32 = 6;
/// Goes into the names of parts: two versions of this code may compress the same
/// chunk to other bytes, and a bundle must not depend on what was stored.
const ENCODING: &str = "hivesync bundle 1, deflate 6 of flate2 1 with zlib-rs";

/// How a file lies in the zip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
}

impl Method {
    /// Deflated if that takes off a twentieth at least: pictures and fonts are
    /// compressed already, and devices unpack stored files faster.
    pub(super) fn for_file(from: impl Read) -> io::Result<Method> {
        let mut sample = Vec::new();
        from.take(SAMPLE as u64).read_to_end(&mut sample)?;
        let compressed = Deflater::new(Compression::fast()).deflate(&sample, Place::Last)?;
        let pays = compressed.len() + sample.len() / 20 < sample.len();
        Ok(if pays {
            Method::Deflated
        } else {
            Method::Stored
        })
    }
}

/// Where a chunk stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Inner,
    Last,
}

/// The chunks of a file, each with its place; none of an empty one.
pub(super) struct Chunks<R: Read> {
    cut: Peekable<StreamCDC<R>>,
}

impl<R: Read> Chunks<R> {
    pub(super) fn of(file: R) -> Self {
        Self {
            cut: StreamCDC::new(file, SMALLEST, USUAL, LARGEST).peekable(),
        }
    }
}

impl<R: Read> Iterator for Chunks<R> {
    type Item = io::Result<(Vec<u8>, Place)>;

    fn next(&mut self) -> Option<Self::Item> {
        let chunk = self.cut.next()?;
        let place = match self.cut.peek() {
            Some(_) => Place::Inner,
            None => Place::Last,
        };
        Some(chunk.map(|chunk| (chunk.data, place)).map_err(Into::into))
    }
}

pub(super) struct Deflater(Compress);

impl Default for Deflater {
    fn default() -> Self {
        Self::new(Compression::new(LEVEL))
    }
}

impl Deflater {
    fn new(level: Compression) -> Self {
        Self(Compress::new(level, false))
    }

    /// A segment of a deflate stream that holds `chunk` and looks back at
    /// nothing before it.
    pub(super) fn deflate(&mut self, chunk: &[u8], place: Place) -> io::Result<Vec<u8>> {
        self.0.reset();
        let flush = match place {
            Place::Inner => FlushCompress::Full,
            Place::Last => FlushCompress::Finish,
        };
        let mut out = Vec::with_capacity(chunk.len() / 2 + 64);
        loop {
            let taken = usize::try_from(self.0.total_in()).unwrap_or(chunk.len());
            let status = self.0.compress_vec(&chunk[taken..], &mut out, flush)?;
            let all = self.0.total_in() == chunk.len() as u64;
            // A flush that found no room for all of it goes on with the next
            // call; one that left room is over.
            let over = match place {
                Place::Inner => all && out.len() < out.capacity(),
                Place::Last => status == Status::StreamEnd,
            };
            if over {
                return Ok(out);
            }
            out.reserve(out.capacity());
        }
    }
}

/// The name of the part that `fields` determine.
pub(super) fn name_of(fields: &[&[u8]]) -> PartName {
    let mut digest = Digest::new(&SHA256);
    digest.update(ENCODING.as_bytes());
    for field in fields {
        // The length keeps neighbours apart.
        digest.update(&(field.len() as u64).to_be_bytes());
        digest.update(field);
    }
    let mut name = [0; 32];
    name.copy_from_slice(digest.finish().as_ref());
    PartName(name)
}

#[cfg(test)]
mod tests {
    use flate2::read::DeflateDecoder;
    use proptest::prelude::*;

    use super::*;

    /// Bytes that compress somewhat and do not repeat.
    fn text(length: usize, seed: u32) -> Vec<u8> {
        let mut state = seed | 1;
        (0..length)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                b"abcdefghijklmnop"[(state >> 9) as usize & 15]
            })
            .collect()
    }

    fn stream(file: &[u8]) -> Vec<Vec<u8>> {
        let mut deflater = Deflater::default();
        Chunks::of(file)
            .map(|chunk| {
                let (chunk, place) = chunk.unwrap();
                deflater.deflate(&chunk, place).unwrap()
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn segments_are_one_deflate_stream(length in 1_usize..400_000, seed in any::<u32>()) {
            let file = text(length, seed);
            let mut plain = Vec::new();
            DeflateDecoder::new(&stream(&file).concat()[..]).read_to_end(&mut plain).unwrap();
            prop_assert!(plain == file);
        }
    }

    #[test]
    fn what_cannot_be_compressed_comes_back_too() {
        let noise: Vec<u8> = (0_u32..10_000)
            .flat_map(|n| {
                let digest = ring::digest::digest(&SHA256, &n.to_be_bytes());
                digest.as_ref().to_vec()
            })
            .collect();
        let mut plain = Vec::new();
        let packed = stream(&noise).concat();
        DeflateDecoder::new(&packed[..])
            .read_to_end(&mut plain)
            .unwrap();
        assert!(plain == noise);
        assert_eq!(Method::for_file(&noise[..]).unwrap(), Method::Stored);
        assert_eq!(Method::for_file(&b""[..]).unwrap(), Method::Stored);
    }

    #[test]
    fn a_line_more_leaves_most_segments_as_they_were() {
        let old = text(2_000_000, 7);
        let mut new = old.clone();
        new.splice(500_000..500_000, *b"one line more\n");
        let (old, new) = (stream(&old), stream(&new));
        let fresh = new.iter().filter(|segment| !old.contains(segment)).count();
        assert!(new.len() > 30, "{} chunks", new.len());
        assert!((1..=3).contains(&fresh), "{fresh} of {} are new", new.len());
    }
}

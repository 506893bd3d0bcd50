//! A file of a site with some text put in at some places: what
//! [`rewrite`](super::rewrite) makes of it. Only the places are held in memory;
//! the bytes are read as the client takes them.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures::stream;

use crate::blobs::extent::{Extent, Extents, Reader};
use crate::error::{Context, Error, Result};

/// Bytes of a piece on its way to the client.
const PIECE: u64 = 64 * 1024;

/// What is put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The prefix without its last slash: one follows in the file.
    Prefix,
    /// The tag that loads `frame.js`.
    Frame,
    /// `data-`, which takes an attribute out of force.
    Data,
}

/// Places in a file, in their order: what stands there in the file follows what
/// is put in.
pub(super) type Insertions = Vec<(u32, What)>;

/// The texts that are put in for one reader.
#[derive(Debug)]
pub(super) struct Texts {
    pub(super) prefix: Bytes,
    pub(super) frame: Bytes,
}

impl Texts {
    pub(super) fn of(&self, what: What) -> &[u8] {
        match what {
            What::Prefix => &self.prefix,
            What::Frame => &self.frame,
            What::Data => b"data-",
        }
    }
}

/// A file and what is put into it.
#[derive(Clone, Debug)]
pub(super) struct Rewritten {
    pub(super) file: Arc<File>,
    /// Bytes in the file.
    pub(super) length: u64,
    pub(super) insertions: Arc<Insertions>,
    pub(super) texts: Arc<Texts>,
}

impl Rewritten {
    /// Bytes of the whole.
    pub(super) fn size(&self) -> u64 {
        let texts = self.insertions.iter().map(|(_, what)| self.texts.of(*what));
        self.length + texts.map(|text| text.len() as u64).sum::<u64>()
    }

    /// The bytes of `range`: at once where they are few, so that their number is
    /// known to those who look whether an answer is worth compressing; else a
    /// piece at a time.
    pub(super) async fn body(self, range: Range<u64>) -> Result<Body> {
        if range.end - range.start <= PIECE {
            return Ok(Body::from(self.piece(range).await?));
        }
        let pieces = stream::try_unfold(range, move |left| {
            let whole = self.clone();
            async move {
                if left.is_empty() {
                    return Ok::<_, Error>(None);
                }
                let end = left.end.min(left.start + PIECE);
                // A file that became shorter: the promised length cannot be kept,
                // so the connection is cut.
                let piece = whole.piece(left.start..end).await?;
                Ok(Some((piece, end..left.end)))
            }
        });
        Ok(Body::from_stream(pieces))
    }

    /// Those bytes of the whole, without a thread that may block where the
    /// system's cache has them.
    async fn piece(&self, wanted: Range<u64>) -> Result<Bytes> {
        let what = "read a file of a web preview";
        let fill_cached = |reader: &mut Reader, buffer: &mut [u8]| Ok(reader.fill_cached(buffer));
        if let Ok(cached) = self.read(wanted.clone(), fill_cached) {
            return Ok(Bytes::from(cached));
        }
        let whole = self.clone();
        let read = move || whole.read(wanted, Reader::fill);
        let piece = tokio::task::spawn_blocking(read).await.or_internal(what)?;
        Ok(Bytes::from(piece.or_internal(what)?))
    }

    /// Those bytes of the whole, those of the file as `fill` reads them.
    fn read(
        &self,
        wanted: Range<u64>,
        fill: impl Fn(&mut Reader, &mut [u8]) -> io::Result<usize>,
    ) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        // Where the next part begins, in the whole and in the file.
        let (mut at, mut from) = (0, 0);
        let ends = [(self.length, None)];
        let places = self.insertions.iter();
        let places = places.map(|(place, what)| (u64::from(*place), Some(*what)));
        for (place, what) in places.chain(ends) {
            if at >= wanted.end {
                break;
            }
            let part = overlap(&wanted, at, place - from);
            if !part.is_empty() {
                let filled = out.len();
                out.resize(filled + length(&part), 0);
                let stretch = Extent {
                    file: Arc::clone(&self.file),
                    range: from + part.start..from + part.end,
                };
                let mut reader = Extents::from_iter([stretch]).reader();
                if fill(&mut reader, &mut out[filled..])? < length(&part) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            at += place - from;
            from = place;
            if let Some(what) = what {
                let text = self.texts.of(what);
                let part = overlap(&wanted, at, text.len() as u64);
                out.extend(text.iter().skip(index(part.start)).take(length(&part)));
                at += text.len() as u64;
            }
        }
        Ok(out)
    }
}

/// What of the `length` bytes that begin at `at` is wanted, counted from there.
fn overlap(wanted: &Range<u64>, at: u64, length: u64) -> Range<u64> {
    let start = wanted.start.saturating_sub(at).min(length);
    start..wanted.end.saturating_sub(at).clamp(start, length)
}

fn length(part: &Range<u64>) -> usize {
    index(part.end - part.start)
}

/// A number of bytes of one piece.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use axum::body::{HttpBody, to_bytes};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]
        #[test]
        fn any_range_is_that_part_of_the_whole(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            places in prop::collection::btree_set(0_u32..60, 0..8),
            from in 0_u64..120,
            length in 0_u64..120,
        ) {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(&bytes).unwrap();
            let kinds = [What::Prefix, What::Data, What::Frame];
            let insertions: Insertions = places
                .into_iter()
                .filter(|place| *place as usize <= bytes.len())
                .zip(kinds.into_iter().cycle())
                .collect();
            let texts = Texts { prefix: "/p/x".into(), frame: "<script>".into() };
            let mut whole = bytes.clone();
            for (place, what) in insertions.iter().rev() {
                let place = *place as usize;
                whole.splice(place..place, texts.of(*what).iter().copied());
            }
            let rewritten = Rewritten {
                file: Arc::new(file),
                length: bytes.len() as u64,
                insertions: Arc::new(insertions),
                texts: Arc::new(texts),
            };
            prop_assert_eq!(rewritten.size(), whole.len() as u64);
            let end = |at: u64| usize::try_from(at).unwrap().min(whole.len());
            let expected = &whole[end(from)..end(from + length)];
            let range = from.min(whole.len() as u64)..(from + length).min(whole.len() as u64);
            prop_assert_eq!(rewritten.read(range, Reader::fill).unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn of_few_bytes_it_is_known_how_many_they_are() {
        let page = "<p>".repeat(100_000);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(page.as_bytes()).unwrap();
        let rewritten = Rewritten {
            file: Arc::new(file),
            length: page.len() as u64,
            insertions: Arc::new(vec![(0, What::Frame)]),
            texts: Arc::new(Texts {
                prefix: "/p/x".into(),
                frame: "<script>".into(),
            }),
        };
        let few = rewritten.clone().body(5..305).await.unwrap();
        assert_eq!(few.size_hint().exact(), Some(300));
        let whole = rewritten.clone().body(0..rewritten.size()).await.unwrap();
        let whole = to_bytes(whole, usize::MAX).await.unwrap();
        assert_eq!(whole, format!("<script>{page}"));
    }
}

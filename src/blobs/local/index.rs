//! A bundle's index: two lines of JSON. The first says what the bundle's bytes
//! are, which is all that a reader needs; the second names the parts for the
//! bundles that come after.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::Range;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::super::part::PartName;

const VERSION: u32 = 1;
/// Bytes of a line, which is held in memory: more than 100,000 files need.
const LONGEST: u64 = 64 << 20;

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) version: u32,
    /// Bytes of the bundle.
    pub(super) size: u64,
    /// The packs in its folder, by their digests.
    pub(super) packs: Vec<String>,
    /// One after the other they are the bundle.
    pub(super) stretches: Vec<Stretch>,
}

/// Bytes of a pack, as `[pack, offset, length]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(usize, u64, u64)", into = "(usize, u64, u64)")]
pub(super) struct Stretch {
    /// Which of the packs, from 0.
    pub(super) pack: usize,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// A part that may serve another bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NamedPart {
    pub(super) name: PartName,
    pub(super) stretch: Stretch,
}

/// The second line.
#[derive(Serialize, Deserialize)]
struct Names {
    parts: Vec<(String, usize, u64, u64)>,
}

impl From<(usize, u64, u64)> for Stretch {
    fn from((pack, offset, length): (usize, u64, u64)) -> Self {
        Self {
            pack,
            offset,
            length,
        }
    }
}

impl From<Stretch> for (usize, u64, u64) {
    fn from(stretch: Stretch) -> Self {
        (stretch.pack, stretch.offset, stretch.length)
    }
}

impl Stretch {
    pub(super) fn range(&self) -> Range<u64> {
        self.offset..self.offset.saturating_add(self.length)
    }
}

impl Index {
    pub(super) fn new(packs: Vec<String>) -> Self {
        Self {
            version: VERSION,
            size: 0,
            packs,
            stretches: Vec::new(),
        }
    }

    /// Adds bytes at the end.
    pub(super) fn push(&mut self, stretch: Stretch) {
        self.size += stretch.length;
        match self.stretches.last_mut() {
            Some(last) if last.pack == stretch.pack && last.range().end == stretch.offset => {
                last.length += stretch.length;
            }
            _ if stretch.length == 0 => {}
            _ => self.stretches.push(stretch),
        }
    }

    pub(super) fn write(&self, names: &[NamedPart], to: &mut impl Write) -> io::Result<()> {
        serde_json::to_writer(&mut *to, self)?;
        to.write_all(b"\n")?;
        let parts = names.iter().map(|part| {
            let Stretch {
                pack,
                offset,
                length,
            } = part.stretch;
            (BASE64URL_NOPAD.encode(&part.name.0), pack, offset, length)
        });
        let names = Names {
            parts: parts.collect(),
        };
        serde_json::to_writer(&mut *to, &names)?;
        to.write_all(b"\n")
    }

    /// The first line alone.
    pub(super) fn read(file: File) -> io::Result<Index> {
        Self::first_line(&mut BufReader::new(file))
    }

    pub(super) fn read_with_names(file: File) -> io::Result<(Index, Vec<NamedPart>)> {
        let mut lines = BufReader::new(file);
        let index = Self::first_line(&mut lines)?;
        let names: Names = line(&mut lines)?;
        let read_part = |(name, pack, offset, length): (String, usize, u64, u64)| {
            let name = BASE64URL_NOPAD.decode(name.as_bytes()).ok()?;
            Some(NamedPart {
                name: PartName(name.try_into().ok()?),
                stretch: Stretch {
                    pack,
                    offset,
                    length,
                },
            })
        };
        Ok((
            index,
            names.parts.into_iter().filter_map(read_part).collect(),
        ))
    }

    fn first_line(lines: &mut impl BufRead) -> io::Result<Index> {
        let index: Index = line(lines)?;
        // They become names of files.
        let is_digest = |text: &String| {
            text.len() == 64
                && text
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
        };
        let length: u64 = index.stretches.iter().map(|stretch| stretch.length).sum();
        if index.version == VERSION && index.packs.iter().all(is_digest) && length == index.size {
            Ok(index)
        } else {
            Err(damaged())
        }
    }
}

fn line<T: for<'a> Deserialize<'a>>(lines: &mut impl BufRead) -> io::Result<T> {
    let mut text = Vec::new();
    lines.by_ref().take(LONGEST).read_until(b'\n', &mut text)?;
    serde_json::from_slice(&text).map_err(io::Error::from)
}

pub(super) fn damaged() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the bundle's index is damaged, or of a version that this one does not know",
    )
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use super::*;

    fn written(text: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file.rewind().unwrap();
        file
    }

    #[test]
    fn an_index_is_read_as_it_was_written() {
        let mut index = Index::new(vec!["a".repeat(64), "0".repeat(64)]);
        for (pack, offset, length) in [(0, 5, 10), (0, 15, 5), (1, 20, 1), (0, 21, 0), (0, 20, 4)] {
            index.push((pack, offset, length).into());
        }
        assert_eq!(index.size, 20);
        assert_eq!(index.stretches.len(), 3, "neighbours are one");
        let names = [NamedPart {
            name: PartName([7; 32]),
            stretch: (1, 20, 1).into(),
        }];
        let mut text = Vec::new();
        index.write(&names, &mut text).unwrap();
        assert!(
            text.starts_with(br#"{"version":1,"size":20,"packs":["#),
            "the form is on people's disks: a change of it is a new version"
        );
        assert_eq!(Index::read(written(&text)).unwrap(), index);
        let (again, found) = Index::read_with_names(written(&text)).unwrap();
        assert_eq!((again, &found[..]), (index, &names[..]));
    }

    #[test]
    fn what_is_no_index_is_refused() {
        for text in [
            "",
            "{",
            "PK\u{3}\u{4}",
            r#"{"version":2,"size":0,"packs":[],"stretches":[]}"#,
            r#"{"version":1,"size":1,"packs":[],"stretches":[]}"#,
            r#"{"version":1,"size":0,"packs":["../../../etc/passwd"],"stretches":[]}"#,
        ] {
            assert!(Index::read(written(text.as_bytes())).is_err(), "{text}");
        }
    }
}

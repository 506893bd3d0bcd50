//! Bytes that lie in open files of this machine: how a bundle comes into the
//! store, and how it is read where the store is on this disk.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, IoSliceMut, Read, Seek, SeekFrom};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::io::{ReadWriteFlags, preadv2};

/// A stretch of an open file. As long as it is held its bytes can be read,
/// whatever happens to the file's name.
#[derive(Clone, Debug)]
pub struct Extent {
    pub file: Arc<File>,
    pub range: Range<u64>,
}

impl Extent {
    #[must_use]
    pub fn len(&self) -> u64 {
        self.range.end - self.range.start
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// Whether `next` goes on where this one ends.
    #[must_use]
    pub fn leads_to(&self, next: &Extent) -> bool {
        Arc::ptr_eq(&self.file, &next.file) && self.range.end == next.range.start
    }
}

/// Extents read one after the other.
#[derive(Clone, Debug, Default)]
pub struct Extents {
    /// None is empty, and neighbours in one file are one.
    extents: Vec<Extent>,
    size: u64,
}

impl Extents {
    /// A whole file.
    ///
    /// # Errors
    /// When its length cannot be told.
    pub fn of_file(file: File) -> io::Result<Self> {
        let range = 0..file.metadata()?.len();
        let file = Arc::new(file);
        Ok([Extent { file, range }].into_iter().collect())
    }

    /// How many bytes there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    #[must_use]
    pub fn as_slice(&self) -> &[Extent] {
        &self.extents
    }

    /// How many open files they lie in.
    #[must_use]
    pub fn count_files(&self) -> usize {
        let files = self.extents.iter().map(|extent| Arc::as_ptr(&extent.file));
        files.collect::<HashSet<_>>().len()
    }

    pub fn push(&mut self, extent: Extent) {
        if extent.is_empty() {
            return;
        }
        self.size += extent.len();
        match self.extents.last_mut() {
            Some(last) if last.leads_to(&extent) => last.range.end = extent.range.end,
            _ => self.extents.push(extent),
        }
    }

    /// The bytes of `range`, as far as there are any.
    #[must_use]
    pub fn slice(&self, range: Range<u64>) -> Extents {
        let mut start = 0;
        let mut slice = Extents::default();
        for extent in &self.extents {
            let end = start + extent.len();
            let (from, to) = (range.start.max(start), range.end.min(end));
            if from < to {
                let base = extent.range.start;
                slice.push(Extent {
                    file: Arc::clone(&extent.file),
                    range: base + (from - start)..base + (to - start),
                });
            }
            start = end;
        }
        slice
    }

    /// Reads from the first byte on. Blocking; holds no more than it is asked
    /// for.
    #[must_use]
    pub fn reader(self) -> Reader {
        Reader {
            extents: self,
            index: 0,
            within: 0,
            position: 0,
        }
    }
}

impl FromIterator<Extent> for Extents {
    fn from_iter<I: IntoIterator<Item = Extent>>(extents: I) -> Self {
        let mut all = Extents::default();
        for extent in extents {
            all.push(extent);
        }
        all
    }
}

/// A position in [`Extents`].
#[derive(Debug)]
pub struct Reader {
    extents: Extents,
    /// The extent of the next byte, and how far in it.
    index: usize,
    within: u64,
    position: u64,
}

impl Reader {
    /// Fills `buffer` with the next bytes; fewer only at the end.
    ///
    /// # Errors
    /// `UnexpectedEof` when a file has become shorter.
    pub fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => break,
                read => filled += read,
            }
        }
        Ok(filled)
    }

    /// Fills `buffer` with the next bytes, as far as they can be had without
    /// waiting for the disk: what the system's cache has. Where that cannot be
    /// told, or something is wrong, nothing; [`Reader::fill`] goes on from there.
    pub fn fill_cached(&mut self, buffer: &mut [u8]) -> usize {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_by(&mut buffer[filled..], read_cached) {
                Ok(0) | Err(_) => break,
                Ok(read) => filled += read,
            }
        }
        filled
    }

    /// How many bytes follow.
    #[must_use]
    pub fn left(&self) -> u64 {
        self.extents.size.saturating_sub(self.position)
    }

    /// One read, by a function that reads a file at an offset.
    fn read_by(
        &mut self,
        buffer: &mut [u8],
        read_at: impl FnOnce(&File, &mut [u8], u64) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let Some(extent) = self.extents.extents.get(self.index) else {
            return Ok(0);
        };
        if buffer.is_empty() {
            return Ok(0);
        }
        let left = extent.len() - self.within;
        let wanted = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        let at = extent.range.start + self.within;
        let read = match read_at(&extent.file, &mut buffer[..wanted], at)? {
            // Somebody has cut the file: what was promised cannot be kept.
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => read as u64,
        };
        self.position += read;
        self.within += read;
        if self.within == extent.len() {
            self.index += 1;
            self.within = 0;
        }
        Ok(usize::try_from(read).unwrap_or(wanted))
    }
}

fn read_cached(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    let mut buffers = [IoSliceMut::new(buffer)];
    Ok(preadv2(file, &mut buffers, at, ReadWriteFlags::NOWAIT)?)
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_by(buffer, FileExt::read_at)
    }
}

impl Seek for Reader {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.extents.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        self.within = self.position;
        self.index = 0;
        for extent in &self.extents.extents {
            if self.within < extent.len() {
                break;
            }
            self.within -= extent.len();
            self.index += 1;
        }
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Three files' worth of bytes, cut anyhow, and what they come to.
    fn mixed(cuts: &[(usize, u64, u64)]) -> (Extents, Vec<u8>) {
        let files: Vec<(Arc<File>, Vec<u8>)> = (0_u8..3)
            .map(|n| {
                let bytes: Vec<u8> = (0..100).map(|i| i * 2 + n).collect();
                let file = tempfile::tempfile().unwrap();
                file.write_all_at(&bytes, 0).unwrap();
                (Arc::new(file), bytes)
            })
            .collect();
        let mut all = Vec::new();
        let extents = cuts.iter().map(|&(file, start, length)| {
            let (file, bytes) = &files[file];
            let range = start..start + length;
            all.extend_from_slice(
                &bytes[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()],
            );
            Extent {
                file: Arc::clone(file),
                range,
            }
        });
        (extents.collect::<Extents>(), all)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_part_of_extents_is_that_part_of_their_bytes(
            cuts in prop::collection::vec((0_usize..3, 0_u64..60, 0_u64..40), 0..8),
            from in 0_u64..320,
            length in 0_u64..320,
        ) {
            let (extents, bytes) = mixed(&cuts);
            prop_assert_eq!(extents.size(), bytes.len() as u64);
            let end = |at: u64| usize::try_from(at).unwrap().min(bytes.len());
            let expected = &bytes[end(from)..end(from + length)];

            let mut found = Vec::new();
            extents.slice(from..from + length).reader().read_to_end(&mut found).unwrap();
            prop_assert_eq!(&found[..], expected);

            let mut reader = extents.reader();
            reader.seek(SeekFrom::Start(from)).unwrap();
            let mut found = vec![0; usize::try_from(length).unwrap()];
            let filled = reader.fill(&mut found).unwrap();
            prop_assert_eq!(&found[..filled], expected);

            // What the cache does not give, a read does.
            reader.seek(SeekFrom::Start(from)).unwrap();
            let cached = reader.fill_cached(&mut found);
            let filled = cached + reader.fill(&mut found[cached..]).unwrap();
            prop_assert_eq!(&found[..filled], expected);
            prop_assert_eq!(reader.left(), (bytes.len() as u64).saturating_sub(from + length));
        }
    }

    #[test]
    fn neighbours_are_one() {
        let (extents, _) = mixed(&[(0, 0, 10), (0, 10, 5), (1, 15, 5), (1, 20, 0), (1, 20, 1)]);
        assert_eq!(extents.as_slice().len(), 2);
    }

    #[test]
    fn a_file_that_was_cut_is_noticed() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(10).unwrap();
        let extents = Extents::of_file(file.try_clone().unwrap()).unwrap();
        file.set_len(4).unwrap();
        let error = extents.reader().read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

//! Zip archives, entry by entry from their central directory.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::plan::{most_entries, too_many};
use super::{Incoming, Intake, Kind, Visit, damaged, special};
use crate::config::SourceLimits;
use crate::error::{Context, Error, Result};

/// A link's target is text; a longer one is refused by the plan.
const MAX_TARGET: u64 = 4096;
/// What each entry of the central directory begins with (APPNOTE 4.3.12), and
/// the bytes that it has at least.
const ENTRY_SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const ENTRY_BYTES: u64 = 46;

pub(super) struct Zip {
    archive: ZipArchive<BufReader<File>>,
    size: u64,
}

impl Zip {
    pub(super) fn new(mut file: File, config: &SourceLimits) -> Result<Self> {
        let size = file
            .metadata()
            .or_internal("look at an uploaded archive")?
            .len();
        // Opening holds the whole directory in memory, so the number of its
        // entries is bounded first, by what cannot be denied: each one takes
        // some bytes and has its signature.
        let most = most_entries(config.max_files);
        if size / ENTRY_BYTES > most
            && count_signatures(&mut file).or_internal("read an uploaded archive")? > most
        {
            return Err(too_many(config.max_files));
        }
        let archive = ZipArchive::new(BufReader::new(file)).map_err(refused)?;
        if archive.has_duplicate_names() {
            return Err(Error::invalid(
                "archive",
                "the archive holds a file twice; nothing was stored",
            ));
        }
        Ok(Self { archive, size })
    }
}

impl Intake for Zip {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<()> {
        for index in 0..self.archive.len() {
            let mut entry = self.archive.by_index(index).map_err(refused)?;
            let name = entry.name().map_err(refused)?.into_owned();
            let kind = if entry.is_dir() {
                Kind::Folder
            } else {
                let (mode, size) = (entry.unix_mode(), entry.size());
                leaf(&name, mode, size, &mut entry)?
            };
            visit(Incoming { name: &name, kind }, &mut entry)?;
        }
        Ok(())
    }

    fn packed_size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn may_have_wrapper(&self) -> bool {
        true
    }
}

/// A file or a link; the latter's target is its content.
fn leaf(name: &str, mode: Option<u32>, size: u64, content: &mut impl Read) -> Result<Kind> {
    const TYPE: u32 = 0o170_000;
    const REGULAR: u32 = 0o100_000;
    const LINK: u32 = 0o120_000;
    let mode = mode.unwrap_or(REGULAR);
    match mode & TYPE {
        0 | REGULAR => Ok(Kind::File {
            executable: mode & 0o100 != 0,
            size,
        }),
        LINK => {
            let mut target = String::new();
            content
                .take(MAX_TARGET)
                .read_to_string(&mut target)
                .map_err(damaged)?;
            Ok(Kind::Link { target })
        }
        _ => Err(special(name)),
    }
}

/// How often the signature occurs anywhere in the file.
fn count_signatures(file: &mut File) -> std::io::Result<u64> {
    file.seek(SeekFrom::Start(0))?;
    let mut buffer = vec![0; 256 << 10];
    let mut kept = 0;
    let mut count = 0;
    loop {
        let got = file.read(buffer.get_mut(kept..).unwrap_or_default())?;
        let filled = buffer.get(..kept + got).unwrap_or_default();
        count += filled
            .windows(ENTRY_SIGNATURE.len())
            .filter(|window| *window == ENTRY_SIGNATURE)
            .count() as u64;
        if got == 0 {
            return Ok(count);
        }
        // A signature may lie across two reads.
        let tail = filled.len().saturating_sub(ENTRY_SIGNATURE.len() - 1);
        kept = filled.len() - tail;
        buffer.copy_within(tail..tail + kept, 0);
    }
}

fn refused(error: ZipError) -> Error {
    match error {
        ZipError::UnsupportedArchive(_)
        | ZipError::CompressionMethodNotSupported(_)
        | ZipError::InvalidPassword => Error::invalid(
            "archive",
            format!("{error}; pack the zip with plain deflate and without a password"),
        ),
        other => damaged(other),
    }
}

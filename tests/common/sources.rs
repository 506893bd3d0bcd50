//! Repositories on a data folder of their own, and archives of any content,
//! the impossible ones too.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use hivesync::clock::Timestamp;
use hivesync::config::SourceLimits;
use hivesync::data_dir::DataDir;
use hivesync::domain::ProjectId;
use hivesync::error::Result;
use hivesync::git::{Imported, Repos};

pub(crate) const PROJECT: ProjectId = ProjectId(7);
pub(crate) const NOON: Timestamp = Timestamp::from_secs(1_700_000_000);

pub(crate) struct Bench {
    pub(crate) data: DataDir,
    pub(crate) repos: Repos,
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn limits() -> SourceLimits {
    SourceLimits {
        allowed_hosts: Vec::new(),
        max_upload_bytes: 16 << 20,
        max_unpacked_bytes: 64 << 20,
        max_files: 1000,
        max_repo_bytes: 64 << 20,
        git_timeout: Duration::from_mins(1),
        free_bytes: 0,
    }
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with(&limits())
    }

    pub(crate) fn with(limits: &SourceLimits) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = DataDir::open(&folder.path().join("data")).expect("a data folder");
        let repos = Repos::new(&data, limits);
        Self {
            data,
            repos,
            folder,
        }
    }

    pub(crate) async fn import(&self, archive: Vec<u8>) -> Result<Imported> {
        self.repos
            .import_archive(PROJECT, file_of(&archive), NOON)
            .await
    }

    /// What git says about the project's repository.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .arg("--git-dir")
            .arg(self.repo())
            .args(args)
            .output()
            .expect("git");
        assert!(output.status.success(), "git {args:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    pub(crate) fn repo(&self) -> PathBuf {
        self.data.repo(PROJECT)
    }

    /// Paths and modes in a commit, such as `100644 src/a.js`.
    pub(crate) fn listing(&self, commit: &str) -> Vec<String> {
        self.git(&["ls-tree", "-r", "--format=%(objectmode) %(path)", commit])
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// No ref, no object, no temporary file.
    pub(crate) fn assert_nothing_written(&self) {
        let left: Vec<_> = files_below(&self.data.tmp())
            .into_iter()
            .chain(files_below(&self.data.repos()).into_iter().filter(|path| {
                let path = path.to_string_lossy().into_owned();
                path.contains("/refs/")
                    || path.contains("/objects/")
                    || path.contains("fast_import_crash")
                    || path.contains(".lock")
            }))
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
}

pub(crate) fn files_below(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            if entry.file_type().expect("a kind").is_dir() {
                folders.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found
}

pub(crate) fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().expect("a temporary file");
    file.write_all(bytes).expect("written");
    file.seek(SeekFrom::Start(0)).expect("rewound");
    file
}

/// An entry: its mode with the type bits, its name and its content (for a
/// link, the target).
pub(crate) struct Item<'a> {
    pub(crate) mode: u32,
    pub(crate) name: &'a str,
    pub(crate) content: &'a [u8],
}

pub(crate) const FILE: u32 = 0o100_644;
pub(crate) const PROGRAM: u32 = 0o100_755;
pub(crate) const LINK: u32 = 0o120_777;
pub(crate) const FOLDER: u32 = 0o040_755;
pub(crate) const FIFO: u32 = 0o010_644;
pub(crate) const DEVICE: u32 = 0o020_644;
/// Not a mode: a tar's hard link.
pub(crate) const HARD_LINK: u32 = 0o777_777;

pub(crate) fn item<'a>(mode: u32, name: &'a str, content: &'a [u8]) -> Item<'a> {
    Item {
        mode,
        name,
        content,
    }
}

/// A stored zip, written by hand so that any name and mode may stand in it.
pub(crate) fn zip(items: &[Item<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for Item {
        mode,
        name,
        content,
    } in items
    {
        let offset = u32::try_from(out.len()).expect("small");
        let size = u32::try_from(content.len()).expect("small");
        let mut crc = flate2::Crc::new();
        crc.update(content);
        let name_length = u16::try_from(name.len()).expect("short");
        let mut common = Vec::new();
        // Version 2.0, UTF-8 names, stored, 1980-01-01.
        for half in [20_u16, 0x0800, 0, 0, 0x21] {
            common.extend(half.to_le_bytes());
        }
        for word in [crc.sum(), size, size] {
            common.extend(word.to_le_bytes());
        }
        common.extend(name_length.to_le_bytes());
        common.extend(0_u16.to_le_bytes());

        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(*content);

        directory.extend(b"PK\x01\x02");
        // Made by version 2.0 on Unix.
        directory.extend(0x0314_u16.to_le_bytes());
        directory.extend(&common);
        for half in [0_u16, 0, 0] {
            directory.extend(half.to_le_bytes());
        }
        directory.extend((mode << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    end_zip(out, &directory, items.len())
}

pub(crate) fn end_zip(mut out: Vec<u8>, directory: &[u8], entries: usize) -> Vec<u8> {
    let start = u32::try_from(out.len()).expect("small");
    let count = u16::try_from(entries).unwrap_or(u16::MAX);
    out.extend(directory);
    out.extend(b"PK\x05\x06");
    for half in [0, 0, count, count] {
        out.extend(half.to_le_bytes());
    }
    for word in [u32::try_from(directory.len()).expect("small"), start] {
        out.extend(word.to_le_bytes());
    }
    out.extend(0_u16.to_le_bytes());
    out
}

/// A tar, written by hand for the same reason; names up to 100 bytes.
pub(crate) fn tar(items: &[Item<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    for Item {
        mode,
        name,
        content,
    } in items
    {
        let (kind, target, content): (u8, &[u8], &[u8]) = match *mode {
            HARD_LINK => (b'1', content, b""),
            LINK => (b'2', content, b""),
            DEVICE => (b'3', b"", b""),
            FOLDER => (b'5', b"", b""),
            FIFO => (b'6', b"", b""),
            _ => (b'0', b"", content),
        };
        tar_entry(&mut out, kind, name, mode & 0o777, target, content);
    }
    out.extend([0; 1024]);
    out
}

pub(crate) fn tar_entry(
    out: &mut Vec<u8>,
    kind: u8,
    name: &str,
    mode: u32,
    target: &[u8],
    content: &[u8],
) {
    let mut header = [0_u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..108].copy_from_slice(format!("{mode:07o}\0").as_bytes());
    header[108..124].copy_from_slice(b"0000000\x000000000\0");
    header[124..136].copy_from_slice(format!("{:011o}\0", content.len()).as_bytes());
    header[136..148].copy_from_slice(b"00000000000\0");
    header[148..156].copy_from_slice(b"        ");
    header[156] = kind;
    header[157..157 + target.len()].copy_from_slice(target);
    header[257..265].copy_from_slice(b"ustar\x0000");
    let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    out.extend(header);
    out.extend(content);
    out.resize(out.len().next_multiple_of(512), 0);
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

pub(crate) fn tar_gz(items: &[Item<'_>]) -> Vec<u8> {
    gzip(&tar(items))
}

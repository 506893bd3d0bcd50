//! Running a project's compiler on a finished bundle's JavaScript.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use ring::digest::{Context as Digest, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use rustix::fs::{Mode, OFlags};
use tokio_util::sync::CancellationToken;

use super::bytecode::Header;
use super::compiler::Compiler;
use crate::blobs::{Extents, PartName};
use crate::bundle::log::BuildLog;
use crate::bundle::product::MAIN;
use crate::bundle::sandbox::{Access, Cell, Command, Ended, Output};
use crate::bundle::stop::{Limit, cancelled};
use crate::bundle::workbench::{Workbench, blocking};
use crate::domain::preview::Bytecode;
use crate::error::{Code, Context, Error, Result};

/// What React Native's release builds say to it; `-w`: no warnings about a
/// minified file that nobody will read.
const WORDS: [&str; 3] = ["-emit-binary", "-O", "-w"];
/// The file that it writes.
const BYTECODE: &str = "main.hbc";
/// Where it sees itself and the JavaScript.
const INSIDE: &str = "/work/hermes";
/// Bytes read in one go.
const PIECE: usize = 256 << 10;

/// The JavaScript to be compiled, in a file of ours.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    pub sha256: [u8; 32],
    sha1: [u8; 20],
}

/// A compiler and its JavaScript in a folder of their own, shown read-only.
#[derive(Clone, Debug)]
pub struct Bench {
    pub bench: Workbench,
    folder: PathBuf,
}

impl Bench {
    /// In the folders of `bench`. Blocking.
    pub fn new(bench: Workbench) -> Result<Self> {
        let folder = bench.aside("hermes")?;
        Ok(Self { bench, folder })
    }

    /// Lays the JavaScript there. Blocking.
    ///
    /// # Errors
    /// When it cannot be read or written.
    pub fn put_source(&self, mut from: impl Read) -> io::Result<Source> {
        let mut file = File::create_new(self.folder.join(MAIN))?;
        let mut sha256 = Digest::new(&SHA256);
        let mut sha1 = Digest::new(&SHA1_FOR_LEGACY_USE_ONLY);
        let mut piece = vec![0; PIECE];
        loop {
            let read = from.read(&mut piece)?;
            if read == 0 {
                break;
            }
            sha256.update(&piece[..read]);
            sha1.update(&piece[..read]);
            file.write_all(&piece[..read])?;
        }
        Ok(Source {
            sha256: bytes_of(sha256),
            sha1: bytes_of(sha1),
        })
    }

    /// Compiles what was laid there; answers the bytecode and what it is.
    ///
    /// # Errors
    /// `PREVIEW_BUILD_FAILED` when the compiler fails or its output is not what
    /// it should be, `PREVIEW_TIMEOUT`, `CANCELLED`.
    pub async fn compile(
        &self,
        mut cell: Cell,
        compiler: &Compiler,
        source: Source,
        limit: Limit,
        cancel: &CancellationToken,
        log: &BuildLog,
    ) -> Result<(Extents, Bytecode)> {
        let program = self.folder.join("hermesc");
        put_program(&program, &compiler.program).or_internal("lend the Hermes compiler")?;
        cell.mount(&self.folder, Path::new(INSIDE), Access::ReadOnly);
        cell.mount(&self.bench.out, Path::new("/work/out"), Access::ReadWrite);
        let out = self.bench.out.join(BYTECODE);
        let command = Command::new(cell.inside(&program), &self.bench.out)
            .args(WORDS)
            .arg("-out")
            .arg(cell.inside(&out))
            .arg(cell.inside(&self.folder.join(MAIN)));
        let most = cell.sandbox().limits().disk_bytes;
        log.command(&command.display()).await;
        let finished = cell
            .run(&command, Output::Log, limit.left(), cancel, log)
            .await
            .or_internal("start the Hermes compiler")?;
        match finished.ended {
            Ended::Exited(0) => {}
            Ended::Exited(status) => return Err(failed(format!("it ended with code {status}"))),
            Ended::TimedOut => return Err(limit.exceeded()),
            Ended::Exceeded(breach) => return Err(failed(breach.message())),
            Ended::Cancelled => return Err(cancelled()),
        }
        blocking(move || {
            let file =
                open_output(&out).map_err(|e| failed("it has written no file").caused_by(e))?;
            let bytes = Extents::of_file(file).or_internal("read the bytecode")?;
            // A file with holes takes up nothing until it is stored.
            if bytes.size() > most {
                return Err(failed(format!(
                    "it has written {} MB, and a build may {} (BUILD_DISK_MB)",
                    bytes.size() >> 20,
                    most >> 20
                )));
            }
            let bytecode = describe(&bytes, source).or_internal("read the bytecode")?;
            let bytecode = bytecode.map_err(failed)?;
            Ok((bytes, bytecode))
        })
        .await
    }
}

/// Equal for bytecode that may stand for one another: the same JavaScript,
/// compiled by the same program with the same words.
#[must_use]
pub fn part_name(source: Source, compiler: &Compiler) -> PartName {
    let mut digest = Digest::new(&SHA256);
    digest.update(b"hermes bytecode 1");
    digest.update(&source.sha256);
    digest.update(&compiler.digest);
    for word in WORDS {
        digest.update(word.as_bytes());
        digest.update(&[0]);
    }
    PartName(bytes_of(digest))
}

/// What `bytes` are, or why they are not the bytecode of `source`. Blocking.
///
/// # Errors
/// When they cannot be read.
pub fn describe(
    bytes: &Extents,
    source: Source,
) -> io::Result<std::result::Result<Bytecode, &'static str>> {
    let mut reader = bytes.clone().reader();
    let mut sha256 = Digest::new(&SHA256);
    let mut piece = vec![0; PIECE];
    let mut header = None;
    loop {
        let read = reader.fill(&mut piece)?;
        if read == 0 {
            break;
        }
        header = header.or_else(|| Header::read(&piece[..read]));
        if header.is_none() {
            return Ok(Err("what it has written is not bytecode"));
        }
        sha256.update(&piece[..read]);
    }
    let Some(header) = header else {
        return Ok(Err("what it has written is empty"));
    };
    if let Some(objection) = header.objection(bytes.size(), &source.sha1) {
        return Ok(Err(objection));
    }
    Ok(Ok(Bytecode {
        size: bytes.size(),
        sha256: HEXLOWER.encode(&bytes_of::<32>(sha256)),
        version: header.version,
    }))
}

fn bytes_of<const N: usize>(digest: Digest) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(digest.finish().as_ref());
    bytes
}

/// An archive of sources may have lost the right to run it.
fn put_program(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o700)
        .open(path)?
        .write_all(bytes)
}

/// What the compiler has left there, if it is a file: a pipe would keep us
/// waiting, and a link would be read with our rights.
fn open_output(path: &Path) -> io::Result<File> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::ErrorKind::InvalidData.into())
    }
}

fn failed(why: impl std::fmt::Display) -> Error {
    Error::new(
        Code::PreviewBuildFailed,
        format!("the Hermes compiler failed: {why}"),
    )
}

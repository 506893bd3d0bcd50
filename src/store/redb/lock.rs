//! The lock beside the database, which says who holds it.
//!
//! redb locks its file too. This one is taken first: it also covers the moment
//! in which the file is made or opened again after an error, and it can tell
//! the second process which one is in its way.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{Code, Context, Error, Result};

/// Held as long as this value lives; the kernel lets go of it when the
/// process dies.
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn acquire(database: &Path) -> Result<Self> {
        let path = database.with_extension("lock");
        let what = format!("open {}", path.display());
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .or_code(Code::DependencyFailure, &what)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(in_use(database, holder(&mut file))),
            Err(errno) => return Err(errno).or_code(Code::DependencyFailure, &what),
        }
        record_holder(&mut file).or_code(Code::DependencyFailure, &what)?;
        Ok(Self { _file: file })
    }
}

fn record_holder(file: &mut File) -> std::io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The process that has written itself into the lock file.
fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

pub(super) fn in_use(database: &Path, holder: Option<u32>) -> Error {
    let who = match holder {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    };
    Error::new(
        Code::DependencyFailure,
        format!(
            "the database {} is in use by {who}, and only one process can use it at a time; \
             if that is a running HiveSync, `hivesync admin` and `hivesync health` speak to it; \
             otherwise stop it first, or set DATA_DIR to a folder of this server's own",
            database.display()
        ),
    )
    .with("holder", holder)
}

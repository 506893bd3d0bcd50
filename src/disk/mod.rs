//! What every part that writes to the disk must know of it: how it says that
//! it is full, how a folder goes away for good, who may fill a place, and what a
//! file's digest is.

mod places;
mod remove;

use std::error::Error as StdError;
use std::io::{self, Read};

pub use places::hold;
pub use remove::remove_tree;
use ring::digest::{Context as Digest, SHA256};

use crate::error::Code;

/// Bytes that are read at a time: not so many that each file has memory mapped
/// in and out again.
const PIECE: usize = 64 << 10;

/// The SHA-256 of all that `from` gives.
///
/// # Errors
/// Those of reading.
pub fn sha256_of(mut from: impl Read) -> io::Result<Vec<u8>> {
    let mut digest = Digest::new(&SHA256);
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece)? {
            0 => return Ok(digest.finish().as_ref().to_vec()),
            read => digest.update(&piece[..read]),
        }
    }
}

/// Whether an I/O error, among `error` and its causes, says that there is no
/// room: the disk, the quota of our uid, or the size of files that this process
/// may write.
#[must_use]
pub fn is_full(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            return matches!(
                io.kind(),
                io::ErrorKind::StorageFull
                    | io::ErrorKind::QuotaExceeded
                    | io::ErrorKind::FileTooLarge
            );
        }
        next = cause.source();
    }
    false
}

/// `STORAGE_FULL` where `error` says so, else `otherwise`.
#[must_use]
pub fn code_of(error: &(dyn StdError + 'static), otherwise: Code) -> Code {
    if is_full(error) {
        Code::StorageFull
    } else {
        otherwise
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::error::Error;

    #[test]
    fn no_room_has_several_names() {
        for (kind, code) in [
            (io::ErrorKind::StorageFull, Code::StorageFull),
            (io::ErrorKind::QuotaExceeded, Code::StorageFull),
            (io::ErrorKind::FileTooLarge, Code::StorageFull),
            (io::ErrorKind::PermissionDenied, Code::DependencyFailure),
        ] {
            let plain = io::Error::from(kind);
            assert_eq!(code_of(&plain, Code::DependencyFailure), code, "{kind}");
            let wrapped = Error::internal("outside").caused_by(plain);
            assert_eq!(code_of(&wrapped, Code::DependencyFailure), code, "{kind}");
        }
    }

    #[test]
    fn a_tree_goes_whatever_its_folders_allow() {
        let dir = tempfile::tempdir().unwrap();
        let doomed = dir.path().join("doomed");
        fs::create_dir_all(doomed.join("closed/below")).unwrap();
        fs::write(dir.path().join("kept"), "").unwrap();
        std::os::unix::fs::symlink("../kept", doomed.join("link")).unwrap();
        let closed = fs::Permissions::from_mode(0o000);
        fs::set_permissions(doomed.join("closed"), closed).unwrap();
        remove_tree(&doomed).unwrap();
        remove_tree(&doomed).unwrap();
        assert!(!doomed.exists() && dir.path().join("kept").exists());
    }
}

//! Why the data folder cannot be written, and the command that mends it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::disk;
use crate::error::{Code, Error};

/// The error of making or writing `path`.
pub(super) fn unwritable(root: &Path, path: &Path, cause: &io::Error) -> Error {
    let existing = path
        .ancestors()
        .find(|folder| folder.exists())
        .unwrap_or(Path::new("/"));
    let owner = fs::metadata(existing).ok().map(|meta| meta.uid());
    let uid = rustix::process::geteuid().as_raw();
    let advice = advice(root, existing, owner, uid, cause);
    let path = path.display();
    Error::new(
        disk::code_of(cause, Code::DependencyFailure),
        format!("cannot write the data folder: {path} ({cause}); {advice}, or set DATA_DIR"),
    )
}

/// Why it failed, as far as the file system tells, and the command that mends
/// it. `existing` is the deepest folder on the way that is there.
fn advice(root: &Path, existing: &Path, owner: Option<u32>, uid: u32, cause: &io::Error) -> String {
    let shown = existing.display();
    match cause.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            format!("{shown} is not a folder: move it away")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            format!("{shown} is on a read-only file system: mount a writable volume there")
        }
        _ if disk::is_full(cause) => format!("the disk of {shown} is full: make room"),
        _ if owner == Some(uid) && existing.starts_with(root) => format!(
            "{shown} belongs to this user and is closed to it; mend it with: chmod -R u+rwX {}",
            quoted(existing)
        ),
        _ => {
            let owner = owner.map_or_else(|| "an unknown uid".to_owned(), |o| format!("uid {o}"));
            // Only what lies within the data folder is given to us: never a
            // folder above it, which belongs to others too.
            let command = if existing.starts_with(root) {
                format!("sudo chown -R {uid} {}", quoted(existing))
            } else {
                format!("sudo install -d -m 0700 -o {uid} {}", quoted(root))
            };
            format!(
                "{shown} belongs to {owner} and this process runs as uid {uid}; mend it with: {command}"
            )
        }
    }
}

/// As one word of a shell's command line.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@".contains(c);
    if text.chars().all(plain) {
        text.into_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(root: &str, existing: &str, kind: io::ErrorKind) -> String {
        let cause = io::Error::from(kind);
        advice(Path::new(root), Path::new(existing), Some(0), 1000, &cause)
    }

    #[test]
    fn the_command_mends_the_data_folder_and_nothing_above_it() {
        let denied = io::ErrorKind::PermissionDenied;
        assert_eq!(
            told("/data", "/data", denied),
            "/data belongs to uid 0 and this process runs as uid 1000; mend it with: sudo chown -R 1000 /data"
        );
        assert!(told("/data", "/data/db", denied).ends_with("sudo chown -R 1000 /data/db"));
        assert!(told("/data", "/", denied).ends_with("sudo install -d -m 0700 -o 1000 /data"));
        assert!(
            told("/my data/it's", "/", denied)
                .ends_with(r"sudo install -d -m 0700 -o 1000 '/my data/it'\''s'")
        );
    }

    #[test]
    fn a_folder_of_ours_that_is_closed_is_to_be_opened() {
        let cause = io::Error::from(io::ErrorKind::PermissionDenied);
        let (root, closed) = (Path::new("/data"), Path::new("/data/repos"));
        let told = advice(root, closed, Some(1000), 1000, &cause);
        assert!(told.ends_with("chmod -R u+rwX /data/repos"), "{told}");
    }

    #[test]
    fn ownership_is_not_blamed_for_what_it_did_not_do() {
        for (kind, words) in [
            (io::ErrorKind::ReadOnlyFilesystem, "read-only file system"),
            (io::ErrorKind::StorageFull, "is full: make room"),
        ] {
            let advice = told("/data", "/data", kind);
            assert!(
                advice.contains(words) && !advice.contains("chown"),
                "{advice}"
            );
        }
    }
}

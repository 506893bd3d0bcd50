//! Taking a bundle from a process that goes on living.
//!
//! Elsewhere a build's output is read after all its processes are gone. A warm
//! bundler is still there, and it runs the project's code: between our look at
//! a file and our reading it, a process that was missed when it was paused could
//! put a link to a file of ours in its place. So nothing is looked at by path:
//! folder after folder is opened without following links, and what was opened
//! is copied.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, openat};

use crate::bundle::workbench::make_dir;
use crate::error::{Code, Context, Error, Result};

/// More than any app has.
const MOST_FILES: usize = 100_000;
const MOST_BYTES: u64 = 2 << 30;
/// Folders in folders.
const DEEPEST: usize = 64;

/// Copies the plain files below `from` to `to`, which is made. Links and other
/// things are left behind. Blocking.
///
/// # Errors
/// `PREVIEW_BUILD_FAILED` when there is too much.
pub fn take(from: &Path, to: &Path) -> Result<()> {
    let what = "take the bundler's output";
    let folder = openat(CWD, from, FOLDER, Mode::empty()).or_internal(what)?;
    let mut taken = Taken::default();
    taken.folder(&folder, to, 0)
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// A pipe must not keep us waiting.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

#[derive(Default)]
struct Taken {
    files: usize,
    bytes: u64,
}

impl Taken {
    fn folder(&mut self, from: &OwnedFd, to: &Path, depth: usize) -> Result<()> {
        let what = "take the bundler's output";
        make_dir(to)?;
        for entry in Dir::read_from(from).or_internal(what)? {
            let entry = entry.or_internal(what)?;
            let name = entry.file_name();
            let Ok(text) = name.to_str() else { continue };
            if text == "." || text == ".." {
                continue;
            }
            // The kind is a hint: what is opened decides.
            if entry.file_type() == FileType::Directory {
                if let Ok(below) = openat(from, name, FOLDER, Mode::empty()) {
                    room(depth < DEEPEST)?;
                    self.folder(&below, &to.join(text), depth + 1)?;
                }
            } else if let Ok(file) = openat(from, name, FILE, Mode::empty()) {
                self.file(file, &to.join(text)).or_internal(what)?;
                self.files += 1;
                room(self.files <= MOST_FILES && self.bytes <= MOST_BYTES)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: OwnedFd, to: &Path) -> io::Result<()> {
        let stat = rustix::fs::fstat(from.as_fd())?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let left = MOST_BYTES.saturating_sub(self.bytes) + 1;
        let mut target = File::create(to)?;
        self.bytes += io::copy(&mut File::from(from).take(left), &mut target)?;
        Ok(())
    }
}

fn room(there_is: bool) -> Result<()> {
    if there_is {
        return Ok(());
    }
    Err(Error::new(
        Code::PreviewBuildFailed,
        format!(
            "the build's output has more than {MOST_FILES} files or {} MiB",
            MOST_BYTES >> 20
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_come_along_and_links_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(dir.path().join("secret"), "secret").unwrap();
        fs::create_dir(dir.path().join("elsewhere")).unwrap();
        fs::write(dir.path().join("elsewhere/file"), "secret").unwrap();
        fs::write(from.join("top"), "1").unwrap();
        fs::write(from.join("a/b/deep"), "2").unwrap();
        symlink("../secret", from.join("link")).unwrap();
        symlink("../elsewhere", from.join("folder")).unwrap();
        let pipe = from.join("pipe");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();

        let to = dir.path().join("to");
        take(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("top")).unwrap(), "1");
        assert_eq!(fs::read_to_string(to.join("a/b/deep")).unwrap(), "2");
        for name in ["link", "folder", "pipe"] {
            assert!(fs::symlink_metadata(to.join(name)).is_err(), "{name}");
        }
        symlink(&from, dir.path().join("root")).unwrap();
        assert!(take(&dir.path().join("root"), &dir.path().join("other")).is_err());
    }
}

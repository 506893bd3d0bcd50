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

use crate::bundle::stop::Stop;
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
/// `PREVIEW_BUILD_FAILED` when there is too much, and those of [`Stop::check`].
pub fn take(from: &Path, to: &Path, stop: &Stop) -> Result<()> {
    // The bundler has made it, or has not: no fault of the server.
    let folder = openat(CWD, from, FOLDER, Mode::empty());
    let folder = folder.or_code(Code::PreviewBuildFailed, WHAT)?;
    let mut taking = Taking {
        stop,
        files: 0,
        bytes: 0,
    };
    taking.folder(&folder, to, 0)
}

const WHAT: &str = "take the bundler's output";

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

struct Taking<'a> {
    stop: &'a Stop,
    files: usize,
    bytes: u64,
}

impl Taking<'_> {
    fn folder(&mut self, from: &OwnedFd, to: &Path, depth: usize) -> Result<()> {
        make_dir(to)?;
        for entry in Dir::read_from(from).or_internal(WHAT)? {
            self.stop.check()?;
            let entry = entry.or_internal(WHAT)?;
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
                self.file(file, &to.join(text))?;
                self.files += 1;
                room(self.files <= MOST_FILES && self.bytes <= MOST_BYTES)?;
            }
        }
        Ok(())
    }

    fn file(&mut self, from: OwnedFd, to: &Path) -> Result<()> {
        let stat = rustix::fs::fstat(from.as_fd()).or_internal(WHAT)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let left = MOST_BYTES.saturating_sub(self.bytes) + 1;
        let mut target = File::create(to).or_internal(WHAT)?;
        let bounded = File::from(from).take(left);
        let copy = |mut from| io::copy(&mut from, &mut target);
        self.bytes += self.stop.reading(WHAT, bounded, copy)?;
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
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use crate::bundle::stop::Limit;

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
        let stop = stop(Duration::from_mins(1));
        take(&from, &to, &stop).unwrap();
        assert_eq!(fs::read_to_string(to.join("top")).unwrap(), "1");
        assert_eq!(fs::read_to_string(to.join("a/b/deep")).unwrap(), "2");
        for name in ["link", "folder", "pipe"] {
            assert!(fs::symlink_metadata(to.join(name)).is_err(), "{name}");
        }
        symlink(&from, dir.path().join("root")).unwrap();
        assert!(take(&dir.path().join("root"), &dir.path().join("other"), &stop).is_err());
    }

    fn stop(time: Duration) -> Stop {
        Stop {
            limit: Limit::starting_now(time, "THE_TIME"),
            cancel: CancellationToken::new(),
        }
    }

    #[test]
    fn it_ends_with_the_time_and_with_a_cancel() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::write(from.join("file"), "1").unwrap();
        let late = take(&from, &to, &stop(Duration::ZERO)).unwrap_err();
        assert_eq!(late.code, Code::PreviewTimeout);
        let cancelled = stop(Duration::from_mins(1));
        cancelled.cancel.cancel();
        let ended = take(&from, &to, &cancelled).unwrap_err();
        assert_eq!(ended.code, Code::Cancelled);
        // In the middle of a file, too.
        let endless = cancelled.reading(WHAT, io::repeat(0), |mut from| {
            io::copy(&mut from, &mut io::sink())
        });
        assert_eq!(endless.unwrap_err().code, Code::Cancelled);
    }
}

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

use crate::bundle::bounds::Bounds;
use crate::bundle::stop::Stop;
use crate::bundle::workbench::make_dir;
use crate::error::{Code, Context, Error, Result};

/// More than any app has.
const MOST_FILES: usize = 100_000;
/// Folders in folders.
const DEEPEST: usize = 64;

/// Copies the plain files below `from` to `to`, which is made. Links and other
/// things are left behind, and nothing is copied of what has more than `bounds`
/// allow. Blocking.
///
/// # Errors
/// Those of [`Bounds::judge`] and of [`Stop::check`], and `PREVIEW_BUILD_FAILED`
/// when there are too many files.
pub fn take(from: &Path, to: &Path, bounds: &Bounds, stop: &Stop) -> Result<()> {
    // The bundler has made it, or has not: no fault of the server.
    let folder = openat(CWD, from, FOLDER, Mode::empty());
    let folder = folder.or_code(Code::PreviewBuildFailed, WHAT)?;
    let mut look = Taking::new(stop, Bytes::Counted);
    look.folder(&folder, to, 0)?;
    bounds.judge(look.largest, look.bytes)?;
    // It may have grown since.
    let mut copy = Taking::new(stop, Bytes::Copied { left: look.bytes });
    copy.folder(&folder, to, 0)
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

/// What becomes of them.
enum Bytes {
    Counted,
    /// At most so many more.
    Copied {
        left: u64,
    },
}

/// One way through the folders.
struct Taking<'a> {
    stop: &'a Stop,
    files: usize,
    /// As long as they say they are.
    bytes: u64,
    largest: u64,
    what: Bytes,
}

impl<'a> Taking<'a> {
    fn new(stop: &'a Stop, what: Bytes) -> Self {
        Self {
            stop,
            files: 0,
            bytes: 0,
            largest: 0,
            what,
        }
    }

    fn folder(&mut self, from: &OwnedFd, to: &Path, depth: usize) -> Result<()> {
        if matches!(self.what, Bytes::Copied { .. }) {
            make_dir(to)?;
        }
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
                    if depth == DEEPEST {
                        return Err(refused(&format!(
                            "more than {DEEPEST} folders in each other"
                        )));
                    }
                    self.folder(&below, &to.join(text), depth + 1)?;
                }
            } else if let Ok(file) = openat(from, name, FILE, Mode::empty()) {
                self.file(file, &to.join(text))?;
                self.files += 1;
                if self.files > MOST_FILES {
                    return Err(refused(&format!("more than {MOST_FILES} files")));
                }
            }
        }
        Ok(())
    }

    fn file(&mut self, from: OwnedFd, to: &Path) -> Result<()> {
        let stat = rustix::fs::fstat(from.as_fd()).or_internal(WHAT)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(());
        }
        let length = u64::try_from(stat.st_size).unwrap_or_default();
        self.bytes = self.bytes.saturating_add(length);
        self.largest = self.largest.max(length);
        let Bytes::Copied { left } = &mut self.what else {
            return Ok(());
        };
        if length > *left {
            return Err(refused("become larger while it was taken"));
        }
        *left -= length;
        let mut target = File::create(to).or_internal(WHAT)?;
        let bounded = File::from(from).take(length);
        let copy = |mut from| io::copy(&mut from, &mut target);
        self.stop.reading(WHAT, bounded, copy)?;
        Ok(())
    }
}

fn refused(has: &str) -> Error {
    Error::new(
        Code::PreviewBuildFailed,
        format!("the build's output has {has}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use crate::bundle::bounds::tests::bounds;
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
        let bounds = bounds(dir.path(), 1, 2);
        take(&from, &to, &bounds, &stop).unwrap();
        assert_eq!(fs::read_to_string(to.join("top")).unwrap(), "1");
        assert_eq!(fs::read_to_string(to.join("a/b/deep")).unwrap(), "2");
        for name in ["link", "folder", "pipe"] {
            assert!(fs::symlink_metadata(to.join(name)).is_err(), "{name}");
        }
        symlink(&from, dir.path().join("root")).unwrap();
        let (root, other) = (dir.path().join("root"), dir.path().join("other"));
        assert!(take(&root, &other, &bounds, &stop).is_err());
    }

    #[test]
    fn nothing_is_copied_of_what_is_too_large() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir(&from).unwrap();
        fs::write(from.join("plain"), "1").unwrap();
        for name in ["a", "b", "c"] {
            // Holes: they take nothing of the disk until they are copied.
            let file = File::create(from.join(name)).unwrap();
            file.set_len(16 << 20).unwrap();
        }
        let stop = stop(Duration::from_mins(1));
        for (file, disk, variable) in [
            ((16 << 20) - 1, 64 << 20, "BUILD_FILE_MB"),
            (16 << 20, 48 << 20, "BUILD_DISK_MB"),
        ] {
            let bounds = bounds(dir.path(), file, disk);
            let error = take(&from, &to, &bounds, &stop).unwrap_err();
            assert_eq!(error.code, Code::PreviewBuildFailed);
            assert!(error.message.contains(variable), "{}", error.message);
            assert!(!to.exists());
        }
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
        let bounds = bounds(dir.path(), 1, 1);
        let late = take(&from, &to, &bounds, &stop(Duration::ZERO)).unwrap_err();
        assert_eq!(late.code, Code::PreviewTimeout);
        let cancelled = stop(Duration::from_mins(1));
        cancelled.cancel.cancel();
        let ended = take(&from, &to, &bounds, &cancelled).unwrap_err();
        assert_eq!(ended.code, Code::Cancelled);
        // In the middle of a file, too.
        let endless = cancelled.reading(WHAT, io::repeat(0), |mut from| {
            io::copy(&mut from, &mut io::sink())
        });
        assert_eq!(endless.unwrap_err().code, Code::Cancelled);
    }
}

//! What lies in the folders that a build can write.
//!
//! The build changes them while we walk: every folder is opened below the one
//! before it and never through a link, so that nothing it swaps leads us out.

use std::ffi::{CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, openat, statat, statvfs};
use rustix::io::Errno;

/// Folders in folders. Real trees end at some thirty; each level costs an open
/// descriptor.
pub(super) const DEPTH: usize = 128;

/// A file takes at least this much: an empty one has an inode, too, and a disk
/// has only so many of them.
const LEAST: u64 = 4096;

/// The folders that a build can write.
#[derive(Debug, Default)]
pub(super) struct Folders {
    /// This build's alone: all that lies there counts.
    own: Vec<PathBuf>,
    /// Caches that outlive it: what they grow by counts.
    kept: Vec<PathBuf>,
    /// Below them, and not the build's to write.
    closed: Vec<PathBuf>,
    /// What the caches held when they were first looked at.
    base: Option<u64>,
}

/// What a walk has found.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) bytes: u64,
    pub(super) too_deep: bool,
    /// There is a folder that we may not enter.
    pub(super) shut: bool,
    pub(super) at: Instant,
    pub(super) took: Duration,
    /// Free bytes of the disk at that time.
    pub(super) free: u64,
}

impl Folders {
    /// `own` and `kept` may lie within each other: each place counts once.
    pub(super) fn new(own: Vec<PathBuf>, kept: Vec<PathBuf>, closed: Vec<PathBuf>) -> Self {
        let all: Vec<PathBuf> = own.iter().chain(&kept).cloned().collect();
        let outermost = |paths: Vec<PathBuf>| {
            // What a closed folder lies between is not walked from above: the
            // scratch folders of `node_modules`.
            let parted = |above: &Path, path: &Path| {
                let between = |c: &PathBuf| c.starts_with(above) && path.starts_with(c);
                closed.iter().any(between)
            };
            let nested = |path: &PathBuf| {
                all.iter()
                    .any(|other| other != path && path.starts_with(other) && !parted(other, path))
            };
            paths.into_iter().filter(|path| !nested(path)).collect()
        };
        let (own, kept) = (outermost(own), outermost(kept));
        Self {
            own,
            kept,
            closed,
            base: None,
        }
    }

    /// The free bytes of the fullest disk among those of the folders.
    pub(super) fn free(&self) -> u64 {
        let free = |path: &PathBuf| {
            let stat = statvfs(path).ok()?;
            Some(stat.f_bavail.saturating_mul(stat.f_frsize))
        };
        let all = self.own.iter().chain(&self.kept);
        all.filter_map(free).min().unwrap_or(u64::MAX)
    }

    /// Walks through all of it, or only through the build's own folders; stops
    /// early where there is far too much.
    pub(super) fn measure(&mut self, enough: u64, with_kept: bool) -> Written {
        let free = self.free();
        let at = Instant::now();
        let mut walk = Walk {
            closed: &self.closed,
            bytes: 0,
            enough,
            too_deep: false,
            shut: false,
        };
        self.own.iter().for_each(|root| walk.start(root));
        let (own, too_deep) = (walk.bytes, walk.too_deep);
        let mut shut = walk.shut;
        let mut grown = 0;
        if with_kept && own <= enough {
            let mut walk = Walk {
                closed: &self.closed,
                bytes: 0,
                enough: self.base.unwrap_or(u64::MAX).saturating_add(enough),
                too_deep: false,
                shut: false,
            };
            self.kept.iter().for_each(|root| walk.start(root));
            shut |= walk.shut;
            grown = walk
                .bytes
                .saturating_sub(*self.base.get_or_insert(walk.bytes));
        }
        Written {
            bytes: own + grown,
            too_deep,
            shut,
            at,
            took: at.elapsed(),
            free,
        }
    }
}

struct Walk<'a> {
    closed: &'a [PathBuf],
    bytes: u64,
    enough: u64,
    too_deep: bool,
    shut: bool,
}

/// An open folder whose entries are being read.
struct Level {
    folder: OwnedFd,
    entries: Dir,
}

impl Walk<'_> {
    fn start(&mut self, root: &Path) {
        let mut path = root.to_owned();
        let first = match open_below(CWD, root.as_os_str()) {
            Ok(first) => first,
            Err(error) => {
                self.shut |= error == Errno::ACCESS;
                return;
            }
        };
        let mut levels = vec![first];
        while let Some(level) = levels.last_mut() {
            if self.bytes > self.enough {
                return;
            }
            // What vanishes while we look takes no room.
            let Some(entry) = level.entries.next().and_then(Result::ok) else {
                levels.pop();
                path.pop();
                continue;
            };
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if !self.count(&level.folder, entry.file_name()) {
                continue;
            }
            path.push(name);
            let below = if self.closed.contains(&path) {
                None
            } else if levels.len() >= DEPTH {
                self.too_deep = true;
                None
            } else {
                let above = &levels[levels.len() - 1].folder;
                let opened = open_below(above, name);
                self.shut |= matches!(opened, Err(Errno::ACCESS));
                opened.ok()
            };
            match below {
                Some(below) => levels.push(below),
                None => {
                    path.pop();
                }
            }
        }
    }

    /// Adds one entry; answers whether it is a folder.
    fn count(&mut self, folder: &OwnedFd, name: &std::ffi::CStr) -> bool {
        let stat = match statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(error) => {
                // It may be listed and not entered.
                self.shut |= error == Errno::ACCESS;
                return false;
            }
        };
        let is_folder = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let taken = u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        // A file with several names is counted in parts, one for each: with
        // all of them in these folders that is the whole file, and one that
        // belongs to the dependency cache, too, is not all this build's.
        let names = if is_folder {
            1
        } else {
            i128::from(stat.st_nlink.max(1))
        };
        let part = i128::from(taken.max(LEAST)) / names;
        self.bytes += u64::try_from(part).unwrap_or(0);
        is_folder
    }
}

fn open_below(parent: impl std::os::fd::AsFd, name: impl AsRef<OsStr>) -> Result<Level, Errno> {
    let name = CString::new(name.as_ref().as_bytes()).map_err(|_| Errno::INVAL)?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = openat(parent, name, flags, Mode::empty())?;
    let entries = Dir::read_from(&folder)?;
    Ok(Level { folder, entries })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn measured(roots: &[&Path], closed: &[&Path]) -> Written {
        let owned = |paths: &[&Path]| paths.iter().map(|path| (*path).to_owned()).collect();
        Folders::new(owned(roots), Vec::new(), owned(closed)).measure(u64::MAX, true)
    }

    #[test]
    fn files_count_once_and_links_lead_nowhere() {
        let folder = tempfile::tempdir().expect("a folder");
        let work = folder.path().join("work");
        let outside = folder.path().join("outside");
        for dir in [work.join("a/b"), work.join("closed"), outside.clone()] {
            fs::create_dir_all(dir).expect("made");
        }
        let large = vec![1; 1 << 20];
        fs::write(work.join("a/b/file"), &large).expect("written");
        fs::hard_link(work.join("a/b/file"), work.join("a/again")).expect("linked");
        fs::write(work.join("closed/file"), &large).expect("written");
        fs::write(outside.join("file"), &large).expect("written");
        symlink(&outside, work.join("door")).expect("linked");

        let closed = work.join("closed");
        let written = measured(&[&work, &work.join("a")], &[&closed]);
        assert!(written.bytes >= 1 << 20, "{written:?}");
        assert!(written.bytes < (1 << 20) + 64 * LEAST, "{written:?}");
        assert!(!written.too_deep);
        let all = measured(&[&work], &[]);
        assert!(all.bytes >= 2 << 20, "{all:?}");
    }

    #[test]
    fn a_scratch_folder_inside_a_closed_one_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        let (closed, scratch) = (folder.path().join("m"), folder.path().join("m/.vite"));
        fs::create_dir_all(&scratch).expect("made");
        fs::write(closed.join("file"), vec![1; 1 << 20]).expect("written");
        fs::write(scratch.join("file"), vec![1; 1 << 19]).expect("written");
        let bytes = measured(&[folder.path(), &scratch], &[&closed]).bytes;
        assert!((1 << 19..1 << 20).contains(&bytes), "{bytes}");
    }

    #[test]
    fn a_file_shared_with_the_outside_counts_in_part() {
        let folder = tempfile::tempdir().expect("a folder");
        let work = folder.path().join("work");
        fs::create_dir(&work).expect("made");
        fs::write(folder.path().join("kept"), vec![1; 1 << 20]).expect("written");
        fs::hard_link(folder.path().join("kept"), work.join("shared")).expect("linked");
        let written = measured(&[&work], &[]);
        assert!(written.bytes < 3 << 19, "{written:?}");
    }

    #[test]
    fn empty_files_take_room_too() {
        let folder = tempfile::tempdir().expect("a folder");
        for n in 0..100 {
            fs::write(folder.path().join(n.to_string()), "").expect("written");
        }
        let written = measured(&[folder.path()], &[]);
        assert_eq!(written.bytes, 100 * LEAST);
    }

    #[test]
    fn of_a_cache_only_what_it_grows_by_counts() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("old"), vec![1; 1 << 20]).expect("written");
        let mut folders = Folders::new(Vec::new(), vec![folder.path().to_owned()], Vec::new());
        assert_eq!(folders.measure(1 << 20, true).bytes, 0);
        fs::write(folder.path().join("new"), vec![1; 1 << 19]).expect("written");
        let grown = folders.measure(1 << 20, true).bytes;
        assert!((1 << 19..1 << 20).contains(&grown), "{grown}");
        assert_eq!(folders.measure(1 << 20, false).bytes, 0);
    }

    #[test]
    fn an_abyss_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("d/".repeat(DEPTH + 1));
        fs::create_dir_all(deep).expect("made");
        assert!(measured(&[folder.path()], &[]).too_deep);
        let shallow = folder.path().join("d");
        assert!(!measured(&[&shallow.join("d").join("d")], &[]).too_deep);
    }
}

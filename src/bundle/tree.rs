//! Looking at a checkout without leaving it: a link that points out of the
//! tree is as good as absent.

use std::collections::VecDeque;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use ring::digest::Context as Digest;
use rustix::fs::{Mode, OFlags};

use super::stop::Stop;
use crate::disk;
use crate::domain::path::plain;
use crate::error::{Code, Context, Error, Result};

/// Bytes of a manifest or a configuration file.
pub const SMALL: u64 = 2 << 20;
/// Bytes of a lockfile, and of what bundlers write about their own work.
pub const LARGE: u64 = 64 << 20;
/// Folders that a search through a checkout visits.
const MOST_FOLDERS: usize = 20_000;

/// What is being tried, in errors.
const READ: &str = "read a file of the project";

/// The bytes of the file at `path` (absolute, below `root`), which may be
/// `most`; `None` when there is no such file in the tree.
///
/// # Errors
/// `INVALID_PROJECT_STRUCTURE` when it is larger. It is not as good as absent:
/// other programs would read it all the same. `INTERNAL_ERROR` when the disk
/// does not give it.
pub fn read(root: &Path, path: &Path, most: u64) -> Result<Option<Vec<u8>>> {
    let Some((file, length)) = open(root, path) else {
        return Ok(None);
    };
    if length > most {
        return Err(too_large(root, path, most));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).or_internal(READ)?;
    Ok(Some(bytes))
}

fn too_large(root: &Path, path: &Path, most: u64) -> Error {
    Error::new(
        Code::InvalidProjectStructure,
        format!(
            "{} cannot be read: of such a file no more than {} KB are; make it smaller and build \
             the new commit",
            path.strip_prefix(root).unwrap_or(path).display(),
            most >> 10
        ),
    )
}

/// The file at `path`, as in [`read`], with its length.
#[must_use]
pub fn open(root: &Path, path: &Path) -> Option<(fs::File, u64)> {
    let real = within(root, path)?;
    // A pipe opened the usual way would keep us until somebody writes to it.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = fs::File::from(rustix::fs::open(real, flags, Mode::empty()).ok()?);
    let meta = file.metadata().ok()?;
    meta.is_file().then_some((file, meta.len()))
}

/// Adds a file, opened by [`open`], to `digest`: its length, and so many bytes.
/// It may have any size.
///
/// # Errors
/// Those of [`Stop::check`], and those of reading.
pub fn digest_into(digest: &mut Digest, file: fs::File, length: u64, stop: &Stop) -> Result<()> {
    digest.update(&length.to_le_bytes());
    stop.reading(READ, file.take(length), |from| {
        disk::digest_into(digest, from)
    })
}

#[must_use]
pub fn is_file(root: &Path, path: &Path) -> bool {
    within(root, path).is_some_and(|real| real.is_file())
}

#[must_use]
pub fn is_dir(root: &Path, path: &Path) -> bool {
    within(root, path).is_some_and(|real| real.is_dir())
}

/// The real place of `path`, if that is inside `root`.
#[must_use]
pub fn within(root: &Path, path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    real.starts_with(root.canonicalize().ok()?).then_some(real)
}

/// `text` as a path below some folder: relative, without `..`. The empty path
/// is the folder itself.
#[must_use]
pub fn relative(text: &str) -> Option<PathBuf> {
    plain(text).map(PathBuf::from)
}

/// `dir` as the project's owner names it: relative to the top of the tree.
#[must_use]
pub fn shown(root: &Path, dir: &Path) -> String {
    match dir.strip_prefix(root) {
        Ok(path) if !path.as_os_str().is_empty() => format!("`{}`", path.display()),
        _ => "the top folder".to_owned(),
    }
}

/// Every folder below and with `root`, nearest first, but for those of `skip`,
/// hidden ones, links, and what lies below them.
pub fn folders(root: &Path, skip: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut queue = VecDeque::from([root.to_owned()]);
    while let Some(dir) = queue.pop_front() {
        let mut below: Vec<PathBuf> = fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let name = entry.file_name();
                let name = name.to_str()?;
                let plain = entry.file_type().ok()?.is_dir() && !name.starts_with('.');
                (plain && !skip(name)).then(|| entry.path())
            })
            .collect();
        below.sort();
        queue.extend(below);
        found.push(dir);
        if found.len() == MOST_FOLDERS {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_out_of_the_tree_is_absent() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        fs::create_dir(&tree).unwrap();
        fs::write(dir.path().join("secret"), "x").unwrap();
        fs::write(tree.join("plain"), "y").unwrap();
        std::os::unix::fs::symlink("../secret", tree.join("out")).unwrap();
        std::os::unix::fs::symlink("plain", tree.join("in")).unwrap();
        let read = |path: &str| read(&tree, &tree.join(path), 1).unwrap();
        assert_eq!(read("out"), None);
        assert_eq!(read("../secret"), None);
        assert_eq!(read("in").as_deref(), Some(&b"y"[..]));
    }

    #[test]
    fn a_pipe_is_no_file_and_nobody_waits_for_it() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("package.json");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        assert_eq!(read(dir.path(), &pipe, SMALL).unwrap(), None);
    }

    #[test]
    fn a_file_that_is_too_large_is_not_absent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("package.json");
        fs::write(&path, "12345").unwrap();
        assert_eq!(read(dir.path(), &path, 5).unwrap().unwrap(), b"12345");
        let error = read(dir.path(), &path, 4).unwrap_err();
        assert_eq!(error.code, Code::InvalidProjectStructure);
        assert!(error.message.starts_with("package.json cannot"), "{error}");
    }

    /// As of a disk that fails: nothing can be read where this file begins.
    #[test]
    fn a_file_that_cannot_be_read_is_not_the_projects_fault() {
        let error = read(Path::new("/proc"), Path::new("/proc/self/mem"), SMALL).unwrap_err();
        assert_eq!(error.code, Code::InternalError);
    }

    #[test]
    fn a_relative_path_stays_below() {
        assert_eq!(relative("apps/mobile"), Some("apps/mobile".into()));
        assert_eq!(relative("./a/"), Some("a".into()));
        assert_eq!(relative("a/../.."), None);
        assert_eq!(relative("/etc"), None);
    }
}

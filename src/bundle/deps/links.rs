//! Copying a tree without copying its bytes: by reflink where the file system
//! has it, else by hard link. Symbolic links are made again as they are.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustix::io::Errno;

/// How files are repeated; found at the first file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Reflink,
    HardLink,
    Copy,
}

/// Whether a repeated file may be the same file under another name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    Files,
    /// Not where a build could write into it.
    Nothing,
}

/// Repeats the folder `from` as `to`, which must not exist. Blocking.
pub(super) fn repeat(from: &Path, to: &Path, share: Share) -> io::Result<()> {
    let mut way = Way::Reflink;
    let mut pending = vec![(from.to_owned(), to.to_owned())];
    while let Some((from, to)) = pending.pop() {
        fs::create_dir(&to)?;
        for entry in fs::read_dir(&from)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let target = to.join(entry.file_name());
            if kind.is_dir() {
                pending.push((entry.path(), target));
            } else if kind.is_symlink() {
                symlink(fs::read_link(entry.path())?, target)?;
            } else if kind.is_file() {
                repeat_file(&entry.path(), &target, &mut way, share)?;
            }
        }
    }
    Ok(())
}

fn repeat_file(from: &Path, to: &Path, way: &mut Way, share: Share) -> io::Result<()> {
    if *way == Way::Reflink {
        if reflink(from, to).is_ok() {
            return Ok(());
        }
        let _ = fs::remove_file(to);
        *way = match share {
            Share::Files => Way::HardLink,
            Share::Nothing => Way::Copy,
        };
    }
    if *way == Way::HardLink {
        match fs::hard_link(from, to) {
            Ok(()) => return Ok(()),
            // Another file system, or a kernel that keeps us from linking.
            Err(e)
                if [Errno::XDEV, Errno::PERM, Errno::OPNOTSUPP]
                    .iter()
                    .any(|errno| e.raw_os_error() == Some(errno.raw_os_error())) =>
            {
                *way = Way::Copy;
            }
            // One file may only have so many names.
            Err(e) if e.raw_os_error() == Some(Errno::MLINK.raw_os_error()) => {}
            Err(e) => return Err(e),
        }
    }
    fs::copy(from, to)?;
    keep_times(&fs::File::open(from)?, to)
}

#[cfg(target_os = "linux")]
fn reflink(from: &Path, to: &Path) -> io::Result<()> {
    let source = fs::File::open(from)?;
    let target = fs::File::create(to)?;
    rustix::fs::ioctl_ficlone(&target, &source)?;
    target.set_permissions(source.metadata()?.permissions())?;
    keep_times(&source, to)
}

#[cfg(not(target_os = "linux"))]
fn reflink(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Bundlers' file maps go by the time of modification.
fn keep_times(source: &fs::File, to: &Path) -> io::Result<()> {
    let modified = source.metadata()?.modified()?;
    fs::File::options()
        .read(true)
        .open(to)?
        .set_modified(modified)
}

/// Takes the right to write from every file: where a build could reach them
/// through a hard link, it must not change them. Folders stay as they are, so
/// that a copy can be removed.
pub(super) fn protect(dir: &Path) -> io::Result<()> {
    let mut pending = vec![dir.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                let mode = entry.metadata()?.permissions().mode();
                if mode & 0o222 != 0 {
                    let mode = fs::Permissions::from_mode(mode & !0o222);
                    fs::set_permissions(entry.path(), mode)?;
                }
            }
        }
    }
    Ok(())
}

/// Writes everything of the file system out. After a power cut a set that has
/// its name must not hold empty files: every build would fail with it. One call
/// for all of it takes half a second, one for each file minutes.
pub(super) fn sync_all(dir: &Path) -> io::Result<()> {
    let dir = fs::File::open(dir)?;
    #[cfg(target_os = "linux")]
    rustix::fs::syncfs(&dir)?;
    dir.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_repeated_tree_is_the_same_and_its_links_stay_links() {
        let dir = tempfile::tempdir().unwrap();
        let from = dir.path().join("from");
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::write(from.join("a/b/file"), "text").unwrap();
        symlink("b/file", from.join("a/link")).unwrap();
        symlink("/nowhere", from.join("dangling")).unwrap();
        protect(&from).unwrap();

        let to = dir.path().join("to");
        repeat(&from, &to, Share::Files).unwrap();
        assert_eq!(fs::read_to_string(to.join("a/b/file")).unwrap(), "text");
        assert_eq!(
            fs::read_link(to.join("a/link")).unwrap(),
            Path::new("b/file")
        );
        assert_eq!(
            fs::read_link(to.join("dangling")).unwrap(),
            Path::new("/nowhere")
        );
        let (one, two) = (
            fs::metadata(from.join("a/b/file")).unwrap(),
            fs::metadata(to.join("a/b/file")).unwrap(),
        );
        assert_eq!(one.mtime_nsec(), two.mtime_nsec());
        assert_eq!(two.mode() & 0o222, 0);

        let own = dir.path().join("own");
        repeat(&from, &own, Share::Nothing).unwrap();
        let three = fs::metadata(own.join("a/b/file")).unwrap();
        assert_eq!(three.nlink(), 1);
        assert_eq!(one.mtime_nsec(), three.mtime_nsec());
        assert_eq!(three.mode(), one.mode());
    }
}

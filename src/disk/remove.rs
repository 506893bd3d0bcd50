//! Removing a tree that somebody else has made, who may have made it to hurt
//! whoever removes it: nested so deep that a walk by recursion would overflow
//! the stack, closed to its owner, full of links.
//!
//! Nothing is reached but through the open folder above it, and never through
//! a link. What lies deeper than a walk goes is moved up to the top first.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, Mode, OFlags, chmodat, openat, renameat, unlinkat};
use rustix::io::Errno;

/// Folders in folders that are walked through; each costs a descriptor.
const DEPTH: usize = 48;
/// A killed build's last write may race with us.
const ROUNDS: usize = 4;

/// Removes `dir` and what is in it; no error when it is not there.
pub fn remove_tree(dir: &Path) -> io::Result<()> {
    let name = CString::new(dir.as_os_str().as_bytes())?;
    for round in 1..=ROUNDS {
        let removed = match open(CWD, &name) {
            Ok(top) => clear(&top).and_then(|()| fs::remove_dir(dir)),
            // A link or a file in the folder's place.
            Err(Errno::NOTDIR | Errno::LOOP) => fs::remove_file(dir),
            Err(e) => Err(e.into()),
        };
        match removed {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty && round < ROUNDS => {}
            other => return other,
        }
    }
    Ok(())
}

/// A folder on the way down, and its name in the one above.
struct Level {
    folder: OwnedFd,
    entries: Dir,
    name: CString,
}

/// Empties `top`.
fn clear(top: &OwnedFd) -> io::Result<()> {
    let mut moved = 0_u64;
    // What was moved up may come after the point that the listing has reached.
    loop {
        let before = moved;
        walk(top, &mut moved)?;
        if moved == before {
            return Ok(());
        }
    }
}

fn walk(top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    let mut levels = vec![Level::open(top, c".")?];
    while let Some(level) = levels.last_mut() {
        let Some(entry) = level.entries.next() else {
            let Some(done) = levels.pop() else { break };
            if let Some(above) = levels.last() {
                match unlinkat(&above.folder, &done.name, AtFlags::REMOVEDIR) {
                    // Filled again meanwhile: the next round's.
                    Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => {}
                    Err(e) => return Err(e.into()),
                }
            }
            continue;
        };
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        match unlinkat(&level.folder, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => continue,
            // What Linux, and what POSIX says of a folder; root on some file
            // systems hears the second.
            Err(Errno::ISDIR | Errno::PERM) => {}
            Err(e) => return Err(e.into()),
        }
        let name = name.to_owned();
        if levels.len() < DEPTH {
            let above = &levels[levels.len() - 1].folder;
            levels.push(Level::open(above, &name)?);
        } else {
            *moved += 1;
            move_up(&levels[levels.len() - 1].folder, &name, top, *moved)?;
        }
    }
    Ok(())
}

impl Level {
    fn open(above: &OwnedFd, name: &CStr) -> io::Result<Self> {
        let folder = open(above, name)?;
        let entries = Dir::read_from(&folder)?;
        Ok(Self {
            folder,
            entries,
            name: name.to_owned(),
        })
    }
}

/// Opens a folder, and makes it one that we may change: builds leave some that
/// their owner cannot.
fn open(above: impl AsFd, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = match openat(&above, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(&above, name, Mode::RWXU, AtFlags::empty())?;
            openat(&above, name, flags, Mode::empty())?
        }
        opened => opened?,
    };
    // Not ours to change: then removing what is in it fails, and says so.
    let _ = rustix::fs::fchmod(&folder, Mode::RWXU);
    Ok(folder)
}

/// Gives the folder `name` a place in `top`.
fn move_up(from: &OwnedFd, name: &CStr, top: &OwnedFd, number: u64) -> io::Result<()> {
    // A folder that is moved must be writable itself.
    drop(open(from, name)?);
    let mut number = number;
    loop {
        let place = CString::new(format!(".moved-{number}"))?;
        match renameat(from, name, top, &place) {
            Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR | Errno::ISDIR) => {
                number = number.wrapping_add(1 << 32);
            }
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn what_is_not_there_is_removed() {
        let folder = tempfile::tempdir().expect("a folder");
        remove_tree(&folder.path().join("a/b")).expect("nothing to do");
    }

    #[test]
    fn an_abyss_is_removed_on_a_small_stack() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().join("top");
        fs::create_dir(&top).expect("made");
        let mut below = open(
            CWD,
            &CString::new(top.as_os_str().as_bytes()).expect("a path"),
        )
        .expect("opened");
        for _ in 0..1200 {
            rustix::fs::mkdirat(&below, c"d", Mode::RWXU).expect("made");
            let file = openat(&below, c"f", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR);
            drop(file.expect("made"));
            below = open(&below, c"d").expect("opened");
        }
        drop(below);
        let small = std::thread::Builder::new().stack_size(128 << 10);
        let removing = top.clone();
        let removed = small
            .spawn(move || remove_tree(&removing))
            .expect("a thread");
        removed.join().expect("no overflow").expect("removed");
        assert!(!top.exists());
    }

    #[test]
    fn links_are_removed_and_not_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = folder.path().join("kept");
        fs::create_dir(&kept).expect("made");
        fs::write(kept.join("file"), "kept").expect("written");
        let top = folder.path().join("top");
        fs::create_dir(&top).expect("made");
        symlink(&kept, top.join("door")).expect("linked");
        symlink(&kept, folder.path().join("link")).expect("linked");
        remove_tree(&top).expect("removed");
        remove_tree(&folder.path().join("link")).expect("removed");
        assert!(kept.join("file").exists() && !top.exists());
        assert!(!folder.path().join("link").is_symlink());
    }

    #[test]
    fn folders_that_are_closed_are_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let top = folder.path().join("top");
        fs::create_dir_all(top.join("a/b")).expect("made");
        fs::write(top.join("a/b/file"), "").expect("written");
        for dir in ["a/b", "a", ""] {
            let closed = fs::Permissions::from_mode(0o000);
            fs::set_permissions(top.join(dir), closed).expect("closed");
        }
        remove_tree(&top).expect("removed");
        assert!(!top.exists());
    }
}

//! Links and other folders in the way of a cell's folders.
//!
//! A cell shows folders at places inside of others which the build may write:
//! `node_modules` in the checkout, and places to write in there. Whatever wall
//! stands around a command goes by paths. A command that came before may have
//! put something else in such a place, or have moved a folder above it, mounts
//! and all; then the path means another place to us than it did when it was
//! laid down, and what it meant lies open elsewhere.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, fstat, lstat, open};

use super::mounts::{Access, Mount};

/// A folder of the cell that is not what it was.
#[derive(Debug, thiserror::Error)]
#[error(
    "an earlier command of the build has put {what} in the place of {}, or of a folder above it: \
     a build must leave the folders of its dependencies where they are",
    .place.display()
)]
pub struct Diverted {
    place: PathBuf,
    what: &'static str,
}

/// A folder as it was when it was laid down.
#[derive(Clone, Debug)]
pub(super) struct Place {
    path: PathBuf,
    /// `None` where another one may take its place. Open, because on some file
    /// systems a folder that nobody holds comes back under another number.
    was: Option<Arc<OwnedFd>>,
}

impl Place {
    /// `stays`: no honest build puts another folder there.
    pub(super) fn of(path: PathBuf, stays: bool) -> Self {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = || open(&path, flags, Mode::empty()).ok().map(Arc::new);
        let was = stays.then(folder).flatten();
        Self { path, was }
    }

    /// So is what is gone: a build may remove its folders.
    fn is_as_it_was(&self) -> bool {
        let was = self.was.as_ref().and_then(|folder| fstat(folder).ok());
        match (was, lstat(&self.path)) {
            (Some(was), Ok(is)) => (was.st_dev, was.st_ino) == (is.st_dev, is.st_ino),
            (None, _) | (_, Err(_)) => true,
        }
    }
}

impl Diverted {
    /// Whether it is the build itself that stands in its next command's way.
    #[must_use]
    pub fn is_behind(error: &io::Error) -> bool {
        matches!(error.get_ref(), Some(cause) if cause.is::<Self>())
    }
}

/// Looks whether each mount still lies where it seems to. Nothing of the build
/// runs meanwhile, so that what is found stays true.
///
/// # Errors
/// [`Diverted`].
pub(super) fn look(mounts: &[Mount]) -> io::Result<()> {
    for place in mounts.iter().flat_map(|mount| &mount.places) {
        let Some(outermost) = writable_above(mounts, &place.path) else {
            continue;
        };
        let within = outermost.canonicalize()?;
        let what = if !real(&place.path).is_some_and(|real| real.starts_with(within)) {
            "a link"
        } else if !place.is_as_it_was() {
            "another folder"
        } else {
            continue;
        };
        let place = place.path.clone();
        return Err(io::Error::other(Diverted { place, what }));
    }
    Ok(())
}

/// Where `path` leads, or what is left of it: a build may remove its folders.
/// `None` for what leads nowhere.
fn real(path: &Path) -> Option<PathBuf> {
    path.ancestors()
        .find_map(|path| match path.canonicalize() {
            Ok(real) => Some(Some(real)),
            Err(_) if path.symlink_metadata().is_ok() => Some(None),
            Err(_) => None,
        })?
}

/// The outermost folder around `path` that the build may write. Its own place
/// is out of the build's reach.
pub(super) fn writable_above<'a>(mounts: &'a [Mount], path: &Path) -> Option<&'a Path> {
    mounts
        .iter()
        .filter(|mount| mount.access == Access::ReadWrite)
        .map(|mount| mount.host.as_path())
        .filter(|host| *host != path && path.starts_with(host))
        .min_by_key(|host| host.components().count())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn mounts(all: &[(&Path, Access)]) -> Vec<Mount> {
        let mut mounts = Vec::new();
        for (host, access) in all {
            let stays = *access == Access::ReadOnly;
            let mount = Mount::new(host, host, *access).over(&mounts, None, stays);
            mounts.push(mount);
        }
        mounts
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_or_above_it_is_found() {
        let data = tempfile::tempdir().expect("a folder");
        let project = data.path().join("project");
        let app = project.join("app");
        let scratch = app.join("node_modules/.vite");
        fs::create_dir_all(&scratch).expect("made");
        let mounts = mounts(&[
            (&project, Access::ReadWrite),
            (&app.join("node_modules"), Access::ReadOnly),
            (&scratch, Access::ReadWrite),
        ]);
        look(&mounts).expect("all in their places");

        let elsewhere = data.path().join("elsewhere");
        fs::create_dir_all(elsewhere.join("node_modules/.vite")).expect("made");
        fs::rename(&app, project.join("moved")).expect("moved");
        symlink(&elsewhere, &app).expect("a link");
        let error = look(&mounts).expect_err("it leads out");
        assert!(error.to_string().contains("node_modules"), "{error}");

        fs::remove_file(&app).expect("removed");
        symlink("moved", &app).expect("a link");
        look(&mounts).expect("it stays inside, and is the same");

        fs::remove_dir(&scratch).expect("removed");
        look(&mounts).expect("gone, not diverted");
        for target in [data.path(), Path::new("/nowhere")] {
            symlink(target, &scratch).expect("a link");
            look(&mounts).expect_err("it leads out");
            fs::remove_file(&scratch).expect("removed");
        }
    }

    #[test]
    fn another_folder_in_the_place_of_one_that_stays_is_found() {
        let data = tempfile::tempdir().expect("a folder");
        let app = data.path().join("app");
        let (modules, scratch) = (app.join("node_modules"), app.join("node_modules/.vite"));
        fs::create_dir_all(&scratch).expect("made");
        let mounts = mounts(&[
            (data.path(), Access::ReadWrite),
            (&modules, Access::ReadOnly),
            (&scratch, Access::ReadWrite),
        ]);
        fs::rename(&scratch, modules.join("moved")).expect("moved");
        fs::create_dir(&scratch).expect("made");
        look(&mounts).expect("a tool may make its own folder anew");

        fs::rename(&app, data.path().join("moved")).expect("moved");
        look(&mounts).expect("gone, and nothing in its place");
        fs::create_dir_all(&scratch).expect("made");
        let error = look(&mounts).expect_err("it is another one");
        assert!(error.to_string().contains("another folder"), "{error}");
    }

    #[test]
    fn a_link_that_the_operator_has_made_is_none_of_the_builds() {
        let data = tempfile::tempdir().expect("a folder");
        let (real, link) = (data.path().join("real"), data.path().join("link"));
        fs::create_dir(&real).expect("made");
        symlink(&real, &link).expect("a link");
        look(&mounts(&[(&link, Access::ReadWrite)])).expect("its own place");
    }
}

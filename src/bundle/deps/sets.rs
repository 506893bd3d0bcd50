//! Installed dependencies as they are kept, a *set* for each digest, and their
//! way back into a checkout.
//!
//! ```text
//! preview_deps/<digest>/contents.json           what it was made with
//! preview_deps/<digest>/0, 1, ...               the node_modules folders
//! ```
//!
//! A set is filled aside; it gets its name, and once it is on the disk its list
//! of contents: one that has that is whole, and never changes.
//!
//! Where there are mounts a cell shows the set itself, read-only, at a place in
//! the checkout that stays empty: a build may move its checkout about, and what
//! is shared must not lie anywhere in there. So whoever removes sets must leave
//! those alone that a build or a warm bundler has in use. Elsewhere the set is
//! repeated into the checkout, as files that the build does not own or as copies.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::links::{self, Share};
use super::{Install, View, manifests};
use crate::bundle::sandbox::Access;
use crate::bundle::transform::TransformCache;
use crate::bundle::tree;
use crate::bundle::workbench::{Build, blocking, make_dir};
use crate::data_dir::DataDir;
use crate::disk::remove_tree;
use crate::domain::preview::SandboxLevel;
use crate::error::{Code, Context, Error, Result};

/// What tools write into `node_modules` while they build.
const SCRATCH: [&str; 6] = [".astro", ".vite", ".vite-temp", ".tmp", ".expo", ".prisma"];

/// The last file of a set to be written, and its name meanwhile.
const CONTENTS: &str = "contents.json";
const CONTENTS_ASIDE: &str = "contents.json.aside";

/// The name's beginning of a set in the making.
const FILLING: &str = ".filling-";

/// What is being tried, in errors.
const KEEP: &str = "keep the installed dependencies";

const RESTORE: &str = "restore the cached dependencies";

/// What a set was made with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Contents {
    pub(super) manager: String,
    pub(super) node: String,
    /// The `node_modules` folders, relative to the folder of the lockfile;
    /// the n-th is the set's folder `n`.
    pub(super) folders: Vec<PathBuf>,
}

impl Contents {
    /// Those of the set `set`; `None` for what a crash has left of one. Blocking.
    pub(super) fn of(set: &Path) -> Result<Option<Self>> {
        let what = "read the list of cached dependencies";
        match fs::read(set.join(CONTENTS)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).or_internal(what),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).or_internal(what),
        }
    }
}

/// The `node_modules` folders that an install has left.
pub(super) fn installed_folders(tree: &Path, install: &Install) -> Vec<PathBuf> {
    manifests::folders(tree, install)
        .into_iter()
        .map(|dir| dir.join("node_modules"))
        .filter(|dir| dir.symlink_metadata().is_ok_and(|meta| meta.is_dir()))
        .filter_map(|dir| Some(dir.strip_prefix(&install.root).ok()?.to_owned()))
        .collect()
}

/// Removes the `node_modules` folders that a tree has committed: to most
/// managers what lies there is installed already, whatever the lockfile says of
/// it. Blocking.
pub(super) fn clear(tree: &Path, install: &Install) -> Result<()> {
    for dir in manifests::folders(tree, install) {
        let place = dir.join("node_modules");
        inside(tree, &place)?;
        remove_tree(&place).or_internal("remove committed dependencies")?;
    }
    Ok(())
}

/// What an install has run may have put a link in the place of the app's
/// folder: then `place` is not the build's.
fn inside(tree: &Path, place: &Path) -> Result<()> {
    let owner = place.parent().unwrap_or(place);
    if tree::within(tree, owner).is_some() {
        return Ok(());
    }
    Err(Error::new(
        Code::MissingDependencies,
        format!(
            "{} is not a folder of the project any more: a script of the install has moved it, or \
             has put a link to elsewhere in its place",
            tree::shown(tree, owner)
        ),
    ))
}

/// Moves the folders of `contents` into `aside`, numbered, and closes them.
fn gather(tree: &Path, root: &Path, contents: &Contents, aside: &Path) -> Result<()> {
    for (index, folder) in contents.folders.iter().enumerate() {
        let place = aside.join(index.to_string());
        inside(tree, &root.join(folder))?;
        fs::rename(root.join(folder), &place).or_internal(KEEP)?;
        for name in SCRATCH.into_iter().chain([".cache"]) {
            remove_tree(&place.join(name)).or_internal(KEEP)?;
        }
        links::protect(&place).or_internal(KEEP)?;
    }
    Ok(())
}

/// A set in its place that has no list of contents yet.
pub(super) struct Filled {
    set: PathBuf,
    contents: Contents,
}

impl Filled {
    /// Moves the folders of `contents` from below `root`, a folder of `tree`,
    /// to become the set `set`.
    pub(super) fn from(tree: &Path, root: &Path, contents: Contents, set: &Path) -> Result<Self> {
        let cache = set.parent().unwrap_or(set);
        make_dir(cache)?;
        let aside = tempfile::Builder::new()
            .prefix(FILLING)
            .tempdir_in(cache)
            .or_internal(KEEP)?
            .keep();
        let filled = gather(tree, root, &contents, &aside).and_then(|()| {
            // What a crash has left, at most.
            remove_tree(set).or_internal(KEEP)?;
            fs::rename(&aside, set).or_internal(KEEP)
        });
        if filled.is_err() {
            // The first error is the one to tell.
            let _ = remove_tree(&aside);
        }
        filled.map(|()| Self {
            set: set.to_owned(),
            contents,
        })
    }

    /// Removes it, which takes its time.
    pub(super) fn discard(self) -> Result<()> {
        remove_tree(&self.set).or_internal("remove dependencies that are not kept")
    }

    /// For [`restore`].
    pub(super) fn contents(&self) -> Contents {
        self.contents.clone()
    }

    /// Gives it its list of contents once the disk has the rest, which may take
    /// a second.
    pub(super) fn keep(self) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(&self.contents).or_internal(KEEP)?;
        let (aside, kept) = (self.set.join(CONTENTS_ASIDE), self.set.join(CONTENTS));
        fs::write(&aside, bytes).or_internal(KEEP)?;
        links::sync_all(&self.set).or_internal(KEEP)?;
        fs::rename(aside, kept).or_internal(KEEP)
    }
}

/// Puts the set in its place in the checkout, read-only.
pub(super) async fn restore(
    build: &mut Build,
    transform: &TransformCache,
    install: &Install,
    set: &Path,
    contents: Contents,
) -> Result<()> {
    let shown = build.cell.level() == SandboxLevel::Isolated;
    let (tree, root, from) = (
        build.plan.tree.clone(),
        install.root.clone(),
        set.to_owned(),
    );
    let share = if build.cell.covers_files() {
        Share::Files
    } else {
        Share::Nothing
    };
    let places = blocking(move || {
        let mut places = Vec::new();
        for (index, folder) in contents.folders.iter().enumerate() {
            let (place, from) = (root.join(folder), from.join(index.to_string()));
            inside(&tree, &place)?;
            // A tree may have committed its own: the lockfile's win.
            remove_tree(&place).or_internal(RESTORE)?;
            if shown {
                make_dir(&place)?;
            } else {
                links::repeat(&from, &place, share).or_internal(RESTORE)?;
            }
            places.push((place, from));
        }
        touch(&from);
        Ok(places)
    })
    .await?;
    for (place, from) in &places {
        cover(build, transform, &install.root, place, from)?;
    }
    if shown {
        build.view = View::with(&build.plan.tree, places);
    }
    Ok(())
}

/// Shows a `node_modules` folder, which lies at `from` in the set, read-only to
/// the build, but for what tools must write in those of the app and of its
/// workspace. Without a sandbox the files' own rights have to do.
fn cover(
    build: &mut Build,
    transform: &TransformCache,
    top: &Path,
    place: &Path,
    from: &Path,
) -> Result<()> {
    let level = build.cell.level();
    let (walled, shown) = (level != SandboxLevel::None, level == SandboxLevel::Isolated);
    if shown {
        build
            .cell
            .graft(from, place, Access::ReadOnly)
            .or_internal(RESTORE)?;
    } else if walled {
        build.cell.remount(place, Access::ReadOnly);
    }
    // What is mounted in there needs a folder to be mounted on.
    let make_scratch = |name: &str| {
        make_dir(&place.join(name))?;
        if shown {
            make_dir(&from.join(name))
        } else {
            Ok(())
        }
    };
    let owner = place.parent();
    let of_app = owner == Some(build.plan.root.as_path());
    if !of_app && owner != Some(top) {
        return Ok(());
    }
    for name in SCRATCH.into_iter().chain((!of_app).then_some(".cache")) {
        make_scratch(name)?;
        if walled {
            build.cell.remount(&place.join(name), Access::ReadWrite);
        }
    }
    if of_app {
        make_scratch(".cache")?;
        build
            .cell
            .graft(
                &transform.modules(),
                &place.join(".cache"),
                Access::ReadWrite,
            )
            .or_internal("lend the modules' cache")?;
    }
    Ok(())
}

/// Marks the set as used, for the cleanup of the least recently used.
fn touch(set: &Path) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: UTIME_NOW,
    };
    let times = Timestamps {
        last_access: now,
        last_modification: now,
    };
    let _ = utimensat(CWD, set.join(CONTENTS), &times, AtFlags::empty());
}

/// Sets that were being filled when the process ended.
#[must_use]
pub fn half_filled(data: &DataDir) -> Vec<PathBuf> {
    fs::read_dir(data.dependency_cache())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|set| set.is_dir() && !set.join(CONTENTS).exists())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// An app with one package, whose folder is closed to its owner.
    fn filled(top: &Path) -> Filled {
        let app = top.join("app");
        let package = app.join("node_modules/package");
        fs::create_dir_all(&package).expect("made");
        fs::write(package.join("index.js"), "").expect("written");
        let contents = Contents {
            manager: "npm".to_owned(),
            node: "24".to_owned(),
            folders: vec![PathBuf::from("node_modules")],
        };
        let set = top.join("cache/digest");
        let filled = Filled::from(&app, &app, contents, &set).expect("filled");
        let closed = fs::Permissions::from_mode(0o000);
        fs::set_permissions(set.join("0/package"), closed).expect("closed");
        filled
    }

    #[test]
    fn a_set_that_is_discarded_is_removed() {
        let top = tempfile::tempdir().expect("a folder");
        filled(top.path()).discard().expect("removed");
        let left = fs::read_dir(top.path().join("cache")).expect("the cache");
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_set_counts_once_it_is_kept() {
        let top = tempfile::tempdir().expect("a folder");
        let filled = filled(top.path());
        let set = top.path().join("cache/digest");
        assert!(!set.join(CONTENTS).exists());
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(set.join("0/package"), open).expect("opened");
        filled.keep().expect("kept");
        assert!(set.join(CONTENTS).exists());
    }
}

//! Installed dependencies as they are kept, a *set* for each digest, and their
//! way back into a checkout.
//!
//! ```text
//! preview_deps/<digest>/contents.json           what it was made with
//! preview_deps/<digest>/0, 1, ...               the node_modules folders
//! ```
//!
//! A set is filled aside, and renamed once it is on the disk: one that is there is
//! whole.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::links::{self, Share};
use super::{Install, digest};
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

/// The last file of a set to be written.
const CONTENTS: &str = "contents.json";

/// The name's beginning of a set in the making.
const FILLING: &str = ".filling-";

/// What is being tried, in errors.
const KEEP: &str = "keep the installed dependencies";

/// What a set was made with.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Contents {
    pub(super) manager: String,
    pub(super) node: String,
    /// The `node_modules` folders, relative to the folder of the lockfile;
    /// the n-th is the set's folder `n`.
    pub(super) folders: Vec<PathBuf>,
}

/// A set without its list of contents is what a crash has left.
pub(super) fn is_kept(set: &Path) -> bool {
    set.join(CONTENTS).is_file()
}

/// The `node_modules` folders that an install has left.
pub(super) fn installed_folders(tree: &Path, install: &Install) -> Vec<PathBuf> {
    digest::manifest_folders(tree, install)
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
    for dir in digest::manifest_folders(tree, install) {
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

/// A set that has no name yet; dropped, it is removed, which takes its time.
pub(super) struct Filled {
    aside: PathBuf,
    set: PathBuf,
}

impl Filled {
    /// Moves the folders of `contents` from below `root`, a folder of `tree`,
    /// aside to become the set `set`.
    pub(super) fn from(tree: &Path, root: &Path, contents: &Contents, set: &Path) -> Result<Self> {
        let cache = set.parent().unwrap_or(set);
        make_dir(cache)?;
        let aside = tempfile::Builder::new()
            .prefix(FILLING)
            .tempdir_in(cache)
            .or_internal(KEEP)?;
        let filled = Self {
            aside: aside.keep(),
            set: set.to_owned(),
        };
        for (index, folder) in contents.folders.iter().enumerate() {
            let place = filled.aside.join(index.to_string());
            inside(tree, &root.join(folder))?;
            fs::rename(root.join(folder), &place).or_internal(KEEP)?;
            for name in SCRATCH.into_iter().chain([".cache"]) {
                let _ = remove_tree(&place.join(name));
            }
            links::protect(&place).or_internal(KEEP)?;
        }
        let bytes = serde_json::to_vec_pretty(contents).or_internal(KEEP)?;
        fs::write(filled.aside.join(CONTENTS), bytes).or_internal(KEEP)?;
        Ok(filled)
    }

    /// Where it lies, for [`restore`].
    pub(super) fn path(&self) -> &Path {
        &self.aside
    }

    /// Gives it its name once the disk has it, which may take a second.
    pub(super) fn keep(self) -> Result<()> {
        links::sync_all(self.path()).or_internal(KEEP)?;
        remove_tree(&self.set).or_internal(KEEP)?;
        fs::rename(&self.aside, &self.set).or_internal(KEEP)
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        // Not there when it has got its name.
        if let Err(error) = remove_tree(&self.aside) {
            tracing::warn!(%error, "dependencies that are not kept could not be removed");
        }
    }
}

/// Repeats the set into the checkout and covers it, read-only.
pub(super) async fn restore(
    build: &mut Build,
    transform: &TransformCache,
    install: &Install,
    set: &Path,
) -> Result<()> {
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
    let folders = blocking(move || {
        let what = "restore the cached dependencies";
        let bytes = fs::read(from.join(CONTENTS)).or_internal(what)?;
        let contents: Contents = serde_json::from_slice(&bytes).or_internal(what)?;
        let mut places = Vec::new();
        for (index, folder) in contents.folders.iter().enumerate() {
            let place = root.join(folder);
            inside(&tree, &place)?;
            // A tree may have committed its own: the lockfile's win.
            remove_tree(&place).or_internal(what)?;
            links::repeat(&from.join(index.to_string()), &place, share).or_internal(what)?;
            places.push(place);
        }
        touch(&from);
        Ok(places)
    })
    .await?;
    for place in folders {
        cover(build, transform, &install.root, &place)?;
    }
    Ok(())
}

/// Makes a `node_modules` folder read-only for the build, but for what tools
/// must write in those of the app and of its workspace. Without a sandbox the
/// files' own rights have to do.
fn cover(build: &mut Build, transform: &TransformCache, top: &Path, place: &Path) -> Result<()> {
    let walled = build.cell.level() != SandboxLevel::None;
    if walled {
        build.cell.remount(place, Access::ReadOnly);
    }
    let owner = place.parent();
    let of_app = owner == Some(build.plan.root.as_path());
    if !of_app && owner != Some(top) {
        return Ok(());
    }
    for name in SCRATCH.into_iter().chain((!of_app).then_some(".cache")) {
        let scratch = place.join(name);
        make_dir(&scratch)?;
        if walled {
            build.cell.remount(&scratch, Access::ReadWrite);
        }
    }
    if of_app {
        let cache = place.join(".cache");
        make_dir(&cache)?;
        build
            .cell
            .graft(&transform.modules(), &cache)
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
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str().is_some_and(|name| name.starts_with(FILLING))
        })
        .map(|entry| entry.path())
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
        let filled = Filled::from(&app, &app, &contents, &set).expect("filled");
        let closed = fs::Permissions::from_mode(0o000);
        fs::set_permissions(filled.path().join("0/package"), closed).expect("closed");
        filled
    }

    #[test]
    fn a_set_without_a_name_is_removed() {
        let top = tempfile::tempdir().expect("a folder");
        drop(filled(top.path()));
        let left = fs::read_dir(top.path().join("cache")).expect("the cache");
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn a_set_that_is_kept_stays() {
        let top = tempfile::tempdir().expect("a folder");
        let filled = filled(top.path());
        let package = filled.path().join("0/package");
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(package, open).expect("opened");
        filled.keep().expect("kept");
        let cache = top.path().join("cache");
        assert!(is_kept(&cache.join("digest")));
        assert_eq!(fs::read_dir(cache).expect("the cache").count(), 1);
    }
}

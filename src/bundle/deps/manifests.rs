//! The manifests that decide an install: that of the lockfile's folder, and in a
//! workspace every other.

use std::path::{Path, PathBuf};

use super::manager::{Install, is_workspace};
use crate::bundle::detect::Manifest;
use crate::bundle::json::Room;
use crate::bundle::stop::Stop;
use crate::bundle::tree;
use crate::error::Result;

/// For all manifests of a workspace together: some thousand ordinary ones.
const WORKSPACE: Room = Room {
    bytes: 16 << 20,
    values: 500_000,
};

/// Each with its folder.
pub(super) type Manifests = Vec<(PathBuf, Manifest)>;

/// Their folders, in order.
pub(super) fn folders(tree: &Path, install: &Install) -> Vec<PathBuf> {
    if !is_workspace(tree, &install.root) {
        return vec![install.root.clone()];
    }
    let mut folders = tree::folders(&install.root, |name| name == "node_modules");
    folders.retain(|dir| dir.join("package.json").is_file());
    folders.sort();
    folders
}

/// Reads them, once for all that ask. Blocking.
///
/// # Errors
/// `INVALID_PROJECT_STRUCTURE` when one is no manifest, or there is too much of
/// them; those of [`Stop::check`].
pub(super) fn read(tree: &Path, install: &Install, stop: &Stop) -> Result<Manifests> {
    let mut room = WORKSPACE;
    let mut found = Vec::new();
    for dir in folders(tree, install) {
        stop.check()?;
        if let Some(manifest) = Manifest::read_within(tree, &dir, &mut room)? {
            found.push((dir, manifest));
        }
    }
    Ok(found)
}

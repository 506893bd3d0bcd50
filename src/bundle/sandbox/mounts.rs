//! What a cell shows, and where: host paths on the one side, those that the
//! build sees on the other.

use std::path::{Path, PathBuf};

use super::diverted::{Place, writable_above};

/// What a build may do with a folder that it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    ReadOnly,
    ReadWrite,
}

/// A folder or a file of the host that the build sees at `guest`.
#[derive(Clone, Debug)]
pub(super) struct Mount {
    pub(super) host: PathBuf,
    pub(super) guest: PathBuf,
    pub(super) access: Access,
    /// The places that a build may be able to move: the folder's own and, where
    /// it is laid over another, the one that it covers.
    pub(super) places: Vec<Place>,
}

impl Mount {
    pub(super) fn new(host: &Path, guest: &Path, access: Access) -> Self {
        Self {
            host: host.to_owned(),
            guest: guest.to_owned(),
            access,
            places: Vec::new(),
        }
    }

    /// Remembers the folder and that which it covers; with `stays`, as the very
    /// folders that they are where they lie inside of what `before` lets a build
    /// write.
    #[must_use]
    pub(super) fn over(mut self, before: &[Mount], covered: Option<PathBuf>, stays: bool) -> Self {
        let covered = covered.filter(|covered| *covered != self.host);
        self.places = std::iter::once(self.host.clone())
            .chain(covered)
            .map(|path| {
                let stays = stays && writable_above(before, &path).is_some();
                Place::of(path, stays)
            })
            .collect();
        self
    }
}

/// Where the build sees `host`, by the innermost folder that is shown.
pub(super) fn guest_of(mounts: &[Mount], host: &Path) -> Option<PathBuf> {
    mounts
        .iter()
        .filter_map(|mount| {
            let depth = mount.host.components().count();
            Some((depth, moved(host, &mount.host, &mount.guest)?))
        })
        .max_by_key(|(depth, _)| *depth)
        .map(|(_, guest)| guest)
}

/// The host's path of what a mount at `guest` would cover.
pub(super) fn beneath(mounts: &[Mount], guest: &Path) -> Option<PathBuf> {
    let mut above = mounts.iter().rev();
    above.find_map(|mount| moved(guest, &mount.guest, &mount.host))
}

/// `path` as it is when the folder `from` is called `to`.
fn moved(path: &Path, from: &Path, to: &Path) -> Option<PathBuf> {
    let rest = path.strip_prefix(from).ok()?;
    Some(to.components().chain(rest.components()).collect())
}

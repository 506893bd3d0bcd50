//! Users for builds, where the server is root and there is no user namespace:
//! each project's builds run as a user of their own, who owns what they may
//! change and nothing else.
//!
//! The users have no names and need none: numbers that Linux distributions
//! leave alone. A project has its number while a cell of it is alive, so that
//! its builds share its caches; afterwards the number is free for another, which
//! is given its own folders when its first command starts. What its last owner's
//! caches are it must not touch: Landlock keeps it from opening them, and the
//! filter of calls from changing their modes.
//!
//! What builds only read belongs to root and to one group of all of them. It may
//! also pass through the folders that lead there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, chmodat, chownat, openat, statat,
};
use rustix::io::Errno;
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{CapabilitySet, capabilities};

use super::mounts::{Access, Mount};
use crate::domain::ProjectId;

/// Below the numbers of containers' and services' users, above people's.
const FIRST: u32 = 60_800;
const LAST: u32 = 61_100;
/// The group of every build.
pub(super) const READERS: u32 = 60_799;

#[derive(Debug)]
pub(super) struct Users {
    /// Only below this folder does anything change hands.
    data: PathBuf,
    taken: Mutex<BTreeMap<ProjectId, Weak<Tenant>>>,
}

/// One project's user, held by its cells.
#[derive(Debug)]
pub(super) struct Tenant {
    pub(super) project: ProjectId,
    pub(super) id: u32,
    data: PathBuf,
}

/// Whether the watch sees what the files are that processes of another user have
/// open. Containers give their root all that [`Users::find`] needs, and not this.
pub(super) fn can_be_looked_into() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_PTRACE))
}

impl Users {
    /// `None` where this process may not change the users of others.
    pub(super) fn find(data: &Path) -> Option<Self> {
        let needed = CapabilitySet::SETUID
            | CapabilitySet::SETGID
            | CapabilitySet::CHOWN
            | CapabilitySet::FOWNER
            | CapabilitySet::KILL
            | CapabilitySet::DAC_OVERRIDE;
        let able = capabilities(None).is_ok_and(|sets| sets.effective.contains(needed));
        if !geteuid().is_root() || !able {
            return None;
        }
        // Perhaps nothing has opened it yet. Builds have their paths below it
        // without links.
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(data).ok()?;
        Some(Self {
            data: data.canonicalize().ok()?,
            taken: Mutex::default(),
        })
    }

    /// The user of `project`.
    ///
    /// # Errors
    /// When more projects build at a time than there are numbers.
    pub(super) fn tenant(&self, project: ProjectId) -> io::Result<Arc<Tenant>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.retain(|_, tenant| tenant.strong_count() > 0);
        let held: Vec<Arc<Tenant>> = taken.values().filter_map(Weak::upgrade).collect();
        if let Some(own) = held.iter().find(|tenant| tenant.project == project) {
            return Ok(Arc::clone(own));
        }
        let id = (FIRST..=LAST)
            .find(|id| held.iter().all(|tenant| tenant.id != *id))
            .ok_or_else(|| io::Error::other("every user for builds is taken"))?;
        let tenant = Arc::new(Tenant {
            project,
            id,
            data: self.data.clone(),
        });
        taken.insert(project, Arc::downgrade(&tenant));
        Ok(tenant)
    }
}

/// Makes ours again what builds have been given at another level: where builds
/// are root's own processes in a namespace, such files are nobody's. Answers
/// whether there was anything. Blocking.
pub(super) fn take_back(folder: &Path) -> io::Result<bool> {
    let given = |path: &Path| {
        let meta = fs::symlink_metadata(path);
        meta.is_ok_and(|meta| (FIRST..=LAST).contains(&meta.uid()))
    };
    // What is given is given with all that it holds, from here on or from the
    // next folder on.
    let inside = fs::read_dir(folder)?.flatten();
    if !given(folder) && !inside.into_iter().any(|entry| given(&entry.path())) {
        return Ok(false);
    }
    walk(folder, &[], &|dir, name, stat| {
        if (FIRST..=LAST).contains(&stat.st_uid) {
            own(dir, name, 0, 0)?;
        }
        Ok(())
    })?;
    Ok(true)
}

impl Tenant {
    /// Gives the user what `mounts` say. Blocking.
    pub(super) fn receive(&self, mounts: &[Mount]) -> io::Result<()> {
        for (index, mount) in mounts.iter().enumerate() {
            // What is mounted again later, below or in the same place, is the
            // later mount's.
            let later: Vec<&Path> = mounts[index + 1..]
                .iter()
                .map(|later| later.host.as_path())
                .collect();
            if later.contains(&mount.host.as_path()) {
                continue;
            }
            let Ok(below) = mount.host.strip_prefix(&self.data) else {
                continue;
            };
            self.lead_to(below)?;
            match mount.access {
                Access::ReadWrite => {
                    walk(&mount.host, &later, &|dir, name, stat| {
                        self.give(dir, name, stat)
                    })?;
                }
                Access::ReadOnly => walk(&mount.host, &later, &share)?,
            }
        }
        Ok(())
    }

    /// Lets the build pass through the folders above.
    fn lead_to(&self, below: &Path) -> io::Result<()> {
        let mut folder = self.data.clone();
        for name in below.components() {
            let meta = fs::symlink_metadata(&folder)?;
            if meta.is_dir() && meta.uid() != self.id {
                let mode = meta.mode() & 0o7777;
                if meta.gid() != READERS {
                    chown(&folder, None, Some(READERS))?;
                }
                if mode & 0o010 == 0 {
                    fs::set_permissions(&folder, fs::Permissions::from_mode(mode | 0o010))?;
                }
            }
            folder.push(name);
        }
        Ok(())
    }

    fn give(&self, dir: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> io::Result<()> {
        // A file of another owner with a second name elsewhere is not the
        // build's, whatever it is called here.
        let shared = !is_dir(stat) && stat.st_nlink > 1;
        if stat.st_uid == self.id || shared {
            return Ok(());
        }
        own(dir, name, self.id, self.id)
    }
}

/// Makes it root's, and readable to builds as far as it is to its owner.
fn share(dir: BorrowedFd<'_>, name: &OsStr, stat: &Stat) -> io::Result<()> {
    if stat.st_uid != 0 || stat.st_gid != READERS {
        own(dir, name, 0, READERS)?;
    }
    let mode = stat.st_mode & 0o7777;
    let shared = (mode & 0o700) | ((mode & 0o500) >> 3);
    if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink && mode != shared {
        chmodat(dir, name, Mode::from_raw_mode(shared), AtFlags::empty())?;
    }
    Ok(())
}

fn own(dir: BorrowedFd<'_>, name: &OsStr, user: u32, group: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(user), Gid::from_raw(group));
    Ok(chownat(
        dir,
        name,
        Some(user),
        Some(group),
        AtFlags::SYMLINK_NOFOLLOW,
    )?)
}

fn is_dir(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// What to do with an entry of a folder.
type Hand<'a> = dyn Fn(BorrowedFd<'_>, &OsStr, &Stat) -> io::Result<()> + 'a;

/// Deeper than any package manager nests; each level holds a descriptor.
const DEEPEST: usize = 200;

/// `top` and all below it, except what lies at `others` and below. By open
/// folders, never by a path: another build of the project may be moving things
/// about in the caches that they share, and put links in the way.
fn walk(top: &Path, others: &[&Path], hand: &Hand<'_>) -> io::Result<()> {
    let (Some(parent), Some(name)) = (top.parent(), top.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let parent = openat(CWD, parent, FOLDER, Mode::empty())?;
    step(rustix::fd::AsFd::as_fd(&parent), name, top, others, hand, 0)
}

const FOLDER: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::RDONLY)
    .union(OFlags::CLOEXEC);

fn step(
    dir: BorrowedFd<'_>,
    name: &OsStr,
    path: &Path,
    others: &[&Path],
    hand: &Hand<'_>,
    depth: usize,
) -> io::Result<()> {
    let stat = match statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => stat,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    match hand(dir, name, &stat) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        handed => handed?,
    }
    if !is_dir(&stat) {
        return Ok(());
    }
    if depth == DEEPEST {
        return Err(io::Error::other("folders are nested too deeply"));
    }
    let folder = match openat(dir, name, FOLDER, Mode::empty()) {
        Ok(folder) => folder,
        // Gone, or something else by now.
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    for entry in Dir::read_from(&folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        let path = path.join(name);
        if name == "." || name == ".." || others.contains(&path.as_path()) {
            continue;
        }
        let folder = rustix::fd::AsFd::as_fd(&folder);
        step(folder, name, &path, others, hand, depth + 1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(data: &Path) -> Users {
        Users {
            data: data.to_owned(),
            taken: Mutex::default(),
        }
    }

    #[test]
    fn a_project_keeps_its_user_while_it_builds_and_shares_it_with_nobody() {
        let users = users(Path::new("/data"));
        let one = users.tenant(ProjectId(1)).unwrap();
        let two = users.tenant(ProjectId(2)).unwrap();
        assert_ne!(one.id, two.id);
        assert_eq!(users.tenant(ProjectId(1)).unwrap().id, one.id);
        let freed = one.id;
        drop(one);
        assert_eq!(users.tenant(ProjectId(3)).unwrap().id, freed);
    }

    #[test]
    fn more_projects_than_users_are_refused() {
        let users = users(Path::new("/data"));
        let held: Vec<_> = (0..=i64::from(LAST - FIRST))
            .map(|id| users.tenant(ProjectId(id)).unwrap())
            .collect();
        assert!(users.tenant(ProjectId(-1)).is_err());
        drop(held);
        assert!(users.tenant(ProjectId(-1)).is_ok());
    }
}

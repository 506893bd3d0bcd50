//! A cgroup for each command, where the machine has delegated one to us: there
//! the kernel itself bounds memory and processes, and counts what no look from
//! outside can see.
//!
//! Under systemd that takes `Delegate=yes` in the unit; in a container, a
//! writable `/sys/fs/cgroup`. A tree that is not ours to change is left alone
//! even if root could write it: systemd would undo it, or be confused.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Breach;
use crate::config::BuildLimits;

/// Where the server's own processes go: only the leaves of the tree may hold
/// some once limits are handed down.
const OURS: &str = "hivesync-server";
/// The beginning of the names of the builds' groups.
const BUILD: &str = "hivesync-build-";

/// A cgroup that we may divide among builds.
#[derive(Debug)]
pub(in crate::bundle::sandbox) struct Delegated {
    root: PathBuf,
    next: AtomicU64,
}

/// The cgroup of one command. Removed when dropped.
#[derive(Debug)]
pub(in crate::bundle::sandbox) struct Group {
    path: PathBuf,
}

impl Delegated {
    /// The cgroup that this process runs in, when it is ours to divide.
    /// The reason is for the log.
    pub(in crate::bundle::sandbox) fn find() -> Result<Self, String> {
        let membership = fs::read_to_string("/proc/self/cgroup")
            .map_err(|e| format!("/proc/self/cgroup: {e}"))?;
        let path = membership
            .lines()
            .find_map(|line| line.strip_prefix("0::/"))
            .ok_or("the process is in no cgroup of version 2")?;
        let root = Path::new("/sys/fs/cgroup").join(path);
        // A unit whose server was started again: its old leaf.
        let root = match root.file_name() {
            Some(name) if name == OURS => root.parent().unwrap_or(&root).to_owned(),
            _ => root,
        };
        if !is_delegated(&root, path.is_empty()) {
            return Err(format!(
                "{} is not delegated to this server (Delegate=yes in its unit)",
                root.display()
            ));
        }
        Self::at(root).map_err(|e| format!("the cgroup cannot be divided: {e}"))
    }

    /// Hands memory and processes down to the groups below `root`.
    fn at(root: PathBuf) -> io::Result<Self> {
        let offered = fs::read_to_string(root.join("cgroup.controllers"))?;
        for controller in ["memory", "pids"] {
            if !offered
                .split_ascii_whitespace()
                .any(|name| name == controller)
            {
                return Err(io::Error::other(format!("no {controller} controller")));
            }
        }
        let ours = root.join(OURS);
        match fs::create_dir(&ours) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
        for id in fs::read_to_string(root.join("cgroup.procs"))?.lines() {
            // Who has just ended need not move.
            let _ = fs::write(ours.join("cgroup.procs"), id);
        }
        fs::write(root.join("cgroup.subtree_control"), "+memory +pids")?;
        let delegated = Self {
            root,
            next: AtomicU64::new(0),
        };
        delegated.clear();
        Ok(delegated)
    }

    /// Removes the groups that an earlier server has left.
    fn clear(&self) {
        for entry in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(BUILD.as_bytes())
            {
                drop(Group { path: entry.path() });
            }
        }
    }

    /// A new group with these limits.
    pub(in crate::bundle::sandbox) fn group(&self, limits: &BuildLimits) -> io::Result<Arc<Group>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(format!("{BUILD}{number}"));
        fs::create_dir(&path)?;
        let group = Group { path };
        group.set("memory.max", limits.memory_bytes)?;
        group.set("pids.max", limits.processes)?;
        // Not every kernel accounts for swap.
        let _ = group.set("memory.swap.max", 0);
        Ok(Arc::new(group))
    }
}

/// systemd marks what it has handed over. The root of a cgroup namespace, as
/// in a container, is its inhabitants' own; the root of the machine is not,
/// and has no type.
fn is_delegated(root: &Path, is_top: bool) -> bool {
    if is_top {
        return root.join("cgroup.type").exists();
    }
    let mut value = [0_u8; 1];
    ["user.delegate", "trusted.delegate"]
        .iter()
        .any(|name| rustix::fs::getxattr(root, *name, &mut value).is_ok_and(|_| value == *b"1"))
}

impl Group {
    fn set(&self, file: &str, value: u64) -> io::Result<()> {
        fs::write(self.path.join(file), value.to_string())
    }

    /// The folder into whose `cgroup.procs` a process writes `0` to enter.
    pub(in crate::bundle::sandbox) fn path(&self) -> &Path {
        &self.path
    }

    /// What the kernel has refused to this group, if anything.
    pub(in crate::bundle::sandbox) fn breach(&self, limits: &BuildLimits) -> Option<Breach> {
        if self.count("memory.events", "oom_kill") > 0 {
            return Some(Breach::Memory {
                used: limits.memory_bytes,
                limit: limits.memory_bytes,
                bound: 0,
            });
        }
        (self.count("pids.events", "max") > 0).then_some(Breach::Processes {
            used: limits.processes,
            limit: limits.processes,
        })
    }

    fn count(&self, file: &str, name: &str) -> u64 {
        fs::read_to_string(self.path.join(file))
            .unwrap_or_default()
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Group {
    #[expect(
        clippy::disallowed_methods,
        reason = "the kernel tells of a process's end, not of its leaving the group"
    )]
    fn drop(&mut self) {
        // Whoever is left in it goes with it.
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
        for _ in 0..50 {
            match fs::remove_dir(&self.path) {
                Err(e) if e.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                _ => return,
            }
        }
        tracing::warn!(group = %self.path.display(), "a build's cgroup could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BuildLimits = BuildLimits {
        memory_bytes: 64 << 20,
        processes: 32,
        disk_bytes: 1,
        file_bytes: 1,
        log_bytes: 1,
        free_bytes: 0,
    };

    /// A folder with the files that the kernel would show.
    fn tree(controllers: &str) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        fs::write(root.path().join("cgroup.controllers"), controllers).expect("written");
        fs::write(root.path().join("cgroup.procs"), "").expect("written");
        root
    }

    #[test]
    fn limits_are_handed_down_to_a_group() {
        let root = tree("cpu memory pids\n");
        let delegated = Delegated::at(root.path().to_owned()).expect("divided");
        let control = fs::read_to_string(root.path().join("cgroup.subtree_control"));
        assert_eq!(control.expect("written"), "+memory +pids");
        assert!(root.path().join(OURS).is_dir());
        let group = delegated.group(&LIMITS).expect("a group");
        let text = |file: &str| fs::read_to_string(group.path().join(file)).expect("written");
        assert_eq!(text("memory.max"), (64 << 20).to_string());
        assert_eq!(text("pids.max"), "32");
        assert_eq!(text("memory.swap.max"), "0");
    }

    #[test]
    fn without_the_controllers_there_is_none() {
        let root = tree("cpu pids\n");
        let error = Delegated::at(root.path().to_owned()).expect_err("no memory");
        assert!(error.to_string().contains("memory"), "{error}");
        assert!(!root.path().join(OURS).exists());
    }

    #[test]
    fn the_kernels_refusals_are_breaches() {
        let root = tree("memory pids");
        let delegated = Delegated::at(root.path().to_owned()).expect("divided");
        let group = delegated.group(&LIMITS).expect("a group");
        assert_eq!(group.breach(&LIMITS), None);
        let events = group.path().join("memory.events");
        fs::write(&events, "max 7\noom 1\noom_kill 0\n").expect("written");
        assert_eq!(group.breach(&LIMITS), None);
        fs::write(group.path().join("pids.events"), "max 3\n").expect("written");
        assert!(matches!(
            group.breach(&LIMITS),
            Some(Breach::Processes { .. })
        ));
        fs::write(&events, "oom 1\noom_kill 1\n").expect("written");
        assert!(matches!(group.breach(&LIMITS), Some(Breach::Memory { .. })));
    }

    #[test]
    fn a_plain_folder_is_not_delegated() {
        let root = tree("memory pids");
        assert!(!is_delegated(root.path(), false));
        assert!(!is_delegated(root.path(), true));
    }
}

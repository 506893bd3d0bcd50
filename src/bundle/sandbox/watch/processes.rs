//! A process and all its descendants, as `/proc` shows them: how many, and how
//! much memory they hold.
//!
//! Descendants are found by their parents. Who is orphaned inside `isolated`
//! is given to the first process of the sandbox, elsewhere to the one that
//! reaps for the build; both descend from the process we have started, so
//! that nobody gets out of the family by forking twice.

use std::collections::HashMap;
use std::fs;

use rustix::process::Pid;

use crate::bundle::sandbox::descendants;

/// The living of one build.
#[derive(Debug, Default)]
pub(super) struct Family {
    members: Vec<Member>,
}

#[derive(Debug)]
pub(super) struct Member {
    /// Of one of its threads that lives: what `/proc` shows of a process whose
    /// first one has ended is empty.
    pub(super) id: i32,
    /// Our launcher, or bubblewrap.
    pub(super) is_ours: bool,
    threads: u64,
    /// Bytes in memory or swapped out, those that others share included.
    resident: u64,
    /// Bytes of the tables that say where those lie, which a process can make
    /// larger than what they are about.
    tables: u64,
}

/// `root` and its descendants, at most a few more than `enough`: who is over the
/// limit by then need not be counted to the end, and is looked at again before
/// many are born. The command's own process comes `launchers` generations
/// after the first.
pub(super) fn family(root: Pid, launchers: usize, enough: u64) -> Family {
    // Not every kernel tells of children.
    let mut told = (descendants::children(root).is_empty()).then(all_children);
    let mut family = Family::default();
    let mut tasks = 0;
    let mut pending = vec![(root, 0)];
    while let Some((pid, generation)) = pending.pop() {
        if tasks > enough {
            break;
        }
        let children = match &mut told {
            Some(children) => children.remove(&pid).unwrap_or_default(),
            None => descendants::children(pid),
        };
        pending.extend(children.into_iter().map(|child| (child, generation + 1)));
        // Who is gone meanwhile counts no more.
        if let Some(member) = Member::read(pid.as_raw_pid(), generation < launchers) {
            tasks += member.threads;
            family.members.push(member);
        }
    }
    family
}

/// The children of every process of this machine.
fn all_children() -> HashMap<Pid, Vec<Pid>> {
    let mut children: HashMap<Pid, Vec<Pid>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.parse().ok());
        if let Some(id) = id
            && let Some(parent) = parent_of(id).and_then(Pid::from_raw)
            && let Some(pid) = Pid::from_raw(id)
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    children
}

/// From `/proc/<id>/stat`: `id (name) state parent ...`, where the name may
/// have spaces and brackets itself.
fn parent_of(id: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{id}/stat")).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

impl Member {
    fn read(id: i32, is_ours: bool) -> Option<Self> {
        let mut member = Self::of(id, is_ours)?;
        if member.resident == 0 && member.threads > 1 {
            let threads = fs::read_dir(format!("/proc/{id}/task")).ok()?;
            let ids = threads.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
            let living = ids.filter_map(|id| Self::of(id, is_ours));
            if let Some(living) = living.into_iter().find(|thread| thread.resident > 0) {
                member = living;
            }
        }
        Some(member)
    }

    /// What the thread `id` shows of its process.
    fn of(id: i32, is_ours: bool) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
        let mut member = Self {
            id,
            is_ours,
            threads: 1,
            resident: 0,
            tables: 0,
        };
        for line in status.lines() {
            let Some((name, value)) = line.split_once(':') else {
                continue;
            };
            match name {
                "VmPTE" => member.tables = kilobytes(value),
                "VmRSS" | "VmSwap" => member.resident += kilobytes(value),
                "Threads" => member.threads = value.trim().parse().unwrap_or(1).max(1),
                _ => {}
            }
        }
        Some(member)
    }

    /// Memory with each shared page divided among those who share it; `None`
    /// where we may not look.
    fn proportional(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.id)).ok()?;
        let shares = text.lines().filter_map(|line| line.split_once(':'));
        Some(
            shares
                .filter(|(name, _)| matches!(*name, "Pss" | "SwapPss"))
                .map(|(_, value)| kilobytes(value))
                .sum(),
        )
    }
}

/// `  1234 kB` in bytes.
pub(super) fn kilobytes(value: &str) -> u64 {
    let number = value.split_ascii_whitespace().next();
    number.and_then(|n| n.parse::<u64>().ok()).unwrap_or(0) << 10
}

impl Family {
    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    /// Processes and threads.
    pub(super) fn tasks(&self) -> u64 {
        self.members.iter().map(|member| member.threads).sum()
    }

    /// An upper bound of the memory.
    pub(super) fn resident(&self) -> u64 {
        let members = self.members.iter();
        members.map(|member| member.resident + member.tables).sum()
    }

    /// The memory itself; for a process that hides its pages, the upper bound.
    pub(super) fn proportional(&self) -> u64 {
        let exact = |member: &Member| {
            let pages = member.proportional().unwrap_or(member.resident);
            pages + member.tables
        };
        self.members.iter().map(exact).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::sandbox::watch::shell;
    use std::process::Command;

    #[test]
    fn children_and_their_children_count() {
        let (mut child, pid) = shell::after("sleep 60 & a=$!\nsh -c 'sleep 60 & wait' & b=$!");
        let family = family(pid, 0, 100);
        let ids: Vec<i32> = family.members.iter().map(|m| m.id).collect();
        // The inner shell may not have forked yet.
        assert!(family.tasks() >= 3, "{family:?}");
        assert!(ids.contains(&pid.as_raw_nonzero().get()));
        assert!(family.resident() > 0 && family.proportional() > 0);
        assert!(family.proportional() <= family.resident(), "{family:?}");
        for id in ids {
            if let Some(pid) = Pid::from_raw(id) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        child.wait().expect("ended");
    }

    #[test]
    fn who_is_gone_has_no_family() {
        let mut child = Command::new("true").spawn().expect("started");
        let pid = Pid::from_child(&child);
        child.wait().expect("ended");
        assert_eq!(family(pid, 0, 100).tasks(), 0);
    }
}

//! The processes that descend from one.

use std::collections::HashSet;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use crate::domain::preview::SandboxLevel;

/// Looks at a family that is signalled. Honest processes are all found in the
/// second or third; one that replaces itself could keep us looking for ever.
const ROUNDS: usize = 20;

/// So many processes of ours stand between the server and a command's own: the
/// warden, and bubblewrap, outside of the sandbox and as its first process.
pub(super) fn launchers(level: SandboxLevel) -> usize {
    match level {
        SandboxLevel::Isolated => 3,
        SandboxLevel::Restricted | SandboxLevel::None => 1,
    }
}

/// Children, their children and so on, nearest first. What is born meanwhile
/// may be missing.
pub(super) fn of(pid: Pid) -> Vec<Pid> {
    beyond(pid, 1)
}

/// Those among them that come `launchers` generations after `pid` or later.
pub(super) fn beyond(pid: Pid, launchers: usize) -> Vec<Pid> {
    let mut found = vec![pid];
    for _ in 0..launchers {
        found = found.into_iter().flat_map(children).collect();
    }
    let mut next = 0;
    while let Some(&pid) = found.get(next) {
        found.extend(children(pid));
        next += 1;
    }
    found
}

/// Of all its threads.
pub(super) fn children(pid: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid()));
    threads
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|children| {
            children
                .split_ascii_whitespace()
                .filter_map(|id| Pid::from_raw(id.parse().ok()?))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Those of them that have not ended: who has is a zombie until somebody takes
/// leave of it.
pub(super) fn living(pid: Pid) -> Vec<Pid> {
    let mut found = of(pid);
    found.retain(|pid| has_thread(*pid, |state| !"ZX".contains(state)));
    found
}

/// Whether the process could run.
pub(super) fn runs(pid: Pid) -> bool {
    has_thread(pid, |state| !"TtZX".contains(state))
}

/// Asked of each thread: the first may have ended before the others.
fn has_thread(pid: Pid, is: impl Fn(char) -> bool) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid()));
    threads.into_iter().flatten().flatten().any(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // Its name stands before, and may hold anything.
        let state = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next());
        state.is_some_and(&is)
    })
}

/// Sends `signal` to each process [`beyond`] the launchers, those included that
/// are born meanwhile; answers whether the last look has found nobody else. The
/// launchers go on: if nobody took leave of those who end, they would use up
/// the machine's process ids. Blocking.
pub(super) fn signal(warden: Pid, launchers: usize, signal: Signal) -> bool {
    reach(
        || beyond(warden, launchers),
        |pid| {
            let _ = kill_process(pid, signal);
        },
    )
}

fn reach(find: impl Fn() -> Vec<Pid>, send: impl Fn(Pid)) -> bool {
    let mut reached = HashSet::new();
    for _ in 0..ROUNDS {
        let mut found = find();
        found.retain(|pid| reached.insert(*pid));
        if found.is_empty() {
            return true;
        }
        found.into_iter().for_each(&send);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    fn pid(number: i32) -> Pid {
        Pid::from_raw(number).expect("not zero")
    }

    #[test]
    fn who_is_born_meanwhile_is_reached_once() {
        let family = RefCell::new(vec![pid(2), pid(3)]);
        let sent = RefCell::new(Vec::new());
        let all = reach(
            || family.borrow().clone(),
            |reached| {
                sent.borrow_mut().push(reached);
                if reached == pid(3) {
                    family.borrow_mut().push(pid(4));
                }
            },
        );
        assert!(all);
        assert_eq!(*sent.borrow(), [pid(2), pid(3), pid(4)]);
    }

    #[test]
    fn the_launchers_are_left_out() {
        let script = "sleep 60 & sh -c 'sleep 60 & echo ready; wait' & wait";
        let mut child = std::process::Command::new("sh")
            .args(["-c", script])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .expect("started");
        let stdout = child.stdout.take().expect("piped");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut line).expect("read");
        let root = Pid::from_child(&child);
        let all = of(root);
        assert_eq!((all.len(), beyond(root, 2).len()), (3, 1));
        assert_eq!(beyond(root, 2), all[2..]);
        assert!(beyond(root, 3).is_empty());
        for pid in all {
            let _ = kill_process(pid, Signal::KILL);
        }
        child.wait().expect("ended");
    }

    #[test]
    fn those_who_replace_themselves_are_given_up() {
        let last = Cell::new(1);
        let find = || {
            last.set(last.get() + 1);
            vec![pid(last.get())]
        };
        assert!(!reach(find, |_| {}));
    }
}

//! The warden: waits for the command, and then, or when the server is gone,
//! ends every process that the command has left, however far it ran: one that
//! forks twice and makes a session of its own is still a descendant, because
//! the warden adopts the orphans.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, pidfd_open,
    pidfd_send_signal, set_child_subreaper, wait,
};
use serde::{Deserialize, Serialize};

use super::{Failure, oom_score, set_oom_score};
use crate::bundle::sandbox::descendants;

/// The warden's own standard input is its bond to the server: a pipe that
/// nobody else has the other end of. When that end is closed, all is over.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::bundle::sandbox) struct Warden {
    pub(in crate::bundle::sandbox) input: Input,
    /// The cgroup of this command, where the machine has one for it: whoever
    /// is started from here on is in it.
    pub(in crate::bundle::sandbox) group: Option<PathBuf>,
}

/// What the command reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::bundle::sandbox) enum Input {
    Nothing,
    /// What the server writes into the bond.
    Bond,
}

/// When the kernel runs out of memory it takes a build first.
const FIRST_TO_GO: &str = "1000";

impl Warden {
    /// Runs `command`; answers the exit code once none of its processes is
    /// left.
    pub(super) fn guard(&self, mut command: Command) -> Result<u8, Failure> {
        set_child_subreaper(Some(getpid())).map_err(Failure::to("adopt orphans"))?;
        if let Some(group) = &self.group {
            fs::write(group.join("cgroup.procs"), "0").map_err(Failure::to("enter a cgroup"))?;
        }
        if self.input == Input::Nothing {
            command.stdin(Stdio::null());
        }
        // Its children begin with this; the warden itself must outlive them.
        let own = oom_score().map_err(Failure::to("read the memory score"))?;
        set_oom_score(FIRST_TO_GO).map_err(Failure::to("set the memory score"))?;
        let spawned = command.spawn();
        set_oom_score(own.trim()).map_err(Failure::to("set the memory score"))?;
        let child = spawned.map_err(|error| Failure::not_run(&command, error))?;
        let main = Pid::from_child(&child);
        let handle = pidfd_open(main, PidfdFlags::empty())
            .map_err(Failure::to("keep hold of the command"))?;
        // One thread takes leave of processes; this other one only makes sure
        // that there is something to take leave of.
        thread::spawn(move || {
            wait_for_the_server();
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        });
        let code = wait_for(main);
        end_all();
        Ok(code)
    }
}

/// Takes leave of every process that ends, until `main` does.
fn wait_for(main: Pid) -> u8 {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == main => return exit_code(status),
            Ok(_) | Err(Errno::INTR) => {}
            // It is our child until we have taken leave of it.
            Err(_) => return u8::MAX,
        }
    }
}

/// Returns when the other end of our standard input is closed.
fn wait_for_the_server() {
    let stdin = rustix::stdio::stdin();
    // No flag asked for: the end of the other side is always told, and data
    // that waits for the command is none of our business.
    let mut bond = [PollFd::new(&stdin, PollFlags::empty())];
    loop {
        match poll(&mut bond, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        if !bond[0].revents().is_empty() {
            return;
        }
    }
}

/// Kills until nothing is left to kill. What forks meanwhile is found in the
/// next round: it is still ours.
fn end_all() {
    loop {
        for pid in descendants::of(getpid()) {
            let _ = kill_process(pid, Signal::KILL);
        }
        match wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            // No child, so no descendant either: orphans are our children.
            Err(_) => return,
        }
    }
}

fn exit_code(status: WaitStatus) -> u8 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => exit_code_of(signal),
        (None, None) => u8::MAX,
    }
}

/// As shells tell of a signal.
fn exit_code_of(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(u8::MAX)
}

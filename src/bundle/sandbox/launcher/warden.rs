//! The warden: waits for the command, and then, or when the server is gone,
//! ends every process that the command has left, however far it ran: one that
//! forks twice and makes a session of its own is still a descendant, because
//! the warden adopts the orphans.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Seek, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, pidfd_open,
    pidfd_send_signal, set_child_subreaper, wait,
};
use rustix::stdio::dup2_stderr;
use serde::{Deserialize, Serialize};

use super::{Failure, oom_score, set_oom_score};
use crate::bundle::sandbox::descendants;

/// The warden's own standard input is its bond to the server: one of a pair of
/// sockets, whose other end the server alone has. The command gets neither of
/// them. When the other end is closed, or the server is gone, all is over.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::bundle::sandbox) struct Warden {
    pub(in crate::bundle::sandbox) input: Input,
    /// The cgroup of this command, where the machine has one for it: whoever
    /// is started from here on is in it.
    pub(in crate::bundle::sandbox) group: Option<PathBuf>,
    pub(in crate::bundle::sandbox) environment: Environment,
}

/// Where the command's environment comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::bundle::sandbox) enum Environment {
    /// It is the warden's own.
    Own,
    /// The warden has it under other names, so that nothing outside of the
    /// sandbox heeds it, and tells bubblewrap by a descriptor.
    ForBubblewrap,
}

/// The beginning of those names.
const TOLD: &str = "HIVESYNC_TELL_";

/// What the command reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::bundle::sandbox) enum Input {
    Nothing,
    /// Orders of the server's: the warden's third descriptor. The command's
    /// errors go where its output does.
    Orders,
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
        // Open until bubblewrap has it.
        let _arguments = match self.environment {
            Environment::Own => None,
            Environment::ForBubblewrap => {
                let told = tell(&mut command);
                Some(told.map_err(Failure::to("tell the environment"))?)
            }
        };
        command
            .stdin(
                self.input
                    .of_the_command()
                    .map_err(Failure::to("pass on the orders"))?,
            )
            // A command that signals its group does not mean us.
            .process_group(0);
        let server = getppid()
            .map(|server| pidfd_open(server, PidfdFlags::empty()))
            .transpose()
            .map_err(Failure::to("keep hold of the server"))?;
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
            wait_for_the_end_of(server.as_ref());
            let _ = pidfd_send_signal(&handle, Signal::KILL);
        });
        let code = wait_for(main);
        end_all();
        Ok(code)
    }
}

impl Input {
    fn of_the_command(self) -> io::Result<Stdio> {
        if self == Input::Nothing {
            return Ok(Stdio::null());
        }
        let orders = fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3)?;
        dup2_stderr(rustix::stdio::stdout())?;
        Ok(orders.into())
    }
}

impl Environment {
    /// The variables of a warden that is to tell `environment`.
    pub(in crate::bundle::sandbox) fn told(
        environment: Vec<(OsString, OsString)>,
    ) -> impl Iterator<Item = (OsString, OsString)> {
        environment.into_iter().map(|(name, value)| {
            let mut told = OsString::from(TOLD);
            told.push(name);
            (told, value)
        })
    }
}

/// Has bubblewrap read from a descriptor which environment it is to give.
fn tell(bubblewrap: &mut Command) -> io::Result<OwnedFd> {
    let mut arguments = b"--clearenv\0".to_vec();
    for (name, value) in std::env::vars_os() {
        if let Some(name) = name.as_bytes().strip_prefix(TOLD.as_bytes()) {
            for word in [b"--setenv", name, value.as_bytes()] {
                arguments.extend_from_slice(word);
                arguments.push(0);
            }
        }
    }
    // Not closed when a program takes the place of another: bubblewrap closes it.
    let file = memfd_create("environment", MemfdFlags::empty())?;
    let mut file = File::from(file);
    file.write_all(&arguments)?;
    file.rewind()?;
    let mut told = Command::new(bubblewrap.get_program());
    told.arg("--args")
        .arg(file.as_raw_fd().to_string())
        .args(bubblewrap.get_args())
        .env_clear();
    *bubblewrap = told;
    Ok(file.into())
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

/// Returns when the other end of our standard input is closed, or `server` has
/// ended: whatever has become of that other end, it is of no use then.
fn wait_for_the_end_of(server: Option<&OwnedFd>) {
    let stdin = rustix::stdio::stdin();
    // No flag asked for: the end of the other side is always told.
    let mut ends = vec![PollFd::new(&stdin, PollFlags::empty())];
    ends.extend(server.map(|server| PollFd::new(server, PollFlags::IN)));
    loop {
        match poll(&mut ends, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        if ends.iter().any(|end| !end.revents().is_empty()) {
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

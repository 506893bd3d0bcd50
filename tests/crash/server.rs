//! A server process that may die at any moment, and what is left when it has.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use hivesync::stop_points::{Point, VARIABLE};
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, Signal, getpid, getrlimit, kill_process, pidfd_open, prlimit,
};

use crate::process::{DEADLINE, Home, end_of, ends_by};

/// The lease of a worker: what a process of a build may outlive its server by.
const LEASE: Duration = Duration::from_secs(30);

/// Where a process shall end itself, and at which pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At(pub(crate) Point, pub(crate) u32);

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: String,
}

/// How a start came out.
#[derive(Debug)]
pub(crate) enum Start {
    Ready(Server),
    /// Before it was ready.
    Died(ExitStatus),
}

impl Start {
    #[track_caller]
    pub(crate) fn ready(self) -> Server {
        match self {
            Start::Ready(server) => server,
            Start::Died(status) => panic!("the server died before it was ready: {status}"),
        }
    }

    /// It has ended itself at its stopping point.
    #[track_caller]
    pub(crate) fn killed(self) {
        match self {
            Start::Ready(_) => panic!("the server started and has not met its stopping point"),
            Start::Died(status) => expect_killed(status),
        }
    }
}

#[track_caller]
pub(crate) fn expect_killed(status: ExitStatus) {
    assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{status}");
}

pub(crate) fn start(home: &Home, at: Option<At>) -> Start {
    start_with(home, at, &[])
}

/// What the server says goes to `server.log` in its home.
pub(crate) fn start_with(home: &Home, at: Option<At>, settings: &[(&str, &str)]) -> Start {
    start_by(home, at, settings, home.command(&["serve"]))
}

/// A server to whom the system refuses what lies past its limit, as a full disk
/// does, and does not kill it for that.
pub(crate) fn start_outlasting_limits(home: &Home) -> Start {
    let plain = home.command(&["serve"]);
    let set = plain.get_envs();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$0\" serve"])
        .arg(plain.get_program())
        .env_clear()
        .envs(set.filter_map(|(name, value)| Some((name, value?))))
        .current_dir(home.path())
        .stdin(Stdio::null());
    start_by(home, None, &[], command)
}

fn start_by(home: &Home, at: Option<At>, settings: &[(&str, &str)], mut command: Command) -> Start {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(home.path().join("server.log"))
        .expect("a log");
    command
        .env("MIN_FREE_DISK_MB", "0")
        .env("SHUTDOWN_GRACE_SECONDS", "20")
        .env("PREVIEW_MAX_TIMEOUT_MS", "60000")
        .envs(settings.iter().copied())
        .stdout(Stdio::piped())
        .stderr(log);
    if let Some(At(point, pass)) = at {
        command.env(VARIABLE, format!("{}:{pass}", point.name()));
    }
    let mut child = command.spawn().expect("the binary runs");
    let stdout = child.stdout.take().expect("piped");
    let (sender, addresses) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(address) = line.trim().strip_prefix("address") {
                let _ = sender.send(address.trim().to_owned());
            }
        }
    });
    match addresses.recv_timeout(DEADLINE) {
        Ok(address) => Start::Ready(Server { child, address }),
        Err(RecvTimeoutError::Disconnected) => {
            let status = child.wait().expect("an exit status");
            // A refusal to start is never what a crash may leave.
            assert_eq!(status.code(), None, "{status}:\n{}", log_of(home));
            Start::Died(status)
        }
        Err(RecvTimeoutError::Timeout) => {
            let _ = child.kill();
            panic!("the server neither started nor died:\n{}", log_of(home))
        }
    }
}

/// The last that its servers said.
fn log_of(home: &Home) -> String {
    let text = std::fs::read_to_string(home.path().join("server.log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(30)..].join("\n")
}

impl Server {
    fn pid(&self) -> Pid {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        Pid::from_raw(pid).expect("not zero")
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // A process that has ended itself is a zombie until it is waited for.
        kill_process(self.pid(), signal).expect("it is ours");
    }

    /// From now on it can write nothing to any file; or it can again.
    pub(crate) fn writes(&self, allowed: bool) {
        let limit = getrlimit(Resource::Fsize);
        let current = if allowed { limit.maximum } else { Some(0) };
        let limit = Rlimit { current, ..limit };
        prlimit(Some(self.pid()), Resource::Fsize, limit).expect("it is ours");
    }

    /// `kill -9`, and it is gone.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        expect_killed(self.child.wait().expect("an exit status"));
    }

    /// Waits for an end that comes by itself.
    pub(crate) fn ended(mut self) -> ExitStatus {
        let pid = self.child.id();
        end_of(&mut self.child).unwrap_or_else(|| panic!("process {pid} has not ended"))
    }

    /// A soft stop, which must end well.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already in a test that went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for every process that was started for this data folder to be gone:
/// builds and git, at most a lease after their server.
pub(crate) fn expect_no_survivors(folder: &Path) {
    let end = Instant::now() + LEASE;
    loop {
        let left = survivors(folder);
        if left.is_empty() {
            return;
        }
        for (pid, arguments) in left {
            // Gone by now.
            let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
                continue;
            };
            let ended = ends_by(&process, end);
            assert!(ended, "a lease after the server it goes on: {arguments}");
        }
    }
}

/// Processes whose arguments or working folder name `folder`.
pub(crate) fn survivors(folder: &Path) -> Vec<(Pid, String)> {
    let wanted = folder.to_str().expect("a plain name");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok());
        let Some(pid) = number.and_then(Pid::from_raw) else {
            continue;
        };
        if pid == getpid() {
            continue;
        }
        // A zombie has no arguments any more.
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        let cwd = std::fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        if arguments.contains(wanted) || cwd.starts_with(folder) {
            found.push((pid, arguments));
        }
    }
    found
}

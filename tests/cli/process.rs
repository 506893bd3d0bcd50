//! The `hivesync` binary as a child process, away from this machine's
//! environment.

#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;

/// A deadline, never a wait.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// How `child` ends; `None` when it does not within the deadline.
pub(crate) fn end_of(child: &mut Child) -> Option<ExitStatus> {
    let process = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("it is ours");
    ends_by(&process, Instant::now() + DEADLINE).then(|| child.wait().expect("an exit status"))
}

/// Whether that process has ended by `deadline`; waits for it.
pub(crate) fn ends_by(process: &OwnedFd, deadline: Instant) -> bool {
    let left = deadline.saturating_duration_since(Instant::now());
    let left = Timespec::try_from(left).expect("a short time");
    let mut ends = [PollFd::new(process, PollFlags::IN)];
    poll(&mut ends, Some(&left)).expect("a process can be waited for") == 1
}

/// The wardens that the server with this id has in front of its builds' commands.
pub(crate) fn wardens_of(server: u32) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{server}/task")).expect("it runs");
    let children: Vec<String> = threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .collect();
    let ids = children.iter().flat_map(|ids| ids.split_whitespace());
    ids.filter(|id| {
        let words = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        words.windows(6).any(|part| part == b"\0cell\0")
    })
    .filter_map(|id| Pid::from_raw(id.parse().ok()?))
    .collect()
}

/// A folder to work in, with the data folder inside.
pub(crate) struct Home(TempDir);

impl Home {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    /// The binary with these arguments, in this home.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hivesync"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("DATA_DIR", self.data())
            .env("BIND", "127.0.0.1")
            .env("PORT", "0")
            // A test runs the builds that it asks for.
            .env("PREVIEW_WARM_UP", "false")
            .current_dir(self.path())
            .stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().expect("the binary runs"))
    }

    pub(crate) fn serve(&self) -> Serving {
        Serving::start(self.command(&["serve"]))
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self {
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

/// A server process that has said that it is ready.
pub(crate) struct Serving {
    child: Child,
    lines: Receiver<String>,
    /// What it has printed until it was ready.
    pub(crate) banner: Vec<String>,
    /// Where it listens, as it said.
    pub(crate) address: String,
}

impl Serving {
    /// Starts it and waits for its last word of the banner in the log.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let (sender, lines) = channel();
        let outputs: [Box<dyn Read + Send>; 2] = [
            Box::new(child.stdout.take().expect("piped")),
            Box::new(child.stderr.take().expect("piped")),
        ];
        for output in outputs {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let mut serving = Self {
            child,
            lines,
            banner: Vec::new(),
            address: String::new(),
        };
        serving.wait_for("ready");
        serving.wait_until_told();
        serving
    }

    /// Reads on until both the banner and the log's `ready` were there.
    fn wait_until_told(&mut self) {
        loop {
            let address = self
                .banner
                .iter()
                .find_map(|line| line.trim().strip_prefix("address"));
            if let Some(address) = address {
                address.trim().clone_into(&mut self.address);
                return;
            }
            self.next_line("the banner's address");
        }
    }

    fn next_line(&mut self, wanted: &str) -> String {
        let line = self.lines.recv_timeout(DEADLINE).unwrap_or_else(|_| {
            panic!(
                "the server did not say {wanted:?}; it said {:#?}",
                self.banner
            )
        });
        self.banner.push(line.clone());
        line
    }

    /// Reads its output up to a line that holds `text`.
    pub(crate) fn wait_for(&mut self, text: &str) -> String {
        loop {
            let line = self.next_line(text);
            if line.contains(text) {
                return line;
            }
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.address)
    }

    pub(crate) fn host(&self) -> &str {
        self.address.trim_start_matches("http://")
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        let pid = Pid::from_raw(pid).expect("not zero");
        kill_process(pid, signal).expect("it is ours");
    }

    /// The exit status, within the deadline.
    pub(crate) fn wait(mut self) -> ExitStatus {
        match end_of(&mut self.child) {
            Some(status) => status,
            // It is killed with this.
            None => panic!("the server did not end; it said {:#?}", self.banner),
        }
    }

    /// Stops it softly; it must end cleanly.
    #[track_caller]
    pub(crate) fn stop(self) {
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Gone already after a stop.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

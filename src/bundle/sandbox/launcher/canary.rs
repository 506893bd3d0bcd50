//! The canary: stands where a command of a build would, and tries what such a
//! command must not be able to do. It says the first promise that is broken, or
//! `walled`, the version of node there, and a line for each [`Weakness`].

use std::fs::{self, OpenOptions};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use rustix::process::{Pid, getuid, test_kill_process};
use rustix::thread::{sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

use super::paths::hold_connections;
use crate::bundle::sandbox::toolchain::VERSION;

/// What it says when every promise is kept.
pub(in crate::bundle::sandbox) const WALLED: &str = "walled";

/// What an older kernel does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::bundle::sandbox) enum Weakness {
    /// A build can send signals to the server.
    Signals,
    /// No process can be kept to one port.
    Connections,
}

impl Weakness {
    const ALL: [Weakness; 2] = [Weakness::Signals, Weakness::Connections];

    pub(in crate::bundle::sandbox) const fn name(self) -> &'static str {
        match self {
            Weakness::Signals => "signals",
            Weakness::Connections => "connections",
        }
    }

    pub(in crate::bundle::sandbox) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|weakness| weakness.name() == name)
    }

    /// For the operator.
    pub(in crate::bundle::sandbox) const fn meaning(self) -> &'static str {
        match self {
            Weakness::Signals => "a build can send signals to the server (Linux before 6.12)",
            Weakness::Connections => {
                "an install cannot be kept to package registries (Linux before 6.7), so that \
                 only projects without dependencies to install are built"
            }
        }
    }
}

/// What the server has laid out, each thing out of a build's reach.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::bundle::sandbox) struct Canary {
    /// The processes and the network are the build's own, too.
    pub(in crate::bundle::sandbox) apart: bool,
    /// A folder with the file `secret`.
    pub(in crate::bundle::sandbox) outside: PathBuf,
    /// Something listens here, too.
    pub(in crate::bundle::sandbox) socket: PathBuf,
    /// The folder that may be written.
    pub(in crate::bundle::sandbox) work: PathBuf,
    /// The server's process.
    pub(in crate::bundle::sandbox) server: i32,
    /// Something listens here.
    pub(in crate::bundle::sandbox) port: u16,
    /// Whom a build must run as.
    pub(in crate::bundle::sandbox) user: u32,
    pub(in crate::bundle::sandbox) node: Option<PathBuf>,
}

/// A variable of the server's that a build must not see.
pub(in crate::bundle::sandbox) const SECRET_VARIABLE: &str = "HIVESYNC_CANARY";

/// A local connection is made or refused at once.
const PATIENCE: Duration = Duration::from_millis(500);

impl Canary {
    pub(super) fn sing(&self) -> ExitCode {
        let tried = self
            .try_everything()
            .map_err(str::to_owned)
            .and_then(|()| self.node_version());
        match tried {
            Ok(version) => {
                println!("{WALLED}\n{version}");
                for weakness in self.weaknesses() {
                    println!("{}", weakness.name());
                }
                ExitCode::SUCCESS
            }
            Err(broken) => {
                println!("{broken}");
                ExitCode::FAILURE
            }
        }
    }

    fn try_everything(&self) -> Result<(), &'static str> {
        self.files()?;
        self.processes()?;
        self.network()?;
        self.status()
    }

    /// `none` without node.
    fn node_version(&self) -> Result<String, String> {
        let Some(node) = &self.node else {
            return Ok("none".to_owned());
        };
        let asked = Command::new(node).args(["-p", VERSION]).output();
        let answer = asked.map_err(|error| format!("node does not run in the sandbox: {error}"))?;
        let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if answer.status.success() {
            Ok(said(&answer.stdout))
        } else {
            let why = said(&answer.stderr);
            Err(format!("node does not run in the sandbox: {why}"))
        }
    }

    fn weaknesses(&self) -> Vec<Weakness> {
        if self.apart {
            return Vec::new();
        }
        let server = Pid::from_raw(self.server);
        let signals = server.is_some_and(|server| test_kill_process(server).is_ok());
        [
            signals.then_some(Weakness::Signals),
            (!hold_connections()).then_some(Weakness::Connections),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn files(&self) -> Result<(), &'static str> {
        let written = |path: &Path| {
            OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .is_ok()
        };
        let closed =
            fs::read(self.outside.join("secret")).is_err() && fs::read_dir(&self.outside).is_err();
        promise(closed, "files outside the sandbox can be read")?;
        for (path, broken) in [
            (
                self.outside.join("canary"),
                "files outside the sandbox can be written",
            ),
            (
                PathBuf::from("/usr/.hivesync-canary"),
                "the system's files can be written",
            ),
            (
                PathBuf::from("/.hivesync-canary"),
                "the root folder can be written",
            ),
            (
                PathBuf::from("/proc/sys/kernel/core_pattern"),
                "the kernel's settings can be written",
            ),
        ] {
            promise(!written(&path), broken)?;
        }
        promise(
            fs::read_dir("/etc/ssl/private").is_err(),
            "the folder of the machine's private keys can be read",
        )?;
        promise(
            written(&self.work.join("canary")),
            "the work folder cannot be written",
        )
    }

    fn processes(&self) -> Result<(), &'static str> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        promise(
            home.as_deref() == Some(&self.work),
            "the environment was not set",
        )?;
        promise(
            std::env::var_os(SECRET_VARIABLE).is_none(),
            "the environment was not cleared",
        )?;
        let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        // The fourth is that of the listing.
        promise(open == 4, "descriptors of the server are open")?;
        if self.apart {
            let seen = fs::read_dir("/proc").into_iter().flatten().flatten();
            let seen = seen
                .filter(|entry| {
                    let name = entry.file_name();
                    name.as_encoded_bytes()[0].is_ascii_digit()
                })
                .count();
            return promise(seen < 8, "processes outside the sandbox are visible");
        }
        for process in [1, self.server] {
            promise(
                fs::read(format!("/proc/{process}/environ")).is_err(),
                "another process's environment can be read",
            )?;
        }
        // What it may run on is what it runs on already.
        let server = Pid::from_raw(self.server);
        let changed =
            sched_getaffinity(server).and_then(|processors| sched_setaffinity(server, &processors));
        promise(changed.is_err(), "the server's scheduling can be changed")
    }

    fn network(&self) -> Result<(), &'static str> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        promise(
            TcpStream::connect_timeout(&address, PATIENCE).is_err(),
            "the machine's own services can be reached",
        )?;
        promise(
            UnixStream::connect(&self.socket).is_err(),
            "sockets of other programs can be reached",
        )?;
        if !self.apart {
            return Ok(());
        }
        let interfaces = fs::read_to_string("/proc/net/dev").unwrap_or_default();
        let foreign = interfaces
            .lines()
            .filter_map(|line| line.split_once(':'))
            .any(|(name, _)| name.trim() != "lo");
        promise(!foreign, "a network interface is visible")
    }

    /// What the kernel says about this process.
    fn status(&self) -> Result<(), &'static str> {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map_or("", str::trim)
        };
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            let empty = field(set).bytes().all(|digit| digit == b'0');
            promise(empty && !field(set).is_empty(), "capabilities are left")?;
        }
        promise(field("NoNewPrivs") == "1", "new privileges can be had")?;
        promise(field("Seccomp") == "2", "every system call can be made")?;
        promise(
            getuid().as_raw() == self.user,
            "the build runs as another user than it should",
        )
    }
}

fn promise(kept: bool, broken: &'static str) -> Result<(), &'static str> {
    if kept { Ok(()) } else { Err(broken) }
}

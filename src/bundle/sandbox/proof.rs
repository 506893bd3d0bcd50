//! Proving a level: a canary of ours must find itself walled off, by the very
//! way that every command of a build goes, before any build is let in.

use std::io;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use rustix::process::{getpid, getuid};
use tempfile::TempDir;

use super::cell::Cell;
use super::isolated::{self, Bubblewrap, LAUNCHER};
use super::launcher::{Canary, Input, Order, SECRET_VARIABLE, User, WALLED, Weakness};
use super::mounts::Access;
use super::run::Command;
use super::{Sandbox, on_path};
use crate::domain::ProjectId;
use crate::domain::preview::SandboxLevel;

/// The beginning of the names of a canary's folders in `DATA_DIR/tmp`.
const FOLDER: &str = "canary-";

/// What servers that were killed have left of their canaries in `tmp`.
pub(super) fn left_in(tmp: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(tmp).into_iter().flatten().flatten();
    entries
        .filter(|entry| {
            entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(FOLDER.as_bytes())
        })
        .map(|entry| entry.path())
        .collect()
}

/// The kernel keeps 108 bytes of a socket's path, one of them the end.
const LONGEST_SOCKET: usize = 107;

/// What the canary has come back with.
pub(super) struct Proof {
    /// As node itself says in the sandbox; `none` without node.
    pub(super) node_version: String,
    /// What is weaker here than the level could be.
    pub(super) weaknesses: Vec<Weakness>,
}

/// Finds bubblewrap and what it can do.
///
/// The error is for the operator: what is missing and what to install.
pub(super) fn bubblewrap() -> Result<Bubblewrap, String> {
    let program = on_path("bwrap").ok_or(
        "it needs bubblewrap, and `bwrap` is not on the server's PATH: install the package \
         `bubblewrap` (apt, dnf, apk and pacman have it) and restart",
    )?;
    let help = std::process::Command::new(&program)
        .arg("--help")
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{} does not run: {e}", program.display()))?;
    let help = String::from_utf8_lossy(&help.stdout);
    Ok(Bubblewrap {
        program,
        disable_userns: help.contains("--disable-userns"),
        sized_tmpfs: help.contains("--size BYTES"),
    })
}

/// Runs the canary at `level` in `sandbox`, whose parts were found already.
pub(super) fn prove(sandbox: &Sandbox, level: SandboxLevel) -> Result<Proof, String> {
    run(sandbox, level).map_err(|reason| {
        let remedy = match level {
            SandboxLevel::Isolated => {
                "bubblewrap needs unprivileged user namespaces (sysctl \
                 kernel.unprivileged_userns_clone=1, user.max_user_namespaces above 0, on Ubuntu \
                 kernel.apparmor_restrict_unprivileged_userns=0, in a container an unconfined \
                 seccomp profile): allow them and restart"
            }
            SandboxLevel::Restricted | SandboxLevel::None => {
                "it needs Landlock (Linux 5.13 or later, with `landlock` among the kernel's lsm=) \
                 and seccomp, and for a server that is root a DATA_DIR below folders that other \
                 users may enter (chmod o+x): mend that, or install bubblewrap, and restart"
            }
        };
        format!("its canary failed: {reason}; {remedy}")
    })
}

/// Where builds will be, so that the way there is proved, too, and the next
/// start removes what a killed one has left. Who only looks at a server's state
/// makes no data folder for that.
fn folder(sandbox: &Sandbox, apart: bool) -> io::Result<TempDir> {
    let tmp = sandbox.inner.tmp.as_path();
    if sandbox.inner.users.is_some() && !apart {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(tmp)?;
    }
    if tmp.is_dir() {
        tempfile::Builder::new().prefix(FOLDER).tempdir_in(tmp)
    } else {
        tempfile::tempdir()
    }
}

/// What is out of a build's reach, and what is not, while the canary tries it.
struct Scene {
    /// The one folder that it may change.
    work: PathBuf,
    outside: PathBuf,
    socket: PathBuf,
    port: u16,
    /// All of it goes, and nothing listens any more, once these are dropped.
    _held: (UnixListener, TcpListener, Option<TempDir>, TempDir),
}

impl Scene {
    fn lay(sandbox: &Sandbox, apart: bool) -> io::Result<Self> {
        let folder = folder(sandbox, apart)?;
        // Links on the way to it are no part of what is tried.
        let root = folder.path().canonicalize()?;
        let (work, outside) = (root.join("work"), root.join("outside"));
        for dir in [&work, &outside] {
            std::fs::create_dir(dir)?;
        }
        std::fs::write(outside.join("secret"), "not for builds")?;
        stop_point!(CanaryLaid);
        let mut socket = outside.join("socket");
        let mut elsewhere = None;
        if socket.as_os_str().len() > LONGEST_SOCKET {
            socket = elsewhere.insert(tempfile::tempdir()?).path().join("socket");
        }
        let unix = UnixListener::bind(&socket)?;
        let tcp = TcpListener::bind(("127.0.0.1", 0))?;
        Ok(Self {
            work,
            outside,
            socket,
            port: tcp.local_addr()?.port(),
            _held: (unix, tcp, elsewhere, folder),
        })
    }

    /// What the canary must know of it.
    fn order(&self, sandbox: &Sandbox, cell: &Cell, apart: bool) -> Order {
        Order::Canary(Canary {
            apart,
            outside: self.outside.clone(),
            socket: self.socket.clone(),
            work: cell.inside(&self.work),
            server: getpid().as_raw_pid(),
            port: self.port,
            user: match cell.user() {
                User::Other(id) => id,
                _ if apart => isolated::USER,
                _ => getuid().as_raw(),
            },
            node: sandbox.toolchain().map(|toolchain| toolchain.node.clone()),
        })
    }
}

fn run(sandbox: &Sandbox, level: SandboxLevel) -> Result<Proof, String> {
    let apart = level == SandboxLevel::Isolated;
    let laid = |e: io::Error| format!("the canary's folders could not be made: {e}");
    let scene = Scene::lay(sandbox, apart).map_err(laid)?;
    let launcher = sandbox.inner.launcher.as_path();
    let mut cell = Cell::new(sandbox, level, "canary");
    // The number of no project.
    cell.belong_to(ProjectId(0)).map_err(laid)?;
    cell.mount(&scene.work, Path::new("/work"), Access::ReadWrite);
    cell.env("HOME", cell.inside(&scene.work));
    if !apart {
        cell.mount(launcher, launcher, Access::ReadOnly);
    }
    let [program, words @ ..] = scene
        .order(sandbox, &cell, apart)
        .words(if apart { Path::new(LAUNCHER) } else { launcher })
        .map_err(|e| e.to_string())?;
    let command = Command::new(program, &scene.work).args(words);
    let mut process = cell
        .process(&command, Input::Nothing, None)
        .map_err(|e| e.to_string())?;
    if apart {
        // Of what bubblewrap starts with, nothing may get through.
        process.env(SECRET_VARIABLE, "must not be seen");
    }
    let answer = process
        .as_std_mut()
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{}: {e}", launcher.display()))?;
    proof(&answer)
}

/// What the canary's words prove, if it came back at all.
fn proof(answer: &Output) -> Result<Proof, String> {
    let said = String::from_utf8_lossy(&answer.stdout);
    let mut lines = said.lines().map(str::to_owned);
    match lines.next() {
        None => Err(String::from_utf8_lossy(&answer.stderr).trim().to_owned()),
        Some(first) if first == WALLED && answer.status.success() => Ok(Proof {
            node_version: lines.next().unwrap_or_default(),
            weaknesses: lines.filter_map(|line| Weakness::named(&line)).collect(),
        }),
        Some(broken) => Err(broken),
    }
}

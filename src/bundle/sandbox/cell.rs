//! A cell: what one build can see and where.
//!
//! Callers speak of host paths only; the cell knows how the build sees them.
//! Under `isolated` each mount appears at its guest path, the same for every
//! build of every project, so that tools' caches that are keyed by path hit.
//! Under `restricted` and `none` the build sees the host's own paths; the
//! mounts say which of them it may use under `restricted`.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::RuntimeFlavor;

use super::Sandbox;
use super::diverted;
use super::isolated::{Isolate, LAUNCHER, TOOLCHAIN_BIN};
use super::launcher::{
    Bridge, Calls, Entry, Environment, Input, OURSELVES, Order, PORT, Sockets, User, Warden,
};
use super::limits::ProcessLimits;
use super::mounts::{Access, Mount, beneath, guest_of};
use super::restricted;
use super::run::Command;
use super::toolchain::Toolchain;
use super::users::Tenant;
use crate::domain::ProjectId;
use crate::domain::preview::SandboxLevel;

/// The name of the variable that marks the processes of a build, by which
/// leftovers are found where there is no process namespace.
pub(super) const MARK: &str = "HIVESYNC_BUILD";

/// The socket of a [`WayOut`], inside.
const WAY_OUT: &str = "/run/hivesync/registry";

#[derive(Clone, Debug)]
pub struct Cell {
    pub(super) sandbox: Sandbox,
    pub(super) level: SandboxLevel,
    pub(super) mark: String,
    own: Option<PathBuf>,
    mounts: Vec<Mount>,
    env: Vec<(OsString, OsString)>,
    path: Vec<PathBuf>,
    tenant: Option<Arc<Tenant>>,
    way_out: Option<WayOut>,
}

/// The one thing outside that the commands of a cell may connect to. Without it
/// they have no network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WayOut {
    /// A Unix socket (a host path), carried to a port inside.
    Socket(PathBuf),
    /// A port of this machine's loopback interface.
    Port(u16),
}

impl Cell {
    /// A cell with nothing in it yet. `mark` tells this build's processes from
    /// every other's: the job's id.
    #[must_use]
    pub fn new(sandbox: &Sandbox, level: SandboxLevel, mark: &str) -> Self {
        Self {
            sandbox: sandbox.clone(),
            level,
            mark: mark.to_owned(),
            own: None,
            mounts: Vec::new(),
            env: Vec::new(),
            path: Vec::new(),
            tenant: None,
            way_out: None,
        }
    }

    /// A cell of the same build with nothing in it.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self {
            tenant: self.tenant.clone(),
            ..Self::new(&self.sandbox, self.level, &self.mark)
        }
    }

    /// Has the cell's commands run as the user of `project`, where projects
    /// have users. Without a namespace root's processes would be root's.
    ///
    /// # Errors
    /// When there is no user left.
    pub fn belong_to(&mut self, project: ProjectId) -> io::Result<()> {
        if let (SandboxLevel::Restricted, Some(users)) = (self.level, &self.sandbox.inner.users) {
            self.tenant = Some(users.tenant(project)?);
        }
        Ok(())
    }

    /// The project whose own user this cell's commands run as. It cannot share
    /// a folder that it writes to with other projects.
    #[must_use]
    pub fn tenant(&self) -> Option<ProjectId> {
        self.tenant.as_ref().map(|tenant| tenant.project)
    }

    pub(super) fn user(&self) -> User {
        match &self.tenant {
            Some(tenant) => User::Other(tenant.id),
            None => User::Powerless,
        }
    }

    /// Gives the project's user what the server has made for it since.
    ///
    /// # Errors
    /// [`super::Diverted`] when a folder of the cell is not in its place.
    pub(super) fn hand_over(&self) -> io::Result<()> {
        diverted::look(&self.mounts)?;
        let Some(tenant) = &self.tenant else {
            let users = self.sandbox.inner.users.is_some();
            if users && self.level == SandboxLevel::Restricted {
                // Never as root.
                return Err(io::Error::other("the cell belongs to no project"));
            }
            return Ok(());
        };
        let receive = || tenant.receive(&self.mounts);
        match tokio::runtime::Handle::try_current().map(|handle| handle.runtime_flavor()) {
            Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(receive),
            _ => receive(),
        }
    }

    #[must_use]
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// What lies below `dir` is this build's alone, and goes with it.
    pub fn own(&mut self, dir: &Path) {
        self.own = Some(dir.to_owned());
    }

    pub(super) fn owns(&self, host: &Path) -> bool {
        self.own.as_ref().is_none_or(|dir| host.starts_with(dir))
    }

    pub(super) fn mounts(&self) -> &[Mount] {
        &self.mounts
    }

    #[must_use]
    pub fn level(&self) -> SandboxLevel {
        self.level
    }

    /// Shows `host` at `guest`. A later mount covers an earlier one.
    pub fn mount(&mut self, host: &Path, guest: &Path, access: Access) {
        let isolated = self.level == SandboxLevel::Isolated;
        let covered = isolated.then(|| beneath(&self.mounts, guest)).flatten();
        // Where nothing can be mounted, tools may make the folders anew that
        // they write into.
        let stays = isolated || access == Access::ReadOnly;
        let mount = Mount::new(host, guest, access).over(&self.mounts, covered, stays);
        self.mounts.push(mount);
    }

    /// Whether a file that is shown read-only cannot be changed by its owner
    /// either. Landlock goes by folders and gives no less below one: there a
    /// build must not be given files that others use, too, unless they are
    /// another user's. Without a wall there is nothing to be had by a copy.
    #[must_use]
    pub fn covers_files(&self) -> bool {
        self.level != SandboxLevel::Restricted || self.tenant.is_some()
    }

    /// Shows `host`, which lies below an earlier mount, at the same place with
    /// another access.
    pub fn remount(&mut self, host: &Path, access: Access) {
        let guest = self.guest(host);
        self.mount(host, &guest, access);
    }

    /// Shows the folder `host` in place of `place`, an empty folder that lies
    /// below an earlier mount. Where nothing can be mounted, `place` becomes a
    /// link to it.
    pub fn graft(&mut self, host: &Path, place: &Path, access: Access) -> io::Result<()> {
        let guest = self.guest(place);
        self.mount(host, &guest, access);
        if self.level != SandboxLevel::Isolated {
            std::fs::remove_dir(place)?;
            std::os::unix::fs::symlink(host, place)?;
        }
        Ok(())
    }

    /// A variable for every command; values that are paths must be as the
    /// build sees them ([`Cell::inside`]).
    pub fn env(&mut self, name: &str, value: impl AsRef<OsStr>) {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.as_ref().to_owned()));
    }

    /// Puts a folder (a host path) in front of the `PATH`.
    pub fn prepend_path(&mut self, dir: &Path) {
        self.path.insert(0, dir.to_owned());
    }

    /// Lets the commands out there, and nowhere else where the level can see to
    /// it. Answers the port of `127.0.0.1` at which they find it.
    pub fn let_out(&mut self, way: WayOut) -> u16 {
        let port = match &way {
            WayOut::Socket(socket) => {
                self.mount(socket, Path::new(WAY_OUT), Access::ReadWrite);
                PORT
            }
            WayOut::Port(port) => *port,
        };
        self.way_out = Some(way);
        port
    }

    fn bridge(&self) -> Option<Bridge> {
        let through_socket = matches!(self.way_out, Some(WayOut::Socket(_)));
        through_socket.then(|| Bridge {
            socket: WAY_OUT.into(),
        })
    }

    /// `host` as the build sees it.
    #[must_use]
    pub fn inside(&self, host: &Path) -> PathBuf {
        match self.level {
            SandboxLevel::Isolated => self.guest(host),
            SandboxLevel::Restricted | SandboxLevel::None => host.to_owned(),
        }
    }

    fn guest(&self, host: &Path) -> PathBuf {
        guest_of(&self.mounts, host).unwrap_or_else(|| host.to_owned())
    }

    /// The program and all its words, ready to be started by our process.
    ///
    /// # Errors
    /// When a path of the cell is no text.
    pub(super) fn words(
        &self,
        command: &Command,
        input: Input,
        group: Option<&Path>,
    ) -> io::Result<Vec<OsString>> {
        let group = group.map(Path::to_owned);
        let inner = &self.sandbox.inner;
        let entry = Order::Entry(self.entry());
        let environment = match self.level {
            SandboxLevel::Isolated => Environment::ForBubblewrap,
            SandboxLevel::Restricted | SandboxLevel::None => Environment::Own,
        };
        let warden = Warden {
            input,
            group,
            environment,
        };
        let mut words = Order::Warden(warden).words(&inner.launcher)?.to_vec();
        if let (SandboxLevel::Isolated, Some(bubblewrap)) = (self.level, &inner.bubblewrap) {
            words.extend(bubblewrap.words(&Isolate {
                mounts: &self.mounts,
                toolchain: self.sandbox.toolchain(),
                launcher: &inner.launcher,
                cwd: &self.inside(&command.cwd),
            }));
            words.extend(entry.words(LAUNCHER)?);
        } else {
            words.extend(entry.words(OURSELVES)?);
        }
        words.push(command.program.clone());
        words.extend(command.args.iter().cloned());
        Ok(words)
    }

    /// What the command must give up before it begins.
    fn entry(&self) -> Entry {
        let inner = &self.sandbox.inner;
        // Elsewhere the count would take in what else the same user runs.
        let counted = self.level == SandboxLevel::Isolated || self.tenant.is_some();
        let limits = ProcessLimits::of(counted, &inner.limits);
        match self.level {
            SandboxLevel::Isolated => Entry {
                limits,
                user: User::Powerless,
                paths: None,
                calls: Some(Calls {
                    sockets: Sockets::Usual,
                    guard_modes: false,
                }),
                bridge: self.bridge(),
            },
            SandboxLevel::Restricted => {
                let connect = restricted::connect(self.way_out.as_ref());
                Entry {
                    limits,
                    user: self.user(),
                    calls: Some(restricted::calls(&connect)),
                    paths: Some(restricted::paths(
                        &self.mounts,
                        self.sandbox.toolchain(),
                        connect,
                    )),
                    bridge: None,
                }
            }
            SandboxLevel::None => Entry {
                limits,
                user: User::Same,
                paths: None,
                calls: None,
                bridge: None,
            },
        }
    }

    /// The whole environment of a command: nothing of the server's but, under
    /// `none`, its `PATH`.
    pub(super) fn environment(&self, command: &Command) -> Vec<(OsString, OsString)> {
        let mut path: Vec<PathBuf> = self.path.iter().map(|dir| self.inside(dir)).collect();
        let system = ["/usr/local/bin", "/usr/bin", "/bin"].map(PathBuf::from);
        match self.level {
            SandboxLevel::Isolated => {
                path.push(TOOLCHAIN_BIN.into());
                path.extend(system);
            }
            SandboxLevel::Restricted => {
                path.extend(
                    self.sandbox
                        .toolchain()
                        .map(Toolchain::folders)
                        .unwrap_or_default(),
                );
                path.extend(system);
            }
            SandboxLevel::None => path.extend(
                std::env::var_os("PATH")
                    .iter()
                    .flat_map(std::env::split_paths),
            ),
        }
        let mut env = vec![
            (
                OsString::from("PATH"),
                std::env::join_paths(path).unwrap_or_default(),
            ),
            (MARK.into(), self.mark.clone().into()),
        ];
        for (name, value) in self.env.iter().chain(&command.env) {
            env.retain(|(known, _)| known != name);
            env.push((name.clone(), value.clone()));
        }
        env
    }
}

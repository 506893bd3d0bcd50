//! A command under its warden, and how both end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::process::Child;
use tokio::time::timeout;

use super::cell::Cell;
use super::descendants;
use super::leftovers;
use super::watch::cgroup::Group;
use crate::domain::preview::SandboxLevel;

/// How long a killed build's processes may take to be gone; the kernel needs
/// milliseconds.
pub(super) const DEATH: Duration = Duration::from_secs(5);

/// Dropped, it is ended in the background, with everything it has started.
#[derive(Debug)]
pub(super) struct Running {
    /// Until it has been ended.
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    warden: Child,
    /// Our end of it: once it is closed, all is over. A pipe could be opened
    /// for writing by whoever gets to see one end of it in `/proc`; of a pair
    /// of sockets there is never another end.
    bond: UnixStream,
    group: Option<Arc<Group>>,
    mark: String,
    level: SandboxLevel,
}

impl Running {
    /// `process` holds our ends of the pipes for writing: it goes here, or the
    /// streams could not end.
    pub(super) fn start(
        cell: &Cell,
        mut process: tokio::process::Command,
        group: Option<Arc<Group>>,
    ) -> io::Result<Self> {
        let (bond, wardens) = UnixStream::pair()?;
        process.stdin(OwnedFd::from(wardens));
        let held = Held {
            warden: process.spawn()?,
            bond,
            group,
            mark: cell.mark.clone(),
            level: cell.level,
        };
        Ok(Self { held: Some(held) })
    }

    /// The warden's; `None` once it has ended.
    pub(super) fn pid(&self) -> Option<Pid> {
        self.held.as_ref()?.pid()
    }

    pub(super) fn group(&self) -> Option<Arc<Group>> {
        self.held.as_ref()?.group.clone()
    }

    /// Waits until it has ended by itself.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        match &mut self.held {
            Some(held) => held.warden.wait().await,
            None => Err(io::Error::other("it has been ended")),
        }
    }

    /// Kills the whole of it and waits.
    pub(super) async fn end(mut self) {
        if let Some(held) = self.held.take() {
            held.end().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Some(held) = self.held.take().filter(|held| held.pid().is_some()) else {
            return;
        };
        // Without a runtime the closed bond must do.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(held.end());
        }
    }
}

impl Held {
    fn pid(&self) -> Option<Pid> {
        Pid::from_raw(self.warden.id()?.cast_signed())
    }

    async fn end(self) {
        let warden = self.pid();
        let Self {
            warden: mut child,
            bond,
            group: _group,
            mark,
            level,
        } = self;
        drop(bond);
        if timeout(DEATH, child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(build = mark, "a build's processes do not end");
        if let Some(warden) = warden {
            leftovers::kill_below(warden, descendants::launchers(level)).await;
        }
        let _ = timeout(DEATH, child.wait()).await;
        if level != SandboxLevel::Isolated {
            leftovers::kill(&mark).await;
        }
    }
}

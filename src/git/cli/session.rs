//! A git that is fed by its caller, where blocking is allowed, and the process
//! group that every call runs in.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::process::{Child, ChildStdin, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal};

use super::STDERR_LIMIT;
use super::failure::{fault, words};
use crate::error::{Context, Error, Result};

/// A running git that reads what its caller writes. Dropping it unfinished
/// kills it.
pub(in crate::git) struct Session {
    pub(super) child: Child,
    pub(super) group: Group,
    pub(super) stdin: Option<ChildStdin>,
    pub(super) complaints: File,
}

impl Session {
    pub(in crate::git) fn take_input(&mut self) -> Result<ChildStdin> {
        self.stdin
            .take()
            .ok_or_else(|| Error::internal("git's input is taken already"))
    }

    /// Waits for its end, which comes when its input is closed.
    pub(in crate::git) fn finish(mut self) -> Result<()> {
        drop(self.stdin.take());
        let status = self.child.wait().or_internal("wait for git")?;
        self.group.disarm();
        if status.success() {
            return Ok(());
        }
        Err(fault(&self.words(status)))
    }

    fn words(&mut self, status: ExitStatus) -> String {
        let mut said = Vec::new();
        let read = self
            .complaints
            .seek(SeekFrom::Start(0))
            .and_then(|_| (&self.complaints).take(STDERR_LIMIT).read_to_end(&mut said));
        if let Err(e) = read {
            return format!("{status} (its words are lost: {e})");
        }
        words(&said, status)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.group.kill();
        // Reaps it; after `finish` this answers at once.
        let _ = self.child.wait();
    }
}

/// A process group that is killed unless its work was done.
pub(super) struct Group(Mutex<Option<Pid>>);

impl Group {
    pub(super) fn of(leader: Option<u32>) -> Self {
        let pid = leader
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Self(Mutex::new(pid))
    }

    fn leader(&self) -> MutexGuard<'_, Option<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn kill(&self) {
        if let Some(pid) = *self.leader() {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }

    /// The leader was waited for: its number may soon be another's.
    pub(super) fn disarm(&self) {
        *self.leader() = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

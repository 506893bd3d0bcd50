//! What each process of a build may use up.
//!
//! There is no limit on address space: V8 reserves far more than it uses. What
//! it has made writable is another matter: that is hardly more than it uses.

use rustix::io;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::config::BuildLimits;

const OPEN_FILES: u64 = 65_536;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ProcessLimits {
    /// `None` where the count would take in what else the same user runs.
    processes: Option<u64>,
    open_files: u64,
    file_size: u64,
    /// Bytes of writable memory of its own.
    data: u64,
}

impl ProcessLimits {
    /// `counted`: no other processes than the build's count with it. The number
    /// is counted per sandbox since Linux 5.14; root is not held by it.
    pub(super) fn of(counted: bool, build: &BuildLimits) -> Self {
        // Some above what the watch allows: that one can say what has happened,
        // where a program that cannot fork says anything.
        let backstop = build.processes + build.processes / 4 + 64;
        Self {
            processes: counted.then_some(backstop),
            open_files: OPEN_FILES,
            file_size: build.file_bytes,
            // For one that is quicker than the watch. Far above what it allows:
            // some allocators make a gigabyte writable before they need it.
            data: build.memory_bytes.saturating_mul(2).saturating_add(1 << 30),
        }
    }

    /// Puts this process, and all that it starts, under the limits.
    pub(super) fn apply(&self) -> io::Result<()> {
        limit(Resource::Core, 0)?;
        limit(Resource::Fsize, self.file_size)?;
        limit(Resource::Nofile, self.open_files)?;
        limit(Resource::Data, self.data)?;
        match self.processes {
            Some(processes) => limit(Resource::Nproc, processes),
            None => Ok(()),
        }
    }
}

/// Never above the hard limit that we live under.
fn limit(resource: Resource, wanted: u64) -> io::Result<()> {
    let value = getrlimit(resource)
        .maximum
        .map_or(wanted, |ours| ours.min(wanted));
    let both = Rlimit {
        current: Some(value),
        maximum: Some(value),
    };
    setrlimit(resource, both)
}

//! What a build may use up: limits on processes, files and core dumps, set by
//! util-linux's `prlimit` and `choom` on the way to the command.
//!
//! There is no limit on address space: V8 reserves far more than it uses.
//! Instead the kernel is told to pick a build first when memory runs out.

use std::ffi::OsString;
use std::path::PathBuf;

use rustix::process::{Resource, getrlimit};

use super::on_path;
use crate::config::BuildLimits;
use crate::domain::preview::SandboxLevel;

const OPEN_FILES: u64 = 65_536;

#[derive(Clone, Debug)]
pub(super) struct Limits {
    ceilings: BuildLimits,
    prlimit: Option<PathBuf>,
    choom: Option<PathBuf>,
}

impl Limits {
    pub(super) fn find(ceilings: BuildLimits) -> Self {
        Self {
            ceilings,
            prlimit: on_path("prlimit"),
            choom: on_path("choom"),
        }
    }

    /// Whether limits can be set at all.
    pub(super) fn available(&self) -> bool {
        self.prlimit.is_some()
    }

    /// The words before a command that put it under the limits.
    pub(super) fn prefix(&self, level: SandboxLevel) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(prlimit) = &self.prlimit {
            words.push(prlimit.into());
            words.push("--core=0".into());
            words.push(limit("--fsize", Resource::Fsize, self.ceilings.file_bytes));
            words.push(limit("--nofile", Resource::Nofile, OPEN_FILES));
            // Counted per sandbox since Linux 5.14; root is not held by it.
            // Outside a user namespace the count would take in everything else
            // that our user runs.
            if level == SandboxLevel::Isolated {
                words.push(limit("--nproc", Resource::Nproc, self.ceilings.processes));
            }
            words.push("--".into());
        }
        if let Some(choom) = &self.choom {
            words.push(choom.into());
            words.extend(["-n".into(), "1000".into(), "--".into()]);
        }
        words
    }
}

/// `--name=soft:hard`, never above the hard limit that we live under.
fn limit(name: &str, resource: Resource, wanted: u64) -> OsString {
    let value = getrlimit(resource)
        .maximum
        .map_or(wanted, |ours| ours.min(wanted));
    format!("{name}={value}:{value}").into()
}

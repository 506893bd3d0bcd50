//! The entry: gives up what the command must not have, then becomes the
//! command.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Gid, Signal, Uid, set_parent_process_death_signal, umask};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};
use serde::{Deserialize, Serialize};

use super::{Bridge, Calls, Failure, Paths, calls};
use crate::bundle::sandbox::limits::ProcessLimits;
use crate::bundle::sandbox::users::READERS;

/// What is left out is not given up.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::bundle::sandbox) struct Entry {
    pub(in crate::bundle::sandbox) limits: ProcessLimits,
    pub(in crate::bundle::sandbox) user: User,
    pub(in crate::bundle::sandbox) paths: Option<Paths>,
    pub(in crate::bundle::sandbox) calls: Option<Calls>,
    /// The command's way out, where it has one.
    pub(in crate::bundle::sandbox) bridge: Option<Bridge>,
}

/// Whom the command runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::bundle::sandbox) enum User {
    /// Just as the server does.
    Same,
    /// The same user, without any capability.
    Powerless,
    /// This user, the group of the same number and that of all builds, without
    /// any capability.
    Other(u32),
}

impl Entry {
    /// Comes back only when it failed.
    pub(super) fn become_command(&self, mut command: Command) -> Failure {
        match self.give_up() {
            Ok(()) => {
                let error = command.exec();
                Failure::not_run(&command, error)
            }
            Err(failure) => failure,
        }
    }

    fn give_up(&self) -> Result<(), Failure> {
        self.limits.apply().map_err(Failure::to("set the limits"))?;
        close_all_but_the_standard_three().map_err(Failure::to("close descriptors"))?;
        self.user
            .become_it()
            .map_err(Failure::to("change the user"))?;
        // A warden that was killed cannot clean up: the command at least goes
        // with it. A change of the user would have undone this.
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(Failure::to("end with the warden"))?;
        set_no_new_privs(true).map_err(Failure::to("give up new privileges"))?;
        if let Some(bridge) = &self.bridge {
            bridge.open().map_err(Failure::to("open the way out"))?;
        }
        if let Some(paths) = &self.paths {
            paths.apply().map_err(Failure::to("close paths"))?;
        }
        if let Some(calls) = self.calls {
            if calls.guard_modes {
                umask(calls::modes::UMASK);
            }
            calls.apply().map_err(Failure::to("give up system calls"))?;
        }
        Ok(())
    }
}

impl User {
    fn become_it(self) -> io::Result<()> {
        if self == User::Same {
            return Ok(());
        }
        // Only who may do so has anything to lose by it.
        for capability in CapabilitySet::all().iter() {
            let _ = remove_capability_from_bounding_set(capability);
        }
        if let User::Other(id) = self {
            let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
            set_thread_groups(&[Gid::from_raw(READERS)])?;
            set_thread_res_gid(gid, gid, gid)?;
            set_thread_res_uid(uid, uid, uid)?;
        }
        let none = CapabilitySet::empty();
        let sets = CapabilitySets {
            effective: none,
            permitted: none,
            inheritable: none,
        };
        Ok(set_capabilities(None, sets)?)
    }
}

/// Whatever the server was started with, from a shell or a service manager,
/// is none of a build's business.
fn close_all_but_the_standard_three() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|number| *number > 2)
        .collect();
    for number in open {
        // The listing's own descriptor is among them, and closed by now.
        let _ = nix::unistd::close(number);
    }
    Ok(())
}

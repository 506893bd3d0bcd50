//! The entry: gives up what the command must not have, then becomes the
//! command.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::set_no_new_privs;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::bundle::sandbox::limits::Limits;

#[derive(Debug, Serialize, Deserialize)]
pub(in crate::bundle::sandbox) struct Entry {
    pub(in crate::bundle::sandbox) limits: Limits,
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
        // A warden that was killed cannot clean up: the command at least goes
        // with it.
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(Failure::to("end with the warden"))?;
        self.limits.apply().map_err(Failure::to("set the limits"))?;
        set_no_new_privs(true).map_err(Failure::to("give up new privileges"))?;
        close_all_but_the_standard_three().map_err(Failure::to("close descriptors"))
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

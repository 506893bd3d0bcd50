//! The files and ports that a build may use, as a Landlock ruleset: what is
//! not named is closed, whoever owns it.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};
use serde::{Deserialize, Serialize};

/// The newest kernel interface that these rules are written for. An older
/// kernel enforces what it knows.
const NEWEST: ABI = ABI::V7;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::bundle::sandbox) struct Paths {
    /// May be read and run, with all that is below.
    pub(in crate::bundle::sandbox) read: Vec<PathBuf>,
    /// May be changed, too.
    pub(in crate::bundle::sandbox) write: Vec<PathBuf>,
    /// Devices: may be read and written as they are.
    pub(in crate::bundle::sandbox) devices: Vec<PathBuf>,
    pub(in crate::bundle::sandbox) connect: Connect,
}

/// Which TCP ports may be connected to. None is ever listened on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::bundle::sandbox) enum Connect {
    #[default]
    Nowhere,
    Port(u16),
}

/// Which connections a ruleset knows of.
fn connections() -> BitFlags<AccessNet> {
    AccessNet::BindTcp | AccessNet::ConnectTcp
}

/// Whether this kernel can keep a process to one port (Linux 6.7).
pub(super) fn hold_connections() -> bool {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(connections())
        .is_ok()
}

impl Paths {
    /// Holds this process, and all that it starts, to the rules.
    pub(super) fn apply(&self) -> io::Result<()> {
        self.restrict().map_err(io::Error::other)
    }

    fn restrict(&self) -> Result<(), RulesetError> {
        let all = AccessFs::from_all(NEWEST);
        let read = AccessFs::from_read(NEWEST);
        let devices = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev;
        let mut ruleset = Ruleset::default()
            // Without files there is no wall at all; the rest is best effort.
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(ABI::V1))?
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(all)?
            // Without a way out no socket can be made, whatever the kernel.
            .set_compatibility(match self.connect {
                Connect::Nowhere => CompatLevel::BestEffort,
                Connect::Port(_) => CompatLevel::HardRequirement,
            })
            .handle_access(connections())?
            .set_compatibility(CompatLevel::BestEffort)
            .scope(Scope::from_all(NEWEST))?
            .create()?
            .add_rules(path_beneath_rules(&self.read, read))?
            .add_rules(path_beneath_rules(&self.write, all))?
            .add_rules(path_beneath_rules(&self.devices, devices))?;
        if let Connect::Port(port) = self.connect {
            ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
        }
        ruleset.restrict_self().map(drop)
    }
}

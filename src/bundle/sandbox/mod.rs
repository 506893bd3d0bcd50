//! The wall around a build.

use crate::domain::preview::SandboxLevel;

/// The sandbox that this machine can give, found by running a canary.
#[derive(Clone, Debug)]
pub struct Sandbox {
    level: Option<SandboxLevel>,
}

impl Sandbox {
    /// `None`: builds are refused with `SANDBOX_UNAVAILABLE`.
    #[must_use]
    pub fn level(&self) -> Option<SandboxLevel> {
        self.level
    }
}

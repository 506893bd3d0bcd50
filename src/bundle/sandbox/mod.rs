//! The wall around a build.

use crate::config::SandboxChoice;
use crate::domain::preview::SandboxLevel;

/// The sandbox that this machine can give, found by running a canary.
#[derive(Clone, Debug)]
pub struct Sandbox {
    level: Option<SandboxLevel>,
}

impl Sandbox {
    /// Finds the tools and runs the canary. Blocks.
    #[must_use]
    pub fn probe(choice: SandboxChoice) -> Self {
        let _ = choice;
        Self { level: None }
    }

    /// `None`: builds are refused with `SANDBOX_UNAVAILABLE`.
    #[must_use]
    pub fn level(&self) -> Option<SandboxLevel> {
        self.level
    }
}

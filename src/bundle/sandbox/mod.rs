//! The wall around a build: which level this machine can give, proved by a
//! canary at start.
//!
//! - `isolated`: bubblewrap with every namespace, no capabilities, a private
//!   home and `/tmp`; see [`isolated`].
//! - `none`: an ordinary process group, for code that the operator trusts.
//!
//! Where neither is to be had, builds are refused: a build is never walled off
//! less than the operator asked for.

mod canary;
mod cell;
mod descendants;
mod isolated;
pub mod launcher;
mod leftovers;
mod limits;
mod output;
mod run;
mod toolchain;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;

pub use cell::{Access, Cell};
pub use run::{Command, Ended, Finished, Output};
pub use toolchain::Toolchain;
pub use watch::{Breach, Watch};

use watch::cgroup::{Delegated, Group};

use crate::config::{BuildLimits, Builds, SandboxChoice};
use crate::domain::preview::SandboxLevel;
use crate::error::{Code, Error, Result};

/// The sandbox that this machine can give, found by running a canary.
#[derive(Clone, Debug)]
pub struct Sandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    level: Option<SandboxLevel>,
    /// Why there is no level, and what to do about it.
    refusal: Option<String>,
    bubblewrap: Option<isolated::Bubblewrap>,
    /// Our own binary, as a program to be started.
    launcher: PathBuf,
    /// What one build may use up.
    ceilings: BuildLimits,
    /// Where the kernel itself holds builds to their limits.
    delegated: Option<Delegated>,
    toolchain: Option<Toolchain>,
}

impl Sandbox {
    /// Finds the tools and runs the canary. Blocks for about a tenth of a
    /// second.
    #[must_use]
    pub fn probe(settings: &Builds) -> Sandbox {
        let located = Toolchain::locate();
        let launcher = settings
            .launcher
            .clone()
            .or_else(|| std::env::current_exe().ok())
            .unwrap_or_else(|| launcher::OURSELVES.into());
        let proved = match settings.sandbox {
            SandboxChoice::None => None,
            SandboxChoice::Auto | SandboxChoice::Isolated => {
                Some(canary::prove(located.as_ref(), &launcher, &settings.limits))
            }
        };
        let (level, refusal, bubblewrap, toolchain) = match proved {
            None => (Some(SandboxLevel::None), None, None, asked(located)),
            Some(Err(reason)) => (None, Some(reason), None, asked(located)),
            Some(Ok(proof)) => {
                let toolchain = located.map(|toolchain| Toolchain {
                    node_version: proof.node_version,
                    ..toolchain
                });
                let level = Some(SandboxLevel::Isolated);
                (level, None, Some(proof.bubblewrap), toolchain)
            }
        };
        let delegated = Delegated::find()
            .inspect_err(|reason| tracing::debug!(reason, "builds get no cgroup"))
            .ok();
        Sandbox {
            inner: Arc::new(Inner {
                level,
                refusal,
                bubblewrap,
                launcher,
                ceilings: settings.limits,
                delegated,
                toolchain,
            }),
        }
    }

    /// `None`: builds are refused with `SANDBOX_UNAVAILABLE`.
    #[must_use]
    pub fn level(&self) -> Option<SandboxLevel> {
        self.inner.level
    }

    /// What one build may use up.
    #[must_use]
    pub fn ceilings(&self) -> BuildLimits {
        self.inner.ceilings
    }

    /// A cgroup for one command, where there are any.
    fn group(&self) -> std::io::Result<Option<Arc<Group>>> {
        let delegated = self.inner.delegated.as_ref();
        delegated
            .map(|delegated| delegated.group(&self.inner.ceilings))
            .transpose()
    }

    /// Why builds are refused, and what to install; `None` when they are not.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.inner.refusal.as_deref()
    }

    /// Node and npm as builds see them; `None` when the server's `PATH` has no
    /// working `node`, and then only static projects build.
    #[must_use]
    pub fn toolchain(&self) -> Option<&Toolchain> {
        self.inner.toolchain.as_ref()
    }

    /// The level for one build. `trusted`: an admin vouches for the project,
    /// or the server is one developer's own.
    ///
    /// # Errors
    /// `SANDBOX_UNAVAILABLE`, with the reason and the next step.
    pub fn level_for(&self, trusted: bool) -> Result<SandboxLevel> {
        match self.inner.level {
            Some(SandboxLevel::None) if !trusted => Err(Error::new(
                Code::SandboxUnavailable,
                "this server runs builds without a sandbox (SANDBOX=none), which is for trusted \
                 projects only; an admin can mark the project as trusted, or the operator can \
                 install bubblewrap and set SANDBOX=auto",
            )),
            Some(level) => Ok(level),
            None => Err(Error::new(
                Code::SandboxUnavailable,
                self.inner.refusal.clone().unwrap_or_default(),
            )),
        }
    }
}

fn asked(located: Option<Toolchain>) -> Option<Toolchain> {
    located.and_then(Toolchain::asked)
}

/// Ends what an earlier process has left running of the build `mark`, where no
/// sandbox has taken it along.
pub async fn kill_leftovers(sandbox: &Sandbox, mark: &str) {
    if sandbox.level() == Some(SandboxLevel::None) {
        leftovers::kill(mark).await;
    }
}

/// The first file of that name on the server's `PATH` that can be run.
fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .filter(|dir| dir.is_absolute())
        .map(|dir| dir.join(name))
        .find(|file| {
            file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
        })
}

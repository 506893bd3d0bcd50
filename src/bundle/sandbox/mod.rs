//! The wall around a build: which level this machine can give, proved by a
//! canary before the first build.
//!
//! - `isolated`: bubblewrap with every namespace, no capabilities, a private
//!   home and `/tmp`; see [`isolated`].
//! - `restricted`: Landlock and seccomp, where no namespaces are to be had; see
//!   [`restricted`].
//! - `none`: an ordinary process, for code that the operator trusts.
//!
//! At every level a command runs under the [`launcher`], which sees to its
//! limits and its end. Where no level is to be had, builds are refused: a build
//! is never walled off less than the operator asked for.

mod cell;
mod descendants;
mod diverted;
mod isolated;
mod kept_back;
pub mod launcher;
mod leftovers;
mod limits;
mod mounts;
mod output;
mod proof;
mod resident;
mod restricted;
mod run;
mod running;
mod toolchain;
mod users;
mod watch;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

pub use cell::{Cell, WayOut};
pub use diverted::Diverted;
use launcher::Weakness;
pub use mounts::Access;
pub use resident::Resident;
pub use run::{Command, Ended, Finished, Output};
pub use toolchain::Toolchain;
use users::Users;
pub use watch::{Breach, Watch};

use watch::cgroup::{Delegated, Group};

use crate::config::{BuildLimits, Config, SandboxChoice};
use crate::data_dir::DataDir;
use crate::domain::preview::SandboxLevel;
use crate::error::{Code, Error};

/// The sandbox that this machine can give, found by running a canary when
/// somebody first wants to know. Whoever asks meanwhile waits.
#[derive(Clone, Debug)]
pub struct Sandbox {
    inner: Arc<LazyLock<Inner, Probe>>,
}

type Probe = Box<dyn FnOnce() -> Inner + Send>;

#[derive(Clone, Debug)]
struct Inner {
    level: Option<SandboxLevel>,
    /// Why there is no level, and what to do about it.
    refusal: Option<String>,
    /// Why there is no better level, and what this one leaves open.
    remark: Option<String>,
    bubblewrap: Option<isolated::Bubblewrap>,
    /// Our own binary, as a program to be started.
    launcher: PathBuf,
    /// `DATA_DIR/tmp`, if there is one.
    tmp: PathBuf,
    /// What this machine does not do for the level.
    weaknesses: Vec<Weakness>,
    /// What one build may use up.
    limits: BuildLimits,
    /// Where the kernel itself holds builds to their limits.
    delegated: Option<Arc<Delegated>>,
    /// Where builds have users of their own.
    users: Option<Arc<Users>>,
    toolchain: Option<Toolchain>,
}

const LAST_RESORT: &str = "or set SANDBOX=none and mark the projects that you trust";

impl Sandbox {
    /// The sandbox of this machine, not looked for yet.
    #[must_use]
    pub fn of_this_machine(config: &Config) -> Sandbox {
        let config = config.clone();
        Self::found_by(Box::new(move || Inner::probe(&config)))
    }

    fn found_by(probe: Probe) -> Sandbox {
        Sandbox {
            inner: Arc::new(LazyLock::new(probe)),
        }
    }

    /// Returns when it is known what this machine can do. Elsewhere than at a
    /// start there is no need to wait: the first question finds out.
    pub async fn settled(&self) {
        let inner = Arc::clone(&self.inner);
        // A panic there comes again with the first question.
        let found = tokio::task::spawn_blocking(move || {
            LazyLock::force(&inner);
        });
        let _ = found.await;
    }

    /// `None`: builds are refused with `SANDBOX_UNAVAILABLE`.
    #[must_use]
    pub fn level(&self) -> Option<SandboxLevel> {
        self.inner.level
    }

    /// Takes the caches `folders` back from the users of builds, if at this level
    /// builds have none: it was another when they were filled. Blocking.
    pub fn take_back(&self, folders: impl IntoIterator<Item = PathBuf>) {
        if self.inner.users.is_none() || self.level() == Some(SandboxLevel::Restricted) {
            return;
        }
        for folder in folders {
            match users::take_back(&folder) {
                Ok(false) => {}
                Ok(true) => tracing::info!(
                    folder = %folder.display(),
                    "a cache that was filled at another sandbox level is taken back"
                ),
                Err(error) => tracing::warn!(
                    folder = %folder.display(), %error,
                    "a cache that was filled at another sandbox level could not be taken back; \
                     builds may fail until it is removed"
                ),
            }
        }
    }

    /// What one build may use up.
    #[must_use]
    pub fn limits(&self) -> BuildLimits {
        self.inner.limits
    }

    /// A cgroup for one command, where there are any.
    fn group(&self) -> std::io::Result<Option<Arc<Group>>> {
        let delegated = self.inner.delegated.as_ref();
        delegated
            .map(|delegated| delegated.group(&self.inner.limits))
            .transpose()
    }

    /// Why builds are refused, and what to install; `None` when they are not.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        self.inner.refusal.as_deref()
    }

    /// What the level leaves open, and why there is no better one.
    #[must_use]
    pub fn remark(&self) -> Option<&str> {
        self.inner.remark.as_deref()
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
    pub fn level_for(&self, trusted: bool) -> Result<SandboxLevel, Error> {
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

    /// Whether commands at `level` can be kept to one way out, as those that
    /// install are.
    ///
    /// # Errors
    /// `SANDBOX_UNAVAILABLE`, with the reason and the next step: what holds
    /// only by the good will of install scripts is no sandbox.
    pub fn check_way_out(&self, level: SandboxLevel) -> Result<(), Error> {
        let lacking = self.inner.weaknesses.contains(&Weakness::Connections);
        if level == SandboxLevel::Restricted && lacking {
            return Err(Error::new(
                Code::SandboxUnavailable,
                "this server's kernel cannot keep an install to package registries without \
                 bubblewrap (that takes Linux 6.7 or later), so dependencies are not installed; \
                 the operator can install bubblewrap or a newer kernel",
            ));
        }
        Ok(())
    }
}

impl Inner {
    /// Finds the tools and runs the canaries, from the best level down. Blocks
    /// for about a tenth of a second.
    fn probe(config: &Config) -> Self {
        let bare = Self::bare(config);
        let found = match config.builds.sandbox {
            SandboxChoice::None => Ok(bare.clone().open()),
            SandboxChoice::Isolated => bare
                .isolated()
                .map_err(|why| format!("SANDBOX=isolated cannot be had: {why}, {LAST_RESORT}")),
            SandboxChoice::Restricted => bare
                .restricted()
                .map_err(|why| format!("SANDBOX=restricted cannot be had: {why}, {LAST_RESORT}")),
            SandboxChoice::Auto => bare.isolated().or_else(|isolated| {
                let mut inner = bare.restricted().map_err(|restricted| {
                    format!(
                        "no level of the sandbox can be had. isolated: {isolated}. restricted: \
                         {restricted}, {LAST_RESORT}"
                    )
                })?;
                let remark = inner.remark.unwrap_or_default();
                inner.remark = Some(format!("{remark}; no isolated: {isolated}"));
                Ok(inner)
            }),
        };
        found.unwrap_or_else(|refusal| Inner {
            refusal: Some(refusal),
            toolchain: bare.toolchain.clone().and_then(Toolchain::asked),
            ..bare
        })
    }

    /// The tools, and no level yet.
    fn bare(config: &Config) -> Self {
        let settings = &config.builds;
        let launcher = settings
            .launcher
            .clone()
            .or_else(|| std::env::current_exe().ok())
            .unwrap_or_else(|| launcher::OURSELVES.into());
        Inner {
            level: None,
            refusal: None,
            remark: None,
            bubblewrap: None,
            launcher,
            tmp: config.data_dir.join("tmp"),
            weaknesses: Vec::new(),
            limits: settings.limits,
            delegated: Delegated::find()
                .inspect_err(|reason| tracing::debug!(reason, "builds get no cgroup"))
                .ok()
                .map(Arc::new),
            users: Users::find(&config.data_dir).map(Arc::new),
            toolchain: Toolchain::locate(),
        }
    }

    fn isolated(&self) -> Result<Self, String> {
        let with_bubblewrap = Self {
            bubblewrap: Some(proof::bubblewrap()?),
            ..self.clone()
        };
        with_bubblewrap.proved(SandboxLevel::Isolated)
    }

    fn restricted(&self) -> Result<Self, String> {
        let mut inner = self.clone().proved(SandboxLevel::Restricted)?;
        let mut remark = "restricted: no PID and network isolation".to_owned();
        if inner.users.is_none() {
            remark.push_str(", builds run as the server's own user");
        }
        if inner.users.is_some() && !users::can_be_looked_into() {
            remark.push_str(
                "; what builds hold in deleted files, pipes and sockets is not counted (the server \
                 lacks CAP_SYS_PTRACE)",
            );
        }
        for weakness in &inner.weaknesses {
            remark = format!("{remark}; {}", weakness.meaning());
        }
        inner.remark = Some(remark);
        Ok(inner)
    }

    fn proved(self, level: SandboxLevel) -> Result<Self, String> {
        let inner = self.clone();
        let candidate = Sandbox::found_by(Box::new(move || self));
        let proof = proof::prove(&candidate, level)?;
        Ok(Self {
            level: Some(level),
            weaknesses: proof.weaknesses,
            toolchain: inner.toolchain.map(|toolchain| Toolchain {
                node_version: proof.node_version,
                ..toolchain
            }),
            ..inner
        })
    }

    fn open(self) -> Self {
        Self {
            level: Some(SandboxLevel::None),
            remark: Some("none: builds run as the server itself does (SANDBOX=none)".to_owned()),
            toolchain: self.toolchain.and_then(Toolchain::asked),
            ..self
        }
    }
}

/// The folders of canaries that an earlier process has not come to remove. Only
/// for who has asked its own about the level already.
#[must_use]
pub fn left_canaries(data: &DataDir) -> Vec<PathBuf> {
    proof::left_in(&data.tmp())
}

/// Ends what an earlier process has left running of the build `mark`, at
/// whatever level it ran: where its warden was killed as well, nothing else does.
pub async fn kill_leftovers(mark: &str) {
    leftovers::kill(mark).await;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_kept_to_one_way_out_is_not_let_out() {
        let data = tempfile::tempdir().unwrap();
        let config = Config::for_tests(data.path());
        let with = |weaknesses: Vec<Weakness>| {
            let bare = Inner::bare(&config);
            Sandbox::found_by(Box::new(move || Inner { weaknesses, ..bare }))
        };
        let old = with(vec![Weakness::Signals, Weakness::Connections]);
        let refused = old.check_way_out(SandboxLevel::Restricted).unwrap_err();
        assert_eq!(refused.code, Code::SandboxUnavailable);
        assert!(
            refused.message.contains("bubblewrap"),
            "{}",
            refused.message
        );
        // There the network is the install's own.
        assert!(old.check_way_out(SandboxLevel::Isolated).is_ok());
        let newer = with(vec![Weakness::Signals]);
        assert!(newer.check_way_out(SandboxLevel::Restricted).is_ok());
    }

    #[test]
    fn a_weakness_is_told_by_its_name() {
        for weakness in [Weakness::Signals, Weakness::Connections] {
            assert_eq!(Weakness::named(weakness.name()), Some(weakness));
        }
        assert_eq!(Weakness::named(""), None);
    }
}

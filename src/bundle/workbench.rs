//! The folders of one build under `DATA_DIR/tmp`, the cell that shows them to
//! its commands, and running those commands with the log and the limits.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::deps::{self, View};
use super::detect::Plan;
use super::log::BuildLog;
use super::sandbox::{Access, Cell, Command, Diverted, Ended, Output, Sandbox};
use super::stop::{Limit, Stop, cancelled};
use crate::disk::remove_tree;
use crate::domain::preview::SandboxLevel;
use crate::domain::{JobId, ProjectId};
use crate::error::{Code, Context, Error, Result};

/// What a build sees of `/etc` that differs from the machine's. Programs ask
/// who they are and what `localhost` is; the machine's own accounts and names
/// are no business of theirs.
const ETC: [(&str, &str); 4] = [
    ("passwd", "build:x:1000:1000:build:/work/home:/bin/sh\n"),
    ("group", "build:x:1000:\n"),
    ("hosts", "127.0.0.1 localhost build\n::1 localhost build\n"),
    ("nsswitch.conf", "hosts: files dns\n"),
];

/// What every process of Node is started with where modes are guarded.
const MODES: (&str, &str) = ("modes.cjs", include_str!("../../assets/sandbox/modes.cjs"));

/// The detail of an error that has what the command said of it: a stranger's
/// words, so the server's log does not repeat them.
pub const SAID: &str = "said";

/// The folders of one build.
#[derive(Clone, Debug)]
pub struct Workbench {
    dir: PathBuf,
    /// The checkout: `/work/project` in the sandbox.
    pub project: PathBuf,
    /// What the bundler writes: `/work/out`.
    pub out: PathBuf,
    pub home: PathBuf,
    /// `/tmp` and `TMPDIR`.
    pub tmp: PathBuf,
}

impl Workbench {
    /// Makes the folders anew; what an earlier attempt left is removed.
    pub fn fresh(dir: &Path) -> Result<Self> {
        remove_tree(dir).or_internal("clear the build's temporary folder")?;
        let bench = Self {
            dir: dir.to_owned(),
            project: dir.join("project"),
            out: dir.join("out"),
            home: dir.join("home"),
            tmp: dir.join("tmp"),
        };
        for folder in [&bench.project, &bench.out, &bench.home, &bench.tmp] {
            make_dir(folder)?;
        }
        for (name, text) in ETC.into_iter().chain([MODES]) {
            fs::write(dir.join(name), text).or_internal("write what the build finds there")?;
        }
        Ok(bench)
    }

    /// Empties the home and the temporary folder. Between two stages: what one
    /// left must not meet the server, which writes there for the next, nor
    /// outlive the credentials that were lent.
    pub fn renew(&self) -> Result<()> {
        for folder in [&self.home, &self.tmp] {
            remove_tree(folder).or_internal("clear the build's temporary folder")?;
            make_dir(folder)?;
        }
        Ok(())
    }

    /// The folder of them all.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A new folder beside the others, for the server's own use.
    pub fn aside(&self, name: &str) -> Result<PathBuf> {
        let path = self.dir.join(name);
        make_dir(&path)?;
        Ok(path)
    }

    /// A file beside the folders.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The cell of the bundler: the checkout, the output folder, and nothing
    /// else of this server.
    #[must_use]
    pub fn cell(&self, sandbox: &Sandbox, level: SandboxLevel, job: &JobId) -> Cell {
        let mut cell = self.bare_cell(Cell::new(sandbox, level, job.as_str()));
        cell.mount(&self.project, Path::new("/work/project"), Access::ReadWrite);
        cell.mount(&self.out, Path::new("/work/out"), Access::ReadWrite);
        cell
    }

    /// A cell that does not even have the project, for fetching tools.
    #[must_use]
    pub fn bare_cell(&self, mut cell: Cell) -> Cell {
        cell.own(&self.dir);
        for (name, _) in ETC {
            let guest = Path::new("/etc").join(name);
            cell.mount(&self.dir.join(name), &guest, Access::ReadOnly);
        }
        cell.mount(&self.home, Path::new("/work/home"), Access::ReadWrite);
        cell.mount(&self.tmp, Path::new("/tmp"), Access::ReadWrite);
        let (home, tmp) = (cell.inside(&self.home), cell.inside(&self.tmp));
        cell.env("HOME", home);
        cell.env("TMPDIR", tmp);
        for (name, value) in [
            ("LANG", "C.UTF-8"),
            ("CI", "1"),
            ("BROWSER", "none"),
            ("DO_NOT_TRACK", "1"),
            ("EXPO_OFFLINE", "1"),
            ("EXPO_NO_TELEMETRY", "1"),
            ("NEXT_TELEMETRY_DISABLED", "1"),
            ("ASTRO_TELEMETRY_DISABLED", "1"),
            ("npm_config_audit", "false"),
            ("npm_config_fund", "false"),
            ("npm_config_update_notifier", "false"),
            // From a second on and no longer than ten: its own minutes of
            // silence would pass for a build that hangs.
            ("npm_config_fetch_retry_mintimeout", "1000"),
            ("npm_config_fetch_retry_maxtimeout", "10000"),
        ] {
            cell.env(name, value);
        }
        if cell.level() == SandboxLevel::Restricted {
            let script = self.dir.join(MODES.0);
            cell.mount(&script, Path::new("/work/modes.cjs"), Access::ReadOnly);
            cell.env("NODE_OPTIONS", require(&cell.inside(&script)));
        }
        cell
    }
}

/// The option by which node loads `script`, as its own parser reads it.
fn require(script: &Path) -> OsString {
    let mut option = b"--require \"".to_vec();
    for byte in script.as_os_str().as_bytes() {
        if matches!(byte, b'"' | b'\\') {
            option.push(b'\\');
        }
        option.push(*byte);
    }
    option.push(b'"');
    OsString::from_vec(option)
}

/// Everything that a stage needs to run its commands.
#[derive(Clone, Debug)]
pub struct Build {
    /// Whose build it is, for what its owner is told to do.
    pub project: ProjectId,
    pub plan: Plan,
    /// The checkout as the commands see it.
    pub view: View,
    pub bench: Workbench,
    pub cell: Cell,
    pub log: BuildLog,
    pub cancel: CancellationToken,
    pub limit: Limit,
}

impl Build {
    /// Runs a command to its success. `code` is the error when it fails,
    /// `hint` says what to do then.
    pub async fn run(
        &self,
        command: &Command,
        output: Output,
        code: Code,
        hint: &str,
    ) -> Result<Vec<u8>> {
        self.log.command(&command.display()).await;
        let finished = self
            .cell
            .run(command, output, self.limit.left(), &self.cancel, &self.log)
            .await;
        let finished = match finished {
            Err(error) if Diverted::is_behind(&error) => {
                return Err(Error::new(code, error.to_string()));
            }
            finished => finished.or_internal("start a command of the build")?,
        };
        match finished.ended {
            Ended::Exited(0) => Ok(finished.stdout),
            Ended::Exited(status) => {
                let trouble = self.log.trouble().await;
                let authority = if trouble.certificate && code == Code::MissingDependencies {
                    "; it does not believe a certificate: the operator names its authority with \
                     `cafile=` in the file of BUILD_NPMRC"
                } else {
                    ""
                };
                let message = format!(
                    "`{}` ended with code {status} after {:.1} s; {hint}{authority}",
                    shortened(&command.name()),
                    finished.took.as_secs_f64(),
                );
                let error = Error::new(code, message);
                Err(match trouble.said {
                    Some(said) => error.with(SAID, self.as_in_project(&said)),
                    None => error,
                })
            }
            Ended::TimedOut => Err(self.limit.exceeded()),
            Ended::Exceeded(breach) => {
                Err(Error::new(breach.code().unwrap_or(code), breach.message()))
            }
            Ended::Cancelled => Err(cancelled()),
        }
    }

    /// How the owner lets install scripts run.
    #[must_use]
    pub fn allow_scripts(&self) -> String {
        format!(
            "`hivesync project set install_scripts=true --project {}` allows it",
            self.project
        )
    }

    /// `said` with the paths of the checkout as its owner knows them.
    fn as_in_project(&self, said: &str) -> String {
        let checkout = self.cell.inside(&self.bench.project);
        said.replace(&format!("{}/", checkout.display()), "")
    }

    /// Runs the bundler to its success.
    pub async fn run_bundler(&self, command: &Command) -> Result<()> {
        let mut hint = "the bundle stage of the build log shows the error".to_owned();
        if let Some(script) = deps::unrun_script(&self.plan) {
            hint = format!(
                "{hint}; if it misses something, the `{script}` script was not run: {}",
                self.allow_scripts()
            );
        }
        self.run(command, Output::Log, Code::PreviewBuildFailed, &hint)
            .await
            .map(drop)
    }

    /// A command of node's with a script of the project (a host path).
    #[must_use]
    pub fn node(&self, script: &Path) -> Command {
        Command::new("node", &self.plan.root).arg(self.cell.inside(script))
    }

    /// # Errors
    /// `CANCELLED` once the job was.
    pub fn check_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            Err(cancelled())
        } else {
            Ok(())
        }
    }

    /// For work on a thread of its own.
    #[must_use]
    pub fn stop(&self) -> Stop {
        Stop {
            limit: self.limit,
            cancel: self.cancel.clone(),
        }
    }
}

/// Runs a blocking part of a build off the async threads.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .or_internal("run a task of the build")?
}

/// A command's beginning, for a message.
fn shortened(command: &str) -> String {
    let words: Vec<&str> = command
        .split(' ')
        .map(|word| {
            Path::new(word)
                .file_name()
                .and_then(OsStr::to_str)
                .filter(|_| word.starts_with('/'))
                .unwrap_or(word)
        })
        .take(4)
        .collect();
    words.join(" ")
}

/// Makes a folder and those above it, for our uid alone.
pub fn make_dir(path: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .or_internal("make a folder of the build")
}

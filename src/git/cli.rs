//! The system's git, run so that neither the server's environment nor a
//! repository's contents can make it do anything but what was asked.
//!
//! Every call starts from an empty environment without system and user
//! configuration, runs in a process group of its own that is killed when it
//! takes too long, answers too much or is no longer wanted, and never prompts.
//! Text from a user goes in only after validation, behind `--`.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::{Code, Context, Error, Result};

/// What holds for every call, whatever the repository says.
const ALWAYS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.autocrlf=false",
    "core.symlinks=true",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.logAllRefUpdates=false",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    // What was acknowledged survives a power cut.
    "core.fsync=all",
    "core.fsyncMethod=batch",
    // Blobs above this are streamed instead of held in memory.
    "core.bigFileThreshold=16m",
    "credential.helper=",
    "protocol.allow=never",
    "safe.directory=*",
    "submodule.recurse=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "advice.detachedHead=false",
];

/// How long a call on a repository's own data may take.
const LOCAL_TIMEOUT: Duration = Duration::from_mins(2);
/// How much of git's complaints is kept.
const STDERR_LIMIT: u64 = 16 << 10;

/// A call of git, being put together.
pub(super) struct Git {
    command: Command,
    timeout: Duration,
    output_limit: usize,
}

/// What a call has answered.
pub(super) struct Output {
    pub(super) stdout: Vec<u8>,
    /// The output limit was reached: there would have been more.
    pub(super) truncated: bool,
}

/// Why a call has not succeeded.
pub(super) enum Failure {
    /// Git said no; its words.
    Refused(String),
    TimedOut,
    Broken(Error),
}

impl Git {
    /// A call that belongs to no repository.
    pub(super) fn outside() -> Self {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", search_path())
            .env("HOME", "/nonexistent")
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "/bin/false")
            .env("SSH_ASKPASS", "/bin/false")
            .env("GIT_SSH_COMMAND", "/bin/false")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        for setting in ALWAYS {
            command.arg("-c").arg(setting);
        }
        Self {
            command,
            timeout: LOCAL_TIMEOUT,
            output_limit: 64 << 20,
        }
    }

    /// A call on the bare repository `repo`.
    pub(super) fn at(repo: &Path) -> Self {
        let mut git = Self::outside();
        git.command.arg("--git-dir").arg(repo);
        git
    }

    /// A setting for this call. Only before the subcommand's arguments.
    pub(super) fn set(mut self, setting: impl AsRef<OsStr>) -> Self {
        self.command.arg("-c").arg(setting);
        self
    }

    pub(super) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(super) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(super) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(super) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes of its output are wanted: after them it is stopped.
    pub(super) fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Runs it with `input` on its standard input.
    pub(super) async fn run(self, input: &[u8]) -> Result<Output, Failure> {
        let Self {
            mut command,
            timeout,
            output_limit,
        } = self;
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .map_err(|e| Failure::Broken(cannot_start(e)))?;
        let group = Group::of(child.id());
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();

        let feed = async {
            if let Some(mut stdin) = stdin {
                // A git that ends early says why on stderr.
                let _ = stdin.write_all(input).await;
            }
        };
        let answers = async {
            let mut bytes = Vec::new();
            if let Some(stdout) = stdout {
                let mut limited = stdout.take(output_limit as u64 + 1);
                limited.read_to_end(&mut bytes).await?;
            }
            let truncated = bytes.len() > output_limit;
            if truncated {
                bytes.truncate(output_limit);
                group.kill();
            }
            Ok::<_, std::io::Error>((bytes, truncated))
        };
        let complaints = async {
            let mut bytes = Vec::new();
            if let Some(mut stderr) = stderr {
                let mut kept = (&mut stderr).take(STDERR_LIMIT);
                kept.read_to_end(&mut bytes).await?;
                tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await?;
            }
            Ok::<_, std::io::Error>(bytes)
        };
        let all = async {
            let ((), answers, complaints) = tokio::join!(feed, answers, complaints);
            (answers, complaints, child.wait().await)
        };
        let Ok((answers, complaints, status)) = tokio::time::timeout(timeout, all).await else {
            return Err(Failure::TimedOut);
        };
        let broken = |e: std::io::Error| {
            Failure::Broken(Error::internal("could not talk to git").caused_by(e))
        };
        let (stdout, truncated) = answers.map_err(broken)?;
        let complaints = complaints.map_err(broken)?;
        let status = status.map_err(broken)?;
        group.disarm();
        if status.success() || truncated {
            Ok(Output { stdout, truncated })
        } else {
            Err(Failure::Refused(words(&complaints, status)))
        }
    }

    /// Runs it where blocking is allowed; its output is not wanted.
    pub(super) fn run_blocking(self) -> Result<()> {
        self.feed_blocking()?.finish()
    }

    /// Starts it where blocking is allowed, to be fed by the caller.
    pub(super) fn feed_blocking(mut self) -> Result<Session> {
        // A file rather than a pipe: nobody reads while the caller writes.
        let complaints = tempfile::tempfile().or_internal("make a temporary file")?;
        let mut child = self
            .command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(
                complaints
                    .try_clone()
                    .or_internal("share a temporary file")?,
            )
            .spawn()
            .map_err(cannot_start)?;
        let group = Group::of(Some(child.id()));
        let stdin = child.stdin.take();
        Ok(Session {
            child,
            group,
            stdin,
            complaints,
        })
    }
}

/// A running git that reads what its caller writes. Dropping it unfinished
/// kills it.
pub(super) struct Session {
    child: Child,
    group: Group,
    stdin: Option<std::process::ChildStdin>,
    complaints: File,
}

impl Session {
    pub(super) fn take_input(&mut self) -> Result<std::process::ChildStdin> {
        self.stdin
            .take()
            .ok_or_else(|| Error::internal("git's input is taken already"))
    }

    /// Waits for its end, which comes when its input is closed.
    pub(super) fn finish(mut self) -> Result<()> {
        drop(self.stdin.take());
        let status = self.child.wait().or_internal("wait for git")?;
        self.group.disarm();
        if status.success() {
            return Ok(());
        }
        Err(fault(&self.words(status)))
    }

    fn words(&mut self, status: ExitStatus) -> String {
        let mut said = Vec::new();
        let read = self
            .complaints
            .seek(SeekFrom::Start(0))
            .and_then(|_| (&self.complaints).take(STDERR_LIMIT).read_to_end(&mut said));
        if let Err(e) = read {
            return format!("{status} (its words are lost: {e})");
        }
        words(&said, status)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.group.kill();
        // Reaps it; after `finish` this answers at once.
        let _ = self.child.wait();
    }
}

/// A process group that is killed unless its work was done.
struct Group(Mutex<Option<Pid>>);

impl Group {
    fn of(leader: Option<u32>) -> Self {
        let pid = leader
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        Self(Mutex::new(pid))
    }

    fn leader(&self) -> MutexGuard<'_, Option<Pid>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kill(&self) {
        if let Some(pid) = *self.leader() {
            // Gone already is as good.
            let _ = rustix::process::kill_process_group(pid, Signal::KILL);
        }
    }

    /// The leader was waited for: its number may soon be another's.
    fn disarm(&self) {
        *self.leader() = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Failure {
    /// For calls on our own repository, where a refusal is a fault.
    pub(super) fn into_error(self, tried: &str) -> Error {
        match self {
            Failure::Refused(said) => fault(&format!("{tried}: {said}")),
            Failure::TimedOut => Error::internal(format!("git took too long to {tried}")),
            Failure::Broken(error) => error,
        }
    }
}

fn fault(said: &str) -> Error {
    if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
        return Error::new(
            Code::StorageFull,
            "the disk is full; free some space and try again",
        )
        .caused_by(said.to_owned());
    }
    Error::internal(format!("git failed: {said}"))
}

fn cannot_start(cause: std::io::Error) -> Error {
    Error::new(
        Code::DependencyFailure,
        "cannot start git; install git 2.39 or newer and see that it is on the server's PATH",
    )
    .caused_by(cause)
}

fn words(said: &[u8], status: ExitStatus) -> String {
    let text = String::from_utf8_lossy(said);
    let text = text.trim();
    if text.is_empty() {
        status.to_string()
    } else {
        text.to_owned()
    }
}

/// Where git and its helpers are looked for: as the server itself was started.
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

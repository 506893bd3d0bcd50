//! The system's git, run so that neither the server's environment nor a
//! repository's contents can make it do anything but what was asked.
//!
//! Every call starts from an empty environment without system and user
//! configuration, runs in a process group of its own that is killed when it
//! takes too long, answers too much or is no longer wanted, and never prompts.
//! Text from a user goes in only after validation, behind `--`.

mod attributes;
mod failure;
mod memory;
mod session;
mod version;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::error::{Context, Error, Result};
use failure::{cannot_start, words};
use session::Group;

pub(in crate::git) use attributes::close as close_attributes;
pub(in crate::git) use failure::{Failure, disk_full};
pub(in crate::git) use memory::{more_than_a_history_may_have, too_large};
pub(in crate::git) use session::Session;
pub(in crate::git) use version::version;

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

/// Runs git beside a reader of our end of a pipe: that end is closed when the
/// server is gone, however it went, and then the reader kills the whole process
/// group, with the helpers that git has started. A parent-death signal would
/// reach only git, and only if it was asked for before the parent died.
const GUARD: &str = "\
exec 3<&0 </dev/null
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &
guard=$!
exec 3<&-
git \"$@\"
code=$?
kill -KILL \"$guard\"
exit \"$code\"
";

/// A call of git, being put together.
pub(in crate::git) struct Git {
    command: Command,
    /// Whether its standard input is the pipe of [`GUARD`].
    guarded: bool,
    timeout: Duration,
    output_limit: usize,
}

/// What a call has answered.
pub(in crate::git) struct Output {
    pub(in crate::git) stdout: Vec<u8>,
    /// The output limit was reached: there would have been more.
    pub(in crate::git) truncated: bool,
}

impl Git {
    /// A call that belongs to no repository.
    pub(in crate::git) fn outside() -> Self {
        Self::by(Command::new("git"))
    }

    /// A call on the bare repository `repo` that waits for another server, and
    /// so might go on for long after ours is gone: it does not.
    pub(in crate::git) fn guarded_at(repo: &Path) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD, "git"]);
        let mut git = Self::by(shell);
        git.guarded = true;
        git.command.arg("--git-dir").arg(repo);
        git
    }

    fn by(mut command: Command) -> Self {
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
            .env(memory::LIMIT, memory::OBJECTS.value())
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
            guarded: false,
            timeout: LOCAL_TIMEOUT,
            output_limit: 64 << 20,
        }
    }

    /// A call on the bare repository `repo`.
    pub(in crate::git) fn at(repo: &Path) -> Self {
        let mut git = Self::outside();
        git.command.arg("--git-dir").arg(repo);
        git
    }

    /// What this call writes survives a power cut once it has ended.
    pub(in crate::git) fn durable(self) -> Self {
        self.set("core.fsync=all").set("core.fsyncMethod=batch")
    }

    /// A call that has to do with what is in files, not with trees and commits
    /// alone: it may hold more in memory.
    pub(in crate::git) fn with_files(self) -> Self {
        self.env(memory::LIMIT, memory::FILES.value())
    }

    /// A call that takes a whole history in: more still.
    pub(in crate::git) fn with_history(self) -> Self {
        self.env(memory::LIMIT, memory::HISTORY.value())
    }

    /// A setting for this call. Only before the subcommand's arguments.
    pub(in crate::git) fn set(mut self, setting: impl AsRef<OsStr>) -> Self {
        self.command.arg("-c").arg(setting);
        self
    }

    pub(in crate::git) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(in crate::git) fn args<S: AsRef<OsStr>>(
        mut self,
        args: impl IntoIterator<Item = S>,
    ) -> Self {
        self.command.args(args);
        self
    }

    pub(in crate::git) fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    pub(in crate::git) fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How many bytes of its output are wanted: after them it is stopped.
    pub(in crate::git) fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Runs it with `input` on its standard input.
    pub(in crate::git) async fn run(self, input: &[u8]) -> Result<Output, Failure> {
        let Self {
            mut command,
            guarded,
            timeout,
            output_limit,
        } = self;
        if guarded || !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = tokio::process::Command::from(command)
            .spawn()
            .map_err(|e| Failure::Broken(cannot_start(e)))?;
        let group = Group::of(child.id());
        let mut stdin = child.stdin.take();
        // Kept to the end: the guard would take its end for ours.
        let _bond = if guarded { stdin.take() } else { None };
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
                let mut limited = stdout.take((output_limit as u64).saturating_add(1));
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
    pub(in crate::git) fn run_blocking(self) -> Result<()> {
        self.feed_blocking()?.finish()
    }

    /// Starts it where blocking is allowed, to be fed by the caller.
    pub(in crate::git) fn feed_blocking(mut self) -> Result<Session> {
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

/// Where git and its helpers are looked for: as the server itself was started.
fn search_path() -> OsString {
    std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_sees_nothing_of_our_environment() {
        let output = Git::outside()
            .args(["-c", "alias.env=!env", "env"])
            .run(b"")
            .await
            .unwrap_or_else(|_| panic!("git runs"));
        let text = String::from_utf8(output.stdout).expect("text");
        for name in ["CARGO", "USER", "HOME=/root", "SSH_AUTH_SOCK"] {
            assert!(!text.lines().any(|line| line.starts_with(name)), "{text}");
        }
        assert!(text.contains("GIT_TERMINAL_PROMPT=0"));
    }

    #[tokio::test]
    async fn a_guarded_call_answers_as_git_does() {
        let folder = tempfile::tempdir().expect("a folder");
        let call = |words: [&str; 2]| Git::guarded_at(folder.path()).args(words).run(b"");
        let made = call(["init", "--bare"]).await;
        assert!(made.is_ok_and(|output| !output.stdout.is_empty()));
        match call(["rev-parse", "--verify"]).await {
            Err(Failure::Refused(said)) => assert!(said.contains("fatal"), "{said}"),
            _ => panic!("git refuses this"),
        }
    }

    #[tokio::test]
    async fn output_beyond_the_limit_ends_the_call() {
        let output = Git::outside()
            .args(["-c", "alias.yes=!yes", "yes"])
            .output_limit(1000)
            .run(b"")
            .await
            .unwrap_or_else(|_| panic!("git runs"));
        assert!(output.truncated);
        assert_eq!(output.stdout.len(), 1000);
    }
}

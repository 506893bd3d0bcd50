//! Running one command in a cell: its output streamed, its time bounded, its
//! end complete.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::cell::Cell;
use super::launcher::{Environment, Input};
use super::output;
use super::running::{DEATH, Running};
use super::watch::{Breach, Watch};
use crate::bundle::log::BuildLog;
use crate::domain::preview::SandboxLevel;

/// A program with its arguments, all as the build sees them.
#[derive(Debug)]
pub struct Command {
    pub(super) program: OsString,
    pub(super) args: Vec<OsString>,
    pub(super) env: Vec<(OsString, OsString)>,
    pub(super) cwd: PathBuf,
    known_as: Option<String>,
}

impl Command {
    /// `cwd` is a host path.
    pub fn new(program: impl AsRef<OsStr>, cwd: &Path) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: cwd.to_owned(),
            known_as: None,
        }
    }

    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// What a person would type for it, where that is not the command itself.
    #[must_use]
    pub fn known_as(mut self, text: impl Into<String>) -> Self {
        self.known_as = Some(text.into());
        self
    }

    /// What a person would type, for a message.
    #[must_use]
    pub fn name(&self) -> String {
        self.known_as.clone().unwrap_or_else(|| self.display())
    }

    /// The command with all its arguments, for the log.
    #[must_use]
    pub fn display(&self) -> String {
        let mut text = self.program.to_string_lossy().into_owned();
        for arg in &self.args {
            text.push(' ');
            text.push_str(&arg.to_string_lossy());
        }
        text
    }
}

/// Where a command's standard output goes. Its errors always go to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Log,
    /// Kept, up to 4 MiB, and not logged.
    Capture,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this exit code; 128 and the signal's number when it was killed.
    Exited(i32),
    TimedOut,
    Cancelled,
    /// It used up more than it may, and was killed for it.
    Exceeded(Breach),
}

#[derive(Debug)]
pub struct Finished {
    pub ended: Ended,
    pub stdout: Vec<u8>,
    pub took: Duration,
}

impl Cell {
    /// Runs `command` to its end. When it returns, no process of it is left,
    /// however it ended.
    ///
    /// # Errors
    /// Only when the command could not be started.
    pub async fn run(
        &self,
        command: &Command,
        output: Output,
        limit: Duration,
        cancel: &CancellationToken,
        log: &BuildLog,
    ) -> io::Result<Finished> {
        let started = Instant::now();
        let (mut running, streams) = self.spawn(command, output)?;
        let pump = tokio::spawn(output::pump(streams, log.clone()));
        let watch = running
            .pid()
            .map(|pid| self.watch(pid).in_group(running.group()));
        let ended = tokio::select! {
            status = running.ended() => Ended::Exited(exit_code(status?)),
            breach = breach(watch.as_ref()) => Ended::Exceeded(breach),
            () = tokio::time::sleep(limit) => Ended::TimedOut,
            () = cancel.cancelled() => Ended::Cancelled,
        };
        let ended = match ended {
            Ended::Exited(code) => self.judged(code, &running, watch.as_ref()).await,
            killed => {
                running.end().await;
                killed
            }
        };
        // The streams end when the last process that could write is gone.
        let abort = pump.abort_handle();
        let drained = timeout(DEATH, pump).await;
        abort.abort();
        let stdout = drained.ok().and_then(Result::ok).unwrap_or_default();
        Ok(Finished {
            ended,
            stdout,
            took: started.elapsed(),
        })
    }

    /// A command that ended by itself may have been stopped by the kernel, or
    /// have been quicker than the watch.
    async fn judged(&self, code: i32, running: &Running, watch: Option<&Watch>) -> Ended {
        let limits = self.sandbox.limits();
        let group = running.group().filter(|_| code != 0);
        if let Some(breach) = group.and_then(|group| group.breach(&limits)) {
            return Ended::Exceeded(breach);
        }
        if code == 128 + Signal::XFSZ.as_raw() {
            let limit = limits.file_bytes;
            return Ended::Exceeded(Breach::File { limit });
        }
        let left = match watch {
            Some(watch) => watch.afterwards(code == 0).await,
            None => None,
        };
        left.map_or(Ended::Exited(code), Ended::Exceeded)
    }

    fn spawn(&self, command: &Command, output: Output) -> io::Result<(Running, output::Streams)> {
        let (log_read, log_write) = io::pipe()?;
        let group = self.sandbox.group()?;
        let place = group.as_ref().map(|group| group.path());
        let mut process = self.process(command, Input::Nothing, place)?;
        process.stderr(log_write.try_clone()?);
        let captured = match output {
            Output::Log => {
                process.stdout(log_write);
                None
            }
            Output::Capture => {
                let (read, write) = io::pipe()?;
                process.stdout(write);
                Some(OwnedFd::from(read))
            }
        };
        let running = Running::start(self, process, group)?;
        stop_point!(BuildSpawned);
        let streams = output::Streams::new(OwnedFd::from(log_read), captured)?;
        Ok((running, streams))
    }

    /// `command` in its cell, ready to be started; the caller says where its
    /// output goes, and what binds its warden to us ([`Running::start`]).
    /// With a `group` all of it is in that cgroup.
    pub(super) fn process(
        &self,
        command: &Command,
        input: Input,
        group: Option<&Path>,
    ) -> io::Result<tokio::process::Command> {
        self.hand_over()?;
        let words = self.words(command, input, group)?;
        let mut process = tokio::process::Command::new(&words[0]);
        process.args(&words[1..]).env_clear().process_group(0);
        let environment = self.environment(command);
        if self.level == SandboxLevel::Isolated {
            process.envs(Environment::told(environment));
        } else {
            process.current_dir(&command.cwd).envs(environment);
        }
        Ok(process)
    }
}

pub(super) async fn breach(watch: Option<&Watch>) -> Breach {
    match watch {
        Some(watch) => watch.breach().await,
        None => std::future::pending().await,
    }
}

fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal))
        .unwrap_or(-1)
}

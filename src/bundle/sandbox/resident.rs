//! A command that stays: it takes orders over its standard input and answers
//! among what it writes, by lines that begin with a nonce. Everything else it
//! writes goes to the log of whoever it works for at the time.
//!
//! Its pipes lie in its reach: it can open either end of them by `/proc`, read
//! its own answers and write its own orders. That harms nobody but itself. What
//! it is bound to its server by is not among them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::mpsc;

use super::cell::Cell;
use super::descendants;
use super::launcher::Input;
use super::output::Lines;
use super::run::{Command, breach};
use super::running::Running;
use crate::bundle::log::BuildLog;

/// Answers that nobody has asked for yet; a command that sends more waits.
const ANSWERS: usize = 4;

/// A running command. Dropped, it is killed with everything it has started.
#[derive(Debug)]
pub struct Resident {
    cell: Cell,
    running: Running,
    orders: Sender,
    answers: mpsc::Receiver<String>,
    ear: Arc<Ear>,
}

/// Who hears what the command says.
#[derive(Debug, Default)]
struct Ear {
    log: Mutex<Option<BuildLog>>,
}

impl Ear {
    fn turn(&self, log: Option<BuildLog>) {
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = log;
    }

    fn log(&self) -> Option<BuildLog> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.clone()
    }
}

impl Cell {
    /// Starts `command`. `nonce` is how its answers begin.
    pub fn reside(&self, command: &Command, nonce: String) -> io::Result<Resident> {
        let (read, write) = io::pipe()?;
        let (theirs, orders) = io::pipe()?;
        let orders = Sender::from_owned_fd(OwnedFd::from(orders))?;
        let group = self.sandbox().group()?;
        let place = group.as_ref().map(|group| group.path());
        let mut process = self.process(command, Input::Orders, place)?;
        process.stdout(write).stderr(theirs);
        let running = Running::start(self, process, group)?;
        let stream = Receiver::from_owned_fd(OwnedFd::from(read))?;
        let (sender, answers) = mpsc::channel(ANSWERS);
        let ear = Arc::new(Ear::default());
        tokio::spawn(listen(stream, nonce, sender, Arc::clone(&ear)));
        Ok(Resident {
            cell: self.clone(),
            running,
            orders,
            answers,
            ear,
        })
    }
}

impl Resident {
    /// From now on what the command says goes to `log`; with `None`, nowhere.
    pub fn speak_to(&self, log: Option<&BuildLog>) {
        self.ear.turn(log.cloned());
    }

    /// Writes `order` as one line. `false` once the command has ended or has used
    /// up more than a build may.
    pub async fn order(&mut self, order: &str) -> io::Result<bool> {
        // The folder that it is to write to, for one.
        self.cell.hand_over()?;
        let line = format!("{order}\n");
        // It may not read its orders, either.
        let written = self.orders.write_all(line.as_bytes());
        Ok(within_limits(&self.cell, &self.running, written)
            .await
            .is_some_and(|written| written.is_ok()))
    }

    /// The next answer, without its nonce; `None` once the command has ended or
    /// has used up more than a build may.
    pub async fn answer(&mut self) -> Option<String> {
        within_limits(&self.cell, &self.running, self.answers.recv()).await?
    }

    /// Lets none of its processes run: while nobody has work for it, it has
    /// nothing to do, and what it has written stays as it is. Answers whether
    /// all of them were reached: some may be born faster than they are found.
    pub async fn pause(&self) -> bool {
        self.signal(Signal::STOP).await
    }

    pub async fn resume(&self) {
        self.signal(Signal::CONT).await;
    }

    async fn signal(&self, signal: Signal) -> bool {
        let Some(pid) = self.running.pid() else {
            return true;
        };
        let launchers = descendants::launchers(self.cell.level());
        let sent = tokio::task::spawn_blocking(move || descendants::signal(pid, launchers, signal));
        sent.await.unwrap_or(false)
    }

    /// Whether any of its processes could run: none can that is paused, but
    /// some know ways to be woken.
    #[must_use]
    pub fn is_awake(&self) -> bool {
        let Some(pid) = self.running.pid() else {
            return false;
        };
        let launchers = descendants::launchers(self.cell.level());
        let mut processes = descendants::beyond(pid, launchers).into_iter();
        processes.any(descendants::runs)
    }

    /// Bytes of memory that the command and all it has started hold.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let Some(pid) = self.running.pid() else {
            return 0;
        };
        descendants::of(pid).into_iter().map(resident_bytes).sum()
    }

    /// Kills it and waits until it is gone.
    pub async fn end(self) {
        self.running.end().await;
    }
}

/// What comes of `work`, unless the command uses up more than a build may before.
async fn within_limits<T>(
    cell: &Cell,
    running: &Running,
    work: impl Future<Output = T>,
) -> Option<T> {
    let watch = running
        .pid()
        .map(|pid| cell.watch(pid).in_group(running.group()));
    tokio::select! {
        done = work => Some(done),
        breach = breach(watch.as_ref()) => {
            tracing::info!(?breach, "a warm bundler went over its limits");
            None
        }
    }
}

fn resident_bytes(pid: Pid) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_pid()));
    status
        .unwrap_or_default()
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .map_or(0, |kilobytes| kilobytes * 1024)
}

/// Reads until the last process that could write is gone.
async fn listen(mut stream: Receiver, nonce: String, answers: mpsc::Sender<String>, ear: Arc<Ear>) {
    let mut lines = Lines::default();
    let mut chunk = vec![0; 32 << 10];
    loop {
        let read = stream.read(&mut chunk).await.unwrap_or(0);
        if read == 0 {
            return;
        }
        for line in lines.feed(&chunk[..read]) {
            if let Some(answer) = line.strip_prefix(&nonce) {
                if answers.send(answer.to_owned()).await.is_err() {
                    return;
                }
            } else if !line.is_empty()
                && let Some(log) = ear.log()
            {
                log.output(&line).await;
            }
        }
    }
}

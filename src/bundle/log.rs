//! The build log: one text file per preview, written as the build goes.
//!
//! The format, for those who fold it by stage:
//!
//! ```text
//! == dependencies                      a stage begins
//! $ npm ci --ignore-scripts            a command, as a person would type it
//! added 488 packages in 11s            what it said
//! == dependencies done 11.3s           ... or `failed 2.0s MISSING_DEPENDENCIES`
//! ```
//!
//! Only HiveSync writes lines that begin with `== `: such a line of a command
//! is indented by a space. A later attempt goes on in the same file, after an
//! `== attempt 2`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::redact::Redactor;
use super::trouble::{Listener, Trouble};
use crate::domain::preview::Stage;
use crate::error::{Code, Context, Result};

/// Those who follow are told at most this often.
const NUDGE_EVERY: Duration = Duration::from_millis(200);

/// A handle to write with; clones write the same log, line by line.
#[derive(Clone, Debug)]
pub struct BuildLog {
    sender: mpsc::Sender<Message>,
    /// Set when no more output is taken.
    full: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Message {
    /// Where the build is: never dropped.
    Mark(String),
    /// A command that is about to run, whose output is heard for its trouble.
    Command(String),
    /// A remark, or a line of a command: dropped when there were too many.
    Line(String),
    /// Answered with what was heard of the last command's trouble.
    Trouble(oneshot::Sender<Trouble>),
    /// Answered when everything before it is in the file.
    Flush(oneshot::Sender<()>),
}

/// The task behind the handles; it ends when the last of them is gone.
#[derive(Debug)]
pub struct LogWriter {
    task: JoinHandle<()>,
}

impl LogWriter {
    /// Waits for the last line. Every [`BuildLog`] must have been dropped.
    pub async fn finish(self) {
        let _ = self.task.await;
    }
}

/// Tells those who follow the log that it has grown, or ended.
pub type Nudge = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

impl BuildLog {
    /// Opens the log to append to it. Of what commands and remarks write,
    /// `limit` bytes are kept.
    pub async fn open(
        path: &Path,
        limit: u64,
        redactor: Redactor,
        nudge: Nudge,
    ) -> Result<(BuildLog, LogWriter)> {
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(path)
            .await
            .or_internal("open the build log")?;
        let (sender, receiver) = mpsc::channel(1024);
        let full = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            file,
            redactor,
            nudge,
            limit,
            left: limit,
            full: Arc::clone(&full),
            listener: Listener::default(),
        };
        let task = tokio::spawn(writer.run(receiver));
        Ok((BuildLog { sender, full }, LogWriter { task }))
    }

    /// A remark of HiveSync's own.
    pub async fn note(&self, text: impl Into<String>) {
        self.send(Message::Line(text.into())).await;
    }

    /// Whether further output is thrown away: whoever reads it from a command
    /// need not cut it into lines any more.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// A command that is about to run.
    pub async fn command(&self, text: &str) {
        self.send(Message::Command(format!("$ {text}"))).await;
    }

    /// A line that a command has written.
    pub async fn output(&self, line: &str) {
        let line = if line.starts_with("==") {
            format!(" {line}")
        } else {
            line.to_owned()
        };
        self.send(Message::Line(line)).await;
    }

    /// Why the attempt ends here.
    pub async fn ending(&self, text: String) {
        self.send(Message::Mark(text)).await;
    }

    pub async fn attempt(&self, number: u32) {
        self.send(Message::Mark(format!("== attempt {number}")))
            .await;
    }

    pub async fn stage_begins(&self, stage: Stage) {
        self.send(Message::Mark(format!("== {}", stage.as_str())))
            .await;
    }

    pub async fn stage_done(&self, stage: Stage, took: Duration) {
        let text = format!("== {} done {:.1}s", stage.as_str(), took.as_secs_f64());
        self.send(Message::Mark(text)).await;
    }

    pub async fn stage_failed(&self, stage: Stage, took: Duration, code: Code) {
        let text = format!(
            "== {} failed {:.1}s {}",
            stage.as_str(),
            took.as_secs_f64(),
            code.as_str()
        );
        self.send(Message::Mark(text)).await;
    }

    /// Returns when everything written so far is in the file.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.send(Message::Flush(done)).await;
        let _ = flushed.await;
    }

    /// What the last command's output tells of why it has failed, without secrets.
    pub async fn trouble(&self) -> Trouble {
        let (answer, told) = oneshot::channel();
        self.send(Message::Trouble(answer)).await;
        told.await.unwrap_or_default()
    }

    /// A log that cannot be written stops no build.
    async fn send(&self, message: Message) {
        let _ = self.sender.send(message).await;
    }
}

struct Writer {
    file: File,
    redactor: Redactor,
    nudge: Nudge,
    limit: u64,
    /// Bytes of `limit` that are not used yet.
    left: u64,
    full: Arc<AtomicBool>,
    listener: Listener,
}

impl Writer {
    async fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        let mut batch = Vec::new();
        let mut nudged: Option<Instant> = None;
        let mut owing = false;
        loop {
            let due = nudged.map_or_else(Instant::now, |at| at + NUDGE_EVERY);
            let count = tokio::select! {
                count = receiver.recv_many(&mut batch, 256) => count,
                () = tokio::time::sleep_until(due), if owing => {
                    (self.nudge)().await;
                    (nudged, owing) = (Some(Instant::now()), false);
                    continue;
                }
            };
            if count == 0 {
                break;
            }
            self.write(batch.drain(..)).await;
            owing = true;
        }
        (self.nudge)().await;
    }

    async fn write(&mut self, messages: impl Iterator<Item = Message>) {
        let mut bytes = Vec::new();
        let mut flushed = Vec::new();
        for message in messages {
            match message {
                Message::Mark(line) => self.append(&mut bytes, &line),
                Message::Command(line) => {
                    self.listener = Listener::default();
                    self.append(&mut bytes, &line);
                }
                Message::Line(line) => {
                    self.listener.hear(&self.redactor.clean(&line));
                    self.append_line(&mut bytes, &line);
                }
                Message::Trouble(answer) => {
                    let mut heard = self.listener.heard();
                    // The colours that stood within a secret are gone by now.
                    heard.said = heard
                        .said
                        .map(|said| self.redactor.clean(&said).into_owned());
                    let _ = answer.send(heard);
                }
                Message::Flush(done) => flushed.push(done),
            }
        }
        let written = match self.file.write_all(&bytes).await {
            Ok(()) => self.file.flush().await,
            Err(e) => Err(e),
        };
        if let Err(e) = written {
            tracing::warn!(error = %e, "the build log cannot be written");
        }
        for done in flushed {
            let _ = done.send(());
        }
    }

    /// A text of several lines stays in one piece: what follows its first line is
    /// set in, so that nothing of it passes for a line of ours.
    fn append(&self, bytes: &mut Vec<u8>, line: &str) {
        let line = self.redactor.clean(line).replace('\n', "\n  ");
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }

    fn append_line(&mut self, bytes: &mut Vec<u8>, line: &str) {
        if self.full.load(Ordering::Relaxed) {
            return;
        }
        let before = bytes.len();
        self.append(bytes, line);
        let more = (bytes.len() - before) as u64;
        if let Some(left) = self.left.checked_sub(more) {
            self.left = left;
            return;
        }
        bytes.truncate(before);
        self.full.store(true, Ordering::Relaxed);
        let cut = format!(
            "... the output is over {} MB (BUILD_LOG_MB): the rest is left out",
            self.limit >> 20
        );
        self.append(bytes, &cut);
    }
}

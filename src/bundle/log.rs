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
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::redact::Redactor;
use crate::domain::preview::Stage;
use crate::error::{Code, Context, Result};

/// Bytes of commands' output that one attempt may write.
const OUTPUT_LIMIT: usize = 8 << 20;
/// Those who follow are told at most this often.
const NUDGE_EVERY: Duration = Duration::from_millis(200);

/// A handle to write with; clones write the same log, line by line.
#[derive(Clone, Debug)]
pub struct BuildLog {
    sender: mpsc::Sender<Message>,
}

#[derive(Debug)]
enum Message {
    /// A line of ours: never dropped.
    Own(String),
    /// A line of a command: dropped when there were too many.
    Output(String),
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
    /// Opens the log to append to it.
    pub async fn open(
        path: &Path,
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
        let writer = Writer {
            file,
            redactor,
            nudge,
            output: 0,
        };
        let task = tokio::spawn(writer.run(receiver));
        Ok((BuildLog { sender }, LogWriter { task }))
    }

    /// A remark of HiveSync's own.
    pub async fn note(&self, text: impl Into<String>) {
        self.send(Message::Own(text.into())).await;
    }

    /// A command that is about to run.
    pub async fn command(&self, text: &str) {
        self.send(Message::Own(format!("$ {text}"))).await;
    }

    /// A line that a command has written.
    pub async fn output(&self, line: &str) {
        let line = if line.starts_with("==") {
            format!(" {line}")
        } else {
            line.to_owned()
        };
        self.send(Message::Output(line)).await;
    }

    pub async fn attempt(&self, number: u32) {
        self.send(Message::Own(format!("== attempt {number}")))
            .await;
    }

    pub async fn stage_begins(&self, stage: Stage) {
        self.send(Message::Own(format!("== {}", stage.as_str())))
            .await;
    }

    pub async fn stage_done(&self, stage: Stage, took: Duration) {
        let text = format!("== {} done {:.1}s", stage.as_str(), took.as_secs_f64());
        self.send(Message::Own(text)).await;
    }

    pub async fn stage_failed(&self, stage: Stage, took: Duration, code: Code) {
        let text = format!(
            "== {} failed {:.1}s {}",
            stage.as_str(),
            took.as_secs_f64(),
            code.as_str()
        );
        self.send(Message::Own(text)).await;
    }

    /// Returns when everything written so far is in the file.
    pub async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.send(Message::Flush(done)).await;
        let _ = flushed.await;
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
    output: usize,
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
                Message::Own(line) => self.append(&mut bytes, &line),
                Message::Output(line) => self.append_output(&mut bytes, &line),
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

    fn append(&self, bytes: &mut Vec<u8>, line: &str) {
        bytes.extend_from_slice(self.redactor.clean(line).as_bytes());
        bytes.push(b'\n');
    }

    fn append_output(&mut self, bytes: &mut Vec<u8>, line: &str) {
        if self.output > OUTPUT_LIMIT {
            return;
        }
        self.output += line.len() + 1;
        if self.output > OUTPUT_LIMIT {
            self.append(
                bytes,
                &format!(
                    "... the output is over {} MiB: the rest is left out",
                    OUTPUT_LIMIT >> 20
                ),
            );
        } else {
            self.append(bytes, line);
        }
    }
}

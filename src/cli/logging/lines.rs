//! The log's lines on their way out. They are gathered for a moment, so that a
//! busy server makes one system call for hundreds of them; what warns or tells
//! of an error is written at once, after all that came before it.
//!
//! A process that is killed may lose the last milliseconds' lines of the kind
//! that only inform. One that ends by itself loses nothing.

use std::io::{self, Write};
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use crate::error::{Context, Result};

/// How long a line may wait for others.
const GATHER: Duration = Duration::from_millis(10);
/// Bytes that are worth a system call, and do not wait for more.
const ENOUGH: usize = 64 << 10;
/// Bytes that may wait when the reader of the log is slow. Beyond it callers
/// wait with them, because no line is thrown away.
const MOST: usize = 1 << 20;

/// Where the log goes. Clones are the same log.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

struct Shared {
    /// Locked before `waiting`, and for as long as its bytes are being written,
    /// so that lines stay in order.
    out: Mutex<Box<dyn Write + Send>>,
    waiting: Mutex<Waiting>,
    /// There is a first line, there are enough, or it is the end.
    news: Condvar,
}

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// Nobody gathers any more: every line is written at once.
    ended: bool,
}

/// Writes what is gathered until it is dropped, and then what is left. Lines
/// that come later are written as they come.
#[must_use]
pub struct Gathering {
    lines: Lines,
    thread: Option<JoinHandle<()>>,
}

impl Lines {
    /// Lines to `out`, gathered for as long as the second value lives.
    pub(super) fn start(out: impl Write + Send + 'static) -> Result<(Self, Gathering)> {
        let lines = Self(Arc::new(Shared {
            out: Mutex::new(Box::new(out)),
            waiting: Mutex::default(),
            news: Condvar::new(),
        }));
        let gathered = lines.clone();
        let thread = std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || gathered.write_gathered())
            .or_internal("start the thread that writes the log")?;
        let gathering = Gathering {
            lines: lines.clone(),
            thread: Some(thread),
        };
        Ok((lines, gathering))
    }

    /// Takes a whole line; `urgent` means it is written when this returns.
    pub(super) fn take(&self, line: &[u8], urgent: bool) {
        let mut waiting = self.waiting();
        let before = waiting.bytes.len();
        waiting.bytes.extend_from_slice(line);
        let after = waiting.bytes.len();
        let ended = waiting.ended;
        drop(waiting);
        if urgent || ended || after > MOST {
            self.write_all();
        } else if before == 0 || (before < ENOUGH && after >= ENOUGH) {
            self.0.news.notify_one();
        }
    }

    fn write_gathered(&self) {
        loop {
            let waiting = self
                .0
                .news
                .wait_while(self.waiting(), |w| w.bytes.is_empty() && !w.ended)
                .unwrap_or_else(PoisonError::into_inner);
            let gathered = self
                .0
                .news
                .wait_timeout_while(waiting, GATHER, |w| w.bytes.len() < ENOUGH && !w.ended);
            let ended = match gathered {
                Ok((waiting, _)) => waiting.ended,
                Err(poisoned) => poisoned.into_inner().0.ended,
            };
            self.write_all();
            if ended {
                return;
            }
        }
    }

    /// Writes whatever waits.
    fn write_all(&self) {
        let mut out = self.0.out.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = mem::take(&mut self.waiting().bytes);
        // A log that nobody can read any more must not stop the server.
        let _ = out.write_all(&bytes).and_then(|()| out.flush());
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gathering {
    fn drop(&mut self) {
        self.lines.waiting().ended = true;
        self.lines.0.news.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Takes one line, in one or more writes.
pub(super) struct Line<'a> {
    lines: &'a Lines,
    urgent: bool,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.lines.take(bytes, self.urgent);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        let urgent = true;
        Line {
            lines: self,
            urgent,
        }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a> {
        Line {
            lines: self,
            urgent: is_urgent(*meta.level()),
        }
    }
}

pub(super) fn is_urgent(level: Level) -> bool {
    level <= Level::WARN
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Tells of each write, with its bytes.
    struct Told(mpsc::Sender<String>);

    impl Write for Told {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !bytes.is_empty() {
                let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lines() -> (Lines, Gathering, mpsc::Receiver<String>) {
        let (told, writes) = mpsc::channel();
        let (lines, gathering) = Lines::start(Told(told)).unwrap();
        (lines, gathering, writes)
    }

    #[test]
    fn a_line_comes_out_though_no_other_follows() {
        let (lines, _gathering, writes) = lines();
        lines.take(b"one\n", false);
        assert_eq!(writes.recv().unwrap(), "one\n");
    }

    #[test]
    fn an_error_is_written_when_it_is_taken_and_after_what_came_before() {
        let (lines, _gathering, writes) = lines();
        lines.take(b"one\n", false);
        lines.take(b"error\n", true);
        let written: String = writes.try_iter().collect();
        assert_eq!(written, "one\nerror\n");
    }

    #[test]
    fn the_end_loses_nothing() {
        let (lines, gathering, writes) = lines();
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let lines = lines.clone();
                std::thread::spawn(move || {
                    for line in 0..5000 {
                        lines.take(format!("{thread} {line}\n").as_bytes(), false);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        drop(gathering);
        lines.take(b"late\n", false);
        let written: String = writes.try_iter().collect();
        for thread in 0..4 {
            let own = format!("{thread} ");
            let of_thread = written.lines().filter_map(|line| line.strip_prefix(&own));
            assert!(of_thread.eq((0..5000).map(|n| n.to_string())), "{thread}");
        }
        assert!(written.ends_with("late\n"));
    }
}

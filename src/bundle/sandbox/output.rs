//! A command's output: split into lines for the log, as it comes.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use crate::bundle::log::BuildLog;

/// Bytes of standard output that are kept where it is captured.
const CAPTURE: usize = 4 << 20;
/// A line longer than this goes to the log in pieces.
const LINE: usize = 16 << 10;

pub(super) struct Streams {
    log: Receiver,
    captured: Option<Receiver>,
}

impl Streams {
    pub(super) fn new(log: OwnedFd, captured: Option<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            log: Receiver::from_owned_fd(log)?,
            captured: captured.map(Receiver::from_owned_fd).transpose()?,
        })
    }
}

/// Reads to the end of both streams; answers what was captured.
pub(super) async fn pump(streams: Streams, log: BuildLog) -> Vec<u8> {
    let Streams {
        log: mut stream,
        captured,
    } = streams;
    let lines = async {
        let mut lines = Lines::default();
        let mut chunk = vec![0; 32 << 10];
        loop {
            let read = stream.read(&mut chunk).await.unwrap_or(0);
            if read == 0 {
                break;
            }
            // Still read, or the command would wait for ever; cutting a
            // gigabyte into lines that nobody keeps is another matter.
            if log.is_full() {
                lines.pending.clear();
                continue;
            }
            for line in lines.feed(&chunk[..read]) {
                log.output(&line).await;
            }
        }
        if let Some(line) = lines.end() {
            log.output(&line).await;
        }
    };
    let capture = async {
        let mut kept = Vec::new();
        if let Some(mut stream) = captured {
            let mut chunk = vec![0; 32 << 10];
            loop {
                let read = stream.read(&mut chunk).await.unwrap_or(0);
                if read == 0 {
                    break;
                }
                let room = CAPTURE.saturating_sub(kept.len());
                kept.extend_from_slice(&chunk[..read.min(room)]);
            }
        }
        kept
    };
    let ((), kept) = tokio::join!(lines, capture);
    kept
}

/// Cuts a byte stream into lines. A carriage return begins the line anew, as a
/// terminal shows a progress bar.
#[derive(Default)]
pub(super) struct Lines {
    pending: Vec<u8>,
}

impl Lines {
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (body, ended) = match piece {
                [body @ .., b'\n'] => (body, true),
                body => (body, false),
            };
            self.pending.extend_from_slice(body);
            while self.pending.len() > LINE {
                let rest = self.pending.split_off(LINE);
                lines.push(text(&self.pending));
                self.pending = rest;
            }
            if ended {
                lines.push(text(&self.pending));
                self.pending.clear();
            }
        }
        lines
    }

    fn end(&mut self) -> Option<String> {
        let pending = std::mem::take(&mut self.pending);
        (!pending.is_empty()).then(|| text(&pending))
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let shown = line
        .rsplit(|byte| *byte == b'\r')
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(shown)
        .chars()
        // Colours stay; what could move the cursor of a terminal by itself, or
        // end a record, goes.
        .filter(|c| !c.is_control() || matches!(c, '\t' | '\u{1b}'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        let mut lines = Lines::default();
        assert!(lines.feed(b"he").is_empty());
        assert_eq!(lines.feed(b"llo\nwor"), ["hello"]);
        assert_eq!(lines.feed(b"ld\r\n\n"), ["world", ""]);
        lines.feed(b"tail");
        assert_eq!(lines.end().as_deref(), Some("tail"));
        assert_eq!(lines.end(), None);
    }

    #[test]
    fn a_progress_bar_is_its_last_state_and_controls_are_gone() {
        let mut lines = Lines::default();
        assert_eq!(lines.feed(b"10%\r50%\r100%\n"), ["100%"]);
        assert_eq!(lines.feed(b"a\x00b\x07\tc\n"), ["ab\tc"]);
        assert_eq!(lines.feed(b"\xff\n"), ["\u{fffd}"]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let mut lines = Lines::default();
        let out = lines.feed(&vec![b'x'; LINE * 2 + 1]);
        assert_eq!(out.len(), 2);
        assert_eq!(lines.end().as_deref(), Some("x"));
    }
}

//! A byte stream that is patient up to a point: it gives up on a client that
//! takes nothing, and it closes without cutting an answer off.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::pulse::Pulse;

/// How long, and for how many bytes, a connection is still read from after our
/// side was closed on a client that was still sending.
const LINGER: Duration = Duration::from_secs(3);
const LINGER_BYTES: usize = 128 * 1024 * 1024;

pub(super) struct Patient<S> {
    stream: S,
    stall: Duration,
    /// Running while a write makes no progress.
    stalled: Option<Pin<Box<Sleep>>>,
    notes: Notes,
    closing: Option<Closing>,
}

/// What the stream and the requests on it tell each other.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    pub(super) unread: Unread,
    pub(super) pulse: Pulse,
}

/// Whether the client may still be sending what nobody reads.
///
/// Closing a socket with unread bytes in it makes the system send a reset,
/// which can overtake the answer: a client whose body was refused halfway
/// would never see the refusal. Such a connection is read from for a while.
#[derive(Clone, Debug, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

impl Unread {
    pub(super) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_likely(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Our side is closed; what the client still sends is thrown away.
struct Closing {
    deadline: Pin<Box<Sleep>>,
    left: usize,
}

impl<S> Patient<S> {
    pub(super) fn new(stream: S, stall: Duration, notes: Notes) -> Self {
        Self {
            stream,
            stall,
            stalled: None,
            notes,
            closing: None,
        }
    }

    /// Passes progress on; turns too long a wait into an error.
    fn progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let stall = self.stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(stall)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if polled.is_pending() {
            self.notes.pulse.waits();
        } else if buffer.filled().len() > before {
            self.notes.pulse.heard();
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.progress(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.progress(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.progress(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.closing.is_none() {
            let polled = Pin::new(&mut this.stream).poll_shutdown(cx);
            ready!(this.progress(cx, polled))?;
            if !this.notes.unread.is_likely() {
                return Poll::Ready(Ok(()));
            }
        }
        let closing = this.closing.get_or_insert_with(|| Closing {
            deadline: Box::pin(tokio::time::sleep_until(Instant::now() + LINGER)),
            left: LINGER_BYTES,
        });
        let mut scratch = [0_u8; 16 * 1024];
        loop {
            if closing.deadline.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buffer = ReadBuf::new(&mut scratch);
            let read = ready!(Pin::new(&mut this.stream).poll_read(cx, &mut buffer));
            let count = buffer.filled().len();
            closing.left = closing.left.saturating_sub(count);
            if read.is_err() || count == 0 || closing.left == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (ours, _theirs) = tokio::io::duplex(16);
        let mut stream = Patient::new(ours, Duration::from_millis(5), Notes::default());
        let error = stream.write_all(&[0; 64]).await.expect_err("given up");
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn closing_waits_for_what_the_client_still_sends() {
        let (ours, mut theirs) = tokio::io::duplex(16);
        let client = tokio::spawn(async move {
            theirs.write_all(&[1; 4096]).await.expect("all is taken");
            let mut answer = String::new();
            theirs.shutdown().await.expect("shut down");
            theirs
                .read_to_string(&mut answer)
                .await
                .expect("the answer");
            answer
        });
        let notes = Notes::default();
        notes.unread.note();
        let mut stream = Patient::new(ours, Duration::from_secs(5), notes);
        stream.write_all(b"refused").await.expect("written");
        stream.shutdown().await.expect("closed");
        assert_eq!(client.await.expect("the client"), "refused");
    }
}

//! A request's body as it comes in: who sends it slower than any network is,
//! to hold a connection, is given up.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::BoxError;
use axum::body::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::Pace;
use super::io::Unread;

/// A body, which tells the stream when it is dropped unread.
pub(super) struct RequestBody {
    body: Incoming,
    unread: Unread,
    pace: Pace,
    received: u64,
    /// For the client altogether; the time that a handler takes is not its.
    waited: Duration,
    waiting: Option<Waiting>,
}

struct Waiting {
    since: Instant,
    end: Pin<Box<Sleep>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the client sends too slowly")]
struct TooSlow;

impl RequestBody {
    pub(super) fn new(body: Incoming, unread: Unread, pace: Pace) -> Self {
        Self {
            body,
            unread,
            pace,
            received: 0,
            waited: Duration::ZERO,
            waiting: None,
        }
    }

    /// How long the next piece may take.
    fn patience(&self) -> Duration {
        let earned = Duration::from_secs(self.received / self.pace.bytes_per_second.max(1));
        let left = (self.pace.grace + earned).saturating_sub(self.waited);
        left.min(self.pace.stall)
    }
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            if let Some(waiting) = self.waiting.take() {
                self.waited += waiting.since.elapsed();
            }
            if let Some(Ok(frame)) = &frame
                && let Some(data) = frame.data_ref()
            {
                self.received += data.len() as u64;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let patience = self.patience();
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            since: Instant::now(),
            end: Box::pin(sleep(patience)),
        });
        ready!(waiting.end.as_mut().poll(cx));
        Poll::Ready(Some(Err(TooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if !hyper::body::Body::is_end_stream(&self.body) {
            self.unread.note();
        }
    }
}

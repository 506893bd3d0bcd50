//! An answer's body on its way out, which keeps its request counted as running
//! until the client has taken it.
//!
//! On HTTP/1 that is the socket's to see. On HTTP/2 a body that was handed over
//! waits in the protocol's own buffers for as long as the client likes: it goes
//! in small pieces, of which the next one is asked for when the client has made
//! room, and who makes none for too long is given up
//! ([`Pulse::stopped`](super::pulse::Pulse::stopped)).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};

use super::per_address::RequestPermit;
use super::pulse::{Running, Taker};
use super::streams::End;

/// Bytes of a piece on HTTP/2, its usual frame. As much of each answer may lie
/// there that nobody counts any more.
const PIECE: usize = 16 * 1024;

pub(super) struct ResponseBody {
    body: Body,
    /// What the body has given and nobody has asked for yet.
    rest: Bytes,
    taker: Option<Taker>,
    #[expect(dead_code, reason = "held for its drop")]
    running: Running,
    #[expect(dead_code, reason = "held for its drop")]
    permit: Option<RequestPermit>,
}

impl ResponseBody {
    /// The answer to a request, made where that runs.
    pub(super) fn new(body: Body, running: Running, permit: Option<RequestPermit>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            taker: End::of_this_request().map(|end| running.taker(end)),
            running,
            permit,
        }
    }

    /// The next piece of what is left; the last one in memory of its own, so
    /// that it does not keep the whole.
    fn piece(&mut self) -> Bytes {
        if self.rest.len() > PIECE {
            return self.rest.split_to(PIECE);
        }
        Bytes::copy_from_slice(&std::mem::take(&mut self.rest))
    }

    fn cut(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(data) if data.len() > PIECE => {
                self.rest = data;
                Frame::data(self.piece())
            }
            Ok(data) => Frame::data(data),
            Err(other) => other,
        }
    }
}

impl hyper::body::Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(taker) = &this.taker else {
            return Pin::new(&mut this.body).poll_frame(cx);
        };
        if !this.rest.is_empty() {
            taker.waited_for();
            return Poll::Ready(Some(Ok(Frame::data(this.piece()))));
        }
        // From here it is we who are waited for.
        taker.waits();
        let frame = ready!(Pin::new(&mut this.body).poll_frame(cx));
        taker.waited_for();
        Poll::Ready(frame.map(|frame| frame.map(|frame| this.cut(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if rest > 0 {
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper + rest);
            }
            hint.set_lower(hint.lower() + rest);
        }
        hint
    }
}

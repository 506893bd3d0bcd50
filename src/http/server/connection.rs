//! One connection: its requests, its idleness, its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use hyper::Request;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tower::ServiceExt;

use super::Limits;
use super::asked::Asked;
use super::io::{Notes, Patient};
use super::pulse::Running;
use crate::error::Code;
use crate::http::extract::Peer;
use crate::lifecycle::Lifecycle;

/// The largest head of a request, in bytes.
const HEAD: usize = 64 * 1024;
/// Requests at a time on one HTTP/2 connection.
const STREAMS: u32 = 128;
/// How long a connection may take to end once it was told to.
const FAREWELL: Duration = Duration::from_secs(1);

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server has all that it takes.
    Full,
    /// This address has all that it gets.
    TooMany,
}

impl Refusal {
    fn text(self) -> String {
        let (status, code, message) = match self {
            Self::Full => (
                "503 Service Unavailable",
                Code::DependencyFailure,
                "the server has all the connections it takes",
            ),
            Self::TooMany => (
                "429 Too Many Requests",
                Code::RateLimitExceeded,
                "your address has too many connections open",
            ),
        };
        let code = code.as_str();
        let body =
            format!(r#"{{"error":{{"code":"{code}","message":"{message}","details":{{}}}}}}"#);
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
    }
}

/// Tells a client that there is no room, without reading what it wants.
pub(super) async fn refuse<S>(stream: S, refusal: Refusal, stall: Duration)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let notes = Notes::default();
    notes.unread.note();
    let mut stream = Patient::new(stream, stall, notes);
    // A client that is gone, or takes too long, needs no refusal.
    let _ = tokio::time::timeout(FAREWELL, async {
        stream.write_all(refusal.text().as_bytes()).await?;
        stream.shutdown().await
    })
    .await;
}

/// HTTP/1.1 and HTTP/2 (by prior knowledge), with our limits.
pub(super) struct Protocol {
    builder: Builder<TokioExecutor>,
    limits: Limits,
}

impl Protocol {
    pub(super) fn new(limits: Limits) -> Self {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            // Its clock runs on quiet connections, too; ours ([`Pulse`]) only
            // from a head's first byte.
            .header_read_timeout(None)
            .max_buf_size(HEAD);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(HEAD).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20));
        Self { builder, limits }
    }

    /// Answers requests until the client goes, idles too long, or the server
    /// stops.
    pub(super) async fn converse<S>(
        &self,
        stream: S,
        peer: Option<SocketAddr>,
        router: Router,
        life: &Lifecycle,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let notes = Notes::default();
        let Notes { unread, pulse } = notes.clone();
        let requests = pulse.clone();
        let pace = self.limits.body;
        let io = TokioIo::new(Patient::new(stream, self.limits.stall, notes));
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            let request = request.map(|body| Asked::new(body, unread.clone(), pace));
            let running = requests.begin();
            let answer = router.clone().oneshot(request);
            async move {
                let response = answer.await?;
                Ok::<_, Infallible>(response.map(|body| Answer { body, running }))
            }
        });
        let mut connection = pin!(self.builder.serve_connection(io, service));
        tokio::select! {
            ended = connection.as_mut() => return report(ended),
            () = life.stopping().cancelled() => {}
            () = pulse.stopped(self.limits.header, self.limits.idle) => {}
        }
        pulse.restart();
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection.as_mut() => report(ended),
            () = pulse.stopped(FAREWELL, FAREWELL) => {}
            () = life.halting().cancelled() => {}
        }
    }
}

/// What goes wrong on a connection is nearly always the client's going away.
fn report(ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        tracing::debug!(error, "a connection ended with an error");
    }
}

/// An answer's body, which keeps its request counted as running.
struct Answer {
    body: Body,
    #[expect(dead_code, reason = "held for its drop")]
    running: Running,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_whole() {
        for refusal in [Refusal::Full, Refusal::TooMany] {
            let text = refusal.text();
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.contains(&format!("content-length: {}", body.len())));
            serde_json::from_str::<serde_json::Value>(body).expect("JSON");
        }
    }
}

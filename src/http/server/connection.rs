//! One connection: its requests, its idleness, its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tower::ServiceExt;

use super::Limits;
use super::io::{Notes, Patient};
use super::per_address::ConnectionPermit;
use super::request_body::RequestBody;
use super::response_body::ResponseBody;
use super::streams::Streams;
use crate::error::Code;
use crate::http::extract::{Crowded, Peer};
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
    /// For a connection of which nothing is read.
    fn text(self) -> String {
        let (status, code, message) = match self {
            Self::Full => (
                StatusCode::SERVICE_UNAVAILABLE,
                Code::DependencyFailure,
                "the server has all the connections it takes",
            ),
            Self::TooMany => (
                StatusCode::TOO_MANY_REQUESTS,
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
    builder: Builder<Streams>,
    limits: Limits,
}

impl Protocol {
    pub(super) fn new(limits: Limits) -> Self {
        let mut builder = Builder::new(Streams);
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
        permit: ConnectionPermit,
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
            let mut request = request.map(|body| RequestBody::new(body, unread.clone(), pace));
            let running = requests.begin();
            let permit = permit.request();
            if permit.is_none() {
                request.extensions_mut().insert(Crowded);
            }
            let response = router.clone().oneshot(request);
            async move {
                let response = response.await?;
                let answer = |body| ResponseBody::new(body, running, permit);
                Ok::<_, Infallible>(response.map(answer))
            }
        });
        let mut connection = pin!(self.builder.serve_connection(io, service));
        tokio::select! {
            ended = connection.as_mut() => return report(ended),
            () = life.stopping().cancelled() => {}
            () = pulse.stopped(self.limits.header, self.limits.idle, self.limits.stall) => {}
        }
        pulse.restart();
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            ended = connection.as_mut() => report(ended),
            () = pulse.stopped(FAREWELL, FAREWELL, self.limits.stall) => {}
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

//! Around every request: a trace id, the access log and the headers of every
//! answer.
//!
//! The raw address is never logged, because tokens live in paths and queries:
//! the log has the matched route.
//!
//! A service of its own and not a function of axum's `from_fn`: that would put
//! the services within it, and what they answer, into boxes for every request.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use data_encoding::HEXLOWER;
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tracing::Instrument;
use tracing::instrument::Instrumented;

use super::{AppState, headers};
use crate::clock::Random;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's trace id, among its extensions.
#[derive(Clone, Debug)]
pub(super) struct TraceId(pub(super) String);

/// Puts a [`Traced`] around what it is given.
#[derive(Clone)]
pub(super) struct TraceLayer(pub(super) AppState);

impl<S> Layer<S> for TraceLayer {
    type Service = Traced<S>;

    fn layer(&self, inner: S) -> Traced<S> {
        Traced {
            inner,
            app: self.0.clone(),
        }
    }
}

/// Gives every request its trace id, and every answer its headers and its line
/// in the access log.
#[derive(Clone)]
pub(super) struct Traced<S> {
    inner: S,
    app: AppState,
}

impl<S, B> Service<Request> for Traced<S>
where
    S: Service<Request, Response = Response<B>, Error = Infallible>,
{
    type Response = Response<B>;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let trace_id = trace_id(request.headers(), self.app.random.as_ref());
        request.extensions_mut().insert(TraceId(trace_id.clone()));
        let method = request.method().clone();
        let route = request.extensions().get::<MatchedPath>().cloned();
        let span = tracing::info_span!("request", trace_id);
        let started = Instant::now();
        let answer = span.in_scope(|| self.inner.call(request));
        Answering {
            answer: answer.instrument(span),
            app: self.app.clone(),
            trace_id,
            method,
            route,
            started,
        }
    }
}

pin_project! {
    /// A request under way.
    pub(super) struct Answering<F> {
        #[pin]
        answer: Instrumented<F>,
        app: AppState,
        trace_id: String,
        method: Method,
        route: Option<MatchedPath>,
        started: Instant,
    }
}

impl<F, B> Future for Answering<F>
where
    F: Future<Output = Result<Response<B>, Infallible>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let Ok(mut response) = ready!(this.answer.as_mut().poll(context));
        headers::secure(&mut response, &this.app.config.server);
        if let Ok(value) = HeaderValue::from_str(this.trace_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        this.answer.span().in_scope(|| {
            tracing::info!(
                method = this.method.as_str(),
                route = this.route.as_ref().map_or("(none)", MatchedPath::as_str),
                status = response.status().as_u16(),
                duration_ms = u64::try_from(this.started.elapsed().as_millis()).unwrap_or(u64::MAX),
                "answered"
            );
        });
        Poll::Ready(Ok(response))
    }
}

/// The caller's id, if it is one that cannot spoil a log, else our own.
fn trace_id(headers: &HeaderMap, random: &dyn Random) -> String {
    from_traceparent(headers)
        .or_else(|| from_request_id(headers))
        .unwrap_or_else(|| HEXLOWER.encode(&random.bytes::<16>()))
}

/// The trace id of W3C Trace Context: `00-<32 hex>-<16 hex>-<2 hex>`.
fn from_traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut fields = text.split('-');
    let (version, id, parent) = (fields.next()?, fields.next()?, fields.next()?);
    let hex = |s: &str, len| {
        s.len() == len
            && s.bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let usable = hex(version, 2) && hex(id, 32) && hex(parent, 16) && id.bytes().any(|b| b != b'0');
    usable.then(|| id.to_owned())
}

fn from_request_id(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(REQUEST_ID)?.to_str().ok()?;
    let sane = (8..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    sane.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    fn id_for(name: &'static str, value: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(value).expect("a value"));
        trace_id(&headers, &SystemEntropy::new())
    }

    #[test]
    fn sane_ids_are_taken_and_others_replaced() {
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
        assert_eq!(
            id_for("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")),
            trace
        );
        assert_eq!(id_for("x-request-id", "req-12345"), "req-12345");
        for (name, value) in [
            (
                "traceparent",
                "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            ),
            ("traceparent", "nonsense"),
            ("x-request-id", "a b c d e f g h"),
            ("x-request-id", "short"),
        ] {
            let id = id_for(name, value);
            assert_ne!(id, value);
            assert_eq!(id.len(), 32);
        }
    }
}

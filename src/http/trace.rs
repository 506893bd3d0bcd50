//! Around every request: a trace id, the access log, the headers of every
//! answer, and the error's body.
//!
//! The raw address is never logged, because tokens live in paths and queries:
//! the log has the matched route.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::HOST;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use tracing::Instrument;

use super::extract::Crowded;
use super::{AppState, error, headers};
use crate::clock::Random;
use crate::error::{Code, Error};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The request's trace id, on its way from [`layer`] to [`errors`].
#[derive(Clone, Debug)]
struct TraceId(String);

/// The middleware.
pub(super) async fn layer(
    State(app): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let trace_id = trace_id(request.headers(), app.random.as_ref());
    request.extensions_mut().insert(TraceId(trace_id.clone()));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let span = tracing::info_span!("request", trace_id);
    let started = Instant::now();

    async move {
        let mut response = next.run(request).await;
        headers::secure(&mut response, &app.config.server);
        if let Ok(value) = HeaderValue::from_str(&trace_id) {
            response.headers_mut().insert(REQUEST_ID, value);
        }
        tracing::info!(
            method = method.as_str(),
            route = route.as_ref().map_or("(none)", MatchedPath::as_str),
            status = response.status().as_u16(),
            duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "answered"
        );
        response
    }
    .instrument(span)
    .await
}

/// Writes the bodies of errors; inside of the layers that look at bodies.
pub(super) async fn errors(request: Request, next: Next) -> Response {
    let trace_id = request.extensions().get::<TraceId>().cloned();
    let response = match refusal(&request) {
        None => next.run(request).await,
        Some(error) => error::ApiError(error).into_response(),
    };
    let response = error::finish(response, trace_id.as_ref().map_or("", |id| &id.0));
    headers::count(response)
}

/// Why a request reaches no route, whichever it is for.
fn refusal(request: &Request) -> Option<Error> {
    if request.extensions().get::<Crowded>().is_some() {
        let message = "your address has too many requests under way; try again in 1 s";
        return Some(Error::rate_limited(Duration::from_secs(1), message));
    }
    let message = "the request names no host, or two; send one Host header";
    (!has_one_host(request)).then(|| Error::new(Code::BadRequest, message))
}

/// A proxy may have decided by the other one (RFC 9112, section 3.2; RFC 9113,
/// section 8.3.1).
fn has_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    // HTTP/1.1 has the host twice in requests to proxies, and it is the first
    // that counts (section 3.2.2).
    let fits = match (request.version(), request.uri().authority(), first) {
        (Version::HTTP_2, Some(authority), Some(host)) => host
            .as_bytes()
            .eq_ignore_ascii_case(authority.as_str().as_bytes()),
        (Version::HTTP_11, _, None) => false,
        _ => true,
    };
    second.is_none() && fits
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

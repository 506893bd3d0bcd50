//! Headers that every answer gets, and who may read it from where.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, IF_NONE_MATCH, RANGE, REFERRER_POLICY,
    RETRY_AFTER, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderValue, Method, Response};
use hyper::body::{Frame, SizeHint};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::Predicate;
use tower_http::cors::{AllowOrigin, CorsLayer};

use super::pages;
use crate::config::Server;

/// Data is no page.
const DATA_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// Sets the security headers that a handler has not set itself.
pub(super) fn secure<B>(response: &mut Response<B>, server: &Server) {
    let kind = content_type(response);
    let is_page = kind.starts_with("text/html");
    let headers = response.headers_mut();
    let mut default = |name: HeaderName, value: &'static str| {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    };
    default(X_CONTENT_TYPE_OPTIONS, "nosniff");
    // Addresses carry tokens; no other site shall be told them.
    default(REFERRER_POLICY, "no-referrer");
    default(
        CONTENT_SECURITY_POLICY,
        if is_page { pages::POLICY } else { DATA_POLICY },
    );
    // Answers depend on who asks, and some hold tokens, as their addresses do.
    default(CACHE_CONTROL, "no-store");
    let https = server
        .base_url
        .as_deref()
        .is_some_and(|url| url.starts_with("https://"));
    if https {
        default(STRICT_TRANSPORT_SECURITY, "max-age=31536000");
    }
}

fn content_type<B>(response: &Response<B>) -> &str {
    response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default()
}

/// `CORS_ORIGINS`, or nobody. Credentials are bearer tokens that a page must
/// hold, never cookies.
pub(super) fn cors(server: &Server) -> Option<CorsLayer> {
    if server.cors_origins.is_empty() {
        return None;
    }
    let origins = AllowOrigin::list(
        server
            .cors_origins
            .iter()
            .filter_map(|origin| HeaderValue::from_str(origin).ok()),
    );
    Some(
        CorsLayer::new()
            .allow_origin(origins)
            .allow_methods([
                Method::GET,
                Method::HEAD,
                Method::POST,
                Method::PUT,
                Method::PATCH,
                Method::DELETE,
            ])
            .allow_headers([
                AUTHORIZATION,
                CONTENT_TYPE,
                RANGE,
                IF_NONE_MATCH,
                HeaderName::from_static("last-event-id"),
                HeaderName::from_static("x-request-id"),
                HeaderName::from_static("traceparent"),
            ])
            .expose_headers([
                ETAG,
                CONTENT_LENGTH,
                CONTENT_RANGE,
                CONTENT_DISPOSITION,
                RETRY_AFTER,
                HeaderName::from_static("x-request-id"),
            ])
            .max_age(Duration::from_hours(1)),
    )
}

/// Compresses what is text and complete. Event streams and growing logs would
/// sit in the compressor; zips and images are compressed already.
pub(super) fn compression() -> CompressionLayer<impl Predicate> {
    CompressionLayer::new().compress_when(WholeText)
}

/// Large answers that are compressed at a time. A compressor holds up to two
/// megabytes for as long as its client takes; beyond this the next answers go
/// as they are.
const MOST_COMPRESSED: usize = 64;
/// Smaller ones are compressed at once and hold nothing.
const LARGE: u64 = 8 * 1024;

/// Large answers under way that may be compressed.
static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// Counts an answer that may be compressed until it has been taken. Inside of
/// [`compression`].
pub(super) fn count(response: Response<Body>) -> Response<Body> {
    if !(is_text(&response) && is_large(response.body())) {
        return response;
    }
    UNDER_WAY.fetch_add(1, Ordering::Relaxed);
    response.map(|body| Body::new(Counted(body)))
}

/// A body that counts among those under way.
struct Counted(Body);

impl Drop for Counted {
    fn drop(&mut self) {
        UNDER_WAY.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

fn is_large(body: &impl HttpBody) -> bool {
    body.size_hint().exact().is_none_or(|size| size >= LARGE)
}

#[derive(Clone, Copy)]
struct WholeText;

impl Predicate for WholeText {
    fn should_compress<B>(&self, response: &Response<B>) -> bool
    where
        B: HttpBody,
    {
        /// Below this, the headers outweigh what is saved.
        const WORTHWHILE: u64 = 512;
        let body = response.body();
        let worthwhile = |size| size >= WORTHWHILE;
        let room = || UNDER_WAY.load(Ordering::Relaxed) <= MOST_COMPRESSED;
        is_text(response)
            && body.size_hint().exact().is_none_or(worthwhile)
            && (!is_large(body) || room())
    }
}

fn is_text<B>(response: &Response<B>) -> bool {
    let kind = content_type(response).split(';').next();
    matches!(
        kind.unwrap_or_default().trim(),
        "application/json"
            | "text/html"
            | "text/css"
            | "text/javascript"
            | "application/javascript"
            | "image/svg+xml"
    )
}

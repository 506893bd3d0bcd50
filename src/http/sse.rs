//! Server-sent events: a stream of JSON that a client can take up again where
//! it was cut.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use serde::Serialize;

use crate::error::{Context, Result};

/// Proxies close what is silent for longer, and a client that has gone is
/// noticed only by writing to it.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An event with JSON as its data. `id` is what the client shows again to go
/// on from here.
pub fn json(id: u64, data: &impl Serialize) -> Result<Event> {
    let data = serde_json::to_string(data).or_internal("encode an event")?;
    Ok(Event::default().id(id.to_string()).data(data))
}

/// The `Last-Event-ID` of a client that comes back.
#[must_use]
pub fn last_event_id(headers: &HeaderMap) -> Option<u64> {
    headers
        .get("last-event-id")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Whether the client asks for events rather than for a document.
#[must_use]
pub fn wanted(headers: &HeaderMap) -> bool {
    headers
        .get_all(axum::http::header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim() == "text/event-stream")
}

/// Sends the events as they come. A failure ends the stream: the client comes
/// back with the last id it has.
pub fn response(events: impl Stream<Item = Result<Event>> + Send + 'static) -> Response {
    let events = events
        .take_while(|event| {
            if let Err(error) = event {
                tracing::warn!(error = error.chain(), "an event stream was cut");
            }
            std::future::ready(event.is_ok())
        })
        .filter_map(|event| std::future::ready(event.ok().map(Ok::<_, Infallible>)));
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // nginx would hold events back until its buffer is full.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

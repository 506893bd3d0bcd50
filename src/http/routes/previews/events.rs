//! Following a build: its state and its log as they change.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures::TryStreamExt;
use serde::Serialize;
use utoipa::ToSchema;

use super::PreviewDto;
use crate::domain::JobId;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{AccessParam, JobReader};
use crate::http::{AppState, file, sse};
use crate::services::previews::{self, follow, logs};

/// Follow a preview until its end
///
/// Server-sent events, each the answer of `/preview/status/{job_id}`. The
/// stream ends after the final state; one who has seen that already and comes
/// back with its `Last-Event-ID` is answered 204.
#[utoipa::path(
    get, path = "/preview/events/{job_id}", tag = "previews",
    params(
        ("job_id" = JobId, Path),
        AccessParam,
        ("Last-Event-ID" = Option<String>, Header, description = "Go on after this event"),
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = PreviewDto),
        (status = 204, description = "It has ended, and you have seen it"),
        (status = 404, description = "`JOB_NOT_FOUND`", body = ErrorBody),
        (status = 410, description = "`PREVIEW_EXPIRED`", body = ErrorBody),
    ),
)]
pub(super) async fn follow(
    State(app): State<AppState>,
    JobReader { id, reader }: JobReader,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let now = previews::open(&app, &reader, &id).await?;
    let seen = sse::last_event_id(&headers);
    // A browser's event source comes back until it is told not to.
    if now.value.status.is_final() && seen == Some(now.revision) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let clock = app.clock.clone();
    let events = follow::follow(app, id, seen).and_then(move |preview| {
        let dto = PreviewDto::new(preview.value, clock.now());
        std::future::ready(sse::json(preview.revision, &dto))
    });
    Ok(sse::response(events))
}

/// A piece of a build log.
#[derive(Serialize, ToSchema)]
pub struct LogEvent {
    text: String,
}

/// The build log
///
/// As text, or with `Accept: text/event-stream` as events while it grows. An
/// event's id is the byte offset after it, so `Last-Event-ID` goes on exactly
/// there. The stream ends when the build has ended and all is told.
#[utoipa::path(
    get, path = "/preview/logs/{job_id}", tag = "previews",
    params(
        ("job_id" = JobId, Path),
        AccessParam,
        ("Last-Event-ID" = Option<String>, Header, description = "Go on at this byte"),
    ),
    responses(
        (status = 200, description = "The log so far, or its pieces", content(
            (String = "text/plain"),
            (LogEvent = "text/event-stream"),
        )),
        (status = 204, description = "It has ended, and you have read it"),
        (status = 404, description = "`JOB_NOT_FOUND`", body = ErrorBody),
        (status = 410, description = "`PREVIEW_EXPIRED`", body = ErrorBody),
    ),
)]
pub(super) async fn logs(
    State(app): State<AppState>,
    JobReader { id, reader }: JobReader,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let preview = previews::open(&app, &reader, &id).await?.value;
    let log = logs::whole(&app, &id).await?;
    let size = log.as_ref().map_or(0, |(_, size)| *size);
    if !sse::wanted(&headers) {
        let body = match log {
            Some((log, size)) => file::stream(log, 0..size),
            None => axum::body::Body::empty(),
        };
        return Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response());
    }
    let seen = sse::last_event_id(&headers);
    if preview.status.is_final() && seen == Some(size) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = logs::follow(app, id, seen.unwrap_or(0)).and_then(|piece| {
        let event = sse::json(piece.next, &LogEvent { text: piece.text });
        std::future::ready(event)
    });
    Ok(sse::response(events))
}

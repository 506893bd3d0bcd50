//! Handing the bundle and its bytecode out.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, Method};
use axum::response::Response;

use crate::domain::JobId;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{AccessParam, JobReader};
use crate::http::{AppState, file};
use crate::services::previews::bundle::{self, Bytes};
use crate::services::previews::bytecode;

/// Download the bundle
///
/// A zip with `ETag`, byte ranges and conditional requests.
#[utoipa::path(
    get, path = "/preview/download/{job_id}", tag = "previews",
    params(("job_id" = JobId, Path), AccessParam),
    responses(
        (status = 200, description = "The zip", content_type = "application/zip"),
        (status = 206, description = "The range that was asked for", content_type = "application/zip"),
        (status = 304, description = "You have it"),
        (status = 404, description = "`JOB_NOT_FOUND`", body = ErrorBody),
        (status = 409, description = "`JOB_NOT_READY`, with `status` and `progress`", body = ErrorBody),
        (status = 410, description = "`PREVIEW_EXPIRED`", body = ErrorBody),
        (status = 416, description = "`RANGE_NOT_SATISFIABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn bundle(
    State(app): State<AppState>,
    JobReader { id, reader }: JobReader,
    method: Method,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let opened = bundle::download(&app, &reader, &id).await?;
    let file = Download {
        name: format!("{id}-{}.zip", opened.preview.platform),
        content_type: "application/zip",
        sha256: &opened.bundle.sha256,
        size: opened.bundle.size,
        bytes: opened.bytes,
    };
    hand_out(&app, &method, &headers, file).await
}

/// Download the bundle's JavaScript as Hermes bytecode
///
/// There is none before the `bytecode` of the preview's status says so. An app
/// loads only the `version` that its own Hermes was made for.
#[utoipa::path(
    get, path = "/preview/bytecode/{job_id}", tag = "previews",
    params(("job_id" = JobId, Path), AccessParam),
    responses(
        (status = 200, description = "`main.hbc`", content_type = "application/octet-stream"),
        (status = 206, description = "The range that was asked for", content_type = "application/octet-stream"),
        (status = 304, description = "You have it"),
        (status = 404, description = "`JOB_NOT_FOUND`; `NOT_FOUND` where there is no bytecode (yet)", body = ErrorBody),
        (status = 409, description = "`JOB_NOT_READY`, with `status` and `progress`", body = ErrorBody),
        (status = 410, description = "`PREVIEW_EXPIRED`", body = ErrorBody),
        (status = 416, description = "`RANGE_NOT_SATISFIABLE`", body = ErrorBody),
    ),
)]
pub(super) async fn bytecode(
    State(app): State<AppState>,
    JobReader { id, reader }: JobReader,
    method: Method,
    headers: HeaderMap,
) -> ApiResult<Response> {
    let opened = bytecode::download(&app, &reader, &id).await?;
    let file = Download {
        name: format!("{id}-{}.hbc", opened.preview.platform),
        content_type: "application/octet-stream",
        sha256: &opened.bytecode.sha256,
        size: opened.bytecode.size,
        bytes: opened.bytes,
    };
    hand_out(&app, &method, &headers, file).await
}

/// A file to be saved.
struct Download<'a> {
    name: String,
    content_type: &'static str,
    sha256: &'a str,
    size: u64,
    bytes: Bytes,
}

async fn hand_out(
    app: &AppState,
    method: &Method,
    headers: &HeaderMap,
    download: Download<'_>,
) -> ApiResult<Response> {
    let size = download.size;
    let etag = format!("\"{}\"", download.sha256);
    let selection = file::select(method, headers, &etag, size);
    let bytes = download.bytes;
    let mut response = file::respond(method, selection, &etag, size, |range| async move {
        Ok(match bytes {
            Bytes::Local(extents) => file::extents(extents.slice(range)),
            Bytes::Stored(key) => Body::from_stream(app.blobs.read(&key, range).await?),
        })
    })
    .await?;
    if !response.status().is_client_error() {
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static(download.content_type),
        );
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        let disposition = format!("attachment; filename=\"{}\"", download.name);
        if let Ok(value) = HeaderValue::from_str(&disposition) {
            headers.insert(CONTENT_DISPOSITION, value);
        }
    }
    Ok(response)
}

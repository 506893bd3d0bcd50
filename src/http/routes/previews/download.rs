//! Handing the bundle out.

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
    let size = opened.bundle.size;
    let etag = format!("\"{}\"", opened.bundle.sha256);
    let selection = file::select(&method, &headers, &etag, size);
    let mut response = file::respond(&method, selection, &etag, size, |range| async move {
        Ok(match opened.bytes {
            Bytes::Local(zip) => file::extents(zip.slice(range)),
            Bytes::Stored(key) => Body::from_stream(app.blobs.read(&key, range).await?),
        })
    })
    .await?;
    if !response.status().is_client_error() {
        let name = format!("{id}-{}.zip", opened.preview.platform);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/zip"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
            headers.insert(CONTENT_DISPOSITION, value);
        }
    }
    Ok(response)
}

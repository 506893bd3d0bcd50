//! How a failure looks from outside: one JSON shape for every error.
//!
//! A handler's [`ApiError`] travels as an extension of its response; the
//! tracing middleware, which knows the request's trace id, logs the error with
//! its causes and writes the body. What is told outside differs from what is
//! logged: an internal error is told generically.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::http::header::{ALLOW, CONTENT_RANGE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::{Code, Error};

/// What handlers return.
pub type ApiResult<T> = Result<T, ApiError>;

/// A failure on its way out.
#[derive(Debug)]
pub struct ApiError(pub Error);

impl<E: Into<Error>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

/// The error under way in a response without a body yet.
#[derive(Clone)]
struct Pending(Arc<Error>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = status_of(self.0.code).into_response();
        response.extensions_mut().insert(Pending(Arc::new(self.0)));
        response
    }
}

/// A build error has no status of its own; one that reaches a response is a
/// fault of the handler.
pub(super) fn status_of(code: Code) -> StatusCode {
    code.status()
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorBody {
    pub error: ErrorInfo,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct ErrorInfo {
    /// A stable code; `docs/errors.md` lists them.
    #[schema(example = "PROJECT_NOT_FOUND")]
    pub code: String,
    /// What failed, why, and what to do next.
    pub message: String,
    /// Always `trace_id`; `field` and others where they help.
    #[schema(value_type = Object)]
    pub details: BTreeMap<&'static str, Value>,
}

/// Writes the body of a response that carries an error, and logs it.
pub(super) fn finish(mut response: Response, trace_id: &str) -> Response {
    let Some(Pending(error)) = response.extensions_mut().remove::<Pending>() else {
        return response;
    };
    log(&error);
    let status = response.status();
    let mut rendered = (status, Json(body(&error, trace_id))).into_response();
    let headers = rendered.headers_mut();
    for kept in [ALLOW, CONTENT_RANGE] {
        if let Some(value) = response.headers_mut().remove(&kept) {
            headers.insert(kept, value);
        }
    }
    if error.code == Code::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = error
        .details
        .get(crate::error::RETRY_AFTER)
        .and_then(Value::as_u64)
    {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    rendered
}

fn log(error: &Error) {
    let status = status_of(error.code);
    if status == StatusCode::INTERNAL_SERVER_ERROR {
        tracing::error!(code = error.code.as_str(), error = error.chain(), "failed");
    } else if status.is_server_error() {
        tracing::warn!(code = error.code.as_str(), error = error.chain(), "failed");
    } else {
        // What a caller did wrong may quote what they sent.
        tracing::debug!(code = error.code.as_str(), "refused");
    }
}

fn body(error: &Error, trace_id: &str) -> ErrorBody {
    let internal = status_of(error.code) == StatusCode::INTERNAL_SERVER_ERROR;
    let (code, message, mut details) = if internal {
        (
            Code::InternalError,
            "something failed inside the server; its log has the cause under this trace id"
                .to_owned(),
            BTreeMap::new(),
        )
    } else {
        (error.code, error.message.to_string(), error.details.clone())
    };
    details.insert("trace_id", trace_id.into());
    ErrorBody {
        error: ErrorInfo {
            code: code.as_str().to_owned(),
            message,
            details,
        },
    }
}

/// Answers for addresses that no route has.
pub(super) async fn not_found() -> ApiError {
    nothing_here()
}

pub(super) fn nothing_here() -> ApiError {
    ApiError(Error::new(
        Code::NotFound,
        "there is nothing at this address; /api/docs lists what there is",
    ))
}

/// Answers for a method that the address does not take; axum adds `Allow`.
pub(super) async fn method_not_allowed() -> ApiError {
    ApiError(Error::new(
        Code::MethodNotAllowed,
        "this address does not take that method; the Allow header lists those it takes",
    ))
}

/// Answers for a handler that panicked.
pub(super) fn panicked(payload: &(dyn std::any::Any + Send)) -> Response {
    let what = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    ApiError(Error::internal(format!("a handler panicked: {what}"))).into_response()
}

//! JSON bodies in and out.

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::invalid_field;
use crate::error::{Code, Error, Result};
use crate::http::error::ApiError;

/// The largest JSON body taken, in bytes.
pub const LIMIT: usize = 1024 * 1024;

/// A JSON body, of a request or of an answer. Unknown fields are ignored.
///
/// Rejections: 415 for another type, 413 over [`LIMIT`], 400 for broken JSON,
/// 422 for a wrong or missing field, named in `details.field`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _state: &S) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(Error::new(
                Code::UnsupportedMediaType,
                "the body must be JSON, with `Content-Type: application/json`",
            )
            .into());
        }
        let body = read(request, LIMIT).await?;
        Ok(Json(parse(&body)?))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()) else {
        return false;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

async fn read(request: Request, limit: usize) -> Result<axum::body::Bytes> {
    let too_large = || {
        Error::new(
            Code::PayloadTooLarge,
            format!("a JSON body may have at most {limit} bytes"),
        )
        .with("limit_bytes", limit)
    };
    let announced = request
        .headers()
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|n| n > limit as u64) {
        return Err(too_large());
    }
    to_bytes(request.into_body(), limit).await.map_err(|error| {
        let over = std::error::Error::source(&error)
            .is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>);
        if over {
            too_large()
        } else {
            Error::new(Code::BadRequest, "the body ended early or stalled").caused_by(error)
        }
    })
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        match inner.classify() {
            serde_json::error::Category::Data => invalid_field(&path, &inner.to_string()),
            _ => broken(&inner),
        }
    })?;
    json.end().map_err(|error| broken(&error))?;
    Ok(value)
}

fn broken(error: &serde_json::Error) -> Error {
    Error::new(Code::BadRequest, format!("the body is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only its type matters")]
        start: u32,
    }

    #[derive(Debug, serde::Deserialize)]
    struct Outer {
        #[expect(dead_code, reason = "only its type matters")]
        range: Inner,
    }

    fn failure(text: &str) -> Error {
        parse::<Outer>(text.as_bytes()).expect_err("refused")
    }

    #[test]
    fn wrong_types_and_missing_fields_are_named() {
        for (text, field) in [
            (r#"{"range": {"start": "x"}}"#, "range.start"),
            (r#"{"range": {}}"#, "range.start"),
            ("{}", "range"),
        ] {
            let error = failure(text);
            assert_eq!(error.code, Code::InvalidInput, "{text}");
            assert_eq!(error.details["field"], field, "{text}");
            assert!(!error.message.contains("at line"), "{}", error.message);
        }
    }

    #[test]
    fn broken_json_is_no_field_error() {
        for text in [
            "",
            "{",
            "{}x",
            "\u{1}",
            r#"{"range": {"start": 1}} trailing"#,
        ] {
            let code = failure(text).code;
            assert!(
                code == Code::BadRequest || (text == "{}x" && code == Code::InvalidInput),
                "{text}: {code:?}"
            );
        }
    }
}

//! Path segments and query parameters.

use axum::extract::path::ErrorKind;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path as AxumPath, Query as AxumQuery};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::invalid_field;
use crate::domain::ids::BadJobId;
use crate::error::{Code, Error, Result};
use crate::http::error::ApiError;

/// The path's parameters: a value, a tuple or a struct.
///
/// A segment of the wrong form is 422 with its name; a job id of the wrong
/// form is `JOB_NOT_FOUND`, like any other id that no job has.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match AxumPath::from_request_parts(parts, state).await {
            Ok(AxumPath(value)) => Ok(Path(value)),
            Err(rejection) => Err(path_error(rejection).into()),
        }
    }
}

fn path_error(rejection: PathRejection) -> Error {
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
        return Error::internal("a handler takes path parameters that its route has not")
            .caused_by(rejection);
    };
    if failed.body_text().contains(&BadJobId.to_string()) {
        return Error::new(Code::JobNotFound, "no job has this id");
    }
    match failed.into_kind() {
        ErrorKind::ParseErrorAtKey {
            key, expected_type, ..
        } => invalid_field(&key, &format!("not a valid {expected_type}")),
        ErrorKind::DeserializeError { key, message, .. } => invalid_field(&key, &message),
        ErrorKind::InvalidUtf8InPathParam { key } => invalid_field(&key, "not UTF-8"),
        ErrorKind::ParseErrorAtIndex {
            index,
            expected_type,
            ..
        } => invalid_field(&index.to_string(), &format!("not a valid {expected_type}")),
        ErrorKind::ParseError { expected_type, .. } => {
            invalid_field("id", &format!("not a valid {expected_type}"))
        }
        ErrorKind::Message(message) => invalid_field("", &message),
        other => Error::internal(format!("path parameters do not fit their route: {other}")),
    }
}

/// The query's parameters. Unknown ones are ignored; a wrong or missing one is
/// 422 with its name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        match AxumQuery::try_from_uri(&parts.uri) {
            Ok(AxumQuery(value)) => Ok(Query(value)),
            Err(rejection) => Err(query_error(&rejection).into()),
        }
    }
}

fn query_error(rejection: &QueryRejection) -> Error {
    // axum keeps serde's error behind its own; its text is `path: message`.
    let text = std::error::Error::source(rejection)
        .map_or_else(|| rejection.to_string(), ToString::to_string);
    match text.split_once(": ") {
        Some((path, message)) if !path.contains(' ') => invalid_field(path, message),
        _ => invalid_field("", &text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Search {
        #[expect(dead_code, reason = "only its type matters")]
        q: String,
        #[expect(dead_code, reason = "only its type matters")]
        limit: Option<u32>,
    }

    fn failure(uri: &str) -> Error {
        let uri = uri.parse().expect("a URI");
        query_error(&AxumQuery::<Search>::try_from_uri(&uri).expect_err("refused"))
    }

    #[test]
    fn the_parameter_is_named() {
        for (uri, field) in [("/?q=a&limit=many", "limit"), ("/?limit=3", "q")] {
            let error = failure(uri);
            assert_eq!(error.code, Code::InvalidInput);
            assert_eq!(error.details["field"], field, "{}", error.message);
        }
    }
}

//! Who is calling.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::config::Secret;
use crate::error::{Code, Error, Result};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::services::auth::{self, Actor};

/// The caller, by session or API token: 401 `UNAUTHENTICATED` without one.
#[derive(Clone, Debug)]
pub struct Caller(pub Actor);

impl FromRequestParts<AppState> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Bearer(Some(bearer)) = bearer_of(parts)? else {
            return Err(Error::new(
                Code::Unauthenticated,
                "this call needs `Authorization: Bearer <token>`; log in or use an API token",
            )
            .into());
        };
        Ok(Caller(auth::authenticate(app, bearer.expose()).await?))
    }
}

/// The bearer token as it came, for calls that take more than one kind.
#[derive(Clone, Debug)]
pub struct Bearer(pub Option<Secret>);

impl<S: Send + Sync> FromRequestParts<S> for Bearer {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        Ok(bearer_of(parts)?)
    }
}

fn bearer_of(parts: &Parts) -> Result<Bearer> {
    let Some(value) = parts.headers.get(AUTHORIZATION) else {
        return Ok(Bearer(None));
    };
    let token = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| !token.is_empty());
    match token {
        Some(token) => Ok(Bearer(Some(Secret::new(token)))),
        None => Err(Error::new(
            Code::Unauthenticated,
            "the Authorization header must be `Bearer <token>`",
        )),
    }
}

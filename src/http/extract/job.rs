//! Which job is to be read, and by whom.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Bearer, Path, Query};
use crate::config::Secret;
use crate::domain::JobId;
use crate::error::{Code, Error};
use crate::http::AppState;
use crate::http::error::ApiError;
use crate::services::auth;
use crate::services::previews::Reader;
use crate::services::token::ACCESS_PREFIX;

/// For devices and event sources, which can set no header.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AccessParam {
    /// The job's access token, instead of a bearer token.
    pub access: Option<String>,
}

/// The job `{job_id}` of the path and whoever asks for it: an account by its
/// bearer token, or the holder of an access token, as Bearer or `?access=`.
#[derive(Clone, Debug)]
pub struct JobReader {
    pub id: JobId,
    pub reader: Reader,
}

impl FromRequestParts<AppState> for JobReader {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, ApiError> {
        let Path(id) = Path::<JobId>::from_request_parts(parts, app).await?;
        let reader = reader(parts, app).await?;
        Ok(Self { id, reader })
    }
}

/// Whoever asks to read a job.
pub(in crate::http) async fn reader(parts: &mut Parts, app: &AppState) -> Result<Reader, ApiError> {
    let Bearer(bearer) = Bearer::from_request_parts(parts, app).await?;
    if let Some(bearer) = bearer {
        if bearer.expose().starts_with(ACCESS_PREFIX) {
            return Ok(Reader::Holder(bearer));
        }
        return Ok(Reader::Actor(
            auth::authenticate(app, bearer.expose()).await?,
        ));
    }
    let Query(param) = Query::<AccessParam>::from_request_parts(parts, app).await?;
    match param.access {
        Some(access) => Ok(Reader::Holder(Secret::new(access))),
        None => Err(Error::new(
            Code::Unauthenticated,
            "this call needs `Authorization: Bearer <token>` or the job's access token as `?access=`",
        )
        .into()),
    }
}

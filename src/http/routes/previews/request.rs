//! Asking for a preview: `POST /preview/token` and `POST /preview/build`.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::{JobId, ProjectId};
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{Caller, Json, PublicUrl, phone_url};
use crate::services::previews::issue::{self, IssueToken};
use crate::services::previews::request;

#[derive(Deserialize, ToSchema)]
pub struct TokenRequest {
    project_id: ProjectId,
    /// A branch, tag, commit (at least 7 digits) or `latest`.
    #[schema(example = "main")]
    git_ref: String,
    /// `ios`, `android` or `web`.
    #[schema(example = "ios")]
    platform: String,
}

#[derive(Serialize, ToSchema)]
pub struct TokenAnswer {
    /// Whoever holds it may have the preview built and read it.
    token: String,
    /// Seconds.
    expires_in: u64,
    /// The page to open, or to show as a QR code.
    preview_url: String,
}

/// Issue a preview token
#[utoipa::path(
    post, path = "/preview/token", tag = "previews",
    request_body = TokenRequest,
    responses(
        (status = 200, description = "The token", body = TokenAnswer),
        (status = 403, description = "`PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`, `REF_NOT_FOUND`", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`, `UNSUPPORTED_PLATFORM`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMIT_EXCEEDED`", body = ErrorBody),
    ),
)]
pub(super) async fn token(
    State(app): State<AppState>,
    Caller(actor): Caller,
    PublicUrl(base): PublicUrl,
    Json(body): Json<TokenRequest>,
) -> ApiResult<Json<TokenAnswer>> {
    let command = IssueToken {
        project_id: body.project_id,
        git_ref: body.git_ref,
        platform: body.platform,
    };
    let issued = issue::issue_token(&app, &actor, &command).await?;
    Ok(Json(TokenAnswer {
        // Made to be opened elsewhere.
        preview_url: format!("{}/t/{}", phone_url(&app, &base), issued.token),
        expires_in: issued.expires_in.as_secs(),
        token: issued.token,
    }))
}

#[derive(Deserialize, ToSchema)]
pub struct BuildRequest {
    token: String,
}

#[derive(Serialize, ToSchema)]
pub struct BuildAnswer {
    #[schema(example = "accepted")]
    status: &'static str,
    job_id: JobId,
    /// 0 when the bundle is ready.
    estimated_seconds: u32,
    /// Reads this job, as Bearer or `?access=`, until its bundle expires.
    access_token: String,
    status_url: String,
    download_url: String,
}

/// Build what a preview token asks for
///
/// Open: the token is the key. The same token again answers the same job.
#[utoipa::path(
    post, path = "/preview/build", tag = "previews",
    security(()),
    request_body = BuildRequest,
    responses(
        (status = 202, description = "Queued, running or ready", body = BuildAnswer),
        (status = 403, description = "`INVALID_OR_EXPIRED_TOKEN`, `PROJECT_ACCESS_DENIED`", body = ErrorBody),
        (status = 404, description = "`PROJECT_NOT_FOUND`, `REF_NOT_FOUND`", body = ErrorBody),
        (status = 422, description = "`UNSUPPORTED_PLATFORM`, `INVALID_INPUT` when the commit's files say that it cannot be built", body = ErrorBody),
    ),
)]
pub(super) async fn build(
    State(app): State<AppState>,
    PublicUrl(base): PublicUrl,
    Json(body): Json<BuildRequest>,
) -> ApiResult<(StatusCode, Json<BuildAnswer>)> {
    let accepted = request::build(&app, &body.token).await?;
    let api = format!("{base}/api/v1/preview");
    let answer = BuildAnswer {
        status: "accepted",
        estimated_seconds: accepted.estimated_seconds,
        access_token: accepted.access_token,
        status_url: format!("{api}/status/{}", accepted.job_id),
        download_url: format!("{api}/download/{}", accepted.job_id),
        job_id: accepted.job_id,
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

//! Routes: the first admin.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::LoginAnswer;
use crate::config::Secret;
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{ClientAddr, Json};
use crate::services::auth::accounts::NewAccount;
use crate::services::auth::setup;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(set_up))
}

#[derive(Deserialize, ToSchema)]
pub struct SetupRequest {
    /// The secret of the setup link.
    token: String,
    #[schema(example = "ada@example.com")]
    email: String,
    /// 3 to 32 of `a-z 0-9 _ -`.
    #[schema(example = "ada")]
    username: String,
    /// At least 10 characters.
    password: String,
}

/// Make the first admin
///
/// With the secret of the setup link, which works once and for 30 minutes.
#[utoipa::path(
    post, path = "/setup", tag = "accounts",
    security(()),
    request_body = SetupRequest,
    responses(
        (status = 201, description = "The admin, logged in", body = LoginAnswer),
        (status = 403, description = "`INVALID_OR_EXPIRED_TOKEN`", body = ErrorBody),
        (status = 404, description = "`NOT_FOUND`: there is an admin", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMIT_EXCEEDED`", body = ErrorBody),
    ),
)]
async fn set_up(
    State(app): State<AppState>,
    ClientAddr(from): ClientAddr,
    Json(body): Json<SetupRequest>,
) -> ApiResult<(StatusCode, Json<LoginAnswer>)> {
    let new = NewAccount {
        email: body.email,
        username: body.username,
        password: Secret::new(body.password),
    };
    let login = setup::set_up(&app, from, &body.token, new).await?;
    Ok((StatusCode::CREATED, Json(login.into())))
}

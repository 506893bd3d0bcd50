//! Registering, logging in and out.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::LoginAnswer;
use crate::config::Secret;
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{Caller, ClientAddr, Json};
use crate::services::auth::accounts::{self, NewAccount};
use crate::services::auth::sessions;

#[derive(Deserialize, ToSchema)]
pub struct RegisterRequest {
    #[schema(example = "ada@example.com")]
    email: String,
    /// 3 to 32 of `a-z 0-9 _ -`.
    #[schema(example = "ada")]
    username: String,
    /// At least 10 characters.
    password: String,
    /// The secret of an invite link, where registration is not open.
    invite: Option<String>,
}

/// Create an account and log in
#[utoipa::path(
    post, path = "/auth/register", tag = "accounts",
    security(()),
    request_body = RegisterRequest,
    responses(
        (status = 201, description = "Registered", body = LoginAnswer),
        (status = 403, description = "`FORBIDDEN` without an invite, `INVALID_OR_EXPIRED_TOKEN`", body = ErrorBody),
        (status = 409, description = "`EMAIL_TAKEN`, `USERNAME_TAKEN`", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMIT_EXCEEDED`", body = ErrorBody),
    ),
)]
pub(super) async fn register(
    State(app): State<AppState>,
    ClientAddr(from): ClientAddr,
    Json(body): Json<RegisterRequest>,
) -> ApiResult<(StatusCode, Json<LoginAnswer>)> {
    let new = NewAccount {
        email: body.email,
        username: body.username,
        password: Secret::new(body.password),
    };
    let login = accounts::register(&app, from, new, body.invite.as_deref()).await?;
    Ok((StatusCode::CREATED, Json(login.into())))
}

#[derive(Deserialize, ToSchema)]
pub struct LoginRequest {
    #[schema(example = "ada")]
    username_or_email: String,
    password: String,
}

/// Start a session
#[utoipa::path(
    post, path = "/auth/login", tag = "accounts",
    security(()),
    request_body = LoginRequest,
    responses(
        (status = 200, description = "Logged in", body = LoginAnswer),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMIT_EXCEEDED`, by address and by account", body = ErrorBody),
    ),
)]
pub(super) async fn login(
    State(app): State<AppState>,
    ClientAddr(from): ClientAddr,
    Json(body): Json<LoginRequest>,
) -> ApiResult<Json<LoginAnswer>> {
    let password = Secret::new(body.password);
    let login = accounts::login(&app, from, &body.username_or_email, &password).await?;
    Ok(Json(login.into()))
}

/// End this session
#[utoipa::path(
    post, path = "/auth/logout", tag = "accounts",
    responses(
        (status = 204, description = "Logged out"),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 403, description = "`FORBIDDEN` for an API token", body = ErrorBody),
    ),
)]
pub(super) async fn logout(
    State(app): State<AppState>,
    Caller(actor): Caller,
) -> ApiResult<StatusCode> {
    sessions::logout(&app, &actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

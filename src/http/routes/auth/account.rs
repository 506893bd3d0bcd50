//! The caller's own account: `/auth/me` and the password.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::config::Secret;
use crate::domain::UserId;
use crate::domain::user::{Role, User};
use crate::error::{Context, Result};
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{Caller, Json};
use crate::services::auth::accounts::{self, AccountChange};

/// The caller's account.
#[derive(Serialize, ToSchema)]
pub struct MeDto {
    id: UserId,
    email: String,
    username: String,
    role: Role,
    /// The client's own settings, as they were stored.
    #[schema(value_type = Object)]
    preferences: Map<String, Value>,
}

impl MeDto {
    fn new(user: User) -> Result<Self> {
        Ok(Self {
            id: user.id,
            email: user.email,
            username: user.username,
            role: user.role,
            preferences: serde_json::from_str(&user.preferences)
                .or_internal("read an account's preferences")?,
        })
    }
}

/// Who am I
#[utoipa::path(
    get, path = "/auth/me", tag = "accounts",
    responses(
        (status = 200, description = "The caller's account", body = MeDto),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
    ),
)]
pub(super) async fn show(Caller(actor): Caller) -> ApiResult<Json<MeDto>> {
    Ok(Json(MeDto::new(actor.account()?.clone())?))
}

/// Only what is given changes.
#[derive(Deserialize, ToSchema)]
pub struct MeChange {
    email: Option<String>,
    username: Option<String>,
    /// Replaces the stored object; at most 16 KiB as JSON.
    #[schema(value_type = Option<Object>)]
    preferences: Option<Map<String, Value>>,
}

/// Change the own account
#[utoipa::path(
    patch, path = "/auth/me", tag = "accounts",
    request_body = MeChange,
    responses(
        (status = 200, description = "As it is now", body = MeDto),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 403, description = "`FORBIDDEN`: e-mail and username need a session", body = ErrorBody),
        (status = 409, description = "`EMAIL_TAKEN`, `USERNAME_TAKEN`, `CONFLICT`", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`", body = ErrorBody),
    ),
)]
pub(super) async fn update(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Json(body): Json<MeChange>,
) -> ApiResult<Json<MeDto>> {
    let change = AccountChange {
        email: body.email,
        username: body.username,
        preferences: body.preferences,
    };
    let user = accounts::update(&app, &actor, change).await?;
    Ok(Json(MeDto::new(user)?))
}

#[derive(Deserialize, ToSchema)]
pub struct PasswordChange {
    current_password: String,
    /// At least 10 characters.
    new_password: String,
}

/// Change the own password
///
/// Every other session of the account ends; this one goes on.
#[utoipa::path(
    post, path = "/auth/change-password", tag = "accounts",
    request_body = PasswordChange,
    responses(
        (status = 204, description = "Changed"),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 403, description = "`FORBIDDEN`: the current password is wrong, or this is no session", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMIT_EXCEEDED`", body = ErrorBody),
    ),
)]
pub(super) async fn change_password(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Json(body): Json<PasswordChange>,
) -> ApiResult<StatusCode> {
    let old = Secret::new(body.current_password);
    let new = Secret::new(body.new_password);
    accounts::change_password(&app, &actor, &old, &new).await?;
    Ok(StatusCode::NO_CONTENT)
}

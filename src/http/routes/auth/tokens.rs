//! API tokens: `/auth/tokens`.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Timestamp;
use crate::domain::user::{ApiToken, Scope};
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{Caller, Json, Paging, PagingParams, Path};
use crate::listing;
use crate::services::auth::tokens::{self, NewToken};

/// An API token, without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenDto {
    id: i64,
    name: String,
    scope: Scope,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// Null: until it is deleted.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

impl From<ApiToken> for TokenDto {
    fn from(token: ApiToken) -> Self {
        Self {
            id: token.id,
            name: token.name,
            scope: token.scope,
            created_at: token.created_at,
            expires_at: token.expires_at,
        }
    }
}

listing!(TokenList, tokens: TokenDto);

/// List the own API tokens
#[utoipa::path(
    get, path = "/auth/tokens", tag = "accounts",
    params(PagingParams),
    responses(
        (status = 200, description = "Without their secrets", body = TokenList),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 403, description = "`FORBIDDEN` for an API token", body = ErrorBody),
    ),
)]
pub(super) async fn list(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Paging(page): Paging,
) -> ApiResult<Json<TokenList>> {
    let page = tokens::list(&app, &actor, &page).await?;
    Ok(Json(page.map(TokenDto::from).into()))
}

#[derive(Deserialize, ToSchema)]
pub struct TokenRequest {
    /// What it is for, 1 to 100 characters.
    #[schema(example = "CI of the shop app")]
    name: String,
    scope: Scope,
    /// Without it the token is good until it is deleted.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
pub struct NewTokenDto {
    #[serde(flatten)]
    facts: TokenDto,
    /// The secret: shown now and never again.
    #[schema(example = "hs_…")]
    token: String,
}

/// Create an API token
#[utoipa::path(
    post, path = "/auth/tokens", tag = "accounts",
    request_body = TokenRequest,
    responses(
        (status = 201, description = "With its secret, this once", body = NewTokenDto),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 403, description = "`FORBIDDEN` for an API token", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`", body = ErrorBody),
    ),
)]
pub(super) async fn create(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Json(body): Json<TokenRequest>,
) -> ApiResult<(StatusCode, Json<NewTokenDto>)> {
    let new = NewToken {
        name: body.name,
        scope: body.scope,
        expires_at: body.expires_at,
    };
    let (token, secret) = tokens::create(&app, &actor, new).await?;
    let answer = NewTokenDto {
        facts: token.into(),
        token: secret,
    };
    Ok((StatusCode::CREATED, Json(answer)))
}

/// Delete an API token
///
/// A session deletes any of the account's; a token itself.
#[utoipa::path(
    delete, path = "/auth/tokens/{id}", tag = "accounts",
    params(("id" = i64, Path)),
    responses(
        (status = 204, description = "Deleted: it opens nothing any more"),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 403, description = "`FORBIDDEN` for another API token", body = ErrorBody),
        (status = 404, description = "`NOT_FOUND`", body = ErrorBody),
    ),
)]
pub(super) async fn delete(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Path(id): Path<i64>,
) -> ApiResult<StatusCode> {
    tokens::delete(&app, &actor, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

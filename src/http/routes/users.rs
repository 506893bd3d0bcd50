//! Routes: finding other users.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::domain::UserId;
use crate::domain::user::User;
use crate::http::AppState;
use crate::http::error::{ApiResult, ErrorBody};
use crate::http::extract::{Caller, Json, Query};
use crate::services::auth::accounts;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(search))
}

#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct SearchParams {
    /// The beginning of a username or e-mail address, at least 2 characters.
    q: String,
}

#[derive(Serialize, ToSchema)]
pub struct FoundUser {
    id: UserId,
    username: String,
    email: String,
}

impl From<User> for FoundUser {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            username: user.username,
            email: user.email,
        }
    }
}

/// At most 20 accounts.
#[derive(Serialize, ToSchema)]
pub struct SearchAnswer {
    results: Vec<FoundUser>,
}

/// Find accounts to share with
#[utoipa::path(
    get, path = "/users/search", tag = "accounts",
    params(SearchParams),
    responses(
        (status = 200, description = "Ordered by username", body = SearchAnswer),
        (status = 401, description = "`UNAUTHENTICATED`", body = ErrorBody),
        (status = 422, description = "`INVALID_INPUT`", body = ErrorBody),
        (status = 429, description = "`RATE_LIMIT_EXCEEDED`", body = ErrorBody),
    ),
)]
async fn search(
    State(app): State<AppState>,
    Caller(actor): Caller,
    Query(params): Query<SearchParams>,
) -> ApiResult<Json<SearchAnswer>> {
    let found = accounts::search(&app, &actor, &params.q).await?;
    let results = found.into_iter().map(FoundUser::from).collect();
    Ok(Json(SearchAnswer { results }))
}

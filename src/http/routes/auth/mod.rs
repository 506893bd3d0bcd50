//! Routes: accounts and sessions. [`session`] opens and ends them, [`account`]
//! shows and changes the caller's own, [`tokens`] manages API tokens.

pub mod account;
pub mod session;
pub mod tokens;

use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::clock::Timestamp;
use crate::domain::UserId;
use crate::domain::user::{Role, User};
use crate::http::AppState;
use crate::services::auth::sessions::Login;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(session::register))
        .routes(routes!(session::login))
        .routes(routes!(session::logout))
        .routes(routes!(account::show, account::update))
        .routes(routes!(account::change_password))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::delete))
}

/// An account as its owner sees it after logging in.
#[derive(Serialize, ToSchema)]
pub struct UserDto {
    pub id: UserId,
    pub email: String,
    pub username: String,
    pub role: Role,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
}

impl From<User> for UserDto {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            email: user.email,
            username: user.username,
            role: user.role,
            created_at: user.created_at,
        }
    }
}

/// A session that has begun.
#[derive(Serialize, ToSchema)]
pub struct LoginAnswer {
    /// The session's JWT, for `Authorization: Bearer`.
    pub token: String,
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Timestamp,
    pub user: UserDto,
}

impl From<Login> for LoginAnswer {
    fn from(login: Login) -> Self {
        Self {
            token: login.token,
            expires_at: login.expires_at,
            user: login.user.into(),
        }
    }
}

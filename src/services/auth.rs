//! Who is asking.

use crate::app::App;
use crate::domain::UserId;
use crate::domain::user::{Role, Scope, User};
use crate::error::Result;

/// Who the bearer token, a session's JWT or an API token, stands for.
///
/// # Errors
/// `UNAUTHENTICATED`.
pub async fn authenticate(app: &App, bearer: &str) -> Result<Actor> {
    let _ = (app, bearer);
    unimplemented!()
}

/// The caller of a service.
#[derive(Clone, Debug)]
pub enum Actor {
    /// A person or a script, by session or API token.
    User {
        user: Box<User>,
        credential: Credential,
    },
    /// The operator at the machine, over the Unix socket.
    Operator,
    /// The server itself: jobs and schedules.
    System,
}

/// How a user has proved who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    Session { id: String },
    ApiToken { id: i64, scope: Scope },
}

impl Actor {
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        match self {
            Actor::User { user, .. } => Some(user.id),
            Actor::Operator | Actor::System => None,
        }
    }

    #[must_use]
    pub fn is_admin(&self) -> bool {
        match self {
            Actor::User { user, .. } => user.role == Role::Admin,
            Actor::Operator | Actor::System => true,
        }
    }
}

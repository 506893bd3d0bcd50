//! Who is asking, and what their credential lets them do.
//!
//! The other files of this folder: [`accounts`] (register, log in, change),
//! [`sessions`] (logins that can be revoked), [`jwt`] (their outer form),
//! [`tokens`] (API tokens), [`setup`] (the first admin, invites),
//! [`passwords`], [`input`] (what a name or password may look like) and
//! [`limits`].

pub mod accounts;
pub mod input;
pub mod jwt;
pub mod limits;
pub mod passwords;
pub mod sessions;
pub mod setup;
pub mod tokens;

use data_encoding::HEXLOWER;
use ring::digest;

use crate::app::App;
use crate::domain::UserId;
use crate::domain::user::{Role, Scope, User};
use crate::error::{Code, Error, Result};

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

/// What a credential must be good for. The scopes of API tokens are defined
/// here and nowhere else; services ask with [`Actor::require`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    /// Look at what the account may see.
    Read,
    /// Upload sources, sync, request and cancel previews.
    Build,
    /// Everything else the account may do.
    Manage,
    /// Passwords, API tokens, the account's names: only a session.
    Credentials,
}

impl Credential {
    #[must_use]
    pub fn grants(&self, right: Right) -> bool {
        let most = match self {
            Credential::Session { .. } => Right::Credentials,
            Credential::ApiToken { scope, .. } => match scope {
                Scope::Full => Right::Manage,
                Scope::Build => Right::Build,
                Scope::Read => Right::Read,
            },
        };
        right <= most
    }
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

    /// Refuses a credential whose scope is too narrow.
    ///
    /// # Errors
    /// `FORBIDDEN`, with the scope that would do in `details.needs`.
    pub fn require(&self, right: Right) -> Result<()> {
        let Actor::User { credential, .. } = self else {
            return Ok(());
        };
        if credential.grants(right) {
            return Ok(());
        }
        let (message, needs) = match right {
            Right::Read => ("this API token may not read", "read"),
            Right::Build => (
                "this API token may only read; use one with the scope build or full",
                "build",
            ),
            Right::Manage => (
                "this API token may not change settings; use one with the scope full",
                "full",
            ),
            Right::Credentials => (
                "passwords, tokens and account names cannot be changed with an API token; log in",
                "session",
            ),
        };
        Err(Error::new(Code::Forbidden, message).with("needs", needs))
    }

    /// The account behind the actor, for calls that only make sense for one.
    ///
    /// # Errors
    /// `FORBIDDEN` for the operator and the server itself.
    pub fn account(&self) -> Result<&User> {
        match self {
            Actor::User { user, .. } => Ok(user),
            Actor::Operator | Actor::System => Err(Error::new(
                Code::Forbidden,
                "this call is for an account; the operator has none",
            )),
        }
    }
}

/// The account that `bearer`, a session's JWT or an API token, stands for.
///
/// # Errors
/// `UNAUTHENTICATED` when it is not valid, expired, revoked, or the account is
/// disabled.
pub async fn authenticate(app: &App, bearer: &str) -> Result<Actor> {
    let (user_id, credential) = if bearer.starts_with(tokens::PREFIX) {
        tokens::check(app, bearer).await?
    } else {
        sessions::check(app, bearer).await?
    };
    let user = app.store.user(user_id).await?.ok_or_else(refused)?.value;
    if user.disabled {
        return Err(Error::new(
            Code::Unauthenticated,
            "this account is disabled; ask an admin of this server",
        ));
    }
    Ok(Actor::User {
        user: Box::new(user),
        credential,
    })
}

/// The one answer to every credential that does not hold.
fn refused() -> Error {
    Error::new(
        Code::Unauthenticated,
        "the session or API token is not valid or has ended; log in again",
    )
}

/// How secrets are looked up without being stored: hex SHA-256.
#[must_use]
pub fn digest_of(secret: &str) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scope_grants_what_it_says() {
        let table = [
            (Scope::Read, [true, false, false, false]),
            (Scope::Build, [true, true, false, false]),
            (Scope::Full, [true, true, true, false]),
        ];
        let rights = [Right::Read, Right::Build, Right::Manage, Right::Credentials];
        for (scope, expected) in table {
            let credential = Credential::ApiToken { id: 1, scope };
            assert_eq!(rights.map(|r| credential.grants(r)), expected, "{scope:?}");
        }
        let session = Credential::Session { id: "s".into() };
        assert_eq!(rights.map(|r| session.grants(r)), [true; 4]);
    }
}

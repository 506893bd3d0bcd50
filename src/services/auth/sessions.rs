//! Logins that can be revoked: a row in the store, carried as a JWT.

use std::time::Duration;

use super::jwt::{self, Claims};
use super::{Actor, Credential, refused};
use crate::app::App;
use crate::clock::Timestamp;
use crate::domain::user::{Session, User};
use crate::domain::{JobId, UserId};
use crate::error::{Code, Error, Result};
use crate::store::batch::RecordKey;
use crate::store::{Batch, Expect, Record, Versioned};

/// A session's life, from the login on.
pub const LIFE: Duration = Duration::from_hours(30 * 24);
/// Sessions of one account; a further login ends the oldest.
const MAX_PER_USER: usize = 50;
/// How often a write is tried again that met a concurrent one.
const TRIES: usize = 8;

/// A new session, shown to its owner once.
pub struct Login {
    /// The JWT.
    pub token: String,
    pub expires_at: Timestamp,
    pub user: User,
}

/// A session for `user`, not yet stored, and its JWT.
pub(super) fn issue(app: &App, user: UserId) -> Result<(Session, String)> {
    let now = app.clock.now();
    let session = Session {
        id: session_id(app),
        user_id: user,
        created_at: now,
        expires_at: now.after(LIFE),
    };
    let claims = Claims {
        sub: user.to_string(),
        sid: session.id.clone(),
        iat: now.as_secs(),
        exp: session.expires_at.as_secs(),
    };
    let token = jwt::encode(&app.config.secrets.jwt, &claims)?;
    Ok((session, token))
}

/// 26 characters, of the same making as a job's id: the time, and 85 random bits.
fn session_id(app: &App) -> String {
    JobId::generate(app.random.as_ref(), app.clock.now()).as_str()["job_".len()..].to_owned()
}

/// Starts a session for an account whose password has just been checked.
///
/// The account is written back unchanged under its revision: a login that
/// checked the old password while it was being changed ends here, instead of
/// starting a session that the change can no longer see.
pub(super) async fn start(app: &App, checked: Versioned<User>) -> Result<Login> {
    let password_hash = checked.value.password_hash.clone();
    let mut account = checked;
    for _ in 0..TRIES {
        let (session, token) = issue(app, account.value.id)?;
        let mut batch = Batch::new()
            .put(
                Record::User(account.value.clone()),
                Expect::Revision(account.revision),
            )
            .put(Record::Session(session.clone()), Expect::Absent);
        for old in superfluous(app, account.value.id).await? {
            batch = batch.delete(RecordKey::Session(old), Expect::Any);
        }
        match app.store.commit(batch).await {
            Ok(_) => {
                return Ok(Login {
                    token,
                    expires_at: session.expires_at,
                    user: account.value,
                });
            }
            Err(error) if error.code == Code::Conflict => {}
            Err(error) => return Err(error),
        }
        account = app
            .store
            .user(account.value.id)
            .await?
            .filter(|now| now.value.password_hash == password_hash && !now.value.disabled)
            .ok_or_else(refused)?;
    }
    Err(busy())
}

/// Sessions that have ended, and the oldest ones beyond the most an account
/// may have.
async fn superfluous(app: &App, user: UserId) -> Result<Vec<String>> {
    let now = app.clock.now();
    let (mut live, ended): (Vec<_>, Vec<_>) = app
        .store
        .sessions_of(user)
        .await?
        .into_iter()
        .partition(|session| session.expires_at > now);
    live.sort_by_key(|session| std::cmp::Reverse(session.created_at));
    Ok(ended
        .into_iter()
        .chain(live.into_iter().skip(MAX_PER_USER - 1))
        .map(|session| session.id)
        .collect())
}

/// The user and session of a JWT.
pub(super) async fn check(app: &App, token: &str) -> Result<(UserId, Credential)> {
    let now = app.clock.now();
    let claims = jwt::decode(&app.config.secrets.jwt, token, now)?;
    let session = app
        .store
        .session(&claims.sid)
        .await?
        .filter(|session| Some(session.user_id) == claims.user_id() && session.expires_at > now)
        .ok_or_else(refused)?;
    Ok((session.user_id, Credential::Session { id: session.id }))
}

/// Ends the caller's own session.
///
/// # Errors
/// `FORBIDDEN` for an API token, which is deleted instead.
pub async fn logout(app: &App, actor: &Actor) -> Result<()> {
    match actor {
        Actor::User {
            credential: Credential::Session { id },
            ..
        } => {
            let batch = Batch::new().delete(RecordKey::Session(id.clone()), Expect::Any);
            app.store.commit(batch).await.map(drop)
        }
        _ => Err(Error::new(
            Code::Forbidden,
            "only a session can be logged out; an API token is deleted at /api/v1/auth/tokens/{id}",
        )),
    }
}

/// Writes `password_hash` and ends every session of the account but `keep`,
/// in one commit.
///
/// `unchanged_since` is the hash that the caller has checked: if it is no
/// longer the account's, another change came first.
pub(super) async fn change_password(
    app: &App,
    user: UserId,
    unchanged_since: &str,
    password_hash: String,
    keep: &str,
) -> Result<()> {
    for _ in 0..TRIES {
        let account = app.store.user(user).await?.ok_or_else(refused)?;
        if account.value.password_hash != unchanged_since {
            return Err(Error::new(
                Code::Conflict,
                "the password was changed at the same time; log in with the new one",
            ));
        }
        let mut batch = Batch::new().put(
            Record::User(User {
                password_hash: password_hash.clone(),
                updated_at: app.clock.now(),
                ..account.value
            }),
            Expect::Revision(account.revision),
        );
        for session in app.store.sessions_of(user).await? {
            if session.id != keep {
                batch = batch.delete(RecordKey::Session(session.id), Expect::Any);
            }
        }
        match app.store.commit(batch).await {
            Err(error) if error.code == Code::Conflict => {}
            other => return other.map(drop),
        }
    }
    Err(busy())
}

fn busy() -> Error {
    Error::new(
        Code::Conflict,
        "the account is being changed by many requests at once; try again",
    )
}

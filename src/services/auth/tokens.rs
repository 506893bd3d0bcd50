//! API tokens, for CI and git: long-lived, scoped, stored as a digest.

use data_encoding::BASE32_NOPAD;

use super::{Actor, Credential, Right, digest_of, refused};
use crate::app::App;
use crate::clock::Timestamp;
use crate::domain::UserId;
use crate::domain::user::{ApiToken, Scope};
use crate::error::{Code, Error, Result};
use crate::store::batch::RecordKey;
use crate::store::{Batch, Expect, Page, Paged, Record, Sequence};

/// What every API token begins with, so that secret scanners and we know one.
pub const PREFIX: &str = "hs_";
const RANDOM_BYTES: usize = 32;
const NAME_MAX_CHARS: usize = 100;

/// What is asked for with a new token.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// What it is for, 1 to 100 characters.
    pub name: String,
    pub scope: Scope,
    /// `None`: until it is deleted.
    pub expires_at: Option<Timestamp>,
}

/// Answers the stored token and its secret text, which is shown only now.
///
/// # Errors
/// `INVALID_INPUT`, `FORBIDDEN` for a caller without a session.
pub async fn create(app: &App, actor: &Actor, new: NewToken) -> Result<(ApiToken, String)> {
    actor.require(Right::Credentials)?;
    let user = actor.account()?.id;
    let now = app.clock.now();
    let name = new.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME_MAX_CHARS || name.contains(char::is_control) {
        return Err(Error::invalid(
            "name",
            "a token's name has 1 to 100 characters and says what it is for",
        ));
    }
    if new.expires_at.is_some_and(|end| end <= now) {
        return Err(Error::invalid("expires_at", "a token ends in the future"));
    }
    let secret = generate(app);
    let token = ApiToken {
        id: app.store.allocate(Sequence::ApiToken).await?,
        user_id: user,
        name,
        digest: digest_of(&secret),
        scope: new.scope,
        created_at: now,
        expires_at: new.expires_at,
    };
    let batch = Batch::new().put(Record::ApiToken(token.clone()), Expect::Absent);
    app.store.commit(batch).await?;
    Ok((token, secret))
}

fn generate(app: &App) -> String {
    let random = BASE32_NOPAD
        .encode(&app.random.bytes::<RANDOM_BYTES>())
        .to_ascii_lowercase();
    format!("{PREFIX}{random}")
}

/// The caller's own tokens, without their secrets.
pub async fn list(app: &App, actor: &Actor, page: &Page) -> Result<Paged<ApiToken>> {
    actor.require(Right::Credentials)?;
    app.store.api_tokens_of(actor.account()?.id, page).await
}

/// A session deletes any token of its account; a token only itself, which is
/// how a client that was given one logs out.
///
/// # Errors
/// `NOT_FOUND` also for somebody else's token.
pub async fn delete(app: &App, actor: &Actor, id: i64) -> Result<()> {
    if !matches!(actor, Actor::User { credential: Credential::ApiToken { id: own, .. }, .. } if *own == id)
    {
        actor.require(Right::Credentials)?;
    }
    let user = actor.account()?.id;
    app.store
        .api_token(id)
        .await?
        .filter(|token| token.user_id == user)
        .ok_or_else(|| Error::new(Code::NotFound, "you have no API token with this id"))?;
    let batch = Batch::new().delete(RecordKey::ApiToken(id), Expect::Any);
    app.store.commit(batch).await.map(drop)
}

/// The user and scope of a token's secret text. It is found by its digest, so
/// the time of the look-up tells nothing about a secret that is near another.
pub(super) async fn check(app: &App, secret: &str) -> Result<(UserId, Credential)> {
    let token = app
        .store
        .api_token_by_digest(&digest_of(secret))
        .await?
        .filter(|token| token.expires_at.is_none_or(|end| end > app.clock.now()))
        .ok_or_else(refused)?;
    let credential = Credential::ApiToken {
        id: token.id,
        scope: token.scope,
    };
    Ok((token.user_id, credential))
}

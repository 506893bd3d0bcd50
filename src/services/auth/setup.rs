//! The way in: the first admin's setup link, and invites.
//!
//! There is one setup link at a time. Its row lies under a fixed key, so that
//! printing the link again shows the same one, and using it deletes the row:
//! of two setups at once, one finds it gone. Its secret is an HMAC over the
//! row's time, so that the row does not hold it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use ring::hmac;

use super::accounts::{self, NewAccount};
use super::sessions::{self, Login};
use super::{Actor, Right, digest_of, input, limits};
use crate::app::App;
use crate::clock::Timestamp;
use crate::config::Secret;
use crate::domain::user::{LinkPurpose, OneTimeLink, Role, User};
use crate::error::{Code, Error, Result};
use crate::services::seal;
use crate::store::batch::RecordKey;
use crate::store::{Batch, Expect, Record};

/// A setup link's life.
pub const SETUP_LIFE: Duration = Duration::from_mins(30);
/// An invite's life.
pub const INVITE_LIFE: Duration = Duration::from_hours(7 * 24);
/// The key of the setup link's row: no digest has this form.
const SETUP_KEY: &str = "setup";

/// A link to hand out. Its path holds a secret: print it where only the
/// operator looks, never log it.
pub struct Link {
    /// `/setup?token=…` or `/register?invite=…`.
    path: String,
    pub expires_at: Timestamp,
}

impl Link {
    /// The whole link, on a server reached at `base`.
    #[must_use]
    pub fn url(&self, base: &str) -> String {
        format!("{}{}", base.trim_end_matches('/'), self.path)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

/// What a start finds about the first admin.
#[derive(Debug)]
pub enum FirstAdmin {
    /// There is an admin already.
    Exists,
    /// Made just now from `ADMIN_EMAIL` and `ADMIN_PASSWORD`.
    Created(Box<User>),
    /// Nobody yet: the person who opens this link will be.
    Needed(Link),
}

/// Sees to the first admin at start.
///
/// # Errors
/// `INVALID_INPUT` for a bad `ADMIN_EMAIL` or `ADMIN_PASSWORD`.
pub async fn first_admin(app: &App) -> Result<FirstAdmin> {
    if app.store.has_admin().await? {
        return Ok(FirstAdmin::Exists);
    }
    let Some((email, password)) = &app.config.accounts.admin else {
        return setup_link(app).await.map(|link| match link {
            Some(link) => FirstAdmin::Needed(link),
            None => FirstAdmin::Exists,
        });
    };
    match from_configuration(app, email, password).await {
        Ok(user) => Ok(FirstAdmin::Created(Box::new(user))),
        // Another process of the deployment was faster with the same account.
        Err(error) if error.code == Code::EmailTaken && app.store.has_admin().await? => {
            Ok(FirstAdmin::Exists)
        }
        // An account that somebody has registered is not made an admin by this:
        // its password is theirs.
        Err(error) if error.code == Code::EmailTaken => Err(Error::new(
            error.code,
            "the account with the address ADMIN_EMAIL exists and is no admin; choose another \
             address, or unset ADMIN_EMAIL and open the setup link",
        )),
        Err(error) if error.code == Code::InvalidInput => Err(Error::new(
            error.code,
            format!(
                "ADMIN_EMAIL and ADMIN_PASSWORD cannot make the first admin: {}",
                error.message
            ),
        )),
        Err(error) => Err(error),
    }
}

async fn from_configuration(app: &App, email: &str, password: &Secret) -> Result<User> {
    // Only an address is given. Its local part makes a good username, if it can
    // be one and nobody has it.
    let local = email.split('@').next().unwrap_or_default();
    let unique = format!("admin-{}", HEXLOWER.encode(&app.random.bytes::<4>()));
    let mut names = vec!["admin", unique.as_str()];
    if input::username(local).is_ok() {
        names.insert(0, local);
    }
    let mut refusal = None;
    for username in names {
        let new = NewAccount {
            email: email.to_owned(),
            username: username.to_owned(),
            password: password.clone(),
        };
        match accounts::create_user(app, &Actor::System, new, Role::Admin).await {
            Err(error) if error.code == Code::UsernameTaken => refusal = Some(error),
            other => return other,
        }
    }
    Err(refusal.unwrap_or_else(|| Error::internal("no username was tried")))
}

/// The setup link: the one that is good now, or a new one. `None` when an
/// admin exists.
pub async fn setup_link(app: &App) -> Result<Option<Link>> {
    if app.store.has_admin().await? {
        return Ok(None);
    }
    let row = current_setup_row(app).await?;
    Ok(Some(Link {
        path: format!("/setup?token={}", setup_secret(app, &row)?),
        expires_at: row.expires_at,
    }))
}

async fn current_setup_row(app: &App) -> Result<OneTimeLink> {
    loop {
        let now = app.clock.now();
        let stored = app.store.one_time_link(SETUP_KEY).await?;
        // A row that was used up meanwhile is not written again.
        let expect = match stored {
            Some(row) if row.expires_at > now => return Ok(row),
            Some(_) => Expect::Revision(1),
            None => Expect::Absent,
        };
        let row = new_row(app, SETUP_KEY.to_owned(), LinkPurpose::Setup, SETUP_LIFE);
        let batch = Batch::new().put(Record::OneTimeLink(row.clone()), expect);
        match app.store.commit(batch).await {
            Ok(_) => return Ok(row),
            // Somebody else has printed one at the same time: show the same.
            Err(error) if error.code == Code::Conflict => {}
            Err(error) => return Err(error),
        }
    }
}

fn setup_secret(app: &App, row: &OneTimeLink) -> Result<String> {
    let tag = hmac::sign(&setup_key(app)?, &signed_part(row));
    Ok(BASE32_NOPAD.encode(tag.as_ref()).to_ascii_lowercase())
}

fn setup_key(app: &App) -> Result<hmac::Key> {
    let key = seal::derive(&app.config.secrets.jwt, b"setup link v1")?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
}

fn signed_part(row: &OneTimeLink) -> [u8; 8] {
    row.created_at.as_millis().to_be_bytes()
}

fn new_row(app: &App, digest: String, purpose: LinkPurpose, life: Duration) -> OneTimeLink {
    let now = app.clock.now();
    OneTimeLink {
        digest,
        purpose,
        created_at: now,
        expires_at: now.after(life),
    }
}

/// Refuses a setup secret that is not the one of the link that is good now.
///
/// # Errors
/// `NOT_FOUND` when an admin exists, `INVALID_OR_EXPIRED_TOKEN`.
pub async fn check_setup(app: &App, secret: &str) -> Result<()> {
    find_setup(app, secret).await.map(drop)
}

async fn find_setup(app: &App, secret: &str) -> Result<OneTimeLink> {
    // The row first: if it is still there after an admin has come, it was
    // made later, and the look at the admins finds that one.
    let row = app.store.one_time_link(SETUP_KEY).await?;
    if app.store.has_admin().await? {
        return Err(Error::new(
            Code::NotFound,
            "this server is set up; log in instead",
        ));
    }
    let row = row
        .filter(|row| row.expires_at > app.clock.now())
        .ok_or_else(no_such_link)?;
    let tag = BASE32_NOPAD
        .decode(secret.to_ascii_uppercase().as_bytes())
        .map_err(|_| no_such_link())?;
    hmac::verify(&setup_key(app)?, &signed_part(&row), &tag).map_err(|_| no_such_link())?;
    Ok(row)
}

/// Makes the first admin and logs them in.
///
/// # Errors
/// `NOT_FOUND` when there is one, `INVALID_OR_EXPIRED_TOKEN`, `INVALID_INPUT`,
/// `RATE_LIMIT_EXCEEDED`.
pub async fn set_up(app: &App, from: IpAddr, secret: &str, new: NewAccount) -> Result<Login> {
    let key = limits::address_key("setup", from);
    limits::hit(app, &key, limits::REGISTER_PER_ADDRESS).await?;
    find_setup(app, secret).await?;
    let user = accounts::prepare(app, &new, Role::Admin).await?;
    let (session, token) = sessions::issue(app, user.id)?;
    // Once more, because hashing took a while in which another may have won.
    let link = find_setup(app, secret).await?;
    let batch = Batch::new()
        .put(Record::User(user.clone()), Expect::Absent)
        .put(Record::Session(session.clone()), Expect::Absent);
    match app.store.commit(use_up(batch, &link)).await {
        Ok(_) => Ok(Login {
            token,
            expires_at: session.expires_at,
            user,
        }),
        Err(error) if error.code == Code::Conflict => Err(no_such_link()),
        Err(error) => Err(error),
    }
}

/// A link that lets one person register.
///
/// # Errors
/// `FORBIDDEN` unless `actor` is an admin or the operator.
pub async fn invite(app: &App, actor: &Actor) -> Result<Link> {
    actor.require(Right::Credentials)?;
    if !actor.is_admin() {
        return Err(Error::new(Code::Forbidden, "only an admin invites people"));
    }
    let secret = BASE32_NOPAD
        .encode(&app.random.bytes::<32>())
        .to_ascii_lowercase();
    let row = new_row(app, digest_of(&secret), LinkPurpose::Invite, INVITE_LIFE);
    let expires_at = row.expires_at;
    let batch = Batch::new().put(Record::OneTimeLink(row), Expect::Absent);
    app.store.commit(batch).await?;
    Ok(Link {
        path: format!("/register?invite={secret}"),
        expires_at,
    })
}

/// The row of a link by its secret.
///
/// # Errors
/// `INVALID_OR_EXPIRED_TOKEN`.
pub(super) async fn find(app: &App, purpose: LinkPurpose, secret: &str) -> Result<OneTimeLink> {
    app.store
        .one_time_link(&digest_of(secret))
        .await?
        .filter(|row| row.purpose == purpose && row.expires_at > app.clock.now())
        .ok_or_else(no_such_link)
}

/// Refuses an invite that would not be taken.
///
/// # Errors
/// `INVALID_OR_EXPIRED_TOKEN`.
pub async fn check_invite(app: &App, secret: &str) -> Result<()> {
    find(app, LinkPurpose::Invite, secret).await.map(drop)
}

/// `batch`, which goes through only if `link` is still there, and takes it.
pub(super) fn use_up(batch: Batch, link: &OneTimeLink) -> Batch {
    batch.delete(
        RecordKey::OneTimeLink(link.digest.clone()),
        Expect::Revision(1),
    )
}

pub(super) fn no_such_link() -> Error {
    Error::new(
        Code::InvalidOrExpiredToken,
        "this link is not valid, was used, or is past its time; \
         `hivesync admin setup-link` or `hivesync admin invite` on the server prints a new one",
    )
}

//! Accounts: register, log in, look, change.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::sessions::{self, Login};
use super::{Actor, Right, input, limits, passwords, refused, setup};
use crate::app::App;
use crate::config::{Registration, Secret};
use crate::domain::UserId;
use crate::domain::user::{LinkPurpose, Role, User};
use crate::error::{Code, Context, Error, Result};
use crate::store::{Batch, Expect, Record, Sequence, Versioned};

/// The most bytes of a user's preferences as JSON text.
const PREFERENCES_MAX_BYTES: usize = 16 * 1024;
const SEARCH_MIN_CHARS: usize = 2;
const SEARCH_RESULTS: usize = 20;

/// The names and password of an account to be.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub email: String,
    pub username: String,
    pub password: Secret,
}

/// A changed account: only what is `Some` changes.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    pub email: Option<String>,
    pub username: Option<String>,
    pub preferences: Option<Map<String, Value>>,
}

/// Checks the input and hashes the password: an account ready to be stored.
pub(super) async fn prepare(app: &App, new: &NewAccount, role: Role) -> Result<User> {
    let email = input::email(&new.email)?;
    let username = input::username(&new.username)?;
    input::password("password", new.password.expose(), &email, &username)?;
    let now = app.clock.now();
    Ok(User {
        id: UserId(app.store.allocate(Sequence::User).await?),
        email,
        username,
        role,
        password_hash: passwords::hash(app.random.as_ref(), new.password.expose()).await?,
        disabled: false,
        preferences: "{}".to_owned(),
        created_at: now,
        updated_at: now,
    })
}

/// Makes the caller an account and logs them in. `invite` is the secret of an
/// invite link; it is used up by the one commit that makes the account.
///
/// # Errors
/// `FORBIDDEN` when registration is closed or needs an invite,
/// `INVALID_OR_EXPIRED_TOKEN` for a bad one, `EMAIL_TAKEN`, `USERNAME_TAKEN`,
/// `INVALID_INPUT`, `RATE_LIMIT_EXCEEDED`.
pub async fn register(
    app: &App,
    from: IpAddr,
    new: NewAccount,
    invite: Option<&str>,
) -> Result<Login> {
    let key = limits::address_key("register", from);
    limits::hit(app, &key, limits::REGISTER_PER_ADDRESS).await?;
    // An invite is honoured wherever one is shown, also where registration is
    // open or closed: an admin has given it out.
    let invite = match (invite, app.config.accounts.registration) {
        (Some(secret), _) => Some(setup::find(app, LinkPurpose::Invite, secret).await?),
        (None, Registration::Open) => None,
        (None, Registration::Invite) => {
            return Err(Error::new(
                Code::Forbidden,
                "registration needs an invite; ask an admin of this server for a link",
            ));
        }
        (None, Registration::Closed) => {
            return Err(Error::new(
                Code::Forbidden,
                "registration is closed on this server; ask an admin for an account",
            ));
        }
    };
    let user = prepare(app, &new, Role::User).await?;
    let (session, token) = sessions::issue(app, user.id)?;
    let mut batch = Batch::new()
        .put(Record::User(user.clone()), Expect::Absent)
        .put(Record::Session(session.clone()), Expect::Absent);
    if let Some(link) = &invite {
        batch = setup::use_up(batch, link);
    }
    match app.store.commit(batch).await {
        Ok(_) => Ok(Login {
            token,
            expires_at: session.expires_at,
            user,
        }),
        // Everything else that the batch expects is new.
        Err(error) if error.code == Code::Conflict && invite.is_some() => {
            Err(setup::no_such_link())
        }
        Err(error) => Err(error),
    }
}

/// Starts a session.
///
/// Whether the account exists, the password is wrong or the account is
/// disabled: the answer is the same, and so is the time it takes.
///
/// # Errors
/// `UNAUTHENTICATED`, `RATE_LIMIT_EXCEEDED`.
pub async fn login(
    app: &App,
    from: IpAddr,
    username_or_email: &str,
    password: &Secret,
) -> Result<Login> {
    let key = limits::address_key("login", from);
    limits::hit(app, &key, limits::LOGIN_PER_ADDRESS).await?;
    let login = username_or_email.trim().to_lowercase();
    let account = app.store.user_by_login(&login).await?;
    let key = match &account {
        Some(account) => limits::user_key("login", account.value.id),
        // What was typed may be a password: only its digest is kept.
        None => format!("rate:login:name:{}", super::digest_of(&login)),
    };
    limits::hit(app, &key, limits::LOGIN_PER_ACCOUNT).await?;
    let stored = account.as_ref().map(|a| a.value.password_hash.as_str());
    // A longer one cannot be right, and hashing it would be work for nothing.
    let right = password.expose().len() <= input::PASSWORD_MAX_BYTES
        && passwords::verify(stored, password.expose()).await?;
    match account {
        Some(account) if right && !account.value.disabled => sessions::start(app, account).await,
        _ => Err(Error::new(
            Code::Unauthenticated,
            "the username, e-mail address or password is wrong",
        )),
    }
}

/// Changes the caller's account.
///
/// # Errors
/// `INVALID_INPUT`, `EMAIL_TAKEN`, `USERNAME_TAKEN`, `CONFLICT` when another
/// change came in between, `FORBIDDEN` when an API token changes a name.
pub async fn update(app: &App, actor: &Actor, change: AccountChange) -> Result<User> {
    actor.require(Right::Manage)?;
    if change.email.is_some() || change.username.is_some() {
        actor.require(Right::Credentials)?;
    }
    let account = current(app, actor).await?;
    let mut user = account.value;
    if let Some(email) = &change.email {
        user.email = input::email(email)?;
    }
    if let Some(username) = &change.username {
        user.username = input::username(username)?;
    }
    if let Some(preferences) = &change.preferences {
        user.preferences = preferences_text(preferences)?;
    }
    user.updated_at = app.clock.now();
    let batch = Batch::new().put(
        Record::User(user.clone()),
        Expect::Revision(account.revision),
    );
    app.store.commit(batch).await?;
    Ok(user)
}

fn preferences_text(preferences: &Map<String, Value>) -> Result<String> {
    let text = serde_json::to_string(preferences).or_internal("write preferences")?;
    if text.len() > PREFERENCES_MAX_BYTES {
        return Err(Error::invalid(
            "preferences",
            format!("preferences are a JSON object of at most {PREFERENCES_MAX_BYTES} bytes"),
        ));
    }
    Ok(text)
}

async fn current(app: &App, actor: &Actor) -> Result<Versioned<User>> {
    app.store
        .user(actor.account()?.id)
        .await?
        .ok_or_else(refused)
}

/// Changes the caller's password and ends their other sessions.
///
/// # Errors
/// `FORBIDDEN` when `old` is wrong, `INVALID_INPUT`, `RATE_LIMIT_EXCEEDED`.
pub async fn change_password(app: &App, actor: &Actor, old: &Secret, new: &Secret) -> Result<()> {
    actor.require(Right::Credentials)?;
    let Actor::User {
        user,
        credential: super::Credential::Session { id: session },
    } = actor
    else {
        return Err(refused());
    };
    let key = limits::user_key("password", user.id);
    limits::hit(app, &key, limits::PASSWORD_CHECKS).await?;
    input::password("new_password", new.expose(), &user.email, &user.username)?;
    let right = old.expose().len() <= input::PASSWORD_MAX_BYTES
        && passwords::verify(Some(&user.password_hash), old.expose()).await?;
    if !right {
        return Err(Error::new(Code::Forbidden, "the current password is wrong")
            .with("field", "current_password"));
    }
    let hash = passwords::hash(app.random.as_ref(), new.expose()).await?;
    sessions::change_password(app, user.id, &user.password_hash, hash, session).await
}

/// Makes an account with any role.
///
/// # Errors
/// `FORBIDDEN` unless `actor` is an admin or the operator; as [`register`].
pub async fn create_user(app: &App, actor: &Actor, new: NewAccount, role: Role) -> Result<User> {
    actor.require(Right::Credentials)?;
    if !actor.is_admin() {
        return Err(Error::new(Code::Forbidden, "only an admin makes accounts"));
    }
    let user = prepare(app, &new, role).await?;
    let batch = Batch::new().put(Record::User(user.clone()), Expect::Absent);
    app.store.commit(batch).await?;
    Ok(user)
}

/// Accounts whose username or e-mail address begins with `query`.
///
/// # Errors
/// `INVALID_INPUT` for less than two characters, `RATE_LIMIT_EXCEEDED`.
pub async fn search(app: &App, actor: &Actor, query: &str) -> Result<Vec<User>> {
    actor.require(Right::Read)?;
    let query = query.trim().to_lowercase();
    if query.chars().count() < SEARCH_MIN_CHARS {
        return Err(Error::invalid(
            "q",
            "type at least 2 characters of a username or e-mail address",
        ));
    }
    if let Some(user) = actor.user_id() {
        limits::hit(app, &limits::user_key("search", user), limits::USER_SEARCH).await?;
    }
    let mut found = app.store.search_users(&query, SEARCH_RESULTS).await?;
    found.retain(|user| !user.disabled);
    Ok(found)
}

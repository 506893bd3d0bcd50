//! The two signed texts around a preview: the token that asks for one, and
//! the access token that opens one job.
//!
//! Pure rules: nothing is stored and nothing is looked up here. Whether the
//! token's user may still read the project is asked by
//! [`crate::services::previews`].

mod access;
mod inspect;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::clock::{Random, Timestamp};
use crate::config::Secret;
use crate::domain::preview::{Platform, TokenFacts};
use crate::domain::{ProjectId, UserId};
use crate::error::{Code, Context, Error, Result};

pub use access::{ACCESS_PREFIX, access, opens};
pub use inspect::{DecodedPayload, decode_payload};

/// The only version there is.
pub const VERSION: u32 = 1;

/// Longer texts are refused unread. A payload with the longest ref, all of it
/// escaped, stays below.
const MAX_TOKEN_BYTES: usize = 4096;

/// What a preview token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreviewToken {
    pub project: ProjectId,
    pub git_ref: String,
    pub user: UserId,
    pub platform: Platform,
    pub facts: TokenFacts,
}

/// The payload as it stands in the token.
#[derive(Serialize, Deserialize)]
struct Payload<'a> {
    pid: i64,
    #[serde(rename = "ref")]
    git_ref: Cow<'a, str>,
    uid: i64,
    /// Unix seconds, as is `exp`.
    ts: i64,
    exp: i64,
    plat: Cow<'a, str>,
    ver: u32,
    /// Makes two tokens differ that are issued in the same second. Not looked
    /// at when a token is checked.
    #[serde(default, skip_deserializing)]
    n: String,
}

/// Signs a token that is good from `now` for `ttl` (whole seconds).
///
/// # Errors
/// `INTERNAL_ERROR` when the payload does not serialise.
pub fn issue(
    secret: &Secret,
    random: &dyn Random,
    now: Timestamp,
    ttl: std::time::Duration,
    request: (ProjectId, &str, UserId, Platform),
) -> Result<String> {
    let (project, git_ref, user, platform) = request;
    let ts = now.as_secs();
    let payload = Payload {
        pid: project.0,
        git_ref: git_ref.into(),
        uid: user.0,
        ts,
        exp: ts.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)),
        plat: platform.as_str().into(),
        ver: VERSION,
        n: HEXLOWER.encode(&random.bytes::<8>()),
    };
    let json = serde_json::to_vec(&payload).or_internal("encode a preview token")?;
    Ok(sign(secret, &json))
}

fn sign(secret: &Secret, json: &[u8]) -> String {
    let mut text = BASE64URL_NOPAD.encode(json);
    let tag = hmac::sign(&key(secret), text.as_bytes());
    text.push('.');
    BASE64URL_NOPAD.encode_append(tag.as_ref(), &mut text);
    text
}

fn key(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())
}

/// Checks a token's signature, fields and time.
///
/// # Errors
/// `INVALID_OR_EXPIRED_TOKEN`, which tells "expired" from "not valid" and
/// nothing more; `UNSUPPORTED_PLATFORM` for a good token that names another
/// platform.
pub fn verify(secret: &Secret, text: &str, now: Timestamp) -> Result<PreviewToken> {
    let json = signed_payload(secret, text).ok_or_else(invalid)?;
    let payload: Payload = serde_json::from_slice(&json).map_err(|_| invalid())?;
    if payload.ver != VERSION || payload.exp < payload.ts || payload.git_ref.is_empty() {
        return Err(invalid());
    }
    let expires_at = Timestamp::from_secs(payload.exp);
    if expires_at <= now {
        return Err(expired());
    }
    let platform = Platform::parse(&payload.plat).ok_or_else(unknown_platform)?;
    Ok(PreviewToken {
        project: ProjectId(payload.pid),
        user: UserId(payload.uid),
        platform,
        facts: TokenFacts {
            issued_at: Timestamp::from_secs(payload.ts),
            expires_at,
            version: payload.ver,
        },
        git_ref: payload.git_ref.into_owned(),
    })
}

/// The payload's JSON, if the signature over it is ours.
fn signed_payload(secret: &Secret, text: &str) -> Option<Vec<u8>> {
    if text.len() > MAX_TOKEN_BYTES {
        return None;
    }
    let (payload, tag) = text.split_once('.')?;
    let tag = BASE64URL_NOPAD.decode(tag.as_bytes()).ok()?;
    // Compares in constant time.
    hmac::verify(&key(secret), payload.as_bytes(), &tag).ok()?;
    BASE64URL_NOPAD.decode(payload.as_bytes()).ok()
}

fn invalid() -> Error {
    Error::new(
        Code::InvalidOrExpiredToken,
        "the preview token is not valid; copy it whole, or request a new one",
    )
    .with("reason", "invalid")
}

fn expired() -> Error {
    Error::new(
        Code::InvalidOrExpiredToken,
        "the preview token has expired; request a new one",
    )
    .with("reason", "expired")
}

/// The platform is not one that previews are built for.
#[must_use]
pub fn unknown_platform() -> Error {
    Error::new(
        Code::UnsupportedPlatform,
        "the platform must be one of ios, android and web",
    )
    .with("field", "platform")
}

//! Accounts, their sessions and tokens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::UserId;
use crate::clock::Timestamp;

/// What an account may do beyond its own projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    User,
    Admin,
    /// The three read-only roles may look at everything under `/admin`.
    Support,
    Developer,
    Sysops,
}

impl Role {
    pub const ALL: [Role; 5] = [
        Role::User,
        Role::Admin,
        Role::Support,
        Role::Developer,
        Role::Sysops,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::User => "user",
            Role::Admin => "admin",
            Role::Support => "support",
            Role::Developer => "developer",
            Role::Sysops => "sysops",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Role> {
        Self::ALL.into_iter().find(|r| r.as_str() == text)
    }

    /// May look at the administration pages.
    #[must_use]
    pub const fn reads_admin(self) -> bool {
        !matches!(self, Role::User)
    }
}

/// An account. E-mail and username are unique without regard to case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub username: String,
    pub role: Role,
    /// A PHC string (argon2id); never leaves the server.
    pub password_hash: String,
    pub disabled: bool,
    /// The client's own settings: a JSON object as text, at most 16 KiB.
    pub preferences: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A login that can be revoked. Its id stands in the JWT as `sid`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// 26 characters of base32, random.
    pub id: String,
    pub user_id: UserId,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// What an API token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Everything the account may do, except managing tokens and passwords.
    Full,
    /// Read projects, previews and logs.
    Read,
    /// Read, upload sources, and request and cancel previews.
    Build,
}

/// A long-lived credential for CI and git. Only its digest is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    pub id: i64,
    pub user_id: UserId,
    pub name: String,
    /// Hex SHA-256 of the token.
    pub digest: String,
    pub scope: Scope,
    pub created_at: Timestamp,
    /// `None`: until it is deleted.
    pub expires_at: Option<Timestamp>,
}

/// What a one-time link opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkPurpose {
    /// Makes the first admin.
    Setup,
    /// Lets one person register where `REGISTRATION=invite`.
    Invite,
}

/// A link that works once. Only its digest is stored; using it deletes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneTimeLink {
    /// Hex SHA-256 of the secret in the link.
    pub digest: String,
    pub purpose: LinkPurpose,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

/// The longest e-mail address that can be delivered to (RFC 5321, 4.5.3.1.3).
const EMAIL_MAX_BYTES: usize = 254;
const LOCAL_PART_MAX_BYTES: usize = 64;

/// An e-mail address, trimmed and in lower case: two spellings of one mailbox
/// must not become two accounts.
///
/// `None` for what could never be one; whether it can be delivered to only a
/// delivery shows.
#[must_use]
pub fn email_address(text: &str) -> Option<String> {
    let text = text.trim().to_lowercase();
    let (local, domain) = text.rsplit_once('@')?;
    let local_ok = !local.is_empty()
        && local.len() <= LOCAL_PART_MAX_BYTES
        && !local.contains(['@', '<', '>', '"', ',', ';', ':', '(', ')'])
        && !local.contains(|c: char| c.is_whitespace() || c.is_control());
    let domain_ok = domain.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    });
    (local_ok && domain_ok && text.len() <= EMAIL_MAX_BYTES).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_trimmed_and_lowered() {
        for (text, kept) in [
            ("  Ada@Example.COM ", "ada@example.com"),
            ("a+b.c@localhost", "a+b.c@localhost"),
            ("ünal@bücher.de", "ünal@bücher.de"),
        ] {
            assert_eq!(email_address(text).as_deref(), Some(kept));
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        let longer = format!("a@{}.com", "b.".repeat(126));
        for text in [
            "", "@", "a@", "@b.c", "a b@c.d", "a@b@c.d", "a@b..c", "a@-b.c", "a@b-.c", "a@b_c.d",
            "a\n@b.c", "<a@b.c>", "a@b.c/", &long, &longer,
        ] {
            assert_eq!(email_address(text), None, "{text:?}");
        }
    }
}

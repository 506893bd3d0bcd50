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

//! Identifiers. Users and projects count up; job ids cannot be guessed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::Random;

macro_rules! integer_id {
    ($name:ident, $doc:literal) => {
        #[doc = $doc]
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            PartialOrd,
            Ord,
            Hash,
            Serialize,
            Deserialize,
            ToSchema,
        )]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

integer_id!(UserId, "An account: a positive integer.");
integer_id!(ProjectId, "A project: a positive integer.");

impl UserId {
    /// The server itself. No account has this number.
    pub const SERVER: UserId = UserId(0);
}

/// A job: `job_` and 26 characters of Crockford's base32 in lower case
/// (130 random bits), safe in a URL, a file name and a DNS label.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "job_5r8k2m0c9x7v1n4b6z3q8w2e7t")]
pub struct JobId(String);

const PREFIX: &str = "job_";
const RANDOM_CHARS: usize = 26;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl JobId {
    pub fn generate(random: &dyn Random) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + RANDOM_CHARS);
        text.push_str(PREFIX);
        for byte in random.bytes::<RANDOM_CHARS>() {
            text.push(char::from(ALPHABET[usize::from(byte & 31)]));
        }
        Self(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not of a job id's form.
#[derive(Debug, thiserror::Error)]
#[error("a job id is `job_` and 26 characters of 0-9 and a-z")]
pub struct BadJobId;

impl FromStr for JobId {
    type Err = BadJobId;

    fn from_str(text: &str) -> Result<Self, BadJobId> {
        let tail = text.strip_prefix(PREFIX).ok_or(BadJobId)?;
        if tail.len() == RANDOM_CHARS && tail.bytes().all(|b| ALPHABET.contains(&b)) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadJobId)
        }
    }
}

impl TryFrom<String> for JobId {
    type Error = BadJobId;

    fn try_from(text: String) -> Result<Self, BadJobId> {
        text.parse()
    }
}

impl From<JobId> for String {
    fn from(id: JobId) -> String {
        id.0
    }
}

//! Identifiers. Users and projects count up; job ids go by time and cannot be guessed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::clock::{Random, Timestamp};

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

/// A job: `job_` and 26 characters of Crockford's base32 in lower case, safe in
/// a URL, a file name and a DNS label.
///
/// The first 9 are the time, so that ids that are made together lie together in
/// an index: random ones would have each change of a job rewrite a page of its
/// own. The other 17 are random (85 bits) and cannot be guessed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "job_5r8k2m0c9x7v1n4b6z3q8w2e7t")]
pub struct JobId(String);

const PREFIX: &str = "job_";
const CHARS: usize = TIME_CHARS + RANDOM_CHARS;
/// 45 bits of milliseconds: a thousand years.
const TIME_CHARS: usize = 9;
const RANDOM_CHARS: usize = 17;
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl JobId {
    pub fn generate(random: &dyn Random, now: Timestamp) -> Self {
        let mut text = String::with_capacity(PREFIX.len() + CHARS);
        text.push_str(PREFIX);
        let millis = now.as_millis();
        for place in (0..TIME_CHARS).rev() {
            let [.., lowest] = (millis >> (5 * place)).to_be_bytes();
            text.push(digit(lowest));
        }
        text.extend(random.bytes::<RANDOM_CHARS>().map(digit));
        Self(text)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The digit of the lowest five bits.
fn digit(bits: u8) -> char {
    char::from(ALPHABET[usize::from(bits & 31)])
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
        if tail.len() == CHARS && tail.bytes().all(|b| ALPHABET.contains(&b)) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn ids_go_by_time_and_differ() {
        let random = SystemEntropy::new();
        let times = [0, 1, 31, 32, 1_800_000_000_000, 1_800_000_000_001];
        let ids = times.map(|at| JobId::generate(&random, Timestamp::from_millis(at)));
        assert!(ids.is_sorted());
        for id in &ids {
            assert_eq!(id.as_str().parse::<JobId>().unwrap(), *id);
        }
        let now = Timestamp::from_secs(1_800_000_000);
        assert_ne!(JobId::generate(&random, now), JobId::generate(&random, now));
    }
}

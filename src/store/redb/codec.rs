//! Records as bytes: one version byte, then bincode (little endian, variable
//! length integers), then a CRC-32 of all before. The one place that knows the
//! encoding.
//!
//! redb checks its pages' sums only when it checks or repairs a whole file,
//! which a start with a large file does not wait for. So that a flipped bit is
//! told all the same, and not taken for what was written, each record has a sum
//! of its own; [`SUMMED`] marks those that do.
//!
//! A record's current version is its domain type. To change such a type:
//! copy it as it was into [`super::frozen`], as a frozen struct; raise
//! [`Stored::VERSION`], name the frozen struct as [`Stored::Previous`] and
//! write [`Stored::upgrade`]. Old records are read through that, and written
//! anew at their next change. The golden bytes in the tests fail when a type
//! was changed without this.

use std::fmt;

use bincode::config::{self, Config};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::domain::job::Job;
use crate::domain::project::{Member, Project};
use crate::domain::user::{ApiToken, OneTimeLink, Session, User};
use crate::error::{Code, Error};

/// The most bytes of one record. Also stops a damaged length from asking for
/// all memory.
const LIMIT: usize = 16 << 20;

/// Set in the version byte of a record that ends with its sum. The first
/// records had none; each has one after its next change.
const SUMMED: u8 = 0x80;
const SUM_LENGTH: usize = size_of::<u32>();

fn encoding() -> impl Config {
    config::standard().with_limit::<LIMIT>()
}

/// A record with its own key in a table.
pub(super) trait Stored: Serialize + DeserializeOwned {
    /// What messages call it.
    const NAME: &'static str;
    /// From 1. Grows with every change of the encoding.
    const VERSION: u8;
    /// The type as it was one version ago; [`Nothing`] for a first version.
    type Previous: Stored;

    fn upgrade(previous: Self::Previous) -> Self;
}

/// What came before the first version: no value has this type.
#[derive(Serialize, Deserialize)]
pub(super) enum Nothing {}

impl Stored for Nothing {
    const NAME: &'static str = "nothing";
    const VERSION: u8 = 0;
    type Previous = Nothing;

    fn upgrade(previous: Nothing) -> Self {
        previous
    }
}

macro_rules! first_version {
    ($($type:ty = $name:literal,)*) => {$(
        impl Stored for $type {
            const NAME: &'static str = $name;
            const VERSION: u8 = 1;
            type Previous = Nothing;

            fn upgrade(previous: Nothing) -> Self {
                match previous {}
            }
        }
    )*};
}

first_version! {
    Revised<User> = "account",
    Revised<Project> = "project",
    Session = "session",
    ApiToken = "API token",
    OneTimeLink = "one-time link",
    Member = "membership",
    PlacedJob = "job",
    GroupRow = "queue group",
    QueueRow = "queue state",
}

/// A record that counts its revisions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Revised<T> {
    pub(super) revision: u64,
    pub(super) value: T,
}

/// A job as the queue keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct PlacedJob {
    /// Its place in the order of arrival.
    pub(super) place: u64,
    /// Its time has come. That stays so when the clock is set back.
    pub(super) due: bool,
    pub(super) job: Job,
}

/// One fairness group of one queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct GroupRow {
    /// Orders the groups: see [`super::jobs`].
    pub(super) turn: u64,
    pub(super) running: u32,
    /// How many jobs are ready, by priority; none that are zero.
    pub(super) ready: Vec<(u8, u64)>,
}

/// What the queue knows of itself, by queue where it is an array.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct QueueRow {
    pub(super) last_place: u64,
    pub(super) last_turn: u64,
    /// Indexed by `Queue as usize`; a queue added later is zero.
    pub(super) queues: Vec<QueueCounts>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct QueueCounts {
    pub(super) queued: u64,
    pub(super) running: u64,
    pub(super) dead: u64,
    pub(super) paused: bool,
}

pub(super) fn encode<T: Stored>(record: &T) -> Result<Vec<u8>, CodecError> {
    let mut bytes = vec![T::VERSION | SUMMED];
    bincode::serde::encode_into_std_write(record, &mut bytes, encoding())
        .map_err(|cause| CodecError::new::<T>(Problem::Encode(cause)))?;
    if bytes.len() > LIMIT {
        return Err(CodecError::new::<T>(Problem::TooLarge(bytes.len())));
    }
    let sum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
    Ok(bytes)
}

pub(super) fn decode<T: Stored>(bytes: &[u8]) -> Result<T, CodecError> {
    let (&marker, rest) = bytes
        .split_first()
        .ok_or_else(|| CodecError::new::<T>(Problem::Empty))?;
    let version = marker & !SUMMED;
    if version > T::VERSION {
        return Err(CodecError::new::<T>(Problem::Newer(version)));
    }
    if version < T::VERSION {
        // Ends at `Nothing`, whose version is the lowest there is.
        return decode::<T::Previous>(bytes).map(T::upgrade);
    }
    let body = match marker & SUMMED {
        0 => rest,
        _ => checked(bytes).ok_or_else(|| CodecError::new::<T>(Problem::Sum))?,
    };
    let (record, read) = bincode::serde::decode_from_slice(body, encoding())
        .map_err(|cause| CodecError::new::<T>(Problem::Decode(cause)))?;
    match body.len() - read {
        0 => Ok(record),
        left => Err(CodecError::new::<T>(Problem::Trailing(left))),
    }
}

/// What stands between the version and the sum, if the sum is right.
fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (summed, sum) = bytes.split_last_chunk::<SUM_LENGTH>()?;
    (crc32fast::hash(summed) == u32::from_le_bytes(*sum)).then(|| summed.get(1..))?
}

/// A record that could not be written or read.
#[derive(Debug)]
pub(super) struct CodecError {
    record: &'static str,
    problem: Problem,
}

#[derive(Debug)]
enum Problem {
    Empty,
    Sum,
    Newer(u8),
    Trailing(usize),
    TooLarge(usize),
    Encode(bincode::error::EncodeError),
    Decode(bincode::error::DecodeError),
}

impl CodecError {
    fn new<T: Stored>(problem: Problem) -> Self {
        Self {
            record: T::NAME,
            problem,
        }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.record;
        match &self.problem {
            Problem::Empty => write!(f, "a stored {record} is empty: the database is damaged"),
            Problem::Sum => write!(
                f,
                "a stored {record} is not what was written: the database is damaged; stop the \
                 server and restore a backup"
            ),
            Problem::Newer(version) => write!(
                f,
                "a stored {record} has version {version}, which a newer HiveSync has written; \
                 run that version again"
            ),
            Problem::Trailing(left) => write!(
                f,
                "a stored {record} has {left} bytes too many: the database is damaged"
            ),
            Problem::TooLarge(size) => {
                write!(f, "a {record} of {size} bytes is over the limit of {LIMIT}")
            }
            Problem::Encode(cause) => write!(f, "a {record} cannot be encoded: {cause}"),
            Problem::Decode(cause) => write!(
                f,
                "a stored {record} cannot be read, so the database is damaged: {cause}"
            ),
        }
    }
}

impl std::error::Error for CodecError {}

impl CodecError {
    pub(super) fn into_error(self) -> Error {
        let code = match self.problem {
            Problem::TooLarge(_) => Code::PayloadTooLarge,
            _ => Code::InternalError,
        };
        Error::new(code, self.to_string())
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;

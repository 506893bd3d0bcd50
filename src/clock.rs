//! Time and randomness as parameters: code asks the [`Clock`] and the
//! [`Random`] it was given, so tests decide both. `clippy.toml` forbids the
//! shortcuts.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

/// A point in time: milliseconds since the Unix epoch, UTC.
///
/// In JSON it is RFC 3339 text, in the stores the bare integer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    #[must_use]
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// `self + duration`, at the end of time when that would overflow.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// `self - duration`.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// RFC 3339 with milliseconds and `Z`.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        DateTime::<Utc>::from_timestamp_millis(self.0)
            .unwrap_or_default()
            .to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.to_rfc3339())
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            DateTime::parse_from_rfc3339(&text)
                .map(|t| Self(t.timestamp_millis()))
                .map_err(serde::de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self)
        }
    }
}

/// Where "now" comes from.
pub trait Clock: Send + Sync {
    /// The time, to the millisecond.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the machine's clock"
    )]
    fn now(&self) -> Timestamp {
        Timestamp(Utc::now().timestamp_millis())
    }
}

/// A clock that moves only when told.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    #[must_use]
    pub fn starting_at(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.0))
    }

    pub fn advance(&self, by: Duration) {
        self.set(self.now().after(by));
    }

    pub fn set(&self, now: Timestamp) {
        self.0.store(now.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Where unguessable bytes come from.
pub trait Random: Send + Sync {
    /// Overwrites all of `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}

impl dyn Random + '_ {
    /// `N` random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }
}

/// The operating system's generator, asked for a few hundred bytes at a time:
/// a request needs some tens of them, and asking costs a system call.
pub struct SystemEntropy {
    system: SystemRandom,
    ahead: Mutex<Ahead>,
}

/// Bytes that nobody has got yet. They are erased as they are handed out.
struct Ahead {
    bytes: Zeroizing<[u8; AHEAD]>,
    /// Those before are gone.
    next: usize,
}

const AHEAD: usize = 512;

impl SystemEntropy {
    #[must_use]
    pub fn new() -> Self {
        let ahead = Ahead {
            bytes: Zeroizing::new([0; AHEAD]),
            next: AHEAD,
        };
        Self {
            system: SystemRandom::new(),
            ahead: Mutex::new(ahead),
        }
    }

    fn ask(&self, bytes: &mut [u8]) {
        // getrandom(2) fails only on a kernel without it; going on with
        // guessable secrets would be worse than stopping.
        self.system
            .fill(bytes)
            .expect("the operating system's random generator");
    }
}

impl Default for SystemEntropy {
    fn default() -> Self {
        Self::new()
    }
}

impl Random for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        if bytes.len() > AHEAD / 8 {
            return self.ask(bytes);
        }
        // Nothing but the system's refusal panics while it is held, and after
        // that there is nothing to hand out.
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        if AHEAD - ahead.next < bytes.len() {
            ahead.next = AHEAD;
            self.ask(&mut *ahead.bytes);
            ahead.next = 0;
        }
        let from = ahead.next;
        ahead.next += bytes.len();
        let given = &mut ahead.bytes[from..from + bytes.len()];
        bytes.copy_from_slice(given);
        given.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_random_bytes_are_given_twice_or_kept() {
        let random = SystemEntropy::new();
        let mut seen = HashSet::new();
        for length in [16, 24, 33, AHEAD / 8, AHEAD].repeat(100) {
            let mut bytes = vec![0; length];
            random.fill(&mut bytes);
            assert!(seen.insert(bytes[..16].to_vec()));
            let ahead = random.ahead.lock().unwrap();
            assert!(ahead.bytes[..ahead.next].iter().all(|byte| *byte == 0) || ahead.next == AHEAD);
        }
    }
}

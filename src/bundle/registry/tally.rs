//! What one install has used up, and what its log has been told.

use std::collections::HashSet;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::refusal::Refusal;
use crate::bundle::log::BuildLog;

/// Hosts that a log names one by one; a script may try millions.
const MAX_TOLD: usize = 20;

pub(super) struct Tally {
    log: BuildLog,
    limit: u64,
    used: AtomicU64,
    told_of_limit: AtomicBool,
    told: Mutex<HashSet<String>>,
}

impl Tally {
    /// `limit`: bytes in both directions together.
    pub(super) fn new(log: BuildLog, limit: u64) -> Self {
        Self {
            log,
            limit,
            used: AtomicU64::new(0),
            told_of_limit: AtomicBool::new(false),
            told: Mutex::default(),
        }
    }

    /// Counts bytes that go through.
    ///
    /// # Errors
    /// Once the limit is passed; nothing goes through any more then.
    pub(super) async fn count(&self, bytes: usize) -> io::Result<()> {
        let bytes = bytes as u64;
        let used = self.used.fetch_add(bytes, Ordering::Relaxed);
        if used.saturating_add(bytes) <= self.limit {
            return Ok(());
        }
        if !self.told_of_limit.swap(true, Ordering::Relaxed) {
            self.log
                .note(format!(
                    "the install has moved more than {} MB over the network, the limit of one \
                     install: it gets no more",
                    self.limit >> 20
                ))
                .await;
        }
        Err(io::ErrorKind::QuotaExceeded.into())
    }

    /// Writes the refusal to the log, once for each host.
    pub(super) async fn tell(&self, refusal: &Refusal) {
        let line = {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() > MAX_TOLD || !told.insert(format!("{}:{}", refusal.host, refusal.port)) {
                return;
            }
            if told.len() > MAX_TOLD {
                "the install tries more hosts that it may not reach; they are not listed here"
                    .to_owned()
            } else {
                refusal.to_string()
            }
        };
        self.log.note(line).await;
    }
}

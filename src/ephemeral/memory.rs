//! The memory adapter: for tests, and the oracle of the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use super::hub::Hub;
use super::{Ephemeral, Events, HEARTBEAT_LIFE, PURGE_INTERVAL, Rate, window};
use crate::clock::{Clock, Timestamp};
use crate::error::Result;

pub struct MemoryEphemeral {
    clock: Arc<dyn Clock>,
    hub: Hub,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    values: BTreeMap<String, (Timestamp, Vec<u8>)>,
    /// The hits, and when the last of them leaves the window.
    windows: BTreeMap<String, (Timestamp, Vec<Timestamp>)>,
    heartbeats: BTreeMap<String, (Timestamp, String)>,
    next_purge: Timestamp,
}

impl MemoryEphemeral {
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            hub: Hub::default(),
            state: Mutex::default(),
        }
    }

    /// The state without what is over, and the time. Nothing that can panic
    /// runs under the lock, so its data is whole.
    fn lock(&self) -> (MutexGuard<'_, State>, Timestamp) {
        let now = self.clock.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let next = now.after(PURGE_INTERVAL);
        // Later than that only when the clock has been set back.
        if now >= state.next_purge || state.next_purge > next {
            state.next_purge = next;
            state.values.retain(|_, (end, _)| now < *end);
            state.windows.retain(|_, (end, _)| now < *end);
            state
                .heartbeats
                .retain(|_, (at, _)| now.since(*at) <= HEARTBEAT_LIFE);
        }
        (state, now)
    }
}

#[async_trait]
impl Ephemeral for MemoryEphemeral {
    async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<()> {
        let (mut state, now) = self.lock();
        state
            .values
            .insert(key.to_owned(), (now.after(ttl), value.to_owned()));
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let (state, now) = self.lock();
        let kept = state.values.get(key).filter(|(end, _)| now < *end);
        Ok(kept.map(|(_, value)| value.clone()))
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.lock().0.values.remove(key);
        Ok(())
    }

    async fn hit(&self, key: &str, limit: u32, window: Duration) -> Result<Rate> {
        let (mut state, now) = self.lock();
        let (end, hits) = state.windows.entry(key.to_owned()).or_default();
        let rate = window::slide(hits, now, limit, window);
        *end = now.after(window);
        Ok(rate)
    }

    async fn heartbeat(&self, worker: &str, info: &str) -> Result<()> {
        let (mut state, now) = self.lock();
        state
            .heartbeats
            .insert(worker.to_owned(), (now, info.to_owned()));
        Ok(())
    }

    async fn heartbeats(&self) -> Result<Vec<(String, Timestamp, String)>> {
        let (state, now) = self.lock();
        Ok(state
            .heartbeats
            .iter()
            .filter(|(_, (at, _))| now.since(*at) <= HEARTBEAT_LIFE)
            .map(|(worker, (at, info))| (worker.clone(), *at, info.clone()))
            .collect())
    }

    async fn publish(&self, topic: &str, event: &str) -> Result<()> {
        self.hub.publish(topic, event);
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<Events> {
        Ok(self.hub.subscribe(topic))
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }

    fn name(&self) -> &'static str {
        "memory"
    }
}

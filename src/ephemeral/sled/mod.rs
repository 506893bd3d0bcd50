//! The sled adapter: records in a disposable folder, events within the
//! process.

mod folder;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sled::IVec;

use self::folder::{Folder, Trees};
use super::hub::Hub;
use super::{Ephemeral, Events, HEARTBEAT_LIFE, Rate, window};
use crate::clock::{Clock, Timestamp};
use crate::error::{Code, Context, Result};

pub struct SledEphemeral {
    folder: Arc<Folder>,
    clock: Arc<dyn Clock>,
    hub: Hub,
}

impl SledEphemeral {
    /// Opens the folder, wiped if need be. Blocks.
    ///
    /// # Errors
    /// `DEPENDENCY_FAILURE` when another process holds the folder, or when
    /// not even an empty one can be used.
    pub fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        Ok(Self {
            folder: Arc::new(Folder::open(path)?),
            clock,
            hub: Hub::default(),
        })
    }

    /// Runs `work` where it may block, with the time.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Trees, Timestamp) -> sled::Result<T> + Send + 'static,
    ) -> Result<T> {
        let folder = Arc::clone(&self.folder);
        let now = self.clock.now();
        tokio::task::spawn_blocking(move || {
            folder.run(|trees| {
                folder.purge_if_due(trees, now, |bytes| {
                    Record::read(bytes).is_none_or(|record| record.is_over(now))
                })?;
                work(trees, now)
            })
        })
        .await
        .or_code(Code::DependencyFailure, "use the ephemeral store")?
    }
}

/// A value of every tree: the time at which it is over, and the rest.
struct Record<'a> {
    end: Timestamp,
    body: &'a [u8],
}

impl<'a> Record<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let (end, body) = bytes.split_first_chunk()?;
        let end = Timestamp::from_millis(i64::from_be_bytes(*end));
        Some(Self { end, body })
    }

    fn write(end: Timestamp, body: &[u8]) -> Vec<u8> {
        let mut bytes = end.as_millis().to_be_bytes().to_vec();
        bytes.extend_from_slice(body);
        bytes
    }

    fn is_over(&self, now: Timestamp) -> bool {
        self.end <= now
    }
}

/// A heartbeat is over when it is older than a day, not just when it is a day
/// old.
fn heartbeat_end(at: Timestamp) -> Timestamp {
    at.after(HEARTBEAT_LIFE + Duration::from_millis(1))
}

fn heartbeat_time(end: Timestamp) -> Timestamp {
    end.before(HEARTBEAT_LIFE + Duration::from_millis(1))
}

fn read_hits(body: &[u8]) -> Vec<Timestamp> {
    let (hits, _) = body.as_chunks::<8>();
    hits.iter()
        .map(|hit| Timestamp::from_millis(i64::from_be_bytes(*hit)))
        .collect()
}

fn write_hits(hits: &[Timestamp]) -> Vec<u8> {
    hits.iter()
        .flat_map(|hit| hit.as_millis().to_be_bytes())
        .collect()
}

#[async_trait]
impl Ephemeral for SledEphemeral {
    async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<()> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.run(move |trees, now| {
            let record = Record::write(now.after(ttl), &value);
            trees.values.insert(key, record).map(drop)
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>> {
        let key = key.to_owned();
        self.run(move |trees, now| {
            let bytes: Option<IVec> = trees.values.get(key)?;
            let record = bytes.as_deref().and_then(Record::read);
            Ok(record
                .filter(|record| !record.is_over(now))
                .map(|record| record.body.to_vec()))
        })
        .await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let key = key.to_owned();
        self.run(move |trees, _| trees.values.remove(key).map(drop))
            .await
    }

    async fn hit(&self, key: &str, limit: u32, window: Duration) -> Result<Rate> {
        let key = key.to_owned();
        self.run(move |trees, now| {
            let mut rate = Rate::Limited {
                retry_after: window,
            };
            // The closure runs again when another hit came between.
            trees.windows.fetch_and_update(key, |old| {
                let old = old.and_then(Record::read);
                let mut hits = old.map_or_else(Vec::new, |record| read_hits(record.body));
                rate = window::slide(&mut hits, now, limit, window);
                Some(Record::write(now.after(window), &write_hits(&hits)))
            })?;
            Ok(rate)
        })
        .await
    }

    async fn heartbeat(&self, worker: &str, info: &str) -> Result<()> {
        let (worker, info) = (worker.to_owned(), info.to_owned());
        self.run(move |trees, now| {
            let record = Record::write(heartbeat_end(now), info.as_bytes());
            trees.heartbeats.insert(worker, record).map(drop)
        })
        .await
    }

    async fn heartbeats(&self) -> Result<Vec<(String, Timestamp, String)>> {
        self.run(|trees, now| {
            let mut found = Vec::new();
            for entry in &trees.heartbeats {
                let (worker, bytes) = entry?;
                let Some(record) = Record::read(&bytes).filter(|record| !record.is_over(now))
                else {
                    continue;
                };
                found.push((
                    String::from_utf8_lossy(&worker).into_owned(),
                    heartbeat_time(record.end),
                    String::from_utf8_lossy(record.body).into_owned(),
                ));
            }
            Ok(found)
        })
        .await
    }

    async fn publish(&self, topic: &str, event: &str) -> Result<()> {
        self.hub.publish(topic, event);
        Ok(())
    }

    async fn subscribe(&self, topic: &str) -> Result<Events> {
        Ok(self.hub.subscribe(topic))
    }

    async fn ping(&self) -> Result<()> {
        self.run(|trees, _| trees.db.contains_key("ping").map(drop))
            .await
    }

    fn name(&self) -> &'static str {
        "sled"
    }
}

//! The port of what may be lost: rate windows, short-lived values,
//! heartbeats and the fan-out of events.
//!
//! Nothing here is durable and nothing may rely on it being there: an adapter
//! may forget everything at any time. An error of this tier never fails a
//! request that could be answered without it.

mod hub;
pub mod memory;
pub mod sled;
mod window;

use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use futures::Stream;

use crate::clock::Timestamp;
use crate::error::Result;

/// How long a silent worker is remembered.
const HEARTBEAT_LIFE: Duration = Duration::from_hours(24);

/// How often the adapters drop what is over, so that keys nobody asks for
/// again do not pile up. A call does it when it is due; no call, no growth.
const PURGE_INTERVAL: Duration = Duration::from_mins(1);

/// What a rate window says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// Counted; this many more are allowed now.
    Allowed { remaining: u32 },
    /// Not counted; the oldest hit leaves the window in this time.
    Limited { retry_after: Duration },
}

/// Events of one topic, from the moment of subscribing. A slow reader may
/// miss some: an event says "look again", never what has changed.
pub type Events = Pin<Box<dyn Stream<Item = String> + Send>>;

/// Values, rate windows, heartbeats and topics, none of which may be relied
/// on.
#[async_trait]
pub trait Ephemeral: Send + Sync {
    /// Keeps `value` under `key` for `ttl`, replacing what was there.
    async fn put(&self, key: &str, value: &[u8], ttl: Duration) -> Result<()>;
    /// The value, unless its time is over.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>>;
    /// Deleting what is absent is no error.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Counts a hit on `key` unless `limit` of them lie within the last
    /// `window` (a sliding window: a refused hit does not extend it).
    async fn hit(&self, key: &str, limit: u32, window: Duration) -> Result<Rate>;

    /// Notes that `worker` is alive now, with its description as JSON.
    async fn heartbeat(&self, worker: &str, info: &str) -> Result<()>;
    /// The latest heartbeat of each worker: name, time, description. Ones
    /// older than a day are forgotten.
    async fn heartbeats(&self) -> Result<Vec<(String, Timestamp, String)>>;

    /// Tells the present subscribers of `topic`; reaches every process of the
    /// deployment.
    async fn publish(&self, topic: &str, event: &str) -> Result<()>;
    /// What is published from now on, until the stream is dropped.
    async fn subscribe(&self, topic: &str) -> Result<Events>;

    /// A cheap round trip that proves that the tier answers.
    async fn ping(&self) -> Result<()>;
    /// The adapter's name, for health answers.
    fn name(&self) -> &'static str;
}

/// The topics in use. Every event is a nudge to read the truth again.
pub mod topic {
    use crate::domain::JobId;

    /// A preview's row has changed.
    #[must_use]
    pub fn preview(id: &JobId) -> String {
        format!("preview:{id}")
    }

    /// A build log has grown or ended.
    #[must_use]
    pub fn log(id: &JobId) -> String {
        format!("log:{id}")
    }

    /// The event's text is the id of a job that was cancelled while running.
    pub const CANCEL: &str = "cancel";
}

//! The fan-out of events within one process, for the adapters whose
//! deployment is one process.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures::StreamExt;
use tokio::sync::broadcast;
use tokio_stream::wrappers::BroadcastStream;

use super::Events;

/// Events that a slow reader may lag behind before it misses some.
const BACKLOG: usize = 64;
const SMALLEST_SWEEP: usize = 64;

#[derive(Default)]
pub(super) struct Hub {
    topics: Mutex<Topics>,
}

#[derive(Default)]
struct Topics {
    senders: HashMap<String, broadcast::Sender<String>>,
    /// When so many topics are there, the ones without a reader go.
    sweep_at: usize,
}

impl Hub {
    pub(super) fn publish(&self, topic: &str, event: &str) {
        let mut topics = self.lock();
        let heard = topics
            .senders
            .get(topic)
            .is_some_and(|sender| sender.send(event.to_owned()).is_ok());
        if !heard {
            topics.senders.remove(topic);
        }
    }

    pub(super) fn subscribe(&self, topic: &str) -> Events {
        let mut topics = self.lock();
        topics.sweep();
        let receiver = topics
            .senders
            .entry(topic.to_owned())
            .or_insert_with(|| broadcast::channel(BACKLOG).0)
            .subscribe();
        // A lag is passed over: the events after it say the same, look again.
        Box::pin(BroadcastStream::new(receiver).filter_map(async |event| event.ok()))
    }

    /// Nothing that can panic runs under the lock, so its data is whole.
    fn lock(&self) -> MutexGuard<'_, Topics> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Topics {
    /// At a doubling of the topics, so that its cost is spread over them.
    fn sweep(&mut self) {
        if self.senders.len() < self.sweep_at.max(SMALLEST_SWEEP) {
            return;
        }
        self.senders.retain(|_, sender| sender.receiver_count() > 0);
        self.sweep_at = self.senders.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_without_readers_do_not_pile_up() {
        let hub = Hub::default();
        let kept = hub.subscribe("kept");
        for n in 0..10_000 {
            drop(hub.subscribe(&format!("topic {n}")));
        }
        assert!(hub.lock().senders.len() <= 2 * SMALLEST_SWEEP);
        assert!(hub.lock().senders.contains_key("kept"));
        drop(kept);
        hub.publish("kept", "nobody hears this");
        assert!(!hub.lock().senders.contains_key("kept"));
    }

    #[tokio::test]
    async fn a_slow_reader_misses_the_oldest_and_hears_the_newest() {
        let hub = Hub::default();
        let mut events = hub.subscribe("t");
        for n in 0..BACKLOG + 3 {
            hub.publish("t", &n.to_string());
        }
        assert_eq!(events.next().await.as_deref(), Some("3"));
    }
}

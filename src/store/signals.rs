//! Wakes idle workers of this process. Shared by the adapters whose jobs all
//! enter through this process.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::clock::{Clock, Timestamp};
use crate::domain::job::Queue;

/// The longest a waiter sleeps before it looks at the clock again: a machine's
/// clock may jump, and a test's clock does nothing else. Looking costs no
/// access to the store.
const CLOCK_CHECK: Duration = Duration::from_millis(250);

const QUEUES: usize = Queue::ALL.len();

#[derive(Clone, Copy, Debug)]
struct State {
    /// Grows with every event of a queue that may make a job claimable.
    events: [u64; QUEUES],
    /// `events` as the latest claim that found nothing knew it. An event that
    /// came after is news to whoever waits next.
    seen: [u64; QUEUES],
    /// When the next delayed job or lease is due.
    due: Option<Timestamp>,
}

/// What has happened in each queue, and when something happens next.
pub(super) struct Signals {
    clock: Arc<dyn Clock>,
    state: watch::Sender<State>,
}

/// What a claim knew of its queues' events before it looked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Glance([u64; QUEUES]);

impl Signals {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = State {
            events: [0; QUEUES],
            seen: [0; QUEUES],
            due: None,
        };
        Self {
            clock,
            state: watch::Sender::new(state),
        }
    }

    /// To be called by a claim before it reads the queue.
    pub(super) fn glance(&self) -> Glance {
        Glance(self.state.borrow().events)
    }

    /// To be called by a claim that found nothing.
    pub(super) fn found_nothing(&self, queues: &[Queue], glance: Glance) {
        self.state.send_if_modified(|state| {
            for queue in queues {
                let index = *queue as usize;
                state.seen[index] = state.seen[index].max(glance.0[index]);
            }
            false
        });
    }

    /// To be called once a write is durable: `queues` may have something to
    /// claim, and the next thing is due at `due`.
    pub(super) fn publish(&self, queues: &[Queue], due: Option<Timestamp>) {
        self.state.send_if_modified(|state| {
            for queue in queues {
                state.events[*queue as usize] += 1;
            }
            let moved = state.due != due;
            state.due = due;
            moved || !queues.is_empty()
        });
    }

    /// When to look again whether something is due; `None` when nothing will be.
    pub(super) fn next_look(&self) -> Option<Duration> {
        let due = self.state.borrow().due;
        due.map(|due| due.since(self.clock.now()).min(CLOCK_CHECK))
    }

    /// Whether something is due.
    pub(super) fn is_due(&self) -> bool {
        let due = self.state.borrow().due;
        due.is_some_and(|due| due <= self.clock.now())
    }

    /// Waits for an event of `queues` that no claim has seen, or until
    /// something is due.
    pub(super) async fn wait(&self, queues: &[Queue]) {
        let mut state = self.state.subscribe();
        loop {
            let now = *state.borrow_and_update();
            let news = |q: &Queue| now.events[*q as usize] != now.seen[*q as usize];
            if queues.iter().any(news) {
                return;
            }
            let left = now.due.map(|due| due.since(self.clock.now()));
            if left.is_some_and(|left| left.is_zero()) {
                return;
            }
            let nap = async {
                match left {
                    Some(left) => tokio::time::sleep(left.min(CLOCK_CHECK)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = state.changed() => {}
                () = nap => {}
            }
        }
    }
}

//! Where operations wait for the writer, and how long the writer waits for
//! them.
//!
//! Callers that were just answered commonly come back at once with the next
//! operation. A writer that took the first of them and began to sync would
//! leave the others to the sync after it: with 64 busy callers most groups
//! have five of them. So for a fraction of the time that the last commit took,
//! the writer waits for as many as were answered.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

/// The most operations of one group: enough to share an fsync well, few enough
/// to keep the first caller's wait short.
const GROUP: usize = 256;
/// How many operations may wait before callers are held back.
const BACKLOG: usize = 1024;
/// The part of a commit's time that is waited for those who come back.
const PART: u32 = 4;
/// And the most, however slow the disk is.
const LONGEST: Duration = Duration::from_micros(500);

pub(super) struct Inbox<T> {
    state: Mutex<State<T>>,
    /// The writer may go on.
    news: Condvar,
    room: Semaphore,
}

struct State<T> {
    waiting: VecDeque<T>,
    /// How many must wait for the writer to wake; `None` while it is awake.
    wakes_at: Option<usize>,
    /// The writer is to look up, whether an operation waits or not.
    rung: bool,
    closed: bool,
}

/// A group that was answered: its callers may come back.
pub(super) struct Answered {
    pub(super) operations: usize,
    /// How long applying and committing them took.
    pub(super) took: Duration,
    pub(super) at: Instant,
}

impl<T> Inbox<T> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                wakes_at: None,
                rung: false,
                closed: false,
            }),
            news: Condvar::new(),
            room: Semaphore::new(BACKLOG),
        }
    }

    /// Puts an operation at the end, when there is room. Gives it back when the
    /// writer has stopped.
    pub(super) async fn send(&self, operation: T) -> Result<(), T> {
        match self.room.acquire().await {
            Ok(room) => {
                // The writer gives it back with the operation.
                room.forget();
                self.put(operation)
            }
            Err(_) => Err(operation),
        }
    }

    /// Has the writer look up without an operation.
    pub(super) fn ring(&self) {
        let mut state = self.lock();
        state.rung = true;
        state.wakes_at = None;
        drop(state);
        self.news.notify_one();
    }

    fn put(&self, operation: T) -> Result<(), T> {
        let mut state = self.lock();
        if state.closed {
            return Err(operation);
        }
        state.waiting.push_back(operation);
        if state.wakes_at.is_some_and(|at| state.waiting.len() >= at) {
            state.wakes_at = None;
            drop(state);
            self.news.notify_one();
        }
        Ok(())
    }

    /// The next group, after `last` if there was one; `None` when the inbox is
    /// closed and empty. Blocking, but not beyond `alarm` or a ring: then the
    /// group may be empty.
    pub(super) fn take(&self, last: Option<&Answered>, alarm: Option<Duration>) -> Option<Vec<T>> {
        let mut state = self.lock();
        // Those who came during the commit, and those it has answered.
        let expected = last.map_or(1, |last| last.operations + state.waiting.len());
        let alarm = alarm.map(|alarm| Instant::now() + alarm);
        while state.waiting.is_empty() && !state.closed && !state.rung {
            state.wakes_at = Some(1);
            state = match alarm {
                None => self.sleep(state),
                Some(alarm) => {
                    let left = alarm.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        state.rung = true;
                        break;
                    }
                    self.nap(state, left)
                }
            };
        }
        let until = last.map(|last| last.at + (last.took / PART).min(LONGEST));
        while !state.waiting.is_empty()
            && state.waiting.len() < expected.min(GROUP)
            && !state.closed
        {
            let left = until.map_or(Duration::ZERO, |until| {
                until.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                break;
            }
            state.wakes_at = Some(expected.min(GROUP));
            state = self.nap(state, left);
        }
        state.wakes_at = None;
        let rung = std::mem::take(&mut state.rung);
        let group: Vec<T> = {
            let count = state.waiting.len().min(GROUP);
            state.waiting.drain(..count).collect()
        };
        drop(state);
        self.room.add_permits(group.len());
        (rung || !group.is_empty()).then_some(group)
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        let woken = self.news.wait(state);
        woken.unwrap_or_else(PoisonError::into_inner)
    }

    fn nap<'a>(&self, state: MutexGuard<'a, State<T>>, left: Duration) -> MutexGuard<'a, State<T>> {
        let woken = self.news.wait_timeout(state, left);
        woken.unwrap_or_else(PoisonError::into_inner).0
    }

    /// Takes nothing more. What waits can still be taken.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.room.close();
        self.news.notify_one();
    }

    /// Closes, and drops what waits.
    pub(super) fn abandon(&self) {
        self.close();
        let left = std::mem::take(&mut self.lock().waiting);
        drop(left);
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// A commit that took so long that nobody need hurry.
    fn slow(operations: usize) -> Answered {
        Answered {
            operations,
            took: Duration::from_hours(1),
            at: Instant::now() + Duration::from_hours(1),
        }
    }

    #[tokio::test]
    async fn those_who_were_answered_are_waited_for() {
        let inbox = Arc::new(Inbox::new());
        inbox.send(0).await.unwrap();
        let writer = Arc::clone(&inbox);
        let taken = std::thread::spawn(move || writer.take(Some(&slow(3)), None));
        while inbox.lock().wakes_at.is_none() {
            tokio::task::yield_now().await;
        }
        for n in 1..4 {
            inbox.send(n).await.unwrap();
        }
        assert_eq!(taken.join().unwrap(), Some(vec![0, 1, 2, 3]));
    }

    #[tokio::test]
    async fn who_comes_late_is_not_waited_for() {
        let inbox = Inbox::new();
        inbox.send(0).await.unwrap();
        let long_ago = Answered {
            operations: 3,
            took: Duration::ZERO,
            at: Instant::now(),
        };
        assert_eq!(inbox.take(Some(&long_ago), None), Some(vec![0]));
    }

    #[tokio::test]
    async fn what_was_sent_before_the_end_is_taken() {
        let inbox = Inbox::new();
        for n in 0..=GROUP {
            inbox.send(n).await.unwrap();
        }
        inbox.close();
        assert_eq!(inbox.send(0).await, Err(0));
        assert_eq!(inbox.take(None, None).unwrap().len(), GROUP);
        assert_eq!(inbox.take(Some(&slow(5)), None), Some(vec![GROUP]));
        assert_eq!(inbox.take(None, None), None);
    }

    #[tokio::test]
    async fn a_ring_and_an_alarm_are_empty_groups() {
        let inbox = Inbox::<usize>::new();
        inbox.ring();
        assert_eq!(inbox.take(None, None), Some(vec![]));
        assert_eq!(inbox.take(None, Some(Duration::ZERO)), Some(vec![]));
        inbox.ring();
        inbox.close();
        assert_eq!(inbox.take(None, None), Some(vec![]));
        assert_eq!(inbox.take(None, None), None);
    }

    #[tokio::test]
    async fn callers_are_held_back_until_there_is_room() {
        let inbox = Arc::new(Inbox::new());
        for n in 0..BACKLOG {
            inbox.send(n).await.unwrap();
        }
        let caller = Arc::clone(&inbox);
        let held = tokio::spawn(async move { caller.send(BACKLOG).await });
        assert_eq!(inbox.take(None, None).unwrap().len(), GROUP);
        held.await.unwrap().unwrap();
        inbox.abandon();
        assert_eq!(inbox.take(None, None), None);
    }
}

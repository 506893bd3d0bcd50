//! Whether a connection is quiet, and since when. The stream and the requests
//! on it note what happens by storing a number; a timer reads the numbers when
//! a deadline is near. So a request wakes nobody, however many come.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::streams::End;

/// Never, as a time of [`State`].
const NEVER: u64 = 0;

/// One connection's. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Pulse(Arc<State>);

/// Times are microseconds from `born`, which is 1.
#[derive(Debug)]
struct State {
    born: Instant,
    /// Requests from their heads to the last bytes of their answers.
    running: AtomicUsize,
    /// When the last of them ended.
    quiet: AtomicU64,
    /// When the head of a request began that has not come in whole.
    head: AtomicU64,
    /// The client has begun a head and lets us wait for the rest.
    waits: Notify,
    /// Of each answer that shares the connection with others.
    takers: Mutex<HashMap<u64, Taking>>,
    next_taker: AtomicU64,
}

#[derive(Debug)]
struct Taking {
    /// Since when the client is waited for.
    since: Arc<AtomicU64>,
    end: End,
}

/// Whose turn it is with an answer, until it is dropped: ours to make the next
/// piece, or the client's to take the last one.
pub(super) struct Taker {
    pulse: Pulse,
    id: u64,
    since: Arc<AtomicU64>,
}

/// A request under way, until it is dropped.
pub(super) struct Running(Pulse);

impl Default for Pulse {
    /// A new connection shall say what it wants.
    fn default() -> Self {
        Self(Arc::new(State {
            born: Instant::now(),
            running: AtomicUsize::new(0),
            quiet: AtomicU64::new(NEVER),
            head: AtomicU64::new(1),
            waits: Notify::new(),
            takers: Mutex::default(),
            next_taker: AtomicU64::new(0),
        }))
    }
}

impl Pulse {
    /// Counts from now on, as if the connection were new.
    pub(super) fn restart(&self) {
        self.0.quiet.store(NEVER, Ordering::SeqCst);
        self.0.head.store(self.now(), Ordering::SeqCst);
    }

    /// Bytes came. Only the first of a head count: one that trickles in has no
    /// more time than another.
    pub(super) fn heard(&self) {
        if self.is_quiet() && self.0.head.load(Ordering::SeqCst) == NEVER {
            self.0.head.store(self.now(), Ordering::SeqCst);
        }
    }

    /// No more bytes came though they were asked for.
    pub(super) fn waits(&self) {
        if self.is_quiet() && self.0.head.load(Ordering::SeqCst) != NEVER {
            self.0.waits.notify_one();
        }
    }

    /// A head was whole, and its request begins.
    pub(super) fn begin(&self) -> Running {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        self.0.head.store(NEVER, Ordering::SeqCst);
        Running(self.clone())
    }

    fn takers(&self) -> MutexGuard<'_, HashMap<u64, Taking>> {
        self.0.takers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_quiet(&self) -> bool {
        self.0.running.load(Ordering::SeqCst) == 0
    }

    fn now(&self) -> u64 {
        let age = self.0.born.elapsed().as_micros();
        u64::try_from(age).unwrap_or(u64::MAX - 1) + 1
    }

    fn at(&self, time: u64) -> Instant {
        self.0.born + Duration::from_micros(time - 1)
    }

    /// Ends each answer that the client has not taken within its limit. Returns
    /// when they were all that ran, or when the connection has been quiet, or at
    /// the head of a request, for longer than its limit.
    pub(super) async fn stopped(&self, header: Duration, idle: Duration, stall: Duration) {
        loop {
            let now = Instant::now();
            // What begins to count after now has its limit after that.
            let latest = now + idle.min(stall);
            let given_up = self.give_up(now, stall);
            let all_are = given_up > 0 && given_up == self.0.running.load(Ordering::SeqCst);
            let quiet = self.deadline(header, idle);
            if all_are || quiet.is_some_and(|deadline| deadline <= now) {
                return;
            }
            let stuck = self.stuck_until(stall);
            let look = stuck.into_iter().chain(quiet).fold(latest, Instant::min);
            tokio::select! {
                () = sleep_until(look) => {}
                () = self.0.waits.notified() => {}
            }
        }
    }

    /// Ends the answers for which the client has been waited for too long, and
    /// says how many.
    fn give_up(&self, now: Instant, stall: Duration) -> usize {
        let mut takers = self.takers();
        let before = takers.len();
        takers.retain(|_, taking| {
            let is_stuck = self
                .stuck_at(taking, stall)
                .is_some_and(|deadline| deadline <= now);
            if is_stuck {
                taking.end.now();
            }
            !is_stuck
        });
        before - takers.len()
    }

    /// When an answer will first be given up, if the client takes nothing; `None`
    /// while it has all that we have made.
    fn stuck_until(&self, stall: Duration) -> Option<Instant> {
        let takers = self.takers();
        let deadlines = takers.values();
        deadlines
            .filter_map(|taking| self.stuck_at(taking, stall))
            .min()
    }

    fn stuck_at(&self, taking: &Taking, stall: Duration) -> Option<Instant> {
        match taking.since.load(Ordering::SeqCst) {
            NEVER => None,
            since => Some(self.at(since) + stall),
        }
    }

    /// When the limit is reached if nothing happens; `None` while a request
    /// runs.
    fn deadline(&self, header: Duration, idle: Duration) -> Option<Instant> {
        if !self.is_quiet() {
            return None;
        }
        let since = |time: &AtomicU64, limit| match time.load(Ordering::SeqCst) {
            NEVER => None,
            time => Some(self.at(time) + limit),
        };
        let (quiet, head) = (since(&self.0.quiet, idle), since(&self.0.head, header));
        quiet.into_iter().chain(head).min()
    }
}

impl Running {
    /// Its answer, which shares the connection with others, for the client to
    /// take at its own pace; ended by `end` if it does not.
    pub(super) fn taker(&self, end: End) -> Taker {
        let Self(pulse) = self;
        let id = pulse.0.next_taker.fetch_add(1, Ordering::Relaxed);
        let since = Arc::new(AtomicU64::new(pulse.now()));
        let taking = Taking {
            since: Arc::clone(&since),
            end,
        };
        pulse.takers().insert(id, taking);
        Taker {
            pulse: pulse.clone(),
            id,
            since,
        }
    }
}

impl Taker {
    /// The client shall take what it has been given.
    pub(super) fn waited_for(&self) {
        self.since.store(self.pulse.now(), Ordering::SeqCst);
    }

    /// It has done so, and waits for more.
    pub(super) fn waits(&self) {
        self.since.store(NEVER, Ordering::SeqCst);
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        self.pulse.takers().remove(&self.id);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let Pulse(state) = &self.0;
        // In this order: who sees that none runs sees since when.
        state.head.store(NEVER, Ordering::SeqCst);
        state.quiet.store(self.0.now(), Ordering::SeqCst);
        state.running.fetch_sub(1, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: Duration = Duration::from_secs(20);
    const IDLE: Duration = Duration::from_secs(75);

    /// The deadline counts `limit` from when `step` is done.
    fn assert_counts(pulse: &Pulse, limit: Duration, step: impl FnOnce()) {
        // Times are kept in whole microseconds.
        let before = Instant::now()
            .checked_sub(Duration::from_micros(1))
            .unwrap();
        step();
        let after = Instant::now();
        let deadline = pulse.deadline(HEADER, IDLE).unwrap();
        assert!((before + limit..=after + limit).contains(&deadline));
    }

    #[test]
    fn a_new_connection_has_the_time_for_a_head() {
        let pulse = Pulse::default();
        let deadline = pulse.0.born + HEADER;
        assert_eq!(pulse.deadline(HEADER, IDLE), Some(deadline));
        pulse.heard();
        pulse.waits();
        assert_eq!(pulse.deadline(HEADER, IDLE), Some(deadline));
        assert_counts(&pulse, HEADER, || pulse.restart());
    }

    #[test]
    fn after_a_request_there_is_more_time_until_the_next_head_begins() {
        let pulse = Pulse::default();
        let (first, second) = (pulse.begin(), pulse.begin());
        assert_eq!(pulse.deadline(HEADER, IDLE), None);
        pulse.heard();
        drop(first);
        assert_eq!(pulse.deadline(HEADER, IDLE), None, "one still runs");
        assert_counts(&pulse, IDLE, || drop(second));
        assert_counts(&pulse, HEADER, || pulse.heard());
        let deadline = pulse.deadline(HEADER, IDLE);
        pulse.heard();
        assert_eq!(
            pulse.deadline(HEADER, IDLE),
            deadline,
            "it has begun before"
        );
    }

    #[tokio::test]
    async fn less_time_after_a_request_than_for_a_head_counts_too() {
        let pulse = Pulse::default();
        let (looking, requests) = (pulse.clone(), pulse.clone());
        let short = Duration::from_millis(1);
        let stopped = tokio::spawn(async move { looking.stopped(HEADER * 100, short, IDLE).await });
        // It has looked before the first request comes.
        tokio::task::yield_now().await;
        drop(requests.begin());
        stopped.await.unwrap();
    }

    #[tokio::test]
    async fn an_answer_that_is_not_taken_counts_whatever_else_happens() {
        let pulse = Pulse::default();
        let (moving, stuck) = (pulse.begin(), pulse.begin());
        let moving_taker = moving.taker(End::default());
        moving_taker.waits();
        assert_eq!(pulse.stuck_until(IDLE), None, "ours to make");
        let stuck_taker = stuck.taker(End::default());
        let deadline = pulse.stuck_until(IDLE);
        assert!(deadline.is_some());
        moving_taker.waited_for();
        moving_taker.waits();
        pulse.heard();
        assert_eq!(pulse.stuck_until(IDLE), deadline);
        let short = Duration::from_millis(1);
        let much_later = Instant::now() + IDLE;
        assert_eq!(pulse.give_up(much_later, short), 1);
        assert_eq!(pulse.stuck_until(IDLE), None, "it is told once");
        drop((stuck_taker, stuck));
        assert_eq!(pulse.stuck_until(IDLE), None);
        moving_taker.waited_for();
        // Nothing else runs any more.
        pulse.stopped(HEADER, IDLE, short).await;
    }

    #[tokio::test]
    async fn who_waits_for_the_next_request_hears_of_half_a_head() {
        let pulse = Pulse::default();
        drop(pulse.begin());
        let watched = pulse.clone();
        let stopped =
            tokio::spawn(async move { watched.stopped(Duration::ZERO, IDLE, IDLE).await });
        pulse.heard();
        pulse.waits();
        stopped.await.unwrap();
    }
}

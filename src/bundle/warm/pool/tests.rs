//! A pool of things that only say that they are bundlers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::watch;

use super::failures::TRY_AGAIN;
use super::*;
use crate::clock::{ManualClock, Timestamp};

const MEMORY: u64 = 1 << 20;
const IDLE: Duration = Duration::from_mins(1);
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// What the test sees of one.
#[derive(Clone)]
struct Seen {
    memory: Arc<AtomicU64>,
    awake: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
    /// How a build that it was left in the middle of comes out; `None` as long as
    /// it does not answer.
    settles: Arc<watch::Sender<Option<bool>>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            memory: Arc::default(),
            awake: Arc::default(),
            ended: Arc::default(),
            settles: Arc::new(watch::Sender::new(None)),
        }
    }
}

impl Seen {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Kept for Seen {
    fn key(&self) -> &'static str {
        "key"
    }

    fn memory(&self) -> u64 {
        self.memory.load(Ordering::SeqCst)
    }

    fn is_awake(&self) -> bool {
        self.awake.load(Ordering::SeqCst)
    }

    fn hush(&self) {}

    async fn settle(&mut self) -> bool {
        let mut settles = self.settles.subscribe();
        let settled = settles.wait_for(Option::is_some).await;
        settled.expect("we hold the sender").unwrap_or_default()
    }

    async fn end(self, _: &CancellationToken) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn pool(count: usize) -> Pool<Seen> {
    pool_by(count, &Arc::new(ManualClock::starting_at(NOW)))
}

fn pool_by(count: usize, clock: &Arc<ManualClock>) -> Pool<Seen> {
    let limits = WarmLimits {
        count,
        memory_bytes: MEMORY,
        idle: IDLE,
    };
    Pool::new(limits, Arc::<ManualClock>::clone(clock))
}

fn spot(project: i64) -> Spot {
    Spot {
        project: ProjectId(project),
        platform: Platform::Ios,
    }
}

fn fill(pool: &Pool<Seen>, project: i64) -> Seen {
    fill_with(pool, project, 0)
}

fn fill_with(pool: &Pool<Seen>, project: i64, memory: u64) -> Seen {
    let seen = Seen::default();
    seen.memory.store(memory, Ordering::SeqCst);
    let place = pool.place(spot(project), "key").expect("a place");
    place.fill(seen.clone());
    seen
}

#[tokio::test]
async fn a_place_is_given_once_and_is_free_again_after_a_failure() {
    let pool = pool(2);
    let place = pool.place(spot(1), "key").unwrap();
    assert!(pool.place(spot(1), "key").is_none());
    assert!(pool.take(spot(1)).await.is_none());
    assert_eq!((pool.count(), pool.kept()), (1, 0), "it is starting");
    drop(place);
    assert_eq!(pool.count(), 0);
    pool.place(spot(1), "key").unwrap().fail("why".to_owned());
    assert!(pool.place(spot(1), "key").is_none());
    assert!(pool.place(spot(1), "another key").is_some());
    pool.settled().await;
}

#[tokio::test]
async fn one_that_could_not_be_made_is_tried_again_ever_seldomer() {
    let clock = Arc::new(ManualClock::starting_at(NOW));
    let pool = pool_by(2, &clock);
    let mut waited = Vec::new();
    for _ in 0..9 {
        let place = pool.place(spot(1), "key").expect("its time has come");
        place.fail("killed".to_owned());
        let failed = Absence::Failed("killed".to_owned());
        assert_eq!(pool.absence(spot(1), "key"), failed);
        assert_eq!(pool.absence(spot(1), "another key"), Absence::None);
        let mut minutes = 0;
        while pool.place(spot(1), "key").is_none() {
            clock.advance(TRY_AGAIN);
            minutes += 5;
        }
        waited.push(minutes);
    }
    assert_eq!(waited, [5, 10, 20, 40, 80, 160, 320, 360, 360]);
    // Once one has lived through a build, it begins anew.
    fill(&pool, 1);
    let lease = pool.take(spot(1)).await.expect("it is there");
    lease.keep();
    pool.look(Instant::now() + IDLE);
    assert_eq!(pool.absence(spot(1), "key"), Absence::None);
    pool.place(spot(1), "key")
        .unwrap()
        .fail("killed".to_owned());
    clock.advance(TRY_AGAIN);
    assert!(pool.place(spot(1), "key").is_some());
    pool.close().await;
}

#[tokio::test]
async fn one_that_comes_up_too_large_is_tried_ever_seldomer() {
    let clock = Arc::new(ManualClock::starting_at(NOW));
    let pool = pool_by(1, &clock);
    let seen = fill_with(&pool, 1, MEMORY + 1);
    assert_eq!(pool.count(), 0);
    let Absence::Failed(why) = pool.absence(spot(1), "key") else {
        panic!("a reason");
    };
    assert!(why.contains("1 MB (WARM_BUNDLER_MEMORY_MB)"), "{why}");
    assert!(pool.place(spot(1), "key").is_none());
    clock.advance(TRY_AGAIN);
    // This one grows only at work, and makes a failure of its own.
    let grown = fill(&pool, 1);
    assert!(pool.is_ready(spot(1)));
    let lease = pool.take(spot(1)).await.expect("it is there");
    grown.memory.store(MEMORY + 1, Ordering::SeqCst);
    lease.keep();
    clock.advance(TRY_AGAIN);
    assert!(pool.place(spot(1), "key").is_none(), "twice as long");
    clock.advance(TRY_AGAIN);
    // And this one where nobody asks it for anything.
    let swollen = fill(&pool, 1);
    swollen.memory.store(MEMORY + 1, Ordering::SeqCst);
    pool.look(Instant::now());
    clock.advance(TRY_AGAIN * 3);
    assert!(pool.place(spot(1), "key").is_none(), "and again");
    pool.close().await;
    assert!(seen.has_ended() && grown.has_ended() && swollen.has_ended());
}

#[tokio::test]
async fn a_build_without_one_hears_why() {
    assert_eq!(pool(0).absence(spot(1), "key"), Absence::Off);
    let pool = pool(1);
    assert_eq!(pool.absence(spot(1), "key"), Absence::None);
    let place = pool.place(spot(1), "key").expect("a place");
    assert_eq!(pool.absence(spot(1), "key"), Absence::Starting);
    place.fill(Seen::default());
    let lease = pool.take(spot(1)).await.expect("it is there");
    assert_eq!(pool.absence(spot(1), "key"), Absence::Busy);
    lease.end();
    assert_eq!(pool.absence(spot(1), "key"), Absence::None);
    pool.close().await;
}

#[tokio::test]
async fn there_are_never_more_than_allowed() {
    assert!(pool(0).place(spot(1), "key").is_none());
    let pool = pool(2);
    let _one = pool.place(spot(1), "key").unwrap();
    let _two = pool.place(spot(2), "key").unwrap();
    assert!(pool.place(spot(3), "key").is_none());
    pool.forget(ProjectId(1));
    pool.close().await;
    assert!(pool.place(spot(4), "key").is_none());
}

#[tokio::test]
async fn one_that_nobody_needs_goes_after_a_while() {
    let pool = pool(2);
    let (unused, used) = (fill(&pool, 1), fill(&pool, 2));
    let long_since = Instant::now() + IDLE;
    pool.look(Instant::now());
    assert_eq!(pool.count(), 2);
    pool.take(spot(2)).await.expect("it is there").keep();
    pool.look(long_since);
    assert!(!pool.is_ready(spot(1)) && pool.is_ready(spot(2)));
    pool.look(Instant::now() + IDLE);
    assert_eq!(pool.count(), 0);
    pool.close().await;
    assert!(unused.has_ended() && used.has_ended());
}

#[tokio::test]
async fn one_at_work_stays_however_long_it_takes() {
    let pool = pool(1);
    let seen = fill(&pool, 1);
    let lease = pool.take(spot(1)).await.expect("it is there");
    pool.look(Instant::now() + IDLE * 10);
    // Nor does it make room for another project's.
    assert!(pool.place(spot(2), "key").is_none());
    assert!(!seen.has_ended());
    lease.keep();
    assert!(pool.is_ready(spot(1)));
}

#[tokio::test]
async fn one_that_has_grown_too_large_goes() {
    let pool = pool(2);
    let (idle, working) = (fill(&pool, 1), fill(&pool, 2));
    let lease = pool.take(spot(2)).await.expect("it is there");
    for grown in [&idle, &working] {
        grown.memory.store(MEMORY + 1, Ordering::SeqCst);
    }
    pool.look(Instant::now());
    assert_eq!(pool.count(), 1, "a build is not disturbed");
    assert!(!working.has_ended());
    lease.keep();
    assert_eq!(pool.count(), 0, "when it comes back");
    pool.close().await;
    assert!(idle.has_ended() && working.has_ended());
}

#[tokio::test]
async fn one_that_does_not_rest_goes() {
    let pool = pool(2);
    let (still, restless) = (fill(&pool, 1), fill(&pool, 2));
    restless.awake.store(true, Ordering::SeqCst);
    pool.look(Instant::now());
    assert_eq!(pool.count(), 2, "it may be about to");
    pool.look(Instant::now() + FALL_ASLEEP);
    assert!(pool.is_ready(spot(1)) && !pool.is_ready(spot(2)));
    pool.close().await;
    assert!(still.has_ended() && restless.has_ended());
}

#[tokio::test]
async fn the_one_that_was_not_needed_for_longest_makes_room() {
    let pool = pool(2);
    let (first, second) = (fill(&pool, 1), fill(&pool, 2));
    pool.take(spot(1)).await.expect("it is there").keep();
    let _place = pool.place(spot(3), "key").expect("room");
    assert!(pool.is_ready(spot(1)) && !pool.is_ready(spot(2)));
    pool.close().await;
    assert!(first.has_ended() && second.has_ended());
}

#[tokio::test]
async fn whoever_comes_second_waits_for_the_first() {
    let pool = pool(1);
    let seen = fill(&pool, 1);
    let first = pool.take(spot(1)).await.expect("it is there");
    let mut second = Box::pin(pool.take(spot(1)));
    assert!(futures::poll!(&mut second).is_pending());
    first.keep();
    let second = second.await.expect("it was kept");
    let mut third = Box::pin(pool.take(spot(1)));
    assert!(futures::poll!(&mut third).is_pending());
    // It is of no more use: nobody gets it.
    second.end();
    assert!(third.await.is_none());
    pool.close().await;
    assert!(seen.has_ended());
}

#[tokio::test]
async fn one_that_was_left_in_the_middle_comes_back_once_it_has_answered() {
    let pool = pool(1);
    let seen = fill(&pool, 1);
    drop(pool.take(spot(1)).await.expect("it is there"));
    let mut next = Box::pin(pool.take(spot(1)));
    assert!(futures::poll!(&mut next).is_pending());
    assert!(pool.place(spot(1), "key").is_none(), "nor a second one");
    seen.settles.send_replace(Some(true));
    let next = next.await.expect("the same");
    assert!(!seen.has_ended());

    // One that does not come to an end in its time goes.
    seen.settles.send_replace(Some(false));
    drop(next);
    assert!(pool.take(spot(1)).await.is_none());
    assert_eq!(pool.count(), 0);
    pool.close().await;
    assert!(seen.has_ended());
}

#[tokio::test]
async fn the_stop_waits_for_no_answer() {
    let pool = pool(1);
    let seen = fill(&pool, 1);
    drop(pool.take(spot(1)).await.expect("it is there"));
    pool.close().await;
    assert!(seen.has_ended());
}

#[tokio::test]
async fn one_whose_project_has_gone_ends_with_its_build() {
    let pool = pool(2);
    let (idle, working) = (fill(&pool, 1), fill(&pool, 2));
    let lease = pool.take(spot(2)).await.expect("it is there");
    for project in [1, 2] {
        pool.forget(ProjectId(project));
    }
    assert!(!working.has_ended());
    lease.keep();
    assert_eq!(pool.count(), 0);
    pool.close().await;
    assert!(idle.has_ended() && working.has_ended());
}

#[tokio::test]
async fn whoever_waits_for_none_hears_of_one_that_made_room() {
    let mut pool = pool(1);
    let seen = fill(&pool, 1);
    // The machine is short of memory, whatever it has.
    let inner = Arc::get_mut(&mut pool.inner).expect("nobody else has it");
    inner.limits.memory_bytes = u64::MAX;
    let mut empty = Box::pin(pool.empty());
    assert!(futures::poll!(&mut empty).is_pending());
    assert!(pool.place(spot(2), "key").is_none());
    assert!(futures::poll!(&mut empty).is_ready());
    drop(empty);
    pool.close().await;
    assert!(seen.has_ended());
}

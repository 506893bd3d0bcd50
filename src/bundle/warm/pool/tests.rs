//! A pool of things that only say that they are bundlers.

use std::sync::atomic::AtomicBool;

use super::*;

const MEMORY: u64 = 1 << 20;
const IDLE: Duration = Duration::from_mins(1);
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

/// What the test sees of one.
#[derive(Clone, Default)]
struct Seen {
    memory: Arc<AtomicU64>,
    awake: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Seen {
    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Kept for Seen {
    fn memory(&self) -> u64 {
        self.memory.load(Ordering::SeqCst)
    }

    fn is_awake(&self) -> bool {
        self.awake.load(Ordering::SeqCst)
    }

    fn hush(&self) {}

    async fn end(self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn pool(count: usize) -> Pool<Seen> {
    Pool::new(WarmLimits {
        count,
        memory_bytes: MEMORY,
        idle: IDLE,
    })
}

fn spot(project: i64) -> Spot {
    Spot {
        project: ProjectId(project),
        platform: Platform::Ios,
    }
}

fn fill(pool: &Pool<Seen>, project: i64) -> Seen {
    fill_at(pool, project, NOW)
}

fn fill_at(pool: &Pool<Seen>, project: i64, now: Timestamp) -> Seen {
    let seen = Seen::default();
    let place = pool.place(spot(project), "key", now).expect("a place");
    place.fill(seen.clone());
    seen
}

#[tokio::test]
async fn a_place_is_given_once_and_is_free_again_after_a_failure() {
    let pool = pool(2);
    let place = pool.place(spot(1), "key", NOW).unwrap();
    assert!(pool.place(spot(1), "key", NOW).is_none());
    assert!(pool.take(spot(1)).await.is_none());
    assert_eq!((pool.count(), pool.kept()), (1, 0), "it is starting");
    drop(place);
    assert_eq!(pool.count(), 0);
    pool.place(spot(1), "key", NOW)
        .unwrap()
        .unfit("key", "why".to_owned(), NOW);
    assert!(pool.place(spot(1), "key", NOW).is_none());
    assert!(pool.place(spot(1), "another key", NOW).is_some());
    pool.settled().await;
}

#[tokio::test]
async fn one_that_could_not_be_made_is_tried_again_ever_seldomer() {
    let pool = pool(2);
    let (mut now, mut waited) = (NOW, Vec::new());
    for _ in 0..9 {
        let place = pool.place(spot(1), "key", now).expect("its time has come");
        place.unfit("key", "too large".to_owned(), now);
        assert_eq!(pool.unfit(spot(1)).as_deref(), Some("too large"));
        let mut minutes = 0;
        while pool.place(spot(1), "key", now).is_none() {
            now = now.after(Duration::from_mins(5));
            minutes += 5;
        }
        waited.push(minutes);
    }
    assert_eq!(waited, [5, 10, 20, 40, 80, 160, 320, 360, 360]);
    // Once there was one, it begins anew.
    fill_at(&pool, 1, now);
    assert_eq!(pool.unfit(spot(1)), None);
    pool.forget(ProjectId(1));
    let place = pool.place(spot(1), "key", now).expect("a place");
    place.unfit("key", "killed".to_owned(), now);
    assert!(pool.place(spot(1), "key", now.after(TRY_AGAIN)).is_some());
    pool.close().await;
}

#[tokio::test]
async fn there_are_never_more_than_allowed() {
    assert!(pool(0).place(spot(1), "key", NOW).is_none());
    let pool = pool(2);
    let _one = pool.place(spot(1), "key", NOW).unwrap();
    let _two = pool.place(spot(2), "key", NOW).unwrap();
    assert!(pool.place(spot(3), "key", NOW).is_none());
    pool.forget(ProjectId(1));
    pool.close().await;
    assert!(pool.place(spot(4), "key", NOW).is_none());
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
    assert!(pool.place(spot(2), "key", NOW).is_none());
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
    let _place = pool.place(spot(3), "key", NOW).expect("room");
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
    // It was left in the middle of a build: nobody gets it any more.
    drop(second);
    assert!(third.await.is_none());
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

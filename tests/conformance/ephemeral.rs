//! The contract of `Ephemeral`.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use hivesync::clock::{ManualClock, Timestamp};
use hivesync::ephemeral::memory::MemoryEphemeral;
use hivesync::ephemeral::sled::SledEphemeral;
use hivesync::ephemeral::{Ephemeral, Rate};
use tempfile::TempDir;

const SECOND: Duration = Duration::from_secs(1);
const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// An adapter on a clock of its own.
struct Bench {
    port: Box<dyn Ephemeral>,
    clock: Arc<ManualClock>,
    _folder: Option<TempDir>,
}

fn memory_bench() -> Bench {
    let clock = Arc::new(ManualClock::starting_at(START));
    Bench {
        port: Box::new(MemoryEphemeral::new(clock.clone())),
        clock,
        _folder: None,
    }
}

fn sled_bench() -> Bench {
    let clock = Arc::new(ManualClock::starting_at(START));
    let folder = tempfile::tempdir().unwrap();
    Bench {
        port: Box::new(SledEphemeral::open(folder.path(), clock.clone()).unwrap()),
        clock,
        _folder: Some(folder),
    }
}

macro_rules! run_for_every_adapter {
    ($($case:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $case() {
                let bench = super::memory_bench();
                super::$case(&*bench.port, &bench.clock).await;
            })*
        }

        mod sled {
            $(#[tokio::test]
            async fn $case() {
                let bench = super::sled_bench();
                super::$case(&*bench.port, &bench.clock).await;
            })*
        }
    };
}

run_for_every_adapter!(
    a_value_lives_for_its_ttl,
    a_put_replaces_value_and_ttl,
    a_deleted_value_is_gone,
    a_window_slides,
    windows_do_not_share_their_hits,
    hits_at_once_never_pass_the_limit,
    the_latest_heartbeat_of_each_worker_is_known_for_a_day,
    every_subscriber_hears_an_event,
    an_event_without_a_subscriber_is_no_error,
    what_is_over_is_forgotten_and_what_is_not_stays,
    it_answers_a_ping,
);

async fn a_value_lives_for_its_ttl(port: &dyn Ephemeral, clock: &ManualClock) {
    assert_eq!(port.get("k").await.unwrap(), None);
    port.put("k", b"v", 10 * SECOND).await.unwrap();
    assert_eq!(port.get("k").await.unwrap().as_deref(), Some(&b"v"[..]));
    clock.advance(Duration::from_millis(9_999));
    assert_eq!(port.get("k").await.unwrap().as_deref(), Some(&b"v"[..]));
    clock.advance(Duration::from_millis(1));
    assert_eq!(port.get("k").await.unwrap(), None);
}

async fn a_put_replaces_value_and_ttl(port: &dyn Ephemeral, clock: &ManualClock) {
    port.put("k", b"old", SECOND).await.unwrap();
    port.put("k", b"", 5 * SECOND).await.unwrap();
    clock.advance(2 * SECOND);
    assert_eq!(port.get("k").await.unwrap().as_deref(), Some(&b""[..]));
    port.put("k", b"short", SECOND).await.unwrap();
    clock.advance(SECOND);
    assert_eq!(port.get("k").await.unwrap(), None);
}

async fn a_deleted_value_is_gone(port: &dyn Ephemeral, _: &ManualClock) {
    port.put("k", b"v", SECOND).await.unwrap();
    port.put("k2", b"v2", SECOND).await.unwrap();
    port.delete("k").await.unwrap();
    port.delete("k").await.unwrap();
    assert_eq!(port.get("k").await.unwrap(), None);
    assert_eq!(port.get("k2").await.unwrap().as_deref(), Some(&b"v2"[..]));
}

async fn a_window_slides(port: &dyn Ephemeral, clock: &ManualClock) {
    let window = 10 * SECOND;
    let hit = || port.hit("login", 2, window);
    assert_eq!(hit().await.unwrap(), Rate::Allowed { remaining: 1 });
    clock.advance(4 * SECOND);
    assert_eq!(hit().await.unwrap(), Rate::Allowed { remaining: 0 });
    clock.advance(SECOND);
    let retry_after = 5 * SECOND;
    assert_eq!(hit().await.unwrap(), Rate::Limited { retry_after });
    // The refused hit has not been counted.
    clock.advance(retry_after);
    assert_eq!(hit().await.unwrap(), Rate::Allowed { remaining: 0 });
    clock.advance(100 * SECOND);
    assert_eq!(hit().await.unwrap(), Rate::Allowed { remaining: 1 });
}

async fn windows_do_not_share_their_hits(port: &dyn Ephemeral, _: &ManualClock) {
    let first = port.hit("a", 1, SECOND).await.unwrap();
    assert_eq!(first, Rate::Allowed { remaining: 0 });
    let other = port.hit("b", 1, SECOND).await.unwrap();
    assert_eq!(other, Rate::Allowed { remaining: 0 });
    // Nor does a value of the same name get in the way.
    port.put("a", b"v", SECOND).await.unwrap();
    let again = port.hit("a", 1, SECOND).await.unwrap();
    assert_eq!(
        again,
        Rate::Limited {
            retry_after: SECOND
        }
    );
    assert_eq!(port.get("a").await.unwrap().as_deref(), Some(&b"v"[..]));
}

async fn hits_at_once_never_pass_the_limit(port: &dyn Ephemeral, _: &ManualClock) {
    let hits = (0..64).map(|_| port.hit("flood", 10, 60 * SECOND));
    let rates = futures::future::join_all(hits).await;
    let allowed = rates
        .into_iter()
        .filter(|rate| matches!(rate.as_ref().unwrap(), Rate::Allowed { .. }))
        .count();
    assert_eq!(allowed, 10);
}

async fn the_latest_heartbeat_of_each_worker_is_known_for_a_day(
    port: &dyn Ephemeral,
    clock: &ManualClock,
) {
    assert_eq!(port.heartbeats().await.unwrap(), []);
    port.heartbeat("w1", "{\"n\":1}").await.unwrap();
    port.heartbeat("w2", "{}").await.unwrap();
    clock.advance(SECOND);
    port.heartbeat("w1", "{\"n\":2}").await.unwrap();
    let mut found = port.heartbeats().await.unwrap();
    found.sort();
    let later = START.after(SECOND);
    assert_eq!(
        found,
        [
            ("w1".to_owned(), later, "{\"n\":2}".to_owned()),
            ("w2".to_owned(), START, "{}".to_owned()),
        ]
    );
    clock.advance(24 * 60 * 60 * SECOND);
    let found = port.heartbeats().await.unwrap();
    assert_eq!(found, [("w1".to_owned(), later, "{\"n\":2}".to_owned())]);
    clock.advance(Duration::from_millis(1));
    assert_eq!(port.heartbeats().await.unwrap(), []);
}

async fn every_subscriber_hears_an_event(port: &dyn Ephemeral, _: &ManualClock) {
    port.publish("t", "before anyone listens").await.unwrap();
    let mut one = port.subscribe("t").await.unwrap();
    let mut two = port.subscribe("t").await.unwrap();
    let mut other = port.subscribe("other").await.unwrap();
    port.publish("t", "first").await.unwrap();
    drop(port.subscribe("t").await.unwrap());
    port.publish("t", "second").await.unwrap();
    port.publish("other", "third").await.unwrap();
    for events in [&mut one, &mut two] {
        assert_eq!(events.next().await.as_deref(), Some("first"));
        assert_eq!(events.next().await.as_deref(), Some("second"));
    }
    assert_eq!(other.next().await.as_deref(), Some("third"));
}

async fn an_event_without_a_subscriber_is_no_error(port: &dyn Ephemeral, _: &ManualClock) {
    port.publish("t", "nobody").await.unwrap();
    drop(port.subscribe("t").await.unwrap());
    port.publish("t", "nobody any more").await.unwrap();
    let mut events = port.subscribe("t").await.unwrap();
    port.publish("t", "somebody").await.unwrap();
    assert_eq!(events.next().await.as_deref(), Some("somebody"));
}

async fn what_is_over_is_forgotten_and_what_is_not_stays(
    port: &dyn Ephemeral,
    clock: &ManualClock,
) {
    for n in 0..50 {
        let key = format!("short {n}");
        port.put(&key, b"v", SECOND).await.unwrap();
        port.hit(&key, 1, SECOND).await.unwrap();
    }
    port.put("long", b"v", 3600 * SECOND).await.unwrap();
    let full = port.hit("long", 1, 3600 * SECOND).await.unwrap();
    assert_eq!(full, Rate::Allowed { remaining: 0 });
    port.heartbeat("w", "{}").await.unwrap();
    // Far enough for every adapter to have tidied up on the way.
    for _ in 0..10 {
        clock.advance(60 * SECOND);
        port.put("nudge", b"v", SECOND).await.unwrap();
    }
    assert_eq!(port.get("short 7").await.unwrap(), None);
    let again = port.hit("short 7", 1, SECOND).await.unwrap();
    assert_eq!(again, Rate::Allowed { remaining: 0 });
    assert_eq!(port.get("long").await.unwrap().as_deref(), Some(&b"v"[..]));
    let still = port.hit("long", 1, 3600 * SECOND).await.unwrap();
    let retry_after = 3000 * SECOND;
    assert_eq!(still, Rate::Limited { retry_after });
    assert_eq!(port.heartbeats().await.unwrap().len(), 1);
}

async fn it_answers_a_ping(port: &dyn Ephemeral, _: &ManualClock) {
    port.ping().await.unwrap();
    assert!(!port.name().is_empty());
}

mod oracle {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Put(u8, Vec<u8>, u64),
        Get(u8),
        Delete(u8),
        Hit(u8, u32, u64),
        Heartbeat(u8),
        Heartbeats,
        Wait(u64),
        ClockSetBack(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        let key = 0..4_u8;
        // Milliseconds around the purge interval of a minute.
        let time = 1..90_000_u64;
        prop_oneof![
            (key.clone(), any::<Vec<u8>>(), time.clone()).prop_map(|(k, v, t)| Step::Put(k, v, t)),
            key.clone().prop_map(Step::Get),
            key.clone().prop_map(Step::Delete),
            (key.clone(), 0..4_u32, time.clone()).prop_map(|(k, l, t)| Step::Hit(k, l, t)),
            key.prop_map(Step::Heartbeat),
            Just(Step::Heartbeats),
            time.clone().prop_map(Step::Wait),
            time.prop_map(Step::ClockSetBack),
        ]
    }

    /// Does the step; what it answered, as text.
    async fn take(bench: &Bench, step: &Step) -> String {
        let (port, clock) = (&bench.port, &bench.clock);
        let ms = Duration::from_millis;
        match step {
            Step::Put(key, value, ttl) => {
                let done = port.put(&key.to_string(), value, ms(*ttl)).await;
                format!("{:?}", done.unwrap())
            }
            Step::Get(key) => format!("{:?}", port.get(&key.to_string()).await.unwrap()),
            Step::Delete(key) => format!("{:?}", port.delete(&key.to_string()).await.unwrap()),
            Step::Hit(key, limit, window) => {
                let rate = port.hit(&key.to_string(), *limit, ms(*window)).await;
                format!("{:?}", rate.unwrap())
            }
            Step::Heartbeat(worker) => {
                let done = port.heartbeat(&worker.to_string(), "{}").await;
                format!("{:?}", done.unwrap())
            }
            Step::Heartbeats => {
                let mut found = port.heartbeats().await.unwrap();
                found.sort();
                format!("{found:?}")
            }
            Step::Wait(time) => {
                clock.advance(ms(*time));
                String::new()
            }
            Step::ClockSetBack(time) => {
                use hivesync::clock::Clock;
                clock.set(clock.now().before(ms(*time)));
                String::new()
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            // The failing steps are printed; no file is left in the tree.
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn sled_answers_like_memory(steps in prop::collection::vec(step(), 1..60)) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let (memory, sled) = (memory_bench(), sled_bench());
                for (at, step) in steps.iter().enumerate() {
                    let (expected, found) = (take(&memory, step).await, take(&sled, step).await);
                    prop_assert_eq!(expected, found, "step {}: {:?}", at, step);
                }
                Ok(())
            })?;
        }
    }
}

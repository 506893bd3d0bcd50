//! Dedupe keys: at most one queued job each, the latest wins.

use std::time::Duration;

use hivesync::domain::job::{JobState, NewJob, Priority, Queue};
use hivesync::error::Code;
use hivesync::store::Batch;

use super::claims::{failure, stats};
use crate::subject::{LEASE, START, Subject, assert_code, job, job_id};

fn keyed(number: u64) -> NewJob {
    NewJob {
        dedupe_key: Some("key".to_owned()),
        ..job(number)
    }
}

pub(super) async fn a_key_is_queued_once(subject: &Subject) {
    assert_eq!(subject.enqueue(keyed(1)).await, job_id(1));
    assert_eq!(subject.enqueue(keyed(2)).await, job_id(1));
    assert_eq!(subject.store.job(&job_id(2)).await.unwrap(), None);
    let together = Batch::new().enqueue(keyed(3)).enqueue(keyed(4));
    let ids = subject.store.commit(together).await.unwrap();
    assert_eq!(ids, [job_id(1), job_id(1)]);
    assert_eq!(subject.job(&job_id(1)).await.payload, job(4).payload);
    assert_eq!(stats(subject).await.queued, 1);
}

pub(super) async fn a_thousand_of_one_key_are_one_job(subject: &Subject) {
    let pushes = (1..=1000).map(|number| subject.enqueue(keyed(number)));
    let ids = futures::future::join_all(pushes).await;
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(stats(subject).await.queued, 1);
    assert_eq!(subject.claim_id().await.as_ref(), Some(&ids[0]));
    assert_eq!(subject.claim_id().await, None);
}

pub(super) async fn a_push_during_a_run_queues_exactly_one_more(subject: &Subject) {
    subject.enqueue(keyed(1)).await;
    let (running, _) = subject.claim().await.unwrap();
    for number in 2..=5 {
        assert_eq!(subject.enqueue(keyed(number)).await, job_id(2));
    }
    let counted = stats(subject).await;
    assert_eq!((counted.queued, counted.running), (1, 1));
    subject
        .queue
        .complete(&running, Batch::new())
        .await
        .unwrap();
    let (next, started) = subject.claim().await.unwrap();
    assert_eq!(next.job, job_id(2));
    assert_eq!(started.payload, job(5).payload);
    subject.queue.complete(&next, Batch::new()).await.unwrap();
    assert_eq!(subject.claim_id().await, None);
}

pub(super) async fn the_latest_payload_wins_and_urgency_only_grows(subject: &Subject) {
    let later = |number, seconds, priority| NewJob {
        run_at: Some(START.after(Duration::from_secs(seconds))),
        priority,
        ..keyed(number)
    };
    subject.enqueue(later(1, 60, Priority::NORMAL)).await;
    subject.enqueue(later(2, 90, Priority::HIGH)).await;
    let waiting = subject.job(&job_id(1)).await;
    assert_eq!(waiting.payload, job(2).payload);
    assert_eq!(waiting.priority, Priority::HIGH);
    assert_eq!(waiting.run_at, START.after(Duration::from_mins(1)));
    subject.enqueue(later(3, 30, Priority::LOW)).await;
    let waiting = subject.job(&job_id(1)).await;
    assert_eq!(waiting.priority, Priority::HIGH);
    assert_eq!(waiting.run_at, START.after(Duration::from_secs(30)));
    assert_eq!(subject.claim_id().await, None);
    // It keeps its place, ahead of one that came after it.
    let rival = NewJob {
        priority: Priority::HIGH,
        ..job(9)
    };
    subject.enqueue(rival).await;
    subject.enqueue(keyed(4)).await;
    assert_eq!(subject.claim_id().await, Some(job_id(1)));
}

pub(super) async fn keys_belong_to_their_queue(subject: &Subject) {
    subject.enqueue(keyed(1)).await;
    let other = NewJob {
        queue: Queue::Sync,
        ..keyed(2)
    };
    assert_eq!(subject.enqueue(other).await, job_id(2));
}

pub(super) async fn a_retry_yields_to_a_newer_job_of_its_key(subject: &Subject) {
    // By failure.
    subject.enqueue(keyed(1)).await;
    let (claim, _) = subject.claim().await.unwrap();
    subject.enqueue(keyed(2)).await;
    let state = subject
        .queue
        .fail(&claim, failure("no"), Some(START), Batch::new())
        .await;
    assert_eq!(state.unwrap(), JobState::Cancelled);
    let ended = subject.job(&job_id(1)).await;
    assert_eq!(ended.last_error, Some(failure("no")));
    assert_eq!(ended.finished_at, Some(START));
    // By release.
    let (claim, _) = subject.claim().await.unwrap();
    subject.enqueue(keyed(3)).await;
    subject.queue.release(&claim, Batch::new()).await.unwrap();
    let ended = subject.job(&job_id(2)).await;
    assert_eq!(ended.state, JobState::Cancelled);
    assert!(ended.last_error.unwrap().message.contains("job_"));
    // By a lease that ends.
    subject.claim().await.unwrap();
    subject.enqueue(keyed(4)).await;
    subject.clock.advance(LEASE);
    assert_eq!(subject.claim_id().await, Some(job_id(4)));
    assert_eq!(subject.job(&job_id(3)).await.state, JobState::Cancelled);
    // By hand.
    subject.enqueue(keyed(5)).await;
    let by_hand = subject.queue.retry(&job_id(1), Batch::new()).await;
    assert_code(by_hand, Code::Conflict);
    let counted = stats(subject).await;
    assert_eq!((counted.queued, counted.running, counted.dead), (1, 1, 0));
}

pub(super) async fn a_cancelled_key_is_free_again(subject: &Subject) {
    subject.enqueue(keyed(1)).await;
    let replace = Batch::new().cancel(job_id(1)).enqueue(keyed(2));
    let ids = subject.store.commit(replace).await.unwrap();
    assert_eq!(ids, [job_id(2)]);
    assert_eq!(subject.claim_id().await, Some(job_id(2)));
    assert_eq!(subject.claim_id().await, None);
}

//! Leases, fences, and workers that die.

use std::time::Duration;

use hivesync::domain::UserId;
use hivesync::domain::job::JobState;
use hivesync::domain::preview::PreviewStatus;
use hivesync::error::Code;
use hivesync::store::{Batch, Expect, Record};

use super::claims::{failure, stats};
use crate::subject::{LEASE, START, Subject, assert_code, job, job_id, preview, user};

const SECOND: Duration = Duration::from_secs(1);
/// A lease but for a second.
const ALMOST: Duration = Duration::from_secs(LEASE.as_secs() - 1);

pub(super) async fn a_lease_ends_and_the_job_is_claimed_again(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (first, _) = subject.claim().await.unwrap();
    subject.clock.advance(ALMOST);
    assert_eq!(subject.claim_id().await, None);
    subject.clock.advance(SECOND);
    let (second, started) = subject.claim().await.unwrap();
    assert_eq!(second.job, job_id(1));
    assert!(second.fence > first.fence);
    assert_eq!(started.attempts, 2);
    let why = started.last_error.unwrap();
    assert_eq!(why.code, "INTERNAL_ERROR");
    assert!(why.message.contains("worker-1"), "{}", why.message);
}

pub(super) async fn renewing_keeps_a_job(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (claim, _) = subject.claim().await.unwrap();
    for _ in 0..10 {
        subject.clock.advance(ALMOST);
        subject.queue.renew(&claim, LEASE).await.unwrap();
        assert_eq!(subject.claim_id().await, None);
    }
    let lease = subject.job(&job_id(1)).await.lease.unwrap();
    let expected = START.after(ALMOST * 10).after(LEASE);
    assert_eq!(lease.expires_at, expected);
    subject.queue.complete(&claim, Batch::new()).await.unwrap();
}

pub(super) async fn a_late_worker_is_refused_everything(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (late, _) = subject.claim().await.unwrap();
    subject.clock.advance(LEASE);
    let (held, _) = subject.claim().await.unwrap();
    let write = || Batch::new().put(Record::User(user(1, "ada")), Expect::Any);
    let queue = &subject.queue;
    assert_code(queue.renew(&late, LEASE).await, Code::Conflict);
    assert_code(queue.complete(&late, write()).await, Code::Conflict);
    assert_code(
        queue.fail(&late, failure("no"), Some(START), write()).await,
        Code::Conflict,
    );
    assert_code(queue.release(&late, write()).await, Code::Conflict);
    let under = write().under(&late);
    assert_code(subject.store.commit(under).await, Code::Conflict);
    assert_eq!(subject.store.user(UserId(1)).await.unwrap(), None);
    queue.complete(&held, write()).await.unwrap();
    let found = subject.store.user(UserId(1)).await.unwrap().unwrap();
    assert_eq!(found.revision, 1);
}

pub(super) async fn an_unnoticed_end_of_a_lease_may_still_be_mended(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (claim, _) = subject.claim().await.unwrap();
    subject.clock.advance(LEASE * 2);
    subject.queue.renew(&claim, LEASE).await.unwrap();
    assert_eq!(subject.claim_id().await, None);
    subject.clock.advance(LEASE * 2);
    subject.queue.complete(&claim, Batch::new()).await.unwrap();
}

pub(super) async fn the_third_dead_worker_buries_the_job(subject: &Subject) {
    subject.enqueue(job(1)).await;
    for attempt in 1..=3 {
        let (_, started) = subject.claim().await.unwrap();
        assert_eq!(started.attempts, attempt);
        subject.clock.advance(LEASE);
    }
    assert_eq!(subject.claim_id().await, None);
    let dead = subject.job(&job_id(1)).await;
    assert_eq!(dead.state, JobState::Failed);
    assert_eq!(dead.last_error.unwrap().code, "INTERNAL_ERROR");
    assert_eq!(dead.finished_at, Some(START.after(LEASE * 3)));
    let counted = stats(subject).await;
    assert_eq!((counted.queued, counted.running, counted.dead), (0, 0, 1));
}

pub(super) async fn the_preview_of_a_buried_job_ends_with_it(subject: &Subject) {
    let mut once = job(1);
    once.max_attempts = 1;
    let mut building = preview(1, 1);
    building.status = PreviewStatus::Bundling;
    let batch = Batch::new()
        .put(Record::Preview(building), Expect::Absent)
        .put(Record::Preview(preview(2, 1)), Expect::Absent)
        .enqueue(once);
    subject.store.commit(batch).await.unwrap();
    subject.claim().await.unwrap();
    subject.clock.advance(LEASE);
    assert_eq!(subject.claim_id().await, None);
    let ended = subject.store.preview(&job_id(1)).await.unwrap().unwrap();
    assert_eq!(ended.revision, 2);
    assert_eq!(ended.value.status, PreviewStatus::Failed);
    assert_eq!(ended.value.error.unwrap().code, "INTERNAL_ERROR");
    assert_eq!(ended.value.completed_at, Some(START.after(LEASE)));
    let other = subject.store.preview(&job_id(2)).await.unwrap().unwrap();
    assert_eq!(other.value, preview(2, 1));
}

pub(super) async fn a_restart_puts_every_running_job_back(subject: &Subject) {
    for number in 1..=4 {
        subject.enqueue(job(number)).await;
    }
    let mut last_chance = job(5);
    last_chance.max_attempts = 1;
    subject.enqueue(last_chance).await;
    let mut claims = Vec::new();
    for _ in 0..5 {
        claims.push(subject.claim().await.unwrap().0);
    }
    subject
        .queue
        .complete(&claims[0], Batch::new())
        .await
        .unwrap();
    assert_eq!(subject.queue.expire_all_leases().await.unwrap(), 4);
    assert_eq!(subject.queue.expire_all_leases().await.unwrap(), 0);
    let counted = stats(subject).await;
    assert_eq!((counted.queued, counted.running, counted.dead), (3, 0, 1));
    assert_code(
        subject.queue.complete(&claims[1], Batch::new()).await,
        Code::Conflict,
    );
    assert_eq!(subject.job(&job_id(5)).await.state, JobState::Failed);
    assert_eq!(subject.claim_id().await, Some(job_id(2)));
}

pub(super) async fn a_clock_that_jumps_an_hour_ends_every_lease_once(subject: &Subject) {
    for number in 1..=3 {
        subject.enqueue(job(number)).await;
    }
    for _ in 0..3 {
        subject.claim().await.unwrap();
    }
    subject.clock.advance(Duration::from_hours(1));
    for number in 1..=3 {
        let (claim, started) = subject.claim().await.unwrap();
        assert_eq!((claim.job, started.attempts), (job_id(number), 2));
    }
    assert_eq!(subject.claim_id().await, None);
    // Set back, nothing ends early and nothing is lost.
    subject.clock.set(START);
    assert_eq!(subject.claim_id().await, None);
    subject.enqueue(job(4)).await;
    let (claim, _) = subject.claim().await.unwrap();
    subject.queue.renew(&claim, LEASE).await.unwrap();
    subject.clock.advance(LEASE);
    assert_eq!(subject.claim_id().await, Some(job_id(4)));
}

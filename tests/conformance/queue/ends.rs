//! Failures, releases, retries and cancellations.

use std::time::Duration;

use hivesync::domain::UserId;
use hivesync::domain::job::JobState;
use hivesync::error::Code;
use hivesync::store::{Batch, Expect, Record};

use super::claims::{failure, stats};
use crate::subject::{LEASE, START, Subject, assert_code, job, job_id, user};

pub(super) async fn a_retry_waits_for_its_time(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (claim, _) = subject.claim().await.unwrap();
    let at = START.after(Duration::from_secs(10));
    let batch = Batch::new().put(Record::User(user(1, "ada")), Expect::Absent);
    let state = subject
        .queue
        .fail(&claim, failure("no"), Some(at), batch)
        .await;
    assert_eq!(state.unwrap(), JobState::Queued);
    let waiting = subject.job(&job_id(1)).await;
    assert_eq!((waiting.run_at, waiting.attempts), (at, 1));
    assert_eq!(waiting.last_error, Some(failure("no")));
    assert!(subject.store.user(UserId(1)).await.unwrap().is_some());
    assert_eq!(subject.claim_id().await, None);
    subject.clock.set(at);
    let (again, started) = subject.claim().await.unwrap();
    assert_eq!(started.attempts, 2);
    assert!(again.fence > claim.fence);
}

pub(super) async fn the_last_failure_is_final(subject: &Subject) {
    subject.enqueue(job(1)).await;
    for attempt in 1..=3 {
        let (claim, started) = subject.claim().await.unwrap();
        assert_eq!(started.attempts, attempt);
        let state = subject
            .queue
            .fail(&claim, failure("no"), Some(START), Batch::new())
            .await;
        let expected = if attempt < 3 {
            JobState::Queued
        } else {
            JobState::Failed
        };
        assert_eq!(state.unwrap(), expected);
    }
    assert_eq!(subject.claim_id().await, None);
    assert_eq!(stats(subject).await.dead, 1);
}

pub(super) async fn a_failure_without_retry_is_final(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (claim, _) = subject.claim().await.unwrap();
    let fail = || {
        subject
            .queue
            .fail(&claim, failure("no"), None, Batch::new())
    };
    assert_eq!(fail().await.unwrap(), JobState::Failed);
    assert_code(fail().await, Code::Conflict);
    let ended = subject.job(&job_id(1)).await;
    assert_eq!(ended.finished_at, Some(START));
    assert_eq!(ended.lease, None);
}

pub(super) async fn a_release_costs_nothing(subject: &Subject) {
    subject.enqueue(job(1)).await;
    subject.enqueue(job(2)).await;
    for _ in 0..5 {
        let (claim, started) = subject.claim().await.unwrap();
        assert_eq!((&claim.job, started.attempts), (&job_id(1), 1));
        let batch = Batch::new().put(Record::User(user(1, "ada")), Expect::Any);
        subject.queue.release(&claim, batch).await.unwrap();
        assert_code(
            subject.queue.release(&claim, Batch::new()).await,
            Code::Conflict,
        );
    }
    assert_eq!(subject.job(&job_id(1)).await.attempts, 0);
    assert_eq!(subject.job(&job_id(1)).await.last_error, None);
    let found = subject.store.user(UserId(1)).await.unwrap().unwrap();
    assert_eq!(found.revision, 5);
}

pub(super) async fn a_failed_job_is_retried_by_hand(subject: &Subject) {
    let retry = |number| {
        let batch = Batch::new().put(Record::User(user(1, "ada")), Expect::Any);
        let id = job_id(number);
        async move { subject.queue.retry(&id, batch).await }
    };
    assert_code(retry(1).await, Code::JobNotFound);
    subject.enqueue(job(1)).await;
    assert_code(retry(1).await, Code::Conflict);
    let (claim, _) = subject.claim().await.unwrap();
    assert_code(retry(1).await, Code::Conflict);
    assert_eq!(subject.store.user(UserId(1)).await.unwrap(), None);
    subject
        .queue
        .fail(&claim, failure("no"), None, Batch::new())
        .await
        .unwrap();
    subject.enqueue(job(2)).await;
    retry(1).await.unwrap();
    assert!(subject.store.user(UserId(1)).await.unwrap().is_some());
    let again = subject.job(&job_id(1)).await;
    assert_eq!((again.state, again.attempts), (JobState::Queued, 0));
    assert_eq!((again.last_error, again.finished_at), (None, None));
    // It queues at the end, and its old claim stays dead.
    assert_eq!(subject.claim_id().await, Some(job_id(2)));
    let (new, _) = subject.claim().await.unwrap();
    assert!(new.fence > claim.fence);
    assert_code(
        subject.queue.complete(&claim, Batch::new()).await,
        Code::Conflict,
    );
    subject.queue.complete(&new, Batch::new()).await.unwrap();
    assert_code(retry(1).await, Code::Conflict);

    subject.enqueue(job(3)).await;
    subject.cancel(&job_id(3)).await.unwrap();
    retry(3).await.unwrap();
    assert_eq!(subject.claim_id().await, Some(job_id(3)));
}

pub(super) async fn cancelling_a_queued_job_removes_it(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let mut later = job(2);
    later.run_at = Some(START.after(LEASE));
    subject.enqueue(later).await;
    for number in [1, 2] {
        subject.cancel(&job_id(number)).await.unwrap();
        let ended = subject.job(&job_id(number)).await;
        assert_eq!(ended.state, JobState::Cancelled);
        assert_eq!(ended.finished_at, Some(START));
        let again = subject.cancel(&job_id(number)).await;
        assert_code(again, Code::JobAlreadyCompleted);
    }
    subject.clock.advance(LEASE);
    assert_eq!(subject.claim_id().await, None);
    assert_eq!(stats(subject).await.queued, 0);
}

pub(super) async fn cancelling_a_running_job_ends_its_claim(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (claim, _) = subject.claim().await.unwrap();
    subject.cancel(&job_id(1)).await.unwrap();
    assert_code(subject.queue.renew(&claim, LEASE).await, Code::Conflict);
    let result = Batch::new().put(Record::User(user(1, "ada")), Expect::Any);
    assert_code(subject.queue.complete(&claim, result).await, Code::Conflict);
    assert_eq!(subject.store.user(UserId(1)).await.unwrap(), None);
    assert_eq!(subject.job(&job_id(1)).await.state, JobState::Cancelled);
    assert_eq!(stats(subject).await.running, 0);
    subject.clock.advance(LEASE);
    assert_eq!(subject.claim_id().await, None);
}

pub(super) async fn cancelling_races_completing(subject: &Subject) {
    for number in 1..=40 {
        subject.enqueue(job(number)).await;
        let (claim, _) = subject.claim().await.unwrap();
        let result = Batch::new().put(
            Record::User(user(
                i64::try_from(number).unwrap(),
                &format!("user{number}"),
            )),
            Expect::Absent,
        );
        let cancel = Batch::new().cancel(job_id(number));
        let (completed, cancelled) = tokio::join!(
            subject.queue.complete(&claim, result),
            subject.store.commit(cancel),
        );
        let ended = subject.job(&job_id(number)).await.state;
        let written = subject.store.user(UserId(i64::try_from(number).unwrap()));
        assert_eq!(written.await.unwrap().is_some(), completed.is_ok());
        match (completed, cancelled) {
            (Ok(()), Err(error)) => {
                assert_eq!(error.code, Code::JobAlreadyCompleted);
                assert_eq!(ended, JobState::Succeeded);
            }
            (Err(error), Ok(_)) => {
                assert_eq!(error.code, Code::Conflict);
                assert_eq!(ended, JobState::Cancelled);
            }
            both => panic!("one of them must win: {both:?}"),
        }
    }
}

pub(super) async fn a_refused_batch_does_not_end_the_job(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (claim, _) = subject.claim().await.unwrap();
    let refused = || Batch::new().put(Record::User(user(1, "ada")), Expect::Revision(1));
    let queue = &subject.queue;
    assert_code(queue.release(&claim, refused()).await, Code::Conflict);
    assert_code(
        queue.fail(&claim, failure("no"), None, refused()).await,
        Code::Conflict,
    );
    assert_eq!(subject.job(&job_id(1)).await.state, JobState::Running);
    queue
        .fail(&claim, failure("no"), None, Batch::new())
        .await
        .unwrap();
    assert_code(queue.retry(&job_id(1), refused()).await, Code::Conflict);
    assert_eq!(subject.job(&job_id(1)).await.state, JobState::Failed);
}

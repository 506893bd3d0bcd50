//! Workers that wait for a job: each is given one, as by a claim.

use std::pin::pin;
use std::time::Duration;

use futures::FutureExt;
use futures::future::join_all;
use hivesync::clock::Clock;
use hivesync::domain::job::{Job, JobState, NewJob, Priority, Queue};
use hivesync::store::{Batch, Claim};

use crate::subject::{LEASE, START, Subject, builds, job, job_id, limited, sleeps, wakes};

async fn next(subject: &Subject) -> (Claim, Job) {
    subject.queue.next(&builds()).await.unwrap()
}

pub(super) async fn a_job_that_waits_is_given_at_once(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (claim, started) = wakes(next(subject)).await;
    assert_eq!(claim.job, job_id(1));
    assert_eq!(subject.job(&job_id(1)).await, started);
    assert!(sleeps(next(subject)).await);
}

pub(super) async fn a_waiting_worker_is_given_a_new_job(subject: &Subject) {
    let mut waiting = pin!(next(subject));
    assert!(sleeps(&mut waiting).await);
    subject.clock.advance(Duration::from_secs(5));
    subject.enqueue(job(1)).await;
    let (claim, started) = wakes(waiting).await;
    assert_eq!((&claim.job, claim.fence), (&job_id(1), 1));
    assert_eq!((started.state, started.attempts), (JobState::Running, 1));
    let now = subject.clock.now();
    assert_eq!(started.started_at, Some(now));
    let lease = started.lease.as_ref().unwrap();
    assert_eq!(lease.expires_at, now.after(LEASE));
    assert_eq!(subject.job(&job_id(1)).await, started);
    let counted = subject.queue.stats(Queue::PreviewBuild).await.unwrap();
    assert_eq!((counted.queued, counted.running), (0, 1));
    assert_eq!(subject.claim().await, None);
    subject.queue.complete(&claim, Batch::new()).await.unwrap();
}

pub(super) async fn waiting_workers_are_given_each_job_once(subject: &Subject) {
    let workers = join_all((0..20).map(|_| next(subject)));
    let enqueue = async {
        for number in 1..=20 {
            tokio::task::yield_now().await;
            subject.enqueue(job(number)).await;
        }
    };
    let (given, ()) = tokio::join!(wakes(workers), enqueue);
    let mut jobs: Vec<_> = given.into_iter().map(|(claim, _)| claim.job).collect();
    jobs.sort();
    assert_eq!(jobs, (1..=20).map(job_id).collect::<Vec<_>>());
}

pub(super) async fn waiting_workers_are_given_what_a_claim_would_take(subject: &Subject) {
    let mut first = pin!(next(subject));
    assert!(sleeps(&mut first).await);
    let sync = NewJob {
        queue: Queue::Sync,
        ..job(4)
    };
    subject.enqueue(sync).await;
    assert!(sleeps(&mut first).await);
    let urgent = NewJob {
        priority: Priority::HIGH,
        ..job(2)
    };
    let batch = Batch::new().enqueue(job(1)).enqueue(urgent).enqueue(job(3));
    subject.store.commit(batch).await.unwrap();
    assert_eq!(wakes(first).await.0.job, job_id(2));
    assert_eq!(subject.claim_id().await, Some(job_id(1)));
}

pub(super) async fn a_waiting_worker_passes_over_a_full_group(subject: &Subject) {
    let request = limited(1);
    let next = || subject.queue.next(&request).map(Result::unwrap);
    for number in [1, 2] {
        let new = NewJob {
            group: 7,
            ..job(number)
        };
        subject.enqueue(new).await;
    }
    let (first, _) = wakes(next()).await;
    let mut second = pin!(next());
    assert!(sleeps(&mut second).await);
    let mut third = pin!(next());
    assert!(sleeps(&mut third).await);
    let other = NewJob { group: 8, ..job(3) };
    subject.enqueue(other).await;
    let end = async {
        tokio::task::yield_now().await;
        subject.queue.complete(&first, Batch::new()).await.unwrap();
    };
    let (second, third, ()) = tokio::join!(wakes(second), wakes(third), end);
    let mut jobs = [second.0.job, third.0.job];
    jobs.sort();
    assert_eq!(jobs, [2, 3].map(job_id));
}

pub(super) async fn a_waiting_worker_is_given_a_job_when_its_queue_goes_on(subject: &Subject) {
    let pause = |paused| subject.queue.set_paused(Queue::PreviewBuild, paused);
    pause(true).await.unwrap();
    let mut waiting = pin!(next(subject));
    subject.enqueue(job(1)).await;
    assert!(sleeps(&mut waiting).await);
    pause(false).await.unwrap();
    assert_eq!(wakes(waiting).await.0.job, job_id(1));
}

pub(super) async fn a_waiting_worker_is_given_a_delayed_job_when_it_is_due(subject: &Subject) {
    let later = NewJob {
        run_at: Some(START.after(LEASE)),
        ..job(1)
    };
    subject.enqueue(later).await;
    let mut waiting = pin!(next(subject));
    assert!(sleeps(&mut waiting).await);
    subject.clock.advance(LEASE);
    assert_eq!(wakes(waiting).await.0.job, job_id(1));
}

pub(super) async fn a_waiting_worker_is_given_a_job_whose_lease_ends(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (lost, _) = subject.claim().await.unwrap();
    let mut waiting = pin!(next(subject));
    assert!(sleeps(&mut waiting).await);
    subject.clock.advance(LEASE);
    let (claim, again) = wakes(waiting).await;
    assert_eq!((claim.job, again.attempts), (job_id(1), 2));
    assert!(claim.fence > lost.fence);
}

pub(super) async fn a_job_for_a_worker_that_has_gone_is_back(subject: &Subject) {
    for number in 1..=10 {
        let id = job_id(number);
        let mut gone = Box::pin(next(subject));
        assert!(gone.as_mut().now_or_never().is_none());
        subject.enqueue(job(number)).await;
        drop(gone);
        let (claim, started) = subject.claim().await.unwrap();
        assert_eq!((&claim.job, started.attempts), (&id, 1));
        assert_eq!(started.last_error, None);
        subject.queue.complete(&claim, Batch::new()).await.unwrap();
    }
}

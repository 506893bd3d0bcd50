//! Idle workers: woken for everything, and only for something.

use std::future::Future;

use hivesync::domain::job::{NewJob, Queue};
use hivesync::store::Batch;

use crate::subject::{LEASE, START, Subject, job, limited, sleeps, wakes};

fn wait(subject: &Subject) -> impl Future<Output = ()> {
    subject.queue.wait(&[Queue::PreviewBuild])
}

pub(super) async fn a_waiter_wakes_for_new_jobs(subject: &Subject) {
    assert_eq!(subject.claim().await, None);
    let enqueue = async {
        tokio::task::yield_now().await;
        subject.enqueue(job(1)).await;
    };
    tokio::join!(wakes(wait(subject)), enqueue);
    assert!(subject.claim().await.is_some());
}

pub(super) async fn a_waiter_sleeps_while_nothing_happens(subject: &Subject) {
    assert_eq!(subject.claim().await, None);
    assert!(sleeps(wait(subject)).await);
    let sync = NewJob {
        queue: Queue::Sync,
        ..job(1)
    };
    subject.enqueue(sync).await;
    assert!(sleeps(wait(subject)).await);
    let later = NewJob {
        run_at: Some(START.after(LEASE)),
        ..job(2)
    };
    subject.enqueue(later).await;
    assert_eq!(subject.claim().await, None);
    assert!(sleeps(wait(subject)).await);
}

pub(super) async fn a_wake_up_between_claim_and_wait_is_not_missed(subject: &Subject) {
    assert_eq!(subject.claim().await, None);
    subject.enqueue(job(1)).await;
    wakes(wait(subject)).await;
    // Another worker's wait takes nothing away either.
    wakes(wait(subject)).await;
    assert!(subject.claim().await.is_some());
    assert_eq!(subject.claim().await, None);
    assert!(sleeps(wait(subject)).await);
}

pub(super) async fn a_waiter_wakes_when_a_place_in_its_group_is_free(subject: &Subject) {
    for number in [1, 2] {
        let new = NewJob {
            group: 7,
            ..job(number)
        };
        subject.enqueue(new).await;
    }
    let claim = || async { subject.queue.claim(&limited(1)).await.unwrap() };
    let (first, _) = claim().await.unwrap();
    assert_eq!(claim().await, None);
    assert!(sleeps(wait(subject)).await);
    let end = subject.queue.complete(&first, Batch::new());
    let (ended, ()) = tokio::join!(end, wakes(wait(subject)));
    ended.unwrap();
    let (second, _) = claim().await.unwrap();
    let third = NewJob { group: 7, ..job(3) };
    subject.enqueue(third).await;
    assert_eq!(claim().await, None);
    subject.cancel(&second.job).await.unwrap();
    wakes(wait(subject)).await;
    assert!(claim().await.is_some());
}

pub(super) async fn a_waiter_wakes_when_its_queue_goes_on(subject: &Subject) {
    let pause = |paused| subject.queue.set_paused(Queue::PreviewBuild, paused);
    pause(true).await.unwrap();
    subject.enqueue(job(1)).await;
    assert_eq!(subject.claim().await, None);
    assert!(sleeps(wait(subject)).await);
    pause(false).await.unwrap();
    wakes(wait(subject)).await;
    assert!(subject.claim().await.is_some());
}

pub(super) async fn a_waiter_wakes_when_a_delayed_job_is_due(subject: &Subject) {
    let later = NewJob {
        run_at: Some(START.after(LEASE)),
        ..job(1)
    };
    subject.enqueue(later).await;
    assert_eq!(subject.claim().await, None);
    let advance = async {
        tokio::task::yield_now().await;
        subject.clock.advance(LEASE);
    };
    tokio::join!(wakes(wait(subject)), advance);
    assert!(subject.claim().await.is_some());
}

pub(super) async fn a_waiter_wakes_when_a_lease_ends(subject: &Subject) {
    subject.enqueue(job(1)).await;
    subject.claim().await.unwrap();
    assert_eq!(subject.claim().await, None);
    assert!(sleeps(wait(subject)).await);
    subject.clock.advance(LEASE);
    wakes(wait(subject)).await;
    assert!(subject.claim().await.is_some());
}

//! Claims, their ends, and what the queue counts.

use std::collections::BTreeSet;

use hivesync::domain::UserId;
use hivesync::domain::job::{JobFailure, JobState, Queue};
use hivesync::error::Code;
use hivesync::store::{Batch, Claim, ClaimRequest, Expect, QueueStats, Record};

use crate::subject::{LEASE, START, Subject, assert_code, builds, job, job_id, user};

pub(super) fn failure(message: &str) -> JobFailure {
    JobFailure {
        code: "PREVIEW_BUILD_FAILED".to_owned(),
        message: message.to_owned(),
    }
}

pub(super) async fn stats(subject: &Subject) -> QueueStats {
    subject.queue.stats(Queue::PreviewBuild).await.unwrap()
}

pub(super) async fn a_claim_starts_the_job(subject: &Subject) {
    assert_eq!(subject.claim().await, None);
    subject.enqueue(job(1)).await;
    let (claim, started) = subject.claim().await.unwrap();
    assert_eq!(claim.job, job_id(1));
    assert_eq!(started, subject.job(&job_id(1)).await);
    assert_eq!(started.state, JobState::Running);
    assert_eq!(started.attempts, 1);
    assert_eq!(started.fence, claim.fence);
    assert_eq!(started.started_at, Some(START));
    let lease = started.lease.unwrap();
    assert_eq!(lease.worker, "worker-1");
    assert_eq!(lease.expires_at, START.after(LEASE));
    assert_eq!(subject.claim().await, None);
}

pub(super) async fn nothing_is_claimed_twice(subject: &Subject) {
    for number in 1..=50 {
        subject.enqueue(job(number)).await;
    }
    let request = builds();
    let claims = (0..60).map(|_| subject.queue.claim(&request));
    let claimed: Vec<_> = futures::future::join_all(claims)
        .await
        .into_iter()
        .filter_map(|outcome| outcome.unwrap())
        .map(|(claim, _)| claim.job)
        .collect();
    assert_eq!(claimed.len(), 50);
    assert_eq!(claimed.iter().collect::<BTreeSet<_>>().len(), 50);
}

pub(super) async fn completing_writes_the_result_once(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (claim, _) = subject.claim().await.unwrap();
    let result = || Batch::new().put(Record::User(user(1, "ada")), Expect::Any);
    subject.queue.complete(&claim, result()).await.unwrap();
    let ended = subject.job(&job_id(1)).await;
    assert_eq!(ended.state, JobState::Succeeded);
    assert_eq!((ended.lease, ended.finished_at), (None, Some(START)));
    assert_code(
        subject.queue.complete(&claim, result()).await,
        Code::Conflict,
    );
    let found = subject.store.user(UserId(1)).await.unwrap().unwrap();
    assert_eq!(found.revision, 1);
    let unknown = Claim {
        job: job_id(9),
        fence: 1,
    };
    assert_code(
        subject.queue.complete(&unknown, result()).await,
        Code::Conflict,
    );
}

pub(super) async fn a_failed_completion_leaves_the_job_running(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (claim, _) = subject.claim().await.unwrap();
    let refused = Batch::new()
        .enqueue(job(2))
        .put(Record::User(user(1, "ada")), Expect::Revision(7));
    assert_code(
        subject.queue.complete(&claim, refused).await,
        Code::Conflict,
    );
    assert_eq!(subject.job(&job_id(1)).await.state, JobState::Running);
    assert_eq!(subject.store.job(&job_id(2)).await.unwrap(), None);
    subject.queue.complete(&claim, Batch::new()).await.unwrap();
}

pub(super) async fn completing_may_enqueue_and_cancel(subject: &Subject) {
    subject.enqueue(job(1)).await;
    subject.enqueue(job(2)).await;
    let (claim, _) = subject.claim().await.unwrap();
    let itself = Batch::new().cancel(job_id(1));
    assert_code(
        subject.queue.complete(&claim, itself).await,
        Code::InternalError,
    );
    let batch = Batch::new().cancel(job_id(2)).enqueue(job(3));
    subject.queue.complete(&claim, batch).await.unwrap();
    assert_eq!(subject.job(&job_id(2)).await.state, JobState::Cancelled);
    assert_eq!(subject.claim_id().await, Some(job_id(3)));
}

pub(super) async fn stats_count_every_state(subject: &Subject) {
    for number in 1..=6 {
        subject.enqueue(job(number)).await;
    }
    let mut later = job(7);
    later.run_at = Some(START.after(LEASE));
    subject.enqueue(later).await;
    let (one, _) = subject.claim().await.unwrap();
    let (two, _) = subject.claim().await.unwrap();
    subject.claim().await.unwrap();
    subject.queue.complete(&one, Batch::new()).await.unwrap();
    subject
        .queue
        .fail(&two, failure("no"), None, Batch::new())
        .await
        .unwrap();
    subject.cancel(&job_id(6)).await.unwrap();
    let expected = QueueStats {
        queued: 3,
        running: 1,
        dead: 1,
        paused: false,
    };
    assert_eq!(stats(subject).await, expected);
    let other = subject.queue.stats(Queue::Sync).await.unwrap();
    assert_eq!(other, QueueStats::default());
    subject.queue.retry(&job_id(2), Batch::new()).await.unwrap();
    let expected = QueueStats {
        queued: 4,
        dead: 0,
        ..expected
    };
    assert_eq!(stats(subject).await, expected);
}

pub(super) async fn a_paused_queue_is_not_claimed_from(subject: &Subject) {
    subject.enqueue(job(1)).await;
    subject.enqueue(job(2)).await;
    let (running, _) = subject.claim().await.unwrap();
    let pause = |paused| subject.queue.set_paused(Queue::PreviewBuild, paused);
    pause(true).await.unwrap();
    assert!(stats(subject).await.paused);
    assert_eq!(subject.claim().await, None);
    subject.queue.renew(&running, LEASE).await.unwrap();
    subject
        .queue
        .complete(&running, Batch::new())
        .await
        .unwrap();
    pause(false).await.unwrap();
    assert_eq!(subject.claim_id().await, Some(job_id(2)));
}

pub(super) async fn workers_take_only_their_queues(subject: &Subject) {
    let mut sync = job(1);
    sync.queue = Queue::Sync;
    subject.enqueue(sync).await;
    assert_eq!(subject.claim().await, None);
    let nothing = ClaimRequest {
        queues: Vec::new(),
        ..builds()
    };
    assert_eq!(subject.queue.claim(&nothing).await.unwrap(), None);
    let request = ClaimRequest {
        queues: vec![Queue::PreviewBuild, Queue::Sync],
        ..builds()
    };
    let claimed = subject.queue.claim(&request).await.unwrap();
    assert_eq!(claimed.unwrap().0.job, job_id(1));
}

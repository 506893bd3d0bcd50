//! Batches: atomicity, expectations, jobs that enter with records.

use std::collections::BTreeSet;
use std::time::Duration;

use hivesync::domain::job::JobState;
use hivesync::domain::{ProjectId, UserId};
use hivesync::error::Code;
use hivesync::store::batch::RecordKey;
use hivesync::store::{Batch, Expect, Record, Sequence};

use crate::subject::{LEASE, Subject, assert_code, job, job_id, preview, project, user};

pub(super) async fn commit_is_atomic(subject: &Subject) {
    let store = &subject.store;
    subject.put(Record::User(user(1, "ada"))).await.unwrap();
    let batch = Batch::new()
        .put(Record::Project(project(1, 1)), Expect::Absent)
        .put(Record::Preview(preview(1, 1)), Expect::Absent)
        .enqueue(job(1))
        .put(Record::User(user(1, "ada")), Expect::Absent);
    assert_code(store.commit(batch).await, Code::Conflict);
    assert_eq!(store.project(ProjectId(1)).await.unwrap(), None);
    assert_eq!(store.preview(&job_id(1)).await.unwrap(), None);
    assert_eq!(store.job(&job_id(1)).await.unwrap(), None);
    assert_eq!(subject.claim_id().await, None);
}

pub(super) async fn expectations_are_checked(subject: &Subject) {
    let store = &subject.store;
    let put = |expect| Batch::new().put(Record::Project(project(1, 1)), expect);
    let delete = |expect| Batch::new().delete(RecordKey::Project(ProjectId(1)), expect);

    assert_code(store.commit(put(Expect::Revision(1))).await, Code::Conflict);
    assert_code(
        store.commit(delete(Expect::Revision(1))).await,
        Code::Conflict,
    );
    store.commit(delete(Expect::Any)).await.unwrap();
    store.commit(put(Expect::Absent)).await.unwrap();
    assert_code(store.commit(put(Expect::Absent)).await, Code::Conflict);
    store.commit(put(Expect::Revision(1))).await.unwrap();
    assert_code(store.commit(put(Expect::Revision(1))).await, Code::Conflict);
    store.commit(put(Expect::Any)).await.unwrap();
    assert_code(
        store.commit(delete(Expect::Revision(2))).await,
        Code::Conflict,
    );
    store.commit(delete(Expect::Revision(3))).await.unwrap();
    assert_eq!(store.project(ProjectId(1)).await.unwrap(), None);
}

pub(super) async fn revisions_count_the_puts(subject: &Subject) {
    for revision in 1..=3 {
        subject.put(Record::User(user(1, "ada"))).await.unwrap();
        let found = subject.store.user(UserId(1)).await.unwrap().unwrap();
        assert_eq!(found.revision, revision);
    }
    let delete = Batch::new().delete(RecordKey::User(UserId(1)), Expect::Any);
    subject.store.commit(delete).await.unwrap();
    subject.put(Record::User(user(1, "ada"))).await.unwrap();
    let found = subject.store.user(UserId(1)).await.unwrap().unwrap();
    assert_eq!(found.revision, 1);
}

pub(super) async fn a_batch_names_nothing_twice(subject: &Subject) {
    let twice = Batch::new()
        .put(Record::User(user(1, "ada")), Expect::Any)
        .delete(RecordKey::User(UserId(1)), Expect::Any);
    assert_code(subject.store.commit(twice).await, Code::InternalError);
    let twice = Batch::new().enqueue(job(1)).enqueue(job(1));
    assert_code(subject.store.commit(twice).await, Code::InternalError);
    subject.enqueue(job(1)).await;
    let twice = Batch::new().cancel(job_id(1)).cancel(job_id(1));
    assert_code(subject.store.commit(twice).await, Code::InternalError);
    assert_eq!(subject.job(&job_id(1)).await.state, JobState::Queued);
}

pub(super) async fn jobs_enter_with_their_records(subject: &Subject) {
    let batch = Batch::new()
        .put(Record::Preview(preview(1, 1)), Expect::Absent)
        .enqueue(job(1))
        .enqueue(job(2));
    let ids = subject.store.commit(batch).await.unwrap();
    assert_eq!(ids, [job_id(1), job_id(2)]);
    let queued = subject.job(&job_id(1)).await;
    assert_eq!(queued.state, JobState::Queued);
    assert_eq!(queued.payload, job(1).payload);
    assert_eq!((queued.attempts, queued.fence), (0, 0));
    assert!(subject.store.preview(&job_id(1)).await.unwrap().is_some());
}

pub(super) async fn a_job_id_is_used_once(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let again = Batch::new()
        .put(Record::User(user(1, "ada")), Expect::Any)
        .enqueue(job(1));
    assert_code(subject.store.commit(again).await, Code::Conflict);
    assert_eq!(subject.store.user(UserId(1)).await.unwrap(), None);
}

pub(super) async fn an_oversized_payload_is_refused(subject: &Subject) {
    let mut large = job(1);
    large.payload = "x".repeat((1 << 20) + 1);
    let outcome = subject.store.commit(Batch::new().enqueue(large)).await;
    assert_code(outcome, Code::PayloadTooLarge);
    let mut fitting = job(1);
    fitting.payload = "x".repeat(1 << 20);
    subject.enqueue(fitting).await;
    assert_eq!(subject.job(&job_id(1)).await.payload.len(), 1 << 20);
}

pub(super) async fn cancelling_needs_a_job_that_has_not_ended(subject: &Subject) {
    assert_code(subject.cancel(&job_id(1)).await, Code::JobNotFound);
    subject.enqueue(job(1)).await;
    let (claim, _) = subject.claim().await.unwrap();
    subject.queue.complete(&claim, Batch::new()).await.unwrap();
    let batch = Batch::new()
        .cancel(job_id(1))
        .put(Record::User(user(1, "ada")), Expect::Any);
    assert_code(subject.store.commit(batch).await, Code::JobAlreadyCompleted);
    assert_eq!(subject.store.user(UserId(1)).await.unwrap(), None);
}

pub(super) async fn a_late_claim_writes_nothing(subject: &Subject) {
    subject.enqueue(job(1)).await;
    let (late, _) = subject.claim().await.unwrap();
    let write = || Batch::new().put(Record::Preview(preview(1, 1)), Expect::Any);
    subject.store.commit(write().under(&late)).await.unwrap();
    subject.clock.advance(LEASE + Duration::from_secs(1));
    let (held, _) = subject.claim().await.unwrap();
    assert_code(
        subject.store.commit(write().under(&late)).await,
        Code::Conflict,
    );
    let revision = subject.store.preview(&job_id(1)).await.unwrap();
    assert_eq!(revision.unwrap().revision, 1);
    subject.store.commit(write().under(&held)).await.unwrap();
}

pub(super) async fn sequences_never_repeat(subject: &Subject) {
    assert_eq!(subject.store.allocate(Sequence::User).await.unwrap(), 1);
    assert_eq!(subject.store.allocate(Sequence::Project).await.unwrap(), 1);
    let many = (0..50).map(|_| subject.store.allocate(Sequence::User));
    let given: BTreeSet<_> = futures::future::join_all(many)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(given, (2..=51).collect());
}

pub(super) async fn a_ping_is_answered(subject: &Subject) {
    subject.store.ping().await.unwrap();
    assert!(["memory", "redb"].contains(&subject.store.name()));
}

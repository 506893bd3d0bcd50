//! The operations that are drawn at random, from few enough names that they
//! meet each other.

use std::time::Duration;

use hivesync::clock::Clock;
use hivesync::domain::job::{JobFailure, NewJob, Priority, Queue};
use hivesync::domain::preview::{Platform, PreviewStatus};
use hivesync::domain::user::Role;
use hivesync::domain::{ProjectId, UserId};
use hivesync::error::Result;
use hivesync::store::batch::RecordKey;
use hivesync::store::{Batch, Change, Claim, ClaimRequest, Expect, Record, Sequence};
use proptest::prelude::*;

use crate::subject::{
    LEASE, Subject, api_token, job, job_id, member, preview, project, session, user,
};

pub(super) const NAMES: [&str; 5] = ["ada", "Ada", "bob", "anton", "eve"];
pub(super) const IDS: std::ops::RangeInclusive<i64> = 1..=4;
pub(super) const JOBS: std::ops::RangeInclusive<u64> = 1..=40;
pub(super) const QUEUES: [Queue; 2] = [Queue::PreviewBuild, Queue::Sync];

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Allocate,
    Commit(Batch),
    /// Under the claim of this number, held or not.
    CommitUnder(usize, Batch),
    Claim(ClaimRequest),
    Renew(usize),
    Complete(usize, Batch),
    Fail(usize, Option<u64>, Batch),
    Release(usize, Batch),
    Retry(u64, Batch),
    Pause(Queue, bool),
    Advance(u64),
    SetBack(u64),
    ExpireAll,
    Reopen,
}

pub(super) fn any_operation() -> impl Strategy<Value = Operation> {
    let claim = any::<usize>();
    prop_oneof![
        1 => Just(Operation::Allocate),
        12 => any_batch().prop_map(Operation::Commit),
        1 => (claim, any_batch()).prop_map(|(c, b)| Operation::CommitUnder(c, b)),
        10 => any_claim().prop_map(Operation::Claim),
        1 => claim.prop_map(Operation::Renew),
        4 => (claim, small_batch()).prop_map(|(c, b)| Operation::Complete(c, b)),
        4 => (claim, prop::option::of(0..90u64), small_batch())
            .prop_map(|(c, at, b)| Operation::Fail(c, at, b)),
        2 => (claim, small_batch()).prop_map(|(c, b)| Operation::Release(c, b)),
        3 => (JOBS, small_batch()).prop_map(|(id, b)| Operation::Retry(id, b)),
        1 => (prop::sample::select(&QUEUES), any::<bool>())
            .prop_map(|(q, paused)| Operation::Pause(q, paused)),
        3 => (1..60u64).prop_map(Operation::Advance),
        1 => (1..60u64).prop_map(Operation::SetBack),
        1 => Just(Operation::ExpireAll),
        1 => Just(Operation::Reopen),
    ]
}

fn any_claim() -> impl Strategy<Value = ClaimRequest> {
    let queues = prop::sample::subsequence(QUEUES.to_vec(), 1..=2).prop_shuffle();
    (queues, 1..4u32).prop_map(|(queues, group_limit)| ClaimRequest {
        queues,
        worker: "worker".to_owned(),
        lease: LEASE,
        group_limit,
    })
}

fn any_batch() -> impl Strategy<Value = Batch> {
    prop_oneof![
        3 => small_batch(),
        4 => any_job().prop_map(|new| Batch::new().enqueue(new)),
        1 => JOBS.prop_map(|id| Batch::new().cancel(job_id(id))),
    ]
}

fn small_batch() -> impl Strategy<Value = Batch> {
    let changes = prop::collection::vec(any_change(), 0..4);
    let enqueue = prop::collection::vec(any_job(), 0..2);
    let cancel = prop::collection::vec(JOBS.prop_map(job_id), 0..2);
    // Most are empty: what they ride on should mostly succeed.
    prop_oneof![
        2 => Just(Batch::new()),
        1 => (changes, enqueue, cancel).prop_map(|(changes, enqueue, cancel)| Batch {
            changes,
            enqueue,
            cancel,
            claim: None,
        }),
    ]
}

fn any_job() -> impl Strategy<Value = NewJob> {
    let key = prop::option::weighted(0.4, prop::sample::select(&["k1", "k2", "k3"][..]));
    let priority = prop::sample::select(&[Priority::HIGH, Priority::NORMAL, Priority::LOW][..]);
    (
        (JOBS, prop::sample::select(&QUEUES), priority, 0..4i64),
        (
            key,
            prop::option::weighted(0.3, 0..120u64),
            1..4u32,
            0..100u32,
        ),
    )
        .prop_map(
            |((id, queue, priority, group), (key, delay, max_attempts, text))| NewJob {
                queue,
                priority,
                group,
                payload: format!("{text}"),
                dedupe_key: key.map(str::to_owned),
                run_at: delay.map(|s| crate::subject::START.after(Duration::from_secs(s))),
                max_attempts,
                ..job(id)
            },
        )
}

fn any_expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        6 => Just(Expect::Any),
        1 => Just(Expect::Absent),
        2 => (1..4u64).prop_map(Expect::Revision),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => (any_record(), any_expect()).prop_map(|(r, e)| Change::Put(r, e)),
        1 => (any_key(), any_expect()).prop_map(|(k, e)| Change::Delete(k, e)),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let name = || prop::sample::select(&NAMES[..]);
    let statuses = [
        PreviewStatus::Queued,
        PreviewStatus::Bundling,
        PreviewStatus::Success,
    ];
    let platforms = [Platform::Ios, Platform::Web];
    prop_oneof![
        (IDS, name(), name(), any::<bool>(), any::<bool>()).prop_map(
            |(id, username, mailbox, admin, disabled)| {
                let mut user = user(id, username);
                user.email = format!("{mailbox}@example.com");
                user.role = if admin { Role::Admin } else { Role::User };
                user.disabled = disabled;
                Record::User(user)
            }
        ),
        (name(), IDS).prop_map(|(id, owner)| Record::Session(session(id, owner))),
        (IDS, IDS, IDS).prop_map(|(id, owner, digest)| {
            let mut token = api_token(id, owner);
            token.digest = format!("{digest}");
            Record::ApiToken(token)
        }),
        (IDS, IDS).prop_map(|(id, owner)| Record::Project(project(id, owner))),
        (IDS, IDS).prop_map(|(project, user)| Record::Member(member(project, user))),
        (
            JOBS,
            IDS,
            prop::sample::select(statuses.to_vec()),
            prop::sample::select(platforms.to_vec()),
            IDS
        )
            .prop_map(|(id, project, status, platform, key)| {
                let mut preview = preview(id, project);
                preview.status = status;
                preview.platform = platform;
                preview.build_key = format!("key {key}");
                Record::Preview(preview)
            }),
        (IDS, JOBS).prop_map(|(digest, id)| Record::PreviewToken {
            digest: format!("{digest}"),
            preview: job_id(id),
        }),
    ]
}

fn any_key() -> impl Strategy<Value = RecordKey> {
    prop_oneof![
        IDS.prop_map(|id| RecordKey::User(UserId(id))),
        prop::sample::select(&NAMES[..]).prop_map(|id| RecordKey::Session(id.to_owned())),
        IDS.prop_map(RecordKey::ApiToken),
        IDS.prop_map(|id| RecordKey::Project(ProjectId(id))),
        (IDS, IDS).prop_map(|(p, u)| RecordKey::Member(ProjectId(p), UserId(u))),
        JOBS.prop_map(|id| RecordKey::Preview(job_id(id))),
    ]
}

/// One adapter on its way through a sequence.
pub(super) struct Run {
    pub(super) subject: Subject,
    claims: Vec<Claim>,
}

impl Run {
    pub(super) fn on(subject: Subject) -> Self {
        Self {
            subject,
            claims: Vec::new(),
        }
    }

    pub(super) fn reopen(self) -> Self {
        Self {
            subject: self.subject.reopen(),
            claims: self.claims,
        }
    }

    /// The claim a number stands for: mostly one of the latest.
    fn claim(&self, number: usize) -> Claim {
        let recent = self.claims.iter().rev().take(4).collect::<Vec<_>>();
        match recent.get(number % 4) {
            Some(claim) => (*claim).clone(),
            None => Claim {
                job: job_id(1),
                fence: 1,
            },
        }
    }

    /// Applies one operation; answers what came of it, as text.
    pub(super) async fn apply(&mut self, operation: &Operation) -> String {
        let Subject {
            store,
            queue,
            clock,
            ..
        } = &self.subject;
        match operation.clone() {
            Operation::Allocate => told(store.allocate(Sequence::User).await),
            Operation::Commit(batch) => told(store.commit(batch).await),
            Operation::CommitUnder(number, batch) => {
                told(store.commit(batch.under(&self.claim(number))).await)
            }
            Operation::Claim(request) => {
                let claimed = queue.claim(&request).await;
                if let Ok(Some((claim, _))) = &claimed {
                    self.claims.push(claim.clone());
                }
                told(claimed)
            }
            Operation::Renew(number) => told(queue.renew(&self.claim(number), LEASE).await),
            Operation::Complete(number, batch) => {
                told(queue.complete(&self.claim(number), batch).await)
            }
            Operation::Fail(number, seconds, batch) => {
                let failure = JobFailure {
                    code: "PREVIEW_TIMEOUT".to_owned(),
                    message: "too slow".to_owned(),
                };
                let at = seconds.map(|s| clock.now().after(Duration::from_secs(s)));
                told(queue.fail(&self.claim(number), failure, at, batch).await)
            }
            Operation::Release(number, batch) => {
                told(queue.release(&self.claim(number), batch).await)
            }
            Operation::Retry(id, batch) => told(queue.retry(&job_id(id), batch).await),
            Operation::Pause(of, paused) => told(queue.set_paused(of, paused).await),
            Operation::Advance(seconds) => {
                clock.advance(Duration::from_secs(seconds));
                String::new()
            }
            Operation::SetBack(seconds) => {
                clock.set(clock.now().before(Duration::from_secs(seconds)));
                String::new()
            }
            Operation::ExpireAll => told(queue.expire_all_leases().await),
            Operation::Reopen => String::new(),
        }
    }
}

fn told<T: std::fmt::Debug>(outcome: Result<T>) -> String {
    match outcome {
        Ok(value) => format!("{value:?}"),
        Err(error) => error.to_string(),
    }
}

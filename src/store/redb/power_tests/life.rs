//! Operations of a store, applied to it and to the oracle.

use std::sync::Arc;
use std::time::Duration;

use super::disk::Dice;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::domain::job::{Job, JobFailure, NewJob, Priority, Queue};
use crate::domain::user::{Role, User};
use crate::domain::{JobId, UserId};
use crate::error::{Code, Result};
use crate::store::memory::MemoryStore;
use crate::store::{Batch, Claim, ClaimRequest, Expect, JobQueue, MetaStore, QueueStats, Record};

const JOBS: u64 = 25;
const USERS: i64 = 22;
const LEASE: Duration = Duration::from_secs(30);

pub(super) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::starting_at(Timestamp::from_secs(
        1_700_000_000,
    )))
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// A job of this number, with this key if any, of so many bytes.
    Enqueue(u64, Option<u64>, usize),
    Claim,
    /// These are of the claim with this number, from the newest.
    Renew(u64),
    Complete(u64),
    Fail(u64),
    Release(u64),
    Cancel(u64),
    PutUser(i64),
    ExpireAll,
    Advance(u64),
}

impl Operation {
    pub(super) fn any(dice: &mut Dice) -> Self {
        let job = 1 + dice.below(JOBS);
        match dice.below(20) {
            0..6 => {
                let key = (dice.below(3) == 0).then(|| dice.below(3));
                let size = usize::try_from(dice.below(30_000)).expect("small");
                Self::Enqueue(job, key, size)
            }
            6..10 => Self::Claim,
            10 => Self::Renew(dice.below(3)),
            11..13 => Self::Complete(dice.below(3)),
            13 => Self::Fail(dice.below(3)),
            14 => Self::Release(dice.below(3)),
            15 => Self::Cancel(job),
            16..18 => Self::PutUser(1 + i64::try_from(dice.below(20)).expect("small")),
            18 => Self::ExpireAll,
            _ => Self::Advance(dice.below(40)),
        }
    }
}

/// What a caller was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Yes, or a refusal by the rules.
    Answer,
    /// The store is in trouble.
    Trouble(Code),
}

/// A store in use.
pub(super) struct Life<S> {
    pub(super) store: S,
    pub(super) clock: Arc<ManualClock>,
    pub(super) claims: Vec<Claim>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Snapshot {
    jobs: Vec<Job>,
    users: Vec<User>,
    stats: [QueueStats; 2],
}

impl<S: MetaStore + JobQueue> Life<S> {
    pub(super) fn new(store: S, clock: Arc<ManualClock>) -> Self {
        Self {
            store,
            clock,
            claims: Vec::new(),
        }
    }

    pub(super) async fn apply(&mut self, operation: &Operation) -> Told {
        match self.attempt(operation).await {
            Err(error)
                if matches!(
                    error.code,
                    Code::DependencyFailure | Code::StorageFull | Code::InternalError
                ) =>
            {
                Told::Trouble(error.code)
            }
            _ => Told::Answer,
        }
    }

    async fn attempt(&mut self, operation: &Operation) -> Result<()> {
        let store = &self.store;
        match *operation {
            Operation::Enqueue(number, key, size) => {
                let batch = Batch::new().enqueue(new_job(number, key, size));
                store.commit(batch).await.map(drop)
            }
            Operation::Claim => {
                if let Some((claim, _)) = store.claim(&request()).await? {
                    self.claims.push(claim);
                }
                Ok(())
            }
            Operation::Renew(which) => match self.claimed(which) {
                Some(claim) => store.renew(claim, LEASE).await,
                None => Ok(()),
            },
            Operation::Complete(which) => match self.claimed(which) {
                Some(claim) => store.complete(claim, Batch::new()).await,
                None => Ok(()),
            },
            Operation::Fail(which) => match self.claimed(which) {
                Some(claim) => self.fail(claim).await,
                None => Ok(()),
            },
            Operation::Release(which) => match self.claimed(which) {
                Some(claim) => store.release(claim, Batch::new()).await,
                None => Ok(()),
            },
            Operation::Cancel(number) => {
                let batch = Batch::new().cancel(job_id(number));
                store.commit(batch).await.map(drop)
            }
            Operation::PutUser(number) => {
                let record = Record::User(user(number, self.clock.now()));
                let batch = Batch::new().put(record, Expect::Any);
                store.commit(batch).await.map(drop)
            }
            Operation::ExpireAll => store.expire_all_leases().await.map(drop),
            Operation::Advance(seconds) => {
                self.clock.advance(Duration::from_secs(seconds));
                Ok(())
            }
        }
    }

    async fn fail(&self, claim: &Claim) -> Result<()> {
        let failure = JobFailure {
            code: "PREVIEW_BUILD_FAILED".to_owned(),
            message: "it failed".to_owned(),
        };
        let again = Some(self.clock.now().after(Duration::from_secs(5)));
        let failed = self.store.fail(claim, failure, again, Batch::new());
        failed.await.map(drop)
    }

    fn claimed(&self, which: u64) -> Option<&Claim> {
        self.claims.iter().rev().nth(usize::try_from(which).ok()?)
    }

    pub(super) async fn snapshot(&self) -> Snapshot {
        let mut jobs = Vec::new();
        for number in 1..=JOBS {
            jobs.extend(self.store.job(&job_id(number)).await.unwrap());
        }
        let mut users = Vec::new();
        for number in 1..=USERS {
            let found = self.store.user(UserId(number)).await.unwrap();
            users.extend(found.map(|user| user.value));
        }
        let stats = [
            self.store.stats(Queue::PreviewBuild).await.unwrap(),
            self.store.stats(Queue::Sync).await.unwrap(),
        ];
        Snapshot { jobs, users, stats }
    }
}

/// What the oracle is after these, and the claims that it has given.
pub(super) async fn replay(operations: &[Operation]) -> (Snapshot, Vec<Claim>) {
    let clock = clock();
    let mut life = Life::new(MemoryStore::new(clock.clone()), clock);
    for operation in operations {
        assert_eq!(life.apply(operation).await, Told::Answer);
    }
    (life.snapshot().await, life.claims)
}

fn request() -> ClaimRequest {
    ClaimRequest {
        queues: vec![Queue::PreviewBuild, Queue::Sync],
        worker: "worker".to_owned(),
        lease: LEASE,
        group_limit: 2,
    }
}

fn job_id(number: u64) -> JobId {
    format!("job_{number:026}").parse().unwrap()
}

fn new_job(number: u64, key: Option<u64>, size: usize) -> NewJob {
    NewJob {
        id: job_id(number),
        queue: if number.is_multiple_of(4) {
            Queue::Sync
        } else {
            Queue::PreviewBuild
        },
        kind: "preview".to_owned(),
        payload: "x".repeat(size),
        priority: Priority::NORMAL,
        group: i64::try_from(number % 3).unwrap(),
        dedupe_key: key.map(|key| format!("key {key}")),
        run_at: None,
        max_attempts: 3,
    }
}

fn user(number: i64, now: Timestamp) -> User {
    User {
        id: UserId(number),
        email: format!("user-{number}@example.com"),
        username: format!("user-{number}"),
        role: Role::User,
        password_hash: "$argon2id$".to_owned(),
        disabled: false,
        preferences: "{}".to_owned(),
        created_at: now,
        updated_at: now,
    }
}

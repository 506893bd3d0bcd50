//! The adapters under test, and the values that cases are made of.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hivesync::clock::{ManualClock, Timestamp};
use hivesync::domain::job::{Job, NewJob, Priority, Queue};
use hivesync::domain::preview::{NewPreview, Platform, Preview, TokenFacts};
use hivesync::domain::project::{Member, MemberRole, Project, ProjectConfig, Source};
use hivesync::domain::user::{ApiToken, Role, Scope, Session, User};
use hivesync::domain::{JobId, ProjectId, UserId};
use hivesync::error::{Code, Result};
use hivesync::store::memory::MemoryStore;
use hivesync::store::redb::RedbStore;
use hivesync::store::{Batch, Claim, ClaimRequest, Expect, JobQueue, MetaStore, Record};
use tempfile::TempDir;

/// One adapter in a place of its own, with a clock that moves when told.
pub(crate) struct Subject {
    pub(crate) store: Arc<dyn MetaStore>,
    pub(crate) queue: Arc<dyn JobQueue>,
    pub(crate) clock: Arc<ManualClock>,
    folder: Option<TempDir>,
}

pub(crate) const START: Timestamp = Timestamp::from_secs(1_700_000_000);
pub(crate) const LEASE: Duration = Duration::from_secs(30);

impl Subject {
    pub(crate) fn memory() -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let store = Arc::new(MemoryStore::new(clock.clone()));
        Self {
            store: store.clone(),
            queue: store,
            clock,
            folder: None,
        }
    }

    pub(crate) fn redb() -> Self {
        let clock = Arc::new(ManualClock::starting_at(START));
        let folder = TempDir::new().unwrap();
        let store = open_redb(&folder, clock.clone());
        Self {
            store: store.clone(),
            queue: store,
            clock,
            folder: Some(folder),
        }
    }

    /// Closes a store that has a file, and opens it again.
    pub(crate) fn reopen(self) -> Self {
        let Some(folder) = self.folder else {
            return self;
        };
        drop((self.store, self.queue));
        let store = open_redb(&folder, self.clock.clone());
        Self {
            store: store.clone(),
            queue: store,
            clock: self.clock,
            folder: Some(folder),
        }
    }

    pub(crate) async fn put(&self, record: Record) -> Result<()> {
        self.store
            .commit(Batch::new().put(record, Expect::Any))
            .await
            .map(drop)
    }

    pub(crate) async fn enqueue(&self, job: NewJob) -> JobId {
        let ids = self.store.commit(Batch::new().enqueue(job)).await.unwrap();
        ids.into_iter().next().unwrap()
    }

    pub(crate) async fn cancel(&self, id: &JobId) -> Result<()> {
        self.store
            .commit(Batch::new().cancel(id.clone()))
            .await
            .map(drop)
    }

    pub(crate) async fn job(&self, id: &JobId) -> Job {
        self.store.job(id).await.unwrap().unwrap()
    }

    /// Claims from the queue of builds.
    pub(crate) async fn claim(&self) -> Option<(Claim, Job)> {
        self.queue.claim(&builds()).await.unwrap()
    }

    /// The id of the next job claimed, or nothing.
    pub(crate) async fn claim_id(&self) -> Option<JobId> {
        self.claim().await.map(|(claim, _)| claim.job)
    }
}

pub(crate) fn database(folder: &TempDir) -> PathBuf {
    folder.path().join("hivesync.redb")
}

pub(crate) fn open_redb(folder: &TempDir, clock: Arc<ManualClock>) -> Arc<RedbStore> {
    Arc::new(RedbStore::open(&database(folder), clock).unwrap())
}

/// Makes a test of each case for each adapter.
macro_rules! for_every_adapter {
    ($($case:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::subject::Subject::memory()).await;
            })*
        }
        mod redb {
            $(#[tokio::test]
            async fn $case() {
                super::$case(&crate::subject::Subject::redb()).await;
            })*
        }
    };
}
pub(crate) use for_every_adapter;

#[track_caller]
pub(crate) fn assert_code<T: std::fmt::Debug>(outcome: Result<T>, code: Code) {
    match outcome {
        Ok(value) => panic!("expected {code:?}, got {value:?}"),
        Err(error) => assert_eq!(error.code, code, "{}", error.chain()),
    }
}

/// A deadline for what must happen, far beyond what it takes.
const DEADLINE: Duration = Duration::from_secs(20);
/// How long nothing is watched not to happen. A slow machine can only make
/// the case weaker, never fail it.
const WATCHED: Duration = Duration::from_millis(60);

/// What a waiter is told, or given, which must happen.
pub(crate) async fn wakes<T>(waiter: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, waiter)
        .await
        .expect("the waiter should have woken")
}

/// Whether a waiter goes on waiting.
pub(crate) async fn sleeps<T>(waiter: impl Future<Output = T>) -> bool {
    tokio::time::timeout(WATCHED, waiter).await.is_err()
}

pub(crate) fn builds() -> ClaimRequest {
    ClaimRequest {
        queues: vec![Queue::PreviewBuild],
        worker: "worker-1".to_owned(),
        lease: LEASE,
        group_limit: 1000,
    }
}

pub(crate) fn limited(group_limit: u32) -> ClaimRequest {
    ClaimRequest {
        group_limit,
        ..builds()
    }
}

pub(crate) fn job_id(number: u64) -> JobId {
    format!("job_{number:026}").parse().unwrap()
}

pub(crate) fn job(number: u64) -> NewJob {
    NewJob {
        id: job_id(number),
        queue: Queue::PreviewBuild,
        kind: "preview".to_owned(),
        payload: format!("{{\"number\":{number}}}"),
        priority: Priority::NORMAL,
        group: 0,
        dedupe_key: None,
        run_at: None,
        max_attempts: 3,
    }
}

pub(crate) fn user(id: i64, username: &str) -> User {
    User {
        id: UserId(id),
        email: format!("{username}@example.com"),
        username: username.to_owned(),
        role: Role::User,
        password_hash: "$argon2id$".to_owned(),
        disabled: false,
        preferences: "{}".to_owned(),
        created_at: START,
        updated_at: START,
    }
}

pub(crate) fn session(id: &str, user: i64) -> Session {
    Session {
        id: id.to_owned(),
        user_id: UserId(user),
        created_at: START,
        expires_at: START.after(Duration::from_hours(1)),
    }
}

pub(crate) fn api_token(id: i64, user: i64) -> ApiToken {
    ApiToken {
        id,
        user_id: UserId(user),
        name: format!("token {id}"),
        digest: format!("{id:064x}"),
        scope: Scope::Build,
        created_at: START,
        expires_at: None,
    }
}

pub(crate) fn project(id: i64, owner: i64) -> Project {
    Project {
        id: ProjectId(id),
        name: format!("project {id}"),
        owner_id: UserId(owner),
        source: Source::Upload,
        config: ProjectConfig::default(),
        trusted: false,
        created_at: START,
        updated_at: START,
        synced_at: None,
    }
}

pub(crate) fn member(project: i64, user: i64) -> Member {
    Member {
        project_id: ProjectId(project),
        user_id: UserId(user),
        role: MemberRole::Viewer,
        added_at: START,
    }
}

/// A queued iOS preview of project `project`, `number` seconds after the start.
pub(crate) fn preview(number: u64, project: i64) -> Preview {
    let created_at = START.after(Duration::from_secs(number));
    Preview::queued(NewPreview {
        id: job_id(number),
        project_id: ProjectId(project),
        requested_by: UserId(1),
        git_ref: "main".to_owned(),
        branch: Some("main".to_owned()),
        commit: "0".repeat(40),
        platform: Platform::Ios,
        build_key: format!("key {number}"),
        token: TokenFacts {
            issued_at: created_at,
            expires_at: created_at.after(Duration::from_mins(5)),
            version: 1,
        },
        estimated_seconds: 20,
        created_at,
    })
}

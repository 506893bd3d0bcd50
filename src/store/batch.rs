//! A unit of work: expectations, writes and jobs that enter together.

use crate::domain::job::NewJob;
use crate::domain::preview::Preview;
use crate::domain::project::{Member, Project};
use crate::domain::user::{ApiToken, OneTimeLink, Session, User};
use crate::domain::{JobId, ProjectId, UserId};

use super::queue::Claim;
use crate::error::{Code, Error, Result};

/// A stored value and its revision: 1 when it was first put, one more with
/// every later put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    pub revision: u64,
    pub value: T,
}

/// What must be true of a record for the batch to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Any,
    Absent,
    Revision(u64),
}

/// Anything that can be put.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    User(User),
    Session(Session),
    ApiToken(ApiToken),
    OneTimeLink(OneTimeLink),
    Project(Project),
    Member(Member),
    Preview(Preview),
    /// Binds a preview token, by its hex SHA-256, to the preview it asked for.
    PreviewToken {
        digest: String,
        preview: JobId,
    },
}

/// Names a record.
///
/// Deleting a project takes its memberships along; deleting a user takes their
/// sessions, API tokens and memberships along. Deleting a preview leaves its job
/// and the tokens that asked for it: they lead to no preview from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKey {
    User(UserId),
    Session(String),
    ApiToken(i64),
    OneTimeLink(String),
    Project(ProjectId),
    Member(ProjectId, UserId),
    Preview(JobId),
}

/// One record written or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a batch holds a handful of changes; boxing them would only burden the callers"
)]
pub enum Change {
    Put(Record, Expect),
    /// Deleting what is absent is a conflict under [`Expect::Revision`] and no
    /// error under [`Expect::Any`]. For records without a revision of their
    /// own (all but users, projects and previews), `Revision(1)` means "is
    /// there": a one-time link is used up that way, by exactly one caller.
    Delete(RecordKey, Expect),
}

/// Expectations, writes, deletes, jobs to enqueue and jobs to cancel: all or
/// nothing.
///
/// Everything is checked against the state before the batch: expectations, the
/// uniqueness of e-mail addresses and usernames (`EMAIL_TAKEN`,
/// `USERNAME_TAKEN`), that a preview which begins meets none under way of its
/// build key and, if it is new, none of its branch and platform with another
/// commit, but for those that the batch ends (`CONFLICT`: somebody else has
/// begun that build), that a member's project exists (`PROJECT_NOT_FOUND`; one
/// put by the same batch counts) and that a new job's id is free. Then it is
/// applied in this order: changes, cancellations, new jobs. No record and no
/// job may be named twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub changes: Vec<Change>,
    pub enqueue: Vec<NewJob>,
    /// Jobs that end as cancelled with this batch, queued or running. One that
    /// has ended already makes the batch fail with `JOB_ALREADY_COMPLETED`, one
    /// that does not exist with `JOB_NOT_FOUND`.
    pub cancel: Vec<JobId>,
    /// The claim under which the batch is written: it must still be held, else
    /// the batch fails with `CONFLICT`. Late writes of a worker whose lease
    /// was lost end here.
    pub claim: Option<Claim>,
}

impl Batch {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn put(mut self, record: Record, expect: Expect) -> Self {
        self.changes.push(Change::Put(record, expect));
        self
    }

    #[must_use]
    pub fn delete(mut self, key: RecordKey, expect: Expect) -> Self {
        self.changes.push(Change::Delete(key, expect));
        self
    }

    #[must_use]
    pub fn enqueue(mut self, job: NewJob) -> Self {
        self.enqueue.push(job);
        self
    }

    #[must_use]
    pub fn cancel(mut self, job: JobId) -> Self {
        self.cancel.push(job);
        self
    }

    #[must_use]
    pub fn under(mut self, claim: &Claim) -> Self {
        self.claim = Some(claim.clone());
        self
    }
}

/// The most bytes of a job's payload: it names things, it does not hold them.
const MAX_PAYLOAD: usize = 1 << 20;

/// The place of a record among all records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot<'a> {
    User(UserId),
    Session(&'a str),
    ApiToken(i64),
    OneTimeLink(&'a str),
    Project(ProjectId),
    Member(ProjectId, UserId),
    Preview(&'a JobId),
    PreviewToken(&'a str),
}

impl Slot<'_> {
    /// What a person calls such a record.
    fn noun(self) -> &'static str {
        match self {
            Slot::User(_) => "account",
            Slot::Session(_) => "session",
            Slot::ApiToken(_) => "API token",
            Slot::OneTimeLink(_) => "link",
            Slot::Project(_) => "project",
            Slot::Member(..) => "membership",
            Slot::Preview(_) => "preview",
            Slot::PreviewToken(_) => "preview token",
        }
    }
}

impl Change {
    pub(super) fn slot(&self) -> Slot<'_> {
        match self {
            Change::Put(record, _) => match record {
                Record::User(user) => Slot::User(user.id),
                Record::Session(session) => Slot::Session(&session.id),
                Record::ApiToken(token) => Slot::ApiToken(token.id),
                Record::OneTimeLink(link) => Slot::OneTimeLink(&link.digest),
                Record::Project(project) => Slot::Project(project.id),
                Record::Member(member) => Slot::Member(member.project_id, member.user_id),
                Record::Preview(preview) => Slot::Preview(&preview.id),
                Record::PreviewToken { digest, .. } => Slot::PreviewToken(digest),
            },
            Change::Delete(key, _) => match key {
                RecordKey::User(id) => Slot::User(*id),
                RecordKey::Session(id) => Slot::Session(id),
                RecordKey::ApiToken(id) => Slot::ApiToken(*id),
                RecordKey::OneTimeLink(digest) => Slot::OneTimeLink(digest),
                RecordKey::Project(id) => Slot::Project(*id),
                RecordKey::Member(project, user) => Slot::Member(*project, *user),
                RecordKey::Preview(id) => Slot::Preview(id),
            },
        }
    }

    /// Checks this change's expectation against the record's revision now,
    /// `None` when it is absent.
    pub(super) fn check_expectation(&self, revision: Option<u64>) -> Result<()> {
        let (Change::Put(_, expect) | Change::Delete(_, expect)) = self;
        let holds = match expect {
            Expect::Any => true,
            Expect::Absent => revision.is_none(),
            Expect::Revision(expected) => revision == Some(*expected),
        };
        if holds {
            return Ok(());
        }
        let noun = self.slot().noun();
        let message = match (expect, revision) {
            (Expect::Absent, _) => format!("this {noun} exists already"),
            (_, None) => format!("this {noun} is no longer there"),
            _ => format!("another change of this {noun} came first; read it again and retry"),
        };
        Err(Error::new(Code::Conflict, message))
    }
}

impl Batch {
    /// Refuses what no caller may ask for: the same record or job twice, or
    /// cancelling `ending`, the job that the same operation ends.
    pub(super) fn check_shape(&self, ending: Option<&JobId>) -> Result<()> {
        let slots: Vec<_> = self.changes.iter().map(Change::slot).collect();
        let mut ended: Vec<_> = self.cancel.iter().collect();
        ended.extend(ending);
        let new: Vec<_> = self.enqueue.iter().map(|job| &job.id).collect();
        if has_twins(slots) || has_twins(ended) || has_twins(new) {
            return Err(Error::internal("a batch names a record or a job twice"));
        }
        if let Some(job) = self
            .enqueue
            .iter()
            .find(|job| job.payload.len() > MAX_PAYLOAD)
        {
            let size = job.payload.len();
            let message = format!("a job's payload of {size} bytes is over {MAX_PAYLOAD}");
            return Err(Error::new(Code::PayloadTooLarge, message));
        }
        if self.enqueue.iter().any(|job| job.max_attempts == 0) {
            return Err(Error::internal(
                "a job was enqueued that may never be attempted",
            ));
        }
        Ok(())
    }
}

fn has_twins<T: Ord>(mut items: Vec<T>) -> bool {
    items.sort_unstable();
    items.windows(2).any(|pair| pair[0] == pair[1])
}

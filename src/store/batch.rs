//! A unit of work: expectations, writes and jobs that enter together.

use crate::domain::job::NewJob;
use crate::domain::preview::Preview;
use crate::domain::project::{Member, Project};
use crate::domain::user::{ApiToken, OneTimeLink, Session, User};
use crate::domain::{JobId, ProjectId, UserId};

use super::queue::Claim;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordKey {
    User(UserId),
    Session(String),
    ApiToken(i64),
    OneTimeLink(String),
    Project(ProjectId),
    Member(ProjectId, UserId),
}

#[derive(Clone, Debug, PartialEq, Eq)]
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
/// The uniqueness of e-mail addresses and usernames is checked by the store:
/// `EMAIL_TAKEN`, `USERNAME_TAKEN`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub changes: Vec<Change>,
    pub enqueue: Vec<NewJob>,
    /// Jobs that end as cancelled with this batch, queued or running. One that
    /// has ended already makes the batch fail with `JOB_ALREADY_COMPLETED`.
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

//! The life of a job as pure steps on its row. Every adapter takes them and
//! adds only its indexes, so that the rules stand in one place.

use std::time::Duration;

use super::batch::{Change, Record, RecordKey};
use super::queue::Claim;
use crate::clock::Timestamp;
use crate::domain::JobId;
use crate::domain::job::{Job, JobFailure, JobState, Lease, NewJob};
use crate::domain::preview::{BuildError, Preview, PreviewStatus};
use crate::error::{Code, Error, Result};

pub(super) fn enqueue(new: NewJob, now: Timestamp) -> Job {
    Job {
        id: new.id,
        queue: new.queue,
        kind: new.kind,
        payload: new.payload,
        priority: new.priority,
        group: new.group,
        dedupe_key: new.dedupe_key,
        max_attempts: new.max_attempts,
        state: JobState::Queued,
        attempts: 0,
        run_at: new.run_at.unwrap_or(now),
        fence: 0,
        lease: None,
        created_at: now,
        started_at: None,
        finished_at: None,
        last_error: None,
    }
}

/// Lets a queued job take in a newer one of its key. It may become more urgent
/// by that, never less.
pub(super) fn absorb(job: &mut Job, newer: NewJob, now: Timestamp) {
    job.payload = newer.payload;
    job.priority = job.priority.min(newer.priority);
    job.run_at = job.run_at.min(newer.run_at.unwrap_or(now));
}

/// # Errors
/// `CONFLICT` unless `claim` is held: its job runs, under its fence.
pub(super) fn check_claim(job: Option<&Job>, claim: &Claim) -> Result<()> {
    match job {
        Some(job) if job.state == JobState::Running && job.fence == claim.fence => Ok(()),
        _ => Err(Error::new(
            Code::Conflict,
            format!(
                "the claim on {} is no longer held: the job was cancelled, ended or taken over",
                claim.job
            ),
        )),
    }
}

/// # Errors
/// `JOB_NOT_FOUND`, `JOB_ALREADY_COMPLETED`.
pub(super) fn check_cancel(job: Option<&Job>, id: &JobId) -> Result<()> {
    match job {
        None => Err(unknown(id)),
        Some(job) if job.state.is_final() => Err(Error::new(
            Code::JobAlreadyCompleted,
            format!("{id} has ended already and can no longer be cancelled"),
        )),
        Some(_) => Ok(()),
    }
}

/// # Errors
/// `JOB_NOT_FOUND`, or `CONFLICT` when the job has not ended badly.
pub(super) fn check_retry(job: Option<&Job>, id: &JobId) -> Result<()> {
    match job.ok_or_else(|| unknown(id))?.state {
        JobState::Failed | JobState::Cancelled => Ok(()),
        JobState::Queued | JobState::Running | JobState::Succeeded => Err(Error::new(
            Code::Conflict,
            format!("{id} has neither failed nor been cancelled, so it cannot be retried"),
        )),
    }
}

/// Whether putting a preview asks for its build key: it begins to be under
/// way. `old` is its row until now.
pub(super) fn takes_build_key(old: Option<&Preview>, new: &Preview) -> bool {
    let held = old.is_some_and(|old| !old.status.is_final() && old.build_key == new.build_key);
    !new.status.is_final() && !held
}

/// Whether putting a preview begins a build of a branch, which must then be
/// the only one of that branch for that platform but for those of its commit.
pub(super) fn begins_on_branch(old: Option<&Preview>, new: &Preview) -> bool {
    old.is_none() && new.branch.is_some() && !new.status.is_final()
}

/// Whether `other`, as it is stored, stands in the way of that: it is under way
/// with another commit, and `changes` do not end it.
pub(super) fn contends(other: &Preview, new: &Preview, changes: &[Change]) -> bool {
    stays(other, new, changes)
        && other.project_id == new.project_id
        && other.platform == new.platform
        && other.branch == new.branch
        && other.commit != new.commit
}

/// Whether `other` is under way, is not `new` itself, and is still under way
/// after `changes`.
pub(super) fn stays(other: &Preview, new: &Preview, changes: &[Change]) -> bool {
    let ends = |change: &Change| match change {
        Change::Put(Record::Preview(put), _) => put.id == other.id && put.status.is_final(),
        Change::Delete(RecordKey::Preview(id), _) => *id == other.id,
        _ => false,
    };
    other.id != new.id && !other.status.is_final() && !changes.iter().any(ends)
}

/// A build is refused because `other` builds another commit of its branch.
pub(super) fn branch_is_built(other: &JobId) -> Error {
    Error::new(
        Code::Conflict,
        format!("{other} is under way already with another commit of the branch"),
    )
}

/// A build is refused because `other` is under way and does the same.
pub(super) fn key_is_built(other: &JobId) -> Error {
    Error::new(
        Code::Conflict,
        format!("{other} is under way already and builds the same"),
    )
}

/// A retry is refused because `other` waits already under the same key.
pub(super) fn key_is_queued(other: &JobId) -> Error {
    Error::new(
        Code::Conflict,
        format!("{other} is queued already and does the same work"),
    )
}

fn unknown(id: &JobId) -> Error {
    Error::new(Code::JobNotFound, format!("there is no job {id}"))
}

pub(super) fn start(job: &mut Job, worker: &str, lease: Duration, now: Timestamp) -> Claim {
    job.state = JobState::Running;
    job.attempts += 1;
    job.fence += 1;
    job.started_at = Some(now);
    job.lease = Some(Lease {
        worker: worker.to_owned(),
        expires_at: now.after(lease),
    });
    Claim {
        job: job.id.clone(),
        fence: job.fence,
    }
}

pub(super) fn renew(job: &mut Job, lease: Duration, now: Timestamp) {
    if let Some(held) = &mut job.lease {
        held.expires_at = now.after(lease);
    }
}

/// How a running job stops running.
#[derive(Clone, Debug)]
pub(super) enum Stop {
    Succeeded,
    Failed {
        failure: JobFailure,
        retry_at: Option<Timestamp>,
    },
    Released,
    LeaseExpired,
}

/// Stops a running job. When that would queue it again while `newer`, a queued
/// job of its key, waits already, it is cancelled in favour of that one.
pub(super) fn stop(job: &mut Job, how: Stop, newer: Option<&JobId>, now: Timestamp) {
    let worker = job.lease.take().map(|lease| lease.worker);
    match how {
        Stop::Succeeded => return end(job, JobState::Succeeded, now),
        Stop::Failed { failure, retry_at } => {
            job.last_error = Some(failure);
            match retry_at {
                Some(at) if job.attempts < job.max_attempts => job.run_at = at,
                _ => return end(job, JobState::Failed, now),
            }
        }
        Stop::Released => job.attempts -= 1,
        Stop::LeaseExpired => {
            job.last_error = Some(lost_lease(job, worker.as_deref()));
            if job.attempts >= job.max_attempts {
                return end(job, JobState::Failed, now);
            }
        }
    }
    match newer {
        None => job.state = JobState::Queued,
        Some(newer) => {
            job.last_error.get_or_insert_with(|| JobFailure {
                code: Code::Cancelled.as_str().to_owned(),
                message: format!("{newer} has taken this job's place"),
            });
            end(job, JobState::Cancelled, now);
        }
    }
}

fn lost_lease(job: &Job, worker: Option<&str>) -> JobFailure {
    JobFailure {
        code: Code::InternalError.as_str().to_owned(),
        message: format!(
            "worker {} stopped without a word during attempt {} of {}",
            worker.unwrap_or("unknown"),
            job.attempts,
            job.max_attempts
        ),
    }
}

pub(super) fn cancel(job: &mut Job, now: Timestamp) {
    end(job, JobState::Cancelled, now);
}

fn end(job: &mut Job, state: JobState, now: Timestamp) {
    job.state = state;
    job.lease = None;
    job.finished_at = Some(now);
}

/// Queues an ended job again as if it were new; only its fence lives on.
pub(super) fn retry(job: &mut Job, now: Timestamp) {
    job.state = JobState::Queued;
    job.attempts = 0;
    job.run_at = now;
    job.started_at = None;
    job.finished_at = None;
    job.last_error = None;
}

/// Ends the preview of a job that the queue itself has ended, after its last
/// worker died: nobody else is left to write it. Answers whether that was a
/// change.
pub(super) fn end_orphaned_preview(preview: &mut Preview, job: &Job, now: Timestamp) -> bool {
    let status = match job.state {
        JobState::Failed => PreviewStatus::Failed,
        JobState::Cancelled => PreviewStatus::Cancelled,
        JobState::Queued | JobState::Running | JobState::Succeeded => return false,
    };
    if preview.status.is_final() {
        return false;
    }
    preview.status = status;
    preview.completed_at = Some(now);
    preview.error = job.last_error.as_ref().map(|failure| BuildError {
        code: failure.code.clone(),
        message: failure.message.clone(),
    });
    true
}

//! The port of the job queue.

use std::time::Duration;

use async_trait::async_trait;

use super::batch::Batch;
use crate::clock::Timestamp;
use crate::domain::JobId;
use crate::domain::job::{Job, JobFailure, JobState, Queue};
use crate::error::Result;

/// The right to run a job until its lease ends, and to write its result for
/// as long as no newer claim exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub job: JobId,
    pub fence: u64,
}

/// Who asks for work.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// In order of preference: an earlier queue is emptied first.
    pub queues: Vec<Queue>,
    pub worker: String,
    pub lease: Duration,
    /// How many jobs of one group (project) may run at a time in one queue, so
    /// that a project's sync does not hold up its build; group 0 is not
    /// limited. All workers of a queue use the same limit.
    pub group_limit: u32,
}

/// A queue's size, kept by the adapter at every change and so answered at
/// once however many jobs are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Queued, due or delayed.
    pub queued: u64,
    pub running: u64,
    /// Failed for good, whoever's fault it was.
    pub dead: u64,
    pub paused: bool,
}

/// Delivery at least once, results exactly once.
///
/// Order of claims: by queue as the worker asks, then by priority, then in
/// turn between the queue's groups (the group served longest ago goes first,
/// before it those never served), then first in, first out. A group at its
/// limit is passed over.
///
/// A claim is held until its job is ended, cancelled, released or put back;
/// a lease that has run out is noticed by the next `claim`, and until then the
/// worker may still renew it or write its result.
///
/// A lease that ran out makes the job claimable again. A job whose lease runs
/// out at its last attempt is failed with the code `INTERNAL_ERROR`: it has
/// killed its workers. The preview of the same id, if there is one, ends with
/// it in the same commit, because no worker is left to write it.
///
/// A running job that would be queued again (by `fail`, `release` or its
/// lease) while a newer job of its dedupe key is queued is cancelled instead:
/// the newer one does its work.
#[async_trait]
pub trait JobQueue: Send + Sync {
    /// Takes the next job due, or `None`. Running leases that have expired are
    /// put back first. A future that is dropped may have claimed a job, which
    /// then waits for the end of its lease.
    async fn claim(&self, request: &ClaimRequest) -> Result<Option<(Claim, Job)>>;

    /// Takes the next job due, and waits until there is one. An adapter may
    /// claim a job for a waiting worker in the very commit that makes it
    /// claimable. Dropping the future is safe: a job that was claimed for it
    /// goes back, as by `release`.
    async fn next(&self, request: &ClaimRequest) -> Result<(Claim, Job)>;

    /// Waits until a job may have become claimable: something was enqueued,
    /// finished or resumed since the last call of `claim`, or the next delayed
    /// job or lease is due. May wake early; never misses a wake-up between a
    /// `claim` that found nothing and this call. Dropping the future is safe.
    ///
    /// A clock that jumps (a manual one always does) is noticed within a
    /// fraction of a second of real time.
    async fn wait(&self, queues: &[Queue]);

    /// Extends the lease. `CONFLICT` when the claim is no longer held, which
    /// is how a worker learns that its job was cancelled or taken over.
    async fn renew(&self, claim: &Claim, lease: Duration) -> Result<()>;

    /// Ends the job as succeeded together with `batch`, in one commit.
    /// `CONFLICT` when the claim is no longer held: nothing is written.
    async fn complete(&self, claim: &Claim, batch: Batch) -> Result<()>;

    /// Ends this attempt. With `retry_at` and attempts left the job is queued
    /// again for that time, else it is failed. `batch` is written in the same
    /// commit. Answers the state the job is in now: queued, failed, or
    /// cancelled in favour of a newer job of its key. `CONFLICT` as above.
    async fn fail(
        &self,
        claim: &Claim,
        failure: JobFailure,
        retry_at: Option<Timestamp>,
        batch: Batch,
    ) -> Result<JobState>;

    /// Gives the job back unharmed: it is queued again at its old place, and
    /// the attempt does not count. For a worker that shuts down.
    async fn release(&self, claim: &Claim, batch: Batch) -> Result<()>;

    /// Queues a failed or cancelled job again, at the end and with its attempts
    /// at zero, together with `batch`. `CONFLICT` in any other state and when
    /// a job of its key is queued already.
    async fn retry(&self, job: &JobId, batch: Batch) -> Result<()>;

    /// A paused queue is not claimed from; its running jobs go on.
    async fn set_paused(&self, queue: Queue, paused: bool) -> Result<()>;

    async fn stats(&self, queue: Queue) -> Result<QueueStats>;

    /// Puts every running job back as if its lease had expired. Only for a
    /// start that holds the whole deployment alone, as the embedded profile
    /// does by the lock on its file. Answers how many there were.
    async fn expire_all_leases(&self) -> Result<u64>;
}

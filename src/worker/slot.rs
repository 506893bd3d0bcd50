//! A slot: claims a job, runs it under its lease, writes its end, and begins
//! again.

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use super::Worker;
use super::dispatch::Work;
use super::ended;
use crate::app::App;
use crate::config::Config;
use crate::domain::job::{Job, JobFailure, Queue};
use crate::error::{Code, Error, Result};
use crate::jobs::JobError;
use crate::store::{Batch, Claim, ClaimRequest};

const LEASE: Duration = Duration::from_secs(30);
const RENEW: Duration = Duration::from_secs(10);
/// After the store has failed us.
const BREATH: Duration = Duration::from_secs(1);
/// How often a job looks whether it must give way: a read of two numbers.
const LOOK: Duration = Duration::from_millis(100);
/// After a panic; whatever it was, it should not spin.
const PANIC_PAUSE: Duration = Duration::from_secs(10);

/// How many repositories are fetched at a time. Fetches wait for the network more
/// than they work, and a server that hardly answers keeps one waiting for minutes.
const SYNCS: usize = 4;

pub(super) struct Slot {
    queue: Queue,
    group_limit: u32,
}

/// How an attempt came out.
enum Outcome {
    Ended(Result<Batch, JobError>),
    /// The claim is another's, or the job is cancelled: nothing to write.
    Lost,
    /// We are told to stop at once.
    Halted,
}

impl Slot {
    pub(super) fn of(config: &Config) -> Vec<Slot> {
        let slot = |queue, group_limit| Slot { queue, group_limit };
        let per_project = config.builds.per_project.max(1);
        let builds = (0..config.builds.concurrency).map(|_| slot(Queue::PreviewBuild, per_project));
        let syncs = (0..SYNCS).map(|_| slot(Queue::Sync, 1));
        builds
            .chain(syncs)
            .chain([
                slot(Queue::Cleanup, 1),
                slot(Queue::WarmUp, 1),
                slot(Queue::Bytecode, 1),
            ])
            .collect()
    }

    pub(super) async fn run(self, worker: Arc<Worker>) {
        let app = &worker.app;
        let stopping = app.lifecycle.stopping().clone();
        let request = ClaimRequest {
            queues: vec![self.queue],
            worker: worker.id.clone(),
            lease: LEASE,
            group_limit: self.group_limit,
        };
        while !stopping.is_cancelled() {
            match self.next(app, &request).await {
                Ok(Some((claim, job))) => {
                    stop_point!(ClaimAfter);
                    work_off(&worker, claim, job).await;
                }
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = %error.chain(), "no job could be claimed");
                    until_stop(app, tokio::time::sleep(BREATH)).await;
                }
            }
        }
    }

    /// Waits for a job. `None` says to look again whether the worker stops.
    async fn next(&self, app: &App, request: &ClaimRequest) -> Result<Option<(Claim, Job)>> {
        if !gives_way(self.queue) {
            let next = until_stop(app, app.queue.next(request)).await;
            return next.transpose();
        }
        // It must not be given a job the moment there is one: a build may run.
        if must_wait(app, self.queue).await {
            until_stop(app, tokio::time::sleep(BREATH)).await;
            return Ok(None);
        }
        let claimed = app.queue.claim(request).await?;
        if claimed.is_none() {
            until_stop(app, app.queue.wait(&request.queues)).await;
        }
        Ok(claimed)
    }
}

/// Drops `waiting` at the soft stop.
async fn until_stop<T>(app: &App, waiting: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        done = waiting => Some(done),
        () = app.lifecycle.stopping().cancelled() => None,
    }
}

#[tracing::instrument(name = "job", skip_all, fields(job = %job.id, kind = job.kind))]
async fn work_off(worker: &Arc<Worker>, claim: Claim, job: Job) {
    let work = match Work::of(&job) {
        Ok(work) => work,
        Err(error) => {
            report(fail(worker, None, &claim, &job, JobError::fail(error)).await);
            return;
        }
    };
    let cancel = CancellationToken::new();
    // What it waits for may be slow to end.
    let place = tokio::select! {
        place = worker.enter(&job.id, &cancel) => place,
        () = keep_lease(worker, &claim) => {
            tracing::info!("the job was cancelled or taken over before it began");
            return;
        }
    };
    tracing::info!(attempt = job.attempts, "the job begins");
    let outcome = attempt(worker, &work, &claim, &job, &cancel).await;
    let written = match outcome {
        Outcome::Ended(Ok(batch)) => {
            tracing::info!("the job is done");
            stop_point!(CompleteBefore);
            let completed = worker.app.queue.complete(&claim, batch).await;
            stop_point!(CompleteAfter);
            completed
        }
        Outcome::Ended(Err(failure)) => fail(worker, Some(&work), &claim, &job, failure).await,
        Outcome::Halted => release(worker, &work, &claim, &job).await,
        Outcome::Lost => {
            tracing::info!("the job was cancelled or taken over");
            Ok(())
        }
    };
    report(written);
    work.ended(&worker.app, &job.id).await;
    ended::clear(worker, &work, &claim, place).await;
}

/// Runs the job, renewing its lease, until it ends, is lost, or must stop. In
/// each case nothing of it runs any more when this returns.
async fn attempt(
    worker: &Worker,
    work: &Work,
    claim: &Claim,
    job: &Job,
    cancel: &CancellationToken,
) -> Outcome {
    let running = AssertUnwindSafe(work.run(&worker.app, claim, job, cancel)).catch_unwind();
    let mut running = pin!(running);
    let (stopping, halting) = (
        worker.app.lifecycle.stopping(),
        worker.app.lifecycle.halting(),
    );
    let stopped = tokio::select! {
        result = &mut running => return ended(result.ok(), cancel),
        () = keep_lease(worker, claim) => Outcome::Lost,
        () = halting.cancelled() => Outcome::Halted,
        // Nobody waits for it, and everybody for the server's end.
        () = stopping.cancelled(), if gives_way(job.queue) => Outcome::Halted,
        () = asked_for(&worker.app), if gives_way(job.queue) => Outcome::Halted,
    };
    cancel.cancel();
    match running.await {
        // It was just through: that counts, if the claim still does.
        Ok(Ok(batch)) => Outcome::Ended(Ok(batch)),
        _ => stopped,
    }
}

/// Whether nobody waits for the jobs of this queue, so that they are done only
/// while no build runs.
fn gives_way(queue: Queue) -> bool {
    matches!(queue, Queue::WarmUp | Queue::Bytecode)
}

/// Whether a failure says something of the project, and nothing of the server.
/// Nobody has asked for what is built ahead, so nobody need look into it.
fn is_the_projects(code: Code) -> bool {
    matches!(
        code,
        Code::InvalidProjectStructure
            | Code::UnsupportedPlatform
            | Code::MissingDependencies
            | Code::PreviewBuildFailed
            | Code::PreviewTimeout
    )
}

/// Whether there is something to do and a build that comes first.
async fn must_wait(app: &App, queue: Queue) -> bool {
    let waits = app.queue.stats(queue).await;
    waits.is_ok_and(|stats| stats.queued > 0) && is_building(app).await
}

/// Returns when somebody's build waits or runs.
async fn asked_for(app: &App) {
    while !is_building(app).await {
        tokio::time::sleep(LOOK).await;
    }
    tracing::info!("the job gives way to a build that was asked for");
}

async fn is_building(app: &App) -> bool {
    let builds = app.queue.stats(Queue::PreviewBuild).await;
    // A store that does not answer is no reason to begin anything.
    builds.map_or(true, |stats| stats.queued + stats.running > 0)
}

/// `result` is `None` after a panic.
fn ended(result: Option<Result<Batch, JobError>>, cancel: &CancellationToken) -> Outcome {
    match result {
        Some(Err(failure)) if failure.error.code == Code::Cancelled || cancel.is_cancelled() => {
            Outcome::Lost
        }
        Some(result) => Outcome::Ended(result),
        None => Outcome::Ended(Err(JobError::retry(
            Error::internal("the job panicked"),
            PANIC_PAUSE,
        ))),
    }
}

/// Renews the lease; returns when it is lost.
async fn keep_lease(worker: &Worker, claim: &Claim) {
    let mut held_until = tokio::time::Instant::now() + LEASE;
    loop {
        tokio::time::sleep(RENEW).await;
        match worker.app.queue.renew(claim, LEASE).await {
            Ok(()) => held_until = tokio::time::Instant::now() + LEASE,
            Err(error) if error.code == Code::Conflict => return,
            // The store may come back in time; after that the job is anyone's.
            Err(error) => {
                tracing::warn!(error = %error.chain(), "a lease could not be renewed");
                if tokio::time::Instant::now() + RENEW > held_until {
                    return;
                }
            }
        }
    }
}

async fn fail(
    worker: &Worker,
    work: Option<&Work>,
    claim: &Claim,
    job: &Job,
    failure: JobError,
) -> Result<()> {
    let app = &worker.app;
    let JobError { error, retry_after } = failure;
    let again = retry_after.is_some() && job.attempts < job.max_attempts;
    let retry_at = retry_after
        .filter(|_| again)
        .map(|pause| app.clock.now().after(pause));
    if gives_way(job.queue) && is_the_projects(error.code) {
        tracing::info!(error = %error.chain(), "nothing was built ahead");
    } else {
        tracing::warn!(error = %error.chain(), again, "the job failed");
    }
    let batch = match work {
        Some(work) => work.failed(app, job, &error, again).await?,
        None => Batch::new(),
    };
    let failure = JobFailure {
        code: error.code.as_str().to_owned(),
        message: error.message.clone().into_owned(),
    };
    stop_point!(FailBefore);
    let state = app.queue.fail(claim, failure, retry_at, batch).await?;
    stop_point!(FailAfter);
    tracing::debug!(?state, "the failure is written");
    Ok(())
}

async fn release(worker: &Worker, work: &Work, claim: &Claim, job: &Job) -> Result<()> {
    tracing::info!("the job is handed back");
    let batch = work.released(&worker.app, job).await?;
    stop_point!(ReleaseBefore);
    worker.app.queue.release(claim, batch).await
}

/// The end of a job that could not be written. A lost claim is no fault: the
/// job was cancelled, or another worker has it. After any other, the lease runs
/// out and the job is claimed again.
fn report(written: Result<()>) {
    match written {
        Ok(()) => {}
        Err(error) if error.code == Code::Conflict => {
            tracing::info!("the job was cancelled or taken over meanwhile");
        }
        Err(error) => {
            tracing::error!(error = %error.chain(), "the end of a job could not be written");
        }
    }
}

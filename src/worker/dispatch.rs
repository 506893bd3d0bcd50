//! From a claimed job to the code that runs it, by its kind.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::data_dir::DataDir;
use crate::domain::JobId;
use crate::domain::job::Job;
use crate::error::{Error, Result};
use crate::jobs::bytecode::{self, BytecodeJob};
use crate::jobs::preview::{self, PreviewJob};
use crate::jobs::purge::{self, PurgeJob};
use crate::jobs::sync::{self, SyncJob};
use crate::jobs::warm_up::{self, WarmUpJob};
use crate::jobs::{JobError, JobKind};
use crate::store::{Batch, Claim};

/// Nobody waits for it; the disk may be full for a while.
const LONGEST_PURGE_RETRY: Duration = Duration::from_hours(1);

/// A job whose payload has been read.
pub(super) enum Work {
    Preview,
    Sync(SyncJob),
    Purge(PurgeJob),
    WarmUp(WarmUpJob),
    Bytecode(BytecodeJob),
}

impl Work {
    /// # Errors
    /// `INTERNAL_ERROR` for a kind or a payload that this version does not
    /// know; an older or newer one has written it.
    pub(super) fn of(job: &Job) -> Result<Work> {
        match job.kind.as_str() {
            PreviewJob::KIND => payload::<PreviewJob>(job).map(|_| Work::Preview),
            SyncJob::KIND => payload(job).map(Work::Sync),
            PurgeJob::KIND => payload(job).map(Work::Purge),
            WarmUpJob::KIND => payload(job).map(Work::WarmUp),
            BytecodeJob::KIND => payload(job).map(Work::Bytecode),
            kind => Err(Error::internal(format!(
                "this version has no job of kind {kind}"
            ))),
        }
    }

    /// One attempt. The answer is the batch that completes the job.
    pub(super) async fn run(
        &self,
        app: &Arc<App>,
        claim: &Claim,
        job: &Job,
        cancel: &CancellationToken,
    ) -> Result<Batch, JobError> {
        match self {
            Work::Preview => preview::run(app, claim, job, cancel).await,
            Work::Sync(sync) => sync::run(app, claim, job, sync, cancel).await,
            Work::WarmUp(warm_up) => warm_up::run(app, claim, job, warm_up, cancel).await,
            Work::Bytecode(bytecode) => bytecode::run(app, claim, job, bytecode, cancel).await,
            Work::Purge(purge) => purge::run(app, purge)
                .await
                .map(|()| Batch::new())
                .map_err(|error| error.backed_off(job, LONGEST_PURGE_RETRY, &*app.random)),
        }
    }

    /// What is written together with a failed attempt.
    pub(super) async fn failed(
        &self,
        app: &App,
        job: &Job,
        error: &Error,
        again: bool,
    ) -> Result<Batch> {
        match self {
            Work::Preview | Work::WarmUp(_) => preview::failed(app, &job.id, error, again).await,
            Work::Sync(_) | Work::Purge(_) | Work::Bytecode(_) => Ok(Batch::new()),
        }
    }

    /// What is written together with handing the job back.
    pub(super) async fn released(&self, app: &App, job: &Job) -> Result<Batch> {
        match self {
            Work::Preview | Work::WarmUp(_) => preview::released(app, &job.id).await,
            Work::Sync(_) | Work::Purge(_) | Work::Bytecode(_) => Ok(Batch::new()),
        }
    }

    /// Tells those who follow that the attempt has ended, once that is written.
    pub(super) async fn ended(&self, app: &App, job: &JobId) {
        match self {
            Work::Preview | Work::WarmUp(_) => preview::ended(app, job).await,
            Work::Sync(_) | Work::Purge(_) | Work::Bytecode(_) => {}
        }
    }

    /// The folder in which attempts of this kind work, if they have one.
    pub(super) fn folder(&self, data: &DataDir, job: &JobId) -> Option<PathBuf> {
        match self {
            Work::Preview | Work::WarmUp(_) | Work::Bytecode(_) => Some(data.job_tmp(job)),
            Work::Sync(_) | Work::Purge(_) => None,
        }
    }
}

fn payload<T: JobKind>(job: &Job) -> Result<T> {
    serde_json::from_str(&job.payload).map_err(|e| {
        Error::internal(format!("the payload of a {} job cannot be read", job.kind)).caused_by(e)
    })
}

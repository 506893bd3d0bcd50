//! The job that builds a preview. Its id is the preview's id.
//!
//! [`stages`] builds, with the project's warm bundler where there is one
//! ([`warm`], [`start`]), [`deliver`] stores what came of it; [`progress`] keeps
//! the row. Every write of the row is made under the claim, so a worker that
//! has lost its job can change nothing any more: neither a cancelled preview nor
//! one that another worker has taken over.

mod deliver;
mod progress;
mod stages;
mod start;
mod warm;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::bundle::workbench::SAID;
use crate::domain::job::{Job, Queue};
use crate::domain::preview::{BuildError, Preview, PreviewStatus};
use crate::domain::{JobId, ProjectId};
use crate::ephemeral::topic;
use crate::error::{Code, Error, Result};
use crate::jobs::{JobError, JobKind};
use crate::services::previews::bytecode;
use crate::store::{Batch, Claim, Expect, Record};
use progress::Progress;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewJob {
    pub project_id: ProjectId,
}

impl JobKind for PreviewJob {
    const KIND: &'static str = "preview";
    const QUEUE: Queue = Queue::PreviewBuild;
    const MAX_ATTEMPTS: u32 = 3;

    fn group(&self) -> i64 {
        self.project_id.0
    }
}

/// Before the second attempt; it grows from there, but somebody is waiting.
const RETRY: Duration = Duration::from_secs(3);
const LONGEST_RETRY: Duration = Duration::from_mins(1);

/// Builds the preview. The answer is the batch that completes the job: the
/// bundle is stored by then.
///
/// # Errors
/// Retried when the fault is not the project's: its source, a store or the
/// disk. Final for whatever the same commit would meet again.
pub async fn run(
    app: &Arc<App>,
    claim: &Claim,
    job: &Job,
    cancel: &CancellationToken,
) -> Result<Batch, JobError> {
    let built = async {
        let mut progress = Progress::begin(app, claim, &job.id).await?;
        let bundle = stages::build(app, &mut progress, job.attempts, cancel).await?;
        let bytecode = bytecode::job(app, progress.preview(), &bundle)?;
        let done = progress.success(bundle);
        Ok(bytecode.into_iter().fold(done, Batch::enqueue))
    };
    built
        .await
        .map_err(|error| classified(error).backed_off(job, LONGEST_RETRY, &*app.random))
}

fn classified(error: Error) -> JobError {
    match error.code {
        Code::SourceUnavailable
        | Code::StorageUploadFailed
        | Code::InternalError
        | Code::DependencyFailure
        | Code::StorageFull => JobError::retry(error, RETRY),
        _ => JobError::fail(error),
    }
}

/// The batch that goes with the end of an attempt that failed.
pub async fn failed(app: &App, id: &JobId, error: &Error, again: bool) -> Result<Batch> {
    changed(app, id, |preview| {
        if again {
            requeue(preview);
        } else {
            preview.status = PreviewStatus::Failed;
            preview.timed_out = error.code == Code::PreviewTimeout;
            preview.error = Some(told(error));
            preview.completed_at = Some(app.clock.now());
        }
    })
    .await
}

/// The batch that goes with handing the job back unharmed.
pub async fn released(app: &App, id: &JobId) -> Result<Batch> {
    changed(app, id, requeue).await
}

async fn changed(app: &App, id: &JobId, change: impl FnOnce(&mut Preview)) -> Result<Batch> {
    let Some(mut found) = app.store.preview(id).await? else {
        return Ok(Batch::new());
    };
    change(&mut found.value);
    Ok(Batch::new().put(
        Record::Preview(found.value),
        Expect::Revision(found.revision),
    ))
}

fn requeue(preview: &mut Preview) {
    preview.status = PreviewStatus::Queued;
    preview.stage = None;
    preview.percent = 0;
    preview.warm = None;
    preview.bundler = None;
}

/// What the owner of the preview is told. What is wrong inside the server is
/// for its log.
fn told(error: &Error) -> BuildError {
    let message = if error.code == Code::InternalError {
        "the build failed for a fault of the server; its log has the cause under the job's id"
            .to_owned()
    } else {
        with_reason(error)
    };
    BuildError {
        code: error.code.as_str().to_owned(),
        message,
    }
}

/// The message after what the command itself said, where that is known.
fn with_reason(error: &Error) -> String {
    match error.details.get(SAID).and_then(|said| said.as_str()) {
        Some(said) => format!("{said}; {}", error.message),
        None => error.message.clone().into_owned(),
    }
}

/// Tells those who follow the preview to look again: an attempt has ended.
pub async fn ended(app: &App, id: &JobId) {
    let _ = app.ephemeral.publish(&topic::preview(id), "").await;
}

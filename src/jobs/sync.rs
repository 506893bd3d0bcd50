//! The job that fetches a linked repository or a local folder.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::ProjectId;
use crate::domain::job::{Job, Queue};
use crate::error::{Code, Error};
use crate::jobs::{JobError, JobKind};
use crate::services::previews::warm_up;
use crate::services::sources::{self, sync};
use crate::store::{Batch, Claim};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncJob {
    pub project_id: ProjectId,
}

impl JobKind for SyncJob {
    const KIND: &'static str = "sync";
    const QUEUE: Queue = Queue::Sync;
    const MAX_ATTEMPTS: u32 = 3;

    fn group(&self) -> i64 {
        self.project_id.0
    }

    /// A sync that waits sees everything that a second one would.
    fn dedupe_key(&self) -> Option<String> {
        Some(format!("sync:{}", self.project_id))
    }
}

/// The pause before the second attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_mins(10);

/// Brings the linked repository or the local folder in.
///
/// # Errors
/// What passes (the network, a server's fault) is retried; a refused address, a
/// missing repository or a wrong credential is final.
pub async fn run(
    app: &App,
    claim: &Claim,
    job: &Job,
    sync: &SyncJob,
    cancel: &CancellationToken,
) -> Result<Batch, JobError> {
    let project_id = sync.project_id;
    let retry = |error| {
        JobError::retry(error, FIRST_PAUSE).backed_off(job, LONGEST_PAUSE, app.random.as_ref())
    };
    let found = app.store.project(project_id).await.map_err(retry)?;
    let Some(found) = found else {
        return Err(JobError::fail(Error::new(
            Code::ProjectNotFound,
            "the project was deleted before it was synced",
        )));
    };
    tokio::select! {
        outcome = sync::bring_in(app, &found.value) => {
            outcome.map_err(|failure| {
                if failure.transient {
                    retry(failure.error)
                } else {
                    JobError::fail(failure.error)
                }
            })?;
        }
        // Dropping the fetch ends it.
        () = cancel.cancelled() => {
            return Err(JobError::fail(Error::new(Code::Cancelled, "the sync was cancelled")));
        }
    }
    stop_point!(SyncBefore);
    sources::mark_synced(app, project_id, Some(claim))
        .await
        .map_err(|error| match error.code {
            Code::ProjectNotFound => JobError::fail(error),
            _ => retry(error),
        })?;
    // The next person to ask for a preview should find it, or the caches, warm.
    let ahead = warm_up::job(app, project_id).map_err(retry)?;
    Ok(ahead.into_iter().fold(Batch::new(), Batch::enqueue))
}

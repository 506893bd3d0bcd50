//! The job that fetches a linked repository or a local folder.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::clock::Random;
use crate::domain::ProjectId;
use crate::domain::job::{Job, Queue};
use crate::error::{Code, Context, Error};
use crate::jobs::{JobError, JobKind};
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

/// The wait before the second attempt; each later one is three times as long,
/// and up to a half more, so that many projects of one host do not come back
/// together.
const FIRST_WAIT: Duration = Duration::from_secs(10);
const LONGEST_WAIT: Duration = Duration::from_mins(10);

/// Brings the linked repository or the local folder in.
///
/// # Errors
/// What passes (the network, a server's fault) is retried; a refused address, a
/// missing repository or a wrong credential is final.
pub async fn run(
    app: &App,
    claim: &Claim,
    job: &Job,
    cancel: CancellationToken,
) -> Result<Batch, JobError> {
    let SyncJob { project_id } = serde_json::from_str(&job.payload)
        .or_internal("decode a sync job")
        .map_err(JobError::fail)?;
    let wait = || wait_after(app.random.as_ref(), job.attempts);
    let retry = |error| JobError::retry(error, wait());
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
        () = cancel.cancelled() => {
            return Err(JobError::fail(Error::new(Code::Cancelled, "the sync was cancelled")));
        }
    }
    sources::mark_synced(app, project_id, Some(claim))
        .await
        .map_err(retry)?;
    Ok(Batch::new())
}

fn wait_after(random: &dyn Random, attempts: u32) -> Duration {
    let factor = 3_u32.saturating_pow(attempts.saturating_sub(1));
    let wait = FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT);
    let jitter = u32::from(u16::from_be_bytes(random.bytes()));
    wait + wait.saturating_mul(jitter) / (2 * u32::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemEntropy;

    #[test]
    fn waits_grow_and_are_bounded() {
        let random = SystemEntropy::new();
        for (attempts, least) in [(1, 10), (2, 30), (3, 90), (30, 600)] {
            let wait = wait_after(&random, attempts);
            let least = Duration::from_secs(least);
            assert!(
                wait >= least && wait <= least * 3 / 2,
                "{attempts}: {wait:?}"
            );
        }
    }
}

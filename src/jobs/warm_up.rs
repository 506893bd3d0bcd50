//! The job that builds ahead of being asked.
//!
//! It has a queue and a slot of its own, and the slot yields: it begins only
//! while no build of anybody waits or runs, and hands its job back unharmed as
//! soon as one does. So nobody's build ever waits for one of these, neither for
//! a slot nor for the processor.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::domain::ProjectId;
use crate::domain::job::{Job, Priority, Queue};
use crate::domain::preview::Platform;
use crate::jobs::{JobError, JobKind, preview};
use crate::services::previews::warm_up;
use crate::store::{Batch, Claim};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WarmUpJob {
    pub project_id: ProjectId,
    /// What to build; `None`: look what there is, and queue a job for each.
    pub platform: Option<Platform>,
}

impl JobKind for WarmUpJob {
    const KIND: &'static str = "warm_up";
    const QUEUE: Queue = Queue::WarmUp;
    const PRIORITY: Priority = Priority::LOW;
    /// The second is for a server that was ended in the middle.
    const MAX_ATTEMPTS: u32 = 2;

    fn group(&self) -> i64 {
        self.project_id.0
    }

    /// One look sees all that has come in until then. A build has no key: when
    /// it gives way it must come back, and its id is its preview's.
    fn dedupe_key(&self) -> Option<String> {
        match self.platform {
            None => Some(format!("warm_up:{}", self.project_id)),
            Some(_) => None,
        }
    }
}

const RETRY: Duration = Duration::from_secs(30);

/// # Errors
/// Retried once when a store does not answer; else what the build says.
pub async fn run(
    app: &Arc<App>,
    claim: &Claim,
    job: &Job,
    warm_up: &WarmUpJob,
    cancel: &CancellationToken,
) -> Result<Batch, JobError> {
    let retry = |error| JobError::retry(error, RETRY);
    let project = warm_up.project_id;
    let Some(platform) = warm_up.platform else {
        return warm_up::plan(app, project).await.map_err(retry);
    };
    let begun = warm_up::begin(app, claim, project, platform).await;
    if begun.map_err(retry)? {
        tracing::info!(%project, %platform, "building ahead");
        preview::run(app, claim, job, cancel).await
    } else {
        warm_up::nothing_to_do(app, &job.id).await.map_err(retry)
    }
}

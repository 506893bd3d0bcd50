//! The job that fetches a linked repository or a local folder.

use serde::{Deserialize, Serialize};

use crate::domain::ProjectId;
use crate::domain::job::Queue;
use crate::jobs::JobKind;

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

//! The job that builds a preview. Its id is the preview's id.

use serde::{Deserialize, Serialize};

use crate::domain::ProjectId;
use crate::domain::job::Queue;
use crate::jobs::JobKind;

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

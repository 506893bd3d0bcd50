//! Jobs as the queue sees them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::JobId;
use crate::clock::Timestamp;

/// The queues. Their names are a public contract: operators' scripts and
/// autoscalers read them.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Queue {
    /// Building previews that somebody has asked for.
    PreviewBuild,
    AiJobs,
    GpuAiJobs,
    /// Removing what is over.
    Cleanup,
    /// Fetching linked repositories.
    Sync,
    /// Building ahead of being asked, while nobody's build runs.
    WarmUp,
    /// Compiling finished previews' JavaScript, while nobody's build runs.
    Bytecode,
}

impl Queue {
    pub const ALL: [Queue; 7] = [
        Queue::PreviewBuild,
        Queue::AiJobs,
        Queue::GpuAiJobs,
        Queue::Cleanup,
        Queue::Sync,
        Queue::WarmUp,
        Queue::Bytecode,
    ];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Queue::PreviewBuild => "preview_build",
            Queue::AiJobs => "ai_jobs",
            Queue::GpuAiJobs => "gpu_ai_jobs",
            Queue::Cleanup => "cleanup",
            Queue::Sync => "sync",
            Queue::WarmUp => "warm_up",
            Queue::Bytecode => "bytecode",
        }
    }
}

/// Where a job stands; the arrows are in `docs/architecture.md`.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting, or due at `run_at`.
    Queued,
    /// Leased to a worker.
    Running,
    Succeeded,
    /// Out of attempts, or failed for good. Can be retried by hand.
    Failed,
    Cancelled,
}

impl JobState {
    /// Nothing more will happen to it, unless it is retried by hand.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            JobState::Succeeded | JobState::Failed | JobState::Cancelled
        )
    }
}

/// How urgent a job is within its queue; smaller goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(pub u8);

impl Priority {
    pub const HIGH: Priority = Priority(50);
    pub const NORMAL: Priority = Priority(100);
    pub const LOW: Priority = Priority(200);
}

/// What a caller asks the queue to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewJob {
    pub id: JobId,
    pub queue: Queue,
    /// The job type's name, such as `preview`.
    pub kind: String,
    /// The job's own data as JSON text.
    pub payload: String,
    pub priority: Priority,
    /// The fairness group, a project's id: groups take turns, and a group's
    /// running jobs are limited. `0` stands for the server itself.
    pub group: i64,
    /// At most one *queued* job of a queue has a given key. Enqueueing the key
    /// again replaces the queued job's payload and keeps its id and place
    /// (latest wins), and takes the more urgent of both priorities and times;
    /// a running job does not count.
    pub dedupe_key: Option<String>,
    /// Not before this time; `None` is at once.
    pub run_at: Option<Timestamp>,
    /// How often it may be claimed before it is dead; at least 1.
    pub max_attempts: u32,
}

/// A job's row: the one truth about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    pub id: JobId,
    pub queue: Queue,
    pub kind: String,
    pub payload: String,
    pub priority: Priority,
    pub group: i64,
    pub dedupe_key: Option<String>,
    pub max_attempts: u32,
    pub state: JobState,
    /// How often it has been claimed.
    pub attempts: u32,
    /// Not claimed before this time.
    pub run_at: Timestamp,
    /// Grows with every claim; a write that shows an older one is refused.
    pub fence: u64,
    /// While it runs.
    pub lease: Option<Lease>,
    pub created_at: Timestamp,
    /// The start of the latest attempt.
    pub started_at: Option<Timestamp>,
    /// When it became final.
    pub finished_at: Option<Timestamp>,
    /// Why the latest attempt failed.
    pub last_error: Option<JobFailure>,
}

/// Until when a worker holds a running job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    pub worker: String,
    pub expires_at: Timestamp,
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFailure {
    /// The text of a [`crate::error::Code`].
    pub code: String,
    pub message: String,
}

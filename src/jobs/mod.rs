//! Jobs as types: each names its queue, priority and retry rule beside its
//! data, and says itself whether an error is retried or final.

mod backoff;
pub mod bytecode;
pub mod preview;
pub mod purge;
pub mod sync;
pub mod warm_up;

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Random;
use crate::domain::JobId;
use crate::domain::job::{Job, NewJob, Priority, Queue};
use crate::error::{Context, Error, Result};

/// A kind of job. Its value is the payload, stored as JSON.
pub trait JobKind: Serialize + DeserializeOwned + Send + Sync {
    const KIND: &'static str;
    const QUEUE: Queue;
    const PRIORITY: Priority = Priority::NORMAL;
    const MAX_ATTEMPTS: u32;

    /// The fairness group: the project, or 0.
    fn group(&self) -> i64;

    /// See [`NewJob::dedupe_key`].
    fn dedupe_key(&self) -> Option<String> {
        None
    }

    /// # Errors
    /// `INTERNAL_ERROR` when the payload does not serialise.
    fn into_new_job(self, id: JobId) -> Result<NewJob> {
        Ok(NewJob {
            id,
            queue: Self::QUEUE,
            kind: Self::KIND.to_owned(),
            payload: serde_json::to_string(&self).or_internal("encode a job's payload")?,
            priority: Self::PRIORITY,
            group: self.group(),
            dedupe_key: self.dedupe_key(),
            run_at: None,
            max_attempts: Self::MAX_ATTEMPTS,
        })
    }
}

/// How an attempt that failed goes on.
#[derive(Debug)]
pub struct JobError {
    pub error: Error,
    /// `None`: the failure is final.
    pub retry_after: Option<Duration>,
}

impl JobError {
    /// No further attempt can help.
    #[must_use]
    pub fn fail(error: Error) -> Self {
        Self {
            error,
            retry_after: None,
        }
    }

    /// Worth another attempt after `after`, as long as attempts are left.
    #[must_use]
    pub fn retry(error: Error, after: Duration) -> Self {
        Self {
            error,
            retry_after: Some(after),
        }
    }

    /// The same with the pause doubled for every attempt of `job` that has
    /// failed, up to `longest`, with jitter.
    #[must_use]
    pub fn backed_off(mut self, job: &Job, longest: Duration, random: &dyn Random) -> Self {
        self.retry_after = self
            .retry_after
            .map(|base| backoff::pause(base, job.attempts, longest, random));
        self
    }
}

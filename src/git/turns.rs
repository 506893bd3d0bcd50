//! Turns at looking into repositories: each look starts programs, and nobody
//! may start as many as they can send requests.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::domain::ProjectId;
use crate::error::{Context, Error, Result};

/// Looks at a time. More would not be faster, only larger.
const AT_ONCE: usize = 8;
/// Looks into one repository that may be asked for at a time; the next one is
/// told to come back. Many people behind many pages stay far below.
const PER_PROJECT: usize = 64;

/// Who looks, and who waits for it.
#[derive(Debug)]
pub(super) struct Turns {
    running: Semaphore,
    asked: Mutex<HashMap<ProjectId, usize>>,
}

/// A turn, until it is dropped.
pub(super) struct Look<'a> {
    #[expect(dead_code, reason = "held for its drop")]
    running: SemaphorePermit<'a>,
    #[expect(dead_code, reason = "held for its drop")]
    asked: Asked<'a>,
}

/// A request that is counted, from the moment it waits.
struct Asked<'a> {
    turns: &'a Turns,
    project: ProjectId,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            running: Semaphore::new(AT_ONCE),
            asked: Mutex::default(),
        }
    }
}

impl Turns {
    /// Waits for a turn at `project`'s repository.
    ///
    /// # Errors
    /// `RATE_LIMIT_EXCEEDED` when too many wait for it already.
    pub(super) async fn look(&self, project: ProjectId) -> Result<Look<'_>> {
        let asked = self.ask(project)?;
        let running = self.running.acquire().await;
        Ok(Look {
            running: running.or_internal("wait to look into a repository")?,
            asked,
        })
    }

    fn ask(&self, project: ProjectId) -> Result<Asked<'_>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let count = asked.entry(project).or_default();
        if *count >= PER_PROJECT {
            return Err(Error::rate_limited(
                Duration::from_secs(1),
                "too many requests look into this project's repository at this moment; try again \
                 in 1 s",
            ));
        }
        *count += 1;
        Ok(Asked {
            turns: self,
            project,
        })
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut asked = self
            .turns
            .asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = asked.get_mut(&self.project) {
            *count -= 1;
            if *count == 0 {
                asked.remove(&self.project);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::error::Code;

    #[test]
    fn one_project_waits_in_a_short_queue_and_others_have_theirs() {
        let turns = Turns::default();
        let (one, other) = (ProjectId(1), ProjectId(2));
        let look = |project| turns.look(project).now_or_never();
        let looking: Vec<_> = (0..AT_ONCE).map(|_| look(one)).collect();
        assert!(looking.iter().all(|look| matches!(look, Some(Ok(_)))));
        assert!(look(other).is_none(), "it waits");

        let waiting: Vec<_> = (AT_ONCE..PER_PROJECT).map(|_| turns.ask(one)).collect();
        assert!(waiting.iter().all(Result::is_ok));
        let refused = look(one).expect("at once").err().expect("refused");
        assert_eq!(refused.code, Code::RateLimitExceeded);
        assert!(turns.ask(other).is_ok());

        drop((looking, waiting));
        assert!(matches!(look(one), Some(Ok(_))));
        assert!(turns.asked.lock().unwrap().is_empty(), "nothing is kept");
    }
}

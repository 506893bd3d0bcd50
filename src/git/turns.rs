//! Turns at looking into repositories: each look starts programs, and nobody
//! may start as many as they can send requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use crate::domain::ProjectId;
use crate::error::{Context, Error, Result};

/// Looks at a time. More would not be faster, only larger.
const AT_ONCE: usize = 8;
/// Looks into one repository at a time, so that slow ones leave turns to others.
const OF_PROJECT: usize = 3;
/// Looks into one repository that may be asked for at a time; the next one is
/// told to come back. Many people behind many pages stay far below.
const PER_PROJECT: usize = 64;

/// Who looks, and who waits for it.
#[derive(Debug)]
pub(super) struct Turns {
    running: Semaphore,
    lines: Mutex<HashMap<ProjectId, Line>>,
}

/// Those who look into one repository, or wait for it.
#[derive(Debug)]
struct Line {
    count: usize,
    running: Arc<Semaphore>,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            count: 0,
            running: Arc::new(Semaphore::new(OF_PROJECT)),
        }
    }
}

/// A turn, until it is dropped.
pub(super) struct Look<'a> {
    #[expect(dead_code, reason = "held for its drop")]
    running: SemaphorePermit<'a>,
    #[expect(dead_code, reason = "held for its drop")]
    in_line: OwnedSemaphorePermit,
    #[expect(dead_code, reason = "held for its drop")]
    place: Place<'a>,
}

/// A place in a repository's line, from the moment that somebody waits.
struct Place<'a> {
    turns: &'a Turns,
    project: ProjectId,
    line: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            running: Semaphore::new(AT_ONCE),
            lines: Mutex::default(),
        }
    }
}

impl Turns {
    /// Waits for a turn at `project`'s repository.
    ///
    /// # Errors
    /// `RATE_LIMIT_EXCEEDED` when too many wait for it already.
    pub(super) async fn look(&self, project: ProjectId) -> Result<Look<'_>> {
        let place = self.place(project)?;
        let what = "wait to look into a repository";
        let in_line = Arc::clone(&place.line).acquire_owned().await;
        let in_line = in_line.or_internal(what)?;
        Ok(Look {
            running: self.running.acquire().await.or_internal(what)?,
            in_line,
            place,
        })
    }

    fn place(&self, project: ProjectId) -> Result<Place<'_>> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(project).or_default();
        if line.count >= PER_PROJECT {
            return Err(Error::rate_limited(
                Duration::from_secs(1),
                "too many requests look into this project's repository at this moment; try again \
                 in 1 s",
            ));
        }
        line.count += 1;
        Ok(Place {
            turns: self,
            project,
            line: Arc::clone(&line.running),
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut lines = self
            .turns
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get_mut(&self.project) {
            line.count -= 1;
            if line.count == 0 {
                lines.remove(&self.project);
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
        let looking: Vec<_> = (0..OF_PROJECT).map(|_| look(one)).collect();
        assert!(looking.iter().all(|look| matches!(look, Some(Ok(_)))));
        assert!(look(one).is_none(), "it waits");
        assert!(matches!(look(other), Some(Ok(_))), "others do not");

        let waiting: Vec<_> = (OF_PROJECT..PER_PROJECT)
            .map(|_| turns.place(one))
            .collect();
        assert!(waiting.iter().all(Result::is_ok));
        let refused = look(one).expect("at once").err().expect("refused");
        assert_eq!(refused.code, Code::RateLimitExceeded);
        assert!(turns.place(other).is_ok());

        drop((looking, waiting));
        assert!(matches!(look(one), Some(Ok(_))));
        assert!(turns.lines.lock().unwrap().is_empty(), "nothing is kept");
    }
}

//! From start to exit: signals, the soft and the hard stop, and the tasks
//! whose end decides the process's end.
//!
//! The soft stop means: take nothing new on, finish what runs. The hard stop
//! follows when the grace time is over or a second signal comes: running jobs
//! are handed back, connections are cut. A task that dies brings the whole
//! process down with a non-zero exit code, because a server of which half is
//! dead helps nobody and is not restarted by anyone.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{Error, Result};

/// How long tasks get to hand their work back once the hard stop has come.
const HAND_BACK: Duration = Duration::from_secs(5);
/// The same, when a second signal asks for the end at once.
const AT_ONCE: Duration = Duration::from_millis(500);

/// The process's life, shared by everything that runs in it. Clones are
/// handles of the same life.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    impatient: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<Mutex<Option<String>>>,
}

/// How a life has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Everything was finished or handed back.
    Clean,
    /// A task died; the text says which and why.
    Failed(String),
    /// Tasks were still running when the last deadline passed.
    Abandoned(usize),
}

impl Lifecycle {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled at the soft stop: accept and claim nothing more.
    #[must_use]
    pub fn stopping(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled at the hard stop: hand running work back now.
    #[must_use]
    pub fn halting(&self) -> &CancellationToken {
        &self.hard
    }

    /// Begins the soft stop.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Begins the hard stop (and the soft one, if it has not begun).
    pub fn halt(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Runs a task that the process lives by: an error, a panic or an early
    /// end of it stops the process.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<()>> + Send + 'static,
    {
        let life = self.clone();
        self.tasks.spawn(async move {
            let trouble = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) if life.soft.is_cancelled() => return,
                Ok(Ok(())) => "ended early".to_owned(),
                Ok(Err(error)) => error.chain(),
                Err(_) => "panicked".to_owned(),
            };
            life.fail(format!("{name}: {trouble}"));
        });
    }

    fn fail(&self, trouble: String) {
        tracing::error!(trouble, "a task died; stopping");
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(trouble);
        self.soft.cancel();
    }

    /// Waits for the soft stop, then for the tasks: `grace` until the hard
    /// stop, and a few seconds more for handing back.
    pub async fn finish(&self, grace: Duration) -> Ending {
        self.soft.cancelled().await;
        self.tasks.close();
        let drained = tokio::select! {
            () = self.tasks.wait() => true,
            () = self.hard.cancelled() => false,
            () = tokio::time::sleep(grace) => false,
        };
        if !drained {
            self.hard.cancel();
            tokio::select! {
                () = self.tasks.wait() => {}
                () = tokio::time::sleep(HAND_BACK) => {}
                () = async {
                    self.impatient.cancelled().await;
                    tokio::time::sleep(AT_ONCE).await;
                } => {}
            }
        }
        let failure = self
            .failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        match (failure, self.tasks.len()) {
            (Some(trouble), _) => Ending::Failed(trouble),
            (None, 0) => Ending::Clean,
            (None, left) => Ending::Abandoned(left),
        }
    }

    /// Lets SIGTERM and SIGINT stop this life: the first softly, the second
    /// at once.
    ///
    /// # Errors
    /// `INTERNAL_ERROR` when the handlers cannot be installed.
    pub fn obey_signals(&self) -> Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let install = |kind| {
            signal(kind)
                .map_err(|e| Error::internal("could not install a signal handler").caused_by(e))
        };
        let (mut term, mut int) = (
            install(SignalKind::terminate())?,
            install(SignalKind::interrupt())?,
        );
        let life = self.clone();
        // Not tracked: it waits for signals until the process is gone.
        tokio::spawn(async move {
            for first in [true, false] {
                tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
                if first {
                    tracing::info!(
                        "stopping: finishing requests and running jobs; a second signal ends at once"
                    );
                    life.stop();
                } else {
                    tracing::warn!("second signal: handing running jobs back and ending now");
                    life.impatient.cancel();
                    life.halt();
                }
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn tasks_that_end_after_the_stop_end_well() {
        let life = Lifecycle::new();
        let stopping = life.stopping().clone();
        life.spawn("obedient", async move {
            stopping.cancelled().await;
            Ok(())
        });
        life.stop();
        assert_eq!(life.finish(LONG).await, Ending::Clean);
    }

    #[tokio::test]
    async fn a_task_that_dies_stops_everything() {
        for (name, task) in [
            ("fails", async { Err(Error::internal("broken")) }.boxed()),
            ("panics", async { panic!("on purpose") }.boxed()),
            ("leaves", async { Ok(()) }.boxed()),
        ] {
            let life = Lifecycle::new();
            life.spawn(name, task);
            match life.finish(LONG).await {
                Ending::Failed(trouble) => assert!(trouble.starts_with(name), "{trouble}"),
                other => panic!("{name}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn the_hard_stop_follows_the_grace_time() {
        let life = Lifecycle::new();
        let halting = life.halting().clone();
        life.spawn("busy", async move {
            halting.cancelled().await;
            Ok(())
        });
        life.stop();
        assert_eq!(life.finish(Duration::ZERO).await, Ending::Clean);
    }
}

//! The worker: claims jobs, keeps their leases, runs them and writes how they
//! ended.
//!
//! A *slot* runs one job at a time. There are `PREVIEW_BUILDER_CONCURRENCY`
//! slots for builds, a few for syncs and one for cleanup, so that neither a long
//! queue of builds nor a slow server of repositories keeps a sync waiting; and one
//! each that builds ahead of being asked and that makes bytecode, which give way to
//! every other build.
//!
//! At the soft stop the slots claim nothing more and finish what they have, but
//! for what gives way, which they kill and hand back; at the hard stop they do so
//! with everything. An attempt that is handed back does not count.

mod dispatch;
mod ended;
mod heartbeat;
mod slot;
mod sweep;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::HEXLOWER;
use futures::StreamExt;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::domain::JobId;
use crate::domain::job::Queue;
use crate::ephemeral::topic;
use crate::error::{Context, Result};
use slot::Slot;

/// The queues that the embedded server's worker serves.
const QUEUES: [Queue; 5] = [
    Queue::PreviewBuild,
    Queue::Sync,
    Queue::Cleanup,
    Queue::WarmUp,
    Queue::Bytecode,
];

/// How many folders may be in removal besides one for each slot of builds.
const SPARE: usize = 2;

/// What the slots, the heartbeat and the cancels share.
pub(crate) struct Worker {
    app: Arc<App>,
    /// Unique among all workers that ever were.
    id: String,
    running: Mutex<HashMap<JobId, CancellationToken>>,
    /// Told whenever a job leaves `running`.
    left: Notify,
    /// Removes folders that nothing needs any more.
    cleaning: TaskTracker,
    /// How many folders of ended attempts may lie about.
    removing: Arc<Semaphore>,
}

/// Runs jobs until the soft stop, then those it has until the hard stop.
///
/// # Errors
/// Only when one of its tasks has panicked: nothing that a job does ends it.
pub async fn run(app: Arc<App>) -> Result<()> {
    app.sandbox.settled().await;
    let id = worker_id(&app);
    let swept = sweep::sweep(&app, &id).await;
    let worker = Arc::new(Worker {
        id,
        app: Arc::clone(&app),
        running: Mutex::default(),
        left: Notify::new(),
        cleaning: TaskTracker::new(),
        removing: Arc::new(Semaphore::new(app.config.builds.concurrency + SPARE)),
    });
    tracing::info!(
        worker = worker.id,
        builds = app.config.builds.concurrency,
        sandbox = app
            .sandbox
            .level()
            .map_or("refused", |level| level.as_str()),
        "the worker is ready"
    );
    if let Some(reason) = app.sandbox.refusal() {
        tracing::warn!(reason, "builds are refused");
    }
    worker
        .cleaning
        .spawn(sweep::remove_beside(Arc::clone(&app), swept));
    let mut slots = JoinSet::new();
    for slot in Slot::of(&app.config) {
        slots.spawn(slot.run(Arc::clone(&worker)));
    }
    let mut companions = JoinSet::new();
    companions.spawn(heartbeat::beat(Arc::clone(&worker)));
    companions.spawn(cancels(Arc::clone(&worker)));
    companions.spawn({
        let bundlers = app.bundlers.clone();
        async move { bundlers.tend().await }
    });
    while let Some(ended) = slots.join_next().await {
        ended.or_internal("run a slot of the worker")?;
    }
    worker.cleaning.close();
    if !worker.cleaning.is_empty() {
        let folders = worker.cleaning.len();
        tracing::info!(
            folders,
            "waiting until the folders of ended builds are removed"
        );
    }
    worker.cleaning.wait().await;
    companions.shutdown().await;
    if app.bundlers.count() > 0 {
        let bundlers = app.bundlers.count();
        tracing::info!(bundlers, "ending the warm bundlers");
    }
    app.bundlers.close().await;
    Ok(())
}

impl Worker {
    /// Takes the job's place. A job that was cancelled and at once retried, or
    /// whose lease was lost, may still be ending here: its folder is the same,
    /// so the new attempt waits for the old one to have ended.
    async fn enter(self: &Arc<Self>, job: &JobId, cancel: &CancellationToken) -> Place {
        loop {
            let left = self.left.notified();
            let free = match self.jobs().entry(job.clone()) {
                Entry::Occupied(_) => false,
                Entry::Vacant(place) => {
                    place.insert(cancel.clone());
                    true
                }
            };
            if free {
                return Place {
                    worker: Arc::clone(self),
                    job: job.clone(),
                };
            }
            left.await;
        }
    }

    fn active(&self) -> Vec<JobId> {
        let mut active: Vec<JobId> = self.jobs().keys().cloned().collect();
        active.sort();
        active
    }

    fn jobs(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, CancellationToken>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A job's place among those that run here; who drops it gives it up.
struct Place {
    worker: Arc<Worker>,
    job: JobId,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.worker.jobs().remove(&self.job);
        self.worker.left.notify_waiters();
    }
}

fn worker_id(app: &App) -> String {
    let system = rustix::system::uname();
    let host: String = system
        .nodename()
        .to_string_lossy()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '-')
        .take(40)
        .collect();
    let random = HEXLOWER.encode(&app.random.bytes::<4>());
    format!("{host}-{}-{random}", std::process::id())
}

/// Cancels running jobs as soon as their cancelling is announced. A missed
/// announcement is made good by the next renewal of the lease.
async fn cancels(worker: Arc<Worker>) {
    let Ok(mut events) = worker.app.ephemeral.subscribe(topic::CANCEL).await else {
        return;
    };
    while let Some(event) = events.next().await {
        let cancel = event
            .parse::<JobId>()
            .ok()
            .and_then(|job| worker.jobs().get(&job).cloned());
        if let Some(cancel) = cancel {
            tracing::info!(job = event, "cancelling a running job");
            cancel.cancel();
        }
    }
}

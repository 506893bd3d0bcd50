//! The worker's sign of life, for the administration pages and the health
//! check.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::time::MissedTickBehavior;

use super::{QUEUES, Worker};
use crate::clock::Timestamp;
use crate::domain::JobId;
use crate::domain::job::Queue;
use crate::domain::preview::SandboxLevel;

const EVERY: Duration = Duration::from_secs(15);

#[derive(Serialize)]
struct Beat<'a> {
    id: &'a str,
    /// `cpu`, `gpu` or `cleanup`.
    r#type: &'static str,
    queues: [Queue; 5],
    active_jobs: Vec<JobId>,
    /// How many builds it runs at a time.
    build_slots: usize,
    /// The machine's load average of the last minute.
    load: Option<f64>,
    sandbox: Option<&'static str>,
    started_at: Timestamp,
}

/// Beats until it is aborted.
pub(super) async fn beat(worker: Arc<Worker>) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let app = &worker.app;
        let beat = Beat {
            id: &worker.id,
            r#type: "cpu",
            queues: QUEUES,
            active_jobs: worker.active(),
            build_slots: app.config.builds.concurrency,
            load: load(),
            sandbox: app.sandbox.level().map(SandboxLevel::as_str),
            started_at: app.started_at,
        };
        let Ok(info) = serde_json::to_string(&beat) else {
            continue;
        };
        if let Err(error) = app.ephemeral.heartbeat(&worker.id, &info).await {
            tracing::warn!(error = %error.chain(), "the heartbeat was not heard");
        }
    }
}

fn load() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split(' ').next()?.parse().ok()
}

//! How long after a job was added an idle worker begins with it, both in the
//! process that adds it: ours inside the server, BullMQ's in a Node process
//! with Redis beside it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hivesync::app::App;
use hivesync::clock::{SystemClock, SystemEntropy};
use hivesync::domain::JobId;
use hivesync::store::Batch;
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::mpsc;

use super::{ROUNDS, median, quantile};
use crate::process::run as run_command;
use crate::report::{Better, Figure, Reach, Report};
use crate::server::{self, claim_request, new_job};
use crate::{Result, engines, peers};

const JOBS: usize = 300;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let folder = peers::npm("bullmq").await?;
    let redis = engines::redis().await?;
    let [mut ours, mut theirs] = [const { Vec::new() }; 2];
    for _ in 0..ROUNDS {
        ours.push(quantile(&mut our_waits().await?, 0.5));
        let mut command = Command::new("node");
        command
            .current_dir(&folder)
            .args(["queue.mjs", "pickup"])
            .args([redis.address.port().to_string(), JOBS.to_string()])
            .arg("1");
        let printed: Value = serde_json::from_str(run_command(&mut command).await?.trim())?;
        let waits = printed["waits"].as_array().ok_or("no waits")?;
        let mut waits: Vec<f64> = waits.iter().filter_map(Value::as_f64).collect();
        theirs.push(quantile(&mut waits, 0.5));
    }
    redis.stop().await?;
    report.add(
        Figure::new(
            "pickup by an idle worker, p50",
            "ms",
            Better::Lower,
            median(ours),
        )
        .beside("BullMQ", median(theirs))
        .reach(Reach::Value(1.0)),
    );
    Ok(())
}

/// The waits of as many jobs, in milliseconds.
async fn our_waits() -> Result<Vec<f64>> {
    let folder = tempfile::tempdir()?;
    let config = server::config(folder.path(), "0")?;
    let random = Arc::new(SystemEntropy::new());
    let app = App::start(config, Arc::new(SystemClock), random).await?;
    let (begun, mut beginnings) = mpsc::channel(1);
    let worker = tokio::spawn(work(Arc::clone(&app), begun));
    let mut waits = Vec::new();
    for _ in 0..JOBS {
        // The worker goes back to waiting.
        tokio::time::sleep(Duration::from_millis(5)).await;
        let id = JobId::generate(app.random.as_ref(), app.clock.now());
        let job = new_job(id, "preview".into(), "{}".into());
        let added = Instant::now();
        app.store.commit(Batch::new().enqueue(job)).await?;
        let begun: Instant = beginnings.recv().await.ok_or("the worker has ended")?;
        waits.push((begun - added).as_secs_f64() * 1000.0);
    }
    worker.abort();
    Ok(waits)
}

/// An idle worker, as the product's slots are.
async fn work(app: Arc<App>, begun: mpsc::Sender<Instant>) -> Result<()> {
    let request = claim_request("idle".to_owned());
    loop {
        let (claim, _) = app.queue.next(&request).await?;
        begun.send(Instant::now()).await?;
        app.queue.complete(&claim, Batch::new()).await?;
    }
}

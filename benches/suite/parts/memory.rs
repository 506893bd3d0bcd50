//! Resident memory of the whole server, all workers included: some seconds
//! after its start, and some seconds after a storm of requests. Beside it the
//! processes that a stack of Celery, PostgreSQL and Redis needs to do nothing.

use std::time::Duration;

use tokio::process::Command;

use crate::process::{Process, resident};
use crate::report::{Better, Figure, Reach, Report};
use crate::world::Hive;
use crate::wrk::Load;
use crate::{Result, engines, peers};

/// What settles has settled by then.
const SETTLE: Duration = Duration::from_secs(5);

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let hive = Hive::start(&[]).await?;
    tokio::time::sleep(SETTLE).await;
    let idle = resident(hive.process.id()?)?;
    storm(&hive).await?;
    tokio::time::sleep(SETTLE).await;
    let after = resident(hive.process.id()?)?;
    hive.stop().await?;
    let stack = stack().await?;
    let line = |work, ours| {
        Figure::new(work, "MB", Better::Lower, ours)
            .beside("Celery + PostgreSQL + Redis, idle", stack)
            .reach(Reach::Value(40.0))
    };
    report.add(line("memory, idle", idle));
    report.add(line("memory, after a storm of requests", after).reach(Reach::Nothing));
    Ok(())
}

/// Pages, refusals and errors, from many connections.
async fn storm(hive: &Hive) -> Result<()> {
    for path in ["/", "/livez", "/api/docs/", "/api/v1/openapi.json"] {
        Load::new(hive.address, path).connections(500).run().await?;
    }
    for path in ["/api/v1/projects", "/t/no.token", "/no/such/page"] {
        let load = Load::new(hive.address, path).connections(500);
        load.run_refused().await?;
    }
    Ok(())
}

async fn stack() -> Result<f64> {
    let redis = engines::redis().await?;
    let postgres = engines::postgres().await?;
    let folder = peers::pip("celery").await?;
    let mut worker = Command::new(".venv/bin/celery");
    worker
        .current_dir(&folder)
        .env("BROKER", format!("redis://{}/0", redis.address))
        .args([
            "-A",
            "queue_peer",
            "worker",
            "--concurrency=2",
            "--loglevel=ERROR",
        ]);
    let worker = Process::start_logged("celery", &mut worker, &folder.join("worker.log"))?;
    tokio::time::sleep(SETTLE).await;
    let mut all = 0.0;
    for process in [&worker, &redis.process, &postgres.process] {
        all += resident(process.id()?)?;
    }
    worker.stop().await?;
    redis.stop().await?;
    postgres.stop().await?;
    Ok(all)
}

//! Jobs a second, each acknowledged when it is durable at each of its steps:
//! inside the process, and through HTTP beside BullMQ, Celery and
//! graphile-worker.
//!
//! Everywhere 64 producers each add one job at a time and wait for its
//! acknowledgement, while 64 workers take, do nothing, and complete. The time
//! runs from the first job added to the last one completed. Producers and
//! workers of a peer are a process each; ours share the process of the bench,
//! and our server has one of its own, as Redis and PostgreSQL have.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use hivesync::app::App;
use hivesync::clock::{SystemClock, SystemEntropy};
use hivesync::domain::JobId;
use hivesync::store::Batch;
use hyper::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::{ROUNDS, median};
use crate::client::Client;
use crate::engines::{self, Engine};
use crate::process::{Process, free_address, run as run_command};
use crate::report::{Better, Figure, Reach, Report};
use crate::server::{self, claim_request, new_job};
use crate::{Result, peers};

const PRODUCERS: usize = 64;
const PAYLOAD: &str = r#"{"project":7,"ref":"main","platform":"ios"}"#;

/// Jobs of a round: some seconds' worth for each.
const OURS: usize = 20_000;
const BULLMQ: usize = 20_000;
const CELERY: usize = 2_000;
const GRAPHILE: usize = 5_000;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let mut inside = Vec::new();
    for _ in 0..ROUNDS {
        inside.push(inside_the_process().await?);
    }
    report.add(
        Figure::new(
            "enqueue, claim, complete in the process, 64 producers",
            "jobs/s",
            Better::Higher,
            median(inside),
        )
        .reach(Reach::Value(10_000.0)),
    );
    Ok(())
}

/// The second part: the same through HTTP.
pub(crate) async fn run_http(report: &mut Report) -> Result<()> {
    let peers = Peers::start().await?;
    let [mut ours, mut bullmq, mut celery, mut graphile] = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        ours.push(through_http().await?);
        bullmq.push(peers.bullmq().await?);
        celery.push(peers.celery().await?);
        graphile.push(peers.graphile().await?);
        let latest = [&ours, &bullmq, &celery, &graphile].map(|all| all[all.len() - 1].round());
        eprintln!("   a round: ours, BullMQ, Celery, graphile-worker {latest:?} jobs/s");
    }
    peers.stop().await?;
    for (peer, theirs, times) in [
        ("BullMQ", bullmq, 2.0),
        ("Celery", celery, 10.0),
        ("graphile-worker", graphile, 5.0),
    ] {
        report.add(
            Figure::new(
                "enqueue, claim, complete through HTTP",
                "jobs/s",
                Better::Higher,
                median(ours.clone()),
            )
            .beside(peer, median(theirs))
            .reach(Reach::Times(times)),
        );
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "some thousands")]
fn rate(jobs: usize, seconds: f64) -> f64 {
    jobs as f64 / seconds
}

/// Each of 64 tasks adds a job, claims one and completes it, in turn.
async fn inside_the_process() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let config = server::config(folder.path(), "0")?;
    let random = Arc::new(SystemEntropy::new());
    let app = App::start(config, Arc::new(SystemClock), random).await?;
    let left = Arc::new(AtomicUsize::new(OURS));
    let began = Instant::now();
    let mut producers = JoinSet::new();
    for number in 0..PRODUCERS {
        let (app, left) = (Arc::clone(&app), Arc::clone(&left));
        producers.spawn(async move {
            let request = claim_request(format!("worker-{number}"));
            while take_one(&left) {
                let id = JobId::generate(app.random.as_ref(), app.clock.now());
                let job = new_job(id, "preview".into(), PAYLOAD.into());
                app.store.commit(Batch::new().enqueue(job)).await?;
                let (claim, _) = app.queue.claim(&request).await?.ok_or("no job")?;
                app.queue.complete(&claim, Batch::new()).await?;
            }
            Result::Ok(())
        });
    }
    while let Some(ended) = producers.join_next().await {
        ended??;
    }
    Ok(rate(OURS, began.elapsed().as_secs_f64()))
}

/// Whether one more is to be done.
fn take_one(left: &AtomicUsize) -> bool {
    let less = |n: usize| n.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
        .is_ok()
}

/// Our server with the queue's routes, on a folder of its own.
pub(crate) struct QueueServer {
    process: Process,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl QueueServer {
    pub(crate) async fn start() -> Result<Self> {
        let (folder, address) = (tempfile::tempdir()?, free_address()?);
        let data = folder.path().join("data");
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("serve-queue")
            .arg(&data)
            .arg(address.port().to_string());
        let log = folder.path().join("server.log");
        let mut process = Process::start_logged("our server", &mut command, &log)?;
        process.listens(address).await?;
        Ok(Self {
            process,
            address,
            folder,
        })
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.process.stop().await?;
        Ok(self.folder.close()?)
    }
}

async fn through_http() -> Result<f64> {
    let server = QueueServer::start().await?;
    let address = server.address;
    let producing = Client::connect(address).await?;
    let working = Client::connect(address).await?;
    let left = Arc::new(AtomicUsize::new(OURS));
    let done = Arc::new(AtomicUsize::new(0));
    let all_done = Arc::new(Notify::new());
    let mut workers = JoinSet::new();
    for number in 0..PRODUCERS {
        let client = working.clone();
        workers.spawn(work(
            client,
            number,
            Arc::clone(&done),
            Arc::clone(&all_done),
        ));
    }
    let finished = all_done.notified();
    let began = Instant::now();
    let mut producers = JoinSet::new();
    for _ in 0..PRODUCERS {
        producers.spawn(produce(producing.clone(), Arc::clone(&left)));
    }
    while let Some(ended) = producers.join_next().await {
        ended??;
    }
    finished.await;
    let seconds = began.elapsed().as_secs_f64();
    workers.abort_all();
    server.stop().await?;
    Ok(rate(OURS, seconds))
}

/// Adds jobs, one after the other.
async fn produce(mut client: Client, left: Arc<AtomicUsize>) -> Result<()> {
    let body = json!({"kind": "preview", "payload": PAYLOAD}).to_string();
    while take_one(&left) {
        let (status, _) = client.post("/bench/jobs", body.clone()).await?;
        if status != StatusCode::CREATED {
            return Err(format!("a job was refused: {status}").into());
        }
    }
    Ok(())
}

/// Takes jobs and completes them, until as many as were added are completed.
async fn work(
    mut client: Client,
    number: usize,
    done: Arc<AtomicUsize>,
    all_done: Arc<Notify>,
) -> Result<()> {
    let claim = format!("/bench/claim?worker=worker-{number}");
    let complete = format!("/bench/complete?worker=worker-{number}");
    let mut taken = bytes::Bytes::new();
    loop {
        if taken.is_empty() {
            (_, taken) = client.post(&claim, String::new()).await?;
        }
        let job: Value = serde_json::from_slice(&taken)?;
        let ended = json!({"id": job["id"], "fence": job["fence"]}).to_string();
        let (status, next) = client.post(&complete, ended).await?;
        if !status.is_success() {
            return Err(format!("a job could not be completed: {status}").into());
        }
        if done.fetch_add(1, Ordering::Relaxed) + 1 == OURS {
            all_done.notify_one();
        }
        taken = next;
    }
}

/// The other queues, installed and started.
struct Peers {
    redis: Engine,
    postgres: Engine,
    bullmq: std::path::PathBuf,
    celery: std::path::PathBuf,
    graphile: std::path::PathBuf,
}

/// One line of a peer's: when it began and ended, in milliseconds.
fn span(began: &Value, ended: &Value) -> Result<f64> {
    let began = began["began"].as_f64().ok_or("no beginning")?;
    let ended = ended["ended"].as_f64().ok_or("no end")?;
    Ok((ended - began) / 1000.0)
}

fn node(folder: &Path, role: &str, server: &str, jobs: usize) -> Command {
    let mut command = Command::new("node");
    command
        .current_dir(folder)
        .args(["queue.mjs", role, server])
        .args([jobs.to_string(), PRODUCERS.to_string()]);
    command
}

impl Peers {
    async fn start() -> Result<Self> {
        let bullmq = peers::npm("bullmq").await?;
        let graphile = peers::npm("graphile-worker").await?;
        let celery = peers::pip("celery").await?;
        let peers = Self {
            redis: engines::redis().await?,
            postgres: engines::postgres().await?,
            bullmq,
            celery,
            graphile,
        };
        let database = peers.database();
        run_command(&mut node(&peers.graphile, "migrate", &database, 0)).await?;
        Ok(peers)
    }

    async fn stop(self) -> Result<()> {
        self.redis.stop().await?;
        self.postgres.stop().await
    }

    fn database(&self) -> String {
        format!("postgres://bench@{}/postgres", self.postgres.address)
    }

    /// A worker process and a producer process.
    async fn node_pair(name: &str, folder: &Path, server: &str, jobs: usize) -> Result<f64> {
        let mut worker = Process::start(
            &format!("the worker of {name}"),
            &mut node(folder, "work", server, jobs),
        )?;
        worker.json().await?;
        let mut producer = Process::start(
            &format!("the producer of {name}"),
            &mut node(folder, "produce", server, jobs),
        )?;
        let began = producer.json().await?;
        let ended = worker.json().await?;
        producer.stop().await?;
        worker.stop().await?;
        Ok(rate(jobs, span(&began, &ended)?))
    }

    async fn bullmq(&self) -> Result<f64> {
        let port = self.redis.address.port().to_string();
        flush(&port).await?;
        Self::node_pair("BullMQ", &self.bullmq, &port, BULLMQ).await
    }

    async fn graphile(&self) -> Result<f64> {
        Self::node_pair(
            "graphile-worker",
            &self.graphile,
            &self.database(),
            GRAPHILE,
        )
        .await
    }

    /// A worker of two processes, its default on two cores.
    async fn celery(&self) -> Result<f64> {
        flush(&self.redis.address.port().to_string()).await?;
        let broker = format!("redis://{}/0", self.redis.address);
        let mut worker = Command::new(".venv/bin/celery");
        worker
            .current_dir(&self.celery)
            .env("BROKER", &broker)
            .args([
                "-A",
                "queue_peer",
                "worker",
                "--concurrency=2",
                "--loglevel=ERROR",
            ])
            .args([
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ]);
        let log = self.celery.join("worker.log");
        let worker = Process::start_logged("celery", &mut worker, &log)?;
        self.celery_answers(&broker).await?;
        let printed = self.celery_jobs(&broker, CELERY).await?;
        worker.stop().await?;
        Ok(rate(CELERY, span(&printed, &printed)?))
    }

    /// Its worker takes seconds to be there: it is when it has run one job.
    async fn celery_answers(&self, broker: &str) -> Result<()> {
        self.celery_jobs(broker, 1).await.map(drop)
    }

    async fn celery_jobs(&self, broker: &str, jobs: usize) -> Result<Value> {
        let mut command = Command::new(".venv/bin/python");
        command
            .current_dir(&self.celery)
            .env("BROKER", broker)
            .arg("queue_peer.py")
            .args([jobs.to_string(), PRODUCERS.to_string()]);
        Ok(serde_json::from_str(
            run_command(&mut command).await?.trim(),
        )?)
    }
}

async fn flush(port: &str) -> Result<()> {
    run_command(Command::new("redis-cli").args(["-p", port, "flushall"]))
        .await
        .map(drop)
}

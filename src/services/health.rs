//! Is the deployment well? The same look for HTTP, the command line and, over
//! the Unix socket, for whoever watches the machine.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use rustix::fs::statvfs;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::domain::job::Queue;
use crate::error::{Code, Error, Result};
use crate::services::auth::{Actor, Right};

/// A worker that is silent for longer is unresponsive.
const SILENT: Duration = Duration::from_mins(2);
/// A store that needs longer for a round trip does not answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ordered from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// Everything answers.
    Ok,
    /// It works, but not all of it, or not for long.
    Degraded,
    /// It does not do its work.
    Fail,
}

impl HealthStatus {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            HealthStatus::Ok => "ok",
            HealthStatus::Degraded => "degraded",
            HealthStatus::Fail => "fail",
        }
    }
}

/// All that is known about the deployment's health.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    pub status: HealthStatus,
    /// Why the status is not `ok`, a sentence each.
    pub problems: Vec<String>,
    pub version: String,
    /// Whether a server runs; `false` when the command line looked by itself.
    pub serving: bool,
    /// Each tier's adapter, and whether it answers.
    pub stores: Vec<StoreHealth>,
    /// By the queue's name.
    pub queues: BTreeMap<String, QueueHealth>,
    pub workers: Vec<WorkerHealth>,
    pub disk: DiskHealth,
    /// Bundlers that are kept in memory for the projects at work.
    pub warm_bundlers: usize,
    /// How builds are walled off: `isolated`, `restricted`, `none`, or null
    /// where builds are refused.
    pub sandbox: Option<String>,
    /// What that leaves open, and why there is no better level; null at the
    /// best.
    pub sandbox_remark: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct StoreHealth {
    /// `meta` or `ephemeral`.
    pub tier: String,
    /// The adapter, such as `redb`.
    pub name: String,
    pub ok: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct QueueHealth {
    pub queued: u64,
    pub running: u64,
    /// Jobs that have failed for good, after their last attempt or where no
    /// other could help. A build of a project that does not build is one of
    /// them, so a number here is no alarm by itself; a cancelled job is not.
    pub dead: u64,
    pub paused: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkerHealth {
    pub id: String,
    pub heartbeat_age_seconds: u64,
    pub responsive: bool,
    /// What the worker says about itself.
    #[schema(value_type = Object)]
    pub info: serde_json::Value,
}

/// The file system that `DATA_DIR` lies on, in bytes.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct DiskHealth {
    pub path: String,
    pub total: u64,
    pub used: u64,
    /// What this user may still write.
    pub free: u64,
}

/// A look at everything, for administrators.
///
/// # Errors
/// `FORBIDDEN` for anyone else.
pub async fn deep(app: &App, actor: &Actor) -> Result<Health> {
    actor.require(Right::Read)?;
    let may_look = match actor {
        Actor::User { user, .. } => user.role.reads_admin(),
        Actor::Operator | Actor::System => true,
    };
    if !may_look {
        return Err(Error::new(
            Code::Forbidden,
            "only administrators may look at the server's inside; /health is open to everyone",
        ));
    }
    Ok(look(app).await)
}

/// Whether the store answers.
///
/// # Errors
/// `DEPENDENCY_FAILURE`.
pub async fn store_answers(app: &App) -> Result<()> {
    in_time(app.store.ping()).await
}

async fn in_time(ping: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::time::timeout(PATIENCE, ping)
        .await
        .map_err(|_| Error::new(Code::DependencyFailure, "a store gives no answer in time"))?
        // In the store's own words, which are for its callers.
        .map_err(|e| Error::new(Code::DependencyFailure, e.message.clone()).caused_by(e))
}

/// What is wrong so far.
struct Findings {
    status: HealthStatus,
    problems: Vec<String>,
}

impl Findings {
    fn note(&mut self, status: HealthStatus, problem: String) {
        self.status = self.status.max(status);
        self.problems.push(problem);
    }
}

/// A look at everything. What cannot be looked at is a finding, not an error.
pub async fn look(app: &App) -> Health {
    let mut findings = Findings {
        status: HealthStatus::Ok,
        problems: Vec::new(),
    };
    let serving = app.listening.get().is_some();
    if !serving {
        findings.note(
            HealthStatus::Fail,
            "no server is running; start it with: hivesync serve".to_owned(),
        );
    }
    if app.lifecycle.stopping().is_cancelled() {
        let stopping = "the server is stopping: it takes nothing new on, and ends when its requests \
                        and builds have; its log says what it waits for";
        findings.note(HealthStatus::Fail, stopping.to_owned());
    }
    let stores = stores(app, &mut findings).await;
    let queues = queues(app, &mut findings).await;
    let workers = workers(app, serving, &mut findings).await;
    let disk = disk(app, &mut findings);
    let sandbox = app.sandbox.level().map(|level| level.as_str().to_owned());
    if let Some(reason) = app.sandbox.refusal() {
        findings.note(
            HealthStatus::Degraded,
            format!("builds are refused: {reason}"),
        );
    }
    Health {
        status: findings.status,
        problems: findings.problems,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        serving,
        stores,
        queues,
        workers,
        disk,
        warm_bundlers: app.bundlers.kept(),
        sandbox,
        sandbox_remark: app.sandbox.remark().map(str::to_owned),
    }
}

async fn stores(app: &App, findings: &mut Findings) -> Vec<StoreHealth> {
    let mut found = Vec::with_capacity(2);
    let mut add = |tier: &str, name: &str, answer: Result<()>, when_not: HealthStatus| {
        if let Err(error) = &answer {
            tracing::warn!(tier, name, error = error.chain(), "a store does not answer");
            findings.note(
                when_not,
                format!("the {tier} store ({name}): {}", error.message),
            );
        }
        found.push(StoreHealth {
            tier: tier.to_owned(),
            name: name.to_owned(),
            ok: answer.is_ok(),
        });
    };
    let meta = store_answers(app).await;
    add("meta", app.store.name(), meta, HealthStatus::Fail);
    // What it holds may be lost at any time: without it we limp, no more.
    let ephemeral = in_time(app.ephemeral.ping()).await;
    add(
        "ephemeral",
        app.ephemeral.name(),
        ephemeral,
        HealthStatus::Degraded,
    );
    found
}

async fn queues(app: &App, findings: &mut Findings) -> BTreeMap<String, QueueHealth> {
    let mut found = BTreeMap::new();
    for queue in Queue::ALL {
        let name = queue.as_str();
        match app.queue.stats(queue).await {
            Ok(stats) => {
                if stats.paused {
                    findings.note(HealthStatus::Degraded, format!("queue {name} is paused"));
                }
                let health = QueueHealth {
                    queued: stats.queued,
                    running: stats.running,
                    dead: stats.dead,
                    paused: stats.paused,
                };
                found.insert(name.to_owned(), health);
            }
            Err(error) => {
                tracing::warn!(queue = name, error = error.chain(), "no queue statistics");
                findings.note(HealthStatus::Fail, format!("queue {name} does not answer"));
            }
        }
    }
    found
}

async fn workers(app: &App, serving: bool, findings: &mut Findings) -> Vec<WorkerHealth> {
    let now = app.clock.now();
    let beats = app.ephemeral.heartbeats().await.unwrap_or_default();
    let workers: Vec<WorkerHealth> = beats
        .into_iter()
        // Workers of an earlier life of this process do not count.
        .filter(|(_, at, _)| *at >= app.started_at)
        .map(|(id, at, info)| {
            let age = now.since(at);
            WorkerHealth {
                id,
                heartbeat_age_seconds: age.as_secs(),
                responsive: age <= SILENT,
                info: serde_json::from_str(&info).unwrap_or_default(),
            }
        })
        .collect();
    for silent in workers.iter().filter(|w| !w.responsive) {
        findings.note(
            HealthStatus::Degraded,
            format!(
                "worker {} is silent for {} s",
                silent.id, silent.heartbeat_age_seconds
            ),
        );
    }
    if serving && workers.is_empty() {
        let age = now.since(app.started_at);
        let problem = if age > SILENT {
            "no worker runs, so jobs wait; start the server without --no-worker".to_owned()
        } else {
            format!(
                "no worker is there yet, so jobs wait; the server was started {} s ago",
                age.as_secs()
            )
        };
        findings.note(HealthStatus::Degraded, problem);
    }
    workers
}

fn disk(app: &App, findings: &mut Findings) -> DiskHealth {
    let path = app.data.root();
    let mut health = DiskHealth {
        path: path.display().to_string(),
        total: 0,
        used: 0,
        free: 0,
    };
    match statvfs(path) {
        Ok(stat) => {
            health.total = stat.f_blocks.saturating_mul(stat.f_frsize);
            health.used = stat
                .f_blocks
                .saturating_sub(stat.f_bfree)
                .saturating_mul(stat.f_frsize);
            health.free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let floor = app.config.min_free_disk_bytes;
            if health.free < floor {
                findings.note(
                    HealthStatus::Degraded,
                    format!(
                        "only {} MB of disk are free below {}, less than MIN_FREE_DISK_MB ({})",
                        health.free >> 20,
                        health.path,
                        floor >> 20
                    ),
                );
            }
        }
        Err(error) => findings.note(
            HealthStatus::Degraded,
            format!("the disk of {} cannot be measured: {error}", health.path),
        ),
    }
    health
}

//! `hivesync health`: the server's own look at itself, for people, scripts and
//! container health checks.

use std::process::ExitCode;

use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use console::Style;
use serde_json::json;

use super::{operator, output};
use crate::error::{Code, Error, Result};
use crate::services::health::{Health, HealthStatus};
use crate::services::operator::Command;

#[derive(Args, Debug)]
pub struct HealthArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// Exit code 0, 1 or 2: ok, degraded, fail.
#[must_use]
pub fn run(args: &HealthArgs) -> ExitCode {
    match super::wait_for(look()) {
        Ok(health) if args.json => {
            output::print_json(&health);
            exit_code(health.status)
        }
        Ok(health) => {
            print(&health);
            exit_code(health.status)
        }
        Err(error) => {
            if args.json {
                output::print_json(&json!({
                    "status": HealthStatus::Fail,
                    "problems": [error.message],
                }));
            } else {
                output::fail(&error);
            }
            exit_code(HealthStatus::Fail)
        }
    }
}

/// Looking must not make a data folder where there is none.
async fn look() -> Result<Health> {
    if let Some(root) = operator::without_data()? {
        return Err(Error::new(
            Code::DependencyFailure,
            format!(
                "no server has run on the data folder {} yet; start one with: hivesync serve, or \
                 set DATA_DIR to the folder of the one you mean",
                root.display()
            ),
        ));
    }
    operator::ask(Command::Health).await
}

fn exit_code(status: HealthStatus) -> ExitCode {
    ExitCode::from(match status {
        HealthStatus::Ok => 0,
        HealthStatus::Degraded => 1,
        HealthStatus::Fail => 2,
    })
}

fn print(health: &Health) {
    let style = match health.status {
        HealthStatus::Ok => Style::new().green(),
        HealthStatus::Degraded => Style::new().yellow(),
        HealthStatus::Fail => Style::new().red(),
    };
    output::print(format_args!(
        "status   {}",
        style.bold().apply_to(health.status.as_str())
    ));
    for problem in &health.problems {
        output::print(format_args!("         - {problem}"));
    }
    let stores: Vec<String> = health
        .stores
        .iter()
        .map(|s| format!("{} {}", s.name, if s.ok { "ok" } else { "does not answer" }))
        .collect();
    output::print(format_args!("stores   {}", stores.join(", ")));
    output::print(format_args!(
        "disk     {} free of {} below {}",
        size(health.disk.free),
        size(health.disk.total),
        health.disk.path
    ));
    output::print(format_args!(
        "sandbox  {}",
        health
            .sandbox
            .as_deref()
            .unwrap_or("none: builds are refused")
    ));
    if let Some(remark) = &health.sandbox_remark {
        output::print(format_args!("         {remark}"));
    }
    output::print(format_args!("bundlers {} kept warm", health.warm_bundlers));
    for worker in &health.workers {
        output::print(format_args!(
            "worker   {}, heard of {} s ago",
            worker.id, worker.heartbeat_age_seconds
        ));
    }
    output::print("");
    output::print(queues(health).trim_fmt());
    if health.queues.values().any(|queue| queue.dead > 0) {
        output::print(
            "\nFAILED counts what has ended for good, builds of projects that do not build among \
             it; a build's page and log say why.",
        );
    }
}

/// Queues of a later version: nothing is put into them yet.
const UNUSED: [&str; 2] = ["ai_jobs", "gpu_ai_jobs"];

fn queues(health: &Health) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["QUEUE", "QUEUED", "RUNNING", "FAILED", ""]);
    for (name, queue) in &health.queues {
        let empty = queue.queued + queue.running + queue.dead == 0 && !queue.paused;
        if empty && UNUSED.contains(&name.as_str()) {
            continue;
        }
        table.add_row([
            name.clone(),
            queue.queued.to_string(),
            queue.running.to_string(),
            queue.dead.to_string(),
            if queue.paused { "paused" } else { "" }.to_owned(),
        ]);
    }
    table
}

/// Bytes for people, in steps of 1024.
fn size(bytes: u64) -> String {
    indicatif::HumanBytes(bytes).to_string()
}

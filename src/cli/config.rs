//! `hivesync config show` and `hivesync config check`.

use std::process::ExitCode;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use crate::config::{Report, Sources};

/// Prints every value with its source, secrets redacted.
#[must_use]
pub fn show(json: bool) -> ExitCode {
    with_report(|report| {
        if json {
            println!("{:#}", as_json(report));
        } else {
            println!("{}", as_table(report));
        }
        complain(report)
    })
}

/// Says whether a server would start like this and every name is known.
#[must_use]
pub fn check(json: bool) -> ExitCode {
    with_report(|report| {
        let faults = report.problems.len() + report.unknown.len();
        if json {
            let answer = json!({
                "ok": faults == 0,
                "problems": report.problems,
                "unknown": report.unknown,
            });
            println!("{answer:#}");
        } else if faults == 0 {
            println!("The configuration is fine.");
        }
        if faults == 0 {
            return ExitCode::SUCCESS;
        }
        if !json {
            complain(report);
        }
        ExitCode::FAILURE
    })
}

fn with_report(use_it: impl FnOnce(&Report) -> ExitCode) -> ExitCode {
    match Sources::of_process() {
        Ok(sources) => use_it(&Report::of(&sources)),
        Err(e) => {
            eprintln!("error: {}", e.chain());
            ExitCode::FAILURE
        }
    }
}

/// Unknown names do not stop a server; problems do.
fn complain(report: &Report) -> ExitCode {
    for unknown in &report.unknown {
        eprintln!("unknown: {unknown}");
    }
    for problem in &report.problems {
        eprintln!("error: {problem}");
    }
    if report.problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn as_json(report: &Report) -> serde_json::Value {
    json!({
        "settings": report.rows,
        "problems": report.problems,
        "unknown": report.unknown,
    })
}

fn as_table(report: &Report) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_header(["NAME", "VALUE", "SOURCE"]);
    for row in &report.rows {
        let value = row.value.as_deref().unwrap_or("-");
        table.add_row([row.name, value, &row.source]);
    }
    table
}

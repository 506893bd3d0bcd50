//! `hivesync config show` and `hivesync config check`.

use std::process::ExitCode;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde_json::json;

use super::output;
use crate::config::{Report, Sources};

/// Prints every value with its source, secrets redacted.
#[must_use]
pub fn show(json: bool) -> ExitCode {
    with_report(|report| {
        if json {
            output::print_json(&as_json(report));
        } else {
            output::print(as_table(report).trim_fmt());
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
            output::print_json(&answer);
        } else if faults == 0 {
            output::print("The configuration is fine.");
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
            output::fail(&e);
            ExitCode::FAILURE
        }
    }
}

/// Unknown names do not stop a server; problems do.
fn complain(report: &Report) -> ExitCode {
    for unknown in &report.unknown {
        output::print_aside(format_args!("unknown: {unknown}"));
    }
    for problem in &report.problems {
        output::print_aside(format_args!("error: {problem}"));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_have_every_setting_and_no_secret() {
        let folder = tempfile::tempdir().unwrap();
        let secret = "a secret that nobody may ever see printed";
        let sources = Sources::of_map(folder.path(), &[("JWT_SECRET", secret), ("PORT", "4001")]);
        let report = Report::of(&sources);
        let table = as_table(&report).trim_fmt();
        let json = as_json(&report).to_string();
        for form in [&table, &json] {
            assert!(!form.contains(secret));
            for row in &report.rows {
                assert!(form.contains(row.name), "{} in {form}", row.name);
            }
        }
        let port = table.lines().find(|line| line.contains(" PORT ")).unwrap();
        assert!(
            port.contains("4001") && port.ends_with("environment"),
            "{port}"
        );
        assert_eq!(as_json(&report)["settings"][6]["value"], "4001");
    }
}

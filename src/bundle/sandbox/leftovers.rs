//! The processes of a build that have left its process group, where no PID
//! namespace takes them along: found by the mark in their environment.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::cell::MARK;

/// A process may fork while we look; each round finds the children of the last.
const ROUNDS: usize = 20;

/// Kills every process that carries `mark`, until none is found. On systems
/// without `/proc` it finds none.
pub(super) async fn kill(mark: &str) {
    let wanted = format!("{MARK}={mark}");
    for _ in 0..ROUNDS {
        let needle = wanted.clone();
        let found = tokio::task::spawn_blocking(move || marked(&needle))
            .await
            .unwrap_or_default();
        if found.is_empty() {
            return;
        }
        for pid in found {
            let _ = kill_process(pid, Signal::KILL);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn marked(needle: &str) -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| {
            let name = entry.ok()?.file_name();
            let id: i32 = name.to_str()?.parse().ok()?;
            // A zombie's environment reads as empty.
            let environment = std::fs::read(format!("/proc/{id}/environ")).ok()?;
            environment
                .split(|byte| *byte == 0)
                .any(|variable| variable == needle.as_bytes())
                .then(|| Pid::from_raw(id))?
        })
        .collect()
}

//! The processes of a build that its warden does not take along: because it
//! does not come to it, or is gone itself.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::cell::MARK;
use super::descendants;

/// A process may fork while we look; each round finds the children of the last.
const ROUNDS: usize = 20;

/// Kills every process that carries `mark` in its environment, until none is
/// found. On systems without `/proc` it finds none.
pub(super) async fn kill(mark: &str) {
    let wanted = format!("{MARK}={mark}");
    until_none(move || marked(&wanted)).await;
}

/// Kills what descends from the warden, until nothing is left, and only then
/// the warden: once that is gone, an orphan is nobody's descendant any more.
pub(super) async fn kill_below(warden: Pid, launchers: usize) {
    until_none(move || {
        // Who stands still is not elsewhere by the time that we come to it.
        descendants::signal(warden, launchers, Signal::STOP);
        descendants::living(warden)
    })
    .await;
    let _ = kill_process(warden, Signal::KILL);
}

async fn until_none(find: impl Fn() -> Vec<Pid> + Clone + Send + 'static) {
    for _ in 0..ROUNDS {
        let found = tokio::task::spawn_blocking(find.clone())
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

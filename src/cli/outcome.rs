//! What the server says of a build as it goes, and how it came out.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::domain::preview::{BuildError, BundlerOrigin, Platform, PreviewStatus, Stage};

/// What the status events hold, as far as it is shown.
#[derive(Deserialize)]
pub(super) struct StatusEvent {
    commit: String,
    pub(super) status: PreviewStatus,
    pub(super) stage: Option<Stage>,
    /// 0.0 to 1.0.
    pub(super) progress: f64,
    size: Option<u64>,
    warm: Option<bool>,
    /// A server of an earlier version does not say.
    #[serde(default)]
    bundler: Option<BundlerOrigin>,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    completed_at: Option<Timestamp>,
    error: Option<BuildError>,
}

/// How a build ended.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    /// What was built.
    pub(super) commit: String,
    status: PreviewStatus,
    /// From the request to the end.
    seconds: Option<f64>,
    /// How much of that no build slot was free.
    #[serde(skip)]
    queued_seconds: f64,
    /// Whether it had ended before it was asked for.
    #[serde(skip)]
    pub(super) was_ready: bool,
    size: Option<u64>,
    warm: Option<bool>,
    bundler: Option<BundlerOrigin>,
    error: Option<BuildError>,
}

impl Outcome {
    /// Of a build's last event.
    pub(super) fn of(event: StatusEvent) -> Self {
        Self {
            commit: event.commit,
            status: event.status,
            seconds: event
                .completed_at
                .map(|end| end.since(event.created_at).as_secs_f64()),
            was_ready: false,
            queued_seconds: event
                .started_at
                .map_or(0.0, |start| start.since(event.created_at).as_secs_f64()),
            size: event.size,
            warm: event.warm,
            bundler: event.bundler,
            error: event.error,
        }
    }

    #[must_use]
    pub(super) fn succeeded(&self) -> bool {
        self.status == PreviewStatus::Success
    }

    /// The end in one line for a person.
    #[must_use]
    pub(super) fn sentence(&self, platform: Platform, job: &str) -> String {
        let took = match self.seconds {
            _ if self.was_ready => ", built before".to_owned(),
            Some(s) if self.queued_seconds >= 1.0 => {
                format!(" in {s:.1} s, {:.1} s of it queued", self.queued_seconds)
            }
            Some(s) => format!(" in {s:.1} s"),
            None => String::new(),
        };
        match (self.status, &self.error) {
            (PreviewStatus::Success, _) => {
                let size = self
                    .size
                    .map_or_else(String::new, |b| format!(", {}", indicatif::HumanBytes(b)));
                let warm = match (self.bundler, self.warm) {
                    _ if self.was_ready => "",
                    (Some(BundlerOrigin::Kept), _) => ", warm bundler",
                    (Some(BundlerOrigin::Started), Some(true)) => ", caches kept",
                    _ => "",
                };
                format!("✓ {platform}: ready{took}{size}{warm} (job {job})")
            }
            (status, Some(e)) => {
                format!(
                    "✗ {platform}: {} ({}: {}) (job {job})",
                    status.as_str(),
                    e.code,
                    e.message
                )
            }
            (status, None) => format!("✗ {platform}: {} (job {job})", status.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kept_bundler_and_kept_caches_are_told_apart() {
        let sentence = |warm: bool, bundler: Option<&str>| {
            let event = json!({
                "commit": "c", "status": "success", "stage": null, "progress": 1.0,
                "size": null, "warm": warm, "bundler": bundler, "error": null,
                "created_at": "2026-01-01T00:00:00Z", "started_at": null, "completed_at": null,
            });
            let event = serde_json::from_value(event).expect("an event");
            Outcome::of(event).sentence(Platform::Ios, "job")
        };
        for (warm, bundler, told) in [
            (true, Some("kept"), ", warm bundler"),
            (true, Some("started"), ", caches kept"),
            (false, Some("started"), ""),
            (true, None, ""),
        ] {
            let expected = format!("✓ ios: ready{told} (job job)");
            assert_eq!(sentence(warm, bundler), expected);
        }
    }
}

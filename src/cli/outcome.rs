//! What the server says of a build as it goes, and how it came out.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::domain::preview::{BuildError, Platform, PreviewStatus, Stage};

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
                let warm = if self.warm == Some(true) && !self.was_ready {
                    ", warm"
                } else {
                    ""
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

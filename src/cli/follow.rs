//! Follows builds by their server-sent events, with a bar for each.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::output::print_aside;
use crate::config::Secret;
use crate::domain::preview::{BuildError, Platform, PreviewStatus, Stage};
use crate::error::{Code, Error, Result};

/// How often a broken stream is taken up again before giving up.
const RECONNECTS: u32 = 5;

/// What the status events hold, as far as it is shown.
#[derive(Deserialize)]
struct StatusEvent {
    commit: String,
    status: PreviewStatus,
    stage: Option<Stage>,
    /// 0.0 to 1.0.
    progress: f64,
    size: Option<u64>,
    warm: Option<bool>,
    created_at: crate::clock::Timestamp,
    started_at: Option<crate::clock::Timestamp>,
    completed_at: Option<crate::clock::Timestamp>,
    error: Option<BuildError>,
}

/// How a build ended.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What was built.
    pub commit: String,
    status: PreviewStatus,
    /// From the request to the end.
    seconds: Option<f64>,
    /// How much of that no build slot was free.
    #[serde(skip)]
    queued_seconds: f64,
    /// Whether it had ended before it was asked for.
    #[serde(skip)]
    was_ready: bool,
    size: Option<u64>,
    warm: Option<bool>,
    error: Option<BuildError>,
}

impl Outcome {
    #[must_use]
    pub fn succeeded(&self) -> bool {
        self.status == PreviewStatus::Success
    }

    /// The end in one line for a person.
    #[must_use]
    pub fn sentence(&self, platform: Platform, job: &str) -> String {
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

/// The bars of all builds that are followed together.
pub struct Bars {
    multi: MultiProgress,
    /// Where there is no terminal, a line for each stage instead.
    lines: bool,
}

impl Bars {
    /// `bars` draws on the terminal; `lines` allows plain lines without one.
    #[must_use]
    pub fn new(bars: bool, lines: bool) -> Self {
        let target = if bars {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            multi: MultiProgress::with_draw_target(target),
            lines: lines && !bars,
        }
    }

    /// Waits for the end of one build.
    ///
    /// # Errors
    /// What the server answers, or `DEPENDENCY_FAILURE` when the stream broke
    /// again and again.
    pub async fn follow(
        &self,
        client: &Client,
        platform: Platform,
        job: &str,
        access: &Secret,
        estimated_seconds: u32,
    ) -> Result<Outcome> {
        let bar = self.multi.add(ProgressBar::new(100));
        bar.set_style(style());
        bar.set_prefix(platform.as_str());
        bar.set_message(format!("queued (about {estimated_seconds} s)"));
        bar.enable_steady_tick(Duration::from_millis(120));

        let client = client.with_token(access.clone());
        let mut last_id: Option<String> = None;
        let mut shown = None;
        for _ in 0..=RECONNECTS {
            let mut request = client.request(Method::GET, &format!("/preview/events/{job}"));
            if let Some(id) = &last_id {
                request = request.header("last-event-id", id);
            }
            let mut response = client.send(request).await?;
            let mut events = EventParser::default();
            while let Ok(Some(chunk)) = response.chunk().await {
                for event in events.push(&chunk) {
                    last_id = event.id.or(last_id);
                    let Ok(status) = serde_json::from_str::<StatusEvent>(&event.data) else {
                        continue;
                    };
                    let at_once = shown.is_none();
                    self.show(&bar, platform, &status, &mut shown);
                    if status.status.is_final() {
                        bar.finish_and_clear();
                        let mut outcome = outcome(status);
                        outcome.was_ready = at_once && estimated_seconds == 0;
                        return Ok(outcome);
                    }
                }
            }
        }
        Err(Error::new(
            Code::DependencyFailure,
            format!(
                "the event stream of {job} broke {RECONNECTS} times; ask again with: GET /api/v1/preview/status/{job}"
            ),
        ))
    }

    fn show(
        &self,
        bar: &ProgressBar,
        platform: Platform,
        event: &StatusEvent,
        shown: &mut Option<PreviewStatus>,
    ) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 100"
        )]
        bar.set_position((event.progress.clamp(0.0, 1.0) * 100.0).round() as u64);
        let stage = match event.stage {
            Some(stage) if !event.status.is_final() => stage.as_str(),
            _ => event.status.as_str(),
        };
        bar.set_message(stage.to_owned());
        if self.lines && *shown != Some(event.status) {
            print_aside(format_args!(
                "{platform}: {stage} {:.0}%",
                event.progress * 100.0
            ));
        }
        *shown = Some(event.status);
    }
}

fn outcome(event: StatusEvent) -> Outcome {
    Outcome {
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

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{prefix:>8} {bar:28.yellow/blue} {percent:>3}% {msg} {elapsed:.dim}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// One server-sent event (WHATWG HTML, "Server-sent events").
#[derive(Debug, Default, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    data: String,
}

/// Cuts a byte stream into events.
#[derive(Default)]
struct EventParser {
    line: Vec<u8>,
    event: Event,
}

impl EventParser {
    fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
            let line = line.trim_end_matches('\r');
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() {
                    events.push(event);
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.event.id = Some(value.to_owned()),
                "data" => {
                    if !self.event.data.is_empty() {
                        self.event.data.push('\n');
                    }
                    self.event.data.push_str(value);
                }
                // Comments (an empty field), event names and retry times.
                _ => {}
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_wherever_the_chunks_end() {
        let stream =
            b": hello\n\nid: 7\r\ndata: {\"a\":\r\ndata: 1}\r\n\r\nevent: x\ndata: two\n\n";
        for split in 0..stream.len() {
            let mut parser = EventParser::default();
            let mut events = parser.push(&stream[..split]);
            events.extend(parser.push(&stream[split..]));
            let data: Vec<_> = events.iter().map(|e| e.data.as_str()).collect();
            assert_eq!(data, ["{\"a\":\n1}", "two"], "split at {split}");
            assert_eq!(events[0].id.as_deref(), Some("7"));
        }
    }
}

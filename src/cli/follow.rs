//! Follows builds by their server-sent events, with a bar for each, through
//! whatever happens to the server meanwhile.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use reqwest::Method;

use super::client::Client;
use super::events::EventParser;
use super::outcome::{Outcome, StatusEvent};
use super::output::print_aside;
use super::requested::Requested;
use crate::domain::preview::{Platform, PreviewStatus};
use crate::error::{Code, Error, Result};

/// Before a broken stream is taken up again; doubled with every failure, and
/// from the start again once the server has answered.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The server says something four times as often: a stream that is silent for
/// this long leads nowhere.
const SILENCE: Duration = Duration::from_mins(1);

/// The bars of all builds that are followed together.
pub struct Bars {
    multi: MultiProgress,
    /// Where there is no terminal, a line for each stage instead.
    lines: bool,
    /// Whether anybody wants to read words.
    words: bool,
}

/// A build that is followed, and what of it was seen.
struct Followed<'a> {
    bar: ProgressBar,
    platform: Platform,
    job: &'a str,
    /// The last event's, to go on after it.
    last_id: Option<String>,
    shown: Option<PreviewStatus>,
    /// Whether the server has been told not to answer.
    lost: bool,
}

impl Bars {
    /// `bars` draws on the terminal; `words` allows lines of text.
    #[must_use]
    pub fn new(bars: bool, words: bool) -> Self {
        let target = if bars {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self {
            multi: MultiProgress::with_draw_target(target),
            lines: words && !bars,
            words,
        }
    }

    /// Waits for the end of one build. A server that does not answer for a
    /// while, because it is started anew or the network is down, is asked again
    /// until it does: how long that may take is for the caller to say.
    ///
    /// # Errors
    /// What the server answers that no further try can change.
    pub(super) async fn follow(&self, client: &Client, request: &Requested) -> Result<Outcome> {
        let estimate = request.estimated_seconds;
        let bar = self.multi.add(ProgressBar::new(100));
        bar.set_style(style());
        bar.set_prefix(request.platform.as_str());
        bar.set_message(format!("queued (about {estimate} s)"));
        bar.enable_steady_tick(Duration::from_millis(120));
        let mut followed = Followed {
            bar,
            platform: request.platform,
            job: &request.job_id,
            last_id: None,
            shown: None,
            lost: false,
        };
        let client = client.with_token(request.access.clone());
        let mut pause = FIRST_PAUSE;
        loop {
            match self.listen(&client, &mut followed, &mut pause).await {
                Ok(Some((event, at_once))) => {
                    followed.bar.finish_and_clear();
                    let mut outcome = Outcome::of(event);
                    outcome.was_ready = at_once && estimate == 0;
                    return Ok(outcome);
                }
                // A server that stops ends its streams, and proxies end all of
                // them sooner or later.
                Ok(None) => {}
                Err(error) if passes(&error) => self.lose(&mut followed, &error),
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Shows what one stream says, up to its end. Answers the build's last
    /// event, and whether it was the first to be seen.
    async fn listen(
        &self,
        client: &Client,
        followed: &mut Followed<'_>,
        pause: &mut Duration,
    ) -> Result<Option<(StatusEvent, bool)>> {
        let path = format!("/preview/events/{}", followed.job);
        let mut request = client.request(Method::GET, &path);
        if let Some(id) = &followed.last_id {
            request = request.header("last-event-id", id);
        }
        let answer = tokio::time::timeout(SILENCE, client.send(request)).await;
        let mut response = answer.map_err(|_| {
            let text = format!("{} does not answer", client.server());
            Error::new(Code::DependencyFailure, text)
        })??;
        let mut events = EventParser::default();
        while let Ok(Ok(Some(chunk))) = tokio::time::timeout(SILENCE, response.chunk()).await {
            for event in events.push(&chunk) {
                followed.last_id = event.id.or(followed.last_id.take());
                let Ok(status) = serde_json::from_str::<StatusEvent>(&event.data) else {
                    continue;
                };
                *pause = FIRST_PAUSE;
                let at_once = followed.shown.is_none();
                self.show(followed, &status);
                if status.status.is_final() {
                    return Ok(Some((status, at_once)));
                }
            }
        }
        Ok(None)
    }

    fn show(&self, followed: &mut Followed<'_>, event: &StatusEvent) {
        if std::mem::take(&mut followed.lost) {
            self.say(followed, "the server answers again");
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "0 to 100"
        )]
        let percent = (event.progress.clamp(0.0, 1.0) * 100.0).round() as u64;
        followed.bar.set_position(percent);
        let stage = match event.stage {
            Some(stage) if !event.status.is_final() => stage.as_str(),
            _ => event.status.as_str(),
        };
        followed.bar.set_message(stage.to_owned());
        if self.lines && followed.shown != Some(event.status) {
            self.say(followed, &format!("{stage} {percent}%"));
        }
        followed.shown = Some(event.status);
    }

    /// Says once that the server is gone; the bar goes on to show it.
    fn lose(&self, followed: &mut Followed<'_>, error: &Error) {
        followed.bar.set_message("no answer, trying again");
        if !std::mem::replace(&mut followed.lost, true) {
            self.say(followed, &format!("trying again: {}", error.message));
        }
    }

    fn say(&self, followed: &Followed<'_>, text: &str) {
        let line = format!("{}: {text}", followed.platform);
        if self.lines {
            print_aside(line);
        } else if self.words {
            // Above the bars; a terminal that is gone reads nothing.
            let _ = self.multi.println(line);
        }
    }
}

/// Whether it is worth asking again.
fn passes(error: &Error) -> bool {
    matches!(
        error.code,
        Code::DependencyFailure | Code::InternalError | Code::RateLimitExceeded
    )
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{prefix:>8} {bar:28.yellow/blue} {percent:>3}% {msg} {elapsed:.dim}",
    )
    .unwrap_or_else(|_| ProgressStyle::default_bar())
}

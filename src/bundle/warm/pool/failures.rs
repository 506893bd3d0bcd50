//! What no bundler could be made for, why, and when it is tried again.

use std::collections::HashMap;
use std::time::Duration;

use super::Spot;
use crate::clock::Timestamp;
use crate::domain::ProjectId;

/// When a project for which no bundler could be made is tried again. Each
/// failure doubles it: most have a cause that stays until the project changes,
/// but a machine short of memory, or a process that somebody has killed, is no
/// fault of the project.
pub(super) const TRY_AGAIN: Duration = Duration::from_mins(5);
const LONGEST_WAIT: Duration = Duration::from_hours(6);

#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<Spot, Failure>);

#[derive(Debug)]
struct Failure {
    /// With another configuration or other dependencies there may be one.
    key: String,
    why: String,
    times: u32,
    /// It is tried again then.
    until: Timestamp,
}

impl Failures {
    /// Remembers why there is no bundler of `spot` and `key`, and for how long.
    pub(super) fn add(&mut self, spot: Spot, key: &str, why: String, now: Timestamp) {
        let times = self.of(spot, key).map_or(0, |failure| failure.times);
        let wait = TRY_AGAIN.saturating_mul(1 << times.min(16));
        let failure = Failure {
            key: key.to_owned(),
            why,
            times: times + 1,
            until: now.after(wait.min(LONGEST_WAIT)),
        };
        self.0.insert(spot, failure);
    }

    pub(super) fn why(&self, spot: Spot, key: &str) -> Option<&str> {
        self.of(spot, key).map(|failure| failure.why.as_str())
    }

    /// Whether the last one is too new for another try.
    pub(super) fn hold(&self, spot: Spot, key: &str, now: Timestamp) -> bool {
        self.of(spot, key)
            .is_some_and(|failure| now < failure.until)
    }

    pub(super) fn forget(&mut self, spot: Spot) {
        self.0.remove(&spot);
    }

    pub(super) fn forget_project(&mut self, project: ProjectId) {
        self.0.retain(|spot, _| spot.project != project);
    }

    fn of(&self, spot: Spot, key: &str) -> Option<&Failure> {
        self.0.get(&spot).filter(|failure| failure.key == key)
    }
}

//! How long a build will take, by what the project's builds took lately.

use crate::clock::Timestamp;
use crate::domain::preview::{Platform, Preview, PreviewStatus};

/// How many builds tell: older ones were of another project, so to speak.
const TELLING: usize = 9;

/// Seconds from the request to the bundle, at least 1.
///
/// `recent` are the project's successful builds of the platform, newest first.
/// A project that has been built finds warm caches, so warm builds tell more
/// than cold ones; without any build the guess is a cold build's.
#[must_use]
pub fn seconds<'a>(platform: Platform, recent: impl IntoIterator<Item = &'a Preview>) -> u32 {
    let recent: Vec<&Preview> = recent.into_iter().take(TELLING).collect();
    let durations = |warm: Option<bool>| {
        let mut all: Vec<u64> = recent
            .iter()
            .filter(|p| warm.is_none() || p.warm == warm)
            .filter_map(|p| Some(p.completed_at?.since(p.started_at?).as_millis()))
            .filter_map(|ms| u64::try_from(ms).ok())
            .collect();
        all.sort_unstable();
        all
    };
    let of_warm = durations(Some(true));
    let telling = if of_warm.is_empty() {
        durations(None)
    } else {
        of_warm
    };
    match telling.get(telling.len() / 2) {
        Some(median) => u32::try_from(median.div_ceil(1000))
            .unwrap_or(u32::MAX)
            .max(1),
        None => match platform {
            // A cold install and a cold bundle, as measured on two cores.
            Platform::Ios | Platform::Android => 60,
            Platform::Web => 30,
        },
    }
}

/// Seconds that are left; `None` when nothing more will happen.
#[must_use]
pub fn left(preview: &Preview, now: Timestamp) -> Option<u32> {
    if preview.status.is_final() {
        return None;
    }
    let elapsed = match (preview.status, preview.started_at) {
        (PreviewStatus::Queued, _) | (_, None) => 0,
        (_, Some(started)) => now.since(started).as_secs(),
    };
    let left = u64::from(preview.estimated_seconds).saturating_sub(elapsed);
    // A build that takes longer than guessed is never "done in 0 s".
    Some(u32::try_from(left).unwrap_or(u32::MAX).max(1))
}

//! The sliding window of a rate limit, as plain data.

use std::time::Duration;

use super::Rate;
use crate::clock::Timestamp;

/// Counts a hit at `now` unless `limit` of `hits` lie within the last
/// `window`. `hits` keeps only what still matters.
pub(super) fn slide(
    hits: &mut Vec<Timestamp>,
    now: Timestamp,
    limit: u32,
    window: Duration,
) -> Rate {
    let start = now.before(window);
    // A hit far in the future was counted by a clock that has since been set
    // back; it would close the window until that time came again.
    let end = now.after(window);
    hits.retain(|&hit| start < hit && hit <= end);
    let used = u32::try_from(hits.len()).unwrap_or(u32::MAX);
    if used < limit {
        hits.push(now);
        return Rate::Allowed {
            remaining: limit - used - 1,
        };
    }
    let oldest = hits.iter().min().copied().unwrap_or(now);
    Rate::Limited {
        retry_after: oldest.after(window).since(now),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn hit(hits: &mut Vec<Timestamp>, second: i64) -> Rate {
        slide(hits, Timestamp::from_secs(second), 2, WINDOW)
    }

    #[test]
    fn opens_when_the_oldest_hit_leaves() {
        let mut hits = Vec::new();
        assert_eq!(hit(&mut hits, 100), Rate::Allowed { remaining: 1 });
        assert_eq!(hit(&mut hits, 104), Rate::Allowed { remaining: 0 });
        let retry_after = Duration::from_secs(5);
        assert_eq!(hit(&mut hits, 105), Rate::Limited { retry_after });
        // A refused hit does not count.
        assert_eq!(hit(&mut hits, 110), Rate::Allowed { remaining: 0 });
        let retry_after = Duration::from_secs(3);
        assert_eq!(hit(&mut hits, 111), Rate::Limited { retry_after });
    }

    #[test]
    fn nothing_is_allowed_at_a_limit_of_nothing() {
        let mut hits = Vec::new();
        let rate = slide(&mut hits, Timestamp::from_secs(1), 0, WINDOW);
        assert_eq!(
            rate,
            Rate::Limited {
                retry_after: WINDOW
            }
        );
        assert!(hits.is_empty());
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_close_the_window_for_long() {
        let mut hits = Vec::new();
        hit(&mut hits, 4_000);
        hit(&mut hits, 4_001);
        assert_eq!(hit(&mut hits, 400), Rate::Allowed { remaining: 1 });
    }
}

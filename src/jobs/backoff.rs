//! How long to wait before an attempt is repeated.

use std::time::Duration;

use crate::clock::Random;

/// `base` doubled for every attempt that has failed, at most `longest`, and a
/// random part of the second half of it taken off: a thousand jobs that failed
/// together do not come back together.
pub(crate) fn pause(
    base: Duration,
    failed_attempts: u32,
    longest: Duration,
    random: &dyn Random,
) -> Duration {
    let doublings = failed_attempts.saturating_sub(1).min(16);
    let whole = base.saturating_mul(1 << doublings).min(longest);
    let share = f64::from(u16::from_le_bytes(random.bytes())) / f64::from(u16::MAX);
    whole.mul_f64(1.0 - share / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);

    impl Random for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn the_pause_doubles_up_to_its_cap() {
        let after = |attempts| {
            let longest = Duration::from_secs(10);
            pause(Duration::from_secs(1), attempts, longest, &Always(0)).as_secs()
        };
        assert_eq!([1, 2, 3, 4, 5, 6, 100].map(after), [1, 2, 4, 8, 10, 10, 10]);
    }

    #[test]
    fn the_jitter_takes_off_up_to_a_half() {
        let drawn = |random| {
            let second = Duration::from_secs(1);
            pause(second, 1, second, &Always(random))
        };
        assert_eq!(drawn(0), Duration::from_secs(1));
        assert_eq!(drawn(255), Duration::from_millis(500));
        assert!(drawn(100) > drawn(200));
    }
}

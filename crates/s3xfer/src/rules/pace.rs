//! Bandwidth: the time at which the next bytes may be taken.

use std::time::Duration;

/// Idle time that may be made up for. So a timer's granularity does not cost rate, and no burst follows a pause.
const CATCH_UP: Duration = Duration::from_millis(20);

/// A meter that every transfer under one bandwidth limit passes its bytes through, in the order they come: the virtual
/// scheduling form of the leaky bucket (generic cell rate algorithm, ITU-T I.371, annex A).
///
/// Bytes are scheduled against the time at which the line *would* be free, not against the time at which a sleeper woke
/// up, so late timers do not add up.
#[derive(Debug)]
pub(crate) struct Pacer {
    bytes_per_second: f64,
    /// When the line has passed all that was admitted, since the caller's zero.
    free_at: Duration,
}

impl Pacer {
    /// `bytes_per_second` is greater than 0.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second as f64, free_at: Duration::ZERO }
    }

    /// Bytes to admit at once: the bytes of the time [`CATCH_UP`], so that larger frames do not cause steps, and at
    /// least a page.
    pub(crate) fn slice_bytes(&self) -> u64 {
        const PAGE: u64 = 4096;
        ((self.bytes_per_second * CATCH_UP.as_secs_f64()) as u64).max(PAGE)
    }

    /// Admits `bytes` at `now` and says how long to wait before they are used.
    pub(crate) fn admit(&mut self, now: Duration, bytes: u64) -> Duration {
        // A rate of a few bytes per second and a large piece make a span that a Duration may not hold.
        let span = Duration::try_from_secs_f64(bytes as f64 / self.bytes_per_second).unwrap_or(Duration::MAX);
        self.free_at = self.free_at.max(now.saturating_sub(CATCH_UP)).saturating_add(span);
        self.free_at.saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// For any sizes, number of takers and lateness of their timers, no window begins after which more than rate x
        /// time + catch-up has passed, and a line that is always wanted loses less than 1 %.
        #[test]
        fn the_rate_is_held(
            rate in 1_000_u64..1 << 32, sizes in prop::collection::vec(1_u64..1 << 20, 200), late_us in 0_u64..5_000,
        ) {
            let mut pacer = Pacer::new(rate);
            let mut now = Duration::from_secs(5);
            let start = now;
            let mut passed = 0;
            for size in &sizes {
                let wait = pacer.admit(now, *size);
                now += wait;
                passed += size;
                // Each span is rounded to a nanosecond.
                let rounding = Duration::from_nanos(sizes.len() as u64);
                let allowed = rate as f64 * ((now - start) + CATCH_UP + rounding).as_secs_f64() + 1.0;
                prop_assert!(passed as f64 <= allowed, "{passed} > {allowed}");
                // A late timer: within the time that may be made up for, it must not cost rate.
                if !wait.is_zero() { now += Duration::from_micros(late_us); }
            }
            let least = passed as f64 / rate as f64;
            prop_assert!((now - start).as_secs_f64() <= least * 1.01 + 2.0 * CATCH_UP.as_secs_f64());
        }
    }

    #[test]
    fn a_pause_is_not_followed_by_a_burst() {
        let mut pacer = Pacer::new(1_000_000);
        pacer.admit(Duration::ZERO, 1_000);
        let wait = pacer.admit(Duration::from_secs(60), 1_000_000);
        assert_eq!(wait, Duration::from_secs(1) - CATCH_UP);
    }

    #[test]
    fn the_slowest_rate_and_the_largest_piece_do_not_overflow() {
        let mut pacer = Pacer::new(1);
        pacer.admit(Duration::MAX, u64::MAX);
        pacer.admit(Duration::ZERO, u64::MAX);
    }
}

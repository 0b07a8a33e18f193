//! Whether a part is tried again, and after what pause.
//!
//! Counted apart, as in boto3: bodies that fail after their answer began (`num_download_attempts`), and requests that are
//! turned away before, these by reason. The latter counts start anew whenever bytes arrive, for a server that serves is
//! not down.
//! Pauses are exponential with full jitter (Brooker 2015, "Exponential Backoff And Jitter"), longer where the server
//! asks for fewer requests.

use std::time::Duration;

use crate::words::failure::RequestError;

/// Attempts at a request that is turned away: with the pauses below they span about a minute of throttling, and a few
/// seconds of refused connections.
const THROTTLED_ATTEMPTS: u32 = 20;
const UNAVAILABLE_ATTEMPTS: u32 = 8;
const UNREACHABLE_ATTEMPTS: u32 = 5;

/// The pause before attempt n is uniform in [0, min(cap, base x 2^(n - 1))].
#[derive(Clone, Copy)]
struct Backoff {
    base: Duration,
    cap: Duration,
}

const AFTER_BODY: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(2) };
const AFTER_TROUBLE: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) };
/// S3 scales a prefix up in minutes; hammering it meanwhile only prolongs the 503s.
const AFTER_THROTTLING: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(8) };

/// The attempts at one part.
#[derive(Debug)]
pub(crate) struct Attempts {
    body_attempts: u32,
    body_failures: u32,
    throttled: u32,
    unavailable: u32,
    unreachable: u32,
    total: u32,
}

impl Attempts {
    /// `num_download_attempts` is at least 1.
    pub(crate) fn new(num_download_attempts: u32) -> Self {
        Self {
            body_attempts: num_download_attempts,
            body_failures: 0,
            throttled: 0,
            unavailable: 0,
            unreachable: 0,
            total: 1,
        }
    }

    /// Attempts made so far, the running one included.
    pub(crate) fn made(&self) -> u32 {
        self.total
    }

    /// Bytes arrived.
    pub(crate) fn progressed(&mut self) {
        (self.throttled, self.unavailable, self.unreachable) = (0, 0, 0);
    }

    /// The running attempt failed: how long to wait before the next one, or `None` to give up. `jitter` is uniform in
    /// [0, 1).
    pub(crate) fn after(&mut self, error: &RequestError, jitter: f64) -> Option<Duration> {
        let (failures, attempts, backoff) = match error {
            RequestError::BrokeOff { .. } | RequestError::Stalled { .. } => {
                (&mut self.body_failures, self.body_attempts, AFTER_BODY)
            }
            RequestError::Unavailable { throttled: true, .. } => {
                (&mut self.throttled, THROTTLED_ATTEMPTS, AFTER_THROTTLING)
            }
            RequestError::Unavailable { .. } => (&mut self.unavailable, UNAVAILABLE_ATTEMPTS, AFTER_TROUBLE),
            _ => (&mut self.unreachable, UNREACHABLE_ATTEMPTS, AFTER_TROUBLE),
        };
        *failures = failures.saturating_add(1);
        let failures = *failures;
        if failures >= attempts {
            return None;
        }
        self.total = self.total.saturating_add(1);
        let doubled = 2_u32.saturating_pow(failures - 1);
        Some(backoff.base.saturating_mul(doubled).min(backoff.cap).mul_f64(jitter.clamp(0.0, 1.0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broke_off() -> RequestError {
        RequestError::BrokeOff { source: "reset".into() }
    }

    fn throttled() -> RequestError {
        RequestError::Unavailable { status: 503, code: "SlowDown".to_owned(), throttled: true }
    }

    #[test]
    fn num_download_attempts_counts_the_first_one() {
        for allowed in 1..7 {
            let mut attempts = Attempts::new(allowed);
            let again = std::iter::from_fn(|| attempts.after(&broke_off(), 0.5)).count();
            assert_eq!(again as u32, allowed - 1);
            assert_eq!(attempts.made(), allowed);
        }
    }

    #[test]
    fn throttling_does_not_use_up_download_attempts() {
        let mut attempts = Attempts::new(2);
        for _ in 0..10 {
            assert!(attempts.after(&throttled(), 0.5).is_some());
        }
        assert!(attempts.after(&broke_off(), 0.5).is_some());
        assert!(attempts.after(&broke_off(), 0.5).is_none());
    }

    #[test]
    fn each_reason_to_be_turned_away_has_a_count_of_its_own() {
        let unavailable = RequestError::Unavailable { status: 500, code: String::new(), throttled: false };
        let unreachable = RequestError::Unreachable { source: "refused".into() };
        let mut attempts = Attempts::new(1);
        for (error, allowed) in [
            (throttled(), THROTTLED_ATTEMPTS),
            (unavailable, UNAVAILABLE_ATTEMPTS),
            (unreachable, UNREACHABLE_ATTEMPTS),
        ] {
            let again = std::iter::from_fn(|| attempts.after(&error, 0.0)).count();
            assert_eq!(again as u32, allowed - 1, "{error}");
        }
    }

    #[test]
    fn bytes_that_arrive_start_the_count_of_refusals_anew() {
        let mut attempts = Attempts::new(1);
        for _ in 0..3 {
            let again = std::iter::from_fn(|| attempts.after(&throttled(), 0.0)).count();
            assert_eq!(again as u32, THROTTLED_ATTEMPTS - 1);
            attempts.progressed();
        }
    }

    #[test]
    fn pauses_double_up_to_a_cap_and_throttling_waits_longer() {
        let pauses = |error: &RequestError| {
            let mut attempts = Attempts::new(u32::MAX);
            (0..12).map(|_| attempts.after(error, 1.0).unwrap()).collect::<Vec<_>>()
        };
        let body = pauses(&broke_off());
        assert_eq!(body[..3], [50, 100, 200].map(Duration::from_millis));
        assert_eq!(body[11], AFTER_BODY.cap);
        assert!(pauses(&throttled())[0] > body[0]);
        assert_eq!(Attempts::new(2).after(&broke_off(), 0.0), Some(Duration::ZERO), "full jitter begins at nothing");
    }
}

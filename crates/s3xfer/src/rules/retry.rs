//! Whether a part is retried, and the pause before that.
//!
//! Bodies that fail after their answer began are counted (`num_download_attempts`), as in boto3. Refused requests have
//! a time limit instead, `patience_seconds`: the engine retries until a server that throttles or fails has brought
//! nothing for that time. The clock starts with the first refused request, and restarts whenever an attempt brings
//! bytes, because a server that serves is not down; a handful of bytes is no progress. Throttling concerns the whole
//! transfer, so bytes of its other parts count, too, as long as they come at the lowest rate or faster. For a missing
//! connection they count, too, because a proxy or a small server may limit the number of connections while the others
//! bring bytes. A server error, or an answer that does not begin, concerns its own part only.
//!
//! An endpoint that has never answered is probably a wrong address, which should be reported soon. So it gets only
//! [`UNREACHABLE_ATTEMPTS`] attempts, whatever the time limit is. Once it has sent bytes, a missing connection counts
//! as an outage, and the retries go on.
//!
//! Pauses are exponential with full jitter (Brooker 2015, "Exponential Backoff And Jitter"), longer where the server
//! asks for fewer requests.

use std::time::Duration;

use crate::rules::floor::Floor;
use crate::words::failure::RequestError;

/// Least number of attempts at an endpoint that gives no connection or no answer: a few seconds of refused connections.
const UNREACHABLE_ATTEMPTS: u32 = 5;

/// The pause before attempt n is uniform in [0, min(cap, base x 2^(n - 1))].
#[derive(Debug, Clone, Copy)]
struct Backoff {
    base: Duration,
    cap: Duration,
}

const AFTER_BODY: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(2) };
const AFTER_TROUBLE: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(5) };
/// S3 scales a prefix up in minutes; sending too many requests meanwhile only prolongs the 503s.
const AFTER_THROTTLING: Backoff = Backoff { base: Duration::from_millis(500), cap: Duration::from_secs(8) };
/// The same in a transfer that adapts: the first refusal may be the only one, and several of them pace its requests.
const AFTER_THROTTLING_ADAPTIVE: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_secs(8) };
/// The pause before a request's turn, while refusals pace the requests: their pace spares the server already.
const AFTER_THROTTLING_PACED: Backoff = Backoff { base: Duration::from_millis(100), cap: Duration::from_millis(400) };

/// The attempts at one part.
#[derive(Debug)]
pub(crate) struct Attempts {
    body_attempts: u32,
    patience: Duration,
    floor: Floor,
    body_failures: u32,
    throttled: u32,
    throttling: Backoff,
    unavailable: u32,
    unreachable: u32,
    total: u32,
    /// When the first request was turned away since bytes came.
    turned_away: Option<Duration>,
    /// Bytes that the transfer had received then.
    transfer_bytes: u64,
}

/// The state of the transfer when an attempt has failed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Now {
    /// Since the caller's zero.
    pub(crate) time: Duration,
    /// Bytes that all parts of the transfer have received so far.
    pub(crate) transfer_bytes: u64,
    /// Whether requests wait for their turn, because some were refused.
    pub(crate) is_paced: bool,
}

/// The reason why there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GaveUp {
    /// As many attempts were made as there may be.
    Attempts,
    /// Nothing came for so long.
    Patience(Duration),
}

impl Attempts {
    /// `num_download_attempts` is at least 1.
    pub(crate) fn new(num_download_attempts: u32, patience: Duration, floor: Floor) -> Self {
        Self {
            body_attempts: num_download_attempts,
            patience,
            floor,
            body_failures: 0,
            throttled: 0,
            throttling: AFTER_THROTTLING,
            unavailable: 0,
            unreachable: 0,
            total: 1,
            turned_away: None,
            transfer_bytes: 0,
        }
    }

    /// Whether the transfer adapts to refusals.
    pub(crate) fn adaptive(self, adaptive: bool) -> Self {
        Self { throttling: if adaptive { AFTER_THROTTLING_ADAPTIVE } else { AFTER_THROTTLING }, ..self }
    }

    /// Attempts made so far, the running one included.
    pub(crate) fn made(&self) -> u32 {
        self.total
    }

    /// Records the bytes that an ended attempt brought, of those that it requested. False: too few to count as
    /// progress.
    pub(crate) fn brought(&mut self, bytes: u64, asked: u64) -> bool {
        let progressed = bytes >= self.floor.progress_bytes(asked);
        if progressed {
            (self.throttled, self.unavailable, self.unreachable) = (0, 0, 0);
            self.turned_away = None;
        }
        progressed
    }

    /// The running attempt failed: how long to wait before the next one. `jitter` is uniform in [0, 1).
    ///
    /// # Errors
    ///
    /// Why there is to be no next one.
    pub(crate) fn after(&mut self, error: &RequestError, now: Now, jitter: f64) -> Result<Duration, GaveUp> {
        let (failures, backoff) = match error {
            RequestError::BrokeOff { .. } | RequestError::Stalled { .. } | RequestError::TooSlow { .. } => {
                (&mut self.body_failures, AFTER_BODY)
            }
            RequestError::Unavailable { throttled: true, .. } if now.is_paced => {
                (&mut self.throttled, AFTER_THROTTLING_PACED)
            }
            RequestError::Unavailable { throttled: true, .. } => (&mut self.throttled, self.throttling),
            RequestError::Unavailable { .. } => (&mut self.unavailable, AFTER_TROUBLE),
            _ => (&mut self.unreachable, AFTER_TROUBLE),
        };
        *failures = failures.saturating_add(1);
        let failures = *failures;
        match error {
            RequestError::BrokeOff { .. } | RequestError::Stalled { .. } | RequestError::TooSlow { .. } => {
                if failures >= self.body_attempts {
                    return Err(GaveUp::Attempts);
                }
            }
            _ => {
                let without_byte = self.without_byte(error, now);
                let unreachable = !matches!(error, RequestError::Unavailable { .. });
                let (few, unknown) = (failures < UNREACHABLE_ATTEMPTS, now.transfer_bytes == 0);
                match (unreachable, without_byte >= self.patience) {
                    (true, _) if unknown && !few => return Err(GaveUp::Attempts),
                    (true, true) if !few => return Err(GaveUp::Patience(without_byte)),
                    (false, true) => return Err(GaveUp::Patience(without_byte)),
                    _ => {}
                }
            }
        }
        self.total = self.total.saturating_add(1);
        let doubled = 2_u32.saturating_pow(failures - 1);
        Ok(backoff.base.saturating_mul(doubled).min(backoff.cap).mul_f64(jitter.clamp(0.0, 1.0)))
    }

    /// For how long requests have been turned away without a byte between them.
    fn without_byte(&mut self, error: &RequestError, now: Now) -> Duration {
        let shared =
            matches!(error, RequestError::Unavailable { throttled: true, .. } | RequestError::Unreachable { .. });
        if let Some(since) = self.turned_away {
            let (bytes, time) =
                (now.transfer_bytes.saturating_sub(self.transfer_bytes), now.time.saturating_sub(since));
            if !shared || bytes == 0 || !self.floor.holds(bytes, time) {
                return time;
            }
        }
        (self.turned_away, self.transfer_bytes) = (Some(now.time), now.transfer_bytes);
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(120);
    const FLOOR: Floor = Floor { bytes_per_second: 64, window: Duration::from_secs(60) };

    fn broke_off() -> RequestError {
        RequestError::BrokeOff { source: "reset".into() }
    }

    fn unavailable(throttled: bool) -> RequestError {
        RequestError::Unavailable { status: 503, code: "SlowDown".to_owned(), throttled }
    }

    fn unreachable() -> RequestError {
        RequestError::Unreachable { source: "refused".into() }
    }

    fn at(seconds: u64, transfer_bytes: u64) -> Now {
        Now { time: Duration::from_secs(seconds), transfer_bytes, is_paced: false }
    }

    #[test]
    fn num_download_attempts_counts_the_first_one() {
        for allowed in 1..7 {
            let mut attempts = Attempts::new(allowed, PATIENCE, FLOOR);
            let again = std::iter::from_fn(|| attempts.after(&broke_off(), at(0, 0), 0.5).ok()).count();
            assert_eq!(again as u32, allowed - 1);
            assert_eq!(attempts.made(), allowed);
        }
    }

    #[test]
    fn throttling_does_not_use_up_download_attempts() {
        let mut attempts = Attempts::new(2, PATIENCE, FLOOR);
        for _ in 0..1000 {
            assert!(attempts.after(&unavailable(true), at(0, 0), 0.5).is_ok());
        }
        assert!(attempts.after(&broke_off(), at(0, 0), 0.5).is_ok());
        assert_eq!(attempts.after(&broke_off(), at(0, 0), 0.5), Err(GaveUp::Attempts));
    }

    #[test]
    fn a_server_that_turns_requests_away_is_waited_for_as_long_as_patience_lasts() {
        for throttled in [true, false] {
            let mut attempts = Attempts::new(1, PATIENCE, FLOOR);
            for second in 1000..1120 {
                assert!(attempts.after(&unavailable(throttled), at(second, 0), 0.0).is_ok(), "{second}");
            }
            let gave_up = attempts.after(&unavailable(throttled), at(1120, 0), 0.0);
            assert_eq!(gave_up, Err(GaveUp::Patience(PATIENCE)));
            assert_eq!(attempts.made(), 121);
        }
    }

    #[test]
    fn an_endpoint_that_never_answered_is_given_up_soon_and_one_that_did_is_waited_for() {
        let mut attempts = Attempts::new(1, PATIENCE, FLOOR);
        let again = std::iter::from_fn(|| attempts.after(&unreachable(), at(0, 0), 0.0).ok()).count();
        assert_eq!(again as u32, UNREACHABLE_ATTEMPTS - 1);
        let mut attempts = Attempts::new(1, PATIENCE, FLOOR);
        for second in 0..120 {
            assert!(attempts.after(&unreachable(), at(second, 1), 0.0).is_ok(), "{second}");
        }
        assert_eq!(attempts.after(&unreachable(), at(120, 1), 0.0), Err(GaveUp::Patience(PATIENCE)));
        // An answer that does not begin takes half a minute each time.
        let mut attempts = Attempts::new(1, PATIENCE, FLOOR);
        for second in [30, 60, 90, 200] {
            assert!(attempts.after(&RequestError::NoAnswer { seconds: 30 }, at(second, 1), 0.0).is_ok(), "{second}");
        }
    }

    #[test]
    fn bytes_that_arrive_start_the_clock_anew() {
        let mut attempts = Attempts::new(1, PATIENCE, FLOOR);
        for begin in [0, 1000, 2000] {
            assert!(attempts.after(&unavailable(true), at(begin, 0), 0.0).is_ok());
            assert!(attempts.after(&unavailable(true), at(begin + 119, 0), 0.0).is_ok());
            assert!(attempts.brought(64, 1 << 20));
        }
    }

    #[test]
    fn a_byte_now_and_then_does_not_start_the_clock_anew() {
        for throttled in [true, false] {
            let mut attempts = Attempts::new(u32::MAX, PATIENCE, FLOOR);
            for second in 0..120 {
                assert!(attempts.after(&unavailable(throttled), at(second, second), 0.0).is_ok(), "{second}");
                assert!(!attempts.brought(1, 1 << 20));
                assert!(attempts.after(&broke_off(), at(second, second + 1), 0.0).is_ok(), "{second}");
            }
            assert!(attempts.after(&unavailable(throttled), at(120, 120), 0.0).is_err());
        }
        let none = Floor { bytes_per_second: 0, ..FLOOR };
        assert!(Attempts::new(1, PATIENCE, none).brought(1, 1 << 20));
    }

    #[test]
    fn bytes_of_other_parts_count_for_throttling_and_connections_and_not_for_a_server_error() {
        for error in [unavailable(true), unreachable()] {
            let mut attempts = Attempts::new(1, PATIENCE, FLOOR);
            for n in 0..100 {
                assert!(attempts.after(&error, at(100 * n, 6400 * n + 1), 0.0).is_ok(), "{n}: {error}");
            }
            assert!(attempts.after(&error, at(10_020, 640_000), 0.0).is_err(), "53 B/s since 9,900 s: {error}");
        }
        for error in [unavailable(false), RequestError::NoAnswer { seconds: 30 }] {
            let mut attempts = Attempts::new(1, PATIENCE, FLOOR);
            for second in [100, 130, 160, 190] {
                assert!(attempts.after(&error, at(second, second * 1000), 0.0).is_ok(), "{error}");
            }
            assert!(attempts.after(&error, at(220, 220_000), 0.0).is_err(), "{error}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_cap_and_throttling_waits_longer() {
        let pauses = |error: &RequestError| {
            let mut attempts = Attempts::new(u32::MAX, PATIENCE, FLOOR);
            (0..12).map(|_| attempts.after(error, at(0, 0), 1.0).unwrap()).collect::<Vec<_>>()
        };
        let body = pauses(&broke_off());
        assert_eq!(body[..3], [50, 100, 200].map(Duration::from_millis));
        assert_eq!(body[11], AFTER_BODY.cap);
        assert!(pauses(&unavailable(true))[0] > body[0]);
        let least = Attempts::new(2, PATIENCE, FLOOR).after(&broke_off(), at(0, 0), 0.0);
        assert_eq!(least, Ok(Duration::ZERO), "full jitter begins at nothing");
    }
}

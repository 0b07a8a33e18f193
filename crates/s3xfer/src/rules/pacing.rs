//! [`Pacing`]: how fast requests may follow each other once a server has refused some for coming too fast (503).
//!
//! Additive increase would be too slow for a transfer of seconds: the rate is cut by a fixed share for each volley of
//! refusals and grows by a small one while there are none.

use std::time::Duration;

/// Requests per second, once some were refused.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pacing {
    /// `None`: as fast as they come.
    per_second: Option<f64>,
    /// When the next request may be sent, in seconds.
    next_at: f64,
    /// When the rate changed last.
    changed_at: f64,
    /// When the newest volley was refused, and the requests accepted by then.
    volley: (f64, u64),
}

/// Share that is left of the rate after a volley of refusals.
const AFTER_REFUSAL: f64 = 0.7;
/// Share of the rate at which requests were sent until the first refusal.
const AT_FIRST: f64 = 0.5;
/// Share of the rate at which requests were accepted since the last volley: the rate does not fall below it.
const ACCEPTED: f64 = 0.7;
/// Seconds without a refusal after which the rate grows by [`GROWTH`].
const PATIENCE: f64 = 0.1;
const GROWTH: f64 = 1.05;
/// Seconds that a rate at the very beginning is taken over.
const BEGINNING: f64 = 0.1;
/// Lowest rate.
const LEAST: f64 = 1.0;

impl Pacing {
    /// As fast as an earlier transfer has found that requests are not refused.
    pub(crate) fn told(per_second: Option<f64>) -> Self {
        Self { per_second, ..Self::default() }
    }

    /// Requests per second; `None` where none were refused.
    pub(crate) fn per_second(&self) -> Option<f64> {
        self.per_second
    }

    /// Whether requests are refused if they come as fast as they can.
    pub(crate) fn is_on(&self) -> bool {
        self.per_second.is_some()
    }

    /// A volley was refused at `now`, after so many requests were `sent` and `refused` in all.
    pub(crate) fn refused(&mut self, now: f64, sent: u64, refused: u64) {
        let first = AT_FIRST * sent as f64 / (now + BEGINNING);
        // Requests that were sent at an earlier rate are refused for a while, and say nothing about this one.
        let all = sent.saturating_sub(refused);
        let (at, before) = std::mem::replace(&mut self.volley, (now, all));
        let accepted = ACCEPTED * all.saturating_sub(before) as f64 / (now - at).max(BEGINNING);
        let next = self.per_second.map_or(first, |rate| (AFTER_REFUSAL * rate).max(accepted.min(rate)));
        self.per_second = Some(next.max(LEAST));
        self.changed_at = now;
    }

    /// Time has passed without a refusal.
    pub(crate) fn look(&mut self, now: f64) {
        if let Some(rate) = &mut self.per_second
            && now > self.changed_at + PATIENCE
        {
            *rate *= GROWTH;
            self.changed_at = now;
        }
    }

    /// When the next request may be sent: now or later. The time is taken then.
    pub(crate) fn slot(&mut self, now: Duration) -> Duration {
        let Some(rate) = self.per_second else { return now };
        let at = self.next_at.max(now.as_secs_f64());
        self.next_at = at + 1.0 / rate;
        Duration::from_secs_f64(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(2);

    #[test]
    fn requests_wait_for_each_other_once_some_were_refused() {
        let mut pacing = Pacing::default();
        assert_eq!([pacing.slot(NOW), pacing.slot(NOW)], [NOW, NOW]);
        pacing.refused(1.9, 40, 38);
        // Half of 20 a second.
        let slots = [pacing.slot(NOW), pacing.slot(NOW), pacing.slot(NOW)].map(|at| at.as_millis());
        assert_eq!(slots, [2000, 2100, 2200]);
    }

    #[test]
    fn the_rate_falls_with_refusals_and_grows_without_them() {
        let mut pacing = Pacing::default();
        pacing.look(5.0);
        assert!(!pacing.is_on());
        pacing.refused(1.9, 40, 38);
        pacing.refused(2.5, 50, 45);
        let after = pacing.per_second.unwrap();
        assert!((after - 7.0).abs() < 1e-9);
        pacing.look(2.55);
        assert_eq!(pacing.per_second, Some(after));
        pacing.look(2.7);
        assert!(pacing.per_second.unwrap() > after);
        (0..100).for_each(|_| pacing.refused(3.0, 1, 1));
        assert_eq!(pacing.per_second, Some(LEAST));
    }

    #[test]
    fn the_rate_follows_a_server_that_becomes_slower() {
        let mut pacing = Pacing::default();
        // A thousand a second are accepted for half a minute, then fifty.
        pacing.refused(1.0, 2000, 1000);
        pacing.refused(30.0, 31_000, 2000);
        for volley in 1..=20_u64 {
            let refused = 2000 + 70 * volley;
            pacing.refused(30.0 + 0.1 * volley as f64, 31_000 + 75 * volley, refused);
        }
        let rate = pacing.per_second.unwrap();
        assert!(rate < 80.0, "{rate}");
    }
}

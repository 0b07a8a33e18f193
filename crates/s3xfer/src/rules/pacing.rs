//! [`Pacing`]: the rate of requests after a server has refused some for coming too fast (503).
//!
//! Each volley asks for larger parts, too, unless the server answers nothing at all: then it refuses no rate.
//!
//! Additive increase would be too slow for a transfer of seconds: the rate is cut by a fixed share for each volley of
//! refusals and grows by a small one while there are none.

use std::time::Duration;

/// Requests per second, once some were refused.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pacing {
    /// `None`: as fast as they come.
    per_second: Option<f64>,
    /// The rate, and the fewest bytes of a part, that an earlier transfer has found. It is gone by once a request is
    /// refused: until then it may be of another day, or of another place.
    told: Option<(f64, f64)>,
    /// When the newest request had its turn, in seconds.
    turn_at: f64,
    /// When the rate changed last.
    changed_at: f64,
    /// When the newest volley was refused; the requests accepted, and those answered, by then.
    volley: Volley,
    /// Volleys in a row between which nothing was answered, and the rate before them.
    silent: u32,
    answered_at: f64,
    /// Fewest bytes of a part, once requests were refused, and the same before those volleys.
    least_part: f64,
    answered_part: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Volley {
    at: f64,
    accepted: u64,
    answers: u64,
}

/// Share that is left of the rate after a volley of refusals.
const AFTER_REFUSAL: f64 = 0.7;
/// Share of the rate at which requests were accepted since the last volley: the rate does not fall below it.
const ACCEPTED: f64 = 0.7;
/// Seconds without a refusal after which the rate grows by [`GROWTH`].
const PATIENCE: f64 = 0.1;
const GROWTH: f64 = 1.05;
/// Seconds without a refusal after which requests are sent as fast as they come again.
const FORGOTTEN: f64 = 10.0;
/// Least seconds between two volleys that a rate is taken over.
const BETWEEN: f64 = 0.1;
/// Least bytes of a part after the first volley, which each one doubles, and most.
const PART_BYTES: f64 = (8 << 20) as f64;
const MOST_PART_BYTES: f64 = (1 << 30) as f64;
/// Lowest rate.
const LEAST: f64 = 1.0;
/// The number of consecutive volleys without an answer after which the refusals are not due to a rate limit.
const SILENT: u32 = 3;
/// Seconds by which a turn may be late without reducing the rate, because timers are coarse.
const LATE: f64 = 0.01;

impl Pacing {
    /// An earlier transfer has found that rate, and parts of so many bytes at least, after requests were refused.
    pub(crate) fn told(per_second: Option<f64>, least_part: f64) -> Self {
        Self { told: per_second.map(|rate| (rate, least_part)), ..Self::default() }
    }

    /// Fewest bytes of a part; 0 where no request was refused.
    pub(crate) fn least_part(&self) -> f64 {
        self.least_part
    }

    /// Requests per second; `None` where none were refused.
    pub(crate) fn per_second(&self) -> Option<f64> {
        self.per_second
    }

    /// The same for a transfer that begins now: not that of a server that answered nothing.
    pub(crate) fn to_remember(&self) -> Option<f64> {
        self.per_second.map(|rate| if self.is_silent() { rate.max(self.answered_at) } else { rate })
    }

    /// Whether requests are refused if they come as fast as they can.
    pub(crate) fn is_on(&self) -> bool {
        self.per_second.is_some()
    }

    /// Whether the server has answered nothing for several volleys.
    pub(crate) fn is_silent(&self) -> bool {
        self.silent >= SILENT
    }

    /// A volley was refused at `now`, after so many requests were `sent`, `refused`, and answered, in all. They follow
    /// each other at the `first` rate if it is the first volley.
    pub(crate) fn refused(&mut self, now: f64, first: f64, (sent, refused, answers): (u64, u64, u64)) {
        // Requests that were sent at an earlier rate are refused for a while, and say nothing about this one.
        let volley = Volley { at: now, accepted: sent.saturating_sub(refused), answers };
        let before = std::mem::replace(&mut self.volley, volley);
        let since = (now - before.at).max(BETWEEN);
        let accepted = ACCEPTED * volley.accepted.saturating_sub(before.accepted) as f64 / since;
        let told = self.told.take();
        let first = told.map_or(first, |(rate, _)| rate);
        let next = self.per_second.map_or(first, |rate| (AFTER_REFUSAL * rate).max(accepted.min(rate))).max(LEAST);
        let least_part = told.map_or(2.0 * self.least_part, |(_, least_part)| least_part);
        self.least_part = least_part.clamp(PART_BYTES, MOST_PART_BYTES);
        if self.per_second.is_none() || answers > before.answers {
            (self.silent, self.answered_at, self.answered_part) = (0, next, self.least_part);
        } else {
            self.silent += 1;
        }
        self.per_second = Some(next);
        self.changed_at = now;
    }

    /// Time has passed without a refusal, with so many answers in all.
    pub(crate) fn look(&mut self, now: f64, answers: u64) {
        let Some(rate) = &mut self.per_second else { return };
        if now - self.volley.at > FORGOTTEN {
            self.per_second = None;
            return;
        }
        // A server that refused everything for a while answers again.
        if answers > self.volley.answers && self.silent >= SILENT {
            (*rate, self.changed_at, self.silent) = (rate.max(self.answered_at), now, 0);
            // It was no rate that it refused, and larger parts would not have helped.
            self.least_part = self.answered_part;
        }
        if now > self.changed_at + PATIENCE {
            (*rate, self.changed_at) = (GROWTH * *rate, now);
        }
    }

    /// When the next request may be sent. Its turn is taken if that is `now`.
    pub(crate) fn slot(&mut self, now: Duration) -> Duration {
        let Some(rate) = self.per_second else { return now };
        let seconds = now.as_secs_f64();
        let at = self.turn_at + 1.0 / rate;
        if at > seconds {
            return Duration::try_from_secs_f64(at).unwrap_or(Duration::MAX);
        }
        self.turn_at = if seconds - at < LATE { at } else { seconds };
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn requests_wait_for_their_turn_once_some_were_refused() {
        let mut pacing = Pacing::default();
        assert_eq!([pacing.slot(ms(2000)), pacing.slot(ms(2000))], [ms(2000); 2]);
        pacing.refused(1.9, 10.0, (40, 38, 2));
        assert_eq!(pacing.slot(ms(2000)), ms(2000));
        assert_eq!([pacing.slot(ms(2000)).as_millis(), pacing.slot(ms(2050)).as_millis()], [2100; 2]);
        // A turn that is taken late by a coarse timer is no loss for the next one.
        assert_eq!(pacing.slot(ms(2104)), ms(2104));
        assert_eq!(pacing.slot(ms(2110)).as_millis(), 2200);
    }

    #[test]
    fn a_turn_comes_as_early_as_the_rate_of_the_moment_has_it() {
        let mut pacing = Pacing::default();
        pacing.refused(10.0, 1.0, (20, 19, 1));
        assert_eq!(pacing.slot(ms(10_000)), ms(10_000));
        assert_eq!(pacing.slot(ms(10_000)), ms(11_000));
        (1..=9).for_each(|tenth| pacing.look(10.0 + 0.11 * f64::from(tenth), 1));
        assert!(pacing.slot(ms(10_500)) < ms(10_700), "the rate has grown meanwhile");
    }

    #[test]
    fn the_rate_falls_with_refusals_and_grows_without_them() {
        let mut pacing = Pacing::default();
        pacing.look(5.0, 3);
        assert!(!pacing.is_on());
        pacing.refused(1.9, 10.0, (40, 38, 2));
        pacing.refused(2.5, 10.0, (50, 45, 5));
        let after = pacing.per_second.unwrap();
        assert!((after - 7.0).abs() < 1e-9);
        pacing.look(2.55, 5);
        assert_eq!(pacing.per_second, Some(after));
        pacing.look(2.7, 5);
        assert!(pacing.per_second.unwrap() > after);
        (0..100).for_each(|_| pacing.refused(3.0, 10.0, (1, 1, 5)));
        assert_eq!(pacing.per_second, Some(LEAST));
    }

    #[test]
    fn the_rate_follows_a_server_that_becomes_slower() {
        let mut pacing = Pacing::default();
        // A thousand a second are accepted for half a minute, then fifty.
        pacing.refused(1.0, 900.0, (2000, 1000, 900));
        pacing.refused(30.0, 900.0, (31_000, 2000, 28_000));
        for volley in 1..=20_u64 {
            let refused = 2000 + 70 * volley;
            pacing.refused(30.0 + 0.1 * volley as f64, 900.0, (31_000 + 75 * volley, refused, 28_000 + 5 * volley));
        }
        let rate = pacing.per_second.unwrap();
        assert!(rate < 80.0, "{rate}");
    }

    #[test]
    fn a_server_that_answers_again_after_it_refused_everything_has_its_rate_back() {
        let mut pacing = Pacing::default();
        pacing.refused(1.0, 100.0, (220, 20, 190));
        let before = pacing.per_second.unwrap();
        for volley in 1..=30_u64 {
            pacing.refused(1.0 + 0.1 * volley as f64, 100.0, (220 + volley, 20 + volley, 190));
        }
        assert!(pacing.per_second.unwrap() < before / 10.0);
        assert_eq!(pacing.to_remember(), Some(before));
        assert!(pacing.is_silent() && pacing.least_part() > PART_BYTES);
        pacing.look(5.0, 191);
        assert!(pacing.per_second.unwrap() >= before);
        assert!(!pacing.is_silent() && pacing.least_part() <= PART_BYTES, "no rate was refused");
    }

    #[test]
    fn refusals_are_forgotten() {
        let mut pacing = Pacing::told(Some(20.0), 0.0);
        pacing.refused(1.0, 100.0, (220, 20, 190));
        (2..=105).for_each(|tenth| pacing.look(0.1 * f64::from(tenth), 200));
        assert!(pacing.is_on() && pacing.per_second.unwrap().is_finite());
        pacing.look(11.2, 200);
        assert!(!pacing.is_on());
    }
}

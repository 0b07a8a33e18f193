//! [`Refusals`]: the consequences of refused requests (503).
//!
//! - If requests came too fast, they follow each other more slowly and ask for larger parts ([`Pacing`]).
//! - If the server limits their number at one moment, no more than that number are sent ([`AtOnce`]).
//! - One refusal among many answers has no consequence, and neither has the refusal of a request that was alone.

use std::time::Duration;

use super::at_once::{AtOnce, Beside};
use super::meter::Meter;
use super::pacing::Pacing;

/// Follows the refusals of one transfer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals {
    pacing: Pacing,
    at_once: AtOnce,
    /// Requests that were refused in all, and the times of the newest one and of the newest volley.
    count: u64,
    newest_at: Option<f64>,
    volley_at: Option<f64>,
    /// Requests that the server has taken.
    taken: u64,
    /// When it took the first one after it had refused others, and the number of requests that were sent by then.
    from: (f64, u64),
}

/// Seconds within which refusals form one volley; the time to the first byte if that is longer.
const VOLLEY: f64 = 0.1;
/// Share of the rate at which requests were sent until the first volley.
const AT_FIRST: f64 = 0.5;
/// Seconds that a rate at the very beginning is taken over.
const BEGINNING: f64 = 0.1;

impl Refusals {
    /// Reports the requests per second and the part size of an earlier transfer whose faster requests were refused.
    pub(crate) fn told(per_second: Option<f64>, least_part: f64) -> Self {
        Self { pacing: Pacing::told(per_second, least_part), ..Self::default() }
    }

    /// The findings of an earlier transfer are forgotten; the count of refusals is not.
    pub(crate) fn anew(&self) -> Self {
        Self { count: self.count, newest_at: self.newest_at, taken: self.taken, from: self.from, ..Self::default() }
    }

    /// Number of requests that were refused.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Requests that the server has taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken
    }

    /// The pace of the requests.
    pub(crate) fn pacing(&self) -> &Pacing {
        &self.pacing
    }

    /// Most requests that the server takes at once; `None` where nothing says so.
    pub(crate) fn most(&self) -> Option<f64> {
        self.at_once.most()
    }

    /// Whether a request more than needed may be refused.
    pub(crate) fn is_limited(&self) -> bool {
        self.pacing.is_on() || self.most().is_some()
    }

    /// When the next request may be sent. Its turn is taken if that is `now`.
    pub(crate) fn slot(&mut self, now: Duration, meter: &Meter) -> Duration {
        self.pacing.look(now.as_secs_f64().max(meter.now), self.taken);
        self.pacing.slot(now)
    }

    /// The server has taken a request, which was sent `beside` others.
    pub(crate) fn taken_one(&mut self, meter: &Meter, beside: Beside) {
        self.taken += 1;
        self.at_once.taken(beside, self.count);
        if self.taken == 1 && self.count > 0 {
            self.from = (meter.now, meter.sent);
        }
    }

    /// A request was refused, which was sent `beside` others. Whether a volley of them has begun that came too fast.
    pub(crate) fn refused(&mut self, meter: &Meter, beside: Beside) -> bool {
        let (now, window) = (meter.now, meter.first_byte.max(VOLLEY));
        let before = self.count;
        self.count += 1;
        if meter.peak() < 2 {
            return false;
        }
        let is_alone = self.newest_at.replace(now).is_none_or(|at| now - at > window);
        let is_stray = is_alone && !self.is_limited() && self.taken > 0;
        if is_stray {
            return false;
        }
        self.at_once.refused(now, beside, before, window);
        if self.most().is_some() || self.volley_at.is_some_and(|at| now - at < window) {
            return false;
        }
        self.volley_at = Some(now);
        let (from, sent) = self.from;
        let first = AT_FIRST * meter.sent.saturating_sub(sent) as f64 / (now - from + BEGINNING);
        self.pacing.refused(now, first, (meter.sent, self.count, self.taken));
        true
    }

    /// Time has passed.
    pub(crate) fn look(&mut self, meter: &Meter) {
        self.pacing.look(meter.now, self.taken);
        self.at_once.look(meter.now, meter.flowing, meter.first_byte.max(VOLLEY));
        if self.most().is_some() {
            // It was no rate.
            self.pacing = Pacing::default();
        }
    }
}

//! [`Crest`]: the number of bodies with the highest throughput, while more and more of them begin.
//!
//! Answers come one after the other, so the number of bodies passes through every value up to the number of requests. A
//! link that carries less with more bodies shows it on the way up, long before the level could be judged.

use super::meter::{Mark, Meter};

/// Follows the bytes of short windows.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Crest {
    since: Mark,
    /// Answers by then.
    answers: u64,
    bodies: f64,
    rate: f64,
    /// The number of consecutive windows in which more bodies carried less.
    worse: u32,
}

/// Shortest window, in seconds.
const WINDOW: f64 = 0.02;
/// Longest one.
const LONGEST: f64 = 0.5;
/// Bytes of a body that come together. As many bodies as a window's come to an error of their square root of it.
const LUMPS: f64 = (64 << 10) as f64;
/// Bytes of an answer that come at once: TCP's initial window (RFC 6928).
const FIRST_BYTES: f64 = 14_600.0;
/// Times that this error goes into the bytes of a window that says something.
const CERTAIN: f64 = 6.0;
/// Windows in a row that must agree.
const AGREE: u32 = 2;
/// Share of the most that came: below it, with so many times as many bodies, more are worse.
const WORSE: f64 = 0.7;
const MORE: f64 = 1.5;
/// Share below which one window is enough.
const COLLAPSED: f64 = 0.4;

impl Crest {
    /// Looks at the progress. The number of bodies with which most came, where more of them carry clearly less now.
    pub(crate) fn look(&mut self, meter: &Meter) -> Option<f64> {
        let since = meter.since(self.since);
        let (bodies, rate) = (since.flowing(), since.rate());
        let shortest = (LUMPS / meter.body_rate()).clamp(WINDOW, LONGEST);
        if since.seconds < shortest || (since.bytes < CERTAIN * LUMPS * bodies.sqrt() && since.seconds < LONGEST) {
            return None;
        }
        let answers = meter.answers - self.answers;
        (self.since, self.answers) = (meter.mark(), meter.answers);
        if meter.is_held_up() || bodies <= 0.0 {
            return None;
        }
        // Bytes that come with the answers say nothing of the rate after them.
        let lasting = (since.bytes - FIRST_BYTES * answers as f64) / since.seconds;
        if lasting > self.rate {
            (self.bodies, self.rate) = (bodies, lasting);
        }
        self.worse = match bodies > MORE * self.bodies {
            true if rate < COLLAPSED * self.rate => AGREE,
            true if rate < WORSE * self.rate => self.worse + 1,
            _ => 0,
        };
        (self.worse >= AGREE).then_some(self.bodies)
    }

    /// Most bytes per second that came.
    pub(crate) fn rate(&self) -> f64 {
        self.rate
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Every 50 ms eight more bodies, and the bytes that `rate` gives of their number.
    fn on_the_way_up(rate: impl Fn(u32) -> f64) -> Option<f64> {
        let (mut meter, mut crest, mut received) = (Meter::default(), Crest::default(), 0.0);
        for ms in 0..800 {
            let now = Duration::from_millis(ms);
            if ms % 50 == 0 {
                (0..8).for_each(|_| {
                    meter.asked(now);
                    meter.answered(now, Duration::ZERO);
                });
            }
            received += rate(meter.flowing) / 1e3;
            meter.look(now + Duration::from_millis(1), received as u64, 0);
            if let Some(bodies) = crest.look(&meter) {
                return Some(bodies);
            }
        }
        None
    }

    #[test]
    fn the_number_that_carried_most_is_told_once_more_carry_less() {
        let crowded = |bodies| 400e6 / (1.0 + (f64::from(bodies) - 16.0).max(0.0) / 16.0);
        let bodies = on_the_way_up(crowded).expect("64 bodies carry a quarter");
        assert!((7.0..25.0).contains(&bodies), "{bodies}");
    }

    #[test]
    fn a_link_that_is_full_or_has_room_is_not_crowded() {
        assert_eq!(on_the_way_up(|_| 400e6), None);
        assert_eq!(on_the_way_up(|bodies| 20e6 * f64::from(bodies)), None);
    }
}

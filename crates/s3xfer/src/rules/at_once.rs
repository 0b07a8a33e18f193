//! [`AtOnce`]: whether a server refuses requests (503) by their number at one moment, not by their rate.
//!
//! Under a limit on the number, every refused request has the same number of others in flight beside it, and more never
//! flow. Under a limit on the rate, a refused request has few others beside it in the first burst, and many later.
//! Volleys of refusals that agree count as a limit on the number, until others contradict them or time has passed.

/// Follows the volleys of refusals.
#[derive(Debug, Clone, Default)]
pub(crate) struct AtOnce {
    /// Others beside the newest refused request of a volley that may go on, and when that was.
    newest: Option<f64>,
    newest_at: f64,
    /// The same of the volley before, and how many in a row agreed with it.
    before: Option<f64>,
    agreed: u32,
    /// Most bodies that flowed at one moment since then, and most others beside a request that was taken.
    flowed: f64,
    taken_beside: f64,
    /// Most requests at once, believed until then.
    most: Option<f64>,
    until: f64,
    /// Seconds for which it was believed the last time.
    patience: f64,
    /// Volleys that have contradicted it.
    wrong: u32,
}

/// The requests in flight beside the one that is sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beside {
    /// Those in flight.
    pub(crate) in_flight: u32,
    /// All that had been refused.
    pub(crate) refused: u64,
}

/// The share by which two numbers may differ and still count as equal; a difference of one always counts as equal.
/// Under a rate limit, numbers that differ by a tenth follow each other by chance.
const SAME: f64 = 0.02;
/// The least share of the other requests whose bodies must flow; a server that has stopped answering leaves fewer.
const FLOWED: f64 = 0.5;
/// Volleys in a row that must agree with the one before them.
const AGREED: u32 = 2;
/// Volleys beside clearly fewer after which no number is believed any more.
const WRONG: u32 = 2;
/// Seconds for which a number is trusted at first, and at most: the server may accept more later.
const SHORTEST: f64 = 5.0;
const LONGEST: f64 = 60.0;

impl Beside {
    /// The requests that the server had to serve beside it, once `refused` requests were refused in all. Refusals come
    /// in the order of the requests: the refusals since then belong to earlier requests.
    fn others(self, refused: u64) -> f64 {
        f64::from(self.in_flight) - refused.saturating_sub(self.refused) as f64
    }
}

impl AtOnce {
    /// Most requests that the server takes at once; `None` where nothing says so.
    pub(crate) fn most(&self) -> Option<f64> {
        self.most
    }

    /// A request was refused at `now`, after which `refused` had been in all before it. Refusals that follow each other
    /// within the `window` are one volley.
    pub(crate) fn refused(&mut self, now: f64, beside: Beside, refused: u64, window: f64) {
        self.look(now, 0, window);
        // The newest one counts: all that were sent before it have their answer.
        (self.newest, self.newest_at) = (Some(beside.others(refused).max(1.0)), now);
    }

    /// A request was accepted; until then `refused` requests were refused in all.
    pub(crate) fn taken(&mut self, beside: Beside, refused: u64) {
        self.taken_beside = self.taken_beside.max(beside.others(refused));
    }

    /// Looks at the time, and at the number of bodies that flow.
    pub(crate) fn look(&mut self, now: f64, flowing: u32, window: f64) {
        self.flowed = self.flowed.max(flowing.into());
        if now - self.newest_at > window
            && let Some(others) = self.newest.take()
        {
            self.end_volley(now, others);
        }
        // The volley before stays, so that one more is enough to believe it again.
        if now > self.until {
            self.most = None;
        }
    }

    fn end_volley(&mut self, now: f64, others: f64) {
        let is_same = |one: f64, other: f64| (one - other).abs() <= (SAME * one.max(other)).max(1.0);
        let is_more = |one: f64, other: f64| one > other && !is_same(one, other);
        let others_before = self.before.unwrap_or_default();
        let agrees = is_same(others, others_before)
            && self.flowed >= FLOWED * others
            && !is_more(self.flowed.max(self.taken_beside), others.max(others_before));
        self.agreed = if agrees { self.agreed + 1 } else { 0 };
        match self.most {
            Some(most) if is_more(most, others) => {
                self.wrong += 1;
                if self.wrong >= WRONG {
                    self.most = None;
                }
            }
            Some(most) => self.most = Some(most.min(others)),
            None if self.wrong < WRONG && self.agreed >= AGREED => {
                self.most = Some(others.min(others_before));
                self.patience = (2.0 * self.patience).clamp(SHORTEST, LONGEST);
                self.until = now + self.patience;
            }
            None => {}
        }
        (self.before, self.flowed, self.taken_beside) = (Some(others), 0.0, 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: f64 = 0.1;

    /// Volleys of four refusals each, half a second apart, beside so many others; `flowed` bodies before each.
    fn after(volleys: &[(u32, u32)]) -> AtOnce {
        let (mut at_once, mut now, mut refused) = (AtOnce::default(), 1.0, 0);
        for (others, flowed) in volleys {
            at_once.look(now - 0.2, *flowed, WINDOW);
            for number in 0..4 {
                let beside = Beside { in_flight: others + number, refused };
                at_once.refused(now, beside, refused + u64::from(number), WINDOW);
            }
            refused += 4;
            at_once.look(now + 0.2, 0, WINDOW);
            now += 0.5;
        }
        at_once
    }

    #[test]
    fn volleys_beside_the_same_number_tell_it() {
        assert_eq!(after(&[(20, 16), (20, 20)]).most(), None, "by chance");
        assert_eq!(after(&[(20, 16), (20, 20), (20, 20)]).most(), Some(20.0));
        assert_eq!(after(&[(20, 16), (21, 20), (20, 20)]).most(), Some(20.0));
        assert_eq!(after(&[(20, 16), (20, 20), (40, 20)]).most(), None, "a rate");
        assert_eq!(after(&[(20, 16), (20, 20), (20, 30)]).most(), None, "more have flowed meanwhile");
        assert_eq!(after(&[(20, 16), (20, 2), (20, 2)]).most(), None, "it has stopped to answer");
    }

    #[test]
    fn it_is_doubted_when_time_has_passed_and_given_up_when_it_was_wrong() {
        let mut late = after(&[(20, 16), (20, 20), (20, 20)]);
        late.look(20.0, 20, WINDOW);
        assert_eq!(late.most(), None);
        let wrong = after(&[(20, 16), (20, 20), (20, 20), (9, 20), (9, 20), (9, 9), (9, 9), (9, 9)]);
        assert_eq!(wrong.most(), None);
    }
}

//! The choice of a connection that is abandoned in the middle of a transfer because it is far slower than the others.
//! One of several addresses may be overloaded, and a connection to it then brings a tenth of the rate as long as it
//! lives.
//!
//! Only bytes in flight are fetched twice: the part keeps the bytes that it has brought.

use super::split::OnItsWay;

/// A part that flows for less has no rate of its own, in seconds.
const YOUNG: f64 = 0.05;
/// The same in times of an answer: TCP doubles the rate of a new connection with each of its round trips (RFC 5681).
const YOUNG_ANSWERS: f64 = 8.0;
/// Bytes of it that may be on their way in one lump.
const LUMP: u64 = 64 << 10;
/// The fewest parts with a known rate: fewer do not give a usual rate.
const FEW: usize = 8;
/// Share of the usual rate: below it, a connection is slow. Connections that share a link differ by less.
const SLOW: f64 = 0.25;
/// Times that another connection is faster for the same bytes, its answer included.
const FASTER: f64 = 2.0;

/// Connections that were given up, and when to look for the next one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Retired {
    count: u64,
    look_at: f64,
}

/// Connections that may always be given up, and of how many requests one more may be.
const RETIRED: u64 = 4;
const REQUESTS_OF_ONE_MORE: u64 = 4;
/// Seconds between two looks for one.
const LOOK_EVERY: f64 = 0.02;

impl Retired {
    /// Whether it is time to look for one, after so many requests were `sent`; asked for once.
    pub(crate) fn may_look(&mut self, now: f64, sent: u64) -> bool {
        let may = now >= self.look_at && self.count < RETIRED + sent / REQUESTS_OF_ONE_MORE;
        if may {
            self.look_at = now + LOOK_EVERY;
        }
        may
    }

    /// One was given up. Several are slow at a time, so the next look may follow at once.
    pub(crate) fn one(&mut self) {
        self.count += 1;
        self.look_at = 0.0;
    }
}

/// The part that another connection would bring in less than half of the time; the worst if there are several.
pub(crate) fn retire(parts: impl Iterator<Item = OnItsWay>, first_byte: f64) -> Option<usize> {
    let timed = timed(parts, first_byte);
    if timed.len() < FEW {
        return None;
    }
    let mut rates: Vec<f64> = timed.iter().map(|part| part.rate).collect();
    let (_, usual, _) = rates.select_nth_unstable_by(timed.len() / 2, f64::total_cmp);
    let usual = *usual;
    worst(timed, first_byte, usual)
}

/// The same where few parts are on their way: at the end of a stream, or while all wait for one of them. `usual` is the
/// rate of a body so far, in bytes per second.
pub(crate) fn retire_among_few(parts: &[OnItsWay], first_byte: f64, usual: f64) -> Option<usize> {
    (parts.len() < FEW).then(|| worst(timed(parts.iter().copied(), first_byte), first_byte, usual)).flatten()
}

/// A part that has a rate of its own.
struct Timed {
    index: usize,
    left: f64,
    /// Bytes per second.
    rate: f64,
}

fn timed(parts: impl Iterator<Item = OnItsWay>, first_byte: f64) -> Vec<Timed> {
    let timed = parts.enumerate().filter(|(_, part)| part.flowed.as_secs_f64() > YOUNG.max(YOUNG_ANSWERS * first_byte));
    let timed = timed.map(|(index, part)| {
        let rate = (part.brought + LUMP) as f64 / part.flowed.as_secs_f64();
        Timed { index, left: part.left as f64, rate }
    });
    timed.collect()
}

fn worst(timed: Vec<Timed>, first_byte: f64, usual: f64) -> Option<usize> {
    let slow = timed.into_iter().filter(|part| {
        let others = 1.5 * first_byte + part.left / usual;
        part.rate < SLOW * usual && part.left / part.rate > FASTER * others
    });
    let worst = slow.max_by(|one, other| (one.left / one.rate).total_cmp(&(other.left / other.rate)))?;
    Some(worst.index)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const MB: u64 = 1_000_000;

    /// So many bytes a second for half a second.
    fn part(mb_per_second: u64, left_mb: u64) -> OnItsWay {
        OnItsWay { brought: mb_per_second * MB / 2, left: left_mb * MB, flowed: Duration::from_millis(500) }
    }

    fn usual(count: usize) -> Vec<OnItsWay> {
        vec![part(20, 4); count]
    }

    #[test]
    fn the_slowest_of_many_is_given_up_where_another_one_is_sooner() {
        let with = |slow: OnItsWay| retire(usual(9).into_iter().chain([part(2, 1), slow]), 0.03);
        assert_eq!(with(part(1, 8)), Some(10));
        assert_eq!(with(part(2, 8)), Some(10));
        assert_eq!(with(part(20, 8)), Some(9), "only the other one is slow");
    }

    #[test]
    fn a_few_are_compared_with_those_before_them() {
        let with = |parts: Vec<OnItsWay>, usual| retire_among_few(&parts, 0.03, usual);
        assert_eq!(with(vec![part(20, 4), part(1, 8)], 20e6), Some(1));
        assert_eq!(with([usual(9), vec![part(1, 8)]].concat(), 20e6), None, "many are compared with each other");
        assert_eq!(with(vec![part(20, 4), part(8, 8)], 20e6), None, "links are shared unevenly");
        assert_eq!(with(vec![part(1, 8)], 1e6), None, "all were as slow");
        assert_eq!(with(vec![part(1, 8)], 0.0), None, "nothing is known");
        assert_eq!(with(Vec::new(), 20e6), None);
    }

    #[test]
    fn nothing_is_given_up_without_gain_or_without_knowing() {
        let with = |others: Vec<OnItsWay>, slow, first_byte| retire(others.into_iter().chain([slow]), first_byte);
        assert_eq!(with(usual(9), part(8, 8), 0.03), None, "links are shared unevenly");
        assert_eq!(with(usual(9), part(2, 8), 2.0), None, "another answer takes longer");
        assert_eq!(with(usual(9), part(2, 80), 0.05), Some(9));
        assert_eq!(with(usual(9), part(2, 80), 0.1), None, "TCP has not found its rate yet");
        assert_eq!(with(usual(5), part(1, 8), 0.03), None, "few have no usual rate");
        let young = OnItsWay { brought: 0, left: 8 * MB, flowed: Duration::from_millis(20) };
        assert_eq!(with(usual(9), young, 0.01), None);
        assert_eq!(retire([].into_iter(), 0.03), None);
    }
}

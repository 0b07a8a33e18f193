//! [`Lateness`]: the time without a first byte after which a request is late. [`PartTimes`]: the time after which a
//! part that is being sent is late. Both are compared with recent requests.
//!
//! The slowest answers of a store take many times the usual time (Dean and Barroso 2013, "The Tail at Scale"), and a
//! second request for the same bytes has the usual time before it. It costs no bytes if the slower of the two is
//! abandoned before its body. A part that is sent twice costs its bytes twice, so it has to be later.

use std::time::Duration;

/// The newest times to the first byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lateness {
    times: Newest,
}

/// Times that are kept.
const KEPT: usize = 64;
/// Fewer than these have no quantiles.
pub(crate) const FEW: usize = 6;
/// Late, in seconds, while nothing is known; and the longest that is called late by few times.
const UNKNOWN: f64 = 1.0;
/// The shortest that is called late by few times.
const LEAST: f64 = 0.05;

impl Lateness {
    pub(crate) fn answered(&mut self, waited: Duration) {
        self.times.push(waited.as_secs_f64());
    }

    /// Seconds after which a request is late: twice the time in which nine of ten answer. `at_the_end`, when the
    /// transfer waits for the last requests, the time in which three of four answer.
    pub(crate) fn after(&self, at_the_end: bool) -> f64 {
        let longest = self.times.seconds.iter().copied().fold(0.0, f64::max);
        if longest == 0.0 {
            return UNKNOWN;
        }
        let Some(quantile) = self.times.quantiles() else {
            return (longest * if at_the_end { 1.5 } else { 3.0 }).clamp(LEAST, UNKNOWN);
        };
        match at_the_end {
            true => quantile(0.75).max(quantile(0.5) + 0.01),
            false => (2.0 * quantile(0.9)).max(quantile(0.5) + 0.02),
        }
    }
}

/// The newest times of parts: from the start of the wait for their turn to the server's confirmation.
#[derive(Debug, Clone, Default)]
pub(crate) struct PartTimes {
    times: Newest,
    /// Bytes of the largest of them.
    largest: u64,
}

/// A part is late after so many times the time that nine of ten take: where few are left, and the link has room for a
/// second one, and before.
const LATE_AMONG_FEW: f64 = 2.0;
const LATE_AMONG_MANY: f64 = 6.0;
/// Seconds below which no part is late.
const LEAST_OF_A_PART: f64 = 0.25;

impl PartTimes {
    /// A part of `bytes` was sent, and took so long.
    pub(crate) fn sent(&mut self, bytes: u64, took: Duration) {
        self.times.push(took.as_secs_f64());
        self.largest = self.largest.max(bytes);
    }

    /// Seconds after which a part of `bytes` is late, with `few` left; `None` while too little is known.
    pub(crate) fn late_after(&self, bytes: u64, few: bool) -> Option<f64> {
        let usual = self.times.quantiles()?(0.9);
        // Parts of a stream grow.
        let larger = (bytes as f64 / self.largest.max(1) as f64).max(1.0);
        let times = if few { LATE_AMONG_FEW } else { LATE_AMONG_MANY };
        Some((times * larger * usual).max(LEAST_OF_A_PART))
    }
}

/// The newest of some times, in seconds.
#[derive(Debug, Clone, Default)]
struct Newest {
    seconds: Vec<f64>,
    next: usize,
}

impl Newest {
    fn push(&mut self, seconds: f64) {
        match self.seconds.get_mut(self.next) {
            Some(place) => *place = seconds,
            None => self.seconds.push(seconds),
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// The time that such a share of them does not exceed; `None` where they are too few.
    fn quantiles(&self) -> Option<impl Fn(f64) -> f64> {
        if self.seconds.len() < FEW {
            return None;
        }
        let mut sorted = self.seconds.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        Some(move |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ms: impl IntoIterator<Item = u64>) -> Lateness {
        let mut lateness = Lateness::default();
        ms.into_iter().for_each(|ms| lateness.answered(Duration::from_millis(ms)));
        lateness
    }

    #[test]
    fn nothing_known_is_a_second_and_little_known_a_multiple_of_the_longest() {
        assert_eq!(of([]).after(false), 1.0);
        assert!((of([30, 40]).after(false) - 0.12).abs() < 1e-9 && (of([30, 40]).after(true) - 0.06).abs() < 1e-9);
        assert_eq!((of([1]).after(true), of([900]).after(false)), (0.05, 1.0));
    }

    #[test]
    fn one_of_many_that_was_late_calls_no_other_one_in_time() {
        let usual = of((0..63).map(|n| 30 + n % 10).chain([2500]));
        assert!((0.07..0.09).contains(&usual.after(false)), "{}", usual.after(false));
        assert!(usual.after(true) < 0.05);
    }

    #[test]
    fn old_times_are_forgotten() {
        let now = of((0..KEPT as u64).map(|_| 500).chain((0..KEPT as u64).map(|_| 20)));
        assert!((now.after(false) - 0.04).abs() < 1e-9);
    }

    #[test]
    fn a_part_is_late_by_what_others_of_its_size_took() {
        let mut times = PartTimes::default();
        (0..FEW - 1).for_each(|_| times.sent(8, Duration::from_millis(400)));
        assert_eq!(times.late_after(8, true), None, "too little is known");
        times.sent(4, Duration::from_millis(9000));
        let after = |bytes, few| times.late_after(bytes, few).expect("enough is known");
        assert!((after(8, true) - 0.8).abs() < 1e-9 && (after(8, false) - 2.4).abs() < 1e-9);
        assert!((after(1, true) - 0.8).abs() < 1e-9, "a small one may wait for its answer as long");
        assert!((after(16, true) - 1.6).abs() < 1e-9, "a larger one takes longer");
        let mut quick = PartTimes::default();
        (0..FEW).for_each(|_| quick.sent(8, Duration::from_millis(10)));
        assert_eq!(quick.late_after(8, true), Some(LEAST_OF_A_PART));
    }
}

//! [`Lateness`]: after how long without a first byte a request is late, judged by its contemporaries.
//!
//! The slowest answers of a store take many times the usual time (Dean and Barroso 2013, "The Tail at Scale"), and a
//! second request for the same bytes has the usual time before it. It costs no bytes where the slower of the two is
//! given up before its body.

use std::time::Duration;

/// The newest times to the first byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lateness {
    newest: Vec<f64>,
    next: usize,
}

/// Times that are kept.
const KEPT: usize = 64;
/// Fewer than these have no quantiles.
const FEW: usize = 6;
/// Late, in seconds, while nothing is known; and the longest that is called late by few times.
const UNKNOWN: f64 = 1.0;
/// The shortest that is called late by few times.
const LEAST: f64 = 0.05;

impl Lateness {
    pub(crate) fn answered(&mut self, waited: Duration) {
        let seconds = waited.as_secs_f64();
        match self.newest.get_mut(self.next) {
            Some(place) => *place = seconds,
            None => self.newest.push(seconds),
        }
        self.next = (self.next + 1) % KEPT;
    }

    /// Seconds after which a request is late: twice as long as nine of ten take. `at_the_end`, where all wait for the
    /// last ones, already when three of four would have come.
    pub(crate) fn after(&self, at_the_end: bool) -> f64 {
        let longest = self.newest.iter().copied().fold(0.0, f64::max);
        if longest == 0.0 {
            return UNKNOWN;
        }
        if self.newest.len() < FEW {
            return (longest * if at_the_end { 1.5 } else { 3.0 }).clamp(LEAST, UNKNOWN);
        }
        let mut sorted = self.newest.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        let quantile = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize];
        match at_the_end {
            true => quantile(0.75).max(quantile(0.5) + 0.01),
            false => (2.0 * quantile(0.9)).max(quantile(0.5) + 0.02),
        }
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
}

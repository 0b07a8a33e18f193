//! [`Found`]: the state that a transfer's controller ended in, for the next transfer to the same place to begin with.
//!
//! It is only a starting point: the next controller judges the first window at this level like any other, and leaves
//! the level if less comes than was found.

use std::time::SystemTime;

/// Requests, rates and times that a transfer has found to be right for one endpoint and bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Found {
    /// Requests in flight.
    pub(crate) requests: f64,
    /// Bytes per second of one body.
    pub(crate) body_rate: f64,
    /// Mean seconds to the first byte.
    pub(crate) first_byte: f64,
    /// Seconds to the first byte of a transfer's first answer, which may have waited for credentials and a connection;
    /// `None` where an earlier version of this crate has kept it.
    pub(crate) first_answer: Option<f64>,
    /// Whether the link was full; if not, more requests may carry more.
    pub(crate) is_full: bool,
    /// Whether more requests carried less.
    pub(crate) more_are_worse: bool,
    /// Requests per second, if faster requests were refused (503).
    pub(crate) per_second: Option<f64>,
    /// Fewest bytes of a part, where requests were refused; else 0.
    pub(crate) least_part: f64,
}

/// The place that it was found at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Scheme, host and port.
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
}

/// A finding, and when it was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Kept {
    pub(crate) found: Found,
    pub(crate) at: SystemTime,
}

/// Most times that a first answer or body of the same place differs from the finding.
const LIKE: f64 = 2.0;

/// Lowest rate of requests that a transfer finds.
const LEAST_PER_SECOND: f64 = 1.0;

impl Found {
    /// Whether a first answer after `seconds` can be of that place, given their spread: over a connection that was
    /// there already it is like any other, and else like an earlier first one.
    pub(crate) fn may_answer_after(&self, seconds: f64) -> bool {
        let longest = self.first_answer.unwrap_or(0.0).max(self.first_byte);
        (self.first_byte / LIKE..LIKE * longest).contains(&seconds)
    }

    /// The same for bytes per second of the first body.
    pub(crate) fn may_flow_at(&self, rate: f64) -> bool {
        is_like(rate, self.body_rate)
    }

    /// The time of a first answer to remember, after an answer of this place took `seconds`. An answer as fast as the
    /// others came over an existing connection, and tells nothing about a new one.
    pub(crate) fn first_answer_after(&self, seconds: f64) -> f64 {
        match seconds < LIKE * self.first_byte {
            true => self.first_answer.unwrap_or(0.0).max(seconds),
            false => seconds,
        }
    }

    /// Itself, unless a number in it cannot have been found: it may come from a file.
    pub(crate) fn checked(self) -> Option<Self> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let first_answer = self.first_answer.is_none_or(positive);
        let numbers =
            self.requests >= 1.0 && [self.requests, self.body_rate, self.first_byte].into_iter().all(positive);
        let least_part = self.least_part.is_finite() && self.least_part >= 0.0;
        // A transfer never sends fewer: the request behind next would wait for as long as one likes.
        let per_second = self.per_second.is_none_or(|rate| rate.is_finite() && rate >= LEAST_PER_SECOND);
        (numbers && first_answer && least_part && per_second).then_some(self)
    }
}

fn is_like(one: f64, other: f64) -> bool {
    (1.0 / LIKE..LIKE).contains(&(one / other))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            requests: 40.0,
            body_rate: 1e7,
            first_byte: 0.03,
            first_answer: Some(0.1),
            is_full: true,
            more_are_worse: false,
            per_second: Some(90.0),
            least_part: 0.0,
        }
    }

    #[test]
    fn a_first_answer_may_be_over_a_new_connection_or_over_an_old_one() {
        let found = found();
        let may = [0.014, 0.016, 0.1, 0.19, 0.21].map(|seconds| found.may_answer_after(seconds));
        assert_eq!(may, [false, true, true, true, false]);
        let unknown = Found { first_answer: None, ..found };
        assert!(unknown.may_answer_after(0.05) && !unknown.may_answer_after(0.07));
        // Over an old one, it tells nothing of a new one.
        assert_eq!([0.03, 0.07, 0.15].map(|seconds| found.first_answer_after(seconds)), [0.1, 0.07, 0.15]);
        assert_eq!(unknown.first_answer_after(0.03), 0.03);
    }

    #[test]
    fn numbers_that_no_transfer_finds_are_not_believed() {
        let found = found();
        assert_eq!(found.checked(), Some(found));
        let slowest = Found { per_second: Some(1.0), ..found };
        assert_eq!(slowest.checked(), Some(slowest));
        for wrong in [
            Found { requests: 0.5, ..found },
            Found { requests: f64::INFINITY, ..found },
            Found { body_rate: f64::NAN, ..found },
            Found { body_rate: 0.0, ..found },
            Found { first_byte: -1.0, ..found },
            Found { first_answer: Some(0.0), ..found },
            Found { per_second: Some(0.0), ..found },
            Found { per_second: Some(1e-300), ..found },
            Found { per_second: Some(0.999), ..found },
            Found { per_second: Some(f64::INFINITY), ..found },
            Found { least_part: f64::NAN, ..found },
        ] {
            assert_eq!(wrong.checked(), None, "{wrong:?}");
        }
    }
}

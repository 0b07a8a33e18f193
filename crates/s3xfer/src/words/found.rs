//! [`Found`]: the state that a transfer's controller ended in, for the next transfer to the same place to begin with.
//!
//! It is a place to begin at, never a truth: the next controller judges the first window at this level as any other,
//! and leaves it where less comes than was found.

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
    /// Whether the link was full; if not, more requests may carry more.
    pub(crate) is_full: bool,
    /// Whether more requests carried less.
    pub(crate) more_are_worse: bool,
    /// Requests per second, where faster ones were refused (503).
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

impl Found {
    /// Whether a first answer after `seconds` can be of that place, given their spread.
    pub(crate) fn may_answer_after(&self, seconds: f64) -> bool {
        is_like(seconds, self.first_byte)
    }

    /// The same for bytes per second of the first body.
    pub(crate) fn may_flow_at(&self, rate: f64) -> bool {
        is_like(rate, self.body_rate)
    }

    /// Itself, unless a number in it cannot have been found: it may come from a file.
    pub(crate) fn checked(self) -> Option<Self> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let numbers =
            self.requests >= 1.0 && [self.requests, self.body_rate, self.first_byte].into_iter().all(positive);
        let least_part = self.least_part.is_finite() && self.least_part >= 0.0;
        (numbers && least_part && self.per_second.is_none_or(positive)).then_some(self)
    }
}

fn is_like(one: f64, other: f64) -> bool {
    (1.0 / LIKE..LIKE).contains(&(one / other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_no_transfer_finds_are_not_believed() {
        let found = Found {
            requests: 40.0,
            body_rate: 1e7,
            first_byte: 0.03,
            is_full: true,
            more_are_worse: false,
            per_second: Some(90.0),
            least_part: 0.0,
        };
        assert_eq!(found.checked(), Some(found));
        for wrong in [
            Found { requests: 0.5, ..found },
            Found { requests: f64::INFINITY, ..found },
            Found { body_rate: f64::NAN, ..found },
            Found { body_rate: 0.0, ..found },
            Found { first_byte: -1.0, ..found },
            Found { per_second: Some(0.0), ..found },
            Found { least_part: f64::NAN, ..found },
        ] {
            assert_eq!(wrong.checked(), None, "{wrong:?}");
        }
    }
}

//! Functions whose means are known, and the noise on them.

use tunekit::{Config, Domain, Space, Value};

/// A function to be minimised: a time, in any unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    /// One minimum in three whole numbers.
    Bowl,
    /// Nothing to be gained.
    Flat,
    /// A download: requests at a time and bytes of a part, and a parameter that does nothing.
    Transfer,
    /// Five choices and a whole number.
    Choices,
    /// The bowl, by a tenth slower from one tenth of the study to the next, at most by a half.
    Drifting,
}

impl Function {
    pub(crate) const ALL: [Self; 5] = [Self::Bowl, Self::Flat, Self::Transfer, Self::Choices, Self::Drifting];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bowl => "bowl",
            Self::Flat => "flat",
            Self::Transfer => "transfer",
            Self::Choices => "choices",
            Self::Drifting => "drifting",
        }
    }

    pub(crate) fn space(self) -> Space {
        let int = |lo, hi| Domain::int(lo, hi).and_then(Domain::log).expect("the ranges below are positive");
        let kinds = ["a", "b", "c", "d", "e"].map(Value::from);
        let parameters = match self {
            Self::Transfer => vec![("requests", int(1, 256)), ("part", int(1, 64)), ("dead", int(1, 1000))],
            Self::Choices => {
                vec![("kind", Domain::categorical(kinds).expect("five values differ")), ("n", int(1, 100))]
            }
            Self::Bowl | Self::Flat | Self::Drifting => {
                vec![("x", int(1, 256)), ("y", int(1, 64)), ("z", int(1, 1024))]
            }
        };
        parameters
            .into_iter()
            .fold(Space::new(), |space, (name, domain)| space.with(name, domain).expect("the names above differ"))
    }

    /// The mean at `config`, after this share of the study.
    pub(crate) fn mean(self, config: &Config, share: f64) -> f64 {
        let log = |name: &str, hi: f64| config.float(name).unwrap_or(1.0).ln() / hi.ln();
        match self {
            Self::Flat => 1.0,
            Self::Bowl | Self::Drifting => {
                let squares = [(log("x", 256.0), 0.6), (log("y", 64.0), 0.3), (log("z", 1024.0), 0.8)];
                let bowl = 1.0 + squares.iter().map(|(at, best)| (at - best).powi(2)).sum::<f64>();
                let drift = if self == Self::Drifting { 1.0 + 0.5 * share } else { 1.0 };
                bowl * drift
            }
            Self::Transfer => {
                let value = |name: &str| config.float(name).unwrap_or(1.0);
                let (parts, requests) = ((256.0 / value("part")).ceil(), value("requests"));
                let flows = requests.min(parts);
                // 256 MB over flows of 20 MB/s and a link of 400, 50 ms to the first byte, and the cost of a request.
                let rate = (20.0 * flows).min(400.0);
                256.0 / rate + 0.05 * (parts / flows).ceil() + 0.002 * parts + 0.001 * requests
            }
            Self::Choices => {
                let kind = ["c", "a", "e", "b", "d"]
                    .iter()
                    .position(|kind| config.value("kind").and_then(Value::as_str) == Some(*kind));
                1.0 + 0.1 * kind.unwrap_or(0) as f64 + (log("n", 100.0) - 0.5).powi(2)
            }
        }
    }
}

//! The limits on a study's traffic and cost, as pure rules: on a real bucket every byte and every request has a price.

use tunekit::Config;

use super::arms::References;
use super::rounds::FEWEST;
use crate::engines::{ADAPTIVE, Knob};
use crate::size::ByteSize;

/// The bytes of a request if the engine's part size is unknown: the default part size of AWS's tools.
const PART_BYTES: u64 = 8 << 20;
const BYTES_PER_GB: f64 = 1e9;

/// The limits, as their flags are called.
pub(crate) const LIMITS: [&str; 3] = ["max_bytes", "max_requests", "max_cost"];

/// The limits of a study, the final comparison included. Retries are not counted, because their number is not known
/// beforehand.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Budget {
    /// The limit on downloaded bytes.
    pub max_bytes: Option<u64>,
    /// The approximate limit on requests.
    pub max_requests: Option<u64>,
    /// The approximate limit on cost, in the currency of the prices.
    pub max_cost: Option<f64>,
    /// The price of 1,000 requests.
    pub price_per_1000_requests: f64,
    /// The price of a GB (1,000,000,000 bytes) of transfer.
    pub price_per_gb: f64,
}

/// The traffic of past or future downloads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Bytes.
    pub bytes: u64,
    /// Requests, about.
    pub requests: u64,
}

impl Spent {
    /// The traffic of one download of an object of this size with a complete configuration.
    pub(crate) fn download(knobs: &[Knob], config: &Config, bytes: u64) -> Self {
        let size = |boto3: &str| {
            let knob = knobs.iter().find(|knob| knob.boto3.as_deref() == Some(boto3))?;
            let value = config.value(&knob.name)?.as_f64()? * knob.unit_bytes.unwrap_or(1) as f64;
            (value >= 1.0).then_some(value as u64)
        };
        let part = size("multipart_chunksize").unwrap_or(PART_BYTES);
        // A bound then.
        let part = if config.bool(ADAPTIVE) == Some(true) { part.min(PART_BYTES) } else { part };
        let is_whole = size("multipart_threshold").is_some_and(|threshold| bytes < threshold);
        let requests = if is_whole { 1 } else { bytes.div_ceil(part).max(1) };
        Self { bytes, requests }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { bytes: self.bytes.saturating_add(other.bytes), requests: self.requests.saturating_add(other.requests) }
    }

    pub(crate) fn times(self, count: u64) -> Self {
        Self { bytes: self.bytes.saturating_mul(count), requests: self.requests.saturating_mul(count) }
    }
}

/// The part of a budget that the comparison needs, as far as it is known. Each round of the comparison downloads with
/// the references and with the configuration that is found, which may be the most expensive one of the search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reserve {
    references: Spent,
    dearest: Spent,
}

impl Reserve {
    /// The estimate before the search: the configuration found is assumed to cost as much as the more expensive
    /// reference.
    pub(crate) fn of(references: &References, cost: impl Fn(&Config) -> Spent) -> Self {
        let (baseline, default) = (cost(&references.baseline), cost(&references.engine_default));
        let one = references.baseline == references.engine_default;
        let references = if one { default } else { default.plus(baseline) };
        Self { references, dearest: baseline }.with(default)
    }

    /// The estimate after the trial of a configuration, one download of which costs `one`.
    pub(crate) fn with(self, one: Spent) -> Self {
        let (bytes, requests) = (self.dearest.bytes.max(one.bytes), self.dearest.requests.max(one.requests));
        Self { dearest: Spent { bytes, requests }, ..self }
    }

    /// A round.
    pub(crate) fn round(self) -> Spent {
        self.references.plus(self.dearest)
    }

    /// The fewest rounds.
    pub(crate) fn least(self) -> Spent {
        self.round().times(FEWEST as u64)
    }
}

impl Budget {
    /// The price of this traffic.
    pub(crate) fn cost(&self, spent: Spent) -> f64 {
        spent.requests as f64 / 1000.0 * self.price_per_1000_requests
            + spent.bytes as f64 / BYTES_PER_GB * self.price_per_gb
    }

    /// The limit that this traffic exceeds, by the name of its flag.
    pub(crate) fn exceeded_by(&self, spent: Spent) -> Option<&'static str> {
        if self.max_bytes.is_some_and(|most| spent.bytes > most) {
            Some("max_bytes")
        } else if self.max_requests.is_some_and(|most| spent.requests > most) {
            Some("max_requests")
        } else if self.max_cost.is_some_and(|most| self.cost(spent) > most) {
            Some("max_cost")
        } else {
            None
        }
    }

    /// The number of rounds of this traffic that the budget allows after `spent`, at most `most`.
    pub(crate) fn rounds_left(&self, spent: Spent, round: Spent, most: usize) -> usize {
        (1..=most).rev().find(|rounds| self.exceeded_by(spent.plus(round.times(*rounds as u64))).is_none()).unwrap_or(0)
    }

    /// An amount in words, with its cost if there are prices.
    pub(crate) fn in_words(&self, spent: Spent) -> String {
        let amount = format!("{} in about {} requests", ByteSize(spent.bytes), spent.requests);
        let cost = self.cost(spent);
        if cost > 0.0 { format!("{amount}, a cost of about {cost:.2}") } else { amount }
    }

    /// The limits in words; empty if there are none.
    pub(crate) fn limits(&self) -> String {
        let limits = [
            self.max_bytes.map(|most| format!("--max-bytes {}", ByteSize(most))),
            self.max_requests.map(|most| format!("--max-requests {most}")),
            self.max_cost.map(|most| format!("--max-cost {most}")),
        ];
        limits.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::Engine;

    #[test]
    fn requests_follow_from_the_size_of_the_parts() {
        let engine = Engine::s3xfer();
        let requests =
            |config: Config, bytes| Spent::download(engine.knobs(), &engine.complete(&config), bytes).requests;
        assert_eq!(requests(Config::new(), 256 << 20), 32, "parts of about 8 MiB, as the engine chooses them");
        assert_eq!(requests(Config::new().with("multipart_chunksize", 100 << 20), 256 << 20), 3);
        assert_eq!(requests(Config::new(), 1 << 20), 1);
        assert_eq!(requests(Config::new().with("multipart_threshold", 1), (8 << 20) + 1), 2);
        assert_eq!(Spent::download(&[], &Config::new(), 64 << 20).requests, 8);
    }

    #[test]
    fn the_first_limit_that_is_exceeded_is_named() {
        let spent = Spent { bytes: 2_000_000_000, requests: 5_000 };
        let prices = Budget { price_per_1000_requests: 0.0004, price_per_gb: 0.09, ..Budget::default() };
        assert_eq!(Budget::default().exceeded_by(spent), None);
        assert_eq!(Budget { max_bytes: Some(1), ..prices }.exceeded_by(spent), Some("max_bytes"));
        assert_eq!(Budget { max_bytes: Some(spent.bytes), ..prices }.exceeded_by(spent), None);
        assert_eq!(Budget { max_requests: Some(4_999), ..prices }.exceeded_by(spent), Some("max_requests"));
        assert!((prices.cost(spent) - 0.182).abs() < 1e-12);
        assert_eq!(Budget { max_cost: Some(0.18), ..prices }.exceeded_by(spent), Some("max_cost"));
        assert_eq!(Budget { max_cost: Some(0.19), ..prices }.exceeded_by(spent), None);
    }

    #[test]
    fn the_dearest_configuration_that_is_tried_is_reserved_for() {
        let engine = Engine::s3xfer();
        let references = References::of(&engine);
        let cost = |config: &Config| Spent::download(engine.knobs(), config, 256 << 20);
        let reserve = Reserve::of(&references, cost);
        assert_eq!(reserve.round(), Spent { bytes: 3 * (256 << 20), requests: 3 * 32 });
        let dear = reserve.with(Spent { bytes: 256 << 20, requests: 256 });
        let least = Spent { bytes: 4 * 3 * (256 << 20), requests: 4 * (2 * 32 + 256) };
        assert_eq!((dear.least(), dear.with(cost(&references.baseline)).least()), (least, least));
    }

    #[test]
    fn rounds_are_as_many_as_the_budget_leaves() {
        let budget = Budget { max_requests: Some(100), ..Budget::default() };
        let round = Spent { bytes: 1, requests: 9 };
        let left = |requests, most| budget.rounds_left(Spent { bytes: 0, requests }, round, most);
        assert_eq!((left(0, 10), left(60, 10), left(95, 10), left(0, 40)), (10, 4, 0, 11));
    }
}

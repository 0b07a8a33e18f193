//! `Metric`: the measured quantity, its better direction, and the assumptions that a searcher may make about it.

use serde::{Deserialize, Serialize};

/// The better direction of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Goal {
    /// Smaller is better: times, losses, costs.
    #[default]
    Min,
    /// Larger is better: rates, accuracies.
    Max,
}

impl Goal {
    /// `value` as a loss: itself, or its negative when larger is better.
    pub fn loss(self, value: f64) -> f64 {
        match self {
            Self::Min => value,
            Self::Max => -value,
        }
    }
}

/// The kind of number that a metric is. It decides the scale a model works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum MetricKind {
    /// Nothing is known: a model chooses the scale that predicts best.
    #[default]
    Generic,
    /// A duration (or another positive number whose noise grows with it): modelled as its logarithm while all are
    /// positive.
    Time,
}

/// The variation of measurements of one configuration: in JSON `"learned"`, `"deterministic"` or `{"known":0.05}`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Noise {
    /// They vary by an unknown amount, which is learned.
    #[default]
    Learned,
    /// They do not vary, so measuring twice is useless.
    Deterministic,
    /// They vary with this standard deviation, in the metric's unit; it must be positive.
    Known(f64),
}

/// The rule that computes a trial's value from its reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ValueRule {
    /// The last report: a learning curve, where later is closer to the truth.
    #[default]
    Last,
    /// The mean of all reports: each measures the same thing again (a replicate), so their spread is noise.
    Mean,
}

/// The measured quantity.
///
/// ```
/// use tunekit::{Goal, Metric};
/// use tunekit::study::ValueRule;
/// // Every report is one more download of the same configuration.
/// let metric = Metric::time("download_time").replicated();
/// assert_eq!((metric.goal, metric.value), (Goal::Min, ValueRule::Mean));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metric {
    /// Its name, for tables and plots.
    pub name: String,
    /// The better direction.
    pub goal: Goal,
    /// The kind of number.
    pub kind: MetricKind,
    /// Whether it varies from one measurement to the next.
    pub noise: Noise,
    /// The rule that computes a trial's value from its reports.
    pub value: ValueRule,
}

impl Default for Metric {
    /// A noisy number called `value` to be minimised; the last report counts.
    fn default() -> Self {
        Self {
            name: "value".to_owned(),
            goal: Goal::Min,
            kind: MetricKind::Generic,
            noise: Noise::Learned,
            value: ValueRule::Last,
        }
    }
}

impl Metric {
    /// A number to be minimised.
    pub fn minimize(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// A number to be maximised.
    pub fn maximize(name: impl Into<String>) -> Self {
        Self { name: name.into(), goal: Goal::Max, ..Self::default() }
    }

    /// A duration to be minimised.
    pub fn time(name: impl Into<String>) -> Self {
        Self { name: name.into(), kind: MetricKind::Time, ..Self::default() }
    }

    /// The same, where each report is a replicate and a trial's value is their mean.
    #[must_use]
    pub fn replicated(self) -> Self {
        Self { value: ValueRule::Mean, ..self }
    }

    /// The same, known to vary with this standard deviation from one measurement of a configuration to the next.
    #[must_use]
    pub fn with_noise(self, sd: f64) -> Self {
        Self { noise: Noise::Known(sd), ..self }
    }

    /// The same, known to give the same value every time.
    #[must_use]
    pub fn deterministic(self) -> Self {
        Self { noise: Noise::Deterministic, ..self }
    }
}

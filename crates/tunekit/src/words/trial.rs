//! `Trial`: one cycle of asking, measuring and telling, and the types that are exchanged in it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::metric::{Goal, Metric, ValueRule};
use super::value::Config;

pub use super::measurement::{Beside, Measurement};

/// The number of a trial within its study: 0, 1, 2, ... in the order of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrialId(pub u64);

impl fmt::Display for TrialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The answer to an ask: the next thing to do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Ask {
    /// Run this.
    Trial(Assignment),
    /// Nothing to do until a result arrives.
    Wait,
    /// The study is done.
    Done(DoneBecause),
}

impl Ask {
    /// The trial to run, if there is one.
    pub fn assignment(self) -> Option<Assignment> {
        match self {
            Self::Trial(a) => Some(a),
            Self::Wait | Self::Done(_) => None,
        }
    }
}

/// Why no trial follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DoneBecause {
    /// The limit on the number of trials is reached.
    Budget,
    /// Every configuration of a finite space without noise has been measured.
    Exhausted,
}

/// The name of a trial's state at a step. The process that runs the trial keeps the state under this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The trial's number.
    pub trial: TrialId,
    /// The step that it had reached: that of the report after which it paused.
    pub resource: u64,
}

/// A trial to run.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Assignment {
    /// The trial's number.
    pub trial: TrialId,
    /// The configuration to run it with.
    pub config: Config,
    /// The step at which the next decision is due; `None`: run to the end.
    pub resource: Option<u64>,
    /// Whether a paused trial continues.
    pub resumed: bool,
    /// The checkpoint from which to continue, with the step after it: the trial's own after a pause, another trial's
    /// for a copy. `None`: start from the beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Checkpoint>,
    /// The last step that was reported before an interruption, if reports are kept: the trial continues with the steps
    /// after it. `None`: there is no such step, or the trial continues after a pause, and `from` has the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// 1 plus the number of interruptions after which the trial started again.
    #[serde(skip)]
    pub attempt: u32,
}

/// A study's answer to a report of a running trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// Continue.
    Continue,
    /// Stop for now and keep the state, without a tell: the study may resume the trial later.
    Pause,
    /// End now, and tell.
    Stop,
}

/// The end of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// With this value, which replaces the reported ones. A value that is not finite counts as failed.
    Value(f64),
    /// Successfully; its value follows from its reports by the metric's rule.
    Done,
    /// Without a value, for this reason.
    Failed(String),
    /// Without a value, because its run took too long; with the reason in words.
    #[serde(rename = "timed_out")]
    TimedOut(String),
    /// Without a value, because nothing can be measured with its configuration, for instance because it does not fit
    /// into memory. It is not a failure of the program.
    Infeasible(String),
    /// With a value or a bound, and the other measured values. A number that is not finite counts as failed.
    Measured(Box<Measured>),
}

/// A value and the numbers measured with it: further objectives, constraints, the cost.
///
/// ```
/// use tunekit::Measured;
/// // A study with one further objective and one constraint; the trial took 90 seconds.
/// let measured = Measured::new(0.71).more([12.5]).constraints([-0.2]).cost(90.0);
/// assert_eq!((measured.value, measured.cost), (0.71, Some(90.0)));
/// ```
///
/// In JSON a value is called `value` and a bound `at_least`, so a reader that does not know bounds refuses one.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(try_from = "RawMeasured", into = "RawMeasured")]
pub struct Measured {
    /// The metric.
    pub value: f64,
    /// Whether `value` is only a bound: the metric is known to be no better than that.
    pub is_bound: bool,
    /// The further objectives, in the order of the header's.
    pub more: Vec<f64>,
    /// The constraints, in the order of the header's; one is met when its value is at most 0.
    pub constraints: Vec<f64>,
    /// Cost of the trial (seconds, money), positive; in a report, its cost so far.
    pub cost: Option<f64>,
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
struct RawMeasured {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    more: Vec<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    constraints: Vec<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost: Option<f64>,
}

/// A result in JSON has neither or both of the two fields.
#[derive(Debug, thiserror::Error)]
enum MeasuredError {
    #[error("a result has neither `value` nor `at_least`; give one of them")]
    Neither,
    #[error("a result has both `value` and `at_least`; give one of them")]
    Both,
}

impl TryFrom<RawMeasured> for Measured {
    type Error = MeasuredError;

    fn try_from(raw: RawMeasured) -> Result<Self, MeasuredError> {
        let RawMeasured { value, at_least, more, constraints, cost } = raw;
        let (value, is_bound) = match (value, at_least) {
            (Some(value), None) => (value, false),
            (None, Some(bound)) => (bound, true),
            (None, None) => return Err(MeasuredError::Neither),
            (Some(_), Some(_)) => return Err(MeasuredError::Both),
        };
        Ok(Self { value, is_bound, more, constraints, cost })
    }
}

impl From<Measured> for RawMeasured {
    fn from(measured: Measured) -> Self {
        let Measured { value, is_bound, more, constraints, cost } = measured;
        let (value, at_least) = if is_bound { (None, Some(value)) } else { (Some(value), None) };
        Self { value, at_least, more, constraints, cost }
    }
}

impl Measured {
    /// A value and nothing else.
    pub fn new(value: f64) -> Self {
        Self { value, ..Self::default() }
    }

    /// A bound instead of a value: the metric is known to be no better than `bound`, that is, at least `bound` when it
    /// is minimised and at most `bound` when it is maximised. It is for a trial that is cut off because it can no
    /// longer win.
    ///
    /// If the reports are replicates ([`ValueRule::Mean`]), the bound is one more measurement, cut off; if they are a
    /// training curve, it replaces them. Only the metric may be a bound; further objectives and constraints are told as
    /// measured.
    ///
    /// ```
    /// use tunekit::{Domain, Measured, Metric, Setup, Space, Status, Study};
    /// let space = Space::new().with("x", Domain::float(0.0, 1.0)?)?;
    /// let mut study = Study::new(Setup::new(space, Metric::time("seconds")))?;
    /// for outcome in [Measured::new(2.0), Measured::at_least(3.2).cost(3.2)] {
    ///     let job = study.ask()?.assignment().ok_or("no trial")?;
    ///     study.tell(job.trial, outcome)?;
    /// }
    /// let cut_off = &study.trials()[1];
    /// assert_eq!((cut_off.status, cut_off.told, cut_off.at_least), (Status::CutOff, None, Some(3.2)));
    /// assert_eq!(study.best().map(|best| best.value), Some(2.0));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn at_least(bound: f64) -> Self {
        Self { is_bound: true, ..Self::new(bound) }
    }

    /// With these further objectives.
    #[must_use]
    pub fn more(self, more: impl Into<Vec<f64>>) -> Self {
        Self { more: more.into(), ..self }
    }

    /// With these constraints.
    #[must_use]
    pub fn constraints(self, constraints: impl Into<Vec<f64>>) -> Self {
        Self { constraints: constraints.into(), ..self }
    }

    /// With this cost.
    #[must_use]
    pub fn cost(self, cost: f64) -> Self {
        Self { cost: Some(cost), ..self }
    }

    /// Whether there is a value and nothing else.
    pub(crate) fn is_plain(&self) -> bool {
        !self.is_bound && self.more.is_empty() && self.constraints.is_empty() && self.cost.is_none()
    }

    /// The first number in it that is not finite, but for the cost.
    pub(crate) fn not_finite(&self) -> Option<f64> {
        [self.value].iter().chain(&self.more).chain(&self.constraints).copied().find(|v| !v.is_finite())
    }
}

impl From<f64> for Measured {
    fn from(value: f64) -> Self {
        Self::new(value)
    }
}

impl From<Measured> for Outcome {
    fn from(measured: Measured) -> Self {
        if measured.is_plain() { Self::Value(measured.value) } else { Self::Measured(Box::new(measured)) }
    }
}

impl Outcome {
    /// The reason for a missing value, for any kind of failure.
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Failed(reason) | Self::TimedOut(reason) | Self::Infeasible(reason) => Some(reason),
            Self::Value(_) | Self::Done | Self::Measured(_) => None,
        }
    }
}

impl From<f64> for Outcome {
    fn from(value: f64) -> Self {
        Self::Value(value)
    }
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Done
    }
}

/// The origin of a trial's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// The searcher.
    Searcher,
    /// The scheduler, which copied another trial and changed it.
    Scheduler,
    /// The points to evaluate first.
    Given,
    /// Measured elsewhere and added; it does not count against the budget.
    Added,
}

/// The status of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Status {
    /// Given out, not yet told.
    Running,
    /// Given out, and interrupted before it was told: it will be given out again.
    Interrupted,
    /// The scheduler paused it and may resume it.
    Paused,
    /// Ended with a value.
    Completed,
    /// Ended with a value because the scheduler stopped it.
    Stopped,
    /// Ended with a bound in place of a value: see [`Measured::at_least`].
    CutOff,
    /// Ended without a value.
    Failed,
    /// Ended without a value because it took too long.
    TimedOut,
    /// Ended without a value because its configuration cannot be measured.
    Infeasible,
}

impl Status {
    /// Whether it ended without a value, for any reason.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::TimedOut | Self::Infeasible)
    }

    /// The word used in tables.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Interrupted => "interrupted",
            Self::Paused => "paused",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
            Self::CutOff => "cut_off",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Infeasible => "infeasible",
        }
    }
}

/// Everything a study knows about one trial.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trial {
    /// Its number.
    pub id: TrialId,
    /// Its configuration.
    pub config: Config,
    /// The configuration's origin.
    pub origin: Origin,
    /// The checkpoint it began with, if it is a copy.
    pub from: Option<Checkpoint>,
    /// Its status.
    pub status: Status,
    /// Number of starts from the same point.
    pub attempt: u32,
    /// The step at which the next decision is due.
    pub resource: Option<u64>,
    /// Whether it goes on from a pause.
    pub resumed: bool,
    /// The reported measurements, without those that an interruption made void.
    pub measurements: Vec<Measurement>,
    /// The value that it was told with, which replaces its reports.
    pub told: Option<f64>,
    /// The bound that was told in place of a value: its metric is no better ([`Measured::at_least`]).
    pub at_least: Option<f64>,
    /// The same value or bound with the other numbers that were told, if there were any.
    pub measured: Option<Box<Measured>>,
    /// The reason why it failed, or will fail once it is told.
    pub failure: Option<String>,
    /// The last decision on it.
    pub decision: Decision,
    /// When it was first given out, in seconds of the study.
    pub started_s: Option<f64>,
    /// When it ended, in seconds of the study.
    pub ended_s: Option<f64>,
    /// Number of measurements before the present attempt.
    pub kept: usize,
    /// Number of measurements when it last paused. The process that ran it has kept its state after these.
    pub paused_after: usize,
}

impl Trial {
    /// Whether a result will come without a new decision: it is running, or will be run again.
    pub fn is_pending(&self) -> bool {
        matches!(self.status, Status::Running | Status::Interrupted)
    }

    /// The step it has come to: of its last report, or of the checkpoint it began with.
    pub fn last_step(&self) -> Option<u64> {
        self.measurements.last().map(|m| m.step).or(self.from.map(|from| from.resource))
    }

    /// Its cost so far, if it was reported or told.
    pub fn cost(&self) -> Option<f64> {
        let told = self.measured.as_ref().and_then(|m| m.cost);
        told.or_else(|| self.measurements.iter().rev().find_map(|m| m.cost))
    }

    /// The checkpoint from which it continued when it was last given out, or will continue next time.
    pub fn goes_on_from(&self) -> Option<Checkpoint> {
        // While it is paused, all its measurements are older than the following ones.
        let before = if self.status == Status::Paused { self.measurements.len() } else { self.paused_after };
        let own = before.checked_sub(1).and_then(|last| self.measurements.get(last));
        own.map(|m| Checkpoint { trial: self.id, resource: m.step }).or(self.from)
    }

    /// Whether it ended.
    pub fn is_finished(&self) -> bool {
        self.status.is_failure() || matches!(self.status, Status::Completed | Status::Stopped | Status::CutOff)
    }

    /// Whether it has samples of the metric, or a bound of one.
    pub(crate) fn has_samples(&self) -> bool {
        self.failure.is_none() && (self.told.is_some() || self.at_least.is_some() || !self.measurements.is_empty())
    }

    /// The independent measurements of the metric at its configuration: the told value, else all reports
    /// (`ValueRule::Mean`) or the last one (`ValueRule::Last`, none where a bound was told). Empty for a failed trial.
    /// A bound ([`Trial::at_least`]) is never among them.
    pub fn samples(&self, rule: ValueRule) -> Vec<f64> {
        if self.failure.is_some() {
            return Vec::new();
        }
        match (self.told, rule) {
            (Some(value), _) => vec![value],
            (None, ValueRule::Mean) => self.measurements.iter().map(|m| m.value).collect(),
            (None, ValueRule::Last) if self.at_least.is_some() => Vec::new(),
            (None, ValueRule::Last) => self.measurements.last().map(|m| m.value).into_iter().collect(),
        }
    }

    /// The first value reported at `resource` or later; `None` for a failed trial.
    pub fn value_at(&self, resource: u64) -> Option<f64> {
        self.at(resource).filter(|_| self.failure.is_none()).map(|m| m.value)
    }

    /// Its first report at `resource` or later.
    pub(crate) fn at(&self, resource: u64) -> Option<&Measurement> {
        self.measurements.get(self.measurements.partition_point(|m| m.step < resource))
    }

    /// The mean of [`Trial::samples`]: its value so far.
    pub fn value(&self, rule: ValueRule) -> Option<f64> {
        mean(&self.samples(rule))
    }

    /// Its further objectives and constraints: told, else of its reports, all of them (`ValueRule::Mean`) or the last
    /// one (`ValueRule::Last`). Empty for a failed trial.
    pub(crate) fn besides(&self, rule: ValueRule) -> Vec<(&[f64], &[f64])> {
        if self.failure.is_some() {
            return Vec::new();
        }
        if let Some(measured) = &self.measured {
            return vec![(&measured.more, &measured.constraints)];
        }
        let reports = match rule {
            ValueRule::Mean => self.measurements.as_slice(),
            ValueRule::Last => &self.measurements[self.measurements.len().saturating_sub(1)..],
        };
        reports
            .iter()
            .filter_map(|m| m.beside.as_deref())
            .map(|b| (b.more.as_slice(), b.constraints.as_slice()))
            .collect()
    }

    /// Its further objectives, in the order of the header's: told when it ended, or of its last report, or the means of
    /// its replicates. Empty if they are not known.
    pub fn more(&self, rule: ValueRule) -> Vec<f64> {
        means(&self.besides(rule).into_iter().map(|(more, _)| more).collect::<Vec<_>>())
    }

    /// Its constraints, likewise.
    pub fn constraints(&self, rule: ValueRule) -> Vec<f64> {
        means(&self.besides(rule).into_iter().map(|(_, constraints)| constraints).collect::<Vec<_>>())
    }

    /// The value for comparisons after its end: its value as a loss; a bound counts according to [`loss_no_better`].
    /// `None` without a value and a bound.
    pub(crate) fn loss(&self, metric: &Metric) -> Option<f64> {
        let bound = self.at_least.filter(|_| self.failure.is_none());
        loss_no_better(metric.goal, &self.samples(metric.value), bound.as_slice())
    }
}

/// The mean loss of measurements, of which some are known by bounds only. Each bound counts as a value at that bound,
/// or at the mean of the other measurements where that is worse; without others the worst bound counts. With a bound
/// the result is the next larger number, so that it comes behind equal values. `None` of none.
pub(crate) fn loss_no_better(goal: Goal, samples: &[f64], bounds: &[f64]) -> Option<f64> {
    let own = mean(samples).map(|value| goal.loss(value));
    let worst = bounds.iter().map(|bound| goal.loss(*bound)).reduce(f64::max);
    let (Some(own), Some(worst)) = (own, worst) else { return own.or(worst.map(f64::next_up)) };
    let counted = samples.iter().map(|v| goal.loss(*v)).chain(bounds.iter().map(|b| goal.loss(*b).max(own)));
    let counted: Vec<f64> = counted.collect();
    // Rounding must not take the mean below the trial's own value.
    mean(&counted).map(|loss| loss.max(own).min(worst.max(own)).next_up())
}

/// The mean of each place over those rows that have it.
fn means(rows: &[&[f64]]) -> Vec<f64> {
    let count = rows.iter().map(|row| row.len()).max().unwrap_or(0);
    let of = |k: usize| mean(&rows.iter().filter_map(|row| row.get(k)).copied().collect::<Vec<_>>());
    (0..count).filter_map(of).collect()
}

/// The mean of finite numbers, computed so that it does not overflow; `None` of none.
pub(crate) fn mean(values: &[f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let n = values.len() as f64;
    let sum: f64 = values.iter().sum();
    Some(if sum.is_finite() { sum / n } else { values.iter().map(|v| v / n).sum() })
}

/// The gain that further trials can still bring, compared with the noise of the best configuration's measurements.
///
/// A study whose gain is below its noise has reached the noise floor: measurements could hardly distinguish a better
/// configuration from the present best.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NoiseFloor {
    /// The first trial of the present best configuration.
    pub trial: TrialId,
    /// An upper bound, with a probability of 95 %, of the difference between the present best and the best
    /// configuration of the space; at least 0, in units of the metric.
    pub gain: f64,
    /// The standard error of the mean of the present best's own measurements, in units of the metric: the noise of one
    /// over the root of their number.
    pub noise: f64,
}

impl NoiseFloor {
    /// Whether the gain is at most `factor` times the noise.
    pub fn is_reached(&self, factor: f64) -> bool {
        self.gain <= factor * self.noise
    }
}

/// The best configuration known.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Best {
    /// The first trial that ran it.
    pub trial: TrialId,
    /// The configuration.
    pub config: Config,
    /// The mean of the measurements there. On average it is too good, because the configuration was chosen for it.
    pub value: f64,
    /// The expected value of a further measurement there. From three measured configurations on, a Gaussian process of
    /// the whole study gives it, whichever searcher chose them. The process also uses the neighbours, so one lucky
    /// sample does not mislead it. Before that, and for a metric without noise, it is `value`.
    pub mean: f64,
    /// A 95 % interval of `mean`. The process's interval includes the uncertainty of its hyperparameters, and holds
    /// although the configuration was chosen for its low value. Without a process the interval follows from the known
    /// noise or, from two replicates on, is Student's. For a metric without noise both ends are `value`.
    pub ci95: Option<[f64; 2]>,
    /// Number of measurements of the configuration; bounds do not count.
    #[serde(skip)]
    pub n: usize,
    /// The means of the further objectives there, in the order of the header's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<f64>,
}

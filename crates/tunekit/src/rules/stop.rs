//! `StopRule`: when a study ends, as a fold over its trials. The clock comes in as an argument.

use std::fmt;
use std::time::Duration;

use crate::words::metric::Metric;
use crate::words::trial::{Decision, Trial};

/// Limits on a study; the first one that is reached ends it. All of them count earlier runs on the same journal.
///
/// ```
/// use tunekit::tuner::{StopAll, StopRule};
/// // After 100 trials, or once there were 20 of which the last 5 brought nothing.
/// let together = StopAll { max_trials: Some(20), plateau: Some(5), ..StopAll::default() };
/// let rule = StopRule { max_trials: Some(100), all: vec![together], ..StopRule::default() };
/// assert_eq!(rule.all.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StopRule {
    /// The most trials that are started.
    pub max_trials: Option<u64>,
    /// Longest time that the study may take; trials that run then are cut off.
    pub max_wall_time: Option<Duration>,
    /// The most measurements: reports, and values of trials that reported nothing.
    pub max_measurements: Option<u64>,
    /// The most that trials may cost together, as they report it.
    pub max_cost: Option<f64>,
    /// A value of the metric that is good enough. One trial that comes to it ends the study.
    pub target: Option<f64>,
    /// The number of trials that may end one after the other without a better value than before.
    pub plateau: Option<u64>,
    /// Limits of which all must be reached: each entry ends the study as one limit does.
    pub all: Vec<StopAll>,
}

/// Limits that end a study once all of those that are given are reached.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct StopAll {
    /// So many trials have ended.
    pub max_trials: Option<u64>,
    /// The study has taken so long.
    pub max_wall_time: Option<Duration>,
    /// So many measurements were made.
    pub max_measurements: Option<u64>,
    /// Trials have cost so much together.
    pub max_cost: Option<f64>,
    /// A trial has come to a value that is good enough.
    pub target: Option<f64>,
    /// So many trials ended one after the other without a better value than before.
    pub plateau: Option<u64>,
}

impl StopAll {
    /// Whether it has no limit.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether all of its limits are reached for certain, if trials end.
    fn is_bounded(&self) -> bool {
        !self.is_empty() && self.max_cost.is_none() && self.target.is_none() && self.plateau != Some(0)
    }
}

impl StopRule {
    /// Whether there is a limit that is reached for certain, if trials end.
    pub(crate) fn is_bounded(&self) -> bool {
        self.max_trials.is_some()
            || self.max_wall_time.is_some()
            || self.max_measurements.is_some()
            || self.plateau.is_some_and(|plateau| plateau > 0)
            || self.all.iter().any(StopAll::is_bounded)
    }

    /// The times at which an entry of `all` may be reached without anything else happening.
    pub(crate) fn times(&self) -> impl Iterator<Item = Duration> + '_ {
        self.all.iter().filter_map(|all| all.max_wall_time)
    }
}

/// Why a tuner ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoppedBy {
    /// The limit on the number of trials.
    MaxTrials,
    /// The limit on time.
    MaxTuningTime,
    /// The limit on the number of measurements.
    MaxMeasurements,
    /// The limit on the cost.
    MaxCost,
    /// A value that is good enough.
    Target,
    /// No better value for a number of trials.
    Plateau,
    /// All limits of an entry of [`StopRule::all`].
    All,
    /// The stop handle.
    Cancelled,
    /// A finite space without noise was measured in full.
    Exhausted,
}

impl StoppedBy {
    /// The word used in summaries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxTrials => "max_trials",
            Self::MaxTuningTime => "max_tuning_time",
            Self::MaxMeasurements => "max_measurements",
            Self::MaxCost => "max_cost",
            Self::Target => "target",
            Self::Plateau => "plateau",
            Self::All => "all_of_several",
            Self::Cancelled => "cancelled",
            Self::Exhausted => "exhausted",
        }
    }
}

impl fmt::Display for StoppedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The figures of a study's trials that a [`StopRule`] needs. An update costs the same however many trials there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// The counts of each trial: measurements, cost, whether it ended.
    counted: Vec<(u64, f64, bool)>,
    measurements: u64,
    cost: f64,
    /// The number of trials that ended.
    ended: u64,
    /// The least loss of a trial that ended.
    best: Option<f64>,
    /// The number of trials that ended since it was found.
    since: u64,
    /// The least loss of any trial so far.
    least: Option<f64>,
}

impl Tally {
    /// The tally of these trials.
    pub(crate) fn of(trials: &[Trial], metric: &Metric) -> Self {
        let mut order: Vec<&Trial> = trials.iter().collect();
        order.sort_by(|a, b| a.ended_s.unwrap_or(f64::INFINITY).total_cmp(&b.ended_s.unwrap_or(f64::INFINITY)));
        let mut tally = Self::default();
        for trial in order {
            tally.update(trial, metric);
        }
        tally
    }

    /// Takes in a trial's new state.
    pub(crate) fn update(&mut self, trial: &Trial, metric: &Metric) {
        let place = usize::try_from(trial.id.0).unwrap_or(usize::MAX);
        if place >= self.counted.len() {
            self.counted.resize(place + 1, (0, 0.0, false));
        }
        let (measurements, cost, ended) = self.counted[place];
        let reported = trial.measurements.len() as u64;
        let alone = reported == 0 && (trial.told.is_some() || trial.at_least.is_some());
        let now = (reported + u64::from(alone), trial.cost().unwrap_or(0.0), trial.is_finished());
        self.measurements = self.measurements - measurements + now.0;
        self.cost += now.1 - cost;
        self.counted[place] = now;
        self.ended += u64::from(now.2 && !ended);
        // A trial that is to be stopped has its value.
        let is_last = trial.is_finished() || trial.decision == Decision::Stop;
        let loss = trial.value(metric.value).map(|value| metric.goal.loss(value));
        if let Some(loss) = loss {
            self.least = Some(self.least.map_or(loss, |least| least.min(loss)));
        }
        if is_last && now.2 && !ended {
            match loss {
                Some(loss) if self.best.is_none_or(|best| loss < best) => {
                    (self.best, self.since) = (Some(loss), 0);
                }
                _ => self.since += 1,
            }
        }
    }

    /// The limit that is reached, if there is one; the number of trials and the time count only in limits that must be
    /// reached together.
    pub(crate) fn reached(&self, rule: &StopRule, metric: &Metric, elapsed: Duration) -> Option<StoppedBy> {
        if rule.target.is_some_and(|target| self.has_come_to(target, metric)) {
            Some(StoppedBy::Target)
        } else if rule.max_measurements.is_some_and(|max| self.measurements >= max) {
            Some(StoppedBy::MaxMeasurements)
        } else if rule.max_cost.is_some_and(|max| self.cost >= max) {
            Some(StoppedBy::MaxCost)
        } else if rule.plateau.is_some_and(|plateau| self.since >= plateau.max(1)) {
            Some(StoppedBy::Plateau)
        } else if rule.all.iter().any(|all| self.reached_all(all, metric, elapsed)) {
            Some(StoppedBy::All)
        } else {
            None
        }
    }

    fn has_come_to(&self, target: f64, metric: &Metric) -> bool {
        self.least.is_some_and(|least| least <= metric.goal.loss(target))
    }

    fn reached_all(&self, all: &StopAll, metric: &Metric, elapsed: Duration) -> bool {
        !all.is_empty()
            && all.max_trials.is_none_or(|max| self.ended >= max)
            && all.max_wall_time.is_none_or(|max| elapsed >= max)
            && all.max_measurements.is_none_or(|max| self.measurements >= max)
            && all.max_cost.is_none_or(|max| self.cost >= max)
            && all.target.is_none_or(|target| self.has_come_to(target, metric))
            && all.plateau.is_none_or(|plateau| self.since >= plateau.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::study::{Setup, Study};
    use crate::words::domain::Domain;
    use crate::words::space::Space;
    use crate::words::trial::{Measured, Outcome};

    fn study() -> Study {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        Study::new(Setup::new(space, Metric::maximize("score"))).unwrap()
    }

    /// The tally kept along the way, which must be the one that is made afresh.
    fn told(study: &mut Study, tally: &mut Tally, value: f64) {
        let trial = study.ask().unwrap().assignment().unwrap().trial;
        study.at(Duration::from_secs(study.started())).report(trial, 1, Measured::new(value / 2.0).cost(0.5)).unwrap();
        tally.update(study.trial(trial).unwrap(), &study.header().metric);
        study.tell(trial, Measured::new(value).cost(1.0)).unwrap();
        tally.update(study.trial(trial).unwrap(), &study.header().metric);
        let again = Tally::of(study.trials(), &study.header().metric);
        let parts = |t: &Tally| (t.measurements, t.cost, t.best, t.since, t.least, t.ended);
        let (mut kept, fresh) = (parts(tally), parts(&again));
        // The least loss along the way is not kept by a journal once a trial has ended.
        kept.4 = fresh.4;
        assert_eq!(kept, fresh);
    }

    #[test]
    fn each_limit_is_reached_exactly() {
        let (mut study, mut tally) = (study(), Tally::default());
        let metric = study.header().metric.clone();
        for value in [1.0, 3.0, 2.0, 3.0] {
            told(&mut study, &mut tally, value);
        }
        let reached = |rule: StopRule| tally.reached(&rule, &metric, Duration::from_secs(60));
        let rule = StopRule::default;
        assert_eq!(reached(rule()), None);
        assert_eq!(reached(StopRule { max_measurements: Some(4), ..rule() }), Some(StoppedBy::MaxMeasurements));
        assert_eq!(reached(StopRule { max_measurements: Some(5), ..rule() }), None);
        assert_eq!(reached(StopRule { max_cost: Some(4.0), ..rule() }), Some(StoppedBy::MaxCost));
        assert_eq!(reached(StopRule { max_cost: Some(4.1), ..rule() }), None);
        assert_eq!(reached(StopRule { target: Some(3.0), ..rule() }), Some(StoppedBy::Target));
        assert_eq!(reached(StopRule { target: Some(3.1), ..rule() }), None);
        assert_eq!(reached(StopRule { plateau: Some(2), ..rule() }), Some(StoppedBy::Plateau));
        assert_eq!(reached(StopRule { plateau: Some(3), ..rule() }), None);
    }

    #[test]
    fn a_trial_that_fails_is_one_without_a_better_value() {
        let (mut study, mut tally) = (study(), Tally::default());
        told(&mut study, &mut tally, 1.0);
        let trial = study.ask().unwrap().assignment().unwrap().trial;
        study.tell(trial, Outcome::Failed("no".to_owned())).unwrap();
        tally.update(study.trial(trial).unwrap(), &study.header().metric);
        let rule = StopRule { plateau: Some(1), ..StopRule::default() };
        assert_eq!(tally.reached(&rule, &study.header().metric, Duration::ZERO), Some(StoppedBy::Plateau));
    }

    #[test]
    fn limits_that_belong_together_end_a_study_when_all_are_reached() {
        let (mut study, mut tally) = (study(), Tally::default());
        let metric = study.header().metric.clone();
        for value in [1.0, 3.0, 2.0, 3.0] {
            told(&mut study, &mut tally, value);
        }
        // Reached exactly: 4 trials, 4 measurements, a cost of 4, the value 3, 2 trials without a better one, 60 s.
        let full = StopAll {
            max_trials: Some(4),
            max_wall_time: Some(Duration::from_secs(60)),
            max_measurements: Some(4),
            max_cost: Some(4.0),
            target: Some(3.0),
            plateau: Some(2),
        };
        let reached = |all: &[StopAll]| {
            let rule = StopRule { all: all.to_vec(), ..StopRule::default() };
            tally.reached(&rule, &metric, Duration::from_secs(60))
        };
        assert_eq!(reached(&[full]), Some(StoppedBy::All));
        let short = [
            StopAll { max_trials: Some(5), ..full },
            StopAll { max_wall_time: Some(Duration::from_secs(61)), ..full },
            StopAll { max_measurements: Some(5), ..full },
            StopAll { max_cost: Some(4.1), ..full },
            StopAll { target: Some(3.1), ..full },
            StopAll { plateau: Some(3), ..full },
            StopAll::default(),
        ];
        for all in short {
            assert_eq!(reached(&[all]), None, "{all:?}");
        }
        // One entry is enough.
        assert_eq!(reached(&[short[0], full]), Some(StoppedBy::All));
    }
}

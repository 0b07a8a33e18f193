//! `StopRule`: when a study ends, as a fold over its trials. The clock comes in as an argument.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::words::event::Header;
use crate::words::metric::{Metric, Noise, ValueRule};
use crate::words::trial::{NoiseFloor, Trial};

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
    /// A value of the metric that is good enough. One trial that comes to it and meets the constraints ends the study.
    /// A report that lacks some of them does not.
    pub target: Option<f64>,
    /// The number of trials that may end one after the other without a better value than before. A value that breaks a
    /// constraint is not better.
    pub plateau: Option<u64>,
    /// The study ends when further trials can gain at most so many times the noise of the present best's measurements
    /// ([`NoiseFloor`](crate::study::NoiseFloor)). The factor is from 0.1 to 10. A larger one ends studies earlier.
    ///
    /// It is judged first when 20 runs have ended, and 5 for each parameter, and then whenever their number has grown
    /// by a fifth. A judgement costs little more than [`Study::best`](crate::Study::best): tenths of a second for a
    /// hundred trials. It needs noise and a single objective and, with a maximal resource, a trial that came to it.
    pub noise_floor: Option<f64>,
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
    /// A trial has come to a value that is good enough, and meets the constraints.
    pub target: Option<f64>,
    /// So many trials ended one after the other without a better value than before that meets the constraints.
    pub plateau: Option<u64>,
    /// Further trials can gain at most so many times the noise: see [`StopRule::noise_floor`].
    pub noise_floor: Option<f64>,
}

impl StopAll {
    /// Whether it has no limit.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether all of its limits are reached for certain, if trials end.
    fn is_bounded(&self) -> bool {
        let is_open = self.max_cost.is_some() || self.target.is_some() || self.noise_floor.is_some();
        !self.is_empty() && !is_open && self.plateau != Some(0)
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

    /// The factors on the noise at which a limit is reached.
    pub(crate) fn floors(&self) -> impl Iterator<Item = f64> + '_ {
        self.noise_floor.into_iter().chain(self.all.iter().filter_map(|all| all.noise_floor))
    }

    /// Whether a study with this header can be ended by this rule.
    ///
    /// # Errors
    /// A noise floor with a factor out of its range, of a metric without noise, or of several objectives.
    pub(crate) fn check(&self, header: &Header) -> Result<(), StopRuleError> {
        let Some(factor) = self.floors().next() else { return Ok(()) };
        let name = || header.metric.name.clone();
        if let Some(factor) = self.floors().find(|factor| !FLOORS.contains(factor)) {
            Err(StopRuleError::Factor { factor })
        } else if header.metric.noise == Noise::Deterministic {
            Err(StopRuleError::Deterministic { metric: name(), factor })
        } else if !header.objectives.is_empty() {
            Err(StopRuleError::Objectives { factor })
        } else {
            Ok(())
        }
    }
}

/// The factors of a noise floor.
const FLOORS: RangeInclusive<f64> = 0.1..=10.0;

/// Why a stop rule is none of a study.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum StopRuleError {
    /// The factor of a noise floor is out of its range.
    #[error(
        "noise_floor is {factor}; it is a factor on the noise from {} to {}",
        FLOORS.start(),
        FLOORS.end()
    )]
    Factor {
        /// The factor given.
        factor: f64,
    },
    /// The metric has no noise.
    #[error("noise_floor is {factor}, but `{metric}` is deterministic and has no noise; leave noise_floor out")]
    Deterministic {
        /// The metric.
        metric: String,
        /// The factor given.
        factor: f64,
    },
    /// There is a front, and no single best.
    #[error("noise_floor is {factor}, but the study has several objectives and no single best; leave noise_floor out")]
    Objectives {
        /// The factor given.
        factor: f64,
    },
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
    /// Less is to be gained than the noise.
    NoiseFloor,
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
            Self::NoiseFloor => "noise_floor",
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

/// The figures of a study's trials that a [`StopRule`] needs. An update costs the same however many trials there are,
/// and however many measurements of a trial.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// By trial.
    counted: Vec<Counted>,
    measurements: u64,
    cost: f64,
    /// The number of trials that ended.
    ended: u64,
    /// The least loss of a trial that ended, of those that meet the constraints.
    best: Option<f64>,
    /// The number of trials that ended since it was found.
    since: u64,
    /// The least loss of any trial so far, likewise.
    least: Option<f64>,
    floor: Option<NoiseFloor>,
}

/// The counts of a trial.
#[derive(Debug, Clone, Default)]
struct Counted {
    measurements: u64,
    cost: f64,
    ended: bool,
    reports: Reports,
}

/// The sums of a trial's reports, which one more renews without a look at those before it.
#[derive(Debug, Clone, Default)]
struct Reports {
    attempt: u32,
    taken: usize,
    /// The last one that was reported.
    cost: Option<f64>,
    value: Sum,
    constraints: Vec<Sum>,
}

/// A sum, and of how many.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    sum: f64,
    n: u64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        (self.sum, self.n) = (self.sum + value, self.n + 1);
    }

    fn mean(self) -> f64 {
        self.sum / self.n as f64
    }
}

impl Reports {
    /// Takes the measurements it has not seen; all, where an interruption may have made some void.
    fn take(&mut self, trial: &Trial) {
        if self.attempt != trial.attempt || self.taken > trial.measurements.len() {
            *self = Self { attempt: trial.attempt, ..Self::default() };
        }
        for m in &trial.measurements[self.taken..] {
            self.cost = m.cost.or(self.cost);
            self.value.add(m.value);
            let constraints = m.beside.as_deref().map_or(&[][..], |beside| &beside.constraints);
            if self.constraints.len() < constraints.len() {
                self.constraints.resize(constraints.len(), Sum::default());
            }
            self.constraints.iter_mut().zip(constraints).for_each(|(sum, value)| sum.add(*value));
        }
        self.taken = trial.measurements.len();
    }

    /// The means of the metric and of each constraint; `None` where a sum is beyond all numbers.
    fn means(&self) -> Option<(f64, Vec<f64>)> {
        let means = (self.value.mean(), self.constraints.iter().map(|sum| sum.mean()).collect::<Vec<f64>>());
        (means.0.is_finite() && means.1.iter().all(|mean| mean.is_finite())).then_some(means)
    }
}

impl Tally {
    /// The tally of these trials of a study.
    pub(crate) fn of(trials: &[Trial], header: &Header) -> Self {
        let mut order: Vec<&Trial> = trials.iter().collect();
        order.sort_by(|a, b| a.ended_s.unwrap_or(f64::INFINITY).total_cmp(&b.ended_s.unwrap_or(f64::INFINITY)));
        let mut tally = Self::default();
        for trial in order {
            tally.update(trial, header);
        }
        tally
    }

    /// Takes in the last judgement of the noise floor.
    pub(crate) fn judged(&mut self, floor: Option<NoiseFloor>) {
        self.floor = floor;
    }

    /// Takes in a trial's new state.
    pub(crate) fn update(&mut self, trial: &Trial, header: &Header) {
        let place = usize::try_from(trial.id.0).unwrap_or(usize::MAX);
        if place >= self.counted.len() {
            self.counted.resize(place + 1, Counted::default());
        }
        let counted = &mut self.counted[place];
        counted.reports.take(trial);
        let reported = trial.measurements.len() as u64;
        let alone = reported == 0 && (trial.told.is_some() || trial.at_least.is_some());
        let told = trial.measured.as_ref().and_then(|measured| measured.cost);
        let (measurements, cost) = (reported + u64::from(alone), told.or(counted.reports.cost).unwrap_or(0.0));
        let ends = trial.is_finished() && !counted.ended;
        self.measurements = self.measurements - counted.measurements + measurements;
        self.cost += cost - counted.cost;
        self.ended += u64::from(ends);
        (counted.measurements, counted.cost, counted.ended) = (measurements, cost, trial.is_finished());
        let loss = loss(trial, header, &counted.reports);
        if let Some(loss) = loss {
            self.least = Some(self.least.map_or(loss, |least| least.min(loss)));
        }
        if ends {
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
        } else if rule.noise_floor.is_some_and(|factor| self.is_at_floor(factor)) {
            Some(StoppedBy::NoiseFloor)
        } else if rule.all.iter().any(|all| self.reached_all(all, metric, elapsed)) {
            Some(StoppedBy::All)
        } else {
            None
        }
    }

    fn has_come_to(&self, target: f64, metric: &Metric) -> bool {
        self.least.is_some_and(|least| least <= metric.goal.loss(target))
    }

    fn is_at_floor(&self, factor: f64) -> bool {
        self.floor.is_some_and(|floor| floor.is_reached(factor))
    }

    fn reached_all(&self, all: &StopAll, metric: &Metric, elapsed: Duration) -> bool {
        !all.is_empty()
            && all.max_trials.is_none_or(|max| self.ended >= max)
            && all.max_wall_time.is_none_or(|max| elapsed >= max)
            && all.max_measurements.is_none_or(|max| self.measurements >= max)
            && all.max_cost.is_none_or(|max| self.cost >= max)
            && all.target.is_none_or(|target| self.has_come_to(target, metric))
            && all.plateau.is_none_or(|plateau| self.since >= plateau.max(1))
            && all.noise_floor.is_none_or(|factor| self.is_at_floor(factor))
    }
}

/// The loss of a trial so far, if all constraints are known and met.
fn loss(trial: &Trial, header: &Header, reports: &Reports) -> Option<f64> {
    let rule = header.metric.value;
    // A result that was told stands in place of the reports, and so does a failure.
    let are_replicates = rule == ValueRule::Mean && !trial.measurements.is_empty();
    let count = are_replicates && trial.told.is_none() && trial.measured.is_none() && trial.failure.is_none();
    let (value, constraints) = match reports.means().filter(|_| count) {
        Some(means) => means,
        None => (trial.value(rule)?, trial.constraints(rule)),
    };
    let met = constraints.len() == header.constraints.len() && constraints.iter().all(|value| *value <= 0.0);
    met.then_some(header.metric.goal.loss(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::stream::Stream;
    use crate::rules::study::{Setup, Study};
    use crate::words::domain::Domain;
    use crate::words::space::Space;
    use crate::words::trial::{Measured, Outcome, Status, TrialId};

    fn study() -> Study {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        Study::new(Setup::new(space, Metric::maximize("score"))).unwrap()
    }

    /// The tally kept along the way, which must be the one that is made afresh.
    fn told(study: &mut Study, tally: &mut Tally, value: f64) {
        let trial = study.ask().unwrap().assignment().unwrap().trial;
        study.at(Duration::from_secs(study.started())).report(trial, 1, Measured::new(value / 2.0).cost(0.5)).unwrap();
        tally.update(study.trial(trial).unwrap(), study.header());
        study.tell(trial, Measured::new(value).cost(1.0)).unwrap();
        tally.update(study.trial(trial).unwrap(), study.header());
        let again = Tally::of(study.trials(), study.header());
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
    fn a_noise_floor_is_reached_where_the_gain_is_at_most_its_factor_of_the_noise() {
        let (mut tally, metric) = (Tally::default(), Metric::minimize("loss"));
        let rule = |factor| StopRule { noise_floor: Some(factor), ..StopRule::default() };
        let mut reached = |floor: Option<NoiseFloor>, factor| {
            tally.judged(floor);
            tally.reached(&rule(factor), &metric, Duration::ZERO)
        };
        assert_eq!(reached(None, 10.0), None);
        let floor = Some(NoiseFloor { trial: TrialId(0), gain: 0.5, noise: 0.25 });
        assert_eq!((reached(floor, 1.9), reached(floor, 2.0)), (None, Some(StoppedBy::NoiseFloor)));
    }

    #[test]
    fn a_noise_floor_needs_noise_and_one_objective_and_a_factor_in_its_range() {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let of = |metric: Metric, factor| {
            let mut setup = Setup::new(space.clone(), metric);
            let check = |setup: &Setup, rule: StopRule| rule.check(&setup.header().unwrap()).map_err(|e| e.to_string());
            let floor = StopRule { noise_floor: Some(factor), ..StopRule::default() };
            let together = StopAll { noise_floor: Some(factor), max_trials: Some(5), ..StopAll::default() };
            let together = StopRule { all: vec![together], ..StopRule::default() };
            assert_eq!(check(&setup, floor.clone()), check(&setup, together));
            assert_eq!(check(&setup, StopRule::default()), Ok(()));
            let said = check(&setup, floor.clone()).err();
            setup.objectives.push(Metric::minimize("size"));
            assert!(check(&setup, floor).is_err());
            said
        };
        assert_eq!(of(Metric::minimize("loss"), 0.1), None);
        assert_eq!(of(Metric::minimize("loss").with_noise(0.1), 10.0), None);
        for (factor, noise, says) in [
            (0.09, Noise::Learned, "from 0.1 to 10"),
            (10.1, Noise::Learned, "from 0.1 to 10"),
            (f64::NAN, Noise::Learned, "NaN"),
            (1.0, Noise::Deterministic, "`loss` is deterministic"),
        ] {
            let said = of(Metric { noise, ..Metric::minimize("loss") }, factor).expect("it is refused");
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn a_trial_that_fails_is_one_without_a_better_value() {
        let (mut study, mut tally) = (study(), Tally::default());
        told(&mut study, &mut tally, 1.0);
        let trial = study.ask().unwrap().assignment().unwrap().trial;
        study.tell(trial, Outcome::Failed("no".to_owned())).unwrap();
        tally.update(study.trial(trial).unwrap(), study.header());
        let rule = StopRule { plateau: Some(1), ..StopRule::default() };
        assert_eq!(tally.reached(&rule, &study.header().metric, Duration::ZERO), Some(StoppedBy::Plateau));
    }

    #[test]
    fn a_value_that_breaks_a_constraint_is_neither_the_target_nor_a_better_one() {
        for metric in [Metric::minimize("loss"), Metric::minimize("loss").replicated()] {
            let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
            let mut study = Study::new(Setup::new(space, metric).constraint("memory")).unwrap();
            let mut tally = Tally::default();
            let mut run = |value: f64, memory: f64| {
                let trial = study.ask().unwrap().assignment().unwrap().trial;
                // Whether the constraint is met is not known before the second report.
                for (step, measured) in [(1, Measured::new(value)), (2, Measured::new(value).constraints([memory]))] {
                    study.report(trial, step, measured).unwrap();
                    tally.update(study.trial(trial).unwrap(), study.header());
                }
                study.tell(trial, Outcome::Done).unwrap();
                tally.update(study.trial(trial).unwrap(), study.header());
                let reached = |rule: StopRule| tally.reached(&rule, &study.header().metric, Duration::ZERO);
                let target = reached(StopRule { target: Some(1.0), ..StopRule::default() });
                let plateau = reached(StopRule { plateau: Some(2), ..StopRule::default() });
                (target.is_some(), plateau.is_some())
            };
            let met = [(2.0, -1.0), (0.5, 1.0), (0.4, 2.0)].map(|(value, memory)| run(value, memory));
            assert_eq!(met, [(false, false), (false, false), (false, true)]);
            assert_eq!(run(0.9, 0.0), (true, false));
        }
    }

    #[test]
    fn the_figures_of_replicates_are_those_of_all_of_them_at_every_report() {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let metric = Metric::minimize("loss").replicated();
        let mut study = Study::new(Setup::new(space, metric).constraint("a").constraint("b")).unwrap();
        let mut stream = Stream::of_study(1, "test");
        let mut tally = Tally::default();
        let mut step = 0;
        for i in 0..400 {
            let running = study.trials().iter().find(|t| t.status == Status::Running).map(|t| t.id);
            let trial = running.unwrap_or_else(|| study.ask().unwrap().assignment().unwrap().trial);
            step += 1;
            let mut measured = Measured::new(stream.normal());
            if stream.below(4) > 0 {
                measured = measured.constraints([stream.normal() - 0.5, stream.normal() - 0.5]);
            }
            measured.cost = (stream.below(3) > 0).then_some(step as f64);
            study.report(trial, step, measured).unwrap();
            let t = study.trial(trial).unwrap();
            tally.update(t, study.header());
            let counted = &tally.counted[trial.0 as usize];
            assert_eq!(counted.cost, t.cost().unwrap_or(0.0), "{i}");
            let constraints = t.constraints(ValueRule::Mean);
            let met = constraints.len() == 2 && constraints.iter().all(|value| *value <= 0.0);
            let expected = t.value(ValueRule::Mean).filter(|_| met);
            assert_eq!(loss(t, study.header(), &counted.reports), expected, "{i}");
            match i % 50 {
                20 => study.interrupt(trial).unwrap(),
                49 => {
                    let all = Measured::new(stream.normal()).constraints([0.0, 0.0]).cost(1e3);
                    study.tell(trial, all).unwrap();
                    tally.update(study.trial(trial).unwrap(), study.header());
                    let fresh = Tally::of(study.trials(), study.header());
                    let parts = |t: &Tally| (t.measurements, t.cost, t.best, t.since, t.ended);
                    assert_eq!(parts(&tally), parts(&fresh), "{i}");
                }
                _ => {}
            }
        }
        assert!(tally.least.is_some() && tally.ended == 8);
    }

    #[test]
    fn limits_that_belong_together_end_a_study_when_all_are_reached() {
        let (mut study, mut tally) = (study(), Tally::default());
        let metric = study.header().metric.clone();
        for value in [1.0, 3.0, 2.0, 3.0] {
            told(&mut study, &mut tally, value);
        }
        // Reached exactly: 4 trials, 4 measurements, a cost of 4, the value 3, 2 trials without a better one, 60 s, and
        // a gain as large as the noise.
        let full = StopAll {
            max_trials: Some(4),
            max_wall_time: Some(Duration::from_secs(60)),
            max_measurements: Some(4),
            max_cost: Some(4.0),
            target: Some(3.0),
            plateau: Some(2),
            noise_floor: Some(1.0),
        };
        tally.judged(Some(NoiseFloor { trial: TrialId(0), gain: 0.2, noise: 0.2 }));
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
            StopAll { noise_floor: Some(0.9), ..full },
            StopAll::default(),
        ];
        for all in short {
            assert_eq!(reached(&[all]), None, "{all:?}");
        }
        // One entry is enough.
        assert_eq!(reached(&[short[0], full]), Some(StoppedBy::All));
    }
}

//! `Tabulated`: earlier measurements as an objective for the simulator: a table of configuration and step to values and
//! seconds. The caller reads the rows, from a CSV, JSON or Parquet file or a database.

use std::collections::BTreeMap;

use super::stream::Stream;
use crate::words::domain::Domain;
use crate::words::metric::Metric;
use crate::words::space::{ConfigError, Space};
use crate::words::trial::{Assignment, Measured, TrialId, mean};
use crate::words::value::Config;

/// One row: the report of a configuration's run at a step.
#[derive(Debug, Clone, PartialEq)]
pub struct TabulatedRow {
    /// The configuration.
    pub config: Config,
    /// Number of the run, for configurations that ran several times; otherwise 0.
    pub run: u64,
    /// Number of the step: 1, 2, 3, ... without a gap.
    pub step: u64,
    /// The report.
    pub measured: Measured,
    /// The duration of this step, in seconds.
    pub seconds: f64,
}

/// Why rows do not form a table of a space.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TabulatedError {
    /// There is no row.
    #[error("the table has no row; give at least one")]
    Empty,
    /// A configuration is not in the space.
    #[error("row {row} of the table is not in the space: {source}")]
    Outside {
        /// The row, from 0.
        row: usize,
        /// The fault in its configuration.
        source: ConfigError,
    },
    /// A step's time is not positive.
    #[error("row {row} of the table took {seconds} s; a step takes a positive, finite time")]
    Seconds {
        /// The row, from 0.
        row: usize,
        /// Its time.
        seconds: f64,
    },
    /// Two rows are of the same step of one run.
    #[error("row {row} of the table repeats run {run} of {config} at step {step}; give each run its own number")]
    Double {
        /// The row, from 0.
        row: usize,
        /// The configuration.
        config: String,
        /// The run.
        run: u64,
        /// The step.
        step: u64,
    },
    /// A row is of a step before the first.
    #[error("row {row} of the table is of step 0; steps are numbered from 1")]
    Zero {
        /// The row, from 0.
        row: usize,
    },
    /// A run has no row for a step before its last.
    #[error("run {run} of {config} has no row for step {step}; a run has one for each step from 1 to its last")]
    Gap {
        /// The configuration.
        config: String,
        /// The run.
        run: u64,
        /// The step that is missing.
        step: u64,
    },
}

/// A table of the reports of configurations, to simulate studies on.
///
/// ```
/// use tunekit::tuner::{Simulator, Tabulated, TabulatedRow};
/// use tunekit::{Config, Domain, Measured, Metric, SchedulerKind, SearcherKind, Setup, Space, Study};
///
/// // Nine epochs of each of eight rates, as a file might have them.
/// let rates = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0];
/// let space = Space::new().with("rate", Domain::ordinal(rates)?)?;
/// let rows = rates.into_iter().flat_map(|rate| {
///     (1..=9).map(move |epoch| TabulatedRow {
///         config: Config::new().with("rate", rate),
///         run: 0,
///         step: epoch,
///         measured: Measured::new((rate - 0.2_f64).abs() + 1.0 / epoch as f64),
///         seconds: 60.0,
///     })
/// });
/// let table = Tabulated::new(&space, rows)?;
///
/// let setup = Setup::new(space, Metric::minimize("loss").deterministic())
///     .searcher(SearcherKind::Random)
///     .scheduler(SchedulerKind::AshaPromotion)
///     .max_resource(9);
/// let mut study = Study::new(setup)?;
/// study.limit_trials(Some(8));
/// let simulation = Simulator::new(2).run(&mut study, f64::INFINITY, table.objective(0))?;
/// assert!(simulation.reports < 8 * 9);
/// assert_eq!(study.best().and_then(|best| best.config.float("rate")), Some(0.2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Tabulated {
    space: Space,
    /// By [`Config::key`].
    configs: BTreeMap<String, Runs>,
    /// Whether a missing configuration is answered by the nearest one in the table.
    is_nearest: bool,
    /// Whether each step is a new measurement of the same thing.
    is_replicated: bool,
}

/// The steps of one run: report and duration.
type Steps = BTreeMap<u64, (Measured, f64)>;

/// The runs of one configuration.
#[derive(Debug, Clone, PartialEq)]
struct Runs {
    point: Vec<f64>,
    /// By run: its steps in order.
    runs: Vec<Vec<(Measured, f64)>>,
}

impl Tabulated {
    /// The table of these rows, in any order.
    ///
    /// # Errors
    /// No rows, a configuration outside the space, an invalid time, a step 0, a row twice, or a missing row.
    pub fn new(space: &Space, rows: impl IntoIterator<Item = TabulatedRow>) -> Result<Self, TabulatedError> {
        let mut found: BTreeMap<(String, u64), (Config, Steps)> = BTreeMap::new();
        for (row, one) in rows.into_iter().enumerate() {
            let TabulatedRow { config, run, step, measured, seconds } = one;
            let config = space.conform(&config).map_err(|source| TabulatedError::Outside { row, source })?;
            if !(seconds > 0.0 && seconds.is_finite()) {
                return Err(TabulatedError::Seconds { row, seconds });
            }
            if step == 0 {
                return Err(TabulatedError::Zero { row });
            }
            let (_, steps) = found.entry((config.key(), run)).or_insert_with(|| (config.clone(), Steps::new()));
            if steps.insert(step, (measured, seconds)).is_some() {
                return Err(TabulatedError::Double { row, config: config.to_string(), run, step });
            }
        }
        let mut configs: BTreeMap<String, Runs> = BTreeMap::new();
        for ((key, run), (config, steps)) in found {
            if let Some(step) = steps.keys().zip(1..).find_map(|(is, wanted)| (*is != wanted).then_some(wanted)) {
                return Err(TabulatedError::Gap { config: config.to_string(), run, step });
            }
            let point = space.encode(&config).map_err(|source| TabulatedError::Outside { row: 0, source })?;
            let runs = configs.entry(key).or_insert_with(|| Runs { point, runs: Vec::new() });
            runs.runs.push(steps.into_values().collect());
        }
        if configs.is_empty() {
            return Err(TabulatedError::Empty);
        }
        Ok(Self { space: space.clone(), configs, is_nearest: false, is_replicated: false })
    }

    /// The same, but for a configuration that is not in the table, the nearest one in the table answers. A different
    /// choice counts 1, any other difference its squared distance in the unit cube. Without this, such a trial fails.
    #[must_use]
    pub fn nearest(self) -> Self {
        Self { is_nearest: true, ..self }
    }

    /// The same, but each step of a trial is a new measurement of its configuration, drawn from the last rows of its
    /// runs in a random order of the trial. It is for schedulers that treat reports as replicates. All runs come before
    /// any repeats. The rows' costs are left out, because each is of one run, and a trial's cost must not fall.
    #[must_use]
    pub fn replicated(self) -> Self {
        Self { is_replicated: true, ..self }
    }

    /// Number of configurations.
    pub fn len(&self) -> usize {
        self.configs.len()
    }

    /// Whether the table is empty, which it never is.
    pub fn is_empty(&self) -> bool {
        self.configs.is_empty()
    }

    /// The best value at step `steps`, averaged over the runs of its configuration that reached the step, for
    /// comparison with a simulated study. `None` if no run reached it with a finite value.
    pub fn best(&self, metric: &Metric, steps: u64) -> Option<f64> {
        let means = self.configs.values().filter_map(|runs| {
            let ends = runs.runs.iter().filter_map(|run| run.get(usize::try_from(steps).ok()?.checked_sub(1)?));
            let values: Vec<f64> = ends.map(|(measured, _)| measured.value).collect();
            mean(&values).filter(|mean| mean.is_finite())
        });
        means.min_by(|a, b| metric.goal.loss(*a).total_cmp(&metric.goal.loss(*b)))
    }

    /// The objective for [`Simulator::run`](crate::tuner::Simulator::run). A trial of a configuration that ran several
    /// times follows one of the runs, drawn by the seed and the trial's number.
    pub fn objective(&self, seed: u64) -> impl FnMut(&Assignment, u64) -> Result<(Measured, f64), String> + '_ {
        move |job, step| self.at(&job.config, job.trial, step, seed)
    }

    /// A trial's report at `step`, and the duration of the step.
    ///
    /// # Errors
    /// A sentence: the table has no such configuration, or the run ended before this step.
    pub fn at(&self, config: &Config, trial: TrialId, step: u64, seed: u64) -> Result<(Measured, f64), String> {
        let key = self.space.conform(config).map_err(|error| error.to_string())?.key();
        let runs = match self.configs.get(&key) {
            Some(runs) => runs,
            None if self.is_nearest => self.nearest_to(config)?,
            None => return Err(format!("the table has no {config}")),
        };
        if self.is_replicated {
            // A shuffled deck of the runs, and then another one.
            let count = runs.runs.len() as u64;
            let (deck, card) = ((step.max(1) - 1) / count, (step.max(1) - 1) % count);
            let mut stream = Stream::keyed(seed ^ deck.wrapping_mul(0x9E37_79B9_7F4A_7C15), trial, "tabulated");
            let mut order: Vec<usize> = (0..runs.runs.len()).collect();
            for i in 0..order.len() {
                let j = i + stream.below(order.len() - i);
                order.swap(i, j);
            }
            let last = runs.runs[order[card as usize]].last().cloned();
            let (measured, seconds) = last.ok_or_else(|| format!("the table has no run of {config}"))?;
            return Ok((Measured { cost: None, ..measured }, seconds));
        }
        let mut stream = Stream::keyed(seed, trial, "tabulated");
        let run = &runs.runs[stream.below(runs.runs.len())];
        let row = usize::try_from(step).ok().and_then(|step| run.get(step.checked_sub(1)?));
        row.cloned().ok_or_else(|| format!("the table's run of {config} ends at step {}", run.len()))
    }

    fn nearest_to(&self, config: &Config) -> Result<&Runs, String> {
        let point = self.space.encode(config).map_err(|error| error.to_string())?;
        let apart = |other: &Runs| -> f64 {
            let each = self.space.iter().zip(point.iter().zip(&other.point)).map(|((_, domain), (a, b))| {
                if matches!(domain, Domain::Categorical(_) | Domain::Bool) {
                    f64::from(u8::from(a != b))
                } else {
                    (a - b) * (a - b)
                }
            });
            each.sum()
        };
        let nearest = self.configs.values().min_by(|a, b| apart(a).total_cmp(&apart(b)));
        nearest.ok_or_else(|| "the table has no row".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        let space = Space::new().with("n", Domain::int(1, 9).unwrap()).unwrap();
        space.with("kind", Domain::categorical(["a", "b"]).unwrap()).unwrap()
    }

    fn config(n: i64, kind: &str) -> Config {
        Config::new().with("n", n).with("kind", kind)
    }

    fn row(n: i64, run: u64, step: u64, value: f64) -> TabulatedRow {
        TabulatedRow { config: config(n, "a"), run, step, measured: Measured::new(value), seconds: 2.0 }
    }

    #[test]
    fn a_trial_follows_one_run_and_fails_where_the_table_ends() {
        let rows = [row(1, 0, 2, 0.5), row(1, 0, 1, 1.0), row(1, 7, 1, 10.0), row(1, 7, 2, 5.0)];
        let table = Tabulated::new(&space(), rows).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for trial in 0..20 {
            let at = |step| table.at(&config(1, "a"), TrialId(trial), step, 3).map(|(measured, _)| measured.value);
            let curve = [at(1).unwrap(), at(2).unwrap()];
            assert!(curve == [1.0, 0.5] || curve == [10.0, 5.0]);
            assert_eq!(at(3), Err("the table's run of n=1 kind=a ends at step 2".to_owned()));
            seen.insert(curve[0] as u64);
        }
        assert_eq!(seen.len(), 2);
        assert!(table.at(&config(2, "a"), TrialId(0), 1, 3).unwrap_err().contains("no n=2 kind=a"));
        assert_eq!(table.best(&Metric::minimize("m"), 2), Some(2.75));
        assert_eq!(table.best(&Metric::minimize("m"), 3), None);
        let rows = [row(1, 0, 1, 1.0), row(2, 0, 1, f64::NAN), row(3, 0, 1, 2.0)];
        let table = Tabulated::new(&space(), rows).unwrap();
        assert_eq!(table.best(&Metric::maximize("m"), 1), Some(2.0));
        assert_eq!(table.best(&Metric::minimize("m"), 1), Some(1.0));
    }

    #[test]
    fn replicates_are_all_runs_before_any_comes_again() {
        let table = Tabulated::new(&space(), (0..4).map(|run| row(1, run, 1, run as f64))).unwrap().replicated();
        let at = |step| table.at(&config(1, "a"), TrialId(5), step, 0).unwrap().0.value as u64;
        for deck in [1..=4, 5..=8] {
            let mut cards: Vec<u64> = deck.map(at).collect();
            cards.sort_unstable();
            assert_eq!(cards, [0, 1, 2, 3]);
        }
        let costly = |run: u64| TabulatedRow { measured: Measured::new(1.0).cost(2.0), ..row(1, run, 1, 1.0) };
        let table = Tabulated::new(&space(), (0..2).map(costly)).unwrap();
        let cost = |table: &Tabulated| table.at(&config(1, "a"), TrialId(5), 1, 0).unwrap().0.cost;
        assert_eq!([cost(&table), cost(&table.clone().replicated())], [Some(2.0), None]);
    }

    #[test]
    fn the_nearest_configuration_answers_where_that_is_asked_for() {
        let mut rows = vec![row(1, 0, 1, 1.0), row(6, 0, 1, 6.0)];
        rows.push(TabulatedRow { config: config(9, "b"), ..row(9, 0, 1, 9.0) });
        let table = Tabulated::new(&space(), rows).unwrap().nearest();
        let at = |n, kind| table.at(&config(n, kind), TrialId(0), 1, 0).unwrap().0.value;
        assert_eq!([at(2, "a"), at(5, "a"), at(9, "a"), at(1, "b")], [1.0, 6.0, 6.0, 9.0]);
        assert_eq!(table.len(), 3);
    }

    #[test]
    fn rows_that_are_no_table_are_refused_with_their_place() {
        let refused = |rows: Vec<TabulatedRow>| Tabulated::new(&space(), rows).unwrap_err().to_string();
        assert!(refused(vec![]).contains("no row"));
        assert!(
            refused(vec![row(1, 0, 1, 1.0), row(10, 0, 1, 1.0)]).contains("row 1 of the table is not in the space")
        );
        assert!(refused(vec![row(1, 0, 1, 1.0), row(1, 0, 1, 2.0)]).contains("row 1 of the table repeats run 0"));
        assert!(refused(vec![row(1, 0, 1, 1.0), row(1, 0, 3, 2.0)]).contains("no row for step 2"));
        assert!(refused(vec![row(1, 0, 2, 1.0)]).contains("no row for step 1"));
        let from_zero = refused((0..3).map(|step| row(1, 0, step, 1.0)).collect());
        assert_eq!(from_zero, "row 0 of the table is of step 0; steps are numbered from 1");
        assert!(refused(vec![TabulatedRow { seconds: 0.0, ..row(1, 0, 1, 1.0) }]).contains("took 0 s"));
    }
}

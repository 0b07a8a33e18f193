//! `Experiment`: the tables of a study, from its journal alone. Files and formats are the doors' business.

use super::advice::Advice;
use super::distribution::standard_deviation;
use super::history::History;
use super::study::{ReplayError, Study, Trials};
use crate::words::domain::Domain;
use crate::words::event::{Event, Header};
use crate::words::table::{Cells, Table};
use crate::words::trial::Trial;
use crate::words::value::Value;

/// The measurements of a study, as tables. It is read-only and needs no searcher, so it reads journals of any searcher.
///
/// ```
/// use tunekit::{Domain, Experiment, Metric, Outcome, Setup, Space, Study};
/// let space = Space::new().with("n", Domain::int(1, 8)?)?;
/// let mut study = Study::new(Setup::new(space, Metric::time("seconds").replicated()))?;
/// let job = study.ask()?.assignment().ok_or("no trial")?;
/// study.report(job.trial, 1, 2.0)?;
/// study.report(job.trial, 2, 4.0)?;
/// study.tell(job.trial, Outcome::Done)?;
///
/// let experiment = Experiment::from_events(study.take_events())?;
/// let table = experiment.trials_table();
/// assert_eq!(table.column("value").map(|c| c.text(0)), Some("3.0".to_owned()));
/// assert_eq!(experiment.measurements_table().rows(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Experiment {
    header: Header,
    trials: Vec<Trial>,
    /// The scheduler's; the default where the journal names a scheduler of somebody's own.
    advice: Advice,
}

impl Experiment {
    /// The experiment from these events.
    ///
    /// # Errors
    /// The first event is not a header, the schema is a later one, or events contradict each other.
    pub fn from_events(events: impl IntoIterator<Item = Event>) -> Result<Self, ReplayError> {
        let Trials { header, trials, advice } = Trials::fold(events)?;
        Ok(Self { header, trials, advice })
    }

    /// The experiment so far.
    pub fn of(study: &Study) -> Self {
        let (header, trials) = (study.header().clone(), study.trials().to_vec());
        // As its journal would tell it.
        let is_known = header.scheduler.kind().is_some();
        let advice = if is_known { study.advice() } else { Advice::default() };
        Self { header, trials, advice }
    }

    /// The description of the study.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All trials, by number.
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// The view that searchers have: under the scheduler's advice.
    pub(in crate::rules) fn history(&self) -> History<'_> {
        History::of(&self.header, &self.trials).under(self.advice.clone())
    }

    /// The same, with those results only that can be compared with each other.
    pub(in crate::rules) fn compared(&self) -> History<'_> {
        History::of(&self.header, &self.trials).comparable(&self.advice).under(self.advice.clone())
    }

    /// Number of measurements that count, over all trials that did not fail.
    pub fn measurements(&self) -> usize {
        self.trials.iter().map(|t| t.samples(self.header.metric.value).len()).sum()
    }

    /// One row per trial: `trial_id`, `status`, `origin`, `value` (the mean of its measurements, by the metric's rule),
    /// `n` of them, their standard deviation `sd`, `attempt`, `started_s` and `ended_s` in seconds of the study,
    /// `elapsed_s` between, `failure`, an `objective_NAME` for every further objective, a `constraint_NAME` for every
    /// constraint, `cost` if any trial has one, and a `config_NAME` for every parameter, empty where it does not exist.
    ///
    /// A trial that was cut off has the status `cut_off` and its bound in a column `at_least`, which exists if any
    /// trial has one; such a bound is neither in `value` nor counted in `n`.
    pub fn trials_table(&self) -> Table {
        let rule = self.header.metric.value;
        let rows = &self.trials;
        let samples: Vec<Vec<f64>> = rows.iter().map(|t| t.samples(rule)).collect();
        let mut columns = vec![
            ("trial_id".to_owned(), ints(rows, |t| Some(t.id.0 as i64))),
            ("status".to_owned(), texts(rows, |t| Some(t.status.as_str().to_owned()))),
            (
                "origin".to_owned(),
                texts(rows, |t| serde_json::to_value(t.origin).ok().and_then(|v| v.as_str().map(str::to_owned))),
            ),
            ("value".to_owned(), floats(rows, |t| t.value(rule))),
            ("n".to_owned(), Cells::Int(samples.iter().map(|s| Some(s.len() as i64)).collect())),
            ("sd".to_owned(), Cells::Float(samples.iter().map(|s| standard_deviation(s)).collect())),
            ("attempt".to_owned(), ints(rows, |t| Some(t.attempt.into()))),
            ("started_s".to_owned(), floats(rows, |t| t.started_s)),
            ("ended_s".to_owned(), floats(rows, |t| t.ended_s)),
            ("elapsed_s".to_owned(), floats(rows, |t| Some(t.ended_s? - t.started_s?))),
            ("failure".to_owned(), texts(rows, |t| t.failure.clone())),
        ];
        if rows.iter().any(|t| t.at_least.is_some()) {
            columns.push(("at_least".to_owned(), floats(rows, |t| t.at_least)));
        }
        let header = &self.header;
        for (k, objective) in header.objectives.iter().enumerate() {
            let cells = floats(rows, |t| t.more(rule).get(k).copied());
            columns.push((format!("objective_{}", objective.name), cells));
        }
        for (k, constraint) in header.constraints.iter().enumerate() {
            let cells = floats(rows, |t| t.constraints(rule).get(k).copied());
            columns.push((format!("constraint_{constraint}"), cells));
        }
        if rows.iter().any(|t| t.cost().is_some()) {
            columns.push(("cost".to_owned(), floats(rows, Trial::cost)));
        }
        columns.extend(self.config_columns(&rows.iter().collect::<Vec<_>>()));
        Table::new(columns)
    }

    /// One row per measurement, in the order of trials and steps: `trial_id`, `step`, `value`, `at_s` in seconds of the
    /// study, `status` of the trial, and a `config_NAME` for every parameter. A trial told with a value has it as its
    /// last row, without a step; reports that an interruption made void are left out. The last row of a trial that was
    /// cut off has no `step` and no `value`, but its bound in a column `at_least`, which exists if any trial has one.
    pub fn measurements_table(&self) -> Table {
        struct Row<'a> {
            trial: &'a Trial,
            step: Option<i64>,
            value: Option<f64>,
            at_least: Option<f64>,
            at_s: Option<f64>,
        }
        let mut rows = Vec::new();
        for trial in &self.trials {
            let reported = trial.measurements.iter();
            rows.extend(reported.map(|m| Row {
                trial,
                step: Some(m.step as i64),
                value: Some(m.value),
                at_least: None,
                at_s: m.at_s,
            }));
            let (value, at_least) = (trial.told, trial.at_least);
            if value.is_some() || at_least.is_some() {
                rows.push(Row { trial, step: None, value, at_least, at_s: trial.ended_s });
            }
        }
        let mut columns = vec![
            ("trial_id".to_owned(), ints(&rows, |r| Some(r.trial.id.0 as i64))),
            ("step".to_owned(), ints(&rows, |r| r.step)),
            ("value".to_owned(), floats(&rows, |r| r.value)),
            ("at_s".to_owned(), floats(&rows, |r| r.at_s)),
            ("status".to_owned(), texts(&rows, |r| Some(r.trial.status.as_str().to_owned()))),
        ];
        if rows.iter().any(|r| r.at_least.is_some()) {
            columns.push(("at_least".to_owned(), floats(&rows, |r| r.at_least)));
        }
        columns.extend(self.config_columns(&rows.iter().map(|r| r.trial).collect::<Vec<_>>()));
        Table::new(columns)
    }

    /// The measurements with the column names of Syne Tune's results, for notebooks that were written for those:
    /// `trial_id`, the metric by its name, `st_worker_iter` (the step from 0), `st_tuner_time` (seconds of the study),
    /// `st_status` (`Completed`, `Stopped`, `Paused`, `Failed` or `InProgress`), and a `config_NAME` for every
    /// parameter.
    pub fn syne_tune_table(&self) -> Table {
        let mut columns = Vec::new();
        for (name, cells) in self.measurements_table().columns() {
            let name = match name {
                "step" => "st_worker_iter".to_owned(),
                "value" => self.header.metric.name.clone(),
                "at_s" => "st_tuner_time".to_owned(),
                "status" => "st_status".to_owned(),
                other => other.to_owned(),
            };
            let cells = match (name.as_str(), cells) {
                ("st_worker_iter", Cells::Int(steps)) => {
                    Cells::Int(steps.iter().map(|step| step.map(|step| step - 1)).collect())
                }
                ("st_status", Cells::Text(words)) => {
                    let word = |word: &String| {
                        let word = match word.as_str() {
                            "completed" => "Completed",
                            "stopped" | "cut_off" => "Stopped",
                            "paused" => "Paused",
                            "failed" | "timed_out" | "infeasible" => "Failed",
                            _ => "InProgress",
                        };
                        word.to_owned()
                    };
                    Cells::Text(words.iter().map(|cell| cell.as_ref().map(word)).collect())
                }
                (_, cells) => cells.clone(),
            };
            columns.push((name, cells));
        }
        Table::new(columns)
    }

    fn config_columns(&self, rows: &[&Trial]) -> Vec<(String, Cells)> {
        let column = |(name, domain): (&str, &Domain)| {
            let value = |t: &&Trial| t.config.value(name).cloned();
            let cells = match domain {
                Domain::Float(_) => floats(rows, |t| value(t)?.as_f64()),
                Domain::Int(_) => ints(rows, |t| value(t)?.as_i64()),
                Domain::Bool => Cells::Bool(rows.iter().map(|t| value(t)?.as_bool()).collect()),
                Domain::Categorical(c) | Domain::Ordinal(c) => {
                    if c.values().iter().all(|v| matches!(v, Value::Int(_))) {
                        ints(rows, |t| value(t)?.as_i64())
                    } else if c.values().iter().all(|v| v.as_f64().is_some()) {
                        floats(rows, |t| value(t)?.as_f64())
                    } else {
                        texts(rows, |t| Some(value(t)?.to_string()))
                    }
                }
            };
            (format!("config_{name}"), cells)
        };
        self.header.space.iter().map(column).collect()
    }
}

fn floats<R>(rows: &[R], cell: impl Fn(&R) -> Option<f64>) -> Cells {
    Cells::Float(rows.iter().map(cell).collect())
}

fn ints<R>(rows: &[R], cell: impl Fn(&R) -> Option<i64>) -> Cells {
    Cells::Int(rows.iter().map(cell).collect())
}

fn texts<R>(rows: &[R], cell: impl Fn(&R) -> Option<String>) -> Cells {
    Cells::Text(rows.iter().map(cell).collect())
}

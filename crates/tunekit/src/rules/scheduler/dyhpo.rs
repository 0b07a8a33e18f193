//! DyHPO (Wistuba, Kadra and Grabocka 2022, "Supervising the multi-fidelity race of hyperparameter optimization"): each
//! job is one level of one trial, of the one whose next level is expected to improve most.
//!
//! Everything follows from the history: there is nothing to fold.

use super::levels::Levels;
use super::{Advice, History, Job, ScheduleError, Scheduler, Stream, enough};
use crate::rules::searcher;
use crate::rules::searcher::Gp;
use crate::words::plan::{Plan, PlannedBracket, PlannedRung};
use crate::words::schedule::{DyhpoOptions, SchedulerSpec};
use crate::words::trial::{Decision, Trial};
use crate::words::value::Config;

/// The most levels.
const MOST: u64 = 1000;

/// Lets the paused trial go on by one level, or begins a new one at the lowest, whichever is expected to improve most
/// on the best value seen at the level it would come to (Alg. 1). Where no trial has come to that level, the best value
/// of the highest level below counts. No trial is stopped before its end; one that promises nothing stays paused.
///
/// Differences from the paper:
/// - its model is a Gaussian process over configuration and resource, with a kernel of
///   [`ResourceKernel`](crate::scheduler::ResourceKernel), and no network that learns features of both and of the
///   curve;
/// - new configurations are searched for in the whole space, in place of a list drawn beforehand, and the first few are
///   spread over it, in place of one drawn at random;
/// - the probabilities that constraints are met and that a trial does not fail multiply the improvement;
/// - several workers are served: a trial that runs is left out, and nothing is assumed about its result;
/// - a level is a tenth of the maximal resource, unless the options say otherwise.
///
/// Costs do not count. Where reports are replicates or there are several objectives, a trial's value so far, the
/// metric's, is modelled without the resource.
#[derive(Debug)]
pub struct Dyhpo {
    options: DyhpoOptions,
    levels: Levels,
    /// A cache: its answers follow from the history.
    model: searcher::Dyhpo,
}

impl Dyhpo {
    pub(super) fn new(options: &DyhpoOptions, max: u64) -> Result<Self, ScheduleError> {
        let interval = if options.interval == 0 { max.div_ceil(10) } else { options.interval };
        let levels = Levels::every(interval, max, MOST)?;
        Ok(Self { options: options.clone(), levels, model: searcher::Dyhpo::new(options.kernel) })
    }

    /// The level that a trial comes to next; `None` at its end.
    fn next_level(&self, trial: &Trial) -> Option<usize> {
        let step = trial.last_step().unwrap_or(0);
        let level = self.levels.all().partition_point(|level| *level <= step);
        (level < self.levels.len()).then_some(level)
    }
}

impl Scheduler for Dyhpo {
    fn name(&self) -> &str {
        "dyhpo"
    }

    fn spec(&self) -> SchedulerSpec {
        SchedulerSpec::Dyhpo(self.options.clone())
    }

    fn next(&mut self, history: &History<'_>, _: &mut Stream) -> Job {
        let start = Job::Start { resource: Some(self.levels.at(0)) };
        let history = history.clone().under(self.advice(history));
        let paused = history.paused().filter_map(|trial| Some((trial, self.next_level(trial)?)));
        let paused: Vec<(&Trial, usize)> = paused.collect();
        let spreads = history.trials().len() < Gp::first(&history);
        if paused.is_empty() || (history.may_start() && spreads) {
            return start;
        }
        // The paused ones are left if there is no new configuration.
        let new = if history.may_start() { self.model.candidate(&history).ok() } else { None };
        let steps = paused.iter().map(|(trial, level)| (&trial.config, *level));
        let steps: Vec<(&Config, usize)> = steps.chain(new.as_ref().map(|config| (config, 0))).collect();
        let worths = match self.model.improvements(&history, &steps) {
            Some(worths) => worths,
            None if new.is_some() => return start,
            None => {
                // Without a model the best value so far.
                let value = |(trial, _): &(&Trial, usize)| trial.loss(history.metric()).map_or(f64::NAN, |loss| -loss);
                paused.iter().map(value).collect()
            }
        };
        // The first of equals, a paused one before a new one.
        let best = (0..steps.len()).reduce(|a, b| if worths[b] > worths[a] || worths[a].is_nan() { b } else { a });
        match best.and_then(|best| paused.get(best)) {
            Some((trial, level)) => Job::Resume { trial: trial.id, resource: Some(self.levels.at(*level)) },
            None => start,
        }
    }

    fn on_report(&mut self, _: &History<'_>, trial: &Trial) -> Decision {
        let step = trial.last_step().unwrap_or(0);
        match trial.resource {
            _ if step >= self.levels.max() => Decision::Stop,
            Some(level) if step < level => Decision::Continue,
            _ => Decision::Pause,
        }
    }

    fn advice(&self, history: &History<'_>) -> Advice {
        let mut values = vec![0; self.levels.len()];
        for trial in history.trials().iter().filter(|trial| trial.failure.is_none()) {
            let step = trial.measurements.last().map_or(0, |last| last.step);
            let reached = self.levels.all().partition_point(|level| *level <= step);
            values[..reached].iter_mut().for_each(|count| *count += 1);
        }
        // One level of every trial; how many follow is not settled.
        let first = PlannedRung { resource: self.levels.at(0), quota: None, share: 1.0 };
        Advice {
            fidelity: enough(&values, history).map(|level| self.levels.at(level)),
            levels: self.levels.all().to_vec(),
            plan: Some(Plan { brackets: vec![PlannedBracket { share: 1.0, rungs: vec![first] }] }),
            ..Advice::default()
        }
    }
}

//! Studies of a known function, and whether their answers are true.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tunekit::searcher::Stream;
use tunekit::{Ask, Config, Decision, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Status, Study};

use crate::functions::Function;

/// Measurements of a study.
const MEASUREMENTS: u64 = 40;
/// Measurements of a study that races, which measures a configuration over and over.
const RACING: u64 = 80;

/// Trials of a study with rungs, and how far a full run goes.
const CLIMBING: usize = 60;
const FULL: u64 = 9;

/// The cost of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plan {
    /// One measurement.
    Once,
    /// Replicates, while they may be the best.
    Races,
    /// Runs that get better from one step to the next, stopped at rungs.
    Rungs,
}

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) function: Function,
    pub(crate) searcher: SearcherKind,
    pub(crate) plan: Plan,
    /// Standard deviation of the noise, a share of the mean.
    pub(crate) noise: f64,
}

/// The answer of a study, compared with the truth.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Said {
    /// Whether there is an interval, and whether the true mean lies in it.
    pub(crate) covers: Option<bool>,
    /// The mean it says over the true one, less 1.
    pub(crate) bias: f64,
    /// Whether its interval lies below the true mean of the first configuration.
    pub(crate) claims_a_gain: bool,
    /// The true mean of its answer over that of the lowest there is.
    pub(crate) mean: f64,
}

impl Row {
    /// The studies of these seeds, so many at once.
    pub(crate) fn studies(self, seeds: Range<u64>, threads: usize) -> Result<Vec<Said>, String> {
        let next = AtomicU64::new(seeds.start);
        let hand = || -> Result<Vec<Said>, String> {
            let mut said = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds.end {
                    return Ok(said);
                }
                said.push(self.study(seed)?);
            }
        };
        std::thread::scope(|scope| {
            let hands: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(hand)).collect();
            let all = hands.into_iter().map(|hand| hand.join().map_err(|_| "a study panicked".to_owned())?);
            Ok(all.collect::<Result<Vec<_>, String>>()?.concat())
        })
    }

    fn study(self, seed: u64) -> Result<Said, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}, seed {seed}: {error}", self.function.name());
        let metric = Metric::time("seconds");
        let metric = if self.plan == Plan::Rungs { metric } else { metric.replicated() };
        let setup = Setup::new(self.function.space(), metric).seed(seed).searcher(self.searcher);
        let (setup, measurements) = match self.plan {
            Plan::Once => (setup, MEASUREMENTS),
            Plan::Races => (setup.scheduler(SchedulerKind::Racing).max_resource(10), RACING),
            Plan::Rungs => (setup.scheduler(SchedulerKind::Asha).max_resource(FULL), u64::MAX),
        };
        let mut study = Study::new(setup).map_err(|error| failed(&error))?;
        let mut noise = Stream::of_study(seed, "noise of the function");
        let (mut done, mut first) = (0, None);
        while done < measurements && (self.plan != Plan::Rungs || study.trials().len() < CLIMBING) {
            let Ask::Trial(job) = study.ask().map_err(|error| failed(&error))? else { break };
            let mut measure = |config: &Config, done: u64, step: u64| {
                let z = noise.normal();
                let share = done as f64 / measurements as f64;
                self.mean(config, share, step) * self.noise.mul_add(z, -0.5 * self.noise * self.noise).exp()
            };
            first.get_or_insert_with(|| job.config.clone());
            match job.resource {
                Some(until) => {
                    // Past a rung a run goes on until it is told to stop.
                    let until = if self.plan == Plan::Rungs { FULL } else { until };
                    let from = study.trial(job.trial).map_or(0, |trial| trial.measurements.len() as u64);
                    for step in from + 1..=until {
                        let value = measure(&job.config, done, step);
                        done += 1;
                        study.at(Duration::from_secs(done));
                        let decision = study.report(job.trial, step, value).map_err(|error| failed(&error))?;
                        if decision != Decision::Continue {
                            break;
                        }
                    }
                    if study.trial(job.trial).is_some_and(|trial| trial.status == Status::Running) {
                        study.tell(job.trial, Outcome::Done).map_err(|error| failed(&error))?;
                    }
                }
                None => {
                    let value = measure(&job.config, done, FULL);
                    done += 1;
                    study.at(Duration::from_secs(done));
                    study.tell(job.trial, value).map_err(|error| failed(&error))?;
                }
            }
        }
        let best = study.best().ok_or_else(|| failed(&"nothing was measured"))?;
        let truth = self.mean(&best.config, 1.0, FULL);
        let first = first.map_or(f64::NAN, |config| self.mean(&config, 1.0, FULL));
        Ok(Said {
            covers: best.ci95.map(|[low, high]| (low..=high).contains(&truth)),
            bias: best.mean / truth - 1.0,
            claims_a_gain: best.ci95.map_or(best.mean, |[_, high]| high) < first,
            mean: truth,
        })
    }

    /// The mean at a step of a run, after this share of the study.
    fn mean(self, config: &Config, share: f64, step: u64) -> f64 {
        let behind = if self.plan == Plan::Rungs { 1.0 + 1.0 / (1.0 + step as f64) } else { 1.0 };
        self.function.mean(config, share) * behind
    }
}

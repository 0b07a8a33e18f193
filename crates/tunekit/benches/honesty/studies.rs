//! Studies of a known function, and whether what they say of their answer is true.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tunekit::searcher::Stream;
use tunekit::{Ask, Config, Decision, Metric, Outcome, SchedulerKind, SearcherKind, Setup, Status, Study};

use crate::functions::Function;

/// Measurements of a study.
const MEASUREMENTS: u64 = 40;
/// Measurements of a study that races, which measures a configuration over and over.
const RACING: u64 = 80;

/// One row of the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) function: Function,
    pub(crate) searcher: SearcherKind,
    pub(crate) racing: bool,
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
    /// As many studies, on both hands of a small machine.
    pub(crate) fn studies(self, seeds: u64) -> Result<Vec<Said>, String> {
        let next = AtomicU64::new(0);
        let hand = || -> Result<Vec<Said>, String> {
            let mut said = Vec::new();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return Ok(said);
                }
                said.push(self.study(seed)?);
            }
        };
        std::thread::scope(|scope| {
            let hands = [scope.spawn(hand), scope.spawn(hand)];
            let all = hands.into_iter().map(|hand| hand.join().map_err(|_| "a study panicked".to_owned())?);
            Ok(all.collect::<Result<Vec<_>, String>>()?.concat())
        })
    }

    fn study(self, seed: u64) -> Result<Said, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}, seed {seed}: {error}", self.function.name());
        let setup = Setup::new(self.function.space(), Metric::time("seconds").replicated()).seed(seed);
        let setup = setup.searcher(self.searcher);
        let (setup, measurements) = if self.racing {
            (setup.scheduler(SchedulerKind::Racing).max_resource(10), RACING)
        } else {
            (setup, MEASUREMENTS)
        };
        let mut study = Study::new(setup).map_err(|error| failed(&error))?;
        let mut noise = Stream::of_study(seed, "noise of the function");
        let (mut done, mut first) = (0, None);
        while done < measurements {
            let Ask::Trial(job) = study.ask().map_err(|error| failed(&error))? else { break };
            let mut measure = |config: &Config, done: u64| {
                let z = noise.normal();
                let share = done as f64 / measurements as f64;
                self.function.mean(config, share) * self.noise.mul_add(z, -0.5 * self.noise * self.noise).exp()
            };
            first.get_or_insert_with(|| job.config.clone());
            match job.resource {
                Some(until) => {
                    let from = study.trial(job.trial).map_or(0, |trial| trial.measurements.len() as u64);
                    for step in from + 1..=until {
                        let value = measure(&job.config, done);
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
                    let value = measure(&job.config, done);
                    done += 1;
                    study.at(Duration::from_secs(done));
                    study.tell(job.trial, value).map_err(|error| failed(&error))?;
                }
            }
        }
        let best = study.best().ok_or_else(|| failed(&"nothing was measured"))?;
        let truth = self.function.mean(&best.config, 1.0);
        let first = first.map_or(f64::NAN, |config| self.function.mean(&config, 1.0));
        Ok(Said {
            covers: best.ci95.map(|[low, high]| (low..=high).contains(&truth)),
            bias: best.mean / truth - 1.0,
            claims_a_gain: best.ci95.map_or(best.mean, |[_, high]| high) < first,
            mean: truth,
        })
    }
}

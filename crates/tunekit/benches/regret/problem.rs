//! A function to be searched, and studies of it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tunekit::searcher::Stream;
use tunekit::{Ask, Config, Measured, Metric, Outcome, SearcherKind, Setup, Space, Study};

/// A trial's value without noise; `None` if it fails.
pub(crate) type Truth = Box<dyn Fn(&Config) -> Option<Vec<f64>> + Send + Sync>;
/// The loss of an answer, by the true values of the recommendation.
pub(crate) type Loss = Box<dyn Fn(&[Vec<f64>]) -> f64 + Send + Sync>;

/// A function, and the task of a searcher.
pub(crate) struct Problem {
    pub(crate) number: u64,
    pub(crate) space: Space,
    pub(crate) metrics: Vec<Metric>,
    pub(crate) trials: u64,
    /// Standard deviation of the noise: a share of the value, or the same everywhere.
    pub(crate) noise: Noise,
    pub(crate) truth: Truth,
    pub(crate) loss: Loss,
    /// The meaning of the loss.
    pub(crate) measure: &'static str,
}

/// The noise on the first objective.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Noise {
    Share(f64),
    Same(f64),
}

/// The outcome of a study.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ran {
    pub(crate) function: u64,
    pub(crate) seed: u64,
    /// The loss of the recommendation.
    pub(crate) loss: f64,
    /// The loss of the lowest measurement, for programs that recommend it.
    pub(crate) seen: f64,
    /// Trials that failed.
    pub(crate) failed: u64,
}

/// Each problem with each seed, on both hands of a small machine, in order.
pub(crate) fn run_all(
    problems: &[Problem],
    searcher: SearcherKind,
    seeds: std::ops::Range<u64>,
) -> Result<Vec<Ran>, String> {
    let all: Vec<(&Problem, u64)> =
        problems.iter().flat_map(|problem| seeds.clone().map(move |seed| (problem, seed))).collect();
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let hand = || -> Result<(), String> {
        while let Some((problem, seed)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let ran = problem.study(searcher, *seed)?;
            done.lock().map_err(|_| "a study panicked".to_owned())?.push(ran);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let hands = [scope.spawn(hand), scope.spawn(hand)];
        hands.into_iter().try_for_each(|hand| hand.join().map_err(|_| "a study panicked".to_owned())?)
    })?;
    let mut ran = done.into_inner().map_err(|_| "a study panicked".to_owned())?;
    ran.sort_by_key(|one: &Ran| (one.function, one.seed));
    Ok(ran)
}

impl Problem {
    fn study(&self, searcher: SearcherKind, seed: u64) -> Result<Ran, String> {
        let failed = |error: &dyn std::fmt::Display| format!("function {}, seed {seed}: {error}", self.number);
        let mut metrics = self.metrics.iter().cloned();
        let first = metrics.next().ok_or_else(|| failed(&"no metric"))?;
        let setup = Setup::new(self.space.clone(), first).seed(seed).searcher(searcher).budget(self.trials);
        let mut study = Study::new(metrics.fold(setup, Setup::objective)).map_err(|error| failed(&error))?;
        let mut noise = Stream::of_study(seed ^ (self.number << 20), "noise of the function");
        let (mut failures, mut lowest) = (0, None::<(f64, Vec<f64>)>);
        for _ in 0..self.trials {
            let Ask::Trial(job) = study.ask().map_err(|error| failed(&error))? else { break };
            let z = noise.normal();
            let Some(truth) = (self.truth)(&job.config) else {
                failures += 1;
                let outcome = Outcome::Failed("not possible".to_owned());
                study.tell(job.trial, outcome).map_err(|error| failed(&error))?;
                continue;
            };
            let value = match self.noise {
                Noise::Share(sd) => truth[0] * sd.mul_add(z, -0.5 * sd * sd).exp(),
                Noise::Same(sd) => truth[0] + sd * z,
            };
            if lowest.as_ref().is_none_or(|(other, _)| value < *other) {
                lowest = Some((value, truth.clone()));
            }
            let measured = Measured::new(value).more(&truth[1..]);
            study.tell(job.trial, measured).map_err(|error| failed(&error))?;
        }
        let truth = |config: &Config| (self.truth)(config);
        let recommended: Vec<Vec<f64>> = if self.metrics.len() > 1 {
            // Every trial counts, for the front is the user's to choose from.
            study.trials().iter().filter_map(|trial| truth(&trial.config)).collect()
        } else {
            study.best().and_then(|best| truth(&best.config)).into_iter().collect()
        };
        let seen: Vec<Vec<f64>> = lowest.map(|(_, truth)| truth).into_iter().collect();
        Ok(Ran {
            function: self.number,
            seed,
            loss: (self.loss)(&recommended),
            seen: (self.loss)(&seen),
            failed: failures,
        })
    }
}

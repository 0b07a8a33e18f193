//! `History`: what searchers and schedulers may see. A view; it decides nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::stream::Stream;
use crate::words::metric::{Goal, Metric};
use crate::words::space::Space;
use crate::words::trial::{Trial, TrialId};
use crate::words::value::Config;

/// All a decision may depend on: the space, the metric, the seed, and every trial so far, pending ones included.
#[derive(Debug, Clone, Copy)]
pub struct History<'a> {
    space: &'a Space,
    metric: &'a Metric,
    seed: u64,
    trials: &'a [Trial],
}

/// One configuration with everything measured there.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed<'a> {
    /// The first trial that ran it.
    pub trial: TrialId,
    /// The configuration.
    pub config: &'a Config,
    /// Its measurements over all its trials, in the order of trials; not empty.
    pub samples: Vec<f64>,
}

impl<'a> History<'a> {
    /// A view of these trials, which are numbered by their place.
    pub fn new(space: &'a Space, metric: &'a Metric, seed: u64, trials: &'a [Trial]) -> Self {
        Self { space, metric, seed, trials }
    }

    /// The parameters.
    pub fn space(&self) -> &'a Space {
        self.space
    }

    /// What is measured.
    pub fn metric(&self) -> &'a Metric {
        self.metric
    }

    /// Which direction is better.
    pub fn goal(&self) -> Goal {
        self.metric.goal
    }

    /// The study's seed. Randomness for one trial comes as an argument; this is for what all trials share.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// All trials, by number.
    pub fn trials(&self) -> &'a [Trial] {
        self.trials
    }

    /// The number the next new trial will have.
    pub fn next_trial(&self) -> TrialId {
        TrialId(self.trials.len() as u64)
    }

    /// A random stream of one purpose for the whole study.
    pub fn stream(&self, purpose: &str) -> Stream {
        Stream::of_study(self.seed, purpose)
    }

    /// Every configuration with a measurement from a trial that is not pending and did not fail, in the order of its
    /// first trial, replicates of one configuration together.
    pub fn observed(&self) -> Vec<Observed<'a>> {
        let mut at: BTreeMap<String, usize> = BTreeMap::new();
        let mut all: Vec<Observed<'a>> = Vec::new();
        for trial in self.trials.iter().filter(|t| !t.is_pending()) {
            let samples = trial.samples(self.metric.value);
            if samples.is_empty() {
                continue;
            }
            let i = *at.entry(trial.config.key()).or_insert_with(|| {
                all.push(Observed { trial: trial.id, config: &trial.config, samples: Vec::new() });
                all.len() - 1
            });
            all[i].samples.extend(samples);
        }
        all
    }

    /// The configurations a result is still awaited of, in order; one that runs twice is listed twice.
    pub fn pending(&self) -> Vec<&'a Config> {
        self.trials.iter().filter(|t| t.is_pending()).map(|t| &t.config).collect()
    }

    /// The configurations that failed and have never succeeded since, each once.
    pub fn failed(&self) -> Vec<&'a Config> {
        let observed: BTreeSet<String> = self.observed().iter().map(|o| o.config.key()).collect();
        let mut failed: BTreeMap<String, &'a Config> = BTreeMap::new();
        for trial in self.trials.iter().filter(|t| t.failure.is_some() && t.is_finished()) {
            let key = trial.config.key();
            if !observed.contains(&key) {
                failed.insert(key, &trial.config);
            }
        }
        failed.into_values().collect()
    }

    /// How often each configuration was given out or added, by [`Config::key`].
    pub fn uses(&self) -> BTreeMap<String, usize> {
        let mut uses = BTreeMap::new();
        for trial in self.trials {
            *uses.entry(trial.config.key()).or_insert(0) += 1;
        }
        uses
    }
}

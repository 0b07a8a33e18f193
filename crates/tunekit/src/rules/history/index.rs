//! `Index`: which trials are of one configuration, and how trials stand, without a walk over all of them.
//!
//! It follows from the trials alone, holds about 60 bytes for each, and is brought up to date trial by trial.

use std::collections::{BTreeSet, HashMap};

use crate::words::hash::BuildAsIs;
use crate::words::trial::{Origin, Status, Trial};
use crate::words::value::Config;

/// No next one in a chain.
const END: u32 = u32::MAX;

/// What is known of the trials beside themselves. Trials go by their place.
#[derive(Debug, Clone, Default)]
pub(in crate::rules) struct Index {
    configurations: Vec<Counts>,
    /// By fingerprint: the first configuration of a chain of those that share it.
    chains: HashMap<u64, u32, BuildAsIs>,
    /// By trial.
    places: Vec<Place>,
    pending: BTreeSet<usize>,
    interrupted: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    started: u64,
    given: usize,
}

/// One configuration.
#[derive(Debug, Clone)]
struct Counts {
    /// The first trial of it.
    first: u32,
    /// The next configuration of the same fingerprint.
    next: u32,
    uses: u32,
    pending: u32,
    measured: u32,
}

/// A trial's configuration, and what was counted of the trial there.
#[derive(Debug, Clone, Copy)]
struct Place {
    configuration: u32,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Standing {
    pending: bool,
    interrupted: bool,
    measured: bool,
    failed: bool,
}

impl Standing {
    fn of(trial: &Trial) -> Self {
        let pending = trial.is_pending();
        Self {
            pending,
            interrupted: trial.status == Status::Interrupted,
            measured: !pending && trial.has_samples(),
            failed: trial.failure.is_some() && trial.is_finished(),
        }
    }
}

impl Index {
    /// The index of these trials.
    pub(in crate::rules) fn of(trials: &[Trial]) -> Self {
        let mut index = Self::default();
        (0..trials.len()).for_each(|i| index.update(trials, i));
        index
    }

    /// Takes notice that the trial in place `i` is new, the next one, or has changed.
    pub(in crate::rules) fn update(&mut self, trials: &[Trial], i: usize) {
        let trial = &trials[i];
        if i == self.places.len() {
            self.insert(trials, i);
        }
        let place = &mut self.places[i];
        let (before, now) = (place.standing, Standing::of(trial));
        if before == now {
            return;
        }
        place.standing = now;
        let counts = &mut self.configurations[place.configuration as usize];
        counts.pending = counts.pending + u32::from(now.pending) - u32::from(before.pending);
        counts.measured = counts.measured + u32::from(now.measured) - u32::from(before.measured);
        for (set, before, now) in [
            (&mut self.pending, before.pending, now.pending),
            (&mut self.interrupted, before.interrupted, now.interrupted),
            (&mut self.failed, before.failed, now.failed),
        ] {
            match (before, now) {
                (false, true) => drop(set.insert(i)),
                (true, false) => drop(set.remove(&i)),
                _ => {}
            }
        }
    }

    fn insert(&mut self, trials: &[Trial], i: usize) {
        let trial = &trials[i];
        self.started += u64::from(trial.origin != Origin::Added);
        self.given += usize::from(trial.origin == Origin::Given);
        let fingerprint = trial.config.fingerprint();
        let configuration = match self.find(trials, &trial.config, fingerprint) {
            Some(known) => known,
            None => {
                let new = u32::try_from(self.configurations.len()).expect("fewer than 2^32 trials fit into memory");
                let next = self.chains.insert(fingerprint, new).unwrap_or(END);
                // There are no more configurations than trials, so a trial's place fits where theirs does.
                self.configurations.push(Counts { first: i as u32, next, uses: 0, pending: 0, measured: 0 });
                new
            }
        };
        self.configurations[configuration as usize].uses += 1;
        self.places.push(Place { configuration, standing: Standing::default() });
    }

    fn find(&self, trials: &[Trial], config: &Config, fingerprint: u64) -> Option<u32> {
        let mut next = self.chains.get(&fingerprint).copied().unwrap_or(END);
        while next != END {
            let counts = &self.configurations[next as usize];
            if trials[counts.first as usize].config == *config {
                return Some(next);
            }
            next = counts.next;
        }
        None
    }

    fn counts(&self, trials: &[Trial], config: &Config) -> Option<&Counts> {
        self.find(trials, config, config.fingerprint()).map(|found| &self.configurations[found as usize])
    }

    /// How often a configuration was given out or added.
    pub(super) fn uses(&self, trials: &[Trial], config: &Config) -> usize {
        self.counts(trials, config).map_or(0, |c| c.uses as usize)
    }

    /// Whether a trial of a configuration is pending.
    pub(super) fn is_pending(&self, trials: &[Trial], config: &Config) -> bool {
        self.counts(trials, config).is_some_and(|c| c.pending > 0)
    }

    /// How many configurations there are.
    pub(super) fn configurations(&self) -> usize {
        self.configurations.len()
    }

    /// The number of a trial's configuration.
    pub(super) fn configuration(&self, trial: usize) -> usize {
        self.places[trial].configuration as usize
    }

    /// Whether a trial of the configuration has samples.
    pub(super) fn is_measured(&self, configuration: usize) -> bool {
        self.configurations[configuration].measured > 0
    }

    /// Trials whose result is awaited, in order.
    pub(super) fn pending(&self) -> impl Iterator<Item = usize> {
        self.pending.iter().copied()
    }

    /// Trials that failed, in order.
    pub(super) fn failed(&self) -> impl Iterator<Item = usize> {
        self.failed.iter().copied()
    }

    /// The first trial that was interrupted.
    pub(in crate::rules) fn first_interrupted(&self) -> Option<usize> {
        self.interrupted.first().copied()
    }

    /// How many trials were started: all but those added.
    pub(in crate::rules) fn started(&self) -> u64 {
        self.started
    }

    /// How many of the points to evaluate were given out.
    pub(in crate::rules) fn given(&self) -> usize {
        self.given
    }
}

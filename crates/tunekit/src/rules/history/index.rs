//! `Index`: the trials of each configuration, and the states of trials, without a walk over all of them.
//!
//! It follows from the trials alone, holds about 60 bytes for each, and is updated trial by trial.

use std::collections::{BTreeSet, HashMap};

use crate::words::hash::BuildAsIs;
use crate::words::trial::{Origin, Status, Trial};
use crate::words::value::Config;

/// No next one in a chain.
const END: u32 = u32::MAX;

/// Facts about the trials that would need a walk over all of them. Trials go by their place.
#[derive(Debug, Clone, Default)]
pub(in crate::rules) struct Index {
    configurations: Vec<Counts>,
    /// By fingerprint: the first configuration of the chain of configurations with that fingerprint.
    chains: HashMap<u64, u32, BuildAsIs>,
    /// By trial.
    places: Vec<Place>,
    pending: BTreeSet<usize>,
    interrupted: BTreeSet<usize>,
    paused: BTreeSet<usize>,
    failed: BTreeSet<usize>,
    started: u64,
    given: usize,
    /// The trial of each report and told value that counts, in the order of their arrival.
    arrivals: Vec<u32>,
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

/// A trial's configuration, and the trial's counts there.
#[derive(Debug, Clone, Copy)]
struct Place {
    configuration: u32,
    standing: Standing,
    arrived: u32,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Standing {
    pending: bool,
    interrupted: bool,
    paused: bool,
    measured: bool,
    failed: bool,
}

impl Standing {
    fn of(trial: &Trial) -> Self {
        let pending = trial.is_pending();
        Self {
            pending,
            interrupted: trial.status == Status::Interrupted,
            paused: trial.status == Status::Paused,
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
        self.arrive(trial, i);
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
            (&mut self.paused, before.paused, now.paused),
            (&mut self.failed, before.failed, now.failed),
        ] {
            match (before, now) {
                (false, true) => drop(set.insert(i)),
                (true, false) => drop(set.remove(&i)),
                _ => {}
            }
        }
    }

    /// Adds a trial's reports, and removes the reports that an interruption made void.
    fn arrive(&mut self, trial: &Trial, i: usize) {
        let count = trial.measurements.len() + usize::from(trial.told.is_some());
        let place = &mut self.places[i];
        let known = place.arrived as usize;
        // There are no more reports of one trial than fit into memory, and a trial's place fits already.
        place.arrived = count as u32;
        for _ in count..known {
            self.arrivals.iter().rposition(|place| *place as usize == i).map(|last| self.arrivals.remove(last));
        }
        self.arrivals.extend((known..count).map(|_| i as u32));
    }

    /// The trials of all reports and told values, in the order of their arrival.
    pub(super) fn arrivals(&self) -> impl Iterator<Item = usize> {
        self.arrivals.iter().map(|place| *place as usize)
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
        self.places.push(Place { configuration, standing: Standing::default(), arrived: 0 });
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

    /// Whether a trial of a configuration is pending, and how often the configuration was given out or added.
    pub(super) fn standing(&self, trials: &[Trial], config: &Config) -> (bool, usize) {
        let found = self.find(trials, config, config.fingerprint());
        found.map(|found| &self.configurations[found as usize]).map_or((false, 0), |c| (c.pending > 0, c.uses as usize))
    }

    /// The first trial of a configuration.
    pub(super) fn first(&self, configuration: usize) -> usize {
        self.configurations[configuration].first as usize
    }

    /// Number of configurations.
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

    /// The trials without a result so far, in order.
    pub(in crate::rules) fn pending(&self) -> impl Iterator<Item = usize> {
        self.pending.iter().copied()
    }

    /// Trials that are paused, in order.
    pub(super) fn paused(&self) -> impl Iterator<Item = usize> {
        self.paused.iter().copied()
    }

    /// Trials that failed, in order.
    pub(super) fn failed(&self) -> impl Iterator<Item = usize> {
        self.failed.iter().copied()
    }

    /// The first trial that was interrupted.
    pub(in crate::rules) fn first_interrupted(&self) -> Option<usize> {
        self.interrupted.first().copied()
    }

    /// Number of trials that were started: all but those added.
    pub(in crate::rules) fn started(&self) -> u64 {
        self.started
    }

    /// Number of points to evaluate that were given out.
    pub(in crate::rules) fn given(&self) -> usize {
        self.given
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rules::history::History;
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
    use crate::words::space::Space;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// An index that was kept trial by trial agrees with walks over all trials.
        #[test]
        fn an_index_says_what_the_trials_say(steps in prop::collection::vec((0..12_usize, 0..4_i64, 0..7_u8), 1..80)) {
            let space = Space::new().with("n", Domain::int(0, 3).unwrap()).unwrap();
            let metric = Metric::minimize("loss");
            let mut trials: Vec<Trial> = Vec::new();
            let mut index = Index::default();
            for (i, n, what) in steps {
                let i = i.min(trials.len());
                if i == trials.len() {
                    let origin = [Origin::Searcher, Origin::Given, Origin::Added][n as usize % 3];
                    trials.push(crate::rules::study::blank(i as u64, Config::new().with("n", n), origin));
                }
                let t = &mut trials[i];
                (t.status, t.told, t.failure) = match what {
                    0 | 1 => (Status::Running, None, None),
                    2 => (Status::Interrupted, None, None),
                    3 => (Status::Paused, None, None),
                    4 => (Status::Completed, Some(1.0), None),
                    5 => (Status::Failed, None, Some("no".to_owned())),
                    _ => (Status::Running, None, Some("no number".to_owned())),
                };
                index.update(&trials, i);
                let kept = History::new(&space, &metric, 0, &trials).indexed(&index);
                let pending: Vec<&Config> = trials.iter().filter(|t| t.is_pending()).map(|t| &t.config).collect();
                prop_assert_eq!(kept.pending(), pending.clone());
                prop_assert_eq!(index.started(), trials.iter().filter(|t| t.origin != Origin::Added).count() as u64);
                prop_assert_eq!(index.given(), trials.iter().filter(|t| t.origin == Origin::Given).count());
                let interrupted = trials.iter().position(|t| t.status == Status::Interrupted);
                prop_assert_eq!(index.first_interrupted(), interrupted);
                let good = |c: &Config| trials.iter().any(|t| t.config == *c && t.status == Status::Completed);
                for n in 0..4 {
                    let config = Config::new().with("n", n);
                    let uses = trials.iter().filter(|t| t.config == config).count();
                    prop_assert_eq!(kept.used(&config), uses);
                    prop_assert_eq!(kept.is_pending(&config), pending.contains(&&config));
                    let failed = trials.iter().any(|t| t.config == config && t.status == Status::Failed);
                    prop_assert_eq!(kept.failed().contains(&&config), failed && !good(&config));
                    prop_assert_eq!(kept.observed().iter().any(|o| *o.config == config), good(&config));
                }
                // One that is made when it is asked for says the same.
                let lazy = History::new(&space, &metric, 0, &trials);
                prop_assert_eq!(lazy.observed(), kept.observed());
                prop_assert_eq!(lazy.failed(), kept.failed());
            }
        }
    }
}

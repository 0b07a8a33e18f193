//! `Rung`: the trials that reached one level of one bracket of asynchronous successive halving, and the next of them to
//! go on.

use std::collections::BTreeSet;

use super::costs::Costs;
use super::front::{Standing, Standings};
use super::split::{Key, Split};
use crate::words::schedule::FrontOrder;
use crate::words::trial::TrialId;

/// The treatment of a rung's best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// They go on, the others stop.
    Stops,
    /// All pause, and they are promoted.
    Promotes,
    /// The same, up to a rung that grows with need.
    Grows,
    /// The same, where the best are those of all objectives.
    Fronts(FrontOrder),
    /// All pause, and they are promoted unless an old one of the rung is better.
    Rushes,
}

/// The values that reached one level of one bracket.
#[derive(Debug, Clone, Default)]
pub(super) struct Rung {
    pub(super) split: Split,
    /// Paused here, and not promoted.
    pub(super) waiting: BTreeSet<Key>,
    promoted: usize,
    /// Only where these decide.
    costs: Costs,
    /// Likewise.
    standings: Standings,
    /// The configurations that were good in earlier studies.
    old: BTreeSet<Key>,
}

/// A trial that reaches a rung.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) key: Key,
    pub(super) cost: Option<f64>,
    /// Its objectives and constraints, where all objectives decide.
    pub(super) standing: Option<Standing>,
    /// Whether it is one by which newer ones are measured: it came from an earlier study, and did not fail.
    pub(super) is_old: bool,
}

/// By which rule a rung's best are found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    pub(super) form: Form,
    pub(super) eta: u64,
    pub(super) by_cost: bool,
}

impl Rule {
    /// Number of trials, of `n`, that go on where costs do not decide.
    pub(super) fn quota(self, n: usize) -> usize {
        let best = usize::try_from(self.eta).map_or(0, |eta| n / eta);
        // A trial cannot wait to see whether others are better, so the first one goes on.
        if self.form == Form::Stops { best.max(1) } else { best }
    }
}

impl Rung {
    /// Puts a trial among the others.
    pub(super) fn insert(&mut self, arrival: Arrival, rule: Rule) {
        let Arrival { key, cost, standing, is_old } = arrival;
        if is_old {
            self.old.insert(key);
        }
        if let Some(standing) = standing {
            self.standings.insert(key, standing);
        }
        if rule.by_cost {
            self.costs.insert(&mut self.split, key, cost, rule.eta);
        } else {
            self.split.insert(key, |n| rule.quota(n));
        }
    }

    pub(super) fn remove(&mut self, key: Key, rule: Rule) {
        self.standings.remove(&key);
        self.old.remove(&key);
        if rule.by_cost {
            self.costs.remove(&mut self.split, key, rule.eta);
        } else {
            self.split.remove(key, |n| rule.quota(n));
        }
    }

    /// The next trial that goes on from here.
    pub(super) fn next(&self, rule: Rule) -> Option<TrialId> {
        if let Form::Fronts(order) = rule.form {
            let quota = rule.quota(self.split.len());
            let best = if self.promoted < quota { self.standings.best(quota, order) } else { &[] };
            return best.iter().find(|key| self.waiting.contains(key)).map(|key| key.trial);
        }
        if rule.form == Form::Rushes {
            let has_room = self.promoted < rule.quota(self.split.len());
            // An old one is not held up by another old one.
            let beaten = |key: &Key| self.old.first().is_some_and(|old| old.beats(*key)) && !self.old.contains(key);
            let mut best = self.waiting.iter().take_while(|key| has_room && self.split.is_best(key));
            return best.find(|key| !beaten(key)).map(|key| key.trial);
        }
        let best = self.waiting.first().filter(|best| self.split.is_best(best))?;
        let room = match rule.by_cost {
            true => self.costs.allow(best.trial, rule.eta),
            false => self.promoted < rule.quota(self.split.len()),
        };
        room.then_some(best.trial)
    }

    pub(super) fn promote(&mut self, trial: TrialId) {
        self.promoted += 1;
        self.costs.promote(trial);
    }
}

//! `Rung`: the trials that reached one level of one bracket of asynchronous successive halving, and the next of them to
//! go on.

use std::collections::BTreeSet;

use super::costs::Costs;
use super::split::{Key, Split};
use crate::words::trial::TrialId;

/// The treatment of a rung's best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Stops,
    Promotes,
    Grows,
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
    pub(super) fn insert(&mut self, key: Key, cost: Option<f64>, rule: Rule) {
        if rule.by_cost {
            self.costs.insert(&mut self.split, key, cost, rule.eta);
        } else {
            self.split.insert(key, |n| rule.quota(n));
        }
    }

    pub(super) fn remove(&mut self, key: Key, rule: Rule) {
        if rule.by_cost {
            self.costs.remove(&mut self.split, key, rule.eta);
        } else {
            self.split.remove(key, |n| rule.quota(n));
        }
    }

    /// The next trial that goes on from here.
    pub(super) fn next(&self, rule: Rule) -> Option<TrialId> {
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

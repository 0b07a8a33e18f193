//! `Costs`: the number of a rung's best trials that may go on where trials are weighed by their costs.
//!
//! Trials are ranked by their losses. With costs `c_i`, the first `K = max{k: c_1 + ... + c_k <= (c_1 + ... + c_n) /
//! eta}` are the best: an expensive trial takes the place of several cheap ones. With equal costs that is one in eta,
//! as usual. A trial without a cost counts as the mean of the others.

use std::collections::BTreeMap;

use super::split::{Key, Split};
use crate::words::trial::TrialId;

/// Sums of equal costs are equal but for rounding, which grows with their number.
const ROUNDING: f64 = 1.0 + 1e-9;

/// The costs of a rung's trials, and of some of them together.
#[derive(Debug, Clone, Default)]
pub(super) struct Costs {
    known: BTreeMap<TrialId, f64>,
    all: Sum,
    best: Sum,
    promoted: Sum,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    known: f64,
    trials: usize,
    unknown: usize,
}

impl Sum {
    fn add(&mut self, cost: Option<f64>) {
        self.trials += 1;
        match cost {
            Some(cost) => self.known += cost,
            None => self.unknown += 1,
        }
    }

    fn subtract(&mut self, cost: Option<f64>) {
        self.trials -= 1;
        match cost {
            Some(cost) => self.known -= cost,
            None => self.unknown -= 1,
        }
        if self.trials == self.unknown {
            // The sum is 0 again, without rounding errors.
            self.known = 0.0;
        }
    }

    fn with(mut self, cost: Option<f64>) -> Self {
        self.add(cost);
        self
    }
}

impl Costs {
    /// Puts a trial's loss and cost among the others, and sets how many are the best.
    pub(super) fn insert(&mut self, split: &mut Split, key: Key, cost: Option<f64>, eta: u64) {
        if let Some(cost) = cost {
            self.known.insert(key.trial, cost);
        }
        self.all.add(cost);
        if split.put(key) {
            self.best.add(cost);
        }
        self.settle(split, eta);
    }

    /// Takes a trial out.
    pub(super) fn remove(&mut self, split: &mut Split, key: Key, eta: u64) {
        let cost = self.known.remove(&key.trial);
        if let Some(best) = split.take(key) {
            self.all.subtract(cost);
            if best {
                self.best.subtract(cost);
            }
        }
        self.settle(split, eta);
    }

    /// Whether a trial may be promoted beside those that were: all together may have at most one in eta of the rung's
    /// cost.
    pub(super) fn allow(&self, trial: TrialId, eta: u64) -> bool {
        self.fits(self.promoted.with(self.cost(trial)), eta)
    }

    /// Takes notice of a promotion.
    pub(super) fn promote(&mut self, trial: TrialId) {
        let cost = self.cost(trial);
        self.promoted.add(cost);
    }

    fn cost(&self, trial: TrialId) -> Option<f64> {
        self.known.get(&trial).copied()
    }

    fn settle(&mut self, split: &mut Split, eta: u64) {
        while !self.fits(self.best, eta)
            && let Some(last) = split.demote()
        {
            let cost = self.cost(last.trial);
            self.best.subtract(cost);
        }
        while let Some(next) = split.next_best()
            && let with = self.best.with(self.cost(next.trial))
            && self.fits(with, eta)
        {
            split.promote();
            self.best = with;
        }
    }

    /// Whether some are at most one in eta of all, by their costs.
    fn fits(&self, some: Sum, eta: u64) -> bool {
        let said = self.all.trials - self.all.unknown;
        let mean = if said == 0 { 1.0 } else { self.all.known / said as f64 };
        let cost = |sum: Sum| sum.known + sum.unknown as f64 * mean;
        cost(some) * eta as f64 <= cost(self.all) * ROUNDING
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Number of the best trials by these costs, the best first, by the definition.
    fn count(costs: &[Option<f64>], eta: u64) -> usize {
        let known: Vec<f64> = costs.iter().copied().flatten().collect();
        let mean = if known.is_empty() { 1.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
        let all: Vec<f64> = costs.iter().map(|c| c.unwrap_or(mean)).collect();
        let total: f64 = all.iter().sum();
        (0..=all.len()).rfind(|k| all[..*k].iter().sum::<f64>() * eta as f64 <= total * ROUNDING).unwrap_or(0)
    }

    fn best(losses_and_costs: &[(f64, Option<f64>)], eta: u64) -> usize {
        let (mut split, mut costs) = (Split::default(), Costs::default());
        for (i, (loss, cost)) in (0..).zip(losses_and_costs) {
            costs.insert(&mut split, Key::new(Some(*loss), TrialId(i)), *cost, eta);
        }
        (0..).zip(losses_and_costs).filter(|(i, (loss, _))| split.is_best(&Key::new(Some(*loss), TrialId(*i)))).count()
    }

    #[test]
    fn cheap_trials_go_on_in_greater_number_than_dear_ones() {
        let of = |costs: [f64; 6]| best(&[0, 1, 2, 3, 4, 5].map(|i| (i as f64, Some(costs[i]))), 3);
        // 18 in all, of which 6: 1 + 2 + 3.
        assert_eq!(of([1.0, 2.0, 3.0, 4.0, 4.0, 4.0]), 3);
        // 18, of which 6: 4, and not 4 + 4.
        assert_eq!(of([4.0, 4.0, 4.0, 3.0, 2.0, 1.0]), 1);
        assert_eq!(of([7.0, 1.0, 1.0, 1.0, 1.0, 1.0]), 0);
        // As ever where all are equal, also where sums of them are not exact.
        assert_eq!(of([0.1; 6]), 2);
        assert_eq!(best(&[(1.0, None), (2.0, None), (3.0, None)], 3), 1);
        // Two that have not said count as the mean of the others, 2.
        assert_eq!(best(&[(1.0, None), (2.0, Some(1.0)), (3.0, Some(3.0)), (4.0, None)], 2), 2);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against summing up everything every time.
        #[test]
        fn the_best_are_those_of_the_definition(
            steps in prop::collection::vec((0..6_u8, 0..9_u8, prop::bool::weighted(0.2)), 1..60),
            eta in 2..5_u64,
        ) {
            let (mut split, mut costs) = (Split::default(), Costs::default());
            let mut all: Vec<(Key, Option<f64>)> = Vec::new();
            for (i, (loss, cost, removes)) in steps.into_iter().enumerate() {
                if removes && !all.is_empty() {
                    let (key, _) = all.remove(i % all.len());
                    costs.remove(&mut split, key, eta);
                } else {
                    let key = Key::new((loss < 5).then_some(f64::from(loss)), TrialId(i as u64));
                    let cost = (cost > 0).then_some(f64::from(cost) * 0.7);
                    costs.insert(&mut split, key, cost, eta);
                    all.push((key, cost));
                }
                all.sort_by_key(|(key, _)| *key);
                let k = count(&all.iter().map(|(_, cost)| *cost).collect::<Vec<_>>(), eta);
                for (rank, (key, _)) in all.iter().enumerate() {
                    prop_assert_eq!(split.is_best(key), rank < k, "{} of {} with k = {}", rank, all.len(), k);
                }
                if all.iter().all(|(_, cost)| cost.is_none()) {
                    prop_assert_eq!(k, all.len() / eta as usize);
                }
            }
        }
    }
}

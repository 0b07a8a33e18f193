//! `Split`: a set of losses cut into the best few and the rest, which answers "is it among the best k?" in O(log n).

use std::collections::BTreeSet;

use crate::words::trial::TrialId;

/// A trial's loss, ordered; of equals the earlier trial is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    order: u64,
    pub(super) trial: TrialId,
}

impl Key {
    /// The key of a loss; `None` is a failed trial's, which is worse than every loss.
    pub(super) fn new(loss: Option<f64>, trial: TrialId) -> Self {
        Self { order: loss.map_or(u64::MAX, order), trial }
    }

    /// Whether it is strictly better than `other`, whichever trial came first.
    pub(super) fn beats(self, other: Self) -> bool {
        self.order < other.order
    }
}

/// Bits that order as the finite numbers do; both zeros are equal.
fn order(loss: f64) -> u64 {
    let bits = (loss + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// The best `k`, and the others. `k` is the caller's, at each change.
#[derive(Debug, Clone, Default)]
pub(super) struct Split {
    best: BTreeSet<Key>,
    rest: BTreeSet<Key>,
}

impl Split {
    pub(super) fn len(&self) -> usize {
        self.best.len() + self.rest.len()
    }

    pub(super) fn insert(&mut self, key: Key, k: impl Fn(usize) -> usize) {
        self.put(key);
        self.settle(k(self.len()));
    }

    pub(super) fn remove(&mut self, key: Key, k: impl Fn(usize) -> usize) {
        self.take(key);
        self.settle(k(self.len()));
    }

    fn settle(&mut self, k: usize) {
        while self.best.len() > k && self.demote().is_some() {}
        while self.best.len() < k && self.promote().is_some() {}
    }

    /// Inserts without a change of where the cut is, and says whether that was among the best.
    pub(super) fn put(&mut self, key: Key) -> bool {
        let best = self.best.last().is_some_and(|last| key < *last);
        if best { &mut self.best } else { &mut self.rest }.insert(key);
        best
    }

    /// Removes without a change of where the cut is, and says whether that was among the best, if it was there.
    pub(super) fn take(&mut self, key: Key) -> Option<bool> {
        if self.best.remove(&key) {
            return Some(true);
        }
        self.rest.remove(&key).then_some(false)
    }

    /// Moves the cut up by one, and returns the key that it passed.
    pub(super) fn demote(&mut self) -> Option<Key> {
        let last = self.best.pop_last()?;
        self.rest.insert(last);
        Some(last)
    }

    /// Moves the cut down by one, and returns the key that it passed.
    pub(super) fn promote(&mut self) -> Option<Key> {
        let next = self.rest.pop_first()?;
        self.best.insert(next);
        Some(next)
    }

    /// Whether it is among the best.
    pub(super) fn is_best(&self, key: &Key) -> bool {
        self.best.contains(key)
    }

    /// Whether it would be among the best `k` were it inserted; `k` is the present number of the best, or one more.
    pub(super) fn would_be_best(&self, key: Key, k: usize) -> bool {
        if k > self.best.len() {
            self.rest.first().is_none_or(|next| key < *next)
        } else {
            self.best.last().is_some_and(|last| key < *last)
        }
    }

    /// The best of those that are not among the best.
    pub(super) fn next_best(&self) -> Option<Key> {
        self.rest.first().copied()
    }

    /// All, the best first.
    pub(super) fn iter(&self) -> impl Iterator<Item = Key> {
        self.best.iter().chain(&self.rest).copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn losses_order_as_numbers_do_and_failures_come_last() {
        let losses = [-f64::MAX, -1.0, -1e-300, 0.0, 1e-300, 1.0, f64::MAX];
        let keys: Vec<Key> = losses.iter().map(|l| Key::new(Some(*l), TrialId(0))).collect();
        assert!(keys.windows(2).all(|w| w[0].beats(w[1])));
        assert!(keys[6].beats(Key::new(None, TrialId(0))));
        assert_eq!(Key::new(Some(-0.0), TrialId(1)), Key::new(Some(0.0), TrialId(1)));
        assert!(Key::new(Some(1.0), TrialId(1)) < Key::new(Some(1.0), TrialId(2)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Against sorting everything every time.
        #[test]
        fn a_split_says_what_sorting_says(steps in prop::collection::vec((-3..4_i32, prop::bool::weighted(0.25)), 1..60)) {
            let k = |n: usize| n / 3;
            let mut split = Split::default();
            let mut all: Vec<Key> = Vec::new();
            for (i, (loss, removes)) in steps.into_iter().enumerate() {
                if removes && !all.is_empty() {
                    let key = all.remove(i % all.len());
                    split.remove(key, k);
                } else {
                    let key = Key::new((loss < 3).then_some(f64::from(loss)), TrialId(i as u64));
                    let mut then = all.clone();
                    then.push(key);
                    then.sort_unstable();
                    let kn = k(then.len());
                    prop_assert_eq!(split.would_be_best(key, kn), then[..kn].contains(&key));
                    split.insert(key, k);
                    all = then;
                }
                all.sort_unstable();
                prop_assert_eq!(split.len(), all.len());
                prop_assert_eq!(split.iter().collect::<Vec<_>>(), all.clone());
                prop_assert_eq!(split.next_best(), all.get(k(all.len())).copied());
                for (rank, key) in all.iter().enumerate() {
                    prop_assert_eq!(split.is_best(key), rank < k(all.len()));
                }
            }
        }
    }
}

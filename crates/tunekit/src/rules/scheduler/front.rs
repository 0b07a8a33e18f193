//! `Standings`: the best few of a rung where trials are compared by all objectives, and by constraints where there are
//! some: those that meet the constraints first, front by front, then the others, the nearer ones first.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use super::History;
use super::split::Key;
use crate::rules::fronts::{crowding, epsilon_net, excess, fronts};
use crate::words::metric::ValueRule;
use crate::words::schedule::FrontOrder;
use crate::words::trial::Trial;

/// The objectives and constraints of a trial.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Standing {
    /// Every objective's, the metric's first; `None` for a failed trial.
    losses: Option<Vec<f64>>,
    constraints: Vec<f64>,
}

impl Standing {
    /// The standing of a trial whose loss in the metric is given. The others are from its last report, from the means
    /// of its replicates, or told. A missing objective is NaN.
    pub(super) fn of(history: &History<'_>, trial: &Trial, loss: Option<f64>) -> Self {
        let rule: ValueRule = history.metric().value;
        let more = trial.more(rule);
        let further = history.objectives().iter().enumerate();
        let further = further.map(|(k, metric)| more.get(k).map_or(f64::NAN, |value| metric.goal.loss(*value)));
        let mut constraints = trial.constraints(rule);
        constraints.resize(history.constraints().len(), f64::NAN);
        Self { losses: loss.map(|loss| std::iter::once(loss).chain(further).collect()), constraints }
    }
}

/// The trials of a rung.
#[derive(Debug, Clone, Default)]
pub(super) struct Standings {
    all: BTreeMap<Key, Standing>,
    /// The best, as they were asked for since the last change.
    best: OnceCell<Vec<Key>>,
}

impl Standings {
    pub(super) fn insert(&mut self, key: Key, standing: Standing) {
        self.all.insert(key, standing);
        self.best.take();
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.all.remove(key);
        self.best.take();
    }

    /// The best `k`, in order; `k` and `order` are the same until the next change.
    pub(super) fn best(&self, k: usize, order: FrontOrder) -> &[Key] {
        self.best.get_or_init(|| self.ranked(k, order))
    }

    fn ranked(&self, k: usize, order: FrontOrder) -> Vec<Key> {
        let (ok, failed): (Vec<_>, Vec<_>) = self.all.iter().partition(|(_, standing)| standing.losses.is_some());
        let constraints: Vec<Vec<f64>> = ok.iter().map(|(_, standing)| standing.constraints.clone()).collect();
        let excess = excess(&constraints);
        let (met, broken): (Vec<usize>, Vec<usize>) = (0..ok.len()).partition(|i| excess[*i] <= 0.0);
        let points: Vec<Vec<f64>> = met.iter().filter_map(|i| ok[*i].1.losses.clone()).collect();
        let numbers = fronts(&points);
        let mut members: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (place, number) in numbers.iter().enumerate() {
            if let Some(number) = number {
                members.entry(*number).or_default().push(place);
            }
        }
        let mut best = Vec::with_capacity(k);
        for members in members.into_values() {
            if best.len() >= k {
                break;
            }
            let front: Vec<&[f64]> = members.iter().map(|place| points[*place].as_slice()).collect();
            best.extend(within(&front, order).into_iter().map(|i| *ok[met[members[i]]].0));
        }
        let mut broken = broken;
        broken.sort_by(|a, b| excess[*a].total_cmp(&excess[*b]).then(ok[*a].0.trial.cmp(&ok[*b].0.trial)));
        best.extend(broken.into_iter().map(|i| *ok[i].0));
        best.extend(numbers.iter().zip(&met).filter(|(number, _)| number.is_none()).map(|(_, i)| *ok[*i].0));
        best.extend(failed.into_iter().map(|(key, _)| *key));
        best.truncate(k);
        best
    }
}

/// The places of a front's points in order.
fn within(front: &[&[f64]], order: FrontOrder) -> Vec<usize> {
    match order {
        FrontOrder::EpsilonNet => epsilon_net(front),
        FrontOrder::Crowding => {
            let crowded = crowding(front);
            let mut places: Vec<usize> = (0..front.len()).collect();
            places.sort_by(|a, b| crowded[*a].total_cmp(&crowded[*b]).then(a.cmp(b)));
            places
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::trial::TrialId;

    fn standings(all: &[(&[f64], &[f64])]) -> Standings {
        let mut standings = Standings::default();
        for (i, (losses, constraints)) in (0..).zip(all) {
            let key = Key::new(losses.first().copied(), TrialId(i));
            let losses = Some(losses.to_vec()).filter(|losses| !losses.is_empty());
            standings.insert(key, Standing { losses, constraints: constraints.to_vec() });
        }
        standings
    }

    fn best(standings: &Standings, k: usize, order: FrontOrder) -> Vec<u64> {
        standings.ranked(k, order).iter().map(|key| key.trial.0).collect()
    }

    #[test]
    fn fronts_come_first_then_what_breaks_a_constraint_then_what_failed() {
        let all = standings(&[
            (&[1.0, 9.0], &[0.0]),
            (&[0.0, 0.0], &[0.5]),
            (&[], &[]),
            (&[5.0, 5.0], &[-1.0]),
            (&[9.0, 1.0], &[-1.0]),
            (&[6.0, 6.0], &[-1.0]),
            (&[0.0, f64::NAN], &[-1.0]),
            (&[0.0, 0.0], &[0.1]),
        ]);
        assert_eq!(best(&all, 9, FrontOrder::EpsilonNet), [0, 4, 3, 5, 7, 1, 6, 2]);
        assert_eq!(best(&all, 2, FrontOrder::EpsilonNet), [0, 4]);
        assert_eq!(best(&all, 9, FrontOrder::Crowding), [0, 4, 3, 5, 7, 1, 6, 2]);
        assert_eq!(best(&all, 0, FrontOrder::Crowding), [0_u64; 0]);
    }

    #[test]
    fn a_net_and_room_order_a_front_in_their_own_ways() {
        // Four on one front: 0 and 3 are its ends, 1 and 2 are close together, 2 nearer to the middle.
        let all = standings(&[(&[0.0, 10.0], &[]), (&[3.0, 7.0], &[]), (&[4.5, 5.5], &[]), (&[10.0, 0.0], &[])]);
        assert_eq!(best(&all, 3, FrontOrder::EpsilonNet), [0, 3, 2]);
        assert_eq!(best(&all, 3, FrontOrder::Crowding), [0, 3, 2]);
        let all = standings(&[(&[0.0, 10.0], &[]), (&[4.9, 5.1], &[]), (&[5.2, 4.8], &[]), (&[10.0, 0.0], &[])]);
        assert_eq!(best(&all, 4, FrontOrder::EpsilonNet), [0, 3, 1, 2]);
        // By hand: the net takes 2 before 1 and 3, as the farthest from both ends. 1 and 2 have equal room, 3 has less.
        let front = [[0.0, 10.0], [1.0, 9.0], [6.0, 4.0], [7.0, 3.0], [10.0, 0.0]];
        let all = standings(&front.each_ref().map(|losses| (losses.as_slice(), [].as_slice())));
        assert_eq!(best(&all, 5, FrontOrder::EpsilonNet), [0, 4, 2, 1, 3]);
        assert_eq!(best(&all, 5, FrontOrder::Crowding), [0, 4, 1, 2, 3]);
    }

    #[test]
    fn what_is_asked_for_again_follows_from_what_is_there() {
        let mut all = standings(&[(&[1.0, 2.0], &[]), (&[2.0, 1.0], &[])]);
        assert_eq!(all.best(2, FrontOrder::EpsilonNet).len(), 2);
        all.remove(&Key::new(Some(1.0), TrialId(0)));
        assert_eq!(all.best(2, FrontOrder::EpsilonNet), [Key::new(Some(2.0), TrialId(1))]);
    }
}

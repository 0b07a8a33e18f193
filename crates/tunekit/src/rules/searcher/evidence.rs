//! The view of a history that searchers without a Gaussian process share: configurations as points of the unit cube, in
//! the order of their trials, each with its rank. Each searcher chooses the next point by itself.
//!
//! They all work with ranks. So constraints and several objectives only affect the sorting, losses of 1e300 or equal
//! losses need no special case, and a failed trial is worse than every other. A configuration that was cut off ranks
//! behind all that are at least as good as its bound.

use std::collections::BTreeMap;

use super::{History, SuggestError, random, unused};
use crate::rules::fronts::{crowding, excess, fronts};
use crate::rules::history::Observed;
use crate::rules::qmc::Sobol;
use crate::rules::stream::Stream;
use crate::words::domain::Domain;
use crate::words::space::Space;
use crate::words::trial::{TrialId, mean};
use crate::words::value::Config;

/// The meaning of one coordinate of the unit cube.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::rules) enum Axis {
    /// A number or an ordinal; its values are about `cell` apart, 0 for a continuous one.
    Numeric {
        /// The width of a value's cell.
        cell: f64,
    },
    /// One of several values without an order, in equal cells.
    Category {
        /// Number of categories.
        count: u64,
    },
    /// A parameter with one value.
    Fixed,
}

impl Axis {
    /// Those of a space, in order.
    pub(in crate::rules) fn of(space: &Space) -> Vec<Self> {
        let axis = |(_, domain): (&str, &Domain)| match (domain, domain.count()) {
            (_, Some(1)) => Self::Fixed,
            (Domain::Categorical(_) | Domain::Bool, Some(count)) => Self::Category { count },
            (_, count) => Self::Numeric { cell: count.map_or(0.0, |n| 1.0 / n as f64) },
        };
        space.iter().map(axis).collect()
    }

    /// The category of a coordinate.
    pub(super) fn category(u: f64, count: u64) -> u64 {
        ((u * count as f64) as u64).min(count.saturating_sub(1))
    }

    /// The coordinate of a category.
    pub(super) fn of_category(category: u64, count: u64) -> f64 {
        (category as f64 + 0.5) / count as f64
    }
}

/// A configuration with a result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tried {
    /// The first trial that ran it.
    pub(super) trial: TrialId,
    /// The configuration in the unit cube.
    pub(super) point: Vec<f64>,
    /// Number of better trials; equal ones have the same rank. `None` for a failed trial.
    pub(super) rank: Option<usize>,
}

impl Tried {
    /// The sort key: the best first, failed configurations last, equal ones in the order of their trials.
    pub(super) fn order(&self) -> (usize, TrialId) {
        (self.rank.unwrap_or(usize::MAX), self.trial)
    }
}

/// Every configuration that has a result or failed, once, in the order of their first trials. It is the same whichever
/// order they ended in.
pub(super) fn tried(history: &History<'_>) -> Vec<Tried> {
    let space = history.space();
    let observed = history.known();
    let ranks = ranks(history, &observed);
    let mut all: BTreeMap<TrialId, Tried> = BTreeMap::new();
    for (o, rank) in observed.iter().zip(ranks) {
        if let Ok(point) = space.encode(o.config) {
            all.insert(o.trial, Tried { trial: o.trial, point, rank: Some(rank) });
        }
    }
    let failed: BTreeMap<String, &Config> = history.failed().into_iter().map(|c| (c.key(), c)).collect();
    let mut first: BTreeMap<String, TrialId> = BTreeMap::new();
    if !failed.is_empty() {
        for trial in history.trials() {
            let key = trial.config.key();
            if failed.contains_key(&key) {
                first.entry(key).or_insert(trial.id);
            }
        }
    }
    for (key, trial) in first {
        if let Ok(point) = space.encode(failed[&key]) {
            all.insert(trial, Tried { trial, point, rank: None });
        }
    }
    all.into_values().collect()
}

/// For each of these configurations, the number of better ones. Configurations that meet the constraints come first, by
/// their loss. With several objectives they are ordered by non-dominated fronts, and within a front by crowding
/// distance, the least crowded first (Deb, Pratap, Agarwal and Meyarivan 2002). The others follow, ordered by the
/// amount by which they miss the constraints.
fn ranks(history: &History<'_>, observed: &[Observed<'_>]) -> Vec<usize> {
    let of = |samples: &Vec<f64>| mean(samples).unwrap_or(f64::NAN);
    let goals: Vec<_> = std::iter::once(history.goal()).chain(history.objectives().iter().map(|m| m.goal)).collect();
    let losses = |o: &Observed<'_>| -> Vec<f64> {
        let more = goals[1..].iter().zip(&o.more).map(|(goal, samples)| goal.loss(of(samples)));
        std::iter::once(o.loss(goals[0])).chain(more).collect()
    };
    let constraints: Vec<Vec<f64>> = observed.iter().map(|o| o.constraints.iter().map(of).collect()).collect();
    let excess = excess(&constraints);
    let standing =
        |(i, o): (usize, &Observed<'_>)| if o.is_feasible() { (-1.0, losses(o)[0]) } else { (excess[i], 0.0) };
    let mut standing: Vec<(f64, f64)> = observed.iter().enumerate().map(standing).collect();
    if goals.len() > 1 {
        let feasible: Vec<usize> = (0..observed.len()).filter(|i| observed[*i].is_feasible()).collect();
        let points: Vec<Vec<f64>> = feasible.iter().map(|i| losses(&observed[*i])).collect();
        let mut members: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
        for (k, front) in fronts(&points).into_iter().enumerate() {
            members.entry(front).or_default().push(k);
        }
        for (front, members) in members {
            let Some(front) = front else {
                // Trials that lack an objective.
                members.iter().for_each(|k| standing[feasible[*k]] = (-0.5, 0.0));
                continue;
            };
            let of_front: Vec<&[f64]> = members.iter().map(|k| points[*k].as_slice()).collect();
            for (k, crowd) in members.iter().zip(crowding(&of_front)) {
                standing[feasible[*k]] = (-1.0, front as f64 + crowd);
            }
        }
    }
    let compare = |a: &(f64, f64), b: &(f64, f64)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1));
    let mut sorted = standing.clone();
    sorted.sort_by(compare);
    standing.iter().map(|s| sorted.partition_point(|other| compare(other, s).is_lt())).collect()
}

/// The points a result is still awaited of.
pub(super) fn pending(history: &History<'_>) -> Vec<Vec<f64>> {
    history.pending().into_iter().filter_map(|c| history.space().encode(c).ok()).collect()
}

/// The first points: the centre of the space, then a scrambled Sobol sequence of `purpose`.
pub(super) fn spread(history: &History<'_>, stream: &mut Stream, purpose: &str) -> Result<Config, SuggestError> {
    let sobol = Sobol::new(&mut history.stream(purpose));
    let space = history.space();
    let point = sobol.point(history.next_trial().0, space.len());
    let first = [space.centre(), space.decode(&point).expect("Sobol points are in the unit cube")];
    let mut first = first.into_iter();
    unused(history, stream, |stream| first.next().unwrap_or_else(|| random::draw(history, stream)))
}

/// The first of these points with an allowed and unused configuration, or else a uniform draw.
pub(super) fn first_unused(
    history: &History<'_>,
    stream: &mut Stream,
    points: impl IntoIterator<Item = Vec<f64>>,
) -> Result<Config, SuggestError> {
    let mut points = points.into_iter();
    unused(history, stream, |stream| {
        let space = history.space();
        // Many points can stand for one configuration, so used ones must not exhaust the draws.
        let new = |config: &Config| space.allows(config) && history.used(config) == 0;
        let config = points.by_ref().filter_map(|p| space.decode(&p).ok()).find(new);
        config.unwrap_or_else(|| random::draw(history, stream))
    })
}

/// `point` with the coordinates of its configuration, which a model should use. The point itself if it is not a
/// configuration.
pub(super) fn settled(space: &Space, point: Vec<f64>) -> Vec<f64> {
    let own = space.decode(&point).ok().and_then(|config| space.encode(&config).ok());
    own.unwrap_or(point)
}

/// A coordinate mirrored at the ends of [0, 1] until it is inside.
pub(super) fn reflected(u: f64) -> f64 {
    let folded = u.abs() % 2.0;
    (if folded > 1.0 { 2.0 - folded } else { folded }).clamp(0.0, 1.0)
}

/// A point with some coordinates of `from` changed: each with probability `share`, and one at least. Numbers take a
/// normal step of standard deviation `size` (at least one value on), categories any other value.
pub(super) fn stepped(from: &[f64], axes: &[Axis], share: f64, size: f64, stream: &mut Stream) -> Vec<f64> {
    stepped_by(from, axes, share, |_, stream| size * stream.normal(), stream)
}

/// The same with a step that `step` draws for each coordinate that is a number.
pub(super) fn stepped_by(
    from: &[f64],
    axes: &[Axis],
    share: f64,
    step: impl Fn(f64, &mut Stream) -> f64,
    stream: &mut Stream,
) -> Vec<f64> {
    let free: Vec<usize> = (0..axes.len()).filter(|j| axes[*j] != Axis::Fixed).collect();
    let mut point = from.to_vec();
    let Some(one) = free.get(stream.below(free.len())).copied() else { return point };
    for j in free {
        if j != one && stream.uniform() >= share {
            continue;
        }
        point[j] = match axes[j] {
            Axis::Numeric { cell } => {
                let step = step(point[j], stream);
                let step = if step.abs() < cell { cell.copysign(step) } else { step };
                // Without a value on that side, the step goes to the other one: a last value that is mirrored would
                // come back to itself.
                let inside = (0.0..=1.0).contains(&(point[j] + step));
                reflected(if inside { point[j] + step } else { point[j] - step })
            }
            Axis::Category { count } => {
                let other = 1 + stream.below(count.saturating_sub(1) as usize) as u64;
                Axis::of_category((Axis::category(point[j], count) + other) % count, count)
            }
            Axis::Fixed => point[j],
        };
    }
    point
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::searcher::SearcherKind;
    use crate::rules::study::{Setup, Study};
    use crate::words::metric::Metric;
    use crate::words::trial::{Measured, Outcome};

    #[test]
    fn equals_share_a_rank_and_failed_ones_have_none() {
        let space = Space::new().with("n", Domain::int(0, 9).unwrap()).unwrap();
        let setup = Setup::new(space, Metric::maximize("m")).searcher(SearcherKind::Random);
        let mut study = Study::new(setup).unwrap();
        let jobs: Vec<_> = (0..5).map(|_| study.ask().unwrap().assignment().unwrap()).collect();
        // Told in another order than asked; trial 3 stays open.
        for (i, outcome) in
            [(4, Outcome::Value(1.0)), (0, 3.0.into()), (2, Outcome::Failed("no".to_owned())), (1, 1.0.into())]
        {
            study.tell(jobs[i].trial, outcome).unwrap();
        }
        let ranks: Vec<_> = tried(&study.history()).iter().map(|t| (t.trial.0, t.rank)).collect();
        assert_eq!(ranks, [(0, Some(0)), (1, Some(1)), (2, None), (4, Some(1))]);
        assert_eq!(pending(&study.history()).len(), 1);
    }

    #[test]
    fn what_meets_the_constraints_comes_before_what_does_not() {
        let space = Space::new().with("n", Domain::int(0, 9).unwrap()).unwrap();
        let setup = Setup::new(space, Metric::minimize("m")).constraint("memory").constraint("disk");
        let mut study = Study::new(setup).unwrap();
        for (n, value, constraints) in
            [(0, 1.0, [300.0, -1.0]), (1, 5.0, [-1.0, 0.0]), (2, 2.0, [0.0, 0.5]), (3, 3.0, [-2.0, -1.0])]
        {
            study.add(&Config::new().with("n", n), Measured::new(value).constraints(constraints)).unwrap();
        }
        // Equally far out, each by its own scale.
        let ranks: Vec<_> = tried(&study.history()).iter().map(|t| t.rank).collect();
        assert_eq!(ranks, [Some(2), Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn fronts_come_one_after_the_other_and_the_lonely_first() {
        let space = Space::new().with("n", Domain::int(0, 9).unwrap()).unwrap();
        let setup = Setup::new(space, Metric::minimize("m")).objective(Metric::maximize("rate"));
        let mut study = Study::new(setup).unwrap();
        for (n, value, rate) in [(0, 5.0, 1.0), (1, 1.0, 1.0), (2, 2.0, 2.0), (3, 2.5, 2.5), (4, 9.0, 9.0)] {
            study.add(&Config::new().with("n", n), Measured::new(value).more([rate])).unwrap();
        }
        let ranks: Vec<_> = tried(&study.history()).iter().map(|t| t.rank.unwrap()).collect();
        // Trial 0 is dominated; the ends of the front first, then 3, which has more room than 2.
        assert_eq!(ranks, [4, 0, 3, 2, 0]);
    }

    #[test]
    fn a_step_changes_a_value_and_stays_inside() {
        let axes = [Axis::Numeric { cell: 0.1 }, Axis::Category { count: 3 }, Axis::Fixed];
        let mut stream = Stream::of_study(1, "test");
        for _ in 0..500 {
            let point = stepped(&[0.95, 0.5, 0.5], &axes, 0.3, 0.02, &mut stream);
            assert!(point.iter().all(|u| (0.0..=1.0).contains(u)));
            assert!((point[0] - 0.95).abs() > 0.049 || Axis::category(point[1], 3) != 1, "{point:?}");
            assert_eq!(point[2], 0.5);
        }
        assert_eq!([reflected(-0.25), reflected(1.25), reflected(2.5), reflected(0.5)], [0.25, 0.75, 0.5, 0.5]);
    }
}

//! NSGA-II (Deb, Pratap, Agarwal and Meyarivan 2002, "A fast and elitist multiobjective genetic algorithm: NSGA-II"),
//! by asking and telling: a population of the best by fronts and by room on a front, of which two that win tournaments
//! are crossed and their child is mutated.
//!
//! The paper replaces a generation at once; here every result counts as soon as it is there (the steady-state form:
//! Durillo, Nebro, Luna and Alba 2009, "On the effect of the steady-state selection scheme in multi-objective genetic
//! algorithms"). So no worker waits for a generation, and the population is a function of the history alone.
//!
//! Crossover and mutation are those of the paper for numbers, within bounds (Deb and Agrawal 1995, "Simulated binary
//! crossover for continuous search space"; Deb and Goyal 1996, "A combined genetic adaptive search for engineering
//! design"), on the coordinates of the unit cube; a category comes from either parent, and mutates to any other one.

use super::evidence::{Axis, Tried, first_unused, spread, stepped_by, tried};
use super::{History, Searcher, Stream, SuggestError};
use crate::words::value::Config;

/// N: number of the best that are parents.
const POPULATION: usize = 24;
/// Trials spread over the space before the first child.
const FIRST: usize = 12;
/// p_c: probability that two parents are crossed, and then that a coordinate is.
const CROSSED: [f64; 2] = [0.9, 0.5];
/// eta_c and eta_m: a larger one keeps children of crossing and mutation nearer to their parents.
const SPREADS: [f64; 2] = [15.0, 20.0];
/// The number of children that are made before a random one is taken, if all were used before.
const CHILDREN: usize = 48;

/// NSGA-II. For several objectives and some hundred to thousands of trials, any number of workers, numbers and
/// categories alike, constraints (a result that meets them beats all that do not). With fewer than a hundred trials the
/// default, `gp`, comes nearer to the front. With one objective it is a genetic algorithm that keeps the best. Cost:
/// some microseconds a suggestion and, with two objectives, about a millisecond for each thousand trials.
///
/// The population is the best 24 of all configurations with a result: by the front that they are on, and on one front
/// by the room around them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nsga2;

impl Searcher for Nsga2 {
    fn name(&self) -> &str {
        "nsga2"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let mut tried = tried(history);
        if tried.len() < FIRST {
            return spread(history, stream, "nsga2");
        }
        tried.sort_by_key(Tried::order);
        tried.truncate(POPULATION);
        let axes = Axis::of(history.space());
        let children: Vec<Vec<f64>> = (0..CHILDREN)
            .map(|_| {
                let parents = [tournament(&tried, stream), tournament(&tried, stream)].map(|t| t.point.as_slice());
                mutated(&crossed(parents, &axes, stream), &axes, stream)
            })
            .collect();
        first_unused(history, stream, children)
    }
}

/// The better one of two that are drawn by lot. `population` is sorted, the best first, and not empty.
fn tournament<'a>(population: &'a [Tried], stream: &mut Stream) -> &'a Tried {
    let picks = [stream.below(population.len()), stream.below(population.len())];
    &population[picks[0].min(picks[1])]
}

/// One of the two children of simulated binary crossover.
fn crossed(parents: [&[f64]; 2], axes: &[Axis], stream: &mut Stream) -> Vec<f64> {
    // One of the two children.
    let [own, other] = if stream.uniform() < 0.5 { parents } else { [parents[1], parents[0]] };
    if stream.uniform() >= CROSSED[0] {
        return own.to_vec();
    }
    let coordinate = |(j, axis): (usize, &Axis)| {
        if stream.uniform() >= CROSSED[1] {
            return own[j];
        }
        match axis {
            Axis::Numeric { .. } => binary_crossover([own[j], other[j]], stream.uniform()),
            Axis::Category { .. } | Axis::Fixed => other[j],
        }
    };
    axes.iter().enumerate().map(coordinate).collect()
}

/// The child on the side of the first of two coordinates, for a draw `u` of [0, 1): beta is how far the children are
/// apart, in distances of the parents, and drawn so that both stay in [0, 1].
fn binary_crossover([own, other]: [f64; 2], u: f64) -> f64 {
    let (low, high) = (own.min(other), own.max(other));
    let apart = high - low;
    if apart <= f64::EPSILON {
        return own;
    }
    let power = 1.0 / (SPREADS[0] + 1.0);
    // Only the bound on this child's side counts.
    let room = if own <= other { low } else { 1.0 - high };
    let alpha = 2.0 - (1.0 + 2.0 * room / apart).powf(-(SPREADS[0] + 1.0));
    let beta = if u * alpha <= 1.0 { (u * alpha).powf(power) } else { (1.0 / (2.0 - u * alpha)).powf(power) };
    let side = if own <= other { -1.0 } else { 1.0 };
    (0.5 * (low + high + side * beta * apart)).clamp(0.0, 1.0)
}

/// Polynomial mutation: each coordinate with a probability of one in their number, and one at least.
fn mutated(point: &[f64], axes: &[Axis], stream: &mut Stream) -> Vec<f64> {
    let free = axes.iter().filter(|axis| **axis != Axis::Fixed).count();
    stepped_by(point, axes, 1.0 / free as f64, |y, stream| polynomial(y, stream.uniform()) - y, stream)
}

/// A coordinate changed by a polynomial density around it that ends at the bounds, for a draw `u` of [0, 1).
fn polynomial(y: f64, u: f64) -> f64 {
    let power = SPREADS[1] + 1.0;
    let delta = if u < 0.5 {
        (2.0 * u + (1.0 - 2.0 * u) * (1.0 - y).powf(power)).powf(1.0 / power) - 1.0
    } else {
        1.0 - (2.0 * (1.0 - u) + 2.0 * (u - 0.5) * y.powf(power)).powf(1.0 / power)
    };
    (y + delta).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutation_reaches_the_bounds_and_goes_no_further() {
        for y in [0.0, 0.1, 0.5, 1.0] {
            assert!(polynomial(y, 0.0).abs() < 1e-12, "{y}");
            assert!((polynomial(y, 1.0) - 1.0).abs() < 1e-12, "{y}");
            assert!((polynomial(y, 0.5) - y).abs() < 1e-12, "{y}");
        }
        // By hand, of 0.5: (0.5 + 0.5 * 0.5^21)^(1/21) - 1 = -0.0324681...
        assert!((polynomial(0.5, 0.25) - (0.5 + (0.5_f64).powf(1.0 / 21.0) - 1.0)).abs() < 1e-6);
    }

    #[test]
    fn crossover_keeps_the_middle_of_the_parents_and_the_bounds() {
        // Parents in the middle of the cube: the bounds are far, and both children as far from the middle.
        for u in [0.05, 0.3, 0.5, 0.8] {
            let children = [binary_crossover([0.4, 0.6], u), binary_crossover([0.6, 0.4], u)];
            assert!((children[0] + children[1] - 1.0).abs() < 1e-12, "{u}: {children:?}");
            assert!(children[0] < children[1]);
        }
        // At u = 0.5 the children are where their parents are, for alpha is 2 but for (1 + 2 * 2)^-16.
        assert!((binary_crossover([0.4, 0.6], 0.5) - 0.4).abs() < 1e-9);
        for own in [0.0, 0.2, 1.0] {
            for other in [0.0, 0.3, 1.0] {
                for u in [0.0, 0.5, 0.999_999] {
                    let child = binary_crossover([own, other], u);
                    assert!((0.0..=1.0).contains(&child), "{own} {other} {u}: {child}");
                }
            }
        }
        assert_eq!(binary_crossover([0.3, 0.3], 0.9), 0.3);
    }

    #[test]
    fn a_child_has_its_parents_categories_and_a_mutant_another_one() {
        let axes = [Axis::Category { count: 4 }, Axis::Fixed, Axis::Numeric { cell: 0.25 }];
        let (a, b) = ([0.125, 0.5, 0.125], [0.625, 0.5, 0.875]);
        let mut stream = Stream::of_study(8, "test");
        let (mut seen, mut values) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
        for _ in 0..200 {
            let before = crossed([&a, &b], &axes, &mut stream);
            let category = Axis::category(before[0], 4);
            assert!(category == 0 || category == 2);
            let child = mutated(&before, &axes, &mut stream);
            let changed = (Axis::category(child[0], 4) != category, (child[2] - before[2]).abs() > 0.2);
            assert!(changed.0 || changed.1, "{before:?} {child:?}");
            assert_eq!(child[1], 0.5);
            seen.insert(changed);
            values.insert(Axis::category(child[0], 4));
        }
        assert_eq!((seen.len(), values.len()), (3, 4));
    }

    #[test]
    fn the_better_of_two_wins_a_tournament() {
        let population: Vec<Tried> = (0..3)
            .map(|i| Tried { trial: crate::words::trial::TrialId(i), point: vec![], rank: Some(i as usize) })
            .collect();
        let mut stream = Stream::of_study(9, "test");
        let mut wins = [0_i32; 3];
        for _ in 0..9000 {
            wins[tournament(&population, &mut stream).trial.0 as usize] += 1;
        }
        // 5, 3 and 1 of 9.
        for (wins, expected) in wins.into_iter().zip([5000, 3000, 1000]) {
            assert!((wins - expected).abs() < 200, "{wins}");
        }
    }
}

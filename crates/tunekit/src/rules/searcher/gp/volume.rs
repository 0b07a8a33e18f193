//! Expected hypervolume improvement: the volume that a trial is expected to add to the region that the Pareto front
//! dominates.
//!
//! With independent predictions of each objective it is exact. The region that the front does not dominate, up to the
//! reference point, is a union of disjoint boxes (l, u). The volume that a result y adds in one of them is the product
//! over objectives of (u - max(y, l))+, and its expectation is EI(u) - EI(l), with EI(t) the expected improvement below
//! t (Emmerich, Deutz and Klinkenberg 2011; Yang et al. 2019). It is computed in logarithms, as Ament et al. 2023
//! advise: with few boxes left to win in, the sum is otherwise flat almost everywhere.
//!
//! The front is that of the posterior means; pending trials are believed to come out as predicted (Ginsbourger, Le
//! Riche and Carraro 2010), which lowers the variance there and puts them on the front.

use std::borrow::Cow;

use super::model::Model;
use super::surrogate::Surrogate;
use crate::rules::acquisition::log_expected_improvement;
use crate::rules::gp::Posterior;
use crate::rules::pareto::{Cell, free_cells, non_dominated};
use crate::rules::stream::Stream;

/// The distance of the reference point from the worst observation, as a share of the observed range.
const BEHIND: f64 = 0.1;
/// With more objectives, each trial uses this number of them, drawn by its stream. All four of four together cover
/// less: of the squared distances to four random points of a cube, 40 trials covered volumes of 0.420 and 0.446 in
/// three dimensions, 5.67 and 6.26 in six, all together and by lot (medians of 12 seeds; random search 0.356 and 3.45).
const OBJECTIVES: usize = 3;

/// The expected hypervolume improvement over a front.
pub(super) struct Volume<'a> {
    posteriors: Vec<Cow<'a, Posterior>>,
    cells: Vec<Cell>,
}

impl<'a> Volume<'a> {
    /// Over the front of the data's `rows` and of those `pending` points that are `counted`; `None` if a pending trial
    /// cannot be believed.
    pub(super) fn new(
        model: &'a Model,
        rows: &[usize],
        (pending, counted): (&[Vec<f64>], &[usize]),
        stream: &mut Stream,
    ) -> Option<Self> {
        let x: Vec<Vec<f64>> = rows.iter().map(|i| model.sites[*i].clone()).collect();
        let mut surrogates: Vec<&'a Surrogate> = std::iter::once(&model.objective).chain(&model.further).collect();
        while surrogates.len() > OBJECTIVES {
            surrogates.remove(stream.below(surrogates.len()));
        }
        let means = |points: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let by_objective: Vec<Vec<(f64, f64)>> =
                surrogates.iter().map(|s| s.posterior.predict_many(points)).collect();
            (0..points.len()).map(|i| by_objective.iter().map(|p| p[i].0).collect()).collect()
        };
        let observed = means(&x);
        let reference = reference(&observed);
        let mut known = observed;
        let believed = means(pending);
        known.extend(counted.iter().map(|i| believed[*i].clone()));
        let front: Vec<Vec<f64>> = non_dominated(&known).into_iter().map(|i| known[i].clone()).collect();
        let posteriors = surrogates.iter().map(|s| s.posterior.believing(pending)).collect::<Option<_>>()?;
        Some(Self { posteriors, cells: free_cells(&front, &reference) })
    }

    /// ln of the expected improvement at a point, and its gradient by the coordinates.
    pub(super) fn evaluate(&self, point: &[f64], with_gradient: bool) -> (f64, Vec<f64>) {
        let locals: Vec<_> = self.posteriors.iter().map(|p| p.local(point)).collect();
        let predicted: Vec<(f64, f64)> = locals.iter().map(|l| (l.mean, l.variance)).collect();
        let (value, slopes) = log_expected_volume(&predicted, &self.cells);
        let mut gradient = vec![0.0; point.len()];
        if with_gradient && value.is_finite() {
            for ((posterior, local), (by_mean, by_variance)) in self.posteriors.iter().zip(&locals).zip(slopes) {
                let more = posterior.gradient(point, local, by_mean, by_variance);
                gradient.iter_mut().zip(more).for_each(|(g, m)| *g += m);
            }
        }
        (value, gradient)
    }
}

/// A point a little behind the worst of all observations in each objective. A point right behind the front hides most
/// of the volume while the front is short: a first front of one point, the cheapest one, was never left.
fn reference(points: &[Vec<f64>]) -> Vec<f64> {
    let objectives = points.first().map_or(0, Vec::len);
    (0..objectives)
        .map(|j| {
            let ends = points.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), p| (a.min(p[j]), b.max(p[j])));
            ends.1 + BEHIND * (ends.1 - ends.0).max(1e-6)
        })
        .collect()
}

/// ln of the expected volume that results with these independent normal predictions (mean, variance) add in the cells,
/// and its derivatives by each mean and variance.
fn log_expected_volume(predicted: &[(f64, f64)], cells: &[Cell]) -> (f64, Vec<(f64, f64)>) {
    let each: Vec<(f64, Vec<(f64, f64)>)> = cells
        .iter()
        .map(|cell| {
            let mut value = 0.0;
            let mut slopes = Vec::with_capacity(predicted.len());
            for ((mean, variance), (low, high)) in predicted.iter().zip(&cell.sides) {
                let (log, by_mean, by_variance) = log_side(*mean, *variance, *low, *high);
                value += log;
                slopes.push((by_mean, by_variance));
            }
            (value, slopes)
        })
        .collect();
    let largest = each.iter().fold(f64::NEG_INFINITY, |m, e| m.max(e.0));
    let mut slopes = vec![(0.0, 0.0); predicted.len()];
    if !largest.is_finite() {
        return (largest, slopes);
    }
    let sum: f64 = each.iter().map(|e| (e.0 - largest).exp()).sum();
    for (value, by) in &each {
        let share = (value - largest).exp() / sum;
        for (slope, (by_mean, by_variance)) in slopes.iter_mut().zip(by).filter(|_| share > 0.0) {
            slope.0 += share * by_mean;
            slope.1 += share * by_variance;
        }
    }
    (largest + sum.ln(), slopes)
}

/// ln of EI(high) - EI(low) and its derivatives by mean and variance; `low` may be minus infinity.
fn log_side(mean: f64, variance: f64, low: f64, high: f64) -> (f64, f64, f64) {
    let (a, a_mean, a_variance) = log_expected_improvement(mean, variance, high);
    if low == f64::NEG_INFINITY {
        return (a, a_mean, a_variance);
    }
    let (b, b_mean, b_variance) = log_expected_improvement(mean, variance, low);
    // Rounding must not make the difference vanish or negative: a side that is too thin to tell wins nothing.
    let gap = b - a;
    if gap.is_nan() || gap >= -1e-15 {
        return (f64::NEG_INFINITY, 0.0, 0.0);
    }
    let rest = -gap.exp_m1();
    let (upper, lower) = (1.0 / rest, gap.exp() / rest);
    (a + rest.ln(), upper * a_mean - lower * b_mean, upper * a_variance - lower * b_variance)
}

#[cfg(test)]
mod tests {
    use super::super::model::How;
    use super::*;
    use crate::rules::distribution::normal_quantile;
    use crate::rules::pareto::hypervolume;
    use crate::rules::qmc::Sobol;
    use crate::rules::study::{Setup, Study};
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
    use crate::words::space::Space;
    use crate::words::trial::Measured;
    use crate::words::value::Config;

    fn by_samples(predicted: &[(f64, f64)], front: &[Vec<f64>], reference: &[f64]) -> f64 {
        let sobol = Sobol::new(&mut Stream::of_study(5, "test"));
        let before = hypervolume(front, reference);
        let n = 20_000;
        let gain = |s| {
            let u = sobol.point(s, predicted.len());
            let y: Vec<f64> =
                predicted.iter().zip(u).map(|((m, v), u)| m + v.sqrt() * normal_quantile(u.max(1e-9))).collect();
            let mut with = front.to_vec();
            with.push(y);
            hypervolume(&with, reference) - before
        };
        (0..n).map(gain).sum::<f64>() / n as f64
    }

    #[test]
    fn the_expected_volume_is_the_mean_over_samples_in_two_and_three_objectives() {
        let two = vec![vec![0.1, 0.9], vec![0.4, 0.5], vec![0.8, 0.2]];
        let three = vec![vec![0.1, 0.9, 0.5], vec![0.4, 0.5, 0.6], vec![0.8, 0.2, 0.3], vec![0.6, 0.6, 0.1]];
        for (front, reference, predicted) in [
            (two.clone(), vec![1.0, 1.1], vec![(0.3, 0.04), (0.6, 0.09)]),
            (two, vec![1.0, 1.1], vec![(0.9, 0.01), (0.9, 0.01)]),
            (Vec::new(), vec![1.0, 1.1], vec![(0.3, 0.04), (0.6, 0.09)]),
            (three, vec![1.0, 1.0, 1.0], vec![(0.3, 0.04), (0.6, 0.09), (0.4, 0.05)]),
        ] {
            let exact = log_expected_volume(&predicted, &free_cells(&front, &reference)).0.exp();
            let slow = by_samples(&predicted, &front, &reference);
            assert!((exact - slow).abs() < 0.01 * slow + 1e-5, "{exact} is not {slow}");
        }
    }

    #[test]
    fn what_is_behind_a_front_of_one_point_is_within_the_reference() {
        let points = [vec![0.0, 0.0], vec![5.0, 1.0], vec![1.0, 3.0]];
        assert_eq!(reference(&points), [5.5, 3.3]);
        assert!(reference(&[vec![1.0, 2.0]]).iter().zip([1.0, 2.0]).all(|(reference, value)| *reference > value));
    }

    #[test]
    fn slopes_are_differences_and_far_away_there_is_still_one() {
        let front = vec![vec![0.1, 0.9], vec![0.4, 0.5], vec![0.8, 0.2]];
        let cells = free_cells(&front, &[1.0, 1.1]);
        for predicted in [[(0.3, 0.04), (0.6, 0.09)], [(3.0, 0.01), (2.0, 0.02)]] {
            let (value, slopes) = log_expected_volume(&predicted, &cells);
            assert!(value.is_finite());
            let e = 1e-6;
            for j in 0..2 {
                let at = |dm: f64, dv: f64| {
                    let mut p = predicted;
                    p[j] = (p[j].0 + dm, p[j].1 + dv);
                    log_expected_volume(&p, &cells).0
                };
                let (by_mean, by_variance) =
                    ((at(e, 0.0) - at(-e, 0.0)) / (2.0 * e), (at(0.0, e) - at(0.0, -e)) / (2.0 * e));
                assert!((slopes[j].0 - by_mean).abs() < 1e-4 * (1.0 + by_mean.abs()), "{} {by_mean}", slopes[j].0);
                assert!(
                    (slopes[j].1 - by_variance).abs() < 1e-3 * (1.0 + by_variance.abs()),
                    "{} {by_variance}",
                    slopes[j].1
                );
            }
        }
    }

    #[test]
    fn of_four_objectives_three_are_looked_at_and_every_one_gets_its_turn() {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let mut setup = Setup::new(space, Metric::minimize("a"));
        for name in ["b", "c", "d"] {
            setup = setup.objective(Metric::minimize(name));
        }
        let mut study = Study::new(setup).unwrap();
        for i in 0..6 {
            let x = f64::from(i) / 5.0;
            let measured = Measured::new(x).more([1.0 - x, (x - 0.3).powi(2), (x - 0.6).abs()]);
            study.add(&Config::new().with("x", x), measured).unwrap();
        }
        let history = study.history();
        let model = Model::of(&history, How::default(), None).unwrap();
        let rows: Vec<usize> = (0..6).collect();
        let mut turns = [0; 4];
        for seed in 0..40 {
            let volume = Volume::new(&model, &rows, (&[], &[]), &mut Stream::of_study(seed, "test")).unwrap();
            assert_eq!(volume.posteriors.len(), 3);
            assert!(volume.cells.iter().all(|cell| cell.sides.len() == 3));
            for (turn, surrogate) in turns.iter_mut().zip(std::iter::once(&model.objective).chain(&model.further)) {
                *turn += usize::from(volume.posteriors.iter().any(|p| std::ptr::eq(&**p, &surrogate.posterior)));
            }
        }
        assert!(turns.iter().all(|turn| (15..40).contains(turn)), "{turns:?}");
    }
}

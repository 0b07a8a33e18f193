//! Measurements of which only a bound is known, as measurements that a Gaussian process can be conditioned on.
//!
//! Outputs are losses, so a measurement that was cut off says y >= b with y = f + noise: its likelihood is Phi((f - b)
//! / sigma), that of a Tobit model (Groot and Lucas 2012, "Gaussian process regression with censored data using
//! expectation propagation"; Hutter, Hoos and Leyton-Brown 2013, "Bayesian optimization with censored response data",
//! impute such values instead). Expectation propagation (Minka 2001; Rasmussen and Williams 2006, sec. 3.6) puts a
//! normal factor in the place of each such likelihood: the one that gives f the mean and the variance that it has under
//! the true factor and all other normal ones. With one bound that is exact. The factors become rows of the data, with a
//! variance of their own that no noise changes.
//!
//! Letters: tau and nu are a factor's precision and precision times mean, m and v mean and variance of f without the
//! factor (its cavity), s^2 = sigma^2 + v, z = (m - b) / s, and a = phi(z) / (s Phi(z)) and beta = a (a + z / s) the
//! derivative of ln Phi(z) by m and the negative of its second one. The moments are m + v a and v - v^2 beta (eq.
//! 3.58), so that tau = beta / (1 - v beta) and nu = (a + m beta) / (1 - v beta).

use super::kernel::{Coordinate, Kernel};
use super::{Data, Hyper, dot, means_by_gls};
use crate::rules::acquisition::log_probability_below;
use crate::rules::cholesky::Factor;

/// The largest number of rounds, each of which updates all factors at once. Where bounds are few or far apart a handful
/// of times is enough.
const ROUNDS: usize = 60;
/// The rounds end when no mean moves by more than this, in standard deviations of the prior.
const SETTLED: f64 = 1e-7;
/// Factors overshoot where bounds are close to each other: they move by half as much as before once the means come back
/// by more than half of the way that they went in the round before, down to this share.
const LEAST_STEP: f64 = 0.05;
/// The least precision of a factor, in those of the prior: as good as none, and the covariance stays well conditioned.
const LEAST_PRECISION: f64 = 1e-8;

/// One measurement that was cut off.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    /// Its configuration, in [0, 1]^d.
    pub(crate) x: Vec<f64>,
    /// The least value of its output.
    pub(crate) output: f64,
    /// The weight of a measurement there, as in [`Data::n`]: 1, or with a given noise the reciprocal of its variance.
    pub(crate) n: f64,
}

/// A normal factor in f.
#[derive(Debug, Clone, Copy)]
struct Site {
    /// tau.
    precision: f64,
    /// nu.
    shift: f64,
}

impl Site {
    /// The factor that gives f its moments under a cavity of this mean and variance.
    fn of(mean: f64, variance: f64, bound: f64, noise: f64) -> Self {
        let (a, beta) = slopes(mean, variance, bound, noise);
        let left = 1.0 - variance * beta;
        Self { precision: beta / left, shift: (a + mean * beta) / left }
    }
}

/// a and beta.
fn slopes(mean: f64, variance: f64, bound: f64, noise: f64) -> (f64, f64) {
    let square = noise + variance;
    // The probability that a number is above its bound is that of the bound being below it.
    let (_, by_mean, _) = log_probability_below(bound, square, mean);
    let a = -by_mean;
    // In (0, 1 / s^2); rounding must not leave that where the bound is far away.
    let beta = (a * (a + (mean - bound) / square)).clamp(0.0, (1.0 - 1e-9) / square);
    (a, beta)
}

/// The data with a row for each bound, as a process with these hyperparameters is to be conditioned on. `None` if a
/// covariance cannot be factored.
pub(crate) fn with_bounds(coordinates: &[Coordinate], hyper: &Hyper, data: &Data, bounds: &[Bound]) -> Option<Data> {
    if bounds.is_empty() {
        return Some(data.clone());
    }
    let mut sites = Sites::new(coordinates, hyper, data, bounds);
    let (mut step, mut moved) = (1.0, f64::INFINITY);
    for _ in 0..ROUNDS {
        let (now, back) = sites.round(step)?;
        if now < SETTLED {
            break;
        }
        if back && now > 0.5 * moved {
            step = (0.5_f64 * step).max(LEAST_STEP);
        }
        moved = now;
    }
    let mut all = data.clone();
    for (bound, site) in bounds.iter().zip(&sites.sites) {
        all.push_fixed(bound.x.clone(), site.shift / site.precision, site.precision.recip());
    }
    Some(all)
}

/// The factors on their way.
struct Sites<'a> {
    kernel: Kernel,
    hyper: &'a Hyper,
    data: &'a Data,
    bounds: &'a [Bound],
    /// The configurations of the data, then of the bounds.
    x: Vec<Vec<f64>>,
    /// The covariance of f among them, row-major.
    k: Vec<f64>,
    sites: Vec<Site>,
    /// The means of f at the bounds, of the last round, and how far they moved in it.
    means: Vec<f64>,
    moves: Vec<f64>,
}

impl<'a> Sites<'a> {
    fn new(coordinates: &[Coordinate], hyper: &'a Hyper, data: &'a Data, bounds: &'a [Bound]) -> Self {
        let kernel = Kernel::new(coordinates, hyper);
        let x: Vec<Vec<f64>> = data.x.iter().chain(bounds.iter().map(|b| &b.x)).cloned().collect();
        let n = x.len();
        let mut k = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..i {
                let c = kernel.covariance(&x[i], &x[j]);
                k[i * n + j] = c;
                k[j * n + i] = c;
            }
            k[i * n + i] = kernel.variance(&x[i]);
        }
        let least = |i: usize| Site { precision: LEAST_PRECISION / k[i * n + i], shift: 0.0 };
        let sites = (data.len()..n).map(least).collect();
        let (means, moves) = (vec![f64::INFINITY; bounds.len()], vec![0.0; bounds.len()]);
        Self { kernel, hyper, data, bounds, x, k, sites, means, moves }
    }

    /// Moves every factor by a share of the way to its right value beside the others. Returns the farthest that a mean
    /// at a bound has moved since the round before, in standard deviations of the prior, and whether they went back.
    fn round(&mut self, step: f64) -> Option<(f64, bool)> {
        let (first, n) = (self.data.len(), self.x.len());
        let mut covariance = self.k.clone();
        for i in 0..n {
            covariance[i * n + i] += match i.checked_sub(first) {
                None => self.data.variance(i, self.hyper.noise),
                Some(b) => self.sites[b].precision.recip(),
            };
        }
        let factor = Factor::new(&covariance, n)?;
        let outputs = self.data.y.iter().copied().chain(self.sites.iter().map(|site| site.shift / site.precision));
        let offsets: Vec<f64> = self.x.iter().map(|x| self.kernel.offset(x)).collect();
        let groups: Vec<usize> = self.x.iter().map(|x| self.kernel.group(x)).collect();
        let above: Vec<f64> = outputs.zip(&offsets).map(|(y, offset)| y - offset).collect();
        let mu = means_by_gls(&factor, &above, &groups, self.kernel.groups());
        let residual: Vec<f64> = above.iter().zip(&groups).map(|(y, group)| y - mu[*group]).collect();
        let alpha = factor.solve(&residual);
        let mut half = self.k[first * n..].to_vec();
        factor.half_solve(&mut half);
        let (mut moved, mut along) = (0.0_f64, 0.0);
        for (b, bound) in self.bounds.iter().enumerate() {
            let i = first + b;
            let (row, half) = (&self.k[i * n..(i + 1) * n], &half[b * n..(b + 1) * n]);
            let prior = row[i];
            let mean = mu[groups[i]] + offsets[i] + dot(row, &alpha);
            let variance = (prior - dot(half, half)).max(1e-12 * prior);
            let by = mean - self.means[b];
            moved = moved.max(by.abs() / prior.sqrt());
            along += by * self.moves[b];
            (self.means[b], self.moves[b]) = (mean, by);
            let site = &mut self.sites[b];
            let without = variance.recip() - site.precision;
            // Rounding alone takes all precision there is.
            if without.is_nan() || without <= 0.0 {
                continue;
            }
            let cavity = (mean / variance - site.shift) / without;
            let next = Site::of(cavity, without.recip(), bound.output, self.hyper.noise / bound.n);
            if next.precision.is_finite() && next.shift.is_finite() {
                site.precision += step * (next.precision - site.precision);
                site.precision = site.precision.max(LEAST_PRECISION / prior);
                site.shift += step * (next.shift - site.shift);
            }
        }
        Some((moved, along < 0.0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Posterior;
    use super::*;
    use crate::rules::distribution::normal_below;

    const LINE: [Coordinate; 1] = [Coordinate::Numeric];

    fn hyper(noise: f64) -> Hyper {
        Hyper { lengths: vec![0.3], signal: 1.2, noise, own: 0.0, additive: 0.0, shapes: Vec::new() }
    }

    fn rows(rows: &[(f64, f64)]) -> Data {
        let mut data = Data::default();
        rows.iter().for_each(|(x, y)| data.push(vec![*x], *y, 1.0, 0.0));
        data
    }

    fn bound(x: f64, output: f64) -> Bound {
        Bound { x: vec![x], output, n: 1.0 }
    }

    fn posterior(hyper: &Hyper, data: &Data, bounds: &[Bound]) -> Posterior {
        let all = with_bounds(&LINE, hyper, data, bounds).unwrap();
        Posterior::new(&LINE, hyper, &all, all.len(), None).unwrap()
    }

    #[test]
    fn the_moments_of_a_truncated_normal_number_are_the_tables() {
        // A standard normal number known to be positive: sqrt(2 / pi) and 1 - 2 / pi.
        let moments = |mean: f64, variance: f64, bound: f64, noise: f64| {
            let (a, beta) = slopes(mean, variance, bound, noise);
            (mean + variance * a, variance - variance * variance * beta)
        };
        let (mean, variance) = moments(0.0, 1.0, 0.0, 0.0);
        assert!((mean - 0.797_884_560_802_865_4).abs() < 1e-12 && (variance - 0.363_380_227_632_418_6).abs() < 1e-12);
        // Above 1: phi(1) / (1 - Phi(1)) = 1.525135 and 1 + 1.525135 - 1.525135^2 = 0.199098.
        let (mean, variance) = moments(0.0, 1.0, 1.0, 0.0);
        assert!((mean - 1.525_135_276_160_981).abs() < 1e-9 && (variance - 0.199_097_665_570_348).abs() < 1e-9);
        // With noise as large as the spread, f itself moves half as far: a = phi(0) / (sqrt 2 / 2).
        let (mean, variance) = moments(0.0, 1.0, 0.0, 1.0);
        assert!((mean - 0.564_189_583_547_756_3).abs() < 1e-12 && (variance - 0.681_690_113_816_209_3).abs() < 1e-12);
        // The factor gives the cavity just those moments.
        let site = Site::of(0.3, 2.0, 1.0, 0.5);
        let (mean, variance) = moments(0.3, 2.0, 1.0, 0.5);
        assert!((1.0 / (0.5 + site.precision) - variance).abs() < 1e-12);
        assert!(((0.15 + site.shift) / (0.5 + site.precision) - mean).abs() < 1e-12);
        // Far above and far below the bound all is finite.
        for mean in [-1e6, -40.0, 40.0, 1e6] {
            let site = Site::of(mean, 1.0, 0.0, 1e-6);
            assert!(site.precision >= 0.0 && site.precision.is_finite() && site.shift.is_finite(), "{mean}");
        }
    }

    /// Mean and variance of f at the bounds and at `at`, by brute force over a grid of f at the bounds.
    fn by_quadrature(hyper: &Hyper, data: &Data, bounds: &[Bound], mu: f64, at: f64) -> Vec<(f64, f64)> {
        let kernel = Kernel::new(&LINE, hyper);
        let points: Vec<Vec<f64>> = bounds.iter().map(|b| b.x.clone()).chain([vec![at]]).collect();
        let x = &data.x;
        let n = x.len();
        let mut k = vec![0.0; n * n];
        for i in 0..n {
            (0..n).for_each(|j| k[i * n + j] = kernel.covariance(&x[i], &x[j]));
            k[i * n + i] += hyper.noise;
        }
        let factor = Factor::new(&k, n).unwrap();
        let y: Vec<f64> = data.y.iter().map(|y| y - mu).collect();
        let cross: Vec<Vec<f64>> = points.iter().map(|p| x.iter().map(|x| kernel.covariance(x, p)).collect()).collect();
        let mean: Vec<f64> = cross.iter().map(|c| mu + dot(c, &factor.solve(&y))).collect();
        let m = points.len();
        let mut c = vec![0.0; m * m];
        for i in 0..m {
            for j in 0..m {
                c[i * m + j] = kernel.covariance(&points[i], &points[j]) - dot(&cross[i], &factor.solve(&cross[j]));
            }
            c[i * m + i] += 1e-9;
        }
        let joint = Factor::new(&c, m).unwrap();
        // e over a grid of [-7, 7]^m, f = mean + L e.
        let steps: usize = if m == 2 { 401 } else { 101 };
        let grid: Vec<f64> = (0..steps).map(|i| -7.0 + 14.0 * i as f64 / (steps - 1) as f64).collect();
        let (mut total, mut sums) = (0.0, vec![(0.0, 0.0); m]);
        for index in 0..steps.pow(m as u32) {
            let e: Vec<f64> = (0..m).map(|d| grid[index / steps.pow(d as u32) % steps]).collect();
            let f: Vec<f64> = joint.multiply(&e).iter().zip(&mean).map(|(v, m)| v + m).collect();
            let weight = bounds.iter().zip(&f).fold((-0.5 * dot(&e, &e)).exp(), |w, (b, f)| {
                w * normal_below((f - b.output) / (hyper.noise / b.n).sqrt())
            });
            total += weight;
            sums.iter_mut().zip(&f).for_each(|(s, f)| *s = (s.0 + weight * f, s.1 + weight * f * f));
        }
        sums.into_iter().map(|(a, b)| (a / total, b / total - (a / total).powi(2))).collect()
    }

    #[test]
    fn the_posterior_lies_above_a_bound_and_is_the_exact_one() {
        let (hyper, data) = (hyper(0.04), rows(&[(0.1, -0.8), (0.35, -0.5), (0.9, 0.2)]));
        let one = [bound(0.6, 1.0)];
        let got = posterior(&hyper, &data, &one);
        let plain = posterior(&hyper, &data, &[]);
        assert!(plain.predict(&[0.6]).0 < 0.0 && got.predict(&[0.6]).0 > 1.0);
        let exact = by_quadrature(&hyper, &data, &one, got.mu[0], 0.5);
        for (x, (mean, variance)) in [0.6, 0.5].into_iter().zip(exact) {
            let (got_mean, got_sd) = got.predict(&[x]);
            assert!((got_mean - mean).abs() < 1e-4, "at {x}: {got_mean} is not {mean}");
            assert!((got_sd * got_sd - variance).abs() < 1e-4, "at {x}: {} is not {variance}", got_sd * got_sd);
        }
        // With two bounds near each other expectation propagation is no longer exact, but close.
        let two = [bound(0.6, 1.0), bound(0.5, 0.3)];
        let got = posterior(&hyper, &data, &two);
        let exact = by_quadrature(&hyper, &data, &two, got.mu[0], 0.75);
        for (x, (mean, variance)) in [0.6, 0.5, 0.75].into_iter().zip(exact) {
            let (got_mean, got_sd) = got.predict(&[x]);
            assert!((got_mean - mean).abs() < 0.01, "at {x}: {got_mean} is not {mean}");
            assert!((got_sd / variance.sqrt() - 1.0).abs() < 0.05, "at {x}: {got_sd} is not {}", variance.sqrt());
        }
    }

    #[test]
    fn a_bound_far_below_what_is_known_changes_nothing() {
        let (hyper, data) = (hyper(0.04), rows(&[(0.1, 0.0), (0.6, 1.0), (0.9, 0.2)]));
        let (plain, bounded) = (posterior(&hyper, &data, &[]), posterior(&hyper, &data, &[bound(0.6, -5.0)]));
        for x in [0.0, 0.5, 0.6, 1.0] {
            let ((a, a_sd), (b, b_sd)) = (plain.predict(&[x]), bounded.predict(&[x]));
            assert!((a - b).abs() < 1e-6 && (a_sd - b_sd).abs() < 1e-6, "{x}");
        }
    }

    #[test]
    fn many_bounds_of_one_configuration_settle() {
        let (hyper, data) = (hyper(1e-6), rows(&[(0.1, -1.0), (0.9, 0.0)]));
        let bounds: Vec<Bound> = (0..12).map(|i| bound(0.5, 0.1 * f64::from(i))).collect();
        let got = posterior(&hyper, &data, &bounds);
        let (mean, sd) = got.predict(&[0.5]);
        // Without noise the highest bound says all; normal factors say a little more.
        let (alone, alone_sd) = posterior(&hyper, &data, &bounds[11..]).predict(&[0.5]);
        assert!(mean > 1.1 && (mean - alone).abs() < alone_sd && sd < 1.2 * alone_sd, "{mean} {alone} {sd} {alone_sd}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        /// A bound makes its configuration look worse, or leaves it as it was. Normal factors are not exact where there
        /// are several bounds, and the process's mean is estimated along with them: a twentieth of the prior's
        /// standard deviation is allowed.
        #[test]
        fn another_bound_never_lowers_the_mean_there(
            data in prop::collection::vec((0.0..1.0_f64, -2.0..2.0_f64), 1..8),
            before in prop::collection::vec((0.0..1.0_f64, -2.0..2.0_f64), 0..6),
            (x, output) in (0.0..1.0_f64, -3.0..3.0_f64),
            noise in prop::sample::select(vec![1e-3, 0.1, 1.0]),
        ) {
            let (hyper, data) = (hyper(noise), rows(&data));
            let mut bounds: Vec<Bound> = before.into_iter().map(|(x, y)| bound(x, y)).collect();
            let mean = posterior(&hyper, &data, &bounds).predict(&[x]).0;
            bounds.push(bound(x, output));
            let with = posterior(&hyper, &data, &bounds).predict(&[x]).0;
            prop_assert!(with >= mean - 0.06, "{with} is below {mean}");
        }
    }
}

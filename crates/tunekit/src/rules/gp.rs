//! A Gaussian process over the unit cube, for few and noisy measurements.
//!
//! Letters: x_i the i-th configuration, n_i how often it was measured, y_i the mean of that, SS_i its sum of squared
//! deviations; k the kernel, sigma^2 the noise of one measurement, tau^2 the variance that a configuration has to
//! itself, K_n = K + diag(sigma^2 / n_i), mu the constant mean. Collapsing replicates that way is exact (Binois,
//! Gramacy and Ludkovski 2018).
//! - `kernel`: Matern 5/2 with a length scale for each coordinate, Hamming distance for categorical ones.
//! - `fit`: the hyperparameters, by maximum a posteriori.
//! - `along`: the kernel where the last coordinate is a resource.
//! - `censored`: measurements of which only a bound is known, as rows of the data.
//! - `chain`: hyperparameters drawn from their posterior.
//! - `trend`: the common part of measurements of one time.
//! - `joint`: the posterior of many points at once, sampled, and its prediction for one more.
//! - this file: the posterior given data and hyperparameters.

mod along;
mod censored;
mod chain;
mod fit;
mod joint;
mod kernel;
mod trend;

pub(crate) use along::Along;
pub(crate) use censored::{Bound, with_bounds};
pub(crate) use chain::{Drawn, draws};
pub(crate) use fit::{Noise, Start, fit};
pub(crate) use joint::Joint;
pub(crate) use kernel::{Coordinate, Hyper, matern};

use std::borrow::Cow;
use std::collections::BTreeSet;

use self::kernel::Kernel;
use super::cholesky::Factor;

/// The data of a process. Outputs are losses (smaller is better), standardised.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Data {
    /// Configurations: rows in [0, 1]^d.
    pub(crate) x: Vec<Vec<f64>>,
    /// Mean output of each.
    pub(crate) y: Vec<f64>,
    /// Number of measurements in that mean; with noise that differs from row to row, the weight of the mean.
    pub(crate) n: Vec<f64>,
    /// Their sum of squared deviations from it.
    pub(crate) ss: Vec<f64>,
    /// The number of last rows that are not measurements and have a variance of their own: there `n` is its reciprocal.
    fixed: usize,
    /// When the measurements of each row were taken, from -1, the first of all, to 0, now; empty where that does not
    /// count.
    times: Vec<Vec<f64>>,
    /// A covariance that the rows' outputs have beside their configurations', row-major; empty where there is none.
    shared: Vec<f64>,
}

impl Data {
    /// Adds a configuration. Measurements come before rows with a variance of their own.
    pub(crate) fn push(&mut self, x: Vec<f64>, y: f64, n: f64, ss: f64) {
        debug_assert!(self.fixed == 0, "measurements come first");
        self.x.push(x);
        self.y.push(y);
        self.n.push(n);
        self.ss.push(ss);
    }

    /// Adds a row with a variance of its own, which no noise changes.
    fn push_fixed(&mut self, x: Vec<f64>, y: f64, variance: f64) {
        self.x.push(x);
        self.y.push(y);
        self.n.push(variance.recip());
        self.ss.push(0.0);
        self.fixed += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.y.len()
    }

    /// The same, where the measurements of each row were taken at these times.
    pub(crate) fn timed(self, times: Vec<Vec<f64>>) -> Self {
        debug_assert_eq!(times.len(), self.len(), "times are of rows");
        Self { times, ..self }
    }

    /// At most this number of the rows, evenly from the first to the last.
    fn thinned(&self, most: usize) -> Self {
        if self.len() <= most {
            return self.clone();
        }
        let rows: Vec<usize> = (0..most).map(|i| i * self.len() / most).collect();
        let measured = rows.iter().filter(|row| **row < self.measured()).count();
        let pick = |values: &[f64]| rows.iter().map(|row| values[*row]).collect();
        Self {
            x: rows.iter().map(|row| self.x[*row].clone()).collect(),
            y: pick(&self.y),
            n: pick(&self.n),
            ss: pick(&self.ss),
            fixed: most - measured,
            times: if self.times.is_empty() {
                Vec::new()
            } else {
                rows.iter().map(|row| self.times[*row].clone()).collect()
            },
            shared: Vec::new(),
        }
    }

    /// Number of rows that are measurements.
    fn measured(&self) -> usize {
        self.len() - self.fixed
    }

    /// By how much a row's output varies about the latent function, as a variance, if one measurement does so by
    /// `noise`.
    fn variance(&self, row: usize, noise: f64) -> f64 {
        if row < self.measured() { noise / self.n[row] } else { self.n[row].recip() }
    }

    /// The median of the measured rows' variances, if one measurement varies by `noise`; `noise` without rows.
    fn typical_variance(&self, noise: f64) -> f64 {
        let variances: Vec<f64> = (0..self.measured()).map(|row| self.variance(row, noise)).collect();
        if variances.is_empty() { noise } else { median(&variances) }
    }

    /// Whether a configuration was measured more than once.
    fn has_replicates(&self) -> bool {
        let mut seen = BTreeSet::new();
        let new = |x: &[f64]| seen.insert(x.iter().map(|u| u.to_bits()).collect::<Vec<u64>>());
        self.n[..self.measured()].iter().any(|n| *n > 1.0)
            || !self.x[..self.measured()].iter().map(Vec::as_slice).all(new)
    }

    /// Number of measurements of configurations that had one already, and the sum of their squared deviations from
    /// their means.
    pub(crate) fn replicates(&self) -> (f64, f64) {
        let n = self.n[..self.measured()].iter().map(|n| (n - 1.0).max(0.0));
        (n.sum(), self.ss.iter().sum())
    }
}

/// The upper median; 1 of none.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(1.0)
}

/// A process conditioned on data.
#[derive(Debug, Clone)]
pub(crate) struct Posterior {
    kernel: Kernel,
    noise: f64,
    /// The configurations.
    x: Vec<Vec<f64>>,
    /// The measurements behind each row that is one.
    n: Vec<f64>,
    /// By how much each row's output varies about the latent function.
    variances: Vec<f64>,
    /// mu: one, or one for each level of a resource.
    mu: Vec<f64>,
    factor: Factor,
    /// K_n^-1 (y - mu).
    alpha: Vec<f64>,
}

/// A prediction at one point, with the terms of its gradient.
pub(crate) struct Local {
    /// The point.
    x: Vec<f64>,
    /// Mean of the latent function.
    pub(crate) mean: f64,
    /// Its variance.
    pub(crate) variance: f64,
    /// Covariances with the data, c.
    cross: Vec<f64>,
    /// K_n^-1 c.
    weights: Vec<f64>,
}

impl Posterior {
    /// Conditions a process on data. The first `base` rows are factored at once and the others appended one by one, so
    /// that `last`, made of the same hyperparameters and base and of the first rows of these, saves work and changes no
    /// bit. `None` if the covariance cannot be factored.
    pub(crate) fn new(
        coordinates: &[Coordinate],
        hyper: &Hyper,
        data: &Data,
        base: usize,
        last: Option<&Self>,
    ) -> Option<Self> {
        let kernel = Kernel::new(coordinates, hyper);
        let x = data.x.clone();
        // The shared part is known of all rows or of none.
        let base = if data.shared.is_empty() { base.min(data.len()) } else { data.len() };
        let variances: Vec<f64> = (0..data.len()).map(|i| data.variance(i, hyper.noise)).collect();
        let known = last.filter(|last| {
            let same = |rows: usize| last.x[..rows] == x[..rows] && last.variances[..rows] == variances[..rows];
            let rows = last.factor.len();
            last.kernel == kernel && last.noise == hyper.noise && (base..=x.len()).contains(&rows) && same(rows)
        });
        let mut factor = match known {
            Some(last) => last.factor.clone(),
            None => Factor::new(&covariance(&kernel, &x[..base], &variances, &data.shared), base)?,
        };
        for i in factor.len()..x.len() {
            let row: Vec<f64> = x[..i].iter().map(|other| kernel.covariance(other, &x[i])).collect();
            factor = factor.extended(&row, kernel.variance(&x[i]) + variances[i])?;
        }
        let groups: Vec<usize> = x.iter().map(|x| kernel.group(x)).collect();
        let above: Vec<f64> = x.iter().zip(&data.y).map(|(x, y)| y - kernel.offset(x)).collect();
        let mu = means_by_gls(&factor, &above, &groups, kernel.groups());
        let residual: Vec<f64> = above.iter().zip(&groups).map(|(y, group)| y - mu[*group]).collect();
        let alpha = factor.solve(&residual);
        let n = data.n[..data.measured()].to_vec();
        Some(Self { kernel, noise: hyper.noise, x, n, variances, mu, factor, alpha })
    }

    /// The same process, told that each of `points` was measured as well as the others were and came out as predicted
    /// (a "kriging believer", Ginsbourger, Le Riche and Carraro 2010): predictions stay, their variance near those
    /// points goes down. `None` if the covariance cannot be factored.
    pub(crate) fn believing(&self, points: &[Vec<f64>]) -> Option<Cow<'_, Self>> {
        if points.is_empty() {
            return Some(Cow::Borrowed(self));
        }
        let (n, k) = (median(&self.n), points.len());
        let mut cross = Vec::with_capacity(k * self.x.len());
        for point in points {
            cross.extend(self.x.iter().map(|other| self.kernel.covariance(other, point)));
        }
        let own = covariance(&self.kernel, points, &vec![self.noise / n; k], &[]);
        let mut more = self.clone();
        more.factor = self.factor.extended_by(&cross, &own, k)?;
        more.x.extend_from_slice(points);
        more.n.extend(std::iter::repeat_n(n, k));
        // Solving with the predicted values leaves the old rows as they were, and gives 0 for the new rows.
        more.alpha.extend(std::iter::repeat_n(0.0, k));
        Some(Cow::Owned(more))
    }

    /// The smooth part of the process: without the part that each configuration has to itself.
    pub(crate) fn smooth(&self) -> Self {
        Self { kernel: self.kernel.smooth(), ..self.clone() }
    }

    /// The variance of one measurement.
    pub(crate) fn noise(&self) -> f64 {
        self.noise
    }

    /// s^2: the variance far from all data.
    pub(crate) fn signal(&self) -> f64 {
        self.kernel.signal()
    }

    /// Mean and standard deviation of the latent function at `x`.
    pub(crate) fn predict(&self, x: &[f64]) -> (f64, f64) {
        self.predict_many(&[x.to_vec()])[0]
    }

    /// [`Posterior::predict`] for many points.
    pub(crate) fn predict_many(&self, points: &[Vec<f64>]) -> Vec<(f64, f64)> {
        self.locals(points).iter().map(|local| (local.mean, local.variance.sqrt())).collect()
    }

    /// [`Posterior::predict`] with a constant mean that is known from the data only (Rasmussen and Williams 2006, eq.
    /// 2.41 and 2.42, with a flat prior): the variance is larger, above all far from the data.
    pub(crate) fn predict_without_mean(&self, points: &[Vec<f64>]) -> Vec<(f64, f64)> {
        let groups = self.kernel.groups();
        let ones: Vec<Vec<f64>> = (0..groups)
            .map(|group| {
                let mut ones: Vec<f64> =
                    self.x.iter().map(|x| f64::from(u8::from(self.kernel.group(x) == group))).collect();
                self.factor.half_solve(&mut ones);
                ones
            })
            .collect();
        let locals = self.locals(points);
        locals
            .iter()
            .map(|local| {
                let ones = &ones[self.kernel.group(&local.x)];
                let weight = dot(ones, ones);
                let mut half = local.cross.clone();
                self.factor.half_solve(&mut half);
                let left = 1.0 - dot(ones, &half);
                let more = if weight > 0.0 { left * left / weight } else { 0.0 };
                (local.mean, (local.variance + more).sqrt())
            })
            .collect()
    }

    /// The predictions at many points at once, which is several times faster than one by one; for gradients they lack
    /// the weights.
    pub(crate) fn locals(&self, points: &[Vec<f64>]) -> Vec<Local> {
        let n = self.x.len();
        let mut half: Vec<f64> = Vec::with_capacity(points.len() * n);
        let mut locals: Vec<Local> = Vec::with_capacity(points.len());
        for point in points {
            let cross: Vec<f64> = self.x.iter().map(|x| self.kernel.covariance(x, point)).collect();
            half.extend_from_slice(&cross);
            let mean = self.mean(point) + dot(&cross, &self.alpha);
            locals.push(Local { x: point.clone(), mean, variance: 0.0, cross, weights: Vec::new() });
        }
        self.factor.half_solve(&mut half);
        for (local, half) in locals.iter_mut().zip(half.chunks(n.max(1))) {
            local.variance = self.left(&local.x, dot(half, half));
        }
        locals
    }

    /// The mean far from all data.
    fn mean(&self, x: &[f64]) -> f64 {
        self.mu[self.kernel.group(x)] + self.kernel.offset(x)
    }

    /// The variance that remains of a point's variance after the part that the data explain.
    fn left(&self, x: &[f64], explained: f64) -> f64 {
        (self.kernel.variance(x) - explained).max(1e-12 * self.kernel.signal())
    }

    /// The prediction at `x`, from which gradients can be taken.
    pub(crate) fn local(&self, x: &[f64]) -> Local {
        let cross: Vec<f64> = self.x.iter().map(|row| self.kernel.covariance(row, x)).collect();
        let mut weights = cross.clone();
        self.factor.half_solve(&mut weights);
        let variance = self.left(x, dot(&weights, &weights));
        self.factor.half_solve_transposed(&mut weights);
        Local { mean: self.mean(x) + dot(&cross, &self.alpha), x: x.to_vec(), variance, cross, weights }
    }

    /// The gradient by the coordinates of `x` (0 for a categorical one) of a function of the mean and the variance
    /// there, whose derivatives by them are given.
    pub(crate) fn gradient(&self, x: &[f64], local: &Local, by_mean: f64, by_variance: f64) -> Vec<f64> {
        let mut out = vec![0.0; x.len()];
        for ((row, alpha), weight) in self.x.iter().zip(&self.alpha).zip(&local.weights) {
            self.kernel.add_gradient(&local.x, row, by_mean * alpha - 2.0 * by_variance * weight, &mut out);
        }
        out
    }

    /// The prediction of each output from all other outputs in the data (Rasmussen and Williams 2006, eq. 5.12).
    pub(crate) fn leave_one_out_means(&self, y: &[f64]) -> Vec<f64> {
        let inverse = self.factor.inverse();
        let n = self.x.len();
        y.iter().enumerate().map(|(i, y)| y - self.alpha[i] / inverse[i * n + i]).collect()
    }

    /// The log density of each measured output given all other rows (Rasmussen and Williams 2006, eq. 5.10 to 5.12),
    /// summed.
    pub(crate) fn leave_one_out(&self) -> f64 {
        let inverse = self.factor.inverse();
        let n = self.x.len();
        (0..self.n.len())
            .map(|i| {
                let precision = inverse[i * n + i];
                let residual = self.alpha[i] / precision;
                0.5 * precision.ln() - 0.5 * residual * residual * precision - 0.5 * std::f64::consts::TAU.ln()
            })
            .sum()
    }
}

/// K_n of points whose outputs vary by so much about the latent function, row-major, with their common variation added,
/// if any.
fn covariance(kernel: &Kernel, x: &[Vec<f64>], variances: &[f64], shared: &[f64]) -> Vec<f64> {
    let n = x.len();
    let mut k = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..i {
            let c = kernel.covariance(&x[i], &x[j]);
            k[i * n + j] = c;
            k[j * n + i] = c;
        }
        k[i * n + i] = kernel.variance(&x[i]) + variances[i];
    }
    k.iter_mut().zip(shared).for_each(|(k, shared)| *k += shared);
    k
}

/// The constant mean of each group that is most likely: (1^T K_n^-1 y) / (1^T K_n^-1 1). Rows of several groups must be
/// independent; then one solution serves all. 0 for a group without rows.
fn means_by_gls(factor: &Factor, y: &[f64], groups: &[usize], count: usize) -> Vec<f64> {
    let weights = factor.solve(&vec![1.0; y.len()]);
    let mut sums = vec![(0.0, 0.0); count];
    for ((weight, y), group) in weights.iter().zip(y).zip(groups) {
        sums[*group].0 += weight * y;
        sums[*group].1 += weight;
    }
    let mean = |(weighted, weight): (f64, f64)| weighted / weight;
    sums.into_iter().map(mean).map(|mean| if mean.is_finite() { mean } else { 0.0 }).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> Data {
        let mut data = Data::default();
        data.push(vec![0.1, 0.2], 0.5, 1.0, 0.0);
        data.push(vec![0.8, 0.3], -1.0, 3.0, 0.1);
        data.push(vec![0.4, 0.9], 0.7, 2.0, 0.02);
        data
    }

    fn hyper() -> Hyper {
        Hyper { lengths: vec![0.5, 0.8], signal: 1.3, noise: 0.2, own: 0.0, additive: 0.0, shapes: Vec::new() }
    }

    const PLAIN: [Coordinate; 2] = [Coordinate::Numeric; 2];

    /// Solves a small dense system by Gauss and Jordan.
    fn solve(a: &[Vec<f64>], b: &[f64]) -> Vec<f64> {
        let n = b.len();
        let mut m: Vec<Vec<f64>> = a.iter().zip(b).map(|(r, b)| r.iter().copied().chain([*b]).collect()).collect();
        for i in 0..n {
            let pivot = m[i][i];
            m[i].iter_mut().for_each(|v| *v /= pivot);
            for k in 0..n {
                if k != i {
                    let factor = m[k][i];
                    let row = m[i].clone();
                    m[k].iter_mut().zip(row).for_each(|(v, r)| *v -= factor * r);
                }
            }
        }
        m.iter().map(|r| r[n]).collect()
    }

    #[test]
    fn the_posterior_is_the_textbooks() {
        let (data, hyper) = (data(), hyper());
        let k = |a: &[f64], b: &[f64]| {
            let r = ((a[0] - b[0]) / 0.5).hypot((a[1] - b[1]) / 0.8) * 5_f64.sqrt();
            1.3 * (1.0 + r + r * r / 3.0) * (-r).exp()
        };
        let kn: Vec<Vec<f64>> = (0..3)
            .map(|i| (0..3).map(|j| k(&data.x[i], &data.x[j]) + if i == j { 0.2 / data.n[i] } else { 0.0 }).collect())
            .collect();
        let ones = solve(&kn, &[1.0; 3]);
        let mu = dot(&ones, &data.y) / ones.iter().sum::<f64>();
        let alpha = solve(&kn, &data.y.iter().map(|y| y - mu).collect::<Vec<_>>());
        let posterior = Posterior::new(&PLAIN, &hyper, &data, 3, None).unwrap();
        for x in [[0.5, 0.5], [0.8, 0.3], [0.0, 1.0]] {
            let c: Vec<f64> = data.x.iter().map(|row| k(row, &x)).collect();
            let (mean, variance) = (mu + dot(&c, &alpha), 1.3 - dot(&c, &solve(&kn, &c)));
            let (got_mean, got_sd) = posterior.predict(&x);
            assert!((got_mean - mean).abs() < 1e-12 && (got_sd * got_sd - variance).abs() < 1e-12);
        }
        // Leave one out, the slow way: condition on the other two, at the same mean.
        let mut slow = 0.0;
        for i in 0..3 {
            let rest: Vec<usize> = (0..3).filter(|j| *j != i).collect();
            let a: Vec<Vec<f64>> = rest.iter().map(|r| rest.iter().map(|c| kn[*r][*c]).collect()).collect();
            let c: Vec<f64> = rest.iter().map(|r| kn[*r][i]).collect();
            let y: Vec<f64> = rest.iter().map(|r| data.y[*r] - mu).collect();
            let (m, v) = (mu + dot(&c, &solve(&a, &y)), kn[i][i] - dot(&c, &solve(&a, &c)));
            slow += -0.5 * (std::f64::consts::TAU * v).ln() - (data.y[i] - m).powi(2) / (2.0 * v);
        }
        assert!((posterior.leave_one_out() - slow).abs() < 1e-10);
    }

    #[test]
    fn what_a_configuration_has_to_itself_is_known_of_it_and_of_no_other() {
        let (mut data, plain) = (data(), hyper());
        data.n = vec![1.0; 3];
        // A quarter of the fitted noise.
        let apart = Hyper { own: 0.25 * plain.noise, noise: 0.75 * plain.noise, ..plain.clone() };
        let [smooth, apart] = [plain, apart].map(|hyper| Posterior::new(&PLAIN, &hyper, &data, 3, None).unwrap());
        for (x, y) in data.x.iter().zip(&data.y) {
            let (mean, _) = smooth.predict(x);
            assert!((apart.predict(x).0 - (mean + 0.25 * (y - mean))).abs() < 1e-12);
            let beside: Vec<f64> = x.iter().map(|u| u + 1e-9).collect();
            let ((mean, sd), (same, more)) = (smooth.predict(&beside), apart.predict(&beside));
            assert!((same - mean).abs() < 1e-9 && (more * more - sd * sd - 0.05).abs() < 1e-9);
        }
    }

    #[test]
    fn independent_levels_are_processes_of_their_own() {
        let along = [Coordinate::Numeric, Coordinate::Numeric, Coordinate::Resource(Along::Independent { levels: 2 })];
        let both = Hyper { shapes: vec![0.4], ..hyper() };
        let (mut first, mut second, mut all) = (data(), Data::default(), Data::default());
        first.push(vec![0.2, 0.7], 0.1, 1.0, 0.0);
        second.push(vec![0.3, 0.6], 5.0, 1.0, 0.0);
        second.push(vec![0.9, 0.1], 6.0, 2.0, 0.1);
        for (level, data) in [(0.0, &first), (1.0, &second)] {
            for i in 0..data.len() {
                all.push([data.x[i].as_slice(), &[level]].concat(), data.y[i], data.n[i], data.ss[i]);
            }
        }
        let joint = Posterior::new(&along, &both, &all, all.len(), None).unwrap();
        let alone = Posterior::new(&PLAIN, &hyper(), &first, first.len(), None).unwrap();
        let scaled = Hyper { signal: 0.4 * 1.3, ..hyper() };
        let other = Posterior::new(&PLAIN, &scaled, &second, second.len(), None).unwrap();
        for (level, alone) in [(0.0, alone), (1.0, other)] {
            let ((a, b), (c, d)) = (joint.predict(&[0.5, 0.5, level]), alone.predict(&[0.5, 0.5]));
            assert!((a - c).abs() < 1e-9 && (b - d).abs() < 1e-9);
        }
    }

    #[test]
    fn what_is_left_out_is_predicted_by_the_others() {
        let data = data();
        let posterior = Posterior::new(&PLAIN, &hyper(), &data, 3, None).unwrap();
        let left_out = posterior.leave_one_out_means(&data.y);
        let mu = posterior.mu[0];
        for (i, left_out) in left_out.into_iter().enumerate() {
            let rest: Vec<usize> = (0..3).filter(|j| *j != i).collect();
            let k = |a: usize, b: usize| posterior.kernel.covariance(&data.x[a], &data.x[b]);
            let noise = |a: usize, b: usize| if a == b { 0.2 / data.n[a] } else { 0.0 };
            let a: Vec<Vec<f64>> =
                rest.iter().map(|r| rest.iter().map(|c| k(*r, *c) + noise(*r, *c)).collect()).collect();
            let y: Vec<f64> = rest.iter().map(|r| data.y[*r] - mu).collect();
            let c: Vec<f64> = rest.iter().map(|r| k(*r, i)).collect();
            assert!((left_out - mu - dot(&c, &solve(&a, &y))).abs() < 1e-9);
        }
    }

    #[test]
    fn curves_that_decay_come_down_to_their_end() {
        let along = [Coordinate::Numeric, Coordinate::Numeric, Coordinate::Resource(Along::ExponentialDecay)];
        let mut curves = Data::default();
        // Two configurations, exactly 2 / (1 + r) above their ends of 0.5 and -0.5.
        for (x, end) in [(0.1, 0.5), (0.9, -0.5)] {
            for r in [1.0, 3.0, 9.0] {
                curves.push(vec![x, x, r], end + 2.0 / (1.0 + r), 1.0, 0.0);
            }
        }
        let exact = Hyper { noise: 1e-6, shapes: vec![1.0, 1.0, 2.0], ..hyper() };
        let posterior = Posterior::new(&along, &exact, &curves, curves.len(), None).unwrap();
        for (x, end) in [(0.1, 0.5), (0.9, -0.5)] {
            let (mean, _) = posterior.predict(&[x, x, 1e6]);
            assert!((mean - end).abs() < 0.05, "{mean} is not {end}");
        }
    }

    #[test]
    fn replicates_collapse_without_loss() {
        // Three measurements at one place, once as themselves and once as their mean.
        let (mut one, mut three) = (Data::default(), Data::default());
        one.push(vec![0.3, 0.3], 2.0, 3.0, 2.0);
        [1.0, 2.0, 3.0].into_iter().for_each(|y| three.push(vec![0.3, 0.3], y, 1.0, 0.0));
        for data in [&mut one, &mut three] {
            data.push(vec![0.9, 0.1], -1.0, 1.0, 0.0);
        }
        let a = Posterior::new(&PLAIN, &hyper(), &one, 2, None).unwrap().predict(&[0.5, 0.5]);
        let b = Posterior::new(&PLAIN, &hyper(), &three, 4, None).unwrap().predict(&[0.5, 0.5]);
        assert!((a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9, "{a:?} {b:?}");
    }

    #[test]
    fn gradients_are_differences_of_predictions() {
        for additive in [0.0, 0.4] {
            let posterior = Posterior::new(&PLAIN, &Hyper { additive, ..hyper() }, &data(), 3, None).unwrap();
            let x = [0.55, 0.35];
            let local = posterior.local(&x);
            let (mean, sd) = posterior.predict(&x);
            assert!((local.mean - mean).abs() < 1e-12 && (local.variance - sd * sd).abs() < 1e-12);
            let by_mean = posterior.gradient(&x, &local, 1.0, 0.0);
            let by_variance = posterior.gradient(&x, &local, 0.0, 1.0);
            for j in 0..2 {
                let (mut up, mut down) = (x, x);
                (up[j], down[j]) = (x[j] + 1e-6, x[j] - 1e-6);
                let (a, b) = (posterior.local(&up), posterior.local(&down));
                assert!((by_mean[j] - (a.mean - b.mean) / 2e-6).abs() < 1e-6, "{additive}");
                assert!((by_variance[j] - (a.variance - b.variance) / 2e-6).abs() < 1e-6, "{additive}");
            }
        }
    }

    #[test]
    fn believing_keeps_the_mean_and_lowers_the_variance() {
        let posterior = Posterior::new(&PLAIN, &hyper(), &data(), 3, None).unwrap();
        let believing = posterior.believing(&[vec![0.5, 0.4], vec![0.9, 0.9]]).unwrap();
        let (x, far) = ([0.55, 0.35], [0.05, 0.15]);
        let ((mean, sd), (after, less)) = (posterior.predict(&x), believing.predict(&x));
        assert!((after - mean).abs() < 1e-12 && less < 0.8 * sd, "{after} {mean} {less} {sd}");
        assert!(believing.predict(&far).1 > 0.95 * posterior.predict(&far).1);
        // The slow way: the same data with the predictions among them, at the same mean.
        let mut more = data();
        more.push(vec![0.5, 0.4], posterior.predict(&[0.5, 0.4]).0, 2.0, 0.0);
        more.push(vec![0.9, 0.9], posterior.predict(&[0.9, 0.9]).0, 2.0, 0.0);
        let slow = Posterior::new(&PLAIN, &hyper(), &more, 5, None).unwrap();
        assert!((slow.predict(&x).1 - less).abs() < 1e-9);
    }

    #[test]
    fn appending_rows_gives_what_conditioning_on_all_gives_and_a_last_one_changes_no_bit() {
        let (all, hyper) = (data(), hyper());
        let mut two = Data::default();
        (0..2).for_each(|i| two.push(all.x[i].clone(), all.y[i], all.n[i], all.ss[i]));
        let at_once = Posterior::new(&PLAIN, &hyper, &all, 3, None).unwrap().predict(&[0.6, 0.6]);
        let appended = Posterior::new(&PLAIN, &hyper, &all, 1, None).unwrap().predict(&[0.6, 0.6]);
        assert!((at_once.0 - appended.0).abs() < 1e-12 && (at_once.1 - appended.1).abs() < 1e-12);
        let last = Posterior::new(&PLAIN, &hyper, &two, 1, None).unwrap();
        let from_last = Posterior::new(&PLAIN, &hyper, &all, 1, Some(&last)).unwrap().predict(&[0.6, 0.6]);
        assert_eq!(from_last, appended);
    }
}

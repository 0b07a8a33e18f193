//! A Gaussian process over the unit cube, for few and noisy measurements.
//!
//! Letters: x_i the i-th configuration, n_i how often it was measured, y_i the mean of that, SS_i its sum of squared
//! deviations; k the kernel, sigma^2 the noise of one measurement, K_n = K + diag(sigma^2 / n_i), mu the constant mean.
//! Collapsing replicates that way is exact (Binois, Gramacy and Ludkovski 2018).
//! - `kernel`: Matern 5/2 with a length scale for each coordinate, Hamming distance for categorical ones.
//! - `fit`: the hyperparameters, by maximum a posteriori.
//! - this file: the posterior given both.

mod fit;
mod kernel;

pub(crate) use fit::{Hyper, fit};
pub(crate) use kernel::Coordinate;

use self::kernel::Kernel;
use super::cholesky::Factor;

/// What a process is conditioned on. Outputs are losses (smaller is better), standardised.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Data {
    /// Configurations: rows in [0, 1]^d.
    pub(crate) x: Vec<Vec<f64>>,
    /// Mean output of each.
    pub(crate) y: Vec<f64>,
    /// How many measurements that is the mean of.
    pub(crate) n: Vec<f64>,
    /// Their sum of squared deviations from it.
    pub(crate) ss: Vec<f64>,
}

impl Data {
    /// Adds a configuration.
    pub(crate) fn push(&mut self, x: Vec<f64>, y: f64, n: f64, ss: f64) {
        self.x.push(x);
        self.y.push(y);
        self.n.push(n);
        self.ss.push(ss);
    }

    pub(crate) fn len(&self) -> usize {
        self.y.len()
    }
}

/// A process conditioned on data.
#[derive(Debug, Clone)]
pub(crate) struct Posterior {
    kernel: Kernel,
    noise: f64,
    x: Vec<Vec<f64>>,
    mu: f64,
    factor: Factor,
    /// K_n^-1 (y - mu).
    alpha: Vec<f64>,
}

impl Posterior {
    /// Conditions a process on data; `None` if the covariance cannot be factored.
    pub(crate) fn new(coordinates: &[Coordinate], hyper: &Hyper, data: &Data) -> Option<Self> {
        let kernel = Kernel::new(coordinates.to_vec(), hyper.lengths.clone(), hyper.signal);
        let factor = Factor::new(&covariance(&kernel, hyper.noise, data), data.len())?;
        let mu = mean_by_gls(&factor, &data.y);
        let alpha = factor.solve(&data.y.iter().map(|y| y - mu).collect::<Vec<_>>());
        Some(Self { kernel, noise: hyper.noise, x: data.x.clone(), mu, factor, alpha })
    }

    /// The same process, told that each of `points` was measured once and came out as predicted (a "kriging believer",
    /// Ginsbourger, Le Riche and Carraro 2010): predictions stay, their variance near those points goes down.
    pub(crate) fn believing(&self, points: &[Vec<f64>], data: &Data) -> Option<Self> {
        let mut more = data.clone();
        for x in points {
            let (mean, _) = self.predict(x);
            more.push(x.clone(), mean, 1.0, 0.0);
        }
        let factor = Factor::new(&covariance(&self.kernel, self.noise, &more), more.len())?;
        let alpha = factor.solve(&more.y.iter().map(|y| y - self.mu).collect::<Vec<_>>());
        Some(Self { kernel: self.kernel.clone(), noise: self.noise, x: more.x, mu: self.mu, factor, alpha })
    }

    /// The variance of one measurement.
    pub(crate) fn noise(&self) -> f64 {
        self.noise
    }

    /// Mean and standard deviation of the latent function at `x`.
    pub(crate) fn predict(&self, x: &[f64]) -> (f64, f64) {
        self.predict_many(&[x.to_vec()])[0]
    }

    /// [`Posterior::predict`] for many points at once, which is several times faster.
    pub(crate) fn predict_many(&self, points: &[Vec<f64>]) -> Vec<(f64, f64)> {
        let n = self.x.len();
        let mut cross: Vec<f64> = Vec::with_capacity(points.len() * n);
        let mut means = Vec::with_capacity(points.len());
        for point in points {
            let start = cross.len();
            cross.extend(self.x.iter().map(|x| self.kernel.covariance(x, point)));
            means.push(self.mu + dot(&cross[start..], &self.alpha));
        }
        self.factor.half_solve(&mut cross);
        let variance = |i: usize| {
            let half = &cross[i * n..(i + 1) * n];
            (self.kernel.signal() - dot(half, half)).max(1e-12 * self.kernel.signal())
        };
        means.into_iter().enumerate().map(|(i, mean)| (mean, variance(i).sqrt())).collect()
    }

    /// Mean, standard deviation, and their gradients by the coordinates of `x` (0 for a categorical one).
    pub(crate) fn predict_with_gradient(&self, x: &[f64]) -> (f64, f64, Vec<f64>, Vec<f64>) {
        let cross: Vec<f64> = self.x.iter().map(|row| self.kernel.covariance(row, x)).collect();
        let mut half = cross.clone();
        self.factor.half_solve(&mut half);
        let variance = (self.kernel.signal() - dot(&half, &half)).max(1e-12 * self.kernel.signal());
        let mut weights = half;
        self.factor.half_solve_transposed(&mut weights);
        let (mut by_mean, mut by_sd) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let mut slope = vec![0.0; x.len()];
        let sd = variance.sqrt();
        for (row, (alpha, weight)) in self.x.iter().zip(self.alpha.iter().zip(&weights)) {
            self.kernel.gradient(x, row, &mut slope);
            for (j, s) in slope.iter().enumerate() {
                by_mean[j] += s * alpha;
                by_sd[j] -= s * weight / sd;
            }
        }
        (self.mu + dot(&cross, &self.alpha), sd, by_mean, by_sd)
    }

    /// The log density of each output given the others (Rasmussen and Williams 2006, eq. 5.10 to 5.12), summed.
    pub(crate) fn leave_one_out(&self) -> f64 {
        let inverse = self.factor.inverse();
        let n = self.x.len();
        (0..n)
            .map(|i| {
                let precision = inverse[i * n + i];
                let residual = self.alpha[i] / precision;
                0.5 * precision.ln() - 0.5 * residual * residual * precision - 0.5 * std::f64::consts::TAU.ln()
            })
            .sum()
    }
}

/// K_n, row-major.
fn covariance(kernel: &Kernel, noise: f64, data: &Data) -> Vec<f64> {
    let n = data.len();
    let mut k = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..i {
            let c = kernel.covariance(&data.x[i], &data.x[j]);
            k[i * n + j] = c;
            k[j * n + i] = c;
        }
        k[i * n + i] = kernel.signal() + noise / data.n[i];
    }
    k
}

/// The constant mean that is most likely: (1^T K_n^-1 y) / (1^T K_n^-1 1).
fn mean_by_gls(factor: &Factor, y: &[f64]) -> f64 {
    let weights = factor.solve(&vec![1.0; y.len()]);
    let mean = dot(&weights, y) / weights.iter().sum::<f64>();
    if mean.is_finite() { mean } else { 0.0 }
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
        Hyper { lengths: vec![0.5, 0.8], signal: 1.3, noise: 0.2 }
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
        let posterior = Posterior::new(&PLAIN, &hyper, &data).unwrap();
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
    fn replicates_collapse_without_loss() {
        // Three measurements at one place, once as themselves and once as their mean.
        let (mut one, mut three) = (Data::default(), Data::default());
        one.push(vec![0.3, 0.3], 2.0, 3.0, 2.0);
        [1.0, 2.0, 3.0].into_iter().for_each(|y| three.push(vec![0.3, 0.3], y, 1.0, 0.0));
        for data in [&mut one, &mut three] {
            data.push(vec![0.9, 0.1], -1.0, 1.0, 0.0);
        }
        let a = Posterior::new(&PLAIN, &hyper(), &one).unwrap().predict(&[0.5, 0.5]);
        let b = Posterior::new(&PLAIN, &hyper(), &three).unwrap().predict(&[0.5, 0.5]);
        assert!((a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9, "{a:?} {b:?}");
    }

    #[test]
    fn gradients_are_differences_and_believing_keeps_the_mean() {
        let posterior = Posterior::new(&PLAIN, &hyper(), &data()).unwrap();
        let x = [0.55, 0.35];
        let (mean, sd, by_mean, by_sd) = posterior.predict_with_gradient(&x);
        assert_eq!((mean, sd), posterior.predict(&x));
        for j in 0..2 {
            let (mut up, mut down) = (x, x);
            (up[j], down[j]) = (x[j] + 1e-6, x[j] - 1e-6);
            let (a, b) = (posterior.predict(&up), posterior.predict(&down));
            assert!((by_mean[j] - (a.0 - b.0) / 2e-6).abs() < 1e-6);
            assert!((by_sd[j] - (a.1 - b.1) / 2e-6).abs() < 1e-6);
        }
        let believing = posterior.believing(&[vec![0.5, 0.4]], &data()).unwrap();
        let (after, less) = believing.predict(&x);
        assert!((after - mean).abs() < 1e-9 && less < 0.8 * sd, "{after} {mean} {less} {sd}");
    }
}

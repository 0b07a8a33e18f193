//! Hyperparameters by maximum a posteriori: L-BFGS in their logarithms, from several starts, with analytic gradients.
//!
//! The likelihood of all measurements, replicates collapsed (letters: `gp.rs`), is
//! -ln p = 1/2 (y - mu)^T alpha + 1/2 ln |K_n| + 1/2 sum_i [(n_i - 1) ln sigma^2 + SS_i / sigma^2] + const,
//! its gradient by a parameter of K_n is 1/2 tr[(K_n^-1 - alpha alpha^T) dK_n]; mu is profiled out, which by the envelope
//! theorem changes nothing there. Priors are normal in the logarithms:
//! - length scales: mean sqrt 2 + 1/2 ln d, sd sqrt 3, at least 0.025 (Hvarfner, Hellsten and Nardi 2024);
//! - signal variance: mean 0, sd 1 of standardised outputs;
//! - noise variance: mean -6, sd 2.5. Wider than BoTorch's (-4, 1) on purpose: what is tuned may be a simulation without any
//!   noise or a download with 30 % of it, and this gives either at most some 5 nats of handicap.

use super::kernel::{Coordinate, matern};
use super::{Data, Factor, dot, mean_by_gls};
use crate::rules::lbfgs::minimize;
use crate::rules::qmc::Sobol;

/// The shortest length scale; below it a process is white noise for any number of points one can afford.
const MIN_LENGTH: f64 = 0.025;
/// The least noise, relative to the spread of the outputs: keeps the covariance well conditioned.
const MIN_NOISE: f64 = 1e-6;
const LENGTH_SD: f64 = 1.732_050_807_568_877_2;
const NOISE_MEAN: f64 = -6.0;
const NOISE_SD: f64 = 2.5;

/// The hyperparameters of a process.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hyper {
    /// l_j.
    pub(crate) lengths: Vec<f64>,
    /// s^2.
    pub(crate) signal: f64,
    /// sigma^2.
    pub(crate) noise: f64,
}

impl Hyper {
    /// From logarithms (l_1 .. l_d, s^2, sigma^2), each above its floor.
    fn from_logs(logs: &[f64]) -> Self {
        let d = logs.len() - 2;
        Self {
            lengths: logs[..d].iter().map(|l| MIN_LENGTH + l.exp()).collect(),
            signal: logs[d].exp(),
            noise: MIN_NOISE + logs[d + 1].exp(),
        }
    }
}

/// The data in the form the objective wants it, made once a fit.
struct Objective<'a> {
    data: &'a Data,
    d: usize,
    /// Squared distances, d of them for each pair i > j in turn.
    squared: Vec<f64>,
    /// sum (n_i - 1) and sum SS_i.
    spare: f64,
    ss: f64,
}

impl<'a> Objective<'a> {
    fn new(coordinates: &[Coordinate], data: &'a Data) -> Self {
        let mut squared = Vec::with_capacity(data.len() * data.len() / 2 * coordinates.len());
        for i in 0..data.len() {
            for j in 0..i {
                let pair = coordinates.iter().enumerate();
                squared.extend(pair.map(|(c, kind)| kind.squared(data.x[i][c], data.x[j][c])));
            }
        }
        Self {
            data,
            d: coordinates.len(),
            squared,
            spare: data.n.iter().map(|n| n - 1.0).sum(),
            ss: data.ss.iter().sum(),
        }
    }

    fn prior_mean(&self, index: usize) -> (f64, f64) {
        if index < self.d {
            (std::f64::consts::SQRT_2 + 0.5 * (self.d as f64).ln(), LENGTH_SD)
        } else if index == self.d {
            (0.0, 1.0)
        } else {
            (NOISE_MEAN, NOISE_SD)
        }
    }

    /// -ln posterior, up to a constant, and its gradient. Infinite where the covariance cannot be factored.
    fn evaluate(&self, logs: &[f64]) -> (f64, Vec<f64>) {
        let (n, d) = (self.data.len(), self.d);
        let mut gradient = vec![0.0; d + 2];
        // Far outside of any prior, where the exponentials overflow.
        if logs.iter().any(|l| l.abs() > 40.0) {
            return (f64::INFINITY, gradient);
        }
        let hyper = Hyper::from_logs(logs);
        let weights: Vec<f64> = hyper.lengths.iter().map(|l| 1.0 / (l * l)).collect();
        let mut k = vec![0.0; n * n];
        // s^2 dM/dr of each pair, for the gradient.
        let mut slopes = Vec::with_capacity(n * n / 2);
        let mut pair = 0;
        for i in 0..n {
            for j in 0..i {
                let squared = &self.squared[pair * d..(pair + 1) * d];
                let (m, slope) = matern(dot(&weights, squared));
                k[i * n + j] = hyper.signal * m;
                k[j * n + i] = hyper.signal * m;
                slopes.push(hyper.signal * slope);
                pair += 1;
            }
            k[i * n + i] = hyper.signal + hyper.noise / self.data.n[i];
        }
        let Some(factor) = Factor::new(&k, n) else { return (f64::INFINITY, gradient) };
        let mu = mean_by_gls(&factor, &self.data.y);
        let residual: Vec<f64> = self.data.y.iter().map(|y| y - mu).collect();
        let alpha = factor.solve(&residual);
        let inverse = factor.inverse();
        let mut value = 0.5 * dot(&residual, &alpha)
            + 0.5 * factor.log_determinant()
            + 0.5 * (self.spare * hyper.noise.ln() + self.ss / hyper.noise);

        // d/d r_ij summed with the distances gives the length scales; each pair counts twice, which cancels the half.
        let mut by_weight = vec![0.0; d];
        let (mut by_signal, mut by_noise) =
            (0.0, 0.5 * (self.spare / hyper.noise - self.ss / (hyper.noise * hyper.noise)));
        let mut pair = 0;
        for i in 0..n {
            for j in 0..i {
                let w = inverse[i * n + j] - alpha[i] * alpha[j];
                by_signal += w * k[i * n + j];
                let by_distance = w * slopes[pair];
                for (b, s) in by_weight.iter_mut().zip(&self.squared[pair * d..(pair + 1) * d]) {
                    *b += by_distance * s;
                }
                pair += 1;
            }
            let w = inverse[i * n + i] - alpha[i] * alpha[i];
            by_signal += 0.5 * w * hyper.signal;
            by_noise += 0.5 * w / self.data.n[i];
        }
        for j in 0..d {
            // dr/dl = -2 d^2 / l^3, dl/dlog = l - floor.
            let l = hyper.lengths[j];
            gradient[j] = by_weight[j] * -2.0 / (l * l * l) * (l - MIN_LENGTH);
        }
        gradient[d] = by_signal;
        gradient[d + 1] = by_noise * (hyper.noise - MIN_NOISE);
        for (index, log) in logs.iter().enumerate() {
            let (mean, sd) = self.prior_mean(index);
            let z = (log - mean) / sd;
            value += 0.5 * z * z;
            gradient[index] += z / sd;
        }
        (value, gradient)
    }
}

/// The hyperparameters that are most likely given the data and the priors, from `starts` starts: a guess at what problems
/// are usually like, the prior's mode, then points of `sobol` within a standard deviation of the prior.
pub(crate) fn fit(coordinates: &[Coordinate], data: &Data, starts: usize, sobol: &Sobol) -> Hyper {
    let objective = Objective::new(coordinates, data);
    let size = coordinates.len() + 2;
    let mode: Vec<f64> = (0..size).map(|i| objective.prior_mean(i).0).collect();
    let mut best: Option<(Vec<f64>, f64)> = None;
    for start in 0..starts.max(1) {
        let logs: Vec<f64> = match start {
            // Length scales of half the cube are where most functions worth tuning are.
            0 => mode.iter().enumerate().map(|(i, m)| if i < coordinates.len() { 0.5_f64.ln() } else { *m }).collect(),
            1 => mode.clone(),
            _ => {
                let u = sobol.point(start as u64, size);
                (0..size).map(|i| mode[i] + (2.0 * u[i] - 1.0) * objective.prior_mean(i).1).collect()
            }
        };
        if let Some(found) = minimize(|logs| objective.evaluate(logs), &logs, 80)
            && best.as_ref().is_none_or(|(_, value)| found.1 < *value)
        {
            best = Some(found);
        }
    }
    Hyper::from_logs(&best.map_or(mode, |(logs, _)| logs))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::stream::Stream;

    fn data(n: usize, noise: f64) -> Data {
        let mut stream = Stream::of_study(1, "fit");
        let mut data = Data::default();
        for i in 0..n {
            let x = vec![stream.uniform(), stream.uniform(), (stream.uniform() * 3.0).floor() / 3.0];
            let f = (6.0 * x[0]).sin() + 0.3 * x[1] + if x[2] > 0.5 { 0.5 } else { 0.0 };
            let repeats = 1 + i % 3;
            let ss = if repeats > 1 { noise * noise * (repeats as f64 - 1.0) } else { 0.0 };
            data.push(x, f + noise * (stream.uniform() - 0.5) * 3.46, repeats as f64, ss);
        }
        data
    }

    const COORDINATES: [Coordinate; 3] = [Coordinate::Numeric, Coordinate::Numeric, Coordinate::Categorical];

    #[test]
    fn the_gradient_is_the_difference_quotient() {
        let data = data(12, 0.3);
        let objective = Objective::new(&COORDINATES, &data);
        for logs in [[-0.5, 0.3, 0.8, 0.2, -2.0], [-3.0, -1.0, 2.0, -0.5, -7.0], [1.0, 1.0, 1.0, 1.0, 1.0]] {
            let (_, gradient) = objective.evaluate(&logs);
            for i in 0..5 {
                let (mut up, mut down) = (logs, logs);
                (up[i], down[i]) = (logs[i] + 1e-5, logs[i] - 1e-5);
                let quotient = (objective.evaluate(&up).0 - objective.evaluate(&down).0) / 2e-5;
                assert!(
                    (gradient[i] - quotient).abs() < 1e-4 * (1.0 + quotient.abs()),
                    "{i} at {logs:?}: {} is not {quotient}",
                    gradient[i]
                );
            }
        }
    }

    #[test]
    fn a_fit_finds_what_matters_and_how_much_noise_there_is() {
        let sobol = Sobol::new(&mut Stream::of_study(0, "test"));
        let noisy = fit(&COORDINATES, &data(60, 0.3), 3, &sobol);
        assert!(noisy.lengths[0] * 3.0 < noisy.lengths[1], "{noisy:?}");
        assert!((0.03..0.3).contains(&noisy.noise), "{noisy:?}");
        let exact = fit(&COORDINATES, &data(60, 0.0), 3, &sobol);
        assert!(exact.noise < 1e-3, "{exact:?}");
    }

    #[test]
    fn equal_outputs_and_no_outputs_have_a_fit() {
        let sobol = Sobol::new(&mut Stream::of_study(0, "test"));
        let mut flat = Data::default();
        (0..5).for_each(|_| flat.push(vec![0.5; 3], 0.0, 1.0, 0.0));
        for data in [flat, Data::default()] {
            let hyper = fit(&COORDINATES, &data, 2, &sobol);
            assert!(hyper.noise.is_finite() && hyper.signal.is_finite() && hyper.signal > 0.0);
        }
    }
}

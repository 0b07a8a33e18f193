//! Hyperparameters by maximum a posteriori: L-BFGS in their logarithms, from several starts, with analytic gradients.
//!
//! The likelihood of all measurements, replicates collapsed (letters: `gp.rs`), is -ln p = 1/2 (y - mu)^T alpha + 1/2
//! ln |K_n| + 1/2 sum_i [(n_i - 1) ln sigma^2 + SS_i / sigma^2] + const, its gradient by a parameter of K_n is 1/2
//! tr[(K_n^-1 - alpha alpha^T) dK_n]; mu is profiled out, which by the envelope theorem changes nothing there. Priors
//! are normal in the logarithms:
//! - length scales: log-normal with mean sqrt 2 + 1/2 ln d and sd sqrt 3, at least 0.025 (Hvarfner, Hellsten and Nardi
//!   2024). The fit maximises their density by l, not by ln l, so the mode is sd^2 = 3 below that mean: 0.4 in four
//!   dimensions, where the mode by ln l would be 8, so long that the first trials are spent on a plane (median regret
//!   on Hartmann's function in 6 dimensions after 25 trials: 10^-0.9 against 10^-0.1). Categorical coordinates differ
//!   by 1 or not at all, and the mode is 1 below: a change of category is then half a change of function;
//! - signal variance: mean 0, sd 1 of standardised outputs;
//! - noise variance: mean -6, sd 2.5. Wider than BoTorch's (-4, 1) on purpose: the objective may be a simulation
//!   without any noise or a download with 30 % of it, and this gives either at most some 5 nats of handicap;
//! - shapes along a resource: those of `along.rs`.
//!
//! Rows that stand for bounds (`censored.rs`) are outputs of a fixed variance here, with n_i = 1 and SS_i = 0 in the
//! sum: where the factors of expectation propagation are settled, the gradient of its likelihood is just that
//! (Rasmussen and Williams 2006, sec. 5.5.2).

use super::along::{Along, Pair};
use super::kernel::{Coordinate, Hyper, along, distances, matern};
use super::{Data, Factor, dot, means_by_gls};
use crate::rules::lbfgs::minimize;
use crate::rules::qmc::Sobol;

/// The shortest length scale; below it a process is white noise for any number of points one can afford.
pub(super) const MIN_LENGTH: f64 = 0.025;
/// The least noise, relative to the spread of the outputs: keeps the covariance well conditioned.
const MIN_NOISE: f64 = 1e-6;
pub(super) const LENGTH_SD: f64 = 1.732_050_807_568_877_2;
const CATEGORICAL_BELOW: f64 = 1.0;
const NOISE_MEAN: f64 = -6.0;
const NOISE_SD: f64 = 2.5;

/// The knowledge about the noise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Noise {
    /// Nothing: its variance is a hyperparameter.
    Learned,
    /// There is none, except for a small term that keeps the covariance well conditioned.
    None,
    /// Its variance is 1 / n_i for the mean of row i.
    Given,
}

/// The start of a fit, and the limit of its search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start<'a> {
    /// A guess; without one, the shape of usual problems.
    pub(crate) from: Option<&'a Hyper>,
    /// Starts in all: after the guess, the prior's mode, then quasi-random points within a standard deviation of the
    /// prior.
    pub(crate) starts: usize,
    /// Evaluations of the likelihood from each.
    pub(crate) evaluations: usize,
}

/// The logarithms that a fit searches over: length scales, signal, noise if learned, shapes along a resource.
#[derive(Debug, Clone)]
struct Layout {
    /// Number of coordinates along which distance is measured.
    d: usize,
    along: Option<Along>,
    noise: Noise,
    /// For each coordinate, whether it is categorical.
    categorical: Vec<bool>,
}

impl Layout {
    /// Index of the first shape along a resource.
    fn shapes(&self) -> usize {
        self.d + 1 + usize::from(self.noise == Noise::Learned)
    }

    fn len(&self) -> usize {
        self.shapes() + self.along.map_or(0, Along::shapes)
    }

    /// Mean and standard deviation of the prior of one logarithm.
    fn prior(&self, index: usize) -> (f64, f64) {
        if index < self.d {
            let below = if self.categorical[index] { CATEGORICAL_BELOW } else { LENGTH_SD * LENGTH_SD };
            (std::f64::consts::SQRT_2 + 0.5 * (self.d as f64).ln() - below, LENGTH_SD)
        } else if index == self.d {
            (0.0, 1.0)
        } else if index < self.shapes() {
            (NOISE_MEAN, NOISE_SD)
        } else {
            self.along.expect("there are shapes along a resource only").prior(index - self.shapes())
        }
    }

    /// From logarithms, each above its floor.
    fn hyper(&self, logs: &[f64]) -> Hyper {
        Hyper {
            lengths: logs[..self.d].iter().map(|l| MIN_LENGTH + l.exp()).collect(),
            signal: logs[self.d].exp(),
            noise: match self.noise {
                Noise::Learned => MIN_NOISE + logs[self.d + 1].exp(),
                Noise::None => MIN_NOISE,
                Noise::Given => 1.0,
            },
            own: 0.0,
            additive: 0.0,
            shapes: logs[self.shapes()..].iter().map(|l| l.exp()).collect(),
        }
    }

    /// The logarithms that stand for `hyper`.
    fn logs(&self, hyper: &Hyper) -> Vec<f64> {
        // A hyperparameter on its floor is at minus infinity: near it will do for a start.
        let log = |above: f64| above.max(1e-9).ln();
        let mut logs: Vec<f64> = hyper.lengths.iter().map(|l| log(l - MIN_LENGTH)).collect();
        logs.push(hyper.signal.ln());
        if self.noise == Noise::Learned {
            logs.push(log(hyper.noise - MIN_NOISE));
        }
        logs.extend(hyper.shapes.iter().map(|shape| shape.ln()));
        logs
    }
}

/// The data in the form the objective wants it, made once a fit.
struct Objective<'a> {
    data: &'a Data,
    layout: Layout,
    /// Squared distances, d of them for each pair i > j in turn.
    squared: Vec<f64>,
    /// sum (n_i - 1) and sum SS_i; 0 if the noise is not learned, because they are used for nothing else.
    spare: f64,
    ss: f64,
    /// The different resources of the rows, and which of them each row has.
    resources: Vec<f64>,
    resource_of: Vec<usize>,
}

impl<'a> Objective<'a> {
    fn new(coordinates: &[Coordinate], data: &'a Data, noise: Noise) -> Self {
        let d = distances(coordinates);
        let along = along(coordinates);
        let mut resources: Vec<f64> = match along {
            Some(_) => data.x.iter().map(|x| x[d]).collect(),
            None => vec![0.0],
        };
        let of_row = resources.clone();
        resources.sort_by(f64::total_cmp);
        resources.dedup();
        let place = |r: &f64| resources.partition_point(|other| other < r);
        let resource_of = if along.is_some() { of_row.iter().map(place).collect() } else { vec![0; data.len()] };
        let mut squared = Vec::with_capacity(data.len() * data.len() / 2 * d);
        for i in 0..data.len() {
            for j in 0..i {
                let pair = coordinates[..d].iter().enumerate();
                squared.extend(pair.map(|(c, kind)| kind.squared(data.x[i][c], data.x[j][c])));
            }
        }
        let learned = if noise == Noise::Learned { 1.0 } else { 0.0 };
        Self {
            data,
            layout: Layout {
                d,
                along,
                noise,
                categorical: coordinates[..d].iter().map(|c| *c == Coordinate::Categorical).collect(),
            },
            squared,
            spare: learned * data.n[..data.measured()].iter().map(|n| n - 1.0).sum::<f64>(),
            ss: learned * data.ss.iter().sum::<f64>(),
            resources,
            resource_of,
        }
    }

    /// The effect of the resources of two rows on their covariance.
    fn pairs(&self, hyper: &Hyper) -> Table<Pair> {
        let pair = |r, s| self.layout.along.map_or(Pair { scale: 1.0, add: 0.0 }, |a| a.pair(&hyper.shapes, r, s));
        Table::of(&self.resources, pair)
    }

    /// -ln posterior, up to a constant, and its gradient. Infinite where the covariance cannot be factored.
    fn evaluate(&self, logs: &[f64]) -> (f64, Vec<f64>) {
        let (n, d) = (self.data.len(), self.layout.d);
        let mut gradient = vec![0.0; logs.len()];
        // Far outside of any prior, where the exponentials overflow.
        if logs.iter().any(|l| l.abs() > 40.0) {
            return (f64::INFINITY, gradient);
        }
        let hyper = self.layout.hyper(logs);
        let weights: Vec<f64> = hyper.lengths.iter().map(|l| 1.0 / (l * l)).collect();
        let squared = &self.squared;
        let pairs = self.pairs(&hyper);
        let mut k = vec![0.0; n * n];
        // M and dM/dr of each pair, for the gradient.
        let mut materns = Vec::with_capacity(n * n / 2);
        let mut pair = 0;
        for i in 0..n {
            for j in 0..i {
                let (m, slope) = matern(dot(&weights, &squared[pair * d..(pair + 1) * d]));
                let Pair { scale, add } = pairs.at(self.resource_of[i], self.resource_of[j]);
                let value = hyper.signal * scale * m + add;
                k[i * n + j] = value;
                k[j * n + i] = value;
                materns.push((m, slope));
                pair += 1;
            }
            let Pair { scale, add } = pairs.at(self.resource_of[i], self.resource_of[i]);
            k[i * n + i] = hyper.signal * scale + add + self.data.variance(i, hyper.noise);
        }
        let Some(factor) = Factor::new(&k, n) else { return (f64::INFINITY, gradient) };
        let residual = self.residual(&factor, &hyper);
        let alpha = factor.solve(&residual);
        let inverse = factor.inverse();
        let mut value = 0.5 * dot(&residual, &alpha)
            + 0.5 * factor.log_determinant()
            + 0.5 * (self.spare * hyper.noise.ln() + self.ss / hyper.noise);

        // d/d r_ij summed with the distances gives the length scales; each pair counts twice, which cancels the half.
        let mut by_weight = vec![0.0; d];
        let (mut by_signal, mut by_noise) =
            (0.0, 0.5 * (self.spare / hyper.noise - self.ss / (hyper.noise * hyper.noise)));
        // By a and by b of each pair of resources.
        let mut by_resource = Table::of(&self.resources, |_, _| Pair::default());
        let mut pair = 0;
        for i in 0..n {
            for j in 0..i {
                let w = inverse[i * n + j] - alpha[i] * alpha[j];
                let (m, slope) = materns[pair];
                let (a, b) = (self.resource_of[i], self.resource_of[j]);
                let scaled = w * hyper.signal * pairs.at(a, b).scale;
                by_signal += scaled * m;
                by_resource.add(a, b, w * hyper.signal * m, w);
                let by_distance = scaled * slope;
                for (b, s) in by_weight.iter_mut().zip(&squared[pair * d..(pair + 1) * d]) {
                    *b += by_distance * s;
                }
                pair += 1;
            }
            let w = inverse[i * n + i] - alpha[i] * alpha[i];
            let a = self.resource_of[i];
            by_signal += 0.5 * w * hyper.signal * pairs.at(a, a).scale;
            by_resource.add(a, a, 0.5 * w * hyper.signal, 0.5 * w);
            if i < self.data.measured() {
                by_noise += 0.5 * w / self.data.n[i];
            }
        }
        for j in 0..d {
            // dr/dl = -2 d^2 / l^3, dl/dlog = l - floor.
            let l = hyper.lengths[j];
            gradient[j] = by_weight[j] * -2.0 / (l * l * l) * (l - MIN_LENGTH);
        }
        gradient[d] = by_signal;
        if self.layout.noise == Noise::Learned {
            gradient[d + 1] = by_noise * (hyper.noise - MIN_NOISE);
        }
        if let Some(along) = self.layout.along {
            for shape in 0..along.shapes() {
                let by = Table::of(&self.resources, |r, s| along.by_shape(&hyper.shapes, shape, r, s));
                let above = |i: usize| along.offset_by_shape(&hyper.shapes, shape, self.resources[self.resource_of[i]]);
                gradient[self.layout.shapes() + shape] =
                    by.dot(&by_resource) - (0..n).map(|i| alpha[i] * above(i)).sum::<f64>();
            }
        }
        for (index, log) in logs.iter().enumerate() {
            let (mean, sd) = self.layout.prior(index);
            let z = (log - mean) / sd;
            value += 0.5 * z * z;
            gradient[index] += z / sd;
        }
        (value, gradient)
    }

    /// y less its mean.
    fn residual(&self, factor: &Factor, hyper: &Hyper) -> Vec<f64> {
        let Some(along) = self.layout.along else {
            let mu = means_by_gls(factor, &self.data.y, &vec![0; self.data.len()], 1)[0];
            return self.data.y.iter().map(|y| y - mu).collect();
        };
        let resource = |i: usize| self.resources[self.resource_of[i]];
        let groups: Vec<usize> = (0..self.data.len()).map(|i| along.group(resource(i))).collect();
        let above: Vec<f64> =
            self.data.y.iter().enumerate().map(|(i, y)| y - along.offset(&hyper.shapes, resource(i))).collect();
        let mu = means_by_gls(factor, &above, &groups, along.groups());
        above.iter().zip(&groups).map(|(y, group)| y - mu[*group]).collect()
    }
}

/// Something for each pair of resources.
struct Table<T> {
    side: usize,
    cells: Vec<T>,
}

impl<T: Copy> Table<T> {
    fn of(resources: &[f64], cell: impl Fn(f64, f64) -> T) -> Self {
        let row = |r: &f64| resources.iter().map(|s| cell(*r, *s)).collect::<Vec<T>>();
        Self { side: resources.len(), cells: resources.iter().flat_map(row).collect() }
    }

    fn at(&self, a: usize, b: usize) -> T {
        self.cells[a * self.side + b]
    }
}

impl Table<Pair> {
    fn add(&mut self, a: usize, b: usize, scale: f64, add: f64) {
        let cell = &mut self.cells[a * self.side + b];
        cell.scale += scale;
        cell.add += add;
    }

    fn dot(&self, other: &Self) -> f64 {
        self.cells.iter().zip(&other.cells).map(|(a, b)| a.scale * b.scale + a.add * b.add).sum()
    }
}

/// The hyperparameters that are most likely given the data and the priors.
pub(crate) fn fit(coordinates: &[Coordinate], data: &Data, noise: Noise, start: Start<'_>, sobol: &Sobol) -> Hyper {
    let objective = Objective::new(coordinates, data, noise);
    let layout = &objective.layout;
    let mode: Vec<f64> = (0..layout.len()).map(|i| layout.prior(i).0).collect();
    let mut best: Option<(Vec<f64>, f64)> = None;
    for k in 0..start.starts.max(1) {
        let logs: Vec<f64> = match (k, start.from) {
            (0, Some(hyper)) => layout.logs(hyper),
            // Length scales of half the cube are where most functions worth tuning are.
            (0, None) => mode.iter().enumerate().map(|(i, m)| if i < layout.d { 0.5_f64.ln() } else { *m }).collect(),
            (1, _) => mode.clone(),
            _ => {
                let u = sobol.point(k as u64, layout.len());
                (0..layout.len()).map(|i| mode[i] + (2.0 * u[i] - 1.0) * layout.prior(i).1).collect()
            }
        };
        if let Some(found) = minimize(|logs| objective.evaluate(logs), &logs, start.evaluations)
            && best.as_ref().is_none_or(|(_, value)| found.1 < *value)
        {
            best = Some(found);
        }
    }
    layout.hyper(&best.map_or(mode, |(logs, _)| logs))
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

    const START: Start<'_> = Start { from: None, starts: 3, evaluations: 80 };

    #[test]
    fn the_gradient_is_the_difference_quotient() {
        let data = data(12, 0.3);
        let places: [[f64; 5]; 3] = [[-0.5, 0.3, 0.8, 0.2, -2.0], [-3.0, -1.0, 2.0, -0.5, -7.0], [1.0; 5]];
        for (logs, noise) in
            places.into_iter().flat_map(|p| [Noise::Learned, Noise::None, Noise::Given].map(|noise| (p, noise)))
        {
            let objective = Objective::new(&COORDINATES, &data, noise);
            assert_gradient(&objective, &logs[..objective.layout.len()]);
        }
    }

    #[test]
    fn the_gradient_is_the_difference_quotient_along_a_resource_too() {
        for along in [Along::ExponentialDecay, Along::CrossValidation, Along::Independent { levels: 3 }] {
            let coordinates = [COORDINATES.as_slice(), &[Coordinate::Resource(along)]].concat();
            let first = if along == (Along::Independent { levels: 3 }) { 0.0 } else { 1.0 };
            let mut data = data(14, 0.3);
            data.x.iter_mut().enumerate().for_each(|(i, x)| x.push(first + (i % 3) as f64));
            let objective = Objective::new(&coordinates, &data, Noise::Learned);
            let logs: Vec<f64> = (0..objective.layout.len()).map(|i| 0.3 * (1.7 * i as f64).sin() - 0.4).collect();
            assert_gradient(&objective, &logs);
        }
    }

    fn assert_gradient(objective: &Objective<'_>, logs: &[f64]) {
        let (_, gradient) = objective.evaluate(logs);
        for (i, gradient) in gradient.into_iter().enumerate() {
            let moved = |by: f64| {
                let mut logs = logs.to_vec();
                logs[i] += by;
                objective.evaluate(&logs).0
            };
            let quotient = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!(
                (gradient - quotient).abs() < 1e-3 * (1.0 + quotient.abs()),
                "{i} at {logs:?}, {:?}: {gradient} is not {quotient}",
                objective.layout
            );
        }
    }

    #[test]
    fn a_fit_finds_what_matters_and_how_much_noise_there_is() {
        let sobol = Sobol::new(&mut Stream::of_study(0, "test"));
        let noisy = fit(&COORDINATES, &data(60, 0.3), Noise::Learned, START, &sobol);
        assert!(noisy.lengths[0] * 3.0 < noisy.lengths[1], "{noisy:?}");
        assert!((0.03..0.3).contains(&noisy.noise), "{noisy:?}");
        let exact = fit(&COORDINATES, &data(60, 0.0), Noise::Learned, START, &sobol);
        assert!(exact.noise < 1e-3, "{exact:?}");
    }

    #[test]
    fn equal_outputs_and_no_outputs_have_a_fit() {
        let sobol = Sobol::new(&mut Stream::of_study(0, "test"));
        let mut flat = Data::default();
        (0..5).for_each(|_| flat.push(vec![0.5; 3], 0.0, 1.0, 0.0));
        for data in [flat, Data::default()] {
            let hyper = fit(&COORDINATES, &data, Noise::Learned, START, &sobol);
            assert!(hyper.noise.is_finite() && hyper.signal.is_finite() && hyper.signal > 0.0);
        }
    }
}

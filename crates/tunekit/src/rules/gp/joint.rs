//! The posterior of several points at once, sampled, and the prediction of each sample for one more point.
//!
//! Z are m points (the best so far, and pending ones), m_Z and C_Z = L_Z L_Z^T the posterior's mean and covariance
//! there. Sample s of the latent function at Z is f_s = m_Z + L_Z e_s with e_s standard normal (quasi-random). Given
//! it, the latent function at x is normal with mean m(x) + w^T e_s and variance c(x, x) - w^T w, where w = L_Z^-1 c(Z,
//! x): the sample knows no more than it would once those points are measured without noise (Letham, Karrer, Ottoni and
//! Bakshy 2019, sec. 4).

use super::{Local, Posterior, dot};
use crate::rules::cholesky::Factor;

/// The points whose joint posterior is sampled.
#[derive(Debug, Clone)]
pub(crate) struct Joint {
    /// Z.
    z: Vec<Vec<f64>>,
    /// K_n^-1 k(X, Z), a column for each of Z.
    solved: Vec<Vec<f64>>,
    /// L_Z.
    factor: Factor,
    /// e_s.
    normals: Vec<Vec<f64>>,
    /// f_s.
    pub(crate) samples: Vec<Vec<f64>>,
}

impl Joint {
    /// The joint posterior at `points` with a sample for each of `normals` (vectors as long as there are points).
    /// `None` if its covariance cannot be factored.
    pub(crate) fn new(posterior: &Posterior, points: &[Vec<f64>], normals: Vec<Vec<f64>>) -> Option<Self> {
        let m = points.len();
        let locals: Vec<Local> = points.iter().map(|p| posterior.local(p)).collect();
        let mut c = vec![0.0; m * m];
        for i in 0..m {
            for j in 0..=i {
                let prior = posterior.kernel.covariance(&locals[i].x, &locals[j].x);
                let value = prior - dot(&locals[i].cross, &locals[j].weights);
                c[i * m + j] = value;
                c[j * m + i] = value;
            }
            // Rounding must not make a variance negative.
            c[i * m + i] = c[i * m + i].max(1e-10 * posterior.signal());
        }
        let factor = Factor::new(&c, m)?;
        let sample = |e: &Vec<f64>| factor.multiply(e).iter().zip(&locals).map(|(v, local)| v + local.mean).collect();
        let samples = normals.iter().map(sample).collect();
        let (z, solved) = locals.into_iter().map(|l| (l.x, l.weights)).unzip();
        Some(Self { z, solved, factor, normals, samples })
    }

    /// The same with no more than the first `count` samples.
    pub(crate) fn first(&self, count: usize) -> Self {
        let cut = |all: &Vec<Vec<f64>>| all.iter().take(count).cloned().collect();
        Self { normals: cut(&self.normals), samples: cut(&self.samples), ..self.clone() }
    }

    /// w of a point.
    fn reach(&self, posterior: &Posterior, x: &[f64], cross: &[f64]) -> Vec<f64> {
        let covariance = |(z, solved): (&Vec<f64>, &Vec<f64>)| posterior.kernel.covariance(z, x) - dot(solved, cross);
        let mut w: Vec<f64> = self.z.iter().zip(&self.solved).map(covariance).collect();
        self.factor.half_solve(&mut w);
        w
    }

    /// The samples' predictions at a point: their means there, and their common variance.
    pub(crate) fn given(&self, posterior: &Posterior, local: &Local) -> Given {
        let w = self.reach(posterior, &local.x, &local.cross);
        // If this point is almost a point of Z, the rest is rounding.
        let variance = (local.variance - dot(&w, &w)).max(1e-10 * posterior.signal());
        let means = self.normals.iter().map(|e| local.mean + dot(&w, e)).collect();
        Given { w, means, variance }
    }

    /// The gradient by the coordinates of `x` of a function of the means and the variance of [`Joint::given`], whose
    /// derivatives by them are given.
    pub(crate) fn gradient(
        &self,
        posterior: &Posterior,
        x: &[f64],
        local: &Local,
        given: &Given,
        by_means: &[f64],
        by_variance: f64,
    ) -> Vec<f64> {
        // Backwards: by w, then by c(Z, x), then by k(X, x) and k(Z, x).
        let by_mean: f64 = by_means.iter().sum();
        let mut by_c: Vec<f64> = (0..given.w.len())
            .map(|k| {
                let from_means: f64 = self.normals.iter().zip(by_means).map(|(e, b)| e[k] * b).sum();
                from_means - 2.0 * by_variance * given.w[k]
            })
            .collect();
        self.factor.half_solve_transposed(&mut by_c);
        let mut out = vec![0.0; x.len()];
        let rows = posterior.x.iter().zip(&posterior.alpha).zip(&local.weights).enumerate();
        for (i, ((row, alpha), weight)) in rows {
            let through_z: f64 = self.solved.iter().zip(&by_c).map(|(s, b)| s[i] * b).sum();
            let scale = by_mean * alpha - 2.0 * by_variance * weight - through_z;
            posterior.kernel.add_gradient(&local.x, row, scale, &mut out);
        }
        for (z, b) in self.z.iter().zip(&by_c) {
            posterior.kernel.add_gradient(&local.x, z, *b, &mut out);
        }
        out
    }
}

/// The predictions of a [`Joint`]'s samples at one point.
pub(crate) struct Given {
    w: Vec<f64>,
    /// The mean of each sample's process.
    pub(crate) means: Vec<f64>,
    /// The variance of them all.
    pub(crate) variance: f64,
}

#[cfg(test)]
mod tests {
    use super::super::{Coordinate, Data, Hyper};
    use super::*;

    fn posterior() -> (Posterior, Data, Hyper) {
        let mut data = Data::default();
        data.push(vec![0.1, 0.2], 0.5, 1.0, 0.0);
        data.push(vec![0.8, 0.3], -1.0, 3.0, 0.1);
        data.push(vec![0.4, 0.9], 0.7, 2.0, 0.02);
        let hyper =
            Hyper { lengths: vec![0.5, 0.8], signal: 1.3, noise: 0.2, own: 0.0, additive: 0.0, shapes: Vec::new() };
        (Posterior::new(&[Coordinate::Numeric; 2], &hyper, &data, 3, None).unwrap(), data, hyper)
    }

    fn joint(posterior: &Posterior) -> Joint {
        let z = [vec![0.8, 0.3], vec![0.5, 0.5]];
        Joint::new(posterior, &z, vec![vec![0.3, -1.2], vec![-0.4, 0.9], vec![1.5, 0.1]]).unwrap()
    }

    #[test]
    fn a_sample_is_a_noiseless_measurement_of_the_posterior() {
        let (posterior, data, hyper) = posterior();
        let joint = joint(&posterior);
        let x = [0.62, 0.41];
        let given = joint.given(&posterior, &posterior.local(&x));
        for s in 0..3 {
            // The slow way: the same data, and the sample's values at Z with (next to) no noise, at the same mean.
            let mut more = data.clone();
            more.push(vec![0.8, 0.3], joint.samples[s][0], 1e9, 0.0);
            more.push(vec![0.5, 0.5], joint.samples[s][1], 1e9, 0.0);
            let slow = Posterior::new(&[Coordinate::Numeric; 2], &hyper, &more, 5, None).unwrap();
            let alpha = slow.factor.solve(&more.y.iter().map(|y| y - posterior.mu[0]).collect::<Vec<_>>());
            let mean = posterior.mu[0] + dot(&slow.local(&x).cross, &alpha);
            assert!((given.means[s] - mean).abs() < 1e-5, "{} is not {mean}", given.means[s]);
            assert!((given.variance - slow.local(&x).variance).abs() < 1e-5);
        }
    }

    #[test]
    fn gradients_are_differences() {
        let (posterior, ..) = posterior();
        let joint = joint(&posterior);
        let x = [0.62, 0.41];
        let value = |x: &[f64]| {
            let given = joint.given(&posterior, &posterior.local(x));
            0.3 * given.means[0] - 1.1 * given.means[1] + 0.7 * given.means[2] + 2.0 * given.variance
        };
        let local = posterior.local(&x);
        let given = joint.given(&posterior, &local);
        let gradient = joint.gradient(&posterior, &x, &local, &given, &[0.3, -1.1, 0.7], 2.0);
        for j in 0..2 {
            let (mut up, mut down) = (x, x);
            (up[j], down[j]) = (x[j] + 1e-6, x[j] - 1e-6);
            assert!((gradient[j] - (value(&up) - value(&down)) / 2e-6).abs() < 1e-6);
        }
    }
}

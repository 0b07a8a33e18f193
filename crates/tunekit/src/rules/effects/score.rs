//! Whether one coordinate of a Gaussian process has an effect: a score test of a variance component, and its power.
//!
//! The null model says that outputs depend on the other coordinates alone: y ~ N(mu 1, V), V = s^2 K_others + sigma^2 /
//! n_i, its hyperparameters fitted without the coordinate. With V = L L^T, w = L^-1 y less its part along L^-1 1 is
//! white, and for a kernel M of the coordinate the score w^T L^-1 M L^-T w / w^T w is large where the coordinate
//! explains the rest (Liu, Lin and Ghosh 2007, the score test of least-squares kernel machines). The distribution under
//! the null model is drawn, not approximated (Crainiceanu and Ruppert 2004 do so for one component): w is noise there,
//! and nothing is fitted again. Three kernels are tried (a straight line, a curve, a curve that differs with the other
//! coordinates), and the smallest of their three p-values is compared with its distribution under the null model.
//!
//! The power is the share of the same draws, with an effect of a given size added, in which the test finds it:
//! without that, "nothing was found" says nothing.

use crate::rules::cholesky::Factor;
use crate::rules::gp::{Coordinate, Data, Hyper, matern};

/// Draws of the null model, and those of them that an effect is added to.
pub(super) const DRAWS: usize = 999;
const POWER_DRAWS: usize = 400;
/// Length scale of a curve along the coordinate, and of the difference with the others.
const CURVE: f64 = 0.4;
const OTHERS: f64 = 1.0;

/// The test's answer about a coordinate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Score {
    /// The probability of such a score, or a larger one, without an effect.
    pub(super) p_value: f64,
    /// The probability that the effect that is hardest to see, of those asked about, is found at the level asked about.
    pub(super) power: f64,
}

/// The null model: which coordinate it does not know of, and its hyperparameters.
pub(super) struct Null<'a> {
    pub(super) data: &'a Data,
    pub(super) coordinates: &'a [Coordinate],
    /// The coordinate in question.
    pub(super) index: usize,
    /// The hyper-parameters of the other coordinates.
    pub(super) hyper: &'a Hyper,
}

impl Null<'_> {
    /// The test, and its power against each of `effects` (one number a row) at `level`. `draws` holds [`DRAWS`] times
    /// as many standard normal numbers as there are rows. `None` if the covariance cannot be factored.
    pub(super) fn test(&self, effects: &[Vec<f64>], level: f64, draws: &[Vec<f64>]) -> Option<Score> {
        let rows = self.data.len();
        let factor = Factor::new(&self.covariance(), rows)?;
        let mut along = vec![1.0; rows];
        factor.half_solve(&mut along);
        let norm = dot(&along, &along).sqrt();
        along.iter_mut().for_each(|v| *v /= norm);
        let project = |w: &mut [f64]| {
            let part = dot(w, &along);
            w.iter_mut().zip(&along).for_each(|(w, a)| *w -= part * a);
        };
        let whitened = |y: &[f64]| {
            let mut w = y.to_vec();
            factor.half_solve(&mut w);
            project(&mut w);
            w
        };
        let kernels: Vec<Vec<f64>> =
            self.kernels().into_iter().map(|kernel| whitened_kernel(&factor, kernel, rows)).collect();
        let scores = |w: &[f64]| -> Vec<f64> {
            let all = dot(w, w).max(f64::MIN_POSITIVE);
            kernels.iter().map(|kernel| quadratic(kernel, w) / all).collect()
        };
        let noise: Vec<Vec<f64>> = draws
            .iter()
            .map(|z| {
                let mut w = z.clone();
                project(&mut w);
                w
            })
            .collect();
        let drawn: Vec<Vec<f64>> = noise.iter().map(|w| scores(w)).collect();
        let sorted: Vec<Vec<f64>> = (0..kernels.len())
            .map(|k| {
                let mut column: Vec<f64> = drawn.iter().map(|s| s[k]).collect();
                column.sort_by(f64::total_cmp);
                column
            })
            .collect();
        // Number of draws that score at least as much, by the kernel for which they are fewest.
        let fewest = |scores: &[f64]| -> usize {
            let above = |(s, column): (&f64, &Vec<f64>)| column.len() - column.partition_point(|v| v < s);
            scores.iter().zip(&sorted).map(above).min().unwrap_or(0)
        };
        let mut counts: Vec<usize> = drawn.iter().map(|s| fewest(s)).collect();
        counts.sort_unstable();
        let p_value = |scores: &[f64]| {
            let fewest = fewest(scores);
            // A draw is among its own rivals, a measurement is not.
            (1 + counts.partition_point(|c| *c <= fewest + 1)) as f64 / (1 + counts.len()) as f64
        };
        let power = |effect: &Vec<f64>| {
            let shift = whitened(effect);
            let found = noise.iter().take(POWER_DRAWS).filter(|w| {
                let moved: Vec<f64> = w.iter().zip(&shift).map(|(w, s)| w + s).collect();
                p_value(&scores(&moved)) <= level
            });
            found.count() as f64 / POWER_DRAWS.min(noise.len()) as f64
        };
        let power = effects.iter().map(power).fold(1.0, f64::min);
        Some(Score { p_value: p_value(&scores(&whitened(&self.data.y))), power })
    }

    /// Squared distance of two rows along the other coordinates, each by its length.
    fn others(&self, i: usize, j: usize, length: impl Fn(usize) -> f64) -> f64 {
        let (a, b) = (&self.data.x[i], &self.data.x[j]);
        let others = (0..self.coordinates.len()).filter(|c| *c != self.index).enumerate();
        others.map(|(k, c)| self.coordinates[c].squared(a[c], b[c]) / length(k).powi(2)).sum()
    }

    fn covariance(&self) -> Vec<f64> {
        let mut v = symmetric(self.data.len(), |i, j| {
            self.hyper.signal * matern(self.others(i, j, |k| self.hyper.lengths[k])).0
        });
        let rows = self.data.len();
        for i in 0..rows {
            v[i * rows + i] += self.hyper.noise / self.data.n[i];
        }
        v
    }

    fn kernels(&self) -> Vec<Vec<f64>> {
        let rows = self.data.len();
        let at = |i: usize| self.data.x[i][self.index];
        let kind = self.coordinates[self.index];
        let curve = |i, j| matern(kind.squared(at(i), at(j)) / (CURVE * CURVE)).0;
        let width = OTHERS * (self.coordinates.len() as f64 - 1.0).max(1.0).sqrt();
        let both = |i, j| curve(i, j) * matern(self.others(i, j, |_| width)).0;
        let mut kernels = vec![symmetric(rows, curve), symmetric(rows, both)];
        if kind == Coordinate::Numeric {
            kernels.push(symmetric(rows, |i, j| (at(i) - 0.5) * (at(j) - 0.5)));
        }
        kernels
    }
}

fn symmetric(rows: usize, of: impl Fn(usize, usize) -> f64) -> Vec<f64> {
    let mut out = vec![0.0; rows * rows];
    for i in 0..rows {
        for j in 0..=i {
            let v = of(i, j);
            out[i * rows + j] = v;
            out[j * rows + i] = v;
        }
    }
    out
}

/// L^-1 M L^-T of a symmetric M.
fn whitened_kernel(factor: &Factor, mut kernel: Vec<f64>, rows: usize) -> Vec<f64> {
    factor.half_solve(&mut kernel);
    // L^-1 M, column by column; its transpose, M L^-T, is solved again.
    let mut transposed = symmetric(rows, |_, _| 0.0);
    for i in 0..rows {
        for j in 0..rows {
            transposed[i * rows + j] = kernel[j * rows + i];
        }
    }
    factor.half_solve(&mut transposed);
    transposed
}

fn quadratic(matrix: &[f64], w: &[f64]) -> f64 {
    matrix.chunks(w.len()).zip(w).map(|(row, v)| v * dot(row, w)).sum()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::stream::Stream;

    const ROWS: usize = 20;
    const COORDINATES: [Coordinate; 2] = [Coordinate::Numeric; 2];

    fn normals(stream: &mut Stream) -> Vec<f64> {
        (0..ROWS).map(|_| stream.normal()).collect()
    }

    fn data(stream: &mut Stream) -> Data {
        let mut data = Data::default();
        for _ in 0..ROWS {
            data.push(vec![stream.uniform(), stream.uniform()], 0.0, 1.0, 0.0);
        }
        data
    }

    fn hyper() -> Hyper {
        Hyper { lengths: vec![0.5], signal: 2.0, noise: 1.0, own: 0.0, additive: 0.0, shapes: Vec::new() }
    }

    #[test]
    fn without_an_effect_p_values_are_uniform() {
        let (mut stream, hyper) = (Stream::of_study(1, "test"), hyper());
        let draws: Vec<Vec<f64>> = (0..DRAWS).map(|_| normals(&mut stream)).collect();
        let mut data = data(&mut stream);
        let mut p_values = Vec::new();
        for _ in 0..300 {
            // The first coordinate's effect and the noise are as the null model has them; a constant is added.
            let null = Null { data: &data, coordinates: &COORDINATES, index: 1, hyper: &hyper };
            let factor = Factor::new(&null.covariance(), ROWS).unwrap();
            data.y = factor.multiply(&normals(&mut stream)).iter().map(|y| y + 7.0).collect();
            let null = Null { data: &data, coordinates: &COORDINATES, index: 1, hyper: &hyper };
            p_values.push(null.test(&[], 0.05, &draws).unwrap().p_value);
        }
        for level in [0.05, 0.25, 0.5, 0.75] {
            let share = p_values.iter().filter(|p| **p <= level).count() as f64 / 300.0;
            // Four standard errors.
            assert!((share - level).abs() < 4.0 * (level * (1.0 - level) / 300.0_f64).sqrt(), "{level}: {share}");
        }
    }

    #[test]
    fn an_effect_is_found_as_often_as_its_power_says() {
        let (mut stream, hyper) = (Stream::of_study(2, "test"), hyper());
        let draws: Vec<Vec<f64>> = (0..DRAWS).map(|_| normals(&mut stream)).collect();
        let mut data = data(&mut stream);
        let effect: Vec<f64> = data.x.iter().map(|x| 2.5 * x[1]).collect();
        let (mut found, mut power) = (0, 0.0);
        for _ in 0..200 {
            let null = Null { data: &data, coordinates: &COORDINATES, index: 1, hyper: &hyper };
            let factor = Factor::new(&null.covariance(), ROWS).unwrap();
            let rest = factor.multiply(&normals(&mut stream));
            data.y = rest.iter().zip(&effect).map(|(y, e)| y + e).collect();
            let null = Null { data: &data, coordinates: &COORDINATES, index: 1, hyper: &hyper };
            let score = null.test(std::slice::from_ref(&effect), 0.05, &draws).unwrap();
            found += u32::from(score.p_value <= 0.05);
            power = score.power;
        }
        let share = f64::from(found) / 200.0;
        assert!(power > 0.2 && power < 0.9 && (share - power).abs() < 0.15, "found {share}, power {power}");
        // No effect is found as often as the level says, a huge one always; the hardest to see counts.
        let null = Null { data: &data, coordinates: &COORDINATES, index: 1, hyper: &hyper };
        let power = |effects: &[Vec<f64>]| null.test(effects, 0.05, &draws).unwrap().power;
        let huge: Vec<f64> = effect.iter().map(|e| 20.0 * e).collect();
        assert!(power(&[vec![0.0; ROWS]]) < 0.12);
        assert_eq!(power(std::slice::from_ref(&huge)), 1.0);
        assert!(power(&[huge, vec![3.0; ROWS]]) < 0.12, "a constant is no effect");
    }
}

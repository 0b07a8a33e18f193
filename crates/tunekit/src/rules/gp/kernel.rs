//! The Matern 5/2 kernel with automatic relevance determination.
//!
//! k(x, x') = s^2 M(rho), M = (1 + sqrt5 rho + 5 rho^2 / 3) exp(-sqrt5 rho), rho^2 = sum_j d_j^2 / l_j^2, with d_j the
//! difference of a numeric coordinate, or 0 or 1 for equal or other values of a categorical one (Hamming distance).
//! With r = rho^2: dM/dr = -5/6 (1 + sqrt5 rho) exp(-sqrt5 rho), which is finite at 0.
//!
//! A configuration's own part, which it shares with no other however near, is a variance of its own (a "nugget",
//! Gramacy and Lee 2012): k(x, x) = s^2 + tau^2.
//!
//! A share a of s^2 may be a sum of functions of one coordinate each (Duvenaud, Nickisch and Rasmussen 2011):
//! k(x, x') = s^2 [(1 - a) M(rho) + a / d sum_j M(d_j / l_j)].
//!
//! Where the last coordinate is a resource, `along.rs` defines k.

use super::along::{Along, Pair};

/// The distance measure along one coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coordinate {
    /// By difference.
    Numeric,
    /// Equal or not.
    Categorical,
    /// A resource, which no distance is measured along; only the last coordinate.
    Resource(Along),
}

/// Number of coordinates along which distance is measured: all but a resource.
pub(super) fn distances(coordinates: &[Coordinate]) -> usize {
    coordinates.len() - usize::from(along(coordinates).is_some())
}

/// The resource among the coordinates.
pub(super) fn along(coordinates: &[Coordinate]) -> Option<Along> {
    match coordinates.last() {
        Some(Coordinate::Resource(along)) => Some(*along),
        _ => None,
    }
}

impl Coordinate {
    /// The squared distance d_j^2 of two values.
    pub(crate) fn squared(self, a: f64, b: f64) -> f64 {
        let d = a - b;
        match self {
            Self::Numeric => d * d,
            Self::Categorical => f64::from(u8::from(d.abs() > 1e-9)),
            Self::Resource(_) => 0.0,
        }
    }
}

/// The hyperparameters of a process.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hyper {
    /// l_j.
    pub(crate) lengths: Vec<f64>,
    /// s^2.
    pub(crate) signal: f64,
    /// sigma^2.
    pub(crate) noise: f64,
    /// tau^2, a configuration's own part. A fit leaves it at 0: in single measurements it looks like noise.
    pub(crate) own: f64,
    /// The share of s^2 that is a sum of functions of one parameter each. A fit leaves it at 0.
    pub(crate) additive: f64,
    /// Those of the kernel along a resource; none without one.
    pub(crate) shapes: Vec<f64>,
}

/// M and dM/dr at r = rho^2.
pub(crate) fn matern(r: f64) -> (f64, f64) {
    let a = (5.0 * r).sqrt();
    let e = (-a).exp();
    ((1.0 + a + 5.0 / 3.0 * r) * e, -5.0 / 6.0 * (1.0 + a) * e)
}

/// The kernel with its hyperparameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kernel {
    coordinates: Vec<Coordinate>,
    /// 1 / l_j^2.
    weights: Vec<f64>,
    signal: f64,
    /// tau^2.
    own: f64,
    /// a.
    additive: f64,
    /// The effect of a resource, and its shapes.
    along: Option<(Along, Vec<f64>)>,
}

impl Kernel {
    /// The same without the part that each configuration has to itself.
    pub(super) fn smooth(&self) -> Self {
        Self { own: 0.0, ..self.clone() }
    }

    /// With the hyperparameters of a fit over these coordinates.
    pub(crate) fn new(coordinates: &[Coordinate], hyper: &Hyper) -> Self {
        Self {
            coordinates: coordinates.to_vec(),
            weights: hyper.lengths.iter().map(|l| 1.0 / (l * l)).collect(),
            signal: hyper.signal,
            own: hyper.own,
            additive: hyper.additive,
            along: along(coordinates).map(|along| (along, hyper.shapes.clone())),
        }
    }

    /// s^2.
    pub(crate) fn signal(&self) -> f64 {
        self.signal
    }

    fn distance(&self, a: &[f64], b: &[f64]) -> f64 {
        let mut r = 0.0;
        for (j, w) in self.weights.iter().enumerate() {
            r += w * self.coordinates[j].squared(a[j], b[j]);
        }
        r
    }

    /// The effect of their resources on the covariance of two points.
    fn pair(&self, a: &[f64], b: &[f64]) -> Pair {
        match (&self.along, a.last(), b.last()) {
            (Some((along, shapes)), Some(r), Some(s)) => along.pair(shapes, *r, *s),
            _ => Pair { scale: 1.0, add: 0.0 },
        }
    }

    /// k of two points.
    pub(crate) fn covariance(&self, a: &[f64], b: &[f64]) -> f64 {
        let (pair, distance) = (self.pair(a, b), self.distance(a, b));
        let own = if distance == 0.0 { self.own } else { 0.0 };
        self.signal * pair.scale * self.correlation(a, b, distance) + pair.add + own
    }

    /// k / s^2 of two points at this distance.
    fn correlation(&self, a: &[f64], b: &[f64], distance: f64) -> f64 {
        let together = matern(distance).0;
        if self.additive == 0.0 {
            return together;
        }
        let alone = |(j, w): (usize, &f64)| matern(w * self.coordinates[j].squared(a[j], b[j])).0;
        let sum: f64 = self.weights.iter().enumerate().map(alone).sum();
        together + self.additive * (sum / self.weights.len() as f64 - together)
    }

    /// k of a point and itself.
    pub(crate) fn variance(&self, a: &[f64]) -> f64 {
        let pair = self.pair(a, a);
        self.signal * pair.scale + pair.add + self.own
    }

    /// Group of a point: points of a group have the same mean.
    pub(super) fn group(&self, a: &[f64]) -> usize {
        self.along.as_ref().zip(a.last()).map_or(0, |((along, _), r)| along.group(*r))
    }

    /// Number of means.
    pub(super) fn groups(&self) -> usize {
        self.along.as_ref().map_or(1, |(along, _)| along.groups())
    }

    /// Distance of the mean at a point above that of its group.
    pub(super) fn offset(&self, a: &[f64]) -> f64 {
        self.along.as_ref().zip(a.last()).map_or(0.0, |((along, shapes), r)| along.offset(shapes, *r))
    }

    /// Adds `scale` times the gradient of k by the numeric coordinates of `a`; categorical ones have none.
    pub(crate) fn add_gradient(&self, a: &[f64], b: &[f64], scale: f64, out: &mut [f64]) {
        let scale = 2.0 * scale * self.signal * self.pair(a, b).scale;
        let together = (1.0 - self.additive) * matern(self.distance(a, b)).1;
        for (j, g) in out.iter_mut().enumerate() {
            if self.coordinates[j] == Coordinate::Numeric {
                let (by, weight) = (a[j] - b[j], self.weights[j]);
                let alone = if self.additive == 0.0 { 0.0 } else { self.additive * matern(weight * by * by).1 };
                *g += scale * (together + alone / self.weights.len() as f64) * by * weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_sum_what_one_coordinate_does_is_the_same_wherever_the_others_are() {
        let hyper = |additive| Hyper {
            lengths: vec![0.5, 0.4],
            signal: 2.0,
            noise: 0.1,
            own: 0.0,
            additive,
            shapes: Vec::new(),
        };
        let coordinates = [Coordinate::Numeric, Coordinate::Categorical];
        let [whole, half, sum] = [0.0, 0.5, 1.0].map(|additive| Kernel::new(&coordinates, &hyper(additive)));
        let (a, b) = ([0.2, 0.1], [0.7, 0.9]);
        let by_hand = 2.0 * (matern(1.0).0 + matern(6.25).0) / 2.0;
        assert!((sum.covariance(&a, &b) - by_hand).abs() < 1e-12);
        assert!((whole.covariance(&a, &b) - 2.0 * matern(7.25).0).abs() < 1e-12);
        assert!((half.covariance(&a, &b) - 0.5 * (sum.covariance(&a, &b) + whole.covariance(&a, &b))).abs() < 1e-12);
        // The difference of two choices at one number is that at another: its variance is 0.
        let points = [([0.2, 0.1], 1.0), ([0.2, 0.9], -1.0), ([0.7, 0.1], -1.0), ([0.7, 0.9], 1.0)];
        let variance = |kernel: &Kernel| -> f64 {
            points.iter().flat_map(|(x, v)| points.iter().map(move |(y, w)| v * w * kernel.covariance(x, y))).sum()
        };
        assert!(variance(&sum).abs() < 1e-12 && variance(&whole) > 0.5, "{} {}", variance(&sum), variance(&whole));
        for kernel in [whole, half, sum] {
            assert!((kernel.variance(&a) - 2.0).abs() < 1e-12 && (kernel.covariance(&a, &a) - 2.0).abs() < 1e-12);
        }
    }
}

//! The Matern 5/2 kernel with automatic relevance determination.
//!
//! k(x, x') = s^2 M(rho), M = (1 + sqrt5 rho + 5 rho^2 / 3) exp(-sqrt5 rho), rho^2 = sum_j d_j^2 / l_j^2, with d_j the
//! difference of a numeric coordinate, or 0 or 1 for equal or other values of a categorical one (Hamming distance).
//! With r = rho^2: dM/dr = -5/6 (1 + sqrt5 rho) exp(-sqrt5 rho), which is finite at 0.
//!
//! What a configuration has to itself, and shares with no other however near, is a variance of its own (a "nugget",
//! Gramacy and Lee 2012): k(x, x) = s^2 + tau^2.
//!
//! Where the last coordinate is a resource, `along.rs` says what becomes of k.

use super::along::{Along, Pair};

/// How distance is measured along one coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coordinate {
    /// By difference.
    Numeric,
    /// Equal or not.
    Categorical,
    /// A resource, which no distance is measured along; only the last coordinate.
    Resource(Along),
}

/// How many coordinates distance is measured along: all but a resource.
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
    /// tau^2, what a configuration has to itself. A fit leaves it at 0: in single measurements it looks like noise.
    pub(crate) own: f64,
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
    /// What a resource makes of it, and the shapes of that.
    along: Option<(Along, Vec<f64>)>,
}

impl Kernel {
    /// With the hyperparameters of a fit over these coordinates.
    pub(crate) fn new(coordinates: &[Coordinate], hyper: &Hyper) -> Self {
        Self {
            coordinates: coordinates.to_vec(),
            weights: hyper.lengths.iter().map(|l| 1.0 / (l * l)).collect(),
            signal: hyper.signal,
            own: hyper.own,
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

    /// What their resources make of the covariance of two points.
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
        self.signal * pair.scale * matern(distance).0 + pair.add + own
    }

    /// k of a point and itself.
    pub(crate) fn variance(&self, a: &[f64]) -> f64 {
        let pair = self.pair(a, a);
        self.signal * pair.scale + pair.add + self.own
    }

    /// Which mean a point has.
    pub(super) fn group(&self, a: &[f64]) -> usize {
        self.along.as_ref().zip(a.last()).map_or(0, |((along, _), r)| along.group(*r))
    }

    /// How many means there are.
    pub(super) fn groups(&self) -> usize {
        self.along.as_ref().map_or(1, |(along, _)| along.groups())
    }

    /// How far the mean at a point is above that of its group.
    pub(super) fn offset(&self, a: &[f64]) -> f64 {
        self.along.as_ref().zip(a.last()).map_or(0.0, |((along, shapes), r)| along.offset(shapes, *r))
    }

    /// Adds `scale` times the gradient of k by the numeric coordinates of `a`; categorical ones have none.
    pub(crate) fn add_gradient(&self, a: &[f64], b: &[f64], scale: f64, out: &mut [f64]) {
        let slope = 2.0 * scale * self.signal * self.pair(a, b).scale * matern(self.distance(a, b)).1;
        for (j, g) in out.iter_mut().enumerate() {
            if self.coordinates[j] == Coordinate::Numeric {
                *g += slope * (a[j] - b[j]) * self.weights[j];
            }
        }
    }
}

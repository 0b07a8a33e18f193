//! The Matern 5/2 kernel with automatic relevance determination.
//!
//! k(x, x') = s^2 M(rho), M = (1 + sqrt5 rho + 5 rho^2 / 3) exp(-sqrt5 rho), rho^2 = sum_j d_j^2 / l_j^2, with d_j the
//! difference of a numeric coordinate, or 0 or 1 for equal or other values of a categorical one (Hamming distance). With
//! r = rho^2: dM/dr = -5/6 (1 + sqrt5 rho) exp(-sqrt5 rho), which is finite at 0.

/// How distance is measured along one coordinate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coordinate {
    /// By difference.
    Numeric,
    /// Equal or not.
    Categorical,
}

impl Coordinate {
    /// The squared distance d_j^2 of two values.
    pub(crate) fn squared(self, a: f64, b: f64) -> f64 {
        let d = a - b;
        match self {
            Self::Numeric => d * d,
            Self::Categorical => f64::from(u8::from(d.abs() > 1e-9)),
        }
    }
}

/// M and dM/dr at r = rho^2.
pub(crate) fn matern(r: f64) -> (f64, f64) {
    let a = (5.0 * r).sqrt();
    let e = (-a).exp();
    ((1.0 + a + 5.0 / 3.0 * r) * e, -5.0 / 6.0 * (1.0 + a) * e)
}

/// The kernel with its hyperparameters.
#[derive(Debug, Clone)]
pub(crate) struct Kernel {
    coordinates: Vec<Coordinate>,
    /// 1 / l_j^2.
    weights: Vec<f64>,
    signal: f64,
}

impl Kernel {
    /// With length scales l_j and signal variance s^2.
    pub(crate) fn new(coordinates: Vec<Coordinate>, lengths: Vec<f64>, signal: f64) -> Self {
        Self { coordinates, weights: lengths.into_iter().map(|l| 1.0 / (l * l)).collect(), signal }
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

    /// k(a, b).
    pub(crate) fn covariance(&self, a: &[f64], b: &[f64]) -> f64 {
        self.signal * matern(self.distance(a, b)).0
    }

    /// The gradient of k(a, b) by the numeric coordinates of `a`; 0 for the categorical ones.
    pub(crate) fn gradient(&self, a: &[f64], b: &[f64], out: &mut [f64]) {
        let slope = self.signal * matern(self.distance(a, b)).1;
        for (j, g) in out.iter_mut().enumerate() {
            *g = match self.coordinates[j] {
                Coordinate::Numeric => slope * 2.0 * (a[j] - b[j]) * self.weights[j],
                Coordinate::Categorical => 0.0,
            };
        }
    }
}

//! The covariance of a configuration's values at several levels of a resource: the kernel over configurations where its
//! last coordinate is a resource.
//!
//! k((x, r), (x', r')) = s^2 a(r, r') M(x, x') + b(r, r'), with a mean that depends on r, and kappa(r) = (beta / (r +
//! beta))^alpha:
//! - exponential decay (Swersky, Snoek and Adams 2014; MOBSTER's, Klein et al. 2020, with its delta = 0): curves fall
//!   from mu + gamma to mu as kappa does, the average of exponentials with rates from a gamma distribution. a = 1, b =
//!   gamma^2 (kappa(r + r') - kappa(r) kappa(r')), mean mu + gamma kappa(r);
//! - cross-validation: the value at r is the mean of the first r of many noisy repeats, so that two of them share the
//!   noise of the shorter one. a = 1 + c / max(r, r'), b = 0. The residual has the length scales of the main part,
//!   which few repeats of few configurations could not tell apart;
//! - independent: every level is a function of its own, with a mean and a scale of its own, and they share the length
//!   scales. a = c_r where r = r' and 0 elsewhere, b = 0.
//!
//! The plain alternative, another numeric coordinate in the Matern kernel, needs nothing of this.

/// A kind of kernel along a resource. The coordinate is the resource in units of the first level (`Independent`: the
/// number of the level, from 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Along {
    ExponentialDecay,
    CrossValidation,
    Independent {
        /// Number of levels.
        levels: usize,
    },
}

/// The effect of a pair of resources on a covariance: a and b, or their derivatives.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Pair {
    pub(crate) scale: f64,
    pub(crate) add: f64,
}

/// kappa(r) and its derivatives by ln alpha and ln beta.
fn decay(alpha: f64, beta: f64, r: f64) -> (f64, f64, f64) {
    let log = alpha * (beta / (r + beta)).ln();
    let kappa = log.exp();
    (kappa, kappa * log, kappa * alpha * r / (r + beta))
}

impl Along {
    /// Number of its positive shapes: alpha, beta and gamma; c; c of every level but the first.
    pub(crate) fn shapes(self) -> usize {
        match self {
            Self::ExponentialDecay => 3,
            Self::CrossValidation => 1,
            Self::Independent { levels } => levels.saturating_sub(1),
        }
    }

    /// Mean and standard deviation of the prior of a shape's logarithm.
    pub(crate) fn prior(self, shape: usize) -> (f64, f64) {
        match (self, shape) {
            // A curve may need from one to all of some hundred units of the resource.
            (Self::ExponentialDecay, 1) => (1.0, 1.5),
            _ => (0.0, 1.0),
        }
    }

    /// The mean that a resource has: levels that have nothing to do with each other have one each.
    pub(crate) fn group(self, r: f64) -> usize {
        match self {
            Self::Independent { levels } => (r as usize).min(levels.saturating_sub(1)),
            _ => 0,
        }
    }

    /// Number of means.
    pub(crate) fn groups(self) -> usize {
        if let Self::Independent { levels } = self { levels.max(1) } else { 1 }
    }

    /// a and b.
    pub(crate) fn pair(self, shapes: &[f64], r: f64, s: f64) -> Pair {
        match self {
            Self::ExponentialDecay => {
                let [alpha, beta, gamma] = [shapes[0], shapes[1], shapes[2]];
                let kappa = |r| decay(alpha, beta, r).0;
                Pair { scale: 1.0, add: gamma * gamma * (kappa(r + s) - kappa(r) * kappa(s)) }
            }
            Self::CrossValidation => Pair { scale: 1.0 + shapes[0] / r.max(s), add: 0.0 },
            Self::Independent { .. } if r != s => Pair::default(),
            Self::Independent { .. } => {
                let scale = self.group(r).checked_sub(1).map_or(1.0, |shape| shapes[shape]);
                Pair { scale, add: 0.0 }
            }
        }
    }

    /// The derivatives of [`Along::pair`] by the logarithm of a shape.
    pub(crate) fn by_shape(self, shapes: &[f64], shape: usize, r: f64, s: f64) -> Pair {
        match self {
            Self::ExponentialDecay => {
                let [alpha, beta, gamma] = [shapes[0], shapes[1], shapes[2]];
                let [both, one, other] = [r + s, r, s].map(|r| decay(alpha, beta, r));
                let product = |by: fn(&(f64, f64, f64)) -> f64| by(&both) - by(&one) * other.0 - one.0 * by(&other);
                let by = match shape {
                    0 => product(|k| k.1),
                    1 => product(|k| k.2),
                    _ => 2.0 * (both.0 - one.0 * other.0),
                };
                Pair { scale: 0.0, add: gamma * gamma * by }
            }
            Self::CrossValidation => Pair { scale: shapes[0] / r.max(s), add: 0.0 },
            Self::Independent { .. } if r == s && self.group(r) == shape + 1 => Pair { scale: shapes[shape], add: 0.0 },
            Self::Independent { .. } => Pair::default(),
        }
    }

    /// Distance of the mean at a resource above that of a finished curve.
    pub(crate) fn offset(self, shapes: &[f64], r: f64) -> f64 {
        if self == Self::ExponentialDecay { shapes[2] * decay(shapes[0], shapes[1], r).0 } else { 0.0 }
    }

    /// The derivative of [`Along::offset`] by the logarithm of a shape.
    pub(crate) fn offset_by_shape(self, shapes: &[f64], shape: usize, r: f64) -> f64 {
        if self != Self::ExponentialDecay {
            return 0.0;
        }
        let (kappa, by_alpha, by_beta) = decay(shapes[0], shapes[1], r);
        shapes[2] * [by_alpha, by_beta, kappa][shape]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derivatives_are_difference_quotients() {
        for (along, shapes) in [
            (Along::ExponentialDecay, vec![0.8, 2.5, 1.3]),
            (Along::CrossValidation, vec![0.7]),
            (Along::Independent { levels: 3 }, vec![0.5, 2.0]),
        ] {
            assert_eq!(along.shapes(), shapes.len());
            for (r, s) in [(1.0, 1.0), (1.0, 2.0), (2.0, 2.0), (2.0, 0.0)] {
                for shape in 0..shapes.len() {
                    let moved = |by: f64| {
                        let mut shapes = shapes.clone();
                        shapes[shape] *= f64::exp(by);
                        let pair = along.pair(&shapes, r, s);
                        (pair.scale, pair.add, along.offset(&shapes, r))
                    };
                    let (up, down) = (moved(1e-6), moved(-1e-6));
                    let by = along.by_shape(&shapes, shape, r, s);
                    assert!((by.scale - (up.0 - down.0) / 2e-6).abs() < 1e-8, "{along:?} {shape} at {r}, {s}");
                    assert!((by.add - (up.1 - down.1) / 2e-6).abs() < 1e-8, "{along:?} {shape} at {r}, {s}");
                    let offset = along.offset_by_shape(&shapes, shape, r);
                    assert!((offset - (up.2 - down.2) / 2e-6).abs() < 1e-8, "{along:?} {shape} at {r}");
                }
            }
        }
    }

    #[test]
    fn means_of_repeats_share_the_noise_of_the_shorter_one() {
        // Var of the mean of 4 of noise 1, and its covariance with that of the first 2 of them: 1/4 both.
        let pair = |r, s| Along::CrossValidation.pair(&[1.0], r, s).scale - 1.0;
        assert_eq!((pair(4.0, 4.0), pair(2.0, 4.0), pair(1.0, 1.0)), (0.25, 0.25, 1.0));
    }

    #[test]
    fn curves_come_down_as_far_as_gamma() {
        let shapes = [1.0, 2.0, 0.6];
        assert_eq!(Along::ExponentialDecay.offset(&shapes, 0.0), 0.6);
        assert!(Along::ExponentialDecay.offset(&shapes, 1e9) < 1e-8);
        // Nothing is uncertain at the start of all curves, nor at their end.
        assert!(Along::ExponentialDecay.pair(&shapes, 0.0, 0.0).add.abs() < 1e-12);
        assert!(Along::ExponentialDecay.pair(&shapes, 2.0, 2.0).add > 0.01);
    }
}

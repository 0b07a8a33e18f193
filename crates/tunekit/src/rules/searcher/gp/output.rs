//! The scale on which outputs are modelled. A process assumes normal deviations of one size, so measurements whose
//! spread grows with them, or that have a long tail, are transformed first.
//!
//! An output is (g(v) - centre) / spread, where v is the measurement, loss(v) is v or -v (smaller is better), and g is
//! - loss(v) itself;
//! - loss(ln v), of positive measurements;
//! - Yeo and Johnson's power (2000) of loss(v) in units of its quartiles, with the exponent of the largest likelihood;
//! - the normal score of its rank, linear between a few quantiles (as HEBO's and Vizier's rank warps do, but
//!   invertible).
//!
//! The scale is chosen by the model's leave-one-out density; [`Output::log_slope`] makes scales comparable.

use crate::rules::distribution::normal_quantile;
use crate::rules::lbfgs::minimize_scalar;
use crate::words::metric::Goal;
use crate::words::trial::mean;

/// The transformation of outputs.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::rules) enum Scale {
    /// As they are.
    Identity,
    /// Their logarithm, for positive numbers whose noise and differences grow with their size.
    Log,
    /// Yeo and Johnson's power, of (loss - middle) / unit.
    Power { middle: f64, unit: f64, lambda: f64 },
    /// Straight lines between knots (loss, score), both strictly increasing.
    Rank { knots: Vec<(f64, f64)> },
}

/// The kinds of scale, which [`Output::new`] fits to the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rules) enum Kind {
    Identity,
    Log,
    Power,
    Rank,
}

/// Fewer configurations than this say nothing about a tail.
const FEWEST_BENT: usize = 8;
/// The share of the middle measurement below which the logarithmic scale gets no credit.
const DUST: f64 = 1e-3;
/// The most knots of a rank scale, and how many configurations each needs.
const KNOTS: usize = 8;
const A_KNOT: usize = 3;

impl Kind {
    /// The scales to try on measurements with these means.
    pub(in crate::rules) fn allowed(means: &[f64], positive: bool, is_time: bool) -> Vec<Self> {
        if positive && is_time {
            return vec![Self::Log];
        }
        let mut kinds = vec![Self::Identity];
        if positive {
            kinds.push(Self::Log);
        }
        if means.len() >= FEWEST_BENT {
            kinds.push(Self::Power);
        }
        if means.len() >= 4 * A_KNOT {
            kinds.push(Self::Rank);
        }
        kinds
    }
}

/// The relation between outputs and measurements.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::rules) struct Output {
    scale: Scale,
    goal: Goal,
    centre: f64,
    spread: f64,
}

impl Output {
    /// The scale of this kind for measurements with these means; `None` where the kind does not apply to them.
    pub(in crate::rules) fn new(kind: Kind, goal: Goal, means: &[f64]) -> Option<Self> {
        let mut losses: Vec<f64> = means.iter().map(|v| goal.loss(*v)).collect();
        losses.sort_by(f64::total_cmp);
        let scale = match kind {
            Kind::Identity => Scale::Identity,
            Kind::Log => Scale::Log,
            Kind::Power => power(&losses)?,
            Kind::Rank => rank(&losses)?,
        };
        let plain = Self { scale, goal, centre: 0.0, spread: 1.0 };
        let bent: Vec<f64> = means.iter().map(|v| plain.bend(*v)).collect();
        let centre = mean(&bent).unwrap_or(0.0);
        // In units of the largest deviation nothing overflows.
        let largest = bent.iter().fold(0.0_f64, |m, v| m.max((v - centre).abs()));
        if !(largest > 0.0 && largest.is_finite()) {
            return Some(Self { centre, ..plain });
        }
        let square = bent.iter().map(|v| ((v - centre) / largest).powi(2)).sum::<f64>() / bent.len() as f64;
        // The root is subnormal, or the range of the means overflows, only if all are practically equal.
        let spread = square.sqrt() * largest;
        Some(Self { centre, spread: if spread > f64::MIN_POSITIVE { spread } else { 1.0 }, ..plain })
    }

    /// Number of parameters that a scale of this kind takes from the data beyond centre and spread; the density is
    /// charged for them.
    pub(in crate::rules) fn parameters(&self) -> usize {
        match &self.scale {
            Scale::Identity | Scale::Log => 0,
            Scale::Power { .. } => 1,
            Scale::Rank { knots } => knots.len() - 2,
        }
    }

    /// g(v).
    fn bend(&self, value: f64) -> f64 {
        let loss = self.goal.loss(value);
        match &self.scale {
            Scale::Identity => loss,
            Scale::Log => self.goal.loss(value.ln()),
            Scale::Power { middle, unit, lambda } => yeo_johnson(loss / unit - middle / unit, *lambda),
            Scale::Rank { knots } => along(knots, loss, |k| k.0, |k| k.1),
        }
    }

    /// The output of a measurement.
    pub(in crate::rules) fn output(&self, value: f64) -> f64 {
        self.bend(value) / self.spread - self.centre / self.spread
    }

    /// The measurement an output stands for.
    pub(in crate::rules) fn measurement(&self, output: f64) -> f64 {
        let bent = output * self.spread + self.centre;
        match &self.scale {
            Scale::Identity => self.goal.loss(bent),
            Scale::Log => self.goal.loss(bent).exp(),
            Scale::Power { middle, unit, lambda } => self.goal.loss(inverse_yeo_johnson(bent, *lambda) * unit + middle),
            Scale::Rank { knots } => self.goal.loss(along(knots, bent, |k| k.1, |k| k.0)),
        }
    }

    /// Growth of the logarithm of the measurement with the output, on the logarithmic scale; 0 on any other.
    pub(in crate::rules) fn log_rate(&self) -> f64 {
        if self.scale == Scale::Log { self.goal.loss(self.spread) } else { 0.0 }
    }

    /// The sum of [`Output::log_slope`] over measurements, where on the logarithmic scale none counts as smaller than a
    /// thousandth of the middle one: a scale gets no credit for telling dust from dust, which a value that happens to
    /// be 1e-16 among ones would otherwise pay for everything else.
    pub(in crate::rules) fn log_slopes(&self, means: &[f64]) -> f64 {
        let mut sorted = means.to_vec();
        sorted.sort_by(f64::total_cmp);
        let least = match (&self.scale, sorted.is_empty()) {
            (Scale::Log, false) => DUST * quantile(&sorted, 0.5),
            _ => f64::NEG_INFINITY,
        };
        means.iter().map(|v| self.log_slope(v.max(least))).sum()
    }

    /// ln |d output / d measurement|.
    pub(in crate::rules) fn log_slope(&self, value: f64) -> f64 {
        let bent = match &self.scale {
            Scale::Identity => 0.0,
            Scale::Log => -value.ln(),
            Scale::Power { middle, unit, lambda } => {
                let z = self.goal.loss(value) / unit - middle / unit;
                (lambda - 1.0) * z.signum() * z.abs().ln_1p() - unit.ln()
            }
            Scale::Rank { knots } => {
                let (a, b) = segment(knots, self.goal.loss(value), |k| k.0);
                ((b.1 - a.1) / (b.0 - a.0)).ln()
            }
        };
        bent - self.spread.ln()
    }
}

/// The quantile at `p` of sorted values, linear between them.
fn quantile(sorted: &[f64], p: f64) -> f64 {
    let at = p * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (at - at.floor())
}

/// The power of the largest likelihood of a normal sample.
fn power(losses: &[f64]) -> Option<Scale> {
    let middle = quantile(losses, 0.5);
    let unit = quantile(losses, 0.75) - quantile(losses, 0.25);
    if !(unit > f64::MIN_POSITIVE && unit.is_finite() && (losses[losses.len() - 1] - losses[0]).is_finite()) {
        return None;
    }
    let z: Vec<f64> = losses.iter().map(|l| l / unit - middle / unit).collect();
    let growth: f64 = z.iter().map(|z| z.signum() * z.abs().ln_1p()).sum();
    let n = z.len() as f64;
    let misfit = |lambda: f64| {
        let bent: Vec<f64> = z.iter().map(|z| yeo_johnson(*z, lambda)).collect();
        let centre = bent.iter().sum::<f64>() / n;
        let variance = bent.iter().map(|b| (b - centre).powi(2)).sum::<f64>() / n;
        0.5 * n * variance.ln() - (lambda - 1.0) * growth
    };
    // Within these ends every output stands for a measurement; beyond them the power has a horizon.
    let lambda = minimize_scalar(misfit, 0.0, 2.0)?;
    Some(Scale::Power { middle, unit, lambda })
}

/// Knots at evenly spaced ranks.
fn rank(losses: &[f64]) -> Option<Scale> {
    let n = losses.len();
    let count = (n / A_KNOT).min(KNOTS);
    let mut knots: Vec<(f64, f64)> = Vec::new();
    for k in 0..count {
        let at = k * (n - 1) / (count - 1);
        let score = normal_quantile((at as f64 + 0.625) / (n as f64 + 0.25));
        // Equal values have one score, and values a rounding apart no slope.
        if knots.last().is_none_or(|(loss, _)| losses[at] - loss > 1e-9 * (losses[n - 1] - losses[0])) {
            knots.push((losses[at], score));
        }
    }
    (knots.len() >= 4 && (losses[n - 1] - losses[0]).is_finite()).then_some(Scale::Rank { knots })
}

/// The knots on both sides of `x`; the outermost two beyond the ends.
fn segment(knots: &[(f64, f64)], x: f64, from: fn(&(f64, f64)) -> f64) -> ((f64, f64), (f64, f64)) {
    let after = knots.partition_point(|k| from(k) <= x).clamp(1, knots.len() - 1);
    (knots[after - 1], knots[after])
}

/// The value at `x` of the line through the knots, from one of their numbers to the other.
fn along(knots: &[(f64, f64)], x: f64, from: fn(&(f64, f64)) -> f64, to: fn(&(f64, f64)) -> f64) -> f64 {
    let (a, b) = segment(knots, x, from);
    to(&a) + (x - from(&a)) / (from(&b) - from(&a)) * (to(&b) - to(&a))
}

/// Yeo and Johnson 2000, eq. 2.1: a power that takes both signs.
fn yeo_johnson(z: f64, lambda: f64) -> f64 {
    // (e^(p ln(1 + x)) - 1) / p, whose limit at p = 0 is ln(1 + x).
    let power = |x: f64, p: f64| if p.abs() < 1e-9 { x.ln_1p() } else { (p * x.ln_1p()).exp_m1() / p };
    if z >= 0.0 { power(z, lambda) } else { -power(-z, 2.0 - lambda) }
}

fn inverse_yeo_johnson(y: f64, lambda: f64) -> f64 {
    let root = |y: f64, p: f64| if p.abs() < 1e-9 { y.exp_m1() } else { ((p * y).ln_1p() / p).exp_m1() };
    if y >= 0.0 { root(y, lambda) } else { -root(-y, 2.0 - lambda) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Vec<f64> {
        (1..40).map(|i| 0.3 * f64::from(i * i % 37 + 1).powi(3)).collect()
    }

    #[test]
    fn every_scale_is_increasing_in_the_loss_and_comes_back() {
        for goal in [Goal::Min, Goal::Max] {
            for kind in [Kind::Identity, Kind::Log, Kind::Power, Kind::Rank] {
                let output = Output::new(kind, goal, &values()).unwrap();
                let mut sorted = values();
                sorted.sort_by(|a, b| goal.loss(*a).total_cmp(&goal.loss(*b)));
                for pair in sorted.windows(2) {
                    let (a, b) = (output.output(pair[0]), output.output(pair[1]));
                    assert!(a < b || pair[0] == pair[1], "{kind:?} {goal:?}");
                }
                for v in values().into_iter().chain([0.01, 2e4]) {
                    let back = output.measurement(output.output(v));
                    assert!((back - v).abs() < 1e-6 * v, "{kind:?} {goal:?}: {v} came back as {back}");
                    // Not at a knot, which has a slope on each side.
                    let (v, e) = (1.001 * v, 1e-6 * v);
                    let slope = (output.output(v + e) - output.output(v - e)).abs() / (2.0 * e);
                    assert!((output.log_slope(v) - slope.ln()).abs() < 1e-3, "{kind:?} {goal:?} at {v}");
                }
            }
        }
    }

    #[test]
    fn outputs_have_mean_0_and_spread_1() {
        for kind in [Kind::Identity, Kind::Log, Kind::Power, Kind::Rank] {
            let output = Output::new(kind, Goal::Min, &values()).unwrap();
            let all: Vec<f64> = values().iter().map(|v| output.output(*v)).collect();
            let n = all.len() as f64;
            let centre = all.iter().sum::<f64>() / n;
            assert!(centre.abs() < 1e-9 && (all.iter().map(|y| y * y).sum::<f64>() / n - 1.0).abs() < 1e-9);
        }
    }

    #[test]
    fn the_power_of_a_log_normal_sample_is_a_logarithm_and_of_a_normal_one_nothing() {
        let normal: Vec<f64> = (0..200).map(|i| normal_quantile((f64::from(i) + 0.5) / 200.0)).collect();
        let lambda = |values: &[f64]| match power(values) {
            Some(Scale::Power { lambda, .. }) => lambda,
            other => panic!("{other:?}"),
        };
        assert!((lambda(&normal) - 1.0).abs() < 0.05);
        let skewed: Vec<f64> = normal.iter().map(|z| (2.0 * z).exp()).collect();
        assert!(lambda(&skewed) < 0.1);
    }

    #[test]
    fn equal_and_enormous_values_have_no_bent_scale_but_a_plain_one() {
        for values in [vec![3.0; 20], [1.7e308, -1.7e308].repeat(10)] {
            assert_eq!(Output::new(Kind::Power, Goal::Min, &values), None);
            assert_eq!(Output::new(Kind::Rank, Goal::Min, &values), None);
            assert!(Output::new(Kind::Identity, Goal::Min, &values).is_some());
        }
    }
}

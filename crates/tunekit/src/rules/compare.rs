//! The difference between two configurations, with an interval.
//!
//! Baseline and candidate are measured in turn, so a drift (of the network, of the machine's other work) affects both
//! of a pair alike and cancels. The interval of the ratio of paired means is Fieller's (1954, "Some problems in
//! interval estimation", J. R. Stat. Soc. B 16): with b, c the samples, r = mean(c) / mean(b) is the ratio sought, and
//! for every true r the differences c_i - r b_i have mean 0, so the interval is { r : (mean(c) - r mean(b))^2 <= t^2
//! (s_cc - 2 r s_bc + r^2 s_bb) / n } with t the quantile of Student's distribution with n - 1 degrees of freedom. It
//! is exact for pairs from a bivariate normal distribution, at any n.

use crate::words::trial::mean;

use super::distribution::{standard_deviation, student_half_width, student_quantile};

/// Why two samples cannot be compared.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CompareError {
    /// The samples are not pairs.
    #[error("{baseline} baseline and {candidate} candidate samples are not pairs; measure them in turn, equally often")]
    Unpaired {
        /// Number of baseline samples.
        baseline: usize,
        /// Number of candidate samples.
        candidate: usize,
    },
    /// One pair gives no spread.
    #[error("{n} pair(s) are too few for an interval; measure at least 2")]
    TooFew {
        /// Number of pairs.
        n: usize,
    },
    /// A sample is not a positive finite number.
    #[error("sample {value} is not a positive finite number, so a ratio has no meaning")]
    NotPositive {
        /// The sample.
        value: f64,
    },
    /// The confidence is not a probability.
    #[error("confidence {confidence} is not between 0 and 1")]
    Confidence {
        /// The confidence given.
        confidence: f64,
    },
    /// The baseline's own spread is so large that its mean could be zero, and the ratio any number.
    #[error("{n} pairs spread too much for an interval at this confidence; measure more")]
    Unbounded {
        /// Number of pairs.
        n: usize,
    },
}

/// A relative improvement, 1 - mean(candidate) / mean(baseline), and its interval: 0.4 means 40 % less.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Improvement {
    /// The estimate.
    pub estimate: f64,
    /// The lower end of the interval; above 0 the candidate is better.
    pub lower: f64,
    /// The upper end.
    pub upper: f64,
    /// Number of pairs it rests on.
    pub n: usize,
}

impl Improvement {
    /// No difference, over `n` pairs: the improvement of a configuration over itself.
    pub fn none(n: usize) -> Self {
        Self { estimate: 0.0, lower: 0.0, upper: 0.0, n }
    }
}

/// The relative improvement of `candidate` over `baseline`. Samples are positive, smaller is better, and the i-th
/// samples of both were measured next to each other. `confidence` is 0.95 for a 95 % interval.
///
/// ```
/// let baseline = [10.0, 11.0, 12.0, 10.5];
/// let candidate = [6.0, 6.7, 7.1, 6.4];
/// let better = tunekit::compare::relative_improvement(&baseline, &candidate, 0.95)?;
/// assert_eq!((better.estimate * 100.0).round(), 40.0);
/// assert!(0.35 < better.lower && better.upper < 0.45);
/// # Ok::<(), tunekit::compare::CompareError>(())
/// ```
///
/// # Errors
/// The samples are not pairs, fewer than two, not positive and finite, or spread too much for an interval. In the last
/// case [`log_ratio_improvement`] finds one.
pub fn relative_improvement(baseline: &[f64], candidate: &[f64], confidence: f64) -> Result<Improvement, CompareError> {
    check(baseline, candidate, confidence)?;
    let n = baseline.len();
    // The ratio does not depend on the unit: in units of the largest sample nothing overflows.
    let unit = baseline.iter().chain(candidate).fold(0.0_f64, |m, v| m.max(*v));
    let (b, c): (Vec<f64>, Vec<f64>) = baseline.iter().zip(candidate).map(|(b, c)| (b / unit, c / unit)).unzip();
    let count = n as f64;
    let (mean_b, mean_c) = (b.iter().sum::<f64>() / count, c.iter().sum::<f64>() / count);
    let covariance = |x: &[f64], mx: f64, y: &[f64], my: f64| {
        x.iter().zip(y).map(|(x, y)| (x - mx) * (y - my)).sum::<f64>() / (count - 1.0)
    };
    let (s_bb, s_bc, s_cc) =
        (covariance(&b, mean_b, &b, mean_b), covariance(&b, mean_b, &c, mean_c), covariance(&c, mean_c, &c, mean_c));
    let t2 = student_quantile(0.5 + confidence / 2.0, count - 1.0).powi(2) / count;
    // The roots of  r^2 (mean_b^2 - t2 s_bb) - 2 r (mean_b mean_c - t2 s_bc) + (mean_c^2 - t2 s_cc) = 0.
    let (qa, qb, qc) = (mean_b * mean_b - t2 * s_bb, mean_b * mean_c - t2 * s_bc, mean_c * mean_c - t2 * s_cc);
    let root = (qb * qb - qa * qc).max(0.0).sqrt();
    let (low, high) = ((qb - root) / qa, (qb + root) / qa);
    if qa.is_nan() || qa <= 0.0 || !(low.is_finite() && high.is_finite()) {
        return Err(CompareError::Unbounded { n });
    }
    Ok(Improvement { estimate: 1.0 - mean_c / mean_b, lower: 1.0 - high, upper: 1.0 - low, n })
}

/// The relative improvement of `candidate` over `baseline` when [`relative_improvement`] finds no interval because a
/// few samples are far from all others ([`CompareError::Unbounded`]), for instance after a stalled transfer.
///
/// The interval is Student's of the logarithms of the paired ratios. With b, c the samples and d_i = ln(c_i / b_i), it
/// is 1 - exp(mean(d) -+ t s_d / sqrt(n)) with t the quantile of Student's distribution with n - 1 degrees of freedom:
/// that of the ratio of geometric means (Fleming and Wallace 1986, "How not to lie with statistics: the correct way to
/// summarize benchmark results", CACM 29(3), on why ratios are averaged so). It equals the ratio of means where both
/// samples have the same shape. The estimate is that of the means, 1 - mean(c) / mean(b), as there, and the interval is
/// widened to hold it.
///
/// ```
/// use tunekit::compare::{CompareError, log_ratio_improvement, relative_improvement};
///
/// // One of the baseline's samples stood still.
/// let (baseline, candidate) = ([1.0, 30.0, 1.1, 1.0], [0.9, 1.1, 1.0, 1.0]);
/// let unbounded = relative_improvement(&baseline, &candidate, 0.95);
/// assert_eq!(unbounded, Err(CompareError::Unbounded { n: 4 }));
/// let improvement = log_ratio_improvement(&baseline, &candidate, 0.95)?;
/// assert!(improvement.lower < 0.0 && 0.0 < improvement.upper, "no difference is proven");
/// # Ok::<(), CompareError>(())
/// ```
///
/// # Errors
/// As [`relative_improvement`]; [`CompareError::Unbounded`] only where an end of the interval is beyond the range of
/// `f64`.
pub fn log_ratio_improvement(
    baseline: &[f64],
    candidate: &[f64],
    confidence: f64,
) -> Result<Improvement, CompareError> {
    let n = baseline.len();
    check(baseline, candidate, confidence)?;
    let logs: Vec<f64> = baseline.iter().zip(candidate).map(|(b, c)| c.ln() - b.ln()).collect();
    // In units of the largest sample nothing overflows.
    let unit = baseline.iter().chain(candidate).fold(0.0_f64, |m, v| m.max(*v));
    let sum = |samples: &[f64]| samples.iter().map(|v| v / unit).sum::<f64>();
    let estimate = 1.0 - sum(candidate) / sum(baseline);
    let [low, high] = mean_interval(&logs, confidence).ok_or(CompareError::Unbounded { n })?;
    let (lower, upper) = ((1.0 - high.exp()).min(estimate), (1.0 - low.exp()).max(estimate));
    match lower.is_finite() && estimate.is_finite() {
        true => Ok(Improvement { estimate, lower, upper, n }),
        false => Err(CompareError::Unbounded { n }),
    }
}

/// Refuses samples that have no ratio.
fn check(baseline: &[f64], candidate: &[f64], confidence: f64) -> Result<(), CompareError> {
    let n = baseline.len();
    if candidate.len() != n {
        return Err(CompareError::Unpaired { baseline: n, candidate: candidate.len() });
    }
    if n < 2 {
        return Err(CompareError::TooFew { n });
    }
    if !(confidence > 0.0 && confidence < 1.0) {
        return Err(CompareError::Confidence { confidence });
    }
    match baseline.iter().chain(candidate).find(|v| !(**v > 0.0 && v.is_finite())) {
        Some(&value) => Err(CompareError::NotPositive { value }),
        None => Ok(()),
    }
}

/// Student's interval of the mean of independent samples, lower end first; `None` of fewer than two, of samples that
/// are not finite, and of a confidence outside (0, 1).
///
/// ```
/// let [low, high] = tunekit::compare::mean_interval(&[9.0, 10.0, 11.0], 0.95).expect("three samples");
/// // 10 -+ 4.303 x 1 / sqrt(3)
/// assert!((low - 7.516).abs() < 1e-3 && (high - 12.484).abs() < 1e-3);
/// ```
#[must_use]
pub fn mean_interval(samples: &[f64], confidence: f64) -> Option<[f64; 2]> {
    if !(confidence > 0.0 && confidence < 1.0) {
        return None;
    }
    let (mean, sd) = (mean(samples)?, standard_deviation(samples)?);
    let half = student_half_width(samples.len(), sd, confidence);
    let interval = [mean - half, mean + half];
    interval.iter().all(|end| end.is_finite()).then_some(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::distribution::normal_quantile;
    use crate::rules::stream::Stream;

    /// Share of the 95 % intervals that hold the truth, over many experiments of `n` pairs that share a drift.
    fn coverage(n: usize, noise: f64, drift: f64) -> f64 {
        let (ratio, runs) = (0.6, 4000);
        let mut stream = Stream::of_study(7, "coverage");
        let mut normal = || normal_quantile(stream.uniform().max(1e-16));
        let held = (0..runs).filter(|_| {
            let (mut b, mut c) = (Vec::new(), Vec::new());
            for _ in 0..n {
                let common = 1.0 + drift * normal();
                b.push(10.0 * (common + noise * normal()));
                c.push(10.0 * ratio * (common + noise * normal()));
            }
            let got = relative_improvement(&b, &c, 0.95).unwrap();
            (got.lower..=got.upper).contains(&(1.0 - ratio))
        });
        held.count() as f64 / f64::from(runs)
    }

    #[test]
    fn a_95_percent_interval_holds_the_truth_95_times_in_100() {
        // The standard error of a coverage from 4000 runs is 0.34 points.
        for (n, noise, drift) in [(3, 0.02, 0.05), (6, 0.05, 0.0), (6, 0.02, 0.1), (20, 0.1, 0.1)] {
            let share = coverage(n, noise, drift);
            assert!((0.935..=0.965).contains(&share), "{n} pairs, noise {noise}, drift {drift}: {share}");
        }
    }

    #[test]
    fn equal_pairs_have_a_known_interval() {
        let same = relative_improvement(&[2.0, 2.2], &[1.0, 1.1], 0.95).unwrap();
        assert!((same.estimate - 0.5).abs() < 1e-12);
        // The differences c - b/2 are all zero: the ratio is certain.
        assert!((same.lower - 0.5).abs() < 1e-6 && (same.upper - 0.5).abs() < 1e-6, "{same:?}");
    }

    #[test]
    fn the_unit_does_not_matter() {
        let (b, c) = ([10.0, 11.0, 12.0], [6.0, 6.5, 7.5]);
        let scale = |x: [f64; 3], s: f64| x.map(|v| v * s);
        let got = relative_improvement(&b, &c, 0.9).unwrap();
        for s in [1e-300, 1e300] {
            let scaled = relative_improvement(&scale(b, s), &scale(c, s), 0.9).unwrap();
            assert!((scaled.lower - got.lower).abs() < 1e-9 && (scaled.upper - got.upper).abs() < 1e-9);
        }
    }

    #[test]
    fn what_cannot_be_compared_is_refused() {
        let error = |b: &[f64], c: &[f64]| relative_improvement(b, c, 0.95).unwrap_err();
        assert!(matches!(error(&[1.0, 2.0], &[1.0]), CompareError::Unpaired { .. }));
        assert!(matches!(error(&[1.0], &[1.0]), CompareError::TooFew { n: 1 }));
        assert!(matches!(error(&[1.0, f64::NAN], &[1.0, 1.0]), CompareError::NotPositive { .. }));
        assert!(matches!(error(&[1.0, 0.0], &[1.0, 1.0]), CompareError::NotPositive { .. }));
        assert!(matches!(error(&[0.001, 9.0], &[1.0, 1.0]), CompareError::Unbounded { n: 2 }));
        assert!(relative_improvement(&[1.0, 2.0], &[1.0, 2.0], 95.0).is_err());
    }

    #[test]
    fn ratios_have_an_interval_where_means_have_none() {
        let (b, c) = ([60.0, 60_000.0, 60.0, 60.0], [60.0; 4]);
        assert_eq!(relative_improvement(&b, &c, 0.95), Err(CompareError::Unbounded { n: 4 }));
        let got = log_ratio_improvement(&b, &c, 0.95).unwrap();
        // d = 0, -6.908, 0, 0: mean -1.727, s 3.454, t 3.182.
        assert!((got.lower - (1.0 - (3.768_f64).exp())).abs() < 0.1, "{got:?}");
        assert!((got.estimate - 0.996).abs() < 1e-3 && got.upper >= got.estimate, "{got:?}");
        // Both ways round.
        let back = log_ratio_improvement(&c, &b, 0.95).unwrap();
        assert!(back.lower <= back.estimate && back.estimate < -200.0 && back.upper > 0.9, "{back:?}");
    }

    #[test]
    fn ratios_and_means_agree_where_samples_spread_little() {
        let (b, c) = ([10.0, 11.0, 12.0, 10.5], [6.0, 6.7, 7.1, 6.4]);
        let (means, ratios) = (relative_improvement(&b, &c, 0.95), log_ratio_improvement(&b, &c, 0.95));
        let (means, ratios) = (means.unwrap(), ratios.unwrap());
        assert!((means.estimate - ratios.estimate).abs() < 1e-12 && means.n == ratios.n);
        assert!((means.lower - ratios.lower).abs() < 0.01 && (means.upper - ratios.upper).abs() < 0.01);
    }

    #[test]
    fn an_interval_of_ratios_is_finite_or_an_error() {
        for (b, c) in [([1e-300, 1.0], [1.0, 1e300]), ([f64::MIN_POSITIVE, 1.0], [f64::MAX, 1.0])] {
            match log_ratio_improvement(&b, &c, 0.95) {
                Ok(got) => assert!(got.lower.is_finite() && got.upper.is_finite(), "{got:?}"),
                Err(error) => assert_eq!(error, CompareError::Unbounded { n: 2 }),
            }
        }
        assert!(matches!(log_ratio_improvement(&[1.0], &[1.0], 0.95), Err(CompareError::TooFew { n: 1 })));
        assert!(matches!(log_ratio_improvement(&[1.0, 0.0], &[1.0; 2], 0.95), Err(CompareError::NotPositive { .. })));
    }
}

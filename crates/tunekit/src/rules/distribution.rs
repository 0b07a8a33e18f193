//! Quantiles and tails of the normal and Student's distribution; the only file that names statrs.

use statrs::distribution::{ContinuousCDF, StudentsT};

/// The quantile of the standard normal distribution at `p` in (0, 1).
pub(crate) fn normal_quantile(p: f64) -> f64 {
    statrs::distribution::Normal::standard().inverse_cdf(p)
}

/// erfc(x) = 1 - erf(x), without cancellation for large `x`.
pub(crate) fn complementary_error(x: f64) -> f64 {
    statrs::function::erf::erfc(x)
}

/// The probability of a standard normal number below `x`.
pub(crate) fn normal_below(x: f64) -> f64 {
    0.5 * complementary_error(-x / std::f64::consts::SQRT_2)
}

/// The probability of a number below `x` by Student's t with `degrees` > 0 degrees of freedom; 1/2 if `x` is NaN.
pub(crate) fn student_below(x: f64, degrees: f64) -> f64 {
    match x {
        x if x.is_nan() => 0.5,
        f64::INFINITY => 1.0,
        f64::NEG_INFINITY => 0.0,
        x => StudentsT::new(0.0, 1.0, degrees).map_or(f64::NAN, |t| t.cdf(x)),
    }
}

/// The quantile of Student's t with `degrees` > 0 degrees of freedom at `p` in (0, 1).
pub(crate) fn student_quantile(p: f64, degrees: f64) -> f64 {
    StudentsT::new(0.0, 1.0, degrees).map_or(f64::NAN, |t| t.inverse_cdf(p))
}

/// The half width of a two-sided Student interval of a mean at `confidence`, from `n` >= 2 samples with standard
/// deviation `sd`.
pub(crate) fn student_half_width(n: usize, sd: f64, confidence: f64) -> f64 {
    student_quantile(0.5 + confidence / 2.0, n as f64 - 1.0) * sd / (n as f64).sqrt()
}

/// The standard deviation of a sample of two or more, with n - 1; scaled so that nothing overflows.
pub(crate) fn standard_deviation(values: &[f64]) -> Option<f64> {
    if values.len() < 2 {
        return None;
    }
    let scale = values.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if scale == 0.0 {
        return Some(0.0);
    }
    let n = values.len() as f64;
    let mean = values.iter().map(|v| v / scale / n).sum::<f64>();
    let ss = values.iter().map(|v| (v / scale - mean).powi(2)).sum::<f64>();
    Some((ss / (n - 1.0)).sqrt() * scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        // Student's t at 97.5 %, any statistics textbook.
        for (degrees, wanted) in [(1.0, 12.7062), (2.0, 4.3027), (5.0, 2.5706), (30.0, 2.0423)] {
            let got = student_quantile(0.975, degrees);
            assert!((got - wanted).abs() < 1e-4, "{degrees}: {got}");
            assert!((student_below(wanted, degrees) - 0.975).abs() < 1e-5);
        }
        assert!((normal_below(1.959_964) - 0.975).abs() < 1e-6 && normal_below(-40.0) < 1e-300);
        assert_eq!([f64::INFINITY, f64::NEG_INFINITY, f64::NAN].map(|x| student_below(x, 3.0)), [1.0, 0.0, 0.5]);
        assert!((standard_deviation(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap() - 2.138_089_935).abs() < 1e-9);
        assert!((standard_deviation(&[1e300, 3e300]).unwrap() / 1e300 - 2_f64.sqrt()).abs() < 1e-12);
    }
}

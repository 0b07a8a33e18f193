//! Expected improvement in logarithms, which neither underflows nor goes flat far from the incumbent.
//!
//! Ament, Daulton, Eriksson, Balandat and Bakshy 2023, "Unexpected improvements to expected improvement for Bayesian
//! optimization", eq. 8 and 9: for minimisation with incumbent t and a Gaussian prediction of mean m and standard
//! deviation s, ln EI = ln h(z) + ln s with z = (t - m) / s and h(z) = phi(z) + z Phi(z).
//!
//! Three branches: the definition above z = -1; below it phi(z) (1 - |z| R(z)) with Mills' ratio R(z) = Phi(z) /
//! phi(z), from the complementary error function; and from -15 on, where the difference cancels, its asymptotic series
//! h / phi = 1/z^2 - 3/z^4 + 15/z^6 - ..., whose terms fall until the 112th there.

use super::distribution::complementary_error;

const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;

/// ln h(z) and its derivative Phi(z) / h(z).
pub(crate) fn log_h(z: f64) -> (f64, f64) {
    let log_phi = -0.5 * z * z - HALF_LN_TAU;
    if z > -1.0 {
        let cdf = 0.5 * complementary_error(-z / std::f64::consts::SQRT_2);
        let h = log_phi.exp() + z * cdf;
        return (h.ln(), cdf / h);
    }
    let (mills, share) = if z > -15.0 {
        let cdf = 0.5 * complementary_error(-z / std::f64::consts::SQRT_2);
        let mills = cdf / log_phi.exp();
        (mills, z.mul_add(mills, 1.0))
    } else {
        // R = (1 - 1/z^2 + 3/z^4 - ...) / |z| and 1 - |z| R, term by term.
        let w = 1.0 / (z * z);
        let (mut term, mut sum) = (1.0, 0.0);
        for k in 0..10 {
            term *= -f64::from(2 * k + 1) * w;
            sum += term;
        }
        ((1.0 + sum) / -z, -sum)
    };
    (log_phi + share.ln(), mills / share)
}

/// ln EI below `incumbent` at a prediction (`mean`, `variance` > 0), and its derivatives by mean and variance.
pub(crate) fn log_expected_improvement(mean: f64, variance: f64, incumbent: f64) -> (f64, f64, f64) {
    let sd = variance.sqrt();
    let z = (incumbent - mean) / sd;
    let (value, slope) = log_h(z);
    (value + sd.ln(), -slope / sd, 0.5 * (1.0 - slope * z) / variance)
}

/// ln of the mean over samples of the expected improvement, where each has a mean and an incumbent of its own and they
/// share the variance; with its derivatives by the means and by the variance. For noisy measurements (Letham et al.
/// 2019, eq. 10, in logarithms).
pub(crate) fn log_noisy_expected_improvement(means: &[f64], variance: f64, incumbents: &[f64]) -> (f64, Vec<f64>, f64) {
    let each: Vec<(f64, f64, f64)> =
        means.iter().zip(incumbents).map(|(m, t)| log_expected_improvement(*m, variance, *t)).collect();
    let largest = each.iter().fold(f64::NEG_INFINITY, |m, e| m.max(e.0));
    if !largest.is_finite() {
        return (largest, vec![0.0; means.len()], 0.0);
    }
    let shares: Vec<f64> = each.iter().map(|e| (e.0 - largest).exp()).collect();
    let sum: f64 = shares.iter().sum();
    let by_means = each.iter().zip(&shares).map(|(e, share)| e.1 * share / sum).collect();
    let by_variance = each.iter().zip(&shares).map(|(e, share)| e.2 * share / sum).sum();
    (largest + (sum / means.len() as f64).ln(), by_means, by_variance)
}

/// ln of the probability that a normal number with this mean and variance is at most `limit`, and its derivatives by
/// mean and variance.
pub(crate) fn log_probability_below(mean: f64, variance: f64, limit: f64) -> (f64, f64, f64) {
    let sd = variance.sqrt();
    let z = (limit - mean) / sd;
    let log_phi = -0.5 * z * z - HALF_LN_TAU;
    let (log_cdf, slope) = if z > -10.0 {
        let cdf = 0.5 * complementary_error(-z / std::f64::consts::SQRT_2);
        (cdf.ln(), log_phi.exp() / cdf)
    } else {
        // Mills' ratio from its series, as in `log_h`.
        let w = 1.0 / (z * z);
        let (mut term, mut sum) = (1.0, 1.0);
        for k in 0..10 {
            term *= -f64::from(2 * k + 1) * w;
            sum += term;
        }
        let mills = sum / -z;
        (log_phi + mills.ln(), 1.0 / mills)
    };
    (log_cdf, -slope / sd, -0.5 * slope * z / variance)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ln of the integral of (z - t)+ phi(t) by Simpson's rule, with phi(z) taken out: with t = z - v it is
    /// phi(z) times the integral of v exp(z v - v^2 / 2) over v > 0.
    fn by_quadrature(z: f64) -> f64 {
        let (n, end) = (20_000, (40.0 / z.abs().max(1.0)).max(0.0) + z.max(0.0) + if z > -4.0 { 10.0 } else { 0.0 });
        let width = end / f64::from(n);
        let f = |v: f64| v * (z * v - 0.5 * v * v).exp();
        let sum: f64 = (0..=n)
            .map(|i| {
                f(f64::from(i) * width)
                    * if i == 0 || i == n {
                        1.0
                    } else if i % 2 == 1 {
                        4.0
                    } else {
                        2.0
                    }
            })
            .sum();
        (sum * width / 3.0).ln() - 0.5 * z * z - HALF_LN_TAU
    }

    #[test]
    fn log_h_is_the_integral_down_to_minus_40() {
        let mut z = -40.0;
        while z <= 5.0 {
            let (got, wanted) = (log_h(z).0, by_quadrature(z));
            assert!((got - wanted).abs() < 1e-8 * wanted.abs().max(1.0), "z = {z}: {got} is not {wanted}");
            z += 0.125;
        }
        assert!(log_h(-1e100).0.is_finite() || log_h(-1e100).0 == f64::NEG_INFINITY);
    }

    #[test]
    fn branches_meet_and_slopes_are_differences() {
        for z in [-1.0, -15.0] {
            let (a, b) = (log_h(z + 1e-9), log_h(z - 1e-9));
            assert!((a.0 - b.0).abs() < 1e-7 && (a.1 - b.1).abs() < 1e-6, "at {z}");
        }
        for z in [-39.0, -16.0, -14.0, -3.0, -0.5, 0.0, 2.0, 6.0] {
            let step = 1e-5;
            let difference = (log_h(z + step).0 - log_h(z - step).0) / (2.0 * step);
            assert!((log_h(z).1 - difference).abs() < 1e-5 * difference.abs().max(1.0), "at {z}");
        }
        let (mean, variance, t, e) = (0.4, 0.09, 0.1, 1e-6);
        let (_, by_mean, by_variance) = log_expected_improvement(mean, variance, t);
        let f = |m, v| log_expected_improvement(m, v, t).0;
        assert!((by_mean - (f(mean + e, variance) - f(mean - e, variance)) / (2.0 * e)).abs() < 1e-6);
        assert!((by_variance - (f(mean, variance + e) - f(mean, variance - e)) / (2.0 * e)).abs() < 1e-4);
    }

    #[test]
    fn a_noisy_improvement_is_the_mean_over_samples() {
        let (means, variance, incumbents) = ([0.4, -0.2, 9.0], 0.09, [0.1, 0.0, -9.0]);
        let (value, by_means, by_variance) = log_noisy_expected_improvement(&means, variance, &incumbents);
        let plain = |i: usize| log_expected_improvement(means[i], variance, incumbents[i]).0.exp();
        assert!((value.exp() - (plain(0) + plain(1) + plain(2)) / 3.0).abs() < 1e-12);
        let e = 1e-6;
        let f = |m: [f64; 3], v| log_noisy_expected_improvement(&m, v, &incumbents).0;
        let up = f([means[0], means[1] + e, means[2]], variance) - f([means[0], means[1] - e, means[2]], variance);
        assert!((by_means[1] - up / (2.0 * e)).abs() < 1e-6);
        let up = f(means, variance + e) - f(means, variance - e);
        assert!((by_variance - up / (2.0 * e)).abs() < 1e-4);
        // Without noise all samples agree, and it is the plain one.
        let same = log_noisy_expected_improvement(&[0.4; 5], variance, &[0.1; 5]).0;
        assert!((same - log_expected_improvement(0.4, variance, 0.1).0).abs() < 1e-12);
    }

    #[test]
    fn a_log_probability_is_that_of_the_tables_and_its_slopes_are_differences() {
        // ln of the standard normal distribution function, from tables of its tail.
        for (z, wanted) in [(0.0, 0.5_f64.ln()), (1.959_964, 0.975_f64.ln()), (-3.090_232, 0.001_f64.ln())] {
            assert!((log_probability_below(0.0, 1.0, z).0 - wanted).abs() < 1e-5, "at {z}");
        }
        let (a, b) = (log_probability_below(0.0, 1.0, -10.0 + 1e-9).0, log_probability_below(0.0, 1.0, -10.0 - 1e-9).0);
        assert!((a - b).abs() < 1e-6);
        for (mean, variance) in [(0.4, 0.09), (4.0, 0.1), (-3.0, 2.0)] {
            let (_, by_mean, by_variance) = log_probability_below(mean, variance, 0.0);
            let f = |m, v| log_probability_below(m, v, 0.0).0;
            let e = 1e-6;
            let wanted = (f(mean + e, variance) - f(mean - e, variance)) / (2.0 * e);
            assert!((by_mean - wanted).abs() < 1e-4 * (1.0 + wanted.abs()));
            let wanted = (f(mean, variance + e) - f(mean, variance - e)) / (2.0 * e);
            assert!((by_variance - wanted).abs() < 1e-4 * (1.0 + wanted.abs()));
        }
    }
}

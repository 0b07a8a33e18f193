//! Repeated measurements with a drift: a small Kalman filter gives the means and their certainty.
//!
//! The k-th measurement is of configuration i(k): `z_k = mu_i(k) + b_k + e_k`, with noise `e_k` of variance `s^2`, the
//! same for all configurations, and a level `b_k` that is a random walk over the order of the measurements, with steps
//! of the variance `rho s^2`; `b_0 = 0`, and nothing is known of a `mu` before it is measured (Harvey 1989,
//! "Forecasting, Structural Time Series Models and the Kalman Filter", 3.4.3). Everything is in units of `s`, which is
//! integrated out, so that differences have Student's distribution; `rho` is one of a few, each as likely as its
//! predictions were good (Kass and Raftery 1995), the first being 0: no drift. The caller gives measurements and
//! differences their meaning.

use super::distribution::{normal_below, student_below};

/// The variances of a step of the level, in units of the noise's: over 100 measurements the level moves by 0, 1/3, 1, 3
/// and 10 standard deviations of one measurement.
const RATIOS: [f64; 5] = [0.0, 0.001, 0.01, 0.1, 1.0];
/// The probability of each before anything is measured.
const PRIOR: [f64; 5] = [0.9, 0.03, 0.03, 0.03, 0.01];

/// The state of knowledge after some measurements. `I` names configurations.
#[derive(Debug, Clone)]
pub(super) struct Drift<I> {
    filters: [Filter<I>; RATIOS.len()],
    /// The standard deviation of the noise where it is known.
    noise: Option<f64>,
}

/// One filter: the state is the level, then the mean of each configuration that is kept.
#[derive(Debug, Clone)]
struct Filter<I> {
    ratio: f64,
    kept: Vec<I>,
    mean: Vec<f64>,
    /// Row by row, in units of `s^2`.
    covariance: Vec<f64>,
    /// Number of measurements that were predicted: all but the first of each configuration.
    predicted: u64,
    /// The sum of `v^2 / F` over them: v the error, F its variance in units of `s^2`.
    squares: f64,
    /// The sum of `ln F`.
    log_variances: f64,
}

/// Two configurations as measurements taken now would show them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Now {
    pub(super) means: [f64; 2],
    /// The standard deviation of their difference.
    pub(super) sd: f64,
    /// The degrees of freedom of that estimate.
    pub(super) degrees: f64,
}

/// One step of a filter, kept for smoothing.
struct Step {
    /// By how much the measurement was off; the first one of a configuration was not predicted.
    error: Option<f64>,
    variance: f64,
    gain: Vec<f64>,
    /// The state besides the level that was measured.
    place: usize,
}

impl<I: Copy + PartialEq> Drift<I> {
    /// Nothing was measured yet; `noise`: the standard deviation of a measurement, if it is known.
    pub(super) fn new(noise: Option<f64>) -> Self {
        Self { filters: RATIOS.map(Filter::new), noise }
    }

    /// The same, with this standard deviation of a measurement from now on, if any is known.
    pub(super) fn know_noise(&mut self, noise: Option<f64>) {
        self.noise = noise;
    }

    /// Takes the next measurement, in their order.
    pub(super) fn measure(&mut self, of: I, value: f64) {
        for filter in &mut self.filters {
            filter.measure(of, value);
        }
    }

    /// Forgets all configurations but these; their contribution to the level and the noise stays.
    pub(super) fn keep(&mut self, keep: impl Fn(I) -> bool) {
        for filter in &mut self.filters {
            filter.keep(&keep);
        }
    }

    /// The probability of each of [`RATIOS`].
    fn weights(&self) -> [f64; RATIOS.len()] {
        let log = |(filter, prior): (&Filter<I>, f64)| prior.ln() + filter.log_likelihood(self.noise);
        let mut weights = [0.0; RATIOS.len()];
        for (weight, term) in weights.iter_mut().zip(self.filters.iter().zip(PRIOR).map(log)) {
            *weight = term;
        }
        let most = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let all: f64 = weights.iter().map(|w| (w - most).exp()).sum();
        weights.map(|w| (w - most).exp() / all)
    }

    /// The probability that the mean of `a` is below that of `b`, both measured and kept; 1/2 while nothing is known of
    /// the noise, `None` for a configuration that is not kept.
    pub(super) fn below(&self, a: I, b: I) -> Option<f64> {
        self.mixed(|filter| filter.below(a, b, self.noise))
    }

    /// The probability that measurements of `a` taken now have a mean of at most 0; 1/2 while nothing is known of the
    /// noise, `None` for a configuration that is not kept.
    pub(super) fn at_most_zero(&self, a: I) -> Option<f64> {
        self.mixed(|filter| filter.at_most_zero(a, self.noise))
    }

    /// The mean of this probability over the drifts that are believed in.
    fn mixed(&self, probability: impl Fn(&Filter<I>) -> Option<f64>) -> Option<f64> {
        let weights = self.weights();
        let each = self.filters.iter().zip(weights).filter(|(_, weight)| *weight > 1e-6);
        let (mut sum, mut all) = (0.0, 0.0);
        for (filter, weight) in each {
            sum += weight * probability(filter)?;
            all += weight;
        }
        Some(sum / all)
    }

    /// Two configurations as measurements taken now would show them. `None` while nothing is known of the noise, and
    /// for a configuration that is not kept.
    pub(super) fn now(&self, a: I, b: I) -> Option<Now> {
        let weights = self.weights();
        let each = self.filters.iter().zip(weights);
        let each: Option<Vec<_>> =
            each.map(|(f, w)| Some((w, [f.now(a)?.0, f.now(b)?.0], f.apart(a, b, self.noise)?))).collect();
        let each = each?;
        let mean = |of: usize| each.iter().map(|(weight, means, _)| weight * means[of]).sum::<f64>();
        let means = [mean(0), mean(1)];
        let off = |own: &[f64; 2]| (own[0] - own[1]) - (means[0] - means[1]);
        let variance: f64 = each.iter().map(|(weight, own, sd)| weight * (sd * sd + off(own).powi(2))).sum();
        let degrees = if self.noise.is_some() { f64::INFINITY } else { self.filters[0].predicted as f64 };
        Some(Now { means, sd: variance.sqrt(), degrees })
    }

    /// By how much the mean of `a` is expected to be above that of `b`.
    #[cfg(test)]
    fn difference(&self, a: I, b: I) -> Option<f64> {
        let each = self.filters.iter().zip(self.weights()).map(|(f, w)| Some(w * f.difference(a, b)?.0));
        each.sum()
    }

    /// The probability that there is a drift.
    pub(super) fn is_there(&self) -> f64 {
        1.0 - self.weights()[0]
    }

    /// The variance by which a measurement moves the level, in units of the noise's: expected over all that is
    /// possible.
    pub(super) fn step(&self) -> f64 {
        self.weights().iter().zip(RATIOS).map(|(weight, ratio)| weight * ratio).sum()
    }

    /// The drifts that are believed in, as ratios of variances, and their weights: the input of [`levels`].
    pub(super) fn believed(&self) -> Vec<(f64, f64)> {
        let all = self.filters.iter().map(|filter| filter.ratio).zip(self.weights());
        all.filter(|(ratio, weight)| *ratio > 0.0 && *weight > 1e-3).collect()
    }
}

/// The level at each of these measurements less that at the last one, by all of them; they are those that were taken.
pub(super) fn levels<I: Copy + PartialEq>(believed: &[(f64, f64)], log: &[(I, f64)]) -> Vec<f64> {
    let mut levels = vec![0.0; log.len()];
    for (ratio, weight) in believed {
        for (level, own) in levels.iter_mut().zip(smoothed(*ratio, log)) {
            *level += weight * own;
        }
    }
    levels
}

impl<I: Copy + PartialEq> Filter<I> {
    fn new(ratio: f64) -> Self {
        Self {
            ratio,
            kept: Vec::new(),
            mean: vec![0.0],
            covariance: vec![0.0],
            predicted: 0,
            squares: 0.0,
            log_variances: 0.0,
        }
    }

    fn place(&self, of: I) -> Option<usize> {
        self.kept.iter().position(|k| *k == of).map(|i| i + 1)
    }

    fn measure(&mut self, of: I, value: f64) -> Step {
        let n = self.mean.len();
        self.covariance[0] += self.ratio;
        let Some(i) = self.place(of) else {
            // mu = z - b - e.
            let mut row: Vec<f64> = self.covariance[..n].iter().map(|c| -c).collect();
            row.push(self.covariance[0] + 1.0);
            let mut wider = Vec::with_capacity((n + 1) * (n + 1));
            for (r, old) in self.covariance.chunks(n).enumerate() {
                wider.extend(old);
                wider.push(row[r]);
            }
            wider.extend(row);
            self.covariance = wider;
            self.mean.push(value - self.mean[0]);
            self.kept.push(of);
            return Step { error: None, variance: 0.0, gain: Vec::new(), place: n };
        };
        let together: Vec<f64> = (0..n).map(|r| self.covariance[r * n] + self.covariance[r * n + i]).collect();
        let variance = together[0] + together[i] + 1.0;
        let error = value - self.mean[0] - self.mean[i];
        for r in 0..n {
            self.mean[r] += together[r] / variance * error;
            for c in 0..n {
                self.covariance[r * n + c] -= together[r] * together[c] / variance;
            }
        }
        self.predicted += 1;
        self.squares += error * error / variance;
        self.log_variances += variance.ln();
        Step { error: Some(error), variance, gain: together.iter().map(|t| t / variance).collect(), place: i }
    }

    fn keep(&mut self, keep: impl Fn(I) -> bool) {
        let n = self.mean.len();
        let places: Vec<usize> = (0..n).filter(|i| *i == 0 || keep(self.kept[i - 1])).collect();
        if places.len() == n {
            return;
        }
        let at = |r: usize| places.iter().map(move |c| r * n + c);
        self.covariance = places.iter().flat_map(|r| at(*r)).map(|i| self.covariance[i]).collect();
        self.mean = places.iter().map(|i| self.mean[*i]).collect();
        self.kept = places[1..].iter().map(|i| self.kept[i - 1]).collect();
    }

    /// Up to a constant; with an unknown `s`, whose prior density is `1 / s`, integrated out.
    fn log_likelihood(&self, noise: Option<f64>) -> f64 {
        let fit = match noise {
            Some(sd) => self.squares / (sd * sd),
            None if self.predicted == 0 => 0.0,
            None => self.predicted as f64 * self.squares.max(f64::MIN_POSITIVE).ln(),
        };
        -0.5 * (self.log_variances + fit)
    }

    /// The difference of two means, and its variance in units of `s^2`.
    fn difference(&self, a: I, b: I) -> Option<(f64, f64)> {
        let (i, j, n) = (self.place(a)?, self.place(b)?, self.mean.len());
        let at = |r: usize, c: usize| self.covariance[r * n + c];
        Some((self.mean[i] - self.mean[j], at(i, i) + at(j, j) - 2.0 * at(i, j)))
    }

    /// The mean of measurements of a configuration taken now, and its variance in units of `s^2`.
    fn now(&self, a: I) -> Option<(f64, f64)> {
        let (i, n) = (self.place(a)?, self.mean.len());
        let variance = self.covariance[0] + self.covariance[i * n + i] + 2.0 * self.covariance[i];
        Some((self.mean[0] + self.mean[i], variance))
    }

    /// The standard deviation of a measurement: the one that is known, or the one that the predictions show.
    fn noise(&self, known: Option<f64>) -> Option<f64> {
        known.or_else(|| (self.predicted > 0).then(|| (self.squares / self.predicted as f64).sqrt()))
    }

    /// The standard deviation of the difference of two means; `None` while nothing is known of the noise.
    fn apart(&self, a: I, b: I, noise: Option<f64>) -> Option<f64> {
        Some(self.noise(noise)? * self.difference(a, b)?.1.max(0.0).sqrt())
    }

    fn below(&self, a: I, b: I, noise: Option<f64>) -> Option<f64> {
        let (difference, variance) = self.difference(a, b)?;
        Some(self.negative(difference, variance, noise))
    }

    fn at_most_zero(&self, a: I, noise: Option<f64>) -> Option<f64> {
        let (mean, variance) = self.now(a)?;
        // Without any noise 0 is 0.
        let exact = mean == 0.0 && self.noise(noise) == Some(0.0);
        Some(if exact { 1.0 } else { self.negative(mean, variance, noise) })
    }

    /// The probability that a quantity is below 0 of which this is the mean, and the variance in units of `s^2`; 1/2
    /// while nothing is known of the noise.
    fn negative(&self, mean: f64, variance: f64, noise: Option<f64>) -> f64 {
        let Some(sd) = self.noise(noise).filter(|_| mean != 0.0) else { return 0.5 };
        // Without any noise the sign decides.
        let t = -mean / (sd * variance.max(0.0).sqrt());
        if noise.is_some() { normal_below(t) } else { student_below(t, self.predicted as f64) }
    }
}

/// The levels by all measurements, less the last one: the disturbance smoother (Koopman 1993).
fn smoothed<I: Copy + PartialEq>(ratio: f64, log: &[(I, f64)]) -> Vec<f64> {
    let mut filter = Filter::new(ratio);
    let mut last: Vec<bool> = vec![false; log.len()];
    let mut seen: Vec<I> = Vec::new();
    for (k, (of, _)) in log.iter().enumerate().rev() {
        if !seen.contains(of) {
            seen.push(*of);
            last[k] = true;
        }
    }
    // A configuration leaves the state after its last measurement, from where on the state has no more to learn of it.
    let mut steps = Vec::with_capacity(log.len());
    for (k, (of, value)) in log.iter().enumerate() {
        let step = filter.measure(*of, *value);
        if last[k] {
            filter.keep(|kept| kept != *of);
        }
        steps.push(step);
    }
    // r_{k-1} = Z' v / F + (I - K Z)' r_k: how much the data from k on want the state before it to be otherwise.
    let mut levels = vec![0.0; log.len()];
    let mut r: Vec<f64> = vec![0.0; filter.mean.len()];
    for k in (0..log.len()).rev() {
        let step = &steps[k];
        if last[k] {
            r.insert(step.place, 0.0);
        }
        match step.error {
            Some(error) => {
                let pull = error / step.variance - step.gain.iter().zip(&r).map(|(g, r)| g * r).sum::<f64>();
                r[0] += pull;
                r[step.place] += pull;
            }
            // New information about a configuration is, with the other sign, information about the level at its first
            // measurement.
            None => {
                let own = r.remove(step.place);
                r[0] -= own;
            }
        }
        if k > 0 {
            levels[k - 1] = levels[k] - ratio * r[0];
        }
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::stream::Stream;

    /// The level and the means by generalised least squares, with dense matrices: `log_variances` and `squares` are the
    /// parts of minus twice the logarithm of the restricted likelihood. Gauss and Jordan, because it is short.
    fn dense(ratio: f64, log: &[(u8, f64)]) -> (Vec<f64>, Vec<u8>, Vec<f64>) {
        let mut names: Vec<u8> = Vec::new();
        for (of, _) in log {
            if !names.contains(of) {
                names.push(*of);
            }
        }
        // Unknown: the levels b_1..b_N (b_0 = 0), then the means; the normal equations of all squares.
        let (n, m) = (log.len(), names.len());
        let mut a = vec![vec![0.0; n + m + 1]; n + m];
        for (k, (of, z)) in log.iter().enumerate() {
            let i = n + names.iter().position(|x| x == of).unwrap();
            for (r, c) in [(k, k), (k, i), (i, k), (i, i)] {
                a[r][c] += 1.0;
            }
            for r in [k, i] {
                a[r][n + m] += z;
            }
            a[k][k] += 1.0 / ratio;
            if k > 0 {
                a[k - 1][k - 1] += 1.0 / ratio;
                a[k][k - 1] -= 1.0 / ratio;
                a[k - 1][k] -= 1.0 / ratio;
            }
        }
        for p in 0..n + m {
            let pivot = a[p].clone();
            for (r, row) in a.iter_mut().enumerate() {
                let factor = if r == p { 1.0 - 1.0 / pivot[p] } else { row[p] / pivot[p] };
                row.iter_mut().zip(&pivot).for_each(|(x, y)| *x -= factor * y);
            }
        }
        let x: Vec<f64> = a.iter().map(|row| row[n + m]).collect();
        (x[..n].to_vec(), names, x[n..].to_vec())
    }

    fn log_of(seed: u64, n: usize, drift: impl Fn(usize) -> f64) -> Vec<(u8, f64)> {
        let mut stream = Stream::of_study(seed, "drift");
        let draw = |k| {
            let of = stream.below(5) as u8;
            (of, f64::from(of) + 0.5 * stream.normal() + drift(k))
        };
        (0..n).map(draw).collect()
    }

    #[test]
    fn the_filter_and_the_smoother_say_what_least_squares_say() {
        for (seed, ratio) in [(1, 0.01), (2, 0.1), (3, 1.0)] {
            let log = log_of(seed, 24, |k| 0.05 * k as f64);
            let (levels, names, means) = dense(ratio, &log);
            let mut filter = Filter::new(ratio);
            for (of, z) in &log {
                filter.measure(*of, *z);
            }
            for (a, mean) in names.iter().zip(&means) {
                let got = filter.difference(*a, names[0]).unwrap().0;
                assert!((got - (mean - means[0])).abs() < 1e-9, "{ratio}: {got}");
                let now = filter.now(*a).unwrap().0;
                assert!((now - (mean + levels[23])).abs() < 1e-9, "{ratio}: {now}");
            }
            for (got, level) in smoothed(ratio, &log).iter().zip(&levels) {
                assert!((got - (level - levels[23])).abs() < 1e-9, "{ratio}: {got}");
            }
        }
    }

    #[test]
    fn without_drift_differences_are_students() {
        let mut filter = Filter::new(0.0);
        for (of, z) in [(0, 1.0), (1, 5.0), (0, 2.0), (1, 8.0), (0, 3.0)] {
            filter.measure(of, z);
        }
        // Means 2 and 6.5 of 3 and 2; squares within: 2 + 4.5.
        let (difference, variance) = filter.difference(0, 1).unwrap();
        assert!((difference + 4.5).abs() < 1e-12 && (variance - 5.0 / 6.0).abs() < 1e-12);
        assert!((filter.squares - 6.5).abs() < 1e-12 && filter.predicted == 3);
        let t = 4.5 / (6.5 / 3.0 * 5.0 / 6.0_f64).sqrt();
        assert!((filter.below(0, 1, None).unwrap() - student_below(t, 3.0)).abs() < 1e-12);
    }

    #[test]
    fn a_mean_is_at_most_zero_by_students_distribution() {
        let mut drift = Drift::new(None);
        drift.measure(0, 1.0);
        // One measurement of each says nothing of the noise.
        assert_eq!(drift.at_most_zero(0), Some(0.5));
        assert_eq!(drift.now(0, 0), None);
        let mut filter = Filter::new(0.0);
        for (of, z) in [(0, 1.0), (1, -5.0), (0, 2.0), (1, -8.0), (0, 3.0)] {
            filter.measure(of, z);
        }
        // Means 2 and -6.5 of 3 and 2; squares within: 2 + 4.5.
        let sd = |n: f64| (6.5 / 3.0 / n).sqrt();
        assert!((filter.at_most_zero(0, None).unwrap() - student_below(-2.0 / sd(3.0), 3.0)).abs() < 1e-12);
        assert!((filter.at_most_zero(1, None).unwrap() - student_below(6.5 / sd(2.0), 3.0)).abs() < 1e-12);
        // Without noise the sign says it, and 0 is at most 0.
        let mut exact = Drift::new(None);
        for (of, z) in [(0, 0.0), (1, 1e-9), (2, -1e-9), (0, 0.0), (1, 1e-9)] {
            exact.measure(of, z);
        }
        assert_eq!([0, 1, 2].map(|of| exact.at_most_zero(of)), [Some(1.0), Some(0.0), Some(1.0)]);
        let now = exact.now(1, 0).unwrap();
        assert!((now.means[0] - 1e-9).abs() < 1e-20 && now.means[1] == 0.0 && now.sd < 1e-20 && now.degrees == 2.0);
    }

    #[test]
    fn what_is_forgotten_changes_nothing_for_the_others() {
        let mut log = log_of(4, 30, |k| (k as f64 / 5.0).sin());
        log[20..].iter_mut().for_each(|(of, _)| *of %= 3);
        let (mut all, mut few) = (Drift::new(None), Drift::new(None));
        for (k, (of, z)) in log.iter().enumerate() {
            all.measure(*of, *z);
            few.measure(*of, *z);
            if k == 19 {
                few.keep(|of| of < 3);
            }
        }
        assert!((all.below(0, 1).unwrap() - few.below(0, 1).unwrap()).abs() < 1e-9);
        assert!(few.below(0, 4).is_none());
    }

    #[test]
    fn a_drift_is_told_from_none_and_taken_out() {
        let (mut seen, mut feared) = (0, 0);
        for seed in 0..40 {
            let mut drifts = Drift::new(None);
            let mut quiet = Drift::new(None);
            // Two yardsticks in turn, noise 0.5; a level that moves by 3 over 60 measurements.
            let mut stream = Stream::of_study(seed, "told");
            for k in 0..60 {
                let noise = 0.5 * stream.normal();
                drifts.measure(k % 2, noise + 3.0 * (k as f64 / 60.0));
                quiet.measure(k % 2, noise);
            }
            seen += u32::from(drifts.is_there() > 0.95);
            feared += u32::from(quiet.is_there() > 0.95);
            // Measured once at the end: as good as the yardsticks were at the beginning, and better than they are now.
            drifts.measure(9, 1.5);
            assert!(drifts.below(9, 0).unwrap() > 0.6, "{seed}: {:?}", drifts.difference(9, 0));
        }
        assert!(seen >= 36 && feared <= 2, "{seen} of 40 drifts seen, {feared} where there is none");
    }
}

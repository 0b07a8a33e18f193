//! Hyperparameters drawn from their posterior, where an interval must hold that one best guess of them makes too
//! narrow.
//!
//! Coordinate-wise slice sampling (Neal 2003) of length scales, signal and noise, the constant mean integrated out
//! under a flat prior (letters: `gp.rs`; r = y - mu):
//! -ln p = 1/2 r^T K_n^-1 r + 1/2 ln |K_n| + 1/2 ln (1^T K_n^-1 1) + 1/2 sum_i [(n_i - 1) ln sigma^2 + SS_i / sigma^2].
//! Priors:
//! - length scales: log-normal with mean sqrt 2 + 1/2 ln d - 3/2 and sd sqrt 3, halfway between the published one of
//!   Hvarfner, Hellsten and Nardi (2024) and that density's mode, where the fit begins: a short length is noise under
//!   another name, and would believe in the luckiest measurement; a long one sees no minimum where measurements are
//!   noisy;
//! - the variance of one measurement, s^2 + tau^2 + sigma^2: its logarithm is normal with mean 0 and sd 1, of
//!   standardised outputs;
//! - the signal's share of that: its logit is normal with mean 0 and sd 3, so that a flat function, with noise alone,
//!   is as likely as one without noise. The fit's prior has the signal near the outputs' variance, which is right for
//!   finding better points, and sees structure in noise;
//! - the share of the signal that is a sum of functions of one parameter each (Duvenaud, Nickisch and Rasmussen 2011):
//!   its logit is normal with mean 0 and sd 2. Without it every choice is a function of its own of the other
//!   parameters, which few noisy measurements hardly tell, so that the best choice is pulled to the others;
//! - the share of the rest that a configuration has to itself, tau^2: only where configurations were measured again,
//!   for else it cannot be told from noise. Its logit is normal with mean -2 and sd 1.5;
//! - where the noise is known, sigma^2 is given and tau^2 is 0. The priors above, given sigma^2, leave the signal's
//!   share as the only one of these to draw: the variance of one measurement follows from the two;
//! - the trend of measurements at known times (`trend.rs`): one of a few, or none.

use super::fit::{LENGTH_SD, MIN_LENGTH};
use super::kernel::{Coordinate, Kernel, distances};
use super::trend::{self, TRENDS};
use super::{Data, Factor, Hyper, covariance, dot};
use crate::rules::stream::Stream;

/// The first width of a slice, in logarithms.
const WIDTH: f64 = 1.5;
/// Most times that a slice is widened or narrowed.
const STEPS: usize = 8;
/// The most rows that a chain looks at: each of its steps costs their cube.
const ROWS: usize = 100;
/// Sweeps before the first draw.
const BURN: usize = 8;

/// A chain over hyperparameters.
struct Chain<'a> {
    coordinates: &'a [Coordinate],
    data: &'a Data,
    /// The hyperparameters that are not drawn: shapes along a resource.
    start: &'a Hyper,
    d: usize,
    /// The noise of one measurement, where it is known: of a typical row, for `n` are weights there.
    known: Option<f64>,
    has_own: bool,
    /// The covariance that rows share by each possible trend, none first.
    trends: Vec<Vec<f64>>,
    /// The trend there is.
    trend: usize,
}

/// One draw.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) hyper: Hyper,
    /// The trend in force, counted after none, in the order of `trend.rs`.
    trend: usize,
}

impl Drawn {
    /// The data as they are under the trend that was drawn.
    pub(crate) fn seen(&self, data: &Data) -> Data {
        let shared = self.trend.checked_sub(1).map_or_else(Vec::new, |index| trend::shared(index, &data.times));
        Data { shared, ..data.clone() }
    }
}

/// Draws of the hyperparameters of a process of these data, from near `start` on. Where the noise is known, all have
/// that of `start`.
pub(crate) fn draws(
    coordinates: &[Coordinate],
    data: &Data,
    start: &Hyper,
    is_known: bool,
    count: usize,
    stream: &mut Stream,
) -> Vec<Drawn> {
    let data = &data.thinned(ROWS);
    let d = distances(coordinates);
    let known = is_known.then(|| data.typical_variance(start.noise));
    // Weights do not tell how often a configuration was measured.
    let has_own = !is_known && data.has_replicates();
    let mut trends = vec![Vec::new()];
    if !data.times.is_empty() {
        trends.extend((0..TRENDS.len()).map(|index| trend::shared(index, &data.times)));
    }
    let mut chain = Chain { coordinates, data, start, d, known, has_own, trends, trend: 0 };
    let mut at = chain.logs();
    let mut density = chain.density(&at);
    let mut all = Vec::with_capacity(count);
    for sweep in 0..BURN + count {
        for index in 0..at.len() {
            if index != d || known.is_none() {
                chain.slice(index, &mut at, &mut density, stream);
            }
        }
        chain.change(&at, &mut density, stream);
        if sweep >= BURN {
            all.push(Drawn { hyper: chain.hyper(&at), trend: chain.trend });
        }
    }
    all
}

impl Chain<'_> {
    /// Logarithms of lengths and of the variance of a measurement, logits of the shares.
    fn logs(&self) -> Vec<f64> {
        let Hyper { lengths, signal, .. } = self.start;
        let noise = self.known.unwrap_or(self.start.noise);
        let mut logs: Vec<f64> = lengths.iter().map(|l| (l - MIN_LENGTH).max(1e-9).ln()).collect();
        logs.push((signal + noise).ln());
        logs.push((signal / noise).ln().clamp(-8.0, 8.0));
        logs.push(0.0);
        if self.has_own {
            logs.push(-2.0);
        }
        logs
    }

    /// The logarithm of the variance of one measurement.
    fn total(&self, logs: &[f64]) -> f64 {
        match self.known {
            Some(noise) => (noise * (1.0 + logs[self.d + 1].exp())).ln(),
            None => logs[self.d],
        }
    }

    fn hyper(&self, logs: &[f64]) -> Hyper {
        let share = |logit: f64| 1.0 / (1.0 + (-logit).exp());
        let (total, signal) = (self.total(logs).exp(), share(logs[self.d + 1]));
        let rest = total * share(-logs[self.d + 1]);
        let own = if self.has_own { share(logs[self.d + 3]) } else { 0.0 };
        Hyper {
            lengths: logs[..self.d].iter().map(|l| MIN_LENGTH + l.exp()).collect(),
            signal: total * signal,
            noise: if self.known.is_some() { self.start.noise } else { (rest * (1.0 - own)).max(1e-9) },
            own: rest * own,
            additive: share(logs[self.d + 2]),
            ..self.start.clone()
        }
    }

    /// The logarithm of the posterior's density, up to a constant; minus infinity where the covariance cannot be
    /// factored.
    fn density(&self, logs: &[f64]) -> f64 {
        let hyper = self.hyper(logs);
        let kernel = Kernel::new(self.coordinates, &hyper);
        let x = &self.data.x;
        let variances: Vec<f64> = (0..x.len()).map(|row| self.data.variance(row, hyper.noise)).collect();
        let k = covariance(&kernel, x, &variances, &self.trends[self.trend]);
        let Some(factor) = Factor::new(&k, x.len()) else { return f64::NEG_INFINITY };
        let mut value = trend::log_prior(self.trend) - 0.5 * factor.log_determinant();
        let mut residual: Vec<f64> = x.iter().zip(&self.data.y).map(|(x, y)| y - kernel.offset(x)).collect();
        factor.half_solve(&mut residual);
        let mut explained = dot(&residual, &residual);
        for group in 0..kernel.groups() {
            let mut ones: Vec<f64> = x.iter().map(|x| f64::from(u8::from(kernel.group(x) == group))).collect();
            factor.half_solve(&mut ones);
            let weight = dot(&ones, &ones);
            if weight > 0.0 {
                explained -= dot(&ones, &residual).powi(2) / weight;
                value -= 0.5 * weight.ln();
            }
        }
        value -= 0.5 * explained;
        let measured = self.data.measured();
        let spare: f64 = self.data.n[..measured].iter().map(|n| n - 1.0).sum();
        let ss: f64 = self.data.ss[..measured].iter().sum();
        value -= 0.5 * (spare * hyper.noise.ln() + ss / hyper.noise);
        for (index, log) in logs.iter().enumerate() {
            let log = if index == self.d { self.total(logs) } else { *log };
            let (mean, sd) = self.prior(index);
            value -= 0.5 * ((log - mean) / sd).powi(2);
        }
        if value.is_finite() { value } else { f64::NEG_INFINITY }
    }

    fn prior(&self, index: usize) -> (f64, f64) {
        if index < self.d {
            return (std::f64::consts::SQRT_2 + 0.5 * (self.d as f64).ln() - 1.5, LENGTH_SD);
        }
        match index - self.d {
            0 => (0.0, 1.0),
            1 => (0.0, 3.0),
            2 => (0.0, 2.0),
            _ => (-2.0, 1.5),
        }
    }

    /// Draws another trend, each with its probability given all else.
    fn change(&mut self, at: &[f64], density: &mut f64, stream: &mut Stream) {
        if self.trends.len() < 2 {
            return;
        }
        let mut densities = Vec::with_capacity(self.trends.len());
        for trend in 0..self.trends.len() {
            self.trend = trend;
            densities.push(self.density(at));
        }
        let most = densities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = densities.iter().map(|density| (density - most).exp()).sum();
        let mut left = stream.uniform() * sum;
        self.trend = 0;
        for (trend, density) in densities.iter().enumerate() {
            let share = (density - most).exp();
            if share > 0.0 {
                self.trend = trend;
            }
            left -= share;
            if left < 0.0 {
                break;
            }
        }
        *density = densities[self.trend];
    }

    /// One step along one coordinate: stepping out, then shrinking.
    fn slice(&self, index: usize, at: &mut [f64], density: &mut f64, stream: &mut Stream) {
        let from = at[index];
        let level = *density + (1.0 - stream.uniform()).ln();
        let mut move_to = |place: f64| {
            at[index] = place;
            self.density(at)
        };
        let mut low = from - WIDTH * stream.uniform();
        let mut high = low + WIDTH;
        for _ in 0..STEPS {
            if move_to(low) <= level {
                break;
            }
            low -= WIDTH;
        }
        for _ in 0..STEPS {
            if move_to(high) <= level {
                break;
            }
            high += WIDTH;
        }
        for _ in 0..4 * STEPS {
            let place = low + (high - low) * stream.uniform();
            let found = move_to(place);
            if found > level {
                *density = found;
                return;
            }
            if place < from { low = place } else { high = place }
        }
        at[index] = from;
    }
}

//! A process fitted to one output of the configurations, on the scale that predicts it best, and its data.

use std::borrow::Cow;

use super::output::{Kind, Output};
use crate::rules::distribution::normal_quantile;
use crate::rules::gp::{
    Bound, Coordinate, Data, Drawn, Hyper, Joint, Noise, Posterior, Start, draws, fit, with_bounds,
};
use crate::rules::qmc::Sobol;
use crate::rules::searcher::Prediction;
use crate::rules::stream::Stream;
use crate::words::metric::{Goal, Noise as MetricNoise};
use crate::words::trial::{loss_no_better, mean};

/// With up to this many configurations the hyperparameters are fitted again for each new one; with more, each time the
/// number has grown by a fifteenth.
const EVERY: usize = 60;
/// The most configurations that are modelled of those before the last fit, and that hyperparameters are fitted to.
const MOST: usize = 500;
const MOST_FITTED: usize = 150;
/// A noise this much (its square root, in standard deviations) above or below the outputs' spread is as good as all or
/// none.
const LEAST_WEIGHT: f64 = 1e-8;
/// Charge for each parameter of a scale in leave-one-out density, in nats.
const CHARGE: f64 = 3.0;
/// Weight of the guessed share of the configurations' own deviations, as a number of replicates, and the least share of
/// deviations that stays noise.
const GUESSED: f64 = 6.0;
const LEAST_NOISE: f64 = 0.05;
/// Draws of the hyperparameters for a judgement, fewer of many configurations, each of which costs their cube; and
/// quantiles of each that it is made of.
const DRAWS: usize = 32;
const FEW_DRAWS: (usize, usize) = (150, 8);
const QUANTILES: usize = 81;
/// Samples of each drawn process, and the configurations that a sample is of beside the best one: those that may be
/// lowest, so many standard deviations below their means. A gain is not above that of this share of all samples.
const SAMPLES: usize = 32;
const LIKELY: usize = 64;
const LOWEST_AT: f64 = 2.0;
const SURE: f64 = 0.95;
/// The shares of a judgement's predictions that lie beyond the interval, where measurements are better and where they
/// are worse. Predictions are pulled to those of other configurations, which makes the mean of the best one too bad by
/// half a standard deviation where it is clearly the best: with a fortieth at both ends 86 to 93 % of the intervals
/// held on five choices with noise of 15 %, and nearly all that did not were too bad.
const BETTER: f64 = 0.01;
const WORSE: f64 = 0.025;
/// The share of a study in which a trend changes nothing that counts, and the most rows that are made of measurements.
const AT_ONCE: f64 = 0.02;
const MOST_TIMED: usize = 300;

/// One output of the configurations.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Column {
    /// Configurations: rows in [0, 1]^d, in the order of their trials.
    pub(super) x: Vec<Vec<f64>>,
    /// The measurements of each; empty only where there are bounds.
    pub(super) samples: Vec<Vec<f64>>,
    /// The bounds of the measurements that were cut off there.
    pub(super) bounds: Vec<Vec<f64>>,
    /// When each sample was taken, as `History::times` has it; empty where that does not count.
    pub(super) times: Vec<Vec<f64>>,
    /// The direction that is better.
    pub(super) goal: Goal,
    /// The scales to try.
    pub(super) scales: Scales,
    /// The noise of measurements.
    pub(super) noise: MetricNoise,
}

/// The scales on which an output may be modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scales {
    /// All that its values allow.
    Any,
    /// Its logarithm while its values allow it.
    Time,
    /// All but the logarithm: where 0 lies must have an answer, however far all values are from it.
    Signed,
    /// Itself: a value has a meaning that bending would lose.
    Plain,
}

impl Column {
    /// Without the configurations that have no measurement and no bound.
    pub(super) fn known(self) -> Self {
        let known = |i: &usize| !(self.samples[*i].is_empty() && self.bounds[*i].is_empty());
        let rows: Vec<usize> = (0..self.len()).filter(known).collect();
        self.rows(&rows)
    }

    /// Whether a measurement was cut off.
    fn is_bounded(&self) -> bool {
        self.bounds.iter().any(|bounds| !bounds.is_empty())
    }

    /// The mean of a row's measurements, each bound counted at least at its value.
    fn counted(&self, row: usize) -> Option<f64> {
        loss_no_better(self.goal, &self.samples[row], &self.bounds[row]).map(|loss| self.goal.loss(loss))
    }

    /// The means of the rows that were measured.
    fn means(&self) -> Vec<f64> {
        self.samples.iter().filter_map(|s| mean(s)).collect()
    }

    fn len(&self) -> usize {
        self.x.len()
    }

    fn rows(&self, rows: &[usize]) -> Self {
        let (x, samples) = rows.iter().map(|i| (self.x[*i].clone(), self.samples[*i].clone())).unzip();
        let bounds = rows.iter().map(|i| self.bounds[*i].clone()).collect();
        let times = rows.iter().filter_map(|i| self.times.get(*i).cloned()).collect();
        Self { x, samples, bounds, times, ..*self }
    }

    fn kinds(&self, means: &[f64]) -> Vec<Kind> {
        let positive = self.samples.iter().chain(&self.bounds).flatten().all(|v| *v > 0.0);
        match self.scales {
            Scales::Plain => vec![Kind::Identity],
            Scales::Signed => Kind::allowed(means, false, false),
            scales => Kind::allowed(means, positive, scales == Scales::Time),
        }
    }

    /// The measurements as rows of one time each, and those times: from -1, the first of all, to 0, the next one.
    /// Measurements of one configuration share a row only where hardly any time passed in between; otherwise a trend
    /// among its replicates would be noise. `None` where times are not known, or do not count.
    fn timed(&self) -> Option<(Self, Vec<Vec<f64>>)> {
        let next = self.times.iter().flatten().copied().fold(0.0, f64::max) + 1.0;
        if next <= 1.0 || self.times.iter().zip(&self.samples).any(|(times, samples)| times.len() != samples.len()) {
            return None;
        }
        // Wider spans until the rows are few enough; a span of all makes a row of each configuration.
        let mut span = AT_ONCE;
        loop {
            let runs: Vec<(usize, Vec<usize>)> = (0..self.len())
                .flat_map(|row| runs(&self.times[row], span * next).into_iter().map(move |run| (row, run)))
                .collect();
            if runs.len() > MOST_TIMED && span < 1.0 {
                span *= 2.0;
                continue;
            }
            let of = |values: &[Vec<f64>], run: &(usize, Vec<usize>)| run.1.iter().map(|i| values[run.0][*i]).collect();
            let x = runs.iter().map(|(row, _)| self.x[*row].clone()).collect();
            let samples = runs.iter().map(|run| of(&self.samples, run)).collect();
            let times: Vec<Vec<f64>> = runs.iter().map(|run| of(&self.times, run)).collect();
            let shares = times.iter().map(|times| times.iter().map(|time| time / next - 1.0).collect()).collect();
            let bounds = vec![Vec::new(); runs.len()];
            return Some((Self { x, samples, bounds, times, ..*self }, shares));
        }
    }

    /// Weight of one measurement as a measurement of the mean, near `value`: a known noise is transformed as outputs
    /// are, and given as the weight of their mean.
    fn weight(&self, output: &Output, value: f64) -> f64 {
        let weight = match self.noise {
            MetricNoise::Known(sd) => (sd.ln() + output.log_slope(value)).exp().powi(2).recip(),
            _ => 1.0,
        };
        weight.clamp(LEAST_WEIGHT, LEAST_WEIGHT.recip())
    }

    /// The measurements that were cut off; `None` if an output is not finite.
    fn bounds(&self, output: &Output) -> Option<Vec<Bound>> {
        let rows = self.x.iter().zip(&self.bounds).flat_map(|(x, bounds)| bounds.iter().map(move |bound| (x, *bound)));
        let bound = |(x, bound): (&Vec<f64>, f64)| {
            let at = Some(output.output(bound)).filter(|at| at.is_finite())?;
            Some(Bound { x: x.clone(), output: at, n: self.weight(output, bound) })
        };
        rows.map(bound).collect()
    }

    /// The process's data, from the measurements; `None` if an output is not finite.
    fn data(&self, output: &Output) -> Option<Data> {
        let mut data = Data::default();
        for (x, samples) in self.x.iter().zip(&self.samples).filter(|(_, samples)| !samples.is_empty()) {
            let outputs: Vec<f64> = samples.iter().map(|v| output.output(*v)).collect();
            let y = mean(&outputs)?;
            let ss = outputs.iter().map(|v| (v - y).powi(2)).sum::<f64>();
            if !(y.is_finite() && ss.is_finite()) {
                return None;
            }
            let weight = self.weight(output, mean(samples)?);
            data.push(x.clone(), y, outputs.len() as f64 * weight, ss);
        }
        Some(data)
    }
}

/// The places of `times`, in their order, divided into runs that last at most `span`.
fn runs(times: &[f64], span: f64) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..times.len()).collect();
    order.sort_by(|a, b| times[*a].total_cmp(&times[*b]));
    let mut runs: Vec<Vec<usize>> = Vec::new();
    for place in order {
        match runs.last_mut().filter(|run| times[place] - times[run[0]] <= span) {
            Some(run) => run.push(place),
            None => runs.push(vec![place]),
        }
    }
    runs
}

/// Number of configurations, of `n`, that determine the scale and the hyperparameters: all of a few; of many a number
/// that grows in steps, so that the fit need not be repeated for every suggestion.
fn fitted_size(n: usize) -> usize {
    let mut size = EVERY;
    if n < size {
        return n;
    }
    while size + size / 15 <= n {
        size += size / 15;
    }
    size
}

/// The rows among the first `base` that are modelled: all, or of too many the best quarter and, of the rest, as many as
/// there is room for, evenly from the first to the last.
fn selection(column: &Column, base: usize, most: usize) -> Vec<usize> {
    if base <= most {
        return (0..base).collect();
    }
    let loss = |i: &usize| column.goal.loss(column.counted(*i).unwrap_or(f64::NAN));
    let mut order: Vec<usize> = (0..base).collect();
    order.sort_by(|a, b| loss(a).total_cmp(&loss(b)).then(a.cmp(b)));
    let mut rest = order.split_off(most / 4);
    rest.sort_unstable();
    let room = most - order.len();
    order.extend((0..room).map(|i| rest[i * rest.len() / room]));
    order.sort_unstable();
    order
}

/// The scale and the hyperparameters, and the data that they were found from.
#[derive(Debug, Clone)]
struct Fitted {
    from: Column,
    rows: Vec<usize>,
    output: Output,
    hyper: Hyper,
}

impl Fitted {
    fn of(from: Column, coordinates: &[Coordinate], sobol: &Sobol) -> Option<Self> {
        let rows = selection(&from, from.len(), MOST);
        let few = from.rows(&selection(&from, from.len(), MOST_FITTED));
        let means = few.means();
        // A measurement that was cut off has a place on every scale, at least that of its bound.
        let counted: Vec<f64> = (0..few.len()).filter_map(|i| few.counted(i)).collect();
        let noise = match from.noise {
            MetricNoise::Learned => Noise::Learned,
            MetricNoise::Deterministic => Noise::None,
            MetricNoise::Known(_) => Noise::Given,
        };
        let kinds = few.kinds(&means);
        // A short fit on each scale selects the scale; a long fit on that scale gives the hyperparameters.
        let short = Start { from: None, starts: 1, evaluations: 40 };
        let mut best: Option<(f64, Output, Data, Hyper)> = None;
        for kind in &kinds {
            let Some(output) = Output::new(*kind, from.goal, &counted) else { continue };
            let (Some(data), Some(bounds)) = (few.data(&output), few.bounds(&output)) else { continue };
            // Bounds have no factors before there are hyperparameters: these come from bounds taken for values.
            let hyper = fit(coordinates, &at_bounds(&data, &bounds), noise, short, sobol);
            let Some(data) = with_bounds(coordinates, &hyper, &data, &bounds) else { continue };
            let Some(posterior) = Posterior::new(coordinates, &hyper, &data, data.len(), None) else { continue };
            let density = posterior.leave_one_out() + output.log_slopes(&means) - CHARGE * output.parameters() as f64;
            if density.is_finite() && best.as_ref().is_none_or(|(other, ..)| density > *other) {
                best = Some((density, output, data, hyper));
            }
        }
        let (_, output, mut data, hyper) = best?;
        let starts = if data.len() < 100 { 3 } else { 2 };
        let long = Start { from: Some(&hyper), starts, evaluations: 80 };
        let mut hyper = fit(coordinates, &data, noise, long, sobol);
        if few.is_bounded() {
            // Factors and hyperparameters depend on each other: another round of both.
            data = with_bounds(coordinates, &hyper, &few.data(&output)?, &few.bounds(&output)?)?;
            hyper = fit(coordinates, &data, noise, Start { from: Some(&hyper), starts: 1, ..long }, sobol);
        }
        Some(Self { from, rows, output, hyper })
    }

    /// The rows of a column that are modelled: those selected among the first, and all that came since.
    fn modelled(&self, column: &Column) -> Column {
        column.rows(&self.rows.iter().copied().chain(self.from.len()..column.len()).collect::<Vec<_>>())
    }
}

/// A fitted process, and its data.
#[derive(Debug, Clone)]
pub(super) struct Surrogate {
    column: Column,
    failed: Vec<Vec<f64>>,
    fitted: Fitted,
    pub(super) output: Output,
    /// The measurements.
    pub(super) data: Data,
    /// The data on which the posterior is conditioned: the complete measurements, and those that were cut off.
    told: Data,
    pub(super) posterior: Posterior,
    /// The same before failures were imputed, if there are any; the next fit continues from it.
    unbelieving: Option<Posterior>,
}

impl Surrogate {
    /// A process for a column, with as much of `last` as was made from the same. Configurations in `failed` count as if
    /// they had come out as predicted: little is then to be learned near them, and the outputs do not say how bad they
    /// are. `None` if no process fits.
    pub(super) fn of(
        column: Column,
        failed: &[Vec<f64>],
        coordinates: &[Coordinate],
        sobol: &Sobol,
        last: Option<Self>,
    ) -> Option<Self> {
        let last = match last {
            Some(last) if last.column == column && last.failed == failed => return Some(last),
            other => other,
        };
        let size = fitted_size(column.len());
        let first = column.rows(&(0..size).collect::<Vec<_>>());
        let (fitted, last) = match last {
            Some(Self { fitted, posterior, unbelieving, .. }) if fitted.from == first => {
                (fitted, Some(unbelieving.unwrap_or(posterior)))
            }
            _ => (Fitted::of(first, coordinates, sobol)?, None),
        };
        let output = fitted.output.clone();
        let modelled = fitted.modelled(&column);
        let (data, bounds) = (modelled.data(&output)?, modelled.bounds(&output)?);
        let told = with_bounds(coordinates, &fitted.hyper, &data, &bounds)?;
        // With each new result the imputed value of a bound changes.
        let base = if bounds.is_empty() { fitted.rows.len() } else { told.len() };
        let posterior = Posterior::new(coordinates, &fitted.hyper, &told, base, last.as_ref())?;
        let (posterior, unbelieving) = match posterior.believing(failed)? {
            Cow::Borrowed(_) => (posterior, None),
            Cow::Owned(believing) => (believing, Some(posterior)),
        };
        Some(Self { column, failed: failed.to_vec(), fitted, output, data, told, posterior, unbelieving })
    }

    /// The configurations that are modelled: those measured, then those known by bounds only, in the order of the
    /// column.
    pub(super) fn sites(&self) -> Vec<Vec<f64>> {
        let bounded = self.column.x.iter().zip(&self.column.bounds).filter(|(_, bounds)| !bounds.is_empty());
        self.data.x.iter().chain(bounded.map(|(x, _)| x)).cloned().collect()
    }

    /// The same process where a share of the deviations is no noise but belongs to the configurations themselves:
    /// `guess`, with the weight of [`GUESSED`] replicates against the measured ones. `None` if the covariance cannot be
    /// factored.
    pub(super) fn with_own(&self, guess: f64, coordinates: &[Coordinate]) -> Option<Posterior> {
        let hyper = &self.fitted.hyper;
        let noise = left_as_noise(hyper.noise, guess, self.data.replicates());
        let hyper = Hyper { own: hyper.noise - noise, noise, ..hyper.clone() };
        Posterior::new(coordinates, &hyper, &self.told, self.told.len(), None)
    }

    /// Whether repeated measurements of a configuration were equal to the last bit: then there is no noise.
    pub(super) fn repeats(&self) -> bool {
        self.column.samples.iter().any(|samples| samples.len() > 1 && samples.iter().all(|v| *v == samples[0]))
    }

    /// The expected measurement at each of `points`, by many draws of the process: the mean over the draws, and an
    /// interval that holds the truth in 95 of 100 studies of many functions. Failed configurations are left out. `None`
    /// if a prediction is not finite.
    pub(super) fn judged(&self, points: &[Vec<f64>], drawn: &[Posterior]) -> Option<Vec<Prediction>> {
        let count = drawn.len();
        let mut values: Vec<Vec<f64>> = vec![Vec::with_capacity(count * QUANTILES); points.len()];
        let mut means = vec![0.0; points.len()];
        for posterior in drawn {
            let noise = self.spread(posterior);
            for (point, (mean, sd)) in posterior.predict_without_mean(points).into_iter().enumerate() {
                for quantile in 0..QUANTILES {
                    let z = normal_quantile((quantile as f64 + 0.5) / QUANTILES as f64);
                    let value = self.measurement(mean + sd * z, noise);
                    means[point] += value / (count * QUANTILES) as f64;
                    values[point].push(value);
                }
            }
        }
        let judged = means.into_iter().zip(&mut values).map(|(mean, values)| {
            values.sort_by(f64::total_cmp);
            let at = |share: f64| values[((values.len() as f64 * share) as usize).min(values.len() - 1)];
            let (lower, upper) = match self.column.goal {
                Goal::Min => (at(BETTER), at(1.0 - WORSE)),
                Goal::Max => (at(WORSE), at(1.0 - BETTER)),
            };
            let all_finite = mean.is_finite() && lower.is_finite() && upper.is_finite();
            // On a logarithmic scale one draw with a large noise may carry the mean beyond the quantile.
            all_finite.then_some(Prediction { mean, lower: lower.min(mean), upper: upper.max(mean) })
        });
        judged.collect()
    }

    /// The gain of the best of `others` over `best` by these draws of the process, and the standard deviation of a
    /// measurement of `best`. `None` if a covariance cannot be factored, or a number is not finite.
    pub(super) fn gain(
        &self,
        best: &[f64],
        others: &[Vec<f64>],
        drawn: &[Posterior],
        stream: &mut Stream,
    ) -> Option<(f64, f64)> {
        let (mut gains, mut squares) = (Vec::new(), Vec::new());
        for posterior in drawn {
            // A search cannot find the part that a configuration has to itself.
            let posterior = &posterior.smooth();
            let predicted = posterior.predict_many(others);
            let lowest = |i: &usize| predicted[*i].0 - LOWEST_AT * predicted[*i].1;
            let mut order: Vec<usize> = (0..others.len()).collect();
            order.sort_by(|a, b| lowest(a).total_cmp(&lowest(b)).then(a.cmp(b)));
            let likely = order.iter().take(LIKELY).map(|i| others[*i].clone());
            let points: Vec<Vec<f64>> = std::iter::once(best.to_vec()).chain(likely).collect();
            let normals = (0..SAMPLES).map(|_| (0..points.len()).map(|_| stream.normal()).collect()).collect();
            let noise = self.spread(posterior);
            for sample in Joint::new(posterior, &points, normals)?.samples {
                let loss = |output: f64| self.column.goal.loss(self.measurement(output, noise));
                let least = sample.iter().copied().fold(f64::INFINITY, f64::min);
                gains.push(loss(sample[0]) - loss(least));
            }
            let output = posterior.predict(best).0;
            squares.push(match self.column.noise {
                MetricNoise::Known(sd) => sd * sd,
                _ => {
                    let at = |z: f64| self.output.measurement(output + z * noise);
                    ((at(1.0) - at(-1.0)) / 2.0).powi(2)
                }
            });
        }
        gains.sort_by(f64::total_cmp);
        let (gain, noise) = (gains.get((gains.len() as f64 * SURE) as usize)?.max(0.0), mean(&squares)?.sqrt());
        (gain.is_finite() && noise.is_finite()).then_some((gain, noise))
    }

    /// The process with each of a number of draws of the hyperparameters. `None` if a covariance cannot be factored.
    pub(super) fn drawn(&self, coordinates: &[Coordinate], stream: &mut Stream) -> Option<Vec<Posterior>> {
        let bounds = self.column.bounds(&self.output)?;
        let told = |data: &Data| with_bounds(coordinates, &self.fitted.hyper, data, &bounds);
        let data = match self.fitted.modelled(&self.column).timed() {
            Some((column, mut times)) => {
                let data = told(&column.data(&self.output)?)?;
                // A bound is of no time.
                times.resize(data.len(), Vec::new());
                data.timed(times)
            }
            None => told(&self.data)?,
        };
        let count = if data.len() > FEW_DRAWS.0 { FEW_DRAWS.1 } else { DRAWS };
        let is_known = matches!(self.column.noise, MetricNoise::Known(_));
        let drawn = draws(coordinates, &data, &self.fitted.hyper, is_known, count, stream);
        let posterior = |drawn: &Drawn| Posterior::new(coordinates, &drawn.hyper, &drawn.seen(&data), data.len(), None);
        drawn.iter().map(posterior).collect()
    }

    /// By how much the outputs of further measurements vary about a process. A noise that is known is that of
    /// measurements already, and moves their mean by nothing.
    fn spread(&self, posterior: &Posterior) -> f64 {
        if let MetricNoise::Known(_) = self.column.noise { 0.0 } else { posterior.noise().sqrt() }
    }

    /// The mean of measurements whose outputs vary by `noise` about `output`.
    fn measurement(&self, output: f64, noise: f64) -> f64 {
        NODES.iter().map(|(z, weight)| weight * self.output.measurement(output + noise * z)).sum()
    }

    /// The expected measurement at `x` by this posterior: the mean over the noise of the value that an output stands
    /// for, at the latent function's mean and at both ends of its 95 % interval.
    pub(super) fn prediction(&self, posterior: &Posterior, x: &[f64]) -> Option<Prediction> {
        let (mean, sd) = posterior.predict(x);
        let noise = self.spread(posterior);
        let at = |output: f64| self.measurement(output, noise);
        let (mean, a, b) = (at(mean), at(mean - 1.96 * sd), at(mean + 1.96 * sd));
        let all_finite = mean.is_finite() && a.is_finite() && b.is_finite();
        all_finite.then_some(Prediction { mean, lower: a.min(b), upper: a.max(b) })
    }
}

/// The noise that is left when a share of the fitted deviations is attributed to configurations: `guess` is that share,
/// and `replicates` and `squares` are the number of replicates and the sum of their squared deviations.
fn left_as_noise(fitted: f64, guess: f64, (replicates, squares): (f64, f64)) -> f64 {
    let variance = (GUESSED * (1.0 - guess) * fitted + squares) / (GUESSED + replicates);
    variance.clamp(LEAST_NOISE * fitted, fitted)
}

/// Data with bounds as if they were values.
fn at_bounds(data: &Data, bounds: &[Bound]) -> Data {
    let mut all = data.clone();
    bounds.iter().for_each(|bound| all.push(bound.x.clone(), bound.output, bound.n, 0.0));
    all
}

/// Nodes and weights of the Gauss-Hermite rule of order 5 for a standard normal number (Abramowitz and Stegun 1964,
/// table 25.10, in units of the standard deviation).
const NODES: [(f64, f64); 5] = [
    (-2.856_970_013_872_806, 0.011_257_411_327_720_69),
    (-1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (0.0, 0.533_333_333_333_333_3),
    (1.355_626_179_974_266, 0.222_075_922_005_612_6),
    (2.856_970_013_872_806, 0.011_257_411_327_720_69),
];

/// The indices of predictions, best mean first.
pub(super) fn order(predicted: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..predicted.len()).collect();
    order.sort_by(|a, b| predicted[*a].0.total_cmp(&predicted[*b].0).then(a.cmp(b)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::stream::Stream;

    #[test]
    fn what_failed_is_believed_to_be_as_predicted_and_known_as_well_as_what_was_measured() {
        // Outputs spread by about 0.3; measurements are good to a hundredth of that, or hardly good at all.
        for sd in [0.003, 0.3] {
            let x: Vec<Vec<f64>> = (0..9).map(|i| vec![f64::from(i) / 10.0]).collect();
            let column = Column {
                samples: x.iter().map(|x| vec![x[0]]).collect(),
                times: Vec::new(),
                bounds: vec![Vec::new(); x.len()],
                x,
                goal: Goal::Min,
                scales: Scales::Plain,
                noise: MetricNoise::Known(sd),
            };
            let sobol = Sobol::new(&mut Stream::of_study(4, "test"));
            let alone = Surrogate::of(column.clone(), &[], &[Coordinate::Numeric], &sobol, None).unwrap();
            let surrogate = Surrogate::of(column, &[vec![0.9]], &[Coordinate::Numeric], &sobol, None).unwrap();
            let (mean, failed) = surrogate.posterior.predict(&[0.9]);
            let (_, measured) = surrogate.posterior.predict(&[0.0]);
            // Each lies at an end of the row, so both are known as well.
            assert!((failed / measured - 1.0).abs() < 0.05, "{sd}: {failed} and {measured}");
            // It says nothing of how good or bad it is there.
            let plain = alone.posterior.predict(&[0.9]).0;
            assert!((mean - plain).abs() < 1e-6, "{sd}: {mean} is not {plain}");
        }
    }

    #[test]
    fn replicates_that_lie_apart_in_time_are_rows_of_their_own() {
        let column = Column {
            x: vec![vec![0.1], vec![0.9]],
            samples: vec![vec![1.0, 2.0, 5.0], vec![3.0]],
            bounds: vec![Vec::new(); 2],
            times: vec![vec![0.0, 1.0, 127.0], vec![64.0]],
            goal: Goal::Min,
            scales: Scales::Plain,
            noise: MetricNoise::Learned,
        };
        let (rows, times) = column.timed().unwrap();
        assert_eq!(rows.samples, [vec![1.0, 2.0], vec![5.0], vec![3.0]]);
        assert_eq!(rows.x, [[0.1], [0.1], [0.9]]);
        // The next measurement is the 129th.
        assert_eq!(times, [vec![-1.0, -127.0 / 128.0], vec![-1.0 / 128.0], vec![-0.5]]);
        assert!(Column { times: Vec::new(), ..column }.timed().is_none());
    }

    #[test]
    fn replicates_tell_what_configurations_have_to_themselves() {
        assert!((left_as_noise(2.0, 0.3, (0.0, 0.0)) - 1.4).abs() < 1e-12);
        // Each comes out as before, or deviates by all that a fit put down to noise, or by more.
        assert!(left_as_noise(2.0, 0.3, (20.0, 0.2)) < 0.4);
        assert!(left_as_noise(2.0, 0.3, (20.0, 40.0)) > 1.8);
        assert!((left_as_noise(2.0, 0.3, (20.0, 80.0)) - 2.0).abs() < 1e-12);
        assert!((left_as_noise(2.0, 1.0, (1e6, 0.0)) - 0.1).abs() < 1e-12);
    }
}

//! From a history to a fitted process: the scale of the outputs, what failed, and which trials when there are too many.

use super::FEWEST;
use crate::rules::gp::{Coordinate, Data, Hyper, Posterior, fit};
use crate::rules::history::{History, Observed};
use crate::rules::qmc::Sobol;
use crate::rules::searcher::Prediction;
use crate::words::domain::Domain;
use crate::words::metric::{Goal, MetricKind};
use crate::words::space::Space;
use crate::words::trial::mean;

/// The most configurations that are modelled: on two cores a fit of so many still takes seconds, not minutes.
const MOST: usize = 400;
/// The most failed configurations in it.
const MOST_FAILED: usize = 100;

/// The scale on which measurements are modelled.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    /// As they are.
    Identity,
    /// Their logarithm: for positive numbers whose noise and whose differences grow with them.
    Log,
}

/// How outputs relate to measurements: output = (loss(g(v)) - centre) / spread with g the scale.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Standard {
    scale: Scale,
    goal: Goal,
    centre: f64,
    spread: f64,
}

impl Standard {
    fn of(scale: Scale, goal: Goal, observed: &[Observed<'_>]) -> Self {
        let plain = Self { scale, goal, centre: 0.0, spread: 1.0 };
        let means: Vec<f64> = observed.iter().filter_map(|o| mean(&plain.outputs(o))).collect();
        let centre = mean(&means).unwrap_or(0.0);
        // In units of the largest deviation nothing overflows.
        let largest = means.iter().fold(0.0_f64, |m, v| m.max((v - centre).abs()));
        if !(largest > 0.0 && largest.is_finite()) {
            return Self { centre, ..plain };
        }
        let square = means.iter().map(|v| ((v - centre) / largest).powi(2)).sum::<f64>() / means.len() as f64;
        // The root is subnormal or the range of the means overflows only where all are equal to every practical purpose.
        let spread = square.sqrt() * largest;
        Self { centre, spread: if spread > f64::MIN_POSITIVE { spread } else { 1.0 }, ..plain }
    }

    fn outputs(&self, observed: &Observed<'_>) -> Vec<f64> {
        observed.samples.iter().map(|v| self.output(*v)).collect()
    }

    fn output(&self, value: f64) -> f64 {
        let scaled = match self.scale {
            Scale::Identity => value,
            Scale::Log => value.ln(),
        };
        (self.goal.loss(scaled) / self.spread) - self.centre / self.spread
    }

    /// The measurement an output stands for.
    fn measurement(&self, output: f64) -> f64 {
        let scaled = self.goal.loss(output * self.spread + self.centre);
        match self.scale {
            Scale::Identity => scaled,
            Scale::Log => scaled.exp(),
        }
    }

    /// ln |d output / d measurement|, summed over the means of the observed: makes densities on two scales comparable.
    fn log_jacobian(&self, observed: &[Observed<'_>]) -> f64 {
        let slope = |o: &Observed<'_>| match self.scale {
            Scale::Identity => 0.0,
            Scale::Log => -mean(&o.samples).map_or(0.0, f64::ln),
        };
        observed.iter().map(slope).sum::<f64>() - observed.len() as f64 * self.spread.ln()
    }
}

/// Configurations with their measurements: what a cache was made from.
type Source = Vec<(String, Vec<f64>)>;

fn source(observed: &[Observed<'_>]) -> Source {
    observed.iter().map(|o| (o.config.key(), o.samples.clone())).collect()
}

/// The scale and the hyperparameters, which change little with one more trial: they come from the first so many
/// configurations, a number that grows in steps, and so need not be found again for every suggestion.
#[derive(Debug, Clone)]
struct Fitted {
    made_from: (Source, &'static [Scale]),
    scale: Scale,
    hyper: Hyper,
}

impl Fitted {
    /// How many of `n` configurations it is made from: all of few, of many all but less than a fifteenth.
    fn size(n: usize) -> usize {
        let step = (n / 15).max(1);
        if n < 60 { n } else { n / step * step }
    }

    fn of(observed: &[Observed<'_>], scales: &'static [Scale], history: &History<'_>) -> Option<Self> {
        let coordinates = coordinates(history.space());
        let sobol = Sobol::new(&mut history.stream("gp fit"));
        let mut best: Option<(f64, Scale, Hyper)> = None;
        for scale in scales {
            let standard = Standard::of(*scale, history.goal(), observed);
            let Some(data) = outputs(&standard, observed, history.space()) else { continue };
            let hyper = fit(&coordinates, &data, if data.len() < 100 { 3 } else { 2 }, &sobol);
            let density = match Posterior::new(&coordinates, &hyper, &data) {
                Some(posterior) if scales.len() > 1 => posterior.leave_one_out() + standard.log_jacobian(observed),
                Some(_) => 0.0,
                None => continue,
            };
            if best.as_ref().is_none_or(|(other, ..)| density > *other) {
                best = Some((density, *scale, hyper));
            }
        }
        best.map(|(_, scale, hyper)| Self { made_from: (source(observed), scales), scale, hyper })
    }
}

/// A fitted process, and what it was fitted to.
#[derive(Debug, Clone)]
pub(super) struct Model {
    made_from: (Source, Vec<String>),
    fitted: Fitted,
    standard: Standard,
    pub(super) data: Data,
    pub(super) coordinates: Vec<Coordinate>,
    pub(super) posterior: Posterior,
}

impl Model {
    /// The model of a history, with as much of `last` as was made from the same. `None` with too few configurations, or if
    /// no process fits.
    pub(super) fn of(history: &History<'_>, last: Option<Self>) -> Option<Self> {
        let observed = selection(history);
        if observed.len() < FEWEST {
            return None;
        }
        // As many as say where not to go; each costs as much as a measured one.
        let failed = history.failed();
        let every = failed.len().div_ceil(MOST_FAILED).max(1);
        let failed: Vec<_> = failed.into_iter().step_by(every).collect();
        let made_from = (source(&observed), failed.iter().map(|c| c.key()).collect());
        let last = match last {
            Some(last) if last.made_from == made_from => return Some(last),
            other => other,
        };
        let positive = observed.iter().all(|o| o.samples.iter().all(|v| *v > 0.0));
        let scales: &[Scale] = match (positive, history.metric().kind) {
            (false, _) => &[Scale::Identity],
            (true, MetricKind::Time) => &[Scale::Log],
            (true, _) => &[Scale::Identity, Scale::Log],
        };
        let first = &observed[..Fitted::size(observed.len())];
        let fitted = match last.map(|last| last.fitted) {
            Some(fitted) if fitted.made_from == (source(first), scales) => fitted,
            _ => Fitted::of(first, scales, history)?,
        };
        let standard = Standard::of(fitted.scale, history.goal(), &observed);
        let mut data = outputs(&standard, &observed, history.space())?;
        // What failed is as bad as the worst: the searcher shall not go there, but the fit does not see it.
        let worst = data.y.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        for x in failed.iter().filter_map(|c| history.space().encode(c).ok()) {
            data.push(x, worst, 1.0, 0.0);
        }
        let coordinates = coordinates(history.space());
        let posterior = Posterior::new(&coordinates, &fitted.hyper, &data)?;
        Some(Self { made_from, fitted, standard, data, coordinates, posterior })
    }

    /// What a measurement at `x` is expected to be. On the logarithmic scale the interval is the one of the posterior
    /// median's exponential, raised by half the noise: the mean of a log-normal distribution.
    pub(super) fn prediction(&self, x: &[f64]) -> Option<Prediction> {
        let (mean, sd) = self.posterior.predict(x);
        let raise = match self.standard.scale {
            Scale::Identity => 1.0,
            Scale::Log => (0.5 * self.posterior.noise() * self.standard.spread * self.standard.spread).exp(),
        };
        let at = |output: f64| self.standard.measurement(output) * raise;
        let (mean, a, b) = (at(mean), at(mean - 1.96 * sd), at(mean + 1.96 * sd));
        let all_finite = mean.is_finite() && a.is_finite() && b.is_finite();
        all_finite.then_some(Prediction { mean, lower: a.min(b), upper: a.max(b) })
    }
}

/// How each parameter's distance is measured.
fn coordinates(space: &Space) -> Vec<Coordinate> {
    let kind = |domain: &Domain| match domain {
        Domain::Categorical(_) | Domain::Bool => Coordinate::Categorical,
        _ => Coordinate::Numeric,
    };
    space.iter().map(|(_, domain)| kind(domain)).collect()
}

/// The observed configurations that are modelled: all, or of too many the best quarter of that number and, of the rest, as
/// many as there is room for, evenly from the first to the last.
fn selection<'a>(history: &History<'a>) -> Vec<Observed<'a>> {
    let observed = history.observed();
    if observed.len() <= MOST {
        return observed;
    }
    let loss = |o: &Observed<'_>| history.goal().loss(mean(&o.samples).unwrap_or(f64::NAN));
    let mut order: Vec<usize> = (0..observed.len()).collect();
    order.sort_by(|a, b| loss(&observed[*a]).total_cmp(&loss(&observed[*b])).then(a.cmp(b)));
    let mut keep: Vec<usize> = order[..MOST / 4].to_vec();
    let mut rest: Vec<usize> = order[MOST / 4..].to_vec();
    rest.sort_unstable();
    let room = MOST - keep.len();
    keep.extend((0..room).map(|i| rest[i * rest.len() / room]));
    keep.sort_unstable();
    keep.into_iter().map(|i| observed[i].clone()).collect()
}

/// The data of a process; `None` if an output is not finite.
fn outputs(standard: &Standard, observed: &[Observed<'_>], space: &Space) -> Option<Data> {
    let mut data = Data::default();
    for o in observed {
        let outputs = standard.outputs(o);
        let y = mean(&outputs)?;
        let ss = outputs.iter().map(|v| (v - y).powi(2)).sum::<f64>();
        if !(y.is_finite() && ss.is_finite()) {
            return None;
        }
        data.push(space.encode(o.config).ok()?, y, outputs.len() as f64, ss);
    }
    Some(data)
}

//! The worth of one more trial at a point, by a model and with trials pending: the logarithm of
//! - the expected improvement on the best known or pending configuration (one objective: `Improvement`), or the volume
//!   that it is expected to add to the region that the Pareto front dominates (several: `volume`),
//! - times the probability that it meets each constraint (Gardner et al. 2014) and a power of that of not failing,
//! - divided by its expected cost, where cost counts (Snoek, Larochelle and Adams 2012, sec. 3.2).

use std::borrow::Cow;

use super::model::{Model, Pending};
use super::surrogate::{Surrogate, order};
use super::volume::Volume;
use crate::rules::acquisition::{log_noisy_expected_improvement, log_probability_below};
use crate::rules::distribution::normal_quantile;
use crate::rules::gp::{Joint, Posterior};
use crate::rules::qmc::Sobol;
use crate::rules::stream::Stream;

/// Joint samples of the latent function.
const SAMPLES: u64 = 64;
/// Samples while many candidates are compared: the first of them.
const COARSE: usize = 16;
/// The number of observed configurations that are sampled together with the pending ones. More observed ones cost time,
/// and spread the trials more evenly over the probable best: with 16 the recommended configurations were worse.
const OBSERVED: usize = 5;
const PENDING: usize = 64;
/// An observed configuration that is this many standard deviations worse than the best is never the incumbent.
const BEHIND: f64 = 3.0;
/// An observed configuration that meets the constraints with less than this probability is not an incumbent.
pub(super) const FEASIBLE: f64 = 0.5;

/// The worth of a trial.
pub(super) struct Acquisition<'a> {
    gain: Gain<'a>,
    /// The constrained output, its limit, and the power of the probability that it keeps the limit.
    constraints: Vec<(Cow<'a, Posterior>, f64, f64)>,
    cost: Option<&'a Surrogate>,
}

/// The gain of a trial that meets the constraints.
enum Gain<'a> {
    Improvement(Box<Improvement<'a>>),
    Volume(Volume<'a>),
    /// Nothing is known to meet the constraints: first that.
    Feasibility,
    /// Nothing more is to be learned: the best posterior mean.
    Mean(&'a Model),
}

/// The value to improve on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incumbent {
    /// The best latent value among the observed configurations, which is known up to the noise. This is Letham et al.'s
    /// noisy expected improvement (2019); it learns which configuration is best.
    Sampled,
    /// The best posterior mean, as if it were exact: this stays closer to the present best.
    Mean,
    /// Nothing: the point of the best posterior mean itself is worth most, and is so confirmed.
    Nothing,
}

impl<'a> Acquisition<'a> {
    /// `None` if the joint posterior cannot be sampled.
    pub(super) fn new(
        model: &'a Model,
        pending: &[Pending],
        incumbent: Incumbent,
        stream: &mut Stream,
    ) -> Option<Self> {
        let rows = places(&model.feasible_sites(FEASIBLE));
        // A pending trial's gain counts only if the trial meets the constraints.
        let points: Vec<Vec<f64>> = pending.iter().map(|p| p.x.clone()).collect();
        let feasible = places(&model.feasible(&points, FEASIBLE));
        let gain = if rows.is_empty() {
            Gain::Feasibility
        } else if incumbent == Incumbent::Nothing && model.further.is_empty() {
            Gain::Mean(model)
        } else if model.further.is_empty() {
            // First the configurations on which others may improve.
            let counts = |i: &usize| feasible.contains(i) && pending[*i].compared;
            let (first, rest): (Vec<usize>, Vec<usize>) = (0..pending.len()).partition(counts);
            let ordered: Vec<Vec<f64>> = first.iter().chain(&rest).map(|i| pending[*i].placed.clone()).collect();
            let under_way = (ordered.as_slice(), first.len());
            Gain::Improvement(Box::new(Improvement::new(model, &rows, under_way, incumbent, stream)?))
        } else {
            Gain::Volume(Volume::new(model, &rows, (&points, &feasible), stream)?)
        };
        // While that is all there is to gain, workers spread by it.
        let pending = if let Gain::Feasibility = gain { points.as_slice() } else { &[] };
        let constraint =
            |(s, power): (&'a Surrogate, f64)| Some((s.posterior.believing(pending)?, s.output.output(0.0), power));
        let constraints = model.limited().map(constraint).collect::<Option<_>>()?;
        Some(Self { gain, constraints, cost: model.cost.as_ref() })
    }

    /// The values at many points, from fewer samples.
    pub(super) fn values(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let mut values = match &self.gain {
            Gain::Improvement(improvement) => improvement.values(points),
            Gain::Volume(volume) => points.iter().map(|p| volume.evaluate(p, false).0).collect(),
            Gain::Feasibility => vec![0.0; points.len()],
            Gain::Mean(model) => {
                let placed: Vec<Vec<f64>> = points.iter().map(|p| model.placed(p)).collect();
                model.objective.posterior.predict_many(&placed).iter().map(|(mean, _)| -mean).collect()
            }
        };
        for (posterior, limit, power) in &self.constraints {
            for (value, (mean, sd)) in values.iter_mut().zip(posterior.predict_many(points)) {
                *value += power * log_probability_below(mean, sd * sd, *limit).0;
            }
        }
        if let Some(cost) = self.cost {
            let rate = cost.output.log_rate();
            for (value, (mean, _)) in values.iter_mut().zip(cost.posterior.predict_many(points)) {
                *value -= rate * mean;
            }
        }
        // A prediction that is not a number must not attract the search.
        values.iter().map(|v| if v.is_nan() { f64::NEG_INFINITY } else { *v }).collect()
    }

    /// The value at a point.
    pub(super) fn value(&self, point: &[f64]) -> f64 {
        self.evaluate(point, false).0
    }

    /// The value at a point and its gradient by the coordinates (0 for categorical ones).
    pub(super) fn value_and_gradient(&self, point: &[f64]) -> (f64, Vec<f64>) {
        self.evaluate(point, true)
    }

    fn evaluate(&self, point: &[f64], with_gradient: bool) -> (f64, Vec<f64>) {
        let (mut value, mut gradient) = match &self.gain {
            Gain::Improvement(improvement) => improvement.evaluate(point, with_gradient),
            Gain::Volume(volume) => volume.evaluate(point, with_gradient),
            Gain::Feasibility => (0.0, vec![0.0; point.len()]),
            Gain::Mean(model) => {
                let (posterior, placed) = (&model.objective.posterior, model.placed(point));
                let local = posterior.local(&placed);
                let mut gradient = posterior.gradient(&placed, &local, -1.0, 0.0);
                gradient.truncate(point.len());
                (-local.mean, gradient)
            }
        };
        let mut add = |posterior: &Posterior, of: &dyn Fn(f64, f64) -> (f64, f64, f64)| {
            let local = posterior.local(point);
            let (log, by_mean, by_variance) = of(local.mean, local.variance);
            value += log;
            if with_gradient {
                let more = posterior.gradient(point, &local, by_mean, by_variance);
                gradient.iter_mut().zip(more).for_each(|(g, m)| *g += m);
            }
        };
        for (posterior, limit, power) in &self.constraints {
            add(posterior, &|mean, variance| {
                let (log, by_mean, by_variance) = log_probability_below(mean, variance, *limit);
                (power * log, power * by_mean, power * by_variance)
            });
        }
        if let Some(cost) = self.cost {
            let rate = cost.output.log_rate();
            add(&cost.posterior, &|mean, _| (-rate * mean, -rate, 0.0));
        }
        (if value.is_nan() { f64::NEG_INFINITY } else { value }, gradient)
    }
}

/// The expected improvement of one objective.
struct Improvement<'a> {
    model: &'a Model,
    joint: Joint,
    coarse: Joint,
    /// The value that each sample improves on.
    incumbents: Vec<f64>,
}

impl<'a> Improvement<'a> {
    /// Over the best of the sites' `rows` and of the first so many `pending` points, which all will be known.
    fn new(
        model: &'a Model,
        rows: &[usize],
        (pending, counted): (&[Vec<f64>], usize),
        incumbent: Incumbent,
        stream: &mut Stream,
    ) -> Option<Self> {
        let posterior = &model.objective.posterior;
        let x: Vec<Vec<f64>> = rows.iter().map(|i| model.placed(&model.sites[*i])).collect();
        let predicted = posterior.predict_many(&x);
        let mut near = order(&predicted);
        let best = predicted[*near.first()?];
        match incumbent {
            Incumbent::Sampled => {
                near.retain(|i| predicted[*i].0 - best.0 <= BEHIND * (predicted[*i].1 + best.1));
                near.truncate(OBSERVED);
            }
            Incumbent::Mean | Incumbent::Nothing => near.clear(),
        }
        let mut points: Vec<Vec<f64>> = near.iter().map(|i| x[*i].clone()).collect();
        points.extend(pending.iter().take(PENDING).cloned());

        let sobol = Sobol::new(stream);
        let normal = |s| sobol.point(s, points.len()).iter().map(|u| normal_quantile(u.max(1e-12))).collect();
        // Without points there is nothing to sample.
        let samples = if points.is_empty() { 1 } else { SAMPLES };
        let normals: Vec<Vec<f64>> = (0..samples).map(normal).collect();
        let joint = Joint::new(posterior, &points, normals)?;
        let known = match incumbent {
            Incumbent::Sampled => f64::INFINITY,
            Incumbent::Mean | Incumbent::Nothing => best.0,
        };
        let counted = near.len() + counted.min(PENDING);
        let least = |sample: &Vec<f64>| sample[..counted].iter().copied().fold(known, f64::min);
        let incumbents = joint.samples.iter().map(least).collect();
        let coarse = joint.first(COARSE);
        Some(Self { model, joint, coarse, incumbents })
    }

    fn values(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let posterior = &self.model.objective.posterior;
        let value = |local| {
            let given = self.coarse.given(posterior, local);
            log_noisy_expected_improvement(&given.means, given.variance, &self.incumbents[..given.means.len()]).0
        };
        let placed: Vec<Vec<f64>> = points.iter().map(|p| self.model.placed(p)).collect();
        posterior.locals(&placed).iter().map(value).collect()
    }

    fn evaluate(&self, point: &[f64], with_gradient: bool) -> (f64, Vec<f64>) {
        let (posterior, placed) = (&self.model.objective.posterior, self.model.placed(point));
        let local = posterior.local(&placed);
        let given = self.joint.given(posterior, &local);
        let (value, by_means, by_variance) =
            log_noisy_expected_improvement(&given.means, given.variance, &self.incumbents);
        if !with_gradient {
            return (value, Vec::new());
        }
        let mut gradient = self.joint.gradient(posterior, &placed, &local, &given, &by_means, by_variance);
        gradient.truncate(point.len());
        (value, gradient)
    }
}

/// Indices of the flags that are true.
fn places(flags: &[bool]) -> Vec<usize> {
    (0..flags.len()).filter(|i| flags[*i]).collect()
}

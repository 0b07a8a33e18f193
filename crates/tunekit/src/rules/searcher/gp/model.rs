//! From a history to the searcher's model: a surrogate of each output.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use super::FEWEST;
use super::surrogate::{Column, Scales, Surrogate, order};
use crate::rules::acquisition::log_probability_below;
use crate::rules::gp::{Along, Coordinate, Posterior};
use crate::rules::history::{History, Reached};
use crate::rules::qmc::Sobol;
use crate::rules::searcher::Prediction;
use crate::rules::stream::Stream;
use crate::words::domain::Domain;
use crate::words::metric::{Metric, MetricKind, Noise};
use crate::words::schedule::ResourceKernel;
use crate::words::space::Space;

/// The most failed configurations that are modelled.
const MOST_FAILED: usize = 200;

/// The power of the probability of not failing, after a trial that did not; as often again for each that failed since,
/// up to so many. A failure costs a trial as well as it gains nothing: at an edge that values fall towards, the first
/// power alone sends every other trial over it.
const CAUTION: f64 = 2.0;
const MOST_IN_A_ROW: usize = 4;

/// The surrogates of a history.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) coordinates: Vec<Coordinate>,
    /// The configurations that are modelled, encoded, in the order of their first results.
    pub(super) sites: Vec<Vec<f64>>,
    /// Where the metric is also modelled along a resource: the coordinate of each level, and of the level at which
    /// configurations are compared. The metric's surrogate then has one more coordinate than the others, the last.
    curve: Option<Curve>,
    /// The metric's.
    pub(super) objective: Surrogate,
    /// Those of the further objectives.
    pub(super) further: Vec<Surrogate>,
    /// The outputs that must be at most 0, ...
    constraints: Vec<Surrogate>,
    /// ... and, where trials failed, of whether they do, as -1 and 1.
    fails: Option<Surrogate>,
    /// The power of the probability of not failing.
    caution: f64,
    /// The surrogate of the trials' cost, where cost counts.
    pub(super) cost: Option<Surrogate>,
    /// Share of the deviations of the metric's measurements that belongs to the configurations themselves, ...
    own: f64,
    /// ... and the metric's process that knows of it, made when it is first asked for.
    judge: OnceLock<Option<Posterior>>,
}

/// Coordinates along the resource.
#[derive(Debug, Clone)]
struct Curve {
    kind: Coordinate,
    levels: Vec<f64>,
    at: f64,
}

/// Options of the model of a history.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct How {
    /// The kernel along a resource.
    pub(super) kernel: ResourceKernel,
    /// The level at which configurations are compared, if not as the kernel has it.
    pub(super) level: Option<usize>,
}

impl Curve {
    fn of(history: &History<'_>, how: How) -> Option<Self> {
        let levels = history.levels();
        let (first, last) = (*levels.first()? as f64, levels.len() - 1);
        let units = levels.iter().map(|level| *level as f64 / first);
        let (kind, levels): (_, Vec<f64>) = match how.kernel {
            // By the logarithm: a rung is a factor.
            ResourceKernel::Matern => {
                let range = (levels[last] as f64 / first).ln().max(f64::MIN_POSITIVE);
                (Coordinate::Numeric, units.map(|unit| unit.ln() / range).collect())
            }
            ResourceKernel::ExpDecay => (Coordinate::Resource(Along::ExponentialDecay), units.collect()),
            ResourceKernel::CrossValidation => (Coordinate::Resource(Along::CrossValidation), units.collect()),
            ResourceKernel::Independent => {
                let kind = Along::Independent { levels: levels.len() };
                (Coordinate::Resource(kind), (0..levels.len()).map(|level| level as f64).collect())
            }
        };
        // The goal is a full run. Independent levels say nothing about it until there are enough results at its own
        // level.
        let compared = match (how.level, how.kernel, history.resource()) {
            (Some(level), ..) => level.min(last),
            (None, ResourceKernel::Independent, Some(r)) => history.levels().binary_search(&r).unwrap_or(last),
            _ => last,
        };
        Some(Self { kind, at: levels[compared], levels })
    }

    /// Every level of every configuration, encoded, in the order of the reports; and the measurements at each.
    fn rows(&self, history: &History<'_>) -> (Vec<Vec<f64>>, Vec<Vec<f64>>) {
        let row = |reached: Reached<'_>| {
            let x = history.space().encode(reached.config).ok()?;
            Some((x.into_iter().chain([self.levels[reached.level]]).collect(), reached.samples))
        };
        history.reached().into_iter().filter_map(row).unzip()
    }
}

/// The different rows by their first `d` coordinates, and no more of them, in order.
pub(super) fn distinct(rows: &[Vec<f64>], d: usize) -> Vec<Vec<f64>> {
    let mut seen = BTreeSet::new();
    let first = rows.iter().map(|row| row[..d].to_vec());
    first.filter(|row| seen.insert(row.iter().map(|u| u.to_bits()).collect::<Vec<u64>>())).collect()
}

impl Model {
    /// The model of a history, with as much of `last` as was made from the same. `None` with too few configurations, or
    /// if no process fits.
    pub(super) fn of(history: &History<'_>, how: How, last: Option<Self>) -> Option<Self> {
        // Further objectives are known at the end of a trial only.
        let curve = Curve::of(history, how).filter(|_| history.objectives().is_empty());
        let observed = if curve.is_some() { history.clone().by_value().known() } else { history.known() };
        let space = history.space();
        let coordinates = coordinates(space);
        let sobol = Sobol::new(&mut history.stream("gp fit"));
        let mut last = Last::of(last);
        let x: Vec<Vec<f64>> = observed.iter().filter_map(|o| space.encode(o.config).ok()).collect();
        let column = |x: &Vec<Vec<f64>>, samples: Vec<Vec<f64>>, metric: &Metric| Column {
            x: x.clone(),
            bounds: vec![Vec::new(); samples.len()],
            samples,
            times: Vec::new(),
            goal: metric.goal,
            scales: if metric.kind == MetricKind::Time { Scales::Time } else { Scales::Any },
            noise: metric.noise,
        };
        // As many as say where not to go; each costs as much as a measured one.
        let failed = history.failed();
        let every = failed.len().div_ceil(MOST_FAILED).max(1);
        let failed: Vec<Vec<f64>> = failed.iter().step_by(every).filter_map(|c| space.encode(c).ok()).collect();
        let (first, worst, along) = match &curve {
            None => {
                let samples = observed.iter().map(|o| o.samples.clone()).collect();
                let bounds = observed.iter().map(|o| o.bounds.clone()).collect();
                let times = history.times(&observed).unwrap_or_default();
                let first = Column { bounds, times, ..column(&x, samples, history.metric()) };
                (first, failed.as_slice(), coordinates.clone())
            }
            // The place of a failed trial along the resource is not known. Its failure is modelled below.
            Some(curve) => {
                let (rows, samples) = curve.rows(history);
                let along = coordinates.iter().copied().chain([curve.kind]).collect();
                let mut first = column(&rows, samples, history.metric());
                // A trial that was cut off would not have been better than its bound at its end.
                let last = curve.levels.last().copied();
                for (x, o) in x.iter().zip(&observed).filter(|(_, o)| !o.bounds.is_empty()) {
                    first.x.push(x.iter().copied().chain(last).collect());
                    first.samples.push(Vec::new());
                    first.bounds.push(o.bounds.clone());
                }
                (first, [].as_slice(), along)
            }
        };
        // Bounds alone show how bad configurations are, and not which one is good.
        if first.x.len() < FEWEST || first.samples.iter().all(Vec::is_empty) {
            return None;
        }
        let objective = Surrogate::of(first, worst, &along, &sobol, last.objective.take())?;
        let sites = distinct(&objective.sites(), coordinates.len());

        let mut further = Vec::new();
        for (k, metric) in history.objectives().iter().enumerate() {
            let column = column(&x, observed.iter().map(|o| o.more[k].clone()).collect(), metric).known();
            further.push(Surrogate::of(column, &failed, &coordinates, &sobol, last.further.next())?);
        }
        let mut constraints = Vec::new();
        for k in 0..history.constraints().len() {
            let column = column(&x, observed.iter().map(|o| o.constraints[k].clone()).collect(), &Metric::default());
            let column = Column { scales: Scales::Signed, ..column.known() };
            constraints.push(Surrogate::of(column, &[], &coordinates, &sobol, last.constraints.next())?);
        }
        let cost = history.cost_aware().then(|| {
            let column = column(&x, observed.iter().map(|o| o.costs.clone()).collect(), &Metric::time("cost"));
            Surrogate::of(column.known(), &[], &coordinates, &sobol, last.cost.take())
        });
        let mut fails = None;
        if !failed.is_empty() {
            let rows = x.iter().cloned().map(|x| (x, vec![-1.0])).chain(failed.into_iter().map(|x| (x, vec![1.0])));
            let (x, samples) = rows.unzip();
            let column = Column { scales: Scales::Plain, ..column(&x, samples, &Metric::default()) };
            fails = Surrogate::of(column, &[], &coordinates, &sobol, last.fails.take());
        }
        // Along a resource a configuration is several rows.
        let own = if curve.is_none() { own_share(history) } else { 0.0 };
        let (cost, judge) = (cost.flatten(), OnceLock::new());
        let ended = history.trials().iter().rev().filter(|trial| trial.is_finished()).take(MOST_IN_A_ROW);
        let in_a_row = ended.take_while(|trial| trial.failure.is_some()).count();
        let caution = CAUTION * (1.0 + in_a_row as f64);
        Some(Self { coordinates, sites, curve, objective, further, constraints, fails, caution, cost, own, judge })
    }

    /// A configuration as the metric's surrogate sees it, where configurations are compared.
    pub(super) fn placed(&self, x: &[f64]) -> Vec<f64> {
        x.iter().copied().chain(self.curve.as_ref().map(|c| c.at)).collect()
    }

    /// A configuration as the metric's surrogate sees it at a level of the resource, if there are any.
    pub(super) fn placed_at(&self, x: &[f64], level: usize) -> Vec<f64> {
        let level = self.curve.as_ref().map(|curve| curve.levels[level.min(curve.levels.len() - 1)]);
        x.iter().copied().chain(level).collect()
    }

    /// Number of modelled configurations with a measurement of the metric.
    pub(super) fn measured(&self) -> usize {
        distinct(&self.objective.data.x, self.coordinates.len()).len()
    }

    /// The configurations so far, the best expected one first, where they are compared.
    pub(super) fn ranked_sites(&self) -> Vec<usize> {
        let placed: Vec<Vec<f64>> = self.sites.iter().map(|x| self.placed(x)).collect();
        order(&self.objective.posterior.predict_many(&placed))
    }

    /// The modelled rows of each level; `None` without levels.
    pub(super) fn by_level(&self) -> Option<Vec<Vec<usize>>> {
        let levels = &self.curve.as_ref()?.levels;
        let d = self.coordinates.len();
        let x = &self.objective.data.x;
        Some(levels.iter().map(|level| (0..x.len()).filter(|i| x[*i][d] == *level).collect()).collect())
    }

    /// A row of the metric's surrogate at another level.
    pub(super) fn at_level(&self, row: &[f64], level: usize) -> Vec<f64> {
        let mut row = row.to_vec();
        if let (Some(last), Some(curve)) = (row.last_mut(), &self.curve) {
            *last = curve.levels[level];
        }
        row
    }

    /// The trials that a result is awaited of.
    pub(super) fn pending(&self, history: &History<'_>) -> Vec<Pending> {
        let space = history.space();
        match &self.curve {
            None => {
                let x = history.pending().into_iter().filter_map(|c| space.encode(c).ok());
                x.map(|x| Pending { placed: x.clone(), x, compared: true }).collect()
            }
            Some(curve) => {
                let awaited = history.awaited().into_iter();
                awaited
                    .filter_map(|(c, level)| {
                        let x = space.encode(c).ok()?;
                        let r = curve.levels[level];
                        Some(Pending { placed: x.iter().copied().chain([r]).collect(), x, compared: r == curve.at })
                    })
                    .collect()
            }
        }
    }

    /// For each of these points, whether it meets all constraints with at least this probability.
    pub(super) fn feasible(&self, points: &[Vec<f64>], least: f64) -> Vec<bool> {
        likely(self.measured_constraints().chain(&self.fails), points, least)
    }

    fn measured_constraints(&self) -> impl Iterator<Item = &Surrogate> {
        self.constraints.iter().filter(|constraint| !constraint.data.x.is_empty())
    }

    /// The same of the sites, which have been measured: none of them fails.
    pub(super) fn feasible_sites(&self, least: f64) -> Vec<bool> {
        likely(self.measured_constraints(), &self.sites, least)
    }

    /// The output that must be at most 0, and the power to which its probability counts. Constraints that were never
    /// measured are left out: each would halve the probability everywhere.
    pub(super) fn limited(&self) -> impl Iterator<Item = (&Surrogate, f64)> {
        let constraints = self.measured_constraints().map(|constraint| (constraint, 1.0));
        constraints.chain(self.fails.iter().map(|fails| (fails, self.caution)))
    }

    /// Whether configurations are compared by the expected result of a full run.
    pub(super) fn is_of_full_runs(&self, history: &History<'_>) -> bool {
        match &self.curve {
            Some(curve) => curve.levels.last() == Some(&curve.at),
            None => history.levels().is_empty() && history.resource().is_none(),
        }
    }

    /// The metric's process by which measured configurations are judged: it includes the deviations of the
    /// configurations themselves. New ones are searched by the plain process, because only their smooth part is known.
    pub(super) fn judge(&self) -> &Posterior {
        let plain = &self.objective.posterior;
        if self.own == 0.0 {
            return plain;
        }
        self.judge.get_or_init(|| self.objective.with_own(self.own, &self.coordinates)).as_ref().unwrap_or(plain)
    }

    /// The metric's process by each of a number of draws of the hyperparameters. `None` if a covariance cannot be
    /// factored.
    pub(super) fn drawn(&self, stream: &mut Stream) -> Option<Vec<Posterior>> {
        self.objective.drawn(&self.placed_coordinates(), stream)
    }

    /// The expected measurement of each of these configurations by these processes, with an interval that counts in
    /// that the hyperparameters are not known. `None` if a prediction is not finite.
    pub(super) fn judged(&self, points: &[Vec<f64>], drawn: &[Posterior]) -> Option<Vec<Prediction>> {
        let placed: Vec<Vec<f64>> = points.iter().map(|x| self.placed(x)).collect();
        self.objective.judged(&placed, drawn)
    }

    /// The distance measure of each coordinate of the metric's surrogate.
    fn placed_coordinates(&self) -> Vec<Coordinate> {
        self.coordinates.iter().copied().chain(self.curve.as_ref().map(|curve| curve.kind)).collect()
    }

    /// The expected measurement at `x`.
    pub(super) fn prediction(&self, x: &[f64]) -> Option<Prediction> {
        self.objective.prediction(self.judge(), &self.placed(x))
    }
}

/// A trial that a result is awaited of.
pub(super) struct Pending {
    /// Its configuration, encoded.
    pub(super) x: Vec<f64>,
    /// The same as the metric's surrogate sees it, where the result will be.
    pub(super) placed: Vec<f64>,
    /// Whether that is where configurations are compared.
    pub(super) compared: bool,
}

/// The surrogates of the last model, each for the surrogate that may continue from it.
struct Last {
    objective: Option<Surrogate>,
    further: std::vec::IntoIter<Surrogate>,
    constraints: std::vec::IntoIter<Surrogate>,
    fails: Option<Surrogate>,
    cost: Option<Surrogate>,
}

impl Last {
    fn of(last: Option<Model>) -> Self {
        let (objective, further, constraints, fails, cost) = match last {
            Some(m) => (Some(m.objective), m.further, m.constraints, m.fails, m.cost),
            None => (None, Vec::new(), Vec::new(), None, None),
        };
        Self { objective, further: further.into_iter(), constraints: constraints.into_iter(), fails, cost }
    }
}

/// The points among these that keep all limits with at least this probability.
fn likely<'a>(limited: impl Iterator<Item = &'a Surrogate>, points: &[Vec<f64>], least: f64) -> Vec<bool> {
    let mut log = vec![0.0; points.len()];
    for surrogate in limited {
        let limit = surrogate.output.output(0.0);
        for (log, (mean, sd)) in log.iter_mut().zip(surrogate.posterior.predict_many(points)) {
            *log += log_probability_below(mean, sd * sd, limit).0;
        }
    }
    log.iter().map(|log| *log >= least.ln()).collect()
}

/// The distance measure of each parameter.
fn coordinates(space: &Space) -> Vec<Coordinate> {
    let kind = |domain: &Domain| match domain {
        Domain::Categorical(_) | Domain::Bool => Coordinate::Categorical,
        _ => Coordinate::Numeric,
    };
    space.iter().map(|(_, domain)| kind(domain)).collect()
}

/// Share of the deviations that belongs to the configurations themselves (see `again.rs`). On functions like S3
/// transfers, where the last part is smaller than the others, it is about 0.2 beside a noise of 5 % (its effect is in
/// docs/DESIGN.md).
const OWN: f64 = 0.3;
/// Share of the deviations that is attributed to the configurations themselves.
pub(super) fn own_share(history: &History<'_>) -> f64 {
    let discrete = history.space().iter().all(|(_, domain)| domain.count().is_some());
    if discrete && history.metric().noise == Noise::Learned { OWN } else { 0.0 }
}

//! Transfer from earlier studies of the same space: configurations to evaluate first, or a region to search.
//!
//! Everything is decided before the new study begins, and goes into its header as points to evaluate or as a smaller
//! space. So the study is replayed without the earlier ones, and any searcher continues from there. Tasks differ in
//! scale and offset, so values are compared by their rank within a task. Reading journals is not done here.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::distribution::normal_quantile;
use super::experiment::Experiment;
use super::history::Observed;
use super::qmc::Sobol;
use super::stream::Stream;
use super::study::Setup;
use super::trees::forest::{Forest, Row};
use crate::words::domain::{Domain, DomainError, FloatDomain, IntDomain};
use crate::words::metric::Goal;
use crate::words::space::Space;
use crate::words::value::Config;

/// The use of earlier studies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TransferMethod {
    /// First evaluates a few configurations that together were good in all earlier studies: see
    /// [`Transfer::zero_shot`].
    ZeroShot,
    /// Searches only the region of the earlier studies' best configurations: see [`Transfer::bounding_box`].
    BoundingBox,
    /// First evaluates the configurations that a model of all earlier ranks predicts to be good: see
    /// [`Transfer::quantile`].
    Quantile,
}

/// Why earlier studies cannot be used.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// No study was given.
    #[error("there is no earlier study to transfer from; name at least one")]
    None,
    /// A study has no measurement.
    #[error("earlier study {index} has no measurement; leave it out")]
    Empty {
        /// Index of the study, from 0.
        index: usize,
    },
    /// A study has another space.
    #[error("earlier study {index} has another space: parameter `{parameter}` differs; transfer needs equal spaces")]
    Space {
        /// Index of the study, from 0.
        index: usize,
        /// The first parameter that is not the same in both, or not in the same place.
        parameter: String,
    },
    /// A study has other predicates.
    #[error(
        "earlier study {index} has the predicates [{}], this one [{}]; transfer needs equal ones",
        theirs.join(", "),
        ours.join(", ")
    )]
    Predicates {
        /// Index of the study, from 0.
        index: usize,
        /// Its predicates, in order.
        theirs: Vec<String>,
        /// This study's predicates, in order.
        ours: Vec<String>,
    },
    /// A study has the opposite goal.
    #[error("earlier study {index} has the objective {theirs}, this study {ours}; leave it out")]
    Goal {
        /// Index of the study, from 0.
        index: usize,
        /// `min` or `max`.
        theirs: &'static str,
        /// `min` or `max`.
        ours: &'static str,
    },
    /// A study has other constraints, so it does not show which configurations are feasible here.
    #[error(
        "earlier study {index} has the constraints [{}], this one [{}]; transfer needs equal ones",
        theirs.join(", "),
        ours.join(", ")
    )]
    Constraints {
        /// Index of the study, from 0.
        index: usize,
        /// The names of its constraints, sorted.
        theirs: Vec<String>,
        /// The names of this study's constraints, sorted.
        ours: Vec<String>,
    },
}

/// Candidates of a Thompson draw.
const CANDIDATES: u64 = 512;
/// The most configurations taken from a study, its best first, then an even selection of the rest.
const MOST: usize = 500;
/// The best of each study that a portfolio is chosen from.
const SHORTLIST: usize = 20;
/// Margin of a box at each side, as a share of the whole range: the optimum lies near the best of a few noisy trials,
/// not at it.
const MARGIN: f64 = 0.05;

/// Earlier studies of a space.
///
/// ```
/// use tunekit::{Domain, Experiment, Metric, Setup, Space, Study};
/// use tunekit::study::{Transfer, TransferMethod};
/// let space = Space::new().with("x", Domain::float(0.0, 1.0)?)?;
/// let setup = Setup::new(space, Metric::minimize("loss"));
/// let mut earlier = Study::new(setup.clone())?;
/// for _ in 0..12 {
///     let Some(job) = earlier.ask()?.assignment() else { break };
///     let x = job.config.float("x").unwrap_or(0.0);
///     earlier.tell(job.trial, (x - 0.8).powi(2))?;
/// }
///
/// // The new study begins where the earlier one was at its best.
/// let transfer = Transfer::new(&setup, vec![Experiment::of(&earlier)])?;
/// let mut study = Study::new(transfer.apply(TransferMethod::ZeroShot, 3, setup))?;
/// let first = study.ask()?.assignment().ok_or("no trial")?;
/// assert!((first.config.float("x").unwrap_or(0.0) - 0.8).abs() < 0.1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Transfer {
    space: Space,
    tasks: Vec<Task>,
}

/// One earlier study, the best result first: a trial that reached a higher resource is better than a trial that was
/// stopped earlier.
#[derive(Debug, Clone)]
struct Task {
    results: Vec<Trialled>,
}

#[derive(Debug, Clone)]
struct Trialled {
    config: Config,
    x: Vec<f64>,
    /// The place that its trials came to; see `History::reach`.
    reach: u64,
    /// Infinite if a constraint is not met: behind all that meet theirs, and equal to each other.
    loss: f64,
}

impl Trialled {
    fn is_feasible(&self) -> bool {
        self.loss < f64::INFINITY
    }

    /// The better one first.
    fn order(&self, other: &Self) -> Ordering {
        let infeasible = (!self.is_feasible()).cmp(&!other.is_feasible());
        if infeasible.is_ne() || !self.is_feasible() {
            return infeasible;
        }
        other.reach.cmp(&self.reach).then(self.loss.total_cmp(&other.loss))
    }
}

impl Transfer {
    /// Number of points that the methods give by default.
    pub const POINTS: usize = 5;

    /// Prepares these experiments for a study made from `setup`.
    ///
    /// # Errors
    /// No experiment, or one with another space, another goal, other constraints, or without a measurement.
    pub fn new(setup: &Setup, experiments: Vec<Experiment>) -> Result<Self, TransferError> {
        if experiments.is_empty() {
            return Err(TransferError::None);
        }
        let task = |(index, experiment): (usize, &Experiment)| {
            let header = experiment.header();
            if let Some(parameter) = difference(&setup.space, &header.space) {
                return Err(TransferError::Space { index, parameter });
            }
            if setup.space != header.space {
                let [theirs, ours] =
                    [&header.space, &setup.space].map(|space| space.predicates().map(str::to_owned).collect());
                return Err(TransferError::Predicates { index, theirs, ours });
            }
            let (theirs, ours) = (header.metric.goal, setup.metric.goal);
            if theirs != ours {
                let name = |goal| if goal == Goal::Min { "min" } else { "max" };
                return Err(TransferError::Goal { index, theirs: name(theirs), ours: name(ours) });
            }
            let sorted = |names: &[String]| {
                let mut names = names.to_vec();
                names.sort();
                names
            };
            let (theirs, ours) = (sorted(&header.constraints), sorted(&setup.constraints));
            if theirs != ours {
                return Err(TransferError::Constraints { index, theirs, ours });
            }
            let task = Task::of(experiment);
            if task.results.is_empty() { Err(TransferError::Empty { index }) } else { Ok(task) }
        };
        let tasks = experiments.iter().enumerate().map(task).collect::<Result<_, _>>()?;
        Ok(Self { space: setup.space.clone(), tasks })
    }

    /// `setup` with the contribution of `method`: up to `points` configurations after its own first configurations, or
    /// a smaller space, which must contain its own first configurations.
    #[must_use]
    pub fn apply(&self, method: TransferMethod, points: usize, setup: Setup) -> Setup {
        let first = match method {
            TransferMethod::BoundingBox => return Setup { space: self.bounding_box(), ..setup },
            TransferMethod::ZeroShot => self.zero_shot(points),
            TransferMethod::Quantile => self.quantile(points, setup.seed),
        };
        let fresh: Vec<Config> = first.into_iter().filter(|c| !setup.points_to_evaluate.contains(c)).collect();
        fresh.into_iter().fold(setup, Setup::point)
    }

    /// A portfolio of configurations from earlier studies. Each is chosen so that the best of the chosen ones is as
    /// good as possible over all earlier studies (Wistuba, Schilling and Schmidt-Thieme 2015, greedy). For a
    /// configuration that a study never tried, a random forest of that study predicts. The first configuration is the
    /// best single one.
    pub fn zero_shot(&self, count: usize) -> Vec<Config> {
        let candidates = self.shortlist();
        let by_task: Vec<Vec<f64>> = self.tasks.iter().map(|task| task.ranks_of(&self.space, &candidates)).collect();
        let mut best = vec![1.0_f64; self.tasks.len()];
        let mut left: Vec<usize> = (0..candidates.len()).collect();
        let mut chosen = Vec::new();
        while chosen.len() < count && !left.is_empty() {
            // The best together with the chosen ones; among equals, the best by itself.
            let score = |c: usize| -> (f64, f64) {
                let ranks = by_task.iter().map(|ranks| ranks[c]);
                (ranks.clone().zip(&best).map(|(rank, best)| rank.min(*best)).sum(), ranks.sum())
            };
            let least = |a: &(usize, (f64, f64)), b: &(usize, (f64, f64))| {
                a.1.0.total_cmp(&b.1.0).then(a.1.1.total_cmp(&b.1.1)).then(a.0.cmp(&b.0))
            };
            let (next, _) = left.iter().map(|c| (*c, score(*c))).min_by(least).expect("there are candidates left");
            best.iter_mut().zip(&by_task).for_each(|(best, ranks)| *best = best.min(ranks[next]));
            left.retain(|c| *c != next);
            chosen.push(candidates[next].config.clone());
        }
        chosen
    }

    /// Thompson draws from a model of all earlier studies together, each value by its rank as a normal score, so that
    /// studies of any scale count alike (Salinas, Shen and Perrone 2020). The model is a random forest, and a draw is
    /// one of its trees (Eckles and Kaptein 2014): its least value among random configurations and the earlier studies'
    /// best.
    pub fn quantile(&self, count: usize, seed: u64) -> Vec<Config> {
        let mut stream = Stream::of_study(seed, "transfer quantile");
        let rows: Vec<Row> = self.tasks.iter().flat_map(Task::scores).collect();
        let forest = Forest::grow(&self.space, &rows, &mut stream);
        let mut chosen: Vec<Config> = Vec::new();
        for _ in 0..count {
            let tree = &forest.trees[stream.below(forest.trees.len())];
            let sobol = Sobol::new(&mut stream);
            let drawn = (0..CANDIDATES).filter_map(|i| {
                let config = self.space.decode(&sobol.point(i, self.space.len())).ok()?;
                self.space.allows(&config).then_some((self.space.encode(&config).ok()?, config))
            });
            let known = self.shortlist().into_iter().map(|result| (result.x, result.config));
            // A leaf is flat: among its points the whole forest decides.
            let score = |x: &[f64]| {
                (tree.value(x), forest.trees.iter().map(|tree| tree.value(x)).sum::<f64>() / forest.trees.len() as f64)
            };
            let least = drawn
                .chain(known)
                .filter(|(_, config)| !chosen.contains(config))
                .map(|(x, config)| (score(&x), config))
                .min_by(|(a, _), (b, _)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let Some((_, config)) = least else { break };
            chosen.push(config);
        }
        chosen
    }

    /// The smallest space that holds the best configuration of every earlier study, larger by a twentieth of each range
    /// at each side (Perrone et al. 2019). A categorical parameter keeps the values that were among the best. With few
    /// or dissimilar earlier studies the present optimum may lie outside. Conditions and predicates stay, and so do
    /// parameters that others depend on.
    pub fn bounding_box(&self) -> Space {
        let best: Vec<&Trialled> =
            self.tasks.iter().filter_map(|task| task.results.first()).filter(|r| r.is_feasible()).collect();
        let names: Vec<&str> = self.space.iter().map(|(name, _)| name).collect();
        self.space.clone().narrowed(|place, domain| {
            // If some of the best configurations lack a parameter, they tell nothing about its range.
            let has = |result: &&&Trialled| result.config.value(names[place]).is_some();
            let at = best.iter().filter(has).map(|result| result.x[place]);
            let (lo, hi) = at.fold((1.0_f64, 0.0_f64), |(lo, hi), u| (lo.min(u), hi.max(u)));
            let kept = |k: usize| best.iter().any(|r| r.config.value(names[place]) == Some(&domain.nth(k as u64)));
            (lo <= hi).then(|| narrowed(domain, (lo - MARGIN).max(0.0), (hi + MARGIN).min(1.0), kept))
        })
    }

    /// The best of each study that meet its constraints, each configuration once.
    fn shortlist(&self) -> Vec<Trialled> {
        let mut all: Vec<Trialled> = Vec::new();
        let feasible = |task: &'_ Task| task.results.partition_point(Trialled::is_feasible).min(SHORTLIST);
        for result in self.tasks.iter().flat_map(|task| &task.results[..feasible(task)]) {
            if all.iter().all(|other| other.config != result.config) {
                all.push(result.clone());
            }
        }
        all
    }
}

impl Task {
    fn of(experiment: &Experiment) -> Self {
        let (space, goal) = (&experiment.header().space, experiment.header().metric.goal);
        let history = experiment.history();
        // The trials of a configuration that came furthest count.
        let mut reaches: BTreeMap<String, u64> = BTreeMap::new();
        for trial in history.trials().iter().filter(|trial| !trial.is_pending() && trial.failure.is_none()) {
            let reach = reaches.entry(trial.config.key()).or_default();
            *reach = history.reach(trial).max(*reach);
        }
        let reach = |config: &Config| reaches.get(&config.key()).copied().unwrap_or(0);
        let result = |o: &Observed<'_>| {
            let loss = Some(o.loss(goal)).filter(|v| v.is_finite())?;
            let loss = if o.is_feasible() { loss } else { f64::INFINITY };
            let reach = reach(o.config);
            Some(Trialled { config: o.config.clone(), x: space.encode(o.config).ok()?, reach, loss })
        };
        // A trial that was cut off counts at its bound: it shows where not to begin.
        let known = history.clone().by_value().counting(|trial| history.reach(trial) == reach(&trial.config)).known();
        let mut results: Vec<Trialled> = known.iter().filter_map(result).collect();
        results.sort_by(Trialled::order);
        if results.len() > MOST {
            let rest = results.split_off(SHORTLIST);
            let room = MOST - SHORTLIST;
            results.extend((0..room).map(|i| rest[i * rest.len() / room].clone()));
        }
        Self { results }
    }

    /// The place of each result in its study, from 0 to 1; equals share theirs.
    fn ranks(&self) -> Vec<f64> {
        self.results.iter().map(|result| self.rank(result)).collect()
    }

    /// The share of the study's results that are better than one of them, those equal by half.
    fn rank(&self, result: &Trialled) -> f64 {
        let better = self.results.partition_point(|r| r.order(result).is_lt());
        let not_worse = self.results.partition_point(|r| r.order(result).is_le());
        (better + not_worse) as f64 / (2 * self.results.len()) as f64
    }

    /// The worth of each candidate in this study, from 0 to 1: as measured, or as a forest of the ranks predicts.
    fn ranks_of(&self, space: &Space, candidates: &[Trialled]) -> Vec<f64> {
        let rows: Vec<Row> =
            self.results.iter().zip(self.ranks()).map(|(r, rank)| Row { x: r.x.clone(), y: rank }).collect();
        // A stream of its own, the same for every study, because the portfolio must not depend on luck.
        let forest = Forest::grow(space, &rows, &mut Stream::of_study(0, "transfer zero shot"));
        let rank = |candidate: &Trialled| match self.results.iter().find(|r| r.config == candidate.config) {
            Some(own) => self.rank(own),
            None => forest.trees.iter().map(|t| t.value(&candidate.x)).sum::<f64>() / forest.trees.len() as f64,
        };
        candidates.iter().map(rank).collect()
    }

    /// Ranks as scores of the normal distribution; the best and the worst stay finite.
    fn scores(&self) -> Vec<Row> {
        let n = self.results.len() as f64;
        let score = |rank: f64| normal_quantile(rank.clamp(0.5 / n, 1.0 - 0.5 / n));
        self.results.iter().zip(self.ranks()).map(|(r, rank)| Row { x: r.x.clone(), y: score(rank) }).collect()
    }
}

/// The first parameter that two spaces do not have alike in one place: its name, its domain, and when it exists.
fn difference(ours: &Space, theirs: &Space) -> Option<String> {
    let (mut one, mut other) = (ours.iter(), theirs.iter());
    loop {
        match (one.next(), other.next()) {
            (None, None) => return None,
            (Some(own), Some(their)) if own == their && ours.conditions(own.0).eq(theirs.conditions(own.0)) => {}
            (Some((name, _)), _) | (None, Some((name, _))) => return Some(name.to_owned()),
        }
    }
}

/// The domain from coordinate `lo` to `hi`; for choices without order, the choices that are kept.
fn narrowed(domain: &Domain, lo: f64, hi: f64, kept: impl Fn(usize) -> bool) -> Domain {
    let narrow = || match domain {
        Domain::Float(d) => float(d, domain, lo, hi),
        Domain::Int(d) => int(d, domain, lo, hi),
        Domain::Bool => Ok(Domain::Bool),
        Domain::Categorical(choices) => {
            let all = choices.values().iter().enumerate();
            Domain::categorical(all.filter(|(k, _)| kept(*k)).map(|(_, value)| value.clone()))
        }
        Domain::Ordinal(choices) => {
            let (first, last) = (domain.index_of(lo) as usize, domain.index_of(hi) as usize);
            Domain::ordinal(choices.values()[first..=last].iter().cloned())
        }
    };
    // A range so narrow that its domain cannot be made stays as it was.
    narrow().unwrap_or_else(|_| domain.clone())
}

fn float(d: &FloatDomain, domain: &Domain, lo: f64, hi: f64) -> Result<Domain, DomainError> {
    let end = |u: f64| domain.decode(u).as_f64().unwrap_or(d.lo());
    let narrow = Domain::float(end(lo), end(hi))?;
    let narrow = if d.is_log() { narrow.log()? } else { narrow };
    d.step_size().map_or(Ok(narrow.clone()), |step| narrow.step(step))
}

fn int(d: &IntDomain, domain: &Domain, lo: f64, hi: f64) -> Result<Domain, DomainError> {
    let end = |u: f64| domain.decode(u).as_i64().unwrap_or(d.lo());
    let narrow = Domain::int(end(lo), end(hi))?;
    let narrow = if d.is_log() { narrow.log()? } else { narrow };
    if d.step_size() == 1 { Ok(narrow) } else { narrow.step(d.step_size() as f64) }
}

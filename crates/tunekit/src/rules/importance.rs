//! The findings of a study about its parameters: their shares of the metric's variance, and the metric as a function of
//! one, or of two (`importance/pair`).
//!
//! Both are computed from a surface over the whole space: the searcher's model if it has one, otherwise a random forest
//! of the measurements. The decomposition of variance is in `importance/anova`, its tables in `importance/tables`. With
//! several objectives, the first is explained.

mod anova;
mod pair;
mod tables;

use serde::Serialize;

use self::anova::{Cells, Shares};
pub use self::pair::PairDependence;
use super::distribution::standard_deviation;
use super::experiment::Experiment;
use super::history::History;
use super::qmc::Sobol;
use super::searcher::{Prediction, Searcher};
use super::study::Study;
use super::trees::Tree;
use super::trees::forest::{Forest, Row};
use crate::words::domain::Domain;
use crate::words::space::Space;
use crate::words::trial::mean;
use crate::words::value::{Config, Value};

/// Fewer configurations than this explain nothing.
const FEWEST: usize = 5;
/// ... and fewer than so many for each parameter tell no share: as many unknowns as measurements fit anything.
const FOR_EACH: usize = 2;
/// The least share of the metric's variance that a surface must explain before shares are reported: for a model, and
/// for a forest, which is tested with measurements that it has not seen (figures in docs/DESIGN.md).
const KNOWN_BY_MODEL: f64 = 0.7;
const KNOWN_BY_FOREST: f64 = 0.5;
/// The most configurations a forest is grown on; of more, an even selection.
const MOST: usize = 2000;
/// Scrambles of the sample, and points in each: the spread over scrambles says how exact a share is.
const SCRAMBLES: usize = 8;
const POINTS: usize = 512;
/// The number of parts of a forest, whose spread gives the standard error of a share.
const PARTS: usize = 8;
/// Points over which a partial dependence is averaged.
const BACKGROUND: usize = 256;
/// The most points of a partial dependence.
const MOST_POINTS: usize = 1000;

/// The kind of surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Surface {
    /// The searcher's own model.
    Model,
    /// A random forest of the measurements.
    Forest,
}

impl Surface {
    /// Its name in tables and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Forest => "forest",
        }
    }
}

/// A share of the surface's variance over the space.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Importance {
    /// One parameter, or two for their joint effect beyond the effect of each.
    pub parameters: Vec<String>,
    /// Share of the variance, 0 to 1. An estimate below 0 is given as 0.
    pub share: f64,
    /// Its standard error: for a forest, the spread over eighths of its trees; for a model, that of the integration
    /// only (see [`Importances::known`]).
    pub sd: f64,
}

/// The parameters by their importance.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Importances {
    /// The surface from which it was computed.
    pub surface: Surface,
    /// Number of measured configurations behind it.
    pub configurations: usize,
    /// Estimated share of the metric's variance over the space that the surface explains, 0 to 1. For a model: its
    /// variance divided by the sum of that and the mean posterior variance. For a forest: the share that it predicts of
    /// measurements it has not seen. If the surface explains little, its shares mean little.
    pub known: f64,
    /// One for each parameter, the largest share first; all are 0 if the surface is constant.
    pub main: Vec<Importance>,
    /// One for each pair, the largest share first; with more than 16 parameters, only for pairs of the 16 most
    /// important.
    pub pairs: Vec<Importance>,
}

/// One point of a [`PartialDependence`].
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PartialPoint {
    /// The parameter's value.
    pub value: Value,
    /// The metric's mean over all the other parameters.
    pub mean: f64,
    /// Its 95 % interval: for a model, the mean of its intervals, which is rather too wide; for a forest, from the
    /// spread of its trees.
    pub ci95: [f64; 2],
}

/// The metric as a function of one parameter, averaged over the others (Friedman 2001).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PartialDependence {
    /// The parameter.
    pub parameter: String,
    /// The surface from which it was computed.
    pub surface: Surface,
    /// From the domain's first value to its last, evenly on its scale.
    pub points: Vec<PartialPoint>,
}

/// The reason why there is no answer about the parameters.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportanceError {
    /// Too little was measured.
    #[error("{got} configurations were measured, at least {needed} are needed")]
    TooFew {
        /// Number of configurations.
        got: usize,
        /// Number that is needed.
        needed: usize,
    },
    /// The measurements do not show the metric's variation well enough to divide it among the parameters.
    #[error(
        "{configurations} configurations tell {:.0} % of how the metric varies over the space, at least {:.0} % are \
         needed; measure more of them",
        100.0 * known,
        100.0 * needed
    )]
    TooLittle {
        /// Number of measured configurations.
        configurations: usize,
        /// Estimated share of the metric's variance that the surface explains, 0 to 1: see [`Importances::known`].
        known: f64,
        /// The least share that is needed.
        needed: f64,
    },
    /// No such parameter.
    #[error("parameter `{name}` is not in the space (it has {})", known.join(", "))]
    Unknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// The number of points is not possible.
    #[error("{points} points were asked for; 1 to {most} are possible")]
    Points {
        /// Number of points that were asked for.
        points: usize,
        /// The largest number.
        most: usize,
    },
    /// Two parameters are needed.
    #[error("parameter `{name}` is named twice; name two parameters")]
    Twice {
        /// The name given.
        name: String,
    },
    /// Hardly any point of the cube is a configuration, because the space forbids nearly all.
    #[error("no allowed configuration was found to average over; loosen the constraints of the space")]
    Forbidden,
    /// Measurements that cannot be averaged.
    #[error("the measurements are too large to be averaged; measure in a larger unit")]
    Overflow,
}

impl Study {
    /// The importances of the parameters: shares of the metric's variance over the space, by the searcher's model if it
    /// has one, else by a random forest. They are a function of the history, and draw nothing from the study's streams.
    /// If trials did not come equally far, those count that [`Study::best`] compares.
    ///
    /// ```
    /// use tunekit::{Domain, Metric, Setup, Space, Study};
    /// let space = Space::new().with("x", Domain::float(0.0, 1.0)?)?.with("y", Domain::float(0.0, 1.0)?)?;
    /// let mut study = Study::new(Setup::new(space, Metric::minimize("loss")))?;
    /// for _ in 0..15 {
    ///     let Some(job) = study.ask()?.assignment() else { break };
    ///     let (x, y) = (job.config.float("x").unwrap_or(0.0), job.config.float("y").unwrap_or(0.0));
    ///     study.tell(job.trial, 3.0 * x + y)?;
    /// }
    /// let importances = study.importances()?;
    /// // The variances of 3 x and of y are 9 to 1.
    /// assert_eq!(importances.main[0].parameters, ["x"]);
    /// assert!((importances.main[0].share - 0.9).abs() < 0.05);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// Unreliable shares are withheld: if a model explains less than 70 % of the metric's variance, or a forest
    /// predicts less than half of the variation of unseen measurements. On simulated transfers with 12 measured
    /// configurations, the shares that are given are wrong by 7 points in the median; all shares together would be
    /// wrong by 18.
    ///
    /// # Errors
    /// Fewer than five configurations were measured, or fewer than two for each parameter; the surface explains too
    /// little; or no surface can be made.
    pub fn importances(&self) -> Result<Importances, ImportanceError> {
        Explainer::new(self.compared(), Some(self.searcher().as_mut()))?.importances()
    }

    /// The metric as a function of one parameter, averaged over the others, at `points` values of it (fewer where the
    /// domain has fewer).
    ///
    /// # Errors
    /// As [`Study::importances`]; an unknown parameter, zero points, or more than 1000.
    pub fn partial_dependence(&self, parameter: &str, points: usize) -> Result<PartialDependence, ImportanceError> {
        Explainer::new(self.compared(), Some(self.searcher().as_mut()))?.partial_dependence(parameter, points)
    }
}

impl Experiment {
    /// As [`Study::importances`], by a random forest: a journal holds no model.
    ///
    /// # Errors
    /// As [`Study::importances`].
    pub fn importances(&self) -> Result<Importances, ImportanceError> {
        Explainer::new(self.compared(), None)?.importances()
    }

    /// As [`Study::partial_dependence`], by a random forest.
    ///
    /// # Errors
    /// As [`Study::partial_dependence`].
    pub fn partial_dependence(&self, parameter: &str, points: usize) -> Result<PartialDependence, ImportanceError> {
        Explainer::new(self.compared(), None)?.partial_dependence(parameter, points)
    }
}

/// A history, and the source of its surface.
struct Explainer<'a> {
    history: History<'a>,
    searcher: Option<&'a mut dyn Searcher>,
    means: Vec<(&'a Config, f64)>,
}

impl<'a> Explainer<'a> {
    fn new(history: History<'a>, searcher: Option<&'a mut dyn Searcher>) -> Result<Self, ImportanceError> {
        let observed = history.observed();
        let every = observed.len().div_ceil(MOST).max(1);
        let means: Vec<(&Config, f64)> =
            observed.iter().step_by(every).filter_map(|o| Some((o.config, mean(&o.samples)?))).collect();
        if means.len() < FEWEST {
            return Err(ImportanceError::TooFew { got: means.len(), needed: FEWEST });
        }
        if means.iter().any(|(_, y)| !y.is_finite()) {
            return Err(ImportanceError::Overflow);
        }
        Ok(Self { history, searcher, means })
    }

    fn importances(&mut self) -> Result<Importances, ImportanceError> {
        let space = self.history.space();
        let (configurations, needed) = (self.means.len(), FOR_EACH * space.len());
        if configurations < needed {
            return Err(ImportanceError::TooFew { got: configurations, needed });
        }
        let sample = Sample::of(&self.history, "importances", SCRAMBLES, POINTS);
        if sample.configs.len() < sample.scramble.last().map_or(1, |last| last + 1) * 64 {
            return Err(ImportanceError::Forbidden);
        }
        let cells = Cells::of(space, &sample.points);
        let constant = self.means.windows(2).all(|w| w[0].1 == w[1].1);
        let (surface, known, (pairs, shares)) = if constant {
            (Surface::Forest, 0.0, (Vec::new(), Vec::new()))
        } else if let Some(predictions) = self.predict(&sample.configs) {
            (Surface::Model, known(&predictions), over_scrambles(&cells, &sample, &predictions))
        } else {
            let forest = self.forest();
            let points = sample.seen(space);
            let surfaces: Vec<Vec<f64>> =
                forest.trees.iter().map(|tree| points.iter().map(|x| tree.value(x)).collect()).collect();
            (Surface::Forest, forest.known, over_trees(&cells, &sample, &surfaces))
        };
        let needed = match surface {
            // If all are equal, there is no variance to share, and that is certain.
            _ if constant => 0.0,
            Surface::Model => KNOWN_BY_MODEL,
            Surface::Forest => KNOWN_BY_FOREST,
        };
        if known < needed {
            return Err(ImportanceError::TooLittle { configurations, known, needed });
        }
        let [main, pairs] = ranked(space, surface, &pairs, &shares);
        Ok(Importances { surface, configurations, known, main, pairs })
    }

    fn partial_dependence(&mut self, parameter: &str, points: usize) -> Result<PartialDependence, ImportanceError> {
        let space = self.history.space();
        let found = space.iter().enumerate().find(|(_, (name, _))| *name == parameter);
        let (place, (_, domain)) = found.ok_or_else(|| ImportanceError::Unknown {
            name: parameter.to_owned(),
            known: space.iter().map(|(name, _)| name.to_owned()).collect(),
        })?;
        if !(1..=MOST_POINTS).contains(&points) {
            return Err(ImportanceError::Points { points, most: MOST_POINTS });
        }
        let background = Sample::of(&self.history, "partial dependence", 1, BACKGROUND);
        let grid = grid(domain, points);
        let forest = if self.predict(&background.configs).is_some() { None } else { Some(self.forest()) };
        let surface = if forest.is_some() { Surface::Forest } else { Surface::Model };
        let mut dependence = PartialDependence { parameter: parameter.to_owned(), surface, points: Vec::new() };
        for u in grid {
            let moved = background.with(space, place, u);
            // If the parameter is never active at this value, or everything is forbidden, there is no value.
            let Some(value) = moved.configs.iter().find_map(|c| c.value(parameter)).cloned() else { continue };
            let (mean, ci95) = match &forest {
                None => self.predict(&moved.configs).map(|p| averaged(&p)).ok_or(ImportanceError::Overflow)?,
                Some(forest) => self.over_forest(forest, &moved.seen(space)),
            };
            dependence.points.push(PartialPoint { value, mean, ci95 });
        }
        if dependence.points.is_empty() { Err(ImportanceError::Forbidden) } else { Ok(dependence) }
    }

    fn predict(&mut self, configs: &[Config]) -> Option<Vec<Prediction>> {
        let searcher = self.searcher.as_mut()?;
        let configs: Vec<&Config> = configs.iter().collect();
        let predictions = searcher.predict(&self.history, &configs)?;
        let fine = |p: &Prediction| p.mean.is_finite() && p.lower.is_finite() && p.upper.is_finite();
        (predictions.len() == configs.len() && predictions.iter().all(fine)).then_some(predictions)
    }

    /// The largest measurement, which is the unit of a forest's values, so that its sums of squares do not overflow.
    fn unit(&self) -> f64 {
        let largest = self.means.iter().fold(0.0_f64, |m, (_, y)| m.max(y.abs()));
        if largest > 0.0 { largest } else { 1.0 }
    }

    fn forest(&self) -> Forest {
        let (space, unit) = (self.history.space(), self.unit());
        let row = |(config, y): &(&Config, f64)| Some(Row { x: space.encode(config).ok()?, y: y / unit });
        let rows: Vec<Row> = self.means.iter().filter_map(row).collect();
        Forest::grow(space, &rows, &mut self.history.stream("importance forest"))
    }

    fn over_forest(&self, forest: &Forest, points: &[Vec<f64>]) -> (f64, [f64; 2]) {
        let of = |tree: &Tree| points.iter().map(|x| tree.value(x)).sum::<f64>() / points.len() as f64;
        let by_tree: Vec<f64> = forest.trees.iter().map(of).collect();
        let middle = mean(&by_tree).unwrap_or(0.0);
        let half = 1.96 * standard_deviation(&by_tree).unwrap_or(0.0);
        let unit = self.unit();
        (middle * unit, [(middle - half) * unit, (middle + half) * unit])
    }
}

/// Points spread evenly over the cube, and the configurations they stand for.
struct Sample {
    points: Vec<Vec<f64>>,
    configs: Vec<Config>,
    /// The scramble of a point, by number.
    scramble: Vec<usize>,
}

impl Sample {
    /// Without the points that the space forbids.
    fn of(history: &History<'_>, purpose: &str, scrambles: usize, points: usize) -> Self {
        let space = history.space();
        let mut stream = history.stream(purpose);
        let mut sample = Self { points: Vec::new(), configs: Vec::new(), scramble: Vec::new() };
        for scramble in 0..scrambles {
            let sobol = Sobol::new(&mut stream);
            for i in 0..points {
                sample.push(space, sobol.point(i as u64, space.len()), scramble);
            }
        }
        sample
    }

    fn push(&mut self, space: &Space, point: Vec<f64>, scramble: usize) {
        if let Some(config) = space.decode(&point).ok().filter(|config| space.validate(config).is_ok()) {
            self.points.push(point);
            self.configs.push(config);
            self.scramble.push(scramble);
        }
    }

    /// With the coordinate at `place` set to `u` everywhere.
    fn with(&self, space: &Space, place: usize, u: f64) -> Self {
        let mut sample = Self { points: Vec::new(), configs: Vec::new(), scramble: Vec::new() };
        for point in &self.points {
            let mut point = point.clone();
            point[place] = u;
            sample.push(space, point, 0);
        }
        sample
    }

    /// The points as a searcher sees them: decoded, and encoded again.
    fn seen(&self, space: &Space) -> Vec<Vec<f64>> {
        self.configs.iter().filter_map(|config| space.encode(config).ok()).collect()
    }
}

/// The coordinates of `points` values, including the first and the last; fewer if neighbouring coordinates give the
/// same value, and all values if there are no more.
fn grid(domain: &Domain, points: usize) -> Vec<f64> {
    if let Some(count) = domain.count().filter(|count| *count <= points as u64) {
        return (0..count).map(|k| domain.encoded_nth(k)).collect();
    }
    let at = |i: usize| if points == 1 { 0.5 } else { i as f64 / (points - 1) as f64 };
    let mut grid: Vec<f64> = (0..points).map(at).collect();
    // On a logarithmic scale the first integers are far apart.
    grid.dedup_by_key(|u| domain.decode(*u));
    grid
}

type Estimates = (Vec<(usize, usize)>, Vec<Shares>);

/// Shares of a model's surface: the first of all points, then of all but one scramble (a jackknife).
fn over_scrambles(cells: &Cells, sample: &Sample, predictions: &[Prediction]) -> Estimates {
    let values: Vec<f64> = predictions.iter().map(|p| p.mean).collect();
    let kept =
        |without: usize| -> Vec<usize> { (0..values.len()).filter(|i| sample.scramble[*i] != without).collect() };
    let all = kept(SCRAMBLES);
    let Some(alone) = cells.decompose(&values, &all, &[]) else {
        return (Vec::new(), Vec::new());
    };
    let pairs = Cells::pairs(&alone.main);
    let of = |kept: Vec<usize>| cells.decompose(&values, &kept, &pairs);
    let shares = std::iter::once(all).chain((0..SCRAMBLES).map(kept)).filter_map(of).collect();
    (pairs, shares)
}

/// The shares of a forest's surface: first of all trees together, then of each part of them. A single tree, grown to
/// its last row, has variations that the forest does not have.
fn over_trees(cells: &Cells, sample: &Sample, surfaces: &[Vec<f64>]) -> Estimates {
    let all: Vec<usize> = (0..sample.points.len()).collect();
    let average = |trees: &[Vec<f64>]| -> Vec<f64> {
        all.iter().map(|i| trees.iter().map(|values| values[*i]).sum::<f64>() / trees.len() as f64).collect()
    };
    let whole = average(surfaces);
    let Some(alone) = cells.decompose(&whole, &all, &[]) else {
        return (Vec::new(), Vec::new());
    };
    let pairs = Cells::pairs(&alone.main);
    let parts = surfaces.chunks(surfaces.len().div_ceil(PARTS)).map(average);
    let shares = std::iter::once(whole).chain(parts).filter_map(|values| cells.decompose(&values, &all, &pairs));
    let shares = shares.collect();
    (pairs, shares)
}

fn ranked(space: &Space, surface: Surface, pairs: &[(usize, usize)], shares: &[Shares]) -> [Vec<Importance>; 2] {
    let names: Vec<&str> = space.iter().map(|(name, _)| name).collect();
    let estimate = |parameters: Vec<String>, values: Vec<f64>| {
        let (share, sd) = match surface {
            Surface::Forest => {
                values.split_first().map_or((0.0, 0.0), |(all, parts)| (*all, standard_deviation(parts).unwrap_or(0.0)))
            }
            Surface::Model => jackknife(&values),
        };
        Importance { parameters, share: share.clamp(0.0, 1.0), sd }
    };
    let sorted = |mut all: Vec<Importance>| {
        all.sort_by(|a, b| b.share.total_cmp(&a.share));
        all
    };
    let main = names
        .iter()
        .enumerate()
        .map(|(i, name)| estimate(vec![(*name).to_owned()], shares.iter().map(|s| s.main[i]).collect()));
    let both = pairs.iter().enumerate().map(|(k, (i, j))| {
        estimate(vec![names[*i].to_owned(), names[*j].to_owned()], shares.iter().map(|s| s.pairs[k]).collect())
    });
    [sorted(main.collect()), sorted(both.collect())]
}

/// The estimate from all parts, which is the first value, and its standard error from the values that lack one part
/// (Efron 1982).
fn jackknife(values: &[f64]) -> (f64, f64) {
    let Some((all, parts)) = values.split_first() else {
        return (0.0, 0.0);
    };
    let middle = mean(parts).unwrap_or(*all);
    let n = parts.len().max(1) as f64;
    (*all, (parts.iter().map(|v| (v - middle).powi(2)).sum::<f64>() * (n - 1.0) / n).sqrt())
}

/// The variance of a model's mean over that and its mean posterior variance.
fn known(predictions: &[Prediction]) -> f64 {
    let largest = predictions.iter().fold(0.0_f64, |m, p| m.max(p.mean.abs()));
    if largest <= 0.0 {
        return 0.0;
    }
    let n = predictions.len() as f64;
    let middle = predictions.iter().map(|p| p.mean / largest).sum::<f64>() / n;
    let surface = predictions.iter().map(|p| (p.mean / largest - middle).powi(2)).sum::<f64>() / n;
    let sd = |p: &Prediction| (p.upper / largest - p.lower / largest) / (2.0 * 1.96);
    let doubt = predictions.iter().map(|p| sd(p).powi(2)).sum::<f64>() / n;
    if surface > 0.0 { surface / (surface + doubt) } else { 0.0 }
}

fn averaged(predictions: &[Prediction]) -> (f64, [f64; 2]) {
    let n = predictions.len() as f64;
    let average = |of: fn(&Prediction) -> f64| predictions.iter().map(|p| of(p) / n).sum::<f64>();
    (average(|p| p.mean), [average(|p| p.lower), average(|p| p.upper)])
}

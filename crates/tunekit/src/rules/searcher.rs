//! `Searcher`: chooses *which* configuration to try. The scheduler decides how much to spend on it.
//!
//! The implementations live in `searcher/`, one per file; the suite that all of them pass is in `rules/conformance/`.

mod auto;
mod bohb;
mod bore;
mod cmaes;
mod cqr;
mod de;
mod dehb;
mod dyhpo;
mod evidence;
mod evolution;
pub(in crate::rules) mod gp;
mod grid;
mod hypertune;
mod mobster;
mod nsga2;
mod random;
mod sobol;
mod tpe;

use std::fmt;
use std::str::FromStr;

pub use auto::Auto;
pub use bohb::Bohb;
pub use bore::Bore;
pub use cmaes::CmaEs;
pub use cqr::Cqr;
pub use de::De;
pub use dehb::Dehb;
pub use dyhpo::Dyhpo;
pub(in crate::rules) use evidence::Axis;
pub use evolution::Evolution;
pub use gp::Gp;
pub(in crate::rules) use gp::Judge;
pub use grid::Grid;
pub use hypertune::HyperTune;
pub use mobster::Mobster;
pub use nsga2::Nsga2;
pub use random::Random;
pub use sobol::Sobol;
pub use tpe::Tpe;

use super::history::History;
use super::stream::Stream;
use crate::words::metric::Noise;
use crate::words::name::UnknownName;
use crate::words::space::{ConfigError, Space};
use crate::words::value::Config;

/// The reason why there is no suggestion.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SuggestError {
    /// All configurations of a finite space without noise have been used.
    #[error("all {count} configurations of the space have been used and the metric is deterministic")]
    Exhausted {
        /// Number of configurations in the space.
        count: u128,
    },
    /// The predicates allow no configuration, or hardly any.
    #[error(
        "no configuration that the predicates allow was found in {draws} draws; loosen them, or narrow the domains"
    )]
    Forbidden {
        /// Number of configurations that were drawn.
        draws: usize,
    },
    /// The searcher suggested a configuration outside of the space, which is a bug of the searcher.
    #[error("searcher `{searcher}` suggested a configuration outside of the space: {source}")]
    Outside {
        /// The searcher.
        searcher: String,
        /// The fault in it.
        source: ConfigError,
    },
    /// The searcher cannot work on this study.
    #[error("searcher `{searcher}` cannot continue: {reason}")]
    Failed {
        /// The searcher.
        searcher: String,
        /// Why, and how to mend it.
        reason: String,
    },
}

/// A model's prediction for one configuration, on the metric's own scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prediction {
    /// The expected measurement.
    pub mean: f64,
    /// The lower end of a 95 % interval of `mean`.
    pub lower: f64,
    /// The upper end of it.
    pub upper: f64,
}

/// Chooses configurations.
///
/// [`conformance`](crate::searcher::conformance) checks this contract, for this crate's searchers and in your tests for
/// yours:
/// - A suggestion MUST be in the space: a parameter that does not exist has no value, and every predicate holds.
/// - It MUST be a function of the history and the stream alone. State between calls MUST be a cache: dropping it only
///   costs time. So a study can be resumed, and equal seeds give equal studies.
/// - It MUST cope with failed trials, bounds in place of values, equal configurations, equal values, values of any
///   finite magnitude, spaces of one value and of many dimensions, and pending trials.
/// - If larger is better, it MUST search as for the least value of the negated metric.
/// - While other configurations are left, it MUST NOT repeat a pending one or, with a deterministic metric, an observed
///   or failed one. If none are left, it answers [`SuggestError::Exhausted`]. If the predicates allow nothing, it
///   answers with an error, too.
/// - There MUST be one prediction for each configuration, with its mean within its interval. Predictions MUST NOT
///   change any suggestion.
/// - It SHOULD take no longer than a second for a few hundred trials.
///
/// ```
/// use tunekit::{Config, Domain, Metric, Setup, Space, Study};
/// use tunekit::searcher::{History, Searcher, Stream, SuggestError};
///
/// /// Walks through a range from below.
/// struct Sweep;
///
/// impl Searcher for Sweep {
///     fn name(&self) -> &str {
///         "sweep"
///     }
///
///     fn suggest(&mut self, history: &History<'_>, _: &mut Stream) -> Result<Config, SuggestError> {
///         Ok(Config::new().with("n", 1 + history.trials().len() as i64 % 8))
///     }
/// }
///
/// let space = Space::new().with("n", Domain::int(1, 8)?)?;
/// let setup = Setup::new(space, Metric::minimize("loss"));
/// let mut study = Study::with(setup, Box::new(Sweep), Box::new(tunekit::scheduler::Fifo))?;
/// assert_eq!(study.ask()?.assignment().map(|a| a.config), Some(Config::new().with("n", 1)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Searcher: Send {
    /// The name a study is journalled under.
    fn name(&self) -> &str;

    /// The configuration of trial [`History::next_trial`]; `stream` is that trial's own.
    ///
    /// # Errors
    /// No configuration is left, or the searcher cannot work on this study.
    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError>;

    /// The reason for its choice of method, in a sentence, if it had a choice.
    fn why(&self, history: &History<'_>) -> Option<String> {
        let _ = history;
        None
    }

    /// The predictions of a model of the history for `configs`, in order; if the history has levels of a resource, they
    /// are of full runs. `None` without such a model, or before it has data.
    fn predict(&mut self, history: &History<'_>, configs: &[&Config]) -> Option<Vec<Prediction>> {
        let _ = (history, configs);
        None
    }
}

/// The names of the searchers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SearcherKind {
    /// Uniform draws in the unit cube; in a finite space without replacement.
    Random,
    /// Scrambled Sobol points: as random, but evenly spread.
    Sobol,
    /// Every value of every parameter, or a grid that refines.
    Grid,
    /// Bayesian optimisation with a Gaussian process: the default.
    #[default]
    Gp,
    /// The tree-structured Parzen estimator.
    Tpe,
    /// Bayesian optimisation by a classifier of good and bad.
    Bore,
    /// Conformal quantile regression.
    Cqr,
    /// Regularized evolution.
    Evolution,
    /// Differential evolution.
    De,
    /// CMA-ES.
    CmaEs,
    /// NSGA-II, for several objectives.
    Nsga2,
    /// Chooses the searcher that suits the study.
    Auto,
}

impl SearcherKind {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Random,
        Self::Sobol,
        Self::Grid,
        Self::Gp,
        Self::Tpe,
        Self::Bore,
        Self::Cqr,
        Self::Evolution,
        Self::De,
        Self::CmaEs,
        Self::Nsga2,
        Self::Auto,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Sobol => "sobol",
            Self::Grid => "grid",
            Self::Gp => "gp",
            Self::Tpe => "tpe",
            Self::Bore => "bore",
            Self::Cqr => "cqr",
            Self::Evolution => "evolution",
            Self::De => "de",
            Self::CmaEs => "cmaes",
            Self::Nsga2 => "nsga2",
            Self::Auto => "auto",
        }
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// An unknown name; the error lists the known ones.
    pub fn from_name(name: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.into_iter().find(|k| k.as_str() == name);
        known.ok_or_else(|| UnknownName::new("searcher", name, Self::ALL.map(Self::as_str)))
    }

    /// A new searcher of this kind.
    pub fn build(self) -> Box<dyn Searcher> {
        match self {
            Self::Random => Box::new(Random),
            Self::Sobol => Box::new(Sobol::new()),
            Self::Grid => Box::new(Grid),
            Self::Gp => Box::new(Gp::new()),
            Self::Tpe => Box::new(Tpe),
            Self::Bore => Box::new(Bore),
            Self::Cqr => Box::new(Cqr),
            Self::Evolution => Box::new(Evolution),
            Self::De => Box::new(De),
            Self::CmaEs => Box::new(CmaEs::new()),
            Self::Nsga2 => Box::new(Nsga2),
            Self::Auto => Box::new(Auto::new()),
        }
    }
}

impl fmt::Display for SearcherKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SearcherKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::from_name(name)
    }
}

/// Draws after which an unused configuration is considered hard to find by drawing.
const DRAWS: usize = 64;
/// Further uniform draws for a configuration that the predicates allow. If one configuration in 10,000 is allowed, they
/// practically always find one. All draws together take some tenths of a second. Asking again would not help, because
/// the stream belongs to the trial.
const ALLOWED_DRAWS: usize = 1 << 18;
/// Draws near configurations that were allowed before, after uniform draws found none.
const NEAR_DRAWS: usize = 1 << 12;
/// Spaces of up to this many configurations are listed where drawing finds no unused one.
const LISTED: u128 = 1 << 16;

/// The first unused configuration among the `draw`s that the predicates allow. In a small finite space that is nearly
/// used up, the list is searched from a random place. If all configurations are used, the space is exhausted
/// (deterministic metric), or the least used configuration is repeated (noisy metric: a replicate), pending ones last.
/// Only an allowed configuration is ever returned.
pub(crate) fn unused(
    history: &History<'_>,
    stream: &mut Stream,
    mut draw: impl FnMut(&mut Stream) -> Config,
) -> Result<Config, SuggestError> {
    let space = history.space();
    let mut least: Option<((bool, usize), Config)> = None;
    let mut keep = |config: Config| {
        let rank = history.standing(&config);
        if least.as_ref().is_none_or(|(r, _)| rank < *r) {
            least = Some((rank, config));
        }
        rank.1 == 0
    };
    let found = (0..DRAWS).map(|_| draw(stream)).filter(|c| space.allows(c)).any(&mut keep);
    if !found {
        let listing = space.listing();
        if let Some(count) = listing.count().filter(|count| *count <= LISTED) {
            let start = stream.below(count as usize) as u128;
            let all = (0..count).filter_map(|i| listing.nth((start + i) % count)).filter(|c| space.allows(c));
            let mut allowed = 0;
            let found = all.inspect(|_| allowed += 1).any(&mut keep);
            if !found && allowed > 0 && history.metric().noise == Noise::Deterministic {
                return Err(SuggestError::Exhausted { count: allowed });
            }
        } else {
            let draws = if space.predicates().next().is_some() { ALLOWED_DRAWS } else { DRAWS };
            let uniform = (0..draws).map(|_| random::draw(history, stream));
            if !uniform.filter(|c| space.allows(c)).any(&mut keep) {
                (0..NEAR_DRAWS).filter_map(|_| near(history, stream)).filter(|c| space.allows(c)).any(&mut keep);
            }
        }
    }
    least.map(|(_, config)| config).ok_or(SuggestError::Forbidden { draws: DRAWS + ALLOWED_DRAWS })
}

impl Space {
    /// A uniform draw among the configurations that the predicates allow: uniform between the bounds of a parameter, or
    /// in the logarithm on a logarithmic scale. It is independent of earlier draws, so configurations of a finite space
    /// repeat.
    ///
    /// # Errors
    /// [`SuggestError::Forbidden`] if the predicates allow none of 262,208 draws, nor any configuration of a space of
    /// at most 65,536.
    ///
    /// ```
    /// use tunekit::searcher::Stream;
    /// use tunekit::{Domain, Space};
    ///
    /// let space = Space::new()
    ///     .with("threads", Domain::int(1, 64)?.log()?)?
    ///     .with("chunk", Domain::int(1, 64)?)?
    ///     .require("threads * chunk <= 256")?;
    /// let mut stream = Stream::of_study(7, "my draws");
    /// let config = space.sample(&mut stream)?;
    /// assert!(space.validate(&config).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sample(&self, stream: &mut Stream) -> Result<Config, SuggestError> {
        let draws = DRAWS + ALLOWED_DRAWS;
        let allowed = |config: &Config| self.allows(config);
        if let Some(config) = (0..draws).map(|_| random::uniform(self, stream)).find(allowed) {
            return Ok(config);
        }
        let listing = self.listing();
        let count = listing.count().filter(|count| *count <= LISTED).unwrap_or(0);
        let start = stream.below(count as usize) as u128;
        let mut listed = (0..count).filter_map(|i| listing.nth((start + i) % count));
        listed.find(allowed).ok_or(SuggestError::Forbidden { draws })
    }
}

/// The configuration of a trial, with new random values for some parameters; `None` without trials.
fn near(history: &History<'_>, stream: &mut Stream) -> Option<Config> {
    let space = history.space();
    let trials = history.trials();
    let trial = trials.get(stream.below(trials.len()))?;
    let mut point = space.encode(&trial.config).ok()?;
    let share = 1.0 / point.len() as f64;
    let one = stream.below(point.len());
    for (j, u) in point.iter_mut().enumerate() {
        if j == one || stream.uniform() < share {
            *u = stream.uniform();
        }
    }
    space.decode(&point).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::domain::Domain;

    #[test]
    fn samples_are_spread_over_what_is_allowed() {
        let space = Space::new()
            .with("n", Domain::int(1, 1000).unwrap().log().unwrap())
            .and_then(|space| space.with("x", Domain::float(0.0, 1.0).unwrap()))
            .and_then(|space| space.require("x <= 0.5"))
            .unwrap();
        let mut stream = Stream::of_study(1, "test");
        let all: Vec<Config> = (0..2000).map(|_| space.sample(&mut stream).unwrap()).collect();
        assert!(all.iter().all(|config| space.validate(config).is_ok()));
        let share = |is: &dyn Fn(&Config) -> bool| all.iter().filter(|c| is(c)).count() as f64 / all.len() as f64;
        // Four standard errors.
        assert!((share(&|c| c.float("x").unwrap() < 0.25) - 0.5).abs() < 0.045);
        let below = 63_f64.ln() / 2001_f64.ln();
        assert!((share(&|c| c.int("n").unwrap() < 32) - below).abs() < 0.045);
        // The same stream gives the same.
        assert_eq!(space.sample(&mut Stream::of_study(1, "test")).unwrap(), all[0]);
    }

    #[test]
    fn one_allowed_configuration_is_found_and_none_is_an_error() {
        let space = |predicate: &str| {
            let space = Space::new().with("n", Domain::int(1, 60_000).unwrap()).unwrap();
            space.require(predicate).unwrap()
        };
        let mut stream = Stream::of_study(1, "test");
        for n in [1, 777, 60_000] {
            let only = space(&format!("n == {n}"));
            assert_eq!(only.sample(&mut stream), Ok(Config::new().with("n", n)));
        }
        let error = SuggestError::Forbidden { draws: DRAWS + ALLOWED_DRAWS };
        assert_eq!(space("n > 60000").sample(&mut stream), Err(error.clone()));
        let endless = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap().require("x > 1").unwrap();
        assert_eq!(endless.sample(&mut stream), Err(error));
    }
}

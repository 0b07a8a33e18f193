//! `Setup`: the settings of a new study, and the header made from them.

use std::collections::BTreeSet;

use super::deciders::{self, Deciders};
use crate::rules::history::History;
use crate::rules::scheduler::{ScheduleError, Scheduler};
use crate::rules::searcher::{Searcher, SearcherKind};
use crate::words::event::{Header, SCHEMA};
use crate::words::metric::{Metric, Noise, ValueRule};
use crate::words::schedule::{SchedulerKind, SchedulerSpec};
use crate::words::space::{ConfigError, Space};
use crate::words::value::Config;

/// The settings of a new study.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    /// The parameters.
    pub space: Space,
    /// The metric.
    pub metric: Metric,
    /// Further objectives, measured with each trial.
    pub objectives: Vec<Metric>,
    /// Names of the values that are measured with each trial and must be at most 0.
    pub constraints: Vec<String>,
    /// Whether searchers prefer configurations that cost less to measure. Trials should then be told with their cost.
    pub cost_aware: bool,
    /// The seed of all randomness: the same seed and the same results give the same suggestions.
    pub seed: u64,
    /// The searcher. [`Study::with`](crate::Study::with) takes your own searcher instead, and some schedulers bring
    /// one.
    pub searcher: SearcherKind,
    /// The scheduler, with its options.
    pub scheduler: SchedulerSpec,
    /// The resource of a full run, if the scheduler needs one.
    pub max_resource: Option<u64>,
    /// Number of planned trials. [`SearcherKind::Auto`] chooses by it;
    /// [`Study::limit_trials`](crate::Study::limit_trials) ends a study.
    pub budget: Option<u64>,
    /// Configurations to evaluate first. Missing parameters are taken from the centre of the space.
    pub points_to_evaluate: Vec<Config>,
}

impl Setup {
    /// A setup for this metric and space with the default searcher and scheduler, seed 0 and no points to evaluate.
    pub fn new(space: Space, metric: Metric) -> Self {
        Self {
            space,
            metric,
            objectives: Vec::new(),
            constraints: Vec::new(),
            cost_aware: false,
            seed: 0,
            searcher: SearcherKind::default(),
            scheduler: SchedulerSpec::default(),
            max_resource: None,
            budget: None,
            points_to_evaluate: Vec::new(),
        }
    }

    /// With this many trials planned.
    #[must_use]
    pub fn budget(self, trials: u64) -> Self {
        Self { budget: Some(trials), ..self }
    }

    /// With this seed.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// With this searcher.
    #[must_use]
    pub fn searcher(self, searcher: SearcherKind) -> Self {
        Self { searcher, ..self }
    }

    /// With this scheduler: a kind with its defaults, or a spec with options.
    ///
    /// ```
    /// use tunekit::scheduler::{RungOptions, SchedulerSpec};
    /// use tunekit::{Domain, Metric, SchedulerKind, Setup, Space};
    ///
    /// let space = Space::new().with("x", Domain::float(0.0, 1.0)?)?;
    /// let setup = Setup::new(space, Metric::minimize("loss")).max_resource(81);
    /// let fours = SchedulerSpec::Asha(RungOptions { eta: 4, ..RungOptions::default() });
    /// assert_ne!(setup.clone().scheduler(SchedulerKind::Asha), setup.scheduler(fours));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn scheduler(self, scheduler: impl Into<SchedulerSpec>) -> Self {
        Self { scheduler: scheduler.into(), ..self }
    }

    /// With this resource of a full run.
    #[must_use]
    pub fn max_resource(self, max_resource: u64) -> Self {
        Self { max_resource: Some(max_resource), ..self }
    }

    /// The searcher and the scheduler that the setup names; a scheduler that brings its own searcher gets that.
    ///
    /// # Errors
    /// Options of the scheduler out of their bounds, or no maximal resource where it needs one.
    pub(crate) fn build(&self) -> Result<Deciders, SetupError> {
        let scheduler = self.scheduler.build(self.max_resource)?;
        Ok((deciders::searcher(&self.scheduler, self.searcher), scheduler))
    }

    /// With one more objective, after the present ones.
    #[must_use]
    pub fn objective(mut self, metric: Metric) -> Self {
        self.objectives.push(metric);
        self
    }

    /// With one more constraint, which is met if it is at most 0, after the present ones.
    #[must_use]
    pub fn constraint(mut self, name: impl Into<String>) -> Self {
        self.constraints.push(name.into());
        self
    }

    /// Prefers configurations that cost less to measure.
    #[must_use]
    pub fn cost_aware(self) -> Self {
        Self { cost_aware: true, ..self }
    }

    /// With one more configuration to evaluate first, after the present ones.
    #[must_use]
    pub fn point(mut self, config: Config) -> Self {
        self.points_to_evaluate.push(config);
        self
    }

    /// The header of a study made from this.
    ///
    /// # Errors
    /// The space has no parameters, a point is not in the space, the maximal resource is 0, the name of a measured
    /// quantity is empty or used twice, or the scheduler cannot be made.
    pub fn header(&self) -> Result<Header, SetupError> {
        let (searcher, scheduler) = self.build()?;
        self.header_with(&*searcher, &*scheduler)
    }

    /// The header of a study made from this with a searcher and a scheduler that are not those it names.
    pub(crate) fn header_with(&self, searcher: &dyn Searcher, scheduler: &dyn Scheduler) -> Result<Header, SetupError> {
        if self.space.is_empty() {
            return Err(SetupError::NoParameters);
        }
        if self.max_resource == Some(0) {
            return Err(SetupError::NoResource);
        }
        for metric in std::iter::once(&self.metric).chain(&self.objectives) {
            if let Noise::Known(sd) = metric.noise
                && !(sd.is_finite() && sd > 0.0)
            {
                return Err(SetupError::Noise { metric: metric.name.clone(), sd });
            }
        }
        let names = [&self.metric].into_iter().chain(&self.objectives).map(|m| &m.name).chain(&self.constraints);
        let mut seen = BTreeSet::new();
        for name in names {
            if name.is_empty() || !seen.insert(name) {
                return Err(SetupError::MeasuredName { name: name.clone() });
            }
        }
        let spec = scheduler.spec();
        if let SchedulerSpec::Own { name } = &spec
            && SchedulerKind::from_name(name).is_ok()
        {
            return Err(SetupError::OwnName { name: name.clone() });
        }
        let mut metric = self.metric.clone();
        let none = History::new(&self.space, &metric, self.seed, &[]);
        if scheduler.advice(&none).replicates.is_some() {
            if metric.noise == Noise::Deterministic {
                return Err(SetupError::Replicates { metric: metric.name, scheduler: scheduler.name().to_owned() });
            }
            metric.value = ValueRule::Mean;
        }
        let complete =
            |(index, config)| self.space.complete(config).map_err(|source| SetupError::Point { index, source });
        Ok(Header {
            schema: SCHEMA,
            space: self.space.clone(),
            metric,
            objectives: self.objectives.clone(),
            constraints: self.constraints.clone(),
            cost_aware: self.cost_aware,
            seed: self.seed,
            searcher: searcher.name().to_owned(),
            scheduler: spec,
            max_resource: self.max_resource,
            budget: self.budget,
            points_to_evaluate: self.points_to_evaluate.iter().enumerate().map(complete).collect::<Result<_, _>>()?,
        })
    }
}

/// Why a study cannot be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SetupError {
    /// The space has no parameter.
    #[error("the space has no parameter; there is nothing to search")]
    NoParameters,
    /// A metric's known noise is not a standard deviation.
    #[error(
        "the known noise of `{metric}` is {sd}; a standard deviation is positive (without noise, say deterministic)"
    )]
    Noise {
        /// The metric.
        metric: String,
        /// The standard deviation given.
        sd: f64,
    },
    /// The scheduler repeats measurements that are all the same.
    #[error("`{metric}` is deterministic, and scheduler `{scheduler}` measures again; use another one, such as `fifo`")]
    Replicates {
        /// The metric.
        metric: String,
        /// The scheduler.
        scheduler: String,
    },
    /// Your own scheduler has the name of one of this crate's.
    #[error(
        "a scheduler of your own is called `{name}`, and the journal would be read as that of tunekit's; rename it"
    )]
    OwnName {
        /// The name.
        name: String,
    },
    /// The scheduler cannot work with its options.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The maximal resource is 0.
    #[error("max_resource is 0; it is at least 1")]
    NoResource,
    /// The metric, a further objective or a constraint has no name, or two of them have the same name.
    #[error("`{name}` names nothing, or two of the metric, the further objectives and the constraints; name each")]
    MeasuredName {
        /// The name.
        name: String,
    },
    /// A point to evaluate is not in the space.
    #[error("point {index} of points_to_evaluate is not in the space: {source}")]
    Point {
        /// The point's number, from 0.
        index: usize,
        /// The fault in it.
        source: ConfigError,
    },
}

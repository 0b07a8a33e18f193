//! `Scheduler`: *how much* to spend on a trial, and when to stop it. Which configuration to try is the searcher's business.
//!
//! The kinds live in `scheduler/`, one a file.

mod asha;
mod costs;
mod dehb;
mod fifo;
mod hyperband;
mod hypertune;
mod levels;
mod median;
mod pbt;
mod racing;
mod split;

use std::fmt;
use std::str::FromStr;

pub use asha::Asha;
pub use dehb::Dehb;
pub use fifo::Fifo;
pub use hyperband::Hyperband;
pub use hypertune::HyperTune;
pub use median::Median;
pub use pbt::Pbt;
pub use racing::Racing;

use super::advice::Advice;
use super::history::History;
use super::searcher::UnknownName;
use super::stream::Stream;
use crate::words::event::Event;
use crate::words::metric::ValueRule;
use crate::words::schedule::SchedulerOptions;
use crate::words::trial::{Checkpoint, Decision, Trial, TrialId};
use crate::words::value::Config;

/// Why there is no scheduler of these options.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The scheduler needs to know how far a full run goes.
    #[error("scheduler `{scheduler}` needs max_resource, the resource of a full run")]
    NoMaxResource {
        /// The scheduler.
        scheduler: &'static str,
    },
    /// One in fewer than two goes on.
    #[error("eta is {eta}; it is at least 2")]
    Eta {
        /// The number given.
        eta: u64,
    },
    /// The first rung is nowhere.
    #[error("grace is {grace}; it is between 1 and max_resource, which is {max}")]
    Grace {
        /// The resource given.
        grace: u64,
        /// The maximal resource.
        max: u64,
    },
    /// The rungs are in no order, or end too late.
    #[error("the rungs {rungs:?} do not increase from 1 on to below max_resource, which is {max}")]
    Rungs {
        /// Those given.
        rungs: Vec<u64>,
        /// The maximal resource.
        max: u64,
    },
    /// There are fewer brackets.
    #[error("there are {most} brackets and not {brackets}; use as many, or 0 for all")]
    Brackets {
        /// How many were asked for.
        brackets: u64,
        /// How many there are.
        most: usize,
    },
    /// The share of others that may be better.
    #[error("share is {share}; it is above 0 and below 1")]
    Share {
        /// The share given.
        share: f64,
    },
    /// The first comparison would be past the end.
    #[error("interval is {interval}; it is at most max_resource, which is {max}")]
    Interval {
        /// The resource given.
        interval: u64,
        /// The maximal resource.
        max: u64,
    },
    /// The share of a population that is replaced.
    #[error("quantile is {quantile}; it is above 0 and at most 0.5")]
    Quantile {
        /// The share given.
        quantile: f64,
    },
    /// A population of one.
    #[error("members is {members}; a population has at least 2")]
    Members {
        /// The number given.
        members: u64,
    },
    /// A race that nobody can win, or lose.
    #[error("drop is {drop} and accept {accept}; they are above 0 and below 1, and drop is the smaller one")]
    Chances {
        /// Below which probability a challenger is dropped.
        drop: f64,
        /// Above which it is accepted.
        accept: f64,
    },
    /// More replicates are needed than there will be, or none.
    #[error("replicates is {replicates}; it is between 1 and max_resource, which is {max}")]
    Replicates {
        /// The number given.
        replicates: u64,
        /// The maximal resource.
        max: u64,
    },
    /// A wrapper around nothing.
    #[error("`median` wraps no scheduler `{within}`; give `within` the name of another one")]
    Within {
        /// What was to be wrapped.
        within: String,
    },
}

/// What a free worker shall do.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Job {
    /// Start a new trial.
    Start {
        /// How far to run before the next decision is due; `None`: to the end.
        resource: Option<u64>,
    },
    /// Go on with a paused trial.
    Resume {
        /// Which.
        trial: TrialId,
        /// How far to run before the next decision is due; `None`: to the end.
        resource: Option<u64>,
    },
    /// Start a new trial that goes on from another one's checkpoint.
    Copy {
        /// Whose, and as it was when.
        from: Checkpoint,
        /// The new trial's configuration.
        config: Config,
        /// How far to run before the next decision is due; `None`: to the end.
        resource: Option<u64>,
    },
    /// Nothing until a result arrives.
    Wait,
}

/// Allocates resources to trials.
///
/// The contract:
/// - Answers MUST be a function of the study's events and the stream alone. Each event is shown to `observe`, when it happens
///   and when it is replayed; what is kept MUST change there and nowhere else.
/// - `next` MUST resume only trials that are paused, and MUST NOT answer [`Job::Wait`] while nothing is pending.
/// - Where no trial may start ([`History::may_start`]), `next` SHOULD resume one that is paused, if that is any use.
/// - A failed trial MUST count as the worst, so that nothing waits for it for ever.
/// - `on_report` sees the trial with the new report already in it.
pub trait Scheduler: Send {
    /// The name a study is journalled under.
    fn name(&self) -> &str;

    /// What a free worker shall do; interrupted trials have been given out before this is asked.
    fn next(&mut self, history: &History<'_>, stream: &mut Stream) -> Job;

    /// What `trial` shall do, which has just reported. `observe` sees the report after this, with the decision.
    fn on_report(&mut self, history: &History<'_>, trial: &Trial) -> Decision;

    /// Takes notice of an event; `history` has it already.
    fn observe(&mut self, history: &History<'_>, event: &Event) {
        let _ = (history, event);
    }

    /// What it knows that searchers, recommendations and keepers of checkpoints go by, as of now; a function of what it
    /// has observed.
    fn advice(&self, history: &History<'_>) -> Advice {
        let _ = history;
        Advice::default()
    }
}

/// The highest level with enough values for a model of the space, the first where there is none, from what is known of
/// each (Falkner, Klein and Hutter 2018). `None` where reports are replicates: they are of the same thing at any resource.
fn enough(values: &[usize], history: &History<'_>) -> Option<usize> {
    if history.metric().value == ValueRule::Mean {
        return None;
    }
    let least = history.space().len() + 1;
    Some(values.iter().rposition(|n| *n >= least).unwrap_or(0))
}

/// What a trial is compared by when it reports a value: that, or the mean of its replicates so far.
fn standing(history: &History<'_>, trial: TrialId, value: f64) -> f64 {
    let replicates = history.metric().value == ValueRule::Mean;
    let reported = history.trial(trial).filter(|_| replicates);
    history.goal().loss(reported.and_then(|t| t.value(ValueRule::Mean)).unwrap_or(value))
}

/// The schedulers there are by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SchedulerKind {
    /// Every trial runs to its end, in the order of asking.
    #[default]
    Fifo,
    /// Asynchronous successive halving that stops.
    Asha,
    /// Asynchronous successive halving that pauses and promotes.
    AshaPromotion,
    /// Synchronous Hyperband.
    Hyperband,
    /// Asynchronous Hyperband: promotion in several brackets.
    HyperbandAsync,
    /// Promotion up to a resource that grows with need.
    Pasha,
    /// The median stopping rule around another scheduler.
    Median,
    /// Synchronous Hyperband with densities of good and bad configurations.
    Bohb,
    /// Asynchronous Hyperband with a Gaussian process over configuration and resource.
    Mobster,
    /// The same in the brackets that tell most.
    HyperTune,
    /// Population-based training.
    Pbt,
    /// Replicates until it is clear who is better, against an incumbent that is measured again and again.
    Racing,
    /// Synchronous Hyperband whose rungs evolve.
    Dehb,
}

impl SchedulerKind {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Fifo,
        Self::Asha,
        Self::AshaPromotion,
        Self::Hyperband,
        Self::HyperbandAsync,
        Self::Pasha,
        Self::Median,
        Self::Bohb,
        Self::Mobster,
        Self::HyperTune,
        Self::Pbt,
        Self::Racing,
        Self::Dehb,
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
            Self::Asha => "asha",
            Self::AshaPromotion => "asha_promotion",
            Self::Hyperband => "hyperband",
            Self::HyperbandAsync => "hyperband_async",
            Self::Pasha => "pasha",
            Self::Median => "median",
            Self::Bohb => "bohb",
            Self::Mobster => "mobster",
            Self::HyperTune => "hypertune",
            Self::Pbt => "pbt",
            Self::Racing => "racing",
            Self::Dehb => "dehb",
        }
    }

    /// The kind of this name.
    ///
    /// # Errors
    /// A name there is none of; the error lists those there are.
    pub fn from_name(name: &str) -> Result<Self, UnknownName> {
        let known = Self::ALL.into_iter().find(|k| k.as_str() == name);
        known.ok_or_else(|| UnknownName::new("scheduler", name, Self::ALL.map(Self::as_str)))
    }

    /// A new scheduler of this kind.
    ///
    /// # Errors
    /// Options out of their bounds, or no maximal resource where the kind needs one.
    pub fn build(
        self,
        options: &SchedulerOptions,
        max_resource: Option<u64>,
    ) -> Result<Box<dyn Scheduler>, ScheduleError> {
        let max = || max_resource.ok_or(ScheduleError::NoMaxResource { scheduler: self.as_str() });
        Ok(match self {
            Self::Fifo => Box::new(Fifo),
            Self::Asha => Box::new(Asha::stopping(options, max()?)?),
            Self::AshaPromotion => Box::new(Asha::promotion(options, max()?)?),
            Self::Hyperband => Box::new(Hyperband::new(options, max()?)?),
            Self::HyperbandAsync => Box::new(Asha::hyperband(options, max()?)?),
            Self::Pasha => Box::new(Asha::pasha(options, max()?)?),
            Self::Bohb => Box::new(Hyperband::named("bohb", options, max()?)?),
            Self::Racing => Box::new(Racing::new(options, max()?)?),
            Self::Dehb => Box::new(Dehb::new(options, max()?)?),
            Self::Mobster => Box::new(Asha::modelled("mobster", options, max()?)?),
            Self::HyperTune => Box::new(HyperTune::new(options, max()?)?),
            Self::Pbt => Box::new(Pbt::new(options, max()?)?),
            Self::Median => {
                let within = Self::within(options);
                let within = within.ok_or_else(|| ScheduleError::Within { within: options.within.clone() })?;
                Box::new(Median::new(options, within.build(options, max_resource)?)?)
            }
        })
    }

    /// What `median` wraps.
    pub(in crate::rules) fn within(options: &SchedulerOptions) -> Option<Self> {
        Self::from_name(&options.within).ok().filter(|kind| *kind != Self::Median)
    }
}

impl fmt::Display for SchedulerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SchedulerKind {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::from_name(name)
    }
}

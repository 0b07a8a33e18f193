//! `Scheduler`: decides *how much* to spend on a trial, and when to stop it. The searcher chooses the configuration.
//!
//! The implementations live in `scheduler/`, one per file; the suite that all of them pass is in `rules/conformance/`.

mod asha;
mod costs;
mod dehb;
mod dyhpo;
mod fifo;
mod front;
mod hyperband;
mod hypertune;
mod levels;
mod median;
mod pasha;
mod pbt;
mod racing;
mod rung;
mod split;

pub use asha::Asha;
pub use dehb::Dehb;
pub use dyhpo::Dyhpo;
pub use fifo::Fifo;
pub use hyperband::Hyperband;
pub use hypertune::HyperTune;
pub use median::Median;
pub use pbt::Pbt;
pub use racing::Racing;

use super::advice::Advice;
use super::history::History;
use super::stream::Stream;
use crate::words::event::Event;
use crate::words::metric::ValueRule;
use crate::words::schedule::SchedulerSpec;
use crate::words::trial::{Checkpoint, Decision, Trial, TrialId};
use crate::words::value::Config;

/// Why a scheduler cannot be made with these options.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The scheduler needs the resource of a full run.
    #[error("scheduler `{scheduler}` needs max_resource, the resource of a full run")]
    NoMaxResource {
        /// The scheduler.
        scheduler: String,
    },
    /// `eta` is below 2.
    #[error("eta is {eta}; it is at least 2")]
    Eta {
        /// The number given.
        eta: u64,
    },
    /// The first rung is out of range.
    #[error("grace is {grace}; it is between 1 and max_resource, which is {max}")]
    Grace {
        /// The resource given.
        grace: u64,
        /// The maximal resource.
        max: u64,
    },
    /// The rungs do not increase, or end too late.
    #[error("the rungs {rungs:?} do not increase from 1 on to below max_resource, which is {max}")]
    Rungs {
        /// Those given.
        rungs: Vec<u64>,
        /// The maximal resource.
        max: u64,
    },
    /// More brackets are requested than exist.
    #[error("there are {most} brackets and not {brackets}; use as many, or 0 for all")]
    Brackets {
        /// The number that was asked for.
        brackets: u64,
        /// The number there is.
        most: usize,
    },
    /// The share of others that may be better.
    #[error("share is {share}; it is above 0 and below 1")]
    Share {
        /// The share given.
        share: f64,
    },
    /// The first comparison would be after the end.
    #[error("interval is {interval}; it is at most max_resource, which is {max}")]
    Interval {
        /// The resource given.
        interval: u64,
        /// The maximal resource.
        max: u64,
    },
    /// There would be more levels than a model can learn.
    #[error(
        "interval is {interval}; up to max_resource, which is {max}, that makes more than {most} levels: enlarge it"
    )]
    Levels {
        /// The resource given.
        interval: u64,
        /// The maximal resource.
        max: u64,
        /// The most levels.
        most: u64,
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
    /// A race that no challenger can win, or lose.
    #[error("drop is {drop} and accept {accept}; they are above 0 and below 1, and drop is the smaller one")]
    Chances {
        /// Below which probability a challenger is dropped.
        drop: f64,
        /// Above which it is accepted.
        accept: f64,
    },
    /// The number of replicates is 0, or above the largest possible number.
    #[error("replicates is {replicates}; it is between 1 and max_resource, which is {max}")]
    Replicates {
        /// The number given.
        replicates: u64,
        /// The maximal resource.
        max: u64,
    },
    /// `median` around itself.
    #[error("`median` cannot wrap `median`; wrap another scheduler")]
    Within,
    /// `median` and the scheduler it wraps have one `grace`.
    #[error(
        "grace of `median` is {grace} and that of `{within}`, which it wraps, {inner}; they are one option, so make them equal"
    )]
    MedianGrace {
        /// The grace of `median`.
        grace: u64,
        /// The scheduler it wraps.
        within: String,
        /// The resource of that scheduler's first rung.
        inner: u64,
    },
    /// Only the caller can make a scheduler that is not this crate's.
    #[error(
        "scheduler `{scheduler}` is not one of tunekit's; give it to the study with `Study::with` or `Tuner::with`"
    )]
    Own {
        /// Its name.
        scheduler: String,
    },
}

/// The next job of a free worker.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Job {
    /// Start a new trial.
    Start {
        /// The resource at which the next decision is due; `None`: run to the end.
        resource: Option<u64>,
    },
    /// Continue a paused trial.
    Resume {
        /// The trial.
        trial: TrialId,
        /// The resource at which the next decision is due; `None`: run to the end.
        resource: Option<u64>,
    },
    /// Start a new trial that continues from another trial's checkpoint.
    Copy {
        /// The trial and the resource whose state is copied.
        from: Checkpoint,
        /// The new trial's configuration.
        config: Config,
        /// The resource at which the next decision is due; `None`: run to the end.
        resource: Option<u64>,
    },
    /// Nothing until a result arrives.
    Wait,
}

/// Allocates resources to trials.
///
/// [`conformance`](crate::scheduler::conformance) checks this contract, for this crate's schedulers and in your tests
/// for yours:
/// - Answers MUST be a function of the study's events and the stream alone. Each event is shown to `observe`, when it
///   happens and when it is replayed; the scheduler's state MUST change there and nowhere else.
/// - `next` MUST resume only trials that are paused, and MUST NOT answer [`Job::Wait`] while nothing is pending.
/// - If no trial may start ([`History::may_start`]), `next` SHOULD resume a paused trial, if that is useful.
/// - A job's resource MUST be above the resource at which it begins, and at most the maximal resource. At the maximal
///   resource a trial MUST NOT pause. If reports are replicates ([`Advice::replicates`]), paused trials may continue
///   beyond it.
/// - A failed trial MUST count as the worst, so that no trial waits for it for ever. A study with a limit of trials
///   MUST end.
/// - `on_report` sees the trial with the new report already in it.
pub trait Scheduler: Send {
    /// The name in a study's journal.
    fn name(&self) -> &str;

    /// The description for the journal: the name, and the options of one of this crate's schedulers. Your own scheduler
    /// must have a different name.
    fn spec(&self) -> SchedulerSpec {
        SchedulerSpec::Own { name: self.name().to_owned() }
    }

    /// The job for a free worker. Interrupted trials are given out before this is called.
    fn next(&mut self, history: &History<'_>, stream: &mut Stream) -> Job;

    /// The decision on `trial`, which has just reported. `observe` sees the report after this, with the decision.
    fn on_report(&mut self, history: &History<'_>, trial: &Trial) -> Decision;

    /// Observes an event, which `history` contains already.
    fn observe(&mut self, history: &History<'_>, event: &Event) {
        let _ = (history, event);
    }

    /// Its advice for searchers, recommendations and keepers of checkpoints, as of now: a function of the events it has
    /// observed.
    fn advice(&self, history: &History<'_>) -> Advice {
        let _ = history;
        Advice::default()
    }
}

/// The highest level with enough values for a model of the space, the first where there is none, from the values known
/// at each (Falkner, Klein and Hutter 2018). `None` where reports are replicates: they measure the same thing at any
/// resource.
fn enough(values: &[usize], history: &History<'_>) -> Option<usize> {
    if history.metric().value == ValueRule::Mean {
        return None;
    }
    let least = history.space().len() + 1;
    Some(values.iter().rposition(|n| *n >= least).unwrap_or(0))
}

/// The value that a trial is compared by when it reports `value`: that, or the mean of its replicates so far.
fn standing(history: &History<'_>, trial: TrialId, value: f64) -> f64 {
    let replicates = history.metric().value == ValueRule::Mean;
    let reported = history.trial(trial).filter(|_| replicates);
    history.goal().loss(reported.and_then(|t| t.value(ValueRule::Mean)).unwrap_or(value))
}

impl SchedulerSpec {
    /// A new scheduler of this kind and with these options.
    ///
    /// # Errors
    /// An option is out of range, the scheduler needs a maximal resource, or it is not one of this crate's.
    pub fn build(&self, max_resource: Option<u64>) -> Result<Box<dyn Scheduler>, ScheduleError> {
        let max = || max_resource.ok_or_else(|| ScheduleError::NoMaxResource { scheduler: self.name().to_owned() });
        Ok(match self {
            Self::Fifo => Box::new(Fifo),
            Self::Asha(_) | Self::AshaPromotion(_) | Self::Pasha(_) | Self::HyperbandAsync(_) | Self::Mobster(_) => {
                Box::new(Asha::new(self, max()?)?)
            }
            Self::MoAsha(_) | Self::Rush(_) => Box::new(Asha::new(self, max()?)?),
            Self::Hyperband(options) | Self::Bohb(options) => Box::new(Hyperband::new(self, options, max()?)?),
            Self::Dehb(options) => Box::new(Dehb::new(options, max()?)?),
            Self::HyperTune(_) => Box::new(HyperTune::new(self, max()?)?),
            Self::Pbt(options) => Box::new(Pbt::new(options, max()?)?),
            Self::Dyhpo(options) => Box::new(Dyhpo::new(options, max()?)?),
            Self::Racing(options) => Box::new(Racing::new(options, max()?)?),
            Self::Median(options) => Box::new(Median::new(options, max_resource)?),
            Self::Own { name } => return Err(ScheduleError::Own { scheduler: name.clone() }),
        })
    }
}

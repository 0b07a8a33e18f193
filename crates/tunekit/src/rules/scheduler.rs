//! `Scheduler`: *how much* to spend on a trial, and when to stop it. Which configuration to try is the searcher's business.
//!
//! The kinds live in `scheduler/`, one a file.

mod fifo;

use std::fmt;
use std::str::FromStr;

pub use fifo::Fifo;

use super::history::History;
use super::searcher::UnknownName;
use super::stream::Stream;
use crate::words::trial::{Decision, Trial, TrialId};

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
    /// Nothing until a result arrives.
    Wait,
}

/// Allocates resources to trials.
///
/// The contract:
/// - Answers MUST be a function of the history and the stream alone; state kept between calls MUST be a cache.
/// - `next` MUST resume only trials that are paused, and MUST NOT answer [`Job::Wait`] while nothing is pending.
/// - A failed trial MUST count as the worst, so that nothing waits for it for ever.
/// - `on_report` sees the trial with the new report already in it.
pub trait Scheduler: Send {
    /// The name a study is journalled under.
    fn name(&self) -> &str;

    /// What a free worker shall do; interrupted trials have been given out before this is asked.
    fn next(&mut self, history: &History<'_>, stream: &mut Stream) -> Job;

    /// What `trial` shall do, which has just reported.
    fn on_report(&mut self, history: &History<'_>, trial: &Trial) -> Decision;
}

/// The schedulers there are by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SchedulerKind {
    /// Every trial runs to its end, in the order of asking.
    #[default]
    Fifo,
}

impl SchedulerKind {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Fifo];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fifo => "fifo",
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
    pub fn build(self) -> Box<dyn Scheduler> {
        match self {
            Self::Fifo => Box::new(Fifo),
        }
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

//! The searcher and the scheduler of a study, which make its decisions. Some schedulers bring their own searcher.

use crate::rules::scheduler::Scheduler;
use crate::rules::searcher::{Bohb, Dehb, Dyhpo, HyperTune, Mobster, Searcher, SearcherKind};
use crate::words::schedule::SchedulerSpec;

/// A study's searcher and scheduler.
pub(crate) type Deciders = (Box<dyn Searcher>, Box<dyn Scheduler>);

impl SchedulerSpec {
    /// Whether it brings its own searcher, which replaces the one that a setup names. `median` brings the searcher of
    /// the scheduler that it wraps.
    pub fn has_searcher(&self) -> bool {
        brought(self).is_some()
    }

    /// A new searcher of the kind that it brings, for [`Study::with`](crate::Study::with) together with
    /// [`SchedulerSpec::build`]; `None` if it works with any searcher.
    pub fn build_searcher(&self) -> Option<Box<dyn Searcher>> {
        brought(self)
    }
}

/// The searcher that works under a scheduler: the scheduler's own searcher, or the requested one.
pub(super) fn searcher(scheduler: &SchedulerSpec, asked: SearcherKind) -> Box<dyn Searcher> {
    brought(scheduler).unwrap_or_else(|| asked.build())
}

/// The searcher that a scheduler brings.
pub(super) fn brought(scheduler: &SchedulerSpec) -> Option<Box<dyn Searcher>> {
    match scheduler {
        SchedulerSpec::Bohb(_) => Some(Box::new(Bohb)),
        SchedulerSpec::Mobster(options) => Some(Box::new(Mobster::new(options.kernel))),
        SchedulerSpec::HyperTune(options) => Some(Box::new(HyperTune::new(options.kernel))),
        SchedulerSpec::Median(options) => brought(&options.within),
        SchedulerSpec::Dehb(_) => Some(Box::new(Dehb)),
        SchedulerSpec::Dyhpo(options) => Some(Box::new(Dyhpo::new(options.kernel))),
        _ => None,
    }
}

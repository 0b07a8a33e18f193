//! The two that decide in a study: a searcher and a scheduler. Some schedulers bring their searcher.

use crate::rules::scheduler::{Scheduler, SchedulerKind};
use crate::rules::searcher::{Bohb, Dehb, HyperTune, Mobster, Searcher, SearcherKind};
use crate::words::schedule::SchedulerOptions;

/// A study's searcher and scheduler.
pub(crate) type Deciders = (Box<dyn Searcher>, Box<dyn Scheduler>);

impl SchedulerKind {
    /// Whether it brings a searcher of its own, which takes the place of the one a setup names. `median` brings that of
    /// what it wraps.
    pub fn has_searcher(self, options: &SchedulerOptions) -> bool {
        brought(self, options).is_some()
    }
}

/// The searcher that works under a scheduler: the one that it brings, or the one asked for.
pub(super) fn searcher(kind: SchedulerKind, options: &SchedulerOptions, asked: SearcherKind) -> Box<dyn Searcher> {
    brought(kind, options).unwrap_or_else(|| asked.build())
}

/// The searcher that a scheduler brings.
pub(super) fn brought(kind: SchedulerKind, options: &SchedulerOptions) -> Option<Box<dyn Searcher>> {
    match kind {
        SchedulerKind::Bohb => Some(Box::new(Bohb)),
        SchedulerKind::Mobster => Some(Box::new(Mobster::new(options.kernel))),
        SchedulerKind::HyperTune => Some(Box::new(HyperTune::new(options.kernel))),
        SchedulerKind::Median => brought(SchedulerKind::within(options)?, options),
        SchedulerKind::Dehb => Some(Box::new(Dehb)),
        _ => None,
    }
}

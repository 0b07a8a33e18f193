//! A study from its events, the same that they came from.

use std::sync::Mutex;

use super::deciders::brought;
use super::state::{ReplayError, State};
use super::{Event, Header, Scheduler, SchedulerSpec, Searcher, SearcherKind, Study};
use crate::words::name::UnknownName;
use crate::words::schedule::SchedulerKind;

impl Study {
    /// The study these events came from.
    ///
    /// Trials that were running stay so: where their runs are gone, say so with [`Study::interrupt_open`], and they are
    /// asked for again.
    ///
    /// # Errors
    /// No header first, a later schema, a searcher or scheduler this crate does not have, or events that contradict
    /// each other.
    pub fn replay(events: impl IntoIterator<Item = Event>) -> Result<Self, ReplayError> {
        let mut events = events.into_iter();
        let header = State::header(events.next())?;
        let unknown = |source: UnknownName| ReplayError::Unknown(source);
        if let SchedulerSpec::Own { name } = &header.scheduler {
            SchedulerKind::from_name(name).map_err(unknown)?;
        }
        let scheduler = header.scheduler.build(header.max_resource).map_err(ReplayError::Schedule)?;
        let searcher = match brought(&header.scheduler) {
            Some(brought) => brought,
            None => SearcherKind::from_name(&header.searcher).map_err(unknown)?.build(),
        };
        Self::fold(header, events, searcher, scheduler)
    }

    /// As [`Study::replay`], with a searcher and a scheduler of your own.
    ///
    /// # Errors
    /// As [`Study::replay`]; another searcher or scheduler than those in the header, or other options.
    pub fn replay_with(
        events: impl IntoIterator<Item = Event>,
        searcher: Box<dyn Searcher>,
        scheduler: Box<dyn Scheduler>,
    ) -> Result<Self, ReplayError> {
        let mut events = events.into_iter();
        let header = State::header(events.next())?;
        if header.searcher != searcher.name() {
            let (wanted, given) = (header.searcher, searcher.name().to_owned());
            return Err(ReplayError::Other { what: "searcher", wanted, given });
        }
        let given = scheduler.spec();
        if header.scheduler != given {
            let (wanted, given) = (header.scheduler.to_string(), given.to_string());
            return Err(ReplayError::Other { what: "scheduler", wanted, given });
        }
        Self::fold(header, events, searcher, scheduler)
    }

    fn fold(
        header: Header,
        events: impl Iterator<Item = Event>,
        searcher: Box<dyn Searcher>,
        mut scheduler: Box<dyn Scheduler>,
    ) -> Result<Self, ReplayError> {
        let mut state = State::new(header);
        let mut at_s = None;
        for (i, event) in events.enumerate() {
            at_s = event.at_s().or(at_s);
            state.apply(&event).map_err(|what| ReplayError::Contradiction { event: i + 1, what })?;
            scheduler.observe(&state.history(), &event);
        }
        Ok(Self { state, searcher: Mutex::new(searcher), scheduler, max_trials: None, at_s, fresh: Vec::new() })
    }
}

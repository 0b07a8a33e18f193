//! A study from its events, equal to the study that they came from.

use std::sync::Mutex;

use super::deciders::brought;
use super::state::{ReplayError, State};
use super::{Event, Header, Scheduler, SchedulerSpec, Searcher, SearcherKind, Study};
use crate::words::name::UnknownName;
use crate::words::schedule::SchedulerKind;
use crate::words::trial::Measured;

/// A difference between a journal and the decisions of its study.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Its events do not form a study.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// A derived decision differs from the recorded one.
    #[error("event {event} is {recorded}, but the events before it lead to {derived}")]
    Differs {
        /// The event's number; the header is 0.
        event: usize,
        /// The event in the journal.
        recorded: String,
        /// The derived event.
        derived: String,
    },
}

impl Study {
    /// The study from which these events came.
    ///
    /// Running trials stay running. If their runs are gone, call [`Study::interrupt_open`], and the trials are given
    /// out again.
    ///
    /// # Errors
    /// The first event is not a header, the schema is a later one, the searcher or scheduler is not this crate's, or
    /// events contradict each other.
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

    /// As [`Study::replay`], with your own searcher and scheduler.
    ///
    /// # Errors
    /// As [`Study::replay`]; also if searcher, scheduler or options differ from those in the header.
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

    /// Derives every decision in these events again from the events before it: the suggested configurations, the
    /// answers to reports, and the judgements of the noise floor. Returns the number of decisions.
    ///
    /// Schedulers may depend on the limit of trials ([`Study::limit_trials`]), which the events record. Journals begun
    /// before schema 8 have no limits; for them `max_trials` is used, which has no effect on later journals. Such a
    /// study may have had another limit at another time, so a decision counts as derived if it follows either with or
    /// without a further trial allowed.
    ///
    /// # Errors
    /// The events do not form a study, or a derived decision differs.
    pub fn verify(events: impl IntoIterator<Item = Event>, max_trials: Option<u64>) -> Result<usize, VerifyError> {
        let events: Vec<Event> = events.into_iter().collect();
        let mut study = Self::replay(events.first().cloned())?;
        let is_limit_known = study.header().has_limits();
        if !is_limit_known {
            study.state.max_trials = max_trials;
        }
        let mut decisions = 0;
        for (i, event) in events.iter().enumerate().skip(1) {
            let is_decision = matches!(event, Event::Ask { .. } | Event::Report { .. } | Event::Floor { .. });
            decisions += usize::from(is_decision);
            let may_start = study.may_start();
            let derived = study.derive(i, event);
            if derived.is_ok() || !is_decision || is_limit_known {
                derived?;
                continue;
            }
            let mut other = Self::replay(events[..i].iter().cloned())?;
            other.state.max_trials = may_start.then_some(0);
            if other.derive(i, event).is_err() {
                derived?;
            }
            study = other;
        }
        Ok(decisions)
    }

    /// Repeats the action that led to the next event, which has this number; the action must give the same event again.
    fn derive(&mut self, number: usize, event: &Event) -> Result<(), VerifyError> {
        self.at_s = event.at_s();
        let contradicts = |what: String| VerifyError::Replay(ReplayError::Contradiction { event: number, what });
        let text = |error: &dyn std::fmt::Display| contradicts(error.to_string());
        match event {
            Event::Header(_) => return Err(contradicts("a second header".to_owned())),
            Event::Ask { .. } => drop(self.ask().map_err(|error| text(&error))?),
            Event::Report { trial, step, value, more, constraints, cost, .. } => {
                let (more, constraints) = (more.clone(), constraints.clone());
                let value = value.unwrap_or(f64::NAN);
                let measured = Measured { more, constraints, cost: *cost, ..Measured::new(value) };
                self.report(*trial, *step, measured).map_err(|error| text(&error))?;
            }
            Event::Tell { trial, outcome, .. } => {
                self.tell(*trial, outcome.clone()).map_err(|error| text(&error))?;
            }
            Event::Interrupt { trial, .. } => self.interrupt(*trial).map_err(|error| text(&error))?,
            Event::Add { config, measured, .. } => {
                self.add(config, (**measured).clone()).map_err(|error| text(&error))?;
            }
            Event::Limit { max_trials, .. } => self.limit_trials(*max_trials),
            Event::Floor { factor, .. } => self.judge_floor(*factor),
        }
        let derived = self.take_events();
        if derived.as_slice() == std::slice::from_ref(event) {
            return Ok(());
        }
        let derived = derived.first().map_or_else(|| "nothing to do".to_owned(), Event::to_line);
        Err(VerifyError::Differs { event: number, recorded: event.to_line(), derived })
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
        Ok(Self { state, searcher: Mutex::new(searcher), scheduler, at_s, tried_floor: None, fresh: Vec::new() })
    }
}

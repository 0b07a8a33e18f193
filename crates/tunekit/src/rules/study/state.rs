//! The state of a study, and the one function that folds events into it.

use crate::rules::advice::Advice;
use crate::rules::history::{History, Index};
use crate::rules::scheduler::ScheduleError;
use crate::words::event::{Event, Header, SCHEMA};
use crate::words::name::UnknownName;
use crate::words::trial::{
    Beside, Decision, Measured, Measurement, NoiseFloor, Origin, Outcome, Status, Trial, TrialId,
};
use crate::words::value::Config;

/// Why events do not form a study.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// The first event is not a header.
    #[error("the first event is not a header")]
    NoHeader,
    /// The journal was written by a later version.
    #[error("the journal has schema {found}, this version reads up to {known}; use a newer tunekit")]
    Schema {
        /// The schema found.
        found: u32,
        /// The latest this version reads.
        known: u32,
    },
    /// The header names a searcher or scheduler this crate does not have.
    #[error("{0}; replay a journal of your own searcher with `replay_with`")]
    Unknown(UnknownName),
    /// The header's scheduler cannot work with its options.
    #[error(transparent)]
    Schedule(ScheduleError),
    /// The journal has another searcher or scheduler than the given one.
    #[error("the journal is of {what} `{wanted}`, not `{given}`")]
    Other {
        /// `searcher` or `scheduler`.
        what: &'static str,
        /// The one in the header.
        wanted: String,
        /// The one given.
        given: String,
    },
    /// An event does not follow from those before it.
    #[error("event {event} contradicts those before it: {what}")]
    Contradiction {
        /// Number of the event; the header is 0.
        event: usize,
        /// The contradiction.
        what: String,
    },
}

/// The fold.
#[derive(Debug, Clone)]
pub(super) struct State {
    pub(super) header: Header,
    pub(super) trials: Vec<Trial>,
    pub(super) index: Index,
    /// The most trials that are started; `None`: no limit.
    pub(super) max_trials: Option<u64>,
    /// The number of runs that ended, by the trial's end or by a pause; added results count.
    pub(super) runs: u64,
    /// The last judgement of the noise floor, and the number of runs that had ended by then.
    pub(super) floor: Option<(NoiseFloor, u64)>,
}

/// A study's header, its trials and its scheduler's advice, without the searcher: the source of tables.
pub(in crate::rules) struct Trials {
    pub(in crate::rules) header: Header,
    pub(in crate::rules) trials: Vec<Trial>,
    pub(in crate::rules) advice: Advice,
}

impl Trials {
    /// Folds a whole journal. A scheduler that this crate does not have gives no advice.
    pub(in crate::rules) fn fold(events: impl IntoIterator<Item = Event>) -> Result<Self, ReplayError> {
        let mut events = events.into_iter();
        let mut state = State::new(State::header(events.next())?);
        let mut scheduler = state.header.scheduler.build(state.header.max_resource).ok();
        for (i, event) in events.enumerate() {
            state.apply(&event).map_err(|what| ReplayError::Contradiction { event: i + 1, what })?;
            if let Some(scheduler) = &mut scheduler {
                scheduler.observe(&state.history(), &event);
            }
        }
        let advice = scheduler.map(|scheduler| scheduler.advice(&state.history())).unwrap_or_default();
        Ok(Self { header: state.header, trials: state.trials, advice })
    }
}

impl State {
    pub(super) fn new(header: Header) -> Self {
        Self { header, trials: Vec::new(), index: Index::default(), max_trials: None, runs: 0, floor: None }
    }

    /// The header that a journal's first event must be.
    pub(super) fn header(first: Option<Event>) -> Result<Header, ReplayError> {
        match first {
            Some(Event::Header(h)) if h.schema > SCHEMA => Err(ReplayError::Schema { found: h.schema, known: SCHEMA }),
            Some(Event::Header(h)) => Ok(*h),
            _ => Err(ReplayError::NoHeader),
        }
    }

    pub(super) fn history(&self) -> History<'_> {
        History::of(&self.header, &self.trials).indexed(&self.index)
    }

    pub(super) fn trial(&self, trial: TrialId) -> Option<&Trial> {
        usize::try_from(trial.0).ok().and_then(|i| self.trials.get(i))
    }

    fn trial_mut(&mut self, trial: TrialId) -> Option<&mut Trial> {
        usize::try_from(trial.0).ok().and_then(|i| self.trials.get_mut(i))
    }

    /// Adds a report, without the decision that will come of it.
    pub(super) fn measure(&mut self, trial: TrialId, measurement: Measurement) {
        if let Some(t) = self.trial_mut(trial) {
            t.measurements.push(measurement);
        }
    }

    /// Takes the last report back.
    pub(super) fn unmeasure(&mut self, trial: TrialId) {
        if let Some(t) = self.trial_mut(trial) {
            t.measurements.pop();
        }
    }

    /// Folds one event in; the state is unchanged if the event does not fit.
    pub(super) fn apply(&mut self, event: &Event) -> Result<(), String> {
        if let Some(trial) = self.change(event)? {
            // A changed trial is in the list, so its number is an index.
            self.index.update(&self.trials, trial.0 as usize);
        }
        let ends = match event {
            Event::Report { decision, .. } => *decision == Decision::Pause,
            Event::Tell { .. } | Event::Add { .. } => true,
            _ => false,
        };
        self.runs += u64::from(ends);
        Ok(())
    }

    /// Changes one trial, and returns its number; or changes the state of the whole study.
    fn change(&mut self, event: &Event) -> Result<Option<TrialId>, String> {
        match event {
            Event::Header(_) => Err("a second header".to_owned()),
            Event::Limit { max_trials, .. } => {
                self.max_trials = *max_trials;
                Ok(None)
            }
            Event::Floor { trial, gain, noise, .. } => {
                self.floor = Some((NoiseFloor { trial: *trial, gain: *gain, noise: *noise }, self.runs));
                Ok(None)
            }
            Event::Ask { trial, config, origin, resource, resumed, from, attempt, at_s } => {
                let config = self.adopt(config)?;
                if trial.0 == self.trials.len() as u64 {
                    if let Some(parent) = from.filter(|f| self.trial(f.trial).is_none()) {
                        return Err(format!("trial {trial} is a copy of trial {}, which is unknown", parent.trial));
                    }
                    let new = new_trial(*trial, config.clone(), *origin, *at_s);
                    self.trials.push(Trial { from: *from, ..new });
                }
                let t = self.trial_mut(*trial).ok_or_else(|| format!("trial {trial} is out of order"))?;
                if t.config != config {
                    return Err(format!("trial {trial} has another configuration than before"));
                }
                if t.is_finished() {
                    return Err(format!("trial {trial} is asked for although it ended"));
                }
                // An attempt that continues from a pause keeps the earlier measurements; an attempt that starts over
                // keeps the resource of its first attempt.
                if t.status == Status::Paused {
                    (t.kept, t.paused_after) = (t.measurements.len(), t.measurements.len());
                }
                t.status = Status::Running;
                t.decision = Decision::Continue;
                (t.resource, t.resumed, t.attempt) = (*resource, *resumed, *attempt);
                Ok(Some(*trial))
            }
            Event::Report { trial, step, value, more, constraints, cost, decision, at_s } => {
                for (what, got, wanted) in [
                    ("further objective(s)", more.len(), self.header.objectives.len()),
                    ("constraint(s)", constraints.len(), self.header.constraints.len()),
                ] {
                    if got != wanted && got != 0 {
                        return Err(format!("{got} {what} where the study has {wanted}"));
                    }
                }
                let t = self.running(*trial)?;
                if t.last_step().is_some_and(|last| last >= *step) {
                    return Err(format!("step {step} of trial {trial} does not increase"));
                }
                match value {
                    Some(value) if t.failure.is_none() => {
                        let beside = Beside::of(more.clone(), constraints.clone());
                        let (step, value, cost, at_s) = (*step, *value, *cost, *at_s);
                        t.measurements.push(Measurement { step, value, beside, cost, at_s });
                    }
                    Some(_) => {}
                    None => t.failure = Some(format!("the report at step {step} is not a finite number")),
                }
                t.decision = *decision;
                if *decision == Decision::Pause {
                    t.status = Status::Paused;
                }
                Ok(Some(*trial))
            }
            Event::Tell { trial, outcome, at_s } => {
                match outcome {
                    Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Infeasible(_) => {}
                    Outcome::Measured(measured) => self.check_measured(measured)?,
                    Outcome::Done if self.trial(*trial).is_some_and(|t| is_complete(&self.header, t)) => {}
                    Outcome::Value(_) | Outcome::Done => self.check_measured(&Measured::default())?,
                }
                let t = self.running(*trial)?;
                tell(t, outcome)?;
                t.ended_s = *at_s;
                Ok(Some(*trial))
            }
            Event::Interrupt { trial, .. } => {
                let keeps = self.header.keeps_interrupted();
                let t = self.running(*trial)?;
                t.status = Status::Interrupted;
                if keeps {
                    t.kept = t.measurements.len();
                }
                t.measurements.truncate(t.kept);
                t.failure = None;
                Ok(Some(*trial))
            }
            Event::Add { trial, config, measured, at_s } => {
                let config = self.adopt(config)?;
                self.check_measured(measured)?;
                if trial.0 != self.trials.len() as u64 {
                    return Err(format!("trial {trial} is out of order"));
                }
                let mut t = new_trial(*trial, config, Origin::Added, *at_s);
                t.ended_s = *at_s;
                take(&mut t, measured, Status::Completed);
                t.measured = Some(measured.clone()).filter(|m| !m.is_plain());
                self.trials.push(t);
                Ok(Some(*trial))
            }
        }
    }

    fn adopt(&self, config: &Config) -> Result<Config, String> {
        self.header.space.adopt(config).map_err(|e| e.to_string())
    }

    /// Whether as much was measured as the header names.
    fn check_measured(&self, measured: &Measured) -> Result<(), String> {
        let (got, wanted) = (measured.more.len(), self.header.objectives.len());
        if got != wanted {
            return Err(format!("{got} further objective(s) where the study has {wanted}"));
        }
        let (got, wanted) = (measured.constraints.len(), self.header.constraints.len());
        if got != wanted {
            return Err(format!("{got} constraint(s) where the study has {wanted}"));
        }
        Ok(())
    }

    fn running(&mut self, trial: TrialId) -> Result<&mut Trial, String> {
        match self.trial_mut(trial) {
            Some(t) if t.status == Status::Running => Ok(t),
            Some(t) => Err(format!("trial {trial} is {}, not running", t.status.as_str())),
            None => Err(format!("trial {trial} is unknown")),
        }
    }
}

/// Whether a trial needs no more than its reports to have all that the study measures.
pub(super) fn is_complete(header: &Header, t: &Trial) -> bool {
    let none = Beside::default();
    let Some(last) = t.measurements.last() else { return false };
    let beside = last.beside.as_deref().unwrap_or(&none);
    beside.more.len() == header.objectives.len() && beside.constraints.len() == header.constraints.len()
}

fn tell(t: &mut Trial, outcome: &Outcome) -> Result<(), String> {
    let good = if t.decision == Decision::Stop { Status::Stopped } else { Status::Completed };
    match outcome {
        Outcome::Value(value) => (t.told, t.status) = (Some(*value), good),
        Outcome::Measured(measured) => {
            take(t, measured, good);
            t.measured = Some(measured.clone());
        }
        Outcome::Done if t.has_samples() => t.status = good,
        Outcome::Done => return Err(format!("trial {} is done without a value", t.id)),
        Outcome::Failed(reason) => (t.failure, t.status) = (Some(reason.clone()), Status::Failed),
        Outcome::TimedOut(reason) => (t.failure, t.status) = (Some(reason.clone()), Status::TimedOut),
        Outcome::Infeasible(reason) => (t.failure, t.status) = (Some(reason.clone()), Status::Infeasible),
    }
    Ok(())
}

/// A value, with which the trial ends well, or a bound.
fn take(t: &mut Trial, measured: &Measured, good: Status) {
    if measured.is_bound {
        (t.at_least, t.status) = (Some(measured.value), Status::CutOff);
    } else {
        (t.told, t.status) = (Some(measured.value), good);
    }
}

fn new_trial(id: TrialId, config: Config, origin: Origin, at_s: Option<f64>) -> Trial {
    Trial {
        id,
        config,
        origin,
        from: None,
        status: Status::Running,
        attempt: 1,
        resource: None,
        resumed: false,
        measurements: Vec::new(),
        told: None,
        at_least: None,
        measured: None,
        failure: None,
        decision: Decision::Continue,
        started_s: at_s,
        ended_s: None,
        kept: 0,
        paused_after: 0,
    }
}

/// A trial that was just asked for.
#[cfg(test)]
pub(in crate::rules) fn blank(id: u64, config: Config, origin: Origin) -> Trial {
    new_trial(TrialId(id), config, origin, None)
}

//! `Study`: a synchronous fold over its events. It has no clock, no I/O and no randomness of its own.
//!
//! Every change of state goes through `apply`, which replaying uses too; asking, reporting and telling only decide the
//! event. The state of the fold is in `study/state.rs`, the replay of events in `study/replay.rs`, the
//! recommendation in `study/best.rs`, and what further trials can gain on it in `study/floor.rs`.

mod best;
mod deciders;
mod floor;
mod refusal;
mod replay;
mod setup;
mod state;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use self::state::State;
use super::advice::Advice;
use super::history::History;
use super::scheduler::{Fifo, Job, Scheduler};
use super::searcher::{Searcher, SearcherKind, SuggestError};
use super::stream::Stream;
use crate::words::event::{Event, Header, SCHEMA};
use crate::words::metric::Metric;
use crate::words::plan::Plan;
use crate::words::schedule::SchedulerSpec;
use crate::words::space::Space;
use crate::words::trial::{
    Ask, Assignment, Beside, Checkpoint, Decision, DoneBecause, Measured, Measurement, Origin, Outcome, Status, Trial,
    TrialId,
};
use crate::words::value::Config;

pub use refusal::TellError;
pub use replay::VerifyError;
pub use setup::{Setup, SetupError};
pub use state::ReplayError;
pub(in crate::rules) use state::Trials;
#[cfg(test)]
pub(in crate::rules) use state::blank;

/// A search for good values of a space's parameters: ask for a trial, run it, tell its result.
///
/// State is a fold over [`Event`]s. Each call that changes it leaves its events in [`Study::take_events`]: store them
/// before acting on the answer (`JournalFile` does), and [`Study::replay`] makes the same study from them.
///
/// ```
/// use tunekit::{Domain, Metric, Outcome, Setup, Space, Study};
///
/// let space = Space::new().with("x", Domain::float(-5.0, 10.0)?)?;
/// let mut study = Study::new(Setup::new(space, Metric::minimize("loss")).seed(1))?;
/// let mut journal = Vec::new();
/// for _ in 0..20 {
///     let Some(job) = study.ask()?.assignment() else { break };
///     journal.extend(study.take_events());
///     let x = job.config.float("x").unwrap_or(0.0);
///     study.tell(job.trial, Outcome::Value((x - 2.0).powi(2)))?;
///     journal.extend(study.take_events());
/// }
/// let best = study.best().ok_or("nothing was measured")?;
/// assert!((best.config.float("x").unwrap_or(0.0) - 2.0).abs() < 1.0);
///
/// // The same events are the same study: it suggests the same next.
/// let mut again = Study::replay(journal)?;
/// assert_eq!(again.ask()?, study.ask()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Study {
    state: State,
    /// Behind a lock, so that a reader of the study may ask the searcher, which then renews its cache.
    searcher: Mutex<Box<dyn Searcher>>,
    scheduler: Box<dyn Scheduler>,
    at_s: Option<f64>,
    /// The number of runs that had ended when the noise floor was last judged, also where that came to nothing.
    tried_floor: Option<u64>,
    fresh: Vec<Event>,
}

impl Study {
    /// A new study.
    ///
    /// # Errors
    /// A setup that cannot be worked with: see [`Setup::header`].
    pub fn new(setup: Setup) -> Result<Self, SetupError> {
        let (searcher, scheduler) = setup.build()?;
        Self::with(setup, searcher, scheduler)
    }

    /// A new study with a searcher and a scheduler of your own; those the setup names are not used.
    ///
    /// # Errors
    /// A setup that cannot be worked with: see [`Setup::header`].
    pub fn with(setup: Setup, searcher: Box<dyn Searcher>, scheduler: Box<dyn Scheduler>) -> Result<Self, SetupError> {
        let header = setup.header_with(&*searcher, &*scheduler)?;
        let event = Event::Header(Box::new(header.clone()));
        let state = State::new(header);
        let searcher = Mutex::new(searcher);
        Ok(Self { state, searcher, scheduler, at_s: None, tried_floor: None, fresh: vec![event] })
    }

    /// A placeholder for a study that is elsewhere.
    pub(crate) fn vacant() -> Self {
        let header = Header {
            schema: SCHEMA,
            space: Space::new(),
            metric: Metric::default(),
            objectives: Vec::new(),
            constraints: Vec::new(),
            cost_aware: false,
            seed: 0,
            searcher: String::new(),
            scheduler: SchedulerSpec::default(),
            max_resource: None,
            budget: None,
            points_to_evaluate: Vec::new(),
        };
        Self {
            state: State::new(header),
            searcher: Mutex::new(SearcherKind::Random.build()),
            scheduler: Box::new(Fifo),
            at_s: None,
            tried_floor: None,
            fresh: Vec::new(),
        }
    }

    /// Sets how many trials may be started in all; added results do not count. `None`, as at first: no limit.
    ///
    /// Schedulers depend on the limit, so a change of it is an event. A study that is replayed has the last limit of
    /// its journal. Journals begun before schema 8 have no limits: set it after the replay.
    pub fn limit_trials(&mut self, max_trials: Option<u64>) {
        if self.state.max_trials == max_trials {
            return;
        }
        if self.header().has_limits() {
            self.record(Event::Limit { max_trials, at_s: self.at_s });
        } else {
            self.state.max_trials = max_trials;
        }
    }

    /// Sets the time in the study: the events of the calls that follow carry it. Without it they carry none, and no
    /// answer ever depends on it.
    pub fn at(&mut self, elapsed: Duration) -> &mut Self {
        self.at_s = Some(elapsed.as_secs_f64());
        self
    }

    /// The latest time the study was told, or found in its events.
    pub fn elapsed(&self) -> Option<Duration> {
        self.at_s.and_then(|s| Duration::try_from_secs_f64(s).ok())
    }

    /// The events since the last call. They are to be stored before the caller acts on an answer.
    #[must_use]
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.fresh)
    }

    /// The study's header: its space, metric, searcher and scheduler.
    pub fn header(&self) -> &Header {
        &self.state.header
    }

    /// All trials, by number.
    pub fn trials(&self) -> &[Trial] {
        &self.state.trials
    }

    /// One trial.
    pub fn trial(&self, trial: TrialId) -> Option<&Trial> {
        self.state.trial(trial)
    }

    /// The view of searchers and schedulers.
    pub fn history(&self) -> History<'_> {
        self.state.history()
    }

    /// Number of trials that were started; added results do not count.
    pub fn started(&self) -> u64 {
        self.state.index.started()
    }

    /// The next trial to run. Interrupted trials come first, with the same number and configuration. Then the scheduler
    /// decides: a paused trial goes on, or a new one starts with the next point to evaluate or the searcher's
    /// suggestion.
    ///
    /// If no trial may start any more, the answer is [`Ask::Done`]. Under a scheduler that pauses trials it is
    /// [`Ask::Wait`] as long as a trial runs, because its result may let a paused one go on.
    ///
    /// # Errors
    /// The searcher fails, or suggests something outside of the space. The study is as before.
    pub fn ask(&mut self) -> Result<Ask, SuggestError> {
        if let Some(place) = self.state.index.first_interrupted() {
            let trial = self.trials()[place].clone();
            let attempt = trial.attempt + 1;
            return Ok(self.give(trial.id, Given { attempt, ..Given::again(&trial) }));
        }
        let next = self.history().next_trial();
        let job = self.schedule(self.may_start());
        match job {
            Job::Wait => Ok(Ask::Wait),
            Job::Resume { trial, resource } => self.resume(trial, resource),
            Job::Start { .. } | Job::Copy { .. } if !self.may_start() => Ok(self.no_new_trial(DoneBecause::Budget)),
            Job::Start { resource } => {
                let given = self.state.index.given();
                let (config, origin) = match self.header().points_to_evaluate.get(given) {
                    Some(config) => (config.clone(), Origin::Given),
                    None => match self.suggest(next, resource) {
                        Err(SuggestError::Exhausted { .. }) => return self.ask_exhausted(),
                        suggestion => (suggestion?, Origin::Searcher),
                    },
                };
                Ok(self.give(next, Given::new(config, origin, resource)))
            }
            Job::Copy { from, config, resource } => {
                let config = self.header().space.conform(&config);
                let outside = |source| SuggestError::Outside { searcher: self.scheduler.name().to_owned(), source };
                let new = Given::new(config.map_err(outside)?, Origin::Scheduler, resource);
                Ok(self.give(next, Given { from: Some(from), ..new }))
            }
        }
    }

    /// The next trial where there is no new configuration: a paused trial may go on all the same.
    fn ask_exhausted(&mut self) -> Result<Ask, SuggestError> {
        match self.schedule(false) {
            Job::Resume { trial, resource } => self.resume(trial, resource),
            Job::Wait | Job::Start { .. } | Job::Copy { .. } => Ok(self.no_new_trial(DoneBecause::Exhausted)),
        }
    }

    /// The answer where no trial may start and none may go on. The result of a running trial may change the latter.
    fn no_new_trial(&self, why: DoneBecause) -> Ask {
        let runs = self.state.index.pending().next().is_some();
        if runs && self.header().scheduler.pauses() { Ask::Wait } else { Ask::Done(why) }
    }

    fn resume(&mut self, trial: TrialId, resource: Option<u64>) -> Result<Ask, SuggestError> {
        match self.trial(trial).filter(|t| t.status == Status::Paused).map(Given::again) {
            Some(again) => Ok(self.give(trial, Given { resource, resumed: true, ..again })),
            None => Err(SuggestError::Failed {
                searcher: self.scheduler.name().to_owned(),
                reason: format!("it resumes trial {trial}, which is not paused"),
            }),
        }
    }

    fn may_start(&self) -> bool {
        self.state.max_trials.is_none_or(|max| self.started() < max)
    }

    fn schedule(&mut self, may_start: bool) -> Job {
        let mut stream = Stream::keyed(self.state.header.seed, self.history().next_trial(), "schedule");
        self.scheduler.next(&self.state.history().starting(may_start), &mut stream)
    }

    fn suggest(&mut self, trial: TrialId, resource: Option<u64>) -> Result<Config, SuggestError> {
        let mut stream = Stream::keyed(self.state.header.seed, trial, "suggest");
        let history = self.dressed().toward(resource);
        let mut searcher = self.searcher();
        let config = searcher.suggest(&history, &mut stream)?;
        // In the order of the space, whatever the searcher's order was.
        self.state
            .header
            .space
            .conform(&config)
            .map_err(|source| SuggestError::Outside { searcher: searcher.name().to_owned(), source })
    }

    /// The history as the searcher sees it: under the scheduler's advice.
    pub(in crate::rules) fn dressed(&self) -> History<'_> {
        self.state.history().under(self.advice())
    }

    /// The same, with those results only that can be compared with each other. Importances and effects are of these.
    pub(in crate::rules) fn compared(&self) -> History<'_> {
        let advice = self.advice();
        self.state.history().comparable(&advice).under(advice)
    }

    /// The scheduler's advice as of now.
    pub(in crate::rules) fn advice(&self) -> Advice {
        self.scheduler.advice(&self.state.history())
    }

    /// The searcher. It keeps nothing but a cache, so one that panicked in the middle is as good as any.
    pub(in crate::rules) fn searcher(&self) -> MutexGuard<'_, Box<dyn Searcher>> {
        self.searcher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&mut self, trial: TrialId, given: Given) -> Ask {
        let Given { config, origin, resource, resumed, from, attempt, after } = given;
        self.record(Event::Ask {
            trial,
            config: config.clone(),
            origin,
            resource,
            resumed,
            // Its own checkpoint follows from its reports.
            from: from.filter(|from| from.trial != trial),
            attempt,
            at_s: self.at_s,
        });
        Ask::Trial(Assignment { trial, config, resource, resumed, from, after, attempt })
    }

    /// Takes a running trial's measurement at `step`, and decides how the trial goes on. Steps increase. The caller
    /// gives them their meaning (an epoch, the n-th repetition), together with [`ValueRule`](crate::study::ValueRule).
    ///
    /// The answer is not [`Decision::Continue`] at the study's maximal resource or later.
    ///
    /// A value that is not finite fails the trial: the answer is [`Decision::Stop`], and a later [`tell`](Self::tell)
    /// cannot change that.
    ///
    /// A report may carry the trial's cost so far, all its runs together: `Measured::new(0.7).cost(90.0)`. It may carry
    /// the further objectives, all of them, and the constraints, all of them. Where the scheduler compares trials
    /// by the objectives ([`Advice::objectives`](crate::scheduler::Advice::objectives)), it must carry those.
    ///
    /// # Errors
    /// The trial is not running, the step is not above the last one, the cost is invalid or falls, the value is a
    /// bound, or some of the objectives or constraints come without the others.
    pub fn report(&mut self, trial: TrialId, step: u64, measured: impl Into<Measured>) -> Result<Decision, TellError> {
        let Measured { value, is_bound, more, constraints, cost } = measured.into();
        let t = self.running(trial)?;
        if is_bound {
            return Err(TellError::BoundReported { trial });
        }
        if let Some(last) = t.last_step().filter(|last| step <= *last) {
            return Err(TellError::Step { trial, step, last });
        }
        let is_void = t.failure.is_some() || [value].iter().chain(&more).chain(&constraints).any(|v| !v.is_finite());
        if !is_void {
            self.check_beside(trial, &more, &constraints)?;
        }
        if let Some(cost) = cost {
            if !(cost > 0.0 && cost.is_finite()) {
                return Err(TellError::Cost { cost });
            }
            if let Some(last) = t.cost().filter(|last| cost < *last) {
                return Err(TellError::CostFalls { trial, cost, last });
            }
        }
        if is_void {
            let decision = Decision::Stop;
            let others = || more.iter().chain(&constraints);
            self.record(Event::Report {
                trial,
                step,
                value: Some(value).filter(|v| v.is_finite() && others().all(|v| v.is_finite())),
                more: Vec::new(),
                constraints: Vec::new(),
                cost,
                decision,
                at_s: self.at_s,
            });
            return Ok(decision);
        }
        // The scheduler sees the report in its place, and its decision is part of the event.
        let beside = Beside::of(more.clone(), constraints.clone());
        self.state.measure(trial, Measurement { step, value, beside, cost, at_s: self.at_s });
        let history = self.state.history().starting(self.may_start());
        let decision = match history.trial(trial) {
            Some(t) => self.scheduler.on_report(&history, t),
            None => Decision::Stop,
        };
        self.state.unmeasure(trial);
        // A full run has nothing left to report, whatever measurements the scheduler compares.
        let is_full = self.header().max_resource.is_some_and(|max| step >= max);
        let decision = if is_full && decision == Decision::Continue { Decision::Stop } else { decision };
        let (value, at_s) = (Some(value), self.at_s);
        self.record(Event::Report { trial, step, value, more, constraints, cost, decision, at_s });
        Ok(decision)
    }

    /// Whether a report carries all objectives or none, all constraints or none, and the objectives where it must.
    fn check_beside(&self, trial: TrialId, more: &[f64], constraints: &[f64]) -> Result<(), TellError> {
        let header = self.header();
        for (what, got, wanted) in [
            ("further objective(s)", more.len(), header.objectives.len()),
            ("constraint(s)", constraints.len(), header.constraints.len()),
        ] {
            if got != wanted && got != 0 {
                return Err(TellError::Incomplete { what, got, wanted });
            }
        }
        if more.is_empty() && !header.objectives.is_empty() && self.advice().objectives {
            return Err(TellError::WithoutObjectives { trial, scheduler: self.scheduler.name().to_owned() });
        }
        Ok(())
    }

    /// Ends a running trial: with a value, a bound ([`Measured::at_least`]), a failure, or the result of its reports.
    ///
    /// # Errors
    /// A trial that is not running, a trial told as done that has reported nothing, or a result without the study's
    /// further objectives and constraints (a trial told as done has them in its last report). The trial stays running.
    pub fn tell(&mut self, trial: TrialId, outcome: impl Into<Outcome>) -> Result<(), TellError> {
        let t = self.running(trial)?;
        let outcome = match (&t.failure, outcome.into()) {
            (_, failed @ (Outcome::Failed(_) | Outcome::TimedOut(_) | Outcome::Infeasible(_))) => failed,
            (Some(reason), _) => Outcome::Failed(reason.clone()),
            (None, Outcome::Done) if t.measurements.is_empty() => return Err(TellError::NoValue { trial }),
            (None, Outcome::Done) if state::is_complete(self.header(), t) => Outcome::Done,
            (None, outcome) => {
                let (value, measured) = match &outcome {
                    Outcome::Value(value) => (Some(*value), None),
                    Outcome::Measured(measured) => (Some(measured.value), Some(&**measured)),
                    _ => (None, None),
                };
                self.check_measured(measured)?;
                let wrong = value.filter(|v| !v.is_finite());
                let what = if measured.is_some_and(|m| m.is_bound) { "the bound" } else { "the value" };
                match wrong.map(|v| (what, v)).or(measured.and_then(|m| Some(("the measurement", m.not_finite()?)))) {
                    Some((what, v)) => Outcome::Failed(format!("{what} is {v}, not a finite number")),
                    None => outcome,
                }
            }
        };
        self.record(Event::Tell { trial, outcome, at_s: self.at_s });
        Ok(())
    }

    /// Whether as much was measured as the header names, and the cost is one.
    fn check_measured(&self, measured: Option<&Measured>) -> Result<(), TellError> {
        let header = self.header();
        let (more, constraints) = measured.map_or((0, 0), |m| (m.more.len(), m.constraints.len()));
        for (what, got, wanted) in [
            ("further objective(s)", more, header.objectives.len()),
            ("constraint(s)", constraints, header.constraints.len()),
        ] {
            if got != wanted {
                return Err(TellError::Incomplete { what, got, wanted });
            }
        }
        match measured.and_then(|m| m.cost).filter(|cost| !(*cost > 0.0 && cost.is_finite())) {
            Some(cost) => Err(TellError::Cost { cost }),
            None => Ok(()),
        }
    }

    /// Says that a running trial was interrupted and that nobody runs it any more: it will be asked for again.
    ///
    /// Its reports since it was last asked for are void, except where reports are replicates
    /// ([`ValueRule::Mean`](crate::study::ValueRule::Mean)): those are whole measurements and stand. Then the trial is
    /// asked for again for the rest, at the steps after [`Assignment::after`]. Journals begun before schema 3 make all
    /// reports void.
    ///
    /// A trial that had been answered with [`Decision::Stop`] had nothing left to do: it ends as [`Outcome::Done`],
    /// unless it failed, or its last report lacks objectives or constraints. In journals begun before schema 8 that
    /// holds for replicates alone.
    ///
    /// # Errors
    /// A trial that is not running.
    pub fn interrupt(&mut self, trial: TrialId) -> Result<(), TellError> {
        let is_over = self.is_over(self.running(trial)?);
        self.record(match is_over {
            true => Event::Tell { trial, outcome: Outcome::Done, at_s: self.at_s },
            false => Event::Interrupt { trial, at_s: self.at_s },
        });
        Ok(())
    }

    /// Whether a running trial has nothing left to do: it was told to stop, and its result is whole.
    pub(crate) fn is_over(&self, trial: &Trial) -> bool {
        let told = self.header().ends_stopped() && trial.decision == Decision::Stop && trial.failure.is_none();
        told && state::is_complete(self.header(), trial)
    }

    /// [`Study::interrupt`] for every running trial: the first step after a replay, when the process that ran them is
    /// gone.
    pub fn interrupt_open(&mut self) {
        let open: Vec<TrialId> = self.trials().iter().filter(|t| t.status == Status::Running).map(|t| t.id).collect();
        for trial in open {
            self.interrupt(trial).expect("the trial is running");
        }
    }

    /// Takes a result from elsewhere: a trial of its own that does not count against the limit.
    ///
    /// # Errors
    /// A configuration outside of the space, a number that is not finite, or a result without the study's further
    /// objectives and constraints.
    pub fn add(&mut self, config: &Config, measured: impl Into<Measured>) -> Result<TrialId, TellError> {
        let config = self.header().space.conform(config)?;
        let measured = measured.into();
        self.check_measured(Some(&measured))?;
        if let Some(value) = measured.not_finite() {
            return Err(TellError::NotFinite { value });
        }
        let trial = self.history().next_trial();
        self.record(Event::Add { trial, config, measured: Box::new(measured), at_s: self.at_s });
        Ok(trial)
    }

    /// The checkpoints from which a trial may still go on: those of paused trials, and those that the scheduler may
    /// have copied. All others may be removed.
    pub fn checkpoints(&self) -> BTreeSet<Checkpoint> {
        let history = self.state.history();
        let wanted = self.scheduler.advice(&history).checkpoints;
        let wanted = wanted.unwrap_or_else(|| history.paused().filter_map(Trial::goes_on_from).collect());
        let mut kept: BTreeSet<Checkpoint> = wanted.into_iter().collect();
        // One that is cut off starts over from where it went on.
        kept.extend(self.state.index.pending().filter_map(|i| self.state.trials[i].goes_on_from()));
        kept
    }

    /// The scheduler's plan: rungs, quotas and the expected budget, as far as they are settled.
    pub fn plan(&self) -> Option<Plan> {
        self.advice().plan
    }

    /// In a sentence, which searcher works on this study and why, where it had a choice: see [`SearcherKind::Auto`].
    pub fn why(&self) -> Option<String> {
        self.searcher().why(&self.state.history())
    }

    fn running(&self, trial: TrialId) -> Result<&Trial, TellError> {
        match self.trial(trial) {
            Some(t) if t.status == Status::Running => Ok(t),
            other => Err(TellError::NotRunning { trial, status: other.map_or("unknown", |t| t.status.as_str()) }),
        }
    }

    fn record(&mut self, event: Event) {
        self.state.apply(&event).expect("a study only records events that follow from its state");
        self.scheduler.observe(&self.state.history(), &event);
        self.fresh.push(event);
    }
}

/// The parts of an assignment.
struct Given {
    config: Config,
    origin: Origin,
    resource: Option<u64>,
    resumed: bool,
    from: Option<Checkpoint>,
    after: Option<u64>,
    attempt: u32,
}

impl Given {
    fn new(config: Config, origin: Origin, resource: Option<u64>) -> Self {
        Self { config, origin, resource, resumed: false, from: None, after: None, attempt: 1 }
    }

    /// As it was given out before.
    fn again(t: &Trial) -> Self {
        let Trial { origin, resource, resumed, attempt, .. } = *t;
        let (from, last) = (t.goes_on_from(), t.measurements.last().map(|m| m.step));
        let after = last.filter(|step| from.is_none_or(|from| from.trial != t.id || from.resource < *step));
        Self { config: t.config.clone(), origin, resource, resumed, from, after, attempt }
    }
}

impl std::fmt::Debug for Study {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Study")
            .field("header", self.header())
            .field("trials", &self.trials().len())
            .field("max_trials", &self.state.max_trials)
            .finish_non_exhaustive()
    }
}

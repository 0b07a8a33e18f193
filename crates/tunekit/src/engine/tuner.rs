//! `Tuner`: runs a study over an async closure with several workers, a journal and an end.
//!
//! Trials run as futures on the caller's task, so they may borrow and need not be `Send`; one that computes for long hands
//! that to `spawn_blocking` itself. The searcher thinks on a blocking thread, so that it does not hold up what is being
//! measured. Cancellation is dropping: at the deadline, on the stop handle, or with the future of `run` itself, the trials'
//! futures are dropped; in the first two cases they are journalled as interrupted, in the last the journal shows them as
//! running and the next run takes them as interrupted. Either way they are asked for again and count as neither failed
//! nor measured.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::stop::StopHandle;
use crate::doors::journal::{JournalError, JournalFile};
use crate::rules::experiment::Experiment;
use crate::rules::scheduler::Scheduler;
use crate::rules::searcher::{Searcher, SuggestError};
use crate::rules::stream::Stream;
use crate::rules::study::{ReplayError, Setup, SetupError, Study, TellError};
use crate::words::event::Event;
use crate::words::trial::{Ask, Assignment, Best, Checkpoint, Decision, DoneBecause, Outcome, Trial, TrialId};
use crate::words::value::Config;

/// Why a tuner ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoppedBy {
    /// The limit on the number of trials.
    MaxTrials,
    /// The limit on time.
    MaxTuningTime,
    /// The stop handle.
    Cancelled,
    /// A finite space without noise was measured in full.
    Exhausted,
}

impl StoppedBy {
    /// The word used in summaries.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MaxTrials => "max_trials",
            Self::MaxTuningTime => "max_tuning_time",
            Self::Cancelled => "cancelled",
            Self::Exhausted => "exhausted",
        }
    }
}

impl fmt::Display for StoppedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a tuner found.
#[derive(Debug, Clone)]
pub struct Tuning {
    /// Everything measured, as tables.
    pub experiment: Experiment,
    /// The best configuration, if anything was measured.
    pub best: Option<Best>,
    /// Why it ended; `None` where it ended with an error.
    pub stopped_by: Option<StoppedBy>,
    /// How long the study took, earlier runs on the same journal included.
    pub elapsed: Duration,
}

/// Why a tuner did not come to an end of its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunerError {
    /// The setup cannot be worked with.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal's events are no study's.
    #[error("the journal cannot be resumed: {0}")]
    Replay(#[from] ReplayError),
    /// The journal is of another study.
    #[error("journal {} is of another study ({what} differs); use its setup again, or another journal", path.display())]
    OtherStudy {
        /// The journal.
        path: PathBuf,
        /// The first part of the setup that differs.
        what: &'static str,
    },
    /// The number of workers is 0.
    #[error("a tuner with 0 workers never starts a trial; use at least 1")]
    NoWorkers,
    /// Nothing would ever end it.
    #[error("nothing ends this tuner; set max_trials, max_wall_time or a stop handle")]
    Endless,
    /// Too many trials failed in a row.
    #[error("{consecutive} trials failed in a row, the last one because: {last}")]
    TooManyFailures {
        /// How many.
        consecutive: u32,
        /// Why the last one did.
        last: String,
        /// What was measured so far.
        tuning: Box<Tuning>,
    },
    /// The searcher has no suggestion.
    #[error("the search cannot go on: {source}")]
    Suggest {
        /// Why.
        source: SuggestError,
        /// What was measured so far.
        tuning: Box<Tuning>,
    },
    /// The searcher or scheduler panicked; what was measured is in the journal, if there is one.
    #[error("the searcher or scheduler panicked; what was measured is in the journal, where there is one")]
    Panicked,
}

/// Watches a tuner. Methods are called in between, in order; they hold the tuner up while they run.
pub trait Observer {
    /// A trial starts, or starts over, or goes on.
    fn on_ask(&mut self, study: &Study, job: &Assignment) {
        let _ = (study, job);
    }

    /// A trial reported and was answered.
    fn on_report(&mut self, study: &Study, trial: TrialId, step: u64, value: f64, decision: Decision) {
        let _ = (study, trial, step, value, decision);
    }

    /// A trial ended; how is in `study`.
    fn on_tell(&mut self, study: &Study, trial: TrialId) {
        let _ = (study, trial);
    }
}

/// One run of one trial, handed to the closure that is tuned.
#[derive(Debug)]
pub struct TrialRun {
    job: Assignment,
    seed: u64,
    next_step: u64,
    reports: mpsc::UnboundedSender<Message>,
}

#[derive(Debug)]
struct Message {
    trial: TrialId,
    step: u64,
    value: f64,
    answer: oneshot::Sender<Result<Decision, TellError>>,
}

impl TrialRun {
    /// The trial's number.
    pub fn id(&self) -> TrialId {
        self.job.trial
    }

    /// What to run with.
    pub fn config(&self) -> &Config {
        &self.job.config
    }

    /// How far to run before the next decision is due; `None`: to the end.
    pub fn resource(&self) -> Option<u64> {
        self.job.resource
    }

    /// Whether the trial goes on from a pause.
    pub fn resumed(&self) -> bool {
        self.job.resumed
    }

    /// The checkpoint that it goes on from, its own or, if it is a copy, another trial's. `None`: it starts with nothing.
    pub fn from(&self) -> Option<Checkpoint> {
        self.job.from
    }

    /// 1, and one more each time the trial was interrupted and starts over.
    pub fn attempt(&self) -> u32 {
        self.job.attempt
    }

    /// A seed for the trial's own randomness: the same for the same study and trial.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Reports a measurement at the next step (1, 2, ...), waits until it is journalled, and says what to do.
    pub async fn report(&mut self, value: f64) -> Decision {
        // Steps increase by construction, and only a running trial has a run: the one thing left is a tuner that ended.
        self.report_at(self.next_step, value).await.unwrap_or(Decision::Stop)
    }

    /// Reports a measurement at a step above the last one.
    ///
    /// # Errors
    /// A step that is not.
    pub async fn report_at(&mut self, step: u64, value: f64) -> Result<Decision, TellError> {
        let (answer, decision) = oneshot::channel();
        if self.reports.send(Message { trial: self.job.trial, step, value, answer }).is_err() {
            return Ok(Decision::Stop);
        }
        let decision = decision.await.unwrap_or(Ok(Decision::Stop))?;
        self.next_step = step.saturating_add(1);
        Ok(decision)
    }
}

/// Searches for good parameters of an async closure.
///
/// ```
/// use std::convert::Infallible;
/// use tunekit::{Domain, Metric, Setup, Space, Tuner};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let space = Space::new().with("x", Domain::float(-5.0, 10.0)?)?;
/// let tuning = Tuner::new(Setup::new(space, Metric::minimize("loss")).seed(3))
///     .workers(2)
///     .max_trials(20)
///     .run(|trial| async move {
///         let x = trial.config().float("x").unwrap_or(0.0);
///         Ok::<_, Infallible>((x - 2.0).powi(2))
///     })
///     .await?;
/// assert_eq!(tuning.experiment.trials().len(), 20);
/// assert_eq!(tuning.stopped_by.map(|s| s.as_str()), Some("max_trials"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Tuner {
    setup: Setup,
    own: Option<(Box<dyn Searcher>, Box<dyn Scheduler>)>,
    workers: usize,
    max_trials: Option<u64>,
    max_wall_time: Option<Duration>,
    max_failures: u32,
    stop: Option<StopHandle>,
    journal: Option<PathBuf>,
    observers: Vec<Box<dyn Observer>>,
}

impl fmt::Debug for Tuner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuner")
            .field("setup", &self.setup)
            .field("workers", &self.workers)
            .field("max_trials", &self.max_trials)
            .field("max_wall_time", &self.max_wall_time)
            .field("max_failures", &self.max_failures)
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}

impl Tuner {
    /// A tuner of one worker, without a journal, that gives up after 10 failures in a row. It needs an end:
    /// [`Tuner::max_trials`], [`Tuner::max_wall_time`] or [`Tuner::stop_handle`].
    pub fn new(setup: Setup) -> Self {
        Self {
            setup,
            own: None,
            workers: 1,
            max_trials: None,
            max_wall_time: None,
            max_failures: 10,
            stop: None,
            journal: None,
            observers: Vec::new(),
        }
    }

    /// With a searcher and a scheduler of your own; those the setup names are not used.
    #[must_use]
    pub fn with(self, searcher: Box<dyn Searcher>, scheduler: Box<dyn Scheduler>) -> Self {
        Self { own: Some((searcher, scheduler)), ..self }
    }

    /// How many trials run at once, at least 1. More is faster, and disturbs what is measured if trials share what they
    /// measure.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Ends once so many trials were started and all of them ended; earlier runs on the same journal count.
    #[must_use]
    pub fn max_trials(self, max_trials: u64) -> Self {
        let setup = Setup { budget: self.setup.budget.or(Some(max_trials)), ..self.setup };
        Self { setup, max_trials: Some(max_trials), ..self }
    }

    /// Ends when the study has taken so long, earlier runs on the same journal included. What is running then is cut off.
    #[must_use]
    pub fn max_wall_time(self, max_wall_time: Duration) -> Self {
        Self { max_wall_time: Some(max_wall_time), ..self }
    }

    /// Gives up after so many failures in a row (0 counts as 1).
    #[must_use]
    pub fn max_failures(self, max_failures: u32) -> Self {
        Self { max_failures, ..self }
    }

    /// Ends when the handle says so.
    #[must_use]
    pub fn stop_handle(self, stop: StopHandle) -> Self {
        Self { stop: Some(stop), ..self }
    }

    /// Writes every event to this file before acting on it, and goes on with the study in it if there is one: the setup
    /// must then be the same.
    #[must_use]
    pub fn journal(self, path: impl Into<PathBuf>) -> Self {
        Self { journal: Some(path.into()), ..self }
    }

    /// Adds an observer, called after those there are.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// Runs trials until one of the limits is reached. A trial's future ends with its value (an `f64`, or `()` if it has
    /// reported), or with an error, which makes it a failed trial and nothing worse.
    ///
    /// # Errors
    /// A setup, journal or searcher that cannot be worked with, or too many failures in a row. What was measured is in
    /// the journal, and in the error where it came up while tuning.
    pub async fn run<F, Fut, T, E>(self, run: F) -> Result<Tuning, TunerError>
    where
        F: Fn(TrialRun) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        T: Into<Outcome>,
        E: fmt::Display,
    {
        if self.workers == 0 {
            return Err(TunerError::NoWorkers);
        }
        if self.max_trials.is_none() && self.max_wall_time.is_none() && self.stop.is_none() {
            return Err(TunerError::Endless);
        }
        let (study, journal) = open(self.setup, self.own, self.journal)?;
        let before = study.elapsed().unwrap_or_default();
        let mut session = Session { study, journal, observers: self.observers, started: Instant::now(), before };
        session.study.limit_trials(self.max_trials);
        session.store()?;
        let limits = Limits {
            workers: self.workers,
            // A time that no clock reaches is no deadline.
            deadline: self.max_wall_time.and_then(|max| session.started.checked_add(max.saturating_sub(before))),
            max_failures: self.max_failures.max(1),
            stop: self.stop.unwrap_or_default(),
        };
        session.run(limits, run).await
    }
}

/// A new study, or the one in the journal with its open trials interrupted.
fn open(
    setup: Setup,
    own: Option<(Box<dyn Searcher>, Box<dyn Scheduler>)>,
    path: Option<PathBuf>,
) -> Result<(Study, Option<JournalFile>), TunerError> {
    let (searcher, scheduler) = match own {
        Some(own) => own,
        None => setup.build()?,
    };
    let Some(path) = path else {
        return Ok((Study::with(setup, searcher, scheduler)?, None));
    };
    let (journal, contents) = JournalFile::open(&path)?;
    if contents.events.is_empty() {
        return Ok((Study::with(setup, searcher, scheduler)?, Some(journal)));
    }
    let mut header = setup.header()?;
    header.searcher = searcher.name().to_owned();
    header.scheduler = scheduler.name().to_owned();
    // Before the replay, which knows the study of the journal and not the one that is asked for.
    if let Some(Event::Header(found)) = contents.events.first()
        && let Some(what) = found.difference(&header)
    {
        return Err(TunerError::OtherStudy { path, what });
    }
    let mut study = Study::replay_with(contents.events, searcher, scheduler)?;
    study.interrupt_open();
    Ok((study, Some(journal)))
}

/// When to start and end trials.
struct Limits {
    workers: usize,
    deadline: Option<Instant>,
    max_failures: u32,
    stop: StopHandle,
}

/// A study being run.
struct Session {
    study: Study,
    journal: Option<JournalFile>,
    observers: Vec<Box<dyn Observer>>,
    started: Instant,
    before: Duration,
}

/// How the loop ended.
enum End {
    Stopped(StoppedBy),
    Failures(u32, String),
    Suggest(SuggestError),
}

/// A study that is with its searcher on a blocking thread.
type Asking = JoinHandle<(Study, Result<Ask, SuggestError>)>;

impl Session {
    async fn run<F, Fut, T, E>(mut self, limits: Limits, run: F) -> Result<Tuning, TunerError>
    where
        F: Fn(TrialRun) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        T: Into<Outcome>,
        E: fmt::Display,
    {
        let (sender, mut reports) = mpsc::unbounded_channel::<Message>();
        let mut running = FuturesUnordered::new();
        let mut open: Vec<TrialId> = Vec::new();
        let mut finished: VecDeque<(TrialId, Outcome)> = VecDeque::new();
        let mut failures = 0;
        let end = loop {
            // What ended is told first, so that the next suggestion knows it.
            let mut gave_up = None;
            while let Some((trial, outcome)) = finished.pop_front() {
                open.retain(|t| *t != trial);
                let failed = self.tell(trial, outcome)?;
                failures = if failed.is_some() { failures + 1 } else { 0 };
                if failures >= limits.max_failures && gave_up.is_none() {
                    gave_up = failed.map(|reason| (failures, reason));
                }
            }
            if let Some((failures, reason)) = gave_up {
                break End::Failures(failures, reason);
            }
            if limits.stop.is_stopped() {
                break End::Stopped(StoppedBy::Cancelled);
            }
            if limits.deadline.is_some_and(|d| Instant::now() >= d) {
                break End::Stopped(StoppedBy::MaxTuningTime);
            }
            if open.len() < limits.workers {
                let asking = self.start_asking();
                let ask = loop_until_asked(asking, &mut running, &mut finished).await;
                let (study, ask) = ask.map_err(|_| TunerError::Panicked)?;
                self.study = study;
                match ask {
                    Err(source) => break End::Suggest(source),
                    Ok(Ask::Trial(job)) => {
                        self.store()?;
                        for observer in &mut self.observers {
                            observer.on_ask(&self.study, &job);
                        }
                        open.push(job.trial);
                        let trial = self.trial_run(job, sender.clone());
                        let id = trial.id();
                        let future = run(trial);
                        running.push(async move { (id, future.await.map_or_else(failure, Into::into)) });
                        continue;
                    }
                    // With trials still open their results may bring new work.
                    Ok(Ask::Done(why)) if open.is_empty() => {
                        break End::Stopped(match why {
                            DoneBecause::Budget => StoppedBy::MaxTrials,
                            DoneBecause::Exhausted => StoppedBy::Exhausted,
                        });
                    }
                    Ok(Ask::Wait) if open.is_empty() => {
                        break End::Suggest(SuggestError::Failed {
                            searcher: self.study.header().scheduler.clone(),
                            reason: "it waits for a result although no trial is running".to_owned(),
                        });
                    }
                    Ok(Ask::Wait | Ask::Done(_)) => {}
                }
            }
            if !finished.is_empty() {
                continue;
            }
            // Until something happens that may change the answer to the next ask.
            tokio::select! {
                biased;
                () = limits.stop.stopped() => {}
                () = sleep_until(limits.deadline) => {}
                Some(message) = reports.recv() => self.report(message)?,
                Some(ended) = running.next() => finished.push_back(ended),
            }
        };
        drop(running);
        // What ended while the last decision was made is measured all the same.
        for (trial, outcome) in finished {
            open.retain(|t| *t != trial);
            self.tell(trial, outcome)?;
        }
        self.end(end, &open)
    }

    /// Sends the study to a blocking thread for its next answer.
    fn start_asking(&mut self) -> Asking {
        let now = self.now();
        self.study.at(now);
        let mut study = std::mem::replace(&mut self.study, Study::vacant());
        tokio::task::spawn_blocking(move || {
            let ask = study.ask();
            (study, ask)
        })
    }

    fn trial_run(&self, job: Assignment, reports: mpsc::UnboundedSender<Message>) -> TrialRun {
        let last = self.study.trial(job.trial).and_then(Trial::last_step).unwrap_or(0);
        let seed = Stream::keyed(self.study.header().seed, job.trial, "trial").bits();
        TrialRun { job, seed, next_step: last.saturating_add(1), reports }
    }

    fn report(&mut self, message: Message) -> Result<(), TunerError> {
        let Message { trial, step, value, answer } = message;
        let now = self.now();
        let decision = self.study.at(now).report(trial, step, value);
        self.store()?;
        if let Ok(decision) = decision {
            for observer in &mut self.observers {
                observer.on_report(&self.study, trial, step, value, decision);
            }
        }
        // A trial that no longer waits for the answer was dropped; it is told as such elsewhere.
        let _ = answer.send(decision);
        Ok(())
    }

    /// Ends a trial; gives the reason if it failed.
    fn tell(&mut self, trial: TrialId, outcome: Outcome) -> Result<Option<String>, TunerError> {
        let now = self.now();
        self.study.at(now);
        let paused = self.study.trial(trial).is_some_and(|t| t.decision == Decision::Pause);
        if paused && !matches!(outcome, Outcome::Failed(_)) {
            return Ok(None);
        }
        if let Err(error) = self.study.tell(trial, outcome) {
            tracing::debug!(%trial, %error, "outcome not taken");
            let failed = Outcome::Failed(error.to_string());
            if self.study.tell(trial, failed).is_err() {
                return Ok(None);
            }
        }
        self.store()?;
        for observer in &mut self.observers {
            observer.on_tell(&self.study, trial);
        }
        Ok(self.study.trial(trial).and_then(|t| t.failure.clone()))
    }

    /// Journals what is still open as interrupted, and sums up.
    fn end(mut self, end: End, open: &[TrialId]) -> Result<Tuning, TunerError> {
        let now = self.now();
        self.study.at(now);
        for trial in open {
            // A trial that reported, was answered with a pause and is now dropped is not running any more.
            if self.study.interrupt(*trial).is_ok() {
                tracing::debug!(%trial, "interrupted");
            }
        }
        self.store()?;
        let stopped_by = match &end {
            End::Stopped(why) => Some(*why),
            End::Failures(..) | End::Suggest(_) => None,
        };
        let experiment = Experiment::of(&self.study);
        let tuning = Tuning { experiment, best: self.study.best(), stopped_by, elapsed: now };
        match end {
            End::Stopped(_) => Ok(tuning),
            End::Failures(consecutive, last) => {
                Err(TunerError::TooManyFailures { consecutive, last, tuning: Box::new(tuning) })
            }
            End::Suggest(source) => Err(TunerError::Suggest { source, tuning: Box::new(tuning) }),
        }
    }

    fn store(&mut self) -> Result<(), JournalError> {
        let events: Vec<Event> = self.study.take_events();
        self.journal.as_mut().map_or(Ok(()), |journal| journal.append(&events))
    }

    fn now(&self) -> Duration {
        self.before.saturating_add(self.started.elapsed())
    }
}

fn failure<E: fmt::Display>(error: E) -> Outcome {
    Outcome::Failed(error.to_string())
}

/// Drives the running trials while the searcher thinks; what they report waits in its channel.
async fn loop_until_asked<Fut: Future<Output = (TrialId, Outcome)>>(
    mut asking: Asking,
    running: &mut FuturesUnordered<Fut>,
    finished: &mut VecDeque<(TrialId, Outcome)>,
) -> Result<(Study, Result<Ask, SuggestError>), tokio::task::JoinError> {
    loop {
        tokio::select! {
            biased;
            asked = &mut asking => return asked,
            Some(ended) = running.next() => finished.push_back(ended),
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

//! `Tuner`: runs a study over an async closure with several workers, a journal and an end.
//!
//! Trials run as futures on the caller's task, so they may borrow and need not be `Send`; a trial that computes for
//! long hands that to `spawn_blocking` itself. The searcher works on a blocking thread, so that it does not delay the
//! trials that are being measured. Cancellation is dropping: at the deadline, on the stop handle, or with the future of
//! `run` itself, the trials' futures are dropped. In the first two cases they are journalled as interrupted; in the
//! last the journal shows them as running, and the next run takes them as interrupted. In all cases they are asked for
//! again and count as neither failed nor measured.
//!
//! A trial has one run at a time: a trial that is resumed while its paused run still winds up starts when that run has
//! ended. The run's folder becomes a checkpoint before the journal records the pause, and checkpoints are removed after
//! the journal has recorded the events that made them useless. So the journal never names a checkpoint that does not
//! exist.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::Instrument;

use super::open::{OpenError, StudyJournal};
use super::stop::StopHandle;
use super::trial_run::{Before, Message, TrialRun};
use crate::doors::checkpoints::{CheckpointError, CheckpointFolder};
use crate::doors::journal::{JournalError, JournalFile};
use crate::rules::experiment::Experiment;
use crate::rules::scheduler::Scheduler;
use crate::rules::searcher::{Searcher, SuggestError};
use crate::rules::stop::{StopRule, StopRuleError, StoppedBy, Tally};
use crate::rules::stream::Stream;
use crate::rules::study::{Setup, Study, TellError};
use crate::words::event::Event;
use crate::words::trial::{Ask, Assignment, Best, Checkpoint, Decision, DoneBecause, Outcome, Status, Trial, TrialId};

/// The result of a tuner's run.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Tuning {
    /// Everything measured, as tables.
    pub experiment: Experiment,
    /// The best configuration, if anything was measured.
    pub best: Option<Best>,
    /// Why it ended; `None` where it ended with an error.
    pub stopped_by: Option<StoppedBy>,
    /// Time that the study took, earlier runs on the same journal included.
    pub elapsed: Duration,
}

/// Why a tuner did not come to an end of its own.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunerError {
    /// The study cannot be made, or its journal cannot be gone on with.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The checkpoints cannot be kept.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The number of workers is 0.
    #[error("a tuner with 0 workers never starts a trial; use at least 1")]
    NoWorkers,
    /// The stop rule is none of this study.
    #[error("the stop rule cannot be used: {0}")]
    StopRule(#[from] StopRuleError),
    /// Nothing would ever end it.
    #[error("nothing ends this tuner; set max_trials, max_wall_time or a stop handle")]
    Endless,
    /// Too many trials failed in a row.
    #[error("{consecutive} trials failed in a row, the last one because: {last}")]
    TooManyFailures {
        /// Number of failures in a row.
        consecutive: u32,
        /// Why the last one did.
        last: String,
        /// The measurements so far.
        tuning: Box<Tuning>,
    },
    /// The searcher has no suggestion.
    #[error("the search cannot go on: {source}")]
    Suggest {
        /// Why.
        source: SuggestError,
        /// The measurements so far.
        tuning: Box<Tuning>,
    },
    /// The searcher or scheduler panicked. The measurements are in the journal, if there is one.
    #[error("the searcher or scheduler panicked; the measurements are in the journal, where there is one")]
    Panicked,
}

/// Watches a tuner. Methods are called in between, in order; they hold the tuner up while they run.
pub trait Observer {
    /// The tuner starts, or goes on with a journal.
    fn on_start(&mut self, study: &Study) {
        let _ = study;
    }

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

    /// Time has passed: about twice a second, except while the searcher thinks. `elapsed` is the study's time.
    fn on_tick(&mut self, study: &Study, elapsed: Duration) {
        let _ = (study, elapsed);
    }

    /// The tuner ends; `None` where that is with an error.
    fn on_end(&mut self, study: &Study, stopped_by: Option<StoppedBy>) {
        let _ = (study, stopped_by);
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
    rule: StopRule,
    max_failures: u32,
    stop: Option<StopHandle>,
    journal: Option<PathBuf>,
    checkpoints: Option<PathBuf>,
    observers: Vec<Box<dyn Observer>>,
}

impl fmt::Debug for Tuner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tuner")
            .field("setup", &self.setup)
            .field("workers", &self.workers)
            .field("rule", &self.rule)
            .field("max_failures", &self.max_failures)
            .field("journal", &self.journal)
            .field("checkpoints", &self.checkpoints)
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
            rule: StopRule::default(),
            max_failures: 10,
            stop: None,
            journal: None,
            checkpoints: None,
            observers: Vec::new(),
        }
    }

    /// With a searcher and a scheduler of your own; those the setup names are not used.
    #[must_use]
    pub fn with(self, searcher: Box<dyn Searcher>, scheduler: Box<dyn Scheduler>) -> Self {
        Self { own: Some((searcher, scheduler)), ..self }
    }

    /// Sets the number of trials that run at once, at least 1. More is faster, but it disturbs the measurements if
    /// trials share the resource that they measure.
    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        Self { workers, ..self }
    }

    /// Ends once so many trials were started and all of them ended; earlier runs on the same journal count.
    #[must_use]
    pub fn max_trials(self, max_trials: u64) -> Self {
        let setup = Setup { budget: self.setup.budget.or(Some(max_trials)), ..self.setup };
        Self { setup, rule: StopRule { max_trials: Some(max_trials), ..self.rule }, ..self }
    }

    /// Ends the study when it has taken so long, earlier runs on the same journal included. Trials that run at that
    /// moment are cut off.
    #[must_use]
    pub fn max_wall_time(self, max_wall_time: Duration) -> Self {
        Self { rule: StopRule { max_wall_time: Some(max_wall_time), ..self.rule }, ..self }
    }

    /// Ends by this rule. It takes the place of the limits that were set before.
    #[must_use]
    pub fn stop_rule(self, rule: StopRule) -> Self {
        let setup = Setup { budget: self.setup.budget.or(rule.max_trials), ..self.setup };
        Self { setup, rule, ..self }
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

    /// Gives every run a folder of its own within this one, for the state that it needs to go on: see
    /// [`TrialRun::checkpoint`]. Folders that the scheduler does not need any more are removed, so that files which are
    /// to outlive the trial belong elsewhere.
    ///
    /// The folder belongs to this study and is to be kept as long as its journal. A new study in the same folder
    /// removes the folders of the earlier one.
    #[must_use]
    pub fn checkpoints(self, folder: impl Into<PathBuf>) -> Self {
        Self { checkpoints: Some(folder.into()), ..self }
    }

    /// Adds an observer, called after those there are.
    #[must_use]
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.push(Box::new(observer));
        self
    }

    /// As [`Tuner::observer`].
    #[must_use]
    pub fn boxed_observer(mut self, observer: Box<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// Runs trials until one of the limits is reached. A trial's future ends with its value (an `f64`, or `()` if it
    /// has reported), or with an error, which makes it a failed trial and nothing worse.
    ///
    /// # Errors
    /// A setup, journal or searcher that cannot be used, or too many failures in a row. The measurements are in the
    /// journal, and in the error if it arose while tuning.
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
        if !self.rule.is_bounded() && self.stop.is_none() {
            return Err(TunerError::Endless);
        }
        let (study, journal) = open(self.setup, self.own, self.journal, &self.rule)?;
        let before = study.elapsed().unwrap_or_default();
        let mut tally = Tally::of(study.trials(), study.header());
        tally.judged(study.judged_floor());
        let checkpoints = self.checkpoints.map(|path| CheckpointFolder::open(&path, study.header())).transpose()?;
        let mut session = Session {
            study,
            journal,
            checkpoints,
            tally,
            observers: self.observers,
            started: Instant::now(),
            before,
            runs: BTreeMap::new(),
            begun: 0,
            held: Vec::new(),
        };
        session.study.limit_trials(self.rule.max_trials);
        session.store()?;
        let limits = Limits {
            workers: self.workers,
            // A time that no clock reaches is no deadline.
            deadline: self.rule.max_wall_time.and_then(|max| session.started.checked_add(max.saturating_sub(before))),
            rule: self.rule,
            max_failures: self.max_failures.max(1),
            stop: self.stop.unwrap_or_default(),
        };
        for observer in &mut session.observers {
            observer.on_start(&session.study);
        }
        let header = session.study.header();
        let (searcher, scheduler) = (&header.searcher, header.scheduler.name());
        let span = tracing::info_span!("study", metric = header.metric.name, searcher, scheduler, seed = header.seed);
        session.run(limits, run).instrument(span).await
    }
}

/// A study without a journal, or that of the journal. Nothing is written if the rule is none of the study.
fn open(
    setup: Setup,
    own: Option<(Box<dyn Searcher>, Box<dyn Scheduler>)>,
    path: Option<PathBuf>,
    rule: &StopRule,
) -> Result<(Study, Option<JournalFile>), TunerError> {
    let (searcher, scheduler) = match own {
        Some(own) => own,
        None => setup.build().map_err(OpenError::from)?,
    };
    rule.check(&setup.header_with(&*searcher, &*scheduler).map_err(OpenError::from)?)?;
    match path {
        None => Ok((Study::with(setup, searcher, scheduler).map_err(OpenError::from)?, None)),
        Some(path) => {
            let journal = StudyJournal::open(path).map_err(OpenError::from)?;
            let (study, file) = journal.study_with(setup, searcher, scheduler)?;
            Ok((study, Some(file)))
        }
    }
}

/// When to start and end trials.
struct Limits {
    workers: usize,
    deadline: Option<Instant>,
    rule: StopRule,
    max_failures: u32,
    stop: StopHandle,
}

/// A study being run.
struct Session {
    study: Study,
    journal: Option<JournalFile>,
    checkpoints: Option<CheckpointFolder>,
    /// The counts on which the stop rule depends.
    tally: Tally,
    observers: Vec<Box<dyn Observer>>,
    started: Instant,
    before: Duration,
    /// The runs that have not ended, by their numbers.
    runs: BTreeMap<u64, Run>,
    begun: u64,
    /// Requests that wait because an earlier run of the same trial has not ended.
    held: Vec<Assignment>,
}

/// A run that has not ended.
#[derive(Debug, Clone, Copy)]
struct Run {
    trial: TrialId,
    /// The trial has paused: its further reports count for nothing.
    paused: bool,
}

/// The reason for the loop's end.
enum End {
    Stopped(StoppedBy),
    Failures(u32, String),
    Suggest(SuggestError),
}

/// The answer from the blocking thread on which the searcher works.
struct Asked {
    study: Study,
    checkpoints: Option<CheckpointFolder>,
    removed: Result<(), CheckpointError>,
    /// `None` if the noise floor was judged instead, which may end the study.
    ask: Option<Result<Ask, SuggestError>>,
}

/// The time between two ticks of the observers.
const TICK: Duration = Duration::from_millis(500);

/// Runs that ended and have not been told.
type Finished = VecDeque<(u64, Outcome)>;

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
        let mut finished = Finished::new();
        let mut failures = 0;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let end = loop {
            // Ended trials are told first, so that the next suggestion takes them into account.
            let mut gave_up = None;
            let mut told = Vec::new();
            while let Some((run, outcome)) = finished.pop_front() {
                if self.reached(&limits.rule).is_some() {
                    // It came too late: the bound is exact.
                    finished.clear();
                    break;
                }
                let trial = self.finish(run, outcome);
                told.extend(trial);
                let failed = trial.and_then(|trial| self.failure(trial));
                failures = if failed.is_some() { failures + 1 } else { 0 };
                if failures >= limits.max_failures && gave_up.is_none() {
                    gave_up = failed.map(|reason| (failures, reason));
                }
            }
            // Results that arrived at the same time go to the disk at the same time.
            self.store_told(&told)?;
            if let Some((failures, reason)) = gave_up {
                break End::Failures(failures, reason);
            }
            if let Some(why) = self.reached(&limits.rule) {
                break End::Stopped(why);
            }
            if limits.stop.is_stopped() {
                break End::Stopped(StoppedBy::Cancelled);
            }
            if limits.deadline.is_some_and(|d| Instant::now() >= d) {
                break End::Stopped(StoppedBy::MaxTuningTime);
            }
            let mut next = self.take_held();
            if next.is_none() && self.runs.len() < limits.workers {
                let asked = while_running(self.start_asking(&limits.rule)?, &mut running, &mut finished).await?;
                (self.study, self.checkpoints) = (asked.study, asked.checkpoints);
                asked.removed?;
                let Some(ask) = asked.ask else {
                    self.store()?;
                    self.tally.judged(self.study.judged_floor());
                    continue;
                };
                match ask {
                    Err(source) => break End::Suggest(source),
                    Ok(Ask::Trial(job)) => {
                        self.store()?;
                        for observer in &mut self.observers {
                            observer.on_ask(&self.study, &job);
                        }
                        self.held.push(job);
                        next = self.take_held();
                        if next.is_none() {
                            continue;
                        }
                    }
                    // With trials still open their results may bring new work.
                    Ok(Ask::Done(why)) if self.runs.is_empty() => {
                        break End::Stopped(match why {
                            DoneBecause::Budget => StoppedBy::MaxTrials,
                            DoneBecause::Exhausted => StoppedBy::Exhausted,
                        });
                    }
                    Ok(Ask::Wait) if self.runs.is_empty() => {
                        break End::Suggest(SuggestError::Failed {
                            searcher: self.study.header().scheduler.name().to_owned(),
                            reason: "it waits for a result although no trial is running".to_owned(),
                        });
                    }
                    Ok(Ask::Wait | Ask::Done(_)) => {}
                }
            }
            if let Some(job) = next {
                let number = self.begun;
                self.begun += 1;
                self.runs.insert(number, Run { trial: job.trial, paused: false });
                match self.prepare(&job, &mut running, &mut finished).await? {
                    Ok(checkpoint) => {
                        // Equal for all trials of a configuration, on every machine.
                        let config = format_args!("{:016x}", job.config.fingerprint());
                        let span = tracing::info_span!("trial", trial = %job.trial, %config, attempt = job.attempt);
                        let future = run(self.trial_run(job, number, checkpoint, sender.clone())).instrument(span);
                        running.push(async move { (number, future.await.map_or_else(failure, Into::into)) });
                    }
                    Err(reason) => finished.push_back((number, Outcome::Failed(reason))),
                }
                continue;
            }
            if !finished.is_empty() {
                continue;
            }
            // Until something happens that may change the answer to the next ask.
            tokio::select! {
                biased;
                () = limits.stop.stopped() => {}
                () = sleep_until(limits.deadline) => {}
                () = sleep_until(self.next_time(&limits.rule)) => {}
                Some(message) = reports.recv() => self.report(message, &mut running, &mut finished).await?,
                Some(ended) = running.next() => finished.push_back(ended),
                _ = ticks.tick(), if !self.observers.is_empty() => {
                    let now = self.now();
                    for observer in &mut self.observers {
                        observer.on_tick(&self.study, now);
                    }
                }
            }
        };
        drop(running);
        // Trials that ended while the last decision was made are counted all the same, as far as the rule allows.
        let mut told = Vec::new();
        for (run, outcome) in finished {
            if self.reached(&limits.rule).is_none() {
                told.extend(self.finish(run, outcome));
            }
        }
        self.store_told(&told)?;
        self.end(end)
    }

    /// The first job whose trial has no run any more.
    fn take_held(&mut self) -> Option<Assignment> {
        let free = |job: &Assignment| self.runs.values().all(|run| run.trial != job.trial);
        let place = self.held.iter().position(free)?;
        Some(self.held.remove(place))
    }

    /// Trials that work in folders of theirs, or will.
    fn working(&self) -> BTreeSet<TrialId> {
        self.runs.values().map(|run| run.trial).chain(self.held.iter().map(|job| job.trial)).collect()
    }

    /// Sends the study to a blocking thread for its next answer, or to judge its noise floor where that is due.
    /// Checkpoints that it does not need are removed before.
    fn start_asking(&mut self, rule: &StopRule) -> Result<JoinHandle<Asked>, JournalError> {
        let now = self.now();
        self.study.at(now);
        let working = self.working();
        let needed = self.checkpoints.as_ref().map(|_| self.study.checkpoints()).unwrap_or_default();
        if self.checkpoints.as_ref().is_some_and(|folder| folder.is_superfluous(&needed, &working))
            && let Some(journal) = &mut self.journal
        {
            // A journal that lost its end must not name a checkpoint that was removed.
            journal.sync()?;
        }
        let mut study = std::mem::replace(&mut self.study, Study::vacant());
        let mut checkpoints = self.checkpoints.take();
        let floors: Vec<f64> = rule.floors().collect();
        Ok(tokio::task::spawn_blocking(move || {
            let removed = checkpoints.as_mut().map_or(Ok(()), |folder| folder.retain(&needed, &working));
            let is_judged = !floors.is_empty() && study.is_floor_due();
            if is_judged {
                study.judge_floor(floors);
            }
            let ask = (!is_judged).then(|| study.ask());
            Asked { study, checkpoints, removed, ask }
        }))
    }

    /// The folder that the job's run shall work in, if there is one; or why its trial cannot run.
    async fn prepare<Fut: Future<Output = (u64, Outcome)>>(
        &mut self,
        job: &Assignment,
        running: &mut FuturesUnordered<Fut>,
        finished: &mut Finished,
    ) -> Result<Result<Option<PathBuf>, String>, TunerError> {
        let Some(mut folder) = self.checkpoints.take() else { return Ok(Ok(None)) };
        let (trial, from) = (job.trial, job.from);
        let copying = tokio::task::spawn_blocking(move || {
            let begun = folder.begin(trial, from);
            (folder, begun)
        });
        let (folder, begun) = while_running(copying, running, finished).await?;
        self.checkpoints = Some(folder);
        match begun {
            Ok(path) => Ok(Ok(Some(path))),
            // This is one trial's loss; a full disk is everybody's.
            Err(gone @ CheckpointError::Gone { .. }) => Ok(Err(gone.to_string())),
            Err(error) => Err(error.into()),
        }
    }

    fn trial_run(
        &self,
        job: Assignment,
        run: u64,
        checkpoint: Option<PathBuf>,
        reports: mpsc::UnboundedSender<Message>,
    ) -> TrialRun {
        let before = self.study.trial(job.trial);
        let last = before.and_then(Trial::last_step).unwrap_or(0);
        let kept = before.map(|t| t.measurements.iter().map(|m| m.value).collect()).unwrap_or_default();
        let spent = before.and_then(Trial::cost).unwrap_or(0.0);
        let seed = Stream::keyed(self.study.header().seed, job.trial, "trial").bits();
        TrialRun::new(job, run, seed, Before { kept, last_step: last, spent }, checkpoint, reports)
    }

    async fn report<Fut: Future<Output = (u64, Outcome)>>(
        &mut self,
        message: Message,
        running: &mut FuturesUnordered<Fut>,
        finished: &mut Finished,
    ) -> Result<(), TunerError> {
        let Message { run: number, step, measured, answer } = message;
        // A run that ended does not wait for an answer.
        let Some(run) = self.runs.get_mut(&number) else { return Ok(()) };
        let trial = run.trial;
        if run.paused {
            let _ = answer.send(Err(TellError::NotRunning { trial, status: "paused" }));
            return Ok(());
        }
        let value = measured.value;
        let now = self.before.saturating_add(self.started.elapsed());
        let decision = self.study.at(now).report(trial, step, measured);
        if decision == Ok(Decision::Pause) {
            run.paused = true;
            if let Some(mut folder) = self.checkpoints.take() {
                let keeping = tokio::task::spawn_blocking(move || {
                    let kept = folder.keep(Checkpoint { trial, resource: step });
                    (folder, kept)
                });
                let (folder, kept) = while_running(keeping, running, finished).await?;
                self.checkpoints = Some(folder);
                kept?;
            }
        }
        self.store()?;
        self.count(trial);
        if let Ok(decision) = decision {
            for observer in &mut self.observers {
                observer.on_report(&self.study, trial, step, value, decision);
            }
        }
        // A trial that no longer waits for the answer was dropped; it is told as such elsewhere.
        let _ = answer.send(decision);
        Ok(())
    }

    /// Takes notice that a run ended; gives its trial if that ended with it. It is not in the journal yet.
    fn finish(&mut self, run: u64, outcome: Outcome) -> Option<TrialId> {
        let Run { trial, paused } = self.runs.remove(&run)?;
        if !paused {
            return self.tell(trial, outcome);
        }
        if let Some(reason) = outcome.failure() {
            tracing::warn!(%trial, %reason, "a run failed after its trial had paused; the trial stays as it paused");
        }
        None
    }

    /// Ends a trial; gives its number unless it had ended.
    fn tell(&mut self, trial: TrialId, outcome: Outcome) -> Option<TrialId> {
        let now = self.now();
        self.study.at(now);
        if let Err(error) = self.study.tell(trial, outcome) {
            tracing::debug!(%trial, %error, "outcome not taken");
            let failed = Outcome::Failed(error.to_string());
            if self.study.tell(trial, failed).is_err() {
                return None;
            }
        }
        self.count(trial);
        Some(trial)
    }

    /// Writes the ended trials to the journal, and shows them.
    fn store_told(&mut self, told: &[TrialId]) -> Result<(), JournalError> {
        self.store()?;
        for trial in told {
            for observer in &mut self.observers {
                observer.on_tell(&self.study, *trial);
            }
        }
        Ok(())
    }

    /// Why a trial failed, if it did.
    fn failure(&self, trial: TrialId) -> Option<String> {
        // A configuration that cannot be measured is a result, not a sign that nothing works any more.
        let ended = self.study.trial(trial).filter(|t| t.status != Status::Infeasible);
        ended.and_then(|t| t.failure.clone())
    }

    /// Journals the open trials as interrupted, and sums up.
    fn end(mut self, end: End) -> Result<Tuning, TunerError> {
        let now = self.now();
        self.study.at(now);
        for trial in self.working() {
            // A trial that reported, was answered with a pause and is now dropped is not running any more.
            if self.study.interrupt(trial).is_ok() {
                tracing::debug!(%trial, "interrupted");
            }
        }
        self.store()?;
        if let Some(folder) = &mut self.checkpoints
            && let Err(error) = folder.retain(&self.study.checkpoints(), &BTreeSet::new())
        {
            tracing::warn!(%error, "a checkpoint that is not needed is left for the next run to remove");
        }
        let stopped_by = match &end {
            End::Stopped(why) => Some(*why),
            End::Failures(..) | End::Suggest(_) => None,
        };
        for observer in &mut self.observers {
            observer.on_end(&self.study, stopped_by);
        }
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

    /// Counts the new status of a trial, for the stop rule.
    fn count(&mut self, trial: TrialId) {
        if let Some(trial) = self.study.trial(trial) {
            self.tally.update(trial, self.study.header());
        }
    }

    fn reached(&self, rule: &StopRule) -> Option<StoppedBy> {
        self.tally.reached(rule, &self.study.header().metric, self.now())
    }

    /// When the rule may be reached by time alone, next.
    fn next_time(&self, rule: &StopRule) -> Option<Instant> {
        let now = self.now();
        let next = rule.times().filter(|time| *time > now).min()?;
        self.started.checked_add(next.saturating_sub(self.before))
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

/// Drives the running trials while a blocking thread works. Their reports wait in the channel meanwhile.
async fn while_running<R, Fut: Future<Output = (u64, Outcome)>>(
    mut task: JoinHandle<R>,
    running: &mut FuturesUnordered<Fut>,
    finished: &mut Finished,
) -> Result<R, TunerError> {
    loop {
        tokio::select! {
            biased;
            done = &mut task => return done.map_err(|_| TunerError::Panicked),
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

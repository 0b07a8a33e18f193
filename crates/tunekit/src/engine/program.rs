//! `ProgramBackend`: runs trials as runs of another program.
//!
//! A trial has a folder with the output of its runs in `stdout` and `stderr`, and with its `config.json`. The runs of a
//! trial follow each other: a failed run may be retried, and if reports are replicates, the program runs as often as
//! the scheduler asks for measurements.
//!
//! Dropping the future of a run asks the program to end and kills it after the grace period. [`ProgramBackend::settle`]
//! waits for that. A worker's device is free again when the last process of the run is gone.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::trial_run::TrialRun;
use crate::doors::process::{Endings, Happened, Running, Start, end_leftover};
use crate::rules::command::{self, CommandError};
use crate::rules::report_line::{self, Line, ReportLine};
use crate::words::event::Header;
use crate::words::metric::ValueRule;
use crate::words::program::{MetricSource, Pass, Program};
use crate::words::trial::{Decision, Measured, Outcome};

/// Lines of standard error in the text of a failure.
const LAST_LINES: usize = 3;
/// Folders of trials that are looked through for programs that a killed process left running.
const MOST_LEFTOVERS: usize = 100_000;

/// Runs trials as runs of a program: hand [`ProgramBackend::run`] to [`Tuner::run`](crate::Tuner::run).
///
/// ```
/// use tunekit::program::{Program, ProgramBackend};
/// use tunekit::{Domain, Metric, Setup, Space, Tuner};
///
/// # let folder = tempfile::tempdir()?;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let space = Space::new().with("x", Domain::int(1, 4)?)?;
/// let setup = Setup::new(space, Metric::minimize("loss"));
/// let program = Program::new(["sh", "-c", r#"echo "{\"loss\": $1}""#, "sh", "{x}"], "loss");
/// let backend = ProgramBackend::new(program, &setup.header()?, folder.path(), 1)?;
/// let tuning = Tuner::new(setup).max_trials(3).run(|trial| backend.run(trial)).await?;
/// assert_eq!(tuning.experiment.measurements(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ProgramBackend {
    program: Arc<Program>,
    /// The folder of the trials' folders; absolute.
    folder: PathBuf,
    /// Whether each report is one more measurement of the same thing.
    is_replicated: bool,
    max_resource: Option<u64>,
    slots: Arc<Slots>,
    endings: Endings,
}

/// Why a program cannot be run for a study.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// Its command does not fit the space.
    #[error(transparent)]
    Command(#[from] CommandError),
    /// There are fewer devices than workers.
    #[error("{workers} workers share {devices} device(s); name one for each worker, or use fewer workers")]
    Devices {
        /// Number of workers.
        workers: usize,
        /// Number of devices.
        devices: usize,
    },
    /// The folder for the trials cannot be made.
    #[error("folder {} for the trials: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Workers' places, each with a number and perhaps a device.
#[derive(Debug)]
struct Slots {
    permits: Arc<Semaphore>,
    free: Mutex<Vec<usize>>,
}

/// A worker's place while a program runs in it.
#[derive(Debug)]
struct Slot {
    slots: Arc<Slots>,
    number: usize,
    _permit: OwnedSemaphorePermit,
}

impl Slots {
    async fn take(self: &Arc<Self>) -> Option<Slot> {
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        let number = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        Some(Slot { slots: self.clone(), number, _permit: permit })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.free.lock().unwrap_or_else(PoisonError::into_inner).push(self.number);
    }
}

/// The end of one run of the program, unless it failed.
struct Ran {
    /// The last report.
    last: Option<ReportLine>,
    /// The last line that is a number alone.
    number: Option<f64>,
    /// The trial's cost when the run began.
    before: f64,
    /// Whether a report of it was taken.
    reported: bool,
    /// The answer to its last report.
    decision: Decision,
    took: Duration,
}

/// Why a run failed.
#[derive(Debug)]
struct RunFailure {
    kind: FailureKind,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FailureKind {
    /// It cannot be tried again with another result.
    Final,
    /// The program says that its configuration cannot be measured.
    Infeasible,
    Failed,
    TimedOut,
    Killed,
}

impl RunFailure {
    fn last(text: impl fmt::Display) -> Self {
        Self { kind: FailureKind::Final, text: text.to_string() }
    }
}

impl ProgramBackend {
    /// A backend with this number of workers and with the trials' folders in `folder`. Programs that a killed process
    /// left running there are killed.
    ///
    /// # Errors
    /// The command has an unknown placeholder, there are fewer devices than workers, or the folder cannot be made.
    pub fn new(program: Program, header: &Header, folder: &Path, workers: usize) -> Result<Self, ProgramError> {
        let made = Self::sharing(program, header, folder, workers)?;
        let failed = |source| ProgramError::Folder { path: folder.to_path_buf(), source };
        for entry in std::fs::read_dir(&made.folder).map_err(failed)?.take(MOST_LEFTOVERS).flatten() {
            if end_leftover(&entry.path()) {
                tracing::warn!(folder = %entry.path().display(), "a program that was left running is ended");
            }
        }
        Ok(made)
    }

    /// As [`ProgramBackend::new`], in a folder that other backends use too: programs that run there are left alone.
    ///
    /// # Errors
    /// As [`ProgramBackend::new`].
    pub fn sharing(program: Program, header: &Header, folder: &Path, workers: usize) -> Result<Self, ProgramError> {
        command::check(&program, &header.space)?;
        let devices = program.devices.len();
        if devices > 0 && devices < workers {
            return Err(ProgramError::Devices { workers, devices });
        }
        let failed = |source| ProgramError::Folder { path: folder.to_path_buf(), source };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let folder = folder.canonicalize().map_err(failed)?;
        let slots = Slots {
            permits: Arc::new(Semaphore::new(workers)),
            // The first worker is the first to be taken.
            free: Mutex::new((0..workers).rev().collect()),
        };
        Ok(Self {
            program: Arc::new(program),
            folder,
            is_replicated: header.metric.value == ValueRule::Mean,
            max_resource: header.max_resource,
            slots: Arc::new(slots),
            endings: Endings::default(),
        })
    }

    /// Waits until every program of a dropped run has ended, at most for the grace period.
    pub async fn settle(&self) {
        self.endings.wait().await;
    }

    /// Runs a trial.
    ///
    /// # Errors
    /// The reason of the trial's failure, in one line: the program cannot be started, ended with an error, took too
    /// long, or did not report.
    pub async fn run(&self, mut trial: TrialRun) -> Result<Outcome, String> {
        let began = Instant::now();
        let mut left = self.program.retries;
        loop {
            let failure = match self.once(&mut trial, began).await {
                Ok(ran) => match self.outcome(&mut trial, ran, began).await {
                    Ok(Some(outcome)) => return Ok(outcome),
                    Ok(None) => continue,
                    Err(failure) => failure,
                },
                Err(failure) => failure,
            };
            let tries = match failure.kind {
                FailureKind::Infeasible => return Ok(Outcome::Infeasible(failure.text)),
                FailureKind::Final => return Err(failure.text),
                FailureKind::Failed => &mut left.failed,
                FailureKind::TimedOut => &mut left.timed_out,
                FailureKind::Killed => &mut left.killed,
            };
            if *tries == 0 {
                return match failure.kind {
                    FailureKind::TimedOut => Ok(Outcome::TimedOut(failure.text)),
                    _ => Err(failure.text),
                };
            }
            *tries -= 1;
            tracing::warn!(trial = %trial.id(), reason = failure.text, "a run failed and is tried again");
        }
    }

    /// The trial's outcome after a run; `None` where the program is to run again.
    async fn outcome(&self, trial: &mut TrialRun, ran: Ran, began: Instant) -> Result<Option<Outcome>, RunFailure> {
        let Ran { last, number, before, reported, mut decision, took } = ran;
        let whole = match self.program.metric {
            MetricSource::Reported(_) => None,
            MetricSource::Wall => Some(took.as_secs_f64()),
            MetricSource::Stdout => match number {
                Some(value) => Some(value),
                None => return Err(RunFailure::last("no line of its standard output is a number")),
            },
        };
        let cost = self.cost(trial, before, last.as_ref(), began);
        let with_rest = |value: f64| -> Result<Measured, RunFailure> {
            let mut measured = Measured::new(value);
            measured.cost = cost;
            let names = [&self.program.objectives, &self.program.constraints];
            let empty = ReportLine::default();
            let report = last.as_ref().unwrap_or(&empty);
            for (i, (names, found)) in names.into_iter().zip([&report.more, &report.constraints]).enumerate() {
                let mut values = Vec::new();
                for (at, name) in names.iter().enumerate() {
                    let value = found.get(at).copied().flatten();
                    values.push(value.ok_or_else(|| RunFailure::last(format!("its last report has no `{name}`")))?);
                }
                if i == 0 { measured.more = values } else { measured.constraints = values }
            }
            Ok(measured)
        };
        if let Some(value) = whole {
            if !self.is_replicated && trial.resource().is_none() {
                return Ok(Some(with_rest(value)?.into()));
            }
            // A whole run is one measurement; where the scheduler has rungs it was run up to the next of them.
            let step = if self.is_replicated { trial.next_step() } else { trial.resource().unwrap_or(0) };
            let step = step.max(trial.next_step());
            // A number that its last report lacks is named when the trial ends.
            let measured = with_rest(value).unwrap_or(Measured { cost, ..Measured::new(value) });
            decision = trial.report_at(step, measured).await.map_err(RunFailure::last)?;
        } else if !reported && trial.next_step() == 1 {
            return Err(RunFailure::last(format!("it ended without a report of `{}`", self.metric_name())));
        }
        // Without a resource the trial is one run. With a resource the scheduler decides when there are enough runs, at
        // the maximal resource at the latest. A run whose reports all count already would be repeated for ever.
        let is_new = reported || whole.is_some();
        if self.is_replicated && decision == Decision::Continue && trial.resource().is_some() && is_new {
            return Ok(None);
        }
        if self.program.objectives.is_empty() && self.program.constraints.is_empty() {
            return Ok(Some(Outcome::Done));
        }
        let value = last.as_ref().and_then(|last| last.value).or(whole).unwrap_or(f64::NAN);
        let all = with_rest(value)?;
        // Replicates were already reported with all their numbers, and a value that is told now would replace them.
        Ok(Some(if self.is_replicated { Outcome::Done } else { all.into() }))
    }

    /// Runs the program once.
    async fn once(&self, trial: &mut TrialRun, began: Instant) -> Result<Ran, RunFailure> {
        let slot = self.slots.take().await.ok_or_else(|| RunFailure::last("there is no worker"))?;
        let mut running = self.start(trial, slot)?;
        // Reports without numbers are counted from the program's start, or from the last replicate on.
        let base = if self.is_replicated { trial.next_step() - 1 } else { 0 };
        let mut state = Reports { base, before: trial.cost(), ..Reports::default() };
        let mut deadline = self.program.timeout.map(|timeout| Instant::now() + timeout);
        let mut is_done = false;
        let status = loop {
            let happened = tokio::select! {
                biased;
                () = sleep_until(deadline) => None,
                happened = running.next() => Some(happened),
            };
            match happened {
                // It ended in time, but a report was answered late. Its other lines and its end are still to be read.
                None if !is_done && running.ended_within(self.program.timeout) => deadline = None,
                None if is_done => {
                    running.end().await;
                    break None;
                }
                None => {
                    running.end().await;
                    let seconds = self.program.timeout.unwrap_or_default().as_secs_f64();
                    let text = format!("timed out after {seconds} s and was ended");
                    return Err(self.failure(FailureKind::TimedOut, text, &mut running).await);
                }
                // A full run ends by itself, unless it continues to report or takes longer than the grace period.
                Some(Ok(Happened::Line(_))) if is_done => {
                    running.end().await;
                    break None;
                }
                Some(Ok(Happened::Line(line))) => match self.heed(trial, &mut state, line, began).await? {
                    Decision::Continue => {}
                    Decision::Stop if self.is_full(trial) => {
                        is_done = true;
                        deadline = Some(Instant::now() + self.program.grace);
                    }
                    Decision::Stop | Decision::Pause => {
                        running.end().await;
                        break None;
                    }
                },
                Some(Ok(Happened::Ended(status))) => break Some(status),
                Some(Err(error)) => return Err(RunFailure::last(format!("its end cannot be waited for: {error}"))),
            }
        };
        let took = running.elapsed();
        // The processes that it started must stop writing.
        running.end().await;
        if let Some(status) = status.filter(|_| !is_done) {
            while let Some(line) = running.rest().await {
                if self.heed(trial, &mut state, line, began).await? != Decision::Continue {
                    break;
                }
            }
            if !status.success() {
                let (kind, text) = ending(status);
                return Err(self.failure(kind, text, &mut running).await);
            }
        }
        let Reports { last, number, before, taken, decision, wrong, .. } = state;
        let nothing = taken == 0 && trial.next_step() == 1 && self.needs_report();
        if nothing && let Some(wrong) = wrong {
            return Err(RunFailure::last(format!("its last report cannot be used: {wrong}")));
        }
        if nothing {
            let text = format!("ended without a report of `{}`", self.metric_name());
            return Err(self.failure(FailureKind::Final, text, &mut running).await);
        }
        Ok(Ran { last, number, before, reported: taken > 0, decision: decision.unwrap_or(Decision::Continue), took })
    }

    fn start(&self, trial: &TrialRun, slot: Slot) -> Result<Running<Line, Slot>, RunFailure> {
        let program = &*self.program;
        let output = self.folder.join(trial.id().to_string());
        let config = output.join("config.json");
        let text = serde_json::to_string(trial.config()).unwrap_or_default();
        let written = std::fs::create_dir_all(&output).and_then(|()| std::fs::write(&config, text + "\n"));
        written.map_err(|error| RunFailure::last(format!("{} cannot be written: {error}", config.display())))?;
        let mut facts = vec![
            ("trial", trial.id().to_string()),
            ("seed", trial.seed().to_string()),
            ("worker", slot.number.to_string()),
            ("config", config.display().to_string()),
        ];
        facts.extend(trial.resource().map(|resource| ("resource", resource.to_string())));
        let checkpoint = trial.checkpoint().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        facts.extend(checkpoint.map(|path| ("checkpoint", path.display().to_string())));
        let device = program.devices.get(slot.number).cloned();
        facts.extend(device.clone().map(|device| ("device", device)));
        let mut env: Vec<(String, String)> = Vec::new();
        if std::env::var_os("PYTHONUNBUFFERED").is_none() {
            // Python buffers output to a pipe, so that all reports would come at the end.
            env.push(("PYTHONUNBUFFERED".to_owned(), "1".to_owned()));
        }
        env.extend(program.env.iter().map(|(name, value)| (name.clone(), value.clone())));
        env.extend(facts.iter().map(|(name, value)| (format!("TUNEKIT_{}", name.to_uppercase()), value.clone())));
        env.extend(device.map(|device| (program.device_variable.clone(), device)));
        if program.pass == Pass::Environment {
            env.extend(trial.config().iter().map(|(name, value)| (name.to_owned(), value.to_string())));
        }
        let words = command::words(program, trial.config(), &facts);
        let start = Start { words: &words, folder: &program.folder, env: &env, output: &output, grace: program.grace };
        let reads = self.program.clone();
        let read = move |line: &str| match report_line::read(&reads, line) {
            Line::Other => None,
            line => Some(line),
        };
        Running::start(&start, slot, &self.endings, read)
            .map_err(|error| RunFailure::last(format!("`{}` cannot be started: {error}", words[0])))
    }

    /// Passes a report on, and returns the answer. A known report is not passed on again.
    async fn heed(
        &self,
        trial: &mut TrialRun,
        state: &mut Reports,
        line: Line,
        began: Instant,
    ) -> Result<Decision, RunFailure> {
        let report = match line {
            Line::Report(report) => report,
            Line::Wrong(why) => {
                tracing::warn!(trial = %trial.id(), why, "a report cannot be used");
                state.wrong = Some(why);
                return Ok(Decision::Continue);
            }
            // The program is ended as its future is dropped.
            Line::Infeasible(reason) => return Err(RunFailure { kind: FailureKind::Infeasible, text: reason }),
            Line::Number(number) => {
                state.number = Some(number);
                return Ok(Decision::Continue);
            }
            Line::Other => return Ok(Decision::Continue),
        };
        state.seen += 1;
        let step = report.resource.unwrap_or(state.base + state.seen);
        let cost = self.cost(trial, state.before, Some(&report), began);
        let value = report.value.filter(|_| self.needs_report());
        let [more, constraints] = [&report.more, &report.constraints].map(|found| {
            let all: Option<Vec<f64>> = found.iter().copied().collect();
            all.unwrap_or_default()
        });
        state.last = Some(report);
        let Some(value) = value.filter(|_| step >= trial.next_step()) else { return Ok(Decision::Continue) };
        let measured = Measured { more, constraints, cost, ..Measured::new(value) };
        let decision = trial.report_at(step, measured).await.map_err(RunFailure::last)?;
        state.taken += 1;
        state.decision = Some(decision);
        Ok(decision)
    }

    /// The trial's cost so far, if it is reported. A program reports that of one run, which adds to the cost `before`
    /// that run; the time is that of all runs since `began`, retries and waiting included.
    fn cost(&self, trial: &TrialRun, before: f64, report: Option<&ReportLine>, began: Instant) -> Option<f64> {
        match self.program.cost.as_deref()? {
            "wall" => Some(trial.spent() + began.elapsed().as_secs_f64()),
            _ => Some(before + report.and_then(|report| report.cost)?),
        }
    }

    /// Whether the trial has come to the end of a full run.
    fn is_full(&self, trial: &TrialRun) -> bool {
        self.max_resource.is_some_and(|max| trial.next_step() > max)
    }

    fn needs_report(&self) -> bool {
        matches!(self.program.metric, MetricSource::Reported(_))
    }

    fn metric_name(&self) -> &str {
        match &self.program.metric {
            MetricSource::Reported(name) => name,
            MetricSource::Wall => "wall",
            MetricSource::Stdout => "stdout",
        }
    }

    async fn failure(&self, kind: FailureKind, text: String, running: &mut Running<Line, Slot>) -> RunFailure {
        let name = self.program.command.first().map_or("the program", String::as_str);
        let text = match running.last_words(LAST_LINES).await {
            words if words.is_empty() => format!("`{name}` {text}"),
            words => format!("`{name}` {text}: {words}"),
        };
        RunFailure { kind, text }
    }
}

/// The reports of one run.
#[derive(Debug, Default)]
struct Reports {
    /// Added to the number of a report that has none.
    base: u64,
    seen: u64,
    taken: u64,
    last: Option<ReportLine>,
    /// The last line that is a number alone.
    number: Option<f64>,
    /// The trial's cost when the run began.
    before: f64,
    decision: Option<Decision>,
    /// Why the last report that could not be used could not.
    wrong: Option<String>,
}

fn ending(status: ExitStatus) -> (FailureKind, String) {
    match (status.code(), status.signal()) {
        (Some(code), _) => (FailureKind::Failed, format!("ended with exit code {code}")),
        (None, Some(signal)) => (FailureKind::Killed, format!("was ended by signal {signal}")),
        (None, None) => (FailureKind::Failed, format!("ended with {status}")),
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use tokio::sync::mpsc;

    use super::super::trial_run::{Before, Message};
    use super::*;
    use crate::rules::study::{Setup, Study};
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
    use crate::words::space::Space;

    #[tokio::test]
    async fn a_run_that_ended_in_time_is_not_timed_out_by_a_late_answer() {
        for (rest, is_done) in [("sleep 0.1; echo '{\"loss\": 2}'", true), ("sleep 60", false)] {
            let folder = tempfile::tempdir().unwrap();
            let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
            let setup = Setup::new(space, Metric::minimize("loss"));
            let script = format!("echo '{{\"loss\": 1}}'; {rest}");
            let program = Program::new(["sh", "-c", script.as_str()], "loss");
            let program =
                Program { timeout: Some(Duration::from_secs(1)), grace: Duration::from_millis(100), ..program };
            let backend = ProgramBackend::new(program, &setup.header().unwrap(), folder.path(), 1).unwrap();
            let job = Study::new(setup).unwrap().ask().unwrap().assignment().unwrap();
            let (sender, mut reports) = mpsc::unbounded_channel::<Message>();
            let trial = TrialRun::new(job, 0, 1, Before::default(), None, sender);
            let answering = async {
                let mut steps = Vec::new();
                while let Some(message) = reports.recv().await {
                    tokio::time::sleep(Duration::from_millis(1500)).await;
                    steps.push(message.step);
                    let _ = message.answer.send(Ok(Decision::Continue));
                }
                steps
            };
            let (outcome, steps) = tokio::join!(backend.run(trial), answering);
            if is_done {
                assert_eq!((outcome, steps), (Ok(Outcome::Done), vec![1, 2]));
            } else {
                assert!(matches!(outcome, Ok(Outcome::TimedOut(_))), "{outcome:?}");
            }
        }
    }
}

//! `TrialRun`: one run of one trial, as the closure that is tuned sees it.
//!
//! It decides nothing: what it reports goes to the tuner, which answers.

use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, oneshot};

use crate::rules::study::TellError;
use crate::words::trial::{Assignment, Checkpoint, Decision, Measured, TrialId};
use crate::words::value::Config;

/// One run of one trial, handed to the closure that is tuned.
#[derive(Debug)]
pub struct TrialRun {
    job: Assignment,
    run: u64,
    seed: u64,
    before: Before,
    next_step: u64,
    checkpoint: Option<PathBuf>,
    reports: mpsc::UnboundedSender<Message>,
}

/// The state that a trial had reached before a run.
#[derive(Debug, Default)]
pub(super) struct Before {
    /// The values that it measured.
    pub(super) kept: Vec<f64>,
    /// The step of the last of them, or of the checkpoint that it begins with.
    pub(super) last_step: u64,
    /// What it had cost.
    pub(super) spent: f64,
}

/// A report on its way to the tuner.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) run: u64,
    pub(super) step: u64,
    pub(super) measured: Measured,
    pub(super) answer: oneshot::Sender<Result<Decision, TellError>>,
}

impl TrialRun {
    pub(super) fn new(
        job: Assignment,
        run: u64,
        seed: u64,
        before: Before,
        checkpoint: Option<PathBuf>,
        reports: mpsc::UnboundedSender<Message>,
    ) -> Self {
        let next_step = before.last_step.saturating_add(1);
        Self { job, run, seed, before, next_step, checkpoint, reports }
    }

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

    /// The step of the next report: 1 where nothing was measured yet, one more than the last that counts otherwise. A
    /// trial runs up to [`TrialRun::resource`], that step included.
    pub fn next_step(&self) -> u64 {
        self.next_step
    }

    /// Whether the trial goes on from a pause.
    pub fn resumed(&self) -> bool {
        self.job.resumed
    }

    /// What it goes on from: its own checkpoint or, if it is a copy, another trial's. `None`: it starts with nothing.
    pub fn from(&self) -> Option<Checkpoint> {
        self.job.from
    }

    /// A folder of this run's own, if the tuner has one for checkpoints
    /// ([`Tuner::checkpoints`](crate::Tuner::checkpoints)). It holds what was there when the trial paused or, if it is
    /// a copy, what the other trial had at [`TrialRun::from`]; otherwise nothing.
    ///
    /// Save before reporting: a report that is answered with [`Decision::Pause`] takes the folder away as it is, for
    /// the run that goes on from there. Only a report at [`TrialRun::resource`] or later is answered so.
    pub fn checkpoint(&self) -> Option<&Path> {
        self.checkpoint.as_deref()
    }

    /// What the trial has measured before this run, in the order of its steps: before a pause or, where reports are
    /// replicates, before an interruption. Empty for one that starts, or starts over.
    pub fn kept(&self) -> &[f64] {
        &self.before.kept
    }

    /// How many of [`TrialRun::kept`] an interruption left that the run need not measure again: where a trial is to be
    /// measured so many times, that many fewer are left. 0 where it only goes on from a pause, of which the study knows
    /// already.
    pub fn already(&self) -> usize {
        if self.job.after.is_some() && !self.job.resumed { self.before.kept.len() } else { 0 }
    }

    /// What the trial has cost before this run, where that was reported: a report's cost is of all runs together.
    pub fn spent(&self) -> f64 {
        self.before.spent
    }

    /// 1, and one more each time the trial was interrupted and starts again.
    pub fn attempt(&self) -> u32 {
        self.job.attempt
    }

    /// A seed for the trial's own randomness: the same for the same study and trial.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Reports a measurement at the next step (1, 2, ..., or on from where the trial was), waits until it is
    /// journalled, and says what to do. It may carry what the trial has cost so far: see
    /// [`Study::report`](crate::Study::report).
    pub async fn report(&mut self, measured: impl Into<Measured>) -> Decision {
        let trial = self.job.trial;
        self.report_at(self.next_step, measured).await.unwrap_or_else(|error| {
            tracing::warn!(%trial, %error, "report not taken");
            Decision::Stop
        })
    }

    /// Reports a measurement at a step above the last one.
    ///
    /// # Errors
    /// A step that is not, a cost that is none, or a trial that has paused.
    pub async fn report_at(&mut self, step: u64, measured: impl Into<Measured>) -> Result<Decision, TellError> {
        let (answer, decision) = oneshot::channel();
        if self.reports.send(Message { run: self.run, step, measured: measured.into(), answer }).is_err() {
            return Ok(Decision::Stop);
        }
        let decision = decision.await.unwrap_or(Ok(Decision::Stop))?;
        self.next_step = step.saturating_add(1);
        Ok(decision)
    }
}

//! `TrialRun`: one run of one trial, from the view of the tuned closure.
//!
//! It sends its reports to the tuner, and the tuner decides.

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
    /// Cost of the trial so far, this run's reports included.
    cost: f64,
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
    /// Cost of the trial before this run.
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
        let cost = before.spent;
        Self { job, run, seed, before, cost, next_step, checkpoint, reports }
    }

    /// The trial's number.
    pub fn id(&self) -> TrialId {
        self.job.trial
    }

    /// The configuration to run with.
    pub fn config(&self) -> &Config {
        &self.job.config
    }

    /// The step at which the next decision is due; `None`: run to the end.
    pub fn resource(&self) -> Option<u64> {
        self.job.resource
    }

    /// The step of the next report: one more than the last step that counts, or 1 if nothing was measured yet. A trial
    /// runs up to and including [`TrialRun::resource`].
    pub fn next_step(&self) -> u64 {
        self.next_step
    }

    /// Whether the trial continues after a pause.
    pub fn resumed(&self) -> bool {
        self.job.resumed
    }

    /// The checkpoint from which it continues: its own or, if the trial is a copy, another trial's. `None`: it starts
    /// from the beginning.
    pub fn from(&self) -> Option<Checkpoint> {
        self.job.from
    }

    /// This run's own folder, if the tuner keeps checkpoints ([`Tuner::checkpoints`](crate::Tuner::checkpoints)). At
    /// first it holds the state in which the trial paused, or, for a copy, the state of the other trial at
    /// [`TrialRun::from`]; otherwise it is empty.
    ///
    /// Save before reporting: a report that is answered with [`Decision::Pause`] takes the folder in its present state,
    /// for the run that continues from there. Only reports at [`TrialRun::resource`] or later get this answer.
    pub fn checkpoint(&self) -> Option<&Path> {
        self.checkpoint.as_deref()
    }

    /// The trial's measurements before this run, in the order of its steps: those before a pause or, if reports are
    /// replicates, before an interruption. Empty for a trial that starts, or starts over.
    pub fn kept(&self) -> &[f64] {
        &self.before.kept
    }

    /// Number of measurements in [`TrialRun::kept`] that were made before an interruption. The run need not repeat
    /// them: a trial that should be measured n times needs that many fewer. It is 0 after a pause, because the study
    /// has counted those measurements already.
    pub fn already(&self) -> usize {
        if self.job.after.is_some() && !self.job.resumed { self.before.kept.len() } else { 0 }
    }

    /// Cost of the trial before this run, if it was reported. The cost in a report is that of all runs together.
    pub fn spent(&self) -> f64 {
        self.before.spent
    }

    /// Cost of the trial so far: [`TrialRun::spent`], or that of this run's last report.
    #[cfg(feature = "process")]
    pub(super) fn cost(&self) -> f64 {
        self.cost
    }

    /// 1 plus the number of interruptions after which the trial started again.
    pub fn attempt(&self) -> u32 {
        self.job.attempt
    }

    /// A seed for the trial's own randomness: the same for the same study and trial.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Reports a measurement at the next step (1, 2, ..., or after the trial's last step), waits until it is
    /// journalled, and returns the study's decision. The report may carry the trial's cost so far: see
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
    /// The step does not increase, the cost is not a positive number, or the trial has paused.
    pub async fn report_at(&mut self, step: u64, measured: impl Into<Measured>) -> Result<Decision, TellError> {
        let (answer, decision) = oneshot::channel();
        let measured = measured.into();
        let cost = measured.cost;
        if self.reports.send(Message { run: self.run, step, measured, answer }).is_err() {
            return Ok(Decision::Stop);
        }
        let decision = decision.await.unwrap_or(Ok(Decision::Stop))?;
        self.cost = cost.unwrap_or(self.cost);
        self.next_step = step.saturating_add(1);
        Ok(decision)
    }
}

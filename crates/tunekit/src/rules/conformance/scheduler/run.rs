//! `Run`: a study under the scheduler under test, which checks the contract at each step.

use std::collections::BTreeSet;

use super::{Breach, Make, Step, at};
use crate::rules::study::{Setup, Study};
use crate::words::domain::Domain;
use crate::words::event::Event;
use crate::words::metric::{Metric, ValueRule};
use crate::words::space::Space;
use crate::words::trial::{Ask, Assignment, Checkpoint, Decision, Measured, Outcome, Status, TrialId};

/// Number of trials that run at once.
const WORKERS: usize = 4;

/// A study and its journal, those of its trials that run, and their checkpoints.
pub(super) struct Run<'a> {
    make: Make<'a>,
    max: u64,
    study: Study,
    limit: Option<u64>,
    events: Vec<Event>,
    running: Vec<Assignment>,
    /// The last trial that ended.
    ended: Option<TrialId>,
    /// The checkpoints of a caller that removes each as soon as it may.
    kept: BTreeSet<Checkpoint>,
    waited: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(make: Make<'a>, max: u64, seed: u64) -> Result<Self, Breach> {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).expect("a range")).expect("a new name");
        let setup = Setup::new(space, Metric::minimize("loss")).max_resource(max).seed(seed);
        let (searcher, scheduler) = make();
        let study = Study::with(setup, searcher, scheduler).map_err(|e| at("a new study")(&e))?;
        let (running, kept) = (Vec::new(), BTreeSet::new());
        Ok(Self { make, max, study, limit: None, events: Vec::new(), running, ended: None, kept, waited: false })
    }

    /// The journal.
    pub(super) fn into_events(mut self) -> Vec<Event> {
        self.collect();
        self.events
    }

    /// Whether a worker was to wait.
    pub(super) fn waited(&self) -> bool {
        self.waited
    }

    /// The number of a running trial.
    pub(super) fn trial(&self, running: usize) -> TrialId {
        self.running[running].trial
    }

    /// Takes one step.
    pub(super) fn step(&mut self, step: &Step) -> Result<(), Breach> {
        self.look()?;
        let count = self.running.len();
        match *step {
            Step::Ask if count < WORKERS => self.ask().map(drop)?,
            Step::Ask => {}
            _ if count == 0 => {}
            Step::Report { running, steps, value } => self.report(running % count, steps.max(1), value)?,
            Step::NotANumber(running) => {
                let i = running % count;
                let next = self.last_step(i) + 1;
                let decision = self.decide(i, next, f64::NAN)?;
                if decision != Decision::Stop {
                    return Err(format!("the answer to a report that is not a number is {decision:?}"));
                }
                self.end(i, Outcome::Done)?;
            }
            Step::Fail(running) => self.end(running % count, Outcome::Failed("no".to_owned()))?,
            Step::Tell(running) => self.end(running % count, Outcome::Value(2.5))?,
            Step::CutOff(running) => self.end(running % count, Measured::at_least(2.5).into())?,
            Step::Lose(running) => {
                let job = self.running.remove(running % count);
                self.study.interrupt(job.trial).map_err(|e| at("a lost worker")(&e))?;
                self.refused(job.trial, self.max, "of a lost worker")?;
            }
        }
        match self.ended {
            Some(trial) => self.refused(trial, self.max + 1, "of a trial that has ended"),
            None => Ok(()),
        }
    }

    /// Looks at the advice.
    fn look(&mut self) -> Result<(), Breach> {
        let needed = self.study.checkpoints();
        self.kept.retain(|c| needed.contains(c));
        if let Some(c) = needed.difference(&self.kept).next() {
            let Checkpoint { trial, resource } = c;
            return Err(format!("its advice names a checkpoint of trial {trial} at {resource}, which it had given up"));
        }
        let advised = self.study.dressed();
        let (levels, max) = (advised.levels(), self.max);
        let increase = levels.is_sorted_by(|a, b| a < b) && levels.last().is_none_or(|last| *last == max);
        if !increase {
            return Err(format!("the levels {levels:?} of its advice do not increase up to {max}"));
        }
        match advised.resource() {
            Some(fidelity) if fidelity == 0 || fidelity > max => {
                Err(format!("the fidelity {fidelity} of its advice is not between 1 and {max}"))
            }
            _ => Ok(()),
        }
    }

    /// A free worker asks. `None`: there is nothing to do now, or no more.
    pub(super) fn ask(&mut self) -> Result<Option<&Assignment>, Breach> {
        let mut cold = self.again()?;
        let answer = self.study.ask().map_err(|e| at("ask")(&e))?;
        let replayed = cold.ask().map_err(|e| at("ask of a replay")(&e))?;
        if answer != replayed {
            return Err(format!(
                "the next job is {answer:?}, and after a replay {replayed:?}; change state in `observe`"
            ));
        }
        self.waited |= answer == Ask::Wait;
        match answer {
            Ask::Trial(job) => {
                self.check(&job)?;
                self.running.push(job);
                Ok(self.running.last())
            }
            Ask::Wait if self.running.is_empty() => Err("a worker is to wait, and nothing runs".to_owned()),
            Ask::Done(_) if self.limit.is_none() => Err("there is no limit of trials, and no more to do".to_owned()),
            Ask::Wait | Ask::Done(_) => Ok(None),
        }
    }

    /// Whether a job may be given out.
    fn check(&self, job: &Assignment) -> Result<(), Breach> {
        let Assignment { trial, resource, resumed, from, .. } = *job;
        if let Some(from) = from.filter(|from| !self.kept.contains(from)) {
            return Err(format!(
                "trial {trial} goes on from trial {} at {}, a checkpoint that its advice had given up",
                from.trial, from.resource
            ));
        }
        if resumed && from.is_none_or(|from| from.trial != trial) {
            return Err(format!("trial {trial} goes on from {from:?}, which is not its own checkpoint"));
        }
        let Some(resource) = resource else { return Ok(()) };
        let start = from.map_or(0, |from| from.resource);
        if resource <= start {
            return Err(format!("trial {trial} is to run to {resource}, and begins at {start}"));
        }
        if resource > self.max && !(resumed && self.replicates()) {
            return Err(format!("trial {trial} is to run to {resource}, and a full run goes to {}", self.max));
        }
        Ok(())
    }

    /// A running trial reports after this number of steps, or when its next decision is due.
    pub(super) fn report(&mut self, i: usize, steps: u64, value: f64) -> Result<(), Breach> {
        let last = self.last_step(i);
        let due = self.running[i].resource.filter(|due| *due > last).unwrap_or(self.max.max(last + 1));
        self.decide(i, last.saturating_add(steps).min(due), value)?;
        Ok(())
    }

    /// A running trial reports at a step. It stays among the running trials only if it is to continue, or has a failure
    /// to tell.
    pub(super) fn decide(&mut self, i: usize, step: u64, value: f64) -> Result<Decision, Breach> {
        let (trial, last) = (self.trial(i), self.last_step(i));
        let mut cold = self.again()?;
        if last > 0 {
            self.refused(trial, last, "that is not above the last one")?;
        }
        let decision = self.study.report(trial, step, value).map_err(|e| at(format!("a report at {step}"))(&e))?;
        let replayed = cold.report(trial, step, value).map_err(|e| at("a report to a replay")(&e))?;
        if decision != replayed {
            return Err(format!(
                "the answer to trial {trial} at {step} is {decision:?}, and after a replay {replayed:?}; \
                 change state in `observe`"
            ));
        }
        if decision == Decision::Pause {
            if step >= self.max && !self.replicates() {
                return Err(format!("trial {trial} is to pause at {step}, where a full run ends"));
            }
            self.kept.insert(Checkpoint { trial, resource: step });
            self.running.remove(i);
        } else if decision == Decision::Stop && value.is_finite() {
            self.end(i, Outcome::Done)?;
        }
        Ok(decision)
    }

    /// A running trial ends.
    pub(super) fn end(&mut self, i: usize, outcome: Outcome) -> Result<(), Breach> {
        let job = self.running.remove(i);
        self.ended = Some(job.trial);
        self.study.tell(job.trial, outcome).map_err(|e| at(format!("the end of trial {}", job.trial))(&e))
    }

    /// Runs a study with this number of trials to its end; each running trial in turn does `act`.
    pub(super) fn finish(
        &mut self,
        trials: u64,
        workers: usize,
        mut act: impl FnMut(&mut Self, usize) -> Result<(), Breach>,
    ) -> Result<(), Breach> {
        self.limit = Some(trials);
        self.study.limit_trials(self.limit);
        // Every trial to the end of a full run, and again as much for replicates.
        let most = trials.saturating_mul(self.max).saturating_mul(2);
        for turn in 0..=most {
            self.look()?;
            while self.running.len() < workers && self.ask()?.is_some() {}
            if self.running.is_empty() {
                return self.over();
            }
            let i = usize::try_from(turn).unwrap_or(0) % self.running.len();
            act(self, i)?;
        }
        Err(format!("{trials} trials of at most {} steps have not ended after {most} reports", self.max))
    }

    /// Whether a study that has nothing more to do left nothing behind.
    fn over(&self) -> Result<(), Breach> {
        let open = self.study.trials().iter().find(|t| !t.is_finished() && t.status != Status::Paused);
        match open {
            Some(trial) => Err(format!("trial {} is {} when the study is over", trial.id, trial.status.as_str())),
            None => Ok(()),
        }
    }

    /// A report that a study refuses, and that changes nothing.
    fn refused(&mut self, trial: TrialId, step: u64, what: &str) -> Result<(), Breach> {
        self.collect();
        match self.study.report(trial, step, 0.0) {
            Ok(_) => Err(format!("a report {what} is taken: trial {trial} at {step}")),
            Err(_) if !self.study.take_events().is_empty() => Err(format!("a report {what} is in the journal")),
            Err(_) => Ok(()),
        }
    }

    fn last_step(&self, i: usize) -> u64 {
        self.study.trial(self.trial(i)).and_then(|t| t.last_step()).unwrap_or(0)
    }

    /// Whether reports are measurements of the same thing.
    fn replicates(&self) -> bool {
        self.study.header().metric.value == ValueRule::Mean
    }

    fn collect(&mut self) {
        self.events.extend(self.study.take_events());
    }

    /// The same study from its journal, with a new searcher and scheduler.
    fn again(&mut self) -> Result<Study, Breach> {
        self.collect();
        let (searcher, scheduler) = (self.make)();
        let study = Study::replay_with(self.events.clone(), searcher, scheduler);
        let mut study = study.map_err(|e| at("a replay")(&e))?;
        study.limit_trials(self.limit);
        Ok(study)
    }
}

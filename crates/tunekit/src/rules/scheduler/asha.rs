//! Asynchronous successive halving (Li, Jamieson, Rostamizadeh, Gonina, Hardt, Recht and Talwalkar 2020, Alg. 2), in
//! the form that promotes and in the one that stops, in one bracket or in several at once, and with a maximal resource
//! that grows (PASHA: Bohdal, Balles, Wistuba, Ermis, Archambeau and Zappella 2023), or by several objectives (MO-ASHA:
//! Schmucker, Donini, Zafar, Salinas and Archambeau 2021, "Multi-objective asynchronous successive halving"), or above
//! the best configurations of earlier studies (RUSH: Zappella, Salinas and Archambeau 2021, "A resource-efficient
//! method for repeated HPO and NAS problems").
//!
//! Where the study is cost-aware, promotion weighs trials by their costs: see `Costs`.
//!
//! A bracket's trials are compared with those of the same bracket only. A trial's place follows from the events: see
//! `Rung` for one rung, `Levels` for the resources, `Standings` for several objectives.

use std::collections::{BTreeMap, BTreeSet};

use super::front::Standing;
use super::levels::Levels;
use super::pasha::{COMPARED, criss_cross};
use super::rung::{Arrival, Form, Rule, Rung};
use super::split::Key;
use super::{Advice, History, Job, ScheduleError, Scheduler, Stream, enough, standing};
use crate::words::event::Event;
use crate::words::plan::{Plan, PlannedBracket, PlannedRung};
use crate::words::schedule::{BracketOptions, RushOptions, SchedulerSpec};
use crate::words::trial::{Decision, Origin, Outcome, Trial, TrialId};

/// Asynchronous successive halving and its variants.
#[derive(Debug)]
pub struct Asha {
    spec: SchedulerSpec,
    form: Form,
    eta: u64,
    levels: Levels,
    /// By the rung that a bracket begins with: its rungs, up to that of the maximal resource.
    brackets: Vec<Vec<Rung>>,
    /// Number of given configurations that others must be as good as; only RUSH has them.
    old: u64,
    /// Number of configurations given so far.
    given: u64,
    /// Probabilities of the brackets.
    chances: Vec<f64>,
    /// The rung up to which trials go on; only PASHA's grows.
    top: usize,
    /// Number of values at each level.
    values: Vec<usize>,
    /// By trial.
    runs: Vec<Run>,
    /// Values with which running trials were compared since they were last given out: void once they are interrupted.
    fresh: BTreeMap<TrialId, Vec<(usize, Key)>>,
}

/// The place of a trial.
#[derive(Debug, Clone, Copy)]
struct Run {
    bracket: u32,
    /// The level it is to be compared at next; past the last one for those that are not compared any more.
    next: u32,
    /// Told to stop, so that its further reports count nowhere.
    stopped: bool,
    /// Whether it is one that others must be as good as.
    is_old: bool,
}

const ENDED: Run = Run { bracket: 0, next: u32::MAX, stopped: true, is_old: false };

impl Asha {
    /// The form that the spec names: it stops a trial that is not among the best of those that came as far (`asha`);
    /// pauses every trial at every rung, and resumes the best (`asha_promotion`), in several brackets among which new
    /// trials are drawn by lot (`hyperband_async`, and for searchers that model the resource `mobster` and
    /// `hypertune`); or promotes up to a resource that grows as long as the ranking still changes (`pasha`), or the
    /// best by all objectives (`mo_asha`), or those that no configuration of an earlier study beats (`rush`).
    pub(super) fn new(spec: &SchedulerSpec, max: u64) -> Result<Self, ScheduleError> {
        let in_brackets = |options: &BracketOptions| {
            Levels::in_brackets(options, max).map(|(levels, brackets)| (Form::Promotes, options.eta, levels, brackets))
        };
        let (form, eta, levels, brackets) = match spec {
            SchedulerSpec::Asha(options) => (Form::Stops, options.eta, Levels::new(options, max)?, 1),
            SchedulerSpec::Pasha(options) => (Form::Grows, options.eta, Levels::new(options, max)?, 1),
            SchedulerSpec::AshaPromotion(options) => (Form::Promotes, options.eta, Levels::new(options, max)?, 1),
            SchedulerSpec::MoAsha(options) => {
                (Form::Fronts(options.order), options.eta, Levels::new(&options.into(), max)?, 1)
            }
            SchedulerSpec::Rush(options) => (Form::Rushes, options.eta, Levels::new(&options.into(), max)?, 1),
            SchedulerSpec::HyperbandAsync(options) => in_brackets(options)?,
            SchedulerSpec::Mobster(options) | SchedulerSpec::HyperTune(options) => in_brackets(&options.into())?,
            other => unreachable!("{} is no form of asynchronous successive halving", other.name()),
        };
        let n = levels.len();
        let top = if form == Form::Grows { 1.min(n - 1) } else { n - 1 };
        // Synchronous Hyperband starts (K + 1) / (K + 1 - s) / r_s trials in bracket s for each one in another.
        let slots = |s: usize| n as f64 / (n - s) as f64 / levels.at(s) as f64;
        let all: f64 = (0..brackets).map(slots).sum();
        Ok(Self {
            spec: spec.clone(),
            old: match spec {
                SchedulerSpec::Rush(RushOptions { candidates: 0, .. }) => u64::MAX,
                SchedulerSpec::Rush(options) => options.candidates,
                _ => 0,
            },
            given: 0,
            form,
            eta,
            brackets: (0..brackets).map(|s| vec![Rung::default(); n - s]).collect(),
            chances: (0..brackets).map(|s| slots(s) / all).collect(),
            top,
            values: vec![0; n],
            runs: Vec::new(),
            fresh: BTreeMap::new(),
            levels,
        })
    }

    fn rule(&self, history: &History<'_>) -> Rule {
        Rule { form: self.form, eta: self.eta, by_cost: self.form == Form::Promotes && history.cost_aware() }
    }

    /// The trial to promote, if any.
    pub(super) fn promotion_due(&self, history: &History<'_>) -> Option<Job> {
        if self.form == Form::Stops {
            return None;
        }
        let rule = self.rule(history);
        // From the top: the trial that is nearest to its end comes first.
        for level in (0..self.top).rev() {
            for bracket in 0..self.brackets.len() {
                if let Some(trial) = self.rung(bracket, level).and_then(|rung| rung.next(rule)) {
                    return Some(Job::Resume { trial, resource: Some(self.levels.at(level + 1)) });
                }
            }
        }
        None
    }

    /// A new trial, in a bracket that is drawn by lot; the brackets' chances are multiplied by `weights`.
    pub(super) fn begin(&self, stream: &mut Stream, weights: Option<&[f64]>) -> Job {
        let weight = |bracket: usize| weights.map_or(1.0, |w| w.get(bracket).copied().unwrap_or(0.0));
        let chances: Vec<f64> = self.chances.iter().enumerate().map(|(s, chance)| chance * weight(s)).collect();
        let mut bracket = 0;
        if chances.len() > 1 {
            let mut lot = stream.uniform() * chances.iter().sum::<f64>();
            while bracket + 1 < chances.len() && lot >= chances[bracket] {
                lot -= chances[bracket];
                bracket += 1;
            }
        }
        // The resource tells the bracket, too: folding the event needs no lot.
        Job::Start { resource: Some(self.levels.at(bracket)) }
    }

    /// The brackets, each as often as it is taken.
    fn plan(&self) -> Plan {
        let share = |j: usize| (0..j).map(|_| 1.0 / self.eta as f64).product();
        let bracket = |s: usize| PlannedBracket {
            share: self.chances[s],
            rungs: (s..self.levels.len())
                .map(|j| PlannedRung { resource: self.levels.at(j), quota: None, share: share(j - s) })
                .collect(),
        };
        Plan { brackets: (0..self.brackets.len()).map(bracket).collect() }
    }

    fn rung(&self, bracket: usize, level: usize) -> Option<&Rung> {
        self.brackets.get(bracket)?.get(level.checked_sub(bracket)?)
    }

    /// Puts a trial's loss into the rung it is due at, and says which level that was.
    fn compare(&mut self, history: &History<'_>, trial: TrialId, loss: Option<f64>) -> Option<(usize, Key)> {
        let rule = self.rule(history);
        let known = history.trial(trial);
        let cost = known.and_then(Trial::cost);
        let compared = known.filter(|_| matches!(self.form, Form::Fronts(_)));
        let among_all = compared.map(|t| Standing::of(history, t, loss));
        let run = self.runs.get_mut(usize::try_from(trial.0).ok()?)?;
        let (bracket, level) = (run.bracket as usize, run.next as usize);
        let rung = self.brackets.get_mut(bracket)?.get_mut(level.checked_sub(bracket)?)?;
        let key = Key::new(loss, trial);
        let is_old = run.is_old && loss.is_some();
        rung.insert(Arrival { key, cost, standing: among_all, is_old }, rule);
        run.next += 1;
        self.values[level] += usize::from(loss.is_some());
        Some((level, key))
    }

    fn on_value(&mut self, history: &History<'_>, trial: TrialId, step: u64, value: f64, decision: Decision) {
        let Ok(place) = usize::try_from(trial.0) else { return };
        while let Some(run) = self.runs.get(place)
            && !run.stopped
            && (run.next as usize) < self.levels.len()
            && self.levels.at(run.next as usize) <= step
        {
            let bracket = run.bracket as usize;
            // The mean of replicates is computed where a rung is due, not with each report.
            let loss = standing(history, trial, value);
            let Some((level, key)) = self.compare(history, trial, Some(loss)) else { return };
            self.fresh.entry(trial).or_default().push((level, key));
            if self.form == Form::Grows && level == self.top {
                self.grow(history, bracket);
            }
            let rung = &mut self.brackets[bracket][level - bracket];
            let next = self.runs[place].next as usize;
            if next < self.levels.len() && self.levels.at(next) <= step {
                // It ran past this rung without having been asked to; that is no promotion to be had by another.
                rung.promote(trial);
            } else if decision == Decision::Pause {
                rung.waiting.insert(key);
            }
        }
        match (decision, self.runs.get_mut(place)) {
            (Decision::Stop, Some(run)) => run.stopped = true,
            (Decision::Pause, _) => drop(self.fresh.remove(&trial)),
            _ => {}
        }
    }

    /// Makes the reports void that an interrupted trial has made since it was last given out, if the study does not
    /// keep them.
    fn undo(&mut self, history: &History<'_>, trial: TrialId) {
        if history.keeps_interrupted() {
            self.fresh.remove(&trial);
            return;
        }
        let rule = self.rule(history);
        let Some(run) = usize::try_from(trial.0).ok().and_then(|i| self.runs.get_mut(i)) else { return };
        run.stopped = false;
        for (level, key) in self.fresh.remove(&trial).unwrap_or_default().into_iter().rev() {
            let bracket = run.bracket as usize;
            self.brackets[bracket][level - bracket].remove(key, rule);
            self.values[level] -= 1;
            run.next = level as u32;
        }
    }

    /// A trial that ended on its own before its next rung is compared there all the same, a failed one as the worst.
    fn on_end(&mut self, history: &History<'_>, trial: TrialId, outcome: &Outcome) {
        let failed = outcome.failure().is_some();
        let ended = history.trial(trial);
        let loss = ended.filter(|_| !failed).and_then(|t| t.loss(history.metric()));
        // One that was told to stop has been compared where it was.
        let stopped = ended.is_none_or(|t| t.decision == Decision::Stop);
        if failed || (loss.is_some() && !stopped) {
            self.compare(history, trial, loss);
        }
        self.fresh.remove(&trial);
        if let Some(run) = usize::try_from(trial.0).ok().and_then(|i| self.runs.get_mut(i)) {
            *run = ENDED;
        }
    }

    /// PASHA: lets trials go one rung further if the two top rungs disagree on the order of the trials in both.
    fn grow(&mut self, history: &History<'_>, bracket: usize) {
        if self.top + 1 >= self.levels.len() {
            return;
        }
        let (Some(top), Some(below)) = (self.rung(bracket, self.top), self.rung(bracket, self.top - 1)) else { return };
        if top.split.len() < 2 {
            return;
        }
        let in_top: Vec<TrialId> = top.split.iter().map(|k| k.trial).take(COMPARED).collect();
        let members: BTreeSet<TrialId> = in_top.iter().copied().collect();
        let in_below: Vec<TrialId> = below.split.iter().map(|k| k.trial).filter(|t| members.contains(t)).collect();
        let curve = |t: &TrialId| history.trial(*t).map(|t| t.measurements.as_slice()).unwrap_or(&[]);
        let end = self.levels.at(self.top);
        let loss_at_top = |t: &TrialId| {
            let curve = curve(t);
            curve.get(curve.partition_point(|m| m.step < end)).map(|m| history.goal().loss(m.value))
        };
        let noise = criss_cross(&in_top.iter().map(curve).collect::<Vec<_>>());
        // Soft ranking: the trial at the same place below must be as good up here, up to the noise.
        let differs = in_top.iter().zip(&in_below).any(|(a, b)| match (loss_at_top(a), loss_at_top(b)) {
            (Some(a), Some(b)) => (a - b).abs() > noise,
            _ => false,
        });
        if differs {
            self.top += 1;
        }
    }
}

impl Scheduler for Asha {
    fn name(&self) -> &str {
        self.spec.name()
    }

    fn spec(&self) -> SchedulerSpec {
        self.spec.clone()
    }

    fn next(&mut self, history: &History<'_>, stream: &mut Stream) -> Job {
        self.promotion_due(history).unwrap_or_else(|| self.begin(stream, None))
    }

    fn on_report(&mut self, history: &History<'_>, trial: &Trial) -> Decision {
        let (Some(last), Ok(place)) = (trial.measurements.last(), usize::try_from(trial.id.0)) else {
            return Decision::Stop;
        };
        if last.step >= self.levels.max() {
            return Decision::Stop;
        }
        let Some(run) = self.runs.get(place).filter(|r| !r.stopped && (r.next as usize) < self.levels.len()) else {
            return Decision::Stop;
        };
        let next = run.next as usize;
        // Between rungs nothing is compared, however many reports there are.
        if self.levels.at(next) > last.step {
            return Decision::Continue;
        }
        let mut due = (next..self.levels.len()).take_while(|j| self.levels.at(*j) <= last.step);
        let key = Key::new(Some(standing(history, trial.id, last.value)), trial.id);
        let rule = self.rule(history);
        let stops = |level: usize| {
            self.rung(run.bracket as usize, level)
                .is_none_or(|rung| !rung.split.would_be_best(key, rule.quota(rung.split.len() + 1)))
        };
        match self.form {
            Form::Stops if due.any(stops) => Decision::Stop,
            Form::Promotes | Form::Grows | Form::Fronts(_) | Form::Rushes => Decision::Pause,
            Form::Stops => Decision::Continue,
        }
    }

    fn observe(&mut self, history: &History<'_>, event: &Event) {
        match event {
            Event::Ask { trial, resource, resumed, origin, .. } => {
                let place = usize::try_from(trial.0).unwrap_or(usize::MAX);
                if place >= self.runs.len() {
                    self.runs.resize(place, ENDED);
                    let level = resource.and_then(|r| self.levels.rung(r)).unwrap_or(0);
                    let bracket = level.min(self.brackets.len() - 1) as u32;
                    self.given += u64::from(*origin == Origin::Given);
                    let is_old = *origin == Origin::Given && self.given <= self.old;
                    self.runs.push(Run { bracket, next: bracket, stopped: false, is_old });
                } else if *resumed {
                    let run = self.runs[place];
                    let before = (run.next as usize).checked_sub(1 + run.bracket as usize);
                    let rung = before.and_then(|i| self.brackets[run.bracket as usize].get_mut(i));
                    if let Some(rung) = rung
                        && let Some(key) = rung.waiting.iter().find(|k| k.trial == *trial).copied()
                    {
                        rung.waiting.remove(&key);
                        rung.promote(*trial);
                    }
                }
            }
            Event::Report { trial, step, value: Some(value), decision, .. } => {
                let failed = history.trial(*trial).is_none_or(|t| t.failure.is_some());
                if !failed {
                    self.on_value(history, *trial, *step, *value, *decision);
                }
            }
            Event::Tell { trial, outcome, .. } => self.on_end(history, *trial, outcome),
            Event::Interrupt { trial, .. } => self.undo(history, *trial),
            _ => {}
        }
    }

    fn advice(&self, history: &History<'_>) -> Advice {
        Advice {
            fidelity: enough(&self.values, history).map(|level| self.levels.at(level)),
            levels: self.levels.all().to_vec(),
            plan: Some(self.plan()),
            objectives: matches!(self.form, Form::Fronts(_)),
            ..Advice::default()
        }
    }
}

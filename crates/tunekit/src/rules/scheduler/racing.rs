//! Racing: a configuration is measured again and again, but only for as long as it is not clear whether it beats the
//! best one.
//!
//! Every report is one measurement (a replicate). After each of a challenger's, the probability that its mean beats the
//! incumbent's decides: the challenger is dropped, measured once more, or takes the incumbent's place (Hutter, Hoos,
//! Leyton-Brown and Stützle 2009, "ParamILS", and Lindauer et al. 2022, "SMAC3", race by counting wins; Maron and Moore
//! 1997, "The racing algorithm", by intervals). Incumbent and baseline are measured again in between, in turn (A B, B
//! A), so that a drift of the measured system is seen, and taken out of every comparison: that model is
//! `rules/drift.rs`, and its consequences are here. A challenger beats the incumbent by constraints first: see
//! `racing/race.rs`.

mod race;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use self::race::{Race, Rules, Run, measure_each};
use super::{Advice, History, Job, ScheduleError, Scheduler, Stream};
use crate::rules::advice::Corrected;
use crate::rules::drift::{Drift, levels};
use crate::rules::fronts::excess;
use crate::words::event::Event;
use crate::words::metric::{MetricKind, Noise};
use crate::words::plan::{Plan, PlannedBracket, PlannedRung};
use crate::words::schedule::{RacingOptions, SchedulerSpec};
use crate::words::trial::{Decision, Origin, Status, Trial, TrialId, mean};

/// The yardsticks are measured again when the level may have moved by so much since, as a variance in units of the
/// noise's: a comparison of single measurements is then a tenth less certain than it could be.
const MATTERS: f64 = 0.25;
/// Probability from which on a drift is taken out of the searchers' view.
const CLEAR: f64 = 0.95;

/// Racing with replicates.
///
/// Each job is one measurement: a new trial, or one more of a paused one. A challenger never gets more than the maximal
/// resource; the incumbent and the baseline (the first point to evaluate, if there is any) are the yardsticks: they
/// stay paused and are measured on, past the maximum too, as long as they are that.
///
/// A report should carry the study's constraints: a constraint that was not measured counts as met. A configuration
/// that meets them beats one that does not, and of two that do not the one wins that exceeds them by less. All of that
/// is a matter of probabilities, for constraints are measured with noise as the metric is: a challenger is dropped for
/// a constraint on no less evidence than for its value. [`Study::best`](crate::Study::best) recommends a configuration
/// only if its mean measurements meet the constraints; if none does, it recommends nothing.
///
/// In a cost-aware study the paused challenger is measured next whose probability of winning is largest for the cost of
/// its measurement. A dear one waits, so that a cheap one which takes the lead may spare its measurements.
#[derive(Debug)]
pub struct Racing {
    race: Race,
    baseline: Option<TrialId>,
    /// Given out, and not reported.
    running: BTreeSet<TrialId>,
    /// Yardsticks that are to be measured again.
    checks: VecDeque<TrialId>,
    /// Number of checks so far: every second one goes the other way round.
    checked: u64,
    /// Measurements since the last check.
    since: u64,
    /// New trials since the last check.
    started: u64,
    options: RacingOptions,
    /// Every measurement, in their order.
    log: Arc<Vec<Taken>>,
    /// The outcome of the last report when it was answered, with the number of measurements before it: it is observed
    /// next.
    answered: Option<(TrialId, usize, Race)>,
}

/// A measurement.
#[derive(Debug, Clone)]
struct Taken {
    trial: TrialId,
    value: f64,
    /// Each constraint, where they count and were measured.
    constraints: Vec<f64>,
}

impl Racing {
    pub(super) fn new(options: &RacingOptions, max: u64) -> Result<Self, ScheduleError> {
        let RacingOptions { drop, accept, replicates, recheck: _ } = *options;
        if !(drop > 0.0 && drop < accept && accept < 1.0) {
            return Err(ScheduleError::Chances { drop, accept });
        }
        if replicates == 0 || replicates > max {
            return Err(ScheduleError::Replicates { replicates, max });
        }
        Ok(Self {
            race: Race::new(Rules { drop, accept, replicates, max }, true),
            baseline: None,
            running: BTreeSet::new(),
            checks: VecDeque::new(),
            checked: 0,
            since: 0,
            started: 0,
            options: options.clone(),
            log: Arc::default(),
            answered: None,
        })
    }

    /// The race with a measurement more; `trial` has it already.
    fn with(&self, history: &History<'_>, trial: &Trial) -> Option<Race> {
        let last = trial.measurements.last()?;
        let mut race = self.race.clone();
        race.drift.know_noise(self.noise(history));
        let run = Run { measured: trial.measurements.len() as u64, step: last.step };
        let loss = race.scale(history, last.value);
        race.measure(trial.id, run, loss, &constraints(history, trial));
        Some(race)
    }

    /// Whether the trial stays in the race, or measures it.
    fn stays(&self, race: &Race, trial: TrialId) -> bool {
        race.incumbent == Some(trial) || race.live.contains_key(&trial) || self.baseline == Some(trial)
    }

    /// Leaves the logarithms where `value` has none, or the metric is no time; says whether that is so since now.
    fn rescale(&mut self, history: &History<'_>, value: f64) -> bool {
        let logarithm = history.metric().kind == MetricKind::Time && value > 0.0;
        let changes = self.race.logarithmic && !logarithm;
        if changes {
            self.race.logarithmic = false;
            self.replay(history, |_| false);
        }
        changes
    }

    fn take(&mut self, history: &History<'_>, trial: &Trial, run: Run, value: f64) {
        let changed = self.rescale(history, value);
        let (trial, constraints) = (trial.id, constraints(history, trial));
        Arc::make_mut(&mut self.log).push(Taken { trial, value, constraints: constraints.clone() });
        self.since += 1;
        match self.answered.take() {
            Some((answered, before, race)) if answered == trial && before + 1 == self.log.len() && !changed => {
                self.race = race;
            }
            _ => {
                let loss = self.race.scale(history, value);
                self.race.drift.know_noise(self.noise(history));
                self.race.measure(trial, run, loss, &constraints);
            }
        }
        self.forget();
    }

    /// The standard deviation of a measurement on the scale of the race, where it is known.
    fn noise(&self, history: &History<'_>) -> Option<f64> {
        let Noise::Known(sd) = history.metric().noise else { return None };
        let at = self.race.incumbent.and_then(|t| history.trial(t)?.value(history.metric().value));
        // On a logarithmic scale the noise is relative to the value.
        Some(if self.race.logarithmic { sd / at.or(self.log.last().map(|last| last.value))? } else { sd })
    }

    fn forget(&mut self) {
        let (baseline, running) = (self.baseline, &self.running);
        self.race.forget(|t| Some(t) == baseline || running.contains(&t));
    }

    /// Takes in again all measurements that were not taken back, on the present scale, for the trials in the race and
    /// those that are `wanted`.
    fn replay(&mut self, history: &History<'_>, wanted: impl Fn(TrialId) -> bool) {
        let mut drift = Drift::new(self.noise(history));
        let mut constraints: Vec<Drift<TrialId>> = Vec::new();
        let mut left: BTreeMap<TrialId, usize> = BTreeMap::new();
        for taken in self.log.iter() {
            *left.entry(taken.trial).or_default() += 1;
        }
        let stays = |t: TrialId| self.stays(&self.race, t) || self.running.contains(&t) || wanted(t);
        for taken in self.log.iter() {
            drift.measure(taken.trial, self.race.scale(history, taken.value));
            measure_each(&mut constraints, taken.trial, &taken.constraints);
            if let Some(left) = left.get_mut(&taken.trial) {
                *left -= 1;
                if *left == 0 && !stays(taken.trial) {
                    let keep = |t: TrialId| t != taken.trial;
                    drift.keep(keep);
                    constraints.iter_mut().for_each(|constraint| constraint.keep(keep));
                }
            }
        }
        (self.race.drift, self.race.constraints) = (drift, constraints);
    }

    /// A trial will not be measured any more: if it led, the best that can go on takes its place.
    fn leave(&mut self, history: &History<'_>, trial: TrialId) {
        self.race.live.remove(&trial);
        self.checks.retain(|t| *t != trial);
        if self.baseline == Some(trial) {
            self.baseline = None;
        }
        if self.race.incumbent == Some(trial) {
            self.race.incumbent = None;
            let rule = history.metric().value;
            let paused = history.trials().iter().filter(|t| t.status == Status::Paused && t.failure.is_none());
            let paused: Vec<&Trial> = paused.collect();
            let counts = history.races_by_constraints();
            let means = |t: &&Trial| if counts { t.constraints(rule) } else { Vec::new() };
            let mut constraints: Vec<Vec<f64>> = paused.iter().map(means).collect();
            let most = constraints.iter().map(Vec::len).max().unwrap_or(0);
            constraints.iter_mut().for_each(|means| means.resize(most, f64::NAN));
            let ready = |t: &Trial| t.measurements.len() as u64 >= self.race.rules.replicates;
            let loss = |t: &Trial| t.value(rule).map_or(f64::INFINITY, |v| history.goal().loss(v));
            let key = |(t, exceeded): &(&Trial, f64)| (!ready(t), *exceeded, loss(t));
            let before = |a: &(bool, f64, f64), b: &(bool, f64, f64)| {
                a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.total_cmp(&b.2))
            };
            let best = paused.into_iter().zip(excess(&constraints)).min_by(|a, b| before(&key(a), &key(b)));
            if let Some((best, _)) = best {
                let step = best.measurements.last().map_or(0, |m| m.step);
                self.race.incumbent = Some(best.id);
                self.race.leader = Run { measured: best.measurements.len() as u64, step };
                self.race.live.remove(&best.id);
                self.replay(history, |t| t == best.id);
                self.race.settle(None);
            }
        }
        self.forget();
    }

    /// The samples of each trial with the estimated drift removed; `None` where no drift is evident.
    fn corrected(&self, history: &History<'_>) -> Option<Corrected> {
        if self.race.drift.is_there() < CLEAR {
            return None;
        }
        let (log, believed, scale) = (Arc::clone(&self.log), self.race.drift.believed(), self.race.scale_of(history));
        Some(Corrected::new(move || {
            let scaled: Vec<(TrialId, f64)> = log.iter().map(|t| (t.trial, scale.scaled(t.value))).collect();
            let mut all: BTreeMap<TrialId, Vec<f64>> = BTreeMap::new();
            for ((trial, loss), level) in scaled.iter().zip(levels(&believed, &scaled)) {
                all.entry(*trial).or_default().push(scale.value(loss - level));
            }
            let finite = |values: &Vec<f64>| mean(values).is_some_and(f64::is_finite);
            all.into_iter().filter(|(_, values)| finite(values)).collect()
        }))
    }

    /// The trial whose configuration leads. Trials race, and where a configuration has several the incumbent may owe
    /// its place to one that was lucky: then all measurements of each configuration count, of those that were measured
    /// as often as the incumbent's.
    fn leader(&self, history: &History<'_>) -> Option<TrialId> {
        let incumbent = self.race.incumbent?;
        if !history.repeats() {
            return Some(incumbent);
        }
        let config = &history.trial(incumbent)?.config;
        let view = history.clone().under(Advice { corrected: self.corrected(history), ..Advice::default() });
        let observed = view.observed();
        let Some(own) = observed.iter().find(|o| o.config == config) else { return Some(incumbent) };
        let (goal, least) = (history.goal(), own.samples.len());
        let rivals = observed.iter().filter(|o| o.is_feasible() && o.samples.len() >= least);
        let best = rivals.min_by(|a, b| a.loss(goal).total_cmp(&b.loss(goal)));
        let breaks = history.races_by_constraints() && !own.is_feasible();
        Some(best.filter(|best| breaks || best.loss(goal) < own.loss(goal)).map_or(incumbent, |best| best.trial))
    }

    /// Asks for the yardsticks where the level may have moved, or it is time.
    fn check(&mut self, history: &History<'_>) {
        let moved = self.since as f64 * self.race.drift.step();
        let time = self.options.recheck > 0 && self.started >= self.options.recheck;
        if !self.checks.is_empty() || !(moved > MATTERS || time) {
            return;
        }
        let goes_on = |t: &TrialId| history.trial(*t).is_some_and(|t| !t.is_finished());
        let incumbent = self.race.incumbent.filter(|i| self.baseline != Some(*i));
        self.checks = self.baseline.into_iter().chain(incumbent).filter(goes_on).collect();
        if self.checked % 2 == 1 {
            self.checks.make_contiguous().reverse();
        }
        self.checked += 1;
        (self.since, self.started) = (0, 0);
    }
}

impl Scheduler for Racing {
    fn name(&self) -> &str {
        "racing"
    }

    fn spec(&self) -> SchedulerSpec {
        SchedulerSpec::Racing(self.options.clone())
    }

    fn next(&mut self, history: &History<'_>, _: &mut Stream) -> Job {
        let trial = |t: TrialId| history.trial(t).filter(|t| t.status == Status::Paused);
        let again = |t: &Trial| {
            let step = t.measurements.last().map_or(0, |m| m.step);
            Job::Resume { trial: t.id, resource: Some(step.saturating_add(1)) }
        };
        let race = &self.race;
        let young = race.incumbent.filter(|_| race.leader.measured < race.rules.replicates);
        // Without a challenger, now or later, there is nothing to compare with a yardstick.
        let is_yardstick = |t: &TrialId| race.incumbent == Some(*t) || self.baseline == Some(*t);
        let is_over = !history.may_start() && race.live.is_empty() && self.running.iter().all(is_yardstick);
        let checks = self.checks.iter().copied().filter(|_| !is_over);
        if let Some(t) = young.into_iter().chain(checks).find_map(trial) {
            return again(t);
        }
        // The most likely winner first, where costs count for the cost of its next measurement; among equals the
        // earliest.
        let open: Vec<&Trial> = race.live.keys().filter_map(|t| trial(*t)).collect();
        let costs = if history.races_by_cost() { costs(&open) } else { vec![1.0; open.len()] };
        let open = open.into_iter().zip(costs).map(|(t, cost)| (race.chance(t.id) / cost, t));
        match open.reduce(|best, other| if other.0 > best.0 { other } else { best }) {
            Some((_, t)) => again(t),
            None => Job::Start { resource: Some(1) },
        }
    }

    fn on_report(&mut self, history: &History<'_>, trial: &Trial) -> Decision {
        let Some(race) = self.with(history, trial) else { return Decision::Stop };
        let decision = if self.stays(&race, trial.id) { Decision::Pause } else { Decision::Stop };
        self.answered = Some((trial.id, self.log.len(), race));
        decision
    }

    fn observe(&mut self, history: &History<'_>, event: &Event) {
        match event {
            Event::Ask { trial, origin, resumed, attempt, .. } => {
                self.running.insert(*trial);
                self.checks.retain(|t| t != trial);
                if !resumed && *attempt == 1 {
                    self.started += 1;
                    if self.baseline.is_none() && *origin == Origin::Given && trial.0 == first_given(history) {
                        self.baseline = Some(*trial);
                    }
                    self.check(history);
                }
            }
            Event::Report { trial, value: Some(value), decision, .. } => {
                let Some(t) = history.trial(*trial).filter(|t| t.failure.is_none()) else { return };
                let step = t.measurements.last().map_or(0, |m| m.step);
                if *decision == Decision::Pause {
                    self.running.remove(trial);
                }
                self.take(history, t, Run { measured: t.measurements.len() as u64, step }, *value);
                self.check(history);
            }
            Event::Tell { trial, outcome, .. } => {
                self.running.remove(trial);
                self.checks.retain(|t| t != trial);
                let ended = history.trial(*trial).filter(|_| outcome.failure().is_none());
                let told = ended.and_then(|t| Some((t, t.told.filter(|_| t.measurements.is_empty())?)));
                if let Some((t, value)) = told {
                    // One measurement like every other, only that none can follow.
                    self.take(history, t, Run { measured: 1, step: 1 }, value);
                    self.check(history);
                }
                let leads = self.race.incumbent == Some(*trial);
                // A trial that was cut off is measured no more, and is no better than its bound.
                let ended = ended.filter(|t| t.at_least.is_none());
                if ended.is_none() || !leads {
                    self.leave(history, *trial);
                }
            }
            Event::Interrupt { trial, .. } => {
                self.running.remove(trial);
                // It had reported and was to end: in a journal that does not keep reports, the report is void and comes
                // again.
                let left = history.trial(*trial).map_or(0, |t| t.measurements.len());
                if self.log.iter().filter(|t| t.trial == *trial).count() > left {
                    if let Some(last) = self.log.iter().rposition(|t| t.trial == *trial) {
                        Arc::make_mut(&mut self.log).remove(last);
                    }
                    self.replay(history, |t| t == *trial);
                }
            }
            _ => {}
        }
    }

    fn advice(&self, history: &History<'_>) -> Advice {
        // Between the answer to a report and its event, the race with that report in it.
        let answered = self.answered.as_ref().filter(|(_, before, _)| *before == self.log.len());
        let leader = answered.map_or(&self.race, |(_, _, race)| race).incumbent;
        // One measurement of every trial; how many follow is not settled.
        let once = PlannedRung { resource: 1, quota: None, share: 1.0 };
        Advice {
            corrected: self.corrected(history),
            incumbent: self.leader(history),
            replicates: Some(self.race.rules.replicates),
            spared: leader.into_iter().chain(self.baseline).collect(),
            plan: Some(Plan { brackets: vec![PlannedBracket { share: 1.0, rungs: vec![once] }] }),
            ..Advice::default()
        }
    }
}

/// The trial of the first point to evaluate.
fn first_given(history: &History<'_>) -> u64 {
    history.trials().iter().position(|t| t.origin == Origin::Given).map_or(u64::MAX, |i| i as u64)
}

/// The constraints of a trial's last measurement, where they count.
fn constraints(history: &History<'_>, trial: &Trial) -> Vec<f64> {
    let told = trial.measured.as_ref().map(|measured| &measured.constraints);
    let reported = || Some(&trial.measurements.last()?.beside.as_deref()?.constraints);
    told.or_else(reported).filter(|_| history.races_by_constraints()).cloned().unwrap_or_default()
}

/// The expected cost of one more measurement of each: the mean of its own so far, or where it has not said any, of the
/// others'.
fn costs(open: &[&Trial]) -> Vec<f64> {
    let own = |t: &&Trial| t.cost().map(|cost| cost / t.measurements.len().max(1) as f64);
    let all: Vec<Option<f64>> = open.iter().map(own).collect();
    let others = mean(&all.iter().copied().flatten().collect::<Vec<_>>()).unwrap_or(1.0);
    all.into_iter().map(|cost| cost.unwrap_or(others)).collect()
}

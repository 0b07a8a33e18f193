//! Synchronous Hyperband (Li, Jamieson, DeSalvo, Rostamizadeh and Talwalkar 2018, Alg. 1): brackets of successive
//! halving, from many trials that begin with little to few that run in full, over and over.
//!
//! A rung is promoted from once all of it has arrived. Until then free workers go on with the next bracket, so that
//! none waits; a failed trial arrives as the worst, so that no rung waits for it. Once no trial may start any more, an
//! incomplete rung cannot fill up: one in eta of those that arrived goes on, and at least one, so that a budget that is
//! smaller than a bracket still ends with a full run.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::levels::Levels;
use super::split::Key;
use super::{Advice, History, Job, ScheduleError, Scheduler, Stream, enough, standing};
use crate::words::event::Event;
use crate::words::plan::{Plan, PlannedBracket, PlannedRung};
use crate::words::schedule::{BracketOptions, SchedulerSpec};
use crate::words::trial::{Decision, Trial, TrialId};

/// Synchronous Hyperband.
#[derive(Debug)]
pub struct Hyperband {
    spec: SchedulerSpec,
    levels: Levels,
    /// By bracket: how many trials its rungs take.
    sizes: Vec<Vec<u64>>,
    eta: u64,
    opened: u64,
    /// Rounds of brackets that are not through, by number.
    rounds: BTreeMap<u64, Round>,
    /// The rounds of the trials that are in one.
    of_trial: BTreeMap<TrialId, u64>,
    values: Vec<usize>,
}

/// One successive halving.
#[derive(Debug)]
struct Round {
    bracket: usize,
    rung: usize,
    /// Number of trials that the first rung still takes.
    free: u64,
    /// Whether a rung was closed before it was full, so that the others have fewer trials, too.
    early: bool,
    /// Promoted, and not resumed.
    queue: VecDeque<TrialId>,
    /// Running towards the rung.
    awaited: BTreeSet<TrialId>,
    /// Arrived, the best first.
    arrived: BTreeSet<Key>,
    /// Those among them that can go on.
    paused: BTreeSet<TrialId>,
}

impl Round {
    /// The best that arrived and can go on.
    fn best(&self) -> Option<TrialId> {
        self.arrived.iter().map(|key| key.trial).find(|trial| self.paused.contains(trial))
    }

    /// Number of trials that go on from its rung, in a bracket whose rungs take so many trials.
    fn quota(&self, sizes: &[u64], eta: u64) -> usize {
        let full = sizes.get(self.rung + 1).map_or(0, |quota| usize::try_from(*quota).unwrap_or(usize::MAX));
        let share = usize::try_from(eta).map_or(0, |eta| self.arrived.len() / eta);
        if self.early { full.min(share.max(1)) } else { full }
    }
}

impl Hyperband {
    /// All brackets, or as many as the options say; under the spec's name, for others are made of it.
    pub(super) fn new(spec: &SchedulerSpec, options: &BracketOptions, max: u64) -> Result<Self, ScheduleError> {
        let (levels, brackets) = Levels::in_brackets(options, max)?;
        let sizes = (0..brackets).map(|bracket| sizes(levels.len(), bracket, options.eta)).collect();
        Ok(Self {
            spec: spec.clone(),
            values: vec![0; levels.len()],
            levels,
            sizes,
            eta: options.eta,
            opened: 0,
            rounds: BTreeMap::new(),
            of_trial: BTreeMap::new(),
        })
    }

    pub(super) fn levels(&self) -> &Levels {
        &self.levels
    }

    /// By bracket: how many trials its rungs take.
    pub(super) fn sizes(&self) -> &[Vec<u64>] {
        &self.sizes
    }

    /// Whether a new trial begins in a bracket's first round.
    pub(super) fn takes_new(&self) -> bool {
        self.opened < self.sizes.len() as u64 || self.rounds.values().any(|r| r.free > 0)
    }

    /// Whether something is to be started or resumed in a bracket's first round.
    pub(super) fn has_work(&self) -> bool {
        self.takes_new() || self.rounds.values().any(|r| !r.queue.is_empty())
    }

    /// The bracket of the round that is opened next.
    fn next_bracket(&self) -> usize {
        (self.opened % self.sizes.len() as u64) as usize
    }

    /// The round in which a new trial begins; opens one where none takes it.
    fn begin(&mut self, trial: TrialId) {
        let open = self.rounds.iter().find(|(_, r)| r.free > 0).map(|(number, _)| *number);
        let number = open.unwrap_or_else(|| {
            let bracket = self.next_bracket();
            let round = Round {
                bracket,
                rung: 0,
                free: self.sizes[bracket][0],
                early: false,
                queue: VecDeque::new(),
                awaited: BTreeSet::new(),
                arrived: BTreeSet::new(),
                paused: BTreeSet::new(),
            };
            self.rounds.insert(self.opened, round);
            self.opened += 1;
            self.opened - 1
        });
        if let Some(round) = self.rounds.get_mut(&number) {
            round.free -= 1;
            round.awaited.insert(trial);
            self.of_trial.insert(trial, number);
        }
    }

    /// A trial is at its rung: with a loss, or failed; `paused` if it can go on.
    fn arrive(&mut self, trial: TrialId, loss: Option<f64>, paused: bool) {
        let Some(number) = self.of_trial.get(&trial).copied() else { return };
        let Some(round) = self.rounds.get_mut(&number) else { return };
        if !round.awaited.remove(&trial) {
            return;
        }
        self.values[round.bracket + round.rung] += usize::from(loss.is_some());
        round.arrived.insert(Key::new(loss, trial));
        if paused {
            round.paused.insert(trial);
        } else {
            self.of_trial.remove(&trial);
        }
        if round.free > 0 || !round.queue.is_empty() || !round.awaited.is_empty() {
            return;
        }
        self.close(number);
    }

    /// Promotes from a round's rung, which takes no trial any more.
    fn close(&mut self, number: u64) {
        let Some(round) = self.rounds.get_mut(&number) else { return };
        round.early |= round.free > 0;
        round.free = 0;
        let quota = round.quota(&self.sizes[round.bracket], self.eta);
        round.rung += 1;
        let paused = std::mem::take(&mut round.paused);
        let arrived = std::mem::take(&mut round.arrived);
        let best = arrived.into_iter().map(|k| k.trial).filter(|t| paused.contains(t));
        round.queue = best.take(quota).collect();
        for trial in &paused {
            if !round.queue.contains(trial) {
                self.of_trial.remove(trial);
            }
        }
        if round.queue.is_empty() {
            self.rounds.remove(&number);
        }
    }

    /// The work that is left if no trial may start: the best of a rung that will not be full go on.
    fn finish(&self) -> Job {
        let due = self.rounds.values().find_map(|round| {
            let next = round.best().filter(|_| round.awaited.is_empty() && round.queue.is_empty())?;
            Some(Job::Resume { trial: next, resource: Some(*self.levels.all().get(round.bracket + round.rung + 1)?) })
        });
        let last = self.levels.len() - 1;
        let promising = |round: &Round| !round.awaited.is_empty() && round.bracket + round.rung < last;
        match due {
            Some(job) => job,
            // Trials under way may bring the next promotion.
            None if self.rounds.values().any(promising) => Job::Wait,
            None => Job::Start { resource: Some(self.levels.at(self.next_bracket())) },
        }
    }

    /// The brackets, each opened as often as the others.
    pub(super) fn plan(&self) -> Plan {
        let all: u64 = self.sizes.iter().map(|sizes| sizes[0]).sum();
        let bracket = |(s, sizes): (usize, &Vec<u64>)| PlannedBracket {
            share: sizes[0] as f64 / all as f64,
            rungs: sizes
                .iter()
                .enumerate()
                .map(|(i, n)| PlannedRung {
                    resource: self.levels.at(s + i),
                    quota: Some(*n),
                    share: *n as f64 / sizes[0] as f64,
                })
                .collect(),
        };
        Plan { brackets: self.sizes.iter().enumerate().map(bracket).collect() }
    }

    /// The level that a trial runs towards.
    pub(super) fn level(&self, trial: TrialId) -> Option<usize> {
        let round = self.rounds.get(self.of_trial.get(&trial)?)?;
        round.awaited.contains(&trial).then_some(round.bracket + round.rung)
    }
}

/// Number of trials in each rung of a bracket: `n = ceil(floor((s_max + 1) / (s + 1)) eta^s)`, then one in eta of the
/// rung before. This gives the paper's table; its Algorithm 1 leaves the floor out, and then its example would start
/// with 34 trials in place of 27 in the second bracket.
fn sizes(levels: usize, bracket: usize, eta: u64) -> Vec<u64> {
    let rungs = levels - bracket;
    let share = (levels / rungs) as u64;
    (0..rungs).rev().map(|i| (0..i).fold(share, |n, _| n.saturating_mul(eta))).collect()
}

impl Scheduler for Hyperband {
    fn name(&self) -> &str {
        self.spec.name()
    }

    fn spec(&self) -> SchedulerSpec {
        self.spec.clone()
    }

    fn next(&mut self, history: &History<'_>, _: &mut Stream) -> Job {
        for round in self.rounds.values() {
            let level = |rung: usize| Some(self.levels.at(round.bracket + rung));
            if round.free > 0 && history.may_start() {
                return Job::Start { resource: level(0) };
            }
            if let Some(trial) = round.queue.front() {
                return Job::Resume { trial: *trial, resource: level(round.rung) };
            }
        }
        if !history.may_start() {
            return self.finish();
        }
        Job::Start { resource: Some(self.levels.at(self.next_bracket())) }
    }

    fn on_report(&mut self, _: &History<'_>, trial: &Trial) -> Decision {
        match (trial.measurements.last(), self.level(trial.id)) {
            (Some(last), Some(level)) if last.step < self.levels.at(level) => Decision::Continue,
            (Some(last), Some(_)) if last.step < self.levels.max() => Decision::Pause,
            _ => Decision::Stop,
        }
    }

    fn observe(&mut self, history: &History<'_>, event: &Event) {
        match event {
            Event::Ask { trial, resumed: true, .. } => {
                let number = self.of_trial.get(trial).copied();
                // Resumed without having been promoted: no trial might start, so the rung was closed as it was.
                if let Some((number, round)) = number.and_then(|n| Some((n, self.rounds.get(&n)?)))
                    && round.paused.contains(trial)
                {
                    self.close(number);
                }
                if let Some(round) = number.and_then(|n| self.rounds.get_mut(&n))
                    && let Some(place) = round.queue.iter().position(|t| t == trial)
                {
                    round.queue.remove(place);
                    round.awaited.insert(*trial);
                }
            }
            Event::Ask { trial, attempt: 1, .. } => self.begin(*trial),
            Event::Report { trial, value: Some(value), decision: Decision::Pause, .. } => {
                self.arrive(*trial, Some(standing(history, *trial, *value)), true);
            }
            Event::Tell { trial, outcome, .. } => {
                let failed = outcome.failure().is_some();
                let ended = history.trial(*trial).filter(|_| !failed);
                self.arrive(*trial, ended.and_then(|t| t.loss(history.metric())), false);
            }
            _ => {}
        }
    }

    fn advice(&self, history: &History<'_>) -> Advice {
        // A trial that was not promoted when its rung was full never will be.
        let paused = history.paused().filter(|t| self.of_trial.contains_key(&t.id));
        Advice {
            fidelity: enough(&self.values, history).map(|level| self.levels.at(level)),
            levels: self.levels.all().to_vec(),
            checkpoints: Some(paused.filter_map(Trial::goes_on_from).collect()),
            plan: Some(self.plan()),
            ..Advice::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_for_81_and_3_is_the_papers() {
        let options = BracketOptions::default();
        let hyperband = Hyperband::new(&SchedulerSpec::Hyperband(options.clone()), &options, 81).unwrap();
        let plan = hyperband.plan();
        let table: Vec<Vec<(u64, u64)>> =
            plan.brackets.iter().map(|b| b.rungs.iter().map(|r| (r.quota.unwrap(), r.resource)).collect()).collect();
        assert_eq!(
            table,
            [
                vec![(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
                vec![(27, 3), (9, 9), (3, 27), (1, 81)],
                vec![(9, 9), (3, 27), (1, 81)],
                vec![(6, 27), (2, 81)],
                vec![(5, 81)],
            ]
        );
        // 81 * 1 + 27 * 2 + 9 * 6 + 3 * 18 + 1 * 54, trials going on where they were.
        assert_eq!(plan.brackets[0].budget(), Some(297));
        assert!(plan.to_string().contains("81 to 1, 27 to 3, 9 to 9, 3 to 27, 1 to 81, 297 in all"), "{plan}");
    }
}

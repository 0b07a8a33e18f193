//! DEHB (Awad, Mallik and Hutter 2021, "DEHB: Evolutionary Hyperband for scalable, robust and efficient hyperparameter
//! optimization"): differential evolution over the rungs of synchronous Hyperband.
//!
//! The first time around is Hyperband's. After that nothing is promoted: each rung has a population of its own, and
//! each of its trials is a child of the best of the rung below (in a bracket's first rung, of its own population), run
//! from the start, that takes the place of one member if it is no worse. The parent is chosen here, and the searcher
//! makes the child (`searcher/dehb.rs`).

use std::collections::BTreeMap;

use super::hyperband::Hyperband;
use super::split::Key;
use super::{Advice, History, Job, ScheduleError, Scheduler, Stream, standing};
use crate::rules::advice::Parents;
use crate::words::event::Event;
use crate::words::schedule::{BracketOptions, SchedulerSpec};
use crate::words::trial::{Decision, Trial, TrialId};

/// Synchronous Hyperband that breeds.
#[derive(Debug)]
pub struct Dehb {
    /// The first time around.
    first: Hyperband,
    /// By level.
    populations: Vec<Population>,
    /// Number of brackets that were opened after the first time around.
    opened: u64,
    /// Brackets that are not through, by number.
    brackets: BTreeMap<u64, Bracket>,
    /// Running children.
    children: BTreeMap<TrialId, Child>,
}

/// The best trials of one level.
#[derive(Debug, Clone, Default)]
struct Population {
    size: usize,
    /// In no order: a place keeps its index, whichever member takes it.
    members: Vec<Key>,
    /// The next child's place.
    cursor: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bracket {
    bracket: usize,
    rung: usize,
    /// Number of children that the rung still takes.
    free: u64,
    /// Number of children that run.
    awaited: u64,
}

#[derive(Debug, Clone, Copy)]
struct Child {
    bracket: u64,
    level: usize,
    /// The member that this trial may replace.
    target: Option<usize>,
}

/// The place of a new child: the number of the bracket, the bracket, and its rung.
#[derive(Debug, Clone, Copy)]
struct Slot {
    number: u64,
    bracket: usize,
    rung: usize,
}

impl Dehb {
    pub(super) fn new(options: &BracketOptions, max: u64) -> Result<Self, ScheduleError> {
        let first = Hyperband::new(&SchedulerSpec::Dehb(options.clone()), options, max)?;
        // The most that one bracket has at the level.
        let most =
            |level: usize| first.sizes().iter().enumerate().filter_map(|(b, s)| s.get(level.checked_sub(b)?)).max();
        let size = |level| most(level).map_or(0, |n| usize::try_from(*n).unwrap_or(usize::MAX));
        let populations = (0..first.levels().len()).map(|l| Population { size: size(l), ..Population::default() });
        let populations = populations.collect();
        Ok(Self { first, populations, opened: 0, brackets: BTreeMap::new(), children: BTreeMap::new() })
    }

    /// The place of the next child.
    fn slot(&self) -> Slot {
        let open = self.brackets.iter().find(|(_, b)| b.free > 0);
        let next = (self.opened % self.first.sizes().len() as u64) as usize;
        open.map_or(Slot { number: self.opened, bracket: next, rung: 0 }, |(number, b)| Slot {
            number: *number,
            bracket: b.bracket,
            rung: b.rung,
        })
    }

    /// The parents of the next child; `None` the first time around.
    fn parents(&self) -> Option<Parents> {
        if self.first.takes_new() {
            return None;
        }
        let slot = self.slot();
        let level = slot.bracket + slot.rung;
        let own = &self.populations[level];
        let target = own.members[own.target()?].trial;
        let below = if slot.rung == 0 { own } else { &self.populations[level - 1] };
        let mut best = below.members.clone();
        best.sort_unstable();
        best.truncate(own.size);
        let others = |keys: &[Key]| -> Vec<TrialId> { keys.iter().map(|k| k.trial).filter(|t| *t != target).collect() };
        let mut pool = others(&best);
        // Three are needed: high rungs borrow from all.
        for population in self.populations.iter().rev().filter(|_| pool.len() < 3).collect::<Vec<_>>() {
            for trial in others(&population.members) {
                if pool.len() < 3 && !pool.contains(&trial) {
                    pool.push(trial);
                }
            }
        }
        Some(Parents { target, others: pool })
    }

    /// A trial begins in a slot.
    fn begin(&mut self, trial: TrialId) {
        let slot = self.slot();
        if slot.number == self.opened {
            self.opened += 1;
        }
        let free = self.first.sizes()[slot.bracket][0];
        let new = Bracket { bracket: slot.bracket, rung: 0, free, awaited: 0 };
        let bracket = self.brackets.entry(slot.number).or_insert(new);
        bracket.free -= 1;
        bracket.awaited += 1;
        let level = slot.bracket + slot.rung;
        let population = &mut self.populations[level];
        let target = population.target();
        population.cursor += 1;
        self.children.insert(trial, Child { bracket: slot.number, level, target });
    }

    /// A child ended, with a loss unless it failed.
    fn end(&mut self, trial: TrialId, loss: Option<f64>) {
        let Some(child) = self.children.remove(&trial) else { return };
        if let Some(loss) = loss {
            let population = &mut self.populations[child.level];
            let key = Key::new(Some(loss), trial);
            match child.target.and_then(|place| population.members.get_mut(place)) {
                Some(member) if !member.beats(key) => *member = key,
                Some(_) => {}
                None => population.add(key),
            }
        }
        let Some(bracket) = self.brackets.get_mut(&child.bracket) else { return };
        bracket.awaited -= 1;
        if bracket.free > 0 || bracket.awaited > 0 {
            return;
        }
        bracket.rung += 1;
        match self.first.sizes()[bracket.bracket].get(bracket.rung) {
            Some(size) => bracket.free = *size,
            None => drop(self.brackets.remove(&child.bracket)),
        }
    }
}

impl Population {
    fn target(&self) -> Option<usize> {
        self.cursor.checked_rem(self.members.len())
    }

    /// Takes in a trial without a target: among the best of Hyperband's, or where there is room.
    fn add(&mut self, key: Key) {
        if self.members.len() < self.size {
            return self.members.push(key);
        }
        if let Some(worst) = self.members.iter_mut().max()
            && key.beats(*worst)
        {
            *worst = key;
        }
    }
}

impl Scheduler for Dehb {
    fn name(&self) -> &str {
        self.first.name()
    }

    fn spec(&self) -> SchedulerSpec {
        self.first.spec()
    }

    fn next(&mut self, history: &History<'_>, stream: &mut Stream) -> Job {
        // If no trial may start, there are no more children, only the rest of Hyperband's first round.
        if self.first.has_work() || !history.may_start() {
            return self.first.next(history, stream);
        }
        let slot = self.slot();
        Job::Start { resource: Some(self.first.levels().at(slot.bracket + slot.rung)) }
    }

    fn on_report(&mut self, history: &History<'_>, trial: &Trial) -> Decision {
        match (self.children.get(&trial.id), trial.measurements.last()) {
            (Some(child), Some(last)) if last.step < self.first.levels().at(child.level) => Decision::Continue,
            (Some(_), _) => Decision::Stop,
            (None, _) => self.first.on_report(history, trial),
        }
    }

    fn observe(&mut self, history: &History<'_>, event: &Event) {
        match event {
            Event::Ask { trial, resumed: false, attempt: 1, .. } if !self.first.takes_new() => self.begin(*trial),
            Event::Report { trial, value: Some(value), decision: Decision::Pause, .. } => {
                if let Some(level) = self.first.level(*trial) {
                    self.populations[level].add(Key::new(Some(standing(history, *trial, *value)), *trial));
                }
                self.first.observe(history, event);
            }
            Event::Tell { trial, outcome, .. } => {
                let failed = outcome.failure().is_some();
                let ended = history.trial(*trial).filter(|_| !failed);
                let loss = ended.and_then(|t| t.loss(history.metric()));
                if let (Some(level), Some(loss)) = (self.first.level(*trial), loss) {
                    self.populations[level].add(Key::new(Some(loss), *trial));
                }
                self.end(*trial, loss);
                self.first.observe(history, event);
            }
            _ => self.first.observe(history, event),
        }
    }

    /// The plan is that of Hyperband, which is the first time around; after that every trial starts anew.
    fn advice(&self, history: &History<'_>) -> Advice {
        Advice {
            levels: self.first.levels().all().to_vec(),
            parents: self.parents(),
            checkpoints: self.first.advice(history).checkpoints,
            plan: Some(self.first.plan()),
            ..Advice::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(population: &Population) -> Vec<u64> {
        population.members.iter().map(|k| k.trial.0).collect()
    }

    #[test]
    fn populations_are_as_large_as_the_largest_rung_of_their_level() {
        let dehb = Dehb::new(&BracketOptions::default(), 81).unwrap();
        // Hyperband's table: 81 27 9 3 1 / 27 9 3 1 / 9 3 1 / 6 2 / 5, shifted by one level each.
        assert_eq!(dehb.populations.iter().map(|p| p.size).collect::<Vec<_>>(), [81, 27, 9, 6, 5]);
    }

    #[test]
    fn a_child_takes_its_targets_place_if_it_is_no_worse() {
        let mut population = Population { size: 2, ..Population::default() };
        for (trial, loss) in [(0, 3.0), (1, 1.0), (2, 2.0), (3, 9.0)] {
            population.add(Key::new(Some(loss), TrialId(trial)));
        }
        assert_eq!(members(&population), [2, 1]);
        let mut dehb = Dehb::new(&BracketOptions { brackets: 1, ..BracketOptions::default() }, 3).unwrap();
        dehb.populations[0] = population;
        // The first bracket's three children go to the members in turn.
        (10..13).for_each(|t| dehb.begin(TrialId(t)));
        assert_eq!(dehb.slot().number, 1);
        dehb.end(TrialId(10), Some(2.0));
        dehb.end(TrialId(11), Some(1.5));
        dehb.end(TrialId(12), None);
        assert_eq!(members(&dehb.populations[0]), [10, 1]);
        // Through with its first rung, it takes one child in the second.
        let slot = dehb.slot();
        assert_eq!((slot.number, slot.bracket, slot.rung), (0, 0, 1));
        dehb.begin(TrialId(13));
        dehb.end(TrialId(13), Some(5.0));
        assert_eq!((members(&dehb.populations[1]), dehb.brackets.len()), (vec![13], 0));
    }
}

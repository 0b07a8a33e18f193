//! `Race`: the trials of which it is not clear whether they beat the best one, and the evidence on each.

use std::collections::BTreeMap;

use crate::rules::drift::Drift;
use crate::rules::history::History;
use crate::words::metric::Goal;
use crate::words::trial::TrialId;

/// Losses are compared up to this size, so that squares of differences are finite.
const LARGEST: f64 = 1e150;

/// The trials in the race, and its leader.
#[derive(Debug, Clone)]
pub(super) struct Race {
    pub(super) rules: Rules,
    /// Whether losses are compared by their logarithms.
    pub(super) logarithmic: bool,
    pub(super) drift: Drift<TrialId>,
    pub(super) incumbent: Option<TrialId>,
    /// Of which it is not clear yet, with how often each was measured and how far it came.
    pub(super) live: BTreeMap<TrialId, Run>,
    /// The same of the incumbent.
    pub(super) leader: Run,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) drop: f64,
    pub(super) accept: f64,
    pub(super) replicates: u64,
    pub(super) max: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Run {
    pub(super) measured: u64,
    pub(super) step: u64,
}

/// The scale of a race: losses, or their logarithms where differences grow with the values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    goal: Goal,
    logarithmic: bool,
}

impl Scale {
    pub(super) fn scaled(self, value: f64) -> f64 {
        let value = if self.logarithmic { value.ln() } else { value };
        self.goal.loss(value).clamp(-LARGEST, LARGEST)
    }

    pub(super) fn value(self, scaled: f64) -> f64 {
        let value = self.goal.loss(scaled);
        if self.logarithmic { value.exp() } else { value }
    }
}

impl Race {
    pub(super) fn new(rules: Rules, logarithmic: bool) -> Self {
        let (live, leader) = (BTreeMap::new(), Run::default());
        Self { rules, logarithmic, drift: Drift::new(None), incumbent: None, live, leader }
    }

    pub(super) fn scale(&self, history: &History<'_>, value: f64) -> f64 {
        self.scale_of(history).scaled(value)
    }

    pub(super) fn scale_of(&self, history: &History<'_>) -> Scale {
        Scale { goal: history.goal(), logarithmic: self.logarithmic }
    }

    /// Takes in a measurement and settles the clear cases; the trial is in the race, whatever its status was before.
    pub(super) fn measure(&mut self, trial: TrialId, run: Run, loss: f64) {
        self.drift.measure(trial, loss);
        match self.incumbent {
            Some(incumbent) if incumbent == trial => self.leader = run,
            Some(_) => drop(self.live.insert(trial, run)),
            None => (self.incumbent, self.leader) = (Some(trial), run),
        }
        self.settle(Some(trial).filter(|t| self.incumbent != Some(*t)));
    }

    /// The probability that a live challenger beats the incumbent.
    pub(super) fn chance(&self, challenger: TrialId) -> f64 {
        self.incumbent.and_then(|incumbent| self.drift.below(challenger, incumbent)).unwrap_or(0.5)
    }

    /// Replaces the incumbent while one is clearly better, then drops those that are clearly not: all, or with `one`
    /// only that one, as long as the incumbent stays. A challenger's measurements say next to nothing about the others.
    pub(super) fn settle(&mut self, one: Option<TrialId>) {
        let Rules { drop, accept, replicates, max } = self.rules;
        let led = self.incumbent;
        // Each time around one takes the lead; probabilities of three need not be in an order, so the rounds are
        // counted.
        for _ in 0..=self.live.len() {
            let asked = |t: &TrialId| self.incumbent != led || one.is_none_or(|one| one == *t);
            let chances = self.live.iter().filter(|(t, _)| asked(t)).map(|(t, r)| (*t, *r, self.chance(*t)));
            let chances: Vec<(TrialId, Run, f64)> = chances.collect();
            let ready = |r: &Run| r.measured >= replicates;
            let wins = |(_, r, p): &&(TrialId, Run, f64)| ready(r) && (*p > accept || (r.step >= max && *p > 0.5));
            let best = chances.iter().filter(wins).max_by(|a, b| a.2.total_cmp(&b.2).then(b.0.cmp(&a.0)));
            let Some((best, run, _)) = best.copied() else {
                for (trial, run, chance) in chances {
                    if chance < drop || run.step >= max {
                        self.live.remove(&trial);
                    }
                }
                return;
            };
            self.live.remove(&best);
            (self.incumbent, self.leader) = (Some(best), run);
        }
    }
}

//! `Race`: the trials of which it is not clear whether they beat the best one, and the evidence on each.
//!
//! Without constraints the evidence is the probability p that a challenger's mean is the better one. With constraints
//! a configuration that meets them beats one that does not, and of two that do not the one wins that exceeds them by
//! less. With the probabilities a and b that challenger and incumbent meet them, and v that the challenger exceeds them
//! by less, it is a b p + a (1 - b) + (1 - a) (1 - b) v. Constraints are measured with noise too, and each has a model
//! of its own (`rules/drift.rs`), so that nothing counts as infeasible on less evidence than it counts as slower.

use std::collections::BTreeMap;

use crate::rules::distribution::student_below;
use crate::rules::drift::{Drift, Now};
use crate::rules::fronts::excess;
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
    /// The same of each constraint, where they count.
    pub(super) constraints: Vec<Drift<TrialId>>,
    pub(super) incumbent: Option<TrialId>,
    /// Those that are not decided yet, with how often each was measured and how far it came.
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
        Self { rules, logarithmic, drift: Drift::new(None), constraints: Vec::new(), incumbent: None, live, leader }
    }

    pub(super) fn scale(&self, history: &History<'_>, value: f64) -> f64 {
        self.scale_of(history).scaled(value)
    }

    pub(super) fn scale_of(&self, history: &History<'_>) -> Scale {
        Scale { goal: history.goal(), logarithmic: self.logarithmic }
    }

    /// Takes in a measurement and settles the clear cases; the trial is in the race, whatever its status was before.
    pub(super) fn measure(&mut self, trial: TrialId, run: Run, loss: f64, constraints: &[f64]) {
        self.drift.measure(trial, loss);
        measure_each(&mut self.constraints, trial, constraints);
        match self.incumbent {
            Some(incumbent) if incumbent == trial => self.leader = run,
            Some(_) => drop(self.live.insert(trial, run)),
            None => {
                self.live.remove(&trial);
                (self.incumbent, self.leader) = (Some(trial), run);
            }
        }
        self.settle(Some(trial).filter(|t| self.incumbent != Some(*t)));
    }

    /// Forgets all trials but those in the race and those that are `wanted`.
    pub(super) fn forget(&mut self, wanted: impl Fn(TrialId) -> bool) {
        let Self { drift, constraints, incumbent, live, .. } = self;
        let keep = |t: TrialId| Some(t) == *incumbent || live.contains_key(&t) || wanted(t);
        drift.keep(keep);
        constraints.iter_mut().for_each(|constraint| constraint.keep(keep));
    }

    /// The probability that a live challenger beats the incumbent.
    pub(super) fn chance(&self, challenger: TrialId) -> f64 {
        let Some(incumbent) = self.incumbent else { return 0.5 };
        let better = self.drift.below(challenger, incumbent).unwrap_or(0.5);
        if self.constraints.is_empty() {
            return better;
        }
        let (own, its) = (self.feasible(challenger), self.feasible(incumbent));
        own * its * better + own * (1.0 - its) + (1.0 - own) * (1.0 - its) * self.nearer(challenger, incumbent)
    }

    /// The probability that a trial meets its least likely constraint. That of meeting all is lower, and would be low
    /// for many constraints of which nothing is known yet. A constraint that was not measured counts as met.
    fn feasible(&self, trial: TrialId) -> f64 {
        self.constraints.iter().filter_map(|constraint| constraint.at_most_zero(trial)).fold(1.0, f64::min)
    }

    /// The probability that a trial exceeds the constraints by less than another one, each constraint measured by the
    /// larger value of the two.
    fn nearer(&self, trial: TrialId, other: TrialId) -> f64 {
        let known: Vec<Now> = self.constraints.iter().filter_map(|constraint| constraint.now(trial, other)).collect();
        let means = |of: usize| known.iter().map(|now| now.means[of]).collect::<Vec<f64>>();
        let exceeded = excess(&[means(0), means(1)]);
        let largest = |now: &Now| now.means[0].max(now.means[1]);
        let exceeding = known.iter().filter(|now| largest(now) > 0.0);
        let variance: f64 = exceeding.map(|now| (now.sd / largest(now)).powi(2)).sum();
        let degrees = known.iter().map(|now| now.degrees).fold(f64::INFINITY, f64::min);
        match exceeded[1] - exceeded[0] {
            0.0 => 0.5,
            difference => student_below(difference / variance.sqrt(), degrees),
        }
    }

    /// Whether a challenger may lead: one that is likelier to exceed a constraint does not follow one that is likelier
    /// to meet them all.
    fn may_lead(&self, challenger: TrialId) -> bool {
        let feasible = |trial: TrialId| self.feasible(trial) >= 0.5;
        self.constraints.is_empty() || feasible(challenger) || self.incumbent.is_none_or(|its| !feasible(its))
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
            let wins = |(t, r, p): &&(TrialId, Run, f64)| {
                ready(r) && (*p > accept || (r.step >= max && *p > 0.5)) && self.may_lead(*t)
            };
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

/// Takes a measurement of each constraint, where there is one.
pub(super) fn measure_each(constraints: &mut Vec<Drift<TrialId>>, trial: TrialId, values: &[f64]) {
    if constraints.len() < values.len() {
        constraints.resize_with(values.len(), || Drift::new(None));
    }
    for (constraint, value) in constraints.iter_mut().zip(values) {
        constraint.measure(trial, value.clamp(-LARGEST, LARGEST));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenger_that_leads_for_want_of_another_is_a_challenger_no_more() {
        let rules = Rules { drop: 0.05, accept: 0.95, replicates: 3, max: 9 };
        let mut race = Race::new(rules, false);
        let [first, second] = [TrialId(0), TrialId(1)];
        let once = |measured| Run { measured, step: measured };
        race.measure(first, once(1), 1.0, &[]);
        race.measure(second, once(1), 1.1, &[]);
        assert_eq!((race.incumbent, race.live.len()), (Some(first), 1));
        // The first one fails while the second one is measured, so that nobody can take its place.
        race.incumbent = None;
        race.measure(second, once(2), 1.2, &[]);
        assert_eq!((race.incumbent, race.leader.measured, race.live.len()), (Some(second), 2, 0));
    }
}

//! Population-based training (Jaderberg, Dalibard, Osindero, Czarnecki, Donahue, Razavi and others 2017): a population
//! that trains side by side. At intervals a member that is behind gives its place to a copy of one that is ahead, and
//! the copy goes on from there with other parameters: exploit, then explore.
//!
//! A copy is a trial of its own. It begins with the checkpoint of the score for which its parent was chosen, never with
//! a newer one: the parent may be running again by then. A member with a score is either paused, and its checkpoint is
//! kept as every paused trial's, or went on from there, and the checkpoint is kept in case the trial starts over.

use std::collections::{BTreeMap, BTreeSet};

use super::split::Key;
use super::{History, Job, ScheduleError, Scheduler, Stream};
use crate::rules::searcher::Axis;
use crate::words::event::Event;
use crate::words::schedule::{PbtOptions, SchedulerSpec};
use crate::words::trial::{Checkpoint, Decision, Trial, TrialId};
use crate::words::value::Config;

/// The probability that a parameter of a copy is drawn anew, and the factors for the others (Jaderberg et al. 2017,
/// section 4). Coordinates of the unit cube are multiplied, not values: 1.2 times a value is nothing in a range of many
/// decades, and the wrong direction below 0.
const RESAMPLED: f64 = 0.25;
const FACTORS: [f64; 2] = [0.8, 1.2];
/// Draws of a copy's parameters among which one must be allowed.
const DRAWS: usize = 64;

/// Population-based training.
#[derive(Debug)]
pub struct Pbt {
    options: PbtOptions,
    size: usize,
    interval: u64,
    max: u64,
    members: BTreeMap<TrialId, Member>,
    /// The scores that count, the best first: of members that are neither lost nor at the end.
    scores: BTreeSet<Key>,
    /// Paused, by how far they are: those furthest back go on first, so that the population stays together.
    paused: BTreeSet<(u64, TrialId)>,
    /// Members whose place is to be taken.
    lost: BTreeSet<TrialId>,
    /// Number of trials that ever began, and number that ever had a score.
    begun: usize,
    scored: usize,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    /// The loss at the last comparison, and the step it was reported at.
    score: Option<(Key, u64)>,
    /// The step after which the next comparison is due, counted from the last one.
    since: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Running,
    Paused,
    /// Was behind, or failed.
    Lost,
    /// Told to stop at the end.
    AtEnd,
}

impl Pbt {
    pub(super) fn new(options: &PbtOptions, max: u64) -> Result<Self, ScheduleError> {
        let interval = if options.interval == 0 { max.div_ceil(10) } else { options.interval };
        if interval > max {
            return Err(ScheduleError::Interval { interval, max });
        }
        if !(options.quantile > 0.0 && options.quantile <= 0.5) {
            return Err(ScheduleError::Quantile { quantile: options.quantile });
        }
        let size = usize::try_from(options.members).unwrap_or(usize::MAX);
        if size < 2 {
            return Err(ScheduleError::Members { members: options.members });
        }
        Ok(Self {
            options: options.clone(),
            size,
            interval,
            max,
            members: BTreeMap::new(),
            scores: BTreeSet::new(),
            paused: BTreeSet::new(),
            lost: BTreeSet::new(),
            begun: 0,
            scored: 0,
        })
    }

    /// The step to which a trial runs that has reached `step`.
    fn until(&self, step: u64) -> u64 {
        step.saturating_add(self.interval).min(self.max)
    }

    /// Number of members, of `n`, that are ahead, and as many behind.
    fn tail(&self, n: usize) -> usize {
        // A product a rounding above the whole number it stands for is that number.
        ((self.options.quantile * n as f64 - 1e-9).ceil() as usize).min(n / 2)
    }

    /// Whether a member with this score would be behind, and another one is ahead of it.
    fn is_behind(&self, key: Key) -> bool {
        let known = self.members.get(&key.trial).is_some_and(|m| m.score.is_some());
        // The worst of the first few to arrive may be one of the best.
        if self.scored + usize::from(!known) < self.size {
            return false;
        }
        let others = || self.scores.iter().filter(|k| k.trial != key.trial);
        let Some(last) = self.tail(self.scores.len() + usize::from(!known)).checked_sub(1) else { return false };
        // A copy of a member that is no better would be no gain.
        others().rev().nth(last).is_some_and(|other| *other < key)
            && others().nth(last).is_some_and(|other| other.beats(key))
    }

    /// A copy of a member that is ahead, drawn at random; `None` where none has a score.
    fn copy(&self, history: &History<'_>, stream: &mut Stream) -> Option<Job> {
        let ahead = self.tail(self.scores.len() + 1).min(self.scores.len());
        let parent = self.scores.iter().nth(stream.below(ahead))?.trial;
        let (_, resource) = self.members.get(&parent)?.score?;
        let config = &history.trial(parent)?.config;
        let config = explored(history, config, stream);
        Some(Job::Copy { from: Checkpoint { trial: parent, resource }, config, resource: Some(self.until(resource)) })
    }

    /// Changes a member, and the ordered lists of members.
    fn change(&mut self, trial: TrialId, change: impl FnOnce(&mut Member)) {
        let Some(before) = self.members.get(&trial).copied() else { return };
        self.forget(trial, before);
        let mut now = before;
        change(&mut now);
        self.members.insert(trial, now);
        match (now.state, now.score) {
            (State::Lost, _) => drop(self.lost.insert(trial)),
            (State::AtEnd, _) | (_, None) => {}
            (state, Some((key, step))) => {
                self.scores.insert(key);
                if state == State::Paused {
                    self.paused.insert((step, trial));
                }
            }
        }
    }

    /// Takes a member out of all that is in order.
    fn forget(&mut self, trial: TrialId, member: Member) {
        self.lost.remove(&trial);
        if let Some((key, step)) = member.score {
            self.scores.remove(&key);
            self.paused.remove(&(step, trial));
        }
    }

    fn remove(&mut self, trial: TrialId) {
        if let Some(member) = self.members.remove(&trial) {
            self.forget(trial, member);
        }
    }
}

/// The parameters a copy goes on with.
fn explored(history: &History<'_>, parent: &Config, stream: &mut Stream) -> Config {
    let space = history.space();
    let Ok(point) = space.encode(parent) else { return parent.clone() };
    let axes = Axis::of(space);
    let exists: Vec<bool> = space.iter().map(|(name, _)| parent.value(name).is_some()).collect();
    let mut coordinate = |j: usize| match axes[j] {
        Axis::Fixed => point[j],
        // One that the parent has not is known nothing of.
        Axis::Numeric { cell } if exists[j] && stream.uniform() >= RESAMPLED => {
            let moved = point[j] * FACTORS[stream.below(FACTORS.len())];
            // At least to the next value, where there is one on that side.
            let step = moved - point[j];
            (point[j] + cell.max(step.abs()).copysign(step)).clamp(0.0, 1.0)
        }
        Axis::Numeric { .. } | Axis::Category { .. } => stream.uniform(),
    };
    let mut draw = |_| {
        let moved: Vec<f64> = (0..axes.len()).map(&mut coordinate).collect();
        space.decode(&moved).ok().filter(|c| space.allows(c))
    };
    (0..DRAWS).find_map(&mut draw).unwrap_or_else(|| parent.clone())
}

impl Scheduler for Pbt {
    fn name(&self) -> &str {
        "pbt"
    }

    fn spec(&self) -> SchedulerSpec {
        SchedulerSpec::Pbt(self.options.clone())
    }

    fn next(&mut self, history: &History<'_>, stream: &mut Stream) -> Job {
        let oldest = self.paused.first().copied();
        let resume = |(step, trial)| Job::Resume { trial, resource: Some(self.until(step)) };
        // Once no trial may start any more, the others go on as they are.
        if !history.may_start()
            && let Some(oldest) = oldest
        {
            return resume(oldest);
        }
        if !self.lost.is_empty()
            && let Some(copy) = self.copy(history, stream)
        {
            return copy;
        }
        match oldest {
            Some(oldest) if self.begun >= self.size => resume(oldest),
            // Too few members, or more workers than members, or all have come to the end.
            _ => Job::Start { resource: Some(self.until(0)) },
        }
    }

    fn on_report(&mut self, history: &History<'_>, trial: &Trial) -> Decision {
        let Some(last) = trial.measurements.last() else { return Decision::Stop };
        let Some(member) = self.members.get(&trial.id) else { return Decision::Stop };
        if last.step >= self.max || member.state != State::Running {
            return Decision::Stop;
        }
        if last.step < self.until(member.since) {
            return Decision::Continue;
        }
        let key = Key::new(Some(history.goal().loss(last.value)), trial.id);
        if history.may_start() && self.is_behind(key) { Decision::Stop } else { Decision::Pause }
    }

    fn observe(&mut self, history: &History<'_>, event: &Event) {
        match event {
            Event::Ask { trial, resumed: true, .. } => self.change(*trial, |m| m.state = State::Running),
            Event::Ask { trial, attempt: 1, from, .. } => {
                // A copy takes the place of a lost member; so does a new trial, where there was none to copy.
                if let Some(lost) = self.lost.first().copied() {
                    self.remove(lost);
                }
                self.begun += 1;
                let since = from.map_or(0, |from| from.resource);
                self.members.insert(*trial, Member { score: None, since, state: State::Running });
            }
            Event::Report { trial, step, value: Some(value), decision, .. } => {
                let key = Key::new(Some(history.goal().loss(*value)), *trial);
                let at_end = *step >= self.max;
                match decision {
                    Decision::Continue => {}
                    Decision::Pause => {
                        self.scored += usize::from(self.members.get(trial).is_some_and(|m| m.score.is_none()));
                        let member = Member { score: Some((key, *step)), since: *step, state: State::Paused };
                        self.change(*trial, |m| *m = member);
                    }
                    Decision::Stop => {
                        self.change(*trial, |m| m.state = if at_end { State::AtEnd } else { State::Lost });
                    }
                }
            }
            Event::Report { trial, value: None, .. } => self.change(*trial, |m| m.state = State::Lost),
            Event::Tell { trial, outcome, .. } if outcome.failure().is_some() => {
                self.change(*trial, |m| m.state = State::Lost);
            }
            // A member that ended without having been behind leaves its place to a new trial.
            Event::Tell { trial, .. } if !self.lost.contains(trial) => self.remove(*trial),
            // Decisions since it was given out are void; if its place was taken meanwhile, that stands.
            Event::Interrupt { trial, .. } => self.change(*trial, |m| m.state = State::Running),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
    use crate::words::space::Space;

    #[test]
    fn a_copy_moves_by_a_fifth_of_the_cube_or_is_drawn_anew() {
        let space = Space::new()
            .with("rate", Domain::float(1e-4, 1.0).unwrap().log().unwrap())
            .unwrap()
            .with("n", Domain::int(1, 5).unwrap())
            .unwrap()
            .with("kind", Domain::categorical(["a", "b", "c"]).unwrap())
            .unwrap();
        let metric = Metric::minimize("loss");
        let history = History::new(&space, &metric, 0, &[]);
        let parent = Config::new().with("rate", 1e-2).with("n", 3).with("kind", "a");
        let mut stream = Stream::keyed(1, TrialId(0), "schedule");
        let all: Vec<Config> = (0..4000).map(|_| explored(&history, &parent, &mut stream)).collect();
        let share =
            |wanted: &dyn Fn(&Config) -> bool| all.iter().filter(|c| wanted(c)).count() as f64 / all.len() as f64;
        let rate = |c: &Config, u: f64| (c.float("rate").unwrap().log10() - (4.0 * u - 4.0)).abs() < 1e-9;
        // The middle of four decades: 0.5 becomes 0.6 or 0.4, each three times in eight.
        assert!((share(&|c| rate(c, 0.6)) - 0.375).abs() < 0.03);
        assert!((share(&|c| rate(c, 0.4)) - 0.375).abs() < 0.03);
        // A fifth of the middle of five cells is none of them, so it is the next one.
        assert!((share(&|c| c.int("n") == Some(4)) - (0.375 + 0.05)).abs() < 0.03);
        assert!((share(&|c| c.int("n") == Some(3)) - 0.05).abs() < 0.02);
        assert!((share(&|c| c.text("kind") == Some("a")) - 1.0 / 3.0).abs() < 0.03);
    }
}

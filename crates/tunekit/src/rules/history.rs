//! `History`: the view of searchers and schedulers on the trials.
//!
//! An index (`history/index.rs`), which the study's fold maintains, holds the facts that would need a walk over all
//! trials.

mod index;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

pub(super) use self::index::Index;
use super::advice::{Advice, Parents};
use super::stream::Stream;
use crate::words::event::Header;
use crate::words::metric::{Goal, Metric, ValueRule};
use crate::words::space::Space;
use crate::words::trial::{Status, Trial, TrialId, loss_no_better, mean};
use crate::words::value::Config;

/// Everything on which a decision may depend: the space, the metric, the seed, and every trial so far, pending ones
/// included.
#[derive(Debug, Clone)]
pub struct History<'a> {
    space: &'a Space,
    metric: &'a Metric,
    objectives: &'a [Metric],
    constraints: &'a [String],
    cost_aware: bool,
    keeps_interrupted: bool,
    races_by_all: bool,
    budget: Option<u64>,
    max_resource: Option<u64>,
    seed: u64,
    trials: &'a [Trial],
    /// By place, the trials that have samples here; `None`: all.
    counted: Option<Arc<[bool]>>,
    may_start: bool,
    next_resource: Option<u64>,
    advice: Arc<Advice>,
    index: Indexed<'a>,
}

/// The index of the trials: the study's, or made when it is first asked for.
#[derive(Debug, Clone)]
enum Indexed<'a> {
    Kept(&'a Index),
    Own(OnceLock<Box<Index>>),
}

/// One configuration with all its measurements.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Observed<'a> {
    /// The first trial that ran it.
    pub trial: TrialId,
    /// The configuration.
    pub config: &'a Config,
    /// Its measurements over all its trials, in the order of trials; empty only if [`History::known`] lists it for its
    /// bounds.
    pub samples: Vec<f64>,
    /// The bounds of its measurements that were cut off, in the order of trials: each is known to be no better than its
    /// bound, see [`Measured::at_least`](crate::Measured::at_least).
    pub bounds: Vec<f64>,
    /// The measurements of each further objective, in the order of [`History::objectives`].
    pub more: Vec<Vec<f64>>,
    /// The measurements of each constraint, in the order of [`History::constraints`].
    pub constraints: Vec<Vec<f64>>,
    /// The cost of its trials so far, as far as they reported one.
    pub costs: Vec<f64>,
}

/// One configuration at one level of the resource.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Reached<'a> {
    /// The first trial that ran it.
    pub trial: TrialId,
    /// The configuration.
    pub config: &'a Config,
    /// One of [`History::levels`].
    pub level: usize,
    /// The measurements there, over all its trials; not empty.
    pub samples: Vec<f64>,
}

impl Observed<'_> {
    /// The loss for comparisons without a model: its mean, in which a bound counts as a value at least as bad; a bound
    /// ranks behind an equal value.
    pub fn loss(&self, goal: Goal) -> f64 {
        loss_no_better(goal, &self.samples, &self.bounds).unwrap_or(f64::NAN)
    }

    /// Whether the mean of each constraint's measurements is at most 0.
    pub fn is_feasible(&self) -> bool {
        self.constraints.iter().all(|samples| mean(samples).is_none_or(|m| m <= 0.0))
    }
}

impl<'a> History<'a> {
    /// A view of these trials, numbered by their place, for a study with one metric and without constraints.
    pub fn new(space: &'a Space, metric: &'a Metric, seed: u64, trials: &'a [Trial]) -> Self {
        let index = Indexed::Own(OnceLock::new());
        Self {
            space,
            metric,
            objectives: &[],
            constraints: &[],
            cost_aware: false,
            keeps_interrupted: metric.value == ValueRule::Mean,
            races_by_all: true,
            budget: None,
            max_resource: None,
            seed,
            trials,
            counted: None,
            may_start: true,
            next_resource: None,
            advice: Arc::default(),
            index,
        }
    }

    /// A view of these trials of the study with this header.
    pub fn of(header: &'a Header, trials: &'a [Trial]) -> Self {
        Self {
            objectives: &header.objectives,
            constraints: &header.constraints,
            cost_aware: header.cost_aware,
            keeps_interrupted: header.keeps_interrupted(),
            races_by_all: header.races_by_all(),
            budget: header.budget,
            max_resource: header.max_resource,
            ..Self::new(&header.space, &header.metric, header.seed, trials)
        }
    }

    /// The same with the index of these very trials.
    pub(super) fn indexed(self, index: &'a Index) -> Self {
        Self { index: Indexed::Kept(index), ..self }
    }

    /// The same view under a scheduler's advice. With a fidelity, a trial is observed once it has run that far, even if
    /// it runs on.
    #[must_use]
    pub fn under(self, advice: Advice) -> Self {
        Self { advice: Arc::new(advice), ..self }
    }

    /// The same view, where configurations are compared by each trial's value.
    pub(super) fn by_value(self) -> Self {
        let advice = Advice { fidelity: None, ..(*self.advice).clone() };
        self.under(advice)
    }

    /// The same view, where samples are as they were taken.
    pub(super) fn uncorrected(self) -> Self {
        let advice = Advice { corrected: None, ..(*self.advice).clone() };
        self.under(advice)
    }

    /// The same view, where configurations are compared at this level, if one is given and there are levels.
    pub(super) fn at_level(self, level: Option<usize>) -> Self {
        let fidelity = level.and_then(|level| self.levels().get(level).copied());
        if fidelity.is_none() {
            return self;
        }
        let advice = Advice { fidelity, ..(*self.advice).clone() };
        self.under(advice)
    }

    /// The same view, in which trials have samples only if these can be compared with each other. Where the scheduler
    /// has levels, all have them. Otherwise full runs do, or those that came furthest if no full run meets the
    /// constraints.
    pub(super) fn comparable(self, advice: &Advice) -> Self {
        let reaches: BTreeSet<u64> = self.trials.iter().map(|trial| self.reach(trial)).collect();
        if !advice.levels.is_empty() || reaches.len() <= 1 {
            return self;
        }
        // A configuration that breaks a constraint must not exclude the others.
        let view = |far: &u64| self.clone().counting(|trial| self.reach(trial) == *far);
        let found = reaches.iter().rev().map(view).find(|view| view.observed().iter().any(Observed::is_feasible));
        found.unwrap_or(self)
    }

    /// The same view, where trials have no samples for which `counts` is false. Bounds stay.
    pub(super) fn counting(self, counts: impl Fn(&Trial) -> bool) -> Self {
        let counted = Some(self.trials.iter().map(counts).collect());
        Self { counted, ..self }
    }

    fn counts(&self, trial: &Trial) -> bool {
        let place = usize::try_from(trial.id.0).unwrap_or(usize::MAX);
        self.counted.as_ref().is_none_or(|counted| counted.get(place).is_some_and(|counts| *counts))
    }

    /// The place along the resource that a trial came to. It is [`u64::MAX`] for a full run: for a trial that ended by
    /// itself or reported at the maximal resource, and for replicates, which are of the same thing however many there
    /// are. For others it is the number of [`History::levels`] that the trial reached or, where there are none, its
    /// last step. Without levels and a maximal resource steps say nothing, and it is 0.
    pub(super) fn reach(&self, trial: &Trial) -> u64 {
        let last = trial.measurements.last().map_or(0, |m| m.step);
        let ended = matches!(trial.status, Status::Completed | Status::CutOff);
        let replicates = self.metric.value == ValueRule::Mean;
        if ended || replicates || self.max_resource.is_some_and(|max| last >= max) {
            return u64::MAX;
        }
        match (self.levels(), self.max_resource) {
            ([], None) => 0,
            ([], Some(_)) => last,
            (levels, _) => levels.partition_point(|level| *level <= last) as u64,
        }
    }

    /// The same, where new trials may start, or not.
    pub(super) fn starting(self, may_start: bool) -> Self {
        Self { may_start, ..self }
    }

    /// The same, where the next new trial runs to `resource` before a decision is due.
    #[must_use]
    pub fn toward(self, resource: Option<u64>) -> Self {
        Self { next_resource: resource, ..self }
    }

    /// The resource up to which the next new trial runs before a decision is due; `None`: to its end, or not known.
    pub fn next_resource(&self) -> Option<u64> {
        self.next_resource
    }

    /// The parents of the next new trial, if the scheduler has a population.
    pub fn parents(&self) -> Option<&Parents> {
        self.advice.parents.as_ref()
    }

    /// One trial.
    pub fn trial(&self, trial: TrialId) -> Option<&'a Trial> {
        usize::try_from(trial.0).ok().and_then(|place| self.trials.get(place))
    }

    /// Whether a configuration was given out or added twice.
    pub(super) fn repeats(&self) -> bool {
        self.index().configurations() < self.trials.len()
    }

    fn index(&self) -> &Index {
        match &self.index {
            Indexed::Kept(index) => index,
            Indexed::Own(cell) => cell.get_or_init(|| Box::new(Index::of(self.trials))),
        }
    }

    /// The parameters.
    pub fn space(&self) -> &'a Space {
        self.space
    }

    /// The metric.
    pub fn metric(&self) -> &'a Metric {
        self.metric
    }

    /// The further objectives.
    pub fn objectives(&self) -> &'a [Metric] {
        self.objectives
    }

    /// Names of the values that must be at most 0.
    pub fn constraints(&self) -> &'a [String] {
        self.constraints
    }

    /// Whether configurations that cost less to measure are preferred.
    pub fn cost_aware(&self) -> bool {
        self.cost_aware
    }

    /// Whether reports before an interruption stay valid: see [`Header::keeps_interrupted`].
    pub fn keeps_interrupted(&self) -> bool {
        self.keeps_interrupted
    }

    /// Whether a race goes by constraints as well as by the metric.
    pub(super) fn races_by_constraints(&self) -> bool {
        self.races_by_all && !self.constraints.is_empty()
    }

    /// Whether a race measures next the configuration that is most likely to win for its cost.
    pub(super) fn races_by_cost(&self) -> bool {
        self.races_by_all && self.cost_aware
    }

    /// Number of trials that are planned, if it is known.
    pub fn budget(&self) -> Option<u64> {
        self.budget
    }

    /// Whether a new trial may start: no limit is reached, and the space is not exhausted.
    pub fn may_start(&self) -> bool {
        self.may_start
    }

    /// The trials that are paused, in order.
    pub fn paused(&self) -> impl Iterator<Item = &'a Trial> {
        let trials = self.trials;
        self.index().paused().map(|i| &trials[i])
    }

    /// The better direction of the metric.
    pub fn goal(&self) -> Goal {
        self.metric.goal
    }

    /// The study's seed. Randomness for one trial comes as an argument; this is for decisions that all trials share.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// All trials, by number.
    pub fn trials(&self) -> &'a [Trial] {
        self.trials
    }

    /// The number the next new trial will have.
    pub fn next_trial(&self) -> TrialId {
        TrialId(self.trials.len() as u64)
    }

    /// A random stream of one purpose for the whole study.
    pub fn stream(&self, purpose: &str) -> Stream {
        Stream::of_study(self.seed, purpose)
    }

    /// The resource at which configurations are compared; `None`: by each trial's value.
    pub fn resource(&self) -> Option<u64> {
        self.advice.fidelity
    }

    /// The resources at which trials are compared, increasing; none where reports are replicates, which are of the same
    /// thing at any resource.
    pub fn levels(&self) -> &[u64] {
        if self.metric.value == ValueRule::Mean { &[] } else { &self.advice.levels }
    }

    /// Every configuration at every one of [`History::levels`] that a trial of it reached, with its first report there,
    /// in the order of the reports. A value told without a report counts at the last level. Failed trials are left out.
    pub fn reached(&self) -> Vec<Reached<'a>> {
        let (index, levels) = (self.index(), self.levels());
        let Some(last) = levels.len().checked_sub(1) else { return Vec::new() };
        // By trial: how many of its arrivals have passed, and how many levels.
        let mut passed = vec![(0_usize, 0_usize); self.trials.len()];
        let mut at: BTreeMap<(usize, usize), usize> = BTreeMap::new();
        let mut all: Vec<Reached<'a>> = Vec::new();
        for i in index.arrivals() {
            let (trial, (count, next)) = (&self.trials[i], &mut passed[i]);
            let value = match trial.measurements.get(*count) {
                Some(m) => Some((m.step, m.value)),
                None if trial.measurements.is_empty() => trial.told.map(|value| (levels[last], value)),
                None => None,
            };
            *count += 1;
            let Some((step, value)) = value.filter(|_| trial.failure.is_none()) else { continue };
            // A first report above several levels tells nothing about the lower levels.
            let level = levels.partition_point(|level| *level <= step);
            if level <= *next {
                continue;
            }
            *next = level;
            let configuration = index.configuration(i);
            let slot = *at.entry((configuration, level)).or_insert_with(|| {
                let trial = self.trials[index.first(configuration)].id;
                all.push(Reached { trial, config: &self.trials[i].config, level: level - 1, samples: Vec::new() });
                all.len() - 1
            });
            all[slot].samples.push(value);
        }
        all
    }

    /// The configurations with an outstanding result, in order, each with the next level that it will reach. A
    /// configuration that runs twice is listed twice.
    pub fn awaited(&self) -> Vec<(&'a Config, usize)> {
        let levels = self.levels();
        let next = |trial: &'a Trial| {
            let step = trial.measurements.last().map_or(0, |m| m.step);
            let level = levels.partition_point(|level| *level <= step);
            (level < levels.len()).then_some((&trial.config, level))
        };
        self.index().pending().filter_map(|i| next(&self.trials[i])).collect()
    }

    /// The measurements of a trial that count.
    fn samples(&self, trial: &Trial) -> Vec<f64> {
        if !self.counts(trial) {
            return Vec::new();
        }
        let corrected = || self.advice.corrected.as_ref()?.of(trial.id);
        let all = match self.resource() {
            Some(resource) if trial.told.is_none() => return trial.value_at(resource).into_iter().collect(),
            _ => match corrected() {
                Some(corrected) if trial.failure.is_none() => corrected.clone(),
                _ => trial.samples(self.metric.value),
            },
        };
        match (trial.is_pending(), self.metric.value) {
            (false, _) => all,
            (true, ValueRule::Last) => Vec::new(),
            // Measurements before it went on: the next replicate does not make them void.
            (true, ValueRule::Mean) => all.into_iter().take(trial.kept).collect(),
        }
    }

    /// A trial's further objectives and constraints, at the place its samples are from.
    fn besides<'t>(&self, trial: &'t Trial) -> Vec<(&'t [f64], &'t [f64])> {
        if !self.counts(trial) {
            return Vec::new();
        }
        match self.resource().filter(|_| trial.told.is_none() && trial.measured.is_none()) {
            Some(resource) => {
                let beside = trial.at(resource).and_then(|m| m.beside.as_deref());
                beside.map(|b| (b.more.as_slice(), b.constraints.as_slice())).into_iter().collect()
            }
            None => {
                // As for its samples.
                let taken = match (trial.is_pending(), self.metric.value) {
                    (false, rule) => return trial.besides(rule),
                    (true, ValueRule::Last) => 0,
                    (true, ValueRule::Mean) => trial.kept,
                };
                let reports = trial.measurements.iter().take(taken).filter_map(|m| m.beside.as_deref());
                reports.map(|b| (b.more.as_slice(), b.constraints.as_slice())).collect()
            }
        }
    }

    /// The bound of a trial that was cut off, if it counts. It does not where configurations are compared at a resource
    /// that the trial had reported at, for its report there is known.
    fn bound(&self, trial: &Trial) -> Option<f64> {
        let known = self.resource().is_some_and(|resource| trial.value_at(resource).is_some());
        trial.at_least.filter(|_| trial.failure.is_none() && !known)
    }

    /// Every configuration with a measurement from a trial that is not pending and did not fail, in the order of its
    /// first trial. Replicates of one configuration are together. A trial that continues counts with its earlier
    /// replicates.
    pub fn observed(&self) -> Vec<Observed<'a>> {
        let mut all = self.known();
        all.retain(|o| !o.samples.is_empty());
        all
    }

    /// The same, including the configurations that have only bounds, in the order of the first trials with a result.
    pub fn known(&self) -> Vec<Observed<'a>> {
        let index = self.index();
        let mut at: Vec<Option<usize>> = vec![None; index.configurations()];
        let mut all: Vec<Observed<'a>> = Vec::new();
        for (i, trial) in self.trials.iter().enumerate() {
            let (samples, bound) = (self.samples(trial), self.bound(trial));
            if samples.is_empty() && bound.is_none() {
                continue;
            }
            let slot = *at[index.configuration(i)].get_or_insert_with(|| {
                all.push(Observed {
                    trial: trial.id,
                    config: &trial.config,
                    samples: Vec::new(),
                    bounds: Vec::new(),
                    more: vec![Vec::new(); self.objectives.len()],
                    constraints: vec![Vec::new(); self.constraints.len()],
                    costs: Vec::new(),
                });
                all.len() - 1
            });
            let observed = &mut all[slot];
            observed.samples.extend(samples);
            observed.bounds.extend(bound);
            for (more, constraints) in self.besides(trial) {
                observed.more.iter_mut().zip(more).for_each(|(samples, v)| samples.push(*v));
                observed.constraints.iter_mut().zip(constraints).for_each(|(samples, v)| samples.push(*v));
            }
            let cost = match self.resource().filter(|_| trial.told.is_none()) {
                Some(resource) => trial.at(resource).and_then(|m| m.cost),
                None => trial.cost(),
            };
            observed.costs.extend(cost);
        }
        all
    }

    /// When the samples of each of these configurations, which are of [`History::known`], arrived: how many samples of
    /// the study did before. `None` where samples were corrected for when they were taken.
    pub(super) fn times(&self, known: &[Observed<'_>]) -> Option<Vec<Vec<f64>>> {
        if self.advice.corrected.is_some() {
            return None;
        }
        let index = self.index();
        let mut arrived: Vec<Vec<f64>> = vec![Vec::new(); self.trials.len()];
        for (time, i) in index.arrivals().enumerate() {
            arrived[i].push(time as f64);
        }
        let mut times: Vec<Vec<f64>> = vec![Vec::new(); index.configurations()];
        for (i, (trial, arrived)) in self.trials.iter().zip(&arrived).enumerate() {
            let count = self.samples(trial).len();
            let skipped = match self.metric.value {
                // The last report is the value.
                ValueRule::Last => arrived.len().saturating_sub(count),
                // The last replicates may belong to a trial that continues.
                ValueRule::Mean => 0,
            };
            times[index.configuration(i)].extend(arrived.iter().skip(skipped).take(count));
        }
        let of = |o: &Observed<'_>| times[index.configuration(usize::try_from(o.trial.0).ok()?)].clone().into();
        known.iter().map(of).collect()
    }

    /// The configurations with an outstanding result, in order; a configuration that runs twice is listed twice. A
    /// further replicate of a measured configuration does not count as outstanding.
    pub fn pending(&self) -> Vec<&'a Config> {
        let pending = self.index().pending().map(|i| &self.trials[i]);
        // Trials that were measured at the level that counts are not awaited, nor are repeated measurements.
        let awaited = |t: &&Trial| match self.resource() {
            Some(resource) => t.value_at(resource).is_none(),
            None => self.metric.value == ValueRule::Last || t.kept == 0,
        };
        pending.filter(awaited).map(|t| &t.config).collect()
    }

    /// The configurations that failed and have never succeeded since, each once, in the order of their failing trials.
    pub fn failed(&self) -> Vec<&'a Config> {
        let index = self.index();
        let mut seen = BTreeSet::new();
        let never = |i: &usize| !index.is_measured(index.configuration(*i));
        let failed = index.failed().filter(never).filter(|i| seen.insert(index.configuration(*i)));
        failed.map(|i| &self.trials[i].config).collect()
    }

    /// Number of times that this configuration was given out or added.
    pub fn used(&self, config: &Config) -> usize {
        self.standing(config).1
    }

    /// Whether a result of this configuration is still awaited.
    pub fn is_pending(&self, config: &Config) -> bool {
        self.standing(config).0
    }

    /// Whether a result of this configuration is still awaited, and how often it was given out or added.
    pub(super) fn standing(&self, config: &Config) -> (bool, usize) {
        self.index().standing(self.trials, config)
    }
}

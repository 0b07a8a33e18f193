//! The recommendation of a study: its best configuration, or the front of several objectives.
//!
//! Trials that did not come equally far along a resource measured different things. If a scheduler has levels, the
//! highest level reached counts; without levels full runs count, or those that came furthest where there is no full
//! run.

use std::collections::{BTreeMap, BTreeSet};

use super::Study;
use crate::rules::advice::Advice;
use crate::rules::distribution::{standard_deviation, student_half_width};
use crate::rules::history::{History, Observed};
use crate::rules::pareto::non_dominated;
use crate::rules::searcher::Gp;
use crate::words::trial::{Best, mean};
use crate::words::value::Config;

impl Study {
    /// The configuration with the best expected value among those that meet the constraints (by the mean of theirs). A
    /// Gaussian process of the whole study judges, whichever searcher chose the configurations, and never the luckiest
    /// sample; with fewer than three configurations, or a noise that is known, the searcher's model or the mean of the
    /// measurements does. It costs several fits of that process, so that it is not for every report. `None` before
    /// anything is measured that meets them ([`Study::why_no_best`]).
    ///
    /// A configuration that is known by bounds only ([`Measured::at_least`](crate::Measured::at_least)) is never among
    /// them. A model takes bounds among a configuration's measurements into account; without a model any configuration
    /// without bounds comes first.
    ///
    /// The mean and the interval are of a measurement taken now: a drift during the study is in the model.
    ///
    /// If a scheduler compares trials at several levels of a resource, and the searcher has no model of full runs,
    /// only configurations at the highest level reached are compared, by their values at that level. If a scheduler
    /// stops or pauses trials without such levels (`median` around `fifo`, `pbt`), only full runs are compared: trials
    /// that ended by themselves or reported at `max_resource`. Without any, those with the largest last step are.
    ///
    /// It heeds the metric alone: where there are further objectives, it is one end of [`Study::pareto`].
    pub fn best(&self) -> Option<Best> {
        let advice = self.advice();
        // A scheduler that asks for replicates decides which configurations were measured often enough.
        let least = advice.replicates.map_or(1, |least| usize::try_from(least).unwrap_or(usize::MAX));
        let incumbent = advice.incumbent.and_then(|t| self.trial(t)).map(|t| &t.config);
        let history = self.comparable(&advice);
        let mut observed = feasible(&history);
        if observed.iter().any(|o| o.samples.len() >= least) {
            observed.retain(|o| o.samples.len() >= least);
        }
        let configs: Vec<&Config> = observed.iter().map(|o| o.config).collect();
        let dressed = history.clone().under(advice);
        let furthest = Furthest::of(&dressed, &configs);
        // The judge compares values, and those of trials that did not come equally far are not of the same thing.
        let equally = furthest.as_ref().is_none_or(|furthest| furthest.is.iter().all(|is| *is));
        // It has a trend of its own, and goes no further along a resource than anybody has been.
        let plain = dressed.clone().uncorrected();
        let level = reached(&dressed);
        let judged = || Gp::new().judged_at(level, &plain, &configs);
        let predictions = if equally { judged() } else { None };
        let predictions = predictions.or_else(|| self.searcher().predict(&dressed, &configs));
        let predictions = predictions.filter(|p| p.len() == configs.len());
        // A model compares full runs. Without one, only trials that reached the same level can be compared, by their
        // values there.
        let furthest = furthest.filter(|_| predictions.is_none());
        let predictions = predictions.or_else(|| furthest.as_ref().and_then(|_| judged()));
        if let (None, Some(place)) = (&predictions, configs.iter().position(|c| Some(*c) == incumbent)) {
            return Some(sample_best(&observed[place]));
        }
        let goal = history.goal();
        let observed = match &furthest {
            Some(furthest) => furthest.of_its_level(observed, &history, &dressed),
            None => observed,
        };
        let compared = |i: &usize| furthest.as_ref().is_none_or(|furthest| furthest.is[*i]);
        let all = observed.iter().enumerate().filter(|(i, _)| compared(i)).map(|(i, o)| {
            let own = sample_best(o);
            match predictions.as_ref().map(|p| p[i]) {
                Some(p) => (false, goal.loss(p.mean), Best { mean: p.mean, ci95: finite([p.lower, p.upper]), ..own }),
                None => (!o.bounds.is_empty(), o.loss(goal), own),
            }
        });
        // The first of equals, which is the oldest.
        let before = |a: &(bool, f64, Best), b: &(bool, f64, Best)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).is_lt();
        all.reduce(|a, b| if before(&b, &a) { b } else { a }).map(|(_, _, best)| best)
    }

    /// In a sentence, why [`Study::best`] names nothing; `None` where it names a configuration.
    ///
    /// ```
    /// use tunekit::{Config, Domain, Measured, Metric, Setup, Space, Study};
    /// let space = Space::new().with("x", Domain::float(0.0, 1.0)?)?;
    /// let mut study = Study::new(Setup::new(space, Metric::minimize("loss")).constraint("memory"))?;
    /// assert_eq!(study.why_no_best(), Some("nothing was measured yet"));
    /// study.add(&Config::new().with("x", 0.5), Measured::new(0.7).constraints([0.1]))?;
    /// assert_eq!(study.why_no_best(), Some("nothing that meets the constraints was measured yet"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn why_no_best(&self) -> Option<&'static str> {
        let history = self.comparable(&self.advice());
        if !feasible(&history).is_empty() {
            None
        } else if history.known().is_empty() {
            Some("nothing was measured yet")
        } else if history.observed().is_empty() {
            Some("nothing was measured to its end yet, only bounds are known")
        } else {
            Some("nothing that meets the constraints was measured yet")
        }
    }

    /// The configurations that meet the constraints and that no other one beats in one objective without losing in
    /// another, by the means of their measurements, in the order of their first trials. With one objective just
    /// [`Study::best`].
    ///
    /// Only configurations that came equally far along a resource are compared: if a scheduler compares trials at
    /// several levels of it, those that reached the highest level reached so far; else those that ran in full, as
    /// [`Study::best`] has it.
    pub fn pareto(&self) -> Vec<Best> {
        if self.header().objectives.is_empty() {
            return self.best().into_iter().collect();
        }
        let advice = self.advice();
        let history = self.comparable(&advice);
        let mut observed = feasible(&history);
        let configs: Vec<&Config> = observed.iter().map(|o| o.config).collect();
        let dressed = history.clone().under(advice);
        if let Some(furthest) = Furthest::of(&dressed, &configs) {
            observed = furthest.of_its_level(observed, &history, &dressed);
            let mut is = furthest.is.into_iter();
            observed.retain(|_| is.next().unwrap_or(false));
        }
        let all: Vec<Best> = observed.iter().map(sample_best).collect();
        // An objective that is not known is NaN, with which a configuration is on no front.
        let losses = |o: &Observed<'_>| -> Vec<f64> {
            let more = history.objectives().iter().zip(&o.more);
            let more = more.map(|(metric, values)| mean(values).map_or(f64::NAN, |value| metric.goal.loss(value)));
            std::iter::once(o.loss(history.goal())).chain(more).collect()
        };
        let points: Vec<Vec<f64>> = observed.iter().map(losses).collect();
        non_dominated(&points).into_iter().map(|i| all[i].clone()).collect()
    }

    /// The history in which only trials count that can be compared with each other. If a scheduler has levels, all
    /// do here.
    fn comparable(&self, advice: &Advice) -> History<'_> {
        let history = self.state.history();
        let reaches: BTreeSet<u64> = history.trials().iter().map(|trial| history.reach(trial)).collect();
        if !advice.levels.is_empty() || reaches.len() == 1 {
            return history;
        }
        // A configuration that breaks a constraint is no reason to leave out the others.
        let view = |far: &u64| history.clone().counting(|trial| history.reach(trial) == *far);
        let found = reaches.iter().rev().map(view).find(|view| !feasible(view).is_empty());
        found.unwrap_or(history)
    }
}

/// The configurations that have a measurement and meet the constraints.
fn feasible<'a>(history: &History<'a>) -> Vec<Observed<'a>> {
    history.observed().into_iter().filter(Observed::is_feasible).collect()
}

/// The configurations that came to the highest level that any of them has come to.
struct Furthest {
    level: usize,
    /// For each configuration, whether it came to that level.
    is: Vec<bool>,
}

impl Furthest {
    /// `None` without levels.
    fn of(history: &History<'_>, configs: &[&Config]) -> Option<Self> {
        let mut levels: BTreeMap<String, usize> = BTreeMap::new();
        for reached in history.reached() {
            let level = levels.entry(reached.config.key()).or_default();
            *level = reached.level.max(*level);
        }
        let each: Vec<Option<usize>> = configs.iter().map(|config| levels.get(&config.key()).copied()).collect();
        let level = each.iter().copied().flatten().max()?;
        Some(Self { level, is: each.into_iter().map(|own| own == Some(level)).collect() })
    }

    /// The same configurations, those that came to the level with the measurements of their trials that did. A
    /// configuration may have other trials, which did not.
    fn of_its_level<'a>(
        &self,
        observed: Vec<Observed<'a>>,
        history: &History<'a>,
        dressed: &History<'_>,
    ) -> Vec<Observed<'a>> {
        if !history.repeats() {
            return observed;
        }
        let there = history.clone().counting(|trial| dressed.reach(trial) > self.level as u64).observed();
        let own = |(o, is): (Observed<'a>, &bool)| {
            let own = if *is { there.iter().find(|other| other.config == o.config) } else { None };
            own.cloned().unwrap_or(o)
        };
        observed.into_iter().zip(&self.is).map(own).collect()
    }
}

/// The highest level that a configuration has come to.
fn reached(history: &History<'_>) -> Option<usize> {
    history.reached().iter().map(|reached| reached.level).max()
}

/// An interval, unless an end of it is beyond all numbers.
fn finite(interval: [f64; 2]) -> Option<[f64; 2]> {
    Some(interval).filter(|ends| ends.iter().all(|end| end.is_finite()))
}

/// The result of a configuration from its measurements alone.
fn sample_best(observed: &Observed<'_>) -> Best {
    let value = mean(&observed.samples).expect("what is observed has samples");
    let spread = standard_deviation(&observed.samples).filter(|_| observed.bounds.is_empty());
    let half = spread.map(|sd| student_half_width(observed.samples.len(), sd, 0.95));
    Best {
        trial: observed.trial,
        config: observed.config.clone(),
        value,
        mean: value,
        ci95: half.and_then(|h| finite([value - h, value + h])),
        n: observed.samples.len(),
        more: observed.more.iter().filter_map(|samples| mean(samples)).collect(),
    }
}

//! The recommendation of a study: its best configuration, or the front of several objectives.
//!
//! Trials that did not come equally far along a resource measured different things. If a scheduler has levels, the
//! highest level reached counts. Without levels full runs count or, if there are none, the trials that came furthest.

use std::collections::BTreeMap;

use super::Study;
use crate::rules::distribution::{standard_deviation, student_half_width};
use crate::rules::history::{History, Observed};
use crate::rules::pareto::non_dominated;
use crate::rules::searcher::{Gp, Judge};
use crate::words::metric::Noise;
use crate::words::trial::{Best, mean};
use crate::words::value::Config;

impl Study {
    /// The configuration with the best expected value among those that meet the constraints (by the means of their
    /// measurements). A Gaussian process of the whole study decides, whichever searcher chose the configurations, and
    /// never the luckiest sample. It costs several fits of that process, so do not call it for every report. `None`
    /// before a configuration that meets the constraints was measured ([`Study::why_no_best`]).
    ///
    /// Three cases need no such process. A metric without noise ([`Noise::Deterministic`]) is compared by its values.
    /// With fewer than three measured configurations the searcher's model or the mean of the measurements decides. In a
    /// race with a known noise the leader is the answer, unless the searcher has a model.
    ///
    /// A configuration that has only bounds ([`Measured::at_least`](crate::Measured::at_least)) is never recommended. A
    /// model takes bounds among a configuration's measurements into account; without a model any configuration without
    /// bounds comes first.
    ///
    /// The mean and the interval are of a measurement taken now: a drift during the study is in the model.
    ///
    /// If a scheduler compares trials at several levels of a resource, and the searcher has no model of full runs, only
    /// configurations at the highest level reached are compared, by their values at that level. If a scheduler stops or
    /// pauses trials without such levels (`median` around `fifo`, `pbt`), only full runs are compared: trials that
    /// ended by themselves or reported at `max_resource`. If there are none, the trials with the largest last step are
    /// compared.
    ///
    /// It uses the metric only: with further objectives, it is one end of [`Study::pareto`].
    pub fn best(&self) -> Option<Best> {
        self.judged_best().map(|(best, _)| best)
    }

    /// [`Study::best`], and its judge unless the best was found without one.
    pub(super) fn judged_best(&self) -> Option<(Best, Option<Judge>)> {
        let advice = self.advice();
        // A scheduler that asks for replicates decides which configurations were measured often enough.
        let least = advice.replicates.map_or(1, |least| usize::try_from(least).unwrap_or(usize::MAX));
        let incumbent = advice.incumbent.and_then(|t| self.trial(t)).map(|t| &t.config);
        let history = self.state.history().comparable(&advice);
        let mut observed = feasible(&history);
        if observed.iter().any(|o| o.samples.len() >= least) {
            observed.retain(|o| o.samples.len() >= least);
        }
        let configs: Vec<&Config> = observed.iter().map(|o| o.config).collect();
        let dressed = history.clone().under(advice);
        let furthest = Furthest::of(&dressed, &configs);
        // The judge compares values, and those of trials that did not come equally far are not of the same thing.
        let equally = furthest.as_ref().is_none_or(|furthest| furthest.is.iter().all(|is| *is));
        let (level, plain) = as_judged(&dressed);
        let noise = history.metric().noise;
        // A race with a known noise has weighed its measurements by that noise already.
        let judges = noise == Noise::Learned || incumbent.is_none();
        let mut judge = None;
        let mut judged = || {
            judge = if judges { Gp::judge_at(level, &plain) } else { None };
            judge.as_ref().and_then(|judge: &Judge| judge.judged(&plain, &configs))
        };
        let predictions = if equally { judged() } else { None };
        // Exact values are compared as they are: a model of them would smooth them.
        let has_exact = equally && noise == Noise::Deterministic;
        let predicted = || if has_exact { None } else { self.searcher().predict(&dressed, &configs) };
        let predictions = predictions.or_else(predicted);
        let predictions = predictions.filter(|p| p.len() == configs.len());
        // A model compares full runs. Without one, only trials that reached the same level can be compared, by their
        // values there.
        let furthest = furthest.filter(|_| predictions.is_none());
        let predictions = predictions.or_else(|| furthest.as_ref().and_then(|_| judged()));
        if let (None, Some(place)) = (&predictions, configs.iter().position(|c| Some(*c) == incumbent)) {
            let own = sample_best(&observed[place], noise);
            // As if measured now, where the race has seen a drift.
            let now = dressed.observed().into_iter().find(|o| o.config == configs[place]);
            let best = match now.map(|now| sample_best(&now, noise)) {
                Some(Best { mean, ci95, .. }) => Best { mean, ci95, ..own },
                None => own,
            };
            return Some((best, judge));
        }
        let goal = history.goal();
        let observed = match &furthest {
            Some(furthest) => furthest.of_its_level(observed, &history, &dressed),
            None => observed,
        };
        let compared = |i: &usize| furthest.as_ref().is_none_or(|furthest| furthest.is[*i]);
        let all = observed.iter().enumerate().filter(|(i, _)| compared(i)).map(|(i, o)| {
            let own = sample_best(o, noise);
            match predictions.as_ref().map(|p| p[i]) {
                Some(p) => (false, goal.loss(p.mean), Best { mean: p.mean, ci95: finite([p.lower, p.upper]), ..own }),
                None => (!o.bounds.is_empty(), o.loss(goal), own),
            }
        });
        // The first of equals, which is the oldest.
        let before = |a: &(bool, f64, Best), b: &(bool, f64, Best)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).is_lt();
        all.reduce(|a, b| if before(&b, &a) { b } else { a }).map(|(_, _, best)| (best, judge))
    }

    /// The reason, in a sentence, why [`Study::best`] names no configuration; `None` if it names one.
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
        let history = self.state.history().comparable(&self.advice());
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

    /// The configurations that meet the constraints and that no other configuration dominates, by the means of their
    /// measurements, in the order of their first trials. With one objective, this is [`Study::best`].
    ///
    /// Only configurations that came equally far along a resource are compared: if a scheduler compares trials at
    /// several levels of it, those that reached the highest level so far; otherwise those with full runs, as in
    /// [`Study::best`].
    pub fn pareto(&self) -> Vec<Best> {
        if self.header().objectives.is_empty() {
            return self.best().into_iter().collect();
        }
        let advice = self.advice();
        let history = self.state.history().comparable(&advice);
        let mut observed = feasible(&history);
        let configs: Vec<&Config> = observed.iter().map(|o| o.config).collect();
        let dressed = history.clone().under(advice);
        if let Some(furthest) = Furthest::of(&dressed, &configs) {
            observed = furthest.of_its_level(observed, &history, &dressed);
            let mut is = furthest.is.into_iter();
            observed.retain(|_| is.next().unwrap_or(false));
        }
        let noise = history.metric().noise;
        let all: Vec<Best> = observed.iter().map(|o| sample_best(o, noise)).collect();
        // An objective that is not known is NaN, with which a configuration is on no front.
        let losses = |o: &Observed<'_>| -> Vec<f64> {
            let more = history.objectives().iter().zip(&o.more);
            let more = more.map(|(metric, values)| mean(values).map_or(f64::NAN, |value| metric.goal.loss(value)));
            std::iter::once(o.loss(history.goal())).chain(more).collect()
        };
        let points: Vec<Vec<f64>> = observed.iter().map(losses).collect();
        non_dominated(&points).into_iter().map(|i| all[i].clone()).collect()
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

/// A history as the judge of the answer sees it, and the level at which configurations are judged. The judge has a
/// trend of its own, and goes no further along a resource than anybody has been.
pub(super) fn as_judged<'a>(dressed: &History<'a>) -> (Option<usize>, History<'a>) {
    let level = reached(dressed);
    (level, dressed.clone().uncorrected().at_level(level))
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
fn sample_best(observed: &Observed<'_>, noise: Noise) -> Best {
    let value = mean(&observed.samples).expect("what is observed has samples");
    let n = observed.samples.len();
    let spread = standard_deviation(&observed.samples).filter(|_| observed.bounds.is_empty());
    let of_samples = spread.map(|sd| student_half_width(n, sd, 0.95));
    let half = match noise {
        Noise::Learned => of_samples,
        Noise::Known(sd) => observed.bounds.is_empty().then_some(1.96 * sd / (n as f64).sqrt()),
        // Values that differ nevertheless have noise.
        Noise::Deterministic => of_samples.or((n == 1).then_some(0.0)),
    };
    Best {
        trial: observed.trial,
        config: observed.config.clone(),
        value,
        mean: value,
        ci95: half.and_then(|h| finite([value - h, value + h])),
        n,
        more: observed.more.iter().filter_map(|samples| mean(samples)).collect(),
    }
}

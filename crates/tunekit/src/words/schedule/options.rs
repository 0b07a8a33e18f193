//! The options of each kind of scheduler. A struct has exactly the options that its schedulers use. Their bounds are
//! checked when a scheduler is built, because the maximal resource is known then.
//!
//! The names of the fields are those of `scheduler_options` in a journal's header and in `create`.

use serde::{Deserialize, Serialize};

use super::SchedulerSpec;

/// Options of `asha`, `asha_promotion` and `pasha`, whose trials all begin at the same rung.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RungOptions {
    /// One trial in `eta` is promoted from a rung to the next, which has `eta` times its resource; at least 2. A larger
    /// value stops trials earlier and relies more on early results.
    pub eta: u64,
    /// The resource of the first rung, which every trial gets. At least 1.
    pub grace: u64,
    /// The resources of the rungs below the maximal one, increasing, in place of `grace` and `eta`'s powers.
    pub rungs: Vec<u64>,
}

impl Default for RungOptions {
    fn default() -> Self {
        Self { eta: 3, grace: 1, rungs: Vec::new() }
    }
}

/// Options of `mo_asha`, which compares trials by all objectives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FrontOptions {
    /// As [`RungOptions::eta`].
    pub eta: u64,
    /// As [`RungOptions::grace`].
    pub grace: u64,
    /// As [`RungOptions::rungs`].
    pub rungs: Vec<u64>,
    /// The order in which trials of one front are promoted.
    pub order: FrontOrder,
}

impl Default for FrontOptions {
    fn default() -> Self {
        Self { eta: 3, grace: 1, rungs: Vec::new(), order: FrontOrder::default() }
    }
}

impl From<&FrontOptions> for RungOptions {
    fn from(front: &FrontOptions) -> Self {
        let FrontOptions { eta, grace, rungs, order: _ } = front;
        Self { eta: *eta, grace: *grace, rungs: rungs.clone() }
    }
}

/// Options of `rush`, which compares new configurations with those of earlier studies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RushOptions {
    /// As [`RungOptions::eta`].
    pub eta: u64,
    /// As [`RungOptions::grace`].
    pub grace: u64,
    /// As [`RungOptions::rungs`].
    pub rungs: Vec<u64>,
    /// The number of leading points to evaluate that were good in earlier studies; 0: all of them. No other
    /// configuration is promoted from a rung where one of these is better.
    pub candidates: u64,
}

impl Default for RushOptions {
    fn default() -> Self {
        Self { eta: 3, grace: 1, rungs: Vec::new(), candidates: 0 }
    }
}

impl From<&RushOptions> for RungOptions {
    fn from(rush: &RushOptions) -> Self {
        let RushOptions { eta, grace, rungs, candidates: _ } = rush;
        Self { eta: *eta, grace: *grace, rungs: rungs.clone() }
    }
}

/// The order of results that do not beat each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FrontOrder {
    /// First the best result in the metric, then always the result that is farthest from all before it.
    #[default]
    EpsilonNet,
    /// First the ends of each objective, then the results with the largest distance between their neighbours.
    Crowding,
}

/// Options of `hyperband`, `hyperband_async`, `bohb` and `dehb`, whose brackets begin at different rungs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BracketOptions {
    /// As [`RungOptions::eta`].
    pub eta: u64,
    /// As [`RungOptions::grace`], of the first bracket.
    pub grace: u64,
    /// As [`RungOptions::rungs`].
    pub rungs: Vec<u64>,
    /// The number of brackets, from the one with the lowest first rung on; 0: all.
    pub brackets: u64,
}

impl Default for BracketOptions {
    fn default() -> Self {
        Self { eta: 3, grace: 1, rungs: Vec::new(), brackets: 0 }
    }
}

/// Options of `mobster` and `hypertune`, which bring a model over configuration and resource.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelOptions {
    /// As [`BracketOptions::eta`].
    pub eta: u64,
    /// As [`BracketOptions::grace`].
    pub grace: u64,
    /// As [`BracketOptions::rungs`].
    pub rungs: Vec<u64>,
    /// As [`BracketOptions::brackets`].
    pub brackets: u64,
    /// The model's assumption about a trial's values along the resource.
    pub kernel: ResourceKernel,
}

impl Default for ModelOptions {
    fn default() -> Self {
        Self { eta: 3, grace: 1, rungs: Vec::new(), brackets: 0, kernel: ResourceKernel::default() }
    }
}

impl From<&ModelOptions> for BracketOptions {
    fn from(model: &ModelOptions) -> Self {
        let ModelOptions { eta, grace, rungs, brackets, kernel: _ } = model;
        Self { eta: *eta, grace: *grace, rungs: rungs.clone(), brackets: *brackets }
    }
}

/// A model's assumption about the values of a configuration at several levels of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ResourceKernel {
    /// The logarithm of the resource is one more coordinate, so near levels have similar values.
    #[default]
    Matern,
    /// Values fall towards an end as averaged exponentials do (Swersky, Snoek and Adams 2014): learning curves.
    ExpDecay,
    /// Every level is its own function; all share their length scales (Li et al. 2022).
    Independent,
    /// The value at r is the mean of the first r of noisy repeats: repeated downloads, folds of a cross-validation.
    CrossValidation,
}

/// Options of `median`.
#[derive(Debug, Clone, PartialEq)]
pub struct MedianOptions {
    /// The wrapped scheduler, with its options; any but `median`. In JSON its options are beside those of `median`.
    pub within: Box<SchedulerSpec>,
    /// A trial is stopped if more than this share of the others was better at the same resource; within (0, 1).
    pub share: f64,
    /// The number of other trials that must have reached the resource before any trial is stopped there.
    pub population: u64,
    /// The resource up to which no trial is stopped. If the wrapped scheduler has a `grace`, both are one option and
    /// must be equal.
    pub grace: u64,
}

impl Default for MedianOptions {
    fn default() -> Self {
        Self { within: Box::new(SchedulerSpec::Fifo), share: 0.5, population: 5, grace: 1 }
    }
}

/// Options of `pbt`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PbtOptions {
    /// The number of trials that train side by side, at least 2; with more workers, as many as workers. A larger
    /// population searches wider and takes longer.
    pub members: u64,
    /// The resource between two comparisons; 0: a tenth of the maximal resource. A smaller value copies more often,
    /// with less evidence.
    pub interval: u64,
    /// The share of the population that is replaced, and that is copied; above 0, and at most 0.5.
    pub quantile: f64,
}

impl Default for PbtOptions {
    fn default() -> Self {
        Self { members: 8, interval: 0, quantile: 0.25 }
    }
}

/// Options of `dyhpo`, which continues the trial from which a model of curves expects the largest improvement.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DyhpoOptions {
    /// The resource between two decisions on a trial; 0: a tenth of the maximal resource. In the paper it is one epoch.
    /// A smaller value decides more often, with a larger model; there are at most 1,000 levels.
    pub interval: u64,
    /// The model's assumption about a trial's values along the resource.
    pub kernel: ResourceKernel,
}

/// Options of `racing`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RacingOptions {
    /// A challenger is dropped when the probability that it beats the incumbent is below this; within (0, 1) and below
    /// `accept`. A larger value tries more configurations and misses more good ones.
    pub drop: f64,
    /// A challenger takes the incumbent's place when the probability is above this; within (0, 1).
    pub accept: f64,
    /// The number of measurements that both the challenger and the incumbent need before that; at least 1 and at most
    /// the maximal resource.
    pub replicates: u64,
    /// Largest number of new challengers before the incumbent and the baseline are measured again; 0: only when the
    /// estimated drift requires it.
    pub recheck: u64,
}

impl Default for RacingOptions {
    fn default() -> Self {
        Self { drop: 0.05, accept: 0.95, replicates: 3, recheck: 20 }
    }
}

//! `SchedulerOptions`: what a scheduler is told beside its name. What they do is the schedulers' business.

use serde::{Deserialize, Serialize};

/// How a scheduler spends the resource. Every field has the default that the method's paper has, or recommends; a scheduler
/// ignores those it has no use for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SchedulerOptions {
    /// One in so many goes on from a rung to the next, which has so many times its resource; at least 2. A larger one
    /// stops earlier and trusts early results more.
    pub eta: u64,
    /// The resource of the first rung: what every trial gets. At least 1.
    pub grace: u64,
    /// The resources of the rungs below the maximal one, increasing, in place of `grace` and `eta`'s powers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rungs: Vec<u64>,
    /// How many brackets `hyperband` and its kin use, the one with the lowest first rung first; 0: all there are.
    pub brackets: u64,
    /// `median`: a trial is stopped when more than this share of the others was better at the same resource; within (0, 1).
    pub share: f64,
    /// `median`: how many others must have come as far before anything is stopped.
    pub population: u64,
    /// `pbt`: how many train side by side, at least 2; as many as there are workers if those are more. A larger population
    /// searches wider and takes longer.
    pub members: u64,
    /// `pbt`: the resource between two comparisons; 0: a tenth of the maximal one. A smaller one copies more often, on less
    /// evidence.
    pub interval: u64,
    /// `pbt`: the share of the population that is replaced, and that is copied; above 0, and at most 0.5.
    pub quantile: f64,
    /// `median`: the scheduler that is wrapped.
    pub within: String,
    /// `racing`: a challenger is dropped when the probability that it beats the incumbent is below this; within (0, 1) and below
    /// `accept`. A larger one tries more configurations and misses more good ones.
    pub drop: f64,
    /// `racing`: it takes the incumbent's place when the probability is above this; within (0, 1).
    pub accept: f64,
    /// `racing`: and when it was measured so often, the incumbent too; at least 1 and at most max_resource.
    pub replicates: u64,
    /// `racing`: the incumbent and the baseline are measured again after so many new challengers at the latest; 0: only when
    /// what is known of the drift asks for it.
    pub recheck: u64,
    /// `mobster` and `hypertune`: how a trial's values along the resource hang together.
    #[serde(skip_serializing_if = "ResourceKernel::is_default")]
    pub kernel: ResourceKernel,
}

/// How a model takes the values of a configuration at several levels of a resource to hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ResourceKernel {
    /// Levels are near each other as configurations are: the logarithm of the resource is one more coordinate.
    #[default]
    Matern,
    /// Values fall towards an end as averaged exponentials do (Swersky, Snoek and Adams 2014): learning curves.
    ExpDecay,
    /// Every level is a function of its own, with length scales in common (Li et al. 2022).
    Independent,
    /// The value at r is the mean of the first r of noisy repeats: repeated downloads, folds of a cross-validation.
    CrossValidation,
}

impl ResourceKernel {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self {
            eta: 3,
            grace: 1,
            rungs: Vec::new(),
            brackets: 0,
            share: 0.5,
            population: 5,
            members: 8,
            interval: 0,
            quantile: 0.25,
            within: "fifo".to_owned(),
            kernel: ResourceKernel::default(),
            drop: 0.05,
            accept: 0.95,
            replicates: 3,
            recheck: 20,
        }
    }
}

impl SchedulerOptions {
    /// Whether all of it is as by default.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

//! `Advice`: a scheduler's knowledge that searchers, recommendations and keepers of checkpoints use.
//!
//! It is data, answered at once, so that a wrapper passes all of it on and a history needs to know no scheduler.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::words::plan::Plan;
use crate::words::trial::{Checkpoint, TrialId};

/// The answer of [`Scheduler::advice`](crate::scheduler::Scheduler::advice). The default is that of a scheduler which
/// runs every trial to its end and compares trials by their values.
///
/// Make one with `Advice { levels, ..Advice::default() }`, so that a new field needs no change. A wrapper changes
/// fields of the wrapped scheduler's advice and passes on the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advice {
    /// The resource at which searchers compare configurations: by their first report there or later. `None`: by each
    /// trial's value.
    pub fidelity: Option<u64>,
    /// The resources at which trials are compared, increasing, the last of them that of a full run; empty where trials
    /// are not compared on the way.
    pub levels: Vec<u64>,
    /// For evolutionary searchers: the trials that the next new one is a child of.
    pub parents: Option<Parents>,
    /// Whether trials are compared by all objectives on the way, so that every report must carry the further ones.
    pub objectives: bool,
    /// The samples without the estimated drift. `None` where no drift is evident.
    pub corrected: Option<Corrected>,
    /// The trial that leads, where trials are compared by more than their values: a study whose searcher has no model
    /// recommends its configuration.
    pub incumbent: Option<TrialId>,
    /// `Some` where reports are replicates: each is a measurement of the same thing, whatever the metric says of them.
    /// The number is that of the replicates that a configuration needs before it may be recommended, if any
    /// configuration has as many.
    pub replicates: Option<u64>,
    /// Paused trials that are measured on as long as they are listed here; a wrapper does not stop them.
    pub spared: Vec<TrialId>,
    /// The checkpoints from which a later job may go on. The study also keeps those from which running trials went on.
    /// The checkpoint that a job names MUST have been among them since it was made: the others are removed. `None`:
    /// those of all paused trials.
    pub checkpoints: Option<Vec<Checkpoint>>,
    /// The plan of the scheduler, as far as it is settled.
    pub plan: Option<Plan>,
}

/// Samples by trial, computed when they are first asked for: many searchers never ask, and a study is told of every
/// report.
#[derive(Clone)]
pub struct Corrected(Arc<LazyLock<Samples, Box<dyn FnOnce() -> Samples + Send>>>);

type Samples = BTreeMap<TrialId, Vec<f64>>;

impl Corrected {
    /// The samples that `compute` gives. Trials that are not among them count as they were measured.
    pub fn new(compute: impl FnOnce() -> Samples + Send + 'static) -> Self {
        Self(Arc::new(LazyLock::new(Box::new(compute))))
    }

    /// The samples of a trial, if they were corrected.
    pub fn of(&self, trial: TrialId) -> Option<&Vec<f64>> {
        self.0.get(&trial)
    }
}

impl std::fmt::Debug for Corrected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Corrected").field(&**self.0).finish()
    }
}

impl PartialEq for Corrected {
    fn eq(&self, other: &Self) -> bool {
        **self.0 == **other.0
    }
}

/// The parents of a new trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parents {
    /// The trial whose place in the population the child may take.
    pub target: TrialId,
    /// The trials that the child is mixed from.
    pub others: Vec<TrialId>,
}

//! `Advice`: a scheduler's knowledge that searchers, recommendations and keepers of checkpoints use.
//!
//! It is plain data, answered at once. So a wrapper passes all of it on, and a history need not know the scheduler.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use crate::words::plan::Plan;
use crate::words::trial::{Checkpoint, TrialId};

/// The answer of [`Scheduler::advice`](crate::scheduler::Scheduler::advice). The default fits a scheduler that runs
/// every trial to its end and compares trials by their values.
///
/// Make one with `Advice { levels, ..Advice::default() }`, so that a new field needs no change. A wrapper changes
/// fields of the wrapped scheduler's advice and passes on the others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Advice {
    /// The resource at which searchers compare configurations: by their first report there or later. `None`: by each
    /// trial's value.
    pub fidelity: Option<u64>,
    /// The resources at which trials are compared, increasing, up to that of a full run; empty if trials are not
    /// compared before their end.
    pub levels: Vec<u64>,
    /// For evolutionary searchers: the parents of the next new trial.
    pub parents: Option<Parents>,
    /// Whether trials are compared by all objectives before their end, so that every report must carry the further
    /// objectives.
    pub objectives: bool,
    /// The samples without the estimated drift. `None` if no drift is evident.
    pub corrected: Option<Corrected>,
    /// The leading trial, if trials are compared by more than their values. A study whose searcher has no model
    /// recommends its configuration.
    pub incumbent: Option<TrialId>,
    /// `Some` if reports are replicates, that is, measurements of the same thing, whatever the metric says. The number
    /// is the minimum of replicates before a configuration may be recommended, if any configuration has that many.
    pub replicates: Option<u64>,
    /// Paused trials that will be measured further as long as they are listed here; a wrapper must not stop them.
    pub spared: Vec<TrialId>,
    /// The checkpoints from which a later job may continue. The study also keeps those from which running trials
    /// continued. A checkpoint that a job names MUST have been listed ever since it was made, because unlisted ones are
    /// removed. `None`: those of all paused trials.
    pub checkpoints: Option<Vec<Checkpoint>>,
    /// The plan of the scheduler, as far as it is decided.
    pub plan: Option<Plan>,
}

/// Samples by trial. They are computed on first use, because many searchers never use them and a study gets many
/// reports.
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

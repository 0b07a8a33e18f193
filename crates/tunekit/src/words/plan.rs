//! `Plan`: the brackets and rungs of a scheduler, and their expected cost.

use std::fmt;

use serde::Serialize;

/// The plan of a scheduler, as far as it is known beforehand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The brackets; each is its own successive halving.
    pub brackets: Vec<PlannedBracket>,
}

/// One bracket.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedBracket {
    /// Share of the new trials that begin in it.
    pub share: f64,
    /// Its rungs, the lowest first.
    pub rungs: Vec<PlannedRung>,
}

/// One rung.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PlannedRung {
    /// The resource at which trials are compared.
    pub resource: u64,
    /// Number of trials that get there in one round of the bracket; `None` if rounds do not exist.
    pub quota: Option<u64>,
    /// Share of the bracket's trials that get there.
    pub share: f64,
}

impl PlannedBracket {
    /// The expected resource of a trial of this bracket. After a pause, a trial continues from its state.
    pub fn budget_per_trial(&self) -> f64 {
        let mut before = 0;
        let step = |rung: &PlannedRung| {
            let step = (rung.resource - std::mem::replace(&mut before, rung.resource)) as f64;
            step * rung.share
        };
        self.rungs.iter().map(step).sum()
    }

    /// The resource of one round of it, if that is decided.
    pub fn budget(&self) -> Option<u64> {
        let mut before = 0;
        let step = |rung: &PlannedRung| {
            let step = rung.resource - std::mem::replace(&mut before, rung.resource);
            rung.quota.map(|quota| quota.saturating_mul(step))
        };
        self.rungs.iter().map(step).try_fold(0_u64, |sum, step| Some(sum.saturating_add(step?)))
    }
}

impl Plan {
    /// The resource that a trial is expected to take, over all brackets.
    pub fn budget_per_trial(&self) -> f64 {
        self.brackets.iter().map(|b| b.share * b.budget_per_trial()).sum()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, bracket) in self.brackets.iter().enumerate() {
            write!(f, "bracket {i} ({:.1} % of new trials):", 100.0 * bracket.share)?;
            for rung in &bracket.rungs {
                match rung.quota {
                    Some(quota) => write!(f, " {quota} to {},", rung.resource)?,
                    None => write!(f, " {:.3} to {},", rung.share, rung.resource)?,
                }
            }
            match bracket.budget() {
                Some(budget) => writeln!(f, " {budget} in all")?,
                None => writeln!(f, " {:.2} a trial", bracket.budget_per_trial())?,
            }
        }
        write!(f, "expected budget: {:.2} a trial", self.budget_per_trial())
    }
}

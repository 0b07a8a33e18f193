//! `Levels`: the resources at which trials are compared, counted with integers; and a `Plan` of what follows from them.
//!
//! The number of rungs is never a quotient of logarithms: that of 243 to the base 3 is 4.999... in floating point.

use std::fmt;

use serde::Serialize;

use super::ScheduleError;
use crate::words::schedule::SchedulerOptions;

/// The resources of the rungs, increasing; the last is the maximal one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Levels(Vec<u64>);

impl Levels {
    /// `grace * eta^j` below `max`, or the rungs that are given, and `max`.
    pub(super) fn new(options: &SchedulerOptions, max: u64) -> Result<Self, ScheduleError> {
        let SchedulerOptions { eta, grace, rungs, .. } = options;
        if *eta < 2 {
            return Err(ScheduleError::Eta { eta: *eta });
        }
        if *grace == 0 || *grace > max {
            return Err(ScheduleError::Grace { grace: *grace, max });
        }
        let mut levels = rungs.clone();
        if levels.is_empty() {
            levels = std::iter::successors(Some(*grace), |r| r.checked_mul(*eta)).take_while(|r| *r < max).collect();
        }
        levels.push(max);
        if levels[0] == 0 || levels.windows(2).any(|w| w[0] >= w[1]) {
            return Err(ScheduleError::Rungs { rungs: rungs.clone(), max });
        }
        Ok(Self(levels))
    }

    /// How many there are; at least one.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The resource of a rung.
    pub(super) fn at(&self, rung: usize) -> u64 {
        self.0[rung]
    }

    /// All of them, increasing.
    pub(super) fn all(&self) -> &[u64] {
        &self.0
    }

    /// The maximal resource.
    pub(super) fn max(&self) -> u64 {
        self.0[self.0.len() - 1]
    }

    /// The rung of this very resource.
    pub(super) fn rung(&self, resource: u64) -> Option<usize> {
        self.0.binary_search(&resource).ok()
    }

    /// How many brackets are used of those there could be.
    pub(super) fn brackets(&self, options: &SchedulerOptions) -> Result<usize, ScheduleError> {
        match usize::try_from(options.brackets) {
            Ok(0) => Ok(self.len()),
            Ok(wanted) if wanted <= self.len() => Ok(wanted),
            _ => Err(ScheduleError::Brackets { brackets: options.brackets, most: self.len() }),
        }
    }
}

/// What a scheduler is going to do, as far as that is settled beforehand.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Brackets, each a successive halving of its own.
    pub brackets: Vec<PlannedBracket>,
}

/// One bracket.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedBracket {
    /// Which share of the new trials begins in it.
    pub share: f64,
    /// Its rungs, the lowest first.
    pub rungs: Vec<PlannedRung>,
}

/// One rung.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct PlannedRung {
    /// The resource at which trials are compared.
    pub resource: u64,
    /// How many trials get there in one round of the bracket; `None` where trials come as they come.
    pub quota: Option<u64>,
    /// Which share of the bracket's trials gets there.
    pub share: f64,
}

impl PlannedBracket {
    /// The resource that a trial of this bracket is expected to take, going on from pauses where it was.
    pub fn budget_per_trial(&self) -> f64 {
        let mut before = 0;
        let step = |rung: &PlannedRung| {
            let step = (rung.resource - std::mem::replace(&mut before, rung.resource)) as f64;
            step * rung.share
        };
        self.rungs.iter().map(step).sum()
    }

    /// The resource that one round of it takes, where that is settled.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(eta: u64, grace: u64, max: u64) -> Vec<u64> {
        Levels::new(&SchedulerOptions { eta, grace, ..SchedulerOptions::default() }, max).unwrap().0
    }

    #[test]
    fn rungs_are_counted_exactly() {
        assert_eq!(levels(3, 1, 243), [1, 3, 9, 27, 81, 243]);
        assert_eq!(levels(3, 1, 100), [1, 3, 9, 27, 81, 100]);
        assert_eq!(levels(10, 1, 1000), [1, 10, 100, 1000]);
        assert_eq!(levels(2, 3, 3), [3]);
        assert_eq!(levels(2, 1, u64::MAX).len(), 65);
        let given = SchedulerOptions { rungs: vec![1, 2], ..SchedulerOptions::default() };
        assert_eq!(Levels::new(&given, 3).unwrap().0, [1, 2, 3]);
    }

    #[test]
    fn wrong_options_are_refused_with_their_bounds() {
        let new = |eta, grace, rungs: &[u64]| {
            let options = SchedulerOptions { eta, grace, rungs: rungs.to_vec(), ..SchedulerOptions::default() };
            Levels::new(&options, 9).unwrap_err().to_string()
        };
        assert!(new(1, 1, &[]).contains("at least 2"));
        assert!(new(3, 0, &[]).contains("between 1 and"));
        assert!(new(3, 10, &[]).contains("between 1 and"));
        for rungs in [&[0, 1][..], &[2, 2], &[3, 1], &[9]] {
            assert!(new(3, 1, rungs).contains("increase"), "{rungs:?}");
        }
    }
}

//! `Levels`: the resources at which trials are compared, counted with integers.
//!
//! The number of rungs is never a quotient of logarithms: that of 243 to the base 3 is 4.999... in floating point.

use super::ScheduleError;
use crate::words::schedule::{BracketOptions, RungOptions};

/// The resources of the rungs, increasing; the last is the maximal one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Levels(Vec<u64>);

impl Levels {
    /// `grace * eta^j` below `max`, or the rungs that are given, and `max`.
    pub(super) fn new(options: &RungOptions, max: u64) -> Result<Self, ScheduleError> {
        Self::of(options.eta, options.grace, &options.rungs, max)
    }

    /// The same, and the number of brackets that are used of those there could be.
    pub(super) fn in_brackets(options: &BracketOptions, max: u64) -> Result<(Self, usize), ScheduleError> {
        let levels = Self::of(options.eta, options.grace, &options.rungs, max)?;
        let most = levels.len();
        match usize::try_from(options.brackets) {
            Ok(0) => Ok((levels, most)),
            Ok(wanted) if wanted <= most => Ok((levels, wanted)),
            _ => Err(ScheduleError::Brackets { brackets: options.brackets, most }),
        }
    }

    fn of(eta: u64, grace: u64, rungs: &[u64], max: u64) -> Result<Self, ScheduleError> {
        if eta < 2 {
            return Err(ScheduleError::Eta { eta });
        }
        if grace == 0 || grace > max {
            return Err(ScheduleError::Grace { grace, max });
        }
        let mut levels = rungs.to_vec();
        if levels.is_empty() {
            levels = std::iter::successors(Some(grace), |r| r.checked_mul(eta)).take_while(|r| *r < max).collect();
        }
        levels.push(max);
        if levels[0] == 0 || levels.windows(2).any(|w| w[0] >= w[1]) {
            return Err(ScheduleError::Rungs { rungs: rungs.to_vec(), max });
        }
        Ok(Self(levels))
    }

    /// Every multiple of `interval` below `max`, and `max`; `most`: the most that there may be.
    pub(super) fn every(interval: u64, max: u64, most: u64) -> Result<Self, ScheduleError> {
        if interval == 0 || interval > max {
            return Err(ScheduleError::Interval { interval, max });
        }
        let count = max.div_ceil(interval);
        if count > most {
            return Err(ScheduleError::Levels { interval, max, most });
        }
        Ok(Self((1..count).map(|n| n * interval).chain([max]).collect()))
    }

    /// Number of levels; at least one.
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
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels(eta: u64, grace: u64, max: u64) -> Vec<u64> {
        Levels::new(&RungOptions { eta, grace, ..RungOptions::default() }, max).unwrap().0
    }

    #[test]
    fn rungs_are_counted_exactly() {
        assert_eq!(levels(3, 1, 243), [1, 3, 9, 27, 81, 243]);
        assert_eq!(levels(3, 1, 100), [1, 3, 9, 27, 81, 100]);
        assert_eq!(levels(10, 1, 1000), [1, 10, 100, 1000]);
        assert_eq!(levels(2, 3, 3), [3]);
        assert_eq!(levels(2, 1, u64::MAX).len(), 65);
        let given = RungOptions { rungs: vec![1, 2], ..RungOptions::default() };
        assert_eq!(Levels::new(&given, 3).unwrap().0, [1, 2, 3]);
    }

    #[test]
    fn levels_at_equal_distances_end_with_the_maximum() {
        let every = |interval, max| Levels::every(interval, max, 10).map(|levels| levels.0);
        assert_eq!(every(3, 9).unwrap(), [3, 6, 9]);
        assert_eq!(every(3, 10).unwrap(), [3, 6, 9, 10]);
        assert_eq!(every(9, 9).unwrap(), [9]);
        assert!(every(10, 9).unwrap_err().to_string().contains("at most max_resource, which is 9"));
        assert!(every(1, 11).unwrap_err().to_string().contains("more than 10 levels"));
        assert!(every(1, u64::MAX).is_err());
    }

    #[test]
    fn wrong_options_are_refused_with_their_bounds() {
        let new = |eta, grace, rungs: &[u64]| {
            let options = RungOptions { eta, grace, rungs: rungs.to_vec() };
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

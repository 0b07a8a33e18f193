//! The figures of the runs: medians with intervals, ranks, and the price of parallel trials. Pure.

use super::super::stats::median;
use super::chance::Chance;

/// Regrets below this count as equal.
pub(super) const EQUAL: f64 = 1e-3;

/// Number of resamples of an interval.
const RESAMPLES: usize = 1000;

/// A median of logarithms with a bootstrap interval of 95 % (Efron 1979, percentiles).
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Middle {
    pub(super) median: f64,
    pub(super) interval: (f64, f64),
}

/// The median of log10 of `regrets` over seeds; none of none.
pub(super) fn middle(regrets: &[f64]) -> Option<Middle> {
    let logs: Vec<f64> = regrets.iter().map(|r| r.log10()).collect();
    let of_all = median(&logs)?;
    let mut chance = Chance::new("bootstrap", 0);
    let mut medians: Vec<f64> = (0..RESAMPLES)
        .filter_map(|_| median(&logs.iter().map(|_| logs[chance.below(logs.len())]).collect::<Vec<_>>()))
        .collect();
    medians.sort_by(f64::total_cmp);
    let at = |p: f64| medians[((p * RESAMPLES as f64) as usize).min(RESAMPLES - 1)];
    Some(Middle { median: of_all, interval: (at(0.025), at(0.975)) })
}

/// Ranks of median regrets, 1 the lowest; equals share the mean of their ranks.
pub(super) fn ranks(medians: &[f64]) -> Vec<f64> {
    let floored: Vec<f64> = medians.iter().map(|m| m.max(EQUAL)).collect();
    let rank = |m: &f64| {
        let better = floored.iter().filter(|other| *other < m).count() as f64;
        let equal = floored.iter().filter(|other| *other == m).count() as f64;
        better + (equal + 1.0) / 2.0
    };
    floored.iter().map(rank).collect()
}

/// The ratio of the measurements that `batched` and `single` need to come as low. Curves are median regrets by number
/// of results. The figure is the median over the second half of the curve, at each place where `single` has just got
/// lower (or at its end, if it does not); where `batched` never comes so low, it counts as one more than it has. `None`
/// for curves that are too short.
pub(super) fn measurements_ratio(single: &[f64], batched: &[f64]) -> Option<f64> {
    let goal = |n: usize| single[n].max(EQUAL);
    let mut places: Vec<usize> =
        (single.len() / 2..single.len()).filter(|n| *n > 0 && goal(*n) < goal(*n - 1)).collect();
    if places.is_empty() {
        // The first place of the last level.
        let last = goal(single.len().checked_sub(1)?);
        places.extend((0..single.len()).find(|n| goal(*n) <= last));
    }
    let ratios: Vec<f64> = places
        .into_iter()
        .map(|n| {
            let taken = batched.iter().position(|r| r.max(EQUAL) <= goal(n)).unwrap_or(batched.len());
            (taken + 1) as f64 / (n + 1) as f64
        })
        .collect();
    median(&ratios)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_its_median_and_shrinks_with_seeds() {
        let of = |n: u32| middle(&(0..n).map(|i| 10_f64.powf(f64::from(i % 5) - 2.0)).collect::<Vec<_>>()).unwrap();
        let (few, many) = (of(5), of(500));
        assert_eq!((few.median, many.median), (0.0, 0.0));
        let width = |m: Middle| m.interval.1 - m.interval.0;
        assert!(width(few) > 1.0 && width(many) < 0.5, "{few:?} {many:?}");
        assert_eq!(middle(&[]), None);
    }

    #[test]
    fn regrets_below_a_thousandth_share_a_rank() {
        assert_eq!(ranks(&[1e-9, 0.5, 1e-4, 0.1]), [1.5, 4.0, 1.5, 3.0]);
    }

    #[test]
    fn the_ratio_counts_results_until_as_low() {
        let single = [8.0, 4.0, 2.0, 1.0, 0.5, 0.25];
        let slower = [8.0, 8.0, 4.0, 4.0, 2.0, 1.0, 1.0, 0.5, 0.25];
        // 1.0 after 4 against 6, 0.5 after 5 against 8, 0.25 after 6 against 9.
        assert_eq!(measurements_ratio(&single, &slower), Some(1.5));
        assert_eq!(measurements_ratio(&single, &single), Some(1.0));
        // It never comes so low: 7 of 6 at least.
        assert_eq!(measurements_ratio(&[4.0, 2.0, 2.0, 2.0], &[4.0, 4.0, 4.0, 4.0]), Some(2.5));
        assert_eq!(measurements_ratio(&[1e-5, 1e-6], &[1e-4, 1e-4]), Some(1.0));
        assert_eq!(measurements_ratio(&[], &[]), None);
    }
}

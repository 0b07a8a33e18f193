//! The order and the number of the comparison's downloads, as a pure rule over the measurements so far.
//!
//! Every round measures each arm once. The order changes from round to round until every order has been used, so that a
//! drift of the network, or an after-effect of one arm on the next, affects all arms equally (randomized multiple
//! interleaved trials: Abedi and Brecht 2017, here without the randomness).

use tunekit::compare::{CompareError, relative_improvement};

use super::arms::Role;
use super::comparison::Comparison;

/// Intended duration of a comparison, in seconds.
const SECONDS: f64 = 24.0;
/// The fewest rounds: fewer give no usable interval.
pub(crate) const FEWEST: usize = 4;
/// The most rounds: more make the interval hardly narrower.
pub(crate) const MOST: usize = 10;
/// The factor by which the number of rounds grows if the measurements spread too much for an interval.
const MOST_EXTENSIONS: usize = 3;

/// The arm to measure next; none when the comparison is finished. `most` limits the rounds, because bytes may cost
/// money.
pub(crate) fn next(comparison: &Comparison, most: usize) -> Option<usize> {
    let arms = comparison.arms.len();
    let (round, place) = (comparison.rounds(), comparison.downloads.len() % arms);
    if place == 0 && round >= rounds(comparison).min(most) {
        return None;
    }
    Some(order(arms, round)[place])
}

/// The number of rounds, as far as it is known.
pub(crate) fn rounds(comparison: &Comparison) -> usize {
    let arms = comparison.arms.len();
    if comparison.rounds() == 0 {
        return FEWEST;
    }
    let first: f64 = comparison.downloads[..arms].iter().map(|one| one.seconds).sum();
    let planned = ((SECONDS / first) as usize).clamp(FEWEST, MOST);
    let done = comparison.rounds();
    // A hiccup among few measurements leaves no interval; among more it does.
    let unbounded = done >= planned && has_unbounded(comparison);
    if unbounded { (done + 1).min(planned * MOST_EXTENSIONS) } else { planned.max(done) }
}

fn has_unbounded(comparison: &Comparison) -> bool {
    let best = comparison.samples(Role::Best);
    [Role::Baseline, Role::EngineDefault].into_iter().any(|role| {
        let other = comparison.samples(role);
        let pairs = other.len().min(best.len());
        matches!(relative_improvement(&other[..pairs], &best[..pairs], 0.95), Err(CompareError::Unbounded { .. }))
    })
}

/// The order of the arms in a round: all permutations of up to three, each followed by its reverse.
fn order(arms: usize, round: usize) -> Vec<usize> {
    let rotated: Vec<usize> = (0..arms).map(|place| (place + round / 2) % arms).collect();
    if round.is_multiple_of(2) { rotated } else { rotated.into_iter().rev().collect() }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tunekit::Config;

    use super::super::arms::Arm;
    use super::super::compare::Improvements;
    use super::super::comparison::Download;
    use super::*;
    use crate::results::Verdict;

    fn comparison(arms: usize) -> Comparison {
        let roles = [vec![Role::Baseline], vec![Role::EngineDefault], vec![Role::Best]];
        let roles: Vec<Vec<Role>> = match arms {
            1 => vec![roles.concat()],
            2 => vec![vec![Role::Baseline, Role::EngineDefault], vec![Role::Best]],
            _ => roles.into(),
        };
        let arm = |roles| Arm { roles, trial: None, config: Config::new() };
        Comparison { arms: roles.into_iter().map(arm).collect(), downloads: Vec::new() }
    }

    /// Measures to the end, each download as long as `seconds` says.
    fn run(arms: usize, most: usize, seconds: impl Fn(usize, usize) -> f64) -> Comparison {
        let mut comparison = comparison(arms);
        while let Some(arm) = next(&comparison, most) {
            let seconds = seconds(arm, comparison.rounds());
            comparison.downloads.push(Download { arm, at_s: 0.0, seconds });
            assert!(comparison.downloads.len() < 1_000);
        }
        comparison
    }

    #[test]
    fn every_round_has_every_arm_and_six_rounds_have_every_order() {
        for arms in 1..=3 {
            let done = run(arms, usize::MAX, |_, _| 0.1);
            assert_eq!(done.downloads.len(), arms * MOST);
            let rounds: Vec<Vec<usize>> =
                done.downloads.chunks(arms).map(|round| round.iter().map(|one| one.arm).collect()).collect();
            let all: BTreeSet<usize> = (0..arms).collect();
            assert!(rounds.iter().all(|round| round.iter().copied().collect::<BTreeSet<_>>() == all));
            let orders: BTreeSet<&Vec<usize>> = rounds.iter().take(6).collect();
            assert_eq!(orders.len(), [1, 2, 6][arms - 1]);
        }
    }

    #[test]
    fn slow_downloads_are_fewer_and_a_limit_holds() {
        assert_eq!(run(3, usize::MAX, |_, _| 1.0).rounds(), 8);
        assert_eq!(run(3, usize::MAX, |_, _| 60.0).rounds(), FEWEST);
        assert_eq!(run(3, 5, |_, _| 0.1).rounds(), 5);
    }

    #[test]
    fn measurements_without_an_interval_are_followed_by_more() {
        // One download of the default took 1000 times as long: among four the mean could be anything.
        let wild = |arm, round| if arm == 0 && round == 1 { 60_000.0 } else { 60.0 + 0.1 * round as f64 };
        let done = run(2, usize::MAX, wild);
        assert_eq!(done.rounds(), FEWEST * MOST_EXTENSIONS);
        // The comparison comes to a result nevertheless, also where a budget leaves it no more rounds.
        for done in [done, run(2, FEWEST, wild)] {
            let improvements = Improvements::of(&done).unwrap();
            let over_default = improvements.over_default;
            assert!(improvements.by_ratios && over_default.lower.is_finite() && over_default.upper.is_finite());
            assert_eq!(Verdict::of([over_default.lower, over_default.upper]), Verdict::NoDifference);
        }
        let calm = run(2, usize::MAX, |arm, round| 60.0 + arm as f64 + 0.1 * round as f64);
        assert!(!Improvements::of(&calm).unwrap().by_ratios);
    }
}

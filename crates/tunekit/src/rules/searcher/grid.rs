//! Grid search that refines: every prefix of it is a grid, or a part of one spread over the space.
//!
//! The number of trials is not known beforehand, so no resolution can be chosen. Level 0 has the middle of every range,
//! level 1 both ends, too, then each level halves the distances: 1, 3, 5, 9, 17, ... values, until all values of a
//! finite range are included. Parameters with few values are complete from the beginning.

use super::{History, Searcher, Stream, SuggestError, random, unused};
use crate::words::domain::Domain;
use crate::words::space::Space;
use crate::words::trial::Origin;
use crate::words::value::Config;

/// Number parameters with at most this many values are complete from level 0, like ordinals, categoricals and truth
/// values.
const FEW: u64 = 4;
/// Levels beyond this differ by less than a coordinate can tell.
const LEVELS: u32 = 50;

/// Grid search. It is good for a few parameters with a few values, when every configuration should be measured, and for
/// pictures. A finite space is used completely before it counts as exhausted. Within a level the order is a
/// golden-ratio walk, so an unfinished level is spread over the space. Cost: microseconds a suggestion and as many as
/// the history is long.
#[derive(Debug, Clone, Copy, Default)]
pub struct Grid;

impl Searcher for Grid {
    fn name(&self) -> &str {
        "grid"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let space = history.space();
        // Each of the searcher's trials has its own place in the walk, and continues from there to a free place. No
        // place is left out, and no place depends on which trials have ended.
        let start = history.trials().iter().filter(|t| t.origin == Origin::Searcher).count() as u128;
        let steps = 4 * (history.trials().len() + 64);
        let free = Walk::from(space, start)
            .take(steps)
            .filter_map(|point| space.decode(&point).ok())
            .find(|config| history.used(config) == 0 && space.allows(config));
        let mut free = free.into_iter();
        unused(history, stream, |stream| free.next().unwrap_or_else(|| random::draw(history, stream)))
    }
}

/// The points of all levels in order, without the points of earlier levels as far as these are known without decoding.
struct Walk<'a> {
    space: &'a Space,
    level: u32,
    index: u128,
}

impl<'a> Walk<'a> {
    /// From the `start`-th place on.
    fn from(space: &'a Space, start: u128) -> Self {
        let mut walk = Self { space, level: 0, index: start };
        while walk.level < LEVELS && walk.index >= walk.size(walk.level) {
            walk.index -= walk.size(walk.level);
            walk.level += 1;
        }
        walk
    }

    /// Number of points of a level; `u128::MAX` stands for more.
    fn size(&self, level: u32) -> u128 {
        self.space.iter().fold(1, |n, (_, domain)| n.saturating_mul(values(domain, level).into()))
    }

    /// Whether all values of all parameters are in this level.
    fn is_full(&self, level: u32) -> bool {
        self.space.iter().all(|(_, domain)| domain.count().is_some_and(|count| values(domain, level) == count))
    }

    /// The `index`-th point of a level, and whether it is not in the one before for sure.
    fn point(&self, index: u128, level: u32, size: u128) -> (Vec<f64>, bool) {
        let mut rest = scattered(index, size);
        let mut new = level == 0;
        let mut point = vec![0.5; self.space.len()];
        for (u, (_, domain)) in point.iter_mut().zip(self.space.iter()) {
            let n = values(domain, level);
            let k = (rest % u128::from(n)) as u64;
            rest /= u128::from(n);
            *u = coordinate(domain, k, n);
            if level > 0 && n != values(domain, level - 1) {
                // Halving a distance puts the new values at the odd places; the first of all is the middle.
                let halved = if level == 1 { k != 1 } else { k % 2 == 1 };
                new |= halved || domain.count() == Some(n);
            }
        }
        (point, new)
    }
}

impl Iterator for Walk<'_> {
    type Item = Vec<f64>;

    fn next(&mut self) -> Option<Vec<f64>> {
        loop {
            let size = self.size(self.level);
            if self.index >= size {
                if self.level >= LEVELS || self.is_full(self.level) {
                    return None;
                }
                (self.level, self.index) = (self.level + 1, 0);
                continue;
            }
            let (point, new) = self.point(self.index, self.level, size);
            self.index += 1;
            if new {
                return Some(point);
            }
        }
    }
}

/// Number of values of a parameter in a level.
fn values(domain: &Domain, level: u32) -> u64 {
    let fine = if level == 0 { 1 } else { (1_u64 << level) + 1 };
    match (domain, domain.count()) {
        (Domain::Categorical(_) | Domain::Bool | Domain::Ordinal(_), Some(count)) => count,
        (_, Some(count)) if count <= FEW.max(fine) => count,
        _ => fine,
    }
}

/// The `k`-th of `n` coordinates of a parameter.
fn coordinate(domain: &Domain, k: u64, n: u64) -> f64 {
    match domain.count() {
        Some(count) if count == n => domain.encoded_nth(k),
        _ if n == 1 => 0.5,
        _ => k as f64 / (n - 1) as f64,
    }
}

/// The place of the `index`-th of `size` points: a walk in steps of nearly the golden section, which returns to none
/// before it has been to all.
fn scattered(index: u128, size: u128) -> u128 {
    // Beyond this the product overflows, and the walk is never finished anyway.
    if size > 1 << 60 {
        return index;
    }
    let mut step = ((size as f64 * 0.618_033_988_749_894_9) as u128).max(1);
    while common_divisor(step, size) != 1 {
        step += 1;
    }
    // The middle of the range comes first.
    (size / 2 + index * step) % size
}

fn common_divisor(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn keys(space: &Space, take: usize) -> Vec<String> {
        Walk::from(space, 0).take(take).map(|p| space.decode(&p).unwrap().key()).collect()
    }

    #[test]
    fn a_range_is_halved_again_and_again() {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let mut points: Vec<f64> = Walk::from(&space, 0).take(9).map(|p| p[0]).collect();
        assert_eq!(points[0], 0.5);
        points.sort_by(f64::total_cmp);
        assert_eq!(points, [0.0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1.0]);
    }

    #[test]
    fn every_value_of_a_finite_space_is_reached() {
        let space = Space::new()
            .with("n", Domain::int(1, 90).unwrap().log().unwrap())
            .unwrap()
            .with("kind", Domain::categorical(["a", "b", "c"]).unwrap())
            .unwrap()
            .with("s", Domain::float(0.0, 1.0).unwrap().step(0.25).unwrap())
            .unwrap();
        let all: BTreeSet<String> = keys(&space, 100_000).into_iter().collect();
        assert_eq!(all.len(), 90 * 3 * 5);
        // The first level has all kinds, with the middles of the numbers.
        assert_eq!(keys(&space, 3).into_iter().collect::<BTreeSet<_>>().len(), 3);
    }

    #[test]
    fn a_scattered_order_is_a_permutation_without_clumps() {
        for size in [1, 2, 12, 81, 1000] {
            let all: BTreeSet<u128> = (0..size).map(|i| scattered(i, size)).collect();
            assert_eq!(all.len() as u128, size);
        }
        let mut first: Vec<u128> = (0..100).map(|i| scattered(i, 1000)).collect();
        first.sort_unstable();
        assert!(first.windows(2).all(|w| w[1] - w[0] <= 50), "{first:?}");
    }

    #[test]
    fn thousands_of_axes_need_no_numbers_beyond_range() {
        let space =
            (0..300).fold(Space::new(), |s, i| s.with(format!("x{i}"), Domain::float(0.0, 1.0).unwrap()).unwrap());
        assert_eq!(Walk::from(&space, 5).take(3).count(), 3);
    }
}

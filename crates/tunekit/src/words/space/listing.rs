//! `Listing`: the number of configurations of a finite space, and the n-th of them.
//!
//! Configurations are in the order of their values, the last parameter changing fastest; a parameter that does not
//! exist adds none. The count for the rest of the parameters depends on the values before only through the
//! conditions that these meet, so values that meet the same conditions are counted as one class, for any width of
//! their domain.

use std::collections::BTreeMap;

use super::{Parameter, Space};
use crate::words::value::{Config, Value};

/// Beyond so many classes of beginnings a space counts as larger than can be said; so it does beyond so many parameters
/// where one depends on another (counting recurs once for each).
const MOST_CLASSES: usize = 1 << 12;
const MOST_PARAMETERS: usize = 500;

impl Space {
    /// Number of configurations. `None` if a parameter is continuous; `u128::MAX` stands for more. Predicates are not
    /// counted in: some of these configurations may be forbidden.
    pub fn count(&self) -> Option<u128> {
        self.listing().count()
    }

    /// The `index`-th configuration of a finite space, the last parameter changing fastest; `None` beyond the last, or
    /// if a parameter is continuous. It may be one that a predicate forbids.
    pub fn nth(&self, index: u128) -> Option<Config> {
        self.listing().nth(index)
    }

    /// Counts once for many calls of [`Listing::nth`].
    pub(crate) fn listing(&self) -> Listing<'_> {
        Listing::new(self)
    }
}

/// The conditions on a parameter that its value meets, as bits in the order of [`Listing::conditions`].
type Met = Vec<bool>;

/// The next parameter, and the conditions met so far that it or a later one depends on.
type Beginning = (usize, Vec<(usize, Met)>);

/// Neighbouring values of a parameter that meet the same conditions.
#[derive(Debug)]
struct Run {
    first: u64,
    length: u64,
    met: Met,
}

/// A space's configurations by number.
#[derive(Debug)]
pub(crate) struct Listing<'a> {
    space: &'a Space,
    count: Option<u128>,
    /// By parameter: its values in runs. Empty where the space is not counted by classes.
    runs: Vec<Vec<Run>>,
    /// By parameter: its conditions, each as a parent and the place of the condition among those on the parent.
    needs: Vec<Vec<(usize, usize)>>,
    /// For each parameter, the last parameter that depends on it.
    last_child: Vec<usize>,
    /// The number of ways to continue from a parameter, by the conditions that the earlier values meet.
    ways: BTreeMap<Beginning, u128>,
}

impl<'a> Listing<'a> {
    fn new(space: &'a Space) -> Self {
        let n = space.len();
        let mut listing = Self {
            space,
            count: None,
            runs: Vec::new(),
            needs: vec![Vec::new(); n],
            last_child: vec![0; n],
            ways: BTreeMap::new(),
        };
        let product = space.iter().try_fold(1_u128, |n, (_, d)| Some(n.saturating_mul(d.count()?.into())));
        listing.count = product;
        if product.is_none() || !space.is_conditional() {
            return listing;
        }
        if n > MOST_PARAMETERS {
            listing.count = Some(u128::MAX);
            return listing;
        }
        let mut on: Vec<Vec<&[Value]>> = vec![Vec::new(); n];
        for (child, parameter) in space.parameters.iter().enumerate() {
            for condition in &parameter.when {
                listing.needs[child].push((condition.parent, on[condition.parent].len()));
                listing.last_child[condition.parent] = child;
                on[condition.parent].push(&condition.values);
            }
        }
        listing.runs = space.parameters.iter().zip(&on).map(|(p, on)| runs(p, on)).collect();
        listing.count = Some(listing.count_from(0, &mut Vec::new()).unwrap_or(u128::MAX));
        if listing.ways.len() > MOST_CLASSES {
            listing.count = Some(u128::MAX);
            listing.runs = Vec::new();
        }
        listing
    }

    /// See [`Space::count`].
    pub(crate) fn count(&self) -> Option<u128> {
        self.count
    }

    /// See [`Space::nth`].
    pub(crate) fn nth(&self, index: u128) -> Option<Config> {
        if index >= self.count? {
            return None;
        }
        let mut rest = index;
        if self.runs.is_empty() {
            // Digits of a number whose bases are the parameters' counts; of a space too large to be counted, too.
            let mut digits = Vec::with_capacity(self.space.len());
            for (_, domain) in self.space.iter().collect::<Vec<_>>().into_iter().rev() {
                let count = u128::from(domain.count()?);
                digits.push((rest % count) as u64);
                rest /= count;
            }
            digits.reverse();
            return Some(self.space.build(|i, domain| domain.nth(digits[i])));
        }
        let mut met: Vec<Met> = Vec::with_capacity(self.space.len());
        let mut digits = Vec::with_capacity(self.space.len());
        for i in 0..self.space.len() {
            if !self.exists(i, &met) {
                digits.push(0);
                met.push(Met::new());
                continue;
            }
            let mut digit = 0;
            let mut chosen = Met::new();
            for run in &self.runs[i] {
                met.push(run.met.clone());
                let ways = self.ways.get(&self.key(i + 1, &met)).copied().unwrap_or(1).max(1);
                met.pop();
                let here = ways.saturating_mul(run.length.into());
                (digit, chosen) = (run.first, run.met.clone());
                if rest < here {
                    digit += (rest / ways) as u64;
                    rest %= ways;
                    break;
                }
                rest -= here;
            }
            digits.push(digit);
            met.push(chosen);
        }
        Some(self.space.build(|i, domain| domain.nth(digits[i])))
    }

    fn exists(&self, i: usize, met: &[Met]) -> bool {
        self.needs[i].iter().all(|(parent, place)| met[*parent].get(*place).copied().unwrap_or(false))
    }

    /// The part of the beginning that the rest depends on.
    fn key(&self, i: usize, met: &[Met]) -> Beginning {
        let matters = |(p, m): &(usize, &Met)| self.last_child[*p] >= i && m.iter().any(|b| *b);
        (i, met.iter().enumerate().filter(matters).map(|(p, m)| (p, m.clone())).collect())
    }

    /// The ways to continue from parameter `i`; `None` if there are too many classes.
    fn count_from(&mut self, i: usize, met: &mut Vec<Met>) -> Option<u128> {
        if i == self.space.len() {
            return Some(1);
        }
        let key = self.key(i, met);
        if let Some(ways) = self.ways.get(&key) {
            return Some(*ways);
        }
        let mut ways = 0_u128;
        if self.exists(i, met) {
            for run in 0..self.runs[i].len() {
                met.push(self.runs[i][run].met.clone());
                let rest = self.count_from(i + 1, met);
                met.pop();
                ways = ways.saturating_add(rest?.saturating_mul(self.runs[i][run].length.into()));
            }
        } else {
            met.push(Met::new());
            let rest = self.count_from(i + 1, met);
            met.pop();
            ways = rest?;
        }
        self.ways.insert(key, ways);
        (self.ways.len() <= MOST_CLASSES).then_some(ways)
    }
}

/// A parameter's values in runs that meet the same of the conditions `on` it.
fn runs(parameter: &Parameter, on: &[&[Value]]) -> Vec<Run> {
    let domain = &parameter.domain;
    let count = domain.count().unwrap_or(0);
    let named = on.iter().flat_map(|values| values.iter());
    let mut places: Vec<u64> = named.filter_map(|v| domain.place(v)).collect();
    places.sort_unstable();
    places.dedup();
    let none = vec![false; on.len()];
    let mut runs = Vec::new();
    let mut next = 0;
    for place in places {
        if place > next {
            runs.push(Run { first: next, length: place - next, met: none.clone() });
        }
        let value = domain.nth(place);
        runs.push(Run { first: place, length: 1, met: on.iter().map(|values| values.contains(&value)).collect() });
        next = place + 1;
    }
    if next < count {
        runs.push(Run { first: next, length: count - next, met: none });
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::domain::Domain;

    #[test]
    fn a_finite_space_can_be_listed() {
        let space = Space::new()
            .with("n", Domain::int(1, 9).unwrap().log().unwrap().step(4.0).unwrap())
            .unwrap()
            .with("b", Domain::Bool)
            .unwrap();
        let all: Vec<Config> = (0..6).map(|i| space.nth(i).unwrap()).collect();
        assert_eq!(all[3], Config::new().with("n", 5).with("b", true));
        assert!(all.iter().all(|c| space.validate(c).is_ok()));
        assert_eq!(space.nth(6), None);
    }

    /// Parents that are whole numbers, chains, two parents, a parameter between.
    fn conditional(wide: i64) -> Space {
        Space::new()
            .with("n", Domain::int(1, wide).unwrap())
            .unwrap()
            .with("free", Domain::Bool)
            .unwrap()
            .with_when("kind", Domain::categorical(["a", "b", "c"]).unwrap(), "n", [2, 3, 5])
            .unwrap()
            .with_when("on", Domain::Bool, "kind", ["b", "c"])
            .unwrap()
            .with_conditions("m", Domain::int(1, 4).unwrap(), [("n", vec![3.into()]), ("on", vec![true.into()])])
            .unwrap()
    }

    #[test]
    fn a_conditional_space_is_listed_without_gap_or_repetition() {
        let space = conditional(6);
        let count = space.count().unwrap();
        // n: 3 plain values, 3 that bring `kind`: a alone, b and c with `on`; `m` of n = 3 with `on` set.
        assert_eq!(count, 2 * (3 + 2 * (1 + 2 + 2) + (1 + 2 * (1 + 4))));
        let all: Vec<Config> = (0..count).map(|i| space.nth(i).unwrap()).collect();
        for (i, config) in all.iter().enumerate() {
            assert_eq!(space.validate(config), Ok(()), "{config}");
            assert!(!all[..i].contains(config), "{config}");
        }
        assert_eq!(space.nth(count), None);
    }

    #[test]
    fn neither_width_nor_number_of_parameters_makes_counting_long() {
        let space = conditional(1 << 50);
        let count = space.count().unwrap();
        assert_eq!(count, 2 * ((1 << 50) - 3 + 2 * (1 + 2 + 2) + (1 + 2 * (1 + 4))));
        for index in [0, 1, 1 << 30, count - 1] {
            assert_eq!(space.validate(&space.nth(index).unwrap()), Ok(()));
        }
        // Sixty switches, and then a parameter for each: 3^60 configurations in 2^60 classes.
        let switches = (0..60).fold(Space::new(), |s, i| s.with(format!("s{i}"), Domain::Bool).unwrap());
        let many = (0..60)
            .fold(switches, |s, i| s.with_when(format!("v{i}"), Domain::Bool, &format!("s{i}"), [true]).unwrap());
        assert_eq!(many.count(), Some(u128::MAX));
        assert_eq!(many.validate(&many.nth(12_345).unwrap()), Ok(()));
        let long = (0..2000).fold(Space::new(), |s, i| s.with(format!("s{i}"), Domain::Bool).unwrap());
        let long = long.with_when("last", Domain::Bool, "s0", [true]).unwrap();
        assert_eq!(long.count(), Some(u128::MAX));
    }
}

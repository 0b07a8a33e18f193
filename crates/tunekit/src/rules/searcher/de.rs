//! Differential evolution (Storn and Price 1997), rand/1/bin, by asking and telling.
//!
//! Trial i belongs to member i mod NP of the population, and a member is the best of its trials that ended. That is the
//! paper's selection. It needs no generations, and it is a function of the history alone, in whatever order workers
//! finish.

use super::evidence::{Axis, Tried, first_unused, spread, tried};
use super::{History, Searcher, Stream, SuggestError};
use crate::words::value::Config;

/// NP lies between these and is otherwise twice the number of parameters.
const POPULATION: [usize; 2] = [8, 40];
/// F is drawn uniformly from this range for each vector ("dither": Das, Konar and Chakraborty 2005).
const SCALE: [f64; 2] = [0.5, 1.0];
/// CR.
const CROSSOVER: f64 = 0.9;
/// The number of vectors that are made before a random one is taken, if all were used before.
const VECTORS: usize = 48;

/// Differential evolution. Good for some hundred to thousands of cheap trials of numeric parameters, for any number of
/// workers. Cost: some microseconds a suggestion and as many as the history is long.
///
/// A coordinate that leaves the cube is put halfway between its base and the bound it crossed. Categories are taken
/// from the vectors whole: x1's, or where x2 and x3 differ, x2's with probability F.
#[derive(Debug, Clone, Copy, Default)]
pub struct De;

impl Searcher for De {
    fn name(&self) -> &str {
        "de"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let axes = Axis::of(history.space());
        let size = (2 * axes.len()).clamp(POPULATION[0], POPULATION[1]);
        let tried = tried(history);
        let members = members(&tried, size);
        let next = history.next_trial().0 as usize;
        // Three others than the target are needed, and all had their first chance.
        if next < size || members.iter().flatten().count() < 4 {
            return spread(history, stream, "de");
        }
        let target = next % size;
        let others: Vec<&[f64]> =
            (0..size).filter(|m| *m != target).filter_map(|m| Some(members[m]?.point.as_slice())).collect();
        let vectors: Vec<Vec<f64>> = (0..VECTORS)
            .filter_map(|_| {
                let own = members[target].map(|t| t.point.as_slice());
                Some(child(own, three(&others, stream)?, &axes, SCALE, CROSSOVER, stream))
            })
            .collect();
        first_unused(history, stream, vectors)
    }
}

/// The best of each member's trials; `None` for a member without a successful trial so far.
fn members(tried: &[Tried], size: usize) -> Vec<Option<&Tried>> {
    let mut members: Vec<Option<&Tried>> = vec![None; size];
    for t in tried.iter().filter(|t| t.rank.is_some()) {
        let member = &mut members[(t.trial.0 % size as u64) as usize];
        // A child as good as its parent takes its place, so that a population drifts over plateaus.
        if member.is_none_or(|m| t.rank <= m.rank) {
            *member = Some(t);
        }
    }
    members
}

/// The mutant of three, crossed with the target if there is one; F is drawn from `scale`.
pub(super) fn child(
    target: Option<&[f64]>,
    [x1, x2, x3]: [&[f64]; 3],
    axes: &[Axis],
    scale: [f64; 2],
    crossover: f64,
    stream: &mut Stream,
) -> Vec<f64> {
    let mutant = mutant(x1, x2, x3, axes, scale, stream);
    let Some(own) = target else { return mutant };
    let one = stream.below(axes.len());
    let cross = |(j, u): (usize, f64)| {
        let keep = stream.uniform() >= crossover && j != one;
        if keep { own[j] } else { u }
    };
    mutant.into_iter().enumerate().map(cross).collect()
}

/// Three different members in random order.
pub(super) fn three<'a>(others: &[&'a [f64]], stream: &mut Stream) -> Option<[&'a [f64]; 3]> {
    let n = others.len();
    if n < 3 {
        return None;
    }
    let a = stream.below(n);
    let b = (a + 1 + stream.below(n - 1)) % n;
    // The third is one of the n - 2 left, counted past the two taken.
    let (low, high) = (a.min(b), a.max(b));
    let mut c = stream.below(n - 2);
    c += usize::from(c >= low);
    c += usize::from(c >= high);
    Some([others[a], others[b], others[c]])
}

/// v = x1 + F (x2 - x3), inside the cube.
fn mutant(x1: &[f64], x2: &[f64], x3: &[f64], axes: &[Axis], scale: [f64; 2], stream: &mut Stream) -> Vec<f64> {
    let f = scale[0] + (scale[1] - scale[0]) * stream.uniform();
    let coordinate = |j: usize| match axes[j] {
        Axis::Category { .. } => {
            if x2[j] != x3[j] && stream.uniform() < f {
                x2[j]
            } else {
                x1[j]
            }
        }
        Axis::Numeric { .. } | Axis::Fixed => match x1[j] + f * (x2[j] - x3[j]) {
            v if v < 0.0 => x1[j] / 2.0,
            v if v > 1.0 => (1.0 + x1[j]) / 2.0,
            v => v,
        },
    };
    (0..axes.len()).map(coordinate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::trial::TrialId;

    #[test]
    fn a_member_is_the_best_of_its_trials() {
        let of = |trial, rank| Tried { trial: TrialId(trial), point: vec![], rank };
        let tried = [of(0, Some(3)), of(1, None), of(2, Some(0)), of(3, Some(1)), of(5, Some(4)), of(6, Some(1))];
        let trials: Vec<Option<u64>> = members(&tried, 3).iter().map(|m| m.map(|t| t.trial.0)).collect();
        assert_eq!(trials, [Some(6), None, Some(2)]);
    }

    #[test]
    fn three_are_different_and_any() {
        let points: Vec<Vec<f64>> = (0..4).map(|i| vec![f64::from(i)]).collect();
        let others: Vec<&[f64]> = points.iter().map(Vec::as_slice).collect();
        let mut stream = Stream::of_study(5, "test");
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..2000 {
            let [a, b, c] = three(&others, &mut stream).unwrap().map(|x| x[0] as u8);
            assert!(a != b && b != c && a != c);
            seen.insert([a, b, c]);
        }
        assert_eq!(seen.len(), 24);
    }

    #[test]
    fn a_mutant_is_in_the_cube_and_its_categories_exist() {
        let axes = [Axis::Numeric { cell: 0.0 }, Axis::Category { count: 3 }];
        let mut stream = Stream::of_study(6, "test");
        for _ in 0..200 {
            let v = mutant(&[0.9, 0.5], &[1.0, 1.0 / 6.0], &[0.1, 5.0 / 6.0], &axes, SCALE, &mut stream);
            assert_eq!(v[0], 0.95, "halfway to the bound");
            assert!(v[1] == 0.5 || v[1] == 1.0 / 6.0);
        }
    }
    #[test]
    fn a_child_is_the_mutant_in_some_coordinates_and_the_target_in_the_others() {
        let axes = [Axis::Numeric { cell: 0.0 }; 3];
        let mut stream = Stream::of_study(7, "test");
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let x = [&[0.5, 0.5, 0.5][..], &[0.7, 0.5, 0.9], &[0.3, 0.1, 0.1]];
            let v = child(Some(&[0.0, 0.25, 1.0]), x, &axes, [0.5, 0.5], 0.5, &mut stream);
            // x1 + 0.5 (x2 - x3) = 0.7, 0.7, 0.9.
            let crossed = [(v[0] - 0.7).abs() < 1e-12, (v[1] - 0.7).abs() < 1e-12, (v[2] - 0.9).abs() < 1e-12];
            assert!((crossed[0] || v[0] == 0.0) && (crossed[1] || v[1] == 0.25) && (crossed[2] || v[2] == 1.0));
            seen.insert(crossed);
        }
        // One at least is the mutant's.
        assert_eq!(seen.len(), 7);
    }
}

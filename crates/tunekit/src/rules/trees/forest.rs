//! A random forest of regression trees (Breiman 2001): a surface for histories without a model of their own.
//!
//! Grown as Hutter, Hoos and Leyton-Brown 2014 grow theirs: each tree on a bootstrap sample, 5/6 of the parameters
//! tried at a split, no split of fewer than three. A threshold lies anywhere between its two neighbours, so that trees
//! disagree where nothing was measured; a category is split off by itself.

use super::{Growing, Test, Tree, score};
use crate::rules::stream::Stream;
use crate::words::domain::Domain;
use crate::words::space::Space;

/// Trees of a forest.
const TREES: usize = 64;
/// Fewer rows than this are not split.
const FEWEST: usize = 3;

/// A row of data: a point of the cube and the measurement there.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) x: Vec<f64>,
    pub(crate) y: f64,
}

/// A forest, and its accuracy on data that it has not seen.
#[derive(Debug, Clone)]
pub(crate) struct Forest {
    pub(crate) trees: Vec<Tree>,
    /// 1 less the squared error over the variance, of rows by the trees that were grown without them; 0 if that is not
    /// better than the mean.
    pub(crate) known: f64,
}

impl Forest {
    /// Grown on `rows`, which are not empty, by the numbers of `stream`.
    pub(crate) fn grow(space: &Space, rows: &[Row], stream: &mut Stream) -> Self {
        let choices: Vec<Option<u64>> = space
            .iter()
            .map(|(_, domain)| match domain {
                Domain::Categorical(c) => Some(c.values().len() as u64),
                _ => None,
            })
            .collect();
        let points: Vec<&[f64]> = rows.iter().map(|row| row.x.as_slice()).collect();
        let mut unseen = vec![(0.0, 0_u32); rows.len()];
        let trees = (0..TREES)
            .map(|_| {
                let drawn: Vec<usize> = rows.iter().map(|_| stream.below(rows.len())).collect();
                let mut seen = vec![false; rows.len()];
                drawn.iter().for_each(|i| seen[*i] = true);
                let mut cutter = Cutter { rows, choices: &choices, stream };
                let tree = Growing {
                    points: &points,
                    split: |of: &[usize]| cutter.cut(of).map(|cut| (cut.coordinate, cut.test)),
                    leaf: |of: &[usize]| of.iter().map(|i| rows[*i].y).sum::<f64>() / of.len() as f64,
                    depth: usize::MAX,
                }
                .tree(drawn);
                for (i, (sum, n)) in unseen.iter_mut().enumerate().filter(|(i, _)| !seen[*i]) {
                    *sum += tree.value(&rows[i].x);
                    *n += 1;
                }
                tree
            })
            .collect();
        let told: Vec<(f64, f64)> =
            unseen.iter().zip(rows).filter(|((_, n), _)| *n > 0).map(|((s, n), r)| (s / f64::from(*n), r.y)).collect();
        Self { trees, known: known(&told) }
    }
}

/// From pairs of predicted and measured values.
fn known(told: &[(f64, f64)]) -> f64 {
    let mean = told.iter().map(|(_, y)| y).sum::<f64>() / told.len().max(1) as f64;
    let error: f64 = told.iter().map(|(f, y)| (f - y).powi(2)).sum();
    let variance: f64 = told.iter().map(|(_, y)| (y - mean).powi(2)).sum();
    if variance > 0.0 { (1.0 - error / variance).max(0.0) } else { 0.0 }
}

/// Finds where rows are divided.
struct Cutter<'a> {
    rows: &'a [Row],
    /// Number of categories of a parameter, if it has any.
    choices: &'a [Option<u64>],
    stream: &'a mut Stream,
}

/// A way to divide rows, and by how much it lowers the sum of squares.
struct Cut {
    gain: f64,
    coordinate: usize,
    test: Test,
}

impl Cutter<'_> {
    /// The best split over a random selection of parameters; none for few rows, or for equal rows.
    fn cut(&mut self, of: &[usize]) -> Option<Cut> {
        if of.len() < FEWEST {
            return None;
        }
        let mut order: Vec<usize> = (0..self.choices.len()).collect();
        for i in 0..order.len() {
            let other = i + self.stream.below(order.len() - i);
            order.swap(i, other);
        }
        let tried = (order.len() * 5).div_ceil(6);
        let mut best: Option<Cut> = None;
        for (i, coordinate) in order.into_iter().enumerate() {
            // Beyond the selection only if it offers no split: constant there, perhaps not here.
            if i >= tried && best.is_some() {
                break;
            }
            let cut = match self.choices[coordinate] {
                Some(count) => self.category(of, coordinate, count),
                None => self.threshold(of, coordinate),
            };
            if let Some(cut) = cut.filter(|cut| best.as_ref().is_none_or(|b| cut.gain > b.gain)) {
                best = Some(cut);
            }
        }
        best
    }

    fn threshold(&mut self, of: &[usize], coordinate: usize) -> Option<Cut> {
        let mut sorted: Vec<(f64, f64)> = of.iter().map(|i| (self.rows[*i].x[coordinate], self.rows[*i].y)).collect();
        sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total: f64 = sorted.iter().map(|(_, y)| y).sum();
        let mut sum = 0.0;
        let mut best: Option<(f64, usize)> = None;
        for i in 1..sorted.len() {
            sum += sorted[i - 1].1;
            if sorted[i].0 > sorted[i - 1].0 {
                let gain = gain(sum, i, total, sorted.len());
                if gain > best.map_or(NO_GAIN, |b| b.0) {
                    best = Some((gain, i));
                }
            }
        }
        let (gain, i) = best?;
        let (below, above) = (sorted[i - 1].0, sorted[i].0);
        let hi = below + (above - below) * (1.0 - self.stream.uniform());
        Some(Cut { gain, coordinate, test: Test::Below(if hi > below { hi } else { above }) })
    }

    fn category(&self, of: &[usize], coordinate: usize, count: u64) -> Option<Cut> {
        let edge = |k: u64| k as f64 / count as f64;
        let total: f64 = of.iter().map(|i| self.rows[*i].y).sum();
        let cuts = (0..count).filter_map(|k| {
            let (lo, hi) = (edge(k), edge(k + 1));
            let inside: Vec<f64> = of
                .iter()
                .filter(|i| (lo..hi).contains(&self.rows[**i].x[coordinate]))
                .map(|i| self.rows[*i].y)
                .collect();
            let gain = gain(inside.iter().sum(), inside.len(), total, of.len());
            (gain > NO_GAIN).then_some(Cut { gain, coordinate, test: Test::Within(lo, hi) })
        });
        cuts.reduce(|a, b| if b.gain > a.gain { b } else { a })
    }
}

/// Rows are of the order of 1: a gain below is rounding.
const NO_GAIN: f64 = 1e-12;

/// By how much the sum of squares falls when `n` of `all` rows with sum `sum` of `total` are taken apart; 0 for all or
/// none.
fn gain(sum: f64, n: usize, total: f64, all: usize) -> f64 {
    if n == 0 || n == all {
        return 0.0;
    }
    score([n as f64, (all - n) as f64], [sum, total - sum]) - total * total / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        Space::new()
            .with("x", Domain::float(0.0, 1.0).unwrap())
            .unwrap()
            .with("kind", Domain::categorical(["a", "b", "c"]).unwrap())
            .unwrap()
    }

    fn rows(n: usize) -> Vec<Row> {
        let mut stream = Stream::of_study(1, "test");
        let row = |_| {
            let x = vec![stream.uniform(), (stream.below(3) as f64 + 0.5) / 3.0];
            let y = if x[0] < 0.4 { 0.0 } else { 1.0 } + if (x[1] - 0.5).abs() < 0.1 { 2.0 } else { 0.0 };
            Row { x, y }
        };
        (0..n).map(row).collect()
    }

    #[test]
    fn a_forest_finds_a_step_and_a_category() {
        let forest = Forest::grow(&space(), &rows(200), &mut Stream::of_study(2, "test"));
        let mean = |x: &[f64]| forest.trees.iter().map(|t| t.value(x)).sum::<f64>() / forest.trees.len() as f64;
        for (x, wanted) in
            [([0.1, 1.0 / 6.0], 0.0), ([0.9, 1.0 / 6.0], 1.0), ([0.1, 0.5], 2.0), ([0.9, 5.0 / 6.0], 1.0)]
        {
            assert!((mean(&x) - wanted).abs() < 0.05, "{x:?}: {}", mean(&x));
        }
        assert!(forest.known > 0.95, "{}", forest.known);
    }

    #[test]
    fn a_forest_of_noise_knows_nothing_and_one_of_equals_is_flat() {
        let mut stream = Stream::of_study(3, "noise");
        let noise: Vec<Row> = rows(100).into_iter().map(|row| Row { y: stream.uniform(), ..row }).collect();
        assert!(Forest::grow(&space(), &noise, &mut Stream::of_study(2, "test")).known < 0.2);
        let flat: Vec<Row> = rows(20).into_iter().map(|row| Row { y: 0.5, ..row }).collect();
        let forest = Forest::grow(&space(), &flat, &mut Stream::of_study(2, "test"));
        assert!(forest.trees.iter().all(|tree| tree.nodes.len() == 1));
    }
}

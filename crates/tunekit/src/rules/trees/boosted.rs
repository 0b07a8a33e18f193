//! Boosted regression trees (Friedman 2001): for a quantile, with the pinball loss, and for the log odds of a class,
//! with the logistic loss and Newton steps.
//!
//! Sizes are those of studies: some hundreds of rows, some dozens of columns. A row is a point, a column a coordinate
//! that is either a number (split below and above a threshold) or a category (split into one and the rest).

use super::{Growing, Test, Tree, score};

/// The way to split a column.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Column {
    /// Below a threshold, or not.
    Number,
    /// One category, or another.
    Category,
}

/// Rows to learn from: points, and how their columns are split.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) points: &'a [Vec<f64>],
    pub(crate) columns: &'a [Column],
}

/// The settings of boosting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Boosting {
    /// Number of trees.
    pub(crate) trees: usize,
    /// Depth of each tree.
    pub(crate) depth: usize,
    /// The share of a tree's answer that counts.
    pub(crate) rate: f64,
    /// The fewest rows of a leaf.
    pub(crate) fewest: usize,
}

/// Added to a leaf's curvature of the logistic loss.
const PRIOR: f64 = 1.0;

/// The thresholds that boosted trees choose among, and between which each row lies: made once for all trees.
#[derive(Debug)]
pub(crate) struct Bins {
    tests: Vec<Vec<Test>>,
    /// By column, then by row.
    of_row: Vec<Vec<u8>>,
}

/// Bins of a column of numbers; of as many values, every one has its own.
const BINS: usize = 64;

impl Bins {
    /// The bins of these rows: as many thresholds as there are gaps between values, or quantiles of the gaps.
    pub(crate) fn new(rows: Rows<'_>) -> Self {
        let mut bins = Self { tests: Vec::new(), of_row: Vec::new() };
        for (column, kind) in rows.columns.iter().enumerate() {
            let mut values: Vec<f64> = rows.points.iter().map(|p| p[column]).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            let (tests, of_row): (Vec<Test>, Vec<u8>) = match kind {
                Column::Number => {
                    let gaps: Vec<f64> = values.windows(2).map(|w| w[0] + (w[1] - w[0]) / 2.0).collect();
                    let keep = gaps.len().min(BINS - 1);
                    let thresholds: Vec<f64> = (0..keep).map(|i| gaps[i * gaps.len() / keep]).collect();
                    let bin = |p: &Vec<f64>| thresholds.partition_point(|t| *t <= p[column]) as u8;
                    (thresholds.iter().map(|t| Test::Below(*t)).collect(), rows.points.iter().map(bin).collect())
                }
                Column::Category => {
                    values.truncate(usize::from(u8::MAX));
                    let other = values.len() as u8;
                    let bin = |p: &Vec<f64>| values.iter().position(|v| *v == p[column]).map_or(other, |k| k as u8);
                    (values.iter().map(|v| Test::Is(*v)).collect(), rows.points.iter().map(bin).collect())
                }
            };
            bins.tests.push(tests);
            bins.of_row.push(of_row);
        }
        bins
    }

    /// The split of `chosen` that explains most of `targets`, with `fewest` rows on either side.
    fn best(&self, chosen: &[usize], targets: &[f64], fewest: usize) -> Option<(usize, Test)> {
        let total: f64 = chosen.iter().map(|i| targets[*i]).sum();
        let n = chosen.len() as f64;
        let mut best: Option<(f64, (usize, Test))> = None;
        for (column, tests) in self.tests.iter().enumerate() {
            let mut histogram = vec![(0.0, 0.0); tests.len() + 1];
            for i in chosen {
                let bin = &mut histogram[usize::from(self.of_row[column][*i])];
                *bin = (bin.0 + 1.0, bin.1 + targets[*i]);
            }
            let (mut count, mut sum) = (0.0, 0.0);
            for (test, bin) in tests.iter().zip(&histogram) {
                // Rows below a threshold add up over the bins; those of one category, or between two bounds, do not.
                (count, sum) = match test {
                    Test::Below(_) => (count + bin.0, sum + bin.1),
                    Test::Is(_) | Test::Within(..) => *bin,
                };
                if count < fewest as f64 || n - count < fewest as f64 {
                    continue;
                }
                let gain = score([count, n - count], [sum, total - sum]);
                if gain > best.map_or(total * total / n * (1.0 + 1e-9) + 1e-12, |(other, _)| other) {
                    best = Some((gain, (column, *test)));
                }
            }
        }
        best.map(|(_, split)| split)
    }
}

/// Boosted trees: a quantile, or log odds.
#[derive(Debug)]
pub(crate) struct Boosted {
    base: f64,
    rate: f64,
    trees: Vec<Tree>,
}

impl Boosted {
    /// A model of the quantile at `level` in (0, 1) of `targets`: each tree splits by the sign of the residuals, and
    /// the values of its leaves are the quantiles of the residuals in them.
    pub(crate) fn quantile(rows: Rows<'_>, bins: &Bins, targets: &[f64], level: f64, how: Boosting) -> Self {
        let base = quantile(&mut targets.to_vec(), level);
        let mut left: Vec<f64> = targets.iter().map(|y| y - base).collect();
        let mut trees = Vec::with_capacity(how.trees);
        for _ in 0..how.trees {
            let gradient: Vec<f64> = left.iter().map(|r| if *r > 0.0 { level } else { level - 1.0 }).collect();
            let tree = Growing {
                points: rows.points,
                split: |chosen: &[usize]| bins.best(chosen, &gradient, how.fewest),
                leaf: |chosen: &[usize]| quantile(&mut chosen.iter().map(|i| left[*i]).collect::<Vec<_>>(), level),
                depth: how.depth,
            }
            .tree((0..targets.len()).collect());
            for (r, point) in left.iter_mut().zip(rows.points) {
                *r -= how.rate * tree.value(point);
            }
            trees.push(tree);
        }
        Self { base, rate: how.rate, trees }
    }

    /// A model of the log odds of the rows labelled true. Both classes have to be there.
    pub(crate) fn log_odds(rows: Rows<'_>, bins: &Bins, labels: &[bool], how: Boosting) -> Self {
        let share = labels.iter().filter(|l| **l).count() as f64 / labels.len() as f64;
        let base = (share / (1.0 - share)).ln();
        let mut odds = vec![base; labels.len()];
        let mut trees = Vec::with_capacity(how.trees);
        for _ in 0..how.trees {
            let chance: Vec<f64> = odds.iter().map(|o| 1.0 / (1.0 + (-o).exp())).collect();
            let slope: Vec<f64> = labels.iter().zip(&chance).map(|(l, p)| f64::from(u8::from(*l)) - p).collect();
            let tree = Growing {
                points: rows.points,
                split: |chosen: &[usize]| bins.best(chosen, &slope, how.fewest),
                leaf: |chosen: &[usize]| {
                    let curvature: f64 = chosen.iter().map(|i| chance[*i] * (1.0 - chance[*i])).sum();
                    // One row's worth of prior, so that a pure leaf stays finite.
                    chosen.iter().map(|i| slope[*i]).sum::<f64>() / (curvature + PRIOR)
                },
                depth: how.depth,
            }
            .tree((0..labels.len()).collect());
            for (o, point) in odds.iter_mut().zip(rows.points) {
                *o += how.rate * tree.value(point);
            }
            trees.push(tree);
        }
        Self { base, rate: how.rate, trees }
    }

    /// The quantile, or the log odds, at `point`.
    pub(crate) fn predict(&self, point: &[f64]) -> f64 {
        self.base + self.rate * self.trees.iter().map(|tree| tree.value(point)).sum::<f64>()
    }
}

/// The quantile of some numbers, between the two next to it; 0 of none.
pub(crate) fn quantile(values: &mut [f64], level: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let at = level * last as f64;
    let (i, part) = (at.floor() as usize, at.fract());
    values[i] + part * (values[(i + 1).min(last)] - values[i])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::stream::Stream;

    const COLUMNS: [Column; 2] = [Column::Number, Column::Category];

    /// A step at 0.4 in the first column, another for one category of the second.
    fn steps() -> (Vec<Vec<f64>>, Vec<f64>) {
        let mut stream = Stream::of_study(8, "test");
        let points: Vec<Vec<f64>> =
            (0..200).map(|_| vec![stream.uniform(), (stream.below(3) as f64 + 0.5) / 3.0]).collect();
        let targets = points.iter().map(|p| value(p)).collect();
        (points, targets)
    }

    fn value(p: &[f64]) -> f64 {
        f64::from(u8::from(p[0] >= 0.4)) + if p[1] == 0.5 { 5.0 } else { 0.0 }
    }

    #[test]
    fn a_classifier_learns_steps_in_numbers_and_categories() {
        let (points, targets) = steps();
        let rows = Rows { points: &points, columns: &COLUMNS };
        let labels: Vec<bool> = targets.iter().map(|y| *y > 0.0).collect();
        let how = Boosting { trees: 100, depth: 3, rate: 0.2, fewest: 1 };
        let model = Boosted::log_odds(rows, &Bins::new(rows), &labels, how);
        for p in [[0.1, 0.5], [0.9, 0.5], [0.1, 0.5 / 3.0], [0.9, 2.5 / 3.0]] {
            let odds = model.predict(&p);
            assert!(if value(&p) > 0.0 { odds > 2.0 } else { odds < -2.0 }, "{p:?}: {odds}");
        }
    }

    #[test]
    fn boosted_quantiles_have_their_share_below_them() {
        let mut stream = Stream::of_study(9, "test");
        let points: Vec<Vec<f64>> = (0..400).map(|_| vec![stream.uniform(), 0.5]).collect();
        // Noise that grows with the first coordinate.
        let targets: Vec<f64> = points.iter().map(|p| 3.0 * p[0] + (0.1 + p[0]) * stream.normal()).collect();
        let rows = Rows { points: &points, columns: &COLUMNS };
        let how = Boosting { trees: 60, depth: 3, rate: 0.1, fewest: 10 };
        let bins = Bins::new(rows);
        for level in [1.0 / 6.0, 0.5, 5.0 / 6.0] {
            let model = Boosted::quantile(rows, &bins, &targets, level, how);
            let below = points.iter().zip(&targets).filter(|(p, y)| **y <= model.predict(p)).count() as f64 / 400.0;
            assert!((below - level).abs() < 0.06, "{level}: {below}");
            let slope = model.predict(&[0.95, 0.5]) - model.predict(&[0.05, 0.5]);
            assert!((slope - 2.7).abs() < 1.7, "{level}: {slope}");
        }
    }

    #[test]
    fn equal_targets_and_equal_points_make_one_leaf() {
        let points = vec![vec![0.5, 0.5]; 6];
        let rows = Rows { points: &points, columns: &COLUMNS };
        let how = Boosting { trees: 5, depth: 3, rate: 0.1, fewest: 1 };
        assert_eq!(Boosted::quantile(rows, &Bins::new(rows), &[2.0; 6], 0.3, how).predict(&[0.0, 0.0]), 2.0);
        let labels = [true, false, true, false, true, false];
        assert_eq!(Boosted::log_odds(rows, &Bins::new(rows), &labels, how).predict(&[0.1, 0.1]), 0.0);
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&mut [3.0, 1.0, 2.0], 0.5), 2.0);
        assert_eq!(quantile(&mut [0.0, 10.0], 0.25), 2.5);
        assert_eq!(quantile(&mut [], 0.5), 0.0);
    }
}

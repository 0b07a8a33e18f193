//! Functional analysis of variance of a surface that was evaluated at a sample of the cube: the share of its variance
//! that each parameter, and each pair, accounts for (Hoeffding 1948; Sobol 1993; for tuners Hutter, Hoos and
//! Leyton-Brown 2014).
//!
//! A parameter's range is cut into cells. The variance of the cells' means, less the contribution of the spread within
//! cells (as in the one-way analysis of variance with random effects), estimates the variance of E[f | parameter]; a
//! pair's own share is that of E[f | both], less the two parameters'. One sample serves all of them.

use crate::words::space::Space;

/// Cells of a parameter on its own. A wave of eight cells still keeps 95 % of its variance.
const FINE: u64 = 32;
/// Cells of a parameter in a pair: 256 cells a pair, 16 points in each at 4096.
const COARSE: u64 = 16;
/// Pairs are computed among this many parameters, those with the largest shares of their own.
const PAIRED: usize = 16;

/// The cell of each point of a sample.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    /// By parameter, by point.
    fine: Vec<Vec<u16>>,
    coarse: Vec<Vec<u16>>,
}

/// Shares of the variance, not clamped to 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shares {
    /// By parameter.
    pub(super) main: Vec<f64>,
    /// In the order asked for.
    pub(super) pairs: Vec<f64>,
}

impl Cells {
    pub(super) fn of(space: &Space, points: &[Vec<f64>]) -> Self {
        let labels = |most: u64| {
            let of = |(i, (_, domain)): (usize, (&str, &crate::words::domain::Domain))| {
                let cell = |u: f64| match domain.count() {
                    // A value each: no cell mixes two.
                    Some(count) if count <= most => domain.index_of(u),
                    _ => ((u * most as f64) as u64).min(most - 1),
                };
                points.iter().map(|point| cell(point[i]) as u16).collect()
            };
            space.iter().enumerate().map(of).collect()
        };
        Self { fine: labels(FINE), coarse: labels(COARSE) }
    }

    /// The pairs to compute, given the shares of single parameters.
    pub(super) fn pairs(main: &[f64]) -> Vec<(usize, usize)> {
        let mut order: Vec<usize> = (0..main.len()).collect();
        order.sort_by(|a, b| main[*b].total_cmp(&main[*a]).then(a.cmp(b)));
        order.truncate(PAIRED);
        order.sort_unstable();
        order.iter().flat_map(|i| order.iter().filter(move |j| i < j).map(move |j| (*i, *j))).collect()
    }

    /// The shares of a surface's `values` at the points that are in `kept`; `None` if it is constant, or if there are
    /// too few points.
    pub(super) fn decompose(&self, values: &[f64], kept: &[usize], pairs: &[(usize, usize)]) -> Option<Shares> {
        let values = standard(values, kept)?;
        let variance = values.iter().map(|v| v * v).sum::<f64>() / values.len() as f64;
        let share = |labels: &dyn Fn(usize) -> usize, cells: u64| {
            component(&values, kept, labels, cells as usize).map(|v| v / variance)
        };
        let main = |labels: &[u16], cells| share(&|point| labels[point].into(), cells);
        let alone: Vec<f64> = self.coarse.iter().map(|labels| main(labels, COARSE)).collect::<Option<_>>()?;
        let pair = |(i, j): &(usize, usize)| {
            let (a, b) = (&self.coarse[*i], &self.coarse[*j]);
            let both =
                share(&|point| usize::from(a[point]) * COARSE as usize + usize::from(b[point]), COARSE * COARSE)?;
            Some(both - alone[*i] - alone[*j])
        };
        Some(Shares {
            main: self.fine.iter().map(|labels| main(labels, FINE)).collect::<Option<_>>()?,
            pairs: pairs.iter().map(pair).collect::<Option<_>>()?,
        })
    }
}

/// Centred, in units of the largest deviation: nothing overflows. `None` if all are equal but for rounding.
fn standard(values: &[f64], kept: &[usize]) -> Option<Vec<f64>> {
    let largest = kept.iter().fold(0.0_f64, |m, i| m.max(values[*i].abs()));
    if !(largest > 0.0 && largest.is_finite()) {
        return None;
    }
    let centre = kept.iter().map(|i| values[*i] / largest).sum::<f64>() / kept.len() as f64;
    let deviations: Vec<f64> = kept.iter().map(|i| values[*i] / largest - centre).collect();
    let most = deviations.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    (most > 1e-12).then(|| deviations.iter().map(|v| v / most).collect())
}

/// The variance of the cells' expectations; `None` without two points in any cell.
fn component(values: &[f64], kept: &[usize], label: &dyn Fn(usize) -> usize, cells: usize) -> Option<f64> {
    let (mut sums, mut counts) = (vec![0.0; cells], vec![0_u32; cells]);
    for (value, point) in values.iter().zip(kept) {
        let cell = label(*point);
        sums[cell] += value;
        counts[cell] += 1;
    }
    let full = counts.iter().filter(|n| **n > 0).count();
    let n = values.len();
    if n <= full {
        return None;
    }
    if full == 1 {
        return Some(0.0);
    }
    // Values are centred, so the total is a sum of squares.
    let total: f64 = values.iter().map(|v| v * v).sum();
    let between: f64 = sums.iter().zip(&counts).filter(|(_, n)| **n > 0).map(|(s, n)| s * s / f64::from(*n)).sum();
    let within = (total - between).max(0.0) / (n - full) as f64;
    Some((between - (full as f64 - 1.0) * within) / n as f64)
}

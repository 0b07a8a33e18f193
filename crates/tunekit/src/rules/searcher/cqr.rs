//! Conformal quantile regression (Salinas, Golebiowski, Klein, Seeger and Archambeau 2023, "Optimizing Hyperparameters
//! with Conformal Quantile Regression"): boosted trees predict five quantiles of the metric; each candidate draws one
//! of its own, and the least draw is the next trial. That is Thompson sampling, without a belief that noise is normal
//! or even.
//!
//! From 32 results on, a part of them is held out, and the quantiles are shifted until they cover their stated share of
//! it (Romano, Patterson and Candes 2019).

use super::bore::{columns, search};
use super::evidence::{Axis, Tried, first_unused, pending, spread, tried};
use super::{History, Searcher, Stream, SuggestError};
use crate::rules::trees::boosted::{Bins, Boosted, Boosting, Rows, quantile};
use crate::words::value::Config;

/// Trials spread over the space before there is a model.
const FIRST: usize = 8;
/// The quantiles, in pairs around the median.
const LEVELS: [f64; 5] = [1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0, 4.0 / 6.0, 5.0 / 6.0];
/// Settings of the boosted trees.
const HOW: Boosting = Boosting { trees: 60, depth: 4, rate: 0.15, fewest: 1 };
/// The number of results from which on some are held out, and their share: one in this number.
const CONFORMAL: usize = 32;
const HELD_OUT: usize = 10;
/// The number of the best results from which steps start.
const CENTRES: usize = 5;

/// Conformal quantile regression. Good for noise that is uneven or has tails, for mixed spaces and for many workers,
/// because the random draws keep their configurations apart; from some dozens to a thousand trials. Cost after n trials
/// of D parameters: 300 trees of depth four, n D each; about 40 ms at n = 300 and D = 6.
///
/// The metric is replaced by the normal scores of its ranks, so neither its scale nor single enormous values matter.
/// Failed trials count as the worst, and so do pending ones.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cqr;

impl Searcher for Cqr {
    fn name(&self) -> &str {
        "cqr"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let tried = tried(history);
        if tried.len() < FIRST || tried.iter().all(|t| t.rank.is_none()) {
            return spread(history, stream, "cqr");
        }
        let axes = Axis::of(history.space());
        let columns = columns(&axes);
        let mut points: Vec<Vec<f64>> = tried.iter().map(|t| t.point.clone()).collect();
        let mut scores: Vec<f64> = tried.iter().map(|t| score(t, tried.len())).collect();
        let (held, moved) =
            if tried.len() >= CONFORMAL { hold_out(&mut points, &mut scores, stream) } else { (vec![], vec![]) };
        let worst = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        points.extend(pending(history));
        scores.resize(points.len(), worst);
        let rows = Rows { points: &points, columns: &columns };
        let bins = Bins::new(rows);
        let models = LEVELS.map(|level| Boosted::quantile(rows, &bins, &scores, level, HOW));
        let shifts = shifts(&models, &held, &moved);

        let mut best: Vec<&Tried> = tried.iter().collect();
        best.sort_by_key(|t| t.order());
        let centres: Vec<Vec<f64>> = best.iter().take(CENTRES).map(|t| t.point.clone()).collect();
        let mut draws = Stream::keyed(history.seed(), history.next_trial(), "cqr draws");
        let ranked = search(history, stream, centres, |point| {
            let i = draws.below(LEVELS.len());
            models[i].predict(point) + shifts[i]
        });
        first_unused(history, stream, ranked)
    }
}

/// The normal score of a rank, by the logistic approximation to the normal quantile (within 0.02 between 1 % and 99 %);
/// the worst for a failed trial.
fn score(t: &Tried, n: usize) -> f64 {
    let p = (t.rank.unwrap_or(n - 1) as f64 + 0.5) / n as f64;
    (p.powf(0.135) - (1.0 - p).powf(0.135)) / 0.1975
}

/// Takes one in `HELD_OUT` out of both lists.
fn hold_out(points: &mut Vec<Vec<f64>>, scores: &mut Vec<f64>, stream: &mut Stream) -> (Vec<Vec<f64>>, Vec<f64>) {
    let mut held = (Vec::new(), Vec::new());
    for _ in 0..points.len() / HELD_OUT {
        let i = stream.below(points.len());
        held.0.push(points.swap_remove(i));
        held.1.push(scores.swap_remove(i));
    }
    held
}

/// The shift of each quantile: a pair moves outwards (or inwards) until it covers its share of the held-out points; the
/// median does not move.
fn shifts(models: &[Boosted; 5], held: &[Vec<f64>], scores: &[f64]) -> [f64; 5] {
    let mut shifts = [0.0; 5];
    if held.is_empty() {
        return shifts;
    }
    for (lower, upper) in [(0, 4), (1, 3)] {
        // Distance of each held-out value from the nearer end of the pair; negative inside.
        let mut outside: Vec<f64> = held
            .iter()
            .zip(scores)
            .map(|(p, y)| (models[lower].predict(p) - y).max(y - models[upper].predict(p)))
            .collect();
        let n = outside.len() as f64;
        let level = ((LEVELS[upper] - LEVELS[lower]) * (1.0 + 1.0 / n)).min(1.0);
        let by = quantile(&mut outside, level);
        (shifts[lower], shifts[upper]) = (-by, by);
    }
    shifts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::trees::boosted::Column;
    use crate::words::trial::TrialId;

    #[test]
    fn scores_are_normal_and_a_failure_is_the_worst() {
        let of = |rank| score(&Tried { trial: TrialId(0), point: vec![], rank }, 101);
        assert!(of(Some(50)).abs() < 1e-12);
        assert!((of(Some(16)) + 0.977).abs() < 0.02, "{}", of(Some(16)));
        assert_eq!(of(None), of(Some(100)));
        assert!(of(Some(0)) < of(Some(1)));
    }

    #[test]
    fn quantiles_move_until_they_cover_what_was_held_out() {
        let points = vec![vec![0.5]; 40];
        let narrow: Vec<f64> = (0..40).map(f64::from).map(|i| i / 400.0).collect();
        let rows = Rows { points: &points, columns: &[Column::Number] };
        let bins = Bins::new(rows);
        let models = LEVELS.map(|level| Boosted::quantile(rows, &bins, &narrow, level, HOW));
        let wide: Vec<f64> = (0..40).map(|i| f64::from(i) - 20.0).collect();
        let shifts = shifts(&models, &points, &wide);
        let [low, high] = [0, 4].map(|i| models[i].predict(&[0.5]) + shifts[i]);
        let covered = wide.iter().filter(|y| (low..=high).contains(*y)).count();
        assert!((26..=31).contains(&covered), "{covered} of 40");
        assert!(shifts[0] < shifts[1] && shifts[2] == 0.0);
    }
}

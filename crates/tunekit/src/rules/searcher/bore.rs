//! Bayesian optimisation by density-ratio estimation (Tiao, Klein, Seeger, Bonilla, Archambeau and Ramos 2021): a
//! classifier learns which configurations are among the best quarter, and the next trial goes to the point with the
//! highest probability. Up to a constant, that is the probability of improvement on the quarter's bound.
//!
//! The classifier consists of boosted trees, as in the paper. Forests of randomized trees were tried and were hardly
//! better than chance: their probability is 1 on a wide plateau around every good configuration.

use super::evidence::{Axis, Tried, first_unused, pending, settled, spread, stepped, tried};
use super::{History, Searcher, Stream, SuggestError, random};
use crate::rules::trees::boosted::{Bins, Boosted, Boosting, Column, Rows};
use crate::words::value::Config;

/// Trials spread over the space before there is a classifier.
const FIRST: usize = 8;
/// gamma: the share of trials that is good.
const GOOD: f64 = 0.25;
/// Settings of the classifier.
const HOW: Boosting = Boosting { trees: 100, depth: 4, rate: 0.15, fewest: 1 };
/// Candidates over the whole space, then rounds of steps from the best of them and how many each.
const SPREAD: usize = 300;
const STEPS: [f64; 3] = [0.1, 0.03, 0.01];
const CENTRES: usize = 5;
const EACH: usize = 10;
/// Each parameter takes part in a step as likely as this; one always does.
const SHARE: f64 = 0.5;

/// Bayesian optimisation by classification. Good for mixed and conditional spaces and rough functions, from some dozens
/// to a thousand trials. Cost after n trials of D parameters: 100 trees of depth four, n D each; about 10 ms at n = 300
/// and D = 6.
///
/// Failed and pending trials count as bad. So the model avoids failures, and workers avoid each other.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bore;

impl Searcher for Bore {
    fn name(&self) -> &str {
        "bore"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let tried = tried(history);
        if tried.len() < FIRST || tried.iter().all(|t| t.rank.is_none()) {
            return spread(history, stream, "bore");
        }
        let good = (GOOD * tried.len() as f64).ceil() as usize;
        let mut points: Vec<Vec<f64>> = tried.iter().map(|t| t.point.clone()).collect();
        points.extend(pending(history));
        let is_good = |t: &Tried| t.rank.is_some_and(|rank| rank < good);
        let mut labels: Vec<bool> = tried.iter().map(is_good).collect();
        labels.resize(points.len(), false);
        if labels.iter().all(|good| *good) {
            // All values are equal, so no place is better than another.
            return spread(history, stream, "bore");
        }
        let axes = Axis::of(history.space());
        let columns = columns(&axes);
        let rows = Rows { points: &points, columns: &columns };
        let model = Boosted::log_odds(rows, &Bins::new(rows), &labels, HOW);
        let mut best: Vec<&Tried> = tried.iter().collect();
        best.sort_by_key(|t| t.order());
        let centres: Vec<Vec<f64>> = best.iter().take(CENTRES).map(|t| t.point.clone()).collect();
        let ranked = search(history, stream, centres, |point| -model.predict(point));
        first_unused(history, stream, ranked)
    }
}

/// For each coordinate, the kind of split that trees make.
pub(super) fn columns(axes: &[Axis]) -> Vec<Column> {
    let column = |axis: &Axis| match axis {
        Axis::Category { .. } => Column::Category,
        Axis::Numeric { .. } | Axis::Fixed => Column::Number,
    };
    axes.iter().map(column).collect()
}

/// Candidates all over the space and around `centres`, then around the best candidates in smaller and smaller steps:
/// all of them, the least `loss` first. Equals stay in random order.
pub(super) fn search(
    history: &History<'_>,
    stream: &mut Stream,
    centres: Vec<Vec<f64>>,
    mut loss: impl FnMut(&[f64]) -> f64,
) -> Vec<Vec<f64>> {
    let space = history.space();
    let axes = Axis::of(space);
    let mut ranked: Vec<(f64, Vec<f64>)> = Vec::new();
    let drawn: Vec<Vec<f64>> = (0..SPREAD).filter_map(|_| space.encode(&random::draw(history, stream)).ok()).collect();
    let rated = |point: Vec<f64>, loss: &mut dyn FnMut(&[f64]) -> f64| (loss(&point), point);
    ranked.extend(drawn.into_iter().map(|p| rated(p, &mut loss)));
    let mut centres = centres;
    for size in STEPS {
        for centre in &centres {
            for _ in 0..EACH {
                let point = settled(space, stepped(centre, &axes, SHARE, size, stream));
                ranked.push(rated(point, &mut loss));
            }
        }
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
        centres = ranked.iter().take(2 * CENTRES).map(|(_, p)| p.clone()).collect();
    }
    ranked.into_iter().map(|(_, point)| point).collect()
}

//! The precision with which each level of a resource ranks configurations at the highest level that has enough of them:
//! the weights of Hyper-Tune (Li, Shen, Jiang, Zhang, Li, Liu, Zhang and Cui 2022, sec. 4.2).

use super::model::Model;
use crate::rules::history::History;
use crate::rules::stream::Stream;

/// Fewer configurations at a level say nothing of how others rank them.
const FEWEST: usize = 6;
/// Bootstrap samples.
const SAMPLES: usize = 100;

/// For each level the probability that its model has the fewest wrongly ordered pairs of configurations at the highest
/// level with enough of them, by the bootstrap; levels above that one have 0. The model of the highest level predicts
/// each configuration without having seen it. `None` before two levels have enough.
pub(super) fn precision(model: &Model, history: &History<'_>, stream: &mut Stream) -> Option<Vec<f64>> {
    let by_level = model.by_level()?;
    let top = by_level.iter().rposition(|rows| rows.len() >= FEWEST).filter(|top| *top > 0)?;
    let rows = &by_level[top];
    let surrogate = &model.objective;
    let observed: Vec<f64> = rows.iter().map(|i| surrogate.data.y[*i]).collect();
    let left_out = surrogate.posterior.leave_one_out_means(&surrogate.data.y);
    let predicted: Vec<Vec<f64>> = (0..=top)
        .map(|level| {
            if level == top {
                return rows.iter().map(|i| left_out[*i]).collect();
            }
            let points: Vec<Vec<f64>> = rows.iter().map(|i| model.at_level(&surrogate.data.x[*i], level)).collect();
            surrogate.posterior.predict_many(&points).into_iter().map(|(mean, _)| mean).collect()
        })
        .collect();
    let mut wins = vec![0.0; history.levels().len()];
    for _ in 0..SAMPLES {
        let drawn: Vec<usize> = rows.iter().map(|_| stream.below(rows.len())).collect();
        let losses: Vec<usize> = predicted.iter().map(|predicted| wrong_pairs(&observed, predicted, &drawn)).collect();
        // The lowest of equals, which costs least.
        let best = (0..losses.len()).min_by_key(|level| losses[*level])?;
        wins[best] += 1.0 / SAMPLES as f64;
    }
    Some(wins)
}

/// Number of pairs of the drawn configurations that prediction and observation order differently.
fn wrong_pairs(observed: &[f64], predicted: &[f64], drawn: &[usize]) -> usize {
    let wrong = |a: usize, b: usize| (observed[a] < observed[b]) != (predicted[a] < predicted[b]);
    let pairs = drawn.iter().enumerate().flat_map(|(i, a)| drawn[..i].iter().map(move |b| (*a, *b)));
    pairs.filter(|(a, b)| a != b && wrong(*a, *b)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_in_the_other_order_are_wrong_and_those_of_one_with_itself_are_not() {
        let observed = [1.0, 2.0, 3.0];
        assert_eq!(wrong_pairs(&observed, &[10.0, 20.0, 30.0], &[0, 1, 2]), 0);
        assert_eq!(wrong_pairs(&observed, &[30.0, 20.0, 10.0], &[0, 1, 2]), 3);
        assert_eq!(wrong_pairs(&observed, &[20.0, 10.0, 30.0], &[0, 1, 2]), 1);
        assert_eq!(wrong_pairs(&observed, &[20.0, 10.0, 30.0], &[0, 0, 1]), 2);
    }
}

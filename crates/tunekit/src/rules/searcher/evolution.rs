//! Regularized evolution (Real, Aggarwal, Huang and Le 2019, "Regularized Evolution for Image Classifier Architecture
//! Search", Algorithm 1): the best of a few of the youngest is changed a little; the oldest die, however good.

use super::evidence::{Axis, first_unused, spread, stepped, tried};
use super::{History, Searcher, Stream, SuggestError};
use crate::words::value::Config;

/// P: how many of the youngest trials live.
const POPULATION: usize = 20;
/// S: how many of them a parent is the best of.
const SAMPLE: usize = 10;
/// Trials spread over the space before the first child.
const FIRST: usize = 10;
/// A child's numbers take steps of these sizes, any magnitude between them alike.
const STEPS: [f64; 2] = [0.01, 0.3];
/// The probability that a further parameter changes, beside the one that always changes.
const SHARE: f64 = 0.1;
/// The number of children that are drawn before a random one is taken, if all were used before.
const CHILDREN: usize = 48;

/// Regularized evolution. Good for spaces of many categories, for hundreds to thousands of trials and any number of
/// workers; weak below 30 trials. Members are removed by age, not by rank, so a lucky measurement does not dominate for
/// ever. Cost: some microseconds a suggestion and as many as the history is long.
///
/// The population is the last 20 trials that ended, in the order they were asked for, failed ones as the worst: a
/// function of the history, so nothing is kept between suggestions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Evolution;

impl Searcher for Evolution {
    fn name(&self) -> &str {
        "evolution"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let tried = tried(history);
        if tried.len() < FIRST {
            return spread(history, stream, "evolution");
        }
        let axes = Axis::of(history.space());
        let living = &tried[tried.len().saturating_sub(POPULATION)..];
        let children: Vec<Vec<f64>> = (0..CHILDREN)
            .filter_map(|_| {
                let picks = (0..SAMPLE).map(|_| &living[stream.below(living.len())]);
                let parent = picks.min_by_key(|t| t.order())?;
                let size = STEPS[0] * (STEPS[1] / STEPS[0]).powf(stream.uniform());
                Some(stepped(&parent.point, &axes, SHARE, size, stream))
            })
            .collect();
        first_unused(history, stream, children)
    }
}

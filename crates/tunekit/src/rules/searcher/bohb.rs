//! BOHB's searcher (Falkner, Klein and Hutter 2018): densities of good and bad configurations at the highest rung with
//! enough of them. Every third draw is uniform, so it is never much worse than Hyperband alone.

use super::{History, Searcher, Stream, SuggestError, Tpe, random, unused};
use crate::words::value::Config;

/// The share of uniform draws: rho in the paper.
const UNIFORM: f64 = 1.0 / 3.0;

/// The searcher of the scheduler `bohb`. The scheduler decides which rung counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Bohb;

impl Searcher for Bohb {
    fn name(&self) -> &str {
        "bohb"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        if stream.uniform() < UNIFORM {
            return unused(history, stream, |stream| random::draw(history, stream));
        }
        Tpe.suggest(history, stream)
    }
}

//! Quasi-random search: an Owen-scrambled Sobol sequence, one point per trial.

use super::{History, Searcher, Stream, SuggestError, random, unused};
use crate::rules::qmc;
use crate::words::value::Config;

/// Takes the points of a scrambled Sobol sequence in turn, which are more evenly spread than random points. Beyond
/// 65,536 trials or 256 parameters the sequence continues in a new scramble.
#[derive(Debug, Clone, Default)]
pub struct Sobol {
    /// The sequence of the seed it was last asked for: a cache.
    sequence: Option<(u64, qmc::Sobol)>,
}

impl Sobol {
    /// A new searcher.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Searcher for Sobol {
    fn name(&self) -> &str {
        "sobol"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let seed = history.seed();
        let known = self.sequence.take().filter(|(of, _)| *of == seed);
        let (_, sobol) =
            self.sequence.insert(known.unwrap_or_else(|| (seed, qmc::Sobol::new(&mut history.stream("sobol")))));
        let index = history.next_trial().0;
        let mut first = true;
        // A random point stands in where the trial's point is used already (a coarse grid). So no later trial's point
        // moves.
        unused(history, stream, |stream| {
            if std::mem::take(&mut first) {
                let point = sobol.point(index, history.space().len());
                history.space().decode(&point).expect("Sobol points are in the unit cube")
            } else {
                random::draw(history, stream)
            }
        })
    }
}

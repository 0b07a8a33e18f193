//! Hyper-Tune's searcher (Li et al. 2022): models of the levels of a resource, each used as often as it ranks full runs
//! best.

use super::{Gp, History, Prediction, Searcher, Stream, SuggestError};
use crate::words::schedule::ResourceKernel;
use crate::words::value::Config;

/// The searcher of the scheduler `hypertune`: [`Gp`] with a kernel along the resource, as in
/// [`Mobster`](super::Mobster). With an independent function for every level, a suggestion improves most at one level,
/// and that level is drawn by how well each ranks the configurations of the highest (the paper adds the models up with
/// the same weights). Any other kernel weighs the levels itself.
#[derive(Debug)]
pub struct HyperTune {
    model: Gp,
    draws: bool,
}

impl HyperTune {
    /// With this kernel.
    pub(in crate::rules) fn new(kernel: ResourceKernel) -> Self {
        Self { model: Gp::new().along(kernel), draws: kernel == ResourceKernel::Independent }
    }
}

impl Searcher for HyperTune {
    fn name(&self) -> &str {
        "hypertune"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let weights = if self.draws { self.model.precision(history, stream) } else { None };
        let level = weights.and_then(|weights| {
            let mut lot = stream.uniform();
            weights.iter().position(|weight| {
                lot -= weight;
                lot < 0.0
            })
        });
        self.model.suggest_at(level, history, stream)
    }

    fn predict(&mut self, history: &History<'_>, configs: &[&Config]) -> Option<Vec<Prediction>> {
        self.model.predict(history, configs)
    }
}

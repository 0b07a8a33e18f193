//! MOBSTER's searcher (Klein, Tiao, Lienart, Archambeau and Seeger 2020): a Gaussian process over configuration and
//! resource.

use super::{Gp, History, Prediction, Searcher, Stream, SuggestError};
use crate::words::schedule::ResourceKernel;
use crate::words::value::Config;

/// The searcher of the scheduler `mobster`: [`Gp`] with a kernel along the resource. It suggests the configuration that
/// is expected to improve a full run most. The paper's rule, the highest level with enough results, stays misled if low
/// levels mislead.
#[derive(Debug)]
pub struct Mobster(Gp);

impl Mobster {
    /// With this kernel.
    pub(in crate::rules) fn new(kernel: ResourceKernel) -> Self {
        Self(Gp::new().along(kernel))
    }
}

impl Searcher for Mobster {
    fn name(&self) -> &str {
        "mobster"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        self.0.suggest(history, stream)
    }

    fn predict(&mut self, history: &History<'_>, configs: &[&Config]) -> Option<Vec<Prediction>> {
        self.0.predict(history, configs)
    }
}

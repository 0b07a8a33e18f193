//! DyHPO's searcher (Wistuba, Kadra and Grabocka 2022): the configuration that is expected to improve most at the
//! lowest level of the resource.

use super::{Gp, History, Prediction, Searcher, Stream, SuggestError};
use crate::words::schedule::ResourceKernel;
use crate::words::value::Config;

/// The searcher of the scheduler `dyhpo`: [`Gp`] with a kernel along the resource. The scheduler compares its
/// suggestion with the paused trials, so both must find the same one.
#[derive(Debug)]
pub struct Dyhpo(Gp);

impl Dyhpo {
    /// With this kernel.
    pub(in crate::rules) fn new(kernel: ResourceKernel) -> Self {
        Self(Gp::new().along(kernel))
    }

    /// The configuration that the next new trial would have.
    pub(in crate::rules) fn candidate(&mut self, history: &History<'_>) -> Result<Config, SuggestError> {
        let mut stream = Stream::keyed(history.seed(), history.next_trial(), "dyhpo");
        self.0.suggest_at(Some(0), history, &mut stream)
    }

    /// For each of these configurations, the logarithm of the improvement that is expected at this level; `None` with
    /// too few results.
    pub(in crate::rules) fn improvements(
        &mut self,
        history: &History<'_>,
        steps: &[(&Config, usize)],
    ) -> Option<Vec<f64>> {
        self.0.improvements(history, steps)
    }
}

impl Searcher for Dyhpo {
    fn name(&self) -> &str {
        "dyhpo"
    }

    fn suggest(&mut self, history: &History<'_>, _: &mut Stream) -> Result<Config, SuggestError> {
        self.candidate(history)
    }

    fn predict(&mut self, history: &History<'_>, configs: &[&Config]) -> Option<Vec<Prediction>> {
        self.0.predict(history, configs)
    }
}

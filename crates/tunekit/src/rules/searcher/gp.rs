//! Bayesian optimisation with a Gaussian process: the strong default for up to some hundred trials.
//!
//! First the centre of the space and a few Sobol points; then the configuration with the largest expected improvement
//! (its logarithm: `acquisition`) over the best posterior mean, where the model has been told that every pending trial came
//! out as predicted, so that workers spread. A suggestion is never one that was used before while there are others:
//! measuring again is a decision of its own, not an accident.
//! - `model`: from a history to a fitted process, on the scale that predicts best.
//! - `optimise`: where the acquisition is largest.

mod acquire;
mod model;
mod optimise;
mod output;
mod surrogate;

use self::model::Model;
use super::{History, Prediction, Searcher, Stream, SuggestError, random, unused};
use crate::rules::qmc::Sobol;
use crate::words::value::Config;

/// Fewer configurations than this make no model.
const FEWEST: usize = 3;

/// Suggests where a Gaussian process expects the largest improvement. Cost, measured in 6 dimensions on one core: 0.04 s for
/// a suggestion after 100 trials that refits the model and 0.01 s for one that does not, 0.3 s and 0.01 s after 300. From
/// 400 configurations on it stays at half a second: of more, the best and an even selection of the rest are modelled.
#[derive(Debug, Default)]
pub struct Gp {
    /// The last model and what it was made from: a cache.
    model: Option<Model>,
}

impl Gp {
    /// A searcher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The model of the history; the last one if nothing changed.
    fn model(&mut self, history: &History<'_>) -> Option<&Model> {
        let model = Model::of(history, self.model.take());
        self.model = model;
        self.model.as_ref()
    }

    fn initial(history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let space = history.space();
        let centre = space.centre();
        if !history.uses().contains_key(&centre.key()) {
            return Ok(centre);
        }
        let sobol = Sobol::new(&mut history.stream("gp initial"));
        let index = history.next_trial().0;
        let mut first = true;
        unused(history, stream, |stream| {
            if std::mem::take(&mut first) {
                let point = sobol.point(index, space.len());
                space.decode(&point).expect("Sobol points are in the unit cube")
            } else {
                random::draw(history, stream)
            }
        })
    }
}

impl Searcher for Gp {
    fn name(&self) -> &str {
        "gp"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        // One more than dimensions, so that a plane could be fitted; never so many that little is left to choose.
        let initial = (history.space().len() + 2).clamp(4, 10);
        if history.trials().len() < initial {
            return Self::initial(history, stream);
        }
        let Some(model) = self.model(history) else {
            return Self::initial(history, stream);
        };
        match optimise::best_unused(model, history, stream) {
            Some(config) => Ok(config),
            // Every candidate was used before: the space is small, or nearly used up.
            None => unused(history, stream, |stream| random::draw(history, stream)),
        }
    }

    fn predict(&mut self, history: &History<'_>, configs: &[&Config]) -> Option<Vec<Prediction>> {
        let model = self.model(history)?;
        configs.iter().map(|config| model.prediction(&history.space().encode(config).ok()?)).collect()
    }
}

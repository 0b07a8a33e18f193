//! Bayesian optimisation with a Gaussian process: the strong default for up to some hundred trials.
//!
//! First the centre of the space and a few Sobol points; then the configuration that is worth most by the model, with
//! pending trials counted as known, so that workers spread. A suggestion is never one that was used before while there
//! are others, except where measuring again is the decision (`again`), not an accident.
//! - `model`: from a history to a surrogate of each output: objectives, constraints, failure, cost.
//! - `surrogate`, `output`: a fitted process, and the scale of its outputs.
//! - `acquire`, `volume`: the worth of a trial: expected improvement in one objective, or in hypervolume.
//! - `optimise`: where that is largest.
//! - `again`: the choice of a configuration to measure again.
//! - `level`: the worth of one level more of a resource.

mod acquire;
mod again;
mod level;
mod model;
mod optimise;
pub(in crate::rules) mod output;
mod precision;
mod surrogate;
mod volume;

use self::acquire::Incumbent;
use self::model::{How, Model};
use super::{History, Prediction, Searcher, Stream, SuggestError, random, unused};
use crate::rules::qmc::Sobol;
use crate::words::metric::Noise;
use crate::words::schedule::ResourceKernel;
use crate::words::value::Config;

/// Fewer configurations than this make no model.
const FEWEST: usize = 3;

/// Suggests where a Gaussian process expects the most: the improvement of a noisy measurement in logarithms (Ament et
/// al. 2023, Letham et al. 2019), or of the hypervolume with several objectives (of more than three, each trial looks
/// at three, drawn by lot); weighed by the probability that constraints are met and the trial does not fail, and by the
/// cost where that counts.
///
/// With a known budget ([`Setup::budget`](crate::Setup::budget)), every other trial of its last fifth confirms the
/// probable best: right beside it or, where measurements are noisy and all parameters are integers or choices, by
/// measuring it again. All other suggestions are configurations that were not used, while there are any.
///
/// Good for up to some hundred trials in up to some twenty parameters, of any kind. Everything is modelled up to 500
/// configurations; of more, the best quarter of that number and an even selection of the rest, and every one since the
/// last fit of the hyperparameters, which comes each time the number has grown by a fifteenth (for each configuration,
/// up to 60).
#[derive(Debug, Default)]
pub struct Gp {
    how: How,
    /// The last model and the history that it was made from: a cache.
    model: Option<Model>,
}

impl Gp {
    /// A searcher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this kernel along a resource, which counts under a scheduler that compares trials at several levels of one.
    #[must_use]
    pub(in crate::rules) fn along(self, kernel: ResourceKernel) -> Self {
        Self { how: How { kernel, ..self.how }, ..self }
    }

    /// The model of the history; the last one if nothing changed.
    fn model(&mut self, history: &History<'_>) -> Option<&Model> {
        let model = Model::of(history, self.how, self.model.take());
        self.model = model;
        self.model.as_ref()
    }

    /// Judges a study's answer: the expected value of a further measurement of each of these configurations, whichever
    /// searcher chose them, at a level of the resource, if there are any. Hyperparameters are drawn, not fitted, so
    /// that the interval holds although the configuration was chosen for being low. `None` if fewer than three
    /// configurations were measured, and without noise, where nothing is uncertain.
    pub(in crate::rules) fn judged_at(
        &mut self,
        level: Option<usize>,
        history: &History<'_>,
        configs: &[&Config],
    ) -> Option<Vec<Prediction>> {
        if history.metric().noise == Noise::Deterministic {
            return None;
        }
        let points: Option<Vec<Vec<f64>>> = configs.iter().map(|config| history.space().encode(config).ok()).collect();
        self.how.level = level;
        let model = self.model(history).filter(|model| level.is_some() || model.is_of_full_runs(history));
        // Along a resource a configuration is several rows of the model, and bounds say little of how good any is.
        let model = model.filter(|model| model.measured() >= FEWEST);
        let judged = model.and_then(|model| model.judged(&points?, &mut history.stream("judge")));
        self.how.level = None;
        judged
    }

    /// For each level of the resource, the probability that it ranks configurations best; `None` with too few results.
    pub(in crate::rules) fn precision(&mut self, history: &History<'_>, stream: &mut Stream) -> Option<Vec<f64>> {
        precision::precision(self.model(history)?, history, stream)
    }

    /// A suggestion for a level of the resource, if one is given.
    pub(super) fn suggest_at(
        &mut self,
        level: Option<usize>,
        history: &History<'_>,
        stream: &mut Stream,
    ) -> Result<Config, SuggestError> {
        self.how.level = level;
        let suggestion = self.suggest(history, stream);
        self.how.level = None;
        suggestion
    }

    /// For each of these configurations, the logarithm of the improvement that is expected at this level of the
    /// resource. `None` with too few results.
    pub(super) fn improvements(&mut self, history: &History<'_>, steps: &[(&Config, usize)]) -> Option<Vec<f64>> {
        let encoded = steps.iter().map(|(config, level)| Some((history.space().encode(config).ok()?, *level)));
        let encoded: Vec<(Vec<f64>, usize)> = encoded.collect::<Option<_>>()?;
        Some(level::improvements(self.model(history)?, &encoded))
    }

    /// Number of trials that are spread before a model decides: one more than dimensions, so that a plane could be
    /// fitted; never so many that little is left to choose.
    pub(in crate::rules) fn first(history: &History<'_>) -> usize {
        (history.space().len() + 2).clamp(4, 10)
    }

    fn initial(history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        let space = history.space();
        let centre = space.centre();
        if history.used(&centre) == 0 && space.allows(&centre) {
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
        if history.trials().len() < Self::first(history) {
            return Self::initial(history, stream);
        }
        let Some(model) = self.model(history) else {
            return Self::initial(history, stream);
        };
        if optimise::incumbent(history) == Incumbent::Nothing
            && let Some(config) = again::again(model, history)
        {
            return Ok(config);
        }
        match optimise::best_unused(model, history, stream) {
            Some(config) => Ok(config),
            // Every candidate was used before: the space is small, or nearly used up.
            None => unused(history, stream, |stream| random::draw(history, stream)),
        }
    }

    fn predict(&mut self, history: &History<'_>, configs: &[&Config]) -> Option<Vec<Prediction>> {
        let model = self.model(history).filter(|model| model.is_of_full_runs(history))?;
        configs.iter().map(|config| model.prediction(&history.space().encode(config).ok()?)).collect()
    }
}

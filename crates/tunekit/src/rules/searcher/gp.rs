//! Bayesian optimisation with a Gaussian process: the strong default for up to some hundred trials.
//!
//! It begins with the centre of the space and a few Sobol points. Then it suggests the configuration that is worth most
//! by the model, with pending trials counted as known, so that workers spread. While unused configurations are left, a
//! used one is suggested only on purpose (`again`).
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
use crate::rules::gp::Posterior;
use crate::rules::qmc::Sobol;
use crate::words::metric::Noise;
use crate::words::schedule::ResourceKernel;
use crate::words::value::Config;

/// Fewer configurations than this make no model.
const FEWEST: usize = 3;

/// Suggests the configuration from which a Gaussian process expects the largest improvement of a noisy measurement, in
/// logarithms (Ament et al. 2023, Letham et al. 2019), or of the hypervolume with several objectives (with more than
/// three, each trial uses three random ones). The improvement is weighed by the probability that the constraints are
/// met and the trial does not fail, and in cost-aware studies by the cost.
///
/// With a known budget ([`Setup::budget`](crate::Setup::budget)), every other trial of its last fifth confirms the
/// probable best: right beside it or, if measurements are noisy and all parameters are integers or choices, by
/// measuring it again. All other suggestions are unused configurations, while any are left.
///
/// Good for up to some hundred trials in up to some twenty parameters, of any kind. Up to 500 configurations are all
/// modelled. Of more, the best 125, an even selection of the others, and all since the last fit of the hyperparameters
/// are modelled. That fit is repeated for each configuration up to 60, and then each time the number has grown by a
/// fifteenth.
#[derive(Debug, Default)]
pub struct Gp {
    how: How,
    /// The last model and the history that it was made from: a cache.
    model: Option<Model>,
}

impl Gp {
    /// A new searcher.
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

    /// The judge of a study's answer, at a level of the resource, if there are any. `None` if fewer than three
    /// configurations were measured, and without noise, where nothing is uncertain.
    pub(in crate::rules) fn judge_at(level: Option<usize>, history: &History<'_>) -> Option<Judge> {
        if history.metric().noise == Noise::Deterministic {
            return None;
        }
        let model = Model::of(history, How { level, ..How::default() }, None);
        let model = model.filter(|model| level.is_some() || model.is_of_full_runs(history));
        // Along a resource a configuration is several rows of the model, and bounds say little of how good any is.
        let model = model.filter(|model| model.measured() >= FEWEST)?;
        let drawn = model.drawn(&mut history.stream("judge"))?;
        Some(Judge { model, drawn })
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

/// The judge of a study's answer, whichever searcher chose the configurations. Hyperparameters are drawn, not fitted,
/// so that intervals hold although the configuration was chosen for being low.
pub(in crate::rules) struct Judge {
    model: Model,
    /// Its process by each draw of the hyperparameters.
    drawn: Vec<Posterior>,
}

impl Judge {
    /// The expected value of a further measurement of each of these configurations. `None` if a prediction is not
    /// finite.
    pub(in crate::rules) fn judged(&self, history: &History<'_>, configs: &[&Config]) -> Option<Vec<Prediction>> {
        let points: Option<Vec<Vec<f64>>> = configs.iter().map(|config| history.space().encode(config).ok()).collect();
        self.model.judged(&points?, &self.drawn)
    }

    /// The gain over this configuration that further trials can bring, and the noise of one of its measurements. `None`
    /// if no configuration probably meets the constraints, a covariance cannot be factored, or a number is not finite.
    pub(in crate::rules) fn gain(&self, history: &History<'_>, best: &Config) -> Option<(f64, f64)> {
        let point = history.space().encode(best).ok()?;
        optimise::gain(&self.model, &point, &self.drawn, history.space(), &mut history.stream("floor"))
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

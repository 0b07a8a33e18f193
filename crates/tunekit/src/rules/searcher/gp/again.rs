//! The choice of a configuration to measure again, near the end of a budget.
//!
//! The present best is confirmed in the end (`optimise`). Along a continuous parameter that is done right beside it,
//! which is as informative and may still gain. Where all parameters are integers or choices, the neighbour is another
//! configuration: a division that leaves a remainder makes it some percent better or worse than a smooth function
//! predicts. A process takes that for noise, because one measurement of each configuration cannot tell the two apart.
//! So a share of the deviations is attributed to the configurations themselves (tau^2 in `rules/gp.rs`), and the
//! configuration that is best under that assumption is measured again, to learn whether it was lucky.

use super::acquire::FEASIBLE;
use super::model::{Model, own_share};
use crate::rules::history::History;
use crate::words::value::Config;

/// Share of the outputs' spread: where deviations are smaller, a new configuration is more informative than a
/// repetition.
const LEAST_DEVIATION: f64 = 0.02;

/// The configuration to measure again: among the allowed configurations that are not running, the one with the lowest
/// value of mean minus one standard deviation. `None` if another measurement would tell little: there is a continuous
/// parameter, or hardly any noise.
pub(super) fn again(model: &Model, history: &History<'_>) -> Option<Config> {
    let plain = &model.objective.posterior;
    let tells = own_share(history) > 0.0
        // Else repeats are the scheduler's business.
        && history.next_resource().is_none()
        && model.further.is_empty()
        && plain.noise().sqrt() >= LEAST_DEVIATION
        && !model.objective.repeats();
    if !tells {
        return None;
    }
    let bounds = model.judge().predict_many(&model.sites).into_iter().map(|(mean, sd)| mean - sd);
    let allowed = model.feasible_sites(FEASIBLE);
    let mut ranked: Vec<(f64, &Vec<f64>)> =
        bounds.zip(&model.sites).zip(allowed).filter(|(_, allowed)| *allowed).map(|(ranked, _)| ranked).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked.iter().filter_map(|(_, x)| history.space().decode(x).ok()).find(|config| !history.is_pending(config))
}

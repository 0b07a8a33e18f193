//! The searcher that suits the study: by its space, its budget and its noise.

use std::fmt;

use super::{History, Prediction, Searcher, SearcherKind, Stream, SuggestError};
use crate::words::domain::Domain;
use crate::words::metric::Noise;
use crate::words::value::Config;

/// With more trials than this, a model of every trial costs more time than most trials are worth, and methods with
/// populations or densities have enough data to catch up.
const MANY_TRIALS: u64 = 1500;
/// With more parameters than this, a Gaussian process learns little from a few hundred trials.
const MANY_PARAMETERS: usize = 60;
/// With more objectives than this nearly all results are on the front, and a ranking gives little information.
const OBJECTIVES: usize = 3;

/// Chooses the searcher that suits the study, and gives the reason: see [`Searcher::why`].
///
/// | the study | searcher |
/// |---|---|
/// | a deterministic metric, and no more configurations than trials | `grid` |
/// | more than 1500 trials, or 60 parameters, with more than three objectives | `evolution` |
/// | more than 1500 trials, or 60 parameters, all of them numbers | `cmaes` |
/// | more than 1500 trials, or 60 parameters | `tpe` |
/// | anything else | `gp` |
///
/// The number of trials is the study's budget ([`Setup::budget`](crate::Setup::budget)), or without a budget the number
/// so far.
#[derive(Default)]
pub struct Auto {
    /// The searcher that was used last, kept for its caches.
    taken: Option<(SearcherKind, Box<dyn Searcher>)>,
}

impl fmt::Debug for Auto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auto").field("taken", &self.taken.as_ref().map(|(kind, _)| kind)).finish()
    }
}

impl Auto {
    /// A searcher that has not chosen yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The kind that suits a study, and why.
    fn choice(history: &History<'_>) -> (SearcherKind, String) {
        let space = history.space();
        let trials = history.budget().unwrap_or(0).max(history.trials().len() as u64);
        let parameters = space.len();
        let numeric = |d: &Domain| matches!(d, Domain::Float(_) | Domain::Int(_));
        let all_numeric = space.iter().all(|(_, domain)| numeric(domain)) && !space.is_conditional();
        let objectives = 1 + history.objectives().len();
        if let Some(count) = space.count().filter(|count| {
            history.metric().noise == Noise::Deterministic && history.budget().is_some_and(|b| *count <= u128::from(b))
        }) {
            return (
                SearcherKind::Grid,
                format!("all {count} configurations fit into the budget and the metric has no noise"),
            );
        }
        let why = if trials > MANY_TRIALS {
            format!("{trials} trials are more than a model of all of them is worth")
        } else if parameters > MANY_PARAMETERS {
            format!("{parameters} parameters are more than a Gaussian process learns about from few trials")
        } else {
            let noise = match history.metric().noise {
                Noise::Deterministic => "",
                _ => ", noisy",
            };
            return (
                SearcherKind::Gp,
                format!("few{noise} trials in {parameters} parameters: a Gaussian process needs the fewest"),
            );
        };
        if objectives > OBJECTIVES {
            (SearcherKind::Evolution, format!("{why}, and {objectives} objectives leave little to rank"))
        } else if all_numeric {
            (SearcherKind::CmaEs, format!("{why}, and all parameters are numbers"))
        } else {
            (SearcherKind::Tpe, format!("{why}, and some parameters are not numbers or exist only conditionally"))
        }
    }

    fn searcher(&mut self, history: &History<'_>) -> &mut dyn Searcher {
        let (kind, why) = Self::choice(history);
        if self.taken.as_ref().is_none_or(|(taken, _)| *taken != kind) {
            tracing::info!(searcher = kind.as_str(), why, "auto takes a searcher");
            self.taken = None;
        }
        self.taken.get_or_insert_with(|| (kind, kind.build())).1.as_mut()
    }
}

impl Searcher for Auto {
    fn name(&self) -> &str {
        "auto"
    }

    fn suggest(&mut self, history: &History<'_>, stream: &mut Stream) -> Result<Config, SuggestError> {
        self.searcher(history).suggest(history, stream)
    }

    fn predict(&mut self, history: &History<'_>, configs: &[&Config]) -> Option<Vec<Prediction>> {
        self.searcher(history).predict(history, configs)
    }

    fn why(&self, history: &History<'_>) -> Option<String> {
        let (kind, why) = Self::choice(history);
        Some(format!("{kind}: {why}"))
    }
}

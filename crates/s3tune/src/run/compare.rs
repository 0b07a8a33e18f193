//! The final comparison: after the search, the baseline, the engine's default and the best configuration are measured
//! again in turn.
//!
//! The search's own figure for the best configuration is too good, because the search chose the configuration by that
//! figure. The measurements of the comparison did not influence the choice.

use std::error::Error;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tunekit::Config;
use tunekit::compare::{CompareError, Improvement, log_ratio_improvement, relative_improvement};

use super::arms::Role;
use super::comparison::{Comparison, ComparisonFile, Download};
use super::rounds::{next, rounds};
use crate::failure::{Failure, chain};
use crate::measure::{Bench, MeasureError};
use crate::show::Show;

/// Measures until the comparison is finished, at most `most_rounds` rounds. `found_seconds` is about how long a
/// download takes, `began` when the search began, as far as the clock of its measurements goes.
pub(crate) async fn compare(
    bench: &Bench,
    file: &mut ComparisonFile,
    most_rounds: usize,
    found_seconds: f64,
    began: Instant,
    show: &Show,
) -> Result<(), Failure> {
    // The engine watches its own progress; another program may hang.
    let limit = Duration::from_secs_f64((60.0 + 100.0 * found_seconds).min(86_400.0));
    while let Some(arm) = next(file.comparison(), most_rounds) {
        let now = file.comparison();
        let (round, of) = (now.rounds() + 1, rounds(now).min(most_rounds));
        show.now(format!("comparison, round {round} of {of}: {}", names(now, arm)));
        let config = now.arms[arm].config.clone();
        let seconds = measure(bench, &config, limit, show).await?;
        file.add(Download { arm, at_s: began.elapsed().as_secs_f64(), seconds })?;
    }
    Ok(())
}

fn names(comparison: &Comparison, arm: usize) -> String {
    let name = |role: &Role| match role {
        Role::Baseline => "the baseline",
        Role::EngineDefault => "the engine's default",
        Role::Best => "the one found",
    };
    comparison.arms[arm].roles.iter().map(name).collect::<Vec<_>>().join(", ")
}

async fn measure(bench: &Bench, config: &Config, limit: Duration, show: &Show) -> Result<f64, Failure> {
    let failed = |error: &dyn Error| Failure::work("measure the comparison", error);
    let mut tries = 2;
    loop {
        tries -= 1;
        match timeout(limit, bench.download(config)).await {
            Ok(Ok(took)) => return Ok(took.as_secs_f64()),
            // One hiccup of the network is not worth the search that came before.
            Ok(Err(MeasureError::Transfer(error))) if tries > 0 => {
                show.line(format!("a download of the comparison failed and is repeated: {}", chain(&error)));
            }
            Ok(Err(error)) => return Err(failed(&error)),
            Err(_) => {
                let seconds = limit.as_secs_f64();
                return Err(Failure::Work(format!(
                    "a download of the comparison did not end within {seconds:.0} s; the measurements are kept"
                )));
            }
        }
    }
}

/// The result of a comparison.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Improvements {
    /// The best configuration against the baseline.
    pub(crate) over_baseline: Improvement,
    /// The best configuration against the engine's default.
    pub(crate) over_default: Improvement,
    /// The engine's default against the baseline: the gain without any tuning.
    pub(crate) default_over_baseline: Improvement,
    /// Whether at least one of them uses the logarithms of the ratios, because the means give no interval.
    pub(crate) by_ratios: bool,
}

impl Improvements {
    /// # Errors
    ///
    /// [`Failure::Work`] if there are too few measurements.
    pub(crate) fn of(comparison: &Comparison) -> Result<Self, Failure> {
        let [baseline, default, best] = [Role::Baseline, Role::EngineDefault, Role::Best];
        let mut by_ratios = false;
        let mut over = |other, candidate| improvement(comparison, other, candidate, &mut by_ratios);
        let (over_baseline, over_default) = (over(baseline, best)?, over(default, best)?);
        let default_over_baseline = over(baseline, default)?;
        Ok(Self { over_baseline, over_default, default_over_baseline, by_ratios })
    }
}

/// The share of time that `candidate` saves against `other`; zero if both are the same arm. `by_ratios` is set if the
/// means give no interval because a few downloads stalled.
fn improvement(
    comparison: &Comparison,
    other: Role,
    candidate: Role,
    by_ratios: &mut bool,
) -> Result<Improvement, Failure> {
    let (others, candidates) = (comparison.samples(other), comparison.samples(candidate));
    let n = others.len().min(candidates.len());
    if comparison.arm(other) == comparison.arm(candidate) {
        return Ok(Improvement::none(n));
    }
    let improvement = match relative_improvement(&others[..n], &candidates[..n], 0.95) {
        Err(CompareError::Unbounded { .. }) => {
            *by_ratios = true;
            log_ratio_improvement(&others[..n], &candidates[..n], 0.95)
        }
        bounded => bounded,
    };
    improvement.map_err(|error| Failure::work("compare", &error))
}

/// The arithmetic mean; NaN without samples.
pub(crate) fn mean(samples: &[f64]) -> f64 {
    samples.iter().sum::<f64>() / samples.len() as f64
}

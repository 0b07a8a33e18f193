//! Does s3tune ever recommend a configuration that is worse than the engine's default, on a network where nothing is to
//! be gained?

use std::path::Path;

use s3tune::results::Recommended;

use crate::arena::{Arena, Clock, Search, recommended};
use crate::figures::{mean, worst};
use crate::grid::{Rounds, engine_default, in_turn};
use crate::networks::FLAT;

/// Rounds in which every recommendation is measured against the default.
const ROUNDS: Rounds = Rounds { least: 40, most: 40, precision: 0.0 };

/// The table, over so many studies.
pub(crate) fn run(clock: Clock, method: &str, seeds: u64, seconds: f64, folder: &Path) -> Result<String, String> {
    let mut kept = 0;
    let (mut ratios, mut significantly_worse) = (Vec::new(), 0);
    for seed in 0..seeds {
        let pair = clock.runtime()?.block_on(async {
            let study = Arena::new(clock, FLAT, seed, folder).await?;
            let search = Search { method, space: "default", seconds, n_downloads: 3, cut_off: true, seed };
            let summary = study.tune(search).await?;
            if summary.recommended == Recommended::EngineDefault {
                return Ok(None);
            }
            let arena = Arena::new(clock, FLAT, 1_000 + seed, folder).await?;
            in_turn(&arena, &[engine_default(), recommended(&summary)], ROUNDS).await.map(Some)
        });
        let pair: Option<Vec<Vec<f64>>> = pair.map_err(|error: String| format!("seed {seed}: {error}"))?;
        let Some(pair) = pair else {
            kept += 1;
            continue;
        };
        let improvement = tunekit::compare::relative_improvement(&pair[0], &pair[1], 0.95);
        let improvement = improvement.map_err(|error| format!("seed {seed}: {error}"))?;
        eprintln!("seed {seed}: {improvement:?}");
        significantly_worse += u32::from(improvement.upper < 0.0);
        ratios.push(1.0 - improvement.estimate);
    }
    let figure = |value: f64| if ratios.is_empty() { "none".to_owned() } else { format!("{value:.3}") };
    Ok(format!(
        "| studies | default recommended | another recommended | of these significantly slower | mean ratio to the default | worst |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: |\n\
         | {seeds} | {kept} | {} | {significantly_worse} | {} | {} |\n",
        ratios.len(),
        figure(mean(&ratios)),
        figure(worst(&ratios)),
    ))
}

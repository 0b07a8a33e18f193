//! Counts the configurations that a search of the AWS sample's own space measures in a minute, with hopeless downloads
//! cut off.

use std::path::Path;

use crate::arena::{Arena, Clock, Search};
use crate::figures::median;
use crate::networks::ALL;

/// The table, over so many studies of each kind, in turn.
pub(crate) fn run(seeds: u64, seconds: f64, folder: &Path) -> Result<String, String> {
    let network = ALL[1];
    let mut rates = [Vec::new(), Vec::new()];
    let runtime = Clock::Real.runtime()?;
    for seed in 0..seeds {
        for (cut_off, rates) in [false, true].into_iter().zip(&mut rates) {
            let rate = runtime.block_on(async {
                let arena = Arena::new(Clock::Real, network, seed, folder).await?;
                let method = if cut_off { "auto" } else { "bayes_fifo" };
                let search = Search { method, space: "compat", seconds, n_downloads: 3, cut_off, seed };
                let summary = arena.tune(search).await?;
                Ok::<_, String>(summary.trials as f64 * 60.0 / summary.search_seconds)
            })?;
            eprintln!("seed {seed}, cut-offs {cut_off}: {rate:.1} trials a minute");
            rates.push(rate);
        }
    }
    let [without, with] = rates.each_ref().map(|rates| median(rates));
    let ratios: Vec<f64> = rates[1].iter().zip(&rates[0]).map(|(with, without)| with / without).collect();
    Ok(format!(
        "| network | `bayes_fifo`, no cut-offs | `auto` | ratio |\n| --- | ---: | ---: | ---: |\n| {}, {} MiB | {without:.1} | {with:.1} | {:.2} |\n",
        network.name,
        network.object >> 20,
        median(&ratios),
    ))
}

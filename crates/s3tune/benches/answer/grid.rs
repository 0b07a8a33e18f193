//! The exhaustive grid that a recommendation is held against.

use s3tune::engines::{Engine, as_config};
use tunekit::Config;

use crate::arena::Arena;
use crate::figures::{half_width, mean};

const MIB: i64 = 1 << 20;
const REQUESTS: [i64; 6] = [8, 16, 32, 64, 128, 256];
const PARTS_MIB: [i64; 5] = [1, 2, 4, 8, 16];
/// Cells that are measured again, once all have been measured.
const FINAL: usize = 4;

/// The engine's configuration when nobody sets one.
pub(crate) fn engine_default() -> Config {
    Engine::s3xfer().complete(&Config::new())
}

/// Every cell: a fixed number of requests by a fixed size of parts, and the engine's defaults for the rest.
fn cells() -> Vec<Config> {
    let default = as_config(&s3xfer::TransferConfig::default()).with("adaptive_concurrency", false);
    let cell = |requests: i64, mib: i64| {
        default.clone().with("max_concurrency", requests).with("multipart_chunksize", mib * MIB)
    };
    REQUESTS
        .into_iter()
        .flat_map(|requests| PARTS_MIB.into_iter().map(move |mib| (requests, mib)))
        .map(|(requests, mib)| cell(requests, mib))
        .collect()
}

/// The best cells of the grid: each cell measured `rounds` times in turn, the lowest means first. These means are too
/// low, for their cells were chosen for them; the caller measures them again.
pub(crate) async fn best_cells(arena: &Arena, rounds: usize) -> Result<Vec<Config>, String> {
    let cells = cells();
    let mut seconds = vec![Vec::new(); cells.len()];
    for _ in 0..rounds {
        for (cell, seconds) in cells.iter().zip(&mut seconds) {
            seconds.push(arena.seconds(cell).await?);
        }
    }
    let mut ranked: Vec<(f64, Config)> = seconds.iter().map(|seconds| mean(seconds)).zip(cells).collect();
    ranked.sort_by(|one, other| one.0.total_cmp(&other.0));
    Ok(ranked.into_iter().take(FINAL).map(|(_, cell)| cell).collect())
}

/// The length of a measurement in turn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) least: usize,
    pub(crate) most: usize,
    /// The standard error of every mean, relative to it, at which it is enough.
    pub(crate) precision: f64,
}

/// Measures configurations in turn, in an order that turns round by round. Gives a row of seconds for each
/// configuration.
pub(crate) async fn in_turn(arena: &Arena, configs: &[Config], rounds: Rounds) -> Result<Vec<Vec<f64>>, String> {
    let mut seconds = vec![Vec::new(); configs.len()];
    for round in 0..rounds.most {
        for place in 0..configs.len() {
            let at = (place + round) % configs.len();
            seconds[at].push(arena.seconds(&configs[at]).await?);
        }
        let is_precise = |seconds: &Vec<f64>| half_width(seconds) < 1.96 * rounds.precision * mean(seconds);
        if round + 1 >= rounds.least && seconds.iter().all(is_precise) {
            break;
        }
    }
    Ok(seconds)
}

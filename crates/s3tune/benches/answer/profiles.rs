//! Compares s3tune's recommendation for s3xfer with the best of a grid, network by network.

use std::fmt::Write;
use std::path::Path;

use tunekit::Config;

use crate::arena::{Arena, Clock, Search, recommended};
use crate::figures::{half_width, mean, median, worst};
use crate::grid::{Rounds, best_cells, engine_default, in_turn};
use crate::networks::{self, Network};

/// The studies to make.
#[derive(Debug)]
pub(crate) struct Profiles {
    pub(crate) clock: Clock,
    pub(crate) methods: Vec<String>,
    /// Studies of each network and method.
    pub(crate) seeds: u64,
    /// Seconds of each study's search.
    pub(crate) seconds: f64,
    /// Names of networks; all where empty.
    pub(crate) only: Vec<String>,
}

/// One network's figures; everything is relative to the best of the grid.
struct Row {
    network: Network,
    grid_seconds: f64,
    grid_cell: Config,
    default: f64,
    /// For each method, the ratios of its studies.
    methods: Vec<Vec<f64>>,
}

impl Profiles {
    /// The table.
    pub(crate) fn run(&self, folder: &Path) -> Result<String, String> {
        let mut rows = Vec::new();
        for network in networks::ALL {
            if !self.only.is_empty() && !self.only.iter().any(|name| name == network.name) {
                continue;
            }
            let row = self.clock.runtime()?.block_on(self.row(network, folder))?;
            eprintln!("{}", self.line(&row));
            rows.push(row);
        }
        Ok(self.table(&rows))
    }

    async fn row(&self, network: Network, folder: &Path) -> Result<Row, String> {
        // Networks of other seeds than the studies': a study cannot learn the coming randomness.
        let arena = Arena::new(self.clock, network, 1_000, folder).await?;
        let (rounds, last_rounds) = match self.clock {
            Clock::Real => (2, Rounds { least: 10, most: 40, precision: 0.02 }),
            Clock::Virtual => (8, Rounds { least: 20, most: 200, precision: 0.02 }),
        };
        let mut configs = vec![engine_default()];
        configs.extend(best_cells(&arena, rounds).await?);
        let cells = configs.len();
        for method in &self.methods {
            for seed in 0..self.seeds {
                let study = Arena::new(self.clock, network, seed, folder).await?;
                let search =
                    Search { method, space: "default", seconds: self.seconds, n_downloads: 3, cut_off: true, seed };
                let summary = study.tune(search).await?;
                let versus = summary.versus_engine_default;
                eprintln!("{}, {method}, seed {seed}: {} trials, {versus:?}", network.name, summary.trials);
                configs.push(recommended(&summary));
            }
        }
        let seconds = in_turn(&arena, &configs, last_rounds).await?;
        let means: Vec<f64> = seconds.iter().map(|seconds| mean(seconds)).collect();
        let best = (1..cells).min_by(|one, other| means[*one].total_cmp(&means[*other])).expect("there are cells");
        let ratio = |at: usize| means[at] / means[best];
        eprintln!("{} rounds:", seconds[0].len());
        for (at, config) in configs.iter().enumerate() {
            eprintln!("  {:.3}  {config}", ratio(at));
        }
        let methods = means[cells..]
            .chunks(self.seeds as usize)
            .map(|chunk| chunk.iter().map(|mean| mean / means[best]).collect());
        Ok(Row {
            network,
            grid_seconds: means[best],
            grid_cell: configs[best].clone(),
            default: ratio(0),
            methods: methods.collect(),
        })
    }

    fn line(&self, row: &Row) -> String {
        let cell = |name| row.grid_cell.int(name).unwrap_or(0);
        let mut line = format!(
            "| {} | {} | {:.2} | {} x {} | {:.2} |",
            row.network.name,
            row.network.object >> 20,
            row.grid_seconds,
            cell("max_concurrency"),
            cell("multipart_chunksize") >> 20,
            row.default,
        );
        for ratios in &row.methods {
            let _ = write!(line, " {:.2} | {:.2} |", median(ratios), worst(ratios));
        }
        line
    }

    fn table(&self, rows: &[Row]) -> String {
        let mut head = String::from("| network | MiB | best of the grid, s | its requests x MiB | default |");
        let mut rule = String::from("| --- | ---: | ---: | ---: | ---: |");
        for method in &self.methods {
            let _ = write!(head, " {method} | worst |");
            rule += " ---: | ---: |";
        }
        let mut text = format!("{head}\n{rule}\n");
        for row in rows {
            let _ = writeln!(text, "{}", self.line(row));
        }
        let of_rows =
            |figure: fn(&[f64]) -> f64, of: &dyn Fn(&Row) -> f64| figure(&rows.iter().map(of).collect::<Vec<_>>());
        for (name, figure) in [("median", median as fn(&[f64]) -> f64), ("worst", worst)] {
            let _ = write!(text, "| *{name}* | | | | {:.2} |", of_rows(figure, &|row| row.default));
            for method in 0..self.methods.len() {
                let medians = of_rows(figure, &|row| median(&row.methods[method]));
                let _ = write!(text, " {medians:.2} | {:.2} |", of_rows(figure, &|row| worst(&row.methods[method])));
            }
            text.push('\n');
        }
        text.push('\n');
        for (at, method) in self.methods.iter().enumerate().skip(1) {
            let pairs = rows.iter().flat_map(|row| row.methods[at].iter().zip(&row.methods[0]));
            let logarithms: Vec<f64> = pairs.map(|(this, first)| (this / first).ln()).collect();
            let _ = writeln!(
                text,
                "{method} over {}: mean ln ratio {:+.3}, plus or minus {:.3} ({} pairs).",
                self.methods[0],
                mean(&logarithms),
                half_width(&logarithms),
                logarithms.len(),
            );
        }
        text
    }
}

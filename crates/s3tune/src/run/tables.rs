//! The tables of a run: one with a row per trial, and one with a row per download.

use tunekit::results::{Cells, Table};
use tunekit::{Config, Experiment, Space, Value};

use super::comparison::{Comparison, Contents};
use crate::engines::COLUMNS;

/// The names of the columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Names {
    /// This program's own names.
    #[default]
    Ours,
    /// The names in the tables of Syne Tune 0.11, so that the notebooks of the AWS sample can read them.
    SyneTune,
}

/// The sample's name of the metric.
const SAMPLE_METRIC: &str = "avg_download_time";

/// A row per trial. With Syne Tune's names, only trials with a value have a row.
pub(crate) fn results(experiment: &Experiment, names: Names) -> Table {
    let table = experiment.trials_table();
    match names {
        Names::Ours => table,
        Names::SyneTune => syne_tune(&table),
    }
}

/// `trial_id`, the metric, the time since the search began, the status and each parameter as `config_NAME`: the columns
/// of Syne Tune's `results.csv.zip` that the sample's notebooks read.
fn syne_tune(table: &Table) -> Table {
    let valued: Vec<usize> = match table.column("value") {
        Some(Cells::Float(values)) => (0..values.len()).filter(|row| values[*row].is_some()).collect(),
        _ => Vec::new(),
    };
    let renamed = |name: &str| match name {
        "trial_id" => Some("trial_id".to_owned()),
        "value" => Some(SAMPLE_METRIC.to_owned()),
        "ended_s" => Some("st_tuner_time".to_owned()),
        "status" => Some("st_status".to_owned()),
        "elapsed_s" => Some("elapsed_time".to_owned()),
        "n" => Some("download_attempts".to_owned()),
        parameter => parameter.starts_with("config_").then(|| parameter.to_owned()),
    };
    let columns = table.columns().filter_map(|(name, cells)| Some((renamed(name)?, chosen(cells, &valued))));
    table_of(columns.collect())
}

fn chosen(cells: &Cells, rows: &[usize]) -> Cells {
    fn pick<T: Clone>(cells: &[Option<T>], rows: &[usize]) -> Vec<Option<T>> {
        rows.iter().map(|row| cells[*row].clone()).collect()
    }
    match cells {
        Cells::Float(cells) => Cells::Float(pick(cells, rows)),
        Cells::Int(cells) => Cells::Int(pick(cells, rows)),
        Cells::Bool(cells) => Cells::Bool(pick(cells, rows)),
        Cells::Text(cells) => Cells::Text(pick(cells, rows)),
        other => other.clone(),
    }
}

/// A download: of the search, or of a comparison.
struct Row<'a> {
    trial: Option<u64>,
    arm: &'static str,
    at_s: Option<f64>,
    seconds: f64,
    /// Whether it was cut off because it could no longer be good: its time is then a lower bound.
    cut_off: bool,
    config: &'a Config,
}

/// A row per download, in the order of the downloads: `trial` (none for a reference of the comparison), `arm`
/// (`search`, or the roles in the comparison, joined by `+`), `order`, `at_s` since the search began, `seconds`,
/// `cut_off` (`seconds` is then a lower bound), and the parameters.
pub(crate) fn measurements(experiment: &Experiment, comparisons: &Contents, names: Names) -> Table {
    let mut rows: Vec<Row<'_>> = Vec::new();
    for trial in experiment.trials() {
        rows.extend(trial.measurements.iter().map(|one| Row {
            trial: Some(trial.id.0),
            arm: "search",
            at_s: one.at_s,
            seconds: one.value,
            cut_off: false,
            config: &trial.config,
        }));
        rows.extend(trial.at_least.map(|seconds| Row {
            trial: Some(trial.id.0),
            arm: "search",
            at_s: trial.ended_s,
            seconds,
            cut_off: true,
            config: &trial.config,
        }));
    }
    // A trial that was paused and went on has others between its downloads.
    rows.sort_by(|a, b| a.at_s.unwrap_or(f64::INFINITY).total_cmp(&b.at_s.unwrap_or(f64::INFINITY)));
    rows.extend(comparisons.earlier.iter().chain(&comparisons.last).flat_map(compared));
    let [trial, arm, order, time, seconds, cut_off] = COLUMNS;
    let (trial, time, seconds) = match names {
        Names::Ours => (trial, time, seconds),
        Names::SyneTune => ("trial_id", "st_tuner_time", "download_time"),
    };
    let mut columns = vec![
        (trial.to_owned(), Cells::Int(rows.iter().map(|row| row.trial.map(|trial| trial as i64)).collect())),
        (arm.to_owned(), Cells::Text(rows.iter().map(|row| Some(row.arm.to_owned())).collect())),
        (order.to_owned(), Cells::Int((0..rows.len()).map(|order| Some(order as i64)).collect())),
        (time.to_owned(), Cells::Float(rows.iter().map(|row| row.at_s).collect())),
        (seconds.to_owned(), Cells::Float(rows.iter().map(|row| Some(row.seconds)).collect())),
        (cut_off.to_owned(), Cells::Bool(rows.iter().map(|row| Some(row.cut_off)).collect())),
    ];
    let prefix = if names == Names::SyneTune { "config_" } else { "" };
    columns
        .extend(parameters(&experiment.header().space, &rows).map(|(name, cells)| (format!("{prefix}{name}"), cells)));
    table_of(columns)
}

fn compared(comparison: &Comparison) -> impl Iterator<Item = Row<'_>> {
    comparison.downloads.iter().map(|one| {
        let arm = &comparison.arms[one.arm];
        Row {
            trial: arm.trial,
            arm: arm.names(),
            at_s: Some(one.at_s),
            seconds: one.seconds,
            cut_off: false,
            config: &arm.config,
        }
    })
}

fn parameters<'a>(space: &'a Space, rows: &'a [Row<'_>]) -> impl Iterator<Item = (&'a str, Cells)> {
    space.iter().map(|(name, _)| {
        let values: Vec<Option<&Value>> = rows.iter().map(|row| row.config.value(name)).collect();
        (name, cells(&values))
    })
}

/// Whole numbers, numbers, truth values or texts: the narrowest kind that holds all of them.
fn cells(values: &[Option<&Value>]) -> Cells {
    let all = |kind: fn(&Value) -> bool| values.iter().flatten().all(|value| kind(value));
    if all(|value| matches!(value, Value::Int(_))) {
        Cells::Int(values.iter().map(|value| value.and_then(Value::as_i64)).collect())
    } else if all(|value| value.as_f64().is_some()) {
        Cells::Float(values.iter().map(|value| value.and_then(Value::as_f64)).collect())
    } else if all(|value| value.as_bool().is_some()) {
        Cells::Bool(values.iter().map(|value| value.and_then(Value::as_bool)).collect())
    } else {
        Cells::Text(values.iter().map(|value| value.map(ToString::to_string)).collect())
    }
}

fn table_of(columns: Vec<(String, Cells)>) -> Table {
    Table::try_from(columns).expect("every column is made of the same rows")
}

//! A run's folder: whose it is, and the files it is left with.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tunekit::{
    Best, Config, Domain, Event, Experiment, JOURNAL_NAME, JournalFile, PartialDependence, Setup, Status, write_csv,
};

use crate::engine::Knob;
use crate::failure::Failure;
use crate::measure::Bench;
use crate::results::{
    Arm, Comparison, ConfigurationRow, Influence, Origin, Outcome, Parameter, ParameterUnit, ParameterValue,
    ReportInput, Summary, TrialRow, write_best, write_parquet, write_report, write_whole,
};
use crate::run::influence::Explained;
use crate::run::proof::{Proof, mean};
use crate::run::{Plan, another_run, baseline, in_full};
use crate::show::{against, seconds};
use crate::size::ByteSize;

/// Beside the journal, which knows parameters and seed but not what was downloaded.
const IDENTITY: &str = "run.json";

/// A folder that belongs to this run.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

/// What must be the same for measurements to be comparable.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    schema: u32,
    object: String,
    object_bytes: u64,
    e_tag: Option<String>,
    network: String,
    engine: String,
    n_downloads: u32,
    /// The engine's parameters: what exports and reports need to know of an engine that is a file of the user's.
    knobs: Vec<Knob>,
}

impl Identity {
    pub(crate) fn of(plan: &Plan, bench: &Bench) -> Self {
        Self {
            schema: 2,
            object: bench.object.to_string(),
            object_bytes: bench.object.bytes,
            e_tag: bench.object.e_tag.clone(),
            network: plan.network.clone(),
            engine: bench.engine.name().to_owned(),
            n_downloads: plan.n_downloads,
            knobs: bench.engine.knobs().to_vec(),
        }
    }

    /// The first thing in which two runs differ.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        [
            ("object", self.object == other.object && self.object_bytes == other.object_bytes),
            ("object's version", self.e_tag == other.e_tag),
            ("network", self.network == other.network),
            ("engine", self.engine == other.engine && self.knobs == other.knobs),
            ("number of downloads per configuration", self.n_downloads == other.n_downloads),
            ("format", self.schema == other.schema),
        ]
        .into_iter()
        .find_map(|(what, same)| (!same).then_some(what))
    }
}

impl Folder {
    /// Makes the folder, or goes on in one that this run began.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for a folder of another run, [`Failure::Work`] for one that cannot be written.
    pub(crate) fn open(path: &Path, identity: &Identity) -> Result<Self, Failure> {
        let doing = format!("write the results' folder {}", path.display());
        fs::create_dir_all(path)
            .map_err(|error| Failure::Work(format!("failed to {doing}: {error}; choose another --out")))?;
        let file = path.join(IDENTITY);
        match fs::read(&file) {
            Ok(bytes) => {
                let found: Identity = serde_json::from_slice(&bytes).map_err(|error| {
                    Failure::Work(format!("{} is damaged: {error}; choose another --out", file.display()))
                })?;
                if let Some(what) = found.difference(identity) {
                    return Err(another_run(path, what));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let text = serde_json::to_string_pretty(identity).expect("a struct of numbers and texts serialises");
                write_whole(&file, text.as_bytes()).map_err(|error| Failure::work(&doing, &error))?;
            }
            Err(error) => return Err(Failure::work(&doing, &error)),
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Locks the journal and sees that it is of the study that `setup` describes, or of none yet.
    pub(crate) fn check_journal(&self, setup: &Setup) -> Result<JournalFile, Failure> {
        let doing = "go on from the journal";
        let (journal, contents) = JournalFile::open(self.journal()).map_err(|error| Failure::work(doing, &error))?;
        let asked = setup.header().map_err(|error| Failure::work("begin the search", &error))?;
        match contents.events.first() {
            Some(Event::Header(found)) => match found.difference(&asked) {
                Some(what) => Err(another_run(&self.path, what)),
                None => Ok(journal),
            },
            _ => Ok(journal),
        }
    }

    /// Where the journal is, or will be.
    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL_NAME)
    }

    /// `results.csv` and `results.parquet`: a row a trial.
    pub(crate) fn save_tables(&self, experiment: &Experiment) -> Result<(), Failure> {
        let table = experiment.trials_table();
        let csv = self.path.join("results.csv");
        write_csv(&table, &csv).map_err(|error| Failure::work("write results.csv", &error))?;
        write_parquet(&self.path.join("results.parquet"), table.columns())
            .map_err(|error| Failure::work("write results.parquet", &error))
    }

    /// `best.toml`.
    pub(crate) fn save_best(&self, plan: &Plan, bench: &Bench, best: &Best) -> Result<(), Failure> {
        let origin = Origin {
            lines: vec![
                format!("Found for {} ({}), {}.", bench.object, ByteSize(bench.object.bytes), plan.network),
                format!(
                    "Trial {} of seed {}: {} on average of {} downloads, by {}.",
                    best.trial.0,
                    plan.seed,
                    seconds(best.value),
                    best.n,
                    bench.engine.name()
                ),
            ],
        };
        let configuration = in_full(bench, &best.config);
        write_best(
            &self.path.join("best.toml"),
            &origin,
            configuration.iter().map(|(name, value)| (name.as_str(), value)),
        )
        .map_err(|error| Failure::work("write best.toml", &error))
    }

    /// `summary.json`.
    pub(crate) fn save_summary(&self, summary: &Summary) -> Result<(), Failure> {
        summary.save(&self.path.join("summary.json")).map_err(|error| Failure::work("write summary.json", &error))
    }

    /// `importances.csv` and `partial_dependence.csv`: the figures behind the report's part about the parameters.
    pub(crate) fn save_influence(&self, explained: &Explained) -> Result<(), Failure> {
        write_csv(&explained.importances.table(), self.path.join("importances.csv"))
            .map_err(|error| Failure::work("write importances.csv", &error))?;
        write_csv(&PartialDependence::table(&explained.curves), self.path.join("partial_dependence.csv"))
            .map_err(|error| Failure::work("write partial_dependence.csv", &error))
    }

    /// `report.html`.
    pub(crate) fn save_report(&self, report: &ReportInput) -> Result<(), Failure> {
        write_report(&self.path.join("report.html"), report).map_err(|error| Failure::work("write report.html", &error))
    }
}

/// What the report shows of a run.
pub(crate) fn report_input(
    plan: &Plan,
    bench: &Bench,
    experiment: &Experiment,
    best: &Best,
    proof: &Proof,
    summary: &Summary,
    influence: Result<Influence, String>,
) -> ReportInput {
    let defaults = baseline(plan, bench);
    let arm = |name: &str, samples: &[f64]| Arm {
        name: name.to_owned(),
        measurements: samples.to_vec(),
        mean: mean(samples),
        ci95: tunekit::compare::mean_interval(samples, 0.95),
    };
    let mut trials: Vec<TrialRow> =
        experiment.trials().iter().filter_map(|trial| trial_row(trial, experiment, plan)).collect();
    let header = experiment.header();
    let searches = match header.scheduler.as_str() {
        "fifo" => header.searcher.clone(),
        scheduler if scheduler == header.searcher => scheduler.to_owned(),
        scheduler => format!("{} under {scheduler}", header.searcher),
    };
    trials.sort_by(|a, b| a.finished_at_seconds.total_cmp(&b.finished_at_seconds));
    let (before, found) = (in_full(bench, &defaults), in_full(bench, &best.config));
    let cores = available_parallelism().map_or_else(|_| "unknown".to_owned(), |cores| cores.to_string());
    ReportInput {
        object: bench.object.to_string(),
        object_bytes: bench.object.bytes,
        metric: "download time".to_owned(),
        unit: "s".to_owned(),
        comparison: Some(Comparison {
            before: arm("boto3's defaults", &proof.default),
            found: arm("found", &proof.found),
            improvement: proof.improvement.estimate,
            improvement_ci95: [proof.improvement.lower, proof.improvement.upper],
        }),
        trials,
        best_trial: Some(best.trial.0),
        parameters: plan.space.iter().map(|(name, domain)| parameter(name, domain, &defaults)).collect(),
        influence,
        configuration: found
            .iter()
            .map(|(name, value)| ConfigurationRow {
                name: name.clone(),
                before: before.get(name).map_or_else(|| "none".to_owned(), |value| shown(name, value)),
                found: shown(name, value),
            })
            .collect(),
        conditions: [
            ("Object", format!("{}, {}", bench.object, ByteSize(bench.object.bytes))),
            ("Network", plan.network.clone()),
            ("Engine", bench.engine.name().to_owned()),
            ("Search", format!("{searches}, seed {}", plan.seed)),
            ("Downloads per configuration", plan.n_downloads.to_string()),
            ("Search time", format!("{}, ended by {}", seconds(summary.search_seconds), summary.stopped_by)),
            ("Downloads in all", format!("{}, {}", summary.measurements, ByteSize(summary.bytes_moved))),
            ("Machine", format!("{cores} cores")),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into(),
        caveats: vec![
            "Every download was read back and its bytes were checked; the checking is not in the times.".to_owned(),
            "The comparison was measured after the search, default and found in turn, so that it does not inherit the \
             search's luck; the times in the table of trials do."
                .to_owned(),
            "A configuration suits the object's size, the network and the machine it was found on. Measure again where \
             one of them changes."
                .to_owned(),
        ],
    }
}

fn trial_row(trial: &tunekit::Trial, experiment: &Experiment, plan: &Plan) -> Option<TrialRow> {
    let rule = experiment.header().metric.value;
    let measurements = trial.samples(rule).len() as u64;
    let outcome = match (&trial.failure, trial.value(rule)) {
        (Some(reason), _) => Outcome::Failed(reason.clone()),
        (None, Some(value)) if trial.status == Status::Completed => Outcome::Measured(value),
        (None, Some(value)) if matches!(trial.status, Status::Stopped | Status::Paused) => {
            // Told to stop, or left paused, after its last download it was measured as often as any.
            let whole = measurements >= u64::from(plan.n_downloads);
            if whole { Outcome::Measured(value) } else { Outcome::Stopped(value) }
        }
        _ => return None,
    };
    Some(TrialRow {
        number: trial.id.0,
        finished_at_seconds: trial.ended_s.or(trial.measurements.last().and_then(|m| m.at_s))?,
        outcome,
        measurements,
        config: plan.space.iter().map(|(name, _)| trial.config.value(name).map(parameter_value)).collect(),
    })
}

fn parameter(name: &str, domain: &Domain, defaults: &Config) -> Parameter {
    let log = match domain {
        Domain::Float(float) => float.is_log(),
        Domain::Int(int) => int.is_log(),
        _ => false,
    };
    let unit = if is_bytes(name) { ParameterUnit::Bytes } else { ParameterUnit::Number };
    Parameter { name: name.to_owned(), unit, log, before: defaults.value(name).map(parameter_value) }
}

pub(crate) fn parameter_value(value: &tunekit::Value) -> ParameterValue {
    value.as_f64().map_or_else(|| ParameterValue::Choice(value.to_string()), ParameterValue::Number)
}

fn is_bytes(parameter: &str) -> bool {
    matches!(parameter, "multipart_threshold" | "multipart_chunksize" | "io_chunksize" | "max_bandwidth")
}

fn shown(name: &str, value: &Value) -> String {
    match value.as_u64() {
        Some(bytes) if is_bytes(name) => format!("{bytes} ({})", ByteSize(bytes)),
        _ => value.to_string(),
    }
}

/// The result in three lines, for standard output.
pub(crate) fn in_words(summary: &Summary) -> String {
    let line = |name: &str, measured: &crate::results::Measured| {
        let config =
            measured.config.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ");
        format!("{name}  {:>8}  {config}\n", seconds(measured.mean))
    };
    let [low, high] = summary.improvement_ci95;
    let verdict = match (low > 0.0, high < 0.0) {
        (true, _) => "what was found is faster",
        (_, true) => "what was found is slower: keep the default",
        _ => "no difference is proven: keep the default, or search longer",
    };
    format!(
        "{}{}{} of the time, 95 % interval {:+.1} % to {:+.1} %: {verdict}\n",
        line("default", &summary.baseline),
        line("found  ", &summary.best),
        against(summary.best.mean, summary.baseline.mean),
        -high * 100.0,
        -low * 100.0,
    )
}

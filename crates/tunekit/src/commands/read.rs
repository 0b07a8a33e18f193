//! The commands that read a study's folder: `status`, `best`, `report`, `export`, `plan`. None of them changes the
//! study.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use tunekit::program::{StudyFile, StudyFolder, status_lines, write_tables};
use tunekit::results::{Table, csv_text, json_text, optuna_journal};
use tunekit::{Experiment, Study};

use super::{Failure, print, write_report};

/// The formats that `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table as CSV.
    Csv,
    /// A table as Parquet.
    Parquet,
    /// A table as JSON: an array of objects.
    Json,
    /// The study as a journal file of Optuna's.
    OptunaJournal,
}

/// The table that `export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rows {
    /// One row per trial.
    Trials,
    /// One row per measurement.
    Measurements,
    /// One row per measurement, with the column names of Syne Tune's results.
    SyneTune,
}

/// Shows the state of a study.
pub(crate) fn status(folder: PathBuf) -> Result<(), Failure> {
    let folder = StudyFolder::new(folder);
    let study = folder.study()?;
    let running = if folder.is_running() { "running" } else { "not running" };
    let lines = status_lines(&study).join("\n");
    print(format!("{}: {running}\n{lines}\n", folder.path().display()).as_bytes())
}

/// Shows the state of a study, and writes its tables and its page into the folder.
pub(crate) fn report(folder: PathBuf) -> Result<(), Failure> {
    let folder = StudyFolder::new(folder);
    let study = folder.study()?;
    if !folder.is_running() {
        write_tables(&Experiment::of(&study), folder.path()).map_err(|error| Failure::work(&error))?;
    }
    let page = write_report(&folder)?;
    print(format!("{}\n{}\n", status_lines(&study).join("\n"), page.display()).as_bytes())
}

/// Prints the best configuration, as the op `best` does.
pub(crate) fn best(folder: PathBuf) -> Result<(), Failure> {
    let study = StudyFolder::new(folder).study()?;
    let why = || study.why_no_best().unwrap_or("nothing was measured yet");
    let best = study.best().ok_or_else(|| Failure::Work(why().to_owned()))?;
    let line = serde_json::to_string(&best).map_err(|error| Failure::work(&error))?;
    print(format!("{line}\n").as_bytes())
}

/// Prints the plan of a study's scheduler.
pub(crate) fn plan(study: &Path) -> Result<(), Failure> {
    let file = StudyFile::read(study).map_err(|error| Failure::usage(&error))?;
    let study = Study::new(file.setup).map_err(|error| Failure::usage(&error))?;
    let text = match study.plan() {
        Some(plan) => plan.to_string(),
        None => format!("scheduler {}: every trial runs to its end", study.header().scheduler.name()),
    };
    print(format!("{}\n", text.trim_end()).as_bytes())
}

/// Writes a study in another format to standard output.
pub(crate) fn export(folder: PathBuf, format: Format, rows: Rows) -> Result<(), Failure> {
    let folder = StudyFolder::new(folder);
    // For its errors: a folder without a study is wrong usage.
    let experiment = Experiment::of(&folder.study()?);
    let table = || -> Table {
        match rows {
            Rows::Trials => experiment.trials_table(),
            Rows::Measurements => experiment.measurements_table(),
            Rows::SyneTune => experiment.syne_tune_table(),
        }
    };
    let bytes = match format {
        Format::Csv => csv_text(&table()).map_err(|error| Failure::work(&error))?,
        Format::Json => json_text(&table()).into_bytes(),
        Format::Parquet => tunekit::results::parquet_bytes(table().columns()).map_err(|error| Failure::work(&error))?,
        Format::OptunaJournal => {
            let name = folder.path().file_name().map_or("study".into(), |name| name.to_string_lossy());
            optuna_journal(&experiment, &name).into_bytes()
        }
    };
    print(&bytes)
}

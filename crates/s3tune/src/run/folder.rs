//! A run's folder: the check of its owner, and the files that the run leaves in it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tunekit::journal::{JOURNAL_NAME, OpenError, StudyJournal};
use tunekit::results::{PartialDependence, Table, write_csv};
use tunekit::{Experiment, Setup};

use super::another_run;
use super::comparison::{self, Contents};
use super::identity::{IDENTITY, Identity};
use super::influence::Explained;
use super::record::{Record, as_map};
use super::tables::{Names, measurements, results};
use crate::failure::Failure;
use crate::results::{Origin, Recommended, ReportInput, Summary, write_best, write_parquet, write_report};
use crate::show::{percent, seconds};
use crate::size::ByteSize;

/// The files that a run writes, beside the file that marks the folder as its own.
const FILES: [&str; 11] = [
    JOURNAL_NAME,
    comparison::NAME,
    "results.csv",
    "results.parquet",
    "measurements.csv",
    "measurements.parquet",
    "importances.csv",
    "partial_dependence.csv",
    "best.toml",
    "summary.json",
    "report.html",
];

/// Refuses a folder without a run that has a file with the name of one of a run's files.
fn refuse_strangers_files(path: &Path) -> Result<(), Failure> {
    match FILES.into_iter().find(|name| fs::symlink_metadata(path.join(name)).is_ok()) {
        Some(name) => Err(Failure::usage(format!(
            "--out {}: there is a {name} in it and no {IDENTITY}, so it is not the folder of a run, which would \
             overwrite the file; choose another folder",
            path.display()
        ))),
        None => Ok(()),
    }
}

/// A folder that belongs to this run.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    /// The names of the tables' columns.
    names: Names,
    /// None where nothing is measured.
    _held: Option<Arc<Held>>,
}

/// A lock on the folder, from before the search until the report is written. The journal's own lock ends with the
/// search, and two comparisons at the same time would disturb each other's measurements.
#[derive(Debug)]
struct Held(File);

impl Held {
    fn lock(folder: &Path) -> Result<Self, Failure> {
        let doing = || format!("lock {}", folder.join(IDENTITY).display());
        // Written once and never replaced. Network file systems lock only files that are open for writing.
        let file = File::options().read(true).write(true).open(folder.join(IDENTITY));
        let file = file.map_err(|error| Failure::work(&doing(), &error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(Failure::Work(format!(
                "--out {}: another process runs in this folder; wait until it ends, or choose another --out",
                folder.display()
            ))),
            Err(TryLockError::Error(error)) => Err(Failure::work(&doing(), &error)),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // A program that is being started has a copy of the file, which would hold the lock for a moment longer.
        let _ = self.0.unlock();
    }
}

impl Folder {
    /// Creates the folder, or continues in a folder that this run began.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for a folder of another run, for a folder without a run that has a file that a run would
    /// overwrite, and for a path that is a file. [`Failure::Work`] for a folder that cannot be written, or that another
    /// process uses.
    pub(crate) fn open(path: &Path, identity: &Identity, names: Names) -> Result<Self, Failure> {
        let doing = format!("write the results' folder {}", path.display());
        let found = Identity::read(path)?;
        match &found {
            Some(found) => {
                if let Some(what) = found.difference(identity) {
                    return Err(another_run(path, &what));
                }
            }
            None => refuse_strangers_files(path)?,
        }
        fs::create_dir_all(path).map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                Failure::usage(format!("--out {}: it is not a folder; choose another --out", path.display()))
            }
            _ => Failure::Work(format!("failed to {doing}: {error}; choose another --out")),
        })?;
        if found.is_none() {
            identity.write(path).map_err(|error| Failure::work(&doing, &error))?;
        }
        Ok(Self { _held: Some(Arc::new(Held::lock(path)?)), ..Self::existing(path, names) })
    }

    /// An existing folder, without a lock, because nothing is measured in it.
    pub(crate) fn existing(path: &Path, names: Names) -> Self {
        Self { path: path.to_owned(), names, _held: None }
    }

    /// Checks that the journal is empty or belongs to the study that `setup` describes, and that no other process
    /// writes it.
    pub(crate) fn check_journal(&self, setup: &Setup) -> Result<(), Failure> {
        let doing = "continue from the journal";
        let journal = StudyJournal::open(self.journal()).map_err(|error| Failure::work(doing, &error))?;
        let asked = setup.header().map_err(|error| Failure::work("begin the search", &error))?;
        journal.check(&asked).map_err(|error| match error {
            OpenError::OtherStudy { difference, .. } => {
                another_run(&self.path, &format!("{difference}; give the same flags, or another folder"))
            }
            other => Failure::work(doing, &other),
        })
    }

    /// The folder's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The journal's path; the file need not exist yet.
    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL_NAME)
    }

    /// Writes `results` (a row per trial) and `measurements` (a row per download), each as CSV and as Parquet.
    pub(crate) fn save_tables(&self, experiment: &Experiment, comparisons: &Contents) -> Result<(), Failure> {
        self.save_table("results", &results(experiment, self.names))?;
        self.save_table("measurements", &measurements(experiment, comparisons, self.names))
    }

    fn save_table(&self, name: &str, table: &Table) -> Result<(), Failure> {
        let csv = self.path.join(name).with_extension("csv");
        write_csv(table, &csv).map_err(|error| Failure::work(&format!("write {name}.csv"), &error))?;
        write_parquet(&csv.with_extension("parquet"), table.columns())
            .map_err(|error| Failure::work(&format!("write {name}.parquet"), &error))
    }

    /// `best.toml`: the configuration that is recommended.
    pub(crate) fn save_best(&self, record: &Record, summary: &Summary) -> Result<(), Failure> {
        let Identity { object, object_bytes, network, references, .. } = &record.identity;
        let versus = summary.versus_engine_default;
        let interval = format!("95 % interval {} to {}", percent(versus.ci95[0]), percent(versus.ci95[1]));
        let default = record.identity.default_name();
        let (config, why) = match summary.recommended {
            Recommended::Best => (
                record.found().unwrap_or_default(),
                format!("Proven to take {} less time than {default} ({interval}).", percent(versus.improvement)),
            ),
            Recommended::EngineDefault => (
                references.engine_default.clone(),
                format!("These are {default}: nothing better was proven ({interval} less time)."),
            ),
        };
        let mean = match summary.recommended {
            Recommended::Best => &summary.best,
            Recommended::EngineDefault => &summary.engine_default,
        };
        let origin = Origin {
            lines: vec![
                format!("For {object} ({}), {network}, by {}.", ByteSize(*object_bytes), record.identity.engine),
                format!("{why} {} on average of {} downloads.", seconds(mean.mean), mean.n),
                format!("Search of seed {} over {} configurations.", summary.seed, summary.trials),
            ],
        };
        write_best(&self.path.join("best.toml"), &origin, as_map(&config).iter().map(|(k, v)| (k.as_str(), v)))
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

//! A run's folder: whose it is, and the files it is left with.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tunekit::journal::{Event, JOURNAL_NAME, JournalFile};
use tunekit::results::{PartialDependence, Table, write_csv};
use tunekit::{Experiment, Setup};

use super::arms::References;
use super::comparison::Contents;
use super::influence::Explained;
use super::record::{Record, as_map};
use super::tables::{Names, measurements, results};
use super::{Plan, another_run};
use crate::engines::Knob;
use crate::failure::Failure;
use crate::measure::Bench;
use crate::results::{Origin, Recommended, ReportInput, Summary, write_best, write_parquet, write_report, write_whole};
use crate::show::{percent, seconds};
use crate::size::ByteSize;

/// Beside the journal, which knows parameters and seed but not what was downloaded.
const IDENTITY: &str = "run.json";

/// A folder that belongs to this run.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    /// How the tables' columns are called.
    names: Names,
}

/// What must be the same for measurements to be comparable, and what a report tells of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    schema: u32,
    pub(crate) object: String,
    pub(crate) object_bytes: u64,
    e_tag: Option<String>,
    pub(crate) network: String,
    pub(crate) engine: String,
    /// A checksum of how another program is started. The text itself may hold secrets, in a variable or a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program_crc64nvme: Option<String>,
    pub(crate) n_downloads: u32,
    /// The engine's parameters: what exports and reports need to know of an engine that is a file of the user's.
    pub(crate) knobs: Vec<Knob>,
    /// What the search is compared with.
    pub(crate) references: References,
}

impl Identity {
    /// The version of the file. Another one is refused: its measurements may mean something else.
    const SCHEMA: u32 = 2;

    pub(crate) fn of(plan: &Plan, bench: &Bench) -> Self {
        Self {
            schema: Self::SCHEMA,
            object: bench.object.to_string(),
            object_bytes: bench.object.bytes,
            e_tag: bench.object.e_tag.clone(),
            network: plan.network.clone(),
            engine: bench.engine.name().to_owned(),
            program_crc64nvme: bench.engine.program_crc64nvme(),
            n_downloads: plan.n_downloads,
            knobs: bench.engine.knobs().to_vec(),
            references: References::of(&bench.engine),
        }
    }

    /// Reads it from a folder; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`Failure::Work`] for a file that cannot be read, is damaged, or of another version.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>, Failure> {
        #[derive(Deserialize)]
        struct Version {
            schema: u32,
        }

        let file = folder.join(IDENTITY);
        let damaged = |error: serde_json::Error| {
            Failure::Work(format!("{} is damaged: {error}; choose another --out", file.display()))
        };
        match fs::read(&file) {
            Ok(bytes) => {
                let Version { schema } = serde_json::from_slice(&bytes).map_err(damaged)?;
                if schema != Self::SCHEMA {
                    return Err(Failure::Usage(format!(
                        "{}: schema {schema} is not known to this version, which reads {}; choose another folder",
                        file.display(),
                        Self::SCHEMA
                    )));
                }
                serde_json::from_slice(&bytes).map(Some).map_err(damaged)
            }
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(Failure::work(&format!("read {}", file.display()), &error)),
        }
    }

    /// The first thing in which two runs differ.
    fn difference(&self, other: &Self) -> Option<&'static str> {
        [
            ("object", self.object == other.object && self.object_bytes == other.object_bytes),
            ("object's version", self.e_tag == other.e_tag),
            ("network", self.network == other.network),
            ("engine", self.engine == other.engine && self.knobs == other.knobs),
            ("engine's command, environment or files", self.program_crc64nvme == other.program_crc64nvme),
            ("engine's default", self.references == other.references),
            ("number of downloads per configuration", self.n_downloads == other.n_downloads),
        ]
        .into_iter()
        .find_map(|(what, same)| (!same).then_some(what))
    }

    /// The engine's own defaults, as sentences name them.
    pub(crate) fn default_name(&self) -> String {
        format!("{}'s default", self.engine_name())
    }

    /// The baseline, as sentences name it.
    pub(crate) fn baseline_name(&self) -> String {
        if self.references.baseline_is_boto3 { "boto3's defaults".to_owned() } else { self.default_name() }
    }

    /// Whether the baseline is another configuration than the engine's default. If not, it is told once.
    pub(crate) fn has_own_baseline(&self) -> bool {
        self.references.baseline_is_boto3 && self.references.baseline != self.references.engine_default
    }

    /// The engine in a word: of a command its program.
    pub(crate) fn engine_name(&self) -> &str {
        self.engine.split_whitespace().next().unwrap_or("the engine")
    }
}

impl Folder {
    /// Makes the folder, or goes on in one that this run began.
    ///
    /// # Errors
    ///
    /// [`Failure::Usage`] for a folder of another run, [`Failure::Work`] for one that cannot be written.
    pub(crate) fn open(path: &Path, identity: &Identity, names: Names) -> Result<Self, Failure> {
        let doing = format!("write the results' folder {}", path.display());
        fs::create_dir_all(path)
            .map_err(|error| Failure::Work(format!("failed to {doing}: {error}; choose another --out")))?;
        match Identity::read(path)? {
            Some(found) => {
                if let Some(what) = found.difference(identity) {
                    return Err(another_run(path, what));
                }
            }
            None => {
                let text = serde_json::to_string_pretty(identity).expect("a struct of numbers and texts serialises");
                write_whole(&path.join(IDENTITY), text.as_bytes()).map_err(|error| Failure::work(&doing, &error))?;
            }
        }
        Ok(Self::existing(path, names))
    }

    /// A folder that is there.
    pub(crate) fn existing(path: &Path, names: Names) -> Self {
        Self { path: path.to_owned(), names }
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

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the journal is, or will be.
    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL_NAME)
    }

    /// `results` and `measurements`, each as CSV and as Parquet: a row a trial, and a row a download.
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

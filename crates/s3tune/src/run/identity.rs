//! The subject of a run, which its folder's `run.json` holds.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

use super::arms::References;
use super::{Names, Plan};
use crate::engines::Knob;
use crate::failure::Failure;
use crate::measure::Bench;
use crate::results::{WriteError, write_whole};

/// The file beside the journal; the journal holds parameters and seed, but not the object.
pub(super) const IDENTITY: &str = "run.json";
/// A fact in which two runs may differ.
const VERSION: &str = "engine's version";
/// Shown for facts that an older file does not have.
const UNKNOWN: &str = "unknown";

/// The facts that must be the same for measurements to be comparable, and that a report states.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    schema: u32,
    pub(crate) object: String,
    pub(crate) object_bytes: u64,
    e_tag: Option<String>,
    pub(crate) network: String,
    pub(crate) engine: String,
    /// A checksum of the command, the variables and the files of another program. The texts themselves may hold
    /// secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    program_crc64nvme: Option<String>,
    /// The version that the engine prints; unknown for a program without a check command, and in older files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    engine_version: Option<String>,
    /// The machine that began the run; unknown in older files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    machine: Option<Machine>,
    pub(crate) n_downloads: u32,
    /// Whether the tables' columns have Syne Tune's names. Later reports use it; it is not compared.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) syne_tune_names: bool,
    /// The engine's parameters. Exports and reports need them for an engine that is a file of the user's.
    pub(crate) knobs: Vec<Knob>,
    /// The configurations that the search is compared with.
    pub(crate) references: References,
}

/// The machine that measures. Reports state it; it is not compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Machine {
    /// The processors that the run may use, if the system reports them.
    #[serde(default)]
    cores: Option<u64>,
    /// The folder of the downloads.
    folder: String,
}

impl Machine {
    fn of(bench: &Bench) -> Self {
        let cores = available_parallelism().ok().map(|cores| cores.get() as u64);
        Self { cores, folder: bench.folder.display().to_string() }
    }
}

impl Identity {
    /// The version of the file. Another version is refused, because its measurements may have another meaning.
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
            engine_version: bench.engine.version().map(str::to_owned),
            machine: Some(Machine::of(bench)),
            n_downloads: plan.n_downloads,
            syne_tune_names: plan.names == Names::SyneTune,
            knobs: bench.engine.knobs().to_vec(),
            references: References::of(&bench.engine),
        }
    }

    /// Reads it from a folder; `None` if there is none.
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

    /// Writes it into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<(), WriteError> {
        let text = serde_json::to_string_pretty(self).expect("a struct of numbers and texts serialises");
        write_whole(&folder.join(IDENTITY), text.as_bytes())
    }

    /// The first thing in which `now` differs from this run, and the way to mend it.
    pub(super) fn difference(&self, now: &Self) -> Option<String> {
        let versions = self.engine_version.as_ref().zip(now.engine_version.as_ref());
        let what = [
            ("object", self.object == now.object && self.object_bytes == now.object_bytes),
            ("object's version", self.e_tag == now.e_tag),
            ("network", self.network == now.network),
            ("engine", self.engine == now.engine && self.knobs == now.knobs),
            ("engine's command, environment or files", self.program_crc64nvme == now.program_crc64nvme),
            (VERSION, versions.is_none_or(|(was, is)| was == is)),
            ("engine's default", self.references == now.references),
            ("number of downloads per configuration", self.n_downloads == now.n_downloads),
        ]
        .into_iter()
        .find_map(|(what, same)| (!same).then_some(what))?;
        Some(match versions.filter(|_| what == VERSION) {
            // No flag brings it back.
            Some((was, is)) => format!("its {what} was {was:?} and is {is:?} now; choose another folder"),
            None => format!("its {what} differs; give the same flags, or another folder"),
        })
    }

    /// The engine's own defaults, as sentences name them.
    pub(crate) fn default_name(&self) -> String {
        format!("{}'s default", self.engine_name())
    }

    /// The baseline, as sentences name it.
    pub(crate) fn baseline_name(&self) -> String {
        if self.references.baseline_is_boto3 { "boto3's defaults".to_owned() } else { self.default_name() }
    }

    /// Whether the baseline is another configuration than the engine's default. If not, it is shown once.
    pub(crate) fn has_own_baseline(&self) -> bool {
        self.references.baseline_is_boto3 && self.references.baseline != self.references.engine_default
    }

    /// The engine with its version, if it is known.
    pub(crate) fn engine_in_words(&self) -> String {
        match &self.engine_version {
            // Most programs begin with their name.
            Some(version) if version.starts_with(&self.engine) => version.clone(),
            Some(version) => format!("{} ({version})", self.engine),
            None => self.engine.clone(),
        }
    }

    /// The processors of the machine that measured.
    pub(crate) fn cores_in_words(&self) -> String {
        let cores = self.machine.as_ref().and_then(|machine| machine.cores);
        cores.map_or_else(|| UNKNOWN.to_owned(), |cores| format!("{cores} cores"))
    }

    /// The folder of the downloads.
    pub(crate) fn folder_in_words(&self) -> String {
        self.machine.as_ref().map_or_else(|| UNKNOWN.to_owned(), |machine| machine.folder.clone())
    }

    /// The engine's short name: for a command, the name of its program.
    pub(crate) fn engine_name(&self) -> &str {
        self.engine.split_whitespace().next().unwrap_or("the engine")
    }
}

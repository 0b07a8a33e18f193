//! `Program`: another program, which a study measures: its command, the way its parameters are passed, the names of its
//! numbers, and its time limit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The way to pass parameters to a program. Each of them also replaces a `{name}` in a word of the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Pass {
    /// As `--name value` after the command's own words, except for those that a word of the command holds.
    #[default]
    Arguments,
    /// As environment variables with the parameters' names.
    Environment,
    /// As a JSON object in the file that the environment variable `TUNEKIT_CONFIG` names. The file is there in the
    /// other ways, too.
    Json,
}

/// The source of a program's metric.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricSource {
    /// The field of this name in a line that reports: `[tune-metric]: {"loss": 0.7}`, or the JSON object alone.
    Reported(String),
    /// The seconds that the program ran.
    Wall,
    /// The last line of its standard output that is only a number.
    Stdout,
}

impl MetricSource {
    /// The source that `metric = "..."` names.
    pub fn from_name(name: &str) -> Self {
        match name {
            "wall" => Self::Wall,
            "stdout" => Self::Stdout,
            other => Self::Reported(other.to_owned()),
        }
    }
}

/// The number of new attempts for a run that failed, for each kind of failure. Reports of the failed run stay valid,
/// and the next run's reports of the same steps are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// After an exit code other than 0.
    pub failed: u32,
    /// After the time limit.
    pub timed_out: u32,
    /// After a signal that did not come from us.
    pub killed: u32,
}

/// A program that is tuned.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// The program and its words.
    pub command: Vec<String>,
    /// The way to pass its parameters.
    pub pass: Pass,
    /// The source of its metric.
    pub metric: MetricSource,
    /// The field of a report with the program's progress; without it, reports are counted 1, 2, 3, ...
    pub resource: Option<String>,
    /// The field of a report with the run's cost so far; `wall` stands for the seconds that it ran.
    pub cost: Option<String>,
    /// The fields of the further objectives. They are told with the last report, and reported if a report has all of
    /// them.
    pub objectives: Vec<String>,
    /// The fields of the constraints, which are treated in the same way.
    pub constraints: Vec<String>,
    /// The time limit of a run.
    pub timeout: Option<Duration>,
    /// The time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// The devices or core sets of the workers, one each; empty: workers have none.
    pub devices: Vec<String>,
    /// The environment variable that names a worker's device.
    pub device_variable: String,
    /// The folder in which it runs.
    pub folder: PathBuf,
    /// Further environment variables.
    pub env: BTreeMap<String, String>,
    /// Number of retries of a failed run.
    pub retries: Retries,
}

impl Program {
    /// A program with these words that runs in the current folder. Its metric is the field `metric` of its reports.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>, metric: &str) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            pass: Pass::default(),
            metric: MetricSource::from_name(metric),
            resource: None,
            cost: None,
            objectives: Vec::new(),
            constraints: Vec::new(),
            timeout: None,
            grace: Duration::from_secs(5),
            devices: Vec::new(),
            device_variable: "CUDA_VISIBLE_DEVICES".to_owned(),
            folder: PathBuf::from("."),
            env: BTreeMap::new(),
            retries: Retries::default(),
        }
    }
}

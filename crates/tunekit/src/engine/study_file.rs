//! `StudyFile`: a study of a program, as people write it in a TOML file (`docs/STUDIES.md`).

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::rules::command::{self, CommandError};
use crate::rules::searcher::SearcherKind;
use crate::rules::slurm;
use crate::rules::stop::{StopAll, StopRule};
use crate::rules::study::{Setup, SetupError};
use crate::words::backend::{Backend, SlurmMode, SlurmOptions};
use crate::words::metric::{Goal, Metric, MetricKind, Noise, ValueRule};
use crate::words::program::{MetricSource, Pass, Program, Retries};
use crate::words::schedule::{OptionsMap, SchedulerKind, SchedulerSpec};
use crate::words::space::Space;
use crate::words::value::Config;

/// The name of the study file in a study's folder.
pub(super) const STUDY_NAME: &str = "study.toml";

/// Why a study file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StudyFileError {
    /// The file cannot be read.
    #[error("study file {}: cannot read it: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The file is not a valid study file.
    #[error("study file {}: {reason}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The problem and its remedy.
        reason: String,
    },
}

/// A study of a program: its space, its command and its end.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct StudyFile {
    /// The setup of the study.
    pub setup: Setup,
    /// The program to measure.
    pub program: Program,
    /// Number of trials that run at once.
    pub workers: usize,
    /// When it ends.
    pub stop: StopRule,
    /// After how many failures in a row it gives up.
    pub max_failures: u32,
    /// The starter of its programs.
    pub backend: Backend,
    /// Whether `optuna.log` is kept beside the journal.
    pub optuna: bool,
    /// The file's text, with the folder in which the program runs.
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    command: Vec<String>,
    metric: String,
    #[serde(default)]
    mode: Goal,
    kind: Option<MetricKind>,
    #[serde(default)]
    noise: Noise,
    value: Option<ValueRule>,
    resource: Option<String>,
    max_resource: Option<u64>,
    cost: Option<String>,
    #[serde(default)]
    cost_aware: bool,
    searcher: Option<String>,
    scheduler: Option<String>,
    #[serde(default)]
    scheduler_options: OptionsMap,
    workers: Option<usize>,
    #[serde(default)]
    seed: u64,
    #[serde(default)]
    pass: Pass,
    timeout_s: Option<f64>,
    grace_s: Option<f64>,
    #[serde(default)]
    devices: Vec<String>,
    device_variable: Option<String>,
    folder: Option<PathBuf>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    retry: Retries,
    max_failures: Option<u32>,
    #[serde(default)]
    objectives: Vec<Objective>,
    #[serde(default)]
    constraints: Vec<String>,
    #[serde(default)]
    predicates: Vec<String>,
    #[serde(default)]
    points_to_evaluate: Vec<Config>,
    space: Space,
    #[serde(default)]
    stop: Stop,
    #[serde(default)]
    backend: RawBackend,
    #[serde(default)]
    optuna: bool,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Default)]
#[serde(rename_all = "lowercase")]
enum BackendKind {
    #[default]
    Process,
    Slurm,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum RawMode {
    Pilot,
    Job,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RawBackend {
    kind: BackendKind,
    mode: Option<RawMode>,
    nodes: Option<usize>,
    workers_per_node: Option<usize>,
    exclusive: Option<bool>,
    time_limit_s: Option<f64>,
    queue_timeout_s: Option<f64>,
    options: Vec<String>,
    listen: Option<SocketAddr>,
    tunekit: Option<PathBuf>,
}

impl RawBackend {
    fn parse(self) -> Result<Backend, String> {
        let given = [
            ("mode", self.mode.is_some()),
            ("nodes", self.nodes.is_some()),
            ("workers_per_node", self.workers_per_node.is_some()),
            ("exclusive", self.exclusive.is_some()),
            ("time_limit_s", self.time_limit_s.is_some()),
            ("queue_timeout_s", self.queue_timeout_s.is_some()),
            ("options", !self.options.is_empty()),
            ("listen", self.listen.is_some()),
            ("tunekit", self.tunekit.is_some()),
        ];
        if self.kind == BackendKind::Process {
            return match given.into_iter().find(|(_, is_given)| *is_given) {
                Some((name, _)) => Err(format!("{name} in [backend] is of kind \"slurm\"; leave it out, or say so")),
                None => Ok(Backend::Process),
            };
        }
        if self.mode == Some(RawMode::Job)
            && let Some(name) = ["nodes", "workers_per_node"].into_iter().find(|n| given.contains(&(n, true)))
        {
            return Err(format!(
                "{name} in [backend] is of mode \"pilot\"; a job of one trial has one node and one worker"
            ));
        }
        let plain = SlurmOptions::default();
        let options = SlurmOptions {
            mode: if self.mode == Some(RawMode::Job) { SlurmMode::Job } else { SlurmMode::Pilot },
            nodes: self.nodes,
            workers_per_node: self.workers_per_node.unwrap_or(plain.workers_per_node),
            exclusive: self.exclusive.unwrap_or(plain.exclusive),
            time_limit: seconds("time_limit_s", self.time_limit_s)?,
            queue_timeout: seconds("queue_timeout_s", self.queue_timeout_s)?.unwrap_or(plain.queue_timeout),
            options: self.options,
            listen: self.listen.unwrap_or(plain.listen),
            tunekit: self.tunekit,
        };
        let options = options.checked().map_err(|error| format!("[backend]: {error}"))?;
        Ok(Backend::Slurm(Box::new(options)))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Objective {
    name: String,
    #[serde(default)]
    mode: Goal,
    #[serde(default)]
    kind: MetricKind,
    #[serde(default)]
    noise: Noise,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Stop {
    max_trials: Option<u64>,
    max_wall_time_s: Option<f64>,
    max_measurements: Option<u64>,
    max_cost: Option<f64>,
    target: Option<f64>,
    plateau: Option<u64>,
    noise_floor: Option<f64>,
    all: Vec<All>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct All {
    max_trials: Option<u64>,
    max_wall_time_s: Option<f64>,
    max_measurements: Option<u64>,
    max_cost: Option<f64>,
    target: Option<f64>,
    plateau: Option<u64>,
    noise_floor: Option<f64>,
}

impl All {
    fn parse(self) -> Result<StopAll, String> {
        let all = StopAll {
            max_trials: self.max_trials,
            max_wall_time: seconds("max_wall_time_s", self.max_wall_time_s)?,
            max_measurements: self.max_measurements,
            max_cost: self.max_cost,
            target: self.target,
            plateau: self.plateau,
            noise_floor: self.noise_floor,
        };
        if all.is_empty() {
            return Err("an entry of all in [stop] has no limit; name those that must be reached together".to_owned());
        }
        Ok(all)
    }
}

impl StudyFile {
    /// The most trials that run at once: each has a program with its pipes, or an agent with a connection.
    pub const MOST_WORKERS: usize = 10_000;

    /// The study in a file. The program runs in the folder that the file names, and else in the current one.
    ///
    /// # Errors
    /// A file that cannot be read, or that no study can be made from.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, StudyFileError> {
        let path = path.as_ref();
        let io = |source| StudyFileError::Io { path: path.to_path_buf(), source };
        let text = std::fs::read_to_string(path).map_err(io)?;
        let here = std::env::current_dir().map_err(io)?;
        Self::parse(&text, &here).map_err(|reason| StudyFileError::Wrong { path: path.to_path_buf(), reason })
    }

    /// The file's text, with the folder in which the program runs: reading it elsewhere gives the same study.
    pub fn text(&self) -> &str {
        &self.text
    }

    fn parse(text: &str, here: &Path) -> Result<Self, String> {
        let raw: Raw = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
            line.map_or_else(|| error.message().to_owned(), |line| format!("line {line}: {}", error.message()))
        })?;
        let folder = raw.folder.as_ref().map_or_else(|| here.to_path_buf(), |folder| here.join(folder));
        let text = match &raw.folder {
            Some(folder) if folder.is_absolute() => text.to_owned(),
            Some(_) => return Err("folder must be an absolute path; leave it out to run where tunekit runs".to_owned()),
            None => format!("folder = {}\n{text}", toml::Value::String(folder.display().to_string())),
        };
        let limits_cost = raw.stop.max_cost.is_some() || raw.stop.all.iter().any(|all| all.max_cost.is_some());
        let cost = raw.cost.or(limits_cost.then(|| "wall".to_owned()));
        let program = Program {
            pass: raw.pass,
            resource: raw.resource,
            cost,
            objectives: raw.objectives.iter().map(|o| o.name.clone()).collect(),
            constraints: raw.constraints.clone(),
            timeout: within_a_year("timeout_s", raw.timeout_s)?,
            grace: match raw.grace_s {
                Some(0.0) => Duration::ZERO,
                given => within_a_year("grace_s", given)?.unwrap_or(Duration::from_secs(5)),
            },
            devices: raw.devices,
            device_variable: raw.device_variable.unwrap_or_else(|| "CUDA_VISIBLE_DEVICES".to_owned()),
            folder,
            env: raw.env,
            retries: raw.retry,
            ..Program::new(raw.command, &raw.metric)
        };
        let kind = raw.kind.unwrap_or(match program.metric {
            MetricSource::Wall => MetricKind::Time,
            _ => MetricKind::Generic,
        });
        let metric =
            Metric { name: raw.metric, goal: raw.mode, kind, noise: raw.noise, value: raw.value.unwrap_or_default() };
        let space = raw.predicates.iter().try_fold(raw.space, |space, p| space.require(p)).map_err(text_of)?;
        command::check(&program, &space).map_err(|error: CommandError| error.to_string())?;
        let searcher = raw.searcher.map_or(Ok(SearcherKind::default()), |name| name.parse()).map_err(text_of)?;
        let scheduler = raw.scheduler.as_deref().unwrap_or(SchedulerKind::default().as_str());
        let scheduler = SchedulerSpec::from_json(scheduler, &raw.scheduler_options).map_err(text_of)?;
        let objective =
            |o: Objective| Metric { name: o.name, goal: o.mode, kind: o.kind, noise: o.noise, ..Metric::default() };
        let setup = Setup {
            objectives: raw.objectives.into_iter().map(objective).collect(),
            constraints: raw.constraints,
            cost_aware: raw.cost_aware,
            searcher,
            scheduler,
            max_resource: raw.max_resource,
            budget: raw.stop.max_trials,
            points_to_evaluate: raw.points_to_evaluate,
            ..Setup::new(space, metric).seed(raw.seed)
        };
        let header = setup.header().map_err(|error: SetupError| error.to_string())?;
        let stop = StopRule {
            max_trials: raw.stop.max_trials,
            max_wall_time: seconds("max_wall_time_s", raw.stop.max_wall_time_s)?,
            max_measurements: raw.stop.max_measurements,
            max_cost: raw.stop.max_cost,
            target: raw.stop.target,
            plateau: raw.stop.plateau,
            noise_floor: raw.stop.noise_floor,
            all: raw.stop.all.into_iter().map(All::parse).collect::<Result<_, _>>()?,
        };
        let of_all = stop.all.iter().flat_map(|all| [("max_cost", all.max_cost), ("target", all.target)]);
        for (name, value) in [("max_cost", stop.max_cost), ("target", stop.target)].into_iter().chain(of_all) {
            if value.is_some_and(|value| !value.is_finite()) {
                return Err(format!("{name} in [stop] is not a finite number; give one, or leave it out"));
            }
        }
        stop.check(&header).map_err(|error| format!("[stop]: {error}"))?;
        if !stop.is_bounded() && !limits_cost {
            return Err(
                "nothing ends this study; set max_trials, max_wall_time_s, max_measurements, max_cost, plateau or \
                        all in [stop]"
                    .to_owned(),
            );
        }
        if stop.plateau.into_iter().chain(stop.all.iter().filter_map(|all| all.plateau)).any(|plateau| plateau == 0) {
            return Err("plateau in [stop] is 0; use at least 1, or leave it out".to_owned());
        }
        let workers = raw.workers.unwrap_or(1);
        if workers == 0 || workers > Self::MOST_WORKERS {
            return Err(format!("workers is {workers}; use at least 1 and at most {}", Self::MOST_WORKERS));
        }
        if raw.max_failures == Some(0) {
            return Err("max_failures is 0; use at least 1".to_owned());
        }
        let backend = raw.backend.parse()?;
        if let Backend::Slurm(options) = &backend
            && let Some(limit) = options.time_limit
            && limit <= program.grace + slurm::TO_END
        {
            return Err(format!(
                "time_limit_s in [backend] is {}; it must be above grace_s and {} s: agents end their programs before",
                limit.as_secs_f64(),
                slurm::TO_END.as_secs()
            ));
        }
        let (max_failures, optuna) = (raw.max_failures.unwrap_or(10), raw.optuna);
        Ok(Self { setup, program, workers, stop, max_failures, backend, optuna, text })
    }
}

fn text_of(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn seconds(name: &str, given: Option<f64>) -> Result<Option<Duration>, String> {
    let Some(given) = given else { return Ok(None) };
    match Duration::try_from_secs_f64(given) {
        Ok(duration) if !duration.is_zero() => Ok(Some(duration)),
        _ => Err(format!("{name} is {given}; it is a number of seconds above 0")),
    }
}

/// A time that a clock is set by; sums of longer ones with the present time need not exist.
fn within_a_year(name: &str, given: Option<f64>) -> Result<Option<Duration>, String> {
    const YEAR: Duration = Duration::from_secs(366 * 24 * 3600);
    match seconds(name, given)? {
        Some(time) if time > YEAR => {
            Err(format!("{name} is {}; use at most {}, which is a year", time.as_secs_f64(), YEAR.as_secs()))
        }
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        command = ["python3", "train.py"]
        metric = "mean_loss"
        resource = "epoch"
        max_resource = 27
        scheduler = "asha"
        scheduler_options = { eta = 4 }
        workers = 2
        [space]
        lr = { type = "float", lo = 1e-4, hi = 1, log = true }
        kind = { type = "categorical", values = ["a", "b"] }
        [stop]
        max_trials = 20
        max_wall_time_s = 90
    "#;

    fn parse(text: &str) -> Result<StudyFile, String> {
        StudyFile::parse(text, Path::new("/here"))
    }

    #[test]
    fn a_study_is_read_and_its_text_reads_the_same_elsewhere() {
        let study = parse(TEXT).unwrap();
        assert_eq!((study.workers, study.stop.max_trials), (2, Some(20)));
        assert_eq!(study.stop.max_wall_time, Some(Duration::from_secs(90)));
        assert_eq!(study.setup.scheduler.to_string(), r#"asha {"eta":4,"grace":1,"rungs":[]}"#);
        assert_eq!(study.program.folder, Path::new("/here"));
        assert_eq!(StudyFile::parse(study.text(), Path::new("/elsewhere")).unwrap(), study);
    }

    #[test]
    fn what_is_wrong_is_said_in_one_line() {
        for (from, to, says) in [
            ("metric =", "metrik =", "line 3: unknown field `metrik`"),
            ("hi = 1,", "hi = 1e-5,", "`lr`"),
            ("asha", "ashes", "ashes"),
            ("eta = 4", "eta = 1", "eta"),
            ("workers = 2", "workers = 0", "at least 1"),
            ("workers = 2", "workers = 10001", "at most 10000"),
            ("workers = 2", "max_failures = 0", "max_failures is 0; use at least 1"),
            ("workers = 2", "timeout_s = 4e7", "timeout_s is 40000000; use at most 31622400"),
            ("workers = 2", "grace_s = 1e18", "grace_s is 1000000000000000000; use at most"),
            ("max_trials = 20", "max_trials = 20\nplateau = 0", "plateau in [stop] is 0; use at least 1"),
            ("[stop]", "[stop]\nall = [{ plateau = 0, target = 1.0 }]", "plateau in [stop] is 0"),
            (
                "[stop]",
                "[backend]\nkind = \"slurm\"\ntime_limit_s = 10\n[stop]",
                "time_limit_s in [backend] is 10; it must be above grace_s and 5 s",
            ),
            ("max_wall_time_s = 90", "max_wall_time_s = -1", "above 0"),
            ("max_trials = 20\n        max_wall_time_s = 90", "target = 1.0", "nothing ends this study"),
            ("\"train.py\"", "\"{lrr}\"", "{lrr}"),
            ("[\"python3\", \"train.py\"]", "[]", "`command` is empty"),
            ("[stop]", "[stop]\nall = [{}]", "has no limit"),
            ("[stop]", "[stop]\nall = [{ target = nan }]", "not a finite number"),
            (
                "[stop]",
                "[stop]\nnoise_floor = 0.0",
                "[stop]: noise_floor is 0; it is a factor on the noise from 0.1 to 10",
            ),
            ("[stop]", "[stop]\nall = [{ noise_floor = 11, max_trials = 9 }]", "noise_floor is 11"),
            ("max_trials = 20\n        max_wall_time_s = 90", "noise_floor = 1.0", "nothing ends this study"),
            ("[stop]", "[backend]\nmode = \"job\"\n[stop]", "mode in [backend] is of kind \"slurm\""),
            (
                "[stop]",
                "[backend]\nkind = \"slurm\"\noptions = [\"x.sh\"]\n[stop]",
                "`x.sh` is not an option of sbatch",
            ),
            ("[stop]", "[backend]\nkind = \"slurm\"\nmode = \"job\"\nnodes = 2\n[stop]", "nodes in [backend]"),
        ] {
            let text = TEXT.replace(from, to);
            assert_ne!(text, TEXT, "{from}");
            let error = parse(&text).unwrap_err();
            assert!(error.contains(says) && !error.contains('\n'), "{from}: {error}");
        }
    }

    #[test]
    fn a_noise_floor_needs_noise() {
        let text = TEXT.replace("[stop]", "[stop]\nnoise_floor = 0.5");
        assert_eq!(parse(&text).unwrap().stop.noise_floor, Some(0.5));
        let error = parse(&text.replace("workers = 2", "noise = \"deterministic\"")).unwrap_err();
        let says =
            "[stop]: noise_floor is 0.5, but `mean_loss` is deterministic and has no noise; leave noise_floor out";
        assert_eq!(error, says);
    }
}

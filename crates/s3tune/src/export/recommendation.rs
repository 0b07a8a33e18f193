//! [`Recommendation`]: the part of a run that an export needs, read from the run's folder.
//!
//! `run.json` has the engine and its parameters, `summary.json` (schema 2 or later) the result of the comparison. Only
//! the needed fields of both files are read; other fields are ignored.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::engines::{ADAPTIVE, BOUNDS, Knob};
use crate::failure::Failure;
use crate::show::seconds;
use crate::size::ByteSize;

/// The first schema of `summary.json` that has a recommendation.
const LEAST_SCHEMA: u64 = 2;

/// The configuration that a run recommends, and its origin.
#[derive(Debug, Clone, PartialEq)]
pub struct Recommendation {
    /// The engine's name.
    pub engine: String,
    /// The engine's parameters.
    pub knobs: Vec<Knob>,
    /// The recommended values. A parameter that is missing has the engine's default.
    pub config: Map<String, Value>,
    /// Whether the recommendation is the engine's own default, because nothing better was proven.
    pub only_default: bool,
    /// Its origin, one statement per line. The text may come from outside, and may hold line feeds.
    pub origin: Vec<String>,
}

/// A parameter with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setting<'a> {
    pub(super) name: &'a str,
    pub(super) boto3: Option<&'a str>,
    pub(super) unit_bytes: Option<u64>,
    /// Null: without a limit.
    pub(super) value: Value,
}

/// The reason why a folder has no recommendation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is no such folder.
    #[error("{}: there is no such folder; name the --out folder of a run", folder.display())]
    NoFolder {
        /// As given.
        folder: PathBuf,
    },
    /// The folder has no run.
    #[error("{}: there is no {name} in it; name the --out folder of a run", folder.display())]
    NoRun {
        /// As given.
        folder: PathBuf,
        /// The file that every run writes first.
        name: &'static str,
    },
    /// The run is not finished.
    #[error(
        "{}: the run has not made its comparison yet; its command with --out {} continues from there",
        folder.display(),
        folder.display()
    )]
    Unfinished {
        /// As given.
        folder: PathBuf,
    },
    /// A run of an earlier version.
    #[error(
        "{}: an earlier version wrote it (schema {found}, not {LEAST_SCHEMA}); the run's command with --out {} writes \
         it anew",
        file.display(),
        file.parent().unwrap_or(Path::new(".")).display()
    )]
    Schema {
        /// The file.
        file: PathBuf,
        /// Its schema.
        found: u64,
    },
    /// A file that cannot be read.
    #[error("failed to read {}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// A damaged file.
    #[error("{} is damaged", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// The mistake, with line and column.
        source: serde_json::Error,
    },
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        let line = crate::failure::chain(&error);
        match error {
            RunError::Io { .. } | RunError::Damaged { .. } => Self::Work(line),
            _ => Self::Usage(line),
        }
    }
}

const RUN: &str = "run.json";
const SUMMARY: &str = "summary.json";

#[derive(Deserialize)]
struct Run {
    object: String,
    object_bytes: u64,
    network: String,
    engine: String,
    knobs: Vec<Knob>,
}

#[derive(Deserialize)]
struct Schema {
    schema: u64,
}

#[derive(Deserialize)]
struct Summary {
    recommended: Recommended,
    best: Measured,
    engine_default: Measured,
    versus_engine_default: Option<Versus>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Recommended {
    Best,
    EngineDefault,
}

#[derive(Deserialize)]
struct Measured {
    config: Map<String, Value>,
    mean: f64,
    n: u64,
}

/// Fractions of the engine's default's time that are saved.
#[derive(Deserialize)]
struct Versus {
    improvement: f64,
    ci95: [f64; 2],
}

impl Recommendation {
    /// Reads a run's folder.
    ///
    /// # Errors
    ///
    /// [`RunError`].
    pub fn load(folder: &Path) -> Result<Self, RunError> {
        if !folder.is_dir() {
            return Err(RunError::NoFolder { folder: folder.to_owned() });
        }
        let run = read(&folder.join(RUN))?.ok_or_else(|| RunError::NoRun { folder: folder.to_owned(), name: RUN })?;
        let file = folder.join(SUMMARY);
        let summary = read(&file)?.ok_or_else(|| RunError::Unfinished { folder: folder.to_owned() })?;
        // The schema number is read first, because a file of another version is not damaged.
        let Schema { schema: found } = parse(&file, &summary)?;
        if found < LEAST_SCHEMA {
            return Err(RunError::Schema { file, found });
        }
        let run: Run = parse(&folder.join(RUN), &run)?;
        let summary: Summary = parse(&file, &summary)?;
        let only_default = summary.recommended == Recommended::EngineDefault;
        let origin = origin(&run, &summary, only_default);
        let config = if only_default { summary.engine_default.config } else { summary.best.config };
        Ok(Self { engine: run.engine, knobs: run.knobs, config, only_default, origin })
    }

    /// Every parameter with its value: first the engine's parameters in their order, then the others that are set.
    pub(super) fn settings(&self) -> Vec<Setting<'_>> {
        // Numbers that are given without a word are meant as they are.
        let is_fixed = BOUNDS.into_iter().any(|name| self.config.contains_key(name));
        let known = self.knobs.iter().map(|knob| {
            let default = || match knob.name == ADAPTIVE && is_fixed {
                true => Value::Bool(false),
                false => serde_json::to_value(&knob.default).unwrap_or(Value::Null),
            };
            Setting {
                name: &knob.name,
                boto3: knob.boto3.as_deref(),
                unit_bytes: knob.unit_bytes,
                value: self.config.get(&knob.name).cloned().unwrap_or_else(default),
            }
        });
        let beyond = self.config.iter().filter(|(name, _)| self.knobs.iter().all(|knob| knob.name != **name));
        let beyond = beyond.map(|(name, value)| Setting { name, boto3: None, unit_bytes: None, value: value.clone() });
        known.chain(beyond).collect()
    }
}

fn origin(run: &Run, summary: &Summary, only_default: bool) -> Vec<String> {
    let measured = if only_default { &summary.engine_default } else { &summary.best };
    let mut lines = vec![
        format!("By s3tune for {} ({}), {}.", run.object, ByteSize(run.object_bytes), run.network),
        format!("{} on average of {} downloads by {}.", seconds(measured.mean), measured.n, run.engine),
    ];
    if let Some(versus) = summary.versus_engine_default.as_ref().filter(|_| !only_default) {
        lines.push(format!(
            "{:+.1} % of the time against {}'s defaults, 95 % interval {:+.1} % to {:+.1} %.",
            -versus.improvement * 100.0,
            run.engine,
            -versus.ci95[1] * 100.0,
            -versus.ci95[0] * 100.0,
        ));
    }
    lines
}

/// `None` if there is no such file.
fn read(file: &Path) -> Result<Option<Vec<u8>>, RunError> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(RunError::Io { file: file.to_owned(), source }),
    }
}

fn parse<T: DeserializeOwned>(file: &Path, bytes: &[u8]) -> Result<T, RunError> {
    serde_json::from_slice(bytes).map_err(|source| RunError::Damaged { file: file.to_owned(), source })
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::engines::Engine;

    /// The findings of a run with s3xfer, in full.
    pub(in crate::export) fn s3xfer() -> Recommendation {
        let config = json!({
            "multipart_threshold": 8_388_608, "max_concurrency": 61, "multipart_chunksize": 7_190_169,
            "num_download_attempts": 5, "max_io_queue": 10, "io_chunksize": 398_803, "use_threads": true
        });
        Recommendation {
            engine: "s3xfer".to_owned(),
            knobs: Engine::s3xfer().knobs().to_vec(),
            config: config.as_object().cloned().unwrap(),
            only_default: false,
            origin: vec!["By s3tune.".to_owned()],
        }
    }

    /// The findings of a run with another engine: names, boto3's names for them, bytes of their unit, values.
    pub(in crate::export) fn found(engine: &str, knobs: &[(&str, Option<&str>, Option<u64>, Value)]) -> Recommendation {
        let knob = |(name, boto3, unit_bytes, _): &(&str, Option<&str>, Option<u64>, Value)| Knob {
            name: (*name).to_owned(),
            default: None,
            meaning: String::new(),
            boto3: boto3.map(str::to_owned),
            unit_bytes: *unit_bytes,
        };
        Recommendation {
            engine: engine.to_owned(),
            knobs: knobs.iter().map(knob).collect(),
            config: knobs.iter().map(|(name, _, _, value)| ((*name).to_owned(), value.clone())).collect(),
            only_default: false,
            origin: Vec::new(),
        }
    }

    fn run() -> Value {
        json!({
            "schema": 2, "object": "s3://b/k", "object_bytes": 268_435_456, "network": "same-region", "engine": "boto3",
            "knobs": [{"name": "max_concurrency", "default": 10, "boto3": "max_concurrency"},
                      {"name": "multipart_chunksize", "default": 8_388_608, "unit_bytes": 1},
                      {"name": "max_bandwidth", "default": null}]
        })
    }

    fn summary(recommended: &str) -> Value {
        json!({
            "schema": 2, "recommended": recommended,
            "best": {"config": {"max_concurrency": 61, "more": "x"}, "mean": 0.8, "n": 6},
            "engine_default": {"config": {"max_concurrency": 10, "multipart_chunksize": 8_388_608}, "mean": 1.25, "n": 6},
            "versus_engine_default": {"improvement": 0.36, "ci95": [0.3, 0.42]}
        })
    }

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn what_is_recommended_is_read_in_full() {
        let folder = folder(&[(RUN, &run().to_string()), (SUMMARY, &summary("best").to_string())]);
        let found = Recommendation::load(folder.path()).unwrap();
        let settings: Vec<(&str, Value)> = found.settings().into_iter().map(|one| (one.name, one.value)).collect();
        let expected = [
            ("max_concurrency", json!(61)),
            ("multipart_chunksize", json!(8_388_608)),
            ("max_bandwidth", Value::Null),
            ("more", json!("x")),
        ];
        assert_eq!(settings, expected);
        assert!(!found.only_default);
        let origin = [
            "By s3tune for s3://b/k (256 MiB), same-region.",
            "0.800 s on average of 6 downloads by boto3.",
            "-36.0 % of the time against boto3's defaults, 95 % interval -42.0 % to -30.0 %.",
        ];
        assert_eq!(found.origin, origin);
    }

    #[test]
    fn a_number_that_is_given_alone_is_meant_as_it_is() {
        use crate::export::FORMATS;

        for (name, value) in [("multipart_chunksize", 5 << 20), ("max_concurrency", 61)] {
            let config = json!({name: value}).as_object().cloned().unwrap();
            let found = Recommendation { config, ..s3xfer() };
            let exported = |format: &str| {
                let format = FORMATS.into_iter().find(|known| known.name == format).unwrap();
                format.export(&found).unwrap().text
            };
            let toml: s3xfer::TransferConfig = toml::from_str(&exported("toml")).unwrap();
            assert!(!toml.adaptive_concurrency(), "{name}");
            let boto3 = exported("boto3");
            assert!(boto3.contains(&format!("    {name}={value},\n")), "{boto3}");
            assert!(!boto3.contains("is a bound"), "{boto3}");
        }
    }

    #[test]
    fn the_engines_default_is_what_is_recommended_where_nothing_beat_it() {
        let folder = folder(&[(RUN, &run().to_string()), (SUMMARY, &summary("engine_default").to_string())]);
        let found = Recommendation::load(folder.path()).unwrap();
        assert!(found.only_default);
        assert_eq!(found.config["max_concurrency"], 10);
        assert_eq!(found.origin[1], "1.25 s on average of 6 downloads by boto3.");
        assert_eq!(found.origin.len(), 2);
    }

    #[test]
    fn a_folder_without_a_result_says_what_to_do() {
        let (run, best) = (run().to_string(), summary("best").to_string());
        let old = json!({"schema": 1, "best": {}}).to_string();
        let usage = |files: &[(&str, &str)]| match Recommendation::load(folder(files).path()).map_err(Failure::from) {
            Err(failure @ Failure::Usage(_)) => failure.line(),
            other => panic!("{other:?}"),
        };
        assert!(usage(&[]).contains("no run.json"));
        assert!(usage(&[(SUMMARY, &best)]).contains("no run.json"));
        assert!(usage(&[(RUN, &run)]).contains("its command with --out /"));
        let line = usage(&[(RUN, &run), (SUMMARY, &old)]);
        assert!(
            line.contains("summary.json") && line.contains("schema 1") && line.contains("command with --out /"),
            "{line}"
        );
        let gone = Recommendation::load(Path::new("/nonexistent/run")).unwrap_err();
        assert!(gone.to_string().starts_with("/nonexistent/run: there is no such folder"), "{gone}");
    }

    #[test]
    fn a_damaged_file_is_told_by_its_name() {
        let (run, best) = (run().to_string(), summary("best").to_string());
        let half = &best[..best.len() / 2];
        let neither = summary("neither").to_string();
        for (files, name) in [
            ([(RUN, "{"), (SUMMARY, best.as_str())], RUN),
            ([(RUN, "[1]"), (SUMMARY, best.as_str())], RUN),
            ([(RUN, run.as_str()), (SUMMARY, half)], SUMMARY),
            ([(RUN, run.as_str()), (SUMMARY, "")], SUMMARY),
            ([(RUN, run.as_str()), (SUMMARY, neither.as_str())], SUMMARY),
        ] {
            match Recommendation::load(folder(&files).path()).map_err(Failure::from) {
                Err(failure @ Failure::Work(_)) => {
                    let line = failure.line();
                    assert!(line.contains(&format!("{name} is damaged: ")) && line.contains("line 1"), "{line}");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

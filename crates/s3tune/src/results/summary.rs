//! `summary.json`: the outcome of a run for programs, in a stable schema.
//!
//! The documentation of the command line lists the fields in this order. Older readers ignore a field that was added
//! later. A field whose meaning changes gets a new schema number, which older readers refuse.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::file::{WriteError, write_whole};

/// The outcome of a run.
///
/// ```
/// use s3tune::results::{Measured, Recommended, Schema, Summary, Verdict, Versus};
///
/// let measured = |mean| Measured { config: Default::default(), mean, n: 6 };
/// let summary = Summary {
///     schema: Schema,
///     metric: "download_time".to_owned(),
///     unit: "s".to_owned(),
///     baseline: measured(8.0),
///     engine_default: measured(5.2),
///     best: measured(5.0),
///     improvement: 0.375,
///     improvement_ci95: [0.34, 0.41],
///     versus_engine_default: Versus { improvement: 0.038, ci95: [0.01, 0.07] },
///     verdict: Verdict::Faster,
///     recommended: Recommended::Best,
///     trials: 31,
///     measurements: 70,
///     search_seconds: 118.2,
///     bytes_moved: 210_000_000,
///     object_bytes: 3_000_000,
///     seed: 42,
///     engine: "s3xfer".to_owned(),
///     stopped_by: "max_tuning_time".to_owned(),
/// };
/// let json = serde_json::to_string(&summary)?;
/// assert!(json.starts_with(r#"{"schema":2,"metric":"download_time","unit":"s","baseline":"#));
/// assert_eq!(serde_json::from_str::<Summary>(&json)?, summary);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Always 2.
    pub schema: Schema,
    /// The metric; less is better.
    pub metric: String,
    /// The unit of [`Measured::mean`].
    pub unit: String,
    /// boto3's defaults, or the engine's if it has none of boto3's parameters.
    pub baseline: Measured,
    /// The engine's behaviour without configuration.
    pub engine_default: Measured,
    /// The configuration that the search found.
    pub best: Measured,
    /// `1 - best.mean / baseline.mean`: 0.4 is 40 % less time. Negative if the best is worse.
    pub improvement: f64,
    /// The 95 % confidence interval of `improvement`, lower end first.
    pub improvement_ci95: [f64; 2],
    /// The same against `engine_default`.
    pub versus_engine_default: Versus,
    /// The verdict of the comparison of `best` with `engine_default`.
    pub verdict: Verdict,
    /// The configuration to use, which `best.toml` holds.
    pub recommended: Recommended,
    /// Configurations that were tried.
    pub trials: u64,
    /// Downloads that were timed, over all trials and the final comparison.
    pub measurements: u64,
    /// Wall-clock seconds from the start of the first trial to the end of the last.
    pub search_seconds: f64,
    /// Bytes of the downloads that were timed, repetitions included. Downloads that were cut off are not counted.
    pub bytes_moved: u64,
    /// Size of the object.
    pub object_bytes: u64,
    /// Seed of everything random in the search.
    pub seed: u64,
    /// The engine: `s3xfer`, or a command template.
    pub engine: String,
    /// The limit or event that ended the search, as its flag is called.
    pub stopped_by: String,
}

/// A configuration and its measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Parameter names and values, in the order of the space.
    pub config: Map<String, Value>,
    /// Mean of the measurements, in the summary's unit.
    pub mean: f64,
    /// Number of measurements behind the mean.
    pub n: u64,
}

/// The time that [`Summary::best`] saves against another configuration.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Versus {
    /// `1 - best.mean / other.mean`; negative if the best takes longer.
    pub improvement: f64,
    /// Its 95 % confidence interval, lower end first.
    pub ci95: [f64; 2],
}

/// The verdict of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// The whole interval lies above zero.
    #[serde(rename = "faster")]
    Faster,
    /// The interval includes zero.
    #[serde(rename = "no difference")]
    NoDifference,
    /// The whole interval lies below zero.
    #[serde(rename = "slower")]
    Slower,
}

/// The recommended configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recommended {
    /// The configuration that was found: it is proven to be faster than the engine's default.
    Best,
    /// The engine's default: nothing better is proven.
    EngineDefault,
}

impl Verdict {
    /// The verdict for an interval of the improvement.
    #[must_use]
    pub fn of([low, high]: [f64; 2]) -> Self {
        match (low > 0.0, high < 0.0) {
            (true, _) => Self::Faster,
            (_, true) => Self::Slower,
            _ => Self::NoDifference,
        }
    }

    /// The configuration to use after this verdict.
    #[must_use]
    pub fn recommended(self) -> Recommended {
        match self {
            Self::Faster => Recommended::Best,
            Self::NoDifference | Self::Slower => Recommended::EngineDefault,
        }
    }
}

/// The number of this schema: there is one value, written as `2`; reading any other number is an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "u64")]
pub struct Schema;

impl Schema {
    /// The number in the file.
    pub const NUMBER: u64 = 2;
}

impl From<Schema> for u64 {
    fn from(_: Schema) -> Self {
        Schema::NUMBER
    }
}

impl TryFrom<u64> for Schema {
    type Error = UnsupportedSchema;

    fn try_from(found: u64) -> Result<Self, UnsupportedSchema> {
        if found == Self::NUMBER { Ok(Self) } else { Err(UnsupportedSchema { found }) }
    }
}

/// A summary in a schema that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "schema {found} is not known to this version, which reads schema {}; use the version that wrote it",
    Schema::NUMBER
)]
pub struct UnsupportedSchema {
    /// The number in the file.
    pub found: u64,
}

/// The reason why a summary could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SaveError {
    /// JSON has no such number.
    #[error("write the summary: {field} is {value}, but must be a finite number")]
    NotFinite {
        /// The field, as the file spells it.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// The encoder refused.
    #[error("write the summary: {0}")]
    Json(#[from] serde_json::Error),
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// The reason why a summary could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The file could not be read.
    #[error("read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// Another version's schema.
    #[error("read {}: {source}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// The number that was found.
        source: UnsupportedSchema,
    },
    /// Not JSON, or not a summary.
    #[error("read {}: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// The mistake, with line and column.
        source: serde_json::Error,
    },
}

impl Summary {
    /// Writes the summary as indented JSON, whole or not at all.
    ///
    /// # Errors
    /// A number is not finite (a file with `null` in its place would not load), or the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), SaveError> {
        let numbers = [
            ("baseline.mean", self.baseline.mean),
            ("best.mean", self.best.mean),
            ("improvement", self.improvement),
            ("improvement_ci95[0]", self.improvement_ci95[0]),
            ("improvement_ci95[1]", self.improvement_ci95[1]),
            ("engine_default.mean", self.engine_default.mean),
            ("versus_engine_default.improvement", self.versus_engine_default.improvement),
            ("versus_engine_default.ci95[0]", self.versus_engine_default.ci95[0]),
            ("versus_engine_default.ci95[1]", self.versus_engine_default.ci95[1]),
            ("search_seconds", self.search_seconds),
        ];
        if let Some((field, value)) = numbers.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(SaveError::NotFinite { field, value });
        }
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(write_whole(path, &json)?)
    }

    /// Reads a summary that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// The file cannot be read, has another schema, or is not a summary. Each error names the file; the last also names
    /// line and column.
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        /// Read first, to distinguish a file of another version from a damaged one.
        #[derive(Deserialize)]
        struct Version {
            schema: u64,
        }

        let json = fs::read(path).map_err(|source| LoadError::Io { path: path.to_owned(), source })?;
        let invalid = |source| LoadError::Json { path: path.to_owned(), source };
        let version: Version = serde_json::from_slice(&json).map_err(invalid)?;
        Schema::try_from(version.schema).map_err(|source| LoadError::Schema { path: path.to_owned(), source })?;
        serde_json::from_slice(&json).map_err(invalid)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn config(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn summary() -> Summary {
        Summary {
            schema: Schema,
            metric: "download_time".to_owned(),
            unit: "s".to_owned(),
            baseline: Measured {
                config: config(json!({"max_concurrency": 10, "use_threads": true})),
                mean: 8.31,
                n: 6,
            },
            engine_default: Measured { config: config(json!({"max_concurrency": 32})), mean: 5.0, n: 6 },
            best: Measured { config: config(json!({"max_concurrency": 61, "a": 0.1})), mean: 4.92, n: 6 },
            improvement: 0.408,
            improvement_ci95: [0.37, 0.44],
            versus_engine_default: Versus { improvement: 0.02, ci95: [-0.01, 0.05] },
            verdict: Verdict::NoDifference,
            recommended: Recommended::EngineDefault,
            trials: 31,
            measurements: 70,
            search_seconds: 118.2,
            bytes_moved: 123_456_789,
            object_bytes: 3_221_225_472,
            seed: u64::MAX,
            engine: "s3xfer".to_owned(),
            stopped_by: "max_tuning_time".to_owned(),
        }
    }

    #[test]
    fn the_schema_is_the_documented_one() {
        let expected = json!({
            "schema": 2, "metric": "download_time", "unit": "s",
            "baseline": {"config": {"max_concurrency": 10, "use_threads": true}, "mean": 8.31, "n": 6},
            "engine_default": {"config": {"max_concurrency": 32}, "mean": 5.0, "n": 6},
            "best": {"config": {"max_concurrency": 61, "a": 0.1}, "mean": 4.92, "n": 6},
            "improvement": 0.408, "improvement_ci95": [0.37, 0.44],
            "versus_engine_default": {"improvement": 0.02, "ci95": [-0.01, 0.05]},
            "verdict": "no difference", "recommended": "engine_default",
            "trials": 31, "measurements": 70, "search_seconds": 118.2, "bytes_moved": 123_456_789,
            "object_bytes": 3_221_225_472_u64, "seed": u64::MAX, "engine": "s3xfer", "stopped_by": "max_tuning_time"
        });
        // As text, because people see the order of the fields.
        assert_eq!(serde_json::to_string(&summary()).unwrap(), expected.to_string());
    }

    #[test]
    fn only_what_is_proven_to_be_faster_is_recommended() {
        for (interval, verdict, recommended) in [
            ([0.01, 0.02], Verdict::Faster, Recommended::Best),
            ([0.0, 0.02], Verdict::NoDifference, Recommended::EngineDefault),
            ([-0.1, 0.3], Verdict::NoDifference, Recommended::EngineDefault),
            ([-0.3, -0.1], Verdict::Slower, Recommended::EngineDefault),
        ] {
            assert_eq!((Verdict::of(interval), verdict.recommended()), (verdict, recommended), "{interval:?}");
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        summary().save(&path).unwrap();
        assert_eq!(Summary::load(&path).unwrap(), summary());
    }

    #[test]
    fn a_number_that_json_cannot_hold_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        let error = Summary { improvement: f64::NAN, ..summary() }.save(&path).unwrap_err();
        assert!(error.to_string().ends_with("improvement is NaN, but must be a finite number"), "{error}");
        assert!(!path.exists());
    }

    #[test]
    fn another_schema_is_told_apart_from_a_broken_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("summary.json");
        let load = |text: &str| {
            fs::write(&path, text).unwrap();
            Summary::load(&path).unwrap_err()
        };
        // A later schema may have other fields: only its number is looked at.
        let error = load(r#"{"schema": 3, "results": []}"#);
        assert!(matches!(&error, LoadError::Schema { source: UnsupportedSchema { found: 3 }, .. }), "{error}");
        assert!(error.to_string().contains("summary.json: schema 3 is not known"), "{error}");

        let error = load("{\"schema\": 2,\n \"metric\": 3}");
        assert!(matches!(error, LoadError::Json { .. }) && error.to_string().contains("line 2"), "{error}");
        assert!(matches!(load("{}"), LoadError::Json { .. }));
        assert!(matches!(Summary::load(&folder.path().join("gone.json")), Err(LoadError::Io { .. })));
    }
}

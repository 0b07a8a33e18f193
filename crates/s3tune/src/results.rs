//! The files of a run's folder: `summary.json`, `results.parquet`, `best.toml` and `report.html`.
//!
//! This module turns plain inputs into files; the run decides which files are written, and when. Nothing here measures,
//! searches or reads the journal. Every file appears whole or not at all.

mod best;
mod file;
mod report;
mod summary;

pub use best::{BestError, Origin, best_toml, write_best};
pub use file::WriteError;
pub(crate) use file::write_whole;
pub use report::{
    Against, Arm, ArmKind, Comparison, Configurations, Curve, CurvePoint, Influence, Outcome, Parameter, ParameterUnit,
    ParameterValue, ReportError, ReportInput, Share, TrialRow, report_html, write_report,
};
pub use summary::{LoadError, Measured, Recommended, SaveError, Schema, Summary, UnsupportedSchema, Verdict, Versus};
pub use tunekit::results::{ParquetError, parquet_bytes, write_parquet};

//! `s3tune report`: writes the tables and the report of a run's folder again.

use super::{names, tell};
use crate::cli::ReportArgs;
use crate::failure::Failure;
use crate::run::report as report_of;

pub(super) async fn report(arguments: ReportArgs) -> Result<(), Failure> {
    let ReportArgs { folder, syne_tune_names } = arguments;
    let shown = folder.display().to_string();
    let made = tokio::task::spawn_blocking(move || report_of(&folder, names(syne_tune_names)));
    let words = made.await.map_err(|error| Failure::work("write the report", &error))??;
    tell(&format!("{words}report in {shown}: report.html, results.csv, measurements.csv\n"))
}

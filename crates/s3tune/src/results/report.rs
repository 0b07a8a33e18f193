//! `report.html`: the findings, their certainty and the measurements, on one self-contained page.
//!
//! This file has the plain inputs; `html` writes the page's text, `charts` chooses the contents of the pictures,
//! `influence` does both for the parameters, and `tunekit::drawing` draws. The page runs no script, loads nothing, and
//! follows the reader's light or dark setting. Every text from outside is escaped.

mod charts;
mod html;
mod influence;

use std::path::Path;

use tunekit::drawing::PictureError;

use super::file::{WriteError, write_whole};

/// The input of a report, which the page shows in pictures and words. Lower values of the metric are better.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportInput {
    /// The object, as `s3://bucket/key`.
    pub object: String,
    /// Its size.
    pub object_bytes: u64,
    /// The metric, in words: `download time`.
    pub metric: String,
    /// Its unit: `s`. For seconds the headline also states the throughput.
    pub unit: String,
    /// The final comparison, which was measured after the search; or the reason why there is none, as a fragment of a
    /// sentence.
    pub comparison: Result<Comparison, String>,
    /// The configuration without tuning: its name and its mean, if the mean is known.
    pub reference: Option<(String, f64)>,
    /// Every trial, in the order in which they finished.
    pub trials: Vec<TrialRow>,
    /// The trial whose configuration was chosen.
    pub best_trial: Option<u64>,
    /// The parameters that were varied, in the order of the space.
    pub parameters: Vec<Parameter>,
    /// The influence of the parameters, or the reason why it is unknown, as a fragment of a sentence.
    pub influence: Result<Influence, String>,
    /// The parameters that, by a test, have no measurable effect.
    pub without_effect: Vec<String>,
    /// The full configuration that was found, beside those that it was compared with.
    pub configuration: Configurations,
    /// The conditions of the measurement, as name and value: object, network, engine, seed, cores, the end of the
    /// search.
    pub conditions: Vec<(String, String)>,
    /// Caveats for the reader, a sentence each.
    pub caveats: Vec<String>,
}

/// Configurations measured side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// The arms, in the order in which they are shown.
    pub arms: Vec<Arm>,
    /// The configuration found against each other arm. The first is the headline.
    pub against: Vec<Against>,
    /// The conclusion for the reader, in a sentence.
    pub conclusion: String,
}

/// The configuration found against another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Against {
    /// The other's name, as in [`Arm::name`].
    pub name: String,
    /// `1 - found.mean / other.mean`.
    pub improvement: f64,
    /// Its 95 % confidence interval, lower end first.
    pub ci95: [f64; 2],
}

/// The role of an arm, which sets its colour in pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArmKind {
    /// A well-known configuration that is not the engine's default.
    Baseline,
    /// The configuration without tuning.
    Default,
    /// The configuration that was found.
    Found,
}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Its name: `boto3's defaults`, `found`.
    pub name: String,
    /// Its role.
    pub kind: ArmKind,
    /// Every measurement, in the metric's unit.
    pub measurements: Vec<f64>,
    /// Their mean.
    pub mean: f64,
    /// The mean's 95 % confidence interval; none if there are too few measurements.
    pub ci95: Option<[f64; 2]>,
}

/// A trial of the search.
#[derive(Debug, Clone, PartialEq)]
pub struct TrialRow {
    /// Its number in the journal.
    pub number: u64,
    /// Seconds from the search's start to the trial's end.
    pub finished_at_seconds: f64,
    /// Its end.
    pub outcome: Outcome,
    /// Number of its measurements.
    pub measurements: u64,
    /// Its configuration: a value for each of [`ReportInput::parameters`], in their order; none for a parameter without
    /// a value.
    pub config: Vec<Option<ParameterValue>>,
}

/// The end of a trial.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Measured in full: the mean.
    Measured(f64),
    /// Stopped by the scheduler: the mean until then.
    Stopped(f64),
    /// Left paused by the scheduler: the mean until then.
    Paused(f64),
    /// Interrupted with the run: the mean until then.
    Interrupted(f64),
    /// Cut off because it could no longer be good: a lower bound of its value.
    AtLeast(f64),
    /// Failed: the reason.
    Failed(String),
}

impl Outcome {
    fn value(&self) -> Option<f64> {
        match self {
            Self::Measured(value)
            | Self::Stopped(value)
            | Self::Paused(value)
            | Self::Interrupted(value)
            | Self::AtLeast(value) => Some(*value),
            Self::Failed(_) => None,
        }
    }
}

/// A parameter of the space.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// The format of its numbers.
    pub unit: ParameterUnit,
    /// Whether its domain, and so its axis, is logarithmic.
    pub log: bool,
    /// Its value in the configuration without tuning.
    pub before: Option<ParameterValue>,
}

/// The format of a parameter's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParameterUnit {
    /// As they are.
    #[default]
    Number,
    /// As bytes: `8 MiB`.
    Bytes,
}

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ParameterValue {
    /// A number, on an axis.
    Number(f64),
    /// One of several choices.
    Choice(String),
}

/// The influence of the parameters on the metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Influence {
    /// The number of measured configurations behind it.
    pub configurations: u64,
    /// The model from which it was computed, in words: `a random forest`.
    pub surface: String,
    /// The estimated share of the metric's variation over the space that the model explains, 0 to 1.
    pub known: f64,
    /// The shares of the parameters and of pairs, the largest first.
    pub shares: Vec<Share>,
    /// A curve for each parameter, in the order in which they are shown.
    pub curves: Vec<Curve>,
}

/// The share of the metric's variation over the space that a parameter explains, or that a pair explains beyond the
/// shares of its two parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Share {
    /// One name, or two.
    pub parameters: Vec<String>,
    /// Share of the variance, 0 to 1.
    pub share: f64,
    /// Its standard error.
    pub sd: f64,
}

/// The metric as a function of one parameter, averaged over all others.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// One of [`ReportInput::parameters`], by name.
    pub parameter: String,
    /// In the order of the values.
    pub points: Vec<CurvePoint>,
}

/// A point of a [`Curve`].
#[derive(Debug, Clone, PartialEq)]
pub struct CurvePoint {
    /// The parameter's value.
    pub value: ParameterValue,
    /// The metric's mean there.
    pub mean: f64,
    /// Its 95 % interval, lower end first.
    pub ci95: [f64; 2],
}

/// Configurations side by side, in full.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Configurations {
    /// Their names. The last is the one that was found.
    pub names: Vec<String>,
    /// A row per parameter, with its value in each configuration.
    pub rows: Vec<(String, Vec<String>)>,
}

/// The reason why a report could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The drawing library refused a picture.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// Writes [`report_html`] to `path`, whole or not at all.
///
/// # Errors
/// A picture cannot be drawn, or the file cannot be written.
pub fn write_report(path: &Path, input: &ReportInput) -> Result<(), ReportError> {
    Ok(write_whole(path, report_html(input)?.as_bytes())?)
}

/// The page. Its tables list values that are not finite; its pictures leave them out.
///
/// # Errors
/// When a picture cannot be drawn.
pub fn report_html(input: &ReportInput) -> Result<String, ReportError> {
    html::page(input)
}

#[cfg(test)]
mod tests;

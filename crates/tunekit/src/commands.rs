//! The commands of `tunekit`. Flags are `main.rs`'s business.

mod compare;
mod read;
mod replay;
mod run;
mod serve;

use std::error::Error;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

pub(crate) use compare::compare;
pub(crate) use read::{Format, Rows, best, export, plan, report, status};
pub(crate) use replay::replay;
pub(crate) use run::{Kind, resume, run};
pub(crate) use serve::{Places, Work, listen, serve, worker};

/// Why a command did not do its work.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Wrong usage or a wrong file: exit code 2.
    Usage(String),
    /// The work failed: exit code 1. Measurements made so far are kept.
    Work(String),
}

impl Failure {
    pub(crate) fn usage(error: &dyn Error) -> Self {
        Self::Usage(chain(error))
    }

    pub(crate) fn work(error: &dyn Error) -> Self {
        Self::Work(chain(error))
    }

    /// The failure in one line, even if a cause has several.
    pub(crate) fn line(&self) -> String {
        let (Self::Usage(text) | Self::Work(text)) = self;
        let words = text.split(|c: char| c.is_whitespace() || c.is_control());
        words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Work(_) => ExitCode::from(1),
        }
    }
}

impl From<tunekit::program::FolderError> for Failure {
    fn from(error: tunekit::program::FolderError) -> Self {
        if error.is_usage() { Self::usage(&error) } else { Self::work(&error) }
    }
}

/// Writes `report.html` into a study's folder.
fn write_report(folder: &tunekit::program::StudyFolder) -> Result<PathBuf, Failure> {
    let study = folder.study()?;
    let name = folder.path().file_name().map_or("study".into(), |name| name.to_string_lossy());
    let html = tunekit::drawing::report_html(&study, &name).map_err(|error| Failure::work(&error))?;
    let path = folder.path().join("report.html");
    tunekit::results::write_text(&path, &html).map_err(|error| Failure::work(&error))?;
    Ok(path)
}

/// An error and its causes in one line, each said once.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

/// Writes to standard output. A closed pipe is not a failure.
fn print(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::Work(format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

//! An experiment from a run's folder or journal, without changing either.

use std::path::Path;

use crate::doors::journal::{JournalError, JournalFile};
use crate::rules::experiment::Experiment;
use crate::rules::study::ReplayError;

/// The name of the journal in a run's folder.
pub const JOURNAL_NAME: &str = "journal.jsonl";

/// Why an experiment cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its events do not form a study.
    #[error("{path}: {source}")]
    Replay {
        /// The journal.
        path: String,
        /// The problem.
        source: ReplayError,
    },
}

impl Experiment {
    /// The experiment in `path`: a journal, or a folder with a `journal.jsonl`. The study may still be running.
    ///
    /// # Errors
    /// The file does not exist, or is not a study's journal.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, LoadError> {
        let path = path.as_ref();
        let path = if path.is_dir() { path.join(JOURNAL_NAME) } else { path.to_path_buf() };
        let contents = JournalFile::read(&path)?;
        Self::from_events(contents.events)
            .map_err(|source| LoadError::Replay { path: path.display().to_string(), source })
    }
}

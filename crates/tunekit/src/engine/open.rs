//! `StudyJournal`: a journal that is open for writing, and the study that continues or begins in it.
//!
//! This is the only place where a study meets its file. Open trials are interrupted and given out again, and this is on
//! the disk before a study is handed out.

use std::path::{Path, PathBuf};

use crate::doors::journal::{JournalError, JournalFile};
use crate::rules::scheduler::Scheduler;
use crate::rules::searcher::Searcher;
use crate::rules::study::{ReplayError, Setup, SetupError, Study};
use crate::words::event::{Difference, Event, Header};

/// Why a study cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The setup is invalid.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal's events do not form a study.
    #[error("journal {} cannot be resumed: {source}", path.display())]
    Replay {
        /// The journal.
        path: PathBuf,
        /// The fault in it.
        source: ReplayError,
    },
    /// The journal is of another study.
    #[error("journal {} is of another study: {difference}; use its setup again, or another journal", path.display())]
    OtherStudy {
        /// The journal.
        path: PathBuf,
        /// The first part of the setup that differs.
        difference: Difference,
    },
}

/// A journal that is open for writing, with its contents. It stays locked until this, or the file that it hands out, is
/// dropped.
///
/// ```
/// use tunekit::journal::StudyJournal;
/// use tunekit::{Domain, Metric, Setup, Space};
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("journal.jsonl");
/// let space = Space::new().with("n", Domain::int(1, 8)?)?;
/// let setup = Setup::new(space, Metric::minimize("loss"));
/// let (mut study, mut file) = StudyJournal::open(&path)?.study(setup.clone())?;
/// let job = study.ask()?;
/// file.append(&study.take_events())?;
/// drop(file);
///
/// // The trial that was running is asked for again.
/// let (mut again, _file) = StudyJournal::open(&path)?.study(setup)?;
/// assert_eq!(again.ask()?.assignment().map(|a| a.config), job.assignment().map(|a| a.config));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct StudyJournal {
    file: JournalFile,
    events: Vec<Event>,
    torn_bytes: usize,
}

impl StudyJournal {
    /// Opens a journal, or creates an empty one.
    ///
    /// # Errors
    /// The file system refuses, another process has it open, or it is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, JournalError> {
        let (file, contents) = JournalFile::open(path)?;
        Ok(Self { file, events: contents.events, torn_bytes: contents.torn_bytes })
    }

    /// The header of the study in it; `None` where it is empty.
    pub fn header(&self) -> Option<&Header> {
        match self.events.first() {
            Some(Event::Header(header)) => Some(header),
            _ => None,
        }
    }

    /// Bytes of a last line without an end, which a writer that was killed left and which were cut off.
    pub fn torn_bytes(&self) -> usize {
        self.torn_bytes
    }

    /// Whether it is empty, or of the study with this header.
    ///
    /// # Errors
    /// [`OpenError::OtherStudy`].
    pub fn check(&self, header: &Header) -> Result<(), OpenError> {
        match self.header().and_then(|found| found.difference(header)) {
            Some(difference) => Err(OpenError::OtherStudy { path: self.file.path().to_owned(), difference }),
            None => Ok(()),
        }
    }

    /// The study of this setup: the one in the journal, whose open trials are interrupted, or a new one.
    ///
    /// # Errors
    /// The setup is invalid, the journal belongs to another study or to none, or it cannot be written.
    pub fn study(self, setup: Setup) -> Result<(Study, JournalFile), OpenError> {
        let (searcher, scheduler) = setup.build()?;
        self.study_with(setup, searcher, scheduler)
    }

    /// As [`StudyJournal::study`], with your own searcher and scheduler instead of those that the setup names.
    ///
    /// # Errors
    /// As [`StudyJournal::study`].
    pub fn study_with(
        self,
        setup: Setup,
        searcher: Box<dyn Searcher>,
        scheduler: Box<dyn Scheduler>,
    ) -> Result<(Study, JournalFile), OpenError> {
        if self.events.is_empty() {
            return stored(Study::with(setup, searcher, scheduler)?, self.file);
        }
        // Checked before the replay, which knows only the study of the journal, not the requested one.
        self.check(&setup.header_with(&*searcher, &*scheduler)?)?;
        let path = self.file.path().to_owned();
        let study = Study::replay_with(self.events, searcher, scheduler);
        resumed(study.map_err(|source| OpenError::Replay { path, source })?, self.file)
    }

    /// The study in the journal, if it uses this crate's searchers and schedulers. Its open trials are interrupted.
    /// `None` if the journal is empty.
    ///
    /// # Errors
    /// The journal does not hold a study, or cannot be written.
    pub fn resume(self) -> Result<(Option<Study>, JournalFile), OpenError> {
        if self.events.is_empty() {
            return Ok((None, self.file));
        }
        let path = self.file.path().to_owned();
        let study = Study::replay(self.events).map_err(|source| OpenError::Replay { path, source })?;
        resumed(study, self.file).map(|(study, file)| (Some(study), file))
    }
}

fn resumed(mut study: Study, file: JournalFile) -> Result<(Study, JournalFile), OpenError> {
    study.interrupt_open();
    stored(study, file)
}

fn stored(mut study: Study, mut file: JournalFile) -> Result<(Study, JournalFile), OpenError> {
    file.append(&study.take_events())?;
    Ok((study, file))
}

//! `StudyFolder`: the folder of a study of a program, and the study's run in it.
//!
//! - `study.toml`: the study file, with the folder in which the program runs.
//! - `journal.jsonl`: all events. All other files but the trials' output are derived from it.
//! - `results.csv`, `measurements.csv`: one row per trial, one row per measurement; kept current while the study runs.
//! - `trials/7`: the output of the runs of trial 7 in `stdout` and `stderr`, and its `config.json`.
//! - `checkpoints`: the states from which paused trials continue.
//! - `optuna.log`: on request, the study for Optuna and its dashboard.
//! - `slurm`: with Slurm, the scripts and the output of the jobs.
//! - `lock`: held by the process that runs the study.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::live::LiveOptuna;
use super::load::{JOURNAL_NAME, LoadError};
use super::open::{OpenError, StudyJournal};
use super::program::{ProgramBackend, ProgramError};
use super::slurm::{Slurm, SlurmError};
use super::stop::StopHandle;
use super::study_file::{STUDY_NAME, StudyFile, StudyFileError};
use super::tuner::{Observer, Tuner, TunerError, Tuning};
use crate::doors::journal::{JournalError, JournalFile};
use crate::doors::lock::LockedFile;
use crate::doors::results::{WriteError, remove_temporaries, write_csv, write_whole};
use crate::rules::experiment::Experiment;
use crate::rules::stop::StoppedBy;
use crate::rules::study::{SetupError, Study};
use crate::words::backend::Backend;
use crate::words::trial::{Assignment, Decision, TrialId};

/// The file that the process locks that runs the study.
const LOCK_NAME: &str = "lock";
/// The least time between two writes of the tables.
const TABLES_EVERY: Duration = Duration::from_secs(1);
/// The tables take one part in so many of the time at most.
const TABLES_SHARE: u32 = 20;

/// Why a study cannot be run in a folder.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FolderError {
    /// The file system refuses.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operation that failed.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Another process runs the study.
    #[error("{} is in use by another tunekit; wait for it, or use another folder", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
    },
    /// The folder does not hold a study.
    #[error("{} holds no study; name a folder that `tunekit run --out` made", path.display())]
    NoStudy {
        /// The folder.
        path: PathBuf,
    },
    /// A file in the folder would be overwritten.
    #[error("{} holds a `{name}` but no study; use another folder", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// The name of the existing file.
        name: &'static str,
    },
    /// The folder's study is of another program.
    #[error("{} is of another study: its {what} is {found}, not {asked}; use another folder", path.display())]
    OtherProgram {
        /// The folder.
        path: PathBuf,
        /// The difference.
        what: &'static str,
        /// The folder's.
        found: String,
        /// The requested study.
        asked: String,
    },
    /// The study file cannot be used.
    #[error(transparent)]
    File(#[from] StudyFileError),
    /// The journal cannot be continued.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal cannot be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The journal does not hold a study.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The setup cannot be worked with.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The program cannot be run.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// Slurm cannot be used.
    #[error(transparent)]
    Slurm(#[from] SlurmError),
    /// The study was interrupted.
    #[error(transparent)]
    Tuner(#[from] TunerError),
    /// A table cannot be written; the journal has its content.
    #[error(transparent)]
    Table(#[from] WriteError),
}

impl FolderError {
    /// Whether the request was wrong, so that nothing was run.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::InUse { .. }
            | Self::NoStudy { .. }
            | Self::Foreign { .. }
            | Self::OtherProgram { .. }
            | Self::File(_)
            | Self::Setup(_)
            | Self::Slurm(SlurmError::Listen { .. })
            | Self::Program(ProgramError::Command(_) | ProgramError::Devices { .. })
            | Self::Open(OpenError::Setup(_) | OpenError::OtherStudy { .. })
            | Self::Tuner(TunerError::NoWorkers | TunerError::Endless | TunerError::StopRule(_)) => true,
            Self::Journal(error) | Self::Open(OpenError::Journal(error)) => !matches!(error, JournalError::Io { .. }),
            _ => false,
        }
    }
}

/// The folder of a study of a program.
///
/// ```
/// use tunekit::program::{StudyFile, StudyFolder};
/// use tunekit::tuner::StopHandle;
///
/// # let folder = tempfile::tempdir()?;
/// let file = folder.path().join("study.toml");
/// std::fs::write(&file, r#"
///     command = ["sh", "-c", "echo {x}"]
///     metric = "stdout"
///     [space]
///     x = { type = "int", lo = 1, hi = 9 }
///     [stop]
///     max_trials = 3
/// "#)?;
/// let study = StudyFile::read(&file)?;
/// # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
/// let out = StudyFolder::new(folder.path().join("out"));
/// let tuning = out.run(&study, StopHandle::new(), Vec::new()).await?;
/// assert_eq!(tuning.experiment.trials().len(), 3);
/// assert!(out.path().join("results.csv").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct StudyFolder {
    path: PathBuf,
}

impl StudyFolder {
    /// The folder at this path, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of its journal.
    pub fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL_NAME)
    }

    /// The study file in it.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub fn study_file(&self) -> Result<StudyFile, FolderError> {
        let path = self.path.join(STUDY_NAME);
        if !path.exists() {
            return Err(FolderError::NoStudy { path: self.path.clone() });
        }
        Ok(StudyFile::read(path)?)
    }

    /// The study from its journal, for reading: another process may be running it.
    ///
    /// # Errors
    /// There is no journal, or it is damaged.
    pub fn study(&self) -> Result<Study, FolderError> {
        let path = self.journal();
        if !path.exists() {
            return Err(FolderError::NoStudy { path: self.path.clone() });
        }
        let contents = JournalFile::read(&path)?;
        if contents.events.is_empty() {
            return Err(FolderError::NoStudy { path: self.path.clone() });
        }
        let replayed = Study::replay(contents.events);
        Ok(replayed.map_err(|source| LoadError::Replay { path: path.display().to_string(), source })?)
    }

    /// Whether a process runs the study now.
    pub fn is_running(&self) -> bool {
        let Ok(file) = File::open(self.path.join(LOCK_NAME)) else { return false };
        // Shared, so that two who look at the same moment do not take each other for the study.
        let running = matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        let _ = file.unlock();
        running
    }

    /// Runs or continues a study in this folder, until its stop rule, the handle, or an error ends it. Programs that
    /// still run are ended before this returns.
    ///
    /// # Errors
    /// The folder is in use or belongs to another study, or the study cannot go on. The measurements are in the
    /// journal.
    pub async fn run(
        &self,
        file: &StudyFile,
        stop: StopHandle,
        observers: Vec<Box<dyn Observer>>,
    ) -> Result<Tuning, FolderError> {
        let _lock = self.prepare(file)?;
        let header = file.setup.header()?;
        let tables = Tables::new(&self.path);
        let mut failed = vec![tables.failed.clone()];
        let mut tuner = Tuner::new(file.setup.clone())
            .workers(file.workers)
            .stop_rule(file.stop.clone())
            .max_failures(file.max_failures)
            .stop_handle(stop.clone())
            .journal(self.journal())
            .checkpoints(self.path.join("checkpoints"))
            .observer(tables);
        if file.optuna {
            let live = LiveOptuna::new(&self.path);
            failed.push(live.failed.clone());
            tuner = tuner.observer(live);
        }
        for observer in observers {
            tuner = tuner.boxed_observer(observer);
        }
        let trials = self.path.join("trials");
        let tuned = match &file.backend {
            Backend::Process => {
                let backend = ProgramBackend::new(file.program.clone(), &header, &trials, file.workers)?;
                let tuned = tuner.run(|trial| backend.run(trial)).await;
                backend.settle().await;
                tuned
            }
            Backend::Slurm(options) => {
                let slurm = Slurm::start(&self.path, file, options, header).await?;
                let mut tuning = std::pin::pin!(tuner.run(|trial| slurm.run(trial)));
                let tuned = tokio::select! {
                    tuned = &mut tuning => Ok(tuned),
                    error = slurm.supervise() => Err(error),
                };
                // Without agents the study ends as it would at a signal, with its journal in order.
                let tuned = match tuned {
                    Ok(tuned) => Ok(tuned),
                    Err(error) => {
                        stop.stop();
                        let _ = tuning.await;
                        Err(error)
                    }
                };
                slurm.finish(stop.is_stopped()).await;
                tuned?
            }
        };
        let tuning = tuned?;
        let error = failed.iter().find_map(|failed| failed.lock().unwrap_or_else(PoisonError::into_inner).take());
        error.map_or(Ok(tuning), |error| Err(error.into()))
    }

    /// Prepares the folder for this study, and locks it until the lock is dropped.
    ///
    /// # Errors
    /// It is in use, or of another study.
    pub fn prepare(&self, file: &StudyFile) -> Result<FolderLock, FolderError> {
        fs::create_dir_all(&self.path).map_err(failed(&self.path, "make folder"))?;
        let lock = self.lock()?;
        remove_temporaries(&self.path, &["results.csv", "measurements.csv", "report.html", STUDY_NAME]);
        if let Ok(before) = self.study_file() {
            self.same_program(&before, file)?;
        } else if !self.journal().exists() {
            let foreign = ["results.csv", "measurements.csv", "report.html"];
            if let Some(name) = foreign.into_iter().find(|name| self.path.join(name).exists()) {
                return Err(FolderError::Foreign { path: self.path.clone(), name });
            }
        }
        StudyJournal::open(self.journal())?.check(&file.setup.header()?)?;
        write_whole(&self.path.join(STUDY_NAME), file.text().as_bytes())?;
        Ok(lock)
    }

    fn lock(&self) -> Result<FolderLock, FolderError> {
        /// A look whether the study runs ([`StudyFolder::is_running`]) takes the lock for a moment.
        const LOOKS: u32 = 20;
        const BETWEEN: Duration = Duration::from_millis(10);

        let path = self.path.join(LOCK_NAME);
        let open = || OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        for look in 0..LOOKS {
            if look > 0 {
                std::thread::sleep(BETWEEN);
            }
            match LockedFile::lock(open().map_err(failed(&path, "open"))?) {
                Ok(file) => return Ok(FolderLock { _file: file }),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(source)) => return Err(failed(&path, "lock")(source)),
            }
        }
        Err(FolderError::InUse { path: self.path.clone() })
    }

    /// Whether two study files are of one program; the rest is in the journal's header.
    fn same_program(&self, before: &StudyFile, asked: &StudyFile) -> Result<(), FolderError> {
        let (a, b) = (&before.program, &asked.program);
        let parts = [
            ("command", format!("{:?}", a.command), format!("{:?}", b.command)),
            ("folder", a.folder.display().to_string(), b.folder.display().to_string()),
            ("pass", format!("{:?}", a.pass), format!("{:?}", b.pass)),
            ("resource", format!("{:?}", a.resource), format!("{:?}", b.resource)),
        ];
        match parts.into_iter().find(|(_, found, asked)| found != asked) {
            Some((what, found, asked)) => {
                Err(FolderError::OtherProgram { path: self.path.clone(), what, found, asked })
            }
            None => Ok(()),
        }
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_path_buf();
    move |source| FolderError::Io { path, action, source }
}

/// A study's folder, held for its owner alone until this is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: LockedFile,
}

/// Keeps the tables current.
struct Tables {
    folder: PathBuf,
    is_stale: bool,
    due: Instant,
    /// Why they could not be written the last time.
    failed: Arc<Mutex<Option<WriteError>>>,
}

impl Tables {
    fn new(folder: &Path) -> Self {
        Self { folder: folder.to_path_buf(), is_stale: true, due: Instant::now(), failed: Arc::default() }
    }

    fn write(&mut self, study: &Study) {
        let began = Instant::now();
        let failed = write_tables(&Experiment::of(study), &self.folder).err();
        if let Some(error) = &failed {
            tracing::warn!(%error, "a table is not current");
        }
        self.is_stale = failed.is_some();
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = failed;
        self.due = Instant::now() + TABLES_EVERY.max(began.elapsed() * TABLES_SHARE);
    }
}

/// Writes `results.csv` and `measurements.csv` into a folder.
///
/// # Errors
/// The file system refuses; the file is as it was.
pub fn write_tables(experiment: &Experiment, folder: &Path) -> Result<(), WriteError> {
    write_csv(&experiment.trials_table(), folder.join("results.csv"))?;
    write_csv(&experiment.measurements_table(), folder.join("measurements.csv"))
}

impl Observer for Tables {
    fn on_start(&mut self, study: &Study) {
        self.write(study);
    }

    fn on_ask(&mut self, _: &Study, _: &Assignment) {
        self.is_stale = true;
    }

    fn on_report(&mut self, study: &Study, _: TrialId, _: u64, _: f64, _: Decision) {
        self.is_stale = true;
        if Instant::now() >= self.due {
            self.write(study);
        }
    }

    fn on_tell(&mut self, study: &Study, _: TrialId) {
        self.is_stale = true;
        if Instant::now() >= self.due {
            self.write(study);
        }
    }

    fn on_tick(&mut self, study: &Study, _: Duration) {
        if self.is_stale && Instant::now() >= self.due {
            self.write(study);
        }
    }

    fn on_end(&mut self, study: &Study, _: Option<StoppedBy>) {
        self.write(study);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_whether_it_runs_does_not_refuse_the_study() {
        let path = tempfile::tempdir().unwrap();
        let folder = StudyFolder::new(path.path());
        let lock = folder.lock().unwrap();
        assert!(folder.is_running());
        assert!(matches!(folder.lock(), Err(FolderError::InUse { .. })));
        drop(lock);
        assert!(!folder.is_running());
        // Someone who looks at this moment.
        let looking = File::open(path.path().join(LOCK_NAME)).unwrap();
        looking.try_lock_shared().unwrap();
        assert!(!folder.is_running());
        let gone = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            drop(looking);
        });
        folder.lock().unwrap();
        gone.join().unwrap();
    }
}

//! `LiveOptuna`: keeps `optuna.log` in a study's folder, a journal file for Optuna, so that `optuna-dashboard` shows
//! the study while it runs.
//!
//! The file is made from the study and may lag behind the journal after a crash. When the study continues, the missing
//! lines are added; a line without an end is cut off first.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use super::tuner::Observer;
use crate::doors::results::WriteError;
use crate::rules::optuna::live::OptunaLive;
use crate::rules::stop::StoppedBy;
use crate::rules::study::Study;
use crate::words::trial::{Assignment, Decision, TrialId};

/// Its name in the folder.
const NAME: &str = "optuna.log";

/// Writes a study's events in Optuna's format.
pub(super) struct LiveOptuna {
    path: PathBuf,
    name: String,
    open: Option<Open>,
    /// Why a line could not be written; nothing follows it.
    pub(super) failed: Arc<Mutex<Option<WriteError>>>,
}

struct Open {
    file: File,
    live: OptunaLive,
    /// When the study began, in seconds since 1970.
    epoch_s: f64,
}

impl LiveOptuna {
    pub(super) fn new(folder: &Path) -> Self {
        let name = folder.file_name().map_or("study".into(), |name| name.to_string_lossy()).into_owned();
        Self { path: folder.join(NAME), name, open: None, failed: Arc::default() }
    }

    fn begin(&self, study: &Study) -> io::Result<Open> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text.truncate(whole);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let epoch_s = now.as_secs_f64() - study.elapsed().unwrap_or_default().as_secs_f64();
        Ok(Open { file, live: OptunaLive::read(&text), epoch_s })
    }

    fn add(&mut self, study: &Study, trials: impl Iterator<Item = usize>) {
        let Some(open) = &mut self.open else { return };
        let mut lines = String::new();
        for at in trials {
            lines += &open.live.lines(study.header(), &self.name, study.trials(), at, open.epoch_s);
        }
        if let Err(source) = open.file.write_all(lines.as_bytes()) {
            self.fail(source);
        }
    }

    fn fail(&mut self, source: io::Error) {
        self.open = None;
        let error = WriteError { path: self.path.clone(), source };
        tracing::warn!(%error, "Optuna's file is not current");
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn add_one(&mut self, study: &Study, trial: TrialId) {
        self.add(study, usize::try_from(trial.0).ok().into_iter());
    }
}

impl Observer for LiveOptuna {
    fn on_start(&mut self, study: &Study) {
        match self.begin(study) {
            Ok(open) => {
                self.open = Some(open);
                self.add(study, 0..study.trials().len());
            }
            Err(source) => self.fail(source),
        }
    }

    fn on_ask(&mut self, study: &Study, job: &Assignment) {
        self.add_one(study, job.trial);
    }

    fn on_report(&mut self, study: &Study, trial: TrialId, _: u64, _: f64, _: Decision) {
        self.add_one(study, trial);
    }

    fn on_tell(&mut self, study: &Study, trial: TrialId) {
        self.add_one(study, trial);
    }

    fn on_end(&mut self, study: &Study, _: Option<StoppedBy>) {
        self.add(study, 0..study.trials().len());
    }
}

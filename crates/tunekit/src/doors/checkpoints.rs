//! `CheckpointFolder`: the saved states of trials, one folder each. The scheduler decides which of them are needed, and
//! the objective decides their content.
//!
//! - `trial-3`: the folder in which trial 3 works while it runs. It begins as a copy of the checkpoint from which the
//!   trial continues.
//! - `trial-3-at-27`: the state of trial 3 when it paused at step 27. No run works in it, so it does not change any
//!   more.
//! - `.trial-3.part`, `.trial-3-at-27.gone`: half copied, half removed.
//! - `study.jsonl`: the header of the study, and the lock of the process that uses the folder.
//!
//! A checkpoint is renamed to its final name when it is whole, and renamed away before it is removed. So a folder with
//! such a name is whole, whenever the process was killed.
//!
//! A program may do anything with its working folder: remove it, replace it, save into it after the pause, or leave
//! sockets in it. None of this is an error of the study.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use super::journal::{JournalError, JournalFile};
use crate::words::event::{Difference, Event, Header};
use crate::words::trial::{Checkpoint, TrialId};

/// Why checkpoints cannot be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The file system refuses.
    #[error("checkpoint {}: failed to {action}: {source}", path.display())]
    Io {
        /// The file or folder of the failed operation.
        path: PathBuf,
        /// The operation that failed.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// The folder's own file cannot be read or written, or another process uses the folder.
    #[error(transparent)]
    Folder(#[from] JournalError),
    /// The folder is another study's.
    #[error("{} holds the checkpoints of another study: {difference}; use another folder, or remove it", path.display())]
    OtherStudy {
        /// The folder.
        path: PathBuf,
        /// The first part of the setup that differs.
        difference: Difference,
    },
    /// The checkpoint from which a trial should continue does not exist.
    #[error(
        "trial {} cannot continue from {resource}, because {} is gone; keep the folder as long as the journal",
        trial, path.display()
    )]
    Gone {
        /// The trial that the checkpoint belonged to.
        trial: TrialId,
        /// The step that the trial had reached.
        resource: u64,
        /// The path at which the checkpoint was expected.
        path: PathBuf,
    },
}

/// The folder of one study's checkpoints, locked against other processes.
#[derive(Debug)]
pub(crate) struct CheckpointFolder {
    path: PathBuf,
    whole: BTreeSet<Checkpoint>,
    /// The trials that may have a working folder. A paused trial stays here, because its program may save again.
    working: BTreeSet<TrialId>,
    /// Held for its lock.
    _study: JournalFile,
}

impl CheckpointFolder {
    /// Opens the folder, or creates it; removes the unfinished copies of a process that was killed.
    pub(crate) fn open(path: &Path, header: &Header) -> Result<Self, CheckpointError> {
        fs::create_dir_all(path).map_err(failed(path, "create it"))?;
        let (mut study, contents) = JournalFile::open(path.join("study.jsonl"))?;
        match contents.events.first() {
            Some(Event::Header(found)) => {
                if let Some(difference) = found.difference(header) {
                    return Err(CheckpointError::OtherStudy { path: path.to_path_buf(), difference });
                }
            }
            _ => study.append(&[Event::Header(Box::new(header.clone()))])?,
        }
        let mut folder =
            Self { path: path.to_path_buf(), whole: BTreeSet::new(), working: BTreeSet::new(), _study: study };
        for entry in fs::read_dir(path).map_err(failed(path, "list it"))? {
            let entry = entry.map_err(failed(path, "list it"))?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let hidden = name.strip_prefix('.').and_then(|n| n.strip_suffix(".part").or(n.strip_suffix(".gone")));
            match (hidden, Name::parse(hidden.unwrap_or(name))) {
                (Some(_), Some(_)) => {
                    clear(&entry.path())?;
                }
                (None, Some(Name::Whole(checkpoint))) => drop(folder.whole.insert(checkpoint)),
                (None, Some(Name::Working(trial))) => drop(folder.working.insert(trial)),
                // Somebody else's.
                (_, None) => {}
            }
        }
        Ok(folder)
    }

    /// Creates the folder in which `trial` will work: a copy of the checkpoint, or an empty folder. Anything else with
    /// that name is removed.
    pub(crate) fn begin(&mut self, trial: TrialId, from: Option<Checkpoint>) -> Result<PathBuf, CheckpointError> {
        let name = Name::Working(trial);
        self.working.remove(&trial);
        self.remove(name)?;
        let path = self.path.join(name.text());
        match from {
            None => fs::create_dir(&path).map_err(failed(&path, "create it"))?,
            Some(checkpoint) => {
                let part = self.copy(checkpoint, name)?;
                fs::rename(&part, &path).map_err(failed(&path, "give it its name"))?;
            }
        }
        self.working.insert(trial);
        Ok(path)
    }

    /// Copies a checkpoint to a folder that is not yet called `to`.
    fn copy(&self, checkpoint: Checkpoint, to: Name) -> Result<PathBuf, CheckpointError> {
        let from = self.path.join(Name::Whole(checkpoint).text());
        if !self.whole.contains(&checkpoint) || !from.is_dir() {
            let Checkpoint { trial, resource } = checkpoint;
            return Err(CheckpointError::Gone { trial, resource, path: from });
        }
        let part = self.path.join(format!(".{}.part", to.text()));
        clear(&part)?;
        copy_tree(&from, &part)?;
        Ok(part)
    }

    /// Creates this checkpoint from the trial's working folder. The checkpoint is on the disk when this returns. It is
    /// empty if the program has removed the folder.
    pub(crate) fn keep(&mut self, checkpoint: Checkpoint) -> Result<(), CheckpointError> {
        let from = self.path.join(Name::Working(checkpoint.trial).text());
        let to = self.path.join(Name::Whole(checkpoint).text());
        let mut is_there = from.is_dir();
        if is_there {
            sync_tree(&from)?;
        }
        // Left by a run that was killed before its journal knew of the pause.
        if self.whole.remove(&checkpoint) {
            self.remove(Name::Whole(checkpoint))?;
        }
        is_there = is_there && unless_gone(fs::rename(&from, &to)).map_err(failed(&to, "give it its name"))?.is_some();
        if !is_there {
            tracing::warn!(folder = %from.display(), "the program has removed its folder; its checkpoint is empty");
            self.remove(Name::Working(checkpoint.trial))?;
            fs::create_dir(&to).map_err(failed(&to, "create it"))?;
        }
        sync(&self.path)?;
        self.whole.insert(checkpoint);
        Ok(())
    }

    /// Whether [`CheckpointFolder::retain`] would remove something.
    pub(crate) fn is_superfluous(&self, needed: &BTreeSet<Checkpoint>, running: &BTreeSet<TrialId>) -> bool {
        !self.whole.is_subset(needed) || !self.working.is_subset(running)
    }

    /// Removes all other checkpoints, and the working folders of other trials.
    pub(crate) fn retain(
        &mut self,
        needed: &BTreeSet<Checkpoint>,
        running: &BTreeSet<TrialId>,
    ) -> Result<(), CheckpointError> {
        let whole: Vec<Checkpoint> = self.whole.difference(needed).copied().collect();
        for checkpoint in whole {
            self.remove(Name::Whole(checkpoint))?;
            self.whole.remove(&checkpoint);
        }
        let working: Vec<TrialId> = self.working.difference(running).copied().collect();
        for trial in working {
            self.remove(Name::Working(trial))?;
            self.working.remove(&trial);
        }
        Ok(())
    }

    fn remove(&self, name: Name) -> Result<(), CheckpointError> {
        let path = self.path.join(name.text());
        let gone = self.path.join(format!(".{}.gone", name.text()));
        clear(&gone)?;
        // The program may have removed its working folder.
        match unless_gone(fs::rename(&path, &gone)).map_err(failed(&path, "take its name away"))? {
            Some(()) => clear(&gone),
            None => Ok(()),
        }
    }
}

/// The kind of a folder.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Name {
    Working(TrialId),
    Whole(Checkpoint),
}

impl Name {
    fn text(self) -> String {
        match self {
            Self::Working(trial) => format!("trial-{trial}"),
            Self::Whole(Checkpoint { trial, resource }) => format!("trial-{trial}-at-{resource}"),
        }
    }

    fn parse(text: &str) -> Option<Self> {
        let numbers = text.strip_prefix("trial-")?;
        let name = match numbers.split_once("-at-") {
            Some((trial, resource)) => {
                Self::Whole(Checkpoint { trial: TrialId(trial.parse().ok()?), resource: resource.parse().ok()? })
            }
            None => Self::Working(TrialId(numbers.parse().ok()?)),
        };
        // `trial-07` is none of ours.
        (name.text() == text).then_some(name)
    }
}

fn failed(path: &Path, action: &'static str) -> impl Fn(io::Error) -> CheckpointError {
    let path = path.to_path_buf();
    move |source| CheckpointError::Io { path: path.clone(), action, source }
}

/// `None` where nothing has that name.
fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Removes a folder, or a file that a program put in its place, if there is one.
fn clear(path: &Path) -> Result<(), CheckpointError> {
    let removed = match fs::remove_dir_all(path) {
        Err(error) if error.kind() == ErrorKind::NotADirectory => fs::remove_file(path),
        other => other,
    };
    unless_gone(removed).map(drop).map_err(failed(path, "remove it"))
}

/// Copies a folder and its files, folders and links. Sockets, FIFOs and devices are not state, and are left out.
fn copy_tree(from: &Path, to: &Path) -> Result<(), CheckpointError> {
    fs::create_dir(to).map_err(failed(to, "create it"))?;
    for entry in fs::read_dir(from).map_err(failed(from, "list it"))? {
        let entry = entry.map_err(failed(from, "list it"))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(failed(&from, "look at it"))?;
        if kind.is_dir() {
            copy_tree(&from, &to)?;
        } else if kind.is_symlink() {
            let target = fs::read_link(&from).map_err(failed(&from, "read the link"))?;
            link(&target, &to).map_err(failed(&to, "link it"))?;
        } else if kind.is_file() {
            fs::copy(&from, &to).map_err(failed(&from, "copy it"))?;
            sync(&to)?;
        } else {
            tracing::warn!(path = %from.display(), "neither a file, a folder nor a link; the copy is without it");
        }
    }
    sync(to)
}

#[cfg(unix)]
fn link(target: &Path, to: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, to)
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> io::Result<()> {
    Err(io::Error::new(ErrorKind::Unsupported, "links are copied on Unix only"))
}

/// Syncs a folder and everything in it to the disk. Files that vanish meanwhile are ignored: a running program may
/// write a file beside an old one and rename it.
fn sync_tree(path: &Path) -> Result<(), CheckpointError> {
    let Some(entries) = unless_gone(fs::read_dir(path)).map_err(failed(path, "list it"))? else { return Ok(()) };
    for entry in entries {
        let entry = entry.map_err(failed(path, "list it"))?;
        let kind = unless_gone(entry.file_type()).map_err(failed(path, "list it"))?;
        if kind.is_some_and(|kind| kind.is_dir()) {
            sync_tree(&entry.path())?;
        } else if kind.is_some_and(|kind| kind.is_file()) {
            unless_gone(sync_all(&entry.path())).map_err(failed(&entry.path(), "sync it"))?;
        }
    }
    unless_gone(sync_all(path)).map(drop).map_err(failed(path, "sync it"))
}

fn sync(path: &Path) -> Result<(), CheckpointError> {
    sync_all(path).map_err(failed(path, "sync it"))
}

fn sync_all(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEVEN: Checkpoint = Checkpoint { trial: TrialId(3), resource: 7 };

    fn header() -> Header {
        let line = r#"{"event":"header","schema":2,"space":{"x":{"type":"bool"}},"seed":1,"searcher":"random",
            "scheduler":"pbt","max_resource":9}"#;
        let Event::Header(header) = serde_json::from_str(line).unwrap() else { panic!("no header") };
        *header
    }

    fn open(path: &Path) -> CheckpointFolder {
        CheckpointFolder::open(path, &header()).unwrap()
    }

    fn names(path: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|n| n != "study.jsonl");
        names.sort();
        names
    }

    /// A trial that paused at 7 with two files, one in a folder of its own.
    fn paused(path: &Path) -> CheckpointFolder {
        let mut folder = open(path);
        let work = folder.begin(TrialId(3), None).unwrap();
        fs::create_dir(work.join("layers")).unwrap();
        fs::write(work.join("epoch"), "7").unwrap();
        fs::write(work.join("layers/one"), "weights").unwrap();
        folder.keep(SEVEN).unwrap();
        folder
    }

    #[test]
    fn a_checkpoint_is_copied_and_stays_as_it_was() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = paused(place.path());
        for trial in [3, 5] {
            let work = folder.begin(TrialId(trial), Some(SEVEN)).unwrap();
            assert_eq!(fs::read_to_string(work.join("layers/one")).unwrap(), "weights");
            fs::write(work.join("layers/one"), "other weights").unwrap();
        }
        assert_eq!(names(place.path()), ["trial-3", "trial-3-at-7", "trial-5"]);
        // A run that was cut off begins with the same state once more.
        drop(folder);
        let again = open(place.path()).begin(TrialId(5), Some(SEVEN)).unwrap();
        assert_eq!(fs::read_to_string(again.join("layers/one")).unwrap(), "weights");
    }

    #[test]
    fn a_copy_that_was_killed_before_its_rename_is_no_checkpoint_and_not_in_the_way() {
        let place = tempfile::tempdir().unwrap();
        let folder = paused(place.path());
        let part = folder.copy(SEVEN, Name::Working(TrialId(5))).unwrap();
        // As it would be half-way.
        fs::remove_file(part.join("layers/one")).unwrap();
        drop(folder);
        assert_eq!(names(place.path()), [".trial-5.part", "trial-3-at-7"]);
        let mut folder = open(place.path());
        assert_eq!(names(place.path()), ["trial-3-at-7"]);
        let work = folder.begin(TrialId(5), Some(SEVEN)).unwrap();
        assert_eq!(fs::read_to_string(work.join("layers/one")).unwrap(), "weights");
    }

    #[test]
    fn a_checkpoint_whose_removal_was_killed_is_none() {
        let place = tempfile::tempdir().unwrap();
        drop(paused(place.path()));
        fs::rename(place.path().join("trial-3-at-7"), place.path().join(".trial-3-at-7.gone")).unwrap();
        let mut folder = open(place.path());
        assert!(names(place.path()).is_empty());
        let error = folder.begin(TrialId(5), Some(SEVEN)).unwrap_err();
        assert!(matches!(error, CheckpointError::Gone { resource: 7, .. }), "{error}");
        assert!(names(place.path()).is_empty());
    }

    #[test]
    fn a_pause_that_the_journal_never_knew_of_is_kept_anew() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = paused(place.path());
        let work = folder.begin(TrialId(3), None).unwrap();
        fs::write(work.join("epoch"), "seven").unwrap();
        folder.keep(SEVEN).unwrap();
        assert_eq!(names(place.path()), ["trial-3-at-7"]);
        assert_eq!(fs::read_to_string(place.path().join("trial-3-at-7/epoch")).unwrap(), "seven");
    }

    #[test]
    fn what_is_not_needed_is_removed_and_what_is_not_ours_is_left() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = paused(place.path());
        for trial in [3, 4] {
            folder.begin(TrialId(trial), Some(SEVEN)).unwrap();
        }
        for name in ["notes", "trial-07", ".cache", "trial-1-at-", ".trial-x.part"] {
            fs::create_dir(place.path().join(name)).unwrap();
        }
        let ours =
            |names: Vec<String>| -> Vec<String> { names.into_iter().filter(|n| Name::parse(n).is_some()).collect() };
        folder.retain(&[SEVEN].into(), &[TrialId(4)].into()).unwrap();
        assert_eq!(ours(names(place.path())), ["trial-3-at-7", "trial-4"]);
        folder.retain(&BTreeSet::new(), &BTreeSet::new()).unwrap();
        drop(folder);
        drop(open(place.path()));
        assert_eq!(names(place.path()), [".cache", ".trial-x.part", "notes", "trial-07", "trial-1-at-"]);
    }

    #[test]
    fn a_program_that_saves_after_the_pause_is_not_in_the_way_of_its_next_run() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = paused(place.path());
        let late = |name: &str| {
            fs::create_dir(place.path().join(name)).unwrap();
            fs::write(place.path().join(name).join("late"), "8").unwrap();
        };
        late("trial-3");
        let work = folder.begin(TrialId(3), Some(SEVEN)).unwrap();
        assert!(work.join("epoch").exists() && !work.join("late").exists());
        // A trial that does not go on leaves nothing behind.
        folder.keep(SEVEN).unwrap();
        late("trial-3");
        assert!(folder.is_superfluous(&[SEVEN].into(), &BTreeSet::new()));
        folder.retain(&[SEVEN].into(), &BTreeSet::new()).unwrap();
        assert_eq!(names(place.path()), ["trial-3-at-7"]);
    }

    #[test]
    fn a_folder_that_the_program_has_removed_or_replaced_is_an_empty_checkpoint() {
        for is_file in [false, true] {
            let place = tempfile::tempdir().unwrap();
            let mut folder = open(place.path());
            let work = folder.begin(TrialId(3), None).unwrap();
            fs::remove_dir(&work).unwrap();
            if is_file {
                fs::write(&work, "state").unwrap();
            }
            folder.keep(SEVEN).unwrap();
            assert_eq!(names(place.path()), ["trial-3-at-7"]);
            let work = folder.begin(TrialId(3), Some(SEVEN)).unwrap();
            assert_eq!(fs::read_dir(work).unwrap().count(), 0);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_is_no_part_of_a_checkpoint() {
        let place = tempfile::tempdir().unwrap();
        let mut folder = open(place.path());
        let work = folder.begin(TrialId(3), None).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(work.join("socket")).unwrap();
        fs::write(work.join("epoch"), "7").unwrap();
        folder.keep(SEVEN).unwrap();
        assert_eq!(names(&folder.begin(TrialId(5), Some(SEVEN)).unwrap()), ["epoch"]);
    }

    #[test]
    fn a_folder_whose_files_come_and_go_is_synced_all_the_same() {
        let place = tempfile::tempdir().unwrap();
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    fs::write(place.path().join("tmp"), "8").unwrap();
                    fs::rename(place.path().join("tmp"), place.path().join("epoch")).unwrap();
                }
            });
            let all: Result<Vec<()>, _> = (0..300).map(|_| sync_tree(place.path())).collect();
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
            all.unwrap();
        });
        sync_tree(&place.path().join("none")).unwrap();
    }

    #[test]
    fn a_folder_is_one_studys_and_one_process() {
        let place = tempfile::tempdir().unwrap();
        let held = open(place.path());
        let header = header();
        assert!(matches!(CheckpointFolder::open(place.path(), &header), Err(CheckpointError::Folder(_))));
        drop(held);
        let other = Header { seed: header.seed + 1, ..header };
        let error = CheckpointFolder::open(place.path(), &other).unwrap_err();
        assert!(error.to_string().contains("of another study: its seed is "), "{error}");
    }
}

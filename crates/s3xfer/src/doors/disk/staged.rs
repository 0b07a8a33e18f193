//! [`StagedFile`]: a file that is written beside its target and given the target's name when it is whole.
//!
//! There are two kinds. A file that will not be continued has no name where the system allows that (`O_TMPFILE`):
//! however the process ends, nothing is left. A file that can be continued has a name derived from the target's. A lock
//! shows whether it is being written.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::folder::{Folder, Lock, has_other_names};
use super::target::{Names, Target, classify};
use super::{Call, OpenFile, disk_error, leaving};
use crate::words::action::DiskAction;
use crate::words::failure::TransferError;

/// A file that does not have its name yet. Dropped before [`publish`](Self::publish), it is removed, unless it can be
/// continued and its journal has at least one part; a writer that still holds the open file then writes into nothing.
#[derive(Debug)]
pub(crate) struct StagedFile {
    file: OpenFile,
    place: Arc<Place>,
    name: Name,
    /// Published or discarded: nothing is to be kept when this is dropped.
    ended: Ended,
}

#[derive(Debug, PartialEq, Eq)]
enum Name {
    None,
    /// A file that is of no use to a later download.
    Fresh(OsString),
    Resumable(OsString),
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    No,
    Published,
    Discarded,
}

/// The target, its folder, and the names in it, which a staged file and its journal share.
#[derive(Debug)]
pub(crate) struct Place {
    target: Arc<Path>,
    folder: Folder,
    names: Names,
    /// Whether there is something to continue: a journal with a part in it, or a journal that was not read yet.
    worth_keeping: AtomicBool,
}

/// The answer to the wish for a file that can be continued.
#[derive(Debug)]
pub(crate) enum Claimed {
    Ours(StagedFile),
    /// A download of this process had it and was dropped. Its tasks end as soon as the runtime comes round to them.
    Leaving,
    /// The file system has no locks, so another download that writes to the file could not be detected.
    NoLocks,
}

/// A file that has its name, though perhaps not yet on the device.
#[derive(Debug)]
pub(crate) struct Published {
    file: OpenFile,
    place: Arc<Place>,
    /// Whether it had no name before.
    was_unnamed: bool,
}

/// The result of claiming the name of a file that can be continued.
enum Claim {
    Ours(File),
    /// Another download writes it.
    Held,
    /// A download of this process holds the lock, and was dropped; its tasks end soon.
    Leaving,
    /// The file system has no locks, so this is unknown.
    Unknown,
}

impl StagedFile {
    /// A file that nobody continues, in the target's folder (behind a link, in that of the file it leads to), so that a
    /// target that cannot be written is known before anything is downloaded. Its permissions are those of any new file;
    /// the ones of a file that it replaces are not carried over.
    ///
    /// If the system has no files without a name (NFS, FUSE, other systems than Linux, no `/proc`), the file has one.
    /// It stays behind when the process is killed, and the next download into the target removes it.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`] when the target is not a name for a regular file, or its folder is missing or read-only.
    pub(crate) fn create(target: &Path) -> Result<Self, TransferError> {
        Self::create_at(Place::of(target)?)
    }

    /// As [`create`](Self::create), under a name in an open folder, wherever its path leads by now.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn create_in(folder: &OwnedFd, target: &Path) -> Result<Self, TransferError> {
        Self::create_at(Place::within(folder, target)?)
    }

    fn create_at(place: Place) -> Result<Self, TransferError> {
        let place = Arc::new(place);
        let (file, name) = match place.folder.unnamed() {
            Ok(Some(file)) => (file, Name::None),
            Ok(None) => place.fresh().map_err(|source| place.error(DiskAction::Create, source))?,
            Err(source) => return Err(place.error(DiskAction::Create, source)),
        };
        Ok(Self::new(file, place, name))
    }

    /// A file that a later download into the same target can continue, if its journal allows it
    /// ([`Journal::open`](crate::doors::journal::Journal::open)). It holds the bytes of an earlier download, if there
    /// was one.
    ///
    /// # Errors
    ///
    /// As for [`create`](Self::create); also if another download into the target is running.
    pub(crate) fn resumable(target: &Path) -> Result<Claimed, TransferError> {
        Self::resumable_at(Place::of(target)?)
    }

    /// As [`resumable`](Self::resumable), under a name in a folder that is open.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn resumable_in(folder: &OwnedFd, target: &Path) -> Result<Claimed, TransferError> {
        Self::resumable_at(Place::within(folder, target)?)
    }

    fn resumable_at(place: Place) -> Result<Claimed, TransferError> {
        let place = Arc::new(place);
        let file = match place.claim().map_err(|source| place.error(DiskAction::Create, source))? {
            Claim::Ours(file) => file,
            Claim::Held => {
                return Err(place.error(DiskAction::TakeFromRunning, io::ErrorKind::WouldBlock.into()));
            }
            Claim::Leaving => return Ok(Claimed::Leaving),
            Claim::Unknown => return Ok(Claimed::NoLocks),
        };
        place.worth_keeping.store(place.folder.has(&place.names.journal), Ordering::Relaxed);
        let name = Name::Resumable(place.names.data.clone());
        Ok(Claimed::Ours(Self::new(file, place, name)))
    }

    /// The error where the tasks of a dropped download have not ended within `patience`.
    pub(crate) fn still_left(target: &Path, patience: Duration) -> TransferError {
        let what = format!("its last write has taken longer than {} s", patience.as_secs());
        disk_error(target, DiskAction::TakeFromDropped, io::Error::new(io::ErrorKind::TimedOut, what))
    }

    /// Whether an earlier download has left a journal beside it.
    pub(crate) fn has_a_journal(&self) -> bool {
        self.place.worth_keeping.load(Ordering::Relaxed)
    }

    fn new(file: File, place: Arc<Place>, name: Name) -> Self {
        let calls = place.folder.calls().clone();
        let file = OpenFile { file: Arc::new(file.into()), target: place.target.clone(), calls };
        Self { file, place, name, ended: Ended::No }
    }

    /// A handle to reserve and write through.
    pub(crate) fn open_file(&self) -> OpenFile {
        self.file.clone()
    }

    /// Whether a later download can continue it.
    pub(crate) fn is_resumable(&self) -> bool {
        matches!(self.name, Name::Resumable(_))
    }

    pub(crate) fn place(&self) -> &Arc<Place> {
        &self.place
    }

    /// Whether closing the file is quick. File systems that support files without a name are local; those that write to
    /// a server when a file is closed (NFS, FUSE) do not support them.
    pub(crate) fn closes_at_once(&self) -> bool {
        self.name == Name::None
    }

    /// Gives the file its name in one step: a program that opens the target sees the old file or the whole new one.
    /// Afterwards no temporary file of this download is left, nor of an abandoned earlier one.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`]. The target is unchanged then.
    pub(crate) fn publish(mut self) -> Result<Published, TransferError> {
        match &self.name {
            Name::None => self.place.publish_unnamed(&self.file.file)?,
            Name::Fresh(name) | Name::Resumable(name) => self.place.publish_named(&self.file.file, name)?,
        }
        self.ended = Ended::Published;
        match self.name {
            // A journal without its file is harmless, so it goes second.
            Name::Resumable(_) => self.place.remove_journal().map_or_else(left_behind(&self.place), |_| ()),
            _ => self.place.reap(),
        }
        let was_unnamed = self.name == Name::None;
        Ok(Published { file: self.file.clone(), place: self.place.clone(), was_unnamed })
    }

    /// Removes the file and its journal: they are of no use to anybody, for the object is another now or the bytes are
    /// wrong.
    pub(crate) fn discard(mut self) {
        self.ended = Ended::Discarded;
    }
}

impl Published {
    /// Waits until the file's name is on the device. Its bytes are brought there before it is published
    /// ([`OpenFile::sync_data`]).
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`]: the file has its name, but a crash of the machine may take it away.
    pub(crate) fn sync(&self) -> Result<(), TransferError> {
        if self.was_unnamed {
            // Until a moment ago the file was to go with this process, and the device knows it as that.
            self.file.sync_all()?;
        }
        self.place.folder.sync().map_err(|source| self.place.error(DiskAction::SyncName, source))
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        let name = match &self.name {
            Name::Fresh(name) | Name::Resumable(name) if self.ended != Ended::Published => name,
            _ => return,
        };
        let worth_keeping = self.is_resumable() && self.place.worth_keeping.load(Ordering::Relaxed);
        if worth_keeping && self.ended != Ended::Discarded {
            leaving::add(&self.file.file).unwrap_or_else(|error| {
                tracing::debug!(target = %self.place.target.display(), %error, "it looks as if it were being written");
            });
            return;
        }
        let remove = || {
            // A name that was freed and that another download took is no longer ours.
            if !self.place.folder.is(&self.file.file, name)? {
                return Ok(());
            }
            if self.is_resumable() {
                self.place.remove_journal()?;
            }
            self.place.folder.remove(name).map(|_| ())
        };
        remove().unwrap_or_else(left_behind(&self.place));
    }
}

/// Here the error can only be logged.
fn left_behind(place: &Place) -> impl FnOnce(io::Error) {
    |error| tracing::warn!(target = %place.target.display(), %error, "a temporary file is left behind")
}

impl Place {
    fn of(target: &Path) -> Result<Self, TransferError> {
        let path = match classify(target)? {
            Target::Regular(path) => path,
            Target::Null | Target::Special => {
                let source = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
                return Err(disk_error(target, DiskAction::ReplaceSpecial, source));
            }
        };
        let folder = Folder::of(&path).map_err(|source| disk_error(target, DiskAction::OpenFolder, source))?;
        Ok(Self::new(target, &path, folder))
    }

    fn within(folder: &OwnedFd, target: &Path) -> Result<Self, TransferError> {
        let folder = Folder::opened(folder, target.parent().unwrap_or(target));
        let folder = folder.map_err(|source| disk_error(target, DiskAction::OpenFolder, source))?;
        Ok(Self::new(target, target, folder))
    }

    fn new(target: &Path, path: &Path, folder: Folder) -> Self {
        let name = path.file_name().expect("a regular file's path ends in its name");
        // Checked only if it matters.
        let name_max = if Names::fit(name, Folder::ANY_NAME_MAX) { Folder::ANY_NAME_MAX } else { folder.name_max() };
        let names = Names::new(name, name_max);
        Self { target: target.into(), folder, names, worth_keeping: AtomicBool::new(false) }
    }

    pub(crate) fn error(&self, action: DiskAction, source: io::Error) -> TransferError {
        disk_error(&self.target, action, source)
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The journal's name, and the one it has while its beginning is written.
    pub(crate) fn journal_names(&self) -> (&OsString, &OsString) {
        (&self.names.journal, &self.names.journal_new)
    }

    /// Says whether the staged file is to be kept when its download ends early.
    pub(crate) fn keep(&self, worth_keeping: bool) {
        self.worth_keeping.store(worth_keeping, Ordering::Relaxed);
    }

    /// Whether there was a journal.
    pub(crate) fn remove_journal(&self) -> io::Result<bool> {
        self.folder.calls().take(Call::RemoveJournal, || {
            self.folder.remove(&self.names.journal_new)?;
            self.folder.remove(&self.names.journal)
        })
    }

    /// Removes the journal if it is still `file`, and not the journal of a later download.
    pub(crate) fn remove_this_journal(&self, file: &File) -> io::Result<()> {
        match self.folder.is(file, &self.names.journal)? {
            true => self.remove_journal().map(|_| ()),
            false => Ok(()),
        }
    }

    /// Opens or creates the file that can be continued, and takes its lock.
    fn claim(&self) -> io::Result<Claim> {
        /// Each attempt is lost only to another download that ends in this very moment.
        const ATTEMPTS: usize = 100;

        let name = &self.names.data;
        for _ in 0..ATTEMPTS {
            let created = match self.folder.create_new(name) {
                Ok(file) => Some(file),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                Err(error) => return Err(error),
            };
            let is_new = created.is_some();
            let file = match created.map_or_else(|| self.folder.open_ours(name), Ok) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            // Checked before locking: a holder that leaves in between must not count as a running download.
            let leaving = leaving::has(&file)?;
            match self.folder.lock(&file)? {
                Lock::Taken => {}
                Lock::Held if leaving => return Ok(Claim::Leaving),
                Lock::Held => return Ok(Claim::Held),
                Lock::Unknown => {
                    if is_new {
                        self.folder.remove(name)?;
                    }
                    return Ok(Claim::Unknown);
                }
            }
            // Between opening and locking, the earlier owner may have published or removed it: the lock is then of a
            // file that has another name or none.
            if !self.folder.is(&file, name)? {
                continue;
            }
            // Another name refers to the same bytes. They stay there, and this name gets a new file.
            if has_other_names(&file)? {
                self.forget_journal()?;
                self.folder.remove(name)?;
                continue;
            }
            return Ok(Claim::Ours(file));
        }
        Err(io::Error::other("it is replaced again and again"))
    }

    /// A named file that nobody continues: under the usual name, so that it is found when it is left behind, or, where
    /// that is not to be had (another download or another user has it, or its journal cannot go), under one of its own.
    fn fresh(&self) -> io::Result<(File, Name)> {
        if let Ok(Claim::Ours(file)) = self.claim()
            && self.forget_journal().is_ok()
        {
            file.set_len(0)?;
            return Ok((file, Name::Fresh(self.names.data.clone())));
        }
        let (name, file) = self.under_a_number(|name| self.folder.create_new(name))?;
        Ok((file, Name::Fresh(name)))
    }

    /// Removes a journal before the file it speaks of is emptied, in that order on the device too: a machine that
    /// crashed in between would otherwise come up with a journal that calls missing bytes done.
    pub(crate) fn forget_journal(&self) -> io::Result<()> {
        match self.remove_journal()? {
            true => self.folder.sync(),
            false => Ok(()),
        }
    }

    /// As [`forget_journal`](Self::forget_journal).
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`].
    pub(crate) fn forget(&self) -> Result<(), TransferError> {
        let fail = |source| self.error(DiskAction::RemoveJournal, source);
        self.forget_journal().map_err(fail)
    }

    fn under_a_number<T>(&self, make: impl Fn(&OsString) -> io::Result<T>) -> io::Result<(OsString, T)> {
        for number in 0..10_000 {
            let name = self.names.numbered(number);
            match make(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return Ok((name, made?)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    fn publish_unnamed(&self, file: &File) -> Result<(), TransferError> {
        let fail = |source| self.error(DiskAction::Link, source);
        match self.folder.calls().take(Call::Publish, || self.folder.link(file, &self.names.target)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            linked => return linked.map_err(fail),
        }
        // A link never replaces, a rename does, so the file needs a name for the moment between the two. Under the
        // usual name, with a lock in it, it would be found and removed if that moment were our last.
        self.reap();
        let usual = match self.folder.lock(file) {
            Ok(Lock::Taken) => self.folder.link(file, &self.names.data).is_ok(),
            _ => false,
        };
        let name = match usual {
            true => self.names.data.clone(),
            false => self.under_a_number(|name| self.folder.link(file, name)).map_err(fail)?.0,
        };
        self.folder.rename(&name, &self.names.target).map_err(|source| {
            self.folder.remove(&name).map_or_else(left_behind(self), |_| ());
            fail(source)
        })
    }

    fn publish_named(&self, file: &File, name: &OsString) -> Result<(), TransferError> {
        let renamed = self.folder.is(file, name).and_then(|is_ours| match is_ours {
            true => self.folder.calls().take(Call::Publish, || self.folder.rename(name, &self.names.target)),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "somebody removed or replaced the temporary file")),
        });
        renamed.map_err(|source| self.error(DiskAction::Rename, source))
    }

    /// Removes the files of an abandoned earlier download. The usual case, that there are none, costs two look-ups.
    fn reap(&self) {
        if !self.folder.has(&self.names.data) && !self.folder.has(&self.names.journal) {
            return;
        }
        let reaped = match self.claim() {
            Ok(Claim::Ours(_lock)) => {
                self.remove_journal().and_then(|_| self.folder.remove(&self.names.data)).map(|_| ())
            }
            Ok(Claim::Held | Claim::Leaving | Claim::Unknown) => Ok(()),
            Err(error) => Err(error),
        };
        reaped.unwrap_or_else(left_behind(self));
    }
}

#[cfg(test)]
mod tests;

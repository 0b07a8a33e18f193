//! [`Journal`]: the record from which a later download continues a file.
//!
//! The journal lies beside the file and is only appended to. A part's record follows its bytes, so a killed process
//! loses only the parts in flight. A `synced` record is written when bytes are on the device, so a crashed machine
//! loses only the bytes written since. [`checkpoint`](crate::words::checkpoint) decides which parts count in which
//! case.
//!
//! A journal belongs to one data file, not to any file of that name: before each part's record, the file's mark is
//! written behind the object's bytes, with the journal's identity and the number of parts so far. A file that was cut,
//! lengthened, replaced or rolled back has no such mark, or an older one. When all parts are there, the mark is cut
//! off; a `whole` record before that says that the file may lack its mark. The parts of such a file count only if their
//! bytes have the recorded checksums.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::doors::disk::{Call, OpenFile, Place, StagedFile};
use crate::words::action::DiskAction;
use crate::words::checkpoint::{
    Checkpoint, DonePart, Follows, Mark, PartWritten, Record, done_parts, held_parts, only_held,
};
use crate::words::cut::Length;
use crate::words::failure::TransferError;

mod format;
pub(crate) mod upload;

use format::{Chain, Header, MARK_BYTES};

/// Bytes that a crash of the machine may cost, in addition to those in flight. Syncing costs the device's time and
/// delays other programs; 256 MiB are a second or two of either. Tests write less.
const SYNC_EVERY: u64 = if cfg!(test) { 1 << 20 } else { 256 << 20 };

/// The state that an earlier download of the same target left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) checkpoint: Checkpoint,
    /// Parts whose bytes are in the file, in the order they came.
    pub(crate) done: Vec<DonePart>,
    /// The file's mark, or the mark that was cut off.
    mark: Mark,
    /// Whether the mark was cut off. The file then cannot be distinguished from another file of its length, so the
    /// parts must be read.
    pub(crate) is_unmarked: bool,
    /// The least number of the mark's parts that holds all of `done` that were on the device.
    synced: u64,
}

/// A journal that is being written. Shared by the tasks of one download. While it exists, no other download continues
/// the file.
#[derive(Debug)]
pub(crate) struct Journal {
    id: u64,
    mark_at: u64,
    file: File,
    place: Arc<Place>,
    data: OpenFile,
    checkpoint: Checkpoint,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chain: Chain,
    /// Parts recorded, and how many of them were when the last sync began.
    parts: u64,
    synced: u64,
    /// Written since then.
    unsynced_bytes: u64,
    syncing: bool,
    /// Whether its name is on the device.
    named: bool,
    /// Why nothing is written any more: behind a torn line nothing counts, and a device that failed may have lost
    /// anything.
    failed: Option<Failure>,
}

/// The first error, for later callers.
#[derive(Debug)]
struct Failure {
    kind: io::ErrorKind,
    text: String,
}

impl Journal {
    /// Reads the state that an earlier download left in the file. `None`: nothing, or nothing that can be used.
    pub(crate) fn open(staged: &StagedFile) -> Option<Saved> {
        Self::open_in(staged, boot_id().as_deref())
    }

    fn open_in(staged: &StagedFile, boot_id: Option<&str>) -> Option<Saved> {
        let text = staged.is_resumable().then(|| read(staged.place()))?;
        let text = text
            .inspect_err(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, "the journal of an earlier download cannot be read; starting over");
                }
            })
            .ok()?;
        let (header, records) = format::read(&text)?;
        let file = staged.open_file();
        let (mark, is_unmarked) = match (marked(&file, &header.checkpoint), records.last()) {
            (Some(mark), _) => (mark, false),
            (None, Some(Record::Whole)) if file.len().ok() == Some(header.checkpoint.file_bytes()) => {
                let parts = records.iter().filter(|record| matches!(record, Record::Part(_))).count() as u64;
                (Mark { journal: header.id, parts }, true)
            }
            (None, _) => {
                tracing::debug!(
                    "the journal of an earlier download does not belong to the file beside it; starting over"
                );
                return None;
            }
        };
        let held = only_held(&records, held_parts(header.id, header.follows.as_ref(), mark));
        let same_boot = header.boot_id.is_some() && header.boot_id.as_deref() == boot_id;
        let done = done_parts(&header.checkpoint, held, same_boot);
        let synced = match (mark.journal == header.id, header.follows) {
            (false, Some(follows)) => follows.synced.min(mark.parts),
            _ => held.iter().filter_map(synced_count).max().unwrap_or(0),
        };
        Some(Saved { checkpoint: header.checkpoint, done, mark, is_unmarked, synced })
    }

    /// Begins the journal of a download, and returns the parts that need not be fetched. If `saved` belongs to the same
    /// bytes, the download continues from it; otherwise the file is emptied.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`].
    ///
    /// # Panics
    ///
    /// If the file is not one that can be continued.
    pub(crate) fn begin(
        staged: &StagedFile,
        checkpoint: Checkpoint,
        saved: Option<Saved>,
    ) -> Result<(Self, Vec<DonePart>), TransferError> {
        Self::begin_in(staged, checkpoint, saved, boot_id())
    }

    /// Like [`begin`](Self::begin), for a file that another thread may still hold: it waits for the device, because it
    /// replaces a journal that may exist.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn go_on(
        place: Arc<Place>,
        data: OpenFile,
        saved: Saved,
    ) -> Result<(Self, Vec<DonePart>), TransferError> {
        Self::begin_at(place, data, saved.checkpoint.clone(), Some(saved), boot_id())
    }

    fn begin_in(
        staged: &StagedFile,
        checkpoint: Checkpoint,
        saved: Option<Saved>,
        boot_id: Option<String>,
    ) -> Result<(Self, Vec<DonePart>), TransferError> {
        assert!(staged.is_resumable(), "a journal is of a file that can be continued");
        Self::begin_at(staged.place().clone(), staged.open_file(), checkpoint, saved, boot_id)
    }

    fn begin_at(
        place: Arc<Place>,
        data: OpenFile,
        checkpoint: Checkpoint,
        saved: Option<Saved>,
        boot_id: Option<String>,
    ) -> Result<(Self, Vec<DonePart>), TransferError> {
        let fail = |source| place.error(DiskAction::BeginJournal, source);
        let too_long = || fail(io::ErrorKind::FileTooLarge.into());
        let mark_at = checkpoint.mark_at().ok_or_else(too_long)?;
        let fits =
            |saved: &Saved| !saved.done.is_empty() && saved.checkpoint == checkpoint && checkpoint.names_a_version();
        let saved = saved.filter(fits);
        place.keep(saved.is_some());
        if saved.is_none() {
            place.forget_journal().map_err(fail)?;
            data.empty()?;
        }
        if let Some(Saved { mark, is_unmarked: true, .. }) = &saved {
            data.write_mark(format::mark_line(*mark).as_bytes(), mark_at).map_err(fail)?;
        }
        let follows = saved.as_ref().map(|saved| Follows {
            journal: saved.mark.journal,
            parts: saved.mark.parts,
            synced: saved.synced,
            kept: saved.done.len() as u64,
            kept_synced: saved.done.iter().filter(|part| part.synced).count() as u64,
        });
        let done = saved.map_or_else(Vec::new, |saved| saved.done);
        let id = rand::random();

        // Always rewritten: the parts that only the kernel has now belong to this boot, and an incomplete last line is
        // removed.
        let (mut text, mut chain) = Chain::START.line(&Header::new(id, follows, checkpoint.clone(), boot_id));
        let mut add = |record: &Record| {
            let (line, next) = chain.line(record);
            text.push_str(&line);
            chain = next;
        };
        let part = |done: &DonePart| {
            let DonePart { number, bytes, crc, .. } = done;
            Record::Part(PartWritten { number: *number, start: bytes.start, end: bytes.end, crc: *crc })
        };
        let (synced, written): (Vec<&DonePart>, Vec<&DonePart>) = done.iter().partition(|part| part.synced);
        synced.iter().for_each(|done| add(&part(done)));
        add(&Record::Synced { count: synced.len() as u64 });
        written.iter().for_each(|done| add(&part(done)));

        let (name, name_new) = place.journal_names();
        let calls = place.folder().calls();
        let write = || {
            let mut file = place.folder().create_private(name_new)?;
            file.write_all(text.as_bytes())?;
            // The replaced journal may be on the device, and says as much. A first one has nothing to lose.
            if !done.is_empty() {
                calls.take(Call::SyncJournal, || file.sync_data())?;
            }
            calls.take(Call::BeginJournal, || place.folder().rename(name_new, name))?;
            Ok(file)
        };
        let file = write().map_err(fail)?;
        let state = State {
            chain,
            parts: done.len() as u64,
            synced: synced.len() as u64,
            unsynced_bytes: written.iter().map(|part| part.bytes.length()).sum(),
            syncing: false,
            named: false,
            failed: None,
        };
        drop((synced, written));
        Ok((Self { id, mark_at, file, place, data, checkpoint, state: Mutex::new(state) }, done))
    }

    /// Records a part after the kernel has all its bytes, with their checksum if one is kept. Two short writes: the
    /// file's mark, then the record.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`], also for every call after one that failed.
    pub(crate) fn part_written(&self, part: PartWritten) -> Result<(), TransferError> {
        let mut state = self.state();
        let mark = Mark { journal: self.id, parts: state.parts + 1 };
        self.write(&mut state, DiskAction::Mark, || {
            self.data.write_mark(format::mark_line(mark).as_bytes(), self.mark_at)
        })?;
        self.append(&mut state, &Record::Part(part))?;
        state.parts += 1;
        state.unsynced_bytes += (part.start..part.end).length();
        self.place.keep(true);
        Ok(())
    }

    /// Cuts the mark off: all parts are written, and the file is about to get its name. A download that is killed
    /// before that can still be continued.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`], also if the file does not end with its mark, because another program has changed it.
    pub(crate) fn end(&self) -> Result<(), TransferError> {
        let mut state = self.state();
        self.data.must_have(self.mark_at + MARK_BYTES as u64)?;
        self.append(&mut state, &Record::Whole)?;
        let cut = self.data.unmark(self.checkpoint.file_bytes());
        cut.map_err(|source| self.place.error(DiskAction::Unmark, source))
    }

    /// Puts the mark back on that [`end`](Self::end) has cut off, for a file that did not get its name after all.
    pub(crate) fn mark_again(&self) {
        let mark = Mark { journal: self.id, parts: self.state().parts };
        if let Err(error) = self.data.write_mark(format::mark_line(mark).as_bytes(), self.mark_at) {
            tracing::debug!(%error, "the next download must read the file before it continues it");
        }
    }

    /// Whether it is time for [`sync`](Self::sync).
    pub(crate) fn wants_sync(&self) -> bool {
        let state = self.state();
        !state.syncing && state.failed.is_none() && state.unsynced_bytes >= SYNC_EVERY
    }

    /// Syncs all records so far to the device, and records the sync. Waits for the device, while further parts can be
    /// recorded; returns at once if another call is waiting.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`]. After a failure of the device its bytes are unknown, so the download cannot be
    /// continued.
    pub(crate) fn sync(&self) -> Result<(), TransferError> {
        let Some(count) = self.begin_sync() else { return Ok(()) };
        let synced = self.sync_parts(count);
        self.state().syncing = false;
        synced
    }

    /// The number of recorded parts before the sync: parts that come during the sync belong to the next one.
    fn begin_sync(&self) -> Option<u64> {
        let mut state = self.state();
        if state.syncing || state.parts == state.synced {
            return None;
        }
        state.syncing = true;
        state.unsynced_bytes = 0;
        Some(state.parts)
    }

    fn sync_parts(&self, count: u64) -> Result<(), TransferError> {
        if let Err(error) = self.data.sync_data() {
            // The kernel may have dropped those bytes, and a part's record says that it has them.
            self.state().failed = Some(Failure::of(&error));
            self.place.keep(false);
            if let Err(error) = self.place.remove_this_journal(&self.file) {
                tracing::warn!(%error, "the journal of a download that failed is left behind");
            }
            return Err(error);
        }
        let named = {
            let mut state = self.state();
            self.append(&mut state, &Record::Synced { count })?;
            state.synced = count;
            state.named
        };
        let fail = |source| self.place.error(DiskAction::SyncJournal, source);
        self.place.folder().calls().take(Call::SyncJournal, || self.file.sync_data()).map_err(fail)?;
        if !named {
            self.place.folder().sync().map_err(fail)?;
            self.state().named = true;
        }
        Ok(())
    }

    fn append(&self, state: &mut State, record: &Record) -> Result<(), TransferError> {
        let (line, next) = state.chain.line(record);
        self.write(state, DiskAction::WriteJournal, || {
            self.place.folder().calls().take(Call::Record, || (&self.file).write_all(line.as_bytes()))
        })?;
        state.chain = next;
        Ok(())
    }

    /// A write that a later download relies on. After a failed write no other follows.
    fn write(
        &self,
        state: &mut State,
        action: DiskAction,
        write: impl FnOnce() -> io::Result<()>,
    ) -> Result<(), TransferError> {
        if let Some(Failure { kind, text }) = &state.failed {
            return Err(self.place.error(action, io::Error::new(*kind, format!("an earlier error: {text}"))));
        }
        write().map_err(|source| {
            let error = self.place.error(action, source);
            state.failed = Some(Failure::of(&error));
            error
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failure {
    fn of(error: &TransferError) -> Self {
        match error {
            TransferError::Disk { source, .. } => Self { kind: source.kind(), text: source.to_string() },
            other => Self { kind: io::ErrorKind::Other, text: other.to_string() },
        }
    }
}

/// The mark of a data file that holds bytes as the checkpoint has them; `None` where the file does not end with one.
fn marked(file: &OpenFile, checkpoint: &Checkpoint) -> Option<Mark> {
    let at = checkpoint.mark_at()?;
    if file.len().ok()? != at.checked_add(MARK_BYTES as u64)? {
        return None;
    }
    let mut line = [0; MARK_BYTES];
    file.read(&mut line, at).ok()?;
    format::read_mark(&line)
}

fn synced_count(record: &Record) -> Option<u64> {
    match record {
        Record::Synced { count } => Some(*count),
        _ => None,
    }
}

fn read(place: &Place) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    place.folder().read_ours(place.journal_names().0)?.read_to_end(&mut text)?;
    Ok(text)
}

/// Identity of the machine's present start: every start has another. `None` where the system does not tell (not Linux).
fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests;

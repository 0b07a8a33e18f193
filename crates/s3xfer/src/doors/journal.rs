//! [`Journal`]: what a later download needs to go on with a file that can be continued.
//!
//! It lies beside the file and is only appended to. A part's record follows its bytes, so a process that is killed loses
//! the parts in flight; a `synced` record follows the moment when bytes are on the device, so a machine that crashes loses
//! what was written since. Which parts count in which case is in [`checkpoint`](crate::words::checkpoint).

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::doors::disk::{OpenFile, Place, StagedFile};
use crate::words::checkpoint::{Checkpoint, DonePart, PartWritten, Record, done_parts};
use crate::words::failure::DownloadError;

mod format;

use format::{Chain, Header};

/// How many bytes a crash of the machine may cost, beside those on their way. Syncing costs the device's time, and other
/// programs that wait for it; 256 MiB are a second or two of either.
const SYNC_EVERY: u64 = 256 << 20;

/// What an earlier download of the same target left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) checkpoint: Checkpoint,
    /// Parts whose bytes are in the file, in the order they came.
    pub(crate) done: Vec<DonePart>,
}

/// A journal that is being written. Shared by the tasks of one download. As long as it lives, nobody else goes on with the
/// file.
#[derive(Debug)]
pub(crate) struct Journal {
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
    /// Nothing is written after an error: behind a torn line nothing counts.
    failed: bool,
}

impl Journal {
    /// Reads what an earlier download left in the file. `None`: nothing, or nothing that can be used.
    pub(crate) fn open(staged: &StagedFile) -> Option<Saved> {
        Self::open_in(staged, boot_id().as_deref())
    }

    fn open_in(staged: &StagedFile, boot_id: Option<&str>) -> Option<Saved> {
        let text = staged.is_resumable().then(|| read(staged.place()))?;
        let text = text
            .inspect_err(|error| {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::warn!(%error, "the journal of an earlier download cannot be read; starting anew");
                }
            })
            .ok()?;
        let (Header { checkpoint, boot_id: written_in, .. }, records) = format::read(&text)?;
        let same_boot = written_in.is_some() && written_in.as_deref() == boot_id;
        let done = done_parts(&checkpoint, &records, same_boot);
        // A file that was cut or swapped since then does not hold what the journal says.
        let length = staged.open_file().len().ok()?;
        let fits = |part: &DonePart| checkpoint.part(part.number).is_some_and(|bytes| bytes.end <= length);
        done.iter().all(fits).then_some(Saved { checkpoint, done })
    }

    /// Begins the journal of a download, and says which parts it need not fetch. If `saved` is of the same bytes, the
    /// download goes on where that one stopped; if not, or if there is none, the file is emptied.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Disk`].
    ///
    /// # Panics
    ///
    /// If the file is not one that can be continued.
    pub(crate) fn begin(
        staged: &StagedFile,
        checkpoint: Checkpoint,
        saved: Option<Saved>,
    ) -> Result<(Self, Vec<DonePart>), DownloadError> {
        Self::begin_in(staged, checkpoint, saved, boot_id())
    }

    fn begin_in(
        staged: &StagedFile,
        checkpoint: Checkpoint,
        saved: Option<Saved>,
        boot_id: Option<String>,
    ) -> Result<(Self, Vec<DonePart>), DownloadError> {
        assert!(staged.is_resumable(), "a journal is of a file that can be continued");
        let fits = |saved: &Saved| saved.checkpoint == checkpoint && checkpoint.names_a_version();
        let done = saved.filter(fits).map_or_else(Vec::new, |saved| saved.done);
        let (place, data) = (staged.place().clone(), staged.open_file());
        let fail = |source| place.error("begin the journal beside it", source);
        place.keep(!done.is_empty());
        if done.is_empty() {
            place.forget_journal().map_err(fail)?;
            data.empty()?;
        }

        // Written anew in any case: the parts that only the kernel has are now this start's, and a torn end is gone.
        let (mut text, mut chain) = Chain::START.line(&Header::new(checkpoint.clone(), boot_id));
        let mut add = |record: &Record| {
            let (line, next) = chain.line(record);
            text.push_str(&line);
            chain = next;
        };
        let part = |part: &DonePart| Record::Part(PartWritten { number: part.number, crc: part.crc });
        let (synced, written): (Vec<&DonePart>, Vec<&DonePart>) = done.iter().partition(|part| part.synced);
        synced.iter().for_each(|done| add(&part(done)));
        add(&Record::Synced { count: synced.len() as u64 });
        written.iter().for_each(|done| add(&part(done)));

        let (name, name_new) = place.journal_names();
        let write = || {
            let mut file = place.folder().create_private(name_new)?;
            file.write_all(text.as_bytes())?;
            // What it replaces may be on the device, and says as much. A first one has nothing to lose.
            if !done.is_empty() {
                file.sync_data()?;
            }
            place.folder().rename(name_new, name)?;
            Ok(file)
        };
        let file = write().map_err(fail)?;
        let length = |part: &&DonePart| checkpoint.part(part.number).map_or(0, |bytes| bytes.end - bytes.start);
        let state = State {
            chain,
            parts: done.len() as u64,
            synced: synced.len() as u64,
            unsynced_bytes: written.iter().map(length).sum(),
            syncing: false,
            named: false,
            failed: false,
        };
        drop((synced, written));
        Ok((Self { file, place, data, checkpoint, state: Mutex::new(state) }, done))
    }

    /// Records a part whose bytes have all been handed to the kernel, with their checksum where one is kept. One short
    /// append.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Disk`], also for every call after one that failed.
    pub(crate) fn part_written(&self, number: u64, crc: Option<u64>) -> Result<(), DownloadError> {
        let mut state = self.state();
        self.append(&mut state, &Record::Part(PartWritten { number, crc }))?;
        state.parts += 1;
        state.unsynced_bytes += self.checkpoint.part(number).map_or(0, |bytes| bytes.end - bytes.start);
        self.place.keep(true);
        Ok(())
    }

    /// Whether it is time for [`sync`](Self::sync).
    pub(crate) fn wants_sync(&self) -> bool {
        let state = self.state();
        !state.syncing && !state.failed && state.unsynced_bytes >= SYNC_EVERY
    }

    /// Brings what was recorded so far to the device, and records that. Waits for the device, while parts go on being
    /// recorded; returns at once if another call is waiting.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Disk`]. When the device failed, nobody knows which bytes it has, so there is nothing to continue
    /// then.
    pub(crate) fn sync(&self) -> Result<(), DownloadError> {
        let Some(count) = self.begin_sync() else { return Ok(()) };
        let synced = self.sync_parts(count);
        self.state().syncing = false;
        synced
    }

    /// How many parts are recorded before the device is asked: those that come while it works are for the next time.
    fn begin_sync(&self) -> Option<u64> {
        let mut state = self.state();
        if state.syncing || state.parts == state.synced {
            return None;
        }
        state.syncing = true;
        state.unsynced_bytes = 0;
        Some(state.parts)
    }

    fn sync_parts(&self, count: u64) -> Result<(), DownloadError> {
        if let Err(error) = self.data.sync_data() {
            // The kernel may have dropped those bytes, and a part's record says that it has them.
            self.state().failed = true;
            self.place.keep(false);
            if let Err(error) = self.place.remove_journal() {
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
        let fail = |source| self.place.error("bring its journal to the device", source);
        self.file.sync_data().map_err(fail)?;
        if !named {
            self.place.folder().sync().map_err(fail)?;
            self.state().named = true;
        }
        Ok(())
    }

    fn append(&self, state: &mut State, record: &Record) -> Result<(), DownloadError> {
        let fail = |source| self.place.error("write to the journal beside it", source);
        if state.failed {
            return Err(fail(io::Error::other("an earlier write to it failed")));
        }
        let (line, next) = state.chain.line(record);
        (&self.file).write_all(line.as_bytes()).map_err(|source| {
            state.failed = true;
            fail(source)
        })?;
        state.chain = next;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read(place: &Place) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    place.folder().read_ours(place.journal_names().0)?.read_to_end(&mut text)?;
    Ok(text)
}

/// Which start of the machine this is: every start has another. `None` where the system does not say (not Linux).
fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned()).filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests;

//! Downloads into a file: staged beside the target, continued from an earlier download, published when whole.
//!
//! Dropping the future removes the temporary file, unless it can be continued and has at least one part.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use super::discover::{self, begin_in_turn};
use super::fetch::Version;
use super::order::Order;
use super::pinned::{Done, Pinned};
use super::place::{place, to_nowhere};
use super::stream;
use crate::doors::blocking;
use crate::doors::disk::{Claimed, OpenFile, StagedFile, Target, classify};
use crate::doors::journal::{Journal, Saved};
use crate::doors::special;
use crate::engine::limits;
use crate::engine::sink::Sink;
use crate::rules::checksum::RunningChecksum;
use crate::rules::plan::Plan;
use crate::words::action::DiskAction;
use crate::words::checkpoint::Checkpoint;
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::cut::{Cut, Length};
use crate::words::durability::Durability;
use crate::words::failure::{TransferError, TransferErrorKind};
use crate::words::object::{ByteRange, ObjectRequest};
use crate::words::report::TransferReport;

/// The file that a download goes into, and how.
#[derive(Debug)]
pub(crate) struct IntoFile {
    pub(crate) target: PathBuf,
    pub(crate) resume: bool,
    pub(crate) verify_kept: bool,
    pub(crate) durability: Durability,
    /// Whether the file is given the time that was kept with the object, or that of the listing.
    pub(crate) keep_time: bool,
    /// The object's time in a listing, if the object came from one.
    pub(crate) listed: Option<SystemTime>,
    /// The target's folder, where its path must not be followed again. The target's name is known to be free or a
    /// regular file's then.
    pub(crate) within: Option<Arc<OwnedFd>>,
}

impl IntoFile {
    pub(crate) fn new(target: PathBuf) -> Self {
        let (resume, verify_kept, durability) = Default::default();
        Self { target, resume, verify_kept, durability, keep_time: false, listed: None, within: None }
    }
}

pub(crate) async fn run(order: Order, into: IntoFile) -> Result<TransferReport, TransferError> {
    let target = match &into.within {
        Some(_) => Target::Regular(into.target.clone()),
        None => classify(&into.target)?,
    };
    match target {
        Target::Null => to_nowhere(order).await,
        Target::Special => {
            let mut writer = special::open(&into.target, order.shared.config.first_byte_timeout()).await?;
            let report = stream::to_writer(order, &mut writer).await?;
            writer.shutdown().await.map_err(|source| TransferError::Disk {
                path: into.target,
                action: DiskAction::Close,
                source,
            })?;
            Ok(report)
        }
        Target::Regular(target) => {
            let started = Instant::now();
            // Waited for without a turn or a permit: their owner may need a file to finish.
            let _files = limits::files().await;
            match into.resume {
                true => Box::pin(resumable(order, into, &target, started)).await,
                false => Box::pin(anew(order, &into, &target, started)).await,
            }
        }
    }
}

/// Nothing is kept of it.
async fn anew(order: Order, into: &IntoFile, target: &Path, started: Instant) -> Result<TransferReport, TransferError> {
    // In place, as is the renaming: handed to another thread, they would outlive this future when it is dropped.
    let staged = match &into.within {
        Some(folder) => StagedFile::create_in(folder, target)?,
        None => StagedFile::create(target)?,
    };
    let (pinned, first) = begin_in_turn(order).await?;
    let report = place(pinned, Some(first), Sink::File(staged.open_file()), None).await?;
    publish(staged, None, into, report, started).await
}

/// The fetched bytes are kept for the next download, and the bytes that the last download has kept are not fetched
/// again.
async fn resumable(
    order: Order,
    into: IntoFile,
    target: &Path,
    started: Instant,
) -> Result<TransferReport, TransferError> {
    let Some(staged) = stage(target, into.within.as_deref()).await? else {
        let name = target.display();
        tracing::warn!("{name}: its file system has no locks (flock), so the download cannot go on if it breaks off");
        return anew(order, &into, target, started).await;
    };
    let placed = match Journal::open(&staged).filter(|saved| is_of(&saved.checkpoint, &order.object)) {
        Some(saved) => go_on(order, &staged, saved, (into.verify_kept, into.keep_time)).await,
        None => begin(order, &staged).await,
    };
    match placed {
        Ok((report, journal)) => publish(staged, journal, &into, report, started).await,
        Err(error) => {
            // Bytes of a replaced object, and wrong bytes, are useless.
            if matches!(error.kind(), TransferErrorKind::ObjectChanged | TransferErrorKind::Corrupt) {
                staged.discard();
            }
            Err(error)
        }
    }
}

/// A file that can be continued; `None` where the file system has no locks.
///
/// The tasks of a download into the same target that was dropped end when the runtime comes round to them, and a write
/// when the device has taken it. They are waited for.
async fn stage(target: &Path, within: Option<&OwnedFd>) -> Result<Option<StagedFile>, TransferError> {
    /// A device that takes longer is stuck.
    const PATIENCE: Duration = Duration::from_secs(10);
    const LONGEST_PAUSE: Duration = Duration::from_millis(50);

    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        let claimed = match within {
            Some(folder) => StagedFile::resumable_in(folder, target)?,
            None => StagedFile::resumable(target)?,
        };
        match claimed {
            Claimed::Ours(staged) => return Ok(Some(staged)),
            Claimed::NoLocks => return Ok(None),
            Claimed::Leaving if Instant::now() < until => sleep(pause).await,
            Claimed::Leaving => return Err(StagedFile::still_left(target, PATIENCE)),
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

type Placed = (TransferReport, Option<Arc<Journal>>);

async fn begin(order: Order, staged: &StagedFile) -> Result<Placed, TransferError> {
    let (pinned, first) = begin_in_turn(order).await?;
    // An earlier download's journal goes before its bytes, on the device too.
    if staged.has_a_journal() {
        let place = staged.place().clone();
        place.keep(false);
        wait(pinned.fetcher.session.config.use_threads(), move || place.forget()).await?;
    }
    // A single part is not worth a journal, nor are parts that cannot be distinguished from those of another version.
    let journal = match pinned.plan.len() > 1 && pinned.version.e_tag.is_some() {
        true => {
            let algorithm = pinned.expected.algorithm().await;
            let checkpoint = checkpoint(&pinned, algorithm);
            Some(Arc::new(Journal::begin(staged, checkpoint, None)?.0))
        }
        false => {
            staged.open_file().empty()?;
            None
        }
    };
    let report = place(pinned, Some(first), Sink::File(staged.open_file()), journal.clone()).await?;
    Ok((report, journal))
}

async fn go_on(
    order: Order,
    staged: &StagedFile,
    mut saved: Saved,
    (verify_kept, keep_time): (bool, bool),
) -> Result<Placed, TransferError> {
    let were_read_again = verify_kept || saved.is_unmarked;
    if were_read_again {
        read_again(&order, staged.open_file(), &mut saved).await;
    }
    let Checkpoint { object_bytes, e_tag, last_modified, checksum, .. } = saved.checkpoint.clone();
    let wanted = order.object.range.within(object_bytes).filter(|_| !saved.done.is_empty());
    let (Some(wanted), Some(cut)) = (wanted, saved.checkpoint.cut()) else {
        return begin(order, staged).await;
    };
    let plan = Plan::as_before(wanted, cut);
    let (journal, mut parts) = {
        let (place, data) = (staged.place().clone(), staged.open_file());
        wait(order.shared.config.use_threads(), move || Journal::go_on(place, data, saved)).await?
    };
    // No answer has stated it yet.
    let modified = match keep_time {
        true => discover::modified(&order).await?,
        false => None,
    };
    let version = Version { object_bytes, e_tag, last_modified, modified, ranged: Some(true) };
    let algorithm = checksum.as_deref().and_then(ChecksumAlgorithm::named);
    let mut done = Done::new(&plan, &mut parts, algorithm);
    done.were_read_again = were_read_again;
    let missing = plan.bytes().length() - done.length();
    tracing::debug!(object = %order.object.address, kept = parts.len(), missing, "continuing an earlier download");
    drop(parts);
    let pinned = Pinned::resume(order, version, plan, done).await;
    if missing == 0 {
        pinned.confirm().await?;
    }
    let journal = Arc::new(journal);
    let report = place(pinned, None, Sink::File(staged.open_file()), Some(journal.clone())).await?;
    Ok((report, Some(journal)))
}

/// Reads the kept parts back from the file. Parts whose bytes have changed, or that have no kept checksum, are fetched
/// again.
async fn read_again(order: &Order, file: OpenFile, saved: &mut Saved) {
    let algorithm = saved.checkpoint.checksum.as_deref().and_then(ChecksumAlgorithm::named);
    let Some(algorithm) = algorithm else { return saved.done.clear() };
    let threads = order.shared.config.use_threads();
    let mut sound = Vec::new();
    for part in std::mem::take(&mut saved.done) {
        let _room = order.shared.limits.reserve(READ_BYTES as u64).await;
        let bytes = part.bytes.clone();
        let mut running = RunningChecksum::new(algorithm);
        let mut at = bytes.start;
        // In steps, so that a dropped download ends soon.
        let read = loop {
            if at == bytes.end {
                break Ok(running.value());
            }
            let (file, end) = (file.clone(), bytes.end.min(at + 64 * READ_BYTES as u64));
            let step = move || read_step(&file, at..end, running);
            match wait(threads, step).await {
                Ok(read) => (running, at) = (read, end),
                Err(error) => break Err(error),
            }
        };
        match read {
            Ok(value) if part.crc == Some(value) => sound.push(part),
            Ok(_) => tracing::warn!(part = part.number, "a kept part has changed since it came; fetching it again"),
            Err(error) => tracing::warn!(part = part.number, %error, "a kept part cannot be read; fetching it again"),
        }
    }
    saved.done = sound;
}

/// Bytes of a kept part that are read at once.
const READ_BYTES: usize = 256 << 10;

fn read_step(
    file: &OpenFile,
    bytes: Range<u64>,
    mut running: RunningChecksum,
) -> Result<RunningChecksum, TransferError> {
    let mut buffer = vec![0; READ_BYTES];
    let mut at = bytes.start;
    while at < bytes.end {
        let length = READ_BYTES.min(usize::try_from(bytes.end - at).unwrap_or(READ_BYTES));
        file.read(&mut buffer[..length], at)?;
        running.update(&buffer[..length]);
        at += length as u64;
    }
    Ok(running)
}

/// Write, sync, close, rename, sync of the folder: in this order, each awaited, since the kernel reports the fate of
/// written bytes only in the answers to the second and the third.
async fn publish(
    staged: StagedFile,
    journal: Option<Arc<Journal>>,
    into: &IntoFile,
    report: TransferReport,
    started: Instant,
) -> Result<TransferReport, TransferError> {
    let threads = report.config.use_threads();
    let synced = into.durability == Durability::Synced;
    let file = staged.open_file();
    if let Some(journal) = &journal {
        if synced {
            // Most of the device's work, while the file can still be continued as it is.
            let journal = journal.clone();
            wait(threads, move || journal.sync()).await?;
        }
        journal.end()?;
    }
    file.must_have(report.bytes)?;
    if let Some(time) = report.modified.or(into.listed).filter(|_| into.keep_time) {
        file.set_modified(time)?;
    }
    let brought = move || {
        if synced {
            file.sync_data()?;
        }
        file.close_a_handle()
    };
    let brought = match staged.closes_at_once() && !synced {
        true => brought(),
        false => wait(threads, brought).await,
    };
    if let Err(error) = brought {
        // The lost bytes are unknown, so none are worth keeping.
        staged.discard();
        return Err(error);
    }
    let published = staged.publish().inspect_err(|_| journal.iter().for_each(|journal| journal.mark_again()))?;
    if synced {
        wait(threads, move || published.sync()).await?;
    }
    Ok(TransferReport { elapsed: started.elapsed(), ..report })
}

/// Makes a call that may wait for a device, where it delays no other task if there are `threads`.
async fn wait<T: Send + 'static>(threads: bool, call: impl FnOnce() -> T + Send + 'static) -> T {
    match threads {
        true => blocking::run(call).await,
        false => call(),
    }
}

fn checkpoint(pinned: &Pinned, algorithm: Option<ChecksumAlgorithm>) -> Checkpoint {
    let object = &pinned.fetcher.object;
    let Cut { first_bytes, part_bytes } = pinned.plan.cut();
    Checkpoint {
        bucket: object.address.bucket.clone(),
        key: object.address.key.clone(),
        version_id: object.version_id.clone(),
        range: asked(object.range),
        object_bytes: pinned.version.object_bytes,
        e_tag: pinned.version.e_tag.clone(),
        last_modified: pinned.version.last_modified,
        first_bytes,
        part_bytes,
        checksum: algorithm.map(|algorithm| algorithm.name().to_owned()),
    }
}

/// Whether the request is for the same bytes of the same object. Only the server knows whether it is still the same
/// version.
fn is_of(checkpoint: &Checkpoint, object: &ObjectRequest) -> bool {
    checkpoint.bucket == object.address.bucket
        && checkpoint.key == object.address.key
        && checkpoint.version_id == object.version_id
        && checkpoint.range == asked(object.range)
        && checkpoint.e_tag.is_some()
        && checkpoint.cut().is_some()
}

/// A range in the form of checkpoints.
fn asked(range: ByteRange) -> Option<Range<u64>> {
    (range != ByteRange::WHOLE).then(|| range.start..range.end.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;

//! Downloads into a file: staged beside the target, continued where an earlier one stopped, published when whole.
//!
//! Dropped at any await, the temporary file is removed, unless it is to be continued and there is something to
//! continue.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::doors::blocking;
use crate::doors::disk::{Claimed, OpenFile, StagedFile, Target, classify};
use crate::doors::journal::{Journal, Saved};
use crate::doors::special;
use crate::engine::download::{Download, FileDownload};
use crate::engine::fetch::Version;
use crate::engine::limits;
use crate::engine::place::{place, to_nowhere};
use crate::engine::sink::Sink;
use crate::engine::transfer::{Done, Transfer, in_time};
use crate::rules::checksum::RunningChecksum;
use crate::rules::plan::Plan;
use crate::words::checkpoint::Checkpoint;
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::durability::Durability;
use crate::words::failure::{DownloadError, DownloadErrorKind};
use crate::words::object::{ByteRange, ObjectRequest};
use crate::words::report::TransferReport;

pub(crate) async fn run(file: FileDownload) -> Result<TransferReport, DownloadError> {
    let config = &file.download.client.config;
    match classify(&file.target)? {
        Target::Null => to_nowhere(file.download).await,
        Target::Special => {
            let (limit, patience) = (config.transfer_timeout(), config.first_byte_timeout());
            let object = file.download.object.address.clone();
            in_time(limit, &object, async {
                let mut writer = special::open(&file.target, patience).await?;
                let report = file.download.to_writer(&mut writer).await?;
                writer.shutdown().await.map_err(|source| {
                    let (path, action) = (file.target.clone(), "close it".to_owned());
                    DownloadError::Disk { path, action, source }
                })?;
                Ok(report)
            })
            .await
        }
        Target::Regular(target) => {
            let (limit, object) = (config.transfer_timeout(), file.download.object.address.clone());
            in_time(limit, &object, async {
                let started = Instant::now();
                // Waited for with empty hands: whoever has a turn or a permit may need a file to get done.
                let _files = limits::files().await;
                match file.resume {
                    true => Box::pin(resumable(file, &target, started)).await,
                    false => Box::pin(anew(file, &target, started)).await,
                }
            })
            .await
        }
    }
}

/// Nothing is kept of it.
async fn anew(file: FileDownload, target: &Path, started: Instant) -> Result<TransferReport, DownloadError> {
    // In place, as is the renaming: handed to another thread, they would outlive this future when it is dropped.
    let staged = StagedFile::create(target)?;
    let (transfer, first) = Transfer::begin_in_turn(file.download).await?;
    let report = place(transfer, Some(first), Sink::File(staged.open_file()), None).await?;
    publish(staged, None, file.durability, report, started).await
}

/// The bytes that it has fetched are kept for the next download, and those that the last one has kept are not fetched
/// again.
async fn resumable(file: FileDownload, target: &Path, started: Instant) -> Result<TransferReport, DownloadError> {
    let Some(staged) = stage(target).await? else {
        let name = target.display();
        tracing::warn!("{name}: its file system has no locks (flock), so the download cannot go on if it breaks off");
        return anew(file, target, started).await;
    };
    let FileDownload { download, verify_kept, durability, .. } = file;
    let placed = match Journal::open(&staged).filter(|saved| is_of(&saved.checkpoint, &download.object)) {
        Some(saved) => go_on(download, &staged, saved, verify_kept).await,
        None => begin(download, &staged).await,
    };
    match placed {
        Ok((report, journal)) => publish(staged, journal, durability, report, started).await,
        Err(error) => {
            // Bytes of an object that is no more, or that are wrong, are of use to nobody.
            if matches!(error.kind(), DownloadErrorKind::ObjectChanged | DownloadErrorKind::Corrupt) {
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
async fn stage(target: &Path) -> Result<Option<StagedFile>, DownloadError> {
    /// A device that takes longer is stuck.
    const PATIENCE: Duration = Duration::from_secs(10);
    const LONGEST_PAUSE: Duration = Duration::from_millis(50);

    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        match StagedFile::resumable(target)? {
            Claimed::Ours(staged) => return Ok(Some(staged)),
            Claimed::NoLocks => return Ok(None),
            Claimed::Leaving if Instant::now() < until => sleep(pause).await,
            Claimed::Leaving => return Err(StagedFile::still_left(target, PATIENCE)),
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

type Placed = (TransferReport, Option<Arc<Journal>>);

async fn begin(download: Download, staged: &StagedFile) -> Result<Placed, DownloadError> {
    let (transfer, first) = Transfer::begin_in_turn(download).await?;
    // An earlier download's journal goes before its bytes, on the device too.
    if staged.has_a_journal() {
        let place = staged.place().clone();
        place.keep(false);
        wait(transfer.fetcher.config.use_threads(), move || place.forget()).await?;
    }
    // One part is not worth a journal, nor is one that cannot be told from another version's.
    let journal = match transfer.plan.len() > 1 && transfer.version.e_tag.is_some() {
        true => {
            let algorithm = transfer.expected.algorithm().await;
            let checkpoint = checkpoint(&transfer, algorithm);
            Some(Arc::new(Journal::begin(staged, checkpoint, None)?.0))
        }
        false => {
            staged.open_file().empty()?;
            None
        }
    };
    let report = place(transfer, Some(first), Sink::File(staged.open_file()), journal.clone()).await?;
    Ok((report, journal))
}

async fn go_on(
    download: Download,
    staged: &StagedFile,
    mut saved: Saved,
    verify_kept: bool,
) -> Result<Placed, DownloadError> {
    let were_read_again = verify_kept || saved.is_unmarked;
    if were_read_again {
        read_again(&download, staged.open_file(), &mut saved).await;
    }
    let Checkpoint { object_bytes, e_tag, last_modified, first_bytes, part_bytes, checksum, .. } =
        saved.checkpoint.clone();
    let wanted = download.object.range.within(object_bytes).filter(|_| !saved.done.is_empty());
    let Some(wanted) = wanted else {
        return begin(download, staged).await;
    };
    let plan = Plan::as_before(wanted, first_bytes, part_bytes);
    let (journal, mut parts) = {
        let (place, data) = (staged.place().clone(), staged.open_file());
        wait(download.client.config.use_threads(), move || Journal::go_on(place, data, saved)).await?
    };
    let missing = plan.len() - parts.len() as u64;
    tracing::debug!(object = %download.object.address, kept = parts.len(), missing, "going on with an earlier download");
    let version = Version { object_bytes, e_tag, last_modified, ranged: Some(true) };
    let algorithm = checksum.as_deref().and_then(ChecksumAlgorithm::named);
    let mut done = Done::new(&plan, &mut parts, algorithm);
    done.were_read_again = were_read_again;
    drop(parts);
    let transfer = Transfer::resume(download, version, plan, done).await;
    if missing == 0 {
        transfer.confirm().await?;
    }
    let journal = Arc::new(journal);
    let report = place(transfer, None, Sink::File(staged.open_file()), Some(journal.clone())).await?;
    Ok((report, Some(journal)))
}

/// Reads the kept parts back from the file and forgets those that are not what they were when they came: they are
/// fetched again, as are those whose checksum nobody has kept.
async fn read_again(download: &Download, file: OpenFile, saved: &mut Saved) {
    let algorithm = saved.checkpoint.checksum.as_deref().and_then(ChecksumAlgorithm::named);
    let Some(algorithm) = algorithm else { return saved.done.clear() };
    let threads = download.client.config.use_threads();
    let mut sound = Vec::new();
    for part in std::mem::take(&mut saved.done) {
        let _room = download.client.limits.reserve(READ_BYTES as u64).await;
        let bytes = saved.checkpoint.part(part.number).expect("the journal's parts are the checkpoint's");
        let mut running = RunningChecksum::new(algorithm);
        let mut at = bytes.start;
        // In steps, so that a download that is dropped meanwhile ends soon.
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
) -> Result<RunningChecksum, DownloadError> {
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

/// Write, sync, close, rename, sync of the folder: in this order, each awaited, since the kernel tells what became of
/// written bytes only in the answers to the second and the third.
async fn publish(
    staged: StagedFile,
    journal: Option<Arc<Journal>>,
    durability: Durability,
    report: TransferReport,
    started: Instant,
) -> Result<TransferReport, DownloadError> {
    let threads = report.config.use_threads();
    let synced = durability == Durability::Synced;
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
        // Nobody knows which bytes are lost, so none is worth keeping.
        staged.discard();
        return Err(error);
    }
    let published = staged.publish().inspect_err(|_| journal.iter().for_each(|journal| journal.mark_again()))?;
    if synced {
        wait(threads, move || published.sync()).await?;
    }
    Ok(TransferReport { elapsed: started.elapsed(), ..report })
}

/// Calls what may wait for a device, where it keeps nobody else from running if there are `threads`.
async fn wait<T: Send + 'static>(threads: bool, call: impl FnOnce() -> T + Send + 'static) -> T {
    match threads {
        true => blocking::run(call).await,
        false => call(),
    }
}

fn checkpoint(transfer: &Transfer, algorithm: Option<ChecksumAlgorithm>) -> Checkpoint {
    let object = &transfer.fetcher.object;
    let (first_bytes, part_bytes) = transfer.plan.part_bytes();
    Checkpoint {
        bucket: object.address.bucket.clone(),
        key: object.address.key.clone(),
        version_id: object.version_id.clone(),
        range: asked(object.range),
        object_bytes: transfer.version.object_bytes,
        e_tag: transfer.version.e_tag.clone(),
        last_modified: transfer.version.last_modified,
        first_bytes,
        part_bytes,
        checksum: algorithm.map(|algorithm| algorithm.name().to_owned()),
    }
}

/// Whether the same bytes of the same object are asked for. Whether it still is the same version, the server tells.
fn is_of(checkpoint: &Checkpoint, object: &ObjectRequest) -> bool {
    checkpoint.bucket == object.address.bucket
        && checkpoint.key == object.address.key
        && checkpoint.version_id == object.version_id
        && checkpoint.range == asked(object.range)
        && checkpoint.e_tag.is_some()
        && checkpoint.first_bytes > 0
        && checkpoint.part_bytes > 0
}

/// A range as checkpoints have it.
fn asked(range: ByteRange) -> Option<Range<u64>> {
    (range != ByteRange::WHOLE).then(|| range.start..range.end.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;

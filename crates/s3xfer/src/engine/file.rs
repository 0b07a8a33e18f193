//! Downloads into a file: staged beside the target, continued where an earlier one stopped, published when whole.
//!
//! Dropped at any await, the temporary file is removed, unless it is to be continued and there is something to continue.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::doors::blocking;
use crate::doors::disk::{StagedFile, Target, classify};
use crate::doors::journal::{Journal, Saved};
use crate::doors::special;
use crate::engine::download::{Download, FileDownload};
use crate::engine::fetch::Version;
use crate::engine::place::{place, to_nowhere};
use crate::engine::sink::Sink;
use crate::engine::transfer::{Done, Transfer, in_time};
use crate::rules::plan::Plan;
use crate::words::checkpoint::{Checkpoint, DonePart};
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
                let writer = special::open(&file.target, patience).await?;
                file.download.to_writer(writer).await
            })
            .await
        }
        Target::Regular(target) => {
            let (limit, object) = (config.transfer_timeout(), file.download.object.address.clone());
            in_time(limit, &object, async {
                match file.resume {
                    true => Box::pin(resumable(file.download, &target, file.durability)).await,
                    false => Box::pin(anew(file.download, &target, file.durability)).await,
                }
            })
            .await
        }
    }
}

/// Nothing is kept of it.
async fn anew(download: Download, target: &Path, durability: Durability) -> Result<TransferReport, DownloadError> {
    let started = Instant::now();
    // In place, as is the renaming: handed to another thread, they would outlive this future when it is dropped.
    let staged = StagedFile::create(target)?;
    let (transfer, first) = Transfer::begin_in_turn(download).await?;
    let report = place(transfer, Some(first), Sink::File(staged.open_file()), None).await?;
    publish(staged, durability, report, started).await
}

/// What it has fetched is kept for the next one, and what the last one has kept is not fetched again.
async fn resumable(download: Download, target: &Path, durability: Durability) -> Result<TransferReport, DownloadError> {
    let started = Instant::now();
    let staged = stage(target).await?;
    let placed = match Journal::open(&staged).filter(|saved| is_of(&saved.checkpoint, &download.object)) {
        Some(saved) => go_on(download, &staged, saved).await,
        None => begin(download, &staged).await,
    };
    match placed {
        Ok(report) => publish(staged, durability, report, started).await,
        Err(error) => {
            // Bytes of an object that is no more, or that are wrong, are of use to nobody.
            if matches!(error.kind(), DownloadErrorKind::ObjectChanged | DownloadErrorKind::Corrupt) {
                staged.discard();
            }
            Err(error)
        }
    }
}

/// Of a download into the same target that was dropped, the tasks end when the runtime comes round to them, and a write
/// when the device has taken it; that is waited for.
async fn stage(target: &Path) -> Result<StagedFile, DownloadError> {
    /// A device that takes longer is stuck.
    const PATIENCE: Duration = Duration::from_secs(10);
    const LONGEST_PAUSE: Duration = Duration::from_millis(50);

    let until = Instant::now() + PATIENCE;
    let mut pause = Duration::from_millis(1);
    loop {
        match StagedFile::resumable(target) {
            Err(error) if StagedFile::is_being_left(&error) && Instant::now() < until => sleep(pause).await,
            ended => return ended,
        }
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

async fn begin(download: Download, staged: &StagedFile) -> Result<TransferReport, DownloadError> {
    let (transfer, first) = Transfer::begin_in_turn(download).await?;
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
    place(transfer, Some(first), Sink::File(staged.open_file()), journal).await
}

async fn go_on(download: Download, staged: &StagedFile, saved: Saved) -> Result<TransferReport, DownloadError> {
    let Checkpoint { object_bytes, e_tag, last_modified, first_bytes, part_bytes, checksum, .. } =
        saved.checkpoint.clone();
    let Some(wanted) = download.object.range.within(object_bytes) else {
        return begin(download, staged).await;
    };
    let plan = Plan::as_before(wanted, first_bytes, part_bytes);
    let (journal, done) = Journal::begin(staged, saved.checkpoint.clone(), Some(saved))?;
    let parts: HashMap<u64, Option<u64>> = done.into_iter().map(|DonePart { number, crc, .. }| (number, crc)).collect();
    let missing = plan.len() - parts.len() as u64;
    tracing::debug!(object = %download.object.address, kept = parts.len(), missing, "going on with an earlier download");
    let version = Version { object_bytes, e_tag, last_modified, ranged: Some(true) };
    let done = Done { parts, algorithm: checksum.as_deref().and_then(ChecksumAlgorithm::named) };
    let transfer = Transfer::resume(download, version, plan, done).await;
    if missing == 0 {
        transfer.confirm().await?;
    }
    place(transfer, None, Sink::File(staged.open_file()), Some(Arc::new(journal))).await
}

async fn publish(
    staged: StagedFile,
    durability: Durability,
    report: TransferReport,
    started: Instant,
) -> Result<TransferReport, DownloadError> {
    if durability == Durability::Synced {
        let file = staged.open_file();
        match report.config.use_threads() {
            true => blocking::run(move || file.sync_data()).await?,
            false => file.sync_data()?,
        }
    }
    staged.publish(durability)?;
    Ok(TransferReport { elapsed: started.elapsed(), ..report })
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
fn asked(range: ByteRange) -> Option<std::ops::Range<u64>> {
    (range != ByteRange::WHOLE).then(|| range.start..range.end.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::checkpoint::tests::checkpoint;
    use crate::words::object::ObjectAddress;

    #[test]
    fn a_journal_is_gone_on_with_for_the_very_bytes_it_is_of() {
        let text = str::to_owned;
        let saved = Checkpoint { version_id: Some(text("v1")), range: Some(5..50), ..checkpoint() };
        let address = ObjectAddress { bucket: saved.bucket.clone(), key: saved.key.clone() };
        let object = ObjectRequest {
            version_id: Some(text("v1")),
            range: ByteRange::of(5..50),
            ..ObjectRequest::new(address.clone())
        };
        assert!(is_of(&saved, &object));
        for other in [
            ObjectRequest { version_id: Some(text("v2")), ..object.clone() },
            ObjectRequest { version_id: None, ..object.clone() },
            ObjectRequest { range: ByteRange::of(5..51), ..object.clone() },
            ObjectRequest { range: ByteRange::WHOLE, ..object.clone() },
            ObjectRequest { address: ObjectAddress { key: text("other"), ..address.clone() }, ..object.clone() },
            ObjectRequest { address: ObjectAddress { bucket: text("other"), ..address }, ..object.clone() },
        ] {
            assert!(!is_of(&saved, &other), "{other:?}");
        }
        for unusable in [
            Checkpoint { e_tag: None, ..saved.clone() },
            Checkpoint { first_bytes: 0, ..saved.clone() },
            Checkpoint { part_bytes: 0, ..saved },
        ] {
            assert!(!is_of(&unusable, &object), "{unusable:?}");
        }
    }
}

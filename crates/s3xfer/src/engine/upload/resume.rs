//! The beginning of an upload that goes on with an earlier one, as far as there is one to go on with.
//!
//! Dropped at any await, the journal has its earlier state, or the progress since.

use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fs, io};

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

use super::content::{Counters, ReadPace};
use super::ending::Ending;
use super::multipart::{Begun, Collected, Object, Start};
use super::order::Resume;
use super::part::Carrier;
use crate::doors::blocking;
use crate::doors::journal::upload::{Opened, UploadJournal, journal_path};
use crate::doors::s3::writing::SentPart;
use crate::doors::source::SourceFile;
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::engine::stale::{Listing, abort};
use crate::rules::ending::Request;
use crate::rules::retry::Attempts;
use crate::words::action::DiskAction;
use crate::words::cut::Length;
use crate::words::failure::{RequestFailure, TransferError};
use crate::words::target::{ChecksumUse, Target};
use crate::words::unfinished::{Intended, ListedPart, SavedUpload, Unfinished};

/// For so long the rest of an upload that was dropped in this process is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// S3 takes no request whose time is further from its own (API reference, RequestTimeTooSkewed), so its word on when an
/// upload began differs from this machine's clock by no more.
const MOST_SKEW: Duration = Duration::from_secs(15 * 60);

/// A journal that is this upload's alone, and the state that an earlier one has left in it.
pub(crate) struct Kept {
    journal: Arc<UploadJournal>,
    saved: Option<Box<SavedUpload>>,
    intended: Intended,
}

/// The way that an upload goes from here.
pub(crate) enum Resumed {
    Goes {
        start: Box<Start>,
        part_bytes: u64,
    },
    /// The earlier one has made the object.
    Done(Object),
}

/// Opens the journal of an upload of `file`; `make` says whether one is to be made. `None`: there is none, or it was
/// not asked for, or it cannot be written, which is logged.
///
/// # Errors
///
/// [`TransferError::Disk`] while another upload has it.
pub(crate) async fn open(
    carrier: &Carrier,
    (file, pace): (&Arc<SourceFile>, &ReadPace),
    resume: &Resume,
    make: bool,
) -> Result<Option<Kept>, TransferError> {
    let folder = match resume {
        Resume::No => return Ok(None),
        Resume::BesideTheFile => None,
        Resume::In(folder) => Some(folder.as_path()),
    };
    let address = carrier.target.address();
    let unwritable = |error| {
        tracing::warn!(%error, "no journal of the upload can be kept; it cannot be gone on with if it breaks off");
        Ok(None)
    };
    let path = match journal_path(file.path(), [&address.bucket, &address.key], folder) {
        Ok(path) => path,
        Err(error) => return unwritable(error),
    };
    if !make {
        // Nearly always there is none, and a look costs less than opening its folder.
        let looked = path.clone();
        let look = move || fs::symlink_metadata(looked);
        let seen = match folder {
            None => pace.run(0, look).await,
            // It may be on another, slower disk than the file.
            Some(_) => blocking::run(look).await,
        };
        if seen.is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
    }
    let began = Instant::now();
    loop {
        let looked = path.clone();
        match blocking::run(move || UploadJournal::open(&looked, make)).await {
            Ok(Opened::Ours(journal, saved)) => {
                let intended = intended(&carrier.target, file);
                return Ok(Some(Kept { journal: Arc::from(journal), saved, intended }));
            }
            Ok(Opened::Absent) => return Ok(None),
            Ok(Opened::Held) if began.elapsed() < PATIENCE => sleep(BETWEEN_LOOKS).await,
            Ok(Opened::Held) => {
                let source = io::ErrorKind::WouldBlock.into();
                return Err(TransferError::Disk { path, action: DiskAction::TakeUploadJournal, source });
            }
            Err(error) => return unwritable(error),
        }
    }
}

fn intended(target: &Target, file: &SourceFile) -> Intended {
    let Target { object, attributes, condition: _, checksum, checksum_use } = target;
    let (payer, owner) = (object.request_payer, &object.expected_bucket_owner);
    // The key itself is secret, and the server tells whether it is the same one.
    let has_key = object.sse_customer_key.is_some();
    // An upload that was begun with a checksum cannot end without.
    let without = if *checksum_use == ChecksumUse::No { " without checksum" } else { "" };
    let all = format!("{attributes:?} {payer} {owner:?} {has_key}{without}");
    let attributes = Sha256::digest(all.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    Intended {
        bucket: object.address.bucket.clone(),
        key: object.address.key.clone(),
        source: file.identity().clone(),
        attributes,
        checksum: checksum.name().to_owned(),
    }
}

impl Kept {
    /// The earlier upload is of no use any more.
    pub(crate) async fn forget(self, carrier: &Carrier) {
        if let Some(saved) = &self.saved {
            self.abort(carrier, saved).await;
        }
        let journal = self.journal;
        blocking::run(move || journal.remove()).await;
    }

    /// Begins anew.
    pub(crate) async fn anew(&self, carrier: &Carrier, part_bytes: u64) -> Start {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let unfinished = Unfinished { intended: self.intended.clone(), part_bytes, since };
        let journal = self.journal.clone();
        let begun = blocking::run(move || {
            let begun = journal.begin(unfinished);
            if begun.is_err() {
                journal.remove();
            }
            begun
        });
        let start = Start::anew(&carrier.target);
        match begun.await {
            Ok(()) => Start { journal: Some(self.journal.clone()), ..start },
            Err(error) => {
                let path = self.journal.path().display();
                tracing::warn!(%path, %error, "no journal of the upload can be kept; it cannot be gone on with");
                start
            }
        }
    }

    /// The beginning of the upload, with parts of `part_bytes` if it begins anew.
    ///
    /// # Errors
    ///
    /// [`TransferError`] where the server does not list its parts.
    pub(crate) async fn start(
        &self,
        carrier: &Arc<Carrier>,
        part_bytes: u64,
        counters: &Counters,
    ) -> Result<Resumed, TransferError> {
        let anew = async || Ok(Resumed::Goes { start: Box::new(self.anew(carrier, part_bytes).await), part_bytes });
        let Some(saved) = &self.saved else { return anew().await };
        let object = carrier.target.address();
        if saved.unfinished.intended != self.intended {
            let changed = saved.unfinished.intended.source != self.intended.source;
            let why = if changed { "the file has changed since" } else { "the object is to have other attributes" };
            tracing::warn!(%object, why, "an earlier upload is not gone on with; uploading all of it");
            self.abort(carrier, saved).await;
            return anew().await;
        }
        let Some(upload_id) = &saved.upload_id else {
            self.abort(carrier, saved).await;
            return anew().await;
        };
        let mut asking = Listed { carrier, upload_id, parts: Vec::new(), after: 0 };
        if carrier.session.persist(&mut asking).await? {
            let listed = asking.parts;
            let mut collected = Collected::new(&carrier.target);
            for (part, bytes) in saved.done(&listed) {
                let Ok(number) = i32::try_from(part.number + 1) else { continue };
                let sent = SentPart { number, e_tag: part.e_tag, checksum: None };
                collected.add(bytes.start, bytes.length(), sent, part.checksum);
                counters.of(part.number).up_to(bytes.length());
            }
            let (session, target) = (carrier.session.clone(), carrier.target.object.clone());
            let begun = Some(Begun::known(session, target, upload_id.clone(), self.journal.clone()));
            let (journal, unsure) = (Some(self.journal.clone()), saved.completing.is_some());
            let start = Start { begun, collected, journal, unsure };
            return Ok(Resumed::Goes { start: Box::new(start), part_bytes: saved.unfinished.part_bytes });
        }
        if let Some(written) = self.completed(carrier, saved).await? {
            let journal = self.journal.clone();
            blocking::run(move || journal.remove()).await;
            return Ok(Resumed::Done(written));
        }
        tracing::warn!(%object, upload_id, "the server does not know the earlier upload any more; uploading all of it");
        anew().await
    }

    /// The object that the earlier upload has made, where it was killed before it knew.
    async fn completed(&self, carrier: &Carrier, saved: &SavedUpload) -> Result<Option<Object>, TransferError> {
        let Some(completing) = &saved.completing else { return Ok(None) };
        let Unfinished { intended, part_bytes, .. } = &saved.unfinished;
        let ending = Ending {
            session: &carrier.session,
            target: &carrier.target,
            request: Request::Complete,
            bytes: intended.source.bytes,
            checksum: Some(completing.checksum),
            e_tag: completing.e_tag.clone(),
            unsure: true,
        };
        let Some(written) = ending.look().await? else { return Ok(None) };
        let bytes = intended.source.bytes;
        let parts = bytes.div_ceil(*part_bytes);
        Ok(Some(Object { written, checksum: completing.checksum, bytes, parts, part_bytes: *part_bytes }))
    }

    /// Aborts the upload that the earlier process has begun, or may have begun before it ended: then there is no id,
    /// and it is recognised by its key, its time and by having no part. A failure to abort is logged.
    async fn abort(&self, carrier: &Carrier, saved: &SavedUpload) {
        let session = &*carrier.session;
        let object = &carrier.target.object;
        let aborted = match &saved.upload_id {
            Some(upload_id) => abort(session, object, upload_id).await,
            None => self.abort_unknown(carrier, saved.unfinished.since).await,
        };
        if let Err(error) = aborted {
            let object = &object.address;
            tracing::warn!(%object, %error, "an earlier upload may be left behind; Client::abort_stale removes it");
        }
    }

    async fn abort_unknown(&self, carrier: &Carrier, since: u64) -> Result<(), TransferError> {
        let session = &*carrier.session;
        let object = &carrier.target.object;
        let since = (SystemTime::UNIX_EPOCH + Duration::from_secs(since)).checked_sub(MOST_SKEW);
        let since = since.unwrap_or(SystemTime::UNIX_EPOCH);
        let mut listing = Listing { session, place: object.address.clone(), after: None };
        loop {
            let (page, next) = session.persist(&mut listing).await?;
            for begun in page {
                if begun.key != object.address.key || begun.initiated.is_none_or(|initiated| initiated < since) {
                    continue;
                }
                let mut asking = Listed { carrier, upload_id: &begun.upload_id, parts: Vec::new(), after: 0 };
                if session.persist(&mut asking).await? && asking.parts.is_empty() {
                    abort(session, object, &begun.upload_id).await?;
                }
            }
            match next {
                Some(next) => listing.after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

/// The question which parts of an upload the server has, page by page.
struct Listed<'a> {
    carrier: &'a Carrier,
    upload_id: &'a str,
    parts: Vec<ListedPart>,
    after: i32,
}

impl Ask for Listed<'_> {
    /// Whether there is such an upload.
    type Answer = bool;
    type Error = TransferError;

    async fn attempt(&mut self, attempts: &mut Attempts) -> Result<Attempted<bool>, TransferError> {
        let Session { store, config, .. } = &*self.carrier.session;
        let target = &self.carrier.target;
        match store.listed_parts(target, self.upload_id, self.after, config.first_byte_timeout()).await {
            Ok((parts, next)) => {
                self.parts.extend(parts);
                // An attempt each, as it brought something.
                attempts.brought(1, 1);
                match next {
                    Some(next) => self.after = next,
                    None => return Ok(Attempted::Answered(true)),
                }
                Ok(Attempted::Again)
            }
            Err(RequestFailure::Refused { code, .. }) if code == "NoSuchUpload" => Ok(Attempted::Answered(false)),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(self.carrier.error(failure)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: self.carrier.target.address(), part: 0, offset: 0 }
    }
}

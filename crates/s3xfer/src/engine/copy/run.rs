//! The course of a copy: the source is looked up, then copied by one request or in parts.
//!
//! Dropped at any await, see [`multipart`](crate::engine::upload::multipart).

use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::sleep;

use super::Order;
use crate::doors::s3::StoredChecksum;
use crate::doors::s3::writing::{Described, SentPart, Written};
use crate::engine::counters::Stopwatch;
use crate::engine::crew::{Crew, Then, Work};
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::engine::upload::ending::{Ended, Ending, finish, multipart_e_tag, pause_after_conflict};
use crate::engine::upload::multipart::{Begun, WORK_WITHIN};
use crate::rules::checksum;
use crate::rules::ending::Request;
use crate::rules::parts::{MOST_OBJECT_BYTES, MOST_PART_BYTES, Wanted, parts};
use crate::rules::retry::Attempts;
use crate::words::checksum::{ChecksumAlgorithm, Integrity, NotValidated};
use crate::words::cut::Length;
use crate::words::failure::{RequestError, RequestFailure, TransferError};
use crate::words::object::{ObjectRequest, Part};
use crate::words::progress::Share;
use crate::words::report::TransferReport;
use crate::words::target::{Attributes, Target};

/// Copies: in one request, or in parts.
pub(super) async fn run(order: Order) -> Result<TransferReport, TransferError> {
    let Order { shared, source, mut target, in_parts_from, least_part_bytes, progress } = order;
    for (object, checked) in [(&source.address, source.check()), (target.address(), target.check())] {
        checked.map_err(|source| TransferError::Request {
            object: object.to_string(),
            source: RequestError::Argument { source },
        })?;
    }
    let session = Session::of_copies(shared);
    let described = session.persist(&mut Describing { session: &session, source: &source }).await?;
    let kept = match &described.checksum {
        StoredChecksum::Whole(algorithm, bytes) => {
            target.checksum = *algorithm;
            checksum::value(*algorithm, bytes)
        }
        _ => None,
    };
    let Described { bytes, e_tag, .. } = described;
    progress.set_total(bytes);
    let (source, from) = (Arc::new(source), (e_tag, bytes, kept));
    let in_one = bytes < in_parts_from.max(1) && bytes <= MOST_PART_BYTES;
    let made = match in_one {
        true => whole(&session, &source, &from, &target).await,
        false => {
            let attributes = Attributes {
                tags: tags(&session, &source).await?,
                storage_class: target.attributes.storage_class.take(),
                acl: target.attributes.acl.take(),
                encryption: target.attributes.encryption.take(),
                ..described.attributes
            };
            let target = Target { attributes, ..target };
            let wanted = Wanted {
                chunk_bytes: session.config.multipart_chunksize(),
                is_bound: false,
                least_bytes: least_part_bytes,
            };
            in_parts(&session, &source, &from, &target, (wanted, progress.clone())).await
        }
    };
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            // 412 says that one of the conditions does not hold, the source's or the target's, and not which.
            let unclear = matches!(error, TransferError::ConditionFailed { .. } | TransferError::ObjectChanged { .. });
            if unclear && let (Some(e_tag), _, _) = &from {
                let now = session.persist(&mut Describing { session: &session, source: &source }).await?;
                if now.e_tag.as_ref() != Some(e_tag) {
                    let object = source.address.to_string();
                    return Err(TransferError::ObjectChanged { object, e_tag: e_tag.clone() });
                }
            }
            return Err(error);
        }
    };
    if in_one {
        progress.add_written(bytes);
    }
    let integrity = match (kept, made.written.checksum) {
        (Some(kept), Some(told)) if kept == told => Integrity::Validated(target_algorithm(&described.checksum)),
        (Some(expected), Some(computed)) => {
            let (object, algorithm) = (made.object, target_algorithm(&described.checksum));
            return Err(TransferError::Corrupt { object, algorithm, expected, computed });
        }
        _ => Integrity::NotValidated(NotValidated::NoChecksum),
    };
    Ok(TransferReport {
        e_tag: made.written.e_tag,
        version_id: made.written.version_id,
        parts: made.parts,
        part_bytes: made.part_bytes,
        ..session.report(bytes, integrity)
    })
}

fn target_algorithm(checksum: &StoredChecksum) -> ChecksumAlgorithm {
    match checksum {
        StoredChecksum::Whole(algorithm, _) => *algorithm,
        _ => ChecksumAlgorithm::Crc64Nvme,
    }
}

/// The source's ETag, its size, and its checksum if it has one over all its bytes.
type From = (Option<String>, u64, Option<u64>);

/// The object that came of it.
struct Made {
    written: Written,
    object: String,
    parts: u64,
    part_bytes: u64,
}

async fn whole(
    session: &Arc<Session>,
    source: &ObjectRequest,
    (e_tag, bytes, kept): &From,
    target: &Target,
) -> Result<Made, TransferError> {
    let _permit = session.limits.permit().await;
    let _in_flight = session.counters.in_flight();
    // A copy is in one piece; the ETag of a source that is not says nothing of it.
    let whole_e_tag = e_tag.clone().filter(|e_tag| !e_tag.contains('-'));
    let ending = Ending {
        session,
        target,
        request: Request::Whole,
        bytes: *bytes,
        checksum: *kept,
        e_tag: whole_e_tag,
        unsure: false,
    };
    let request = || {
        session.counters.requests.fetch_add(1, Ordering::Relaxed);
        session.store.copy(source, e_tag.as_deref(), target, WORK_WITHIN).boxed()
    };
    let (written, _) = finish(&ending, &request).await.map_err(Ended::into_error)?;
    Ok(Made { written, object: target.address().to_string(), parts: (*bytes).min(1), part_bytes: *bytes })
}

async fn in_parts(
    session: &Arc<Session>,
    source: &Arc<ObjectRequest>,
    (e_tag, bytes, kept): &From,
    target: &Target,
    (wanted, progress): (Wanted, Share),
) -> Result<Made, TransferError> {
    let bytes = *bytes;
    let object = target.address().to_string();
    let beyond = || TransferError::BeyondS3 { object: object.clone(), bytes, most: MOST_OBJECT_BYTES };
    let part_bytes = wanted.part_bytes(bytes).ok_or_else(beyond)?;
    let (mut conflicts, mut unsure) = (0, false);
    loop {
        let (begun, _) = Begun::new(session.clone(), target.clone(), None).await?;
        let work = Copying {
            session: session.clone(),
            source: source.clone(),
            e_tag: e_tag.clone(),
            target: Arc::new(target.clone()),
            upload_id: begun.upload_id.as_str().into(),
            copied: Arc::default(),
            progress: progress.clone(),
            counts: conflicts == 0,
        };
        let made = async {
            let jobs = futures::stream::iter(parts(bytes, part_bytes));
            Crew::new(session, None).in_parallel(&work, jobs).await?;
            let mut parts = std::mem::take(&mut *lock(&work.copied));
            parts.sort_by_key(|part| part.number);
            let e_tag = multipart_e_tag(&parts);
            let request = Request::Complete;
            let ending = Ending { session, target, request, bytes, checksum: *kept, e_tag, unsure };
            let complete =
                || session.store.complete_upload(target, &begun.upload_id, &parts, (*kept, WORK_WITHIN)).boxed();
            let (written, is_left) = finish(&ending, &complete).await?;
            let parts = parts.len() as u64;
            Ok((Made { written, object: object.clone(), parts, part_bytes: part_bytes.min(bytes) }, is_left))
        };
        let made: Result<(Made, bool), Ended> = made.await;
        match made {
            Ok((made, is_left)) => {
                match is_left {
                    true => begun.abort().await,
                    false => begun.ended(),
                }
                return Ok(made);
            }
            Err(ended) => {
                begun.abort().await;
                conflicts += 1;
                match ended {
                    Ended::Conflict { error, unsure: now } if conflicts < session.config.num_download_attempts() => {
                        tracing::debug!(%error, "another write is under way; copying again");
                        sleep(pause_after_conflict(conflicts, rand::random())).await;
                        unsure = now;
                    }
                    ended => return Err(ended.into_error()),
                }
            }
        }
    }
}

/// The crew's work: a range a job.
struct Copying {
    session: Arc<Session>,
    source: Arc<ObjectRequest>,
    e_tag: Option<String>,
    target: Arc<Target>,
    upload_id: Arc<str>,
    copied: Arc<Mutex<Vec<SentPart>>>,
    progress: Share,
    /// Whether the progress counts its bytes: all of it done again does not count again.
    counts: bool,
}

impl Work for Copying {
    type Job = Part;
    type Error = TransferError;

    fn start(&self, part: Part) -> BoxFuture<'static, Result<Then, TransferError>> {
        let (session, copied, progress) = (self.session.clone(), self.copied.clone(), self.progress.clone());
        let (source, target, upload_id) = (self.source.clone(), self.target.clone(), self.upload_id.clone());
        let (e_tag, counts) = (self.e_tag.clone(), self.counts);
        async move {
            let bytes = part.bytes.length();
            let mut copying = CopyingPart {
                session: &session,
                source: &source,
                e_tag: e_tag.as_deref(),
                target: &target,
                upload_id: &upload_id,
                part,
            };
            let part = session.persist(&mut copying).await?;
            lock(&copied).push(part);
            if counts {
                progress.add_written(bytes);
            }
            Ok(Then::Next)
        }
        .boxed()
    }
}

fn lock(copied: &Mutex<Vec<SentPart>>) -> MutexGuard<'_, Vec<SentPart>> {
    copied.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A range on its way into the other object.
struct CopyingPart<'a> {
    session: &'a Session,
    source: &'a ObjectRequest,
    e_tag: Option<&'a str>,
    target: &'a Target,
    upload_id: &'a str,
    part: Part,
}

impl Ask for CopyingPart<'_> {
    type Answer = SentPart;
    type Error = TransferError;

    async fn attempt(&mut self, attempts: &mut Attempts) -> Result<Attempted<SentPart>, TransferError> {
        let Self { session, source, e_tag, target, upload_id, part } = &*self;
        let Session { store, counters, steering, .. } = session;
        counters.waited.retry.time(steering.slot()).await;
        // No upload has more than 10,000 parts.
        let number = i32::try_from(part.number + 1).unwrap_or(i32::MAX);
        let from = (*source, *e_tag, &part.bytes);
        let how = (WORK_WITHIN, &counters.requests);
        let copied = store.copy_part(from, target, (upload_id, number), how);
        match counters.waited.network.time(copied).await {
            Ok(copied) => {
                let bytes = part.bytes.length();
                attempts.brought(bytes, bytes);
                Ok(Attempted::Answered(copied))
            }
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            // The only condition that it has is the source's.
            Err(RequestFailure::Changed) => Err(RequestFailure::Changed.into_error(&source.address, *e_tag)),
            Err(failure) => Err(failure.into_error(target.address(), None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: self.target.address(), part: self.part.number, offset: self.part.bytes.start }
    }

    fn range(&self) -> Option<Range<u64>> {
        Some(self.part.bytes.clone())
    }
}

/// The request for the source's description.
struct Describing<'a> {
    session: &'a Session,
    source: &'a ObjectRequest,
}

impl Ask for Describing<'_> {
    type Answer = Described;
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Described>, TransferError> {
        let Session { store, config, .. } = self.session;
        match store.describe(self.source, config.first_byte_timeout()).await {
            Ok(described) => Ok(Attempted::Answered(described)),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(&self.source.address, None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.source.address, part: 0, offset: 0 }
    }
}

/// The source's tags; none where the server knows no tags.
async fn tags(session: &Session, source: &ObjectRequest) -> Result<Vec<(String, String)>, TransferError> {
    match session.persist(&mut Tags(session, source)).await {
        Err(TransferError::Refused { status: 405 | 501, .. }) => Ok(Vec::new()),
        tags => tags,
    }
}

struct Tags<'a>(&'a Session, &'a ObjectRequest);

impl Ask for Tags<'_> {
    type Answer = Vec<(String, String)>;
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Self::Answer>, TransferError> {
        let Self(session, source) = self;
        match session.store.tags(source, session.config.first_byte_timeout()).await {
            Ok(tags) => Ok(Attempted::Answered(tags)),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(&source.address, None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.1.address, part: 0, offset: 0 }
    }
}

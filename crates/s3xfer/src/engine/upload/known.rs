//! Uploads of sources whose size is known and that can be read more than once: files and bytes in memory.
//!
//! Dropped at any await, see [`multipart`](super::multipart) and [`ending`](super::ending).

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::{FutureExt, stream};
use tokio::time::sleep;

use super::content::{Content, Counted, Counters, ReadPace};
use super::ending::{Ended, Ending, finish, pause_after_conflict};
use super::multipart::{self, Job, Object, Start};
use super::order::Resume;
use super::part::{Carrier, Uncarried};
use super::resume::{self, Resumed};
use crate::doors::blocking;
use crate::doors::source::{READ_BYTES, SourceFile};
use crate::engine::session::Session;
use crate::rules::ending::Request;
use crate::rules::parts::{MOST_OBJECT_BYTES, MOST_PART_BYTES, Wanted, parts};
use crate::words::action::SourceAction;
use crate::words::checksum::{Integrity, NotValidated};
use crate::words::failure::{RequestError, RequestFailure, TransferError};
use crate::words::progress::Share;
use crate::words::report::TransferReport;

/// A file that is sent by one request is read into memory up to this size, and twice if it is larger: once for its
/// checksum, and once as it is sent.
const READ_ONCE_BYTES: u64 = 8 << 20;

/// The source.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    File(Arc<SourceFile>, ReadPace),
    Bytes(Bytes),
}

impl Known {
    fn bytes(&self) -> u64 {
        match self {
            Self::File(file, _) => file.bytes(),
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// These bytes of it.
    fn content(&self, range: std::ops::Range<u64>) -> Content {
        match self {
            Self::File(file, pace) => Content::File { file: file.clone(), bytes: range, pace: pace.clone() },
            // In memory, so offsets are sizes of it.
            Self::Bytes(bytes) => Content::given(bytes.slice(range.start as usize..range.end as usize)),
        }
    }

    /// An error unless it is as it was at the beginning.
    async fn still(self) -> Result<(), TransferError> {
        let Self::File(file, _) = self else { return Ok(()) };
        blocking::run(move || still(&file)).await
    }
}

/// An error unless `file` is as it was when it was opened. Blocks.
fn still(file: &SourceFile) -> Result<(), TransferError> {
    let path = file.path();
    match file.is_unchanged() {
        Ok(true) => Ok(()),
        Ok(false) => Err(TransferError::SourceChanged { path: path.to_owned() }),
        Err(source) => {
            let (from, action) = (path.display().to_string(), SourceAction::Look);
            Err(TransferError::Source { from, action, source })
        }
    }
}

/// The bytes of all of `file`, in order. Blocks.
///
/// # Errors
///
/// The byte at which it could not be read, and the system's word.
fn read_all(file: &SourceFile) -> Result<Vec<Bytes>, (u64, io::Error)> {
    let (mut chunks, mut at) = (Vec::new(), 0);
    while at < file.bytes() {
        let next = at..file.bytes().min(at + READ_BYTES);
        chunks.push(file.read(&next).map_err(|error| (at, error))?);
        at = next.end;
    }
    Ok(chunks)
}

pub(crate) async fn run(
    carrier: &Arc<Carrier>,
    source: Known,
    (wanted, resume): (Wanted, Resume),
    progress: Share,
) -> Result<TransferReport, TransferError> {
    let Session { config, .. } = &*carrier.session;
    let bytes = source.bytes();
    progress.set_total(bytes);
    let counters = Counters::new(progress);
    let too_large =
        || TransferError::BeyondS3 { object: carrier.target.address().to_string(), bytes, most: MOST_OBJECT_BYTES };
    let part_bytes = wanted.part_bytes(bytes).ok_or_else(too_large)?;
    let in_one = bytes <= MOST_PART_BYTES && (bytes < config.multipart_threshold() || bytes <= part_bytes);
    let kept = match &source {
        Known::File(file, pace) => resume::open(carrier, (file, pace), &resume, !in_one).await?,
        Known::Bytes(_) => None,
    };
    if in_one {
        if let Some(kept) = kept {
            kept.forget(carrier).await;
        }
        let object = whole(carrier, &source, &counters).await?;
        return report(carrier, object);
    }
    let (mut start, part_bytes) = match &kept {
        None => (Start::anew(&carrier.target), part_bytes),
        Some(kept) => match kept.start(carrier, part_bytes, &counters).await? {
            Resumed::Goes { start, part_bytes } => (*start, part_bytes),
            Resumed::Done(object) => return Ok(TransferReport { resumed_bytes: bytes, ..report(carrier, object)? }),
        },
    };
    let mut conflicts = 0;
    loop {
        let (done, resumed_bytes) = start.done();
        let jobs = {
            let (source, steering) = (source.clone(), carrier.session.steering.clone());
            steering.wants(bytes.saturating_sub(resumed_bytes));
            let mut to_begin = bytes.div_ceil(part_bytes).saturating_sub(done.len() as u64);
            steering.parts_left(to_begin);
            let left = parts(bytes, part_bytes).filter(move |part| !done.contains(&part.number));
            left.map(move |part| {
                to_begin = to_begin.saturating_sub(1);
                steering.parts_left(to_begin);
                Ok(Job { number: part.number, offset: part.bytes.start, content: source.content(part.bytes) })
            })
        };
        let counted = {
            let counters = counters.clone();
            move |number| counters.of(number)
        };
        let made =
            multipart::upload(carrier, counted, start, stream::iter(jobs), (source.clone().still(), pending())).await;
        match made {
            Ok(object) => return Ok(TransferReport { resumed_bytes, ..report(carrier, object)? }),
            Err(Ended::Conflict { error, unsure }) => {
                conflicts += 1;
                if conflicts >= config.num_download_attempts() {
                    return Err(error);
                }
                tracing::debug!(%error, "another write is under way; uploading again");
                sleep(pause_after_conflict(conflicts, rand::random())).await;
                start = match &kept {
                    None => Start::anew(&carrier.target),
                    Some(kept) => kept.anew(carrier, part_bytes).await,
                };
                start.unsure = unsure;
            }
            Err(Ended::Failed(error)) => return Err(error),
        }
    }
}

/// All of it by one request.
async fn whole(carrier: &Arc<Carrier>, source: &Known, counters: &Counters) -> Result<Object, TransferError> {
    let bytes = source.bytes();
    let limits = &carrier.session.limits;
    let mut content = source.content(0..bytes);
    if let Known::File(file, pace) = source
        && bytes <= READ_ONCE_BYTES.min(limits.waiting_bytes())
    {
        // Before the permit, because the owner of a permit waits for no memory.
        let rooms = limits.reserve_all(bytes).await;
        let reading = file.clone();
        let (chunks, unchanged) = pace.run(bytes, move || (read_all(&reading), still(&reading))).await;
        let chunks = chunks.map_err(|(at, error)| carrier.source_error(at, error))?;
        unchanged?;
        content = Content::collected(chunks, rooms);
    }
    let is_read_twice = matches!(content, Content::File { .. });
    let put = put(carrier, content, counters.of(0)).await;
    if put.is_err() && is_read_twice {
        // A file that changed between its two reads has another checksum.
        source.clone().still().await?;
    }
    put
}

/// Writes the object by one request that carries `content`.
pub(crate) async fn put(carrier: &Arc<Carrier>, content: Content, counted: Counted) -> Result<Object, TransferError> {
    let Session { store, counters, limits, .. } = &*carrier.session;
    let target = &carrier.target;
    let bytes = content.length();
    let checksum = match content.checksum_of_few(target.checksum) {
        Some(checksum) => Ok(checksum),
        None => content.checksum(target.checksum).await,
    };
    let checksum = checksum.map_err(|(at, error)| carrier.source_error(at, error))?;
    let _permit = limits.permit().await;
    let _in_flight = counters.in_flight();
    let ending = Ending {
        session: &carrier.session,
        target,
        request: Request::Whole,
        bytes,
        checksum: Some(checksum),
        e_tag: None,
        unsure: false,
    };
    let trouble = Mutex::new(None);
    let request = || {
        async {
            let carried = carrier.carry(&content, None, &counted, |bodies| {
                async move {
                    let body = || bodies.make();
                    store.put(target, (bytes, checksum), &body, &counters.requests).await
                }
                .boxed()
            });
            match carried.await {
                Ok(carried) => Ok(carried.answer),
                Err(Uncarried::Request(failure)) => Err(failure),
                Err(Uncarried::Source(error)) => {
                    *trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    let source = "the source cannot be read".into();
                    Err(RequestFailure::Final(RequestError::NotSent { source }))
                }
            }
        }
        .boxed()
    };
    match finish(&ending, &request).await {
        Ok((written, _)) => Ok(Object { written, checksum, bytes, parts: bytes.min(1), part_bytes: bytes }),
        Err(ended) => {
            let trouble = trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
            Err(trouble.unwrap_or_else(|| ended.into_error()))
        }
    }
}

/// The report on an object that is there.
///
/// # Errors
///
/// [`TransferError::Corrupt`] where the server has computed another checksum.
pub(crate) fn report(carrier: &Carrier, object: Object) -> Result<TransferReport, TransferError> {
    let Object { written, checksum, bytes, parts, part_bytes } = object;
    let algorithm = carrier.target.checksum;
    let integrity = match written.checksum {
        Some(told) if told == checksum => Integrity::Validated(algorithm),
        Some(told) => {
            let object = carrier.target.address().to_string();
            return Err(TransferError::Corrupt { object, algorithm, expected: checksum, computed: told });
        }
        None => Integrity::NotValidated(NotValidated::NoChecksum),
    };
    Ok(TransferReport {
        e_tag: written.e_tag,
        version_id: written.version_id,
        parts,
        part_bytes,
        ..carrier.session.report(bytes, integrity)
    })
}

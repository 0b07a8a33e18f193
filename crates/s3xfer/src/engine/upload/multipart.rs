//! A multipart upload, from its beginning to the object, or to nothing.
//!
//! However it ends, by an error or by being dropped at any await, the server is told to forget the upload: before an
//! error is told, and in the background after a drop. [`Begun`] sees to that. An upload with a journal is kept instead,
//! after a drop and after an error that another attempt may not meet.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt, stream};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use super::content::{Content, Counted};
use super::ending::{Ended, Ending, finish};
use super::part::{Carrier, Sending};
use crate::doors::blocking;
use crate::doors::journal::upload::UploadJournal;
use crate::doors::s3::writing::{SentPart, Written};
use crate::engine::crew::{Crew, Then, Work, propagate};
use crate::engine::limits::OpenUpload;
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::rules::checksum::PartChecksums;
use crate::rules::ending::Request;
use crate::rules::retry::Attempts;
use crate::words::failure::{RequestFailure, TransferError};
use crate::words::object::ObjectRequest;
use crate::words::target::Target;
use crate::words::unfinished::{RecordedPart, UploadRecord};

/// Longest that an error waits for the server to forget the upload.
const ABORT_WITHIN: Duration = Duration::from_secs(60);
/// The number of times that it is asked for. Parts that are on their way may come after the first time.
const ABORTS: u32 = 5;
/// Between two of them.
const BETWEEN_ABORTS: Duration = Duration::from_millis(500);
/// Longest that the server may take to put an object together, or to copy one: S3's answer to CompleteMultipartUpload
/// "could take several minutes" (API reference).
pub(crate) const WORK_WITHIN: Duration = Duration::from_secs(15 * 60);

/// A multipart upload that the server has begun. Dropped, it is aborted, unless it was [ended](Self::ended) or has a
/// journal.
#[derive(Debug)]
pub(crate) struct Begun {
    session: Arc<Session>,
    object: ObjectRequest,
    pub(crate) upload_id: String,
    ended: bool,
    journal: Option<Arc<UploadJournal>>,
    /// `None` only while it is dropped.
    open: Option<OpenUpload>,
}

impl Begun {
    /// Has the server begin one, and says how long its answer took. The request goes on if this is dropped, so that the
    /// upload that it begins is aborted.
    ///
    /// # Errors
    ///
    /// [`TransferError`].
    pub(crate) async fn new(
        session: Arc<Session>,
        target: Target,
        journal: Option<Arc<UploadJournal>>,
    ) -> Result<(Self, Duration), TransferError> {
        let open = Some(session.limits.open_upload());
        let begin = async move {
            let mut creating = Creating { session: &session, target: &target };
            let (upload_id, took) = session.persist(&mut creating).await?;
            tracing::debug!(object = %target.address(), upload_id, "a multipart upload has begun");
            if let Some(journal) = journal.clone() {
                let record = UploadRecord::Begun { upload_id: upload_id.clone() };
                blocking::run(move || journal.add(&record)).await;
            }
            let object = target.object.clone();
            Ok((Self { session: session.clone(), object, upload_id, ended: false, journal, open }, took))
        };
        tokio::spawn(begin).await.unwrap_or_else(propagate)
    }

    /// One that an earlier transfer has begun, and written into that journal.
    pub(crate) fn known(
        session: Arc<Session>,
        object: ObjectRequest,
        upload_id: String,
        journal: Arc<UploadJournal>,
    ) -> Self {
        let open = Some(session.limits.open_upload());
        Self { session, object, upload_id, ended: false, journal: Some(journal), open }
    }

    /// There is nothing left to abort.
    pub(crate) fn ended(mut self) {
        self.ended = true;
    }

    /// Aborts it, and comes back when the server has forgotten it, or after [`ABORT_WITHIN`].
    pub(crate) async fn abort(mut self) {
        self.ended = true;
        abort(&self.session, &self.object, &self.upload_id).await;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if self.journal.is_some() {
            tracing::debug!(object = %self.object.address, upload_id = self.upload_id, "kept to be gone on with");
            return;
        }
        let (session, object, upload_id) = (self.session.clone(), self.object.clone(), self.upload_id.clone());
        match Handle::try_current() {
            Ok(runtime) => {
                let open = self.open.take();
                drop(runtime.spawn(async move {
                    let _open = open;
                    abort(&session, &object, &upload_id).await;
                }));
            }
            Err(_) => left_behind(&object, &upload_id, "there is no runtime to abort it from"),
        }
    }
}

fn left_behind(object: &ObjectRequest, upload_id: &str, why: &str) {
    let object = &object.address;
    tracing::warn!(%object, upload_id, why, "a multipart upload is left behind; Client::abort_stale removes it");
}

async fn abort(session: &Session, object: &ObjectRequest, upload_id: &str) {
    let aborted = async {
        for attempt in 0.. {
            match session.store.abort_upload(object, upload_id, session.config.first_byte_timeout()).await {
                // It is gone.
                Err(RequestFailure::Refused { code, .. }) if code == "NoSuchUpload" => return Ok(()),
                Ok(()) if attempt + 1 >= ABORTS => return Ok(()),
                // S3 may have taken parts of it meanwhile; it is gone once it is not known any more.
                Ok(()) => continue,
                Err(RequestFailure::Transient(error)) => {
                    tracing::debug!(upload_id, %error, "aborting again");
                    sleep(BETWEEN_ABORTS).await;
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    };
    match timeout(ABORT_WITHIN, aborted).await {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => left_behind(object, upload_id, &failure.into_error(&object.address, None).to_string()),
        Err(_) => left_behind(object, upload_id, "the server did not answer in time"),
    }
}

/// The request that begins one. Where its answer is lost, an upload without parts is left whose id is not known.
struct Creating<'a> {
    session: &'a Session,
    target: &'a Target,
}

impl Ask for Creating<'_> {
    /// Its id, and how long the attempt took that was answered with it.
    type Answer = (String, Duration);
    type Error = TransferError;

    async fn attempt(&mut self, _: &mut Attempts) -> Result<Attempted<Self::Answer>, TransferError> {
        let Session { store, config, .. } = self.session;
        let asked = Instant::now();
        match store.create_upload(self.target, config.first_byte_timeout()).await {
            Ok(upload_id) => Ok(Attempted::Answered((upload_id, asked.elapsed()))),
            Err(RequestFailure::Transient(error)) => Ok(Attempted::Failed(error)),
            Err(failure) => Err(failure.into_error(self.target.address(), None)),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: self.target.address(), part: 0, offset: 0 }
    }
}

/// Bytes of an object that are one part of it.
pub(crate) struct Job {
    /// From 0.
    pub(crate) number: u64,
    /// The first byte's place in the object.
    pub(crate) offset: u64,
    pub(crate) content: Content,
}

/// The parts that the server has.
#[derive(Debug)]
pub(crate) struct Collected {
    pub(crate) parts: Vec<SentPart>,
    pub(crate) checksums: PartChecksums,
    pub(crate) bytes: u64,
    pub(crate) largest: u64,
}

impl Collected {
    pub(crate) fn new(target: &Target) -> Self {
        Self { parts: Vec::new(), checksums: PartChecksums::new(target.checksum), bytes: 0, largest: 0 }
    }

    pub(crate) fn add(&mut self, offset: u64, bytes: u64, part: SentPart, checksum: u64) {
        self.checksums.add(offset..offset + bytes, checksum);
        self.parts.push(part);
        self.bytes += bytes;
        self.largest = self.largest.max(bytes);
    }
}

/// The beginning of an upload: nothing, or the parts that an earlier one has sent.
pub(crate) struct Start {
    pub(crate) begun: Option<Begun>,
    pub(crate) collected: Collected,
    /// The journal of each step, for the next upload; `None` where none is to go on with this one.
    pub(crate) journal: Option<Arc<UploadJournal>>,
    /// Whether an earlier attempt may have written the object, or may yet do so.
    pub(crate) unsure: bool,
}

impl Start {
    /// With nothing, and nothing is kept.
    pub(crate) fn anew(target: &Target) -> Self {
        Self { begun: None, collected: Collected::new(target), journal: None, unsure: false }
    }

    /// Numbers of the parts that the server has, from 0, and their bytes.
    pub(crate) fn done(&self) -> (BTreeSet<u64>, u64) {
        let number = |part: &SentPart| u64::try_from(part.number).ok()?.checked_sub(1);
        (self.collected.parts.iter().filter_map(number).collect(), self.collected.bytes)
    }
}

/// The object that came of it.
pub(crate) struct Object {
    pub(crate) written: Written,
    pub(crate) checksum: u64,
    pub(crate) bytes: u64,
    pub(crate) parts: u64,
    pub(crate) part_bytes: u64,
}

/// Sends the parts that `jobs` bring, and has the server make the object of them, if `still` says that the source is as
/// it was. All of it ends with the error that `stop` comes to, if it ever does.
///
/// # Errors
///
/// [`TransferError`]; [`Ended::Conflict`] where all of it is to be done again. There is no upload left then.
pub(crate) async fn upload(
    carrier: &Arc<Carrier>,
    counted: impl Fn(u64) -> Counted + Send + Sync + Clone + 'static,
    start: Start,
    jobs: impl Stream<Item = Result<Job, TransferError>> + Send,
    (still, stop): (impl Future<Output = Result<(), TransferError>> + Send, impl Future<Output = TransferError> + Send),
) -> Result<Object, Ended> {
    let session = &carrier.session;
    let Start { begun, collected, journal, unsure } = start;
    let begun = match begun {
        Some(begun) => begun,
        None => {
            let (begun, took) = Begun::new(session.clone(), carrier.target.clone(), journal.clone()).await?;
            // The first parts know from it how far away the server is.
            carrier.answered(took);
            begun
        }
    };
    let collected = Arc::new(Mutex::new(collected));
    let parts = Parts {
        carrier: carrier.clone(),
        upload_id: begun.upload_id.as_str().into(),
        collected: collected.clone(),
        counted: Arc::new(counted),
        journal: journal.clone(),
    };
    // From the last one on, those that are late are sent again sooner.
    let steering = session.steering.clone();
    let end = stream::poll_fn(move |_| {
        steering.planned(true);
        Poll::Ready(None)
    });
    let jobs = jobs.chain(end);
    let made = async {
        tokio::select! {
            biased;
            sent = Crew::new(session, None).in_parallel(&parts, jobs) => sent?,
            error = stop => return Err(error.into()),
        }
        still.await?;
        let Collected { mut parts, checksums, bytes, largest } =
            std::mem::replace(&mut *lock(&collected), Collected::new(&carrier.target));
        parts.sort_by_key(|part| part.number);
        let checksum = checksums.of(0..bytes).expect("every part's bytes follow those of the one before");
        let ending = Ending {
            session,
            target: &carrier.target,
            request: Request::Complete,
            bytes,
            checksum: Some(checksum),
            e_tag: super::ending::multipart_e_tag(&parts),
            unsure,
        };
        if let Some(journal) = journal.clone() {
            let record = UploadRecord::Completing { checksum, e_tag: ending.e_tag.clone() };
            blocking::run(move || journal.add(&record)).await;
        }
        let complete = || {
            let within = WORK_WITHIN;
            let (target, upload_id) = (&carrier.target, &begun.upload_id);
            session.store.complete_upload(target, upload_id, &parts, (Some(checksum), within)).boxed()
        };
        let (written, is_left) = finish(&ending, &complete).await?;
        Ok((Object { written, checksum, bytes, parts: parts.len() as u64, part_bytes: largest }, is_left))
    };
    let made: Result<(Object, bool), Ended> = made.await;
    match made {
        Ok((object, is_left)) => {
            match is_left {
                true => begun.abort().await,
                false => begun.ended(),
            }
            remove(journal).await;
            Ok(object)
        }
        Err(Ended::Failed(error)) if journal.is_some() && may_go_on(&error) => {
            tracing::debug!(%error, "the upload can be gone on with");
            drop(begun);
            Err(error.into())
        }
        Err(ended) => {
            // After a conflict there is another attempt, which has all of it to send.
            if let Ended::Conflict { .. } = ended {
                session.steering.planned(false);
            }
            begun.abort().await;
            if let Ended::Failed(_) = ended {
                remove(journal).await;
            }
            Err(ended)
        }
    }
}

async fn remove(journal: Option<Arc<UploadJournal>>) {
    if let Some(journal) = journal {
        blocking::run(move || journal.remove()).await;
    }
}

/// Whether another attempt with the same file may succeed with the parts that are there.
fn may_go_on(error: &TransferError) -> bool {
    !matches!(
        error,
        TransferError::SourceChanged { .. }
            | TransferError::ConditionFailed { .. }
            | TransferError::Corrupt { .. }
            | TransferError::Refused { status: 400 | 404 | 412, .. }
    )
}

/// The crew's work: a part a job.
struct Parts {
    carrier: Arc<Carrier>,
    upload_id: Arc<str>,
    collected: Arc<Mutex<Collected>>,
    counted: Arc<dyn Fn(u64) -> Counted + Send + Sync>,
    journal: Option<Arc<UploadJournal>>,
}

impl Work for Parts {
    type Job = Result<Job, TransferError>;
    type Error = TransferError;

    fn start(&self, job: Self::Job) -> BoxFuture<'static, Result<Then, TransferError>> {
        let (carrier, upload_id, collected) = (self.carrier.clone(), self.upload_id.clone(), self.collected.clone());
        let (counted, journal) = (self.counted.clone(), self.journal.clone());
        // A part that is cut off ends when its task is next polled, which a program that ends waits for.
        let open = carrier.session.limits.open_upload();
        async move {
            let _open = open;
            let Job { number, offset, content } = job?;
            let bytes = content.length();
            // A checksum that is known goes along; S3 wants it of parts of every algorithm but its own.
            let known = match &content {
                Content::File { .. } if !carrier.needs_checksums_first() => None,
                content => {
                    let known = content.checksum(carrier.target.checksum).await;
                    Some(known.map_err(|(at, error)| carrier.source_error(at, error))?)
                }
            };
            let mut sending = Sending {
                carrier: &carrier,
                upload_id: &upload_id,
                number,
                offset,
                content,
                checksum: known,
                counted: counted(number),
            };
            let (part, checksum) = carrier.session.persist(&mut sending).await?;
            if let Some(journal) = journal {
                let part = RecordedPart { number, e_tag: part.e_tag.clone(), checksum };
                blocking::run(move || journal.add(&UploadRecord::Part(part))).await;
            }
            lock(&collected).add(offset, bytes, part, checksum);
            Ok(Then::Next)
        }
        .boxed()
    }
}

fn lock(collected: &Mutex<Collected>) -> MutexGuard<'_, Collected> {
    collected.lock().unwrap_or_else(PoisonError::into_inner)
}

//! One request that carries bytes, from its first attempt to the server's word that it has them.
//!
//! Cancelled at any await, the connection is closed; the server forgets its bytes with the upload.

use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt, TryFutureExt};
use tokio::time::{Instant, sleep_until};

use super::content::{Content, Counted, Sent};
use crate::doors::s3::outgoing::{Movement, Outgoing, Turn};
use crate::doors::s3::writing::SentPart;
use crate::engine::counters::Stopwatch;
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::rules::retry::Attempts;
use crate::words::action::SourceAction;
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::failure::{RequestError, RequestFailure, TransferError};
use crate::words::object::is_directory_bucket;
use crate::words::target::{ChecksumUse, ServerSideEncryption, Target};

/// The things that every request of an upload needs.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) session: Arc<Session>,
    pub(crate) target: Target,
    /// The file; `None` where there is none.
    pub(crate) path: Option<PathBuf>,
    /// Nanoseconds that the server took for its last answer after it had all bytes.
    thinks: AtomicU64,
    /// Whether an ETag is made of the bytes alone, so that a part that is sent twice has the same one.
    same_e_tag: AtomicBool,
    /// Whether the server takes no part without a checksum in its headers.
    checksums_first: AtomicBool,
}

/// The answer to a request with a body, and the body's checksum if it was computed as it was sent.
pub(crate) struct Carried<T> {
    pub(crate) answer: T,
    pub(crate) checksum: Option<u64>,
}

impl Carrier {
    pub(crate) fn new(session: Arc<Session>, target: Target, path: Option<PathBuf>) -> Arc<Self> {
        // S3 API reference, "Object": with keys of the Key Management Service or of the customer it is not. S3 User
        // Guide, "Differences for directory buckets": their ETags are random strings.
        let plain = matches!(target.attributes.encryption, None | Some(ServerSideEncryption::S3));
        let plain = plain && target.object.sse_customer_key.is_none();
        let same_e_tag = AtomicBool::new(plain && !is_directory_bucket(&target.address().bucket));
        let checksums_first = AtomicBool::new(false);
        Arc::new(Self { session, target, path, thinks: AtomicU64::new(0), same_e_tag, checksums_first })
    }

    /// Whether the checksum of a part of a file is to be known before it is sent: for S3's own algorithm that costs a
    /// second pass over the bytes.
    pub(crate) fn needs_checksums_first(&self) -> bool {
        let sends = self.target.checksum_use != ChecksumUse::No;
        sends && (self.target.checksum != ChecksumAlgorithm::Crc64Nvme || self.checksums_first.load(Ordering::Relaxed))
    }

    /// The server took so long for an answer without a body of bytes before it.
    pub(crate) fn answered(&self, took: Duration) {
        self.thinks.store(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The answer to `send`, or to a second one of the same `bytes` that is begun where the first is late, whichever
    /// comes first. The other one is given up: its connection is closed. The server may have all of it by then, and
    /// takes the part that came last; both have the same bytes, and so the same ETag and checksum.
    async fn soonest<T, F>(&self, bytes: u64, send: impl Fn() -> F) -> Result<Carried<T>, Uncarried>
    where
        F: Future<Output = Result<Carried<T>, Uncarried>> + Send,
    {
        let Session { steering, limits, counters, .. } = &*self.session;
        let began = Instant::now();
        let mut running = FuturesUnordered::from_iter([send()]);
        let (mut may, mut second, mut refused) = (true, None, None);
        loop {
            tokio::select! {
                biased;
                Some(carried) = running.next() => match carried {
                    Err(Uncarried::Request(RequestFailure::Transient(_))) if !running.is_empty() => {}
                    carried => {
                        if second.is_none() && carried.is_ok() {
                            steering.part_sent(bytes, began.elapsed());
                        }
                        return carried;
                    }
                },
                () = steering.late_part(began, bytes, refused), if may => {
                    // Once an ETag has told of something else than bytes, they all may.
                    may = self.same_e_tag.load(Ordering::Relaxed);
                    // Nothing is waited for: the permit's owner may be as late.
                    let permit = if may { limits.try_permit() } else { None };
                    match permit.filter(|_| steering.may_ask_again(began.elapsed())) {
                        Some(permit) => {
                            tracing::debug!(object = %self.target.address(), bytes, "a part is late; sending it again");
                            second = Some((permit, counters.in_flight()));
                            running.push(send());
                            may = false;
                        }
                        None => refused = Some(Instant::now()),
                    }
                }
            }
        }
    }

    /// Sends `content` once by `send`, which is given the maker of the body. Waits for the answer as long as bytes
    /// move, and then as long as an answer may take.
    pub(crate) async fn carry<'a, T, F>(
        &'a self,
        content: &'a Content,
        algorithm: Option<ChecksumAlgorithm>,
        counted: &'a Counted,
        send: impl FnOnce(Bodies<'a>) -> F,
    ) -> Result<Carried<T>, Uncarried>
    where
        F: Future<Output = Result<T, RequestFailure>> + Send,
        T: Send,
    {
        let Session { steering, counters, config, .. } = &*self.session;
        counters.waited.retry.time(steering.slot()).await;
        let sent = Arc::new(Sent::default());
        let movement = Movement::new(content.length());
        let bodies =
            Bodies { carrier: self, content, algorithm, counted, sent: sent.clone(), movement: movement.clone() };
        // A body flows from its beginning; the wait is the server's time to think.
        let thinks = Duration::from_nanos(self.thinks.load(Ordering::Relaxed));
        let flow = steering.asked().answered(thinks);
        let answered = in_time(send(bodies), &movement, config.stall_timeout(), config.first_byte_timeout());
        let answered = counters.waited.network.time(answered).await;
        let failure = match answered {
            Ok(answer) => {
                if let Turn::Answer(since) = movement.turn() {
                    self.answered(since.elapsed());
                }
                return Ok(Carried { answer, checksum: sent.checksum() });
            }
            Err(failure) => failure,
        };
        if let RequestFailure::Transient(RequestError::Unavailable { throttled: true, .. }) = &failure {
            flow.refused();
        }
        if let Some((offset, source)) = sent.trouble() {
            return Err(Uncarried::Source(self.source_error(offset, source)));
        }
        // A connection that breaks within a body is no address where nobody is.
        Err(Uncarried::Request(match failure {
            RequestFailure::Transient(RequestError::Unreachable { source }) if movement.bytes() > 0 => {
                RequestFailure::Transient(RequestError::BrokeOff { source })
            }
            failure => failure,
        }))
    }

    pub(crate) fn source_error(&self, offset: u64, source: io::Error) -> TransferError {
        match &self.path {
            // There was more of it.
            Some(path) if source.kind() == io::ErrorKind::UnexpectedEof => {
                TransferError::SourceChanged { path: path.clone() }
            }
            path => {
                TransferError::Source { from: name(path.as_deref()), action: SourceAction::Read { offset }, source }
            }
        }
    }

    pub(crate) fn error(&self, failure: RequestFailure) -> TransferError {
        failure.into_error(self.target.address(), None)
    }
}

/// Whether the server says that the bytes came to harm on their way.
pub(super) fn is_harmed(failure: &RequestFailure) -> bool {
    matches!(failure, RequestFailure::Refused { code, .. } if code == "BadDigest")
}

/// Another attempt may bring the bytes unharmed.
pub(super) fn harmed() -> RequestError {
    RequestError::BrokeOff { source: "the server computed another checksum of the bytes that it got".into() }
}

/// Whether the server may want the part's checksum in the request's headers. S3 User Guide, "Managing Object Lock":
/// such a bucket takes no bytes without one, and says InvalidRequest.
fn may_need_checksum(failure: &RequestFailure) -> bool {
    matches!(failure, RequestFailure::Refused { status: 400, code, .. } if code == "InvalidRequest")
}

/// A source's name in errors.
pub(crate) fn name(path: Option<&Path>) -> String {
    path.map_or_else(|| "the stream".to_owned(), |path| path.display().to_string())
}

/// Why bytes did not get to the server.
pub(crate) enum Uncarried {
    Request(RequestFailure),
    Source(TransferError),
}

/// Makes the body of a request, each time it is sent.
pub(crate) struct Bodies<'a> {
    carrier: &'a Carrier,
    content: &'a Content,
    algorithm: Option<ChecksumAlgorithm>,
    counted: &'a Counted,
    sent: Arc<Sent>,
    movement: Movement,
}

impl Bodies<'_> {
    pub(crate) fn make(&self) -> Outgoing {
        let session = self.carrier.session.clone();
        let pieces = self.content.pieces(session, self.algorithm, self.counted.clone(), self.sent.clone());
        Outgoing::new(pieces, self.content.length(), self.movement.clone())
    }
}

/// Waits for `sent`: as long as this program makes bytes ready, `stall` for the network to take more of them, and
/// `answer` for the answer once it has all. The bytes in the kernel's buffers then take their time, too.
async fn in_time<T>(
    sent: impl Future<Output = Result<T, RequestFailure>> + Send,
    movement: &Movement,
    stall: Duration,
    answer: Duration,
) -> Result<T, RequestFailure> {
    let mut sent = pin!(sent);
    loop {
        let now = Instant::now();
        let (until, error) = match movement.turn() {
            Turn::Ours => (now + stall, None),
            Turn::Theirs(since) => (since + stall, Some(RequestError::Stalled { seconds: stall.as_secs() })),
            Turn::Answer(since) => {
                let answer = stall + answer;
                (since + answer, Some(RequestError::NoAnswer { seconds: answer.as_secs() }))
            }
        };
        if let Some(error) = error.filter(|_| until <= now) {
            return Err(RequestFailure::Transient(error));
        }
        tokio::select! {
            biased;
            answered = &mut sent => return answered,
            () = sleep_until(until) => {}
        }
    }
}

/// A part on its way.
pub(crate) struct Sending<'a> {
    pub(crate) carrier: &'a Carrier,
    pub(crate) upload_id: &'a str,
    /// From 0.
    pub(crate) number: u64,
    /// The first byte's place in the object.
    pub(crate) offset: u64,
    pub(crate) content: Content,
    /// The checksum of all its bytes, where it is known before they are sent.
    pub(crate) checksum: Option<u64>,
    pub(crate) counted: Counted,
}

impl Ask for Sending<'_> {
    /// The part, and the checksum of its bytes.
    type Answer = (SentPart, u64);
    type Error = TransferError;

    async fn attempt(&mut self, attempts: &mut Attempts) -> Result<Attempted<Self::Answer>, TransferError> {
        let Self { carrier, upload_id, number, content, checksum, counted, .. } = &*self;
        let Session { store, counters, .. } = &*carrier.session;
        let algorithm = carrier.target.checksum;
        let computed = checksum.is_none().then_some(algorithm);
        // No upload has more than 10,000 parts.
        let number = i32::try_from(number + 1).unwrap_or(i32::MAX);
        let (target, requests, known) = (&carrier.target, &counters.requests, *checksum);
        let send = || {
            let carried = carrier.carry(content, computed, counted, |bodies| {
                async move {
                    let body = || bodies.make();
                    let (part, same_e_tag) =
                        store.put_part(target, (upload_id, number), known, &body, requests).await?;
                    carrier.same_e_tag.fetch_and(same_e_tag, Ordering::Relaxed);
                    Ok(part)
                }
                .boxed()
            });
            carried.map_err(|uncarried| match uncarried {
                Uncarried::Request(failure) if is_harmed(&failure) => {
                    Uncarried::Request(RequestFailure::Transient(harmed()))
                }
                uncarried => uncarried,
            })
        };
        let carried = match carrier.soonest(content.length(), send).await {
            Ok(carried) => carried,
            Err(Uncarried::Source(error)) => return Err(error),
            Err(Uncarried::Request(RequestFailure::Transient(error))) => return Ok(Attempted::Failed(error)),
            Err(Uncarried::Request(failure)) if known.is_none() && may_need_checksum(&failure) => {
                carrier.checksums_first.store(true, Ordering::Relaxed);
                let known = content.checksum(algorithm).await;
                self.checksum = Some(known.map_err(|(at, error)| carrier.source_error(at, error))?);
                return Ok(Attempted::Again);
            }
            Err(Uncarried::Request(failure)) => return Err(carrier.error(failure)),
        };
        let Some(checksum) = checksum.or(carried.checksum) else {
            let source = "it was answered before all of it was sent".into();
            return Ok(Attempted::Failed(RequestError::BrokeOff { source }));
        };
        if carried.answer.checksum.is_some_and(|told| told != checksum) {
            return Ok(Attempted::Failed(harmed()));
        }
        attempts.brought(content.length(), content.length());
        Ok(Attempted::Answered((carried.answer, checksum)))
    }

    fn at(&self) -> At<'_> {
        At { object: self.carrier.target.address(), part: self.number, offset: self.offset }
    }

    fn range(&self) -> Option<Range<u64>> {
        Some(self.offset..self.offset + self.content.length())
    }
}

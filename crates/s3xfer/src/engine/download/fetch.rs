//! One part, from the first request to its last byte in the sink's hands, through retries and second requests.
//!
//! Dropping the future makes the SDK close or return the connection; pieces that were handed over belong to the writer.

use std::future::Future;
use std::ops::Range;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::SystemTime;

use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::expected::Expected;
use crate::doors::s3::Answer;
use crate::engine::counters::Stopwatch;
use crate::engine::session::{Ask, At, Attempted, Session};
use crate::engine::steering::{Flow, Span};
use crate::engine::write::WriteError;
use crate::rules::checksum::RunningChecksum;
use crate::rules::content_range::check_partial;
use crate::rules::floor::{TooSlow, Watch};
use crate::rules::retry::Attempts;
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::cut::Length;
use crate::words::failure::{RequestError, RequestFailure, TransferError};
use crate::words::object::ObjectRequest;

/// Asks for bytes of one object.
#[derive(Debug)]
pub(crate) struct Fetcher {
    pub(crate) session: Arc<Session>,
    pub(crate) object: ObjectRequest,
}

/// The version of the object to which a download is pinned, from the first answer.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) object_bytes: u64,
    pub(crate) e_tag: Option<String>,
    /// The version's date, where it has no ETag: seconds since 1970 and nanoseconds.
    pub(crate) last_modified: Option<(i64, u32)>,
    /// The modification time of the file from which it was uploaded, if that was kept.
    pub(crate) modified: Option<SystemTime>,
    /// Whether the server supports ranges; `None` before the first request for a range.
    pub(crate) ranged: Option<bool>,
}

/// An answer whose head has arrived, and its place among the requests in flight.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) answer: Answer,
    flow: Flow,
}

/// Takes the bytes of one part, in order.
pub(crate) trait Frames: Send {
    /// Takes the next bytes; not empty.
    fn take(&mut self, frame: Bytes) -> impl Future<Output = Result<(), FetchError>> + Send;
    /// There are no more.
    fn end(&mut self) -> impl Future<Output = Result<(), FetchError>> + Send;
}

/// Why an attempt at a part ended early.
enum AttemptError {
    Request(RequestFailure),
    Sink(FetchError),
}

/// Why a part did not come. `Stopped`: the sink has failed, and keeps the error.
#[derive(Debug)]
pub(crate) enum FetchError {
    Stopped,
    Failed(TransferError),
}

impl Fetcher {
    /// Sends the frames of the part `number` to `frames`, up to the end of its `span` at that time, and returns its
    /// checksum if the object has one to compare with. `begun` is an answer that starts with the part's first byte, if
    /// it has already arrived.
    pub(crate) async fn part(
        &self,
        (number, span): (u64, &Span),
        version: &Version,
        begun: Option<Begun>,
        expected: &Expected,
        frames: &mut impl Frames,
    ) -> Result<Option<(ChecksumAlgorithm, u64)>, FetchError> {
        let mut fetching = Fetching { fetcher: self, number, span, version, begun, expected, frames, running: None };
        self.session.persist(&mut fetching).await?;
        let running = fetching.running.flatten();
        frames.end().await?;
        Ok(running.map(|running| (running.algorithm(), running.value())))
    }

    /// One answer to a request for `asked`, to the end of the `span`.
    async fn receive(
        &self,
        mut answer: Answer,
        asked: Range<u64>,
        span: &Span,
        version: &Version,
        mut running: Option<&mut RunningChecksum>,
        frames: &mut impl Frames,
    ) -> Result<(), AttemptError> {
        let (starts_at, ends_at) = place(&answer, &asked, version)?;
        let counters = &self.session.counters;
        let mut watch = Watch::new(self.session.floor(), self.session.counters.received());
        let mut skip = asked.start - starts_at;
        let mut place = starts_at;
        while !span.left().is_empty() && place < ends_at {
            let next = tokio::select! {
                biased;
                next = self.next(&mut answer, &mut watch, place == starts_at) => next,
                () = span.stopped() => break,
            };
            let mut frame = match next {
                Some(frame) => frame.map_err(RequestFailure::Transient)?,
                None => {
                    let source = format!("it ended {} bytes early", ends_at - place).into();
                    return Err(RequestFailure::Transient(RequestError::BrokeOff { source }).into());
                }
            };
            place += frame.len() as u64;
            if place > ends_at {
                return Err(bad_response("the body is longer than its range").into());
            }
            let skipped = frame.split_to(frame.len().min(usize::try_from(skip).unwrap_or(usize::MAX)));
            skip -= skipped.len() as u64;
            self.session.limits.pace(skipped.len() as u64).await;
            frame.truncate(span.take(frame.len()));
            while !frame.is_empty() {
                let slice = self.session.limits.slice(&mut frame);
                counters.waited.bandwidth.time(self.session.limits.pace(slice.len() as u64)).await;
                if let Some(running) = &mut running {
                    running.update(&slice);
                }
                counters.hold(frames.take(slice)).await.map_err(AttemptError::Sink)?;
            }
        }
        Ok(())
    }

    async fn next(&self, answer: &mut Answer, watch: &mut Watch, first: bool) -> Option<Result<Bytes, RequestError>> {
        let is_counted = answer.body.arrived().is_some();
        let mut next = pin!(answer.body.next(self.session.config.stall_timeout()));
        let (frame, at_once) = match futures::poll!(&mut next) {
            Poll::Ready(frame) => (frame, true),
            Poll::Pending => (self.session.counters.waited.network.time(self.wait(next, watch)).await, false),
        };
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()).map_or(0, Bytes::len);
        self.session.counters.frame(bytes, first, at_once);
        if !is_counted {
            self.session.counters.arrive(bytes);
        }
        frame
    }

    /// Waits for `next`, as long as `watch` allows.
    async fn wait<F>(&self, mut next: Pin<&mut F>, watch: &mut Watch) -> Option<Result<Bytes, RequestError>>
    where
        F: Future<Output = Option<Result<Bytes, RequestError>>> + Send,
    {
        loop {
            if let Err(TooSlow { bytes_per_second, waited }) = watch.judge(self.session.counters.received()) {
                let least = self.session.config.min_bytes_per_second();
                return Some(Err(RequestError::TooSlow { bytes_per_second, seconds: waited.as_secs(), least }));
            }
            let began = Instant::now();
            let frame = match watch.left() {
                // A timer of its own only where the body's deadline comes later.
                Some(left) if left < self.session.config.stall_timeout() => timeout(left, &mut next).await.ok(),
                _ => Some(next.as_mut().await),
            };
            watch.waited(began.elapsed());
            if let Some(frame) = frame {
                return frame;
            }
        }
    }

    /// Waits for the turn of the next request if the server refuses some.
    async fn turn(&self) {
        let Session { steering, counters, .. } = &*self.session;
        counters.waited.retry.time(steering.slot()).await;
    }

    /// The head of an answer to a request for the `range` of the version with that `e_tag`.
    pub(crate) async fn get(&self, range: Option<&Range<u64>>, e_tag: Option<&str>) -> Result<Begun, RequestFailure> {
        self.turn().await;
        self.ask(range, e_tag).await
    }

    /// The same, now.
    async fn ask(&self, range: Option<&Range<u64>>, e_tag: Option<&str>) -> Result<Begun, RequestFailure> {
        let Session { steering, counters, .. } = &*self.session;
        let flow = steering.asked();
        let asked = Instant::now();
        match counters.waited.network.time(self.session.soonest(|| self.send(range, e_tag))).await {
            Ok(answer) => {
                self.session.recall(&self.object.address.bucket);
                answer.connections.into_iter().for_each(|seen| steering.connections(seen));
                Ok(Begun { answer, flow: flow.answered(asked.elapsed()) })
            }
            Err(failure) => {
                if let RequestFailure::Transient(RequestError::Unavailable { throttled: true, .. }) = &failure {
                    flow.refused();
                }
                Err(failure)
            }
        }
    }

    async fn send(&self, range: Option<&Range<u64>>, e_tag: Option<&str>) -> Result<Answer, RequestFailure> {
        let Session { store, config, counters, .. } = &*self.session;
        store
            .get(&self.object, range, e_tag, config.first_byte_timeout(), (&counters.requests, &counters.arrived))
            .await
    }

    pub(crate) fn error(&self, failure: RequestFailure, e_tag: Option<&str>) -> TransferError {
        failure.into_error(&self.object.address, e_tag)
    }
}

/// A part on its way.
struct Fetching<'a, F> {
    fetcher: &'a Fetcher,
    number: u64,
    span: &'a Span,
    version: &'a Version,
    /// An answer that has already arrived.
    begun: Option<Begun>,
    expected: &'a Expected,
    frames: &'a mut F,
    /// Known once the first answer has arrived.
    running: Option<Option<RunningChecksum>>,
}

impl<F: Frames> Ask for Fetching<'_, F> {
    type Answer = ();
    type Error = FetchError;

    async fn attempt(&mut self, attempts: &mut Attempts) -> Result<Attempted<()>, FetchError> {
        let Self { fetcher, span, version, .. } = *self;
        if span.left().is_empty() {
            return Ok(Attempted::Answered(()));
        }
        let begun = self.begun.take();
        // Its end may have been cut off since that answer was asked for.
        let asked = if begun.is_some() { span.planned() } else { span.left() };
        let begun = match begun {
            Some(begun) => Ok(begun),
            None => {
                let range = (version.ranged != Some(false)).then_some(&asked);
                let begun = async {
                    fetcher.turn().await;
                    span.asked();
                    fetcher.ask(range, version.e_tag.as_deref()).await
                };
                tokio::select! {
                    biased;
                    () = span.cut_short() => return Ok(Attempted::Answered(())),
                    begun = begun => begun,
                }
            }
        };
        if self.running.is_none() {
            self.running = Some(self.expected.algorithm().await.map(RunningChecksum::new));
        }
        let running = self.running.as_mut().and_then(Option::as_mut);
        let outcome = match begun {
            Ok(Begun { answer, flow: _flow }) => {
                span.answered(answer.body.arrived());
                fetcher.receive(answer, asked.clone(), span, version, running, self.frames).await
            }
            Err(failure) => Err(failure.into()),
        };
        let left = span.left();
        if !left.is_empty() {
            span.asks_again();
            fetcher.session.steering.planned_again();
        }
        let brought = left.start - asked.start;
        let progressed = attempts.brought(brought, asked.length());
        match outcome {
            Ok(()) if left.is_empty() => Ok(Attempted::Answered(())),
            // The answer held less than was asked for, or its connection was given up: ask for the rest.
            Ok(()) if progressed || span.is_given_up() => Ok(Attempted::Again),
            Ok(()) => {
                let source = format!("an answer of {brought} bytes").into();
                Ok(Attempted::Failed(RequestError::BrokeOff { source }))
            }
            Err(AttemptError::Request(RequestFailure::Transient(error))) => Ok(Attempted::Failed(error)),
            Err(AttemptError::Request(failure)) => {
                Err(FetchError::Failed(fetcher.error(failure, version.e_tag.as_deref())))
            }
            Err(AttemptError::Sink(error)) => Err(error),
        }
    }

    fn at(&self) -> At<'_> {
        At { object: &self.fetcher.object.address, part: self.number, offset: self.span.left().start }
    }

    fn range(&self) -> Option<Range<u64>> {
        Some(self.span.left())
    }

    async fn withdrawn(&mut self) {
        self.span.cut_short().await;
    }
}

/// Start and end of the answer's body in the object, once its version is known to be the right one.
fn place(answer: &Answer, asked: &Range<u64>, version: &Version) -> Result<(u64, u64), RequestFailure> {
    // Not every server respects If-Match.
    match (&version.e_tag, &answer.e_tag) {
        (Some(_), None) => return Err(bad_response("it has no ETag, although the first answer had one")),
        (expected, found) if expected != found => return Err(RequestFailure::Changed),
        (None, _) if answer.last_modified != version.last_modified => return Err(RequestFailure::Changed),
        _ => {}
    }
    let (start, end, object_bytes) = match &answer.content_range {
        Some(content_range) => {
            let got = check_partial(asked, content_range, answer.content_length).map_err(bad_response)?;
            (got.bytes.start, got.bytes.end, got.object_bytes)
        }
        None if version.ranged == Some(true) => {
            return Err(bad_response("the whole object in answer to a request for a range of it"));
        }
        None => match answer.content_length {
            Some(length) => (0, length, length),
            None => return Err(bad_response("no Content-Length")),
        },
    };
    if object_bytes != version.object_bytes {
        return Err(RequestFailure::Changed);
    }
    Ok((start, end))
}

pub(crate) fn bad_response(what: impl Into<String>) -> RequestFailure {
    RequestFailure::Final(RequestError::BadResponse { what: what.into() })
}

impl From<RequestFailure> for AttemptError {
    fn from(failure: RequestFailure) -> Self {
        Self::Request(failure)
    }
}

impl From<TransferError> for FetchError {
    fn from(error: TransferError) -> Self {
        Self::Failed(error)
    }
}

impl From<WriteError> for FetchError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Stopped => Self::Stopped,
            WriteError::Failed(error) => Self::Failed(error),
        }
    }
}

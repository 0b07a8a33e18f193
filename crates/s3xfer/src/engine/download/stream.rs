//! Downloads in order: parts are fetched ahead, in parallel, as far as memory allows, and handed on one after the
//! other.
//!
//! A part that is fetched ahead has memory for all its bytes before it is requested. So it ends whatever its reader
//! does, and returns its permit. The part that the reader needs next may go without memory: its frames pass one at a
//! time, at the reader's pace. So a stream always moves while it is read, however little memory is left. A stream that
//! is not read keeps the bytes that it has fetched, and at most one request.
//!
//! The end of a part cannot be given to other requests. If a part's connection is far slower than others, another
//! connection brings the rest.
//!
//! Dropping the stream aborts its tasks.

use std::convert::Infallible;
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};
use tracing::Instrument;

use super::discover::{self, First};
use super::fetch::{Begun, FetchError, Frames};
use super::order::Order;
use super::pinned::Pinned;
use crate::engine::crew::{Crew, Then, Work, propagate};
use crate::engine::limits::{LARGEST_ROOM, Reservation};
use crate::engine::lookahead::{Claim, Lookahead};
use crate::engine::spans;
use crate::engine::steering::Span;
use crate::rules::coalesce::SmallFrames;
use crate::rules::plan::Cursor;
use crate::words::action::SinkAction;
use crate::words::cut::Length;
use crate::words::failure::TransferError;
use crate::words::object::Part;
use crate::words::progress::Undone;
use crate::words::report::TransferReport;

/// An object's bytes in order: `Stream<Item = Result<Bytes, TransferError>>`. Ends after the last byte, or after an
/// error.
///
/// No request is sent before the first poll; the [`transfer_timeout`](crate::TransferConfig::transfer_timeout) begins
/// then, too. A stream can be made outside a runtime, and must be polled inside one.
#[must_use = "a stream does nothing until it is polled"]
pub struct ObjectStream {
    state: State,
    object: String,
    deadline: Option<Deadline>,
    /// `None` once the stream has ended.
    undone: Option<Undone>,
    report: Option<TransferReport>,
}

struct Deadline {
    limit: Duration,
    /// Made when it is first polled: a timer needs a runtime, which need not be there before.
    sleep: Option<Pin<Box<Sleep>>>,
}

enum State {
    Beginning(BoxFuture<'static, Result<Reading, TransferError>>),
    Reading(Box<Reading>),
    Judging(BoxFuture<'static, Result<TransferReport, TransferError>>),
    Ended,
}

/// The parts that are read while the feeder adds more.
struct Reading {
    pinned: Arc<Pinned>,
    feeder: JoinSet<()>,
    parts: mpsc::UnboundedReceiver<Ahead>,
    current: Option<Ahead>,
}

/// A part on its way, or here already.
struct Ahead {
    frames: mpsc::Receiver<Result<Held, TransferError>>,
    /// Its place among the parts that may be ahead of the reader.
    _place: OwnedSemaphorePermit,
}

/// Bytes, and the room they have.
struct Held {
    bytes: Bytes,
    _room: Option<Room>,
}

/// Room for bytes ahead of their reader.
struct Room {
    reservation: Reservation,
    claim: Claim,
}

impl Room {
    /// Takes `bytes` off, or all that is left.
    fn split(&mut self, bytes: u64) -> Self {
        Self { reservation: self.reservation.split(bytes), claim: self.claim.split(bytes) }
    }
}

impl ObjectStream {
    pub(crate) fn new(order: Order) -> Self {
        let deadline = order.shared.config.transfer_timeout().map(|limit| Deadline { limit, sleep: None });
        let span = spans::transfer("download", &order.object.address);
        Self { deadline, ..Self::without_deadline(order, span) }
    }

    fn without_deadline(order: Order, span: tracing::Span) -> Self {
        let object = order.object.address.to_string();
        let undone = Some(order.progress.undone());
        Self {
            state: State::Beginning(begin(order).instrument(span).boxed()),
            object,
            deadline: None,
            undone,
            report: None,
        }
    }

    /// The report, once the stream has ended without an error.
    #[must_use]
    pub fn report(&self) -> Option<&TransferReport> {
        self.report.as_ref()
    }

    fn end(&mut self, error: TransferError) -> Poll<Option<Result<Bytes, TransferError>>> {
        self.state = State::Ended;
        self.undone = None;
        Poll::Ready(Some(Err(error)))
    }
}

/// Passes the bytes on to a writer. The caller sets the deadline, because the stream's own is not checked while the
/// writer is slow.
pub(crate) async fn to_writer(
    order: Order,
    mut writer: impl AsyncWrite + Unpin,
) -> Result<TransferReport, TransferError> {
    let object = order.object.address.to_string();
    let mut stream = ObjectStream::without_deadline(order, tracing::Span::current());
    let mut at = 0_u64;
    let failed = |action, source| TransferError::Sink { object: object.clone(), action, source };
    while let Some(frame) = stream.next().await {
        let frame = frame?;
        let action = SinkAction::Write { bytes: frame.len() as u64, offset: at };
        writer.write_all(&frame).await.map_err(|source| failed(action, source))?;
        at += frame.len() as u64;
    }
    writer.flush().await.map_err(|source| failed(SinkAction::Flush, source))?;
    Ok(stream.report.expect("a stream that has ended without an error has a report"))
}

impl Stream for ObjectStream {
    type Item = Result<Bytes, TransferError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let (Some(deadline), false) = (&mut this.deadline, matches!(this.state, State::Ended))
            && deadline.poll(cx).is_ready()
        {
            let error = TransferError::TimedOut { object: this.object.clone(), seconds: deadline.limit.as_secs() };
            return this.end(error);
        }
        loop {
            match &mut this.state {
                State::Beginning(beginning) => match ready!(beginning.as_mut().poll(cx)) {
                    Ok(reading) => this.state = State::Reading(Box::new(reading)),
                    Err(error) => return this.end(error),
                },
                State::Reading(reading) => match ready!(reading.poll(cx)) {
                    Some(Ok(bytes)) => return Poll::Ready(Some(Ok(bytes))),
                    Some(Err(error)) => return this.end(error),
                    None => {
                        let State::Reading(reading) = std::mem::replace(&mut this.state, State::Ended) else {
                            continue;
                        };
                        this.state = State::Judging(judge(*reading).boxed());
                    }
                },
                State::Judging(judging) => match ready!(judging.as_mut().poll(cx)) {
                    Ok(report) => {
                        this.report = Some(report);
                        this.undone.take().into_iter().for_each(Undone::done);
                        this.state = State::Ended;
                    }
                    Err(error) => return this.end(error),
                },
                State::Ended => return Poll::Ready(None),
            }
        }
    }
}

impl Deadline {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.sleep.get_or_insert_with(|| Box::pin(sleep(self.limit))).as_mut().poll(cx)
    }
}

impl Reading {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, TransferError>>> {
        loop {
            let Some(current) = &mut self.current else {
                match ready!(self.parts.poll_recv(cx)) {
                    Some(next) => self.current = Some(next),
                    None => return Poll::Ready(None),
                }
                continue;
            };
            match ready!(current.frames.poll_recv(cx)) {
                Some(Ok(held)) => {
                    self.pinned.progress.add_written(held.bytes.len() as u64);
                    return Poll::Ready(Some(Ok(held.bytes)));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.current = None,
            }
        }
    }
}

async fn begin(order: Order) -> Result<Reading, TransferError> {
    let (pinned, first) = discover::begin(order).await?;
    let pinned = Arc::new(pinned);
    let (sender, parts) = mpsc::unbounded_channel();
    let mut feeder = JoinSet::new();
    feeder.spawn(feed(pinned.clone(), first, sender).in_current_span());
    Ok(Reading { pinned, feeder, parts, current: None })
}

async fn judge(mut reading: Reading) -> Result<TransferReport, TransferError> {
    // A part that panicked is the caller's to see; it would look like the end otherwise.
    while let Some(ended) = reading.feeder.join_next().await {
        ended.unwrap_or_else(propagate);
    }
    let integrity = reading.pinned.validate().await?;
    Ok(reading.pinned.report(integrity))
}

/// Starts the parts in order, each as soon as it may.
async fn feed(pinned: Arc<Pinned>, first: First, reader: mpsc::UnboundedSender<Ahead>) {
    // Twice as many as can be in flight, so that one slow part does not stop the others; a permit each.
    let ahead = if pinned.plan.in_turn() { 1 } else { pinned.fetcher.session.most_requests().saturating_mul(2) };
    let places = Arc::new(Semaphore::new(ahead as usize));
    let parts = pinned.plan.parts();
    let First { begun, permit } = first;
    let coming = Coming { pinned: pinned.clone(), parts, ahead, places, begun: Some(begun), reader };
    let jobs = futures::stream::unfold(coming, Coming::next);
    let Ok(()) = Crew::new(&pinned.fetcher.session, Some(permit)).in_parallel(&Feeder(pinned.clone()), jobs).await;
}

/// The parts that are to be fetched yet.
struct Coming {
    pinned: Arc<Pinned>,
    parts: Cursor,
    /// Parts that may be ahead of the reader, and the places that are free.
    ahead: u32,
    places: Arc<Semaphore>,
    begun: Option<Begun>,
    reader: mpsc::UnboundedSender<Ahead>,
}

/// A part that has its place, and room if it is not its turn.
struct Feeding {
    part: Part,
    begun: Option<Begun>,
    forward: Forward,
}

impl Coming {
    async fn next(mut self) -> Option<(Feeding, Self)> {
        let part = self.part()?;
        let place = self.places.clone().acquire_owned().await.expect("the semaphore is never closed");
        let bytes = part.bytes.length();
        let room = self.room(bytes).await;
        let (sender, frames) = mpsc::channel(if room.is_some() { Semaphore::MAX_PERMITS } else { 1 });
        self.reader.send(Ahead { frames, _place: place }).ok()?;
        self.pinned.fetcher.session.steering.planned(self.parts.left() == 0);
        let lookahead = self.pinned.fetcher.session.limits.lookahead().clone();
        let forward = Forward { frames: sender, room, lookahead, left: bytes, small: SmallFrames::default() };
        Some((Feeding { part, begun: self.begun.take(), forward }, self))
    }

    /// The next part; no larger than one connection brings soon, because it waits in memory until its turn.
    fn part(&mut self) -> Option<Part> {
        const MOST: u64 = 8 << 20;
        let steered = match self.begun.is_none() && !self.pinned.plan.in_turn() {
            true => self.pinned.fetcher.session.steering.part_bytes(self.parts.left()),
            false => None,
        };
        match steered {
            Some(bytes) => self.parts.next_of(bytes.min(MOST)),
            None => self.parts.next(),
        }
    }

    /// Room for a part; `None` once it is its turn.
    async fn room(&self, bytes: u64) -> Option<Room> {
        let limits = &self.pinned.fetcher.session.limits;
        let its_turn = self.places.acquire_many(self.ahead - 1);
        let never = bytes > limits.waiting_bytes().min(LARGEST_ROOM);
        if never {
            return its_turn.await.map(|_| None).expect("the semaphore is never closed");
        }
        let at_once =
            || Some(Room { reservation: limits.try_reserve(bytes)?, claim: limits.lookahead().try_claim(bytes)? });
        if let Some(room) = at_once() {
            return Some(room);
        }
        let room = async {
            let claim = limits.lookahead().claim(bytes).await;
            Room { reservation: limits.reserve(bytes).await, claim }
        };
        let (mut its_turn, mut room) = (pin!(its_turn), pin!(room));
        tokio::select! {
            room = &mut room => Some(room),
            _ = &mut its_turn => None,
        }
    }
}

/// Brings the parts to their readers.
struct Feeder(Arc<Pinned>);

impl Work for Feeder {
    type Job = Feeding;
    type Error = Infallible;

    fn start(&self, job: Feeding) -> BoxFuture<'static, Result<Then, Infallible>> {
        let pinned = self.0.clone();
        async move { Ok(job.run(&pinned).await) }.boxed()
    }

    /// There is nothing to begin beside the parts in order: nobody takes another one's end.
    fn has_more(&self) -> bool {
        self.0.fetcher.session.steering.give_up_slow();
        false
    }
}

impl Feeding {
    /// The parts before a failed one are still wanted; none behind it is.
    async fn run(mut self, pinned: &Pinned) -> Then {
        let Pinned { fetcher, version, expected, .. } = pinned;
        let span = Span::new(self.part.bytes.clone());
        // Without room, it is its reader that may be slow.
        let _shared = self.forward.room.is_some().then(|| fetcher.session.steering.share(&span));
        let part = (self.part.number, &*span);
        match fetcher.part(part, version, self.begun.take(), expected, &mut self.forward).await {
            Ok(checksum) => {
                pinned.add(&self.part, checksum);
                Then::Next
            }
            Err(FetchError::Failed(error)) => {
                // Without a receiver the stream is gone.
                let _ = self.forward.end().await;
                let _ = self.forward.frames.send(Err(error)).await;
                Then::Last
            }
            Err(FetchError::Stopped) => Then::Last,
        }
    }
}

/// Hands the frames of a part to the reader.
struct Forward {
    frames: mpsc::Sender<Result<Held, TransferError>>,
    /// For the whole part, unless it is its turn anyway.
    room: Option<Room>,
    lookahead: Arc<Lookahead>,
    /// Bytes that are still to come.
    left: u64,
    /// While the reader is behind: a great many frames of a few bytes each would take more room than there is.
    small: SmallFrames,
}

impl Frames for Forward {
    async fn take(&mut self, frame: Bytes) -> Result<(), FetchError> {
        let gathers = self.room.is_some() && self.frames.capacity() < self.frames.max_capacity();
        if !gathers || !self.small.wants(&frame) {
            self.end().await?;
        }
        match gathers && self.small.wants(&frame) {
            true => self.small.take(&frame),
            false => self.send(frame).await?,
        }
        Ok(())
    }

    async fn end(&mut self) -> Result<(), FetchError> {
        match self.small.together() {
            Some(frame) => self.send(frame).await,
            None => Ok(()),
        }
    }
}

impl Forward {
    async fn send(&mut self, frame: Bytes) -> Result<(), FetchError> {
        let room = self.room.as_mut().map(|room| room.split(frame.len() as u64));
        self.left = self.left.saturating_sub(frame.len() as u64);
        let alone = room.is_none() && self.left > 0;
        let held = Held { bytes: frame, _room: room };
        let _unread = alone.then(|| self.lookahead.unread());
        self.frames.send(Ok(held)).await.map_err(|_| FetchError::Stopped)?;
        match alone {
            // The request has room for one frame: the next one is read when the reader has this one.
            true => self.frames.reserve().await.map(drop).map_err(|_| FetchError::Stopped),
            false => Ok(()),
        }
    }
}

impl fmt::Debug for ObjectStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStream").field("object", &self.object).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::limits::Limits;
    use crate::words::config::TransferConfig;

    fn forward(capacity: usize, room: Option<Room>) -> (Forward, mpsc::Receiver<Result<Held, TransferError>>) {
        let (frames, received) = mpsc::channel(capacity);
        (
            Forward { frames, room, lookahead: Lookahead::new(0, 1), left: 1 << 20, small: SmallFrames::default() },
            received,
        )
    }

    #[tokio::test]
    async fn small_frames_wait_together_and_pass_alone_while_the_reader_waits() {
        let limits = Limits::new(&TransferConfig::builder().memory_limit(4 << 20).max_concurrency(1).build().unwrap());
        let (mut forward, mut frames) = forward(
            Semaphore::MAX_PERMITS,
            Some(Room {
                reservation: limits.try_reserve(1 << 20).unwrap(),
                claim: limits.lookahead().try_claim(1 << 20).unwrap(),
            }),
        );
        for first in [b"a", b"b"] {
            forward.take(Bytes::from_static(first)).await.unwrap();
            assert_eq!(frames.recv().await.unwrap().unwrap().bytes, &first[..]);
        }
        for n in 0..100_000_u32 {
            forward.take(Bytes::copy_from_slice(&[n as u8])).await.unwrap();
        }
        forward.take(Bytes::from(vec![7; 10_000])).await.unwrap();
        assert_eq!(frames.len(), 1 + 99_999_usize.div_ceil(16 << 10) + 1);
        let mut bytes = Vec::new();
        while let Ok(Ok(held)) = frames.try_recv() {
            assert_eq!(held._room.unwrap().reservation.bytes(), held.bytes.len() as u64);
            bytes.extend_from_slice(&held.bytes);
        }
        let small = (0..100_000_u32).map(|n| n as u8);
        assert!(bytes.into_iter().eq(small.chain(vec![7; 10_000])));
    }

    #[tokio::test]
    async fn without_room_there_is_one_frame_until_the_reader_has_it() {
        let (mut forward, mut frames) = forward(1, None);
        let mut taking = Box::pin(forward.take(Bytes::from_static(b"one")));
        assert!(futures::poll!(&mut taking).is_pending(), "the next one would be read");
        assert_eq!(frames.recv().await.unwrap().unwrap().bytes, "one");
        taking.await.unwrap();
        // The last one needs no reader, so that its request is free.
        forward.left = 3;
        forward.take(Bytes::from_static(b"end")).await.unwrap();
    }
}

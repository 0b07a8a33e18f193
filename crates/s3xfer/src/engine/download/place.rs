//! Downloads into a sink with positions: all parts at once, in any order.
//!
//! Dropping the future aborts the part tasks; the owner of the sink discards its bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::poll_fn;

use super::discover::{First, begin, begin_in_turn};
use super::fetch::{Begun, FetchError};
use super::order::Order;
use super::pieces::Pieces;
use super::pinned::Pinned;
use crate::doors::blocking;
use crate::doors::journal::Journal;
use crate::engine::crew::{Crew, Then, Work};
use crate::engine::sink::{Segments, Sink};
use crate::engine::steering::Span;
use crate::engine::write::Writer;
use crate::rules::plan::Cursor;
use crate::words::checkpoint::PartWritten;
use crate::words::cut::Length;
use crate::words::failure::TransferError;
use crate::words::object::Part;
use crate::words::report::TransferReport;
use crate::words::sink::WriteAt;

pub(crate) async fn to_nowhere(order: Order) -> Result<TransferReport, TransferError> {
    let (pinned, first) = begin_in_turn(order).await?;
    place(pinned, Some(first), Sink::Nothing, None).await
}

pub(crate) async fn to_sink(order: Order, sink: impl WriteAt) -> Result<TransferReport, TransferError> {
    let object = Arc::new(order.object.address.clone());
    let (pinned, first) = begin(order).await?;
    place(pinned, Some(first), Sink::Custom { sink: Arc::new(sink), object }, None).await
}

pub(crate) async fn to_memory(order: Order) -> Result<(Bytes, TransferReport), TransferError> {
    let (mut pinned, first) = begin_in_turn(order).await?;
    let limits = pinned.fetcher.session.limits.clone();
    let (bytes, room) = (pinned.plan.bytes().length(), limits.waiting_bytes());
    if bytes > room {
        let object = pinned.fetcher.object.address.to_string();
        return Err(TransferError::TooLarge { object, bytes, room });
    }
    // Every frame goes to its place at once, so that nothing else is to be admitted.
    let (_room, first) = match limits.try_reserve(bytes) {
        Some(room) => (vec![room], Some(first)),
        None => {
            // Waited for without a permit and a turn, because the room's owner may need them to finish.
            drop((first, pinned.turn.take()));
            (limits.reserve_all(bytes).await, None)
        }
    };
    let segments = Segments::new(bytes);
    let report = place(pinned, first, Sink::Memory(segments.clone()), None).await?;
    Ok((segments.take(), report))
}

/// Fetches the missing parts into `sink`, recording each in the `journal`, and judges the whole.
pub(crate) async fn place(
    pinned: Pinned,
    first: Option<First>,
    sink: Sink,
    journal: Option<Arc<Journal>>,
) -> Result<TransferReport, TransferError> {
    let config = &pinned.fetcher.session.config;
    let threads = config.use_threads();
    let writer = Writer::new(sink.clone(), config, pinned.progress.clone());
    let bytes = pinned.plan.bytes().length();
    // Takes as long as the sink likes.
    match threads && pinned.plan.len() > 1 {
        true => blocking::run(move || sink.reserve(bytes)).await?,
        false => sink.reserve(bytes)?,
    }
    let in_parallel = threads && !pinned.plan.in_turn();
    let cursor = pinned.parts();
    pinned.fetcher.session.steering.wants(cursor.left());
    let cursor = Mutex::new(cursor);
    let placing = Arc::new(Placing { pinned, writer, journal, in_parallel, cursor });
    let fetched = placing.clone().run(first).await;
    match fetched {
        Err(FetchError::Failed(error)) => return Err(error),
        // A stopped writer keeps its error, and a running one may still fail.
        Err(FetchError::Stopped) | Ok(()) => placing.writer.finish().await?,
    }
    if let Some(turn) = &placing.pinned.turn {
        turn.brought(placing.pinned.fetcher.session.counters.seen());
    }
    let integrity = placing.pinned.validate().await?;
    Ok(TransferReport {
        peak_io_queue: placing.writer.peak(),
        writes: placing.writer.writes(),
        largest_write_bytes: placing.writer.largest_write_bytes(),
        ..placing.pinned.report(integrity)
    })
}

struct Placing {
    pinned: Pinned,
    writer: Writer,
    journal: Option<Arc<Journal>>,
    in_parallel: bool,
    /// The parts that have not begun yet.
    cursor: Mutex<Cursor>,
}

impl Placing {
    /// As many parts at a time as there are permits, or one after the other.
    async fn run(self: Arc<Self>, first: Option<First>) -> Result<(), FetchError> {
        let session = &self.pinned.fetcher.session;
        let (mut begun, permit) = first.map_or((None, None), |first| (Some(first.begun), Some(first.permit)));
        let placing = self.clone();
        let mut next = move || {
            let begun = begun.take();
            Some((placing.next(begun.is_some())?, begun))
        };
        let crew = Crew::new(session, permit);
        match self.in_parallel {
            true => crew.in_parallel(&self, poll_fn(|_| Poll::Ready(next()))).await,
            false => crew.in_turn(&self, std::iter::from_fn(next)).await,
        }
    }

    /// The next part. It is as planned if a request for it is already in flight, or if parts are fetched one after
    /// another.
    fn next(&self, as_planned: bool) -> Option<Part> {
        let steering = &self.pinned.fetcher.session.steering;
        let mut cursor = self.cursor();
        let most = (!as_planned && self.in_parallel).then(|| steering.part_bytes(cursor.left())).flatten();
        let part = match most {
            Some(bytes) => cursor.next_of(bytes),
            None => cursor.next(),
        };
        steering.planned(cursor.left() == 0);
        part
    }

    async fn part(&self, part: &Part, begun: Option<Begun>) -> Result<(), FetchError> {
        let Pinned { fetcher, version, plan, expected, .. } = &self.pinned;
        let offset = part.bytes.start - plan.bytes().start;
        let io_chunksize = fetcher.session.config.io_chunksize();
        let mut pieces = Pieces::new(self.writer.clone(), fetcher.session.limits.clone(), offset, io_chunksize);
        let span = Span::new(part.bytes.clone());
        if begun.is_some() {
            span.asked();
        }
        let shared = self.in_parallel.then(|| fetcher.session.steering.share(&span));
        let checksum = fetcher.part((part.number, &span), version, begun, expected, &mut pieces).await?;
        drop(shared);
        let part = &Part { number: part.number, bytes: span.bytes() };
        // It was cut off before its first byte, and all its bytes are other parts' now.
        if part.bytes.is_empty() {
            return Ok(());
        }
        if let Some(journal) = &self.journal {
            self.writer.settled().await?;
            let (start, end) = (offset, offset + part.bytes.length());
            let crc = checksum.map(|(_, value)| value);
            let written = PartWritten { number: part.number, start, end, crc };
            journal.part_written(written).map_err(FetchError::Failed)?;
        }
        self.pinned.add(part, checksum);
        Ok(())
    }
}

impl Placing {
    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Work for Arc<Placing> {
    type Job = (Part, Option<Begun>);
    type Error = FetchError;

    fn start(&self, (part, begun): Self::Job) -> BoxFuture<'static, Result<Then, FetchError>> {
        let placing = self.clone();
        async move { placing.part(&part, begun).await.map(|()| Then::Next) }.boxed()
    }

    fn has_more(&self) -> bool {
        let steering = &self.pinned.fetcher.session.steering;
        let mut cursor = self.cursor();
        while let Some((bytes, part_bytes)) = steering.cut_off(cursor.left()) {
            cursor.give_back(bytes, part_bytes);
        }
        for (bytes, part_bytes) in steering.merge(cursor.left()) {
            cursor.give_back(bytes, part_bytes);
        }
        cursor.left() > 0
    }

    /// The kernel reports a device's failure only once, to one caller.
    fn aside(&self) -> Option<BoxFuture<'static, Result<(), FetchError>>> {
        let journal = self.journal.clone().filter(|journal| journal.wants_sync())?;
        let in_parallel = self.in_parallel;
        let synced = async move {
            match in_parallel {
                true => blocking::run(move || journal.sync()).await,
                false => journal.sync(),
            }
        };
        Some(synced.map(|synced| synced.map_err(FetchError::Failed)).boxed())
    }

    async fn stopped(&self) -> FetchError {
        self.writer.stopped().await;
        FetchError::Stopped
    }
}

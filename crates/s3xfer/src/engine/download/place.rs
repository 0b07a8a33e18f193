//! Downloads into a sink with positions: all parts at once, in any order.
//!
//! Dropped at any await, the part tasks are aborted; what the sink has by then is its owner's to throw away.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::discover::{First, begin, begin_in_turn};
use super::fetch::FetchError;
use super::order::Order;
use super::pieces::Pieces;
use super::pinned::Pinned;
use crate::doors::blocking;
use crate::doors::journal::Journal;
use crate::doors::s3::Answer;
use crate::engine::crew::{Crew, Then, Work};
use crate::engine::sink::{Segments, Sink};
use crate::engine::write::Writer;
use crate::rules::concurrency::Concurrency;
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
            // Waited for without a permit and a turn, which whoever has the room may need to get done.
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
    let placing = Arc::new(Placing { pinned, writer, journal, in_parallel });
    let fetched = placing.clone().run(first).await;
    match fetched {
        Err(FetchError::Failed(error)) => return Err(error),
        // A writer that stopped keeps the error, and one that did not may still meet one.
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
}

impl Placing {
    /// As many parts at a time as there are permits, or one after the other.
    async fn run(self: Arc<Self>, first: Option<First>) -> Result<(), FetchError> {
        let session = &self.pinned.fetcher.session;
        let (mut begun, permit) = first.map_or((None, None), |first| (Some(first.answer), Some(first.permit)));
        let jobs = self.pinned.parts().map(move |part| (part, begun.take()));
        let crew = Crew::new(session, permit);
        if !self.in_parallel {
            return crew.in_turn(&self, jobs).await;
        }
        let adaptive = session.config.adaptive_concurrency();
        let rule = adaptive.then(|| Concurrency::new(session.most_requests()));
        crew.in_parallel(&self, futures::stream::iter(jobs), rule).await
    }

    async fn part(&self, part: &Part, begun: Option<Answer>) -> Result<(), FetchError> {
        let Pinned { fetcher, version, plan, expected, .. } = &self.pinned;
        let offset = part.bytes.start - plan.bytes().start;
        let io_chunksize = fetcher.session.config.io_chunksize();
        let mut pieces = Pieces::new(self.writer.clone(), fetcher.session.limits.clone(), offset, io_chunksize);
        let checksum = fetcher.part(part, version, begun, expected, &mut pieces).await?;
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

impl Work for Arc<Placing> {
    type Job = (Part, Option<Answer>);
    type Error = FetchError;

    fn start(&self, (part, begun): Self::Job) -> BoxFuture<'static, Result<Then, FetchError>> {
        let placing = self.clone();
        async move { placing.part(&part, begun).await.map(|()| Then::Next) }.boxed()
    }

    /// The kernel tells a device's failure once, and to nobody else.
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

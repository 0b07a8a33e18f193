//! Downloads into a sink with positions: all parts at once, in any order.
//!
//! Dropped at any await, the part tasks are aborted; what the sink has by then is its owner's to throw away.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use super::discover::{First, begin, begin_in_turn};
use super::fetch::{FetchError, Fetcher};
use super::order::Order;
use super::pieces::Pieces;
use super::pinned::{Pinned, propagate};
use crate::doors::blocking;
use crate::doors::journal::Journal;
use crate::doors::s3::Answer;
use crate::engine::limits::RequestPermit;
use crate::engine::session::Session;
use crate::engine::sink::{Segments, Sink};
use crate::engine::write::Writer;
use crate::rules::concurrency::Concurrency;
use crate::words::failure::DownloadError;
use crate::words::object::Part;
use crate::words::report::TransferReport;
use crate::words::sink::WriteAt;

pub(crate) async fn to_nowhere(order: Order) -> Result<TransferReport, DownloadError> {
    let (pinned, first) = begin_in_turn(order).await?;
    place(pinned, Some(first), Sink::Nothing, None).await
}

pub(crate) async fn to_sink(order: Order, sink: impl WriteAt) -> Result<TransferReport, DownloadError> {
    let object = Arc::new(order.object.address.clone());
    let (pinned, first) = begin(order).await?;
    place(pinned, Some(first), Sink::Custom { sink: Arc::new(sink), object }, None).await
}

pub(crate) async fn to_memory(order: Order) -> Result<(Bytes, TransferReport), DownloadError> {
    let (mut pinned, first) = begin_in_turn(order).await?;
    let limits = pinned.fetcher.session.limits.clone();
    let (bytes, room) = (pinned.plan.bytes().end - pinned.plan.bytes().start, limits.waiting_bytes());
    if bytes > room {
        let object = pinned.fetcher.object.address.to_string();
        return Err(DownloadError::TooLarge { object, bytes, room });
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
    let segments = Segments::new(&pinned.plan);
    let report = place(pinned, first, Sink::Memory(segments.clone()), None).await?;
    Ok((segments.take(), report))
}

/// Fetches the missing parts into `sink`, recording each in the `journal`, and judges the whole.
pub(crate) async fn place(
    pinned: Pinned,
    first: Option<First>,
    sink: Sink,
    journal: Option<Arc<Journal>>,
) -> Result<TransferReport, DownloadError> {
    let config = &pinned.fetcher.session.config;
    let threads = config.use_threads();
    let writer = Writer::new(sink.clone(), config, pinned.progress.clone());
    let bytes = pinned.plan.bytes().end - pinned.plan.bytes().start;
    // Takes as long as the sink likes.
    match threads && pinned.plan.len() > 1 {
        true => blocking::run(move || sink.reserve(bytes)).await?,
        false => sink.reserve(bytes)?,
    }
    let placing = Arc::new(Placing { pinned, writer, journal });
    let fetched = match threads && !placing.pinned.plan.in_turn() {
        true => placing.in_parallel(first).await,
        false => placing.in_turn(first).await,
    };
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
}

impl Placing {
    /// As many parts at a time as there are permits.
    async fn in_parallel(self: &Arc<Self>, first: Option<First>) -> Result<(), FetchError> {
        let mut parts = self.pinned.parts();
        let mut running = JoinSet::new();
        // At most one at a time. Apart from the parts, for it takes no request's place.
        let mut syncing: JoinSet<Result<(), DownloadError>> = JoinSet::new();
        let mut next = parts.next();
        if let Some(First { answer, permit }) = first
            && let Some(part) = next.take()
        {
            self.spawn(&mut running, part, Some(answer), permit);
            next = parts.next();
        }
        // Kept from one turn to the next, for it holds this transfer's place among those that wait. Never polled when
        // there is nothing to fetch: a permit that is granted and not taken would be missing to the others.
        let mut permit = pin!(self.pinned.fetcher.session.limits.permit());
        let mut stopped = pin!(self.writer.stopped());
        let Fetcher { session: Session { config, limits, counters, .. }, .. } = &*self.pinned.fetcher;
        let mut concurrency = config.adaptive_concurrency().then(|| Concurrency::new(limits.requests()));
        loop {
            let more = next.is_some()
                && concurrency.as_ref().is_none_or(|concurrency| running.len() < concurrency.target() as usize);
            let opening = next.is_some() && concurrency.as_ref().is_some_and(Concurrency::is_opening);
            tokio::select! {
                granted = &mut permit, if more => {
                    permit.set(self.pinned.fetcher.session.limits.permit());
                    if let Some(part) = next.take() {
                        self.spawn(&mut running, part, None, granted);
                        next = parts.next();
                    }
                }
                () = counters.another_answer(), if opening => {
                    if let Some(concurrency) = &mut concurrency {
                        concurrency.answered(counters.seen());
                    }
                }
                // The network side ends with the sink, not with the next byte that arrives.
                () = &mut stopped, if !running.is_empty() => return Err(FetchError::Stopped),
                Some(done) = running.join_next() => {
                    done.unwrap_or_else(propagate)?;
                    if let Some(concurrency) = &mut concurrency {
                        concurrency.part_done(counters.seen());
                    }
                    if let Some(journal) = self.journal.clone().filter(|journal| journal.wants_sync()) {
                        syncing.spawn(blocking::run(move || journal.sync()));
                    }
                }
                // The kernel tells a device's failure once, and to nobody else.
                Some(synced) = syncing.join_next() => synced.unwrap_or_else(propagate).map_err(FetchError::Failed)?,
                else => return Ok(()),
            }
        }
    }

    fn spawn(
        self: &Arc<Self>,
        running: &mut JoinSet<Result<(), FetchError>>,
        part: Part,
        begun: Option<Answer>,
        permit: RequestPermit,
    ) {
        let placing = self.clone();
        running.spawn(async move {
            let _permit = permit;
            placing.part(&part, begun).await
        });
    }

    /// One part after the other, on the caller's task.
    async fn in_turn(&self, first: Option<First>) -> Result<(), FetchError> {
        let (mut begun, mut permit) = first.map_or((None, None), |first| (Some(first.answer), Some(first.permit)));
        for part in self.pinned.parts() {
            let _permit = match permit.take() {
                Some(permit) => permit,
                None => self.pinned.fetcher.session.limits.permit().await,
            };
            self.part(&part, begun.take()).await?;
            if let Some(journal) = self.journal.as_ref().filter(|journal| journal.wants_sync()) {
                journal.sync().map_err(FetchError::Failed)?;
            }
        }
        Ok(())
    }

    async fn part(&self, part: &Part, begun: Option<Answer>) -> Result<(), FetchError> {
        let Pinned { fetcher, version, plan, expected, .. } = &self.pinned;
        let _in_flight = fetcher.session.counters.in_flight();
        let offset = part.bytes.start - plan.bytes().start;
        let io_chunksize = fetcher.session.config.io_chunksize();
        let mut pieces = Pieces::new(self.writer.clone(), fetcher.session.limits.clone(), offset, io_chunksize);
        let checksum = fetcher.part(part, version, begun, expected, &mut pieces).await?;
        if let Some(journal) = &self.journal {
            self.writer.settled().await?;
            journal.part_written(part.number, checksum.map(|(_, value)| value)).map_err(FetchError::Failed)?;
        }
        self.pinned.add(part, checksum);
        Ok(())
    }
}

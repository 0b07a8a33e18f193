//! Downloads into a sink with positions: all parts at once, in any order.
//!
//! Dropped at any await, the part tasks are aborted; what the sink has by then is its owner's to throw away.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::doors::blocking;
use crate::doors::journal::Journal;
use crate::doors::s3::Answer;
use crate::engine::download::Download;
use crate::engine::fetch::{FetchError, Fetcher};
use crate::engine::limits::RequestPermit;
use crate::engine::pieces::Pieces;
use crate::engine::sink::{Segments, Sink};
use crate::engine::transfer::{First, Transfer, in_time, propagate};
use crate::engine::write::Writer;
use crate::rules::concurrency::Concurrency;
use crate::words::failure::DownloadError;
use crate::words::object::Part;
use crate::words::report::TransferReport;
use crate::words::sink::WriteAt;

pub(crate) async fn to_nowhere(download: Download) -> Result<TransferReport, DownloadError> {
    let (limit, object) = (download.client.config.transfer_timeout(), download.object.address.clone());
    in_time(limit, &object, async {
        let (transfer, first) = Transfer::begin_in_turn(download).await?;
        place(transfer, Some(first), Sink::Nothing, None).await
    })
    .await
}

pub(crate) async fn to_sink(download: Download, sink: impl WriteAt) -> Result<TransferReport, DownloadError> {
    let (limit, object) = (download.client.config.transfer_timeout(), Arc::new(download.object.address.clone()));
    in_time(limit, &object, async {
        let (transfer, first) = Transfer::begin(download).await?;
        let sink = Sink::Custom { sink: Arc::new(sink), object: object.clone() };
        place(transfer, Some(first), sink, None).await
    })
    .await
}

pub(crate) async fn to_memory(download: Download) -> Result<(Bytes, TransferReport), DownloadError> {
    let (limit, object) = (download.client.config.transfer_timeout(), download.object.address.clone());
    in_time(limit, &object, async {
        let (mut transfer, first) = Transfer::begin_in_turn(download).await?;
        let limits = transfer.fetcher.limits.clone();
        let (bytes, room) = (transfer.plan.bytes().end - transfer.plan.bytes().start, limits.waiting_bytes());
        if bytes > room {
            return Err(DownloadError::TooLarge { object: object.to_string(), bytes, room });
        }
        // Every frame goes to its place at once, so that nothing else is to be admitted.
        let (_room, first) = match limits.try_reserve(bytes) {
            Some(room) => (vec![room], Some(first)),
            None => {
                // Waited for without a permit and a turn, which whoever has the room may need to get done.
                drop((first, transfer.turn.take()));
                (limits.reserve_all(bytes).await, None)
            }
        };
        let segments = Segments::new(&transfer.plan);
        let report = place(transfer, first, Sink::Memory(segments.clone()), None).await?;
        Ok((segments.take(), report))
    })
    .await
}

/// Fetches the missing parts into `sink`, recording each in the `journal`, and judges the whole.
pub(crate) async fn place(
    transfer: Transfer,
    first: Option<First>,
    sink: Sink,
    journal: Option<Arc<Journal>>,
) -> Result<TransferReport, DownloadError> {
    let config = &transfer.fetcher.config;
    let threads = config.use_threads();
    let writer = Writer::new(sink.clone(), config, transfer.progress.clone());
    let bytes = transfer.plan.bytes().end - transfer.plan.bytes().start;
    // Takes as long as the sink likes.
    match threads && transfer.plan.len() > 1 {
        true => blocking::run(move || sink.reserve(bytes)).await?,
        false => sink.reserve(bytes)?,
    }
    let placing = Arc::new(Placing { transfer, writer, journal });
    let fetched = match threads && !placing.transfer.plan.in_turn() {
        true => placing.in_parallel(first).await,
        false => placing.in_turn(first).await,
    };
    match fetched {
        Err(FetchError::Failed(error)) => return Err(error),
        // A writer that stopped keeps the error, and one that did not may still meet one.
        Err(FetchError::Stopped) | Ok(()) => placing.writer.finish().await?,
    }
    if let Some(turn) = &placing.transfer.turn {
        turn.brought(placing.transfer.fetcher.counters.seen());
    }
    let integrity = placing.transfer.validate().await?;
    Ok(TransferReport {
        peak_io_queue: placing.writer.peak(),
        writes: placing.writer.writes(),
        largest_write_bytes: placing.writer.largest_write_bytes(),
        ..placing.transfer.report(integrity)
    })
}

struct Placing {
    transfer: Transfer,
    writer: Writer,
    journal: Option<Arc<Journal>>,
}

impl Placing {
    /// As many parts at a time as there are permits.
    async fn in_parallel(self: &Arc<Self>, first: Option<First>) -> Result<(), FetchError> {
        let mut parts = self.transfer.parts();
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
        let mut permit = pin!(self.transfer.fetcher.limits.permit());
        let mut stopped = pin!(self.writer.stopped());
        let Fetcher { config, limits, counters, .. } = &*self.transfer.fetcher;
        let mut concurrency = config.adaptive_concurrency().then(|| Concurrency::new(limits.requests()));
        loop {
            let more = next.is_some()
                && concurrency.as_ref().is_none_or(|concurrency| running.len() < concurrency.target() as usize);
            let opening = next.is_some() && concurrency.as_ref().is_some_and(Concurrency::is_opening);
            tokio::select! {
                granted = &mut permit, if more => {
                    permit.set(self.transfer.fetcher.limits.permit());
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
        for part in self.transfer.parts() {
            let _permit = match permit.take() {
                Some(permit) => permit,
                None => self.transfer.fetcher.limits.permit().await,
            };
            self.part(&part, begun.take()).await?;
            if let Some(journal) = self.journal.as_ref().filter(|journal| journal.wants_sync()) {
                journal.sync().map_err(FetchError::Failed)?;
            }
        }
        Ok(())
    }

    async fn part(&self, part: &Part, begun: Option<Answer>) -> Result<(), FetchError> {
        let Transfer { fetcher, version, plan, expected, .. } = &self.transfer;
        let _in_flight = fetcher.counters.in_flight();
        let offset = part.bytes.start - plan.bytes().start;
        let io_chunksize = fetcher.config.io_chunksize();
        let mut pieces = Pieces::new(self.writer.clone(), fetcher.limits.clone(), offset, io_chunksize);
        let checksum = fetcher.part(part, version, begun, expected, &mut pieces).await?;
        if let Some(journal) = &self.journal {
            self.writer.settled().await?;
            journal.part_written(part.number, checksum.map(|(_, value)| value)).map_err(FetchError::Failed)?;
        }
        self.transfer.add(part, checksum);
        Ok(())
    }
}

//! Uploads of streams whose length nobody knows: parts are collected in memory, and sent while the next one is.
//!
//! Dropped at any await, see [`multipart`](super::multipart) and [`ending`](super::ending); the stream is dropped, too.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream, unfold};
use futures::{FutureExt, StreamExt};

use super::content::{Content, Counters};
use super::ending::Ended;
use super::known::{put, report};
use super::multipart::{self, Job, Start};
use super::part::{Carrier, name};
use crate::rules::parts::{MOST_PARTS, Wanted};
use crate::words::action::{Lacking, SourceAction};
use crate::words::failure::TransferError;
use crate::words::progress::Share;
use crate::words::report::TransferReport;

/// Smaller pieces are put together: each would cost more memory than it has bytes, and may pin a buffer that is larger.
const SMALL: usize = 32 << 10;

pub(crate) async fn run(
    carrier: &Arc<Carrier>,
    stream: BoxStream<'static, io::Result<Bytes>>,
    (wanted, object_bytes): (Wanted, Option<u64>),
    progress: Share,
) -> Result<TransferReport, TransferError> {
    if let Some(bytes) = object_bytes {
        progress.set_total(bytes);
    }
    let wanted = match object_bytes.and_then(|bytes| wanted.part_bytes(bytes)) {
        // As large as the stream needs, no larger where it needs no more.
        Some(part_bytes) => Wanted { chunk_bytes: part_bytes, is_bound: false, ..wanted },
        None => wanted,
    };
    let (limits, needs) = (&carrier.session.limits, Arc::new(Needs::default()));
    let part_bytes = wanted.next_part_bytes(0, limits.waiting_bytes()).unwrap_or(0);
    let _leave = limits.lookahead().leave(part_bytes);
    let within = carrier.session.config.stall_timeout();
    let starves = limits.lookahead().starves(part_bytes, within, || needs.lacking()).map(|lacking| {
        let object = carrier.target.address().to_string();
        TransferError::HeldByStreams { object, lacking, seconds: within.as_secs() }
    });
    let mut starves = pin!(starves);
    let mut collector = Collector {
        carrier: carrier.clone(),
        stream: Some(stream),
        left: Bytes::new(),
        wanted,
        number: 0,
        offset: 0,
        needs: needs.clone(),
    };
    let counters = Counters::new(progress.clone());
    let first = tokio::select! {
        biased;
        first = collector.next() => first.transpose()?,
        error = &mut starves => return Err(error),
    };
    let first = first.unwrap_or_else(|| Job { number: 0, offset: 0, content: Content::given(Bytes::new()) });
    if collector.stream.is_none() && collector.left.is_empty() {
        progress.set_total(collector.offset);
        let object = tokio::select! {
            biased;
            object = put(carrier, first.content, counters.of(0)) => object?,
            error = &mut starves => return Err(error),
        };
        return report(carrier, object);
    }
    let rest = unfold(collector, |mut collector| async move {
        let job = collector.next().await?;
        Some((job, collector))
    });
    let jobs = stream::once(async { Ok(first) }).chain(rest);
    let counted = {
        let (counters, needs) = (counters.clone(), needs.clone());
        move |number| {
            needs.begun.fetch_add(1, Ordering::Relaxed);
            counters.of(number)
        }
    };
    let made =
        multipart::upload(carrier, counted, Start::anew(&carrier.target), jobs, (async { Ok(()) }, starves)).await;
    let object = made.map_err(Ended::into_error)?;
    progress.set_total(object.bytes);
    report(carrier, object)
}

/// The things that an upload waits for.
#[derive(Debug, Default)]
struct Needs {
    waits_for_room: AtomicBool,
    /// Parts that were made, and those of them that have had a request.
    collected: AtomicU64,
    begun: AtomicU64,
}

impl Needs {
    fn lacking(&self) -> Option<Lacking> {
        match self.collected.load(Ordering::Relaxed) > self.begun.load(Ordering::Relaxed) {
            true => Some(Lacking::Requests),
            false => self.waits_for_room.load(Ordering::Relaxed).then_some(Lacking::Memory),
        }
    }
}

/// Puts parts together.
struct Collector {
    needs: Arc<Needs>,
    carrier: Arc<Carrier>,
    /// `None` once it has ended.
    stream: Option<BoxStream<'static, io::Result<Bytes>>>,
    /// Came with the part before.
    left: Bytes,
    wanted: Wanted,
    number: u64,
    offset: u64,
}

impl Collector {
    /// The next part; not empty. `None` at the stream's end, and behind an error.
    async fn next(&mut self) -> Option<Result<Job, TransferError>> {
        if self.stream.is_none() && self.left.is_empty() {
            return None;
        }
        let part = self.part().await;
        if part.is_err() {
            (self.stream, self.left) = (None, Bytes::new());
        }
        part.transpose()
    }

    async fn part(&mut self) -> Result<Option<Job>, TransferError> {
        let limits = self.carrier.session.limits.clone();
        let part_bytes = self.part_bytes(limits.waiting_bytes())?;
        self.needs.waits_for_room.store(true, Ordering::Relaxed);
        let rooms = limits.reserve_all(part_bytes).await;
        self.needs.waits_for_room.store(false, Ordering::Relaxed);
        let (mut chunks, mut small, mut bytes) = (Vec::new(), BytesMut::new(), 0);
        while bytes < part_bytes {
            if self.left.is_empty() {
                let Some(stream) = &mut self.stream else { break };
                match stream.next().await {
                    Some(Ok(next)) => self.left = next,
                    Some(Err(source)) => {
                        let action = SourceAction::Read { offset: self.offset + bytes };
                        let from = name(self.carrier.path.as_deref());
                        return Err(TransferError::Source { from, action, source });
                    }
                    None => self.stream = None,
                }
                continue;
            }
            let room = usize::try_from(part_bytes - bytes).unwrap_or(usize::MAX);
            let piece = self.left.split_to(self.left.len().min(room));
            bytes += piece.len() as u64;
            if piece.len() < SMALL {
                small.extend_from_slice(&piece);
                if small.len() >= SMALL {
                    chunks.push(small.split().freeze());
                }
                continue;
            }
            if !small.is_empty() {
                chunks.push(small.split().freeze());
            }
            chunks.push(piece);
        }
        if !small.is_empty() {
            chunks.push(small.freeze());
        }
        if bytes == 0 {
            return Ok(None);
        }
        // The bytes behind decide whether this is the last part.
        while self.left.is_empty()
            && let Some(stream) = &mut self.stream
        {
            match stream.next().await {
                Some(Ok(next)) => self.left = next,
                Some(Err(source)) => {
                    let action = SourceAction::Read { offset: self.offset + bytes };
                    let from = name(self.carrier.path.as_deref());
                    return Err(TransferError::Source { from, action, source });
                }
                None => self.stream = None,
            }
        }
        let (number, offset) = (self.number, self.offset);
        self.number += 1;
        self.offset += bytes;
        self.needs.collected.fetch_add(1, Ordering::Relaxed);
        Ok(Some(Job { number, offset, content: Content::collected(chunks, rooms) }))
    }

    fn part_bytes(&self, room: u64) -> Result<u64, TransferError> {
        if let Some(part_bytes) = self.wanted.next_part_bytes(self.number, room) {
            return Ok(part_bytes);
        }
        let object = self.carrier.target.address().to_string();
        Err(match self.number < MOST_PARTS {
            true => {
                let part_bytes = self.wanted.next_part_bytes(self.number, u64::MAX).unwrap_or(u64::MAX);
                TransferError::NoRoomForPart { object, part_bytes, room }
            }
            false => {
                let most = self.wanted.most_stream_bytes(room);
                TransferError::BeyondS3 { object, bytes: self.offset + self.left.len() as u64, most }
            }
        })
    }
}

//! The counts of a running transfer, for the report and for the rule that chooses the number of parts in flight.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::time::Instant;

use crate::rules::concurrency::Seen;

/// The counters of one transfer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    in_flight: AtomicU32,
    held: AtomicU32,
    pub(crate) peak_requests: AtomicU32,
    answers: AtomicU64,
    frames: AtomicU64,
    later_at_once: AtomicU64,
    received: AtomicU64,
    /// Bytes that came from the network, before the frames that hold them were full.
    pub(crate) arrived: Arc<AtomicU64>,
    pub(crate) waited: WaitedNanos,
}

/// Summed over all parts.
#[derive(Debug, Default)]
pub(crate) struct WaitedNanos {
    pub(crate) network: AtomicU64,
    pub(crate) bandwidth: AtomicU64,
    pub(crate) sink: AtomicU64,
    pub(crate) retry: AtomicU64,
}

impl Counters {
    /// The bytes of bodies that have arrived so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes that have come from the network so far, those of frames that are not full among them.
    pub(crate) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    /// Counts a frame of `bytes` that has come; `first`: it is an answer's first.
    pub(crate) fn frame(&self, bytes: usize, first: bool, at_once: bool) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        match first {
            true => drop(self.answers.fetch_add(1, Ordering::Relaxed)),
            false => drop(self.later_at_once.fetch_add(at_once.into(), Ordering::Relaxed)),
        }
    }

    /// Counts bytes that were not counted on arrival.
    pub(crate) fn arrive(&self, bytes: usize) {
        self.arrived.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The bytes that have arrived so far.
    pub(crate) fn seen(&self) -> Seen {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Seen { answers: count(&self.answers), frames: count(&self.frames), later_at_once: count(&self.later_at_once) }
    }

    /// Parts that wait for the receiver now.
    pub(crate) fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// Counts a part as waiting for the receiver while `taking` is not done.
    pub(crate) async fn hold<T>(&self, taking: impl Future<Output = T> + Send) -> T {
        let _one_more = OneMore::of(&self.held);
        self.waited.sink.time(taking).await
    }

    /// Counts a part as in flight until the guard is dropped.
    pub(crate) fn in_flight(&self) -> OneMore<'_> {
        let (one_more, now) = (OneMore::of(&self.in_flight), self.in_flight.load(Ordering::Relaxed));
        self.peak_requests.fetch_max(now, Ordering::Relaxed);
        one_more
    }
}

/// A sum of nanoseconds.
pub(crate) trait Stopwatch {
    /// Adds how long `future` takes.
    fn time<T>(&self, future: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send;
}

impl Stopwatch for AtomicU64 {
    async fn time<T>(&self, future: impl Future<Output = T> + Send) -> T {
        let began = Instant::now();
        let value = future.await;
        self.fetch_add(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        value
    }
}

/// A count that is one higher until this is dropped.
pub(crate) struct OneMore<'a>(&'a AtomicU32);

impl<'a> OneMore<'a> {
    fn of(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for OneMore<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

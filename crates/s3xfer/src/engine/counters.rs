//! What a transfer counts as it goes: for the report, and for the rule that decides how many parts to fetch at once.

use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::rules::concurrency::Seen;

/// Of one transfer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    in_flight: AtomicU32,
    pub(crate) peak_requests: AtomicU32,
    answers: AtomicU64,
    frames: AtomicU64,
    later_at_once: AtomicU64,
    another_answer: Notify,
    received: AtomicU64,
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
    /// Completes when there were answers since it last did.
    pub(crate) async fn another_answer(&self) {
        self.another_answer.notified().await;
    }

    /// Bytes of bodies that have come so far.
    pub(crate) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Counts a frame of `bytes` that has come; `first`: it is an answer's first.
    pub(crate) fn frame(&self, bytes: usize, first: bool, at_once: bool) {
        self.frames.fetch_add(1, Ordering::Relaxed);
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
        match first {
            true => {
                self.answers.fetch_add(1, Ordering::Relaxed);
                self.another_answer.notify_one();
            }
            false => drop(self.later_at_once.fetch_add(at_once.into(), Ordering::Relaxed)),
        }
    }

    /// What has come so far.
    pub(crate) fn seen(&self) -> Seen {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Seen { answers: count(&self.answers), frames: count(&self.frames), later_at_once: count(&self.later_at_once) }
    }

    /// Counts a part as in flight until the guard is dropped.
    pub(crate) fn in_flight(&self) -> InFlight<'_> {
        let now = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.peak_requests.fetch_max(now, Ordering::Relaxed);
        InFlight(self)
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

/// A part in flight.
pub(crate) struct InFlight<'a>(&'a Counters);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

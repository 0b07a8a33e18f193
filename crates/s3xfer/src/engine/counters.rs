//! What a transfer counts as it goes: for the report.

use std::future::Future;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::time::Instant;

/// Of one transfer.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) requests: AtomicU64,
    pub(crate) retries: AtomicU64,
    in_flight: AtomicU32,
    pub(crate) peak_requests: AtomicU32,
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

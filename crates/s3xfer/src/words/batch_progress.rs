//! [`BatchProgress`]: the progress of a running batch, readable from anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::words::progress::Progress;

/// A handle to the counters of a batch. Give a clone to the batch and read another clone at any time.
#[derive(Debug, Clone, Default)]
pub struct BatchProgress {
    counts: Arc<Counts>,
    bytes: Progress,
}

#[derive(Debug, Default)]
struct Counts {
    listed_all: AtomicBool,
    found: AtomicU64,
    found_bytes: AtomicU64,
    ended: AtomicU64,
    failed: AtomicU64,
    failed_bytes: AtomicU64,
}

/// [`BatchProgress`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchSnapshot {
    /// Whether the listing is done, so that the numbers of objects found are final.
    pub listed_all: bool,
    /// Objects found so far that are to be transferred or deleted.
    pub found: u64,
    /// The bytes of the objects that are to be transferred.
    pub found_bytes: u64,
    /// Objects that are done, or have failed.
    pub ended: u64,
    /// Objects that have failed; `ended` includes them.
    pub failed: u64,
    /// Bytes moved so far, those of running transfers included. A transfer that fails takes its share back.
    pub bytes: u64,
    /// Bytes that are still to be moved, of the objects found so far.
    pub left_bytes: u64,
}

impl BatchProgress {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> BatchSnapshot {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let bytes = self.bytes.snapshot().written_bytes;
        let found_bytes = read(&self.counts.found_bytes);
        BatchSnapshot {
            listed_all: self.counts.listed_all.load(Ordering::Relaxed),
            found: read(&self.counts.found),
            found_bytes,
            ended: read(&self.counts.ended),
            failed: read(&self.counts.failed),
            bytes,
            left_bytes: found_bytes.saturating_sub(read(&self.counts.failed_bytes)).saturating_sub(bytes),
        }
    }

    /// The bytes' counters, for a transfer.
    pub(crate) fn bytes(&self) -> Progress {
        self.bytes.clone()
    }

    pub(crate) fn found(&self, bytes: u64) {
        self.counts.found.fetch_add(1, Ordering::Relaxed);
        self.counts.found_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn ended(&self, bytes: u64, failed: bool) {
        self.counts.ended.fetch_add(1, Ordering::Relaxed);
        if failed {
            self.counts.failed.fetch_add(1, Ordering::Relaxed);
            self.counts.failed_bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn listed_all(&self) {
        self.counts.listed_all.store(true, Ordering::Relaxed);
    }
}

//! [`Progress`]: how far a transfer is, to be read from anywhere while it runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A handle on a transfer's counters. Give a clone to
/// [`Download::progress`](crate::Download::progress) and read the other one whenever it suits; reading costs
/// the transfer nothing.
///
/// Counts bytes that have been *written*, so it never runs ahead of the disk, and never goes back: a retry resumes at
/// the byte where the attempt before it stopped.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    counters: Arc<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    total: AtomicU64,
    written: AtomicU64,
}

/// [`Progress`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProgressSnapshot {
    /// Bytes of the object; `None` until the first answer has told it.
    pub total_bytes: Option<u64>,
    /// Bytes written so far.
    pub written_bytes: u64,
}

impl Progress {
    /// Counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters now.
    #[must_use]
    pub fn snapshot(&self) -> ProgressSnapshot {
        // `total` is kept one higher, so that 0 says "not known yet" and an empty object can be told from it.
        let total_bytes = self.counters.total.load(Ordering::Relaxed).checked_sub(1);
        ProgressSnapshot { total_bytes, written_bytes: self.counters.written.load(Ordering::Relaxed) }
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.counters.total.store(bytes.saturating_add(1), Ordering::Relaxed);
    }

    pub(crate) fn add_written(&self, bytes: u64) {
        self.counters.written.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_object_is_told_from_an_unknown_one() {
        let progress = Progress::new();
        assert_eq!(progress.snapshot().total_bytes, None);
        progress.set_total(0);
        assert_eq!(progress.snapshot(), ProgressSnapshot { total_bytes: Some(0), written_bytes: 0 });
    }
}

//! [`TransferReport`]: what a finished transfer did, and what of its configuration took effect.

use std::time::Duration;

use crate::words::config::TransferConfig;

/// What a finished transfer did.
///
/// The configuration is reported as it was asked for; the figures beside it say what came of it on this object: a
/// transfer of three parts cannot use ten connections, and the report is where a tuner sees that.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TransferReport {
    /// Bytes of the object, all of them written.
    pub bytes: u64,
    /// From the call to the renamed file.
    pub elapsed: Duration,
    /// The ETag every part was pinned to; `None` where the server gives none.
    pub e_tag: Option<String>,
    /// Parts the object was cut into; 0 for an empty object.
    pub parts: u64,
    /// Requests sent, with the retried ones.
    pub requests: u64,
    /// Of these, requests that were sent because an earlier one had failed.
    pub retries: u64,
    /// Most parts in flight at one moment, those that wait to try again included: what `max_concurrency` came to.
    pub peak_requests: u32,
    /// Most pieces that waited for the disk at one moment: what `max_io_queue` came to.
    pub peak_io_queue: u32,
    /// Positional writes made: what `io_chunksize` came to.
    pub writes: u64,
    /// The configuration as asked for.
    pub config: TransferConfig,
}

impl TransferReport {
    /// Mean rate over [`elapsed`](Self::elapsed), in bytes per second.
    #[must_use]
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }
}

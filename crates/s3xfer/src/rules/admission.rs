//! The shares of a memory limit: one for requests in flight, the rest for bytes that wait to be written.
//!
//! A request has its share before it is sent, so there is memory for everything that it receives. Bytes that are kept
//! while more arrive (a piece that is not full, a piece that waits for the disk, a part that waits for its turn in a
//! stream) are admitted one frame at a time. The shares never mix: however many requests there are, there is memory to
//! write from, so no task can wait for memory that is never freed.

use crate::words::config::TransferConfig;
use crate::words::piece::FRAME_BYTES;

/// Memory of one request in flight: the frame that is being filled, the TLS record it comes from, the head.
pub(crate) const REQUEST_BYTES: u64 = FRAME_BYTES + (64 << 10);

/// The shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Admission {
    /// Requests in flight; at least 1.
    pub(crate) requests: u32,
    /// Bytes that may wait; at least [`FRAME_BYTES`].
    pub(crate) waiting_bytes: u64,
}

impl Admission {
    /// At most half of `memory_limit` (at least 2 MiB) goes to requests, whose number is also bounded by
    /// `max_concurrency` and by the `connections` that the process may open.
    pub(crate) fn new(config: &TransferConfig, memory_limit: u64, connections: u32) -> Self {
        let wanted = if config.use_threads() { config.max_concurrency() } else { 1 };
        let fit = u32::try_from(memory_limit / 2 / REQUEST_BYTES).unwrap_or(u32::MAX);
        let requests = wanted.min(fit).min(connections).max(1);
        let waiting_bytes = memory_limit.saturating_sub(u64::from(requests) * REQUEST_BYTES).max(FRAME_BYTES);
        Self { requests, waiting_bytes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn config(concurrency: u32, threads: bool) -> TransferConfig {
        TransferConfig::builder().max_concurrency(concurrency).use_threads(threads).build().unwrap()
    }

    #[test]
    fn a_thousand_threads_get_what_fits_and_no_more() {
        let limit = 64 << 20;
        let shares = Admission::new(&config(1000, true), limit, u32::MAX);
        assert_eq!(shares.requests, 102);
        assert_eq!(shares.waiting_bytes, limit - 102 * REQUEST_BYTES);
        assert_eq!(Admission::new(&config(1000, true), 8 << 30, u32::MAX).requests, 1000);
        assert_eq!(Admission::new(&config(1000, true), 8 << 30, 512).requests, 512, "the file limit");
        assert_eq!(Admission::new(&config(1000, false), 8 << 30, u32::MAX).requests, 1);
    }

    proptest! {
        #[test]
        fn the_shares_fit_into_the_limit(
            concurrency in 1_u32..100_000, limit in 2_u64 << 20..1 << 40, connections in 0_u32..10_000, threads: bool,
        ) {
            let shares = Admission::new(&config(concurrency, threads), limit, connections);
            prop_assert!(u64::from(shares.requests) * REQUEST_BYTES + shares.waiting_bytes <= limit);
            prop_assert!(shares.requests >= 1 && shares.waiting_bytes >= FRAME_BYTES);
            prop_assert!(shares.requests <= concurrency);
        }
    }
}

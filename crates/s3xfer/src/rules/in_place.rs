//! The choice of the thread that writes or reads a file: the thread that received the bytes or will send them, or a
//! thread that may block.
//!
//! A write into the page cache takes tens of microseconds, less than handing the piece to another thread, whose cache
//! does not hold it. So does a read from there. A disk that makes writers or readers wait must not stop the threads
//! that receive and send.

use std::time::Duration;

/// Writes are quick while they take no longer than this, and a time in proportion to their size.
const QUICK: Duration = Duration::from_millis(2);
/// 500 MB/s: page caches take several times as much, and disks that are slower have their writers wait.
const QUICK_BYTES_PER_MS: u64 = 500_000;
/// Larger pieces are never written in place: even a quick one would keep the thread for milliseconds.
const LARGEST_BYTES: u64 = 4 << 20;
/// The number of consecutive quick writes after a slow one before a write is made in place again.
const PROBATION: u32 = 32;

/// Follows how long writes take, or reads.
#[derive(Debug, Default)]
pub(crate) struct InPlace {
    /// Quick writes still to be seen.
    probation: u32,
}

impl InPlace {
    /// As after a slow one: for reads, which come from the disk until the page cache has the file.
    pub(crate) fn on_probation() -> Self {
        Self { probation: PROBATION }
    }

    /// Whether a piece of `bytes` may be written by the thread that received it.
    pub(crate) fn allows(&self, bytes: u64) -> bool {
        self.probation == 0 && bytes <= LARGEST_BYTES
    }

    /// A write, by whichever thread, took `time`.
    pub(crate) fn took(&mut self, bytes: u64, time: Duration) {
        let quick = time <= QUICK + Duration::from_millis(bytes / QUICK_BYTES_PER_MS);
        self.probation = if quick { self.probation.saturating_sub(1) } else { PROBATION };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u64 = 256 << 10;

    #[test]
    fn a_slow_write_sends_the_next_ones_elsewhere_until_enough_were_quick() {
        let mut rule = InPlace::default();
        assert!(rule.allows(PIECE));
        rule.took(PIECE, Duration::from_micros(60));
        assert!(rule.allows(PIECE));
        rule.took(PIECE, Duration::from_millis(50));
        for _ in 0..PROBATION {
            assert!(!rule.allows(PIECE));
            rule.took(PIECE, Duration::from_micros(60));
        }
        assert!(rule.allows(PIECE));
    }

    #[test]
    fn on_probation_the_first_ones_go_elsewhere() {
        let mut rule = InPlace::on_probation();
        for _ in 0..PROBATION {
            assert!(!rule.allows(PIECE));
            rule.took(PIECE, Duration::from_micros(60));
        }
        assert!(rule.allows(PIECE));
    }

    #[test]
    fn one_slow_write_in_between_starts_the_count_anew() {
        let mut rule = InPlace::default();
        for _ in 0..3 {
            rule.took(PIECE, Duration::from_millis(50));
            for _ in 1..PROBATION {
                rule.took(PIECE, Duration::ZERO);
            }
            assert!(!rule.allows(PIECE));
        }
    }

    #[test]
    fn a_large_piece_may_take_longer_but_is_never_written_in_place() {
        let mut rule = InPlace::default();
        assert!(!rule.allows(LARGEST_BYTES + 1));
        rule.took(1 << 30, Duration::from_millis(1500));
        assert!(rule.allows(PIECE), "a GiB in 1.5 s is quick");
    }
}

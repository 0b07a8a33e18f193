//! The lowest rate: below it, a body is aborted although it still brings bytes.
//!
//! A body that brings nothing is aborted after `stall_timeout`. A slow body would go on for ever. So if a transfer has
//! brought less than `min_bytes_per_second` over `min_rate_window_seconds`, the body that waited so long is aborted and
//! retried at its offset, as an attempt of `num_download_attempts`.
//!
//! Two rules protect slow but working links. Only time in which the engine waits for the network counts, so no limit of
//! our own, no slow disk and no slow reader looks like a slow server. And the bytes are those of all parts of the
//! transfer: 32 requests that share 56 kbit/s bring about 200 B/s each, and one of them may have nothing for a while,
//! but together they bring 7 kB/s.
//!
//! curl has the same rule for one connection (`--speed-limit`, `--speed-time`); the AWS SDKs (stalled stream
//! protection) have it with 1 B/s.

use std::time::Duration;

/// Fewer bytes from one attempt do not count as progress, unless they are an eighth of the requested bytes: a server
/// that sends one byte, ends the connection and refuses requests for a while is not up.
const PROGRESS_BYTES: u64 = 64;
const PROGRESS_SHARE: u64 = 8;

/// The lowest rate of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Floor {
    /// 0: there is none.
    pub(crate) bytes_per_second: u64,
    pub(crate) window: Duration,
}

/// One body, while it is received.
#[derive(Debug)]
pub(crate) struct Watch {
    floor: Floor,
    /// For the network, in this window.
    waited: Duration,
    /// Bytes that the transfer had received when the window began.
    transfer_bytes: u64,
}

/// The transfer is too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooSlow {
    /// The rate, rounded down.
    pub(crate) bytes_per_second: u64,
    /// Over so long.
    pub(crate) waited: Duration,
}

impl Floor {
    /// Least bytes of an attempt that asked for `asked` bytes, so that it counts as progress; at least 1.
    pub(crate) fn progress_bytes(&self, asked: u64) -> u64 {
        self.bytes_per_second.min(PROGRESS_BYTES).min(asked / PROGRESS_SHARE).max(1)
    }

    /// Whether so many bytes in that time are enough.
    pub(crate) fn holds(&self, bytes: u64, time: Duration) -> bool {
        bytes as f64 >= self.bytes_per_second as f64 * time.as_secs_f64()
    }
}

impl Watch {
    /// Watches a body that begins when the transfer has received `transfer_bytes`.
    pub(crate) fn new(floor: Floor, transfer_bytes: u64) -> Self {
        Self { floor, waited: Duration::ZERO, transfer_bytes }
    }

    /// For how long the body may be waited for before it is to be judged; `None` is for ever.
    pub(crate) fn left(&self) -> Option<Duration> {
        (self.floor.bytes_per_second > 0).then(|| self.floor.window.saturating_sub(self.waited))
    }

    /// The body was waited for, whether it then brought bytes or not.
    pub(crate) fn waited(&mut self, time: Duration) {
        self.waited = self.waited.saturating_add(time);
    }

    /// To be asked when the body is about to be waited for: whether it is worth that, now that the transfer has
    /// received `transfer_bytes`.
    ///
    /// # Errors
    ///
    /// The rate over the window that is over, when it is too low.
    pub(crate) fn judge(&mut self, transfer_bytes: u64) -> Result<(), TooSlow> {
        if self.left() != Some(Duration::ZERO) {
            return Ok(());
        }
        let bytes = transfer_bytes.saturating_sub(self.transfer_bytes);
        if !self.floor.holds(bytes, self.waited) {
            let bytes_per_second = (bytes as f64 / self.waited.as_secs_f64()) as u64;
            return Err(TooSlow { bytes_per_second, waited: self.waited });
        }
        *self = Self::new(self.floor, transfer_bytes);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FLOOR: Floor = Floor { bytes_per_second: 64, window: Duration::from_secs(60) };

    /// After how many seconds a body is given up, if ever within an hour; the transfer brings so much in each.
    fn given_up_after(floor: Floor, bytes_per_second: impl Fn(u64) -> u64) -> Option<(u64, TooSlow)> {
        let (mut watch, mut received) = (Watch::new(floor, 1000), 1000);
        for second in 0..3600 {
            if let Err(too_slow) = watch.judge(received) {
                return Some((second, too_slow));
            }
            watch.waited(Duration::from_secs(1));
            received += bytes_per_second(second);
        }
        None
    }

    #[test]
    fn a_transfer_below_the_floor_is_given_up_with_its_rate_when_the_window_is_over() {
        for rate in [0, 1, 63] {
            let too_slow = TooSlow { bytes_per_second: rate, waited: FLOOR.window };
            assert_eq!(given_up_after(FLOOR, |_| rate), Some((60, too_slow)));
        }
        assert_eq!(given_up_after(FLOOR, |_| 64), None);
    }

    #[test]
    fn a_burst_in_each_window_is_enough_and_one_that_comes_no_more_is_not() {
        assert_eq!(given_up_after(FLOOR, |second| if second % 60 == 0 { 64 * 60 } else { 0 }), None);
        let (second, _) = given_up_after(FLOOR, |second| if second == 0 { 1 << 30 } else { 1 }).unwrap();
        assert_eq!(second, 120, "the window after the one with the burst");
    }

    #[test]
    fn zero_lifts_the_floor() {
        let none = Floor { bytes_per_second: 0, ..FLOOR };
        assert_eq!(given_up_after(none, |_| 0), None);
        assert_eq!((none.progress_bytes(1 << 20), Watch::new(none, 0).left()), (1, None));
    }

    #[test]
    fn time_in_which_the_network_is_not_waited_for_does_not_count() {
        let mut watch = Watch::new(FLOOR, 0);
        watch.waited(Duration::from_secs(59));
        // However long the disk then takes.
        assert_eq!(watch.judge(0), Ok(()));
        assert_eq!(watch.left(), Some(Duration::from_secs(1)));
    }

    #[test]
    fn a_handful_of_bytes_is_progress_only_where_little_was_asked_for() {
        assert_eq!([1, 8, 80, 512, 1 << 20].map(|asked| FLOOR.progress_bytes(asked)), [1, 1, 10, 64, 64]);
    }

    #[test]
    fn one_request_of_many_that_share_a_thin_link_may_have_nothing() {
        // The 56 kbit/s of a modem, all to other parts.
        assert_eq!(given_up_after(FLOOR, |_| 7_000), None);
    }

    proptest! {
        #[test]
        fn what_is_given_up_was_below_the_floor_over_at_least_the_window(
            least in 0_u64..1_000, window in 1_u64..100, waits in prop::collection::vec((0_u64..30, 0_u64..30_000), 200),
        ) {
            let floor = Floor { bytes_per_second: least, window: Duration::from_secs(window) };
            let (mut watch, mut received) = (Watch::new(floor, 0), 0);
            for (seconds, bytes) in waits {
                match watch.judge(received) {
                    Ok(()) => prop_assert!(watch.left() != Some(Duration::ZERO)),
                    Err(TooSlow { bytes_per_second, waited }) => {
                        prop_assert!(bytes_per_second < least && waited.as_secs() >= window);
                        break;
                    }
                }
                watch.waited(Duration::from_secs(seconds));
                received += bytes;
            }
        }
    }
}

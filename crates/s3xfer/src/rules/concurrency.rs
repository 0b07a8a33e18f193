//! The number of parts that the receiver can take at once: the largest number allowed, unless the receiver is behind.
//!
//! While a transfer waits for the network, a connection that has just been read has no more bytes. If the next frame is
//! repeatedly there at once, its bytes have been waiting in the kernel. Then the processors or the disk are the limit,
//! and more connections only lengthen the kernel's queues, until their bytes have left the processor's cache. (Over
//! loopback with TLS into tmpfs, 32 connections cost 0.91 s of processor time for each GiB and 8 cost 0.73 s, in the
//! same time.)
//!
//! The [controller](super::control) finds the number of requests that the network can use; this rule only takes away.

/// Never fewer: enough to hide the answer times behind each other's bodies.
const FEWEST: u32 = 8;
/// Above this share of frames that were there at once, the receiver is behind; below the other, the network is.
const BEHIND: f64 = 0.5;
const AHEAD: f64 = 0.2;
/// The newest part's share of the running mean.
const WEIGHT: f64 = 0.3;
/// Parts between two changes: the effect of the last one must show first.
const SETTLING: u32 = 4;

/// The totals since the transfer began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// The answers whose first bytes have arrived.
    pub(crate) answers: u64,
    pub(crate) frames: u64,
    /// The frames among them that were available when the receiver asked for them. An answer's first frame does not
    /// count, because it may have come with the head.
    pub(crate) later_at_once: u64,
}

/// Follows how often a part had to wait for its bytes.
#[derive(Debug)]
pub(crate) struct Concurrency {
    most: u32,
    target: u32,
    /// The totals when the last part was done.
    done_at: Seen,
    at_once: f64,
    parts: u32,
}

impl Concurrency {
    /// At most `most` parts, and so many until it shows that it is too many.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, target: most, done_at: Seen::default(), at_once: 0.0, parts: 0 }
    }

    /// Parts to have in flight now.
    pub(crate) fn target(&self) -> u32 {
        self.target
    }

    /// Another part is done, while `now` could be in flight.
    pub(crate) fn part_done(&mut self, seen: Seen, now: u32) {
        let since = seen.since(self.done_at);
        self.done_at = seen;
        // Answers of one frame say nothing, because small parts wait for the answer itself.
        let later = since.frames.saturating_sub(since.answers);
        if later == 0 {
            return;
        }
        self.at_once += WEIGHT * (since.later_at_once as f64 / later as f64 - self.at_once);
        self.parts += 1;
        if self.parts < SETTLING {
            return;
        }
        let before = self.target;
        if self.at_once > BEHIND {
            let now = self.target.min(now);
            self.target = self.target.min((now - now / 4).max(FEWEST));
        } else if self.at_once < AHEAD {
            self.target = self.target.saturating_add((self.target / 4).max(1)).min(self.most);
        }
        if self.target != before {
            self.parts = 0;
        }
    }
}

impl Seen {
    pub(crate) fn plus(self, more: Self) -> Self {
        Self {
            answers: self.answers + more.answers,
            frames: self.frames + more.frames,
            later_at_once: self.later_at_once + more.later_at_once,
        }
    }

    fn since(self, before: Self) -> Self {
        Self {
            answers: self.answers - before.answers,
            frames: self.frames - before.frames,
            later_at_once: self.later_at_once - before.later_at_once,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A rule, and the totals so far.
    struct Followed(Concurrency, Seen);

    impl Followed {
        fn new(most: u32) -> Self {
            Self(Concurrency::new(most), Seen::default())
        }

        /// So many parts of 32 frames behind the first are done; the target then.
        fn parts(&mut self, parts: u32, at_once: u64) -> u32 {
            for _ in 0..parts {
                self.1.answers += 1;
                self.1.frames += 1 + 32;
                self.1.later_at_once += at_once;
                let now = self.0.target();
                self.0.part_done(self.1, now);
            }
            self.0.target()
        }
    }

    #[test]
    fn a_network_that_is_waited_for_keeps_all() {
        assert_eq!(Followed::new(32).parts(1000, 3), 32);
        assert_eq!(Followed::new(32).parts(1000, 12), 32, "between the bounds nothing changes");
    }

    #[test]
    fn a_receiver_that_is_behind_sheds_and_takes_up_again() {
        let mut rule = Followed::new(32);
        assert_eq!(rule.parts(3, 32), 32, "not at the first sign");
        assert_eq!(rule.parts(40, 32), FEWEST);
        assert_eq!(rule.parts(60, 0), 32);
    }

    #[test]
    fn fewer_than_the_fewest_are_left_alone() {
        assert_eq!(Followed::new(3).parts(100, 32), 3);
        assert_eq!(Followed::new(u32::MAX / 2).parts(10_000, 32), FEWEST);
    }

    #[test]
    fn answers_of_one_frame_change_nothing() {
        let mut rule = Followed::new(32);
        assert_eq!(rule.parts(40, 32), FEWEST);
        for _ in 0..100 {
            rule.1.answers += 1;
            rule.1.frames += 1;
            rule.0.part_done(rule.1, FEWEST);
        }
        assert_eq!(rule.0.target(), FEWEST);
    }

    proptest! {
        #[test]
        fn the_target_stays_within_its_bounds(
            most in 1_u32..2000, shares in prop::collection::vec(0_u64..=32, 0..300),
        ) {
            let mut rule = Followed::new(most);
            for share in shares {
                let target = rule.parts(1, share);
                prop_assert!((most.min(FEWEST)..=most).contains(&target));
            }
        }
    }
}

//! How many parts to have in flight: all that may be, unless it is the receiver that is behind.
//!
//! While the network is what a transfer waits for, a connection that has just been read has nothing more to give. Where
//! the next frame is there at once, time after time, its bytes have been waiting in the kernel: the processors or the disk
//! are the limit, and more connections only make those queues longer, until what is read from them has left the
//! processor's cache. (Over loopback with TLS into tmpfs, 32 connections cost 0.91 s of processor time for each GiB and 8
//! cost 0.73 s, in the same time.)
//!
//! Where very many may be in flight, it begins with as many as do no harm on any machine, and doubles them as soon as most
//! of the new ones have answered, as long as the receiver keeps up: so a network of slow connections has all of them after a few
//! answer times, and a machine that is the limit never opens them.

/// Never fewer: enough to hide the answer times behind each other's bodies.
const FEWEST: u32 = 8;
/// In flight at the beginning, if so many may be; what is in flight by default.
const FIRST: u32 = 32;
/// Above this share of frames that were there at once, the receiver is behind; below the other, the network is.
const BEHIND: f64 = 0.5;
const AHEAD: f64 = 0.2;
/// Of the newest part in the running mean.
const WEIGHT: f64 = 0.3;
/// Parts between two changes: what the last one did must show first.
const SETTLING: u32 = 4;

/// What came since the transfer began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Answers whose first bytes came.
    pub(crate) answers: u64,
    pub(crate) frames: u64,
    /// Frames among them that were there when they were asked for; not those that are an answer's first, which may have
    /// come with its head, whoever is behind.
    pub(crate) later_at_once: u64,
}

/// Follows how often a part had to wait for its bytes.
#[derive(Debug)]
pub(crate) struct Concurrency {
    most: u32,
    target: u32,
    /// While the number doubles, what had come when it last did; `None` once it does not any more.
    doubled_at: Option<Seen>,
    /// How many were added then.
    added: u32,
    /// What had come when the last part was done.
    done_at: Seen,
    at_once: f64,
    parts: u32,
}

impl Concurrency {
    /// At most `most` parts.
    pub(crate) fn new(most: u32) -> Self {
        let target = most.min(FIRST);
        let doubled_at = (target < most).then(Seen::default);
        Self { most, target, doubled_at, added: target, done_at: Seen::default(), at_once: 0.0, parts: 0 }
    }

    /// As [`new`](Self::new), but with all of them from the beginning.
    pub(crate) fn open(most: u32) -> Self {
        Self { target: most, doubled_at: None, added: 0, ..Self::new(most) }
    }

    /// Parts to have in flight now.
    pub(crate) fn target(&self) -> u32 {
        self.target
    }

    /// Whether [`answered`](Self::answered) is of any use.
    pub(crate) fn is_opening(&self) -> bool {
        self.doubled_at.is_some()
    }

    /// Another answer has begun.
    pub(crate) fn answered(&mut self, seen: Seen) {
        let Some(before) = self.doubled_at else { return };
        let since = seen.since(before);
        // One that stands still must not hold the others up.
        if since.answers < u64::from(self.added - self.added / 4) {
            return;
        }
        let later = since.frames.saturating_sub(since.answers);
        if since.later_at_once as f64 > BEHIND * later as f64 {
            self.doubled_at = None;
            return;
        }
        self.added = self.target.min(self.most - self.target);
        self.target += self.added;
        self.doubled_at = (self.target < self.most).then_some(seen);
    }

    /// Another part is done.
    pub(crate) fn part_done(&mut self, seen: Seen) {
        let since = seen.since(self.done_at);
        self.done_at = seen;
        // Answers of one frame say nothing: what small parts wait for is the answer itself.
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
            self.target = self.target.min((self.target - self.target / 4).max(FEWEST));
            self.doubled_at = None;
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

    /// A rule, and what has come so far.
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
                self.0.part_done(self.1);
            }
            self.0.target()
        }

        /// So many answers begin, and bring so many frames behind their first one; the target then.
        fn answers(&mut self, answers: u32, later: u64, at_once: u64) -> u32 {
            for _ in 0..answers {
                self.1.answers += 1;
                self.1.frames += 1 + later;
                self.1.later_at_once += at_once;
                self.0.answered(self.1);
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
            rule.0.part_done(rule.1);
        }
        assert_eq!(rule.0.target(), FEWEST);
    }

    #[test]
    fn many_are_opened_by_doubling_as_soon_as_most_have_answered() {
        let mut rule = Followed::new(500);
        assert_eq!((rule.0.target(), rule.answers(23, 0, 0)), (32, 32));
        assert_eq!(rule.answers(1, 0, 0), 64);
        assert_eq!((rule.answers(23, 2, 0), rule.answers(1, 2, 0)), (64, 128));
        assert_eq!(rule.answers(48 + 96, 1, 0), 500);
        assert!(!rule.0.is_opening());
        assert!(!Followed::new(32).0.is_opening() && Followed::new(33).0.is_opening());
    }

    #[test]
    fn a_receiver_that_is_behind_opens_no_more_at_once_but_may_later() {
        let mut rule = Followed::new(512);
        assert_eq!(rule.answers(24, 4, 3), 32);
        assert!(!rule.0.is_opening());
        assert_eq!(rule.answers(100, 0, 0), 32);
        assert_eq!(rule.parts(80, 0), 512, "by quarters");
    }

    proptest! {
        #[test]
        fn the_target_stays_within_its_bounds(
            most in 1_u32..2000, shares in prop::collection::vec((any::<bool>(), 0_u64..=32), 0..300),
        ) {
            let mut rule = Followed::new(most);
            for (part, share) in shares {
                let target = if part { rule.parts(1, share) } else { rule.answers(1, 32, share) };
                prop_assert!((most.min(FEWEST)..=most).contains(&target));
            }
        }
    }
}

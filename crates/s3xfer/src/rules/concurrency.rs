//! How many parts to have in flight: all that may be, unless it is the receiver that is behind.
//!
//! While the network is what a transfer waits for, a connection that has just been read has nothing more to give. Where
//! the next frame is there at once, time after time, its bytes have been waiting in the kernel: the processors or the disk
//! are the limit, and more connections only make those queues longer, until what is read from them has left the
//! processor's cache. (Over loopback with TLS into tmpfs, 32 connections cost 0.91 s of processor time for each GiB and 8
//! cost 0.73 s, in the same time.)

/// Never fewer: enough to hide the answer times behind each other's bodies.
const FEWEST: u32 = 8;
/// Above this share of frames that were there at once, the receiver is behind; below the other, the network is.
const BEHIND: f64 = 0.5;
const AHEAD: f64 = 0.2;
/// Of the newest part in the running mean.
const WEIGHT: f64 = 0.3;
/// Parts between two changes: what the last one did must show first.
const SETTLING: u32 = 4;

/// Follows how often a part had to wait for its bytes.
#[derive(Debug)]
pub(crate) struct Concurrency {
    most: u32,
    target: u32,
    at_once: f64,
    parts: u32,
}

impl Concurrency {
    /// At most `most` parts, which is where it begins.
    pub(crate) fn new(most: u32) -> Self {
        Self { most, target: most, at_once: 0.0, parts: 0 }
    }

    /// Parts to have in flight now.
    pub(crate) fn target(&self) -> u32 {
        self.target
    }

    /// Since the last call a part was finished; of the `frames` that came meanwhile, `at_once` were there when they were
    /// asked for.
    pub(crate) fn part_done(&mut self, frames: u64, at_once: u64) {
        if frames == 0 {
            return;
        }
        self.at_once += WEIGHT * (at_once as f64 / frames as f64 - self.at_once);
        self.parts += 1;
        if self.parts < SETTLING {
            return;
        }
        let before = self.target;
        if self.at_once > BEHIND {
            self.target = self.target.min((self.target - self.target / 4).max(FEWEST));
        } else if self.at_once < AHEAD {
            self.target = self.target.saturating_add((self.target / 4).max(1)).min(self.most);
        }
        if self.target != before {
            self.parts = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(rule: &mut Concurrency, parts: u32, at_once: u64) -> u32 {
        (0..parts).for_each(|_| rule.part_done(32, at_once));
        rule.target()
    }

    #[test]
    fn a_network_that_is_waited_for_keeps_all() {
        assert_eq!(after(&mut Concurrency::new(32), 1000, 3), 32);
        assert_eq!(after(&mut Concurrency::new(32), 1000, 12), 32, "between the bounds nothing changes");
    }

    #[test]
    fn a_receiver_that_is_behind_sheds_and_takes_up_again() {
        let mut rule = Concurrency::new(32);
        assert_eq!(after(&mut rule, 3, 32), 32, "not at the first sign");
        assert_eq!(after(&mut rule, 40, 32), FEWEST);
        assert_eq!(after(&mut rule, 60, 0), 32);
    }

    #[test]
    fn fewer_than_the_fewest_are_left_alone() {
        assert_eq!(after(&mut Concurrency::new(3), 100, 32), 3);
        assert_eq!(after(&mut Concurrency::new(u32::MAX / 2), 10_000, 32), FEWEST);
    }

    proptest! {
        #[test]
        fn the_target_stays_within_its_bounds(most in 1_u32..2000, shares in prop::collection::vec(0_u64..=32, 0..300)) {
            let mut rule = Concurrency::new(most);
            for share in shares {
                rule.part_done(32, share);
                prop_assert!((most.min(FEWEST)..=most).contains(&rule.target()));
            }
        }
    }
}

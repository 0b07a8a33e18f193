//! The turns of many small downloads: only as many run at once as bring a gain.
//!
//! A download with a single request has no parts to reduce when the receiver is behind, and no measurement before it is
//! done. So the small downloads of a client share the rule that a larger download has for its parts, and wait here
//! before their first request.
//!
//! A waiting download holds nothing that others wait for, neither a permit nor memory. A dropped turn goes to the next
//! download.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::rules::concurrency::{Concurrency, Seen};

/// The turns of all transfers of a client that has `adaptive_concurrency`.
#[derive(Debug)]
pub(crate) struct Turns {
    most: u32,
    free: Arc<Semaphore>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rule: Concurrency,
    /// The totals of the finished downloads.
    seen: Seen,
    /// The free and the taken turns. Surplus turns are removed when they are returned.
    turns: usize,
    taken: usize,
}

/// The right to run, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    /// `None` only while it is dropped.
    permit: Option<OwnedSemaphorePermit>,
    turns: Arc<Turns>,
}

impl Turns {
    /// At most `most` at once, and so many until it shows that it is too many.
    pub(crate) fn new(most: u32) -> Arc<Self> {
        let turns = (most as usize).min(Semaphore::MAX_PERMITS);
        let state = State { rule: Concurrency::new(most), seen: Seen::default(), turns, taken: 0 };
        Arc::new(Self { most, free: Arc::new(Semaphore::new(turns)), state: Mutex::new(state) })
    }

    /// Waits for one. First come, first served.
    pub(crate) async fn turn(self: &Arc<Self>) -> Turn {
        let permit = self.free.clone().acquire_owned().await.expect("the semaphore is never closed");
        self.state().taken += 1;
        Turn { permit: Some(permit), turns: self.clone() }
    }

    fn ended(&self, permit: OwnedSemaphorePermit) {
        let mut state = self.state();
        state.taken -= 1;
        // Downloads after a rest may be of another kind.
        if state.taken == 0 {
            state.rule = Concurrency::new(self.most);
            state.seen = Seen::default();
        }
        let target = state.rule.target() as usize;
        if state.turns > target {
            // Given back, it would go to a waiting download.
            permit.forget();
            state.turns -= 1;
            state.turns -= self.free.forget_permits(state.turns - target);
        } else {
            drop(permit);
            self.free.add_permits(target - state.turns);
            state.turns = target;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turn {
    /// Reports the totals of a finished download.
    pub(crate) fn brought(&self, seen: Seen) {
        let mut state = self.turns.state();
        state.seen = state.seen.plus(seen);
        let all = state.seen;
        let now = state.rule.target();
        state.rule.part_done(all, now);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.turns.ended(permit);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const BEHIND: Seen = Seen { answers: 1, frames: 17, later_at_once: 16 };
    const AHEAD: Seen = Seen { answers: 1, frames: 17, later_at_once: 0 };

    fn all(turns: &Arc<Turns>) -> Vec<Turn> {
        std::iter::from_fn(|| turns.turn().now_or_never()).collect()
    }

    #[test]
    fn turns_are_shed_while_the_receiver_is_behind_and_come_back_when_it_is_not() {
        let turns = Turns::new(40);
        let mut taken = all(&turns);
        assert_eq!(taken.len(), 40);
        let mut waiting = Box::pin(turns.turn());
        assert!((&mut waiting).now_or_never().is_none());
        (0..40).for_each(|_| taken[0].brought(BEHIND));
        while taken.len() > 8 {
            taken.pop();
            assert!((&mut waiting).now_or_never().is_none(), "there are {} still", taken.len());
        }
        taken.pop();
        taken.push((&mut waiting).now_or_never().expect("one of eight has ended"));
        assert_eq!((all(&turns).len(), taken.len()), (0, 8));
        for _ in 0..40 {
            taken.pop().unwrap().brought(AHEAD);
            taken.push(turns.turn().now_or_never().unwrap());
        }
        taken.extend(all(&turns));
        assert_eq!(taken.len(), 40);
    }

    #[test]
    fn after_a_rest_there_are_all_of_them_again() {
        let turns = Turns::new(40);
        let mut taken = all(&turns);
        while let Some(turn) = taken.pop() {
            turn.brought(BEHIND);
        }
        assert_eq!(all(&turns).len(), 40);
    }

    #[test]
    fn who_is_dropped_while_it_waits_keeps_nobody_from_a_turn() {
        let turns = Turns::new(1);
        let first = turns.turn().now_or_never().unwrap();
        let mut gone = Box::pin(turns.turn());
        let mut next = Box::pin(turns.turn());
        assert!((&mut gone).now_or_never().is_none() && (&mut next).now_or_never().is_none());
        drop(first);
        drop(gone);
        assert!(next.now_or_never().is_some());
    }
}

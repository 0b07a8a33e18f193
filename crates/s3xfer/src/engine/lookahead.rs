//! [`Lookahead`]: the memory and the requests that a client's unread streams hold.
//!
//! An upload may read from a stream of the same client. A stream that waits for the upload must then not hold the
//! permits and memory for which the upload waits. So streams leave memory for one part of each stream that is uploaded,
//! as long as they have not taken it yet. If they hold too much already, or all requests, the upload fails instead of
//! waiting for ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::words::action::Lacking;

/// The memory that the streams of one client hold ahead of their readers.
#[derive(Debug)]
pub(crate) struct Lookahead {
    /// Bytes that may wait altogether.
    bytes: u64,
    /// Most requests in flight.
    requests: u32,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes of parts that wait for their readers, or are to.
    held: u64,
    /// Requests that stand still until their reader takes a frame.
    unread: u32,
    /// The part of each stream that is uploaded.
    uploads: Vec<u64>,
    /// Counts up with each change of the first two.
    changes: u64,
}

/// Room that a stream may take ahead of its reader, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    lookahead: Arc<Lookahead>,
    bytes: u64,
}

/// A request that stands still until its reader takes a frame, until this is dropped.
#[derive(Debug)]
pub(crate) struct Unread {
    lookahead: Arc<Lookahead>,
}

/// The upload of a stream. Other streams leave memory for its part until this value is dropped.
#[derive(Debug)]
pub(crate) struct Leave {
    lookahead: Arc<Lookahead>,
    bytes: u64,
}

impl Lookahead {
    pub(crate) fn new(bytes: u64, requests: u32) -> Arc<Self> {
        Arc::new(Self { bytes, requests, state: Mutex::default(), changed: Notify::new() })
    }

    /// Waits until a stream may take this number of bytes, for which there may be no room yet.
    pub(crate) async fn claim(self: &Arc<Self>, bytes: u64) -> Claim {
        loop {
            let changed = self.changed.notified();
            if let Some(claim) = self.try_claim(bytes) {
                return claim;
            }
            changed.await;
        }
    }

    /// The same, if it may now.
    pub(crate) fn try_claim(self: &Arc<Self>, bytes: u64) -> Option<Claim> {
        let mut state = self.state();
        let left = state.uploads.iter().max().copied().unwrap_or(0);
        // Without uploads, memory itself is the bound.
        let may = state.uploads.is_empty() || state.held + bytes + left <= self.bytes;
        may.then(|| {
            state.held += bytes;
            state.changes += 1;
            Claim { lookahead: self.clone(), bytes }
        })
    }

    /// A request stands still from now on.
    pub(crate) fn unread(self: &Arc<Self>) -> Unread {
        let mut state = self.state();
        state.unread += 1;
        state.changes += 1;
        Unread { lookahead: self.clone() }
    }

    /// From now on, streams leave room for a part of this size.
    pub(crate) fn leave(self: &Arc<Self>, bytes: u64) -> Leave {
        self.state().uploads.push(bytes);
        Leave { lookahead: self.clone(), bytes }
    }

    /// Completes when an upload that `needs` memory for a part of `bytes`, or a request, has not obtained it for the
    /// time `within`, because streams that nobody has read hold it.
    pub(crate) async fn starves(&self, bytes: u64, within: Duration, needs: impl Fn() -> Option<Lacking>) -> Lacking {
        let step = within / 8;
        let (mut since, mut seen) = (Instant::now(), None);
        loop {
            let lacking = {
                let state = self.state();
                needs()
                    .filter(|lacking| match lacking {
                        Lacking::Memory => state.held.saturating_add(bytes) > self.bytes,
                        Lacking::Requests => state.unread >= self.requests,
                    })
                    .map(|lacking| (lacking, state.changes))
            };
            let now = Instant::now();
            if lacking.is_none() || lacking != seen {
                (since, seen) = (now, lacking);
            }
            if let Some((lacking, _)) = lacking
                && now >= since + within
            {
                return lacking;
            }
            sleep_until(now + step).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    /// Takes `bytes` off, or all that is left.
    pub(crate) fn split(&mut self, bytes: u64) -> Self {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Self { lookahead: self.lookahead.clone(), bytes }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut state = self.lookahead.state();
        state.held -= self.bytes;
        state.changes += 1;
        drop(state);
        self.lookahead.changed.notify_waiters();
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let mut state = self.lookahead.state();
        state.unread -= 1;
        state.changes += 1;
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut state = self.lookahead.state();
        if let Some(at) = state.uploads.iter().position(|bytes| *bytes == self.bytes) {
            state.uploads.swap_remove(at);
        }
        drop(state);
        self.lookahead.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn streams_leave_room_for_the_part_of_an_upload() {
        let ahead = Lookahead::new(100, 2);
        let mut first = ahead.try_claim(90).unwrap();
        assert!(ahead.try_claim(90).is_some(), "without uploads the memory itself is the bound");
        let leave = ahead.leave(30);
        assert!(ahead.try_claim(1).is_none());
        let mut waiting = Box::pin(ahead.claim(20));
        assert!((&mut waiting).now_or_never().is_none());
        drop(first.split(40));
        let claimed = (&mut waiting).now_or_never().expect("50 and 20 leave 30");
        assert!(ahead.try_claim(1).is_none());
        drop(claimed);
        drop(leave);
        assert!(ahead.try_claim(90).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_starves_while_streams_hold_what_it_needs_and_nobody_reads_them() {
        let ahead = Lookahead::new(100, 1);
        let within = Duration::from_secs(8);
        let starves = |lacking| ahead.starves(30, within, move || Some(lacking));
        let soon = Duration::from_secs(20);
        assert!(tokio::time::timeout(soon, starves(Lacking::Memory)).await.is_err(), "nothing is held");
        let claim = ahead.try_claim(80).unwrap();
        assert_eq!(starves(Lacking::Memory).await, Lacking::Memory);
        assert!(tokio::time::timeout(soon, ahead.starves(30, within, || None)).await.is_err(), "nothing is needed");
        assert!(tokio::time::timeout(soon, starves(Lacking::Requests)).await.is_err());
        let unread = ahead.unread();
        assert_eq!(starves(Lacking::Requests).await, Lacking::Requests);
        // Somebody reads.
        let reads = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(5)).await;
                drop(ahead.try_claim(1));
            }
        };
        tokio::select! {
            _ = starves(Lacking::Memory) => panic!("it is read"),
            () = reads => {}
        }
        drop((claim, unread));
    }
}

//! The line between a lab and its clients, whichever face they use: its clock, its counters, its network, and the
//! connections over it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::clock::Clock;
use super::counters::Counters;
use crate::rules::network::{Flow, Link, Network};

/// The direction of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Down,
    Up,
}

/// One lab's line.
pub(super) struct Line {
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    network: Mutex<Network>,
    limited: bool,
}

impl Line {
    pub(super) fn new(counters: Arc<Counters>, network: Network) -> Self {
        let limited = network.down.is_limited();
        Self { clock: Clock::default(), counters, network: Mutex::new(network), limited }
    }

    pub(super) fn network(&self) -> std::sync::MutexGuard<'_, Network> {
        self.network.lock().expect("the model does not panic")
    }

    /// A flow of its own for a body whose first byte is ready at `start`; `None` where bandwidth is unlimited.
    pub(super) fn open(&self, direction: Direction, start: Duration) -> Option<Flow> {
        self.limited.then(|| self.link(direction, |link| link.open(start)))
    }

    pub(super) fn link<T>(&self, direction: Direction, act: impl FnOnce(&mut Link) -> T) -> T {
        let mut network = self.network();
        match direction {
            Direction::Down => act(&mut network.down),
            Direction::Up => act(&mut network.up),
        }
    }

    /// Opens a connection now; `abort` is set when it is to end with a reset.
    pub(super) fn connect(self: &Arc<Self>, abort: Arc<AtomicBool>) -> Connection {
        let ready = self.clock.now() + self.network().connect();
        let id = self.counters.connection_opened();
        Connection { line: self.clone(), id, ready, reusable: AtomicBool::new(false), abort }
    }
}

/// One connection, of either face.
pub(crate) struct Connection {
    line: Arc<Line>,
    id: u64,
    /// When its first request is let in.
    ready: Duration,
    reusable: AtomicBool,
    abort: Arc<AtomicBool>,
}

impl Connection {
    /// Its answer was handed over whole: it may carry another request.
    pub(super) fn reusable(&self) {
        self.reusable.store(true, Ordering::Release);
    }

    /// Ends with a reset.
    pub(super) fn abort(&self) {
        self.abort.store(true, Ordering::Release);
    }

    /// Whether its last answer was handed over whole.
    #[cfg(feature = "sdk")]
    pub(super) fn is_reusable(&self) -> bool {
        self.reusable.load(Ordering::Acquire)
    }

    /// It carries a request: it may carry another one only once that is answered.
    pub(super) fn is_used(&self) {
        self.reusable.store(false, Ordering::Release);
    }

    /// Its number.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// When it is ready for its first request.
    pub(super) fn ready(&self) -> Duration {
        self.ready
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.line.counters.connection_closed();
    }
}

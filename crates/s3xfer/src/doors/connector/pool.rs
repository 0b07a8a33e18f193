//! Connections that wait for their next request.
//!
//! The last one that came back goes out first: its congestion window is the widest, and the others grow old. No task
//! watches them; they are looked at when one is wanted or comes back. Dropping the pool closes them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::stream::Connection;

/// How long a connection may wait. S3 closes after 20 s (vectordotdev/vector#9703, aio-libs/aiobotocore#21); earlier, so
/// that a request rarely meets a connection that is just being closed.
const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// Where connections lead.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
}

/// The waiting connections of one client.
#[derive(Debug, Default)]
pub(super) struct Pool {
    idle: Mutex<HashMap<Origin, Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// A connection that looks alive.
    pub(super) fn take(&self, origin: &Origin) -> Option<Connection> {
        let now = Instant::now();
        // Closing takes a system call each, which nobody should wait for with the lock in hand.
        let mut closed = Vec::new();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.get_mut(origin)?;
        closed.extend(waiting.drain(..aged(waiting, now)));
        let mut found = None;
        while let Some(candidate) = waiting.pop() {
            if candidate.connection.is_usable() {
                found = Some(candidate.connection);
                break;
            }
            closed.push(candidate);
        }
        drop(idle);
        drop(closed);
        found
    }

    /// Connections that [`take`](Self::take) would find.
    #[cfg(test)]
    pub(super) fn usable(&self) -> usize {
        let idle = self.idle.lock().unwrap();
        idle.values().flatten().filter(|waiting| waiting.connection.is_usable()).count()
    }

    /// Keeps a connection for later. Nothing of its last answer may be left to read.
    pub(super) fn put(&self, origin: Origin, mut connection: Connection) {
        connection.rest();
        let now = Instant::now();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.entry(origin).or_default();
        let closed: Vec<Idle> = waiting.drain(..aged(waiting, now)).collect();
        waiting.push(Idle { connection, since: now });
        drop(idle);
        drop(closed);
    }
}

/// How many at the front have waited too long: they are in the order in which they came.
fn aged(waiting: &[Idle], now: Instant) -> usize {
    waiting.partition_point(|idle| now.duration_since(idle.since) >= IDLE_LIMIT)
}

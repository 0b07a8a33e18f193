//! Connections that wait for their next request.
//!
//! The connection that came back last is used first: its congestion window is the widest, and the others can grow old.
//! A request that has waited long for a new connection may ask for the next connection that becomes free; if several
//! do, the first gets it.
//!
//! Two limits bound the idle connections of all hosts together. Their number has a maximum: the oldest is closed to
//! make room, also for a new connection when the maximum of open connections is reached. And none stays idle for longer
//! than [`IDLE_LIMIT`]: whenever a connection is needed or comes back, and by a task, all that have waited too long are
//! closed. The task lives on the connections' own runtime while one of them is idle. If that runtime ends, the
//! connections are closed with it, because they could not be used any more. Dropping the pool closes them, too.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::future::pending;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::{self, Handle};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use super::proxy::Proxy;
use super::stream::Connection;
use crate::doors::machine;

/// Longest wait of a connection. S3 closes after 20 s (vectordotdev/vector#9703, aio-libs/aiobotocore#21). This limit
/// is lower, so that a request rarely meets a connection that is just being closed.
pub(super) const IDLE_LIMIT: Duration = Duration::from_secs(15);

/// The share of the connections that may be open, in use or not, that may wait.
const IDLE_SHARE: u32 = 2;

/// The far end of connections: host, port, and the proxy on the way.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// Through which they go.
    pub(super) proxy: Option<Arc<Proxy>>,
}

impl Origin {
    /// Host and port that connections are opened to.
    pub(super) fn dialled(&self) -> (&str, u16) {
        self.proxy.as_ref().map_or((&self.host, self.port), |proxy| (proxy.host(), proxy.port()))
    }
}

/// The waiting connections of one client.
#[derive(Debug)]
pub(super) struct Pool {
    most: usize,
    waiting: Mutex<Waiting>,
    /// Notified when the pool is dropped.
    dropped: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// In the order of their return: the oldest first.
    all: BTreeMap<u64, Idle>,
    /// The same, by endpoint.
    by_origin: HashMap<Origin, VecDeque<u64>>,
    /// Number of connections so far.
    came: u64,
    /// The runtimes on which a task closes connections that have aged.
    watched: HashSet<runtime::Id>,
    /// Requests that take the next connection that comes back: the first one asked first.
    wanted: VecDeque<Wanted>,
}

#[derive(Debug)]
struct Wanted {
    origin: Origin,
    runtime: runtime::Id,
    given: oneshot::Sender<Connection>,
}

/// A request's place among the requests that wait for a connection, until it is dropped.
struct Want<'a> {
    pool: &'a Arc<Pool>,
    origin: &'a Origin,
    given: oneshot::Receiver<Connection>,
}

#[derive(Debug)]
struct Idle {
    origin: Origin,
    connection: Connection,
    since: Instant,
}

/// Closes connections that have aged, on one runtime.
struct Watch {
    /// The pool must not live on because of it.
    pool: Weak<Pool>,
    runtime: runtime::Id,
    /// Nothing of its runtime waits any more.
    done: bool,
}

impl Default for Pool {
    fn default() -> Self {
        Self::of((machine::connections() / IDLE_SHARE).max(1) as usize)
    }
}

impl Pool {
    /// An empty pool for at most `most` idle connections.
    pub(super) fn of(most: usize) -> Self {
        Self { most, waiting: Mutex::default(), dropped: Arc::default() }
    }

    /// A connection that looks alive.
    pub(super) fn take(&self, origin: &Origin) -> Option<Connection> {
        // Each close is a system call, for which no other task should wait while the lock is held.
        let mut closed = Vec::new();
        let mut waiting = self.waiting();
        waiting.take_aged(Instant::now(), &mut closed);
        let mut found = None;
        while let Some(candidate) = waiting.take_newest(origin) {
            if candidate.connection.is_usable() {
                found = Some(candidate.connection);
                break;
            }
            closed.push(candidate);
        }
        drop(waiting);
        drop(closed);
        found
    }

    /// An idle connection, or the next one that is returned.
    pub(super) async fn returned(self: &Arc<Self>, origin: &Origin) -> Connection {
        loop {
            // Registered before the check for idle connections, so that no return between the two is missed.
            let mut want = self.want(origin);
            if let Some(waiting) = self.take(origin) {
                return waiting;
            }
            match (&mut want.given).await {
                Ok(given) if given.is_usable() => return given,
                Ok(_closed) => {}
                // The pool goes, and the request with it.
                Err(_) => pending().await,
            }
        }
    }

    fn want<'a>(self: &'a Arc<Self>, origin: &'a Origin) -> Want<'a> {
        let (give, given) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.wanted.retain(|wanted| !wanted.given.is_closed());
        let runtime = Handle::current().id();
        waiting.wanted.push_back(Wanted { origin: origin.clone(), runtime, given: give });
        drop(waiting);
        Want { pool: self, origin, given }
    }

    /// Keeps a connection for later, or gives it to the request that has asked for one first. Nothing of its last
    /// answer may be left to read.
    pub(super) fn put(self: &Arc<Self>, origin: Origin, connection: Connection) {
        let Some(mut connection) = self.waiting().give(&origin, connection) else { return };
        connection.rest();
        let runtime = connection.runtime().clone();
        let now = Instant::now();
        let mut closed = Vec::new();
        let mut waiting = self.waiting();
        waiting.take_aged(now, &mut closed);
        waiting.add(Idle { origin, connection, since: now });
        while waiting.all.len() > self.most {
            closed.extend(waiting.take_oldest());
        }
        let unwatched = waiting.watched.insert(runtime.id());
        drop(waiting);
        drop(closed);
        if unwatched {
            // A runtime that has ended drops the task at once, and the connection with it.
            let watch = Watch { pool: Arc::downgrade(self), runtime: runtime.id(), done: false };
            runtime.spawn(watch.run(self.dropped.clone()));
        }
    }

    /// Closes the connection that has been idle longest, if there is one: another connection needs its place.
    pub(super) fn close_oldest(&self) {
        let oldest = self.waiting().take_oldest();
        drop(oldest);
    }

    /// Closes all of them: something else needs their descriptors.
    pub(super) fn clear(&self) {
        let mut waiting = self.waiting();
        let closed = (mem::take(&mut waiting.all), mem::take(&mut waiting.by_origin));
        drop(waiting);
        drop(closed);
    }

    /// Connections that [`take`](Self::take) would find.
    #[cfg(test)]
    pub(super) fn usable(&self) -> usize {
        self.waiting().all.values().filter(|waiting| waiting.connection.is_usable()).count()
    }

    /// Requests that wait for a connection to come back.
    #[cfg(test)]
    pub(super) fn wanted(&self) -> usize {
        self.waiting().wanted.iter().filter(|wanted| !wanted.given.is_closed()).count()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.dropped.notify_waiters();
    }
}

impl Waiting {
    fn add(&mut self, idle: Idle) {
        self.came += 1;
        self.by_origin.entry(idle.origin.clone()).or_default().push_back(self.came);
        self.all.insert(self.came, idle);
    }

    /// Gives the connection to the first that wants it, or back.
    fn give(&mut self, origin: &Origin, mut connection: Connection) -> Option<Connection> {
        let runtime = connection.runtime().id();
        let may_take = |wanted: &Wanted| wanted.runtime == runtime && wanted.origin == *origin;
        while let Some(first) = self.wanted.iter().position(may_take) {
            let wanted = self.wanted.remove(first)?;
            match wanted.given.send(connection) {
                Ok(()) => return None,
                Err(unwanted) => connection = unwanted,
            }
        }
        Some(connection)
    }

    fn take_newest(&mut self, origin: &Origin) -> Option<Idle> {
        let of_origin = self.by_origin.get_mut(origin)?;
        let number = of_origin.pop_back();
        if of_origin.is_empty() {
            self.by_origin.remove(origin);
        }
        self.all.remove(&number?)
    }

    fn take_oldest(&mut self) -> Option<Idle> {
        let (_, oldest) = self.all.pop_first()?;
        // The oldest of all is the oldest of its origin.
        if let Some(of_origin) = self.by_origin.get_mut(&oldest.origin) {
            of_origin.pop_front();
            if of_origin.is_empty() {
                self.by_origin.remove(&oldest.origin);
            }
        }
        Some(oldest)
    }

    fn take_aged(&mut self, now: Instant, aged: &mut Vec<Idle>) {
        while self.next_age().is_some_and(|at| at <= now) {
            aged.extend(self.take_oldest());
        }
    }

    /// When the oldest has waited for long enough.
    fn next_age(&self) -> Option<Instant> {
        self.all.first_key_value().map(|(_, oldest)| oldest.since + IDLE_LIMIT)
    }

    fn take_of(&mut self, runtime: runtime::Id) -> Vec<Idle> {
        let of_runtime = |_: &u64, idle: &mut Idle| idle.connection.runtime().id() == runtime;
        let taken: BTreeMap<u64, Idle> = self.all.extract_if(.., of_runtime).collect();
        self.by_origin.retain(|_, numbers| {
            numbers.retain(|number| !taken.contains_key(number));
            !numbers.is_empty()
        });
        taken.into_values().collect()
    }
}

/// A connection that was given and not taken goes to the next one.
impl Drop for Want<'_> {
    fn drop(&mut self) {
        self.given.close();
        if let Ok(unused) = self.given.try_recv() {
            self.pool.put(self.origin.clone(), unused);
        }
    }
}

impl Watch {
    async fn run(mut self, dropped: Arc<Notify>) {
        loop {
            // Made before the pool is looked at, it misses no drop.
            let dropped = dropped.notified();
            let Some(until) = self.close_aged() else { return };
            tokio::select! {
                () = sleep_until(until) => {}
                () = dropped => return,
            }
        }
    }

    /// When to look again; `None` if nothing of this runtime waits, and no task is needed.
    fn close_aged(&mut self) -> Option<Instant> {
        let pool = self.pool.upgrade()?;
        let mut closed = Vec::new();
        let mut waiting = pool.waiting();
        waiting.take_aged(Instant::now(), &mut closed);
        self.done = !waiting.all.values().any(|idle| idle.connection.runtime().id() == self.runtime);
        if self.done {
            waiting.watched.remove(&self.runtime);
        }
        let next = waiting.next_age().filter(|_| !self.done);
        drop(waiting);
        drop(closed);
        next
    }
}

/// Not done means that the runtime ends, or the pool is gone.
impl Drop for Watch {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade().filter(|_| !self.done) else { return };
        let mut waiting = pool.waiting();
        waiting.watched.remove(&self.runtime);
        let closed = waiting.take_of(self.runtime);
        drop(waiting);
        drop(closed);
    }
}

//! The limits that all transfers of a client share: request permits, memory and bandwidth.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep};

use crate::doors::machine;
use crate::engine::lookahead::Lookahead;
use crate::engine::turns::{Turn, Turns};
use crate::rules::admission::{Admission, REQUEST_BYTES};
use crate::rules::pace::Pacer;
use crate::words::config::{LEAST_MEMORY, TransferConfig};

/// Most bytes in one reservation: the most that tokio's semaphore counts at once.
pub(crate) const LARGEST_ROOM: u64 = u32::MAX as u64;
/// Share of the machine's memory that transfers may take by default.
const MEMORY_SHARE: u64 = 4;

/// Shared by every transfer that runs under one configuration of one client.
#[derive(Debug)]
pub(crate) struct Limits {
    requests: u32,
    /// The same, if memory were no limit.
    requests_without_memory_limit: u32,
    small_at_once: u32,
    permits: Arc<Semaphore>,
    /// `None`: all that have permits run.
    turns: Option<Arc<Turns>>,
    memory: Arc<Memory>,
    lookahead: Arc<Lookahead>,
    pacer: Option<Mutex<Pacer>>,
    zero: Instant,
    /// Multipart uploads that the server has begun, or may have, and that are not ended yet.
    open_uploads: watch::Sender<u32>,
}

/// A multipart upload that is not ended, until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenUpload {
    limits: Arc<Limits>,
}

/// Bytes that may wait, one permit each. The share of the requests in flight comes with their permits.
#[derive(Debug)]
struct Memory {
    free: Arc<Semaphore>,
    bytes: u64,
    /// Held by a reservation that takes more than the semaphore counts at once.
    large: tokio::sync::Mutex<()>,
    held: AtomicU64,
    peak: AtomicU64,
}

/// The right to have one request in flight.
#[derive(Debug)]
pub(crate) struct RequestPermit {
    _permit: OwnedSemaphorePermit,
    _connection: OwnedSemaphorePermit,
    memory: Arc<Memory>,
}

/// Room in memory, given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    permit: OwnedSemaphorePermit,
    memory: Arc<Memory>,
}

/// Files that downloads of this process may have open: a share of the descriptors, over all clients.
static FILES: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let downloads = (machine::files() / FILES_OF_A_DOWNLOAD).max(1);
    Arc::new(Semaphore::new((downloads as usize).min(Semaphore::MAX_PERMITS)))
});

/// Requests that the transfers of this process may have in flight, a connection each, over all clients.
static CONNECTIONS: LazyLock<Arc<Semaphore>> =
    LazyLock::new(|| Arc::new(Semaphore::new(machine::connections() as usize)));

/// The target's folder, the temporary file, its journal, and a file that is open for a moment (a folder that is synced,
/// a handle that is closed).
const FILES_OF_A_DOWNLOAD: u32 = 4;

/// Waits until one more download into a file fits under the process's limit on open files. First come, first served.
pub(crate) async fn files() -> OwnedSemaphorePermit {
    FILES.clone().acquire_owned().await.expect("the semaphore is never closed")
}

/// Small downloads that run at once, of one request each. The default bound is one for the parts of large objects.
fn small_at_once(config: &TransferConfig, requests: u32) -> u32 {
    const AT_ONCE: u32 = 64;
    match config.max_concurrency() == TransferConfig::default().max_concurrency() {
        true => requests.min(AT_ONCE),
        false => requests,
    }
}

impl Limits {
    pub(crate) fn new(config: &TransferConfig) -> Arc<Self> {
        let limit = config.memory_limit().unwrap_or_else(|| (machine::memory_bytes() / MEMORY_SHARE).max(LEAST_MEMORY));
        let Admission { requests, waiting_bytes } = Admission::new(config, limit, machine::connections());
        let small_at_once = small_at_once(config, requests);
        Arc::new(Self {
            requests,
            requests_without_memory_limit: config.max_concurrency().min(machine::connections()).max(1),
            small_at_once,
            permits: Arc::new(Semaphore::new(requests as usize)),
            turns: config.adaptive_concurrency().then(|| Turns::new(small_at_once)),
            memory: Memory::new(waiting_bytes),
            lookahead: Lookahead::new(waiting_bytes, requests),
            pacer: config.max_bandwidth().map(|rate| Mutex::new(Pacer::new(rate))),
            zero: Instant::now(),
            open_uploads: watch::Sender::new(0),
        })
    }

    /// Counts one more multipart upload.
    pub(crate) fn open_upload(self: &Arc<Self>) -> OpenUpload {
        self.open_uploads.send_modify(|open| *open += 1);
        OpenUpload { limits: self.clone() }
    }

    /// Waits until every multipart upload has ended.
    pub(crate) async fn no_upload_open(&self) {
        let mut open = self.open_uploads.subscribe();
        // The sender lives as long as `self`.
        let _ = open.wait_for(|open| *open == 0).await;
    }

    /// Most requests in flight: the least that `max_concurrency`, the memory and the files that may be open allow.
    pub(crate) fn requests(&self) -> u32 {
        self.requests
    }

    /// The same, if memory were no limit.
    pub(crate) fn requests_without_memory_limit(&self) -> u32 {
        self.requests_without_memory_limit
    }

    /// Most small transfers at once, of one request each.
    pub(crate) fn small_at_once(&self) -> u32 {
        self.small_at_once
    }

    /// Bytes that may wait altogether.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        self.memory.bytes
    }

    /// The memory that streams hold ahead of their readers.
    pub(crate) fn lookahead(&self) -> &Arc<Lookahead> {
        &self.lookahead
    }

    /// Most memory that was held at one moment, by all transfers.
    pub(crate) fn peak_memory_bytes(&self) -> u64 {
        self.memory.peak.load(Ordering::Relaxed)
    }

    /// Waits until another download is worth beginning. To be called without a permit or memory.
    pub(crate) async fn turn(&self) -> Option<Turn> {
        match &self.turns {
            Some(turns) => Some(turns.turn().await),
            None => None,
        }
    }

    /// Waits for the right to have one more request in flight. First come, first served.
    pub(crate) async fn permit(&self) -> RequestPermit {
        let permit = self.permits.clone().acquire_owned().await.expect("the semaphore is never closed");
        let connection = CONNECTIONS.clone().acquire_owned().await.expect("the semaphore is never closed");
        self.memory.hold(REQUEST_BYTES);
        RequestPermit { _permit: permit, _connection: connection, memory: self.memory.clone() }
    }

    /// The right to have one more request in flight, if it is to be had without waiting.
    pub(crate) fn try_permit(&self) -> Option<RequestPermit> {
        let permit = self.permits.clone().try_acquire_owned().ok()?;
        let connection = CONNECTIONS.clone().try_acquire_owned().ok()?;
        self.memory.hold(REQUEST_BYTES);
        Some(RequestPermit { _permit: permit, _connection: connection, memory: self.memory.clone() })
    }

    /// Room for `bytes`, if there is any now; none for more than [`LARGEST_ROOM`].
    pub(crate) fn try_reserve(&self, bytes: u64) -> Option<Reservation> {
        if bytes > LARGEST_ROOM {
            return None;
        }
        let permits = self.memory.permits(bytes);
        Some(self.memory.reservation(self.memory.free.clone().try_acquire_many_owned(permits).ok()?))
    }

    /// Waits for room for `bytes`, at most [`LARGEST_ROOM`]; at most all that there is. First come, first served.
    pub(crate) async fn reserve(&self, bytes: u64) -> Reservation {
        let permits = self.memory.permits(bytes);
        let free = self.memory.free.clone();
        self.memory.reservation(free.acquire_many_owned(permits).await.expect("the semaphore is never closed"))
    }

    /// Waits for room for all of `bytes`, no more than there is, however many they are.
    pub(crate) async fn reserve_all(&self, bytes: u64) -> Vec<Reservation> {
        // One at a time: two that had half of it each would wait for each other.
        let _alone = self.memory.large.lock().await;
        let mut rooms = Vec::new();
        let mut left = bytes;
        while left > 0 {
            let part = left.min(LARGEST_ROOM);
            rooms.push(self.reserve(part).await);
            left -= part;
        }
        rooms
    }

    /// Part of a frame of `bytes` to pass on at once so that the bandwidth limit is kept smoothly.
    pub(crate) fn slice(&self, frame: &mut Bytes) -> Bytes {
        let most = self.pacer.as_ref().map_or(u64::MAX, |pacer| lock(pacer).slice_bytes());
        frame.split_to(frame.len().min(usize::try_from(most).unwrap_or(usize::MAX)))
    }

    /// Whether there is a bandwidth limit.
    pub(crate) fn are_paced(&self) -> bool {
        self.pacer.is_some()
    }

    /// Waits until `bytes` more fit under the bandwidth limit.
    pub(crate) async fn pace(&self, bytes: u64) {
        let Some(pacer) = &self.pacer else { return };
        let wait = lock(pacer).admit(self.zero.elapsed(), bytes);
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }
}

impl Memory {
    fn new(bytes: u64) -> Arc<Self> {
        let bytes = bytes.min(Semaphore::MAX_PERMITS as u64);
        let free = Arc::new(Semaphore::new(bytes as usize));
        let large = tokio::sync::Mutex::default();
        Arc::new(Self { free, bytes, large, held: AtomicU64::new(0), peak: AtomicU64::new(0) })
    }

    fn permits(&self, bytes: u64) -> u32 {
        u32::try_from(bytes.min(self.bytes)).unwrap_or(u32::MAX)
    }

    fn reservation(self: &Arc<Self>, permit: OwnedSemaphorePermit) -> Reservation {
        self.hold(permit.num_permits() as u64);
        Reservation { permit, memory: self.clone() }
    }

    fn hold(&self, bytes: u64) {
        let held = self.held.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(held, Ordering::Relaxed);
    }

    fn let_go(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Reservation {
    /// Bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.permit.num_permits() as u64
    }

    /// Takes `bytes` off, or all that is left.
    pub(crate) fn split(&mut self, bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(self.permit.num_permits());
        let permit = self.permit.split(bytes).expect("no more than there are");
        Self { permit, memory: self.memory.clone() }
    }

    /// Adds `other`'s room to this one's; together no more than [`LARGEST_ROOM`].
    pub(crate) fn merge(&mut self, mut other: Self) {
        let all = other.permit.num_permits();
        self.permit.merge(other.permit.split(all).expect("no more than there are"));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.memory.let_go(self.permit.num_permits() as u64);
    }
}

impl Drop for OpenUpload {
    fn drop(&mut self) {
        self.limits.open_uploads.send_modify(|open| *open -= 1);
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.memory.let_go(REQUEST_BYTES);
    }
}

fn lock(pacer: &Mutex<Pacer>) -> std::sync::MutexGuard<'_, Pacer> {
    pacer.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn limits(memory: u64, requests: u32) -> Arc<Limits> {
        Limits::new(&TransferConfig::builder().memory_limit(memory).max_concurrency(requests).build().unwrap())
    }

    #[test]
    fn more_than_the_semaphore_counts_at_once_is_counted_all_the_same() {
        let limits = limits(20 << 30, 1);
        let rooms = limits.reserve_all(9 << 30).now_or_never().unwrap();
        assert_eq!(rooms.iter().map(Reservation::bytes).sum::<u64>(), 9 << 30);
        assert!(limits.reserve_all(12 << 30).now_or_never().is_none(), "there are 11 GiB left");
        drop(rooms);
        assert!(limits.reserve_all(12 << 30).now_or_never().is_some());
    }

    #[tokio::test]
    async fn two_that_want_all_of_a_large_memory_have_it_one_after_the_other() {
        let limits = limits(20 << 30, 1);
        let all = limits.waiting_bytes();
        let taken = limits.reserve_all(all - LARGEST_ROOM / 2).await;
        let (mut one, mut other) = (Box::pin(limits.reserve_all(all)), Box::pin(limits.reserve_all(all)));
        assert!(futures::poll!(&mut one).is_pending() && futures::poll!(&mut other).is_pending());
        drop(taken);
        // Each is of several rooms: had the other one got hold of one of them, neither would ever have all.
        let rooms = one.now_or_never().expect("all is free");
        assert!(futures::poll!(&mut other).is_pending());
        drop(rooms);
        assert!(other.now_or_never().is_some());
    }

    #[test]
    fn room_is_given_back_and_what_was_held_is_counted() {
        let limits = limits(2 << 20, 1);
        let all = limits.waiting_bytes();
        assert_eq!(all, (2 << 20) - REQUEST_BYTES);
        let mut held = limits.try_reserve(1000).unwrap();
        assert!(limits.try_reserve(all).is_none(), "a thousand bytes are taken");
        assert!(limits.try_reserve(u64::MAX).is_none());
        let part = held.split(400);
        drop(held);
        let mut rest = limits.try_reserve(all - 400).unwrap();
        assert!(limits.try_reserve(1).is_none());
        rest.merge(part);
        drop(rest);
        assert!(limits.reserve(u64::MAX).now_or_never().is_some(), "more than there is means all there is");
        assert_eq!(limits.reserve_all(all).now_or_never().unwrap().len(), 1);
        let permit = limits.permit().now_or_never().unwrap();
        drop(permit);
        assert_eq!(limits.peak_memory_bytes(), all);
        assert_eq!(limits.memory.held.load(Ordering::Relaxed), 0);
    }
}

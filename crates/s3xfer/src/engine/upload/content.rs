//! [`Content`]: the bytes of one request, wherever they are, made ready as the network takes them.
//!
//! A body that is dropped gives back the memory that it holds; a read that is under way on a blocking thread ends on
//! its own.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::{Buf, Bytes};
use futures::stream::{Stream, unfold};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::doors::blocking;
use crate::doors::source::{READ_BYTES, SourceFile};
use crate::engine::counters::Stopwatch;
use crate::engine::limits::Reservation;
use crate::engine::session::Session;
use crate::rules::checksum::RunningChecksum;
use crate::rules::in_place::InPlace;
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::cut::Length;
use crate::words::progress::Share;

/// Most bytes that the network is given at once. Small, for a body counts as moving when it takes the next ones: on a
/// line of 10 KB/s that is every 7 s.
const PIECE_BYTES: usize = 64 << 10;

/// The bytes of one request.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// In memory, with the room that they take, if they count against the limit.
    Memory { chunks: Arc<[Bytes]>, _rooms: Arc<Vec<Reservation>> },
    /// In a file, which is read as they are sent.
    File { file: Arc<SourceFile>, bytes: Range<u64>, pace: ReadPace },
}

/// The time that reads of a file take, which decides on the thread that makes them. Clones are of the same file.
#[derive(Debug, Clone)]
pub(crate) struct ReadPace(Arc<Mutex<InPlace>>);

impl ReadPace {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(InPlace::on_probation())))
    }

    fn rule(&self) -> MutexGuard<'_, InPlace> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `job`, which opens a file or reads `bytes` of one: on this thread if the jobs before were quick, otherwise
    /// on a thread that may block. A job of more than [`READ_BYTES`] always goes there.
    pub(crate) async fn run<T: Send + 'static>(&self, bytes: u64, job: impl FnOnce() -> T + Send + 'static) -> T {
        let pace = self.clone();
        let timed = move || {
            let began = Instant::now();
            let done = job();
            pace.rule().took(bytes, began.elapsed());
            done
        };
        let in_place = bytes <= READ_BYTES && self.rule().allows(bytes);
        match in_place {
            true => timed(),
            false => blocking::run(timed).await,
        }
    }
}

/// The end of a body that was sent.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    /// The checksum of all its bytes, once all were read.
    checksum: Mutex<Option<u64>>,
    trouble: Mutex<Option<(u64, io::Error)>>,
}

impl Sent {
    /// The checksum, if the body was sent to its end.
    pub(crate) fn checksum(&self) -> Option<u64> {
        *self.checksum.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why it was not, if it was the source's fault: the byte, and the system's word.
    pub(crate) fn trouble(&self) -> Option<(u64, io::Error)> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The bytes of a part that the progress has counted: sent again, they do not count again.
#[derive(Debug, Clone)]
pub(crate) struct Counted {
    progress: Share,
    bytes: Arc<AtomicU64>,
}

impl Counted {
    /// Nothing yet.
    pub(crate) fn new(progress: Share) -> Self {
        Self { progress, bytes: Arc::default() }
    }

    /// The first `bytes` of the part were handed to the network.
    pub(crate) fn up_to(&self, bytes: u64) {
        let before = self.bytes.fetch_max(bytes, Ordering::Relaxed);
        if bytes > before {
            self.progress.add_written(bytes - before);
        }
    }
}

/// The counters of the parts: a part that is sent again, be it by a whole new upload, does not count again.
#[derive(Debug, Clone)]
pub(crate) struct Counters {
    progress: Share,
    parts: Arc<Mutex<HashMap<u64, Counted>>>,
}

impl Counters {
    pub(crate) fn new(progress: Share) -> Self {
        Self { progress, parts: Arc::default() }
    }

    pub(crate) fn of(&self, number: u64) -> Counted {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        parts.entry(number).or_insert_with(|| Counted::new(self.progress.clone())).clone()
    }
}

impl Content {
    /// Bytes of the caller's.
    pub(crate) fn given(bytes: Bytes) -> Self {
        Self::collected(vec![bytes], Vec::new())
    }

    /// Bytes that were read from a stream, in the room that was made for them.
    pub(crate) fn collected(chunks: Vec<Bytes>, rooms: Vec<Reservation>) -> Self {
        Self::Memory { chunks: chunks.into(), _rooms: Arc::new(rooms) }
    }

    /// Number of bytes.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Memory { chunks, .. } => chunks.iter().map(|chunk| chunk.len() as u64).sum(),
            Self::File { bytes, .. } => bytes.length(),
        }
    }

    /// The checksum of at most [`READ_BYTES`] in memory, which takes less time than waking another thread; `None` for
    /// more, and for a file.
    pub(crate) fn checksum_of_few(&self, algorithm: ChecksumAlgorithm) -> Option<u64> {
        let Self::Memory { chunks, .. } = self else { return None };
        let mut running = RunningChecksum::new(algorithm);
        (self.length() <= READ_BYTES).then(|| {
            chunks.iter().for_each(|chunk| running.update(chunk));
            running.value()
        })
    }

    /// Their checksum. A file is read for it.
    ///
    /// # Errors
    ///
    /// The byte at which the file could not be read, and the system's word.
    pub(crate) async fn checksum(&self, algorithm: ChecksumAlgorithm) -> Result<u64, (u64, io::Error)> {
        let content = self.clone();
        blocking::run(move || {
            let mut running = RunningChecksum::new(algorithm);
            match &content {
                Self::Memory { chunks, .. } => chunks.iter().for_each(|chunk| running.update(chunk)),
                Self::File { file, bytes, .. } => {
                    let mut at = bytes.start;
                    while at < bytes.end {
                        let next = at..bytes.end.min(at + READ_BYTES);
                        running.update(&file.read(&next).map_err(|error| (at, error))?);
                        at = next.end;
                    }
                }
            }
            Ok(running.value())
        })
        .await
    }

    /// Makes them ready, piece by piece. With `algorithm`, their checksum is computed as they are read.
    pub(crate) fn pieces(
        &self,
        session: Arc<Session>,
        algorithm: Option<ChecksumAlgorithm>,
        counted: Counted,
        sent: Arc<Sent>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        let running = algorithm.map(RunningChecksum::new);
        let reading = match self.clone() {
            Self::Memory { chunks, _rooms } => Reading::Memory { left: chunks.iter().cloned().collect(), _rooms },
            Self::File { file, bytes, pace } => Reading::File { file, left: bytes, ahead: None, pace },
        };
        let state = Pieces {
            session,
            reading,
            running,
            held: Bytes::new(),
            counted,
            sent,
            at: 0,
            own: Arc::new(Semaphore::new(1)),
        };
        unfold(state, |mut state| async move {
            let next = state.next().await?;
            Some((next, state))
        })
    }
}

/// Bytes, and the room that they take.
#[derive(Debug)]
struct Held {
    bytes: Bytes,
    _room: Room,
}

/// A buffer's right to be: the one that comes with a request's permit, or one more.
#[derive(Debug)]
enum Room {
    Own { _permit: OwnedSemaphorePermit },
    More { _reservation: Reservation },
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A read of a file: its bytes, and the checksum so far.
struct Read {
    bytes: io::Result<Bytes>,
    running: Option<RunningChecksum>,
    room: Room,
}

enum Reading {
    Memory { left: VecDeque<Bytes>, _rooms: Arc<Vec<Reservation>> },
    File { file: Arc<SourceFile>, left: Range<u64>, ahead: Option<blocking::Running<Read>>, pace: ReadPace },
}

struct Pieces {
    session: Arc<Session>,
    reading: Reading,
    /// Away while a read is under way.
    running: Option<RunningChecksum>,
    held: Bytes,
    counted: Counted,
    sent: Arc<Sent>,
    /// Bytes that were handed out.
    at: u64,
    /// The one buffer that the request's permit covers. The owner of a permit waits for no other memory, because the
    /// memory's owner may wait for a permit.
    own: Arc<Semaphore>,
}

impl Pieces {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        if self.held.is_empty() {
            // However empty, it keeps its buffer, and with it the permit that the read may wait for.
            self.held = Bytes::new();
            match self.read().await {
                Some(Ok(held)) => self.held = held,
                Some(Err((at, error))) => {
                    let told = io::Error::new(error.kind(), "the source cannot be read");
                    *self.sent.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, error));
                    return Some(Err(told));
                }
                None => {
                    let checksum = self.running.as_ref().map(RunningChecksum::value);
                    *self.sent.checksum.lock().unwrap_or_else(PoisonError::into_inner) = checksum;
                    return None;
                }
            }
        }
        let mut most = self.held.slice(..self.held.len().min(PIECE_BYTES));
        let piece = self.session.limits.slice(&mut most);
        let bytes = piece.len();
        self.held.advance(bytes);
        let Session { counters, limits, .. } = &*self.session;
        if limits.are_paced() {
            counters.waited.bandwidth.time(limits.pace(bytes as u64)).await;
        }
        let is_first = self.at == 0;
        self.at += bytes as u64;
        counters.frame(bytes, is_first, false);
        counters.arrive(bytes);
        self.counted.up_to(self.at);
        if self.held.is_empty() && self.is_at_the_end() {
            // A client that counts the bytes does not ask for more after the last one.
            let checksum = self.running.as_ref().map(RunningChecksum::value);
            *self.sent.checksum.lock().unwrap_or_else(PoisonError::into_inner) = checksum;
        }
        Some(Ok(piece))
    }

    fn is_at_the_end(&self) -> bool {
        match &self.reading {
            Reading::Memory { left, .. } => left.iter().all(Bytes::is_empty),
            Reading::File { left, ahead, .. } => left.is_empty() && ahead.is_none(),
        }
    }

    /// The next bytes of the source.
    async fn read(&mut self) -> Option<Result<Bytes, (u64, io::Error)>> {
        let (file, left, ahead, pace) = match &mut self.reading {
            Reading::Memory { left, .. } => {
                let bytes = std::iter::from_fn(|| left.pop_front()).find(|bytes| !bytes.is_empty())?;
                if let Some(running) = &mut self.running {
                    running.update(&bytes);
                }
                return Some(Ok(bytes));
            }
            Reading::File { file, left, ahead, pace } => (file, left, ahead, pace),
        };
        let read = match ahead.take() {
            Some(ahead) => self.session.counters.waited.sink.time(ahead).await,
            None if left.is_empty() => return None,
            None => {
                let next = first(left);
                let room = match room(&self.session, &self.own, next.length()) {
                    Some(room) => room,
                    None => {
                        let permit = self.own.clone().acquire_owned().await.expect("the semaphore is never closed");
                        Room::Own { _permit: permit }
                    }
                };
                let (running, waited) = (self.running.take(), &self.session.counters.waited.sink);
                let in_place = pace.rule().allows(next.length());
                match in_place {
                    true => waited.time(async { read(file, next, running, room, pace) }).await,
                    false => waited.time(begin(file, next, running, room, pace)).await,
                }
            }
        };
        let Read { bytes, running, room: taken } = read;
        let bytes = match bytes {
            Ok(bytes) => bytes,
            // The read behind has begun nowhere, so this is where the file could not be read.
            Err(error) => return Some(Err((left.start, error))),
        };
        // A slow read goes on beside the sending, if there is room for it.
        let next = first(left);
        let beside = !next.is_empty() && !pace.rule().allows(next.length());
        match beside.then(|| room(&self.session, &self.own, next.length())).flatten() {
            Some(room) => *ahead = Some(begin(file, next, running, room, pace)),
            None => {
                left.start = next.start;
                self.running = running;
            }
        }
        Some(Ok(Bytes::from_owner(Held { bytes, _room: taken })))
    }
}

/// Room for a buffer, if there is any now.
fn room(session: &Session, own: &Arc<Semaphore>, bytes: u64) -> Option<Room> {
    if let Ok(permit) = own.clone().try_acquire_owned() {
        return Some(Room::Own { _permit: permit });
    }
    session.limits.try_reserve(bytes).map(|reservation| Room::More { _reservation: reservation })
}

/// Takes the first bytes off, as many as are read at once.
fn first(left: &mut Range<u64>) -> Range<u64> {
    let bytes = left.start..left.end.min(left.start + READ_BYTES);
    left.start = bytes.end;
    bytes
}

fn begin(
    file: &Arc<SourceFile>,
    bytes: Range<u64>,
    running: Option<RunningChecksum>,
    room: Room,
    pace: &ReadPace,
) -> blocking::Running<Read> {
    let (file, pace) = (file.clone(), pace.clone());
    blocking::run(move || read(&file, bytes, running, room, &pace))
}

fn read(
    file: &SourceFile,
    bytes: Range<u64>,
    mut running: Option<RunningChecksum>,
    room: Room,
    pace: &ReadPace,
) -> Read {
    let (began, length) = (Instant::now(), bytes.length());
    let bytes = file.read(&bytes);
    pace.rule().took(length, began.elapsed());
    if let (Some(running), Ok(bytes)) = (&mut running, &bytes) {
        running.update(bytes);
    }
    Read { bytes, running, room }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn quick_jobs_run_on_the_callers_thread_once_enough_of_them_were_quick() {
        let (pace, here) = (ReadPace::new(), thread::current().id());
        let thread_of = |bytes, takes| {
            pace.run(bytes, move || {
                thread::sleep(takes);
                thread::current().id()
            })
        };
        assert_ne!(thread_of(1, Duration::ZERO).await, here, "nothing is known of the disk");
        // A busy machine has some of them take long.
        while !pace.rule().allows(1) {
            thread_of(1, Duration::ZERO).await;
        }
        assert_ne!(thread_of(READ_BYTES + 1, Duration::ZERO).await, here, "a large one");
        while !pace.rule().allows(1) {
            thread_of(1, Duration::ZERO).await;
        }
        assert_eq!(thread_of(1, Duration::from_millis(20)).await, here);
        assert_ne!(thread_of(1, Duration::ZERO).await, here, "the last one was slow");
    }

    #[tokio::test]
    async fn the_checksum_is_the_same_wherever_it_is_computed() {
        let bytes = Bytes::from(vec![7; READ_BYTES as usize + 1]);
        for length in [0, 1, READ_BYTES, READ_BYTES + 1] {
            let mut second = bytes.slice(..length as usize);
            let first = second.split_to(second.len() / 2);
            let content = Content::collected(vec![first, second], Vec::new());
            let elsewhere = content.checksum(ChecksumAlgorithm::Crc64Nvme).await.unwrap();
            let here = content.checksum_of_few(ChecksumAlgorithm::Crc64Nvme);
            assert_eq!(here, (length <= READ_BYTES).then_some(elsewhere), "{length}");
        }
    }
}

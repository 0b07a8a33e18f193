//! The way of pieces from the receiving tasks to the sink, through a bounded queue that one task at a time empties.
//!
//! If no task is writing, a task writes its own piece and those that other tasks bring meanwhile. The other tasks go
//! back to the network at once. So no two threads contend for the file's lock in the file system, where they would
//! sleep and be woken for every piece, and no piece is handed to an idle thread. When writes become slow, a thread that
//! may block takes over.
//!
//! When it is dropped, nothing is awaited: the writer finishes the queued pieces, into a file without a name, and ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use crate::doors::blocking;
use crate::engine::limits::Reservation;
use crate::engine::sink::Sink;
use crate::rules::in_place::InPlace;
use crate::words::config::TransferConfig;
use crate::words::failure::TransferError;
use crate::words::piece::Piece;
use crate::words::progress::Share;

/// The sink of one transfer's pieces. Clones write to the same sink.
#[derive(Clone)]
pub(crate) struct Writer {
    sink: Sink,
    progress: Share,
    written: Arc<Written>,
    /// `None`: every piece is written by the task that brings it (`use_threads = false`).
    queue: Option<Arc<Queue>>,
}

/// For the report.
#[derive(Debug, Default)]
struct Written {
    writes: AtomicU64,
    largest: AtomicU64,
}

/// As many pieces as one task writes before it goes back to its connection.
const IN_A_ROW: u32 = 16;

/// At most `max_io_queue` pieces, written in the order they came.
#[derive(Debug)]
struct Queue {
    slots: Arc<Semaphore>,
    capacity: u32,
    stopped: Notify,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Entry>,
    /// Pieces among them.
    pieces: usize,
    /// Whether a task is emptying the queue.
    draining: bool,
    /// The first error; nothing is written after it.
    failed: Option<TransferError>,
    peak: usize,
    in_place: InPlace,
}

#[derive(Debug)]
enum Entry {
    /// With its room in memory and the slot it occupies until it is written.
    Piece(Piece, Option<Reservation>, OwnedSemaphorePermit),
    /// Notified when all earlier pieces are written.
    Mark(oneshot::Sender<()>),
}

impl Writer {
    pub(crate) fn new(sink: Sink, config: &TransferConfig, progress: impl Into<Share>) -> Self {
        let queue = config.use_threads().then(|| {
            let capacity = config.max_io_queue();
            let slots = Arc::new(Semaphore::new(capacity as usize));
            Arc::new(Queue { slots, capacity, stopped: Notify::new(), state: Mutex::default() })
        });
        Self { sink, progress: progress.into(), written: Arc::default(), queue }
    }

    /// Whether frames are worth gathering until a piece is full.
    pub(crate) fn gathers(&self) -> bool {
        self.sink.gathers()
    }

    /// Accepts a piece, and keeps its `room` until the piece is written; waits while the queue is full.
    ///
    /// # Errors
    ///
    /// [`WriteError::Stopped`] once a piece could not be written; [`finish`](Self::finish) returns the reason.
    pub(crate) async fn push(&self, piece: Piece, room: Option<Reservation>) -> Result<(), WriteError> {
        let Some(queue) = &self.queue else {
            return Ok(self.write(&piece)?);
        };
        if !self.sink.gathers() {
            return Ok(self.write(&piece)?);
        }
        let slot = queue.slots.clone().acquire_owned().await.map_err(|_| WriteError::Stopped)?;
        self.enqueue(queue, Entry::Piece(piece, room, slot))
    }

    /// Waits until every piece that this task has pushed is written.
    ///
    /// # Errors
    ///
    /// [`WriteError::Stopped`].
    pub(crate) async fn settled(&self) -> Result<(), WriteError> {
        let Some(queue) = &self.queue else { return Ok(()) };
        if !queue.state().draining {
            return (!queue.slots.is_closed()).then_some(()).ok_or(WriteError::Stopped);
        }
        let (mark, told) = oneshot::channel();
        self.enqueue(queue, Entry::Mark(mark))?;
        told.await.map_err(|_| WriteError::Stopped)
    }

    /// Completes when a queued piece could not be written; never otherwise.
    pub(crate) async fn stopped(&self) {
        match &self.queue {
            Some(queue) => queue.stopped.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Waits until the kernel has accepted every piece.
    ///
    /// # Errors
    ///
    /// The first error of any write.
    pub(crate) async fn finish(&self) -> Result<(), TransferError> {
        let Some(queue) = &self.queue else { return Ok(()) };
        // All slots are free again when all pieces are written; closed slots mean that a write failed.
        let all = queue.slots.acquire_many(queue.capacity).await;
        match queue.state().failed.take() {
            Some(error) => Err(error),
            None => {
                drop(all.expect("the slots are closed only after an error, which is asked for once"));
                Ok(())
            }
        }
    }

    /// The largest number of pieces that waited at the same time.
    pub(crate) fn peak(&self) -> u32 {
        self.queue.as_ref().map_or(0, |queue| u32::try_from(queue.state().peak).unwrap_or(u32::MAX))
    }

    /// Pieces written so far.
    pub(crate) fn writes(&self) -> u64 {
        self.written.writes.load(Ordering::Relaxed)
    }

    /// Bytes of the largest of them.
    pub(crate) fn largest_write_bytes(&self) -> u64 {
        self.written.largest.load(Ordering::Relaxed)
    }

    fn enqueue(&self, queue: &Arc<Queue>, entry: Entry) -> Result<(), WriteError> {
        let in_place = {
            let mut state = queue.state();
            // The error itself may have been reported already.
            if queue.slots.is_closed() {
                return Err(WriteError::Stopped);
            }
            let bytes = match &entry {
                Entry::Piece(piece, ..) => piece.len(),
                Entry::Mark(_) => 0,
            };
            state.pieces += usize::from(bytes > 0);
            state.peak = state.peak.max(state.pieces);
            state.waiting.push_back(entry);
            if std::mem::replace(&mut state.draining, true) {
                return Ok(());
            }
            self.sink.is_quick() && state.in_place.allows(bytes)
        };
        if in_place && self.drain(queue, IN_A_ROW) {
            return Ok(());
        }
        let (writer, queue) = (self.clone(), Arc::clone(queue));
        blocking::spawn(move || {
            writer.drain(&queue, u32::MAX);
        });
        Ok(())
    }

    /// Writes the waiting pieces, but no more than `most`, and none in place once writes are slow. False: another
    /// thread must continue.
    fn drain(&self, queue: &Queue, most: u32) -> bool {
        for written in 0.. {
            let entry = {
                let mut state = queue.state();
                let next = match state.waiting.front() {
                    None => {
                        state.draining = false;
                        return true;
                    }
                    Some(Entry::Piece(piece, ..)) => piece.len(),
                    Some(Entry::Mark(_)) => 0,
                };
                if most != u32::MAX && (written >= most || !state.in_place.allows(next)) {
                    return false;
                }
                state.waiting.pop_front().expect("it has a front")
            };
            match entry {
                Entry::Mark(told) => drop(told.send(())),
                Entry::Piece(piece, room, slot) => {
                    if let Err(error) = self.timed_write(queue, &piece) {
                        let mut state = queue.state();
                        state.failed = Some(error);
                        state.waiting.clear();
                        state.draining = false;
                        queue.slots.close();
                        queue.stopped.notify_one();
                        return true;
                    }
                    queue.state().pieces -= 1;
                    drop((room, slot));
                }
            }
        }
        true
    }

    fn timed_write(&self, queue: &Queue, piece: &Piece) -> Result<(), TransferError> {
        let began = Instant::now();
        self.write(piece)?;
        queue.state().in_place.took(piece.len(), began.elapsed());
        Ok(())
    }

    fn write(&self, piece: &Piece) -> Result<(), TransferError> {
        self.sink.write(piece)?;
        self.written.writes.fetch_add(1, Ordering::Relaxed);
        self.written.largest.fetch_max(piece.len(), Ordering::Relaxed);
        self.progress.add_written(piece.len());
        Ok(())
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a piece was not taken.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// An earlier piece could not be written; the queue keeps its error.
    Stopped,
    /// This one could not.
    Failed(TransferError),
}

impl From<TransferError> for WriteError {
    fn from(error: TransferError) -> Self {
        Self::Failed(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use bytes::Bytes;
    use futures::FutureExt;

    use super::*;
    use crate::doors::disk::StagedFile;
    use crate::words::progress::Progress;

    /// As after a slow write.
    fn behind_a_queue(staged: &StagedFile, config: &TransferConfig) -> Writer {
        let writer = Writer::new(Sink::File(staged.open_file()), config, Progress::new());
        writer.queue.as_ref().unwrap().state().in_place.took(1, Duration::from_secs(1));
        writer
    }

    #[tokio::test]
    async fn pieces_are_written_by_the_task_that_brings_them_while_that_is_quick() {
        let folder = tempfile::tempdir().unwrap();
        let staged = StagedFile::create(&folder.path().join("x")).unwrap();
        let writer = Writer::new(Sink::File(staged.open_file()), &TransferConfig::default(), Progress::new());
        let piece = |n: u64| Piece { offset: n, frames: vec![Bytes::from_static(b"x")] };
        assert!(writer.push(piece(0), None).now_or_never().is_some());
        assert_eq!((writer.writes(), writer.peak()), (1, 1), "written when the call returns");
        // A busy machine may make one of these slow, and the next ones go through the queue.
        for n in 1..200 {
            writer.push(piece(n), None).await.unwrap();
        }
        writer.finish().await.unwrap();
        assert_eq!((writer.writes(), writer.largest_write_bytes()), (200, 1));
    }

    #[tokio::test]
    async fn settled_waits_for_the_pieces_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let staged = StagedFile::create(&folder.path().join("x")).unwrap();
        let writer = behind_a_queue(&staged, &TransferConfig::default());
        for n in 0..20 {
            writer.push(Piece { offset: n, frames: vec![Bytes::from_static(b"x")] }, None).await.unwrap();
        }
        writer.settled().await.unwrap();
        assert_eq!((writer.writes(), writer.peak() > 0), (20, true));
    }

    #[test]
    fn as_many_pieces_wait_as_max_io_queue_allows_and_no_more() {
        // The one thread that may block is kept busy: nothing is written until it is let go.
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        let (let_go, wait) = mpsc::channel::<()>();
        runtime.spawn_blocking(move || wait.recv());
        runtime.block_on(async {
            for capacity in [1, 2, 7] {
                let folder = tempfile::tempdir().unwrap();
                let staged = StagedFile::create(&folder.path().join("x")).unwrap();
                let config = TransferConfig::builder().max_io_queue(capacity).build().unwrap();
                let writer = behind_a_queue(&staged, &config);
                let piece = |n: u32| Piece { offset: n.into(), frames: vec![Bytes::from_static(b"x")] };
                for n in 0..capacity {
                    assert!(writer.push(piece(n), None).now_or_never().is_some(), "piece {n} of {capacity}");
                }
                assert!(writer.push(piece(capacity), None).now_or_never().is_none(), "one more than {capacity}");
                assert_eq!(writer.peak(), capacity);
                assert!(writer.finish().now_or_never().is_none(), "pieces still wait");
            }
        });
        let_go.send(()).unwrap();
    }

    #[tokio::test]
    async fn a_write_that_fails_stops_the_network_side_and_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let staged = StagedFile::create(&folder.path().join("x")).unwrap();
        let config = TransferConfig::builder().max_io_queue(2).build().unwrap();
        let writer = behind_a_queue(&staged, &config);
        // No file reaches this far: EFBIG or EINVAL.
        let beyond = Piece { offset: u64::MAX / 2 - 1, frames: vec![Bytes::from_static(b"xyz")] };
        writer.push(beyond.clone(), None).await.unwrap();
        let stopped = async {
            loop {
                if let Err(error) = writer.push(beyond.clone(), None).await {
                    return error;
                }
            }
        };
        assert!(matches!(stopped.await, WriteError::Stopped));
        assert!(matches!(writer.finish().await, Err(TransferError::Disk { .. })));
        assert_eq!(writer.writes(), 0);
    }

    #[tokio::test]
    async fn what_failed_once_is_never_settled_not_even_after_the_error_was_told() {
        let folder = tempfile::tempdir().unwrap();
        let staged = StagedFile::create(&folder.path().join("x")).unwrap();
        let writer = Writer::new(Sink::File(staged.open_file()), &TransferConfig::default(), Progress::new());
        let beyond = Piece { offset: u64::MAX / 2 - 1, frames: vec![Bytes::from_static(b"xyz")] };
        writer.push(beyond, None).await.unwrap();
        assert!(writer.finish().await.is_err());
        // A part whose pieces were dropped would be recorded as written.
        assert!(matches!(writer.settled().await, Err(WriteError::Stopped)));
    }
}

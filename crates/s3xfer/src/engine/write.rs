//! From the network's tasks to the disk: a bounded queue with one writer.
//!
//! Dropped in the middle, nothing is awaited: the writer finishes the pieces that are queued, into a file that has lost
//! its name, and ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;

use crate::doors::disk::OpenFile;
use crate::words::config::TransferConfig;
use crate::words::failure::DownloadError;
use crate::words::piece::Piece;
use crate::words::progress::Progress;

/// Where the pieces of one transfer go. Clones write to the same file.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    file: OpenFile,
    progress: Progress,
    writes: Arc<AtomicU64>,
    /// `None`: pieces are written by the task that brings them (`use_threads = false`).
    queue: Option<Arc<Queue>>,
}

/// At most `max_io_queue` pieces, written in the order they came by a blocking task that lives while there are any.
#[derive(Debug)]
struct Queue {
    slots: Arc<Semaphore>,
    capacity: u32,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Each with the slot it occupies until it is on the disk.
    waiting: VecDeque<(Piece, OwnedSemaphorePermit)>,
    /// Whether a blocking task is emptying the queue.
    draining: bool,
    /// The first error; nothing is written after it.
    failed: Option<DownloadError>,
    peak: usize,
}

impl Writer {
    pub(crate) fn new(file: OpenFile, config: &TransferConfig, progress: Progress) -> Self {
        let queue = config.use_threads().then(|| {
            let capacity = config.max_io_queue();
            Arc::new(Queue { slots: Arc::new(Semaphore::new(capacity as usize)), capacity, state: Mutex::default() })
        });
        Self { file, progress, writes: Arc::default(), queue }
    }

    /// Hands over a piece; waits while the queue is full.
    ///
    /// # Errors
    ///
    /// [`WriteError::Stopped`] once any piece could not be written; [`finish`](Self::finish) tells why.
    pub(crate) async fn push(&self, piece: Piece) -> Result<(), WriteError> {
        let Some(queue) = &self.queue else {
            return Ok(self.write(&piece)?);
        };
        let slot = queue.slots.clone().acquire_owned().await.map_err(|_| WriteError::Stopped)?;
        let mut state = queue.state();
        if state.failed.is_some() {
            return Err(WriteError::Stopped);
        }
        state.waiting.push_back((piece, slot));
        state.peak = state.peak.max(state.waiting.len());
        if !state.draining {
            state.draining = true;
            let writer = self.clone();
            let queue = Arc::clone(queue);
            spawn_blocking(move || writer.drain(&queue));
        }
        Ok(())
    }

    /// Waits until every piece is on its way to the disk (in the kernel's hands).
    ///
    /// # Errors
    ///
    /// The first one that any write met.
    pub(crate) async fn finish(&self) -> Result<(), DownloadError> {
        let Some(queue) = &self.queue else { return Ok(()) };
        // All slots are free again when all pieces are written; closed ones say that a write failed.
        let all = queue.slots.acquire_many(queue.capacity).await;
        match queue.state().failed.take() {
            Some(error) => Err(error),
            None => {
                drop(all.expect("the slots are closed only after an error"));
                Ok(())
            }
        }
    }

    /// Most pieces that waited at one moment.
    pub(crate) fn peak(&self) -> u32 {
        self.queue.as_ref().map_or(0, |queue| u32::try_from(queue.state().peak).unwrap_or(u32::MAX))
    }

    /// Pieces written so far.
    pub(crate) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    fn drain(&self, queue: &Queue) {
        loop {
            let (piece, slot) = {
                let mut state = queue.state();
                match state.waiting.pop_front() {
                    Some(next) => next,
                    None => {
                        state.draining = false;
                        return;
                    }
                }
            };
            if let Err(error) = self.write(&piece) {
                let mut state = queue.state();
                state.failed = Some(error);
                state.waiting.clear();
                state.draining = false;
                queue.slots.close();
                return;
            }
            drop(slot);
        }
    }

    fn write(&self, piece: &Piece) -> Result<(), DownloadError> {
        self.file.write(piece)?;
        self.writes.fetch_add(1, Ordering::Relaxed);
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
    Disk(DownloadError),
}

impl From<DownloadError> for WriteError {
    fn from(error: DownloadError) -> Self {
        Self::Disk(error)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use bytes::Bytes;
    use futures::FutureExt;

    use super::*;
    use crate::doors::disk::StagedFile;

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
                let writer = Writer::new(staged.open_file(), &config, Progress::new());
                let piece = |n: u32| Piece { offset: n.into(), frames: vec![Bytes::from_static(b"x")] };
                for n in 0..capacity {
                    assert!(writer.push(piece(n)).now_or_never().is_some(), "piece {n} of {capacity}");
                }
                assert!(writer.push(piece(capacity)).now_or_never().is_none(), "one more than {capacity}");
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
        let writer = Writer::new(staged.open_file(), &config, Progress::new());
        // No file reaches this far: EFBIG or EINVAL.
        let beyond = Piece { offset: u64::MAX / 2 - 1, frames: vec![Bytes::from_static(b"xyz")] };
        writer.push(beyond.clone()).await.unwrap();
        let stopped = async {
            loop {
                if let Err(error) = writer.push(beyond.clone()).await {
                    return error;
                }
            }
        };
        assert!(matches!(stopped.await, WriteError::Stopped));
        assert!(matches!(writer.finish().await, Err(DownloadError::Disk { .. })));
        assert_eq!(writer.writes(), 0);
    }
}

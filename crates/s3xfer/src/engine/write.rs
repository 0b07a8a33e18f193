//! From the network's tasks to the disk: a bounded queue with one writer.
//!
//! Dropped in the middle, nothing is awaited: the writer finishes the pieces that are queued, into a file that has lost
//! its name, and ends.

use std::collections::VecDeque;
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
        Self { file, progress, queue }
    }

    /// Hands over a piece; waits while the queue is full.
    ///
    /// # Errors
    ///
    /// [`Stopped`] once any piece could not be written; [`finish`](Self::finish) tells why.
    pub(crate) async fn push(&self, piece: Piece) -> Result<(), WriteError> {
        let Some(queue) = &self.queue else {
            self.file.write(&piece)?;
            self.progress.add_written(piece.len());
            return Ok(());
        };
        let slot = queue.slots.clone().acquire_owned().await.map_err(|_| WriteError::Stopped)?;
        let mut state = queue.state();
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
            if let Err(error) = self.file.write(&piece) {
                let mut state = queue.state();
                state.failed = Some(error);
                state.waiting.clear();
                state.draining = false;
                queue.slots.close();
                return;
            }
            self.progress.add_written(piece.len());
            drop(slot);
        }
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

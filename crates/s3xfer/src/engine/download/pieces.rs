//! The frames of one part, gathered into pieces and handed to the writer within the memory limit.
//!
//! When it is dropped, bytes that were not handed over are discarded, and their memory is free again.

use std::sync::Arc;

use bytes::Bytes;

use super::fetch::{FetchError, Frames};
use crate::engine::limits::{LARGEST_ROOM, Limits, Reservation};
use crate::engine::write::Writer;
use crate::rules::coalesce::Coalescer;
use crate::words::piece::Piece;

/// One part on its way to a sink with positions.
pub(crate) struct Pieces {
    writer: Writer,
    limits: Arc<Limits>,
    coalescer: Coalescer,
    /// The room of the coalescer's bytes.
    room: Option<Reservation>,
    /// The place of the next frame, counted from the first wanted byte.
    offset: u64,
}

impl Pieces {
    pub(crate) fn new(writer: Writer, limits: Arc<Limits>, offset: u64, io_chunksize: u64) -> Self {
        Self { writer, limits, coalescer: Coalescer::new(offset, io_chunksize), room: None, offset }
    }

    /// Gathers the frame; full pieces of it go to the writer, with their room.
    async fn gather(&mut self, mut frame: Bytes) -> Result<(), FetchError> {
        while !frame.is_empty() {
            if let Some(piece) = self.coalescer.push(&mut frame) {
                let room = self.room.as_mut().map(|room| room.split(piece.len()));
                self.writer.push(piece, room).await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), FetchError> {
        match self.coalescer.cut() {
            Some(piece) => Ok(self.writer.push(piece, self.room.take()).await?),
            None => Ok(()),
        }
    }
}

impl Frames for Pieces {
    async fn take(&mut self, frame: Bytes) -> Result<(), FetchError> {
        if !self.writer.gathers() {
            let piece = Piece { offset: self.offset, frames: vec![frame] };
            self.offset += piece.len();
            return Ok(self.writer.push(piece, None).await?);
        }
        match self.limits.try_reserve(frame.len() as u64) {
            Some(room) => {
                if self.room.as_ref().is_some_and(|held| held.bytes() + room.bytes() > LARGEST_ROOM) {
                    self.flush().await?;
                }
                match &mut self.room {
                    Some(held) => held.merge(room),
                    None => self.room = Some(room),
                }
                self.gather(frame).await
            }
            // This must not wait for room, because the room's owner may be waiting for our permit. The gathered bytes
            // are written as they are, and the frame uses its request's own room until it is written too.
            None => {
                self.flush().await?;
                self.gather(frame).await?;
                self.flush().await?;
                Ok(self.writer.settled().await?)
            }
        }
    }

    async fn end(&mut self) -> Result<(), FetchError> {
        self.flush().await
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Mutex, mpsc};

    use super::*;
    use crate::doors::disk::StagedFile;
    use crate::engine::sink::Sink;
    use crate::words::config::TransferConfig;
    use crate::words::object::ObjectAddress;
    use crate::words::progress::Progress;
    use crate::words::sink::WriteAt;

    const PIECE: u64 = 256;

    fn pieces(sink: Sink) -> (Pieces, Writer, Arc<Limits>) {
        let config = TransferConfig::builder().memory_limit(2 << 20).max_concurrency(1).build().unwrap();
        let (limits, writer) = (Limits::new(&config), Writer::new(sink, &config, Progress::new()));
        (Pieces::new(writer.clone(), limits.clone(), 0, PIECE), writer, limits)
    }

    /// Whether room for so many bytes, at least one, is taken: no more, no less.
    fn is_taken(limits: &Limits, bytes: u64) -> bool {
        let rest = limits.waiting_bytes() - bytes;
        limits.try_reserve(rest).is_some() && limits.try_reserve(rest + 1).is_none()
    }

    #[tokio::test]
    async fn room_is_taken_for_what_is_gathered_and_given_back_with_every_piece_that_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let staged = StagedFile::create(&folder.path().join("x")).unwrap();
        let (mut pieces, writer, limits) = pieces(Sink::File(staged.open_file()));
        for (frame, gathered) in [(100, 100), (100, 200), (100, 300 - PIECE), (600, 900 - 3 * PIECE)] {
            pieces.take(Bytes::from(vec![0; frame])).await.unwrap();
            writer.settled().await.unwrap();
            assert!(is_taken(&limits, gathered), "{gathered} bytes are left of those gathered with {frame} more");
        }
        pieces.end().await.unwrap();
        writer.settled().await.unwrap();
        assert!(limits.try_reserve(limits.waiting_bytes()).is_some());
    }

    #[tokio::test]
    async fn a_piece_that_waits_to_be_written_keeps_its_room() {
        struct Gate(Mutex<mpsc::Receiver<()>>);
        impl WriteAt for Gate {
            fn write_at(&self, _: u64, _: &[u8]) -> io::Result<()> {
                // Open once the other end is gone.
                let _ = self.0.lock().unwrap().recv();
                Ok(())
            }
        }

        let (open, gate) = mpsc::channel();
        let object = ObjectAddress { bucket: "b".to_owned(), key: "k".to_owned() };
        let sink = Sink::Custom { sink: Arc::new(Gate(Mutex::new(gate))), object: Arc::new(object) };
        let (mut pieces, writer, limits) = pieces(sink);
        pieces.take(Bytes::from(vec![0; 700])).await.unwrap();
        assert!(is_taken(&limits, 700), "of two pieces that wait, and of a third that is not full");
        drop(open);
        writer.settled().await.unwrap();
        assert!(is_taken(&limits, 700 - 2 * PIECE));
    }
}

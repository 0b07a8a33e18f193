//! The frames of one part, gathered into pieces and handed to the writer, within the memory that there is.
//!
//! Dropped in the middle, what was not handed over is forgotten and its room is free again.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::fetch::{FetchError, Frames};
use crate::engine::limits::{Limits, Reservation};
use crate::engine::write::Writer;
use crate::rules::coalesce::Coalescer;
use crate::words::piece::Piece;

/// One part on its way to a sink with positions.
pub(crate) struct Pieces {
    writer: Writer,
    limits: Arc<Limits>,
    coalescer: Coalescer,
    /// For what the coalescer holds.
    room: Option<Reservation>,
    /// Where the next frame belongs, counted from the first wanted byte.
    offset: u64,
}

impl Pieces {
    pub(crate) fn new(writer: Writer, limits: Arc<Limits>, offset: u64, io_chunksize: u64) -> Self {
        Self { writer, limits, coalescer: Coalescer::new(offset, io_chunksize), room: None, offset }
    }

    /// A frame that is kept needs room; false where there is none.
    fn admit(&mut self, bytes: u64) -> bool {
        let Some(room) = self.limits.try_reserve(bytes) else { return false };
        match &mut self.room {
            Some(held) => held.merge(room),
            None => self.room = Some(room),
        }
        true
    }

    /// Cuts pieces from `frame`, as far as they become full.
    async fn gather(&mut self, mut frame: Bytes) -> Result<(), FetchError> {
        while !frame.is_empty() {
            if let Some(piece) = self.coalescer.push(&mut frame) {
                let room = self.room.as_mut().map(|room| room.split(piece.len()));
                self.writer.push(piece, room).await?;
            }
        }
        Ok(())
    }

    /// Hands over what was gathered, full or not.
    async fn cut(&mut self) -> Result<(), FetchError> {
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
        if self.admit(frame.len() as u64) {
            return self.gather(frame).await;
        }
        // Without room, the frame stays in the place that its request has for it until it is written. Nobody's room is
        // waited for: those who have it may need this request's permit, or be read by whoever waits for this download.
        self.cut().await?;
        self.gather(frame).await?;
        self.cut().await?;
        Ok(self.writer.settled().await?)
    }

    async fn end(&mut self) -> Result<(), FetchError> {
        self.cut().await
    }
}

//! The frames of one part, gathered into pieces and handed to the writer, within the memory that there is.
//!
//! Dropped in the middle, what was not handed over is forgotten and its room is free again.

use std::sync::Arc;

use bytes::Bytes;

use crate::engine::fetch::{FetchError, Frames};
use crate::engine::limits::{LARGEST_ROOM, Limits, Reservation};
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

    /// Gathers the frame; what is full of it goes to the writer, with its room.
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
            // Nothing is waited for, least of all by somebody who has a permit: whoever has the room may be waiting for
            // one. What was gathered is written as it is, and the frame stays in the place that its request has for it
            // until it is written, too.
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

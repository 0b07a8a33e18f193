//! Frames, as the network delivers them, to pieces, as the disk takes them: `io_chunksize`.

use std::mem;

use bytes::Bytes;

use crate::words::piece::Piece;

/// Gathers frames of one part until a piece is full.
#[derive(Debug)]
pub(crate) struct Coalescer {
    piece_bytes: u64,
    offset: u64,
    frames: Vec<Bytes>,
    held: u64,
}

impl Coalescer {
    /// Begins at the object's byte `offset`; pieces hold at most `piece_bytes`, which is greater than 0.
    pub(crate) fn new(offset: u64, piece_bytes: u64) -> Self {
        Self { piece_bytes, offset, frames: Vec::new(), held: 0 }
    }

    /// Takes as much of `frame` as the piece has room for and leaves the rest in it; gives the piece once it is full.
    /// Call again until `frame` is empty.
    pub(crate) fn push(&mut self, frame: &mut Bytes) -> Option<Piece> {
        let room = usize::try_from(self.piece_bytes - self.held).unwrap_or(usize::MAX);
        let taken = frame.split_to(frame.len().min(room));
        if !taken.is_empty() {
            self.held += taken.len() as u64;
            self.frames.push(taken);
        }
        (self.held == self.piece_bytes).then(|| self.take())
    }

    /// The unfinished piece, if any; the next one begins where it ends.
    pub(crate) fn cut(&mut self) -> Option<Piece> {
        (self.held > 0).then(|| self.take())
    }

    fn take(&mut self) -> Piece {
        let piece = Piece { offset: self.offset, frames: mem::take(&mut self.frames) };
        self.offset += mem::take(&mut self.held);
        piece
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn pieces_are_the_frames_in_order_and_full_but_for_the_last(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..30),
            piece_bytes in 1_u64..50, offset in 0_u64..1000,
        ) {
            let mut coalescer = Coalescer::new(offset, piece_bytes);
            let mut pieces = Vec::new();
            for frame in &frames {
                let mut frame = Bytes::copy_from_slice(frame);
                while !frame.is_empty() {
                    pieces.extend(coalescer.push(&mut frame));
                }
            }
            let full = pieces.len();
            pieces.extend(coalescer.cut());

            let mut next = offset;
            for (i, piece) in pieces.iter().enumerate() {
                prop_assert_eq!(piece.offset, next);
                if i < full { prop_assert_eq!(piece.len(), piece_bytes); } else { prop_assert!(piece.len() < piece_bytes); }
                prop_assert!(piece.frames.iter().all(|frame| !frame.is_empty()));
                next += piece.len();
            }
            let written: Vec<u8> = pieces.iter().flat_map(|piece| &piece.frames).flatten().copied().collect();
            prop_assert_eq!(written, frames.concat());
        }
    }
}

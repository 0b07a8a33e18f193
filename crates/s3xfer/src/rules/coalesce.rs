//! Frames, as the network delivers them, to pieces, as the disk takes them: `io_chunksize`.

use std::mem;

use bytes::{Bytes, BytesMut};

use crate::words::piece::Piece;

/// Smaller frames are copied together: each costs some hundred bytes beside its own, and may keep the whole buffer that
/// it was read into, which nobody counts. A page is copied in less time than it is written.
const SMALL_BYTES: usize = 4 << 10;
/// Most bytes that are copied together.
const TOGETHER_BYTES: usize = 16 << 10;

/// Small frames, copied together.
#[derive(Debug, Default)]
pub(crate) struct SmallFrames {
    bytes: BytesMut,
}

impl SmallFrames {
    /// Whether `frame` should be copied, and there is room for it.
    pub(crate) fn wants(&self, frame: &Bytes) -> bool {
        frame.len() < SMALL_BYTES && self.bytes.len() + frame.len() <= TOGETHER_BYTES
    }

    /// Takes a frame that it [wants](Self::wants).
    pub(crate) fn take(&mut self, frame: &[u8]) {
        self.bytes.reserve(TOGETHER_BYTES - self.bytes.len());
        self.bytes.extend_from_slice(frame);
    }

    /// The taken bytes, in a buffer of their size.
    pub(crate) fn together(&mut self) -> Option<Bytes> {
        let together = (!self.bytes.is_empty()).then(|| Bytes::copy_from_slice(&self.bytes));
        self.bytes.clear();
        together
    }
}

/// Gathers frames of one part until a piece is full.
#[derive(Debug)]
pub(crate) struct Coalescer {
    piece_bytes: u64,
    offset: u64,
    frames: Vec<Bytes>,
    small: SmallFrames,
    held: u64,
}

impl Coalescer {
    /// Begins at the object's byte `offset`; pieces hold at most `piece_bytes`, which is greater than 0.
    pub(crate) fn new(offset: u64, piece_bytes: u64) -> Self {
        Self { piece_bytes, offset, frames: Vec::new(), small: SmallFrames::default(), held: 0 }
    }

    /// Takes as much of `frame` as the piece has room for and leaves the rest in it; gives the piece once it is full.
    /// Call again until `frame` is empty.
    pub(crate) fn push(&mut self, frame: &mut Bytes) -> Option<Piece> {
        let room = usize::try_from(self.piece_bytes - self.held).unwrap_or(usize::MAX);
        let whole = frame.len() <= room;
        let taken = frame.split_to(frame.len().min(room));
        self.held += taken.len() as u64;
        if !self.small.wants(&taken) {
            self.frames.extend(self.small.together());
        }
        // A slice of a larger frame shares that frame's memory with the rest.
        if whole && self.small.wants(&taken) {
            self.small.take(&taken);
        } else if !taken.is_empty() {
            self.frames.extend(self.small.together());
            self.frames.push(taken);
        }
        (self.held == self.piece_bytes).then(|| self.take())
    }

    /// The unfinished piece, if any; the next one begins where it ends.
    pub(crate) fn cut(&mut self) -> Option<Piece> {
        (self.held > 0).then(|| self.take())
    }

    fn take(&mut self) -> Piece {
        self.frames.extend(self.small.together());
        let piece = Piece { offset: self.offset, frames: mem::take(&mut self.frames) };
        self.offset += mem::take(&mut self.held);
        piece
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn small_frames_are_copied_together_and_large_ones_are_not() {
        let mut coalescer = Coalescer::new(0, 1 << 20);
        for _ in 0..100_000 {
            coalescer.push(&mut Bytes::from_static(b"x"));
        }
        let large = Bytes::from(vec![7; SMALL_BYTES]);
        coalescer.push(&mut large.clone());
        coalescer.push(&mut Bytes::from_static(b"y"));
        let piece = coalescer.cut().unwrap();
        assert_eq!(piece.len(), 100_000 + SMALL_BYTES as u64 + 1);
        assert_eq!(piece.frames.len(), 100_000_usize.div_ceil(TOGETHER_BYTES) + 2);
        assert!(piece.frames.iter().any(|frame| frame.as_ptr() == large.as_ptr()));
        assert_eq!(piece.frames.last().unwrap(), "y");
    }

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

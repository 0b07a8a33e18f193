//! [`Piece`]: bytes that are written together.

use bytes::Bytes;

/// Most bytes in a frame of the engine's own connector, and so the memory that a request in flight is admitted for.
///
/// Measured over loopback without TLS, 32 connections, 3 GiB, processor time for each GiB (medians of 7 rounds in
/// turn): 0.758 s with 256 KiB and 0.756 s with 512 KiB where the bytes are written to tmpfs, 0.196 s and 0.194 s where
/// they are dropped; but 27 MiB of memory, not 39.
pub(crate) const FRAME_BYTES: u64 = 256 << 10;

/// Consecutive bytes of an object, in as many frames as they came in: nothing is copied to put them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The first byte's place in the object.
    pub(crate) offset: u64,
    /// Not empty, and none of them is.
    pub(crate) frames: Vec<Bytes>,
}

impl Piece {
    /// Bytes in all frames.
    pub(crate) fn len(&self) -> u64 {
        self.frames.iter().map(|frame| frame.len() as u64).sum()
    }
}

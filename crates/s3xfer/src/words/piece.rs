//! [`Piece`]: what is written at once.

use bytes::Bytes;

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

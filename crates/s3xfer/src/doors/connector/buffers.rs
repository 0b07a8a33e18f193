//! Buffers for body frames, used again and again.
//!
//! A frame is lent out as [`Bytes`]; when its last slice is dropped, the buffer comes back, still in the processor's cache
//! and with its pages in place. What is read into a buffer, and when, is decided elsewhere.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// One frame: the bytes that are read from the socket before they are handed on.
///
/// Every connection that is in the middle of a body holds one; hyper's buffers, under the SDK's own client, grow to 408 KiB.
/// Measured over loopback without TLS, 32 connections, 3 GiB, processor time for each GiB (medians of 7 rounds in turn): 0.758 s
/// with 256 KiB and 0.756 s with 512 KiB where the bytes are written to tmpfs, 0.196 s and 0.194 s where they are dropped;
/// but 27 MiB of memory, not 39.
pub(super) const FRAME_BYTES: usize = 256 << 10;

/// Frames begin with a page. With malloc's 16 bytes before them, a download over loopback took 0.26 s of processor time for
/// each GiB, with aligned frames 0.22 s (4 rounds), all of it in the kernel's copy. A cache line's alignment did as well.
const PAGE_BYTES: usize = 4096;

/// Free buffers that are kept: 16 MiB of frames. More are in use only while more frames than that are on their way.
const KEPT: usize = 64;

/// A frame that leaves more than one in so many bytes of its buffer empty is copied out: a body that trickles would pin a
/// whole buffer for every few bytes otherwise, and nobody counts what is empty. Most frames are full.
const EMPTY_AT_MOST: usize = 8;

/// The free buffers. The last one that came back is the first that goes out, for it is the one in the cache.
#[derive(Debug)]
pub(super) struct Buffers {
    bytes_each: usize,
    free: Mutex<Vec<Box<[u8]>>>,
}

/// A buffer and what is filled of it. Back in the list when dropped.
#[derive(Debug)]
pub(super) struct Frame {
    /// A page more than the frame, which begins somewhere in the first page.
    bytes: Box<[u8]>,
    start: usize,
    filled: usize,
    home: Arc<Buffers>,
}

impl Buffers {
    /// An empty list of buffers of `bytes_each`.
    pub(super) fn of(bytes_each: usize) -> Arc<Self> {
        Arc::new(Self { bytes_each, free: Mutex::default() })
    }

    /// An empty frame.
    pub(super) fn take(self: &Arc<Self>) -> Frame {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let bytes = free.unwrap_or_else(|| vec![0; self.bytes_each + PAGE_BYTES].into_boxed_slice());
        // Where the allocation is not to be had aligned, any place will do.
        let start = bytes.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        Frame { bytes, start, filled: 0, home: self.clone() }
    }

    #[cfg(test)]
    fn free(&self) -> usize {
        self.free.lock().unwrap().len()
    }
}

impl Frame {
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// The room behind what is filled; old bytes of other bodies may be in it.
    pub(super) fn room(&mut self) -> &mut [u8] {
        let end = self.start + self.home.bytes_each;
        &mut self.bytes[self.start + self.filled..end]
    }

    /// Counts the first `bytes` of [`Frame::room`] as filled.
    pub(super) fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.home.bytes_each - self.filled, "no more can be filled than there is room");
        self.filled += bytes;
    }

    /// Copies as much of `bytes` as there is room for; says how much that was.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        let room = self.room();
        let taken = bytes.len().min(room.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        taken
    }

    /// What is filled, as bytes that may be kept.
    pub(super) fn freeze(self) -> Bytes {
        if self.home.bytes_each - self.filled > self.home.bytes_each / EMPTY_AT_MOST {
            return Bytes::copy_from_slice(self.as_ref());
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.filled]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let bytes = mem::take(&mut self.bytes);
        let mut free = self.home.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < KEPT {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again_once_the_last_slice_of_it_is_gone() {
        let buffers = Buffers::of(FRAME_BYTES);
        let mut frame = buffers.take();
        let at = frame.room().as_ptr();
        frame.advance(FRAME_BYTES);
        let whole = frame.freeze();
        let slice = whole.slice(10..20);
        drop(whole);
        assert_eq!(buffers.free(), 0);
        drop(slice);
        assert_eq!(buffers.free(), 1);
        assert_eq!(buffers.take().room().as_ptr(), at);
    }

    #[test]
    fn frames_begin_with_a_page() {
        let buffers = Buffers::of(FRAME_BYTES);
        for mut frame in [buffers.take(), buffers.take()] {
            assert_eq!((frame.room().as_ptr() as usize) % PAGE_BYTES, 0);
            assert_eq!(frame.room().len(), FRAME_BYTES);
        }
    }

    #[test]
    fn few_bytes_do_not_pin_a_buffer() {
        let buffers = Buffers::of(FRAME_BYTES);
        let mut frame = buffers.take();
        assert_eq!(frame.push(b"few"), 3);
        let bytes = frame.freeze();
        assert_eq!(buffers.free(), 1);
        assert_eq!(&bytes[..], b"few");
    }

    #[test]
    fn a_frame_takes_no_more_than_it_has_room_for() {
        let buffers = Buffers::of(FRAME_BYTES);
        let mut frame = buffers.take();
        assert_eq!(frame.push(&vec![7; FRAME_BYTES + 1]), FRAME_BYTES);
        assert_eq!(frame.push(&[7]), 0);
        assert_eq!(frame.freeze(), vec![7; FRAME_BYTES]);
    }

    #[test]
    fn the_list_of_free_buffers_is_bounded() {
        let buffers = Buffers::of(FRAME_BYTES);
        let frames: Vec<Frame> = (0..KEPT + 3).map(|_| buffers.take()).collect();
        drop(frames);
        assert_eq!(buffers.free(), KEPT);
    }
}

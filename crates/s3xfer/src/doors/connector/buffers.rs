//! Reusable buffers for body frames.
//!
//! A frame is lent out as [`Bytes`]; when its last slice is dropped, the buffer comes back, still in the processor's
//! cache and with its pages in place. Other files decide about reads into a buffer.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use memmap2::MmapMut;

use crate::words::piece;

/// One frame: the bytes that are read from the socket before they are handed on.
///
/// Every connection that is in the middle of a body holds one; hyper's buffers, under the SDK's own client, grow to 408
/// KiB.
pub(in crate::doors) const FRAME_BYTES: usize = piece::FRAME_BYTES as usize;

/// Free buffers that are kept while none is lent out: 4 MiB of frames. While some are lent out, half as many are kept
/// in addition, because a transfer soon takes such buffers again. Memory that it has freed for good is released,
/// because free buffers do not count towards the memory limit.
const KEPT: usize = 16;

/// A frame is copied out of its buffer if more than this fraction (one in so many bytes) of the buffer is empty.
/// Otherwise a slow body would keep a whole buffer for every few bytes, and the memory limit does not count the empty
/// room. Most frames are full. The copy of a frame that is not full, such as the last of a part, takes a few
/// microseconds.
const EMPTY_AT_MOST: usize = 64;

/// The free buffers. The buffer that was returned last is used first, because it is still in the cache.
#[derive(Debug)]
pub(in crate::doors) struct Buffers {
    bytes_each: usize,
    shelf: Mutex<Shelf>,
}

#[derive(Debug, Default)]
struct Shelf {
    free: Vec<Memory>,
    lent: usize,
}

/// A buffer and its filled part. Back in the list when dropped.
#[derive(Debug)]
pub(in crate::doors) struct Frame {
    memory: Memory,
    filled: usize,
    home: Arc<Buffers>,
}

/// Pages of the operating system, which are unmapped when they are dropped. malloc would keep most of the freed memory,
/// and only for the thread that allocated it: 31 MiB that were lent out and came back left 60 MiB resident.
///
/// Frames begin with a page for another reason, too. With malloc's 16 bytes before them, a download over loopback took
/// 0.26 s of processor time for each GiB, with aligned frames 0.22 s (4 rounds), all of it in the kernel's copy.
#[derive(Debug)]
enum Memory {
    Pages(MmapMut),
    /// Memory of the allocator, when the system gives no more mappings.
    Heap(Box<[u8]>),
    /// On its way back.
    Gone,
}

impl Buffers {
    /// An empty list of buffers of `bytes_each`.
    pub(in crate::doors) fn of(bytes_each: usize) -> Arc<Self> {
        Arc::new(Self { bytes_each, shelf: Mutex::default() })
    }

    /// An empty frame.
    pub(in crate::doors) fn take(self: &Arc<Self>) -> Frame {
        let free = {
            let mut shelf = self.shelf();
            shelf.lent += 1;
            shelf.free.pop()
        };
        let memory = free.unwrap_or_else(|| Memory::new(self.bytes_each));
        Frame { memory, filled: 0, home: self.clone() }
    }

    fn give_back(&self, memory: Memory) {
        let too_many = {
            let mut shelf = self.shelf();
            shelf.lent -= 1;
            shelf.free.push(memory);
            let kept = KEPT + shelf.lent / 2;
            // The first buffers have been free longest.
            let too_many = shelf.free.len().saturating_sub(kept);
            shelf.free.drain(..too_many).collect::<Vec<_>>()
        };
        // The system needs time to take them back, so no task waits for that.
        drop(too_many);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn free(&self) -> usize {
        self.shelf().free.len()
    }
}

impl Memory {
    fn new(bytes: usize) -> Self {
        MmapMut::map_anon(bytes).map_or_else(|_| Self::Heap(vec![0; bytes].into_boxed_slice()), Self::Pages)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Pages(pages) => pages,
            Self::Heap(bytes) => bytes,
            Self::Gone => &[],
        }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Pages(pages) => pages,
            Self::Heap(bytes) => bytes,
            Self::Gone => &mut [],
        }
    }
}

impl Frame {
    pub(super) fn filled(&self) -> usize {
        self.filled
    }

    /// The room behind the filled part; old bytes of other bodies may be in it.
    pub(in crate::doors) fn room(&mut self) -> &mut [u8] {
        &mut self.memory.bytes_mut()[self.filled..]
    }

    /// Counts the first `bytes` of [`Frame::room`] as filled.
    pub(in crate::doors) fn advance(&mut self, bytes: usize) {
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

    /// The filled part, as bytes that may be kept.
    pub(in crate::doors) fn freeze(self) -> Bytes {
        if self.home.bytes_each - self.filled > self.home.bytes_each / EMPTY_AT_MOST {
            return Bytes::copy_from_slice(self.as_ref());
        }
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.memory.bytes()[..self.filled]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.home.give_back(mem::replace(&mut self.memory, Memory::Gone));
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
            assert_eq!((frame.room().as_ptr() as usize) % 4096, 0);
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
        let mut frames: Vec<Frame> = (0..8 * KEPT).map(|_| buffers.take()).collect();
        while frames.pop().is_some() {
            assert!(buffers.free() <= KEPT + frames.len() / 2, "{} beside {}", buffers.free(), frames.len());
        }
        assert_eq!(buffers.free(), KEPT);
    }
}

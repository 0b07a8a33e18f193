//! The targets of pieces: a file, a caller's sink, memory, or nothing.

use std::collections::BTreeMap;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::doors::disk::OpenFile;
use crate::words::action::SinkAction;
use crate::words::failure::TransferError;
use crate::words::object::ObjectAddress;
use crate::words::piece::Piece;
use crate::words::sink::WriteAt;

/// A sink with positions; the first wanted byte is at 0. Clones share the same target.
#[derive(Clone)]
pub(crate) enum Sink {
    File(OpenFile),
    Custom { sink: Arc<dyn WriteAt>, object: Arc<ObjectAddress> },
    Memory(Arc<Segments>),
    Nothing,
}

impl Sink {
    /// Whether frames are worth gathering until a piece is full: where writing has a cost of its own.
    pub(crate) fn gathers(&self) -> bool {
        matches!(self, Self::File(_) | Self::Custom { .. })
    }

    /// Whether a write may be tried by a thread that must not be kept long. A caller's sink may take any time.
    pub(crate) fn is_quick(&self) -> bool {
        !matches!(self, Self::Custom { .. })
    }

    /// Makes room. Blocks.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), TransferError> {
        match self {
            Self::File(file) => file.reserve(bytes),
            Self::Custom { sink, object } => caught(|| sink.reserve(bytes))
                .map_err(|source| sink_error(object, SinkAction::Reserve { bytes }, source)),
            Self::Memory(_) | Self::Nothing => Ok(()),
        }
    }

    /// Writes a piece at its place. Blocks.
    pub(crate) fn write(&self, piece: &Piece) -> Result<(), TransferError> {
        match self {
            Self::File(file) => file.write(piece),
            Self::Custom { sink, object } => {
                let mut offset = piece.offset;
                for frame in &piece.frames {
                    let bytes = frame.len() as u64;
                    caught(|| sink.write_at(offset, frame))
                        .map_err(|source| sink_error(object, SinkAction::Write { bytes, offset }, source))?;
                    offset += bytes;
                }
                Ok(())
            }
            Self::Memory(segments) => {
                segments.write(piece);
                Ok(())
            }
            Self::Nothing => Ok(()),
        }
    }
}

/// Turns a panic of the caller's code into an error: nobody would notice the end of its thread, and the later pieces
/// would wait for it.
fn caught(call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // After an error the sink is not called again, so a half-finished state after a panic is never seen.
    panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<&str>().copied();
        let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Err(io::Error::other(format!("it panicked: {said}")))
    })
}

fn sink_error(object: &ObjectAddress, action: SinkAction, source: io::Error) -> TransferError {
    TransferError::Sink { object: object.to_string(), action, source }
}

/// One buffer for all wanted bytes. Each part fills it from its own beginning; no part waits for another, and no byte
/// is written twice.
///
/// The buffer is cut only where a part begins after missing bytes, and its pieces are joined as soon as these bytes
/// have arrived. So there are about as many pieces as parts in flight, whatever the number of parts.
pub(crate) struct Segments {
    /// The segments by the position of their first byte: each has the bytes that have arrived, and room up to the next
    /// segment. A segment that is being written is not in this map.
    segments: Mutex<BTreeMap<u64, BytesMut>>,
}

impl Segments {
    /// Room for this number of bytes.
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        let length = usize::try_from(bytes).expect("admitted, so it fits into memory");
        Arc::new(Self { segments: Mutex::new(BTreeMap::from([(0, BytesMut::with_capacity(length))])) })
    }

    fn write(&self, piece: &Piece) {
        let (start, mut segment) = self.cut_out(piece.offset, piece.len());
        // Copied without the lock, so that other parts can be written at the same time.
        piece.frames.iter().for_each(|frame| segment.extend_from_slice(frame));
        self.put_back(start, segment);
    }

    /// Takes out the segment that continues at `offset`, with room for exactly this number of bytes.
    fn cut_out(&self, offset: u64, bytes: u64) -> (u64, BytesMut) {
        let mut segments = self.segments();
        let before = segments.range(..=offset).next_back().map(|(&start, _)| start);
        let mut start = before.expect("nobody else takes out what is a piece's own");
        let mut segment = segments.remove(&start).expect("it is there");
        if start + (segment.len() as u64) < offset {
            // Bytes before this part are still to come.
            let behind = segment.split_off((offset - start) as usize);
            segments.insert(start, std::mem::replace(&mut segment, behind));
            start = offset;
        }
        debug_assert_eq!(start + segment.len() as u64, offset, "a part fills its segment from the front");
        let room = (offset + bytes - start) as usize;
        if room < segment.capacity() {
            segments.insert(start + room as u64, segment.split_off(room));
        }
        (start, segment)
    }

    /// Puts back a piece that was taken out, and joins it with its neighbours if no byte is missing between them.
    fn put_back(&self, mut start: u64, mut segment: BytesMut) {
        let mut segments = self.segments();
        if let Some((&before, left)) = segments.range_mut(..start).next_back()
            && before + left.len() as u64 == start
        {
            let mut left = std::mem::take(left);
            segments.remove(&before);
            left.unsplit(segment);
            (start, segment) = (before, left);
        }
        if let Some(right) = segments.remove(&(start + segment.len() as u64)) {
            segment.unsplit(right);
        }
        segments.insert(start, segment);
    }

    /// The bytes, joined without a copy, once all have arrived.
    pub(crate) fn take(&self) -> Bytes {
        let mut whole = BytesMut::new();
        for segment in std::mem::take(&mut *self.segments()).into_values() {
            whole.unsplit(segment);
        }
        whole.freeze()
    }

    fn segments(&self) -> MutexGuard<'_, BTreeMap<u64, BytesMut>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::doors::disk::StagedFile;
    use crate::engine::conformance::assert_write_at;

    /// A place of the engine's own, behind the trait of callers' sinks.
    struct Own<T>(Sink, T);

    impl<T: Send + Sync + 'static> WriteAt for Own<T> {
        fn reserve(&self, bytes: u64) -> io::Result<()> {
            self.0.reserve(bytes).map_err(io::Error::other)
        }

        fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
            let frames = vec![Bytes::copy_from_slice(bytes)];
            self.0.write(&Piece { offset, frames }).map_err(io::Error::other)
        }
    }

    #[test]
    fn a_file_keeps_the_contract_of_sinks_and_appears_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("target");
        let make = || {
            let staged = StagedFile::create(&target).unwrap();
            Own(Sink::File(staged.open_file()), staged)
        };
        assert_write_at(1, make, |Own(sink, staged)| {
            assert!(!target.exists(), "a file that is not whole has its name");
            drop(sink);
            staged.publish().unwrap();
            let bytes = std::fs::read(&target).unwrap();
            std::fs::remove_file(&target).unwrap();
            bytes
        });
    }

    #[test]
    fn memory_keeps_the_contract_of_sinks() {
        // Room is made beforehand, and a download makes as much as there are bytes.
        let make = || {
            let segments = Segments::new(100_003);
            Own(Sink::Memory(segments.clone()), segments)
        };
        assert_write_at(1, make, |Own(_, segments)| segments.take().to_vec());
    }

    #[test]
    fn segments_are_one_buffer_again_when_all_are_filled() {
        let segments = Segments::new(33);
        let bytes: Vec<u8> = (0..33).collect();
        for (offset, end) in [(20, 25), (0, 3), (30, 33), (3, 10), (25, 30), (10, 20)] {
            let frames = vec![Bytes::copy_from_slice(&bytes[offset..end])];
            segments.write(&Piece { offset: offset as u64, frames });
        }
        let first = segments.segments()[&0].as_ptr();
        let whole = segments.take();
        assert_eq!(whole, bytes);
        assert_eq!(whole.as_ptr(), first, "nothing was copied");
        assert_eq!(Segments::new(0).take(), Bytes::new());
    }

    proptest! {
        /// Parts that are filled beside one another, in any order, each from its front, in pieces of any size.
        #[test]
        fn segments_hold_what_was_written_and_are_no_more_than_parts_in_flight(
            length in 0_u64..400, part in 1_u64..50, in_flight in 1_usize..6, picks in prop::collection::vec((any::<u16>(), 1_u64..40), 2000),
        ) {
            let segments = Segments::new(length);
            let bytes: Vec<u8> = (0..length).map(|n| n as u8).collect();
            let mut parts = (0..length).step_by(part as usize);
            let mut running = Vec::new();
            for (pick, step) in picks {
                while running.len() < in_flight && let Some(start) = parts.next() {
                    running.push((start, length.min(start + part)));
                }
                let Some(at) = (!running.is_empty()).then(|| usize::from(pick) % running.len()) else { break };
                let (offset, end) = running[at];
                let till = end.min(offset + step);
                let frames = vec![Bytes::copy_from_slice(&bytes[offset as usize..till as usize])];
                segments.write(&Piece { offset, frames });
                prop_assert!(segments.segments().len() <= 2 * in_flight + 1);
                match till == end {
                    true => drop(running.swap_remove(at)),
                    false => running[at].0 = till,
                }
            }
            prop_assert!(running.is_empty() && parts.next().is_none());
            prop_assert!(segments.segments().len() == 1);
            let first = segments.segments()[&0].as_ptr();
            let whole = segments.take();
            prop_assert!(length == 0 || whole.as_ptr() == first);
            prop_assert_eq!(whole, bytes);
        }
    }
}

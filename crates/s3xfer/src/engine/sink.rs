//! Where pieces end: a file, a caller's sink, memory, or nowhere.

use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};

use crate::doors::disk::OpenFile;
use crate::rules::plan::Plan;
use crate::words::failure::DownloadError;
use crate::words::object::ObjectAddress;
use crate::words::piece::Piece;
use crate::words::sink::WriteAt;

/// A sink with positions; the first wanted byte is at 0. Clones share what is behind it.
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

    /// Whether a write may be tried by a thread that must not be kept long. What a caller's sink does, nobody knows.
    pub(crate) fn is_quick(&self) -> bool {
        !matches!(self, Self::Custom { .. })
    }

    /// Makes room. Blocks.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), DownloadError> {
        match self {
            Self::File(file) => file.reserve(bytes),
            Self::Custom { sink, object } => caught(|| sink.reserve(bytes))
                .map_err(|source| sink_error(object, format!("a reservation of {bytes} bytes"), source)),
            Self::Memory(_) | Self::Nothing => Ok(()),
        }
    }

    /// Writes a piece at its place. Blocks.
    pub(crate) fn write(&self, piece: &Piece) -> Result<(), DownloadError> {
        match self {
            Self::File(file) => file.write(piece),
            Self::Custom { sink, object } => {
                let mut offset = piece.offset;
                for frame in &piece.frames {
                    caught(|| sink.write_at(offset, frame))
                        .map_err(|source| sink_error(object, format!("{} bytes at {offset}", frame.len()), source))?;
                    offset += frame.len() as u64;
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

/// A panic of the caller's code as an error: it is on a thread whose end nobody would see, and the pieces behind this one
/// would wait for it.
fn caught(call: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    // After an error the sink is not called again, so nobody sees what the panic left half done.
    panic::catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|payload| {
        let said = payload.downcast_ref::<&str>().copied();
        let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        Err(io::Error::other(format!("it panicked: {said}")))
    })
}

fn sink_error(object: &ObjectAddress, action: String, source: io::Error) -> DownloadError {
    DownloadError::Sink { object: object.to_string(), action, source }
}

/// One buffer for all wanted bytes, cut where the plan cuts: each part fills its own segment from the front, without
/// waiting for the others, and no byte is written before its own.
pub(crate) struct Segments {
    /// By their first byte's position.
    segments: Vec<(u64, Mutex<BytesMut>)>,
}

impl Segments {
    pub(crate) fn new(plan: &Plan) -> Arc<Self> {
        let bytes = plan.bytes();
        let length = usize::try_from(bytes.end - bytes.start).expect("admitted, so it fits into memory");
        let mut rest = BytesMut::with_capacity(length);
        let cut = |part: crate::words::object::Part| {
            let behind = rest.split_off((part.bytes.end - part.bytes.start) as usize);
            let segment = std::mem::replace(&mut rest, behind);
            (part.bytes.start - bytes.start, Mutex::new(segment))
        };
        Arc::new(Self { segments: plan.parts().map(cut).collect() })
    }

    fn write(&self, piece: &Piece) {
        let at = self.segments.partition_point(|(start, _)| *start <= piece.offset).saturating_sub(1);
        let (start, segment) = &self.segments[at];
        let mut segment = segment.lock().unwrap_or_else(PoisonError::into_inner);
        debug_assert_eq!(start + segment.len() as u64, piece.offset, "a part fills its segment from the front");
        piece.frames.iter().for_each(|frame| segment.extend_from_slice(frame));
    }

    /// The bytes, put together without copying them.
    pub(crate) fn take(&self) -> Bytes {
        let mut whole = BytesMut::new();
        for (_, segment) in &self.segments {
            whole.unsplit(std::mem::take(&mut *segment.lock().unwrap_or_else(PoisonError::into_inner)));
        }
        whole.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::config::TransferConfig;

    #[test]
    fn segments_are_one_buffer_again_when_all_are_filled() {
        let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(10).build().unwrap();
        let segments = Segments::new(&Plan::new(5..38, &config));
        let bytes: Vec<u8> = (0..33).collect();
        for (offset, end) in [(20, 25), (0, 3), (30, 33), (3, 10), (25, 30), (10, 20)] {
            let frames = vec![Bytes::copy_from_slice(&bytes[offset..end])];
            segments.write(&Piece { offset: offset as u64, frames });
        }
        let first = segments.segments[0].1.lock().unwrap().as_ptr();
        let whole = segments.take();
        assert_eq!(whole, bytes);
        assert_eq!(whole.as_ptr(), first, "nothing was copied");
        assert_eq!(Segments::new(&Plan::new(0..0, &config)).take(), Bytes::new());
    }
}

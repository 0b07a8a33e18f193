//! [`Outgoing`]: the body of a request, and how far it has gone.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt};
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// The side that has to act: this program gives bytes, or the server takes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The next bytes are being made ready.
    Ours,
    /// The server has had bytes to take since then.
    Theirs(Instant),
    /// It has all of them since then, and is to answer.
    Answer(Instant),
}

/// The progress of a body. Clones are of the same body.
#[derive(Debug, Clone)]
pub(crate) struct Movement {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    turn: Turn,
    bytes: u64,
}

impl Movement {
    /// The movement of a body of so many bytes that is about to be sent. An empty one is asked for no bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let now = Instant::now();
        let turn = if bytes == 0 { Turn::Answer(now) } else { Turn::Theirs(now) };
        Self { state: Arc::new(Mutex::new(State { turn, bytes: 0 })) }
    }

    pub(crate) fn turn(&self) -> Turn {
        self.state().turn
    }

    /// Bytes that were handed to the network.
    pub(crate) fn bytes(&self) -> u64 {
        self.state().bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A body of known length, whose bytes come in pieces.
pub(crate) struct Outgoing {
    /// Only ever reached through `&mut`: the SDK wants a type that may be shared.
    pieces: Mutex<BoxStream<'static, io::Result<Bytes>>>,
    left: u64,
    movement: Movement,
}

impl Outgoing {
    /// `pieces` hold `length` bytes in all.
    pub(crate) fn new(
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        bytes: u64,
        movement: Movement,
    ) -> Self {
        Self { pieces: Mutex::new(pieces.fuse().boxed()), left: bytes, movement }
    }

    pub(super) fn into_byte_stream(self) -> ByteStream {
        ByteStream::new(SdkBody::from_body_1_x(self))
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let pieces = self.pieces.get_mut().unwrap_or_else(PoisonError::into_inner);
        let polled = pieces.as_mut().poll_next(cx);
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            self.left = self.left.saturating_sub(piece.len() as u64);
        }
        let mut state = self.movement.state();
        state.turn = match &polled {
            Poll::Pending => Turn::Ours,
            // A reader that counts does not ask again after the last byte.
            Poll::Ready(Some(Ok(_))) if self.left > 0 => Turn::Theirs(Instant::now()),
            Poll::Ready(_) => Turn::Answer(Instant::now()),
        };
        if let Poll::Ready(Some(Ok(piece))) = &polled {
            state.bytes += piece.len() as u64;
        }
        drop(state);
        polled.map_ok(Frame::data)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

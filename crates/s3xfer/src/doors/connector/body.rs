//! The body of an answer, read by the task that polls it, without another task or a channel before the socket.
//!
//! Bytes are gathered into frames of [`FRAME_BYTES`](super::buffers::FRAME_BYTES); A frame is handed on when it is
//! full, when the body ends, or when its bytes have waited for a moment, so that a slow body shows progress. When the
//! last byte is read, the connection goes back to the pool. If the body is dropped before, the connection is closed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http_body::{Body, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::buffers::{Buffers, Frame};
use super::chunked::{ChunkError, Chunked};
use super::head::Framing;
use super::pool::{Origin, Pool};
use super::stream::Connection;

/// Bytes wait at least this long in a frame that is not full, and at most twice as long. This is well below a second,
/// the least stall timeout of a body.
const LINGER: Duration = Duration::from_millis(250);

/// Bytes that are read at once of a chunked body, which has to be decoded. S3 sends errors that way, a few hundred
/// bytes.
const CODED_BYTES: usize = 16 << 10;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub(super) enum BodyError {
    /// The connection closed.
    #[error("the connection closed {missing} bytes before the body's end")]
    Early {
        /// Number of bytes that did not come.
        missing: u64,
    },
    /// The connection closed, and how much is missing is not known.
    #[error("the connection closed before the body's end")]
    EarlyInChunks,
    /// The coding is broken.
    #[error(transparent)]
    Chunk(#[from] ChunkError),
    /// The connection broke.
    #[error(transparent)]
    Connection(#[from] io::Error),
}

/// The body of one answer.
#[derive(Debug)]
pub(super) struct ResponseBody {
    /// `None` once the body was read to its end, or failed.
    connection: Option<Connection>,
    /// The pool that gets the connection then; `None` if the server will close it.
    home: Option<Home>,
    left: Left,
    /// Bytes that were read but not yet processed: bytes of the body or, after its end, other bytes.
    early: Bytes,
    buffers: Arc<Buffers>,
    frame: Option<Frame>,
    /// Count the bytes as they come from the connection: a frame may hold them for a while.
    counters: Vec<Arc<AtomicU64>>,
    linger: Linger,
    /// Returned after the bytes before it.
    failure: Option<BodyError>,
}

/// The place where a connection is kept.
#[derive(Debug)]
pub(super) struct Home {
    pub(super) pool: Arc<Pool>,
    pub(super) origin: Origin,
}

/// The rest of a body.
#[derive(Debug)]
enum Left {
    Bytes(u64),
    Chunks(Chunked),
    /// Everything until the connection closes.
    All,
    Nothing,
}

/// A timer that costs little where frames fill quickly: it is set once in a while, not for every frame.
#[derive(Debug, Default)]
struct Linger {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether the present frame already held bytes when the timer was set.
    waited: bool,
}

impl ResponseBody {
    /// `early` holds the bytes that were read behind the head.
    pub(super) fn new(
        connection: Connection,
        framing: Framing,
        early: Bytes,
        home: Option<Home>,
        buffers: Arc<Buffers>,
    ) -> Self {
        let left = match framing {
            Framing::Length(0) => Left::Nothing,
            Framing::Length(length) => Left::Bytes(length),
            Framing::Chunked => Left::Chunks(Chunked::new()),
            Framing::UntilClose => Left::All,
        };
        let (connection, linger) = (Some(connection), Linger::default());
        let (frame, counters, failure) = (None, Vec::new(), None);
        let mut body = Self { connection, home, left, early, buffers, frame, counters, linger, failure };
        if matches!(body.left, Left::Nothing) {
            body.release();
        }
        body
    }

    /// The same, with counters of the bytes that come.
    pub(super) fn counted_by(self, counters: Vec<Arc<AtomicU64>>) -> Self {
        Self { counters, ..self }
    }

    fn count(&self, bytes: usize) {
        for counter in &self.counters {
            counter.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// Reads until the frame is full (`true`) or the body is at its end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, BodyError>> {
        loop {
            if matches!(self.left, Left::Nothing) {
                return Poll::Ready(Ok(false));
            }
            if self.frame.as_mut().is_some_and(|frame| frame.room().is_empty()) {
                return Poll::Ready(Ok(true));
            }
            if !self.early.is_empty() {
                self.take_early()?;
                continue;
            }
            let connection = self.connection.as_mut().expect("a body that is not at its end has a connection");
            if let Left::Chunks(_) = self.left {
                ready!(connection.poll_readable(cx))?;
                let mut coded = vec![0; CODED_BYTES];
                let read = ready!(connection.poll_read(cx, &mut coded))?;
                if read == 0 {
                    return Poll::Ready(Err(BodyError::EarlyInChunks));
                }
                coded.truncate(read);
                self.early = coded.into();
                continue;
            }
            let frame = match &mut self.frame {
                Some(frame) => frame,
                // A buffer is taken only once there is something to put into it.
                None => {
                    ready!(connection.poll_readable(cx))?;
                    self.frame.insert(self.buffers.take())
                }
            };
            let mut room = frame.room();
            if let Left::Bytes(left) = self.left {
                let wanted = room.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                room = &mut room[..wanted];
            }
            let read = match connection.poll_read(cx, room) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    if frame.filled() == 0 {
                        self.frame = None;
                    }
                    return Poll::Pending;
                }
            };
            frame.advance(read);
            self.count(read);
            match &mut self.left {
                Left::Bytes(missing) if read == 0 => return Poll::Ready(Err(BodyError::Early { missing: *missing })),
                Left::Bytes(left) => {
                    *left -= read as u64;
                    if *left == 0 {
                        self.release();
                    }
                }
                _ if read == 0 => self.release(),
                _ => {}
            }
        }
    }

    /// Moves bytes that were already read into the frame.
    fn take_early(&mut self) -> Result<(), BodyError> {
        let frame = self.frame.get_or_insert_with(|| self.buffers.take());
        let before = frame.filled();
        match &mut self.left {
            Left::Bytes(left) => {
                let ours = self.early.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                let taken = frame.push(&self.early[..ours]);
                self.early.advance(taken);
                *left -= taken as u64;
                if *left == 0 {
                    self.release();
                }
            }
            Left::Chunks(chunked) => {
                let decoded = chunked.decode(&self.early, frame.room())?;
                frame.advance(decoded.written);
                self.early.advance(decoded.read);
                if chunked.is_done() {
                    self.release();
                }
            }
            Left::All => {
                let taken = frame.push(&self.early);
                self.early.advance(taken);
            }
            Left::Nothing => {}
        }
        let taken = self.frame.as_ref().map_or(0, Frame::filled) - before;
        self.count(taken);
        Ok(())
    }

    /// The body is at its end: the connection goes home, unless the server said more than it should have.
    fn release(&mut self) {
        self.left = Left::Nothing;
        self.linger = Linger::default();
        let (connection, home) = (self.connection.take(), self.home.take());
        if let (Some(connection), Some(home), true) = (connection, home, self.early.is_empty()) {
            home.pool.put(home.origin, connection);
        }
    }

    /// The bytes in the frame, if there are any.
    fn cut(&mut self) -> Option<Bytes> {
        self.linger.waited = false;
        self.frame.take().filter(|frame| frame.filled() > 0).map(Frame::freeze)
    }
}

impl Linger {
    /// Ready when the bytes of the present frame have waited for long enough.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = match &mut self.sleep {
            Some(sleep) => sleep,
            None => {
                self.waited = true;
                self.sleep.insert(Box::pin(sleep(LINGER)))
            }
        };
        loop {
            ready!(sleep.as_mut().poll(cx));
            sleep.as_mut().reset(Instant::now() + LINGER);
            if self.waited {
                self.waited = false;
                return Poll::Ready(());
            }
            self.waited = true;
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(Some(Err(failure)));
        }
        let cut = match self.poll_fill(cx) {
            Poll::Ready(Ok(_)) => self.cut(),
            Poll::Ready(Err(failure)) => {
                // Nothing more can be read, and no other request may use the connection.
                self.connection = None;
                self.left = Left::Nothing;
                match self.cut() {
                    Some(bytes) => {
                        self.failure = Some(failure);
                        Some(bytes)
                    }
                    None => return Poll::Ready(Some(Err(failure))),
                }
            }
            Poll::Pending => {
                if self.frame.as_ref().is_none_or(|frame| frame.filled() == 0) {
                    return Poll::Pending;
                }
                ready!(self.linger.poll(cx));
                self.cut()
            }
        };
        Poll::Ready(cut.map(|bytes| Ok(http_body::Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.left, Left::Nothing) && self.frame.is_none() && self.failure.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let held = self.frame.as_ref().map_or(0, Frame::filled) as u64;
        match self.left {
            Left::Bytes(left) => SizeHint::with_exact(held + left),
            Left::Nothing => SizeHint::with_exact(held),
            Left::Chunks(_) | Left::All => SizeHint::default(),
        }
    }
}

//! A connection: bytes out, bytes in, with or without TLS, and whether it may be used again.
//!
//! Reads go straight from the socket into the caller's buffer. Dropping a connection closes it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::dial::{Count, Place};
use super::tls::TlsStream;

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    /// Its socket is dead without the runtime that watches it.
    runtime: Handle,
    place: Place,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream>),
}

impl Connection {
    pub(super) fn plain(stream: TcpStream, place: Place) -> Self {
        Self { stream: Stream::Plain(stream), runtime: Handle::current(), place }
    }

    pub(super) fn tls(stream: TlsStream, place: Place) -> Self {
        Self { stream: Stream::Tls(Box::new(stream)), runtime: Handle::current(), place }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(bytes).await,
            Stream::Tls(stream) => stream.send(bytes).await,
        }
    }

    /// Writes `head` and then `piece`, and removes the written bytes; ready when both are empty. With TLS,
    /// removed bytes may still wait for the socket; it is ready when none waits.
    pub(super) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut &[u8],
        piece: &mut Bytes,
    ) -> Poll<io::Result<()>> {
        let stream = match &mut self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => return stream.poll_send(cx, head, piece),
        };
        while !head.is_empty() || !piece.is_empty() {
            let both = [IoSlice::new(head), IoSlice::new(piece)];
            let written = ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &both))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(head.len());
            *head = &head[of_head..];
            piece.advance(written - of_head);
        }
        Poll::Ready(Ok(()))
    }

    /// Ready once a read may bring something, so that a buffer need not be held before. It may still bring nothing.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.poll_read_ready(cx),
            Stream::Tls(stream) => stream.poll_readable(cx),
        }
    }

    /// Reads as much into `room` (not empty) as there is; 0 at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, room: &mut [u8]) -> Poll<io::Result<usize>> {
        match &mut self.stream {
            Stream::Plain(stream) => {
                let mut buffer = ReadBuf::new(room);
                ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
                Poll::Ready(Ok(buffer.filled().len()))
            }
            Stream::Tls(stream) => stream.poll_read(cx, room),
        }
    }

    /// Whether another request may be sent over it: it belongs to this runtime, is open, and the server said nothing.
    pub(super) fn is_usable(&self) -> bool {
        if !Handle::try_current().is_ok_and(|handle| handle.id() == self.runtime.id()) {
            return false;
        }
        match &self.stream {
            Stream::Plain(stream) => is_quiet(stream),
            Stream::Tls(stream) => stream.is_at_rest() && is_quiet(stream.tcp()),
        }
    }

    /// An answer has come over it.
    pub(super) fn answered(&mut self) {
        self.place.answered();
    }

    /// All connections to the same host.
    pub(super) fn count(&self) -> &Arc<Count> {
        self.place.count()
    }

    /// The runtime that watches its socket.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Frees the memory that a waiting connection has no use for.
    pub(super) fn rest(&mut self) {
        if let Stream::Tls(stream) = &mut self.stream {
            stream.rest();
        }
    }
}

/// Whether the socket is open and has nothing to say. Asked of the system, not of tokio: its knowledge is as old as its
/// last look at all sockets.
fn is_quiet(stream: &TcpStream) -> bool {
    let mut byte = [0_u8];
    let peeked = recv(stream, &mut byte, RecvFlags::PEEK | RecvFlags::DONTWAIT);
    matches!(peeked, Err(rustix::io::Errno::AGAIN))
}

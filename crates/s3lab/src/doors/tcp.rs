//! The only file that names `hyper` and opens sockets: an HTTP/1.1 server with one task per connection.
//!
//! No client keeps a connection for ever by doing nothing: `patience` has the limit of each wait. The number of
//! connections is limited only by the system's limit on open files.
//!
//! Cancellation: dropping [`serve`]'s future closes the listener and every connection at once.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Sleep, sleep};

use super::patience::{self, Stall};
use super::tls::Acceptor;

/// Body bytes hyper queues before it waits for the socket: two of the largest pieces a body hands over.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// Largest head in bytes. S3 accepts 8 KB; longer session tokens and metadata are accepted here. Without a limit, an
/// endless head would fill a buffer as large as those of answers.
const LARGEST_HEAD: usize = 64 << 10;

/// The error text of a body that [`patience::UPLOAD`] ended.
pub(crate) const STOOD_STILL: &str = "no more bytes of the body arrived in time";

/// Set to have the connection end with a reset instead of an orderly close.
pub(crate) type Abort = Arc<AtomicBool>;

/// The connection ends before an answer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a planned fault broke the connection")]
pub(crate) struct Broken;

/// A responder to requests.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// The state of one connection; dropped when it closes.
    type Connection: Send + Sync + 'static;
    /// The answers' bodies.
    type Body: http_body::Body<Data = Bytes, Error = io::Error> + Send + 'static;

    /// A connection was accepted.
    fn open(&self, abort: Abort) -> Self::Connection;

    /// Answers one request. An error ends the connection without an answer.
    fn call(
        &self,
        connection: Arc<Self::Connection>,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Broken>> + Send;
}

/// Accepts connections for ever. With a TLS acceptor, each makes its handshake first.
pub(crate) async fn serve(listener: TcpListener, tls: Option<Acceptor>, handler: impl Handler) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, tls.clone(), handler.clone()));
                }
                Err(error) => {
                    // The probable cause is that no file descriptor is left. Wait until one is closed.
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(Duration::from_millis(20)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, tls: Option<Acceptor>, handler: impl Handler) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let abort = Abort::default();
    // Opened before the handshake: its time is part of the network's time for a new connection.
    let connection = Arc::new(handler.open(abort.clone()));
    let wire = Wire { stream, abort, stall: Stall::new(patience::ANSWER) };
    match tls {
        None => requests(wire, connection, handler).await,
        Some(tls) => match tls.accept(wire).await {
            Ok(stream) => requests(stream, connection, handler).await,
            Err(error) => tracing::debug!(%error, "a handshake failed"),
        },
    }
}

/// Answers one request after the other.
async fn requests<H, S>(stream: S, connection: Arc<H::Connection>, handler: H)
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(|request: Request<Incoming>| {
        let (handler, connection, request) = (handler.clone(), connection.clone(), request.map(RequestBody::new));
        async move { handler.call(connection, request).await }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(patience::HEAD)
        .max_header_size(LARGEST_HEAD)
        .writev(true)
        .max_buf_size(WRITE_BUFFER_BYTES)
        .serve_connection(TokioIo::new(Lingering { stream, until: None }), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A request's body, as long as its client continues to send it.
pub(crate) struct RequestBody {
    body: Incoming,
    stall: Stall,
}

impl RequestBody {
    fn new(body: Incoming) -> Self {
        Self { body, stall: Stall::new(patience::UPLOAD) }
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Self { body, stall } = &mut *self;
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(frame) => {
                stall.moved();
                Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
            }
            Poll::Pending => {
                ready!(stall.poll_over(cx));
                Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, STOOD_STILL))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection that does not end with a reset: when all answers are sent, further bytes from the client are read and
/// discarded, until it closes its side, too, or for [`patience::LINGER`].
struct Lingering<S> {
    stream: S,
    until: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        /// Pieces read before other connections have their turn.
        const IN_A_ROW: u32 = 32;

        let Self { stream, until } = &mut *self;
        if until.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
        }
        let until = until.get_or_insert_with(|| Box::pin(sleep(patience::LINGER)));
        let mut dropped = [0; 8 << 10];
        for _ in 0..IN_A_ROW {
            if until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut dropped);
            // After an orderly close or a reset, the client does not read the rest of the answer.
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

/// A socket that is reset when it is dropped after an abort, and that limits the time in which the client takes
/// nothing.
struct Wire {
    stream: TcpStream,
    abort: Abort,
    stall: Stall,
}

impl Wire {
    /// The result of a write, or an error if the client has taken nothing for too long.
    fn taken(&mut self, written: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if written.is_pending() {
            ready!(self.stall.poll_over(cx));
            let what = format!("the client has taken nothing for {} s", patience::ANSWER.as_secs());
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, what)));
        }
        self.stall.moved();
        written
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.abort.load(Ordering::Acquire)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::debug!(%error, "a connection is closed, not reset");
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.taken(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.taken(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

//! The one file that names `hyper` and opens sockets: an HTTP/1.1 server, one task a connection.
//!
//! Cancellation: dropping [`serve`]'s future closes the listener and every connection, wherever they are.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
pub(crate) use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::tls::Acceptor;

/// Body bytes hyper queues before it waits for the socket: two of the largest pieces a body hands over.
const WRITE_BUFFER_BYTES: usize = 1 << 20;

/// Set to have the connection end with a reset instead of an orderly close.
pub(crate) type Abort = Arc<AtomicBool>;

/// Who answers requests.
pub(crate) trait Handler: Clone + Send + Sync + 'static {
    /// What belongs to one connection; dropped when it closes.
    type Connection: Send + Sync + 'static;
    /// The answers' bodies.
    type Body: http_body::Body<Data = bytes::Bytes, Error = io::Error> + Send + 'static;

    /// A connection was accepted.
    fn open(&self, abort: Abort) -> Self::Connection;

    /// Answers one request.
    fn call(
        &self,
        connection: Arc<Self::Connection>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Accepts connections for ever; each makes its handshake first where there is an acceptor.
pub(crate) async fn serve(listener: TcpListener, tls: Option<Acceptor>, handler: impl Handler) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, tls.clone(), handler.clone()));
                }
                Err(error) => {
                    // Out of file descriptors, most likely: nothing to do but to wait until one is closed.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(20)).await;
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
    // Opened before the handshake: its time is part of what the network takes to set a connection up.
    let connection = Arc::new(handler.open(abort.clone()));
    let wire = Wire { stream, abort };
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
    let service = service_fn(|request| {
        let (handler, connection) = (handler.clone(), connection.clone());
        async move { Ok::<_, Infallible>(handler.call(connection, request).await) }
    });
    let served = http1::Builder::new()
        .writev(true)
        .max_buf_size(WRITE_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// A socket that is reset when dropped after an abort.
struct Wire {
    stream: TcpStream,
    abort: Abort,
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
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

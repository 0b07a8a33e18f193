//! The TCP face: any S3 client can use it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::body::LabBody;
use super::gate::{Connection, Gate};
use super::lab::Lab;
use crate::doors::tcp;

/// A lab served over TCP, until dropped or [`shutdown`](Self::shutdown): then every connection ends where it is.
///
/// ```
/// use s3lab::{Lab, Server};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let lab = Lab::builder().bucket("lab").synthetic("lab", "big", 3 << 30).build()?;
/// let server = Server::start(&lab, "127.0.0.1:0".parse()?).await?;
/// assert_eq!(server.endpoint(), format!("http://{}", server.addr()));
/// server.shutdown().await;
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Server {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {addr}; choose another address, or port 0 for any free one")]
#[non_exhaustive]
pub struct StartError {
    /// The address that was asked for.
    pub addr: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

#[derive(Clone)]
struct Face(Arc<Gate>);

impl tcp::Handler for Face {
    type Connection = Connection;
    type Body = LabBody;

    fn open(&self, abort: Arc<AtomicBool>) -> Connection {
        self.0.connect(abort)
    }

    fn call(
        &self,
        connection: Arc<Connection>,
        request: Request<tcp::Incoming>,
    ) -> impl Future<Output = Response<LabBody>> + Send {
        // Boxed: the protocol layer's futures are several kilobytes, and most of a connection's life is idle.
        Box::pin(self.0.clone().exchange(connection, request))
    }
}

impl Server {
    /// Listens on `addr` and serves from tasks of the current tokio runtime. The address is yours to choose: there is
    /// no transport security, so anything but loopback shows objects and signatures to the network.
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub async fn start(lab: &Lab, addr: SocketAddr) -> Result<Self, StartError> {
        let error = |source| StartError { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(error)?;
        let bound = listener.local_addr().map_err(error)?;
        let task = tokio::spawn(tcp::serve(listener, Face(lab.gate.clone())));
        Ok(Self { addr: bound, task })
    }

    /// The address it listens on, with its true port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What clients take as endpoint URL; addressing is path style.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Closes the listener and every connection; returns once they are closed.
    pub async fn shutdown(mut self) {
        self.task.abort();
        // Cancelled, which is what was asked for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

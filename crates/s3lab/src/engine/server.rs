//! The TCP face: any S3 client can use it, in the clear or over TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use http::{Request, Response};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::body::LabBody;
use super::gate::Gate;
use super::lab::Lab;
use super::line::Connection;
use crate::doors::tcp;
use crate::doors::tls::Acceptor;

/// A lab served over TCP until the server is dropped or [shut down](Self::shutdown). Then every connection ends at
/// once.
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
    certificate_pem: Option<String>,
    task: JoinHandle<()>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}; choose another address, or port 0 for any free one")]
    Listen {
        /// The address that was asked for.
        addr: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// The certificate could not be made.
    #[error("cannot make a certificate for the server; start it without TLS")]
    Certificate {
        /// The cryptography library's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

#[derive(Clone)]
struct Face(Arc<Gate>);

impl tcp::Handler for Face {
    type Connection = Connection;
    type Body = LabBody;

    fn open(&self, abort: Arc<AtomicBool>) -> Connection {
        self.0.line.connect(abort)
    }

    fn call(
        &self,
        connection: Arc<Connection>,
        request: Request<tcp::RequestBody>,
    ) -> impl Future<Output = Result<Response<LabBody>, tcp::Broken>> + Send {
        // Boxed: the protocol layer's futures are several kilobytes, and most of a connection's life is idle.
        Box::pin(self.0.clone().exchange(connection, request))
    }
}

impl Server {
    /// Listens on `addr` and serves from tasks of the current tokio runtime. There is no transport security, so with an
    /// address other than loopback, objects and signatures are visible on the network ([`start_tls`](Self::start_tls)
    /// encrypts them).
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on.
    pub async fn start(lab: &Lab, addr: SocketAddr) -> Result<Self, StartError> {
        Self::serve(lab, addr, None).await
    }

    /// The same over TLS 1.2 or 1.3, with a new self-signed certificate for `127.0.0.1`, `::1` and `localhost`. Clients
    /// must trust [`certificate_pem`](Self::certificate_pem).
    ///
    /// The network's model is the same as without TLS. The handshake takes its own time, which counts as part of the
    /// model's time for opening a connection.
    ///
    /// ```
    /// use s3lab::{Lab, Server};
    ///
    /// # tokio::runtime::Runtime::new()?.block_on(async {
    /// let lab = Lab::builder().bucket("lab").synthetic("lab", "big", 3 << 30).build()?;
    /// let server = Server::start_tls(&lab, "127.0.0.1:0".parse()?).await?;
    /// assert_eq!(server.endpoint(), format!("https://{}", server.addr()));
    /// assert!(server.certificate_pem().is_some_and(|pem| pem.starts_with("-----BEGIN CERTIFICATE-----")));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// When the address cannot be listened on, or the certificate not made.
    pub async fn start_tls(lab: &Lab, addr: SocketAddr) -> Result<Self, StartError> {
        let (acceptor, pem) = Acceptor::self_signed().map_err(|source| StartError::Certificate { source })?;
        Self::serve(lab, addr, Some((acceptor, pem))).await
    }

    async fn serve(lab: &Lab, addr: SocketAddr, tls: Option<(Acceptor, String)>) -> Result<Self, StartError> {
        let error = |source| StartError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(error)?;
        let bound = listener.local_addr().map_err(error)?;
        let (acceptor, certificate_pem) = tls.unzip();
        let task = tokio::spawn(tcp::serve(listener, acceptor, Face(lab.gate.clone())));
        Ok(Self { addr: bound, certificate_pem, task })
    }

    /// The address it listens on, with its true port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The endpoint URL for clients; addressing is path style.
    #[must_use]
    pub fn endpoint(&self) -> String {
        let scheme = if self.certificate_pem.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// The certificate a client has to trust; absent in the clear.
    #[must_use]
    pub fn certificate_pem(&self) -> Option<&str> {
        self.certificate_pem.as_deref()
    }

    /// Closes the listener and every connection; returns once they are closed.
    pub async fn shutdown(mut self) {
        self.task.abort();
        // Cancelled, as asked for.
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

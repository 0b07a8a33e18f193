//! A tunnel through a proxy: CONNECT (RFC 9110, 9.3.6).

use std::io;

use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::head::{self, HeadError};
use super::proxy::Proxy;

/// Bytes of the proxy's answer that are read at once.
const ANSWER_BYTES: usize = 1 << 10;

/// The reason why the proxy opens no tunnel. The causes are part of the text, because reports show only the innermost
/// error.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    /// It says so.
    #[error("it says {status}{}", mend(*status))]
    Refused {
        /// The status of its answer.
        status: StatusCode,
    },
    /// It closed the connection.
    #[error("it closed the connection instead of an answer")]
    Closed,
    /// The connection broke.
    #[error("its connection broke: {0}")]
    Broken(io::Error),
    /// Not an answer.
    #[error("{0}")]
    Head(HeadError),
    /// Something came before anything was sent to the host.
    #[error("it sends more than the answer that opens the tunnel")]
    Unasked,
}

impl TunnelError {
    /// Whether another attempt may do better.
    pub(super) fn passes(&self) -> bool {
        match self {
            Self::Refused { status } => status.is_server_error() || matches!(status.as_u16(), 408 | 429),
            Self::Closed | Self::Broken(_) => true,
            Self::Head(_) | Self::Unasked => false,
        }
    }
}

/// A hint at the way to mend a refusal.
pub(super) fn mend(status: StatusCode) -> &'static str {
    match status {
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "; it requires a name and a password, or other ones: http://user:password@host:port"
        }
        StatusCode::FORBIDDEN => "; if the endpoint can be reached without it, list it in NO_PROXY",
        _ => "",
    }
}

/// Makes of `stream`, a connection to `proxy`, one to `host`.
///
/// # Errors
///
/// [`TunnelError`].
pub(super) async fn open(stream: &mut TcpStream, proxy: &Proxy, host: &str, port: u16) -> Result<(), TunnelError> {
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nhost: {host}:{port}\r\n");
    if let Some(authorization) = proxy.authorization() {
        request.push_str(&format!("proxy-authorization: {authorization}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(TunnelError::Broken)?;
    let mut answer = Vec::new();
    let head = loop {
        answer.reserve(ANSWER_BYTES);
        if stream.read_buf(&mut answer).await.map_err(TunnelError::Broken)? == 0 {
            return Err(TunnelError::Closed);
        }
        if let Some(head) = head::parse(&answer, &Method::CONNECT).map_err(TunnelError::Head)? {
            break head;
        }
    };
    if !head.status.is_success() {
        return Err(TunnelError::Refused { status: head.status });
    }
    if answer.len() > head.bytes { Err(TunnelError::Unasked) } else { Ok(()) }
}

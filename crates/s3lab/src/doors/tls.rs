//! The one file that names `rustls`, `tokio-rustls` and `rcgen`: a certificate of its own, and connections behind it.
//!
//! Only the server's side. Versions 1.2 and 1.3 on AWS-LC, as the SDK's own client; HTTP/1.1 by ALPN (RFC 7301), which
//! is the version that S3 speaks.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A client that has not finished its handshake by then is let go.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why there is no certificate.
pub(crate) type CertificateError = Box<dyn std::error::Error + Send + Sync>;

/// Accepts handshakes with a self-signed certificate.
#[derive(Clone)]
pub(crate) struct Acceptor(TlsAcceptor);

impl Acceptor {
    /// A new key and certificate for this machine's loopback names, and the certificate as PEM for its clients.
    pub(crate) fn self_signed() -> Result<(Self, String), CertificateError> {
        let mut params = CertificateParams::new(["localhost".to_owned()])?;
        params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
        params.subject_alt_names.push(SanType::IpAddress(Ipv6Addr::LOCALHOST.into()));
        params.distinguished_name.push(DnType::CommonName, "s3lab");
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        // Named, for the process may have no default provider, or another.
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Self(TlsAcceptor::from(Arc::new(config))), certificate.pem()))
    }

    /// The handshake.
    ///
    /// # Errors
    ///
    /// The reason: the client sent something else, left, or took too long.
    pub(crate) async fn accept<S>(&self, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // rustls hands the socket four records (64 KiB) at a time by itself. More was tried and is no faster: 3.3 GiB/s
        // as it is and with 192 KiB, 3.0 with 1 MiB, where the ciphertext leaves the cache before it leaves the
        // process.
        tokio::time::timeout(HANDSHAKE, self.0.accept(stream)).await.unwrap_or_else(|_| {
            let what = format!("no TLS handshake within {} s", HANDSHAKE.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, what))
        })
    }
}

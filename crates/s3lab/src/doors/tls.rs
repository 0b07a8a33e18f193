//! The only file that names `rustls`, `tokio-rustls` and `rcgen`: a self-signed certificate, and connections that use
//! it.
//!
//! It is the server's side only. It speaks TLS 1.2 and 1.3 on AWS-LC, like the SDK's own client, and HTTP/1.1 by ALPN
//! (RFC 7301), because S3 speaks that version.

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

/// Limit of a handshake. The connection of a slower client is closed.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// The reason why there is no certificate.
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
        // The provider is named, because the process may have no default provider or a different one.
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
        // By itself, rustls hands the socket four records (64 KiB) at a time. Larger amounts are no faster: 3.3 GiB/s
        // with 64 and with 192 KiB, 3.0 GiB/s with 1 MiB, because the ciphertext leaves the cache before it leaves the
        // process.
        tokio::time::timeout(HANDSHAKE, self.0.accept(stream)).await.unwrap_or_else(|_| {
            let what = format!("no TLS handshake within {} s", HANDSHAKE.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, what))
        })
    }
}

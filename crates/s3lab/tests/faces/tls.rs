//! The TCP face over TLS, seen by a client that trusts the certificate, and by one that does not.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use s3lab::{FaultKind, FaultPlan, Lab, NetworkProfile, Requests, Server, SyntheticObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const SIZE: u64 = 3_000_000;

async fn start(plan: FaultPlan, network: NetworkProfile) -> Outcome<(Lab, Server)> {
    let lab = Lab::builder()
        .bucket("lab")
        .synthetic("lab", "big", SIZE)
        .network(network)
        .faults(plan)
        .allow_anonymous(true)
        .build()?;
    let server = Server::start_tls(&lab, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    Ok((lab, server))
}

/// A client that trusts these certificates and no others.
async fn connect(
    server: &Server,
    name: &'static str,
    trusted: Option<&str>,
    versions: &[&'static SupportedProtocolVersion],
) -> Outcome<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted.map(str::as_bytes).into_iter().flat_map(CertificateDer::pem_slice_iter) {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let stream = TcpStream::connect(server.addr()).await?;
    Ok(TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name)?, stream).await?)
}

/// Asks for the whole object and reads until the connection ends: the body, and how it ended.
async fn get(mut stream: TlsStream<TcpStream>) -> Outcome<(Vec<u8>, Option<ErrorKind>)> {
    stream.write_all(b"GET /lab/big HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let (head, body, ended) = crate::answer(stream).await?;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok((body, ended))
}

#[tokio::test]
async fn an_object_is_served_byte_for_byte_to_who_trusts_the_certificate() -> Outcome {
    let (_lab, server) = start(FaultPlan::none(), NetworkProfile::unlimited()).await?;
    assert!(server.endpoint().starts_with("https://127.0.0.1:"));
    for (name, version) in [
        ("127.0.0.1", &rustls::version::TLS12),
        ("localhost", &rustls::version::TLS13),
        ("::1", &rustls::version::TLS13),
    ] {
        let stream = connect(&server, name, server.certificate_pem(), &[version]).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let (body, ended) = get(stream).await?;
        assert_eq!((body.len() as u64, ended), (SIZE, None), "{name}");
        SyntheticObject::named("lab", "big", SIZE).verify(0, &body)?;
    }
    server.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_client_that_does_not_trust_the_certificate_leaves() -> Outcome {
    let (lab, server) = start(FaultPlan::none(), NetworkProfile::unlimited()).await?;
    let (_other_lab, other) = start(FaultPlan::none(), NetworkProfile::unlimited()).await?;
    for trusted in [None, other.certificate_pem()] {
        let error = connect(&server, "localhost", trusted, rustls::ALL_VERSIONS).await.unwrap_err();
        assert!(error.to_string().contains("certificate"), "{error}");
    }
    let error = connect(&server, "example.org", server.certificate_pem(), rustls::ALL_VERSIONS).await.unwrap_err();
    assert!(error.to_string().contains("not valid for name"), "{error}");
    assert_eq!(lab.stats().total(), 0);
    Ok(())
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_is_let_go_and_harms_nobody() -> Outcome {
    let (lab, server) = start(FaultPlan::none(), NetworkProfile::unlimited()).await?;
    // Says nothing at all, and must not hold up the others.
    let _silent = TcpStream::connect(server.addr()).await?;
    let mut plain = TcpStream::connect(server.addr()).await?;
    plain.write_all(b"GET /lab/big HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
    let mut answer = Vec::new();
    // Closed or reset, but not left open.
    let _ = tokio::time::timeout(Duration::from_secs(30), plain.read_to_end(&mut answer)).await?;
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
    let stream = connect(&server, "localhost", server.certificate_pem(), rustls::ALL_VERSIONS).await?;
    assert_eq!(get(stream).await?.0.len() as u64, SIZE);
    assert_eq!(lab.stats().total(), 1);
    Ok(())
}

#[tokio::test]
async fn faults_break_the_connection_beneath_tls() -> Outcome {
    for (kind, expected) in [
        (FaultKind::Reset { after_bytes: 700_000 }, ErrorKind::ConnectionReset),
        // No close_notify either: a client can tell this end from the body's.
        (FaultKind::Truncate { after_bytes: 700_000 }, ErrorKind::UnexpectedEof),
    ] {
        let plan = FaultPlan::none().and("big", Requests::At(0), kind)?;
        let (_lab, server) = start(plan, NetworkProfile::unlimited()).await?;
        let stream = connect(&server, "localhost", server.certificate_pem(), rustls::ALL_VERSIONS).await?;
        let (body, ended) = get(stream).await?;
        assert_eq!(ended, Some(expected));
        assert!(body.len() <= 700_000, "{}", body.len());
        SyntheticObject::named("lab", "big", SIZE).verify(0, &body)?;
    }
    Ok(())
}

#[tokio::test]
async fn the_network_paces_what_is_encrypted_too() -> Outcome {
    let network = NetworkProfile::from_toml("connection_mb_per_s = 10.0")?;
    let (_lab, server) = start(FaultPlan::none(), network).await?;
    let stream = connect(&server, "localhost", server.certificate_pem(), rustls::ALL_VERSIONS).await?;
    let start = std::time::Instant::now();
    let (body, _) = get(stream).await?;
    assert_eq!(body.len() as u64, SIZE);
    // A lower bound, which a busy machine cannot break: 3 MB at 10 MB/s, less what may be on its way at once.
    assert!(start.elapsed() >= Duration::from_millis(200), "{:?}", start.elapsed());
    Ok(())
}

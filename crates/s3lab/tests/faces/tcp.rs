//! The TCP face, seen by a client with nothing but a socket.

use std::io::ErrorKind;
use std::net::SocketAddr;

use s3lab::{FaultKind, FaultPlan, Lab, Requests, Server, SyntheticObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const SIZE: u64 = 3_000_000;

fn lab(plan: FaultPlan) -> Result<Lab, Box<dyn std::error::Error>> {
    Ok(Lab::builder().bucket("lab").synthetic("lab", "big", SIZE).faults(plan).allow_anonymous(true).build()?)
}

async fn start(lab: &Lab) -> Result<Server, Box<dyn std::error::Error>> {
    Ok(Server::start(lab, SocketAddr::from(([127, 0, 0, 1], 0))).await?)
}

/// Sends one request and reads until the connection ends: the head, the body, and how it ended.
async fn ask(
    server: &Server,
    method: &str,
    extra: &str,
) -> Result<(String, Vec<u8>, Option<ErrorKind>), Box<dyn std::error::Error>> {
    let mut stream = TcpStream::connect(server.addr()).await?;
    let request = format!("{method} /lab/big HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{extra}\r\n", server.addr());
    stream.write_all(request.as_bytes()).await?;
    let (head, body, ended) = crate::answer(stream).await?;
    Ok((head.to_ascii_lowercase(), body, ended))
}

#[tokio::test]
async fn a_range_is_served_byte_for_byte() -> Outcome {
    let lab = lab(FaultPlan::none())?;
    let server = start(&lab).await?;
    let (head, body, ended) = ask(&server, "GET", "Range: bytes=1000000-2999999\r\n").await?;
    assert!(head.starts_with("http/1.1 206"), "{head}");
    assert!(head.contains("content-range: bytes 1000000-2999999/3000000"), "{head}");
    assert!(head.contains("content-length: 2000000"), "{head}");
    assert_eq!((body.len(), ended), (2_000_000, None));
    SyntheticObject::named("lab", "big", SIZE).verify(1_000_000, &body)?;
    server.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_head_has_the_length_and_no_body() -> Outcome {
    let server = start(&lab(FaultPlan::none())?).await?;
    let (head, body, _) = ask(&server, "HEAD", "").await?;
    assert!(head.contains("content-length: 3000000") && body.is_empty(), "{head}");
    let (head, body, _) = ask(&server, "GET", "If-None-Match: *\r\n").await?;
    assert!(head.starts_with("http/1.1 304") && body.is_empty(), "{head}");
    let (head, _, _) = ask(&server, "GET", "Range: bytes=3000000-\r\n").await?;
    assert!(head.starts_with("http/1.1 416") && head.contains("content-range: bytes */3000000"), "{head}");
    Ok(())
}

#[tokio::test]
async fn a_reset_is_a_reset_and_an_early_end_an_early_end() -> Outcome {
    let object = SyntheticObject::named("lab", "big", SIZE);
    for (kind, expected) in [
        (FaultKind::Reset { after_bytes: 700_000 }, Some(ErrorKind::ConnectionReset)),
        (FaultKind::Truncate { after_bytes: 700_000 }, None),
    ] {
        let server = start(&lab(FaultPlan::none().and("big", Requests::At(0), kind)?)?).await?;
        let (head, body, ended) = ask(&server, "GET", "").await?;
        assert!(head.contains("content-length: 3000000"), "{head}");
        assert_eq!(ended, expected);
        assert!(body.len() <= 700_000 && (expected.is_some() || body.len() == 700_000), "{}", body.len());
        object.verify(0, &body)?;
        // The next request meets no fault.
        assert_eq!(ask(&server, "GET", "").await?.1.len() as u64, SIZE);
    }
    Ok(())
}

#[tokio::test]
async fn shutdown_ends_idle_and_busy_connections() -> Outcome {
    let stall = FaultKind::Stall { after_bytes: 10, duration: None };
    let lab = lab(FaultPlan::none().and("big", Requests::Every, stall)?)?;
    let server = start(&lab).await?;
    let mut idle = TcpStream::connect(server.addr()).await?;
    let mut busy = TcpStream::connect(server.addr()).await?;
    busy.write_all(b"GET /lab/big HTTP/1.1\r\nHost: lab\r\n\r\n").await?;
    assert!(busy.read_buf(&mut Vec::new()).await? > 0);
    server.shutdown().await;
    for stream in [&mut idle, &mut busy] {
        let mut rest = Vec::new();
        // Closed or reset, but not left open.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(10), stream.read_to_end(&mut rest)).await?;
    }
    assert_eq!((lab.stats().connections_open, lab.stats().in_flight), (0, 0));
    Ok(())
}

#[tokio::test]
async fn an_address_in_use_is_named() -> Outcome {
    let lab = lab(FaultPlan::none())?;
    let server = start(&lab).await?;
    let error = Server::start(&lab, server.addr()).await.unwrap_err();
    assert!(error.to_string().contains(&server.addr().to_string()), "{error}");
    Ok(())
}

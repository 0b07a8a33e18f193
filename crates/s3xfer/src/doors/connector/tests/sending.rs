//! Requests with bodies, against servers that take them, take a part of them, or answer before.

use std::task::Poll;

use super::*;

#[tokio::test]
async fn requests_with_bodies_are_left_to_the_sdks_own_client() {
    let server = Server::new(|asked, out| {
        assert!(asked.head.starts_with("PUT "), "{}", asked.head);
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\netag: \"x\"\r\n\r\n").map(|()| false)
    });
    use aws_sdk_s3::config::{BehaviorVersion, Config, Credentials, Region};
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(server.url(""))
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("a", "s", None, None, "test"))
        .http_client(SharedHttpClient::new(LargeGets::default()))
        .build();
    let put = aws_sdk_s3::Client::from_conf(config).put_object().bucket("b").key("k").body(vec![7; 10].into());
    assert_eq!(put.send().await.unwrap().e_tag(), Some("\"x\""));
}

/// A body in pieces, and the number of those that were asked for.
struct Pieces {
    left: std::vec::IntoIter<Bytes>,
    taken: Arc<AtomicUsize>,
    /// After the last piece.
    end: End,
}

/// The end of a body.
enum End {
    Whole,
    Failure(io::Error),
    /// It never comes.
    Never,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> Poll<Option<io::Result<http_body::Frame<Bytes>>>> {
        self.taken.fetch_add(1, Ordering::SeqCst);
        if let Some(piece) = self.left.next() {
            return Poll::Ready(Some(Ok(http_body::Frame::data(piece))));
        }
        match std::mem::replace(&mut self.end, End::Whole) {
            End::Whole => Poll::Ready(None),
            End::Failure(failure) => Poll::Ready(Some(Err(failure))),
            End::Never => {
                self.end = End::Never;
                Poll::Pending
            }
        }
    }
}

/// Sends `body` by a PUT; gives the answer, and the number of pieces that were asked for.
async fn put(shared: &Arc<Shared>, url: &str, body: &[u8], end: End) -> (Sent, usize) {
    let direct = Direct { shared: shared.clone() };
    let route = direct.route(url).unwrap();
    let length = body.len() + usize::from(!matches!(end, End::Whole));
    let headers = format!("host: {}\r\ncontent-length: {length}\r\n", route.host());
    let taken = Arc::new(AtomicUsize::new(0));
    let left = body.chunks(50_000).map(Bytes::copy_from_slice).collect::<Vec<_>>().into_iter();
    let pieces = Pieces { left, taken: taken.clone(), end };
    let timeouts = Timeouts { connect: None, read: None };
    let sent = direct.send_body(&route, &Method::PUT, ("/k", &headers), pieces, timeouts).await;
    (sent, taken.load(Ordering::SeqCst))
}

type Sent = Result<Exchanged, ConnectorError>;

/// Reads a request's head, and as much of its body as `most` allows; gives the body.
fn take(stream: &mut (impl Read + ?Sized), most: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.starts_with("PUT /k HTTP/1.1\r\n"), "{head}");
    let length: usize = head.split_once("content-length: ").unwrap().1.lines().next().unwrap().parse().unwrap();
    let mut body = vec![0; length.min(most)];
    stream.read_exact(&mut body)?;
    Ok(body)
}

const REFUSED: &[u8] = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn bodies_arrive_whole_and_connections_are_used_again() {
    let ca = Ca::new();
    let config = Arc::new(ca.server_config(rustls::ALL_VERSIONS));
    let bodies = [0, 1, 50_000, 50_001, 1_234_567].map(bytes);
    let expected = bodies.clone();
    let serve = move |stream: &mut dyn ReadWrite| {
        for body in &expected {
            assert!(take(stream, usize::MAX)? == *body, "another body than was sent");
            stream.write_all(&good(b""))?;
            stream.flush()?;
        }
        Ok(())
    };
    let serve_tls = serve.clone();
    let plain = Server::with(move |mut stream, _| serve(&mut stream));
    let tls = Server::with(move |stream, _| {
        serve_tls(&mut StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream))
    });
    let shared = Arc::new(ca.trusted());
    for (server, url) in [(&plain, plain.url("/k")), (&tls, tls.url("/k").replace("http:", "https:"))] {
        for body in &bodies {
            let (sent, _) = put(&shared, &url, body, End::Whole).await;
            let answer = sent.unwrap();
            assert_eq!((answer.status, answer.is_bodiless()), (StatusCode::OK, true), "{url}");
        }
        assert_eq!(server.accepted(), 1, "{url}");
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[tokio::test]
async fn an_answer_before_the_bodys_end_counts_and_its_connection_is_not_used_again() {
    let (told, is_told) = std::sync::mpsc::channel::<()>();
    let is_told = Mutex::new(is_told);
    // Takes no more of the body, and keeps the connection open.
    let server = Server::with(move |mut stream, _| {
        take(&mut stream, 1000)?;
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        stream.write_all(REFUSED)?;
        is_told.lock().unwrap().recv().map_err(io::Error::other)
    });
    let shared = Arc::new(Shared::default());
    let body = vec![7; 32 << 20];
    let (sent, taken) = put(&shared, &server.url("/k"), &body, End::Whole).await;
    assert_eq!(sent.unwrap().status, StatusCode::FORBIDDEN);
    assert!(taken < body.len() / 50_000, "all of it was taken");
    assert_eq!(shared.pool.usable(), 0);
    told.send(()).unwrap();
}

#[tokio::test]
async fn an_answer_before_the_bodys_end_counts_though_the_server_closes_after_it() {
    let ca = Ca::new();
    let config = Arc::new(ca.server_config(rustls::ALL_VERSIONS));
    let serve = |stream: &mut dyn ReadWrite| {
        take(stream, 1000)?;
        stream.write_all(REFUSED)?;
        stream.flush()
    };
    let plain = Server::with(move |mut stream, _| serve(&mut stream));
    let tls = Server::with(move |stream, _| {
        // Otherwise the answer may wait for an acknowledgement of the handshake, and is lost when the socket closes.
        stream.set_nodelay(true)?;
        serve(&mut StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream))
    });
    let shared = Arc::new(ca.trusted());
    for url in [plain.url("/k"), tls.url("/k").replace("http:", "https:")] {
        let (sent, _) = put(&shared, &url, &vec![7; 32 << 20], End::Whole).await;
        let answer = sent.unwrap_or_else(|error| panic!("{url}: {error:?}"));
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{url}");
    }
}

#[tokio::test]
async fn an_answer_counts_while_the_body_is_not_ready() {
    // The first time there is nothing but the head.
    for ready in [0, 1000] {
        let (told, is_told) = std::sync::mpsc::channel::<()>();
        let is_told = Mutex::new(is_told);
        let server = Server::with(move |mut stream, _| {
            take(&mut stream, ready)?;
            stream.write_all(REFUSED)?;
            is_told.lock().unwrap().recv().map_err(io::Error::other)
        });
        let (shared, url, body) = (Arc::new(Shared::default()), server.url("/k"), vec![7; ready]);
        let sending = put(&shared, &url, &body, End::Never);
        let (sent, _) = timeout(Duration::from_secs(60), sending).await.expect("an answer");
        assert_eq!(sent.unwrap().status, StatusCode::FORBIDDEN, "{ready}");
        told.send(()).unwrap();
    }
}

#[tokio::test]
async fn a_success_before_the_bodys_end_is_not_believed() {
    let (told, is_told) = std::sync::mpsc::channel::<()>();
    let is_told = Mutex::new(is_told);
    let server = Server::with(move |mut stream, _| {
        take(&mut stream, 1000)?;
        stream.write_all(&good(b""))?;
        is_told.lock().unwrap().recv().map_err(io::Error::other)
    });
    let (sent, _) = put(&Arc::new(Shared::default()), &server.url("/k"), &vec![7; 32 << 20], End::Whole).await;
    let error = sent.unwrap_err();
    assert!(error.is_io() && format!("{error:?}").contains("TooSoon"), "{error:?}");
    told.send(()).unwrap();
}

#[tokio::test]
async fn a_connection_that_closes_instead_of_an_answer_is_an_error_and_nothing_is_sent_again() {
    // In the midst of the body, and after it.
    for most in [1000, usize::MAX] {
        let server = Server::with(move |mut stream, _| take(&mut stream, most).map(drop));
        let (sent, _) = put(&Arc::new(Shared::default()), &server.url("/k"), &vec![7; 32 << 20], End::Whole).await;
        let error = sent.unwrap_err();
        assert!(error.is_io(), "{error:?}");
        assert_eq!(server.accepted(), 1);
    }
}

#[tokio::test]
async fn a_body_that_fails_ends_the_request_and_its_connection() {
    let server = Server::with(|mut stream, _| take(&mut stream, usize::MAX).map(drop));
    let shared = Arc::new(Shared::default());
    let (sent, _) = put(&shared, &server.url("/k"), &[7; 100], End::Failure(io::ErrorKind::Other.into())).await;
    let error = sent.unwrap_err();
    assert!(error.is_user(), "{error:?}");
    for _ in 0..PATIENCE {
        if server.open.load(Ordering::SeqCst) == 0 {
            return;
        }
        sleep(MOMENT).await;
    }
    panic!("the connection is still open");
}

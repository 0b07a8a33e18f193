//! The connector against servers of flesh and blood: real sockets, scripted answers, wrong ones mostly.

mod limited;
mod proxies;
mod sending;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use http_body::Body;
use rcgen::CertifiedKey;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::pool::IDLE_LIMIT;
use super::*;

/// Looks at something that happens in a moment, and how many are enough on the busiest machine: a minute's.
const MOMENT: Duration = Duration::from_millis(5);
const PATIENCE: usize = 12_000;

/// A request as it came.
struct Asked {
    /// Connections are counted from 0, and the requests of each.
    connection: usize,
    request: usize,
    head: String,
}

/// Writes the answer; whether the connection stays open.
type Script = dyn Fn(&Asked, &mut dyn Write) -> io::Result<bool> + Send + Sync;

struct Server {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Server {
    fn new(script: impl Fn(&Asked, &mut dyn Write) -> io::Result<bool> + Send + Sync + 'static) -> Self {
        let script: Arc<Script> = Arc::new(script);
        Self::with(move |stream, connection| {
            let mut stream = stream;
            converse(&mut stream, connection, &*script)
        })
    }

    fn tls(
        config: ServerConfig,
        script: impl Fn(&Asked, &mut dyn Write) -> io::Result<bool> + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::new(config);
        let script: Arc<Script> = Arc::new(script);
        Self::with(move |stream, connection| {
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(session, stream);
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock)?;
            }
            let resumed = stream.conn.handshake_kind() == Some(HandshakeKind::Resumed);
            converse(&mut stream, if resumed { connection + 1000 } else { connection }, &*script)?;
            stream.conn.send_close_notify();
            stream.flush()
        })
    }

    fn with(each: impl Fn(TcpStream, usize) -> io::Result<()> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, open) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let server = Self { address, accepted: accepted.clone(), open: open.clone() };
        let each = Arc::new(each);
        // Ends with the process: nobody connects once the test is over.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (each, open) = (each.clone(), open.clone());
                let number = accepted.fetch_add(1, Ordering::SeqCst);
                open.fetch_add(1, Ordering::SeqCst);
                thread::spawn(move || {
                    let _ = each(stream, number);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        server
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

fn converse<S: Read + Write>(stream: &mut S, connection: usize, script: &Script) -> io::Result<()> {
    for request in 0.. {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        let asked = Asked { connection, request, head: String::from_utf8(head).unwrap() };
        let stays = script(&asked, stream)?;
        stream.flush()?;
        if !stays {
            break;
        }
    }
    Ok(())
}

/// An answer that says how long it is.
fn good(body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 251) as u8).collect()
}

const NEVER: Timeouts = Timeouts { connect: None, read: None };

async fn ask(shared: &Shared, method: Method, url: &str, timeouts: Timeouts) -> Result<HttpResponse, ExchangeError> {
    let request = Request::builder().method(method).uri(url).body(SdkBody::empty()).unwrap();
    Ok(shared.exchange(&request, timeouts).await?.into_response().unwrap())
}

async fn get(shared: &Shared, url: &str) -> HttpResponse {
    ask(shared, Method::GET, url, NEVER).await.unwrap()
}

async fn next(body: &mut SdkBody) -> Option<Result<Bytes, String>> {
    let frame = poll_fn(|cx| std::pin::Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap()).map_err(|error| error.to_string()))
}

/// The frames of a body, and how it ended.
async fn frames(mut body: SdkBody) -> (Vec<Bytes>, Option<String>) {
    let mut frames = Vec::new();
    while let Some(frame) = next(&mut body).await {
        match frame {
            Ok(frame) => frames.push(frame),
            Err(error) => {
                assert!(next(&mut body).await.is_none());
                return (frames, Some(error));
            }
        }
    }
    // The SDK asks again.
    assert!(next(&mut body).await.is_none());
    (frames, None)
}

async fn whole(response: HttpResponse) -> Vec<u8> {
    let (frames, error) = frames(response.into_body()).await;
    assert_eq!(error, None);
    frames.concat()
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::new(|asked, out| {
        let answer = match asked.request {
            0 => good(b"one"),
            1 => b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".to_vec(),
            2 => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
            _ => good(&bytes(300_000)),
        };
        out.write_all(&answer).map(|()| true)
    });
    let shared = Shared::default();
    assert_eq!(whole(get(&shared, &server.url("/a")).await).await, b"one");
    let head = ask(&shared, Method::HEAD, &server.url("/a"), NEVER).await.unwrap();
    assert_eq!(head.headers().get("content-length"), Some("1000"));
    assert!(whole(head).await.is_empty());
    assert!(whole(get(&shared, &server.url("/a")).await).await.is_empty());
    assert_eq!(whole(get(&shared, &server.url("/a")).await).await, bytes(300_000));
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn the_last_byte_frees_the_connection_though_nobody_asks_for_the_end() {
    let server = Server::new(|_, out| out.write_all(&good(b"five!")).map(|()| true));
    let shared = Shared::default();
    let mut first = get(&shared, &server.url("/")).await.into_body();
    assert_eq!(next(&mut first).await.unwrap().unwrap(), "five!");
    assert!(first.is_end_stream());
    whole(get(&shared, &server.url("/")).await).await;
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_connection_closed_while_it_waited_is_not_used() {
    let server = Server::new(|asked, out| out.write_all(&good(b"x")).map(|()| asked.connection > 0));
    let shared = Shared::default();
    whole(get(&shared, &server.url("/")).await).await;
    while server.open.load(Ordering::SeqCst) > 0 {
        thread::yield_now();
    }
    whole(get(&shared, &server.url("/")).await).await;
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn what_a_server_says_unasked_is_not_taken_for_an_answer() {
    let ca = Ca::new();
    for tls in [false, true] {
        let said = Arc::new(AtomicUsize::new(0));
        let saying = said.clone();
        let script = move |asked: &Asked, out: &mut dyn Write| {
            out.write_all(&good(b"x"))?;
            out.flush()?;
            if asked.connection == 0 {
                // As many servers do before they close a connection that has waited for too long.
                while saying.load(Ordering::SeqCst) == 0 {
                    thread::yield_now();
                }
                out.write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")?;
                out.flush()?;
                saying.store(2, Ordering::SeqCst);
            }
            Ok(true)
        };
        let server =
            if tls { Server::tls(ca.server_config(rustls::ALL_VERSIONS), script) } else { Server::new(script) };
        let url = if tls { server.url("/").replace("http:", "https:") } else { server.url("/") };
        let shared = ca.trusted();
        whole(get(&shared, &url).await).await;
        said.store(1, Ordering::SeqCst);
        while said.load(Ordering::SeqCst) < 2 {
            thread::yield_now();
        }
        // Written is not arrived, on some systems not even within a machine; later bytes pass for an answer.
        let noticed = (0..PATIENCE).any(|_| {
            thread::sleep(MOMENT);
            shared.pool.usable() == 0
        });
        assert!(noticed, "a connection on which something was said unasked is still kept for use");
        assert_eq!(whole(get(&shared, &url).await).await, b"x");
        assert_eq!(server.accepted(), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_are_the_same_however_they_are_cut_and_framed() {
    let ca = Ca::new();
    let body = bytes(FRAME_BYTES + 70_000);
    for seed in 0..8 {
        let mut state: u64 = seed;
        // Knuth's MMIX; from 1 to `most`.
        let mut random = move |most: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % most + 1
        };
        let mut sent = match seed % 3 {
            0 => good(&body),
            1 => [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &body].concat(),
            _ => b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        };
        if seed % 3 == 2 {
            let mut rest = body.as_slice();
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(random(rest.len().min(50_000)));
                sent.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                sent.extend_from_slice(&[chunk, b"\r\n"].concat());
                rest = behind;
            }
            sent.extend_from_slice(b"0\r\n\r\n");
        }
        let pieces: Vec<usize> = (0..200).map(|_| random(20_000)).collect();
        let script = move |_: &Asked, out: &mut dyn Write| {
            let mut rest = sent.as_slice();
            for piece in pieces.iter().cycle() {
                let (now, behind) = rest.split_at(rest.len().min(*piece));
                out.write_all(now)?;
                out.flush()?;
                thread::yield_now();
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            Ok(false)
        };
        let (plain, secret) =
            (Server::new(script.clone()), Server::tls(ca.server_config(rustls::ALL_VERSIONS), script));
        for url in [plain.url("/"), secret.url("/").replace("http:", "https:")] {
            assert!(whole(get(&ca.trusted(), &url).await).await == body, "seed {seed}, {url}");
        }
    }
}

#[test]
fn a_connection_does_not_outlive_its_runtime() {
    let server = Server::new(|_, out| out.write_all(&good(b"x")).map(|()| true));
    let shared = Shared::default();
    for _ in 0..3 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for _ in 0..2 {
                assert_eq!(whole(get(&shared, &server.url("/")).await).await, b"x");
            }
        });
    }
    assert_eq!(server.accepted(), 3);
}

/// So many hosts, by their ports, and a client that keeps so many connections.
fn hosts(count: usize, most: usize) -> (Vec<Server>, Shared) {
    let host = |_| Server::new(|_, out| out.write_all(&good(b"x")).map(|()| true));
    ((0..count).map(host).collect(), Shared { pool: Arc::new(Pool::of(most)), ..Shared::default() })
}

/// Waits until as many connections to them are open; sleeping, for the time of the runtime may be virtual.
fn assert_open(servers: &[Server], wanted: usize) {
    let open = || servers.iter().map(|server| server.open.load(Ordering::SeqCst)).sum::<usize>();
    let settled = (0..PATIENCE).any(|_| {
        thread::sleep(MOMENT);
        open() == wanted
    });
    assert!(settled, "{} connections are open, not {wanted}", open());
}

#[tokio::test]
async fn connections_to_all_hosts_together_are_kept_up_to_a_most_and_the_oldest_makes_room() {
    let (servers, shared) = hosts(20, 8);
    for server in &servers {
        assert_eq!(whole(get(&shared, &server.url("/")).await).await, b"x");
    }
    assert_open(&servers, 8);
    // The newest are those that were kept, and used they are the newest again.
    for server in servers[12..].iter().chain(&servers[..7]).chain(&servers[19..]) {
        whole(get(&shared, &server.url("/")).await).await;
    }
    assert_open(&servers, 8);
    let accepted: Vec<usize> = servers.iter().map(Server::accepted).collect();
    let again = [2; 7].into_iter().chain([1; 13]);
    assert_eq!(accepted, again.collect::<Vec<_>>());
}

#[tokio::test]
async fn connections_that_wait_make_room_for_those_in_use() {
    let (servers, shared) = hosts(6, 8);
    let shared = Shared { most_open: 6, ..shared };
    let large = Server::new(|_, out| out.write_all(&good(&bytes(4 << 20))).map(|()| true));
    for server in &servers {
        whole(get(&shared, &server.url("/")).await).await;
    }
    assert_open(&servers, 6);
    let mut in_use = Vec::new();
    for left in [5, 4, 3, 2, 1, 0, 0] {
        in_use.push(get(&shared, &large.url("/")).await);
        assert_open(&servers, left);
    }
    assert_eq!(large.accepted(), 7, "requests are never held back");
}

#[tokio::test]
async fn connections_that_nobody_wants_again_are_closed_after_a_while() {
    let (servers, shared) = hosts(5, 8);
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    for server in &servers[..3] {
        whole(get(&shared, &server.url("/")).await).await;
    }
    tokio::time::pause();
    sleep(IDLE_LIMIT / 2).await;
    tokio::time::resume();
    for server in &servers[2..] {
        whole(get(&shared, &server.url("/")).await).await;
    }
    assert_eq!(tasks(), 1);
    tokio::time::pause();
    // Nothing is asked for from here on.
    sleep(IDLE_LIMIT * 3 / 4).await;
    assert_open(&servers, 3);
    sleep(IDLE_LIMIT / 2).await;
    assert_open(&servers, 0);
    assert_eq!(tasks(), 0, "the task lives as long as connections wait");
}

#[test]
fn a_runtime_that_ends_takes_its_waiting_connections_along() {
    let (servers, shared) = hosts(4, 8);
    let runtimes: Vec<_> = (0..2)
        .map(|_| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap())
        .collect();
    for (at, server) in servers.iter().enumerate() {
        runtimes[at % 2].block_on(async { whole(get(&shared, &server.url("/")).await).await });
    }
    assert_open(&servers, 4);
    let mut runtimes = runtimes.into_iter();
    drop(runtimes.next());
    assert_open(&servers, 2);
    let other = runtimes.next().unwrap();
    // And the client goes on with the other one, whose task is there still.
    other.block_on(async { whole(get(&shared, &servers[1].url("/")).await).await });
    assert_eq!(servers[1].accepted(), 1);
    assert_eq!(other.metrics().num_alive_tasks(), 1);
    drop(shared);
    let ended = (0..PATIENCE).any(|_| {
        thread::sleep(MOMENT);
        other.metrics().num_alive_tasks() == 0
    });
    assert!(ended, "a client that is gone leaves no task");
    assert_open(&servers, 0);
}

#[tokio::test]
async fn a_request_that_meets_a_closing_connection_is_sent_once_more() {
    let server = Server::new(|asked, out| {
        // Closed just when the second request came.
        let answered = asked.connection > 0 || asked.request == 0;
        if answered {
            out.write_all(&good(b"x"))?;
        }
        Ok(answered)
    });
    let shared = Shared::default();
    for _ in 0..3 {
        assert_eq!(whole(get(&shared, &server.url("/")).await).await, b"x");
    }
    assert_eq!(server.accepted(), 2);
}

#[tokio::test]
async fn a_fresh_connection_that_brings_no_answer_is_an_error_at_once() {
    let server = Server::new(|_, _| Ok(false));
    let error = ask(&Shared::default(), Method::GET, &server.url("/"), NEVER).await.unwrap_err();
    assert!(matches!(error, ExchangeError::Unanswered(_)), "{error}");
    assert!(ConnectorError::from(error).is_io());
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn connections_that_the_server_gives_up_or_spoils_are_not_used_again() {
    let answers: [&[u8]; 4] = [
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx",
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\nx",
        // More than it said.
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nxHTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\ny",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\nyy",
    ];
    for answer in answers {
        let server = Server::new(move |_, out| out.write_all(answer).map(|()| true));
        let shared = Shared::default();
        for _ in 0..2 {
            assert_eq!(whole(get(&shared, &server.url("/")).await).await, b"x");
        }
        assert_eq!(server.accepted(), 2, "{}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn chunked_answers_are_put_together() {
    let server = Server::new(|_, out| {
        out.write_all(b"HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked\r\n\r\n")?;
        for chunk in ["6\r\n<Error", "\r\n1;x=y\r\n>\r\n0\r\n", "\r\n"] {
            out.write_all(chunk.as_bytes())?;
            out.flush()?;
            thread::yield_now();
        }
        Ok(true)
    });
    let shared = Shared::default();
    for _ in 0..3 {
        let response = get(&shared, &server.url("/")).await;
        assert_eq!(response.status().as_u16(), 404);
        assert_eq!(whole(response).await, b"<Error>");
    }
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_its_connection() {
    let server = Server::new(|_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        out.write_all(&bytes(600_000)).map(|()| false)
    });
    let response = get(&Shared::default(), &server.url("/")).await;
    assert_eq!(response.body().content_length(), None);
    assert_eq!(whole(response).await, bytes(600_000));
}

#[tokio::test]
async fn a_body_that_ends_early_is_an_error_behind_the_bytes_that_came() {
    for (head, missing) in [("content-length: 10", "5 bytes"), ("transfer-encoding: chunked", "before the body's end")]
    {
        let server = Server::new(move |_, out| {
            write!(out, "HTTP/1.1 200 OK\r\n{head}\r\n\r\n")?;
            if head.starts_with('t') {
                write!(out, "a\r\n")?;
            }
            out.write_all(b"12345").map(|()| false)
        });
        let (frames, error) = frames(get(&Shared::default(), &server.url("/")).await.into_body()).await;
        assert_eq!(frames.concat(), b"12345");
        assert!(error.as_ref().unwrap().contains(missing), "{error:?}");
    }
}

#[tokio::test]
async fn a_body_that_is_not_in_its_coding_is_an_error() {
    let server = Server::new(|_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nabXX").map(|()| true)
    });
    let shared = Shared::default();
    let (_, error) = frames(get(&shared, &server.url("/")).await.into_body()).await;
    assert!(error.unwrap().contains("the end of a chunk"));
    assert!(shared.pool.take(&shared.origin(&server.url("/").parse().unwrap()).unwrap()).is_none());
}

#[tokio::test]
async fn frames_are_full_but_for_the_last() {
    for piece in [1_000_000, 100_003, 70_001] {
        let body = bytes(4 * FRAME_BYTES + 3);
        let sent = body.clone();
        let server = Server::new(move |_, out| {
            for piece in good(&sent).chunks(piece) {
                out.write_all(piece)?;
                out.flush()?;
            }
            Ok(true)
        });
        let response = get(&Shared::default(), &server.url("/")).await;
        assert_eq!(response.body().content_length(), Some(body.len() as u64));
        let (frames, error) = frames(response.into_body()).await;
        assert_eq!(error, None);
        let lengths: Vec<usize> = frames.iter().map(Bytes::len).collect();
        assert_eq!(lengths, [FRAME_BYTES, FRAME_BYTES, FRAME_BYTES, FRAME_BYTES, 3]);
        assert!(frames.concat() == body);
    }
}

#[tokio::test]
async fn interim_answers_are_skipped_and_heads_may_come_in_crumbs() {
    let server = Server::new(|_, out| {
        let head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc";
        for byte in head {
            out.write_all(&[*byte])?;
            out.flush()?;
        }
        Ok(true)
    });
    assert_eq!(whole(get(&Shared::default(), &server.url("/")).await).await, b"abc");
}

#[tokio::test]
async fn heads_that_are_too_long_or_wrong_are_errors() {
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(100_000)).into_bytes();
    for head in [long, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n".to_vec()] {
        let server = Server::new(move |_, out| out.write_all(&head).map(|()| true));
        let error = ask(&Shared::default(), Method::GET, &server.url("/"), NEVER).await.unwrap_err();
        assert!(matches!(error, ExchangeError::Head(_)), "{error}");
    }
    let server = Server::new(|_, out| out.write_all(b"HTTP/1.1 200 OK\r\na:").map(|()| false));
    let error = ask(&Shared::default(), Method::GET, &server.url("/"), NEVER).await.unwrap_err();
    assert!(matches!(error, ExchangeError::HeadCut), "{error}");
}

#[tokio::test]
async fn a_body_that_trickles_shows_that_it_lives() {
    let server = Server::new(|_, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nabc")?;
        out.flush()?;
        thread::park();
        Ok(false)
    });
    let mut body = get(&Shared::default(), &server.url("/")).await.into_body();
    tokio::time::pause();
    let before = Instant::now();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "abc");
    assert!(before.elapsed() < Duration::from_millis(750), "{:?}", before.elapsed());
}

#[tokio::test]
async fn no_answer_is_waited_for_beyond_the_read_timeout() {
    let server = Server::new(|_, _| {
        thread::park();
        Ok(false)
    });
    let timeouts = Timeouts { connect: None, read: Some(Duration::from_millis(20)) };
    let error = ask(&Shared::default(), Method::GET, &server.url("/"), timeouts).await.unwrap_err();
    assert_eq!(error.to_string(), "no answer within 20 ms");
    assert!(ConnectorError::from(error).is_timeout());
}

#[tokio::test]
async fn the_connect_timeout_covers_tls() {
    let server = Server::new(|_, _| {
        thread::park();
        Ok(false)
    });
    let timeouts = Timeouts { connect: Some(Duration::from_millis(20)), read: None };
    let ca = Ca::new();
    let error =
        ask(&ca.trusted(), Method::GET, &server.url("/").replace("http:", "https:"), timeouts).await.unwrap_err();
    assert_eq!(error.to_string(), "no connection to 127.0.0.1 within 20 ms");
    assert!(ConnectorError::from(error).is_timeout());
}

#[tokio::test]
async fn what_is_dropped_is_closed() {
    let large = good(&vec![0; 8 << 20]);
    let server = Server::new(move |asked, out| {
        if asked.head.starts_with("GET /never") {
            thread::sleep(Duration::from_millis(10));
            return Ok(true);
        }
        // The client goes away in the middle.
        out.write_all(&large).map(|()| true)
    });
    let shared = Shared::default();
    for _ in 0..20 {
        let mut body = get(&shared, &server.url("/")).await.into_body();
        next(&mut body).await.unwrap().unwrap();
        let timeouts = Timeouts { connect: None, read: Some(Duration::from_millis(2)) };
        ask(&shared, Method::GET, &server.url("/never"), timeouts).await.unwrap_err();
    }
    for _ in 0..PATIENCE {
        if server.open.load(Ordering::SeqCst) == 0 {
            return;
        }
        sleep(MOMENT).await;
    }
    panic!("{} connections are still open", server.open.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_configuration_that_brings_no_client_is_told_from_one_that_does() {
    use aws_sdk_s3::config::{BehaviorVersion, Builder};
    let shared = aws_config::SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
    let without = Builder::from(&shared).build();
    assert!(aws_sdk_s3::Client::from_conf(without).config().http_client().is_none());
    let loaded = aws_config::defaults(BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::from_static("us-east-1"))
        .no_credentials()
        .load()
        .await;
    assert!(aws_sdk_s3::Client::new(&loaded).config().http_client().is_none());
    let with = Builder::from(&shared).http_client(SharedHttpClient::new(LargeGets::default())).build();
    assert!(aws_sdk_s3::Client::from_conf(with).config().http_client().is_some());
}

/// A certificate for 127.0.0.1 that is trusted only by programs that have the file.
struct Ca {
    key: CertifiedKey<rcgen::KeyPair>,
    file: tempfile::NamedTempFile,
}

impl Ca {
    fn new() -> Self {
        let key = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(key.cert.pem().as_bytes()).unwrap();
        Self { key, file }
    }

    fn trusted(&self) -> Shared {
        Shared { tls: Tls::trusting(Some(self.file.path().into())), ..Shared::default() }
    }

    fn server_config(&self, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let mut config =
            builder.with_no_client_auth().with_single_cert(vec![self.key.cert.der().clone()], key).unwrap();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config
    }
}

#[tokio::test]
async fn bodies_come_over_tls_in_full_frames_and_connections_are_used_again() {
    let ca = Ca::new();
    for version in rustls::ALL_VERSIONS {
        let body = bytes(3 * FRAME_BYTES + 12_345);
        let sent = body.clone();
        let server = Server::tls(ca.server_config(&[*version]), move |_, out| {
            // Records of odd sizes.
            for piece in good(&sent).chunks(77_777) {
                out.write_all(piece)?;
                out.flush()?;
            }
            Ok(true)
        });
        let shared = ca.trusted();
        let url = server.url("/").replace("http:", "https:");
        for _ in 0..3 {
            let (frames, error) = frames(get(&shared, &url).await.into_body()).await;
            assert_eq!(error, None);
            assert!(frames.concat() == body);
            let lengths: Vec<usize> = frames.iter().map(Bytes::len).collect();
            assert_eq!(lengths, [FRAME_BYTES, FRAME_BYTES, FRAME_BYTES, 12_345]);
        }
        assert_eq!(server.accepted(), 1);
    }
}

#[tokio::test]
async fn tls_sessions_are_resumed() {
    let ca = Ca::new();
    for version in rustls::ALL_VERSIONS {
        let server = Server::tls(ca.server_config(&[*version]), |asked, out| {
            let number = format!("{}", asked.connection);
            let head =
                format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{number}", number.len());
            out.write_all(head.as_bytes()).map(|()| true)
        });
        let shared = ca.trusted();
        let url = server.url("/").replace("http:", "https:");
        assert_eq!(whole(get(&shared, &url).await).await, b"0");
        assert_eq!(whole(get(&shared, &url).await).await, b"1001", "{version:?}");
    }
}

#[tokio::test]
async fn whoever_is_not_trusted_or_not_named_so_gets_no_request() {
    let ca = Ca::new();
    let server =
        Server::tls(ca.server_config(rustls::ALL_VERSIONS), |_, out| out.write_all(&good(b"x")).map(|()| true));
    let url = server.url("/").replace("http:", "https:");
    let stranger = Ca::new();
    for (shared, url) in [(stranger.trusted(), url.clone()), (ca.trusted(), url.replace("127.0.0.1", "localhost"))] {
        let error = ask(&shared, Method::GET, &url, NEVER).await.unwrap_err();
        let refused =
            matches!(error, ExchangeError::Tls(TlsError::Refused { cause: rustls::Error::InvalidCertificate(_), .. }));
        assert!(refused, "{error}");
        let error = ConnectorError::from(error);
        assert!(!error.is_io() && !error.is_timeout() && error.as_other().is_none(), "nothing to try again");
    }
}

#[test]
fn an_issuer_that_is_not_known_can_be_made_known_and_the_error_says_how() {
    use rustls::CertificateError::{Expired, UnknownIssuer};

    let said =
        |cause| TlsError::Refused { host: "h".to_owned(), cause: rustls::Error::InvalidCertificate(cause) }.to_string();
    assert!(said(UnknownIssuer).contains("AWS_CA_BUNDLE") && !said(Expired).contains("AWS_CA_BUNDLE"));
}

#[tokio::test]
async fn a_file_of_certificates_that_is_not_one_is_named_in_the_error() {
    let empty = tempfile::NamedTempFile::new().unwrap();
    let server = Server::new(|_, _| Ok(false));
    let url = server.url("/").replace("http:", "https:");
    for (path, what) in
        [("/nowhere/bundle.pem".as_ref(), "/nowhere/bundle.pem"), (empty.path(), "holds no certificate")]
    {
        let shared = Shared { tls: Tls::trusting(Some(path.into())), ..Shared::default() };
        let error = ask(&shared, Method::GET, &url, NEVER).await.unwrap_err().to_string();
        assert!(error.contains("AWS_CA_BUNDLE") && error.contains(what), "{error}");
    }
}

#[tokio::test]
async fn a_body_cut_short_under_tls_is_an_error_even_without_a_length() {
    let ca = Ca::new();
    for goodbye in [true, false] {
        let config = Arc::new(ca.server_config(rustls::ALL_VERSIONS));
        let server = Server::with(move |stream, _| {
            let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
            let mut request = [0; 1000];
            let _ = stream.read(&mut request)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhello")?;
            if goodbye {
                stream.conn.send_close_notify();
            }
            stream.flush()
        });
        let url = server.url("/").replace("http:", "https:");
        let (frames, error) = frames(get(&ca.trusted(), &url).await.into_body()).await;
        assert_eq!(frames.concat(), b"hello");
        assert_eq!(error.is_none(), goodbye, "{error:?}");
    }
}

//! Servers that no lab would be: they close, ignore If-Match, or change their mind. Real sockets, real time.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use s3xfer::{Client, TransferConfig, TransferError, TransferErrorKind, TransferReport};
use tempfile::TempDir;

/// Parts of 10 bytes, so that requests can be told by their ranges.
const PART: u64 = 10;
const SIZE: u64 = 45;

/// A GET as it came: its number, from 0, the range asked for, and its If-Match.
#[derive(Debug, Clone)]
struct Get {
    number: usize,
    range: Range<u64>,
    if_match: Option<String>,
}

/// The answer; `None` closes the connection instead.
type Script = dyn Fn(&Get) -> Option<Answer> + Send + Sync;

struct Answer {
    status: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

fn object() -> Vec<u8> {
    (0..SIZE as u8).map(|i| i.wrapping_mul(37)).collect()
}

/// A good server's answer.
fn right(get: &Get) -> Answer {
    let range = get.range.start..get.range.end.min(SIZE);
    Answer {
        status: "206 Partial Content",
        headers: vec![
            ("content-range", format!("bytes {}-{}/{SIZE}", range.start, range.end - 1)),
            ("etag", "\"one\"".to_owned()),
        ],
        body: object()[range.start as usize..range.end as usize].to_vec(),
    }
}

impl Answer {
    fn with(mut self, name: &'static str, value: Option<&str>) -> Self {
        self.headers.retain(|(existing, _)| *existing != name);
        self.headers.extend(value.map(|value| (name, value.to_owned())));
        self
    }
}

fn serve(mut stream: TcpStream, script: &Script, seen: &Mutex<Vec<Get>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let (mut range, mut if_match) = (0..0, None);
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            match line.split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("range") => {
                    let (first, last) = value.trim_start_matches("bytes=").split_once('-').unwrap();
                    range = first.parse().unwrap()..last.parse::<u64>().unwrap() + 1;
                }
                Some((name, value)) if name.eq_ignore_ascii_case("if-match") => if_match = Some(value.to_owned()),
                _ if line.is_empty() => break,
                _ => {}
            }
        }
        let get = {
            let mut seen = seen.lock().unwrap();
            let get = Get { number: seen.len(), range, if_match };
            seen.push(get.clone());
            get
        };
        let Some(Answer { status, headers, body }) = script(&get) else { return Ok(()) };
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n", body.len());
        stream.write_all(&[head.as_bytes(), &body].concat())?;
    }
}

struct Outcome {
    result: Result<TransferReport, TransferError>,
    seen: Vec<Get>,
    folder: TempDir,
}

impl Outcome {
    fn assert_whole(&self) {
        self.result.as_ref().unwrap();
        assert_eq!(std::fs::read(self.folder.path().join("x")).unwrap(), object());
    }

    fn assert_failed(&self, kind: TransferErrorKind) {
        let error = self.result.as_ref().unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(std::fs::read_dir(self.folder.path()).unwrap().count(), 0);
    }
}

/// A server that answers as its script says.
struct Served {
    endpoint: String,
    seen: Arc<Mutex<Vec<Get>>>,
}

fn serving(script: impl Fn(&Get) -> Option<Answer> + Send + Sync + 'static) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (script, recorded): (Arc<Script>, _) = (Arc::new(script), seen.clone());
    // Ends with the process: nobody connects once the test is over.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (script, seen) = (script.clone(), recorded.clone());
            thread::spawn(move || serve(stream, &*script, &seen));
        }
    });
    Served { endpoint, seen }
}

/// Downloads the object from a server that answers as `script` says.
async fn download(script: impl Fn(&Get) -> Option<Answer> + Send + Sync + 'static) -> Outcome {
    let Served { endpoint, seen } = serving(script);
    let outcome = download_from(&endpoint).await;
    let seen = seen.lock().unwrap().clone();
    Outcome { seen, ..outcome }
}

fn sdk(endpoint: &str) -> Builder {
    Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("a", "s", None, None, "test"))
}

fn client(endpoint: &str) -> Client {
    let parts = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(PART).max_concurrency(1);
    // A script has answers to GETs only.
    let parts = parts.validate_checksum(false);
    Client::new(aws_sdk_s3::Client::from_conf(sdk(endpoint).build())).with_config(parts.build().unwrap())
}

async fn download_from(endpoint: &str) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let result = client(endpoint).download("b", "k").to_file(folder.path().join("x")).await;
    Outcome { result, seen: Vec::new(), folder }
}

#[tokio::test]
async fn every_request_but_the_first_is_pinned_to_the_first_ones_version() {
    let outcome = download(|get| Some(right(get))).await;
    outcome.assert_whole();
    let pins: Vec<_> = outcome.seen.iter().map(|get| get.if_match.as_deref()).collect();
    assert_eq!(pins, [None, Some("\"one\""), Some("\"one\""), Some("\"one\""), Some("\"one\"")]);
}

#[tokio::test]
async fn a_connection_that_closes_instead_of_answering_is_tried_again() {
    // A connection that was used before may just have been idle for too long: that is no attempt of the part's.
    for (number, retries) in [(0, 1), (2, 0)] {
        let outcome = download(move |get| (get.number != number).then(|| right(get))).await;
        outcome.assert_whole();
        assert_eq!(outcome.seen.len(), 6);
        assert_eq!(outcome.result.unwrap().retries, retries);
    }
}

#[tokio::test]
async fn an_endpoint_that_nobody_listens_at_is_unreachable() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    download_from(&format!("http://{free}")).await.assert_failed(TransferErrorKind::Unreachable);
}

#[tokio::test]
async fn another_version_is_noticed_where_if_match_is_ignored() {
    let outcome =
        download(|get| Some(right(get).with("etag", Some(if get.number < 3 { "\"one\"" } else { "\"two\"" })))).await;
    outcome.assert_failed(TransferErrorKind::ObjectChanged);
}

#[tokio::test]
async fn an_etag_that_goes_missing_is_an_error() {
    let outcome = download(|get| Some(right(get).with("etag", (get.number < 3).then_some("\"one\"")))).await;
    outcome.assert_failed(TransferErrorKind::BadResponse);
}

#[tokio::test]
async fn without_etags_the_time_of_the_last_change_tells_versions_apart() {
    let days = ["Sun, 22 Nov 2026 16:00:00 GMT", "Sun, 22 Nov 2026 16:00:01 GMT"];
    let answer =
        move |get: &Get, day: usize| Some(right(get).with("etag", None).with("last-modified", Some(days[day])));
    download(move |get| answer(get, 0)).await.assert_whole();
    download(move |get| answer(get, usize::from(get.number > 2))).await.assert_failed(TransferErrorKind::ObjectChanged);
}

#[tokio::test]
async fn a_weak_etag_is_compared_but_not_sent() {
    let outcome = download(|get| Some(right(get).with("etag", Some("W/\"one\"")))).await;
    outcome.assert_whole();
    assert!(outcome.seen.iter().all(|get| get.if_match.is_none()), "{:?}", outcome.seen);
    let outcome = download(|get| Some(right(get).with("etag", Some(["W/\"one\"", "W/\"two\""][get.number / 3])))).await;
    outcome.assert_failed(TransferErrorKind::ObjectChanged);
}

#[tokio::test]
async fn an_object_that_changes_its_size_under_the_same_etag_is_an_error() {
    let outcome = download(|get| match get.number {
        3 => {
            let longer = format!("bytes {}-{}/{}", get.range.start, get.range.end - 1, SIZE + 1);
            Some(right(get).with("content-range", Some(&longer)))
        }
        _ => Some(right(get)),
    })
    .await;
    outcome.assert_failed(TransferErrorKind::ObjectChanged);
}

#[tokio::test]
async fn an_answer_shorter_than_asked_for_is_completed() {
    // Half of every range; a server may (RFC 9110, 15.3.7).
    let outcome = download(|get| {
        let range = get.range.start..get.range.end.min(SIZE).min(get.range.start + 6);
        Some(right(&Get { range, ..get.clone() }))
    })
    .await;
    outcome.assert_whole();
    assert_eq!(outcome.result.unwrap().retries, 0);
}

#[tokio::test]
async fn a_server_that_has_a_whole_but_no_ranges_of_it_is_an_error_at_last() {
    // Without a range it is longer than was said; with one, there is nothing at that place.
    let Served { endpoint, seen, .. } = serving(|get| {
        let status = if get.range.is_empty() { "200 OK" } else { "416 Range Not Satisfiable" };
        let body = if get.range.is_empty() { object() } else { Vec::new() };
        Some(Answer { status, headers: vec![("etag", "\"one\"".to_owned())], body })
    });
    let download = client(&endpoint).download("b", "k").object_bytes(PART).discard();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(20), download).await.expect("it ends");
    assert!(ended.is_err() || ended.is_ok_and(|report| report.bytes == SIZE));
    assert!(seen.lock().unwrap().len() < 10);
}

/// A server whose answers have no end, and the number of bytes that it could send: those that were read, and those in
/// the kernels' buffers.
fn endless(status: &'static str, framing: &'static str) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let sent = Arc::new(AtomicU64::new(0));
    let counter = sent.clone();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
            lines.find(String::is_empty);
            let begins = b"<Error><Code>AccountProblem</Code><Message>No.</Message><More>";
            let chunk = |bytes: &[u8]| match framing {
                "transfer-encoding: chunked" => [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat(),
                _ => bytes.to_vec(),
            };
            let head = format!("HTTP/1.1 {status}\r\n{framing}\r\n\r\n");
            let mut next = [head.as_bytes(), &chunk(begins)].concat();
            while stream.write_all(&next).is_ok() {
                counter.fetch_add(next.len() as u64, Ordering::Relaxed);
                next = chunk(&[b'x'; 64 << 10]);
            }
        }
    });
    (endpoint, sent)
}

#[tokio::test]
async fn a_refusal_that_does_not_end_is_known_by_its_beginning() {
    for framing in ["content-length: 99999999999", "transfer-encoding: chunked", "connection: close"] {
        for sdks_http in [false, true] {
            let (endpoint, sent) = endless("403 Forbidden", framing);
            let mut config = sdk(&endpoint);
            if sdks_http {
                config = config.http_client(aws_smithy_http_client::Builder::new().build_http());
            }
            let client = Client::new(aws_sdk_s3::Client::from_conf(config.build()));
            // The answer to the HEAD for the checksum has no body, and this server does not know.
            let config = TransferConfig::builder().validate_checksum(false).first_byte_timeout_seconds(5);
            let client = client.with_config(config.build().unwrap());
            let error = client.download("b", "k").discard().await.unwrap_err();
            assert_eq!(error.kind(), TransferErrorKind::Denied, "{error}");
            assert!(error.to_string().ends_with("the server says AccountProblem: No."), "{error}");
            // The sockets' buffers are the rest.
            assert!(sent.load(Ordering::Relaxed) < 32 << 20, "{framing}: {sent:?}");
        }
    }
}

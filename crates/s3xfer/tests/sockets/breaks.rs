//! Answers that break off, at every byte where something begins or ends, over real sockets and with both HTTP clients:
//! ours and the SDK's.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::wire::{self, Http, Served};
use s3lab::{FaultKind, NetworkProfile, Requests, SyntheticObject};
use s3xfer::{Client, TransferConfig, TransferError, TransferErrorKind, TransferReport};
use tempfile::TempDir;

/// A frame of our HTTP client; where one ends, the next buffer begins.
const FRAME: u64 = 512 << 10;
/// Two frames and a bit.
const PART: u64 = 2 * FRAME + 1000;
const SIZE: u64 = 3 * PART - 500;

fn object() -> SyntheticObject {
    SyntheticObject::named("lab", "key", SIZE)
}

/// The sent part of an answer, and the connection's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    /// Nothing is: the next request may come.
    Not,
    /// After so many bytes of the head.
    Head(usize, End),
    /// After so many bytes of the body.
    Body(u64, End),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Close,
    Reset,
}

/// The form of the whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Ranged,
    /// 200 and all of the object.
    Whole,
    /// 206 without its range.
    WithoutContentRange,
    /// The range, in one chunk of a body that does not say its length, and so many bytes more or less.
    Chunked(i64),
}

type Script = dyn Fn(usize) -> (Answer, Cut) + Send + Sync;

fn serve(stream: TcpStream, script: &Script, seen: &Mutex<Vec<Range<u64>>>) -> io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut range = 0..0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(asked) = line.to_ascii_lowercase().trim_end().strip_prefix("range: bytes=") {
                let (first, last) = asked.split_once('-').unwrap();
                range = first.parse().unwrap()..(last.parse::<u64>().unwrap() + 1).min(SIZE);
            }
            if line == "\r\n" {
                break;
            }
        }
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(range.clone());
            seen.len() - 1
        };
        let (answer, cut) = script(number);
        let (status, sent, content_range) = match answer {
            Answer::Ranged | Answer::Chunked(_) => {
                let content_range = format!("content-range: bytes {}-{}/{SIZE}\r\n", range.start, range.end - 1);
                ("206 Partial Content", range, content_range)
            }
            Answer::Whole => ("200 OK", 0..SIZE, String::new()),
            Answer::WithoutContentRange => ("206 Partial Content", range, String::new()),
        };
        let mut body = vec![0; (sent.end - sent.start) as usize];
        object().fill(sent.start, &mut body);
        let length = match answer {
            Answer::Chunked(more) => {
                body.resize(body.len().saturating_add_signed(more as isize), 0);
                let size = format!("{:x}\r\n", body.len());
                body = [size.as_bytes(), &body, b"\r\n0\r\n\r\n"].concat();
                "transfer-encoding: chunked".to_owned()
            }
            _ => format!("content-length: {}", body.len()),
        };
        let head = format!("HTTP/1.1 {status}\r\n{length}\r\n{content_range}etag: \"one\"\r\n\r\n");
        let end = match cut {
            Cut::Not => {
                stream.write_all(head.as_bytes())?;
                stream.write_all(&body)?;
                continue;
            }
            Cut::Head(bytes, end) => {
                stream.write_all(&head.as_bytes()[..bytes])?;
                end
            }
            Cut::Body(bytes, end) => {
                stream.write_all(head.as_bytes())?;
                stream.write_all(&body[..(bytes as usize).min(body.len())])?;
                end
            }
        };
        if end == End::Reset {
            // So that the sent bytes are read before the reset overtakes them.
            thread::sleep(Duration::from_millis(30));
            rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO))?;
        }
        return Ok(());
    }
}

struct Outcome {
    result: Result<TransferReport, TransferError>,
    asked: Vec<Range<u64>>,
    folder: TempDir,
}

impl Outcome {
    #[track_caller]
    fn assert_whole(&self) -> &TransferReport {
        let report = self.result.as_ref().unwrap();
        let bytes = fs::read(self.folder.path().join("x")).unwrap();
        assert_eq!(bytes.len() as u64, SIZE);
        object().verify(0, &bytes).unwrap();
        report
    }

    #[track_caller]
    fn assert_failed(&self, kind: TransferErrorKind) {
        let error = self.result.as_ref().unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert_eq!(fs::read_dir(self.folder.path()).unwrap().count(), 0);
    }
}

fn one_at_a_time() -> TransferConfig {
    let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(PART).max_concurrency(1);
    let config = config.adaptive_concurrency(false);
    // The script answers GETs only.
    config.validate_checksum(false).build().unwrap()
}

async fn download(http: Http, script: impl Fn(usize) -> (Answer, Cut) + Send + Sync + 'static) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (script, asked): (Arc<Script>, _) = (Arc::new(script), Arc::new(Mutex::new(Vec::new())));
    let seen = asked.clone();
    // Ends with the process: nobody connects once the test is over.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (script, seen) = (script.clone(), seen.clone());
            thread::spawn(move || serve(stream, &*script, &seen));
        }
    });
    let client = Client::new(wire::sdk(&endpoint, Some(("a", "s")), http)).with_config(one_at_a_time());
    let folder = tempfile::tempdir().unwrap();
    let result = client.download("lab", "key").to_file(folder.path().join("x")).await;
    let asked = asked.lock().unwrap().clone();
    Outcome { result, asked, folder }
}

#[tokio::test]
async fn a_connection_that_breaks_at_any_byte_of_an_answer_costs_no_byte_and_one_more_request() {
    for http in Http::BOTH {
        for end in [End::Close, End::Reset] {
            let heads = [0, 1, 12, 30].map(|bytes| Cut::Head(bytes, end));
            let bodies = [0, 1, FRAME - 1, FRAME, FRAME + 1, 2 * FRAME, PART - 1].map(|bytes| Cut::Body(bytes, end));
            for cut in heads.into_iter().chain(bodies) {
                // The first answer, which describes the object, and one on a connection that was used before.
                for broken in [0, 1] {
                    let script = move |number| (Answer::Ranged, if number == broken { cut } else { Cut::Not });
                    let outcome = download(http, script).await;
                    let asked = &outcome.asked;
                    outcome.assert_whole();
                    assert_eq!(asked.len(), 4, "{http:?}, {cut:?} of {broken}: {asked:?}");
                    let resumed_at = asked[broken + 1].start - asked[broken].start;
                    match cut {
                        Cut::Body(bytes, End::Close) => assert_eq!(resumed_at, bytes, "{http:?}, {cut:?} of {broken}"),
                        // A reset takes with it the bytes that were not read yet.
                        Cut::Body(bytes, End::Reset) => assert!(resumed_at <= bytes, "{http:?}, {cut:?} of {broken}"),
                        Cut::Head(..) | Cut::Not => assert_eq!(resumed_at, 0, "{http:?}, {cut:?} of {broken}"),
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn a_connection_that_breaks_behind_the_last_byte_costs_nothing() {
    for http in Http::BOTH {
        for end in [End::Close, End::Reset] {
            let outcome = download(http, move |_| (Answer::Ranged, Cut::Body(PART, end))).await;
            let report = outcome.assert_whole();
            assert_eq!(report.parts, 3);
            // A reset may have been noticed only by the next request, on a connection that looked well.
            assert!(outcome.asked.len() <= 5, "{http:?}, {end:?}: {:?}", outcome.asked);
        }
    }
}

#[tokio::test]
async fn a_server_without_ranges_sends_everything_and_again_after_a_break() {
    for http in Http::BOTH {
        let outcome = download(http, |number| {
            (Answer::Whole, if number == 0 { Cut::Body(PART + 7, End::Close) } else { Cut::Not })
        })
        .await;
        assert_eq!(outcome.assert_whole().parts, 1);
        assert_eq!(outcome.asked.len(), 2, "{http:?}");
        // One that had ranges a moment ago.
        let script = |number| (if number == 1 { Answer::Whole } else { Answer::Ranged }, Cut::Not);
        download(http, script).await.assert_failed(TransferErrorKind::BadResponse);
    }
}

#[tokio::test]
async fn a_partial_answer_that_does_not_say_of_what_is_an_error() {
    for http in Http::BOTH {
        for wrong in [0, 1] {
            let script = move |number| match number == wrong {
                true => (Answer::WithoutContentRange, Cut::Not),
                false => (Answer::Ranged, Cut::Not),
            };
            let outcome = download(http, script).await;
            outcome.assert_failed(TransferErrorKind::BadResponse);
            assert_eq!(outcome.asked.len(), wrong + 1, "{http:?}: asking again would not help");
        }
    }
}

#[tokio::test]
async fn a_body_longer_than_its_range_is_an_error_and_a_shorter_one_is_completed() {
    for http in Http::BOTH {
        for odd in [0, 1] {
            let chunked = move |more| {
                move |number| (if number == odd { Answer::Chunked(more) } else { Answer::Ranged }, Cut::Not)
            };
            download(http, chunked(0)).await.assert_whole();
            let outcome = download(http, chunked(-700)).await;
            outcome.assert_whole();
            assert_eq!(outcome.asked.len(), 4, "{http:?}: {:?}", outcome.asked);
            download(http, chunked(1)).await.assert_failed(TransferErrorKind::BadResponse);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thirty_refusals_and_then_answers_end_as_the_object() {
    for http in Http::BOTH {
        let (part, size) = (16 << 10, 33 * (16 << 10));
        let storm = (Requests::Range(1..31), FaultKind::SlowDown);
        let scene = Served::new(size, NetworkProfile::unlimited(), Some(storm)).await;
        let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(part).max_concurrency(32);
        let (bytes, report) =
            scene.client(http, config.build().unwrap()).download("lab", "key").to_bytes().await.unwrap();
        assert_eq!((bytes.len() as u64, report.retries), (size, 30));
        SyntheticObject::named("lab", "key", size).verify(0, &bytes).unwrap();
    }
}

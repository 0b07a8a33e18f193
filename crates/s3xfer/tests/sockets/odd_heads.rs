//! Odd heads with all needed facts: an optional header that cannot be understood costs no object, and a contradictory
//! one is an error that names it. Over real sockets and with both HTTP clients: ours and the SDK's.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::wire::{Http, sdk};
use s3xfer::{Client, Integrity, TransferConfig, TransferError, TransferErrorKind, TransferReport};

const PART: usize = 10;
const SIZE: usize = 45;
/// Base64 of the CRC32 of [`object`], as zlib has it.
const CRC32: &str = "HsgD1Q==";

fn object() -> Vec<u8> {
    (0..SIZE).map(|at| (at * 37) as u8).collect()
}

/// The difference of all answers' heads from plain ones.
#[derive(Clone)]
struct Odd {
    /// Header lines of a plain head that are left out, by their names.
    without: &'static [&'static str],
    /// Lines beside them, as they are sent.
    lines: Vec<u8>,
}

/// The lines are separated by `\n` here.
fn with(lines: impl AsRef<[u8]>) -> Odd {
    instead_of(&[], lines)
}

fn instead_of(without: &'static [&'static str], lines: impl AsRef<[u8]>) -> Odd {
    let lines = lines.as_ref().split(|byte| *byte == b'\n').flat_map(|line| [line, b"\r\n"].concat()).collect();
    Odd { without, lines }
}

fn serve(stream: TcpStream, odd: &Odd) -> io::Result<()> {
    let mut lines = BufReader::new(&stream).lines();
    let mut stream = &stream;
    let (mut head, mut range) = (false, 0..0);
    while let Some(line) = lines.next().transpose()? {
        if let Some(asked) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (first, last) = asked.split_once('-').unwrap();
            range = first.parse().unwrap()..(last.parse::<usize>().unwrap() + 1).min(SIZE);
        }
        if line.ends_with(" HTTP/1.1") {
            (head, range) = (line.starts_with("HEAD"), 0..0);
        }
        if !line.is_empty() {
            continue;
        }
        let (status, described) = if head { ("200 OK", 0..SIZE) } else { ("206 Partial Content", range.clone()) };
        let mut headers = vec![
            ("content-length", described.len().to_string()),
            ("etag", "\"one\"".to_owned()),
            ("last-modified", "Sun, 22 Nov 2026 16:00:00 GMT".to_owned()),
        ];
        match head {
            true => headers.extend([
                ("x-amz-checksum-crc32", CRC32.to_owned()),
                ("x-amz-checksum-type", "FULL_OBJECT".to_owned()),
            ]),
            false => headers.push(("content-range", format!("bytes {}-{}/{SIZE}", range.start, range.end - 1))),
        }
        // The lines may name the answer's own numbers.
        let mut lines = odd.lines.clone();
        if head && lines.to_ascii_lowercase().starts_with(b"content-range") {
            lines.clear();
        }
        for (name, number) in [("LENGTH", described.len()), ("FIRST", range.start), ("LAST", range.end.max(1) - 1)] {
            while let Some(at) = lines.windows(name.len()).position(|window| window == name.as_bytes()) {
                lines.splice(at..at + name.len(), number.to_string().into_bytes());
            }
        }
        write!(stream, "HTTP/1.1 {status}\r\n")?;
        for (name, value) in headers.iter().filter(|(name, _)| !odd.without.contains(name)) {
            write!(stream, "{name}: {value}\r\n")?;
        }
        stream.write_all(&lines)?;
        stream.write_all(b"\r\n")?;
        if !head {
            stream.write_all(&object()[range.clone()])?;
        }
    }
    Ok(())
}

/// The result of downloading the object, in parts of [`PART`] bytes.
async fn download(http: Http, odd: Odd) -> Result<(Vec<u8>, TransferReport), TransferError> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let odd = Arc::new(odd);
    // Ends with the process: nobody connects once the test is over.
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let odd = odd.clone();
            thread::spawn(move || serve(stream, &odd));
        }
    });
    let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(PART as u64).max_concurrency(2);
    let client = Client::new(sdk(&endpoint, Some(("a", "s")), http)).with_config(config.build().unwrap());
    client.download("b", "k").to_bytes().await.map(|(bytes, report)| (bytes.to_vec(), report))
}

async fn comes_whole(http: Http, odd: Odd) {
    let said = String::from_utf8_lossy(&odd.lines).chars().take(200).collect::<String>();
    match download(http, odd).await {
        Ok((bytes, report)) => {
            assert_eq!(bytes, object(), "{http:?}, {said}");
            assert!(matches!(report.integrity, Integrity::Validated(_)), "{http:?}, {said}: {:?}", report.integrity);
        }
        Err(error) => panic!("{http:?}, {said}: {error}: {:?}", std::error::Error::source(&error)),
    }
}

async fn is_bad(http: Http, odd: Odd, named: &str) {
    let said = String::from_utf8_lossy(&odd.lines).chars().take(200).collect::<String>();
    let error = download(http, odd).await.map(|(bytes, _)| bytes).unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::BadResponse, "{http:?}, {said}: {error:?}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.to_ascii_lowercase().contains(named), "{http:?}, {said}: {source}");
}

#[tokio::test]
async fn what_is_optional_and_odd_costs_nobody_an_object() {
    let cases = [
        with(b"content-disposition: attachment; filename=\"\xfcber.txt\""),
        with(b"x-amz-meta-owner: J\xfcrgen\nx-amz-meta-owner: Zo\xeb"),
        with(b"cache-control: \xff\ncontent-language: \xe9\ncontent-encoding: \xe9\nx-amz-website-redirect-location: /\xe9"),
        with("content-type: text/plain\ncontent-type: text/plain; charset=utf-8"),
        with("accept-ranges: bytes\naccept-ranges: none"),
        with("expires: 0"),
        with("expires: Thu, 01-Jan-1970 00:00:00\nexpires: never"),
        with("x-amz-object-lock-mode: FOREVER\nx-amz-object-lock-retain-until-date: next year"),
        with("x-amz-object-lock-retain-until-date: 2030-01-01T00:00:00+0100"),
        with("x-amz-mp-parts-count: many"),
        with("x-amz-mp-parts-count: 3\nx-amz-mp-parts-count: 4"),
        with("x-amz-restore: ongoing-request=\"perhaps\"\nx-amz-expiration: \""),
        with("x-amz-storage-class: LUKEWARM\nx-amz-storage-class: COLD"),
        with("x-amz-tagging-count: 99999999999"),
        with("x-amz-missing-meta: some\nx-amz-delete-marker: maybe"),
        with("x-amz-server-side-encryption: none\nx-amz-server-side-encryption-bucket-key-enabled: yes"),
        with("x-amz-replication-status: x\nx-amz-request-charged: not you\nx-amz-version-id: \u{e9}"),
        with("x-amz-checksum-sha256: ?\nx-amz-checksum-sha256: !"),
        with("date: yesterday\nserver: \u{1f600}\nx-amz-request-id: a\nx-amz-request-id: b"),
        with("x-amz-meta-a: 1\nX-Amz-Meta-A: 2\nx-amz-meta-empty:"),
        // The forms that Last-Modified comes in, none of them, and two of them.
        instead_of(&["last-modified"], "last-modified: Sun, 22 Nov 2026 16:00:00 UTC"),
        instead_of(&["last-modified"], "last-modified: Sun, 1 Nov 2026 16:00:00 GMT"),
        instead_of(&["last-modified"], "last-modified: 2026-11-22T16:00:00.000Z"),
        instead_of(&["last-modified"], "last-modified: recently"),
        instead_of(&["last-modified"], b"last-modified: \xff"),
        instead_of(&["last-modified", "etag"], "last-modified: 2026-11-22T16:00:00+01:00"),
        with("last-modified: Sun, 22 Nov 2026 16:00:00 GMT"),
        with("last-modified: Mon, 23 Nov 2026 16:00:00 GMT"),
        // Twice the same is no contradiction.
        with("content-length: LENGTH"),
        with("etag: \"one\""),
        with("x-amz-checksum-crc32: HsgD1Q==\nx-amz-checksum-type: FULL_OBJECT"),
        instead_of(&["content-length"], "CONTENT-LENGTH:LENGTH\t"),
        instead_of(&["etag"], "ETag: one-without-quotes"),
        instead_of(&["etag"], "ETag:"),
    ];
    for http in Http::BOTH {
        for odd in cases.clone() {
            comes_whole(http, odd).await;
        }
    }
}

#[tokio::test]
async fn range_units_are_the_same_in_capitals() {
    for http in Http::BOTH {
        comes_whole(http, instead_of(&["content-range"], "Content-Range: Bytes FIRST-LAST/45")).await;
        comes_whole(http, with("content-range: bytes FIRST-LAST/45")).await;
    }
}

#[tokio::test]
async fn names_that_are_none_are_passed_over_and_headers_may_be_many() {
    let many = |count: usize| with((0..count).map(|at| format!("x-amz-meta-{at}: x")).collect::<Vec<_>>().join("\n"));
    for odd in [
        with("x-amz-meta-a(b): c\nx-amz-meta-[d]: e\nx-amz-meta-{f}@g: h\n(etag): \"two\""),
        with(b"x-amz-meta-j\xfcrgen: 1"),
        many(129),
        many(2000),
    ] {
        comes_whole(Http::Ours, odd.clone()).await;
        // The SDK's own client refuses them, and that is the answer's fault, not the request's.
        is_bad(Http::Sdks, odd, "").await;
    }
}

#[tokio::test]
async fn what_contradicts_itself_is_told_by_its_name() {
    for http in Http::BOTH {
        is_bad(http, with("etag: \"two\""), "etag").await;
        is_bad(http, instead_of(&["etag"], b"etag: \"\xff\""), "etag").await;
        is_bad(http, with("content-range: bytes FIRST-LAST/46"), "content-range").await;
        is_bad(http, instead_of(&["content-range"], "content-range: items FIRST-LAST/45"), "content-range").await;
        is_bad(http, instead_of(&["content-range"], b"content-range: \xff"), "content-range").await;
    }
}

#[tokio::test]
async fn a_head_that_is_broken_is_the_answers_fault() {
    for http in Http::BOTH {
        is_bad(http, with("content-length: 44"), "").await;
        is_bad(http, instead_of(&["content-length"], "content-length: about 10"), "").await;
        is_bad(http, with("etag : x"), "").await;
        is_bad(http, with(b"x-amz-meta-a: \0"), "").await;
        is_bad(http, with(" folded"), "").await;
    }
    is_bad(Http::Ours, with("transfer-encoding: gzip"), "transfer-encoding").await;
    is_bad(Http::Ours, with("transfer-encoding: chunked"), "transfer-encoding").await;
    is_bad(Http::Ours, with(format!("a: {}", "x".repeat(70_000))), "longer than").await;
}

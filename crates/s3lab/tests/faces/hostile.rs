//! Clients that stand still, send too much or make requests that S3 refuses: each is told, or its connection is closed,
//! and none stays for ever.
//!
//! Real sockets and a paused clock: it goes on to the next timer whenever all tasks wait, so that minutes take no time.
//! It does so too while bytes are on their way through the kernel; hence `tick`.

use std::net::SocketAddr;
use std::time::Duration;

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::presigning::PresigningConfig;
use s3lab::{Lab, Server, SyntheticObject};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

/// More than the kernel keeps for a client that does not read.
const SIZE: u64 = 50_000_000;
/// Longer than any limit of the server, on the paused clock: a connection that is still open then stays open.
const FOR_EVER: Duration = Duration::from_secs(3600);

/// Has the clock go on by tenths of a second at the most.
fn tick() {
    tokio::spawn(async {
        loop {
            sleep(Duration::from_millis(100)).await;
        }
    });
}

fn lab() -> Outcome<Lab> {
    Ok(Lab::builder().bucket("lab").synthetic("lab", "big", SIZE).allow_anonymous(true).build()?)
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// A connection on which `bytes` were sent.
async fn sent(server: &Server, bytes: &[u8]) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(server.addr()).await?;
    stream.write_all(bytes).await?;
    Ok(stream)
}

/// Everything that comes until the connection ends, as lower-case text.
async fn rest(stream: &mut TcpStream) -> Outcome<String> {
    let mut bytes = Vec::new();
    timeout(FOR_EVER, stream.read_to_end(&mut bytes)).await??;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sends all of a request, and only then reads the answer, as most clients do.
async fn ask(server: &Server, request_line: &str, body: &[u8]) -> Outcome<String> {
    let head =
        format!("{request_line} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    let mut stream = sent(server, head.as_bytes()).await?;
    stream.write_all(body).await?;
    rest(&mut stream).await
}

fn assert_refused(answer: &str, status: u16, code: &str) {
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    assert!(answer.contains(&format!("<Code>{code}</Code>")), "{answer}");
}

/// Closing is seen by the other side first.
async fn assert_all_closed(lab: &Lab) {
    for _ in 0..20_000 {
        if (lab.stats().connections_open, lab.stats().in_flight) == (0, 0) {
            return;
        }
        sleep(Duration::from_millis(1)).await;
    }
    panic!("{:?}", lab.stats());
}

#[tokio::test(start_paused = true)]
async fn connections_without_a_whole_head_are_closed_after_half_a_minute() -> Outcome {
    tick();
    let lab = lab()?;
    let server = Server::start(&lab, loopback()).await?;
    for bytes in ["", "G", "GET /lab/big HTTP/1.1\r\nHost: lab\r\nRange: byt"] {
        let began = Instant::now();
        let mut stream = sent(&server, bytes.as_bytes()).await?;
        assert_eq!(rest(&mut stream).await?, "", "{bytes:?}");
        assert_eq!(began.elapsed().as_secs(), 30, "{bytes:?}");
    }
    // A byte now and then does not keep it open.
    let began = Instant::now();
    let mut stream = sent(&server, b"GET /lab/big HTTP/1.1\r\nX-Slow: ").await?;
    while stream.write_all(b"x").await.is_ok() && began.elapsed() < FOR_EVER {
        sleep(Duration::from_secs(1)).await;
    }
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    drop(stream);
    assert_all_closed(&lab).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_and_those_in_use_are_not() -> Outcome {
    tick();
    let lab = lab()?;
    let server = Server::start(&lab, loopback()).await?;
    let head = b"HEAD /lab/big HTTP/1.1\r\nHost: lab\r\n\r\n";
    let mut stream = sent(&server, head).await?;
    for _ in 0..5 {
        let mut answer = [0; 4096];
        let length = timeout(FOR_EVER, stream.read(&mut answer)).await??;
        assert!(answer[..length].starts_with(b"HTTP/1.1 200") && answer[..length].ends_with(b"\r\n\r\n"));
        sleep(Duration::from_secs(29)).await;
        stream.write_all(head).await?;
    }
    let began = Instant::now();
    let answer = rest(&mut stream).await?;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer} {:?}", began.elapsed());
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_all_closed(&lab).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_client_that_begins_no_handshake_is_let_go() -> Outcome {
    tick();
    let lab = lab()?;
    let server = Server::start_tls(&lab, loopback()).await?;
    // Nothing, and the beginning of a record of a handshake.
    for bytes in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let began = Instant::now();
        let mut stream = sent(&server, bytes).await?;
        assert_eq!(rest(&mut stream).await?, "");
        assert_eq!(began.elapsed().as_secs(), 10);
    }
    assert_all_closed(&lab).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stands_still_is_told_so_and_one_that_is_slow_is_taken() -> Outcome {
    tick();
    let lab = lab()?;
    let server = Server::start(&lab, loopback()).await?;
    let head = |key| format!("PUT /lab/{key} HTTP/1.1\r\nHost: lab\r\nContent-Length: 6\r\nConnection: close\r\n\r\n");
    let mut stream = sent(&server, head("still").as_bytes()).await?;
    stream.write_all(b"abc").await?;
    let began = Instant::now();
    let answer = rest(&mut stream).await?;
    assert_refused(&answer, 400, "RequestTimeout");
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(lab.object("lab", "still"), None);
    drop(stream);

    let mut stream = sent(&server, head("slow").as_bytes()).await?;
    for byte in b"abcdef" {
        sleep(Duration::from_secs(29)).await;
        stream.write_all(&[*byte]).await?;
    }
    assert!(rest(&mut stream).await?.starts_with("HTTP/1.1 200"));
    assert_eq!(lab.object("lab", "slow").as_deref(), Some(&b"abcdef"[..]));
    drop(stream);
    assert_all_closed(&lab).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_reads_is_given_up_and_one_that_is_read_late_is_whole() -> Outcome {
    tick();
    let lab = lab()?;
    let server = Server::start(&lab, loopback()).await?;
    let get = b"GET /lab/big HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n";
    let mut stream = sent(&server, get).await?;
    sleep(Duration::from_secs(290)).await;
    let mut bytes = Vec::new();
    timeout(FOR_EVER, stream.read_to_end(&mut bytes)).await??;
    let body = bytes.windows(4).position(|w| w == b"\r\n\r\n").ok_or("a head")? + 4;
    assert_eq!((bytes.len() - body) as u64, SIZE);
    SyntheticObject::named("lab", "big", SIZE).verify(0, &bytes[body..])?;
    drop(stream);

    let _stream = sent(&server, get).await?;
    sleep(Duration::from_secs(310)).await;
    assert_all_closed(&lab).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_head_without_end_is_refused_before_it_fills_the_memory() -> Outcome {
    tick();
    let lab = lab()?;
    let server = Server::start(&lab, loopback()).await?;
    let long = format!("GET /lab/big HTTP/1.1\r\nHost: lab\r\nX-Long: {}", "x".repeat(65 << 10));
    let began = Instant::now();
    let mut stream = sent(&server, long.as_bytes()).await?;
    assert!(rest(&mut stream).await?.starts_with("HTTP/1.1 431 "));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    // S3 takes heads of 8 KiB, with a user's metadata in them.
    let large =
        format!("HEAD /lab/big HTTP/1.1\r\nHost: lab\r\nConnection: close\r\nX-Long: {}\r\n\r\n", "x".repeat(60 << 10));
    assert!(rest(&mut sent(&server, large.as_bytes()).await?).await?.starts_with("HTTP/1.1 200 "));
    Ok(())
}

fn delete(keys: usize) -> String {
    let objects: String = (0..keys).map(|n| format!("<Object><Key>key-{n}</Key></Object>")).collect();
    format!("<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{objects}</Delete>")
}

#[tokio::test]
async fn a_thousand_keys_are_deleted_at_once_and_no_more() -> Outcome {
    let lab = lab()?;
    let server = Server::start(&lab, loopback()).await?;
    assert!(ask(&server, "PUT /lab/key-7", b"x").await?.starts_with("HTTP/1.1 200"));
    for keys in [1001, 0] {
        let answer = ask(&server, "POST /lab?delete", delete(keys).as_bytes()).await?;
        assert_refused(&answer, 400, "MalformedXML");
    }
    assert!(lab.object("lab", "key-7").is_some(), "nothing is deleted by a request that is refused");
    let answer = ask(&server, "POST /lab?delete", delete(1000).as_bytes()).await?;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.matches("<Deleted>").count() == 1000, "{answer}");
    assert!(lab.object("lab", "key-7").is_none());
    Ok(())
}

#[tokio::test]
async fn whoever_sends_too_much_gets_an_error_document_and_not_a_reset() -> Outcome {
    let lab = lab()?;
    let server = Server::start(&lab, loopback()).await?;
    // 34 MB of keys, and of a body that nobody will take.
    let large = delete(900_000);
    for _ in 0..3 {
        let answer = ask(&server, "POST /lab?delete", large.as_bytes()).await?;
        assert_refused(&answer, 400, "MaxMessageLengthExceeded");
        let answer = ask(&server, "PUT /nowhere/key", large.as_bytes()).await?;
        assert_refused(&answer, 404, "NoSuchBucket");
    }
    assert_all_closed(&lab).await;
    Ok(())
}

#[tokio::test]
async fn a_form_is_not_held_in_memory_beyond_its_limit() -> Outcome {
    let lab = Lab::builder().bucket("lab").build()?;
    let server = Server::start(&lab, loopback()).await?;
    let form = |bytes: usize| {
        let file = "x".repeat(bytes);
        let field = |name: &str, value: &str| {
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let file = format!(
            "--edge\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{file}\r\n--edge--\r\n"
        );
        field("key", "k") + &file
    };
    let post = "POST /lab HTTP/1.1\r\nContent-Type: multipart/form-data; boundary=edge\r\nX-Rest: x";
    // Nobody has signed it, and that is not known before the form was read.
    for (bytes, status, code) in [(1000, 403, "AccessDenied"), ((16 << 20) + 1, 400, "EntityTooLarge")] {
        let body = form(bytes);
        let head = format!("{post}\r\nHost: lab\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = sent(&server, head.as_bytes()).await?;
        stream.write_all(body.as_bytes()).await?;
        assert_refused(&rest(&mut stream).await?, status, code);
    }
    Ok(())
}

#[tokio::test]
async fn ten_thousand_parts_fit_into_one_request() -> Outcome {
    let lab = lab()?;
    let server = Server::start(&lab, loopback()).await?;
    let begun = ask(&server, "POST /lab/parts?uploads", b"").await?;
    let (_, id) = begun.split_once("<UploadId>").ok_or("an upload")?;
    let (id, _) = id.split_once('<').ok_or("an upload")?;
    // With every checksum that a client may give.
    let part = |number| {
        let (long, short) = ("A".repeat(43) + "=", "AAAAAA==");
        format!(
            "<Part><PartNumber>{number}</PartNumber><ETag>&quot;{}&quot;</ETag><ChecksumCRC32>{short}</ChecksumCRC32>\
             <ChecksumCRC32C>{short}</ChecksumCRC32C><ChecksumSHA256>{long}</ChecksumSHA256></Part>",
            "0".repeat(32)
        )
    };
    let parts: String = (1..=10_000).map(part).collect();
    let body = format!(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{parts}</CompleteMultipartUpload>"
    );
    let answer = ask(&server, &format!("POST /lab/parts?uploadId={id}"), body.as_bytes()).await?;
    // It was read, and none of them is there.
    assert_refused(&answer, 400, "InvalidPart");
    Ok(())
}

#[tokio::test]
async fn presigned_urls_hold_for_a_week_at_the_most() -> Outcome {
    let lab = Lab::builder().bucket("lab").synthetic("lab", "big", 1000).build()?;
    let server = Server::start(&lab, loopback()).await?;
    let query = |expires: &str| {
        format!(
            "GET /lab/big?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}%2F20200101%2Fus-east-1%2Fs3%2Faws4_request\
             &X-Amz-Date=20200101T000000Z&{expires}&X-Amz-SignedHeaders=host&X-Amz-Signature={}",
            lab.access_key(),
            "0".repeat(64)
        )
    };
    for expires in [
        "X-Amz-Expires=604801",
        "X-Amz-Expires=99999999999999999999",
        "X-Amz-Expires=0",
        "X-Amz-Expires=-1",
        "X-Amz-Expires=soon",
        "X-Amz-Expires=",
        "X-Amz-%45xpires=604801",
        "X-Amz-Expires=%36%3004801",
        "other=1",
    ] {
        let answer = ask(&server, &query(expires), b"").await?;
        assert_refused(&answer, 400, "AuthorizationQueryParametersError");
    }
    let answer = ask(&server, &query("X-Amz-Expires=604800"), b"").await?;
    assert_refused(&answer, 403, "AccessDenied");
    assert!(answer.contains("Request has expired"), "{answer}");

    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(server.endpoint())
        .force_path_style(true)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(lab.access_key(), lab.secret_key(), None, None, "test"))
        .build();
    let week = PresigningConfig::expires_in(Duration::from_secs(604_800))?;
    let get = aws_sdk_s3::Client::from_conf(config).get_object().bucket("lab").key("big");
    let url = get.presigned(week).await?.uri().to_owned();
    let path = url.strip_prefix(&server.endpoint()).ok_or("a path")?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", server.addr());
    let answer = rest(&mut sent(&server, request.as_bytes()).await?).await?;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(())
}

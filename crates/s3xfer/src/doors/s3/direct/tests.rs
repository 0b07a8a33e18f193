//! Requests past the SDK end as those through it do, over a socket, against answers byte by byte.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Builder, IdentityCache, ProvideCredentials};
use bytes::Bytes;

use super::*;
use crate::doors::s3::Store;
use crate::doors::s3::outgoing::Movement;
use crate::doors::s3::pattern::Put;
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::failure::{RequestError, RequestFailure};
use crate::words::object::{ObjectAddress, ObjectRequest};
use crate::words::target::Target;

const SECOND: Duration = Duration::from_secs(5);

/// A server that gives scripted answers, in turn, and then the good answer for ever.
#[derive(Clone, Default)]
struct Server {
    script: Arc<Mutex<VecDeque<Vec<u8>>>>,
    heads: Arc<Mutex<Vec<String>>>,
}

fn answer(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

fn good() -> Vec<u8> {
    let checksum = "x-amz-checksum-type: FULL_OBJECT\r\nx-amz-checksum-crc32: AAAAAQ==\r\n";
    answer("200 OK", &format!("etag: \"a\"\r\nlast-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n{checksum}"), "body")
}

fn written() -> Vec<u8> {
    answer("200 OK", "etag: \"a\"\r\nx-amz-version-id: v\r\nx-amz-checksum-crc64nvme: AAAAAAAAAAE=\r\n", "")
}

fn refusal(status: &str, code: &str, more: &str) -> Vec<u8> {
    answer(status, "", &format!("<Error><Code>{code}</Code><Message>so it is</Message>{more}</Error>"))
}

impl Server {
    fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let server = server.clone();
                thread::spawn(move || server.serve(&stream.unwrap()));
            }
        });
        endpoint
    }

    fn serve(&self, mut stream: &TcpStream) {
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut head = String::new();
            while !head.ends_with("\n\n") {
                let mut line = String::new();
                match reader.read_line(&mut line) {
                    Ok(1..) => head += &line.replace("\r\n", "\n"),
                    _ => return,
                }
            }
            let is_head = head.starts_with("HEAD");
            let is_put = head.starts_with("PUT");
            if is_put {
                assert!(head.contains(&format!("content-length: {}\n", BYTES.len())), "{head}");
                let mut body = vec![0; BYTES.len()];
                match reader.read_exact(&mut body) {
                    Ok(()) => assert_eq!(body, BYTES),
                    // The client has given it up.
                    Err(_) => return,
                }
            }
            self.heads.lock().unwrap().push(head);
            let mut answer = self.script.lock().unwrap().pop_front().unwrap_or_else(|| match is_put {
                true => written(),
                false => good(),
            });
            if is_head {
                let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
                answer.truncate(end);
            }
            // Nobody may be there any more.
            let stays = stream.write_all(&answer).is_ok() && answer.starts_with(b"HTTP/1.1");
            if !stays {
                return;
            }
        }
    }
}

fn config(endpoint: &str) -> Builder {
    Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(endpoint)
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        .identity_cache(IdentityCache::lazy().build())
        .credentials_provider(Credentials::new("AKID", "geheim", Some("ganz-geheim".to_owned()), None, "test"))
}

fn store(config: Builder) -> Store {
    Store::new(Client::from_conf(config.build()), SECOND)
}

fn object() -> ObjectRequest {
    ObjectRequest::new(ObjectAddress { bucket: "b".to_owned(), key: "k".to_owned() })
}

const PUT: Verb = Verb::Put(Some(ChecksumAlgorithm::Crc64Nvme));
const BYTES: &[u8] = b"bytes of an object";
/// An CRC64NVME, as it would be.
const CHECKSUM: u64 = 1;

fn target() -> Target {
    let mut target = Target::new(object().address);
    target.attributes.content_type = Some("text/plain".to_owned());
    target
}

async fn is_direct(store: &Store, verb: Verb) -> bool {
    let Some(direct) = &store.direct else { return false };
    let (object, target) = (object(), target());
    let asked = match verb {
        Verb::Put(_) => Asked::put(Put { target: &target, bytes: BYTES.len() as u64, checksum: Some("AAAAAAAAAAE=") }),
        _ => Asked { verb, object: &object, range: None, if_match: None, arrived: None, put: None },
    };
    direct.ready(&asked, None).await.is_some()
}

/// A body of [`BYTES`], in pieces.
fn body() -> Outgoing {
    let pieces = BYTES.chunks(7).map(|piece| Ok(Bytes::from_static(piece)));
    Outgoing::new(futures::stream::iter(pieces), BYTES.len() as u64, Movement::new(BYTES.len() as u64))
}

#[tokio::test]
async fn each_answer_tells_how_many_connections_there_are() {
    let endpoint = Server::default().start();
    // The first through the SDK, the second past it; all through the SDK; from a URL.
    let ours = store(config(&endpoint));
    let without_direct = Store { direct: None, ..ours.clone() };
    let url = format!("{endpoint}/b/k").parse().unwrap();
    let of_url = ours.at_url(url, SECOND);
    for (store, times) in [(&ours, 2), (&without_direct, 1), (&of_url, 1)] {
        for _ in 0..times {
            let counters = (&AtomicU64::new(0), &Arc::default());
            let mut answer = store.get(&object(), None, None, SECOND, counters).await.unwrap();
            let seen = answer.connections.unwrap();
            assert_eq!((seen.served, seen.late), (1, 0), "{seen:?}");
            while let Some(frame) = answer.body.next(SECOND).await {
                frame.unwrap();
            }
        }
    }
    assert!(is_direct(&ours, Verb::Get).await);
}

/// The outcome of a request, and how many requests it took.
async fn outcome(store: &Store, verb: Verb) -> (String, u64) {
    tokio::time::timeout(6 * SECOND, ended(store, verb)).await.expect("a write has no deadline of its own")
}

async fn ended(store: &Store, verb: Verb) -> (String, u64) {
    let sent = AtomicU64::new(0);
    let told = match verb {
        Verb::Get => match store.get(&object(), None, None, SECOND, (&sent, &Arc::default())).await {
            Ok(mut answer) => {
                let body = answer.body.next(SECOND).await;
                let Answer { content_range, content_length, e_tag, last_modified, checksum, .. } = answer;
                format!("{content_range:?} {content_length:?} {e_tag:?} {last_modified:?} {checksum:?} {body:?}")
            }
            Err(failure) => told(&failure),
        },
        Verb::Head => match store.checksum(&object(), SECOND).await {
            Ok(answer) => format!("{answer:?}"),
            Err(failure) => told(&failure),
        },
        Verb::Put(_) => match store.put(&target(), (BYTES.len() as u64, CHECKSUM), &body, &sent).await {
            Ok(written) => format!("{written:?}"),
            // The SDK sends it by another HTTP client, with words of its own.
            Err(RequestFailure::Final(RequestError::BadResponse { .. })) => "a bad response".to_owned(),
            Err(failure) => told(&failure),
        },
    };
    (told, sent.load(Ordering::Relaxed))
}

fn told(failure: &RequestFailure) -> String {
    // The time of a skewed clock is measured, and may be another second's.
    match failure {
        RequestFailure::Skewed { ahead_seconds } => {
            format!("skewed by {:?} hours", ahead_seconds.map(|s| (s + 60) / 3600))
        }
        failure => format!("{failure:?}"),
    }
}

#[tokio::test]
async fn what_comes_of_an_answer_is_the_same_past_the_sdk_as_through_it() {
    let date = "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    let elsewhere = "x-amz-bucket-region: eu-west-1\r\n";
    let scripts: Vec<Vec<Vec<u8>>> = vec![
        vec![],
        vec![answer("200 OK", "", "")],
        vec![answer("200 OK", "etag: \"a\"\r\netag: \"a\"\r\nexpires: 0\r\n", "body")],
        vec![answer("200 OK", "etag: \"a\"\r\netag: \"b\"\r\n", "body")],
        vec![answer("200 OK", "etag: \u{fc}\r\nx-amz-meta-a: \u{fc}\r\n", "body")],
        vec![answer("200 OK", "last-modified: never\r\nx-amz-checksum-sha256: a\r\n", "body")],
        vec![answer("200 OK", "content-range: bytes 0-3/4\r\n", "body")],
        vec![answer("206 Partial Content", "content-range: bytes 0-3/9\r\n", "body")],
        vec![answer("206 Partial Content", "", "body")],
        vec![answer("204 No Content", "", "")],
        vec![b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n".to_vec()],
        vec![b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n".to_vec()],
        vec![b"SSH-2.0-OpenSSH_9\r\n\r\n".to_vec()],
        vec![refusal("404 Not Found", "NoSuchKey", "")],
        vec![refusal("403 Forbidden", "AccessDenied", "<RequestId>r</RequestId>")],
        vec![refusal("403 Forbidden", "SignatureDoesNotMatch", "")],
        vec![answer("403 Forbidden", "", "")],
        vec![refusal("412 Precondition Failed", "PreconditionFailed", "")],
        vec![refusal("416 Range Not Satisfiable", "InvalidRange", "")],
        vec![refusal("400 Bad Request", "RequestTimeout", "")],
        vec![refusal("503 Slow Down", "SlowDown", "")],
        vec![answer("500 Internal Server Error", "", "<html>oh</html>")],
        vec![answer("502 Bad Gateway", "", &"x".repeat(200_000))],
        vec![answer("301 Moved Permanently", elsewhere, "<Error><Code>PermanentRedirect</Code></Error>")],
        vec![answer(
            "307 Temporary Redirect",
            "location: http://h/\r\n",
            "<Error><Code>TemporaryRedirect</Code></Error>",
        )],
        vec![refusal("400 Bad Request", "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>")],
        vec![answer("400 Bad Request", elsewhere, "")],
        vec![refusal("400 Bad Request", "ExpiredToken", "")],
        vec![refusal("400 Bad Request", "ExpiredToken", ""), refusal("400 Bad Request", "ExpiredToken", "")],
        vec![answer("403 Forbidden", date, "<Error><Code>RequestTimeTooSkewed</Code></Error>")],
        vec![
            answer("403 Forbidden", date, "<Error><Code>RequestTimeTooSkewed</Code></Error>"),
            answer("403 Forbidden", date, "<Error><Code>RequestTimeTooSkewed</Code></Error>"),
        ],
    ];
    let odd_writes: Vec<Vec<Vec<u8>>> = vec![
        vec![answer("200 OK", "x-amz-object-size: many\r\n", "")],
        vec![answer("200 OK", "x-amz-object-size: 9\r\nx-amz-expiration: a\r\nx-amz-expiration: b\r\n", "")],
        vec![answer("200 OK", "x-amz-server-side-encryption-bucket-key-enabled: yes\r\n", "")],
        vec![answer("200 OK", "x-amz-checksum-crc64nvme: AAAA\r\n", "")],
        vec![answer("201 Created", "etag: \"c\"\r\n", "")],
        vec![b"HTTP/1.1 200 OK\r\netag: \"d\"\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n".to_vec()],
        vec![b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\netag: \"e\"\r\ncontent-length: 0\r\n\r\n".to_vec()],
        vec![refusal("400 Bad Request", "BadDigest", "")],
        vec![refusal("409 Conflict", "ConditionalRequestConflict", "")],
        vec![refusal("501 Not Implemented", "NotImplemented", "")],
    ];
    // The client by which the SDK sends bodies waits for its chunks.
    let of_reads = vec![b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()];
    for verb in [Verb::Get, Verb::Head, PUT] {
        let more = if verb == PUT { odd_writes.clone() } else { vec![of_reads.clone()] };
        for script in &[scripts.clone(), more].concat() {
            let shown = script.first().map(|answer| String::from_utf8_lossy(&answer[..answer.len().min(200)]));
            let server = Server::default();
            let endpoint = server.start();
            let through = store(config(&endpoint));
            server.script.lock().unwrap().extend(script.iter().cloned());
            let expected = outcome(&through, verb).await;
            let expected_requests = server.heads.lock().unwrap().len();

            let past = store(config(&endpoint));
            outcome(&past, verb).await;
            assert!(is_direct(&past, verb).await, "nothing was learned of a good answer");
            server.heads.lock().unwrap().clear();
            server.script.lock().unwrap().extend(script.iter().cloned());
            assert_eq!(outcome(&past, verb).await, expected, "{verb:?} {shown:?}");
            assert_eq!(server.heads.lock().unwrap().len(), expected_requests, "{verb:?} {shown:?}");
            assert!(server.script.lock().unwrap().is_empty(), "{verb:?} {shown:?}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_as_by_the_sdk() {
    let server = Server::default();
    let endpoint = server.start();
    let past = store(config(&endpoint));
    outcome(&past, Verb::Get).await;
    // Closes the connection instead of answering any request.
    let closing = || server.script.lock().unwrap().extend((0..4).map(|_| Vec::new()));
    closing();
    let told = outcome(&past, Verb::Get).await;
    let asked = server.heads.lock().unwrap().len();
    server.script.lock().unwrap().clear();
    let through = store(config(&endpoint));
    closing();
    assert_eq!(outcome(&through, Verb::Get).await, told);
    assert!(told.0.contains("Unreachable"), "{told:?}");
    // On the connection that waited, and on a new one.
    assert_eq!(asked, 3);
}

#[tokio::test]
async fn whoever_has_a_say_in_requests_has_it_in_all_of_them() {
    #[derive(Debug)]
    struct Interceptor;
    impl Intercept for Interceptor {
        fn name(&self) -> &'static str {
            "Interceptor"
        }
    }
    #[derive(Debug)]
    struct Resolver(String);
    impl aws_sdk_s3::config::endpoint::ResolveEndpoint for Resolver {
        fn resolve_endpoint<'a>(
            &'a self,
            _: &'a aws_sdk_s3::config::endpoint::Params,
        ) -> aws_sdk_s3::config::endpoint::EndpointFuture<'a> {
            let endpoint = aws_sdk_s3::config::endpoint::Endpoint::builder().url(format!("{}/b", self.0)).build();
            aws_sdk_s3::config::endpoint::EndpointFuture::ready(Ok(endpoint))
        }
    }
    let server = Server::default();
    let endpoint = server.start();
    for config in [
        config(&endpoint).interceptor(Interceptor),
        config(&endpoint).endpoint_resolver(Resolver(endpoint.clone())),
        config(&endpoint).http_client(connector::http_client().0),
    ] {
        let store = store(config);
        assert!(outcome(&store, Verb::Get).await.0.contains("Some(Ok"));
        assert!(!is_direct(&store, Verb::Get).await);
    }
    // Without a signature there is nothing that costs much, and nothing is learned.
    let mut anonymous = Builder::new().behavior_version(BehaviorVersion::latest()).endpoint_url(&endpoint);
    anonymous = anonymous.region(Region::from_static("us-east-1")).force_path_style(true).allow_no_auth();
    let store = store(anonymous);
    for _ in 0..5 {
        assert!(outcome(&store, Verb::Get).await.0.contains("Some(Ok"));
        assert!(!is_direct(&store, Verb::Get).await);
    }
}

/// Credentials that are others each time they are asked for, and good for so long.
#[derive(Debug, Clone)]
struct Rotating {
    asked: Arc<AtomicU64>,
    good_for: Duration,
}

impl ProvideCredentials for Rotating {
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        let until = SystemTime::now() + self.good_for;
        let credentials = Credentials::new(format!("K{number}"), "s", None, Some(until), "test");
        aws_credential_types::provider::future::ProvideCredentials::ready(Ok(credentials))
    }
}

#[tokio::test]
async fn requests_are_signed_with_the_credentials_that_the_sdk_would_take() {
    let keys = |server: &Server| -> Vec<String> {
        let heads = server.heads.lock().unwrap();
        let of = |head: &String| Some(head.split_once("Credential=")?.1.split_once('/')?.0.to_owned());
        heads.iter().map(|head| of(head).unwrap()).collect()
    };
    let server = Server::default();
    let endpoint = server.start();
    let rotating = |good_for| Rotating { asked: Arc::default(), good_for: Duration::from_secs(good_for) };
    let kept = store(config(&endpoint).credentials_provider(rotating(3600)));
    for _ in 0..4 {
        outcome(&kept, Verb::Get).await;
    }
    assert_eq!(keys(&server), ["K0"; 4]);
    // The server finds them expired: those that are fetched then are used by all later requests.
    server.heads.lock().unwrap().clear();
    server.script.lock().unwrap().push_back(refusal("400 Bad Request", "ExpiredToken", ""));
    for _ in 0..3 {
        outcome(&kept, Verb::Get).await;
    }
    assert_eq!(keys(&server), ["K0", "K1", "K1", "K1"]);
    assert!(is_direct(&kept, Verb::Get).await);
    // Within the ten seconds in which the SDK takes them for expired.
    server.heads.lock().unwrap().clear();
    let expiring = store(config(&endpoint).credentials_provider(rotating(1)));
    for _ in 0..3 {
        outcome(&expiring, Verb::Get).await;
    }
    let mut of_expiring = keys(&server);
    let asked = of_expiring.len();
    of_expiring.dedup();
    assert_eq!((asked, of_expiring.len()), (3, 3), "{of_expiring:?}");
}

#[tokio::test]
async fn a_bucket_that_turns_out_to_be_elsewhere_is_learned_anew() {
    let server = Server::default();
    let endpoint = server.start();
    let store = store(config(&endpoint));
    outcome(&store, Verb::Get).await;
    server.script.lock().unwrap().push_back(refusal(
        "400 Bad Request",
        "AuthorizationHeaderMalformed",
        "<Region>eu-west-1</Region>",
    ));
    for _ in 0..3 {
        outcome(&store, Verb::Get).await;
    }
    let heads = server.heads.lock().unwrap();
    let regions: Vec<bool> = heads.iter().map(|head| head.contains("/eu-west-1/s3/")).collect();
    assert_eq!(regions, [false, false, true, true, true]);
}

#[tokio::test]
async fn what_is_learned_shows_no_secret_and_does_not_grow_for_ever() {
    let server = Server::default();
    let store = store(config(&server.start()));
    outcome(&store, Verb::Get).await;
    let direct = store.direct.as_ref().unwrap();
    let object = object();
    let asked = Asked { verb: Verb::Get, object: &object, range: None, if_match: None, arrived: None, put: None };
    let ready = direct.ready(&asked, None).await.unwrap();
    let shown = format!("{direct:?} {ready:?} {store:?}");
    for secret in ["geheim", "Signature="] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    for number in 0..2 * MOST_BUCKETS {
        let kept = Kept { verb: Verb::Get, region: None, known: Known::Lessons(0) };
        direct.keep(&number.to_string(), kept);
    }
    assert!(direct.buckets().len() <= MOST_BUCKETS);
}

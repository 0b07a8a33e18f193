//! Credentials that the server calls expired although they do not say so themselves, and clocks that are off. In the
//! process, in tokio's paused time.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::base64;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::date_time::{DateTime, Format};
use s3xfer::{ChecksumAlgorithm, Client, Integrity, NotValidated, TransferConfig, TransferError, TransferErrorKind};

const PART: u64 = 10;
const SIZE: u64 = 95;

fn object() -> Vec<u8> {
    (0..SIZE as u8).map(|i| i.wrapping_mul(37)).collect()
}

/// Gives keys named K0, K1, ...: another one each time it is asked. All say that they are good for a day.
#[derive(Debug, Clone, Default)]
struct Provider(Arc<AtomicUsize>);

impl Provider {
    fn asked(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let number = self.0.fetch_add(1, Ordering::SeqCst);
        let until = SystemTime::now() + Duration::from_secs(86400);
        let keys = Credentials::new(format!("K{number}"), "s", Some("token".to_owned()), Some(until), "test");
        future::ProvideCredentials::ready(Ok(keys))
    }
}

/// A request as it came: its number, from 0, the key it is signed with, and the range; all of a HEAD.
#[derive(Debug, Clone)]
struct Get {
    number: usize,
    method: String,
    key: String,
    range: Range<u64>,
    /// Seconds of the Unix epoch.
    signed_at: i64,
}

fn now() -> i64 {
    DateTime::from(SystemTime::now()).secs()
}

enum Answer {
    Whole,
    /// The connection breaks off after so many bytes of the body.
    Cut(usize),
    /// An error of S3's.
    Error(u16, &'static str),
    /// The same, or with 206 the bytes, from a server whose clock is so many seconds ahead.
    At(i64, u16, &'static str),
}

type Script = dyn Fn(&Get) -> Answer + Send + Sync;

#[derive(Clone)]
struct Server {
    script: Arc<Script>,
    seen: Arc<Mutex<Vec<Get>>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Server")
    }
}

impl Server {
    fn new(script: impl Fn(&Get) -> Answer + Send + Sync + 'static) -> Self {
        Self { script: Arc::new(script), seen: Arc::default() }
    }

    fn seen(&self) -> Vec<Get> {
        self.seen.lock().unwrap().clone()
    }

    fn client(&self, provider: &Provider, concurrency: u32) -> Client {
        let sdk = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .endpoint_url("https://s3.example")
            .force_path_style(true)
            .region(Region::from_static("us-east-1"))
            .credentials_provider(provider.clone())
            .http_client(self.clone());
        let parts =
            TransferConfig::builder().multipart_threshold(1).multipart_chunksize(PART).max_concurrency(concurrency);
        let parts = parts.validate_checksum(false).build().unwrap();
        Client::new(aws_sdk_s3::Client::from_conf(sdk.build())).with_config(parts)
    }
}

impl HttpConnector for Server {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let header = |name: &str| request.headers().get(name).unwrap().to_owned();
        let range = match request.headers().get("range").map(|range| range.trim_start_matches("bytes=")) {
            Some(range) => {
                let (first, last) = range.split_once('-').unwrap();
                first.parse().unwrap()..(last.parse::<u64>().unwrap() + 1).min(SIZE)
            }
            None => 0..SIZE,
        };
        let key = header("authorization").split_once("Credential=").unwrap().1.split('/').next().unwrap().to_owned();
        let date = header("x-amz-date");
        let spaced = [&date[..4], "-", &date[4..6], "-", &date[6..11], ":", &date[11..13], ":", &date[13..]].concat();
        let signed_at = DateTime::from_str(&spaced, Format::DateTime).unwrap().secs();
        let get = {
            let mut seen = self.seen.lock().unwrap();
            let get = Get { number: seen.len(), method: request.method().to_owned(), key, range, signed_at };
            seen.push(get.clone());
            get
        };
        let answer = (self.script)(&get);
        HttpConnectorFuture::new(async move {
            // As long as a round trip takes, so that others are on their way meanwhile.
            tokio::time::sleep(Duration::from_millis(20)).await;
            let bytes = object()[get.range.start as usize..get.range.end as usize].to_vec();
            let error = |code: &str| SdkBody::from(format!("<Error><Code>{code}</Code><Message>No.</Message></Error>"));
            let (status, body, date) = match answer {
                Answer::Whole => (206, SdkBody::from(bytes), 0),
                Answer::Cut(at) => (206, SdkBody::from(bytes[..at].to_vec()), 0),
                Answer::Error(status, code) => (status, error(code), 0),
                Answer::At(ahead, 206, _) => (206, SdkBody::from(bytes), ahead),
                Answer::At(ahead, status, code) => (status, error(code), ahead),
            };
            // A HEAD's answer has no body, and with it no error code.
            let body = if get.method == "HEAD" { SdkBody::empty() } else { body };
            let mut response = HttpResponse::new(status.try_into().unwrap(), body);
            if status == 206 {
                let range = format!("bytes {}-{}/{SIZE}", get.range.start, get.range.end - 1);
                response.headers_mut().insert("content-range", range);
                let sum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32IsoHdlc, &object()) as u32;
                response.headers_mut().insert("x-amz-checksum-crc32", base64::encode(sum.to_be_bytes()));
                response.headers_mut().insert("x-amz-checksum-type", "FULL_OBJECT");
                response.headers_mut().insert("content-length", (get.range.end - get.range.start).to_string());
                response.headers_mut().insert("etag", "\"e\"");
            }
            let date = DateTime::from_secs(now() + date).fmt(Format::HttpDate).unwrap();
            response.headers_mut().insert("date", date);
            Ok(response)
        })
    }
}

impl HttpClient for Server {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

const EXPIRED: [(u16, &str); 4] =
    [(400, "ExpiredToken"), (403, "ExpiredToken"), (400, "TokenRefreshRequired"), (403, "RequestExpired")];

#[tokio::test(start_paused = true)]
async fn credentials_that_expire_in_the_middle_are_fetched_again_once_for_all_parts() {
    for (status, code) in EXPIRED {
        // The first key is good for the first three requests.
        let server = Server::new(move |get| match (get.key.as_str(), get.number) {
            ("K0", 3..) => Answer::Error(status, code),
            _ => Answer::Whole,
        });
        let provider = Provider::default();
        let (bytes, report) = server.client(&provider, 8).download("b", "k").to_bytes().await.unwrap();
        assert_eq!(bytes, object(), "{status} {code}");
        assert_eq!(provider.asked(), 2, "{status} {code}");
        // No attempt at a part was used up, and nothing that was sent is left out.
        assert_eq!(report.retries, 0, "{status} {code}");
        assert_eq!(report.requests as usize, server.seen().len(), "{status} {code}");
        let refused = server.seen().iter().filter(|get| get.key == "K0" && get.number >= 3).count();
        assert!(refused > 1, "several parts were on their way: {:?}", server.seen());
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_goes_on_at_its_offset_with_new_credentials() {
    let server = Server::new(|get| match (get.key.as_str(), get.number) {
        (_, 2) => Answer::Cut(4),
        ("K0", 3..) => Answer::Error(400, "ExpiredToken"),
        _ => Answer::Whole,
    });
    let provider = Provider::default();
    let (bytes, _) = server.client(&provider, 1).download("b", "k").to_bytes().await.unwrap();
    assert_eq!((bytes.to_vec(), provider.asked()), (object(), 2));
    let seen: Vec<_> = server.seen().into_iter().skip(2).take(3).map(|get| (get.key, get.range)).collect();
    let key = |number: u32| format!("K{number}");
    assert_eq!(seen, [(key(0), 20..30), (key(0), 24..30), (key(1), 24..30)]);
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_say_why_it_is_refused_is_sent_again() {
    let server = Server::new(|get| match get.key.as_str() {
        "K0" => Answer::Error(400, "ExpiredToken"),
        _ => Answer::Whole,
    });
    let provider = Provider::default();
    let client = server.client(&provider, 8);
    let checked = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(PART).build().unwrap();
    let report = client.with_config(checked).download("b", "k").discard().await.unwrap();
    assert_eq!(report.integrity, Integrity::Validated(ChecksumAlgorithm::Crc32));
    assert_eq!(provider.asked(), 2);
    let heads = server.seen().iter().filter(|get| get.method == "HEAD").count();
    assert!(heads <= 2, "{:?}", server.seen());

    // One that is refused for another reason is not sent for ever, nor are credentials fetched for it again and again.
    let server = Server::new(|get| match get.method.as_str() {
        "HEAD" => Answer::Error(400, "InvalidRequest"),
        _ => Answer::Whole,
    });
    let provider = Provider::default();
    let client = server.client(&provider, 8);
    let checked = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(PART).build().unwrap();
    let client = client.with_config(checked);
    for _ in 0..20 {
        let report = client.download("b", "k").discard().await.unwrap();
        assert_eq!(report.integrity, Integrity::NotValidated(NotValidated::NotTold));
    }
    let heads = server.seen().iter().filter(|get| get.method == "HEAD").count();
    assert_eq!((heads, provider.asked()), (21, 2));
}

#[tokio::test(start_paused = true)]
async fn every_expiry_is_mended_however_many_there_are() {
    let good = Arc::new(AtomicUsize::new(0));
    let now = good.clone();
    let server = Server::new(move |get| match get.key == format!("K{}", now.load(Ordering::SeqCst)) {
        true => Answer::Whole,
        false => Answer::Error(400, "ExpiredToken"),
    });
    let provider = Provider::default();
    let client = server.client(&provider, 4);
    for expiries in 0..4 {
        good.store(expiries, Ordering::SeqCst);
        client.download("b", "k").to_bytes().await.unwrap();
        assert_eq!(provider.asked(), expiries + 1);
        tokio::time::sleep(Duration::from_secs(3600)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_that_are_expired_anyway_are_told_and_their_source_is_left_in_peace() {
    let server = Server::new(|_| Answer::Error(400, "ExpiredToken"));
    let provider = Provider::default();
    let client = server.client(&provider, 8);
    for _ in 0..20 {
        let error = client.download("b", "k").discard().await.unwrap_err();
        assert!(matches!(error, TransferError::CredentialsExpired { .. }), "{error:?}");
        assert_eq!(error.kind(), TransferErrorKind::Denied);
        for word in ["ExpiredToken", "expired", "log in"] {
            assert!(error.to_string().contains(word), "{error}");
        }
    }
    assert_eq!(provider.asked(), 2, "as often as there were downloads");
    // Somebody may have logged in since.
    tokio::time::sleep(Duration::from_secs(60)).await;
    client.download("b", "k").discard().await.unwrap_err();
    assert_eq!(provider.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn other_refusals_do_not_fetch_credentials() {
    let server = Server::new(|_| Answer::Error(403, "AccessDenied"));
    let provider = Provider::default();
    let error = server.client(&provider, 8).download("b", "k").discard().await.unwrap_err();
    assert_eq!((error.kind(), provider.asked(), server.seen().len()), (TransferErrorKind::Denied, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_off_is_allowed_for() {
    for ahead in [3600, -7200] {
        let server = Server::new(move |get| match (get.signed_at - now() - ahead).abs() < 900 {
            true => Answer::At(ahead, 206, ""),
            false => Answer::At(ahead, 403, "RequestTimeTooSkewed"),
        });
        // With the HEAD for the checksum, whose refusal does not say why.
        let config = TransferConfig::builder().multipart_threshold(1).multipart_chunksize(PART).max_concurrency(2);
        let client = server.client(&Provider::default(), 1).with_config(config.build().unwrap());
        for _ in 0..3 {
            let (bytes, report) = client.download("b", "k").to_bytes().await.unwrap();
            assert_eq!((bytes.to_vec(), report.retries), (object(), 0));
            assert_eq!(report.integrity, Integrity::Validated(ChecksumAlgorithm::Crc32));
        }
        let refused = server.seen().iter().filter(|get| (get.signed_at - now()).abs() < 900).count();
        assert!(refused <= 2, "the GET and the HEAD, once: {:?}", server.seen());
    }
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_cannot_be_allowed_for_is_told_with_how_much_it_is_off() {
    for (ahead, word) in [(3600, "behind"), (-7200, "ahead")] {
        let server = Server::new(move |_| Answer::At(ahead, 403, "RequestTimeTooSkewed"));
        let error = server.client(&Provider::default(), 8).download("b", "k").discard().await.unwrap_err();
        let TransferError::ClockSkewed { ahead_seconds: Some(seconds), .. } = error else { panic!("{error:?}") };
        assert!((seconds + ahead).abs() < 60, "{seconds}");
        assert!(error.to_string().contains(word), "{error}");
        assert!(error.to_string().contains(&format!("{} s", seconds.abs())), "{error}");
    }
}

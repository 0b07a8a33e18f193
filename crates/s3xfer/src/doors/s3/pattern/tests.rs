//! Patterns write the SDK's requests: `PROPTEST_CASES=10000` for a long run.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_sdk_s3::config::{BehaviorVersion, Builder, HttpClient, RuntimeComponents};
use aws_smithy_async::time::TimeSource;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use super::*;
use crate::doors::s3::Store;
use crate::doors::s3::outgoing::{Movement, Outgoing};
use crate::words::object::{ObjectAddress, SseCustomerKey};
use crate::words::target::{ChecksumUse, Condition, ServerSideEncryption};

/// A clock, and an HTTP client that answers everything with an empty object.
#[derive(Debug, Clone, Default)]
struct Sdk {
    seconds: Arc<AtomicI64>,
    sent: Arc<Mutex<Vec<Lesson>>>,
}

impl TimeSource for Sdk {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.seconds.load(Ordering::Relaxed).unsigned_abs())
    }
}

impl HttpClient for Sdk {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Sdk {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let headers = request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (method, uri) = (request.method().to_owned(), request.uri().to_owned());
        let at = self.seconds.load(Ordering::Relaxed);
        self.sent.lock().unwrap().push(Lesson { method, uri, headers, at });
        let answer = http::Response::builder().header("content-length", "0").body(SdkBody::empty()).unwrap();
        HttpConnectorFuture::ready(Ok(HttpResponse::try_from(answer).unwrap()))
    }
}

impl fmt::Debug for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:?}", self.method, self.uri, self.headers)
    }
}

/// The settings of a client.
#[derive(Debug, Clone)]
struct Setting {
    endpoint: Option<&'static str>,
    by_path: bool,
    dual_stack: bool,
    fips: bool,
    accelerate: bool,
    region: &'static str,
    bucket: &'static str,
    token: Option<&'static str>,
    app: Option<&'static str>,
}

/// The question and its time.
#[derive(Debug, Clone)]
struct Request {
    object: ObjectRequest,
    range: Option<Range<u64>>,
    if_match: Option<String>,
    seconds: i64,
    writes: Writes,
}

/// The rest of a question that writes.
#[derive(Debug, Clone)]
struct Writes {
    bytes: u64,
    checksum: u64,
    content_type: String,
    mtime: Option<String>,
    if_absent: bool,
}

fn settings() -> impl Strategy<Value = Setting> {
    let endpoints = [
        None,
        None,
        Some("http://127.0.0.1:9000"),
        Some("https://s3.example"),
        Some("https://s3.example:443/base/of%20it"),
        Some("http://[::1]:80/"),
    ];
    let buckets = ["bucket", "my.dotted.bucket", "UPPER_case", "b-1"];
    let one_of = proptest::sample::select::<&'static str>;
    // They contradict one another, and most endpoints.
    let rare = || proptest::bool::weighted(0.15);
    (
        (proptest::sample::select(endpoints.to_vec()), any::<bool>(), rare(), rare(), rare()),
        one_of(vec!["us-east-1", "eu-west-1", "cn-north-1"]),
        one_of(buckets.to_vec()),
        of(one_of(vec!["token", "a/longer+token=="])),
        of(one_of(vec!["an-app"])),
    )
        .prop_map(|((endpoint, by_path, dual_stack, fips, accelerate), region, bucket, token, app)| Setting {
            endpoint,
            by_path,
            dual_stack,
            fips,
            accelerate,
            region,
            bucket,
            token,
            app,
        })
}

fn keys() -> impl Strategy<Value = String> {
    let pieces =
        ["/", "//", ".", "..", "/../", " ", "+", "%", "%2F", "?x=1", "#", "&=", "ü", "\u{1f431}", "~", "\t", "*'()!"];
    let piece = prop_oneof![proptest::sample::select(pieces.to_vec()).prop_map(str::to_owned), "[a-z0-9]{1,5}", "\\PC"];
    vec(piece, 1..8).prop_map(|pieces| pieces.concat())
}

fn requests() -> impl Strategy<Value = Request> {
    let versions = of(prop_oneof![3 => "[A-Za-z0-9._]{0,32}", 1 => "\\PC{0,9}"]);
    let tags = of(prop_oneof![3 => "\"[0-9a-f]{32}(-[0-9]{1,5})?\"", 1 => "[ -~]{1,9}", 1 => "\\PC{1,9}"]);
    let ranges = of((any::<u32>(), 1_u32..u32::MAX))
        .prop_map(|range| range.map(|(start, length)| u64::from(start)..u64::from(start) + u64::from(length)));
    let owners = of(prop_oneof!["[0-9]{12}", "[!-~]{1,20}"]);
    (keys(), versions, tags, ranges, owners, any::<bool>(), 0_i64..4_000_000_000, writes()).prop_map(
        |(key, version_id, if_match, range, expected_bucket_owner, request_payer, seconds, writes)| {
            let mut object = ObjectRequest::new(ObjectAddress { bucket: String::new(), key });
            object.version_id = version_id;
            object.request_payer = request_payer;
            object.expected_bucket_owner = expected_bucket_owner;
            Request { object, range, if_match, seconds, writes }
        },
    )
}

fn writes() -> impl Strategy<Value = Writes> {
    let types = prop_oneof![3 => "[a-z]{1,9}/[a-z.+-]{1,9}(; charset=[a-z]{4})?", 1 => "[ -~]{1,9}"];
    let mtimes = of(prop_oneof![3 => "[0-9]{1,10}\\.[0-9]{9}", 1 => "[ -~]{1,9}"]);
    let sizes = prop_oneof![Just(0), any::<u16>().prop_map(u64::from), 0..5_u64 << 30];
    (sizes, any::<u64>(), types, mtimes, any::<bool>()).prop_map(|(bytes, checksum, content_type, mtime, if_absent)| {
        Writes { bytes, checksum, content_type, mtime, if_absent }
    })
}

fn verbs() -> impl Strategy<Value = Verb> {
    let algorithms = [ChecksumAlgorithm::Crc32, ChecksumAlgorithm::Crc32c, ChecksumAlgorithm::Crc64Nvme];
    prop_oneof![
        1 => Just(Verb::Get),
        1 => Just(Verb::Head),
        3 => of(proptest::sample::select(algorithms.to_vec())).prop_map(Verb::Put),
    ]
}

impl Sdk {
    fn store(&self, setting: &Setting) -> Store {
        let token = setting.token.map(str::to_owned);
        let credentials = Credentials::new("AKID", "secret", token, None, "test");
        let mut config = Builder::new()
            .behavior_version(BehaviorVersion::latest())
            .region(aws_sdk_s3::config::Region::from_static(setting.region))
            .credentials_provider(credentials)
            .force_path_style(setting.by_path)
            .use_dual_stack(setting.dual_stack)
            .use_fips(setting.fips)
            .accelerate(setting.accelerate)
            .disable_clock_skew_correction(true)
            .time_source(self.clone())
            .http_client(self.clone());
        config.set_endpoint_url(setting.endpoint.map(str::to_owned));
        config.set_app_name(setting.app.map(|name| aws_sdk_s3::config::AppName::new(name).unwrap()));
        Store::new(aws_sdk_s3::Client::from_conf(config.build()), Duration::from_secs(5))
    }

    /// The request as the SDK sends it, if it sends any.
    fn asks(&self, store: &Store, request: &Request, verb: Verb) -> Option<Lesson> {
        self.seconds.store(request.seconds, Ordering::Relaxed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (second, sent) = (Duration::from_secs(1), AtomicU64::new(0));
        let Request { object, range, if_match, .. } = request;
        runtime.block_on(async {
            match verb {
                Verb::Get => {
                    drop(store.get(object, range.as_ref(), if_match.as_deref(), second, (&sent, &Arc::default())).await)
                }
                Verb::Head => drop(store.checksum(object, second).await),
                Verb::Put(algorithm) => {
                    let Writes { bytes, checksum, .. } = request.writes;
                    let body = || Outgoing::new(futures::stream::empty(), bytes, Movement::new(bytes));
                    drop(store.put(&request.target(algorithm), (bytes, checksum), &body, &sent).await);
                }
            }
        });
        self.sent.lock().unwrap().pop()
    }
}

impl Request {
    /// The object that it writes.
    fn target(&self, algorithm: Option<ChecksumAlgorithm>) -> Target {
        let Self { object, if_match, writes, .. } = self;
        let mut target = Target::new(object.address.clone());
        target.object = ObjectRequest { version_id: None, ..object.clone() };
        target.checksum = algorithm.unwrap_or(target.checksum);
        target.checksum_use = if algorithm.is_some() { ChecksumUse::Chosen } else { ChecksumUse::No };
        target.condition = match if_match {
            _ if writes.if_absent => Condition::Absent,
            Some(e_tag) => Condition::IsVersion(e_tag.clone()),
            None => Condition::None,
        };
        target.attributes.content_type = Some(writes.content_type.clone());
        target.attributes.metadata = writes.mtime.iter().map(|time| (mtime::NAME.to_owned(), time.clone())).collect();
        target
    }

    /// Hands the question to `look`.
    fn asked<T>(&self, verb: Verb, look: impl FnOnce(&Asked<'_>) -> T) -> T {
        let Self { object, range, if_match, writes, .. } = self;
        match verb {
            Verb::Get => {
                let if_match = crate::doors::s3::strong(if_match.as_deref());
                look(&Asked { verb, object, range: range.as_ref(), if_match, arrived: None, put: None })
            }
            Verb::Head => look(&Asked { verb, object, range: None, if_match: None, arrived: None, put: None }),
            Verb::Put(algorithm) => {
                let target = self.target(algorithm);
                let text = crate::doors::s3::writing::written(target.checksum, writes.checksum);
                let checksum = algorithm.map(|_| &*text);
                look(&Asked::put(Put { target: &target, bytes: writes.bytes, checksum }))
            }
        }
    }

    fn is_usual(&self, verb: Verb) -> bool {
        self.asked(verb, |asked| asked.is_usual())
    }
}

fn host(lesson: &Lesson) -> String {
    crate::doors::connector::http_client().1.route(&lesson.uri).unwrap().host().to_owned()
}

/// Names and values in order, without those that differ in each request and those that the connector adds.
fn comparable<'a>(headers: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let mut headers: Vec<_> = headers.filter(|(name, _)| !matches!(*name, "amz-sdk-invocation-id" | "host")).collect();
    headers.sort_unstable();
    headers
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 1 << 20, ..ProptestConfig::default() })]

    #[test]
    fn a_request_by_a_pattern_is_the_sdks_to_the_last_byte(
        setting in settings(),
        mut first in requests(),
        mut second in requests(),
        verb in verbs(),
    ) {
        first.object.address.bucket = setting.bucket.to_owned();
        second.object.address.bucket = setting.bucket.to_owned();
        prop_assume!(first.is_usual(verb) && second.is_usual(verb));
        let sdk = Sdk::default();
        let store = sdk.store(&setting);
        let lesson = sdk.asks(&store, &first, verb);
        // Some settings contradict one another, and a version may be empty.
        prop_assume!(lesson.is_some());
        let lesson = lesson.unwrap();
        let credentials = Credentials::new("AKID", "secret", setting.token.map(str::to_owned), None, "test");
        let pattern = first.asked(verb, |first| Pattern::of(&lesson, first, &host(&lesson), &credentials));
        prop_assert!(pattern.is_some(), "no pattern of {lesson:?}");
        let pattern = pattern.unwrap();
        let Some(theirs) = sdk.asks(&store, &second, verb) else { return Ok(()) };
        let ours = second.asked(verb, |asked| pattern.write(asked, second.seconds)).unwrap();
        prop_assert_eq!(theirs.method, verb.method().to_string());
        prop_assert_eq!(&theirs.uri, &format!("{}{}", pattern.origin, ours.target));
        let of_theirs = theirs.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        prop_assert_eq!(comparable(ours.headers()), comparable(of_theirs));
    }
}

fn plain_setting() -> Setting {
    let (endpoint, token) = (Some("http://127.0.0.1:9000"), Some("token-geheim"));
    let (by_path, dual_stack, fips, accelerate) = (true, false, false, false);
    Setting { endpoint, by_path, dual_stack, fips, accelerate, region: "us-east-1", bucket: "b", token, app: None }
}

fn plain_request() -> Request {
    let object = ObjectRequest::new(ObjectAddress { bucket: "b".to_owned(), key: "k".to_owned() });
    let (bytes, checksum, mtime, if_absent) = (16 << 10, 7, None, false);
    let writes = Writes { bytes, checksum, content_type: "text/plain".to_owned(), mtime, if_absent };
    Request { object, range: None, if_match: None, seconds: 1_800_000_000, writes }
}

const PUT: Verb = Verb::Put(Some(ChecksumAlgorithm::Crc64Nvme));

fn lesson(verb: Verb) -> (Lesson, Credentials) {
    let (sdk, setting) = (Sdk::default(), plain_setting());
    let lesson = sdk.asks(&sdk.store(&setting), &plain_request(), verb).unwrap();
    (lesson, Credentials::new("AKID", "secret", setting.token.map(str::to_owned), None, "test"))
}

#[test]
fn no_pattern_is_made_of_what_is_not_known() {
    let request = plain_request();
    let made = |verb, change: &dyn Fn(&mut Lesson, &mut Credentials)| {
        let (mut lesson, mut credentials) = lesson(verb);
        change(&mut lesson, &mut credentials);
        let of = |asked: &Asked<'_>| Pattern::of(&lesson, asked, "127.0.0.1:9000", &credentials).is_some();
        request.asked(verb, of)
    };
    assert!(made(PUT, &|_, _| {}));
    assert!(!made(PUT, &|lesson, _| lesson.headers.push(("expect".to_owned(), "100-continue".to_owned()))));
    assert!(!made(PUT, &|lesson, _| lesson
        .headers
        .push(("x-amz-trailer".to_owned(), "x-amz-checksum-crc32".to_owned()))));
    assert!(!made(PUT, &|lesson, _| lesson.headers.retain(|(name, _)| name != "content-length")));
    assert!(!made(PUT, &|lesson, _| lesson.headers.retain(|(name, _)| name != "x-amz-checksum-crc64nvme")));
    let of = |change: &dyn Fn(&mut Lesson, &mut Credentials)| made(Verb::Get, change);
    assert!(of(&|_, _| {}));
    assert!(!of(&|lesson, _| lesson.headers.push(("x-amz-other".to_owned(), "a".to_owned()))));
    assert!(!of(&|lesson, _| lesson.headers.push(("user-agent".to_owned(), "another".to_owned()))));
    assert!(!of(&|lesson, _| lesson.headers.retain(|(name, _)| name != "authorization")));
    assert!(!of(&|lesson, _| lesson.uri.push_str("&partNumber=1")));
    assert!(!of(&|lesson, _| lesson.uri = lesson.uri.replace("/k?", "/l?")));
    assert!(!of(&|lesson, _| lesson.method = "HEAD".to_owned()));
    let scope = |lesson: &mut Lesson, from: &str, to: &str| {
        for (_, value) in &mut lesson.headers {
            *value = value.replace(from, to);
        }
    };
    assert!(!of(&|lesson, _| scope(lesson, "/s3/", "/s3express/")));
    assert!(!of(&|lesson, _| scope(lesson, "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")));
    // Signed with others than those that are in the cache.
    let others = |access: &'static str, secret: &'static str| Credentials::new(access, secret, None, None, "test");
    assert!(!of(&|_, credentials| *credentials = others("AKID", "other")));
    assert!(!of(&|_, credentials| *credentials = others("OTHER", "secret")));
}

#[test]
fn what_is_unusual_is_told() {
    let usual = |change: &dyn Fn(&mut Request)| {
        let mut request = plain_request();
        change(&mut request);
        request.is_usual(Verb::Get)
    };
    assert!(usual(&|_| {}));
    let bucket = |name: &'static str| move |request: &mut Request| request.object.address.bucket = name.to_owned();
    assert!(!usual(&bucket("arn:aws:s3:us-west-2:123456789012:accesspoint:a")));
    assert!(!usual(&bucket("a--use1-az4--x-s3")));
    assert!(!usual(&bucket("a--use1-az4--xa-s3")));
    assert!(!usual(&|request| request.object.address.key = " ".to_owned()));
    for odd in ["", " a", "a  b", "\u{fc}", "a\nb"] {
        assert!(!usual(&|request| request.if_match = Some(odd.to_owned())), "{odd:?}");
    }
}

#[test]
fn a_write_with_other_headers_is_unusual() {
    let usual = |change: &dyn Fn(&mut Target)| {
        let mut target = plain_request().target(None);
        change(&mut target);
        Asked::put(Put { target: &target, bytes: 1, checksum: None }).is_usual()
    };
    let text = || Some("a".to_owned());
    let metadata = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    assert!(usual(&|_| {}));
    assert!(usual(&|target| target.attributes.metadata = metadata("mtime", "1.5")));
    assert!(usual(&|target| target.condition = Condition::Absent));
    assert!(!usual(&|target| target.attributes.metadata = metadata("other", "1.5")));
    assert!(!usual(&|target| target.attributes.metadata = metadata("mtime", " 1.5")));
    assert!(!usual(&|target| target.attributes.metadata = [metadata("mtime", "1"), metadata("a", "b")].concat()));
    assert!(!usual(&|target| target.attributes.tags = metadata("a", "b")));
    assert!(!usual(&|target| target.attributes.content_type = None));
    assert!(!usual(&|target| target.attributes.content_type = Some("a  b".to_owned())));
    assert!(!usual(&|target| target.attributes.cache_control = text()));
    assert!(!usual(&|target| target.attributes.content_disposition = text()));
    assert!(!usual(&|target| target.attributes.content_encoding = text()));
    assert!(!usual(&|target| target.attributes.content_language = text()));
    assert!(!usual(&|target| target.attributes.expires = text()));
    assert!(!usual(&|target| target.attributes.storage_class = text()));
    assert!(!usual(&|target| target.attributes.acl = text()));
    assert!(!usual(&|target| target.attributes.encryption = Some(ServerSideEncryption::S3)));
    assert!(!usual(&|target| target.object.version_id = text()));
    assert!(!usual(&|target| target.object.sse_customer_key = Some(SseCustomerKey::new([1; 32]))));
    assert!(!usual(&|target| target.condition = Condition::IsVersion("a\tb".to_owned())));
}

#[test]
fn a_clock_that_the_sdk_has_found_to_be_off_is_off_for_a_pattern_too() {
    let request = plain_request();
    let (mut lesson, credentials) = lesson(Verb::Get);
    // The machine's clock is behind by half an hour, and the SDK has signed by the server's.
    lesson.at -= 1800;
    let of = |asked: &Asked<'_>| Pattern::of(&lesson, asked, "127.0.0.1:9000", &credentials).unwrap();
    let pattern = request.asked(Verb::Get, of);
    let written = request.asked(Verb::Get, |asked| pattern.write(asked, lesson.at + 60)).unwrap();
    let date = written.headers().find(|(name, _)| *name == "x-amz-date").unwrap().1;
    assert_eq!(Stamp::seconds(date), Some(request.seconds + 60));
}

#[test]
fn secrets_are_not_shown() {
    let request = plain_request();
    for verb in [Verb::Get, PUT] {
        let (lesson, credentials) = lesson(verb);
        let of = |asked: &Asked<'_>| Pattern::of(&lesson, asked, "127.0.0.1:9000", &credentials).unwrap();
        let pattern = request.asked(verb, of);
        let written = request.asked(verb, |asked| pattern.write(asked, request.seconds)).unwrap();
        let shown = format!("{pattern:?} {written:?}");
        for secret in ["secret", "geheim", "Signature"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

//! Buckets that are in another region than the client thinks: the server says where, and the engine goes there, once.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use aws_sdk_s3::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};
use aws_sdk_s3::config::{BehaviorVersion, Builder, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use s3xfer::{Client, RequestError, SseCustomerKey, TransferConfig, TransferError, TransferErrorKind};

const BODY: &[u8] = b"the object's bytes";

/// The way in which a server says that a request came to the wrong region.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Says {
    /// 301 with the header and without `<Region>`, as S3 does for requests by path.
    Moved,
    /// 307, for a bucket whose name does not resolve to its region yet.
    ForNow,
    /// 400 with the header and `<Region>`, as S3 does for a signature of another region.
    Malformed,
    /// The same without the header, as servers that copy S3 do; a HEAD tells nothing then.
    MalformedBody,
    /// 301 and no word of where.
    MovedNowhere,
}

#[derive(Debug, Clone, PartialEq)]
struct Asked {
    method: String,
    bucket: String,
    signed_for: String,
}

/// Serves every bucket, each in its region: `bucket-REGION`.
struct World {
    endpoint: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

fn region_of(bucket: &str) -> &str {
    bucket.strip_prefix("bucket-").unwrap()
}

impl World {
    fn new(says: impl Fn(&Asked) -> Option<(Says, String)> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (kept, says) = (asked.clone(), Arc::new(says));
        // Ends with the process.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, says) = (kept.clone(), says.clone());
                thread::spawn(move || serve(stream, &kept, &*says));
            }
        });
        Self { endpoint, asked }
    }

    /// Says where a bucket is if it is asked elsewhere.
    fn that(says: Says) -> Self {
        Self::new(move |asked| {
            let region = region_of(&asked.bucket).to_owned();
            (asked.signed_for != region).then_some((says, region))
        })
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn client(&self) -> Client {
        Client::new(aws_sdk_s3::Client::from_conf(config().endpoint_url(&self.endpoint).build()))
    }
}

fn config() -> Builder {
    Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("a", "s", None, None, "test"))
}

fn serve(mut stream: TcpStream, kept: &Mutex<Vec<Asked>>, says: &dyn Fn(&Asked) -> Option<(Says, String)>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    loop {
        let head: Vec<String> = lines.by_ref().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
        let Some(line) = head.first() else { return };
        let mut words = line.split(' ');
        let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap());
        let scope = head.iter().find_map(|line| line.split_once("Credential=a/")).unwrap().1;
        let asked = Asked {
            method,
            bucket: path.split(['/', '?']).nth(1).unwrap().to_owned(),
            signed_for: scope.split('/').nth(1).unwrap().to_owned(),
        };
        kept.lock().unwrap().push(asked.clone());
        let answer = match says(&asked) {
            None if path.contains("list-type=2") => {
                let listed = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>p/a</Key>\
                              <Size>18</Size></Contents></ListBucketResult>";
                ("200 OK", String::new(), listed.as_bytes().to_vec())
            }
            // All of an object whose size is known is asked for.
            None if !head.iter().any(|line| line.to_ascii_lowercase().starts_with("range:")) => {
                ("200 OK", "etag: \"e\"\r\n".to_owned(), BODY.to_vec())
            }
            None => {
                let last = BODY.len() - 1;
                let range = format!("content-range: bytes 0-{last}/{}\r\netag: \"e\"\r\n", BODY.len());
                ("206 Partial Content", range, BODY.to_vec())
            }
            Some((says, region)) => {
                let header = format!("x-amz-bucket-region: {region}\r\n");
                let error = |code: &str, more: &str| {
                    format!("<?xml version=\"1.0\"?>\n<Error><Code>{code}</Code><Message>No.</Message>{more}</Error>")
                        .into_bytes()
                };
                let told = error("AuthorizationHeaderMalformed", &format!("<Region>{region}</Region>"));
                match says {
                    Says::Moved => ("301 Moved Permanently", header, error("PermanentRedirect", "")),
                    Says::ForNow => ("307 Temporary Redirect", header, error("TemporaryRedirect", "")),
                    Says::Malformed => ("400 Bad Request", header, told),
                    Says::MalformedBody => ("400 Bad Request", String::new(), told),
                    Says::MovedNowhere => ("301 Moved Permanently", String::new(), error("PermanentRedirect", "")),
                }
            }
        };
        let (status, headers, body) = answer;
        let body = if asked.method == "HEAD" { Vec::new() } else { body };
        let length = if asked.method == "HEAD" { String::new() } else { format!("content-length: {}\r\n", body.len()) };
        let head = format!("HTTP/1.1 {status}\r\n{length}{headers}\r\n");
        if stream.write_all(&[head.as_bytes(), &body].concat()).is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn where_a_bucket_is_is_found_out_once() {
    for says in [Says::Moved, Says::ForNow, Says::Malformed, Says::MalformedBody] {
        let world = World::that(says);
        let client = world.client();
        let (bytes, _) = client.download("bucket-eu-central-1", "key").to_bytes().await.unwrap();
        assert_eq!(bytes, BODY, "{says:?}");
        // The GET, and the HEAD beside it, each went astray once at most; but for a HEAD whose answer has no body to
        // tell it, which is tried again until the GET was told.
        let most = if says == Says::MalformedBody { 4 } else { 2 };
        let astray = world.asked().into_iter().filter(|asked| asked.signed_for != "eu-central-1").count();
        assert!((1..=most).contains(&astray), "{says:?}: {:?}", world.asked());
        let right = |asked: &&Asked| asked.signed_for == "eu-central-1";
        let methods: Vec<_> = world.asked().iter().filter(right).map(|asked| asked.method.clone()).collect();
        assert!(methods.contains(&"GET".to_owned()), "{says:?}: {methods:?}");
        // The HEAD's answer has no body to tell it; it uses the GET's answer, if that came first.
        assert!(methods.contains(&"HEAD".to_owned()) || says == Says::MalformedBody, "{says:?}: {methods:?}");

        // From then on it is known, to clones and to clients with another configuration too; of other buckets it says
        // nothing.
        let before = world.asked().len();
        let other = TransferConfig::builder().connect_timeout_seconds(9).build().unwrap();
        for client in [client.clone(), client.clone().with_config(other)] {
            client.download("bucket-eu-central-1", "key").to_bytes().await.unwrap();
            client.download("bucket-us-east-1", "key").to_bytes().await.unwrap();
        }
        let later = world.asked().split_off(before);
        assert!(later.iter().all(|asked| asked.signed_for == region_of(&asked.bucket)), "{says:?}: {later:?}");
    }
}

#[tokio::test]
async fn a_prefix_is_found_where_its_bucket_is() {
    for says in [Says::Moved, Says::Malformed] {
        let world = World::that(says);
        let folder = tempfile::tempdir().unwrap();
        let report = world.client().download_prefix("bucket-eu-west-1", "p", folder.path()).await.unwrap();
        assert_eq!((report.transferred, report.bytes), (1, BODY.len() as u64), "{says:?}");
        assert_eq!(std::fs::read(folder.path().join("a")).unwrap(), BODY);
        // The listing found it out for the objects.
        let astray = world.asked().into_iter().filter(|asked| asked.signed_for != "eu-west-1").count();
        assert_eq!(astray, 1, "{says:?}: {:?}", world.asked());
    }
}

#[tokio::test]
async fn a_bucket_that_is_nowhere_is_not_followed_for_ever() {
    // Each region sends to the other one.
    let world = World::new(|asked| {
        let other = if asked.signed_for == "us-east-1" { "eu-west-1" } else { "us-east-1" };
        Some((Says::Malformed, other.to_owned()))
    });
    let error = world.client().download("bucket-x", "key").discard().await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::WrongRegion, "{error:?}");
    assert!(world.asked().len() <= 4, "{:?}", world.asked());
    let text = error.to_string();
    for word in ["us-east-1", "eu-west-1", "--region", "AWS_REGION"] {
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn a_region_that_is_not_told_is_asked_of_the_caller() {
    let world = World::that(Says::MovedNowhere);
    let error = world.client().download("bucket-eu-west-1", "key").discard().await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::WrongRegion, "{error:?}");
    assert!(matches!(error, TransferError::WrongRegion { region: None, .. }), "{error:?}");
    assert!(error.to_string().contains("AWS_REGION"), "{error}");
}

#[tokio::test]
async fn what_is_no_region_is_not_believed() {
    for odd in ["evil.example/", "eu west", "a@b", "", "../x", &"e".repeat(64)] {
        let told = odd.to_owned();
        let world = World::new(move |_| Some((Says::Moved, told.clone())));
        let error = world.client().download("bucket-x", "key").discard().await.unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::WrongRegion, "{odd:?}: {error:?}");
        assert!(world.asked().iter().all(|asked| asked.signed_for == "us-east-1"), "{odd:?}");
    }
}

/// An endpoint a region, the wrong one without TLS.
#[derive(Debug)]
struct PerRegion;

impl ResolveEndpoint for PerRegion {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        let scheme = if params.region() == Some("us-east-1") { "https" } else { "http" };
        EndpointFuture::ready(Ok(Endpoint::builder().url(format!("{scheme}://s3.invalid")).build()))
    }
}

/// Sends everybody elsewhere.
#[derive(Debug, Clone, Default)]
struct Elsewhere(Arc<Mutex<Vec<String>>>);

impl HttpConnector for Elsewhere {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        self.0.lock().unwrap().push(request.uri().to_owned());
        let mut response = HttpResponse::new(301.try_into().unwrap(), SdkBody::empty());
        response.headers_mut().insert("x-amz-bucket-region", "eu-west-1");
        HttpConnectorFuture::ready(Ok(response))
    }
}

impl HttpClient for Elsewhere {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

#[tokio::test]
async fn a_customers_key_does_not_follow_to_where_there_is_no_tls() {
    let http = Elsewhere::default();
    let sdk = config().endpoint_resolver(PerRegion).http_client(http.clone()).build();
    let client = Client::new(aws_sdk_s3::Client::from_conf(sdk));
    let key = SseCustomerKey::new([7; 32]);
    let error = client.download("b", "k").sse_customer_key(key).discard().await.unwrap_err();
    let in_clear = matches!(&error, TransferError::Request { source: RequestError::KeyInClear { .. }, .. });
    assert!(in_clear, "{error:?}");
    let seen = http.0.lock().unwrap().clone();
    assert!(!seen.is_empty() && seen.iter().all(|uri| uri.starts_with("https://")), "{seen:?}");
    // Without a key it goes there.
    client.download("b", "k").discard().await.unwrap_err();
    assert!(http.0.lock().unwrap().iter().any(|uri| uri.starts_with("http://")));
}

#[tokio::test]
async fn arns_are_not_addressed_by_path() {
    let http = Elsewhere::default();
    let sdk = config().http_client(http.clone()).build();
    let client = Client::new(aws_sdk_s3::Client::from_conf(sdk));
    let arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/mine";
    client.download(arn, "a/b").discard().await.unwrap_err();
    let seen = http.0.lock().unwrap();
    let host = "https://mine-123456789012.s3-accesspoint.eu-west-1.amazonaws.com/a/b";
    assert!(!seen.is_empty() && seen.iter().all(|uri| uri.starts_with(host)), "{seen:?}");
}

#[tokio::test]
async fn only_the_signature_changes_where_an_endpoint_is_set() {
    let http = Elsewhere::default();
    let sdk = config().endpoint_url("https://s3.example").http_client(http.clone()).build();
    let error = Client::new(aws_sdk_s3::Client::from_conf(sdk)).download("b", "k").discard().await.unwrap_err();
    // To be sent where one already is has nothing to do with regions.
    assert!(matches!(error, TransferError::Refused { status: 301, .. }), "{error:?}");
    let seen = http.0.lock().unwrap();
    assert!(seen.len() > 1 && seen.iter().all(|uri| uri.starts_with("https://s3.example/b/k")), "{seen:?}");
}

//! A customer's key (SSE-C) goes over TLS, or it does not go.

#![allow(deprecated, reason = "the new names of profile files are in a crate that is no dependency")]

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;

use crate::wire::{Http, sdk};
use aws_config::profile::profile_file::{ProfileFileKind, ProfileFiles};
use aws_sdk_s3::config::endpoint::{Endpoint, EndpointFuture, Params, ResolveEndpoint};
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{BehaviorVersion, Builder, ConfigBag, Credentials, Intercept, Region, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use s3lab::Lab;
use s3xfer::{Client, RequestError, SseCustomerKey, TransferError, TransferErrorKind};

const KEY: [u8; 32] = *b"0123456789abcdef0123456789abcdef";

/// Listens without TLS, refuses everything, and keeps the heads of the requests.
struct Plain {
    endpoint: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Plain {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let kept = heads.clone();
        // Ends with the process.
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                kept.lock().unwrap().push(head.join("\n"));
                let answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer);
            }
        });
        Self { endpoint, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn config() -> Builder {
    Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .force_path_style(true)
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("a", "s", None, None, "test"))
}

#[derive(Debug)]
struct Always(String);

impl ResolveEndpoint for Always {
    fn resolve_endpoint<'a>(&'a self, _: &'a Params) -> EndpointFuture<'a> {
        EndpointFuture::ready(Ok(Endpoint::builder().url(self.0.clone()).build()))
    }
}

/// A caller's own code that sends signed requests elsewhere.
#[derive(Debug)]
struct Elsewhere(String);

impl Intercept for Elsewhere {
    fn name(&self) -> &'static str {
        "Elsewhere"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        Ok(context.request_mut().set_uri(format!("{}/lab/key", self.0))?)
    }
}

/// Every way in which a client may come to an endpoint without TLS.
async fn clients(endpoint: &str) -> Vec<(&'static str, aws_sdk_s3::Client)> {
    let profile = format!("[default]\nendpoint_url = {endpoint}\nregion = us-east-1\n");
    let files = ProfileFiles::builder().with_contents(ProfileFileKind::Config, profile).build();
    let shared = aws_config::defaults(BehaviorVersion::latest())
        .profile_files(files)
        .credentials_provider(Credentials::new("a", "s", None, None, "test"))
        .load()
        .await;
    let url = |url: &str| aws_sdk_s3::Client::from_conf(config().endpoint_url(url).build());
    vec![
        ("the endpoint's URL", url(endpoint)),
        ("in capitals", url(&endpoint.replace("http:", "HTTP:"))),
        ("a profile", aws_sdk_s3::Client::new(&shared)),
        ("a resolver", aws_sdk_s3::Client::from_conf(config().endpoint_resolver(Always(endpoint.to_owned())).build())),
        (
            "an interceptor",
            aws_sdk_s3::Client::from_conf(
                config().endpoint_url("https://localhost:1").interceptor(Elsewhere(endpoint.to_owned())).build(),
            ),
        ),
        ("the SDK's HTTP client", sdk(endpoint, Some(("a", "s")), Http::Sdks)),
    ]
}

#[tokio::test]
async fn without_tls_nothing_at_all_is_sent() {
    let server = Plain::new();
    for (how, sdk) in clients(&server.endpoint).await {
        let download = Client::new(sdk).download("lab", "key").sse_customer_key(SseCustomerKey::new(KEY));
        let error = download.discard().await.unwrap_err();
        assert_eq!(server.heads(), Vec::<String>::new(), "{how}");
        assert_eq!(error.kind(), TransferErrorKind::NotSent, "{how}: {error:?}");
        let TransferError::Request { source: RequestError::KeyInClear { endpoint }, .. } = &error else {
            panic!("{how}: {error:?}")
        };
        assert_eq!(endpoint.to_lowercase(), server.endpoint, "{how}");
    }
}

#[tokio::test]
async fn without_tls_it_goes_only_if_that_is_asked_for_in_so_many_words() {
    let server = Plain::new();
    let key = SseCustomerKey::new(KEY).dangerously_allow_plaintext_http();
    assert!(!format!("{key:?}").contains("48"), "{key:?}");
    let client = Client::new(sdk(&server.endpoint, Some(("a", "s")), Http::Ours));
    let error = client.download("lab", "key").sse_customer_key(key).discard().await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Denied, "{error}");
    // It holds for that key in that download, not for the client.
    let other = SseCustomerKey::new(*b"fedcba9876543210fedcba9876543210");
    let error = client.download("lab", "key").sse_customer_key(other).discard().await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::NotSent, "{error}");
    // The GET of the first download, and its HEAD for the checksum if that was sent before the answer came.
    let heads = server.heads();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.contains("customer-key: MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="), "{head}");
    }
}

#[tokio::test]
async fn over_tls_it_goes() {
    let lab = Lab::builder().bucket("lab").synthetic("lab", "key", 1000).build().unwrap();
    let sdk = config()
        .endpoint_url(Lab::ENDPOINT.replace("http://", "https://"))
        .credentials_provider(Credentials::new(lab.access_key(), lab.secret_key(), None, None, "test"))
        // In the process, for either scheme: certificates are another test's concern.
        .http_client(lab.http_client());
    let client = Client::new(aws_sdk_s3::Client::from_conf(sdk.build()));
    let sent = client.download("lab", "key").sse_customer_key(SseCustomerKey::new(KEY)).discard().await;
    assert!(!lab.requests().is_empty(), "{sent:?}");
}

//! A lab behind a client that refuses some of its requests, as servers other than S3 do. They do not reach the lab.

#![allow(dead_code, reason = "each test binary uses its part of it")]
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// Status, code and message of the refusal, where a request is refused.
pub(crate) type Rule = fn(&HttpRequest) -> Option<(u16, &'static str, &'static str)>;

/// Refuses by its rule, and passes all other requests on.
#[derive(Debug, Clone)]
pub(crate) struct Refusing {
    inner: SharedHttpClient,
    rule: Rule,
    refused: Arc<AtomicU64>,
    with_checksum: Arc<AtomicU64>,
}

impl Refusing {
    pub(crate) fn new(inner: impl HttpClient + 'static, rule: Rule) -> Self {
        Self { inner: SharedHttpClient::new(inner), rule, refused: Arc::default(), with_checksum: Arc::default() }
    }

    /// Requests that were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Requests that were passed on with a checksum in a header.
    pub(crate) fn with_checksum(&self) -> u64 {
        self.with_checksum.load(Ordering::Relaxed)
    }
}

/// Whether a checksum, or the algorithm of one, is in a request's headers.
pub(crate) fn has_checksum(request: &HttpRequest) -> bool {
    let is_one = |name: &str| name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-mode";
    request.headers().iter().any(|(name, _)| is_one(name))
}

impl HttpClient for Refusing {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(RefusingConnector { inner, refusing: self.clone() })
    }
}

#[derive(Debug)]
struct RefusingConnector {
    inner: SharedHttpConnector,
    refusing: Refusing,
}

impl HttpConnector for RefusingConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let Refusing { rule, refused, with_checksum, .. } = &self.refusing;
        if let Some((status, code, message)) = rule(&request) {
            refused.fetch_add(1, Ordering::Relaxed);
            let text = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
            return HttpConnectorFuture::ready(Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(text))));
        }
        if has_checksum(&request) {
            with_checksum.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.call(request)
    }
}

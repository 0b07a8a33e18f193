//! Headers that other servers send and the SDK does not understand, put on every answer of a lab in the same process.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

/// Each alone has made objects unreachable for somebody. A name that the answer has already is there twice.
pub(crate) const HEADERS: &[(&str, &str)] = &[
    ("last-modified", "Mon, 2 Nov 2026 10:00:00 UTC"),
    ("expires", "never"),
    ("content-type", "text/plain"),
    ("x-amz-object-lock-retain-until-date", "2026-13-45"),
    ("x-amz-object-lock-mode", "FOREVER"),
    ("x-amz-tagging-count", "many"),
    ("x-amz-mp-parts-count", "-1.5"),
    ("x-amz-missing-meta", "?"),
    ("x-amz-delete-marker", "perhaps"),
    ("x-amz-server-side-encryption-bucket-key-enabled", "1"),
    ("x-amz-meta-name", "with, comma; and \"quotes"),
    ("x-amz-restore", "ongoing"),
    ("content-disposition", "attachment; filename=\"a"),
];

/// `inner` with those of [`HEADERS`] whose numbers are given.
pub(crate) fn http_client(inner: SharedHttpClient, numbers: Vec<usize>) -> SharedHttpClient {
    SharedHttpClient::new(Odd { inner, numbers })
}

#[derive(Debug)]
struct Odd {
    inner: SharedHttpClient,
    numbers: Vec<usize>,
}

impl HttpClient for Odd {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(OddConnector { inner, numbers: self.numbers.clone() })
    }
}

#[derive(Debug)]
struct OddConnector {
    inner: SharedHttpConnector,
    numbers: Vec<usize>,
}

impl HttpConnector for OddConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, numbers) = (self.inner.call(request), self.numbers.clone());
        HttpConnectorFuture::new(async move {
            let mut answer = answer.await?;
            for number in numbers {
                let (name, value) = HEADERS[number];
                answer.headers_mut().append(name, value);
            }
            Ok(answer)
        })
    }
}

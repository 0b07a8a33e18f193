//! GETs of a URL as it is, through the same client: nothing is signed, and nothing of S3's is sent along.

use std::fmt;

use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::config::{HttpClient, RuntimeComponents, SharedHttpClient};
use aws_sdk_s3::error::{BoxError, ConnectorError};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};

use super::heads::OnlyWhatIsRead;
use super::*;
use crate::words::download_url::DownloadUrl;

/// Puts the URL in the place of an object's address. It is below the SDK, because the SDK logs the requests that it
/// hands over, and the query of a presigned URL is a secret.
#[derive(Clone)]
struct ToUrl<T> {
    url: DownloadUrl,
    inner: T,
}

impl<T> fmt::Debug for ToUrl<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ToUrl")
    }
}

impl<T> ToUrl<T> {
    fn redirect(&self, request: &mut HttpRequest) -> Result<(), BoxError> {
        // A presigned URL is valid only with the S3 headers that were signed, and none was.
        let is_theirs = |name: &str| name.starts_with("x-amz-") || name.starts_with("amz-") || name == "authorization";
        let names: Vec<String> = request.headers().iter().map(|(name, _)| name.to_owned()).collect();
        for name in names.iter().filter(|name| is_theirs(&name.to_ascii_lowercase())) {
            request.headers_mut().remove(name.as_str());
        }
        // The parser's error would repeat the URL with its secret query.
        request.set_uri(self.url.whole()).map_err(|_| BoxError::from("the URL cannot be sent"))
    }
}

impl HttpClient for ToUrl<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let inner = self.inner.http_connector(settings, components);
        SharedHttpConnector::new(ToUrl { url: self.url.clone(), inner })
    }
}

impl HttpConnector for ToUrl<SharedHttpConnector> {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        match self.redirect(&mut request) {
            Ok(()) => self.inner.call(request),
            Err(error) => HttpConnectorFuture::ready(Err(ConnectorError::user(error))),
        }
    }
}

impl Store {
    /// The same connections, to that URL instead of objects of S3.
    pub(crate) fn at_url(&self, url: DownloadUrl, connect_timeout: Duration) -> Self {
        let mut config = as_the_engine_needs(&self.base, connect_timeout)
            .allow_no_auth()
            .endpoint_url(url.origin())
            .force_path_style(true)
            // Some region; no request tells it.
            .region(Region::from_static("us-east-1"));
        config.push_interceptor(SharedInterceptor::permanent(PartialNeedsContentRange));
        config.push_interceptor(SharedInterceptor::permanent(OnlyWhatIsRead));
        let hosts = self.hosts.clone();
        if let Some(hosts) = &hosts {
            config.push_interceptor(SharedInterceptor::permanent(hosts.clone()));
        }
        let inner = self.base.config().http_client().expect("with_connector sets one");
        config.set_http_client(Some(SharedHttpClient::new(ToUrl { url, inner })));
        let client = Client::from_conf(config.build());
        let (regions, identities) = (Arc::default(), Identities::new(self.base.config().identity_cache()));
        let endpoint = Endpoint::default();
        let (base, writer) = (self.base.clone(), client.clone());
        Self { base, client, writer, direct: None, regions, identities, endpoint, hosts, is_url: true }
    }

    /// Whether it is a URL that is asked, and not S3, so that there are no checksums, versions or payers.
    pub(crate) fn is_url(&self) -> bool {
        self.is_url
    }
}

/// The failure of a request for a URL that leads to another one: it is not followed, for it may lead out of TLS, and is
/// often valid for minutes only. A query is left out, for it may be a secret.
pub(super) fn moved<E>(error: &SdkError<E>) -> Option<RequestFailure> {
    let answer = error.raw_response()?;
    let status = answer.status().as_u16();
    let location = answer.headers().get("location").filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308))?;
    let path = location.split(['?', '#']).next().filter(|path| path.starts_with('/') && !path.starts_with("//"));
    let to = match (location.parse::<DownloadUrl>(), path) {
        (Ok(url), _) => url.to_string(),
        (Err(_), Some(path)) => path.to_owned(),
        (Err(_), None) => "another address".to_owned(),
    };
    Some(RequestFailure::Refused {
        status,
        code: format!("HTTP {status}"),
        message: format!(
            "the URL leads to {to}, and redirects are not followed; download from the URL in the answer's Location"
        ),
    })
}

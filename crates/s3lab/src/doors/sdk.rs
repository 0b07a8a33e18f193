//! The only file that names the SDK's runtime: its HTTP client interface over any exchange of requests and answers.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
pub use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
pub(crate) use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, Uri, header};

/// The limits of one request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    pub(crate) connect: Option<Duration>,
    /// From the request's end to the answer's head.
    pub(crate) read: Option<Duration>,
}

/// The limit that passed, or another reason for no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswered {
    #[error("connect took longer than the {0:?} the client allows")]
    Connect(Duration),
    #[error("the answer's head took longer than the {0:?} the client allows")]
    Read(Duration),
    #[error("the connection was reset")]
    Reset,
}

/// The future of an exchange.
pub(crate) type Exchanged<B> = Pin<Box<dyn Future<Output = Result<Response<B>, Unanswered>> + Send>>;

/// A responder to requests.
pub(crate) trait Exchange: Send + Sync + 'static {
    /// The answers' bodies.
    type Body: http_body::Body<Data = Bytes, Error = io::Error> + Send + Sync + 'static;

    fn exchange(&self, request: Request<SdkBody>, limits: Limits) -> Exchanged<Self::Body>;
}

/// The SDK's HTTP client over an exchange.
pub(crate) fn client(exchange: impl Exchange) -> SharedHttpClient {
    SharedHttpClient::new(Client(Arc::new(exchange)))
}

struct Client<E>(Arc<E>);

impl<E> fmt::Debug for Client<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Client")
    }
}

impl<E: Exchange> HttpClient for Client<E> {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        let limits = Limits { connect: settings.connect_timeout(), read: settings.read_timeout() };
        SharedHttpConnector::new(Connector { exchange: self.0.clone(), limits })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        Some(ConnectorMetadata::new("s3lab", Some(env!("CARGO_PKG_VERSION").into())))
    }
}

struct Connector<E> {
    exchange: Arc<E>,
    limits: Limits,
}

impl<E> fmt::Debug for Connector<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The request as it would arrive over a connection: a path, and the host as a header.
fn arriving(request: HttpRequest) -> Result<Request<SdkBody>, ConnectorError> {
    let user = |e: Box<dyn std::error::Error + Send + Sync>| ConnectorError::user(e);
    let mut request = request.try_into_http1x().map_err(|e| user(e.into()))?;
    if let Some(authority) = request.uri().authority().cloned() {
        let host = HeaderValue::from_str(authority.as_str()).map_err(|e| user(e.into()))?;
        request.headers_mut().entry(header::HOST).or_insert(host);
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    *request.uri_mut() = path.parse::<Uri>().map_err(|e| user(e.into()))?;
    Ok(request)
}

impl<E: Exchange> HttpConnector for Connector<E> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match arriving(request) {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(error)),
        };
        let exchanged = self.exchange.exchange(request, self.limits);
        HttpConnectorFuture::new(async move {
            let response = exchanged.await.map_err(|e| match e {
                Unanswered::Reset => ConnectorError::io(e.into()),
                Unanswered::Connect(_) | Unanswered::Read(_) => ConnectorError::timeout(e.into()),
            })?;
            let response = response.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|e| ConnectorError::other(e.into(), None))
        })
    }
}

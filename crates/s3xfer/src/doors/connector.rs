//! The HTTP client under aws-sdk-s3, made for large GETs: few frames, no needless copies, no tasks.
//!
//! The SDK signs requests and parses answers and errors; the connector sends the requests and reads the answers. It
//! differs from the SDK's own client where that costs processor time for each byte: the reader of a body polls it
//! straight from the socket into large buffers that are used again and again (`body.rs`, `buffers.rs`). HTTP/1.1 as RFC
//! 9112 has it, parsed by httparse (`head.rs`, `chunked.rs`); TLS by rustls (`tls.rs`); connections spread over all
//! addresses of an endpoint (`dial.rs`) and are kept for a while (`pool.rs`); a connection that no server answers is
//! noticed (`late.rs`). The environment says which requests go through a proxy (`proxy.rs`): requests for `https://`
//! use a tunnel that the proxy opens (`tunnel.rs`), those for `http://` are sent to the proxy (RFC 9112, 3.2.2).
//!
//! Requests with bodies that the SDK sends use the SDK's own client, which trusts the same certificates. Those that are
//! written without the SDK are sent here (`sending.rs`).

mod body;
pub(in crate::doors) mod buffers;
mod chunked;
mod dial;
mod head;
mod late;
mod pool;
mod proxy;
mod sending;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod tunnel;

use std::error::Error;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, iter};

use aws_sdk_s3::config::SharedAsyncSleep;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::{Connector, ConnectorBuilder, tls as sdks_tls};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body::Body as _;
use tokio::sync::OnceCell;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use self::body::{Home, ResponseBody};
use self::buffers::{Buffers, FRAME_BYTES};
pub(crate) use self::dial::Count;
use self::dial::{DialError, Dialler};
use self::head::{Head, HeadError};
use self::late::{Answers, LEAST_LATE};
use self::pool::{Origin, Pool};
use self::proxy::{Proxies, Proxy, ProxyError};
use self::stream::Connection;
use self::tls::{Tls, TlsError};
use self::tunnel::TunnelError;
use crate::doors::machine;
use crate::words::connections::Connections;

/// For name, TCP and TLS together, where the SDK's configuration does not say (it usually says 3.1 s). A lost SYN is
/// sent again after 1 s and after 3 s; if that fails too, a new attempt may succeed.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Time after which a request that waits for a new connection also takes one that is idle or comes back. A proxy, a
/// translator of addresses or a small server may give no more connections than so many, and those carry all the
/// requests then. A lost SYN is sent again after 1 s (RFC 6298); a connection that is only far away is there by then.
/// Such servers also take connections that they do not serve yet: `late.rs` says when the first answer is late.
const LATE_CONNECTION: Duration = Duration::from_secs(1);

/// Bytes that are read at once of a head. One is about 500 bytes; the beginning of the body that comes along has to be
/// copied.
const HEAD_BYTES: usize = 4 << 10;

/// A client with a pool of its own, and the way to it past the SDK. The environment's variables for proxies are read
/// now.
pub(crate) fn http_client() -> (SharedHttpClient, Direct) {
    let shared = Arc::new(Shared { proxies: Proxies::from_env(), ..Shared::default() });
    let client = LargeGets { shared: shared.clone(), connectors: Mutex::default() };
    (SharedHttpClient::new(client), Direct { shared })
}

/// The reason why an HTTP client did not accept a certificate, and how to mend it; `None` for other errors. The SDK's
/// own client reports it as an I/O error like any other.
pub(crate) fn refused_certificate(error: &(dyn Error + 'static)) -> Option<String> {
    tls::refused_certificate(error)
}

/// Whether a request ended with an answer whose head is no head: of ours, or of the SDK's own client, whose words for
/// it are hyper's. Their type is not named here, for this crate does not depend on hyper; a test sees that they stay
/// so.
pub(crate) fn is_broken_head(error: &(dyn Error + 'static)) -> bool {
    let mut causes = iter::successors(Some(error), |&error| error.source());
    causes.any(|cause| match cause.downcast_ref::<ExchangeError>() {
        Some(ours) => matches!(ours, ExchangeError::Head(_)),
        None => format!("{cause:?}").starts_with("hyper::Error(Parse("),
    })
}

/// The client: the state that its connectors share.
#[derive(Debug, Default)]
struct LargeGets {
    shared: Arc<Shared>,
    /// The SDK asks for one before each request, mostly with the same settings.
    connectors: Mutex<Vec<(Timeouts, SharedHttpConnector)>>,
}

#[derive(Debug)]
struct Shared {
    dialler: Dialler,
    proxies: Proxies,
    tls: Tls,
    pool: Arc<Pool>,
    answers: Answers,
    /// Connections in use and those that wait, together.
    most_open: usize,
    buffers: Arc<Buffers>,
}

/// The waits that a request may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) connect: Option<Duration>,
    /// From the request to the end of the answer's head.
    pub(crate) read: Option<Duration>,
}

/// The client without the SDK's types around it. Clones share its connections.
#[derive(Debug, Clone)]
pub(crate) struct Direct {
    shared: Arc<Shared>,
}

/// The address that requests for one host go to.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    origin: Origin,
    host: String,
}

/// An answer up to its body.
#[derive(Debug)]
pub(crate) struct Exchanged {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The connections to the host when it came.
    pub(crate) connections: Option<Connections>,
    body: ResponseBody,
}

/// A connection for a request.
enum Open {
    New(Connection),
    UsedBefore(Connection),
}

/// The end of the wait for a new connection and its first answer.
enum Anew {
    Answered(Box<Exchanged>),
    /// Both take long, and this other connection is free.
    Late(Connection),
}

/// Sends requests with given timeouts.
#[derive(Debug)]
struct LargeGetConnector {
    shared: Arc<Shared>,
    timeouts: Timeouts,
    /// Built when the first request with a body comes, apart for those with TLS and those without, and for those that a
    /// proxy may carry and those that none does.
    sdks_own: Arc<[OnceCell<Connector>; 4]>,
    settings: HttpConnectorSettings,
    /// The only one of the SDK's components that is kept. The client is among the others, and would keep itself alive.
    sleep: Option<SharedAsyncSleep>,
}

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
enum ExchangeError {
    #[error("the address of the request names no host: {0}")]
    NoHost(Uri),
    #[error("requests for {0} cannot be sent")]
    Scheme(String),
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("no connection to the proxy {proxy}: {cause}")]
    DialProxy { proxy: Arc<Proxy>, cause: DialError },
    #[error("the proxy {proxy} opens no way to {host}: {cause}")]
    Tunnel { proxy: Arc<Proxy>, host: String, cause: TunnelError },
    #[error("the proxy {proxy} refuses the request with {status}{}", tunnel::mend(*status))]
    ProxyRefused { proxy: Arc<Proxy>, status: StatusCode },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("no connection to {host}{} within {} ms", through(proxy.as_deref()), within.as_millis())]
    ConnectTimeout { host: String, proxy: Option<Arc<Proxy>>, within: Duration },
    #[error("no answer within {} ms", within.as_millis())]
    ReadTimeout { within: Duration },
    /// On a connection that was used before, a server that closed it in the meantime looks like this.
    #[error("the connection closed instead of an answer: {0}")]
    Unanswered(io::Error),
    #[error("the connection closed within the answer's head")]
    HeadCut,
    #[error("the connection broke within the answer's head: {0}")]
    Broken(io::Error),
    #[error("the server reports success ({0}) before it has the whole body")]
    TooSoon(StatusCode),
    #[error("the request's body cannot be read: {0}")]
    Body(Box<dyn Error + Send + Sync>),
    #[error(transparent)]
    Head(#[from] HeadError),
}

/// The answer, if it comes within that time.
async fn in_time(
    within: Option<Duration>,
    answered: impl Future<Output = Result<Exchanged, ExchangeError>>,
) -> Result<Exchanged, ExchangeError> {
    match within {
        Some(within) => timeout(within, answered).await.unwrap_or(Err(ExchangeError::ReadTimeout { within })),
        None => answered.await,
    }
}

fn through(proxy: Option<&Proxy>) -> String {
    proxy.map_or_else(String::new, |proxy| format!(" through the proxy {proxy}"))
}

impl HttpClient for LargeGets {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let timeouts = Timeouts { connect: settings.connect_timeout(), read: settings.read_timeout() };
        let mut connectors = self.connectors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, connector)) = connectors.iter().find(|(kept, _)| *kept == timeouts) {
            return connector.clone();
        }
        let connector = SharedHttpConnector::new(LargeGetConnector {
            shared: self.shared.clone(),
            timeouts,
            sdks_own: Arc::default(),
            settings: settings.clone(),
            sleep: components.sleep_impl(),
        });
        connectors.push((timeouts, connector.clone()));
        connector
    }
}

impl HttpConnector for LargeGetConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let bodiless = request.body().bytes().is_some_and(<[u8]>::is_empty);
        if !bodiless || !matches!(request.method(), "GET" | "HEAD") {
            return self.by_the_sdks_own(request);
        }
        let (shared, timeouts) = (self.shared.clone(), self.timeouts);
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            shared.exchange(&request, timeouts).await?.into_response()
        })
    }
}

impl LargeGetConnector {
    fn by_the_sdks_own(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (shared, own) = (self.shared.clone(), self.sdks_own.clone());
        let (settings, sleep) = (self.settings.clone(), self.sleep.clone());
        let is_tls = request.uri().starts_with("https:");
        // A proxy that cannot be used is that client's to report.
        let origin = request.uri().parse().ok().and_then(|uri: Uri| shared.origin(&uri).ok());
        let by_proxy = origin.is_none_or(|origin| origin.proxy.is_some());
        HttpConnectorFuture::new(async move {
            let build = || shared.sdks_own(is_tls, by_proxy, settings, sleep);
            let connector = own[2 * usize::from(by_proxy) + usize::from(is_tls)].get_or_try_init(build).await?;
            connector.call(request).await
        })
    }
}

impl Default for Shared {
    fn default() -> Self {
        let (dialler, proxies, tls, pool) = (Dialler::default(), Proxies::default(), Tls::default(), Arc::default());
        let (answers, most_open) = (Answers::default(), machine::connections() as usize);
        Self { dialler, proxies, tls, pool, answers, most_open, buffers: Buffers::of(FRAME_BYTES) }
    }
}

impl Shared {
    /// The SDK's own client, as it builds it where its configuration names none, with its own reading of the
    /// environment's proxies. With TLS, it trusts the same certificates as ours.
    async fn sdks_own(
        &self,
        is_tls: bool,
        by_proxy: bool,
        settings: HttpConnectorSettings,
        sleep: Option<SharedAsyncSleep>,
    ) -> Result<Connector, ExchangeError> {
        let rustls = sdks_tls::Provider::Rustls(sdks_tls::rustls_provider::CryptoMode::AwsLc);
        let mut builder = ConnectorBuilder::default().tls_provider(rustls);
        if is_tls && let Some(bundle) = self.tls.bundle().await? {
            let trusted = sdks_tls::TrustStore::default().with_pem_certificate(bundle.pem.clone());
            let context = sdks_tls::TlsContext::builder().with_trust_store(trusted).build();
            builder.set_tls_context(context.expect("a trust store is all that there is"));
        }
        builder.set_connector_settings(Some(settings));
        builder.set_sleep_impl(sleep);
        builder.set_proxy_config((by_proxy && !self.proxies.is_empty()).then(ProxyConfig::from_env));
        Ok(builder.build())
    }

    /// Sends the request, and reads the answer up to its body.
    async fn exchange(&self, request: &Request<SdkBody>, timeouts: Timeouts) -> Result<Exchanged, ExchangeError> {
        let no_host = || ExchangeError::NoHost(request.uri().clone());
        let host = head::host_header(request.uri()).ok_or_else(no_host)?;
        let origin = self.origin(request.uri())?;
        let head = head::request(request, &host, origin.proxy.as_deref().filter(|_| !origin.tls));
        self.send(&origin, request.method(), &head, timeouts).await
    }

    /// The same for a request that is written already.
    async fn send(
        &self,
        origin: &Origin,
        method: &Method,
        head: &[u8],
        timeouts: Timeouts,
    ) -> Result<Exchanged, ExchangeError> {
        let answered = async {
            let mut waiting = self.pool.take(origin);
            loop {
                let used_before = match waiting.take() {
                    Some(used_before) => used_before,
                    None => match self.answer_anew(origin, method, head, timeouts.connect).await? {
                        Anew::Answered(answered) => return Ok(*answered),
                        Anew::Late(used_before) => used_before,
                    },
                };
                let sent = Instant::now();
                match self.answer(used_before, head, method, origin).await {
                    // Such a request may be sent twice (RFC 9112, 9.3.1), because the connection closed, not the
                    // server.
                    Err(ExchangeError::Unanswered(cause)) => tracing::debug!(%cause, "closed while idle"),
                    Ok(answered) => {
                        self.answers.came(origin, sent.elapsed());
                        return Ok(answered);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        in_time(timeouts.read, answered).await
    }

    /// A new connection; if it is late, one that was used before and has come back meanwhile.
    async fn connection(&self, origin: &Origin, connect: Duration) -> Result<Open, ExchangeError> {
        let returned = async {
            sleep(LATE_CONNECTION).await;
            self.pool.returned(origin).await
        };
        tokio::select! {
            biased;
            connected = self.connect(origin, connect) => Ok(Open::New(connected?)),
            used_before = returned => Ok(Open::UsedBefore(used_before)),
        }
    }

    /// The answer over a new connection; where that is late, another connection that was used before, or an answer over
    /// a second new one.
    async fn answer_anew(
        &self,
        origin: &Origin,
        method: &Method,
        head: &[u8],
        connect: Option<Duration>,
    ) -> Result<Anew, ExchangeError> {
        let connect = connect.unwrap_or(CONNECT_TIMEOUT);
        let connection = match self.connection(origin, connect).await? {
            Open::New(connection) => connection,
            Open::UsedBefore(connection) => return Ok(Anew::Late(connection)),
        };
        let count = connection.count().clone();
        let mut answered = pin!(self.answer(connection, head, method, origin));
        tokio::select! {
            biased;
            answered = &mut answered => return Ok(Anew::Answered(Box::new(answered?))),
            () = self.late(origin) => {}
        }
        let _late = count.late();
        // It stays in flight: a server that is only slow is not asked again and again.
        tokio::select! {
            biased;
            answered = answered => Ok(Anew::Answered(Box::new(answered?))),
            used_before = self.pool.returned(origin) => Ok(Anew::Late(used_before)),
            answered = Box::pin(self.answer_once_more(origin, method, head, connect, &count)) => {
                Ok(Anew::Answered(Box::new(answered)))
            }
        }
    }

    /// Completes when the first answer over a connection that is open now is late.
    async fn late(&self, origin: &Origin) {
        let opened = Instant::now();
        loop {
            // Answers to others may show meanwhile how long they take.
            let left = self.answers.late(origin).saturating_sub(opened.elapsed());
            if left.is_zero() {
                return;
            }
            sleep(left.min(LEAST_LATE)).await;
        }
    }

    /// The answer over another new connection, once fewer connections are served than were at one moment: the place of
    /// one that is closed may be free. Waits for ever where that connection fails.
    async fn answer_once_more(
        &self,
        origin: &Origin,
        method: &Method,
        head: &[u8],
        connect: Duration,
        count: &Arc<Count>,
    ) -> Exchanged {
        let _again = loop {
            sleep(LEAST_LATE).await;
            if let Some(again) = count.again() {
                break again;
            }
        };
        let answered = async {
            let connection = self.connect(origin, connect).await?;
            self.answer(connection, head, method, origin).await
        };
        match answered.await {
            Ok(answered) => answered,
            Err(cause) => {
                tracing::debug!(%cause, "no answer over a second new connection");
                pending().await
            }
        }
    }

    /// The target of the request, and the proxy on the way.
    fn origin(&self, uri: &Uri) -> Result<Origin, ExchangeError> {
        let tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            other => return Err(ExchangeError::Scheme(other.unwrap_or("no scheme").to_owned())),
        };
        let host = uri.host().ok_or_else(|| ExchangeError::NoHost(uri.clone()))?;
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Origin { tls, host: host.to_owned(), port, proxy: self.proxies.of(tls, host, port)? })
    }

    async fn connect(&self, origin: &Origin, within: Duration) -> Result<Connection, ExchangeError> {
        let deadline = Instant::now() + within;
        let connected = async {
            let proxy = origin.proxy.as_ref();
            let (host, port) = origin.dialled();
            if self.dialler.open() >= self.most_open {
                self.pool.close_oldest();
            }
            let mut dialled = self.dialler.connect(host, port, deadline).await;
            if let Err(DialError::NoDescriptor { cause, .. }) = &dialled {
                tracing::debug!(host, %cause, "closing all connections that wait");
                self.pool.clear();
                dialled = self.dialler.connect(host, port, deadline).await;
            }
            let (mut stream, place) = dialled.map_err(|cause| match proxy {
                Some(proxy) => ExchangeError::DialProxy { proxy: proxy.clone(), cause },
                None => cause.into(),
            })?;
            if let Some(proxy) = proxy.filter(|_| origin.tls) {
                let (host, port) = (&origin.host, origin.port);
                let refused =
                    |cause| ExchangeError::Tunnel { proxy: proxy.clone(), host: format!("{host}:{port}"), cause };
                tunnel::open(&mut stream, proxy, host, port).await.map_err(refused)?;
            }
            Ok(match origin.tls {
                true => Connection::tls(self.tls.connect(stream, &origin.host).await?, place),
                false => Connection::plain(stream, place),
            })
        };
        let late = || ExchangeError::ConnectTimeout { host: origin.host.clone(), proxy: origin.proxy.clone(), within };
        timeout_at(deadline, connected).await.unwrap_or_else(|_| Err(late()))
    }

    async fn answer(
        &self,
        mut connection: Connection,
        request: &[u8],
        method: &Method,
        origin: &Origin,
    ) -> Result<Exchanged, ExchangeError> {
        connection.send(request).await.map_err(ExchangeError::Unanswered)?;
        let (head, early) = read_head(&mut connection, method, Vec::new()).await?;
        self.answered(connection, (head, early), origin)
    }

    /// The answer whose head has come over `connection`.
    fn answered(
        &self,
        mut connection: Connection,
        (head, early): (Head, Bytes),
        origin: &Origin,
    ) -> Result<Exchanged, ExchangeError> {
        connection.answered();
        // Behind a way that a proxy opened, it is the endpoint that answers.
        if let (Some(proxy), false, StatusCode::PROXY_AUTHENTICATION_REQUIRED) =
            (&origin.proxy, origin.tls, head.status)
        {
            return Err(ExchangeError::ProxyRefused { proxy: proxy.clone(), status: head.status });
        }
        let home = head.keep_alive.then(|| Home { pool: self.pool.clone(), origin: origin.clone() });
        let connections = connection.count().seen();
        let body = ResponseBody::new(connection, head.framing, early, home, self.buffers.clone());
        Ok(Exchanged { status: head.status, headers: head.headers, connections, body })
    }
}

impl Direct {
    /// The connections to the host of `uri`, or to the proxy on the way; `None` if requests for it cannot be sent.
    pub(crate) fn count(&self, uri: &str) -> Option<Arc<Count>> {
        let origin = self.shared.origin(&uri.parse().ok()?).ok()?;
        let (host, port) = origin.dialled();
        Some(self.shared.dialler.count(host, port))
    }

    /// The address that requests for `uri` go to; `None` where a proxy is asked, which wants them in a form of its own.
    pub(crate) fn route(&self, uri: &str) -> Option<Route> {
        let uri: Uri = uri.parse().ok()?;
        let origin = self.shared.origin(&uri).ok().filter(|origin| origin.tls || origin.proxy.is_none())?;
        Some(Route { origin, host: head::host_header(&uri)? })
    }

    /// Sends a request without a body: a GET or a HEAD. `headers` are lines, that of the host among them.
    ///
    /// # Errors
    ///
    /// As the SDK has them of its client.
    pub(crate) async fn send(
        &self,
        route: &Route,
        method: &Method,
        target: &str,
        headers: &str,
        timeouts: Timeouts,
    ) -> Result<Exchanged, ConnectorError> {
        let head = head::written(method, target, headers);
        self.shared.send(&route.origin, method, &head, timeouts).await.map_err(ExchangeError::into)
    }
}

impl Exchanged {
    /// Whether there is no body behind the head.
    pub(crate) fn is_bodiless(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl Route {
    /// As the header of that name has it.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }
}

impl Exchanged {
    /// The body; each of `counters` counts its bytes as they come.
    pub(crate) fn into_body(self, counters: Vec<Arc<AtomicU64>>) -> SdkBody {
        SdkBody::from_body_1_x(self.body.counted_by(counters))
    }

    /// As the SDK has answers.
    ///
    /// # Errors
    ///
    /// A head that it cannot take.
    pub(crate) fn into_response(self) -> Result<HttpResponse, ConnectorError> {
        let Self { status, headers, body, .. } = self;
        let mut response = http::Response::new(SdkBody::from_body_1_x(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        HttpResponse::try_from(response).map_err(|_| ExchangeError::Head(HeadError::NotText).into())
    }
}

/// The head, and the bytes that were read behind it. It begins with `bytes`.
async fn read_head(
    connection: &mut Connection,
    method: &Method,
    mut bytes: Vec<u8>,
) -> Result<(Head, Bytes), ExchangeError> {
    loop {
        if !bytes.is_empty()
            && let Some(head) = head::parse(&bytes, method)?
        {
            let early = Bytes::from(bytes).slice(head.bytes..);
            return Ok((head, early));
        }
        poll_fn(|cx| connection.poll_readable(cx)).await.map_err(|cause| broken(cause, &bytes))?;
        let filled = bytes.len();
        bytes.resize(filled + HEAD_BYTES, 0);
        let read = poll_fn(|cx| connection.poll_read(cx, &mut bytes[filled..])).await;
        let read = read.map_err(|cause| broken(cause, &bytes[..filled]))?;
        bytes.truncate(filled + read);
        if read == 0 {
            let closed = || ExchangeError::Unanswered(io::ErrorKind::UnexpectedEof.into());
            return Err(if bytes.is_empty() { closed() } else { ExchangeError::HeadCut });
        }
    }
}

fn broken(cause: io::Error, read: &[u8]) -> ExchangeError {
    if read.is_empty() { ExchangeError::Unanswered(cause) } else { ExchangeError::Broken(cause) }
}

/// The SDK, and the door above it, decide by the kind whether another attempt is worth while: after time and I/O.
impl From<ExchangeError> for ConnectorError {
    fn from(error: ExchangeError) -> Self {
        match &error {
            ExchangeError::NoHost(_) | ExchangeError::Scheme(_) | ExchangeError::Proxy(_) | ExchangeError::Body(_) => {
                Self::user(error.into())
            }
            ExchangeError::Tunnel { cause, .. } if !cause.passes() => Self::other(error.into(), None).never_connected(),
            ExchangeError::ProxyRefused { .. } => Self::other(error.into(), None),
            ExchangeError::Dial(_) | ExchangeError::DialProxy { .. } | ExchangeError::Tunnel { .. } => {
                Self::io(error.into()).never_connected()
            }
            ExchangeError::ConnectTimeout { .. } => Self::timeout(error.into()).never_connected(),
            ExchangeError::ReadTimeout { .. } => Self::timeout(error.into()),
            ExchangeError::Unanswered(_)
            | ExchangeError::HeadCut
            | ExchangeError::Broken(_)
            | ExchangeError::TooSoon(_) => Self::io(error.into()),
            ExchangeError::Tls(TlsError::Broken { .. }) => Self::io(error.into()).never_connected(),
            ExchangeError::Tls(_) => Self::other(error.into(), None).never_connected(),
            ExchangeError::Head(_) => Self::other(error.into(), None),
        }
    }
}

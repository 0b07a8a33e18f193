//! Requests past the SDK, whose way through a request costs more processor time than the 64 KiB that it may bring or
//! carry.
//!
//! The first request of its kind for a bucket goes through the SDK, and is the lesson from which a [`Pattern`] is made.
//! Later ones are written by it and sent by our connector. The SDK keeps its knowledge: credentials come from its
//! cache, for every request anew, and an answer that is not [plainly](super::plain) a success (a refusal, a redirect,
//! an odd head, none at all) is handed to the SDK as if it had asked, so that it ends as any other.
//!
//! If the caller has a say in how requests are made (an HTTP client, interceptors, an endpoint resolver, schemes of
//! authentication), all of them go through the SDK. So do those that no pattern is made of.

use std::collections::HashMap;
use std::fmt;
use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_sdk_s3::config::http::{HttpRequest, HttpResponse};
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_s3::config::{
    Config, ConfigBag, Credentials, HttpClient, Intercept, Layer, Region, ResolveCachedIdentity, RuntimeComponents,
    SharedHttpClient, SharedInterceptor,
};
use aws_sdk_s3::error::{BoxError, ConnectorError};
use aws_smithy_runtime_api::client::auth::AuthSchemeId;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::identity::SharedIdentityResolver;
use aws_smithy_runtime_api::client::runtime_components::GetIdentityResolver;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use futures::FutureExt;

use super::identity::Identities;
use super::outgoing::Outgoing;
use super::pattern::{Asked, Lesson, Pattern, Verb, Written};
use super::plain::{self, Plain};
use super::{Answer, Body, writing};
use crate::doors::connector::{self, Exchanged, Route, Timeouts};

/// A program that goes through more buckets than this has the SDK ask again in each, instead of growing for ever.
const MOST_BUCKETS: usize = 1000;

/// Lessons that gave no pattern, after which requests of their kind are the SDK's. One may be lost to credentials that
/// were renewed in its midst.
const MOST_LESSONS: u8 = 3;

/// The way past the SDK, for requests by one client of it.
#[derive(Debug)]
pub(super) struct Direct {
    connector: connector::Direct,
    identities: Identities,
    buckets: Mutex<HashMap<String, Vec<Kept>>>,
}

/// The requests of one kind for one bucket.
#[derive(Debug)]
struct Kept {
    verb: Verb,
    /// The region, if it is not the client's own.
    region: Option<Region>,
    known: Known,
}

#[derive(Debug)]
enum Known {
    Way(Arc<Way>),
    /// No pattern, after this number of lessons.
    Lessons(u8),
}

/// All that a request needs besides its subject.
struct Way {
    pattern: Pattern,
    route: Route,
    timeouts: Timeouts,
    components: RuntimeComponents,
    resolver: SharedIdentityResolver,
    /// The time that the cache of identities may wait, which is all it looks at.
    settings: ConfigBag,
}

/// A request that is ready, and its way.
#[derive(Debug)]
pub(super) struct Ready {
    way: Arc<Way>,
    written: Written,
}

/// An answer that the SDK has to look at.
#[derive(Debug, Clone)]
pub(super) struct Told(Arc<Mutex<Option<Result<HttpResponse, ConnectorError>>>>);

/// Listens to one request of the SDK.
#[derive(Debug, Default)]
pub(super) struct Listener(Arc<Mutex<Option<Heard>>>);

/// The listener in the SDK. It does not hold the lessons: those hold the means of the request, which hold the listener.
/// If they held each other, a request that fails or is dropped would leave the client's connections open for ever.
#[derive(Debug)]
struct Ear(Weak<Mutex<Option<Heard>>>);

/// A lesson, and the means by which the request was made.
struct Heard {
    lesson: Lesson,
    timeouts: TimeoutConfig,
    /// The interceptor's view of its one request.
    components: RuntimeComponents,
}

/// The sense of an answer that needs no second look.
pub(super) trait Plainly: Sized {
    /// # Errors
    ///
    /// The answer itself, for the SDK to look at.
    fn of(answer: Exchanged, asked: &Asked<'_>) -> Result<Self, Box<Exchanged>>;
}

impl Plainly for Answer {
    fn of(answer: Exchanged, asked: &Asked<'_>) -> Result<Self, Box<Exchanged>> {
        let Some(head) = plain::read(answer.status, &answer.headers) else { return Err(Box::new(answer)) };
        let Plain { content_range, content_length, e_tag, last_modified, mtime, checksum } = head;
        let connections = answer.connections;
        let arrived = asked.arrived.map(|_| Arc::<AtomicU64>::default());
        let counters = asked.arrived.cloned().into_iter().chain(arrived.clone()).collect();
        let body = Body { stream: ByteStream::new(answer.into_body(counters)), arrived };
        Ok(Answer { content_range, content_length, e_tag, last_modified, mtime, checksum, connections, body })
    }
}

impl Plainly for writing::Written {
    fn of(answer: Exchanged, asked: &Asked<'_>) -> Result<Self, Box<Exchanged>> {
        let head = match answer.is_bodiless() {
            true => asked.put.and_then(|put| plain::written(answer.status, &answer.headers, put.target.checksum)),
            // It may hold an error.
            false => None,
        };
        head.ok_or_else(|| Box::new(answer))
    }
}

impl Direct {
    /// Past a client of the given configuration; `None` where the caller has a say in how requests are made.
    pub(super) fn new(config: &Config, connector: connector::Direct, identities: Identities) -> Option<Self> {
        let sdks_own = config.interceptors().next().is_none()
            && config.auth_schemes().next().is_none()
            && config.auth_scheme_resolver().is_none()
            && config.invocation_id_generator().is_none();
        sdks_own.then(|| Self { connector, identities, buckets: Mutex::default() })
    }

    /// The same past a client that shares connections and credentials, and nothing else.
    pub(super) fn again(&self) -> Self {
        Self { connector: self.connector.clone(), identities: self.identities.clone(), buckets: Mutex::default() }
    }

    /// The request for `asked` in `region`, if it is known how the SDK would ask; `None` means that it has to.
    pub(super) async fn ready(&self, asked: &Asked<'_>, region: Option<&Region>) -> Option<Ready> {
        let way = match self.buckets().get(&asked.object.address.bucket).and_then(|kinds| kind(kinds, asked, region)) {
            Some(Kept { known: Known::Way(way), .. }) if asked.is_usual() => way.clone(),
            _ => return None,
        };
        let credentials = self.credentials(&way.components, &way.resolver, &way.settings).await?;
        if !way.pattern.signs_with(&credentials) {
            return None;
        }
        let mut written = way.pattern.write(asked, seconds(&way.components)?)?;
        invocation_id(&mut written.headers);
        Some(Ready { way, written })
    }

    /// Someone to listen when the SDK asks for `asked`, if there is something to learn.
    pub(super) fn listener(&self, asked: &Asked<'_>, region: Option<&Region>) -> Option<Listener> {
        let buckets = self.buckets();
        let known = buckets.get(&asked.object.address.bucket).and_then(|kinds| kind(kinds, asked, region));
        let hopeless = matches!(known, Some(Kept { known: Known::Lessons(MOST_LESSONS..), .. }));
        (asked.is_usual() && !hopeless).then(Listener::default)
    }

    /// Makes a pattern of a request that went well.
    pub(super) async fn learn(&self, asked: &Asked<'_>, region: Option<&Region>, listener: &Listener) {
        let Some(heard) = listener.take() else { return };
        let way = self.way(asked, heard).await.map(Arc::new);
        let lessons = {
            let buckets = self.buckets();
            match buckets.get(&asked.object.address.bucket).and_then(|kinds| kind(kinds, asked, region)) {
                Some(Kept { known: Known::Lessons(lessons), .. }) => *lessons,
                _ => 0,
            }
        };
        let known = way.map_or(Known::Lessons(lessons.saturating_add(1)), Known::Way);
        tracing::debug!(bucket = asked.object.address.bucket, verb = ?asked.verb, ?known, "a lesson of the SDK's");
        self.keep(&asked.object.address.bucket, Kept { verb: asked.verb, region: region.cloned(), known });
    }

    fn keep(&self, bucket: &str, kept: Kept) {
        let mut buckets = self.buckets();
        if buckets.len() >= MOST_BUCKETS && !buckets.contains_key(bucket) {
            buckets.clear();
        }
        let kinds = buckets.entry(bucket.to_owned()).or_default();
        kinds.retain(|other| other.verb != kept.verb || other.region != kept.region);
        kinds.push(kept);
    }

    /// The SDK has learned something about requests for this bucket, and is to teach it.
    pub(super) fn forget(&self, bucket: &str) {
        self.buckets().remove(bucket);
    }

    /// Sends a request, with a `body` where it has one.
    ///
    /// # Errors
    ///
    /// An answer that the SDK has to look at.
    pub(super) async fn send<T: Plainly>(
        &self,
        ready: &Ready,
        asked: &Asked<'_>,
        body: Option<Outgoing>,
    ) -> Result<T, Told> {
        let (Way { route, timeouts, .. }, Written { target, headers }) = (&*ready.way, &ready.written);
        let (connector, method) = (&self.connector, asked.verb.method());
        let sent = match body {
            None => connector.send(route, &method, target, headers, *timeouts).boxed(),
            Some(body) => connector.send_body(route, &method, (target, headers), body, *timeouts).boxed(),
        };
        let answer = sent.await.map_err(|error| Told::new(Err(error)))?;
        T::of(answer, asked).map_err(|odd| Told::new(odd.into_response()))
    }

    async fn way(&self, asked: &Asked<'_>, heard: Heard) -> Option<Way> {
        let Heard { lesson, timeouts, components } = heard;
        let no_limits = timeouts.operation_timeout().is_none() && timeouts.operation_attempt_timeout().is_none();
        if !no_limits || !is_sdks_own(&components.endpoint_resolver()) {
            return None;
        }
        let resolver = components.identity_resolver(AuthSchemeId::new("sigv4"))?;
        let route = self.connector.route(&lesson.uri)?;
        let waits = Timeouts { connect: timeouts.connect_timeout(), read: timeouts.read_timeout() };
        let mut settings = Layer::new("s3xfer");
        settings.store_put(RetryConfig::disabled()).store_put(timeouts);
        let settings = ConfigBag::of_layers([settings]);
        let credentials = self.credentials(&components, &resolver, &settings).await?;
        let pattern = Pattern::of(&lesson, asked, route.host(), &credentials)?;
        Some(Way { pattern, route, timeouts: waits, components, resolver, settings })
    }

    /// From the SDK's cache.
    async fn credentials(
        &self,
        components: &RuntimeComponents,
        resolver: &SharedIdentityResolver,
        settings: &ConfigBag,
    ) -> Option<Credentials> {
        let identity = self.identities.resolve_cached_identity(resolver.clone(), components, settings).await.ok()?;
        identity.data().cloned()
    }

    fn buckets(&self) -> MutexGuard<'_, HashMap<String, Vec<Kept>>> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn is_of(&self, asked: &Asked<'_>, region: Option<&Region>) -> bool {
        self.verb == asked.verb && self.region.as_ref() == region
    }
}

fn kind<'a>(kinds: &'a [Kept], asked: &Asked<'_>, region: Option<&Region>) -> Option<&'a Kept> {
    kinds.iter().find(|kept| kept.is_of(asked, region))
}

/// Whether it is the resolver that the SDK brings: the SDK shows its type, but does not let it be asked for.
fn is_sdks_own(resolver: &impl fmt::Debug) -> bool {
    /// Takes no more than it compares: the rest is all that the SDK knows of regions.
    struct Beginning(&'static [u8]);

    impl fmt::Write for Beginning {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let compared = text.len().min(self.0.len());
            self.0 = self.0.strip_prefix(&text.as_bytes()[..compared]).ok_or(fmt::Error)?;
            if self.0.is_empty() { Err(fmt::Error) } else { Ok(()) }
        }
    }

    let mut rest = Beginning(b"SharedEndpointResolver(DowncastParams(DefaultResolver {");
    // An error ends it.
    let _ = write!(rest, "{resolver:?}");
    rest.0.is_empty()
}

fn seconds(components: &RuntimeComponents) -> Option<i64> {
    let now = components.time_source().map_or_else(SystemTime::now, |clock| clock.now());
    i64::try_from(now.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}

/// A random UUID (RFC 9562, 5.4) for the server's log, as the SDK sends one with each request.
fn invocation_id(headers: &mut String) {
    let random: u128 = rand::random();
    let id = random & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62;
    let parts = [id >> 96, id >> 80 & 0xffff, id >> 64 & 0xffff, id >> 48 & 0xffff, id & 0xffff_ffff_ffff];
    let [a, b, c, d, e] = parts;
    write!(headers, "amz-sdk-invocation-id: {a:08x}-{b:04x}-{c:04x}-{d:04x}-{e:012x}\r\n")
        .expect("a string takes any text");
}

impl Told {
    fn new(told: Result<HttpResponse, ConnectorError>) -> Self {
        Self(Arc::new(Mutex::new(Some(told))))
    }

    /// An HTTP client that has it for an answer.
    pub(super) fn http_client(self) -> SharedHttpClient {
        SharedHttpClient::new(self)
    }
}

impl HttpClient for Told {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Told {
    fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let twice = || Err(ConnectorError::other("an answer is there once only".into(), None));
        HttpConnectorFuture::ready(told.unwrap_or_else(twice))
    }
}

impl Listener {
    pub(super) fn interceptor(&self) -> SharedInterceptor {
        SharedInterceptor::permanent(Ear(Arc::downgrade(&self.0)))
    }

    fn take(&self) -> Option<Heard> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Intercept for Ear {
    fn name(&self) -> &'static str {
        "Ear"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(slot) = self.0.upgrade() else { return Ok(()) };
        let request = context.request();
        let headers = request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let (method, uri) = (request.method().to_owned(), request.uri().to_owned());
        let (Some(at), Some(timeouts)) = (seconds(components), cfg.load::<TimeoutConfig>().cloned()) else {
            return Ok(());
        };
        let heard = Heard { lesson: Lesson { method, uri, headers, at }, timeouts, components: components.clone() };
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(heard);
        Ok(())
    }
}

/// Without the signed text.
impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Heard").field("uri", &self.lesson.uri).finish_non_exhaustive()
    }
}

/// Without components, which know all about the client.
impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Way").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! S3, through aws-sdk-s3: one request at a time; here ranged GETs, with the checks that the SDK does not make. Writing
//! requests are in `writing.rs` and `copying.rs`.
//!
//! The SDK signs, sends and parses; a request like an earlier one goes a shorter way (`direct.rs`). It does not retry
//! here, because the retry rule resumes bodies and must see every failure; it does not watch for stalled streams,
//! because a deadline here does that without reading the clock for each frame; and it does not compute checksums,
//! because the engine puts those of ranges together.

mod access;
mod copying;
mod customer_key;
mod date;
mod direct;
mod from_url;
mod heads;
mod hosts;
mod identity;
mod list;
mod origin;
pub(crate) mod outgoing;
mod pattern;
mod plain;
mod refusal_body;
mod region;
mod sign;
pub(crate) mod unfinished;
pub(crate) mod writing;

use std::error::Error;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::interceptors::{
    BeforeDeserializationInterceptorContextRef, BeforeTransmitInterceptorContextMut,
};
use aws_sdk_s3::config::{
    ConfigBag, Intercept, Region, RequestChecksumCalculation, ResponseChecksumValidation, RuntimeComponents,
    SharedInterceptor, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::types::{ChecksumMode, ChecksumType, RequestPayer};
use aws_sdk_s3::{Client, config};
use aws_smithy_types::base64;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::date_time::{DateTime, Format};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, TryFutureExt};
use tokio::time::timeout;

pub(crate) use self::access::Access;
pub use self::access::ResolvedAccess;
use self::customer_key::{AllowedInClear, KeysNeedTls};
use self::direct::{Direct, Plainly};
use self::heads::OnlyWhatIsRead;
use self::hosts::Hosts;
use self::identity::Identities;
pub(crate) use self::list::{MOST_KEYS, has_form_in_xml};
use self::origin::Endpoint;
use self::outgoing::Outgoing;
use self::pattern::{Asked, Verb};
use self::refusal_body::RefusalsAreShort;
use self::region::{Elsewhere, Regions};
use crate::doors::connector;
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::connections::Connections;
use crate::words::failure::{RequestError, RequestFailure};
use crate::words::mtime;
use crate::words::object::{ObjectRequest, SseCustomerKey};

/// `client` with our connector below it and the way to that, unless it has an HTTP client of its own.
fn with_connector(client: Client) -> (Client, Option<connector::Direct>) {
    match client.config().http_client() {
        Some(_) => (client, None),
        None => {
            let (http_client, direct) = connector::http_client();
            let mut config = client.config().to_builder();
            config.set_http_client(Some(http_client));
            (Client::from_conf(config.build()), Some(direct))
        }
    }
}

/// The configuration of `client`, without the work that is done here: retries, deadlines, checksums.
fn as_the_engine_needs(client: &Client, connect_timeout: Duration) -> config::Builder {
    let mut config = client
        .config()
        .to_builder()
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(connect_timeout).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
    // Permanent: whether each is turned off would be looked up at every step of every request.
    config.push_interceptor(SharedInterceptor::permanent(RefusalsAreShort));
    config
}

/// An S3 client for the data of objects.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    /// The caller's, with our connector below it.
    base: Client,
    client: Client,
    /// For writing requests, and for questions about the result: sends and reads all that the SDK knows.
    writer: Client,
    /// Past `client`, where that has no requests that are made in a way of the caller's.
    direct: Option<Arc<Direct>>,
    regions: Arc<Regions>,
    identities: Identities,
    endpoint: Endpoint,
    /// The hosts that our connector dials.
    hosts: Option<Hosts>,
    is_url: bool,
}

/// The beginning of an answer, and the body behind it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `None`: the server ignored the range, or there was none, and it sends the whole object (200).
    pub(crate) content_range: Option<String>,
    pub(crate) content_length: Option<u64>,
    pub(crate) e_tag: Option<String>,
    /// Seconds and nanoseconds of the Unix epoch.
    pub(crate) last_modified: Option<(i64, u32)>,
    /// As the writer of the object has recorded it ([`mtime`](crate::words::mtime)).
    pub(crate) mtime: Option<String>,
    pub(crate) checksum: StoredChecksum,
    /// The connections to the server when it came; `None` where others than our connector make them.
    pub(crate) connections: Option<Connections>,
    pub(crate) body: Body,
}

/// The server's record of the whole object's checksum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoredChecksum {
    /// Base64 decoded.
    Whole(ChecksumAlgorithm, Vec<u8>),
    /// There is one, but not of that type.
    OfAnotherType,
    None,
}

/// The bytes of an answer, as they come.
#[derive(Debug)]
pub(crate) struct Body {
    stream: ByteStream,
    /// Its bytes that have come from the network, if they are counted before a frame of them is full.
    arrived: Option<Arc<AtomicU64>>,
}

/// The fields that every request for an object carries; GETs and HEADs have them under the same names in types of their
/// own.
macro_rules! addressed {
    ($request:expr, $object:expr) => {{
        let request = $request
            .bucket(&$object.address.bucket)
            .key(&$object.address.key)
            .set_version_id($object.version_id.clone())
            .set_request_payer($object.request_payer.then_some(RequestPayer::Requester))
            .set_expected_bucket_owner($object.expected_bucket_owner.clone());
        match &$object.sse_customer_key {
            Some(key) => {
                let (key, sum) = customer_key::headers(key);
                request.sse_customer_algorithm("AES256").sse_customer_key(key).sse_customer_key_md5(sum)
            }
            None => request,
        }
    }};
}

/// The future of the answer. Boxed: the SDK's futures are tens of KiB, and would be part of every future above them.
/// Only requests that are not like the others pay for a configuration of their own.
macro_rules! sent {
    ($request:expr, $config:expr, |$output:ident| $answer:expr) => {
        match $config {
            None => $request.send().map_ok(move |$output| $answer).boxed(),
            Some(config) => $request.customize().config_override(config).send().map_ok(move |$output| $answer).boxed(),
        }
    };
}

/// The whole object's checksum, from an answer to either.
macro_rules! checksum_in {
    ($output:expr) => {
        stored_checksum(
            $output.checksum_type.as_ref(),
            [
                (ChecksumAlgorithm::Crc64Nvme, $output.checksum_crc64_nvme.as_deref()),
                (ChecksumAlgorithm::Crc32c, $output.checksum_crc32_c.as_deref()),
                (ChecksumAlgorithm::Crc32, $output.checksum_crc32.as_deref()),
            ],
            $output.checksum_sha1.is_some() || $output.checksum_sha256.is_some(),
        )
    };
}

use {addressed, checksum_in, sent};

/// Makes the body of a request that has one, each time it is sent.
type MakeBody<'a> = &'a (dyn Fn() -> Option<Outgoing> + Send + Sync);
/// Sends a request through the SDK, with a configuration of its own where it needs one.
type MakeRequest<'a, T, E> =
    &'a (dyn Fn(Option<config::Builder>) -> BoxFuture<'static, Result<T, SdkError<E>>> + Send + Sync);

impl Store {
    /// Keeps the endpoint, credentials and HTTP client of `base`; brings our connector where it has none.
    pub(crate) fn new(base: Client, connect_timeout: Duration) -> Self {
        let (base, connector) = with_connector(base);
        let (regions, identities) = (Arc::default(), Identities::new(base.config().identity_cache()));
        let hosts = connector.clone().map(Hosts::new);
        let direct = connector.and_then(|connector| Direct::new(base.config(), connector, identities.clone()));
        let endpoint = Endpoint::default();
        let (client, writer) = Self::clients(&base, connect_timeout, &identities, &endpoint, hosts.as_ref());
        Self { client, writer, base, direct: direct.map(Arc::new), regions, identities, endpoint, hosts, is_url: false }
    }

    /// The same with another timeout. Both share their connections and their knowledge.
    pub(crate) fn with_connect_timeout(self, connect_timeout: Duration) -> Self {
        let Self { base, identities, endpoint, hosts, .. } = &self;
        let (client, writer) = Self::clients(base, connect_timeout, identities, endpoint, hosts.as_ref());
        Self { client, writer, direct: self.direct.map(|direct| Arc::new(direct.again())), ..self }
    }

    /// Scheme, host and port of the endpoint, once a request has gone there.
    pub(crate) fn endpoint(&self) -> Option<&str> {
        self.endpoint.get()
    }

    /// For reading, and for writing.
    fn clients(
        client: &Client,
        connect_timeout: Duration,
        identities: &Identities,
        endpoint: &Endpoint,
        hosts: Option<&Hosts>,
    ) -> (Client, Client) {
        let mut config = as_the_engine_needs(client, connect_timeout).identity_cache(identities.clone());
        config.push_interceptor(SharedInterceptor::permanent(KeysNeedTls));
        let writer = Client::from_conf(config.clone().build());
        config.push_interceptor(SharedInterceptor::permanent(PartialNeedsContentRange));
        config.push_interceptor(SharedInterceptor::permanent(OnlyWhatIsRead));
        config.push_interceptor(SharedInterceptor::permanent(AskForChecksum));
        config.push_interceptor(SharedInterceptor::permanent(endpoint.clone()));
        if let Some(hosts) = hosts {
            config.push_interceptor(SharedInterceptor::permanent(hosts.clone()));
        }
        (Client::from_conf(config.build()), writer)
    }

    /// GETs `range` (half-open, not empty) of the object, or all of it; with `e_tag`, only if it still is that version.
    /// The answer must have begun before `first_byte` has passed. `sent` counts the GETs that go out: more than one
    /// where the bucket is elsewhere or the credentials are expired. `arrived` counts the bytes of a body as they come,
    /// if the answer says so.
    ///
    /// # Errors
    ///
    /// The failure, sorted by whether another attempt can help.
    pub(crate) async fn get(
        &self,
        object: &ObjectRequest,
        range: Option<&Range<u64>>,
        e_tag: Option<&str>,
        first_byte: Duration,
        (sent, arrived): (&AtomicU64, &Arc<AtomicU64>),
    ) -> Result<Answer, RequestFailure> {
        if self.is_url && (object.version_id.is_some() || object.sse_customer_key.is_some()) {
            let source =
                "a URL has a fixed version and cannot carry a customer's key; download the object by its name".into();
            return Err(RequestFailure::Final(RequestError::NotSent { source }));
        }
        let asked =
            Asked { verb: Verb::Get, object, range, if_match: strong(e_tag), arrived: Some(arrived), put: None };
        let request = |config| {
            let request = addressed!(self.client.get_object(), object)
                .set_range(range.map(|range| format!("bytes={}-{}", range.start, range.end - 1)))
                .set_if_match(asked.if_match.map(str::to_owned));
            sent!(request, config, |output| Answer {
                checksum: checksum_in!(output),
                content_range: output.content_range,
                content_length: output.content_length.and_then(|length| u64::try_from(length).ok()),
                e_tag: output.e_tag,
                last_modified: output.last_modified.map(|at| (at.secs(), at.subsec_nanos())),
                mtime: output.metadata.and_then(|mut metadata| metadata.remove(mtime::NAME)),
                connections: None,
                body: Body { stream: output.body, arrived: None },
            })
        };
        let mut answer = self.send(&asked, first_byte, Some(sent), request).await?;
        if let (None, Some(hosts)) = (answer.connections, &self.hosts) {
            answer.connections = hosts.connections(&object.address.bucket);
        }
        Ok(answer)
    }

    /// Asks for the checksum of the object, which the answer to a ranged GET does not tell, with the ETag of the
    /// version that it is of.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub(crate) async fn checksum(
        &self,
        object: &ObjectRequest,
        first_byte: Duration,
    ) -> Result<(Option<String>, StoredChecksum), RequestFailure> {
        if self.is_url {
            // A URL that is presigned for GETs takes no HEAD.
            let counters = (&AtomicU64::new(0), &Arc::default());
            let answer = self.get(object, Some(&(0..1)), None, first_byte, counters).await?;
            return Ok((answer.e_tag, StoredChecksum::None));
        }
        let asked = Asked { verb: Verb::Head, object, range: None, if_match: None, arrived: None, put: None };
        let request = |config| {
            let request = addressed!(self.client.head_object(), object).checksum_mode(ChecksumMode::Enabled);
            sent!(request, config, |output| Answer {
                checksum: checksum_in!(output),
                content_range: None,
                content_length: None,
                e_tag: output.e_tag,
                last_modified: None,
                mtime: None,
                connections: None,
                body: Body { stream: ByteStream::default(), arrived: None },
            })
        };
        let answer = self.send(&asked, first_byte, None, request).await?;
        Ok((answer.e_tag, answer.checksum))
    }

    /// Sends a request that may be like earlier ones, which `request` makes of a configuration of its own.
    async fn send<T, E>(
        &self,
        asked: &Asked<'_>,
        first_byte: Duration,
        sent: Option<&AtomicU64>,
        request: impl Fn(Option<config::Builder>) -> BoxFuture<'static, Result<T, SdkError<E>>> + Send + Sync,
    ) -> Result<T, RequestFailure>
    where
        T: Plainly + Send,
        E: ProvideErrorMetadata + Error + Send + 'static,
    {
        self.send_with(asked, first_byte, sent, (&|| None, &request)).await
    }

    /// The same with the maker of a body, where it has one.
    async fn send_with<T, E>(
        &self,
        asked: &Asked<'_>,
        first_byte: Duration,
        sent: Option<&AtomicU64>,
        (body, request): (MakeBody<'_>, MakeRequest<'_, T, E>),
    ) -> Result<T, RequestFailure>
    where
        T: Plainly + Send,
        E: ProvideErrorMetadata + Error + Send + 'static,
    {
        // Boxed, as the SDK's futures are: both ways together would be part of every future above.
        let attempt =
            |region: Option<Region>| async move { self.attempt(asked, region.as_ref(), (body, request)).await }.boxed();
        self.see_through(asked.object, first_byte, sent, attempt).await
    }

    /// Sends a request to the region that `attempt` is told; once more where the answer says how it has to be. Each
    /// time it must begin before `first_byte` has passed, and is counted in `sent`.
    async fn see_through<'a, T, E>(
        &self,
        object: &ObjectRequest,
        first_byte: Duration,
        sent: Option<&AtomicU64>,
        attempt: impl Fn(Option<Region>) -> BoxFuture<'a, Result<T, SdkError<E>>> + Send + Sync,
    ) -> Result<T, RequestFailure>
    where
        T: Send,
        E: ProvideErrorMetadata + Error + Send + 'static,
    {
        // Before the SDK sees it, because the SDK panics at a name that makes no URI.
        object.check().map_err(|source| RequestFailure::Final(RequestError::Argument { source }))?;
        self.follow(&object.address.bucket, first_byte, sent, attempt).await
    }

    /// As [`see_through`](Self::see_through), for a request that may be of the bucket alone.
    async fn follow<'a, T, E>(
        &self,
        bucket: &str,
        first_byte: Duration,
        sent: Option<&AtomicU64>,
        attempt: impl Fn(Option<Region>) -> BoxFuture<'a, Result<T, SdkError<E>>> + Send + Sync,
    ) -> Result<T, RequestFailure>
    where
        T: Send,
        E: ProvideErrorMetadata + Error + Send + 'static,
    {
        let (mut redirected, mut renewed, mut set_right) = (false, false, false);
        loop {
            let (region, epoch) = (self.regions.of(bucket), self.identities.epoch());
            if let Some(sent) = sent {
                sent.fetch_add(1, Ordering::Relaxed);
            }
            let error = match in_time(first_byte, attempt(region.clone())).await? {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if self.is_url
                && let Some(moved) = from_url::moved(&error)
            {
                return Err(moved);
            }
            let used = region.as_ref().or(self.client.config().region()).map_or("", Region::as_ref);
            match elsewhere(&error, used).filter(|_| !self.is_url) {
                Some(Elsewhere { region: Some(region) }) if !redirected => {
                    tracing::debug!(bucket, from = used, to = region, "the bucket is in another region");
                    self.regions.learn(bucket, Region::new(region));
                    redirected = true;
                    continue;
                }
                Some(Elsewhere { region }) => {
                    return Err(RequestFailure::WrongRegion { region, used: used.to_owned() });
                }
                None => {}
            }
            // A HEAD that is refused does not say why. Another request may have found it out meanwhile.
            let unsaid = is_unsaid(&error);
            if unsaid && !redirected && self.regions.of(bucket) != region {
                redirected = true;
                continue;
            }
            // The SDK measures the server's clock by every answer, and signs the next request by that.
            let skewed = is_skewed(&error);
            let failure = failure(error);
            if skewed && !set_right {
                tracing::debug!(?failure, "this machine's clock is off; signing by the server's");
                self.direct.iter().for_each(|direct| direct.forget(bucket));
                set_right = true;
                continue;
            }
            let expired = unsaid || matches!(failure, RequestFailure::Expired { .. });
            if !expired || renewed || !self.identities.renew(epoch) {
                return Err(failure);
            }
            tracing::debug!(?failure, "the credentials are expired; fetching them again");
            renewed = true;
        }
    }

    /// One request, past the SDK where it is known how that would ask.
    async fn attempt<T, E>(
        &self,
        asked: &Asked<'_>,
        region: Option<&Region>,
        (body, request): (MakeBody<'_>, MakeRequest<'_, T, E>),
    ) -> Result<T, SdkError<E>>
    where
        T: Plainly + Send,
        E: Send + 'static,
    {
        let own = of_its_own(asked.object, region);
        let Some(direct) = &self.direct else { return request(own).await };
        if let Some(ready) = direct.ready(asked, region).await {
            return match direct.send(&ready, asked, body()).await {
                Ok(answer) => Ok(answer),
                Err(told) => {
                    let mut config = own.unwrap_or_else(aws_sdk_s3::Config::builder);
                    config.set_http_client(Some(told.http_client()));
                    request(Some(config)).await
                }
            };
        }
        let Some(listener) = direct.listener(asked, region) else { return request(own).await };
        let mut config = own.unwrap_or_else(aws_sdk_s3::Config::builder);
        config.push_interceptor(listener.interceptor());
        let answer = request(Some(config)).await?;
        direct.learn(asked, region, &listener).await;
        Ok(answer)
    }
}

impl Body {
    /// The count of its bytes that have come from the network, if they are counted before a frame of them is full. The
    /// transfer's count has them, too.
    pub(crate) fn arrived(&self) -> Option<Arc<AtomicU64>> {
        self.arrived.clone()
    }

    /// The next frame; `None` at the end. `stall` is how long none may come.
    ///
    /// # Errors
    ///
    /// [`RequestError::BrokeOff`] and [`RequestError::Stalled`].
    pub(crate) async fn next(&mut self, stall: Duration) -> Option<Result<Bytes, RequestError>> {
        match timeout(stall, self.stream.next()).await {
            Err(_) => Some(Err(RequestError::Stalled { seconds: stall.as_secs() })),
            Ok(frame) => frame.map(|frame| frame.map_err(|error| RequestError::BrokeOff { source: error.into() })),
        }
    }
}

/// Whether an answer may mean expired credentials or another region, and does not say so for want of a body.
fn is_unsaid<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let status = error.raw_response().map(|answer| answer.status().as_u16());
    status == Some(400) && error.as_service_error().is_some_and(|error| error.code().is_none())
}

/// Whether an answer means that this machine's clock is off, or may mean it and does not say so for want of a body.
fn is_skewed<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    /// As the SDK has it: a clock that is off by less is not the cause.
    const SECONDS: u64 = 4 * 60;

    let (Some(answer), Some(service)) = (error.raw_response(), error.as_service_error()) else { return false };
    let known = ahead_seconds(answer).is_some_and(|ahead| ahead.unsigned_abs() > SECONDS);
    known && answer.status().as_u16() == 403 && matches!(service.code(), None | Some("RequestTimeTooSkewed"))
}

/// The configuration that a request for `object` needs and others do not; `region` where it is not the client's.
fn of_its_own(object: &ObjectRequest, region: Option<&Region>) -> Option<config::Builder> {
    let in_clear = object.sse_customer_key.as_ref().is_some_and(SseCustomerKey::may_go_in_clear);
    // An access point has a host of its own, and no path.
    let arn = object.address.bucket.starts_with("arn:");
    if !in_clear && !arn && region.is_none() {
        return None;
    }
    let mut config = aws_sdk_s3::Config::builder();
    // A value that is set to `None` here would not be the client's, but none.
    if let Some(region) = region {
        config.set_region(Some(region.clone()));
    }
    if arn {
        config.set_force_path_style(Some(false));
    }
    if in_clear {
        config.push_interceptor(SharedInterceptor::permanent(AllowedInClear));
    }
    Some(config)
}

/// Whether an answer says that the bucket is in another region than `used`.
fn elsewhere<E: ProvideErrorMetadata>(error: &SdkError<E>, used: &str) -> Option<Elsewhere> {
    let answer = error.raw_response()?;
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code);
    let header = answer.headers().get("x-amz-bucket-region");
    region::elsewhere(used, answer.status().as_u16(), code, header, answer.body().bytes())
}

async fn in_time<T>(first_byte: Duration, sent: impl Future<Output = T>) -> Result<T, RequestFailure> {
    let late = |_| RequestFailure::Transient(RequestError::NoAnswer { seconds: first_byte.as_secs() });
    timeout(first_byte, sent).await.map_err(late)
}

/// If-Match compares strongly: no weak ETag matches, not even itself (RFC 9110, 13.1.1).
fn strong(e_tag: Option<&str>) -> Option<&str> {
    e_tag.filter(|e_tag| !e_tag.starts_with("W/"))
}

/// The stored checksum. One without a type is older than checksum types.
fn stored_checksum(
    kind: Option<&ChecksumType>,
    crcs: [(ChecksumAlgorithm, Option<&str>); 3],
    sha: bool,
) -> StoredChecksum {
    let found = crcs.into_iter().find_map(|(algorithm, text)| Some((algorithm, text?)));
    match found {
        Some((algorithm, text)) if kind == Some(&ChecksumType::FullObject) => match base64::decode(text) {
            Ok(bytes) => StoredChecksum::Whole(algorithm, bytes),
            Err(_) => StoredChecksum::OfAnotherType,
        },
        Some(_) => StoredChecksum::OfAnotherType,
        None if sha => StoredChecksum::OfAnotherType,
        None => StoredChecksum::None,
    }
}

/// Has GETs carry `x-amz-checksum-mode`. Set on the request's input instead, it would have the SDK compute the
/// checksum, too.
#[derive(Debug)]
struct AskForChecksum;

impl Intercept for AskForChecksum {
    fn name(&self) -> &'static str {
        "AskForChecksum"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert("x-amz-checksum-mode", "ENABLED");
        Ok(())
    }
}

/// The SDK hands over a 206 without Content-Range like a 200, and the first part would pass for the whole object.
#[derive(Debug)]
struct PartialNeedsContentRange;

impl Intercept for PartialNeedsContentRange {
    fn name(&self) -> &'static str {
        "PartialNeedsContentRange"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response();
        let partial = response.status().as_u16() == 206;
        match response.headers().contains_key("content-range") {
            false if partial => Err("206 without Content-Range".into()),
            true if !partial && response.status().is_success() => Err("Content-Range without 206".into()),
            _ => Ok(()),
        }
    }
}

fn failure<E: ProvideErrorMetadata + Error + 'static>(error: SdkError<E>) -> RequestFailure {
    if let Some(in_clear) = customer_key::refusal(&error) {
        return RequestFailure::Final(in_clear);
    }
    match error {
        SdkError::TimeoutError(_) => {
            RequestFailure::Transient(RequestError::Unreachable { source: "the connection timed out".into() })
        }
        SdkError::DispatchFailure(failure) => {
            // Besides I/O and time, the connector names a kind where trying again may help: a connection that the
            // server closed just as it was used again, for one.
            let named = failure.as_connector_error().is_some_and(|error| error.as_other().is_some());
            let transient = failure.is_io() || failure.is_timeout() || named;
            let refused = failure.as_connector_error().and_then(|error| connector::refused_certificate(error));
            if let Some(refused) = refused {
                return RequestFailure::Final(RequestError::NotSent { source: refused.into() });
            }
            let broken_head = failure.as_connector_error().is_some_and(|error| connector::is_broken_head(error));
            let source =
                failure.as_connector_error().map_or_else(|| "no cause given".into(), |error| root_cause(error));
            if broken_head {
                RequestFailure::Final(RequestError::BadResponse { what: source.to_string() })
            } else if transient {
                RequestFailure::Transient(RequestError::Unreachable { source })
            } else {
                RequestFailure::Final(RequestError::NotSent { source })
            }
        }
        SdkError::ConstructionFailure(_) => RequestFailure::Final(RequestError::NotSent { source: root_cause(&error) }),
        SdkError::ServiceError(ref service) if !service.raw().status().is_success() => {
            let status = service.raw().status().as_u16();
            match service.err().code() {
                Some("RequestTimeTooSkewed") => RequestFailure::Skewed { ahead_seconds: ahead_seconds(service.raw()) },
                code => refusal(status, code, service.err().message()),
            }
        }
        // S3 may answer a copy or the end of an upload with 200 before it is done; an error is in the body then (API
        // reference, CopyObject and CompleteMultipartUpload).
        SdkError::ServiceError(ref service) if service.err().code().is_some() => {
            let code = service.err().code();
            refusal(status_of(code.unwrap_or_default()), code, service.err().message())
        }
        SdkError::ResponseError(ref response) if response.raw().status().as_u16() >= 400 => {
            refusal(response.raw().status().as_u16(), None, None)
        }
        // A success that cannot be understood refuses nothing.
        _ => RequestFailure::Final(RequestError::BadResponse { what: root_cause(&error).to_string() }),
    }
}

/// The status that S3 gives an error of that code where the error is the whole answer. Another attempt may help against
/// an unknown one.
fn status_of(code: &str) -> u16 {
    match code {
        "SlowDown" | "SlowDownWrite" | "ServiceUnavailable" => 503,
        "AccessDenied" | "InvalidObjectState" => 403,
        "NoSuchBucket" | "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion" => 404,
        "ConditionalRequestConflict" | "OperationAborted" => 409,
        "PreconditionFailed" => 412,
        "NotImplemented" => 501,
        "BadDigest" | "EntityTooLarge" | "EntityTooSmall" | "ExpiredToken" | "InvalidArgument" | "InvalidPart"
        | "InvalidPartOrder" | "InvalidRequest" | "MalformedXML" | "RequestTimeout" => 400,
        code if code.starts_with("KMS.") => 400,
        _ => 500,
    }
}

/// S3's error codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>. Servers that are not S3 may
/// have none.
fn refusal(status: u16, code: Option<&str>, message: Option<&str>) -> RequestFailure {
    let throttled = matches!(status, 429 | 503);
    match (status, code) {
        _ if identity::are_expired(status, code) => RequestFailure::Expired {
            code: code.unwrap_or_default().to_owned(),
            message: message.unwrap_or("no message given").to_owned(),
        },
        (412, _) => RequestFailure::Changed,
        (416, _) => RequestFailure::BehindTheEnd,
        (408 | 429 | 500 | 502 | 503 | 504, _) | (400, Some("RequestTimeout")) => {
            RequestFailure::Transient(RequestError::Unavailable {
                status,
                code: code.unwrap_or("without an error code").to_owned(),
                throttled,
            })
        }
        _ => RequestFailure::Refused {
            status,
            code: code.map_or_else(|| format!("HTTP {status}"), str::to_owned),
            message: message.unwrap_or("no message given").to_owned(),
        },
    }
}

/// Seconds by which this machine's clock is ahead of the clock of the sender of `answer`.
fn ahead_seconds(answer: &HttpResponse) -> Option<i64> {
    let theirs = DateTime::from_str(answer.headers().get("date")?, Format::HttpDate).ok()?;
    Some(DateTime::from(SystemTime::now()).secs() - theirs.secs())
}

/// The innermost error tells the event ("connection refused"); the layers above it only that there was one.
fn root_cause(error: &dyn Error) -> Box<dyn Error + Send + Sync> {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().into()
}

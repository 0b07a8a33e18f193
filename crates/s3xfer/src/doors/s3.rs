//! S3, through aws-sdk-s3: one ranged GET at a time, with its answer checked for what the SDK does not check.
//!
//! The SDK signs, sends and parses. It does not retry here, for the retry rule resumes bodies and must see every failure;
//! it does not watch for stalled streams, for a deadline here does that without a look at the clock for each frame; and it
//! does not validate checksums of ranges, for S3 has none to compare them with.

use std::error::Error;
use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_s3::config::{
    BehaviorVersion, ConfigBag, Intercept, ResponseChecksumValidation, RuntimeComponents, StalledStreamProtectionConfig,
};
use aws_sdk_s3::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_smithy_types::byte_stream::ByteStream;
use aws_smithy_types::retry::RetryConfig;
use bytes::Bytes;
use tokio::time::timeout;

use crate::doors::connector;
use crate::words::failure::{RequestError, RequestFailure};
use crate::words::object::ObjectAddress;

/// An answer that has not begun by then counts as failed. S3's own slowest answers take a few seconds.
const FIRST_BYTE_DEADLINE: Duration = Duration::from_secs(30);
/// A body that brings no byte for this long counts as broken off (the SDK's own grace period).
const STALL_DEADLINE: Duration = Duration::from_secs(20);

/// The SDK's client as AWS's usual files and environment variables describe it.
pub(crate) async fn client_from_env() -> Client {
    let shared = aws_config::defaults(BehaviorVersion::latest()).load().await;
    let by_path = shared.endpoint_url().is_some() || std::env::var_os("AWS_ENDPOINT_URL_S3").is_some();
    Client::from_conf(aws_sdk_s3::config::Builder::from(&shared).force_path_style(by_path).build())
}

/// An S3 client for the data of objects.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    client: Client,
}

/// The beginning of an answer, and the body behind it.
#[derive(Debug)]
pub(crate) struct Answer {
    /// `None`: the server ignored the range and sends the whole object (200).
    pub(crate) content_range: Option<String>,
    pub(crate) content_length: Option<u64>,
    pub(crate) e_tag: Option<String>,
    /// Seconds and nanoseconds of the Unix epoch.
    pub(crate) last_modified: Option<(i64, u32)>,
    pub(crate) body: Body,
}

/// The bytes of an answer, as they come.
#[derive(Debug)]
pub(crate) struct Body {
    stream: ByteStream,
}

impl Store {
    /// Keeps the endpoint, credentials and, where one was set, the HTTP client of `client`; brings one of its own else.
    pub(crate) fn new(client: &Client) -> Self {
        let http_client = client.config().http_client().or_else(connector::http_client);
        let mut config = client
            .config()
            .to_builder()
            .retry_config(RetryConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .interceptor(PartialNeedsContentRange);
        config.set_http_client(http_client);
        Self { client: Client::from_conf(config.build()) }
    }

    /// GETs `range` (half-open, not empty) of the object, or all of it; with `e_tag`, only if it still is that version.
    ///
    /// # Errors
    ///
    /// What went wrong, sorted by whether another attempt can help.
    pub(crate) async fn get(
        &self,
        object: &ObjectAddress,
        range: Option<&Range<u64>>,
        e_tag: Option<&str>,
    ) -> Result<Answer, RequestFailure> {
        let request = self
            .client
            .get_object()
            .bucket(&object.bucket)
            .key(&object.key)
            .set_range(range.map(|range| format!("bytes={}-{}", range.start, range.end - 1)))
            // If-Match compares strongly: no weak ETag matches, not even itself (RFC 9110, 13.1.1).
            .set_if_match(e_tag.filter(|e_tag| !e_tag.starts_with("W/")).map(str::to_owned));
        let Ok(sent) = timeout(FIRST_BYTE_DEADLINE, request.send()).await else {
            return Err(RequestFailure::Transient(RequestError::NoAnswer { seconds: FIRST_BYTE_DEADLINE.as_secs() }));
        };
        let output = sent.map_err(failure)?;
        Ok(Answer {
            content_range: output.content_range,
            content_length: output.content_length.and_then(|length| u64::try_from(length).ok()),
            e_tag: output.e_tag,
            last_modified: output.last_modified.map(|at| (at.secs(), at.subsec_nanos())),
            body: Body { stream: output.body },
        })
    }
}

impl Body {
    /// The next frame; `None` at the end.
    ///
    /// # Errors
    ///
    /// [`RequestError::BrokeOff`] and [`RequestError::Stalled`].
    pub(crate) async fn next(&mut self) -> Option<Result<Bytes, RequestError>> {
        match timeout(STALL_DEADLINE, self.stream.next()).await {
            Err(_) => Some(Err(RequestError::Stalled { seconds: STALL_DEADLINE.as_secs() })),
            Ok(frame) => frame.map(|frame| frame.map_err(|error| RequestError::BrokeOff { source: error.into() })),
        }
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

fn failure(error: SdkError<GetObjectError>) -> RequestFailure {
    match error {
        SdkError::TimeoutError(_) => {
            RequestFailure::Transient(RequestError::Unreachable { source: "the connection timed out".into() })
        }
        SdkError::DispatchFailure(failure) => {
            // Besides I/O and time, the connector names a kind where trying again may help: a connection that the server
            // closed just as it was used again, for one.
            let named = failure.as_connector_error().is_some_and(|error| error.as_other().is_some());
            let transient = failure.is_io() || failure.is_timeout() || named;
            let source =
                failure.as_connector_error().map_or_else(|| "no cause given".into(), |error| root_cause(error));
            if transient {
                RequestFailure::Transient(RequestError::Unreachable { source })
            } else {
                RequestFailure::Final(RequestError::NotSent { source })
            }
        }
        SdkError::ConstructionFailure(_) => RequestFailure::Final(RequestError::NotSent { source: root_cause(&error) }),
        SdkError::ServiceError(ref service) => {
            let status = service.raw().status().as_u16();
            refusal(status, service.err().code(), service.err().message())
        }
        SdkError::ResponseError(ref response) if response.raw().status().as_u16() >= 400 => {
            refusal(response.raw().status().as_u16(), None, None)
        }
        _ => RequestFailure::Final(RequestError::BadResponse { what: root_cause(&error).to_string() }),
    }
}

/// S3's error codes: <https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html>. Servers that are not S3 may
/// have none.
fn refusal(status: u16, code: Option<&str>, message: Option<&str>) -> RequestFailure {
    let throttled = matches!(status, 429 | 503);
    match (status, code) {
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

/// The innermost error says what happened ("connection refused"); the layers above it only that something did.
fn root_cause(error: &dyn Error) -> Box<dyn Error + Send + Sync> {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string().into()
}

//! Failures of transfers: [`TransferError`] for callers, and the finer types by which doors report a failed request to
//! the retry rule.

use std::path::PathBuf;
use std::{error, io};

use crate::words::action::{DiskAction, Lacking, SinkAction, SourceAction};
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::object::{ArgumentError, ObjectAddress};

/// Why a transfer failed. The target's name then has no file, or the file that was there before.
///
/// Displays as a fragment that reads after "failed to download"; the cause below it is in
/// [`source`](error::Error::source).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The server refused the request for good: no such bucket or key, no permission, ...
    #[error("{object}: the server says {code}: {message}")]
    Refused {
        /// `s3://bucket/key`.
        object: String,
        /// HTTP status.
        status: u16,
        /// S3's error code, such as `NoSuchKey`.
        code: String,
        /// The server's words, or ours where it has none.
        message: String,
    },
    /// The server says that the credentials are expired, even after they were fetched again.
    #[error(
        "{object}: the server says {code}: {message}; the credentials are expired where they come from, too: log in again, \
         or renew them there (environment, profile, role)"
    )]
    CredentialsExpired {
        /// `s3://bucket/key`.
        object: String,
        /// S3's error code, such as `ExpiredToken`.
        code: String,
        /// The server's words.
        message: String,
    },
    /// The server refuses the request because its time differs too much from the server's.
    #[error("{object}: the server refuses the request's time: {}", clock(*ahead_seconds))]
    ClockSkewed {
        /// `s3://bucket/key`.
        object: String,
        /// Seconds by which this machine's clock is ahead of the server's; negative when it is behind. `None` if the
        /// server does not tell its time.
        ahead_seconds: Option<i64>,
    },
    /// The bucket is in another region than the request was signed for, and one retry in that region failed or was not
    /// possible.
    #[error("{object}: {}", wrong_region(region.as_deref(), used))]
    WrongRegion {
        /// `s3://bucket/key`.
        object: String,
        /// Its region, if the server says so.
        region: Option<String>,
        /// The region that was used.
        used: String,
    },
    /// The object was replaced while it was being downloaded or copied.
    #[error("{object}: the object was replaced during the transfer (its ETag was {e_tag}); start again")]
    ObjectChanged {
        /// `s3://bucket/key`.
        object: String,
        /// The ETag the download began with.
        e_tag: String,
    },
    /// A part failed more often than the configuration allows.
    #[error("{object}: part {part} at byte {offset}, after {attempts} attempts{}", patience(*without_byte_seconds))]
    PartFailed {
        /// `s3://bucket/key`.
        object: String,
        /// The part's number, from 0.
        part: u64,
        /// The object's byte where the last attempt stopped.
        offset: u64,
        /// Attempts made.
        attempts: u32,
        /// Seconds without a byte, if [`patience`](crate::TransferConfig::patience) was the reason to give up.
        without_byte_seconds: Option<u64>,
        /// The failure of the last one.
        source: RequestError,
    },
    /// A request could not be made, or its answer cannot be used, and a retry would not help.
    #[error("{object}")]
    Request {
        /// `s3://bucket/key`.
        object: String,
        /// The failure.
        source: RequestError,
    },
    /// The object has none of the requested bytes.
    #[error("{object}: {}", no_such_range(range, *object_bytes))]
    NoSuchRange {
        /// `s3://bucket/key`.
        object: String,
        /// The range as Rust writes it, half-open.
        range: String,
        /// The object's size, where the server was asked.
        object_bytes: Option<u64>,
    },
    /// The bytes do not match the object's checksum. No file was published; a stream has passed the bytes on already.
    /// For an upload: the server computed another checksum than this program.
    #[error("{object}: the bytes do not match the object's {algorithm} ({computed:x}, not {expected:x}); start again")]
    Corrupt {
        /// `s3://bucket/key`.
        object: String,
        /// The algorithm of the object's checksum.
        algorithm: ChecksumAlgorithm,
        /// The checksum that S3 keeps.
        expected: u64,
        /// The checksum of the received bytes.
        computed: u64,
    },
    /// The object does not fit into memory as [`memory_limit`](crate::TransferConfig::memory_limit) allows.
    #[error(
        "{object}: {bytes} bytes do not fit into the {room} that memory_limit leaves; raise it, or take the object as \
         a stream"
    )]
    TooLarge {
        /// `s3://bucket/key`.
        object: String,
        /// The requested bytes.
        bytes: u64,
        /// The bytes for which there is memory.
        room: u64,
    },
    /// The transfer took longer than [`transfer_timeout`](crate::TransferConfig::transfer_timeout).
    #[error("{object}: not done within {seconds} s, the transfer timeout")]
    TimedOut {
        /// `s3://bucket/key`.
        object: String,
        /// The timeout.
        seconds: u64,
    },
    /// The caller's sink did not take the bytes.
    #[error("{object}: the sink did not take {action}")]
    Sink {
        /// `s3://bucket/key`.
        object: String,
        /// The action that failed.
        action: SinkAction,
        /// The sink's word.
        source: io::Error,
    },
    /// The source of an upload cannot be read.
    #[error("{from}: cannot {action}")]
    Source {
        /// The file, or the name of a stream.
        from: String,
        /// The action that failed.
        action: SourceAction,
        /// The operating system's or the stream's word.
        source: io::Error,
    },
    /// The file was changed during its upload. No object was written.
    #[error("{}: the file was changed during the upload; start again once nobody writes to it", path.display())]
    SourceChanged {
        /// The file.
        path: PathBuf,
    },
    /// The condition on the object's state does not hold (`If-None-Match`, `If-Match`). Nothing was written.
    #[error("{object}: not written, because that was allowed only if {condition}")]
    ConditionFailed {
        /// `s3://bucket/key`.
        object: String,
        /// The condition, in words.
        condition: String,
    },
    /// The object would be larger than S3 allows.
    #[error("{object}: {bytes} bytes are more than the {most} that an object may have")]
    BeyondS3 {
        /// `s3://bucket/key`.
        object: String,
        /// Bytes of the source, as far as they are known.
        bytes: u64,
        /// The largest size: 10,000 parts of the largest possible size.
        most: u64,
    },
    /// A part of a stream does not fit into memory, where it has to stay until the server has it.
    #[error(
        "{object}: a part of {part_bytes} bytes does not fit into the {room} that memory_limit leaves; raise it, or \
         lower multipart_chunksize (S3 takes no part below 5 MiB but the last)"
    )]
    NoRoomForPart {
        /// `s3://bucket/key`.
        object: String,
        /// Bytes of the part.
        part_bytes: u64,
        /// For it.
        room: u64,
    },
    /// An upload of a stream needs memory or requests that other streams of the same client hold. These have not been
    /// read for a long time: they may be waiting for this upload.
    #[error(
        "{object}: {lacking} has been held for {seconds} s by streams of the same client that nobody reads; read them \
         meanwhile, raise {}, or give the upload a client of its own", lacking.parameter()
    )]
    HeldByStreams {
        /// `s3://bucket/key`.
        object: String,
        /// The thing that is held.
        lacking: Lacking,
        /// The length of that time: [`stall_timeout_seconds`](crate::TransferConfig::stall_timeout).
        seconds: u64,
    },
    /// The target cannot be written.
    #[error("{}: cannot {action}", path.display())]
    Disk {
        /// The file in question.
        path: PathBuf,
        /// The action that failed.
        action: DiskAction,
        /// The operating system's word.
        source: io::Error,
    },
}

impl TransferError {
    /// For callers that choose the next step by it.
    #[must_use]
    pub fn kind(&self) -> TransferErrorKind {
        match self {
            Self::Refused { status: 404, .. } => TransferErrorKind::NotFound,
            Self::Refused { status: 401 | 403, .. } => TransferErrorKind::Denied,
            Self::Refused { .. } => TransferErrorKind::Refused,
            Self::CredentialsExpired { .. } => TransferErrorKind::Denied,
            Self::ClockSkewed { .. } => TransferErrorKind::Refused,
            Self::WrongRegion { .. } => TransferErrorKind::WrongRegion,
            Self::ObjectChanged { .. } => TransferErrorKind::ObjectChanged,
            Self::PartFailed { source, .. } | Self::Request { source, .. } => match source {
                RequestError::Unreachable { .. } => TransferErrorKind::Unreachable,
                RequestError::NotSent { .. } | RequestError::Argument { .. } | RequestError::KeyInClear { .. } => {
                    TransferErrorKind::NotSent
                }
                RequestError::BadResponse { .. } => TransferErrorKind::BadResponse,
                _ => TransferErrorKind::Interrupted,
            },
            Self::NoSuchRange { .. } => TransferErrorKind::NoSuchRange,
            Self::Corrupt { .. } => TransferErrorKind::Corrupt,
            Self::TooLarge { .. } => TransferErrorKind::TooLarge,
            Self::BeyondS3 { .. } | Self::NoRoomForPart { .. } => TransferErrorKind::TooLarge,
            Self::HeldByStreams { .. } => TransferErrorKind::HeldByStreams,
            Self::ConditionFailed { .. } => TransferErrorKind::ConditionFailed,
            Self::SourceChanged { .. } => TransferErrorKind::SourceChanged,
            Self::Source { .. } => TransferErrorKind::Source,
            Self::TimedOut { .. } => TransferErrorKind::TimedOut,
            Self::Sink { .. } => TransferErrorKind::Sink,
            Self::Disk { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => TransferErrorKind::DiskFull,
                _ => TransferErrorKind::Disk,
            },
        }
    }
}

fn clock(ahead_seconds: Option<i64>) -> String {
    let off = match ahead_seconds {
        Some(ahead @ 0..) => format!("{ahead} s ahead"),
        Some(behind) => format!("{} s behind", behind.unsigned_abs()),
        None => "off".to_owned(),
    };
    format!("this machine's clock is {off}; set it right")
}

fn wrong_region(region: Option<&str>, used: &str) -> String {
    match region {
        Some(region) => format!(
            "the server says that the bucket is in region {region}, not in {used}; name the right one (--region or AWS_REGION)"
        ),
        None => format!(
            "the bucket is in another region than {used}, and the server does not say which; name it (--region or AWS_REGION)"
        ),
    }
}

fn patience(without_byte_seconds: Option<u64>) -> String {
    without_byte_seconds.map_or_else(String::new, |seconds| {
        format!(" and {seconds} s without a byte; raise patience_seconds to wait longer")
    })
}

fn no_such_range(range: &str, object_bytes: Option<u64>) -> String {
    match object_bytes {
        Some(bytes) => format!("no byte of the range {range} is in the object, which has {bytes}"),
        None => format!("the range {range} has no byte in it"),
    }
}

/// The kinds of [`TransferError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransferErrorKind {
    /// The bucket or the key does not exist.
    NotFound,
    /// The credentials are missing, wrong or not allowed to read the object.
    Denied,
    /// The server refuses for another reason.
    Refused,
    /// The bucket is in another region.
    WrongRegion,
    /// The object was replaced during the download.
    ObjectChanged,
    /// No connection to the endpoint.
    Unreachable,
    /// The request could not be made: no region, no credentials, an endpoint that is not a URL, a key that is too long.
    NotSent,
    /// The server's answer contradicts the request or itself.
    BadResponse,
    /// The server kept failing, throttling, stalling or breaking off.
    Interrupted,
    /// The object has none of the requested bytes.
    NoSuchRange,
    /// The bytes do not match the object's checksum.
    Corrupt,
    /// The object is larger than the memory limit, or than S3 allows.
    TooLarge,
    /// The condition on the object's state does not hold: it exists already, or was replaced.
    ConditionFailed,
    /// Streams of the same client hold the memory or requests that the upload needs.
    HeldByStreams,
    /// The file was changed while it was being uploaded.
    SourceChanged,
    /// The source of an upload cannot be read.
    Source,
    /// The whole transfer took too long.
    TimedOut,
    /// The caller's sink failed.
    Sink,
    /// No room on the target's device.
    DiskFull,
    /// Another failure of the target.
    Disk,
}

/// The failure of one request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// No connection, or it ended before the answer began.
    #[error("no answer from the endpoint")]
    Unreachable {
        /// The connector's word.
        source: Box<dyn error::Error + Send + Sync>,
    },
    /// The answer did not begin in time.
    #[error("no answer within {seconds} s")]
    NoAnswer {
        /// The deadline.
        seconds: u64,
    },
    /// The request would be invalid. Nothing was sent.
    #[error(transparent)]
    Argument {
        /// The argument, and its bound.
        source: ArgumentError,
    },
    /// The customer's key would be sent without TLS. Nothing was sent.
    #[error(
        "the customer's key (SSE-C) would be sent in clear to {endpoint}; use an https endpoint, or allow it with \
         SseCustomerKey::dangerously_allow_plaintext_http"
    )]
    KeyInClear {
        /// Scheme and host that the request was for.
        endpoint: String,
    },
    /// The request could not be made.
    #[error("the request cannot be made")]
    NotSent {
        /// Why.
        source: Box<dyn error::Error + Send + Sync>,
    },
    /// The server reports that it is overloaded or has failed.
    #[error("the server says {status} {code}")]
    Unavailable {
        /// HTTP status.
        status: u16,
        /// S3's error code.
        code: String,
        /// Whether it asks for fewer requests (503 SlowDown, 429).
        throttled: bool,
    },
    /// The answer contradicts the request or itself.
    #[error("the server's answer cannot be used: {what}")]
    BadResponse {
        /// The difference.
        what: String,
    },
    /// The body ended before its length.
    #[error("the body broke off")]
    BrokeOff {
        /// The transport's word.
        source: Box<dyn error::Error + Send + Sync>,
    },
    /// The transfer brought less than [`min_bytes_per_second`](crate::TransferConfig::min_bytes_per_second) during the
    /// wait for this body.
    #[error("only {bytes_per_second} bytes/s over {seconds} s, and min_bytes_per_second is {least}")]
    TooSlow {
        /// The rate of all parts together, rounded down.
        bytes_per_second: u64,
        /// The wait for the body: [`min_rate_window`](crate::TransferConfig::min_rate_window), or slightly more.
        seconds: u64,
        /// The lowest rate.
        least: u64,
    },
    /// The body stalled.
    #[error("no byte for {seconds} s")]
    Stalled {
        /// The deadline.
        seconds: u64,
    },
}

/// A door's account of a request that did not give the object's bytes.
#[derive(Debug)]
pub(crate) enum RequestFailure {
    /// Worth another attempt, if the retry rule agrees.
    Transient(RequestError),
    /// Another attempt would end the same way.
    Final(RequestError),
    /// The object is not the one the download began with (412).
    Changed,
    /// The range begins at or behind the object's end (416): an empty object, when the range began at 0.
    BehindTheEnd,
    /// The server refuses for good.
    Refused { status: u16, code: String, message: String },
    /// The credentials are expired, also after they were fetched again.
    Expired { code: String, message: String },
    /// This machine's clock is that far ahead.
    Skewed { ahead_seconds: Option<i64> },
    /// The bucket is in another region than `used`.
    WrongRegion { region: Option<String>, used: String },
}

impl RequestFailure {
    /// The caller's error for a failure that is final for `object`, which the download pinned to `e_tag`.
    pub(crate) fn into_error(self, object: &ObjectAddress, e_tag: Option<&str>) -> TransferError {
        let object = object.to_string();
        match self {
            Self::Transient(source) | Self::Final(source) => TransferError::Request { object, source },
            Self::Changed => TransferError::ObjectChanged { object, e_tag: e_tag.unwrap_or("not given").to_owned() },
            Self::BehindTheEnd => TransferError::Request {
                object,
                source: RequestError::BadResponse {
                    what: "416 for a range inside the object; the object may have been replaced by a shorter one"
                        .to_owned(),
                },
            },
            Self::Expired { code, message } => TransferError::CredentialsExpired { object, code, message },
            Self::Skewed { ahead_seconds } => TransferError::ClockSkewed { object, ahead_seconds },
            Self::WrongRegion { region, used } => TransferError::WrongRegion { object, region, used },
            Self::Refused { status, code, message } => TransferError::Refused { object, status, code, message },
        }
    }
}

//! Between the protocol's words and ours.

use std::time::SystemTime;

use crate::doors::s3::dto::*;
use crate::doors::s3::{S3Error, S3ErrorCode};
use crate::rules::conditions::{Tag, WriteVerdict};
use crate::rules::uri;
use crate::words::{Algorithm, Checksums};

pub(super) fn error(code: S3ErrorCode, message: impl Into<String>) -> S3Error {
    S3Error::with_message(code, message.into())
}

pub(super) fn no_such_bucket() -> S3Error {
    error(S3ErrorCode::NoSuchBucket, "The specified bucket does not exist.")
}

pub(super) fn no_such_key() -> S3Error {
    error(S3ErrorCode::NoSuchKey, "The specified key does not exist.")
}

pub(super) fn no_such_upload() -> S3Error {
    error(S3ErrorCode::NoSuchUpload, "The specified multipart upload does not exist.")
}

pub(super) fn malformed_xml() -> S3Error {
    let message = "The XML you provided was not well-formed or did not validate against our published schema.";
    error(S3ErrorCode::MalformedXML, message)
}

pub(super) fn precondition_failed() -> S3Error {
    error(S3ErrorCode::PreconditionFailed, "At least one of the preconditions you specified did not hold.")
}

/// A verdict on a conditional write, as an error where it is one.
pub(super) fn writable(verdict: WriteVerdict) -> Result<(), S3Error> {
    match verdict {
        WriteVerdict::Proceed => Ok(()),
        WriteVerdict::Failed => Err(precondition_failed()),
        WriteVerdict::NoSuchKey => Err(no_such_key()),
        WriteVerdict::NotImplemented => {
            let message = "A header you provided implies functionality that is not implemented";
            Err(error(S3ErrorCode::NotImplemented, message))
        }
    }
}

pub(super) fn tag(condition: ETagCondition) -> Tag {
    match condition {
        ETagCondition::Any => Tag::Any,
        ETagCondition::ETag(ETag::Strong(value)) => Tag::Is { value, weak: false },
        ETagCondition::ETag(ETag::Weak(value)) => Tag::Is { value, weak: true },
    }
}

pub(super) fn etag(value: &str) -> Option<ETag> {
    Some(ETag::Strong(value.to_owned()))
}

/// The time of a header; whole seconds, as the protocol's are.
pub(super) fn time(timestamp: Timestamp) -> Option<SystemTime> {
    // The protocol layer's type gives its time as text only.
    let mut text = Vec::new();
    timestamp.format(TimestampFormat::EpochSeconds, &mut text).ok()?;
    let seconds: f64 = std::str::from_utf8(&text).ok()?.parse().ok()?;
    let since = std::time::Duration::try_from_secs_f64(seconds.abs().floor()).ok()?;
    if seconds < 0.0 { SystemTime::UNIX_EPOCH.checked_sub(since) } else { SystemTime::UNIX_EPOCH.checked_add(since) }
}

pub(super) fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Some(Timestamp::from(time))
}

pub(super) fn size(bytes: u64) -> Option<i64> {
    i64::try_from(bytes).ok()
}

pub(super) fn checksum_type(composite: bool) -> Option<ChecksumType> {
    Some(ChecksumType::from_static(if composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT }))
}

/// Writes checksums into any output that has the five fields.
macro_rules! set_checksums {
    ($output:expr, $get:expr) => {{
        let get = $get;
        $output.checksum_crc32 = get($crate::words::Algorithm::Crc32);
        $output.checksum_crc32c = get($crate::words::Algorithm::Crc32c);
        $output.checksum_crc64nvme = get($crate::words::Algorithm::Crc64Nvme);
        $output.checksum_sha1 = get($crate::words::Algorithm::Sha1);
        $output.checksum_sha256 = get($crate::words::Algorithm::Sha256);
    }};
}

/// Reads the checksums of any input that has the five fields.
macro_rules! given_checksums {
    ($input:expr) => {{
        use $crate::words::Algorithm;
        [
            (Algorithm::Crc32, $input.checksum_crc32.clone()),
            (Algorithm::Crc32c, $input.checksum_crc32c.clone()),
            (Algorithm::Crc64Nvme, $input.checksum_crc64nvme.clone()),
            (Algorithm::Sha1, $input.checksum_sha1.clone()),
            (Algorithm::Sha256, $input.checksum_sha256.clone()),
        ]
        .into_iter()
        .filter_map(|(algorithm, value)| value.map(|value| (algorithm, value)))
        .collect::<Vec<_>>()
    }};
}

/// The headers an upload's request asks to keep.
macro_rules! standard_headers {
    ($input:expr) => {
        $crate::words::StandardHeaders {
            cache_control: $input.cache_control,
            content_disposition: $input.content_disposition,
            content_encoding: $input.content_encoding.and_then($crate::engine::backend::convert::kept_encoding),
            content_language: $input.content_language,
            content_type: $input.content_type,
            expires: $input.expires.and_then($crate::engine::backend::convert::time),
            metadata: $input.metadata,
            tags: $crate::engine::backend::convert::tags($input.tagging.as_deref()),
            storage_class: $input.storage_class.as_ref().map(|class| class.as_str().to_owned()),
            encryption: $input.server_side_encryption.as_ref().map(|encryption| encryption.as_str().to_owned()),
            kms_key_id: $input.ssekms_key_id,
        }
    };
}

/// The conditions on a copy's source.
macro_rules! copy_conditions {
    ($input:expr) => {
        $crate::rules::conditions::Conditions {
            if_match: $input.copy_source_if_match.take().map($crate::engine::backend::convert::tag),
            if_none_match: $input.copy_source_if_none_match.take().map($crate::engine::backend::convert::tag),
            if_modified_since: $input
                .copy_source_if_modified_since
                .take()
                .and_then($crate::engine::backend::convert::time),
            if_unmodified_since: $input
                .copy_source_if_unmodified_since
                .take()
                .and_then($crate::engine::backend::convert::time),
        }
    };
}

pub(super) use {copy_conditions, given_checksums, set_checksums, standard_headers};

/// The tags of `x-amz-tagging`, a query string.
pub(super) fn tags(text: Option<&str>) -> Vec<(String, String)> {
    let decoded = |part: &str| uri::decode(&part.replace('+', " "));
    let pairs = text.unwrap_or("").split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(key, value)| (decoded(key), decoded(value))).collect()
}

/// The condition in that header, if there is one.
pub(super) fn tag_of(headers: &http::HeaderMap, name: &str) -> Result<Option<Tag>, S3Error> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let wrong = |_| error(S3ErrorCode::InvalidArgument, format!("The {name} header is no ETag."));
    let text = value.to_str().map_err(wrong)?.trim();
    let (weak, text) = text.strip_prefix("W/").map_or((false, text), |text| (true, text));
    Ok(Some(match text {
        "*" => Tag::Any,
        text => Tag::Is { value: text.trim_matches('"').to_owned(), weak },
    }))
}

/// `aws-chunked` says how the request was sent, not how the object is encoded.
pub(super) fn kept_encoding(value: String) -> Option<String> {
    let kept: Vec<_> = value.split(',').map(str::trim).filter(|v| !v.is_empty() && *v != "aws-chunked").collect();
    (!kept.is_empty()).then(|| kept.join(","))
}

/// The algorithm a request names, if it names one.
pub(super) fn algorithm(named: Option<&ChecksumAlgorithm>) -> Result<Option<Algorithm>, S3Error> {
    named
        .map(|named| {
            Algorithm::from_name(named.as_str()).ok_or_else(|| {
                error(S3ErrorCode::InvalidRequest, format!("The checksum algorithm {} is not known.", named.as_str()))
            })
        })
        .transpose()
}

pub(super) fn algorithms(checksums: &Checksums) -> Option<Vec<ChecksumAlgorithm>> {
    let names: Vec<_> =
        checksums.values.iter().map(|(algorithm, _)| ChecksumAlgorithm::from_static(algorithm.name())).collect();
    (!names.is_empty()).then_some(names)
}

/// Bucket and key of a copy's source.
pub(super) fn copy_source(source: &CopySource) -> Result<(&str, &str), S3Error> {
    match source {
        CopySource::Bucket { bucket, key, .. } => Ok((bucket, key)),
        _ => Err(error(S3ErrorCode::NotImplemented, "Only BUCKET/KEY copy sources are known here.")),
    }
}

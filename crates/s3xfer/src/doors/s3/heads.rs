//! Headers of answers that bring something: only those that are read here reach the SDK, in the form that it
//! understands.
//!
//! The SDK models some forty headers of an object, parses all of them, and fails where it cannot parse one. Most of
//! them were chosen by the writer of the object, or are for others. So the rest is taken away before it is parsed. An
//! optional header that cannot be understood is taken away, too, and is then absent in every answer alike. A header
//! that a download needs, or that would mislead it, is an error that names it.
//!
//! Answers that refuse keep all headers.

use std::mem;

use aws_sdk_s3::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;

use super::date;

/// Headers that the SDK itself reads of every answer (ids for its logs, the time for its clock), and the bucket's
/// region.
const OF_EVERY_ANSWER: [&str; 4] = ["date", "x-amz-bucket-region", "x-amz-id-2", "x-amz-request-id"];

/// The headers of the object's checksum.
const CHECKSUMS: [&str; 6] = [
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-checksum-sha1",
    "x-amz-checksum-sha256",
    "x-amz-checksum-type",
];

/// The time of the last change of the file that the object was made of, where its uploader has kept it.
pub(super) const MTIME: &str = "x-amz-meta-mtime";

/// Why an answer cannot be used. Ends a sentence about the answer.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum OddHead {
    #[error("its {header} headers contradict one another: {one} and {other}")]
    Contradiction { header: &'static str, one: String, other: String },
    #[error("its {header} header is not text: {value}")]
    NotText { header: &'static str, value: String },
    #[error("its {header} header is not a number: {value}")]
    NotANumber { header: &'static str, value: String },
}

/// Takes away headers that are not read.
#[derive(Debug)]
pub(super) struct OnlyWhatIsRead;

impl Intercept for OnlyWhatIsRead {
    fn name(&self) -> &'static str {
        "OnlyWhatIsRead"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let response = context.response_mut();
        if response.status().is_success() {
            let all = mem::take(response.headers_mut());
            for (name, value) in read(|name| all.get_all_bytes(name).map(<[u8]>::trim_ascii).collect())? {
                response.headers_mut().try_insert(name, value)?;
            }
        }
        Ok(())
    }
}

/// The headers that are read, once each, from all values of each.
fn read<'a>(all: impl Fn(&'static str) -> Vec<&'a [u8]>) -> Result<Vec<(&'static str, String)>, OddHead> {
    let mut kept = Vec::new();
    kept.extend(length("content-length", &all("content-length"))?);
    for needed in ["content-range", "etag"] {
        kept.extend(agreed(needed, &all(needed))?.map(|value| (needed, value)));
    }
    kept.extend(last_modified(&all("last-modified")).map(|value| ("last-modified", value)));
    for optional in CHECKSUMS.into_iter().chain([MTIME]) {
        // A header that contradicts itself says nothing.
        kept.extend(agreed(optional, &all(optional)).ok().flatten().map(|value| (optional, value)));
    }
    for first in OF_EVERY_ANSWER {
        let text = all(first).first().and_then(|value| std::str::from_utf8(value).ok());
        kept.extend(text.map(|value| (first, value.to_owned())));
    }
    Ok(kept)
}

/// The one text that all values of a header are; an empty one says nothing.
fn agreed(header: &'static str, values: &[&[u8]]) -> Result<Option<String>, OddHead> {
    let lossy = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let Some(one) = values.first() else { return Ok(None) };
    if let Some(other) = values.iter().find(|other| *other != one) {
        return Err(OddHead::Contradiction { header, one: lossy(one), other: lossy(other) });
    }
    let text = std::str::from_utf8(one).map_err(|_| OddHead::NotText { header, value: lossy(one) })?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

/// The one length that all agree on, also within a list (RFC 9110, 8.6).
fn length(header: &'static str, values: &[&[u8]]) -> Result<Option<(&'static str, String)>, OddHead> {
    let items = values.iter().flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    let Some(value) = agreed(header, &items.collect::<Vec<_>>())? else { return Ok(None) };
    match value.bytes().all(|byte| byte.is_ascii_digit()) && value.parse::<i64>().is_ok() {
        true => Ok(Some((header, value))),
        false => Err(OddHead::NotANumber { header, value }),
    }
}

/// The one time that all mean, as the SDK reads it.
fn last_modified(values: &[&[u8]]) -> Option<String> {
    let mut times = values.iter().map(|value| date::parse(std::str::from_utf8(value).ok()?));
    let (seconds, nanoseconds) = times.next()??;
    let same = times.all(|other| other == Some((seconds, nanoseconds)));
    DateTime::from_secs_and_nanos(seconds, nanoseconds).fmt(Format::HttpDate).ok().filter(|_| same)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Head<'a> = &'a [(&'static str, &'a [u8])];

    fn of(head: Head<'_>) -> Result<Vec<(&'static str, String)>, OddHead> {
        read(|name| head.iter().filter(|(header, _)| *header == name).map(|(_, value)| *value).collect())
    }

    #[test]
    fn what_is_not_read_is_taken_away_and_the_rest_is_there_once() {
        let head: Head<'_> = &[
            ("content-length", b"5, 5"),
            ("content-length", b"5"),
            ("etag", b"\"a\""),
            ("etag", b"\"a\""),
            ("expires", b"0"),
            ("last-modified", b"2026-11-22T16:00:00Z"),
            ("x-amz-checksum-crc32", b"a"),
            ("x-amz-checksum-crc32", b"b"),
            ("x-amz-checksum-sha1", b"\xff"),
            ("x-amz-request-id", b"one"),
            ("x-amz-request-id", b"two"),
        ];
        let kept = of(head).unwrap();
        let expected = [
            ("content-length", "5"),
            ("etag", "\"a\""),
            ("last-modified", "Sun, 22 Nov 2026 16:00:00 GMT"),
            ("x-amz-request-id", "one"),
        ];
        assert_eq!(kept, expected.map(|(name, value)| (name, value.to_owned())));
        assert!(of(&[("etag", b""), ("last-modified", b"soon")]).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_relied_on_is_named() {
        let said = |head: Head<'_>| of(head).unwrap_err().to_string();
        assert_eq!(said(&[("etag", b"a"), ("etag", b"b")]), "its etag headers contradict one another: a and b");
        assert!(said(&[("content-range", b"\xff")]).contains("content-range"));
        for length in [&b"x"[..], b"-5", b"5,6", b"99999999999999999999"] {
            assert!(said(&[("content-length", length)]).contains("content-length"));
        }
    }
}

//! Heads of answers that need no second look: a success, with each header at most once and as the server ought to write
//! it.
//!
//! The result is the same as the SDK's, for objects that are read after [`heads`](super::heads). Any other head goes
//! through the SDK. Pure.

use aws_sdk_s3::types::ChecksumType;
use http::header::{AsHeaderName, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::heads::MTIME;
use super::writing::Written;
use super::{StoredChecksum, date, stored_checksum, writing};
use crate::words::checksum::ChecksumAlgorithm;

/// The beginning of an answer.
#[derive(Debug, PartialEq)]
pub(super) struct Plain {
    pub(super) content_range: Option<String>,
    pub(super) content_length: Option<u64>,
    pub(super) e_tag: Option<String>,
    pub(super) last_modified: Option<(i64, u32)>,
    pub(super) mtime: Option<String>,
    pub(super) checksum: StoredChecksum,
}

/// The headers' meaning; `None` for headers that need a second look.
pub(super) fn read(status: StatusCode, headers: &HeaderMap) -> Option<Plain> {
    let content_range = text(headers, "content-range")?;
    let fits = match status {
        StatusCode::OK => content_range.is_none(),
        StatusCode::PARTIAL_CONTENT => content_range.is_some(),
        _ => false,
    };
    if !fits {
        return None;
    }
    let content_length = match text(headers, "content-length")? {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            // The SDK has lengths as signed numbers.
            Some(u64::try_from(digits.parse::<i64>().ok()?).ok()?)
        }
        Some(_) => return None,
        None => None,
    };
    let last_modified = match text(headers, "last-modified")? {
        // The form in which the SDK reads times has no place for times before 1970, and rounds parts of a second.
        Some(time) => Some(date::parse(time).filter(|(seconds, nanoseconds)| *seconds >= 0 && *nanoseconds == 0)?),
        None => None,
    };
    let kind = text(headers, "x-amz-checksum-type")?.map(ChecksumType::from);
    let crcs = [
        (ChecksumAlgorithm::Crc64Nvme, text(headers, "x-amz-checksum-crc64nvme")?),
        (ChecksumAlgorithm::Crc32c, text(headers, "x-amz-checksum-crc32c")?),
        (ChecksumAlgorithm::Crc32, text(headers, "x-amz-checksum-crc32")?),
    ];
    let sha = text(headers, "x-amz-checksum-sha1")?.is_some() | text(headers, "x-amz-checksum-sha256")?.is_some();
    Some(Plain {
        content_range: content_range.map(str::to_owned),
        content_length,
        e_tag: text(headers, "etag")?.map(str::to_owned),
        last_modified,
        mtime: text(headers, MTIME)?.map(str::to_owned),
        checksum: stored_checksum(kind.as_ref(), crcs, sha),
    })
}

/// The meaning of the answer to a PutObject, with the checksum of that algorithm; `None` for one that needs a second
/// look. Every header that the SDK may read has to be plain, because it fails at one that is not.
pub(super) fn written(status: StatusCode, headers: &HeaderMap, algorithm: ChecksumAlgorithm) -> Option<Written> {
    if status != StatusCode::OK {
        return None;
    }
    for name in headers.keys().filter(|name| **name == ETAG || name.as_str().starts_with("x-amz-")) {
        let value = text(headers, name)??;
        let is_understood = match name.as_str() {
            "x-amz-object-size" => value.parse::<i64>().is_ok(),
            "x-amz-server-side-encryption-bucket-key-enabled" => matches!(value, "true" | "false"),
            _ => true,
        };
        if !is_understood {
            return None;
        }
    }
    let checksum = match algorithm {
        ChecksumAlgorithm::Crc32 => "x-amz-checksum-crc32",
        ChecksumAlgorithm::Crc32c => "x-amz-checksum-crc32c",
        ChecksumAlgorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
    };
    Some(Written {
        e_tag: text(headers, "etag")?.map(str::to_owned),
        version_id: text(headers, "x-amz-version-id")?.map(str::to_owned),
        checksum: text(headers, checksum)?.and_then(|text| writing::read(algorithm, text)),
    })
}

/// The one value of a header, if it has one; `None` for several, and for text that is not visible ASCII.
fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<Option<&str>> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else { return Some(None) };
    let text = HeaderValue::to_str(value).ok()?.trim();
    (values.next().is_none() && !text.is_empty()).then_some(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn a_plain_head_says_what_it_says() {
        let head = headers(&[
            ("content-length", "10"),
            ("content-range", "bytes 0-9/95"),
            ("etag", "\"a\""),
            ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("x-amz-checksum-type", "FULL_OBJECT"),
            ("x-amz-checksum-crc64nvme", "AAAAAAAAAAE="),
            ("x-amz-meta-a", "\u{fc}"),
        ]);
        let told = read(StatusCode::PARTIAL_CONTENT, &head).unwrap();
        assert_eq!((told.content_range.as_deref(), told.content_length), (Some("bytes 0-9/95"), Some(10)));
        assert_eq!((told.e_tag.as_deref(), told.last_modified), (Some("\"a\""), Some((784_111_777, 0))));
        assert_eq!(told.checksum, StoredChecksum::Whole(ChecksumAlgorithm::Crc64Nvme, vec![0, 0, 0, 0, 0, 0, 0, 1]));
    }

    #[test]
    fn what_is_odd_is_not_plain() {
        let range = ("content-range", "bytes 0-9/95");
        assert!(read(StatusCode::OK, &headers(&[])).is_some());
        assert!(read(StatusCode::OK, &headers(&[range])).is_none());
        assert!(read(StatusCode::PARTIAL_CONTENT, &headers(&[])).is_none());
        for status in [201_u16, 204, 301, 304, 403, 404, 503] {
            assert!(read(StatusCode::from_u16(status).unwrap(), &headers(&[])).is_none(), "{status}");
        }
        for odd in [
            [("content-length", "10"), ("content-length", "10")],
            [("content-length", "+10"), ("etag", "a")],
            [("content-length", "99999999999999999999"), ("etag", "a")],
            [("etag", "\u{fc}"), ("content-length", "10")],
            [("etag", ""), ("content-length", "10")],
            [("last-modified", "never"), ("content-length", "10")],
            [("last-modified", "Wed, 31 Dec 1969 23:59:59 GMT"), ("content-length", "10")],
            [("last-modified", "1994-11-06T08:49:37.5Z"), ("content-length", "10")],
            [("x-amz-checksum-crc32", "a"), ("x-amz-checksum-crc32", "b")],
        ] {
            assert!(read(StatusCode::OK, &headers(&odd)).is_none(), "{odd:?}");
        }
    }

    #[test]
    fn an_answer_to_a_write_is_plain_where_the_sdk_would_understand_all_of_it() {
        let told = |status, all: &[_]| written(status, &headers(all), ChecksumAlgorithm::Crc32);
        let crc32 = ("x-amz-checksum-crc32", "AAAAAQ==");
        let kept = ("x-amz-server-side-encryption-bucket-key-enabled", "true");
        let size = ("x-amz-object-size", "16384");
        let good = told(StatusCode::OK, &[("etag", "\"a\""), ("x-amz-version-id", "v"), crc32, kept, size]).unwrap();
        assert_eq!((good.e_tag.as_deref(), good.version_id.as_deref()), (Some("\"a\""), Some("v")));
        assert_eq!(good.checksum, Some(1));
        let other = told(StatusCode::OK, &[("x-amz-checksum-crc32c", "AAAAAQ=="), ("server", "\u{fc}")]).unwrap();
        assert_eq!((other.e_tag, other.checksum), (None, None));
        for status in [201_u16, 204, 301, 400, 403, 503] {
            assert!(told(StatusCode::from_u16(status).unwrap(), &[]).is_none(), "{status}");
        }
        for odd in [
            [("etag", "\"a\""), ("etag", "\"a\"")],
            [("etag", "\u{fc}"), kept],
            [("x-amz-expiration", "a"), ("x-amz-expiration", "b")],
            [("x-amz-version-id", ""), kept],
            [("x-amz-object-size", "many"), kept],
            [("x-amz-server-side-encryption-bucket-key-enabled", "yes"), size],
        ] {
            assert!(told(StatusCode::OK, &odd).is_none(), "{odd:?}");
        }
    }
}

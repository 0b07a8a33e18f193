//! The address of an object, and ranges of its bytes.

use std::fmt;
use std::ops::{Bound, Range, RangeBounds};

/// An object's address. Displays as `s3://bucket/key`. For an object behind a URL, the bucket is the URL's origin
/// (`https://host`), which cannot be a bucket's name, and the key is the URL's path; it then displays as the URL
/// without its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ObjectAddress {
    pub(crate) bucket: String,
    pub(crate) key: String,
}

/// Whether the bucket is one of S3's directory buckets, or an access point of one: these have no order, no
/// `start-after`, ETags that do not depend on the bytes, and sessions of their own (S3 User Guide, "Directory bucket
/// naming rules", "Differences for directory buckets").
pub(crate) fn is_directory_bucket(bucket: &str) -> bool {
    ["--x-s3", "--xa-s3"].iter().any(|end| bucket.ends_with(end))
}

/// A name longer than S3 has them is shown by its beginning.
impl fmt::Display for ObjectAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.bucket.contains("://") {
            f.write_str("s3://")?;
        }
        for (name, most, end) in [(&self.bucket, MOST_BUCKET_BYTES, "/"), (&self.key, MOST_KEY_BYTES, "")] {
            match name.len() <= most {
                true => write!(f, "{name}{end}")?,
                false => write!(f, "{}...{end}", name.chars().take(60).collect::<String>())?,
            }
        }
        Ok(())
    }
}

/// S3 User Guide, "Naming Amazon S3 objects": a key is at most 1,024 bytes of UTF-8.
const MOST_KEY_BYTES: usize = 1024;
/// S3 User Guide, "Retaining multiple versions of objects with S3 Versioning": a version id is no more than 1,024
/// bytes.
const MOST_VERSION_BYTES: usize = 1024;
/// The longest ARN (IAM API Reference, `arnType`), which may stand for a bucket; buckets' own names are shorter.
const MOST_BUCKET_BYTES: usize = 2048;
/// AWS's accounts have 12 digits; other servers' identifiers are longer.
const MOST_OWNER_BYTES: usize = 255;

/// A request's subject: an object, its version, its bytes, and the headers that give access to them.
#[derive(Debug, Clone)]
pub(crate) struct ObjectRequest {
    pub(crate) address: ObjectAddress,
    pub(crate) version_id: Option<String>,
    pub(crate) range: ByteRange,
    pub(crate) sse_customer_key: Option<SseCustomerKey>,
    pub(crate) request_payer: bool,
    pub(crate) expected_bucket_owner: Option<String>,
}

impl ObjectRequest {
    pub(crate) fn new(address: ObjectAddress) -> Self {
        Self {
            address,
            version_id: None,
            range: ByteRange::WHOLE,
            sse_customer_key: None,
            request_payer: false,
            expected_bucket_owner: None,
        }
    }

    /// Checks that a request for it can be written at all. Only the server knows whether the object exists.
    ///
    /// # Errors
    ///
    /// The first invalid argument.
    pub(crate) fn check(&self) -> Result<(), ArgumentError> {
        length(Argument::Bucket, &self.address.bucket, MOST_BUCKET_BYTES)?;
        length(Argument::Key, &self.address.key, MOST_KEY_BYTES)?;
        if let Some(version_id) = &self.version_id {
            length(Argument::VersionId, version_id, MOST_VERSION_BYTES)?;
        }
        if let Some(owner) = &self.expected_bucket_owner {
            length(Argument::ExpectedBucketOwner, owner, MOST_OWNER_BYTES)?;
            // RFC 9110, 5.5; text that is not ASCII could not be signed.
            if let Some(letter) = owner.chars().find(|letter| !letter.is_ascii_graphic()) {
                return Err(ArgumentError::Letter { argument: Argument::ExpectedBucketOwner, letter });
            }
        }
        Ok(())
    }
}

fn length(argument: Argument, text: &str, most: usize) -> Result<(), ArgumentError> {
    match text.len() {
        0 => Err(ArgumentError::Empty { argument }),
        bytes if bytes > most => Err(ArgumentError::TooLong { argument, bytes, most }),
        _ => Ok(()),
    }
}

/// The reason why a transfer's arguments are invalid on any server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentError {
    /// It is empty.
    #[error("the {argument} is empty")]
    Empty {
        /// The argument in question.
        argument: Argument,
    },
    /// It is longer than S3 allows.
    #[error("the {argument} has {bytes} bytes; S3 takes at most {most}")]
    TooLong {
        /// The argument in question.
        argument: Argument,
        /// Its bytes in UTF-8.
        bytes: usize,
        /// The bound.
        most: usize,
    },
    /// It holds a letter that no request can carry there.
    #[error("the {argument} holds {letter:?}, which no request can carry there")]
    Letter {
        /// The argument in question.
        argument: Argument,
        /// The first such letter.
        letter: char,
    },
}

/// An argument that names an object. Displays as a noun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Argument {
    /// [`Client::download`](crate::Client::download)'s first.
    Bucket,
    /// [`Client::download`](crate::Client::download)'s second.
    Key,
    /// [`Download::version_id`](crate::Download::version_id)'s.
    VersionId,
    /// [`Download::expected_bucket_owner`](crate::Download::expected_bucket_owner)'s.
    ExpectedBucketOwner,
    /// [`Upload::content_type`](crate::Upload::content_type)'s.
    ContentType,
    /// [`Upload::cache_control`](crate::Upload::cache_control)'s.
    CacheControl,
    /// [`Upload::content_disposition`](crate::Upload::content_disposition)'s.
    ContentDisposition,
    /// [`Upload::content_encoding`](crate::Upload::content_encoding)'s.
    ContentEncoding,
    /// [`Upload::content_language`](crate::Upload::content_language)'s.
    ContentLanguage,
    /// [`Upload::metadata`](crate::Upload::metadata)'s name or value.
    Metadata,
    /// [`Upload::storage_class`](crate::Upload::storage_class)'s.
    StorageClass,
    /// [`Upload::acl`](crate::Upload::acl)'s.
    Acl,
    /// [`Upload::if_match`](crate::Upload::if_match)'s.
    IfMatch,
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bucket => "bucket's name",
            Self::Key => "key",
            Self::VersionId => "version id",
            Self::ExpectedBucketOwner => "expected bucket owner",
            Self::ContentType => "content type",
            Self::CacheControl => "cache control",
            Self::ContentDisposition => "content disposition",
            Self::ContentEncoding => "content encoding",
            Self::ContentLanguage => "content language",
            Self::Metadata => "metadata",
            Self::StorageClass => "storage class",
            Self::Acl => "ACL",
            Self::IfMatch => "ETag of If-Match",
        })
    }
}

/// The bytes of an object that are wanted, half-open; without an end, all from the start on. Displays as Rust writes
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteRange {
    pub(crate) start: u64,
    pub(crate) end: Option<u64>,
}

impl ByteRange {
    pub(crate) const WHOLE: Self = Self { start: 0, end: None };

    pub(crate) fn of(range: impl RangeBounds<u64>) -> Self {
        let start = match range.start_bound() {
            Bound::Included(&start) => start,
            Bound::Excluded(&before) => before.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&last) => Some(last.saturating_add(1)),
            Bound::Excluded(&end) => Some(end),
            Bound::Unbounded => None,
        };
        Self { start, end }
    }

    /// The bytes of it that an object of `object_bytes` has, half-open; `None` if it has none. The whole of an empty
    /// object is an empty range, not `None`.
    pub(crate) fn within(self, object_bytes: u64) -> Option<Range<u64>> {
        let end = self.end.unwrap_or(object_bytes).min(object_bytes);
        (self.start < end || self == Self::WHOLE).then_some(self.start..end)
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.end {
            Some(end) => write!(f, "{}..{end}", self.start),
            None => write!(f, "{}..", self.start),
        }
    }
}

/// A customer's encryption key for an object (SSE-C): 256 bits for AES.
///
/// It is sent with every request of the transfer, over TLS only: without TLS a transfer fails with
/// [`RequestError::KeyInClear`](crate::RequestError::KeyInClear) before anything is sent, wherever the endpoint comes
/// from.
///
/// This crate never shows it. The SDK's signer (`aws_sigv4`) logs the headers that it signs at level TRACE, and with
/// them the key. A program that logs everything should leave this target out, as `RUST_LOG=trace,aws_sigv4=debug` does.
#[derive(Clone)]
pub struct SseCustomerKey {
    key: [u8; 32],
    in_clear: bool,
}

impl SseCustomerKey {
    /// The key's bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Self { key, in_clear: false }
    }

    /// Allows this key to be sent over `http://`, where anyone on the path can read it, and so the object. It is for
    /// tests and for networks that protect their traffic; S3 itself refuses such requests.
    #[must_use]
    pub fn dangerously_allow_plaintext_http(self) -> Self {
        Self { in_clear: true, ..self }
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.key
    }

    pub(crate) fn may_go_in_clear(&self) -> bool {
        self.in_clear
    }
}

impl fmt::Debug for SseCustomerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SseCustomerKey(..)")
    }
}

/// One part of an object: its number, from 0, and its bytes, a half-open range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) number: u64,
    pub(crate) bytes: Range<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_mean_what_they_mean_in_rust() {
        let of = |range: ByteRange| (range.start, range.end);
        assert_eq!(of(ByteRange::of(5..9)), (5, Some(9)));
        assert_eq!(of(ByteRange::of(5..=8)), (5, Some(9)));
        assert_eq!(of(ByteRange::of(5..)), (5, None));
        assert_eq!(of(ByteRange::of(..9)), (0, Some(9)));
        assert_eq!(ByteRange::of(..), ByteRange::WHOLE);
        assert_eq!(of(ByteRange::of((Bound::Excluded(4), Bound::Unbounded))), (5, None));
        assert_eq!(of(ByteRange::of(0..=u64::MAX)), (0, Some(u64::MAX)));
        #[expect(clippy::reversed_empty_ranges, reason = "a caller may write it")]
        let reversed = ByteRange::of(7..5);
        assert_eq!((reversed.within(100), ByteRange::of(5..5).within(100)), (None, None));
    }

    #[test]
    fn a_range_is_cut_at_the_objects_end() {
        assert_eq!(ByteRange::of(5..9).within(100), Some(5..9));
        assert_eq!(ByteRange::of(5..9).within(7), Some(5..7));
        assert_eq!(ByteRange::of(5..9).within(5), None);
        assert_eq!(ByteRange::of(..).within(0), Some(0..0));
        assert_eq!(ByteRange::of(..1).within(0), None);
    }

    #[test]
    fn a_key_is_not_shown() {
        let request = ObjectRequest {
            sse_customer_key: Some(SseCustomerKey::new([173; 32])),
            ..ObjectRequest::new(ObjectAddress { bucket: "b".to_owned(), key: "k".to_owned() })
        };
        assert!(!format!("{request:?}").contains("173"));
    }
}

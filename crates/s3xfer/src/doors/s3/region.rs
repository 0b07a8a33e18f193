//! The regions of buckets, and the checksums that their servers refuse.
//!
//! A server that is asked in the wrong region names the right one. The engine follows that once, and keeps the region
//! for the client's later requests.
//!
//! botocore's `S3RegionRedirector` does the same, with a HEAD of the bucket. None is needed: S3 names the region in the
//! answer itself; in the answer to a HEAD, which has no body, in a header.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use aws_sdk_s3::config::Region;

use crate::words::checksum::ChecksumAlgorithm;

/// A program that goes through more buckets than this asks them again, instead of growing for ever.
const MOST_BUCKETS: usize = 10_000;

/// The buckets that are not in the client's own region, and those whose server refuses a checksum.
#[derive(Debug, Default)]
pub(super) struct Regions {
    found: Mutex<HashMap<String, Region>>,
    refused: Mutex<HashSet<(String, ChecksumAlgorithm)>>,
}

impl Regions {
    pub(super) fn of(&self, bucket: &str) -> Option<Region> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).get(bucket).cloned()
    }

    pub(super) fn learn(&self, bucket: &str, region: Region) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= MOST_BUCKETS {
            found.clear();
        }
        found.insert(bucket.to_owned(), region);
    }

    /// Whether the bucket's server has refused that checksum.
    pub(super) fn refuses(&self, bucket: &str, algorithm: ChecksumAlgorithm) -> bool {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        // Mostly there are none, and a lookup needs the name as an owned string.
        !refused.is_empty() && refused.contains(&(bucket.to_owned(), algorithm))
    }

    /// The bucket's server refuses that checksum. Whether that is news.
    pub(super) fn learn_refusal(&self, bucket: &str, algorithm: ChecksumAlgorithm) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() >= MOST_BUCKETS {
            refused.clear();
        }
        refused.insert((bucket.to_owned(), algorithm))
    }
}

/// An answer that says "not here".
#[derive(Debug, PartialEq)]
pub(super) struct Elsewhere {
    /// The right region, if the server names it.
    pub(super) region: Option<String>,
}

/// Whether an answer says that the bucket is in another region than `used`. `header` is its `x-amz-bucket-region`;
/// `code` and `body` are of S3's error, which the answer to a HEAD does not have.
pub(super) fn elsewhere(
    used: &str,
    status: u16,
    code: Option<&str>,
    header: Option<&str>,
    body: Option<&[u8]>,
) -> Option<Elsewhere> {
    let region = header.or_else(|| in_body(body?)).filter(|region| is_region(region));
    let says_so = match (status, code) {
        (301 | 302 | 307 | 308, Some("PermanentRedirect" | "TemporaryRedirect" | "Redirect")) => true,
        // A redirect for another reason, or a signature that is malformed in another way, does not name a region.
        (301 | 302 | 307 | 308, _) => region.is_some(),
        (400, None | Some("AuthorizationHeaderMalformed" | "IllegalLocationConstraintException")) => region.is_some(),
        _ => false,
    };
    (says_so && region != Some(used)).then(|| Elsewhere { region: region.map(str::to_owned) })
}

/// `<Region>` of
/// `<Error><Code>AuthorizationHeaderMalformed</Code><Message>...</Message><Region>eu-west-1</Region></Error>`.
fn in_body(body: &[u8]) -> Option<&str> {
    let text = str::from_utf8(body).ok()?;
    let (_, after) = text.split_once("<Region>")?;
    Some(after.split_once("</Region>")?.0)
}

/// It becomes a part of the host's name, so nothing else may be in it.
fn is_region(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(letter) && !text.starts_with('-') && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(region: Option<&str>) -> Option<Elsewhere> {
        Some(Elsewhere { region: region.map(str::to_owned) })
    }

    #[test]
    fn a_region_is_told_by_a_header_or_by_the_body() {
        let body = b"<Error><Code>x</Code><Region>eu-west-1</Region></Error>".as_slice();
        let malformed = Some("AuthorizationHeaderMalformed");
        assert_eq!(elsewhere("us-east-1", 301, None, Some("eu-west-1"), None), told(Some("eu-west-1")));
        assert_eq!(elsewhere("us-east-1", 400, None, Some("eu-west-1"), None), told(Some("eu-west-1")));
        assert_eq!(elsewhere("us-east-1", 400, malformed, None, Some(body)), told(Some("eu-west-1")));
        assert_eq!(elsewhere("us-east-1", 301, Some("PermanentRedirect"), None, None), told(None));
    }

    #[test]
    fn other_refusals_are_not_of_a_region() {
        let malformed = Some("AuthorizationHeaderMalformed");
        // A key without an id, say.
        assert_eq!(elsewhere("us-east-1", 400, malformed, None, Some(b"<Error></Error>")), None);
        assert_eq!(elsewhere("us-east-1", 400, malformed, Some("us-east-1"), None), None);
        // S3 says with every answer where the bucket is.
        for (status, code) in [(403, "AccessDenied"), (400, "ExpiredToken"), (404, "NoSuchKey"), (200, "")] {
            assert_eq!(elsewhere("us-east-1", status, Some(code), Some("eu-west-1"), None), None, "{code}");
        }
        // From http to https, say.
        assert_eq!(elsewhere("us-east-1", 301, None, None, Some(b"<html>moved</html>")), None);
    }

    #[test]
    fn what_is_learned_does_not_grow_for_ever() {
        let regions = Regions::default();
        for number in 0..3 * MOST_BUCKETS {
            regions.learn(&number.to_string(), Region::from_static("eu-west-1"));
            assert!(regions.of(&number.to_string()).is_some());
        }
        assert!(regions.found.into_inner().unwrap().len() <= MOST_BUCKETS);
    }
}

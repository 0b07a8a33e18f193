//! The bytes of an object that a `Range` header selects (RFC 9110, 14.1.2, as S3 reads it).
//!
//! S3 answers with one range only, and every range of an empty object is 416. It ignores a header that is no range, or
//! several, as if it were absent (RFC 9110, 14.2). The protocol layer would refuse such a header with 400, so it gets a
//! corrected one ([`header`]).

use std::ops::Range;

/// One range of a `Range` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `bytes=first-` or `bytes=first-last`, both inclusive.
    From { first: u64, last: Option<u64> },
    /// `bytes=-length`.
    Suffix { length: u64 },
}

/// The value of a `Range` header as the protocol layer reads it. `None` if the header has no range or several ranges,
/// so that S3 sends the whole object. The unit's name must be in lower case.
pub(crate) fn header(text: &str) -> Option<String> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // No object reaches the largest position that the protocol layer knows, so a larger position has the same meaning.
    let position = |text: &str| text.parse().unwrap_or(u64::MAX).min(i64::MAX as u64);
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (digits(first), digits(last)) {
        (true, true) if position(first) <= position(last) => {
            Some(format!("bytes={}-{}", position(first), position(last)))
        }
        (true, false) if last.is_empty() => Some(format!("bytes={}-", position(first))),
        (false, true) if first.is_empty() => Some(format!("bytes=-{}", position(last))),
        _ => None,
    }
}

/// The half-open range of an object of `size` bytes; `None` where it is not satisfiable (416).
pub(crate) fn resolve(asked: Asked, size: u64) -> Option<Range<u64>> {
    match asked {
        Asked::From { first, last } => {
            if first >= size || last.is_some_and(|last| last < first) {
                return None;
            }
            Some(first..last.map_or(size, |last| last.saturating_add(1).min(size)))
        }
        Asked::Suffix { length } => (length > 0 && size > 0).then(|| size - length.min(size)..size),
    }
}

/// `x-amz-copy-source-range`: `bytes=first-last` and nothing else; it must lie within the source.
pub(crate) fn parse_copy_range(text: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < size).then(|| first..last + 1)
}

/// The `Content-Range` of an answer that holds `range` of `size` bytes.
pub(crate) fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_of_ten_bytes() {
        let from = |first, last| resolve(Asked::From { first, last }, 10);
        let suffix = |length| resolve(Asked::Suffix { length }, 10);
        assert_eq!(from(0, Some(0)), Some(0..1));
        assert_eq!(from(3, None), Some(3..10));
        assert_eq!(from(3, Some(u64::MAX)), Some(3..10));
        assert_eq!(from(9, Some(9)), Some(9..10));
        assert_eq!(from(10, None), None);
        assert_eq!(from(5, Some(4)), None);
        assert_eq!(suffix(4), Some(6..10));
        assert_eq!(suffix(11), Some(0..10));
        assert_eq!(suffix(0), None);
        assert_eq!(content_range(&(3..10), 10), "bytes 3-9/10");
    }

    #[test]
    fn a_header_that_is_not_one_range_is_ignored() {
        for plain in ["bytes=0-0", "bytes=7-", "bytes=-3", "bytes=-0", "bytes=2-9223372036854775807"] {
            assert_eq!(header(plain).as_deref(), Some(plain));
        }
        for wrong in
            ["bytes=0-1,3-4", "bytes=1-2,", "bytes=", "bytes", "", "bytes=a-b", "bytes=-", "bytes=4-2", "bytes= 1-2"]
        {
            assert_eq!(header(wrong), None, "{wrong}");
        }
        for wrong in ["items=0-1", "bytes=1 - 2", "bytes=--1", "bytes=+1-2", "bytes=0x1-2", "bytes=1-\u{663}"] {
            assert_eq!(header(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn positions_of_any_length_are_read() {
        let huge = "99999999999999999999999";
        let largest = i64::MAX;
        for (text, same) in [
            (format!("bytes=0-{huge}"), format!("bytes=0-{largest}")),
            (format!("bytes={huge}-"), format!("bytes={largest}-")),
            (format!("bytes=-{huge}"), format!("bytes=-{largest}")),
            ("bytes=007-9".to_owned(), "bytes=7-9".to_owned()),
        ] {
            assert_eq!(header(&text), Some(same));
        }
    }

    #[test]
    fn no_range_of_an_empty_object_is_satisfiable() {
        assert_eq!(resolve(Asked::From { first: 0, last: None }, 0), None);
        assert_eq!(resolve(Asked::Suffix { length: 1 }, 0), None);
    }

    #[test]
    fn copy_ranges_lie_within_the_source() {
        assert_eq!(parse_copy_range("bytes=2-4", 5), Some(2..5));
        for wrong in ["bytes=2-5", "bytes=4-2", "bytes=2-", "bytes=-2", "2-4", "bytes=a-b", ""] {
            assert_eq!(parse_copy_range(wrong, 5), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn a_range_selects_what_a_filter_selects(size in 0..50_u64, first in 0..60_u64, last in prop::option::of(0..60_u64)) {
            let model: Vec<u64> = (0..size).filter(|i| *i >= first && last.is_none_or(|l| *i <= l)).collect();
            let range = resolve(Asked::From { first, last }, size);
            prop_assert_eq!(range.map(|r| r.collect::<Vec<_>>()).unwrap_or_default(), model);
        }
    }
}

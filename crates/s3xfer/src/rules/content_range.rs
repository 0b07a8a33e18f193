//! The range of an answer, compared with the requested range.
//!
//! RFC 9110, section 14.4 (Content-Range), and 15.3.7 (206).

use std::ops::Range;

/// `Content-Range: bytes first-last/complete` of a 206.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ContentRange {
    /// The bytes that follow, half-open.
    pub(crate) bytes: Range<u64>,
    /// The whole object's size.
    pub(crate) object_bytes: u64,
}

impl ContentRange {
    /// Strict: the unit is `bytes`, in capitals or not (RFC 9110, 14.1), the size is known, and the range lies inside
    /// it.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        let (unit, range) = value.split_once(' ')?;
        let (range, size) = range.split_once('/').filter(|_| unit.eq_ignore_ascii_case("bytes"))?;
        let (first, last) = range.split_once('-')?;
        let (first, last, object_bytes) = (number(first)?, number(last)?, number(size)?);
        (first <= last && last < object_bytes).then(|| Self { bytes: first..last + 1, object_bytes })
    }
}

/// Digits only: `u64::from_str` would let a sign pass.
fn number(text: &str) -> Option<u64> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Checks a 206 against the request: it must begin where it was asked to, hold nothing behind the end asked for, and
/// have a body as long as its range. A server may send less than it was asked for; the caller asks for the rest.
///
/// # Errors
///
/// The contradiction, in words.
pub(crate) fn check_partial(
    asked: &Range<u64>,
    content_range: &str,
    content_length: Option<u64>,
) -> Result<ContentRange, String> {
    let got = ContentRange::parse(content_range)
        .ok_or_else(|| format!("Content-Range {content_range:?} is not of the form \"bytes first-last/size\""))?;
    if got.bytes.start != asked.start || got.bytes.end > asked.end {
        return Err(format!(
            "bytes {}-{} were asked for, but Content-Range is {content_range:?}",
            asked.start,
            asked.end - 1
        ));
    }
    let length = got.bytes.end - got.bytes.start;
    match content_length {
        Some(announced) if announced != length => {
            Err(format!("Content-Range {content_range:?} holds {length} bytes, but Content-Length is {announced}"))
        }
        _ => Ok(got),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_exact_form_is_accepted() {
        let parse = ContentRange::parse;
        for right in ["bytes 0-4/10", "Bytes 0-4/10", "BYTES 0-4/10"] {
            assert_eq!(parse(right), Some(ContentRange { bytes: 0..5, object_bytes: 10 }));
        }
        for wrong in [
            "",
            "bytes",
            "bytes 0-4",
            "bytes 0-4/*",
            "bytes */10",
            "bytes 5-4/10",
            "bytes 0-10/10",
            "items 0-4/10",
            "bytes 0-4/10 ",
            "bytes +0-4/10",
            "bytes -4/10",
            "bytes 0-/10",
            "0-4/10",
            "bytes 0-4/99999999999999999999",
        ] {
            assert_eq!(parse(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn an_answer_that_contradicts_the_request_is_refused() {
        let asked = 100..200;
        assert!(check_partial(&asked, "bytes 100-199/500", Some(100)).is_ok());
        assert!(check_partial(&asked, "bytes 100-199/500", None).is_ok());
        assert!(check_partial(&asked, "bytes 100-149/500", Some(50)).is_ok(), "less than asked for is allowed");
        assert!(check_partial(&asked, "bytes 100-199/500", Some(99)).is_err());
        assert!(check_partial(&asked, "bytes 0-99/500", Some(100)).is_err());
        assert!(check_partial(&asked, "bytes 101-199/500", Some(99)).is_err());
        assert!(check_partial(&asked, "bytes 100-200/500", Some(101)).is_err());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC*") {
            let _ = ContentRange::parse(&text);
        }

        #[test]
        fn what_is_written_parses(first in 0_u64..1 << 50, length in 1_u64..1 << 40, behind in 0_u64..1 << 40) {
            let size = first + length + behind;
            let parsed = ContentRange::parse(&format!("bytes {first}-{}/{size}", first + length - 1)).unwrap();
            prop_assert_eq!(parsed, ContentRange { bytes: first..first + length, object_bytes: size });
        }
    }
}

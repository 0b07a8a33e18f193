//! The `tracing` spans by which logs are filtered: a transfer, its parts, and the attempts at each part.
//!
//! Their fields hold no secrets, only names, places and counts. A key that is too long for S3 is cut.

use std::borrow::Cow;
use std::ops::Range;

use tracing::Span;

use crate::words::object::ObjectAddress;

/// One object on its way: `download`, `upload` or `copy`, to or from `bucket` and `key`.
pub(crate) fn transfer(direction: &'static str, object: &ObjectAddress) -> Span {
    let (bucket, key) = (shown(&object.bucket), shown(&object.key));
    tracing::info_span!("transfer", direction, bucket = &*bucket, key = &*key)
}

/// The span of the part with this number, which holds the bytes `range` of the object. Without a range there is no
/// span.
pub(crate) fn part(number: u64, range: Option<Range<u64>>) -> Span {
    range.map_or_else(Span::none, |range| tracing::debug_span!("part", part = number, ?range))
}

/// One attempt at a request, from 1.
pub(crate) fn attempt(number: u32) -> Span {
    tracing::debug_span!("request", attempt = number)
}

fn shown(name: &str) -> Cow<'_, str> {
    const MOST: usize = 2048;
    match name.len() <= MOST {
        true => name.into(),
        false => format!("{}...", name.chars().take(60).collect::<String>()).into(),
    }
}

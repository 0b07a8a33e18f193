//! Conditional requests: `If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since` (RFC 9110, 13.2.2).
//!
//! Evaluation order: If-Match, else If-Unmodified-Since; then If-None-Match, else If-Modified-Since. Comparison is of
//! the quoted text alone; S3 has no weak ETags, so a weak one in a request matches nothing under If-Match.

use std::time::SystemTime;

/// The value of an `If-Match` or `If-None-Match` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tag {
    /// `*`
    Any,
    /// One entity tag, without its quotes.
    Is { value: String, weak: bool },
}

/// The conditions of one request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Conditions {
    pub(crate) if_match: Option<Tag>,
    pub(crate) if_none_match: Option<Tag>,
    pub(crate) if_modified_since: Option<SystemTime>,
    pub(crate) if_unmodified_since: Option<SystemTime>,
}

/// The verdict of the conditions of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Go on.
    Proceed,
    /// 304 for GET and HEAD.
    NotModified,
    /// 412.
    Failed,
}

impl Conditions {
    /// Evaluates them for a read of an object that exists.
    pub(crate) fn read(&self, etag: &str, modified: SystemTime) -> Verdict {
        match (&self.if_match, self.if_unmodified_since) {
            (Some(Tag::Is { value, weak }), _) if *weak || value != etag => return Verdict::Failed,
            (None, Some(since)) if modified > since => return Verdict::Failed,
            _ => {}
        }
        match (&self.if_none_match, self.if_modified_since) {
            (Some(Tag::Any), _) => Verdict::NotModified,
            (Some(Tag::Is { value, .. }), _) if value == etag => Verdict::NotModified,
            (None, Some(since)) if modified <= since => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }

    /// Evaluates them for the source of a copy, which cannot be answered with 304.
    pub(crate) fn copy_source(&self, etag: &str, modified: SystemTime) -> Verdict {
        match self.read(etag, modified) {
            Verdict::Proceed => Verdict::Proceed,
            Verdict::NotModified | Verdict::Failed => Verdict::Failed,
        }
    }
}

/// The verdict of the conditions of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteVerdict {
    /// Go on.
    Proceed,
    /// 412.
    Failed,
    /// `If-Match` on a key that does not exist: S3 answers 404 NoSuchKey.
    NoSuchKey,
    /// `If-None-Match` with an ETag: S3 answers 501, for writes have `*` only.
    NotImplemented,
}

/// Evaluates `If-Match` and `If-None-Match` of a write over the current object's ETag, if there is one.
pub(crate) fn write(if_match: Option<&Tag>, if_none_match: Option<&Tag>, current: Option<&str>) -> WriteVerdict {
    if matches!(if_none_match, Some(Tag::Is { .. })) {
        return WriteVerdict::NotImplemented;
    }
    match (if_match, current) {
        (Some(_), None) => return WriteVerdict::NoSuchKey,
        (Some(Tag::Is { value, weak }), Some(etag)) if *weak || value != etag => return WriteVerdict::Failed,
        _ => {}
    }
    match (if_none_match, current) {
        (Some(_), Some(_)) => WriteVerdict::Failed,
        _ => WriteVerdict::Proceed,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn tag(value: &str) -> Option<Tag> {
        Some(Tag::Is { value: value.to_owned(), weak: false })
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn reads_follow_the_order_of_rfc_9110() {
        let check = |c: Conditions| c.read("e", at(100));
        let base = Conditions::default;
        assert_eq!(check(base()), Verdict::Proceed);
        assert_eq!(check(Conditions { if_match: tag("e"), ..base() }), Verdict::Proceed);
        assert_eq!(check(Conditions { if_match: tag("x"), ..base() }), Verdict::Failed);
        assert_eq!(check(Conditions { if_match: Some(Tag::Any), ..base() }), Verdict::Proceed);
        assert_eq!(check(Conditions { if_none_match: tag("e"), ..base() }), Verdict::NotModified);
        assert_eq!(check(Conditions { if_none_match: tag("x"), ..base() }), Verdict::Proceed);
        assert_eq!(check(Conditions { if_none_match: Some(Tag::Any), ..base() }), Verdict::NotModified);
        assert_eq!(check(Conditions { if_unmodified_since: Some(at(99)), ..base() }), Verdict::Failed);
        assert_eq!(check(Conditions { if_unmodified_since: Some(at(100)), ..base() }), Verdict::Proceed);
        assert_eq!(check(Conditions { if_modified_since: Some(at(100)), ..base() }), Verdict::NotModified);
        assert_eq!(check(Conditions { if_modified_since: Some(at(99)), ..base() }), Verdict::Proceed);
        // An ETag wins over a date, on both sides.
        assert_eq!(
            check(Conditions { if_match: tag("e"), if_unmodified_since: Some(at(1)), ..base() }),
            Verdict::Proceed
        );
        assert_eq!(
            check(Conditions { if_none_match: tag("x"), if_modified_since: Some(at(200)), ..base() }),
            Verdict::Proceed
        );
        let weak = Conditions { if_match: Some(Tag::Is { value: "e".into(), weak: true }), ..base() };
        assert_eq!(check(weak), Verdict::Failed);
        assert_eq!(Conditions { if_none_match: tag("e"), ..base() }.copy_source("e", at(1)), Verdict::Failed);
    }

    #[test]
    fn writes_compare_with_what_is_there() {
        let any = Some(Tag::Any);
        assert_eq!(write(None, any.as_ref(), None), WriteVerdict::Proceed);
        assert_eq!(write(None, any.as_ref(), Some("e")), WriteVerdict::Failed);
        assert_eq!(write(tag("e").as_ref(), None, Some("e")), WriteVerdict::Proceed);
        assert_eq!(write(tag("x").as_ref(), None, Some("e")), WriteVerdict::Failed);
        assert_eq!(write(tag("x").as_ref(), None, None), WriteVerdict::NoSuchKey);
        assert_eq!(write(None, None, Some("e")), WriteVerdict::Proceed);
        assert_eq!(write(None, tag("e").as_ref(), Some("e")), WriteVerdict::NotImplemented);
        assert_eq!(write(None, tag("e").as_ref(), None), WriteVerdict::NotImplemented);
    }
}

//! The next step when the request that makes an object appear is refused.
//!
//! An attempt without an answer may have been carried out, and so may an attempt that was answered with 500. So a later
//! attempt may be refused because the first one succeeded: the object exists now (412), the multipart upload is gone
//! because it was completed (404), or it is still being completed (409). Then the object is looked up, and counts as
//! written if its bytes are those that were sent.
//!
//! Amazon S3 API reference, PutObject and CompleteMultipartUpload, `If-None-Match`: 409 ConditionalRequestConflict says
//! that another write is under way; a PUT is to be sent again, a multipart upload to be made anew. `If-Match` on a key
//! without an object is 404. A server that asks for fewer requests, or for the body sooner, has done nothing:
//! "Error responses", SlowDown, ServiceUnavailable and RequestTimeout; `SlowDownWrite` is MinIO's.

use crate::words::failure::RequestError;

/// The request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// The object, or a copy of it, in one piece.
    Whole,
    /// The end of a multipart upload.
    Complete,
}

/// The parts of the server's refusal that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 412.
    ConditionFailed,
    /// 409, while another write is under way.
    Conflict,
    NoSuchUpload,
    NoSuchKey,
    Other,
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// The object may be there: look.
    Look,
    /// The same request again.
    Again,
    /// All of it again, from a new multipart upload on.
    FromTheStart,
    /// The condition does not hold.
    ConditionFailed,
    /// The refusal is the end.
    Fail,
}

impl Refusal {
    /// The refusal with that status and S3's error code.
    pub(crate) fn of(status: u16, code: &str) -> Self {
        match (status, code) {
            (412, _) => Self::ConditionFailed,
            (409, "ConditionalRequestConflict" | "OperationAborted") => Self::Conflict,
            (_, "NoSuchUpload") => Self::NoSuchUpload,
            (_, "NoSuchKey") => Self::NoSuchKey,
            _ => Self::Other,
        }
    }
}

/// Whether the server may have carried out a request that failed so: only some answers exclude it.
pub(crate) fn may_be_done(error: &RequestError) -> bool {
    match error {
        RequestError::Argument { .. } | RequestError::KeyInClear { .. } | RequestError::NotSent { .. } => false,
        RequestError::Unavailable { status: 408 | 429, .. } => false,
        RequestError::Unavailable { code, .. } => {
            !matches!(&**code, "SlowDown" | "SlowDownWrite" | "ServiceUnavailable" | "RequestTimeout")
        }
        _ => true,
    }
}

/// After `refusal` of `request`, which has a condition or has none. `unsure`: an earlier attempt may have been carried
/// out.
pub(crate) fn next(request: Request, refusal: Refusal, is_conditional: bool, unsure: bool) -> Next {
    match refusal {
        Refusal::ConditionFailed | Refusal::NoSuchUpload if unsure => Next::Look,
        Refusal::ConditionFailed if is_conditional => Next::ConditionFailed,
        Refusal::NoSuchKey if is_conditional => Next::ConditionFailed,
        Refusal::Conflict if request == Request::Whole => Next::Again,
        Refusal::Conflict if unsure => Next::Look,
        Refusal::Conflict => Next::FromTheStart,
        _ => Next::Fail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_told_by_status_and_code() {
        for (status, code, refusal) in [
            (412, "PreconditionFailed", Refusal::ConditionFailed),
            (412, "HTTP 412", Refusal::ConditionFailed),
            (409, "ConditionalRequestConflict", Refusal::Conflict),
            (409, "BucketAlreadyExists", Refusal::Other),
            (404, "NoSuchUpload", Refusal::NoSuchUpload),
            (404, "NoSuchKey", Refusal::NoSuchKey),
            (404, "NoSuchBucket", Refusal::Other),
            (403, "AccessDenied", Refusal::Other),
        ] {
            assert_eq!(Refusal::of(status, code), refusal, "{status} {code}");
        }
    }

    #[test]
    fn only_some_answers_say_that_nothing_was_done() {
        let answer = |status, code: &str| {
            may_be_done(&RequestError::Unavailable { status, code: code.to_owned(), throttled: status == 503 })
        };
        for (status, code) in
            [(503, "SlowDown"), (503, "ServiceUnavailable"), (429, "any"), (408, "any"), (400, "RequestTimeout")]
        {
            assert!(!answer(status, code), "{status} {code}");
        }
        // The last ones may be of a proxy whose server has the request.
        for (status, code) in
            [(500, "InternalError"), (502, "without an error code"), (503, "without an error code"), (504, "any")]
        {
            assert!(answer(status, code), "{status} {code}");
        }
        assert!(may_be_done(&RequestError::NoAnswer { seconds: 1 }));
        assert!(may_be_done(&RequestError::Unreachable { source: "reset".into() }));
        assert!(!may_be_done(&RequestError::NotSent { source: "no region".into() }));
    }

    #[test]
    fn a_refusal_that_an_unanswered_attempt_may_have_caused_is_looked_into() {
        use Refusal::*;
        use Request::*;
        for (request, refusal, is_conditional, unsure, wanted) in [
            (Whole, ConditionFailed, true, false, Next::ConditionFailed),
            (Whole, ConditionFailed, true, true, Next::Look),
            (Whole, ConditionFailed, false, false, Next::Fail),
            (Whole, NoSuchKey, true, false, Next::ConditionFailed),
            (Whole, NoSuchKey, false, false, Next::Fail),
            (Whole, Conflict, true, true, Next::Again),
            (Complete, Conflict, true, false, Next::FromTheStart),
            (Complete, Conflict, true, true, Next::Look),
            (Complete, NoSuchUpload, false, true, Next::Look),
            (Complete, NoSuchUpload, false, false, Next::Fail),
            (Complete, Other, true, true, Next::Fail),
        ] {
            let case = (request, refusal, is_conditional, unsure);
            assert_eq!(next(request, refusal, is_conditional, unsure), wanted, "{case:?}");
        }
    }
}

//! The planned faults, each with the request that it meets. No fault happens by chance.
//!
//! A fault is addressed by key, by kind of request and by the number of the request of that kind for that key, counted
//! from 0: GETs of objects over those that passed the signature check, the others as they arrive. How a fault changes a
//! request or its answer is `rules::faults`' business.

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;

use super::RequestKind;

/// The longest finite stall and the file's bound for it: an hour.
const MAX_STALL_MS: u64 = 3_600_000;

/// The requests of its kind for a key that a fault meets, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requests {
    /// All of them.
    Every,
    /// One of them.
    At(u64),
    /// A half-open range of them.
    Range(Range<u64>),
}

impl Requests {
    /// Whether the `ordinal`-th request is one of them.
    #[must_use]
    pub fn contain(&self, ordinal: u64) -> bool {
        match self {
            Self::Every => true,
            Self::At(at) => *at == ordinal,
            Self::Range(range) => range.contains(&ordinal),
        }
    }
}

/// The failure: of the answer to a GET of an object, and of the body of any other request.
///
/// Positions count the bytes of that body from 0. A request of another kind whose body is shorter, or that has none,
/// meets [`Reset`](Self::Reset) and [`Stall`](Self::Stall) at its end, before it is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The connection is aborted once `after_bytes` bytes of the body were sent. Over TCP the reset may overtake
    /// bytes on their way, so a client sees at most as many.
    Reset {
        /// Body bytes before the reset.
        after_bytes: u64,
    },
    /// `Content-Length` is right, but the connection is closed once `after_bytes` bytes of the body were sent.
    Truncate {
        /// Body bytes before the end.
        after_bytes: u64,
    },
    /// `Content-Length` and the body are at most this long, while `Content-Range` still claims the range that was asked
    /// for.
    ShortLength {
        /// Length of the body, in bytes.
        length: u64,
    },
    /// The body stalls once `after_bytes` bytes were sent, for a time or until the client gives up.
    Stall {
        /// Body bytes before the stall.
        after_bytes: u64,
        /// The length of the pause; `None` for ever.
        duration: Option<Duration>,
    },
    /// The body comes at this rate at most, even if the network carries more.
    Slow {
        /// Bytes a second, at least 1.
        bytes_per_s: u64,
    },
    /// 503 SlowDown instead of the answer.
    SlowDown,
    /// 500 InternalError instead of the answer.
    InternalError,
    /// Another `Content-Range`, or none.
    ContentRange {
        /// The header's value; `None` leaves the header out.
        value: Option<String>,
    },
    /// 200 and the whole object, although a range was asked for.
    IgnoreRange,
    /// One byte of the object is sent inverted, if the answer holds it; or one byte of a request's body arrives
    /// inverted.
    Corrupt {
        /// Its offset in the object, or in the body.
        at: u64,
    },
    /// Before the request is answered the object is replaced: same size, new ETag, new (synthetic) bytes.
    Replace,
    /// The request is carried out, and the connection is reset instead of the answer. Not of GETs of objects.
    LostAnswer,
    /// The request is carried out, and 500 InternalError is its answer. Not of GETs of objects.
    LateError,
    /// 409 ConditionalRequestConflict instead of the answer. Not of GETs of objects.
    Conflict,
    /// 200 with an error in the body instead of the answer; the request is not carried out. S3 gives such answers when
    /// it begins them before the work is done, so this applies only to CopyObject, UploadPartCopy and
    /// CompleteMultipartUpload.
    ErrorInSuccess {
        /// S3's error code, such as `InternalError`: ASCII letters, digits and `.`.
        code: String,
    },
}

impl FaultKind {
    /// Whether it can meet requests of that kind.
    fn can_meet(&self, on: RequestKind) -> bool {
        let of_gets = matches!(
            self,
            Self::Truncate { .. } | Self::ShortLength { .. } | Self::ContentRange { .. } | Self::IgnoreRange
        );
        let of_others = matches!(self, Self::LostAnswer | Self::LateError | Self::Conflict);
        match (self, on) {
            (Self::ErrorInSuccess { .. }, on) => matches!(
                on,
                RequestKind::CopyObject | RequestKind::UploadPartCopy | RequestKind::CompleteMultipartUpload
            ),
            (_, RequestKind::GetObject) => !of_others,
            _ => !of_gets,
        }
    }

    /// Its name in the file.
    fn name(&self) -> &'static str {
        match self {
            Self::Reset { .. } => "reset",
            Self::Truncate { .. } => "truncate",
            Self::ShortLength { .. } => "short-length",
            Self::Stall { .. } => "stall",
            Self::Slow { .. } => "slow",
            Self::SlowDown => "slow-down",
            Self::InternalError => "internal-error",
            Self::ContentRange { .. } => "content-range",
            Self::IgnoreRange => "ignore-range",
            Self::Corrupt { .. } => "corrupt",
            Self::Replace => "replace",
            Self::LostAnswer => "lost-answer",
            Self::LateError => "late-error",
            Self::Conflict => "conflict",
            Self::ErrorInSuccess { .. } => "error-in-success",
        }
    }
}

/// One planned fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key it meets, in any bucket; `*` for every key. Requests that name none have the empty one.
    pub key: String,
    /// The kind of requests it meets.
    pub on: RequestKind,
    /// The requests of that kind that it meets.
    pub requests: Requests,
    /// The kind of fault.
    pub kind: FaultKind,
}

impl Fault {
    /// A fault of GETs of the key; see [`on`](Self::on) for other requests.
    #[must_use]
    pub fn new(key: impl Into<String>, requests: Requests, kind: FaultKind) -> Self {
        Self { key: key.into(), on: RequestKind::GetObject, requests, kind }
    }

    /// The same of requests of another kind.
    #[must_use]
    pub fn on(self, on: RequestKind) -> Self {
        Self { on, ..self }
    }
}

/// The faults of one run, in order. Several may meet one request: each takes effect.
///
/// As TOML, a fault says `request = N`, `requests = [FROM, TO]` (half-open) or `every = true`, and its `kind` with
/// that kind's own fields; `on` names another kind of request than `"get-object"`:
///
/// ```
/// use s3lab::{FaultKind, FaultPlan, Requests};
///
/// let plan = FaultPlan::from_toml(r#"
///     [[fault]]
///     key = "big"
///     request = 3
///     kind = "reset"            # also "truncate"; "stall" with for_ms, absent = for ever
///     after_bytes = 1000
///
///     [[fault]]
///     key = "*"
///     requests = [10, 20]
///     kind = "slow-down"        # also "internal-error", "ignore-range", "replace"
///
///     [[fault]]
///     key = "big"
///     every = true
///     kind = "corrupt"          # "short-length" has length, "slow" bytes_per_s, "content-range" an optional value
///     at = 77
///
///     [[fault]]
///     key = "big"
///     on = "upload-part"        # as "put-object", "copy-object", "complete-multipart-upload", ...
///     request = 2
///     kind = "lost-answer"      # carried out, not answered; also "late-error" (500 then), "conflict" (409 instead)
///
///     [[fault]]
///     key = "big"
///     on = "copy-object"
///     request = 0
///     kind = "error-in-success" # 200, but with an error; code is S3's, "InternalError" if absent
/// "#)?;
/// assert_eq!(plan.faults()[0].requests, Requests::At(3));
/// assert_eq!(plan.faults()[0].kind, FaultKind::Reset { after_bytes: 1000 });
/// assert_eq!(plan.faults().len(), 5);
/// # Ok::<(), s3lab::FaultPlanError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FaultPlan {
    faults: Vec<Fault>,
}

/// Why a fault plan was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultPlanError {
    /// A field the kind needs is absent.
    #[error("fault {index} of kind {kind:?} needs {field}")]
    Missing {
        /// Number of the fault in the plan, from 0.
        index: usize,
        /// Its kind.
        kind: String,
        /// The absent field.
        field: &'static str,
    },
    /// A field the kind does not have is given.
    #[error("fault {index} of kind {kind:?} has no field {field}; leave it out")]
    Unexpected {
        /// Number of the fault in the plan, from 0.
        index: usize,
        /// Its kind.
        kind: String,
        /// The field that was given.
        field: &'static str,
    },
    /// Requests of that kind do not meet faults of this one.
    #[error("fault {index} of kind {kind:?} does not happen to requests of kind {on:?}")]
    DoesNotMeet {
        /// Number of the fault in the plan, from 0.
        index: usize,
        /// Its kind.
        kind: &'static str,
        /// The kind of request.
        on: &'static str,
    },
    /// No kind of request has this name.
    #[error("fault {index} is on unknown requests {on:?}; the kinds of requests are {}", request_kinds())]
    UnknownRequests {
        /// Number of the fault in the plan, from 0.
        index: usize,
        /// The value given.
        on: String,
    },
    /// No kind has this name.
    #[error("fault {index} has the unknown kind {kind:?}; the kinds are {}", KINDS.join(", "))]
    UnknownKind {
        /// Number of the fault in the plan, from 0.
        index: usize,
        /// The value given.
        kind: String,
    },
    /// Not exactly one of `request`, `requests` and `every = true`.
    #[error("fault {index} must say exactly one of request = N, requests = [FROM, TO] and every = true")]
    Requests {
        /// Number of the fault in the plan, from 0.
        index: usize,
    },
    /// A value is outside its range.
    #[error("fault {index}: {field} = {value} is outside {min} to {max}")]
    OutOfRange {
        /// Number of the fault in the plan, from 0.
        index: usize,
        /// The field.
        field: &'static str,
        /// The value given.
        value: u64,
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// Not TOML, an unknown field, or a field of the wrong type.
    #[error("the fault plan cannot be read: {message}")]
    Syntax {
        /// The place and the reason.
        message: String,
    },
}

fn request_kinds() -> String {
    RequestKind::NAMED.map(|(name, _)| name).join(", ")
}

const KINDS: [&str; 15] = [
    "reset",
    "truncate",
    "short-length",
    "stall",
    "slow",
    "slow-down",
    "internal-error",
    "content-range",
    "ignore-range",
    "corrupt",
    "replace",
    "lost-answer",
    "late-error",
    "conflict",
    "error-in-success",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlan {
    #[serde(default)]
    fault: Vec<RawFault>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFault {
    key: String,
    on: Option<String>,
    request: Option<u64>,
    requests: Option<(u64, u64)>,
    every: Option<bool>,
    kind: String,
    after_bytes: Option<u64>,
    length: Option<u64>,
    for_ms: Option<u64>,
    bytes_per_s: Option<u64>,
    value: Option<String>,
    at: Option<u64>,
    code: Option<String>,
}

impl RawFault {
    fn parse(mut self, index: usize) -> Result<Fault, FaultPlanError> {
        let requests = match (self.request, self.requests, self.every) {
            (Some(at), None, None | Some(false)) => Requests::At(at),
            (None, Some((from, to)), None | Some(false)) => Requests::Range(from..to),
            (None, None, Some(true)) => Requests::Every,
            _ => return Err(FaultPlanError::Requests { index }),
        };
        let on = match self.on.take() {
            None => RequestKind::GetObject,
            Some(on) => match RequestKind::NAMED.iter().find(|(name, _)| *name == on) {
                Some((_, kind)) => *kind,
                None => return Err(FaultPlanError::UnknownRequests { index, on }),
            },
        };
        let kind = std::mem::take(&mut self.kind);
        let need = |field: &'static str, value: Option<u64>| {
            value.ok_or_else(|| FaultPlanError::Missing { index, kind: kind.clone(), field })
        };
        let parsed = match kind.as_str() {
            "reset" => FaultKind::Reset { after_bytes: need("after_bytes", self.after_bytes.take())? },
            "truncate" => FaultKind::Truncate { after_bytes: need("after_bytes", self.after_bytes.take())? },
            "short-length" => FaultKind::ShortLength { length: need("length", self.length.take())? },
            "stall" => FaultKind::Stall {
                after_bytes: need("after_bytes", self.after_bytes.take())?,
                duration: self.for_ms.take().map(Duration::from_millis),
            },
            "slow" => FaultKind::Slow { bytes_per_s: need("bytes_per_s", self.bytes_per_s.take())? },
            "slow-down" => FaultKind::SlowDown,
            "internal-error" => FaultKind::InternalError,
            "content-range" => FaultKind::ContentRange { value: self.value.take() },
            "ignore-range" => FaultKind::IgnoreRange,
            "corrupt" => FaultKind::Corrupt { at: need("at", self.at.take())? },
            "replace" => FaultKind::Replace,
            "lost-answer" => FaultKind::LostAnswer,
            "late-error" => FaultKind::LateError,
            "conflict" => FaultKind::Conflict,
            "error-in-success" => {
                FaultKind::ErrorInSuccess { code: self.code.take().unwrap_or_else(|| "InternalError".to_owned()) }
            }
            _ => return Err(FaultPlanError::UnknownKind { index, kind }),
        };
        for (field, left) in [
            ("after_bytes", self.after_bytes.is_some()),
            ("length", self.length.is_some()),
            ("for_ms", self.for_ms.is_some()),
            ("bytes_per_s", self.bytes_per_s.is_some()),
            ("value", self.value.is_some()),
            ("at", self.at.is_some()),
            ("code", self.code.is_some()),
        ] {
            if left {
                return Err(FaultPlanError::Unexpected { index, kind, field });
            }
        }
        Ok(Fault { key: self.key, on, requests, kind: parsed })
    }
}

impl FaultPlan {
    /// No faults.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// A plan of these faults.
    ///
    /// # Errors
    ///
    /// When a value is outside its range: a rate of 0, an empty or reversed range of requests, a stall of more than an
    /// hour, a `Content-Range` that is no header value, an error code of other letters than S3's; when requests of that
    /// kind do not meet that fault.
    pub fn new(faults: impl IntoIterator<Item = Fault>) -> Result<Self, FaultPlanError> {
        let faults: Vec<_> = faults.into_iter().collect();
        for (index, fault) in faults.iter().enumerate() {
            let out = |field, value, min, max| Err(FaultPlanError::OutOfRange { index, field, value, min, max });
            if let Requests::Range(range) = &fault.requests
                && range.is_empty()
            {
                return out("requests[1]", range.end, range.start.saturating_add(1), u64::MAX);
            }
            if !fault.kind.can_meet(fault.on) {
                return Err(FaultPlanError::DoesNotMeet { index, kind: fault.kind.name(), on: fault.on.name() });
            }
            match &fault.kind {
                FaultKind::Slow { bytes_per_s: 0 } => return out("bytes_per_s", 0, 1, u64::MAX),
                FaultKind::Stall { duration: Some(duration), .. } if duration.as_millis() > MAX_STALL_MS.into() => {
                    let value = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
                    return out("for_ms", value, 0, MAX_STALL_MS);
                }
                FaultKind::ContentRange { value: Some(value) }
                    if !value.bytes().all(|b| (b' '..=b'~').contains(&b)) =>
                {
                    let message = format!("fault {index}: value = {value:?} is not printable ASCII");
                    return Err(FaultPlanError::Syntax { message });
                }
                FaultKind::ErrorInSuccess { code }
                    if code.is_empty() || !code.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.') =>
                {
                    let message = format!("fault {index}: code = {code:?} is not of ASCII letters, digits and \".\"");
                    return Err(FaultPlanError::Syntax { message });
                }
                _ => {}
            }
        }
        Ok(Self { faults })
    }

    /// Reads a plan from TOML; unknown fields, and fields the kind does not have, are refused.
    ///
    /// # Errors
    ///
    /// Names the fault, the field and the allowed values, or the place in the text that is not TOML.
    pub fn from_toml(text: &str) -> Result<Self, FaultPlanError> {
        let raw: RawPlan = toml::from_str(text)
            .map_err(|e| FaultPlanError::Syntax { message: e.to_string().trim_end().to_owned() })?;
        let faults = raw.fault.into_iter().enumerate().map(|(index, fault)| fault.parse(index));
        Self::new(faults.collect::<Result<Vec<_>, _>>()?)
    }

    /// The same plan with one more fault, of GETs of the key.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn and(mut self, key: impl Into<String>, requests: Requests, kind: FaultKind) -> Result<Self, FaultPlanError> {
        self.faults.push(Fault::new(key, requests, kind));
        Self::new(self.faults)
    }

    /// The faults, in order.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(fields: &str) -> Result<FaultPlan, FaultPlanError> {
        FaultPlan::from_toml(&format!("[[fault]]\nkey = \"k\"\n{fields}"))
    }

    #[test]
    fn every_kind_has_a_name_in_the_file() {
        for kind in KINDS {
            let fields = "after_bytes = 1\nlength = 1\nbytes_per_s = 1\nat = 1\ncode = \"x\"";
            let error = one(&format!("every = true\nkind = \"{kind}\"\n{fields}")).unwrap_err();
            assert!(matches!(error, FaultPlanError::Unexpected { .. }), "{kind}: {error}");
        }
        assert!(matches!(one("every = true\nkind = \"x\""), Err(FaultPlanError::UnknownKind { .. })));
    }

    #[test]
    fn errors_name_fault_and_field() {
        for (fields, message) in [
            ("kind = \"replace\"", "fault 0 must say exactly one of"),
            ("request = 1\nevery = true\nkind = \"replace\"", "fault 0 must say exactly one of"),
            ("every = false\nkind = \"replace\"", "fault 0 must say exactly one of"),
            ("request = 1\nkind = \"reset\"", "fault 0 of kind \"reset\" needs after_bytes"),
            ("request = 1\nkind = \"replace\"\nat = 3", "fault 0 of kind \"replace\" has no field at"),
            ("requests = [3, 3]\nkind = \"replace\"", "requests[1] = 3 is outside 4"),
            ("request = 1\nkind = \"slow\"\nbytes_per_s = 0", "bytes_per_s = 0 is outside 1"),
            (
                "request = 1\nkind = \"stall\"\nafter_bytes = 0\nfor_ms = 3600001",
                "for_ms = 3600001 is outside 0 to 3600000",
            ),
            ("request = 1\nkind = \"content-range\"\nvalue = \"a\\nb\"", "not printable ASCII"),
            ("request = 1\nkind = \"replace\"\nnow = 1", "unknown field"),
            (
                "request = 1\non = \"put\"\nkind = \"replace\"",
                "unknown requests \"put\"; the kinds of requests are get",
            ),
            ("request = 1\nkind = \"lost-answer\"", "does not happen to requests of kind \"get-object\""),
            ("request = 1\non = \"upload-part\"\nkind = \"ignore-range\"", "does not happen to requests of kind"),
            ("request = 1\non = \"upload-part\"\nkind = \"error-in-success\"", "does not happen to requests of kind"),
            (
                "request = 1\non = \"copy-object\"\nkind = \"error-in-success\"\ncode = \"a b\"",
                "is not of ASCII letters, digits",
            ),
        ] {
            let error = one(fields).unwrap_err().to_string();
            assert!(error.contains(message), "{fields}: {error}");
        }
    }

    #[test]
    fn ranges_of_requests_are_half_open() {
        let requests = Requests::Range(2..4);
        let met: Vec<u64> = (0..6).filter(|n| requests.contain(*n)).collect();
        assert_eq!(met, [2, 3]);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(\\[\\[fault\\]\\]\n)?.{0,80}") {
            let _ = FaultPlan::from_toml(&text);
        }
    }
}

//! Requests made after one that the SDK has made: for the same bucket, with the same credentials, and in all else like
//! it.
//!
//! The SDK decides the address of a bucket, the headers, and which of them are signed. A [`Pattern`] holds these
//! decisions, taken from a [`Lesson`]: one of its requests as it went out. No pattern is made of a lesson that it could
//! not repeat to the last byte, the signature included, nor of one that has any unknown part. So an unusual request
//! stays with the SDK without being named.
//!
//! Pure but for the kept key. Nothing here shows a secret.

use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_s3::config::Credentials;
use http::Method;

use super::heads::MTIME;
use super::sign::{self, SigningKey, Stamp};
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::mtime;
use crate::words::object::{ObjectRequest, is_directory_bucket};
use crate::words::target::{Attributes, Target};

/// Headers that are the same in every request by one client: name, and whether the SDK signs it.
const SAME: [(&str, bool); 6] = [
    ("amz-sdk-request", false),
    ("user-agent", false),
    ("x-amz-checksum-mode", true),
    ("x-amz-content-sha256", true),
    ("x-amz-security-token", true),
    ("x-amz-user-agent", true),
];
/// Headers that describe the request. The SDK signs them.
const ASKED: [&str; 11] = [
    "content-length",
    "content-type",
    "if-match",
    "if-none-match",
    "range",
    "x-amz-checksum-crc32",
    "x-amz-checksum-crc32c",
    "x-amz-checksum-crc64nvme",
    "x-amz-expected-bucket-owner",
    MTIME,
    "x-amz-request-payer",
];
/// Headers that no two requests have the same.
const OWN: [&str; 3] = ["amz-sdk-invocation-id", "authorization", "x-amz-date"];

/// By how much the server's clock, as the SDK has measured it, may differ from this machine's for nothing: a server
/// tells whole seconds.
const SAME_CLOCK_SECONDS: i64 = 2;

/// The question about an object.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) verb: Verb,
    pub(super) object: &'a ObjectRequest,
    /// Half-open, not empty.
    pub(super) range: Option<&'a Range<u64>>,
    pub(super) if_match: Option<&'a str>,
    /// Counts the bytes of the body as they come.
    pub(super) arrived: Option<&'a Arc<AtomicU64>>,
    /// The object that is to be written, by a PUT.
    pub(super) put: Option<Put<'a>>,
}

/// An object that is written by one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Put<'a> {
    /// Its name is that of the object that is asked for.
    pub(super) target: &'a Target,
    pub(super) bytes: u64,
    /// As the header of the target's algorithm has it, where one is to be sent.
    pub(super) checksum: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Head,
    /// With the checksum of that algorithm, which the SDK's `user-agent` tells, too.
    Put(Option<ChecksumAlgorithm>),
}

/// A request as the SDK has sent it, secrets and all.
pub(super) struct Lesson {
    pub(super) method: String,
    pub(super) uri: String,
    pub(super) headers: Vec<(String, String)>,
    /// When that was, by this machine's clock: seconds of the Unix epoch.
    pub(super) at: i64,
}

/// All that requests of one kind for one bucket have in common.
pub(super) struct Pattern {
    verb: Verb,
    /// `https://host:port`.
    origin: String,
    host: String,
    /// The path up to the key, with the slash before it.
    prefix: String,
    credentials: Credentials,
    region: String,
    /// Those of [`SAME`] that there are.
    same: Vec<(&'static str, bool, String)>,
    /// By how much the SDK signs ahead of this machine's clock.
    ahead_seconds: i64,
    key: Mutex<Option<SigningKey>>,
}

/// A request, but for its invocation id.
pub(super) struct Written {
    /// Path and query.
    pub(super) target: String,
    /// The headers as lines.
    pub(super) headers: String,
}

impl Verb {
    pub(super) fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Head => Method::HEAD,
            Self::Put(_) => Method::PUT,
        }
    }

    /// Names that the SDK puts into each query.
    fn query(self) -> &'static str {
        match self {
            Self::Get => "x-id=GetObject",
            Self::Head => "",
            Self::Put(_) => "x-id=PutObject",
        }
    }
}

impl<'a> Asked<'a> {
    /// The request that writes an object.
    pub(super) fn put(put: Put<'a>) -> Self {
        let Put { target, checksum, .. } = put;
        let verb = Verb::Put(checksum.map(|_| target.checksum));
        let if_match = target.condition.if_match();
        Self { verb, object: &target.object, range: None, if_match, arrived: None, put: Some(put) }
    }

    /// Whether it is of the kind that patterns are made of: no customer's key, no name that is not a bucket's, nothing
    /// that the SDK would refuse to send or would write in another way.
    pub(super) fn is_usual(&self) -> bool {
        let Self { object, if_match, put, .. } = self;
        let address = &object.address;
        // A directory bucket (S3 Express) has sessions of its own.
        let a_bucket = !address.bucket.contains(':') && !is_directory_bucket(&address.bucket);
        let texts = [object.expected_bucket_owner.as_deref(), *if_match].into_iter().flatten();
        a_bucket
            && object.sse_customer_key.is_none()
            && !address.key.trim().is_empty()
            && texts.into_iter().all(is_plain)
            && put.as_ref().is_none_or(Put::is_usual)
    }
}

impl Put<'_> {
    /// Whether each of its headers is one of [`ASKED`], as it is sent.
    fn is_usual(&self) -> bool {
        // All fields by name: a new one is to be thought of here.
        let Attributes {
            content_type,
            cache_control: None,
            content_disposition: None,
            content_encoding: None,
            content_language: None,
            expires: None,
            metadata,
            tags,
            storage_class: None,
            acl: None,
            encryption: None,
        } = &self.target.attributes
        else {
            return false;
        };
        // The SDK would leave a version out.
        self.target.object.version_id.is_none()
            && tags.is_empty()
            && content_type.as_deref().is_some_and(is_plain)
            && match &metadata[..] {
                [] => true,
                [(name, value)] => name == mtime::NAME && is_plain(value),
                _ => false,
            }
    }

    /// The time that is kept with the object.
    fn mtime(&self) -> Option<&str> {
        self.target.attributes.metadata.first().map(|(_, value)| value.as_str())
    }

    /// The header of that checksum.
    fn checksum(&self, algorithm: ChecksumAlgorithm) -> Option<&str> {
        self.checksum.filter(|_| self.target.checksum == algorithm)
    }
}

/// Whether a header's value is signed as it is sent.
fn is_plain(value: &str) -> bool {
    let visible = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    !value.is_empty()
        && value.bytes().all(visible)
        && !value.starts_with(' ')
        && !value.ends_with(' ')
        && !value.contains("  ")
}

impl Pattern {
    /// The pattern of `lesson`, which asked for `asked` and was signed with `credentials`; `host` is its `Host` header.
    /// `None` where another request made by it would not be as the SDK would make it.
    pub(super) fn of(lesson: &Lesson, asked: &Asked<'_>, host: &str, credentials: &Credentials) -> Option<Self> {
        let Lesson { method, uri, headers, at } = lesson;
        let host_at = uri.find("://")? + 3;
        let (origin, target) = uri.split_at(host_at + uri[host_at..].find('/')?);
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        let mut key = String::new();
        encode(&asked.object.address.key, true, &mut key);
        let prefix = path.strip_suffix(&key).filter(|prefix| prefix.ends_with('/'))?;

        let value = |wanted: &str| {
            let mut found = headers.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
            found.next().filter(|_| found.next().is_none())
        };
        let known =
            |name: &str| SAME.iter().any(|(same, _)| *same == name) || ASKED.contains(&name) || OWN.contains(&name);
        if !headers.iter().all(|(name, _)| known(name)) {
            return None;
        }
        let same: Vec<(&'static str, bool, String)> =
            SAME.iter().filter_map(|(name, signed)| Some((*name, *signed, value(name)?.to_owned()))).collect();
        let signed_at = Stamp::seconds(value("x-amz-date")?)?;
        let ahead_seconds = Some(signed_at - at).filter(|ahead| ahead.abs() > SAME_CLOCK_SECONDS).unwrap_or(0);
        // AWS4-HMAC-SHA256 Credential=AKID/20261129/us-east-1/s3/aws4_request, SignedHeaders=..., Signature=...
        let scope = value("authorization")?.strip_prefix(sign::ALGORITHM)?.trim_start().strip_prefix("Credential=")?;
        let mut scope = scope.split_once(',')?.0.strip_prefix(credentials.access_key_id())?.split('/').skip(2);
        let (region, service) = (scope.next()?.to_owned(), scope.next()?);
        if service != "s3" {
            return None;
        }
        let pattern = Self {
            verb: asked.verb,
            origin: origin.to_owned(),
            host: host.to_owned(),
            prefix: prefix.to_owned(),
            credentials: credentials.clone(),
            region,
            same,
            ahead_seconds,
            key: Mutex::default(),
        };
        let again = pattern.write_at(asked, signed_at)?;
        // The SDK leaves the host's header to the connector, and each request has an id that nobody knows beforehand.
        let mut others = again.headers().filter(|(name, _)| *name != "host");
        let is_the_same = method == asked.verb.method().as_str()
            && target == again.target
            && value("amz-sdk-invocation-id").is_some()
            && others.clone().count() + 1 == headers.len()
            && others.all(|(name, written)| value(name) == Some(written));
        is_the_same.then_some(pattern)
    }

    /// Whether `credentials` are those that it signs with.
    pub(super) fn signs_with(&self, credentials: &Credentials) -> bool {
        let ours = &self.credentials;
        ours.access_key_id() == credentials.access_key_id()
            && ours.secret_access_key() == credentials.secret_access_key()
            && ours.session_token() == credentials.session_token()
    }

    /// The request for `asked` at a time by this machine's clock, in seconds of the Unix epoch; `None` for a time that
    /// no signature can have.
    pub(super) fn write(&self, asked: &Asked<'_>, now: i64) -> Option<Written> {
        self.write_at(asked, now + self.ahead_seconds)
    }

    fn write_at(&self, asked: &Asked<'_>, at: i64) -> Option<Written> {
        let stamp = Stamp::of(at)?;
        let target = self.target(asked);
        let range = asked.range.map(|range| format!("bytes={}-{}", range.start, range.end - 1));
        let same = |wanted: &str| self.same.iter().find(|(name, ..)| *name == wanted).map(|(.., value)| value.as_str());
        // In the order of their names, as the signature has them.
        let (put, bytes) = (asked.put.as_ref(), asked.put.map(|put| put.bytes.to_string()));
        let checksum = |algorithm| put.and_then(|put| put.checksum(algorithm));
        let signed = [
            ("content-length", bytes.as_deref()),
            ("content-type", put.and_then(|put| put.target.attributes.content_type.as_deref())),
            ("host", Some(self.host.as_str())),
            ("if-match", asked.if_match),
            ("if-none-match", put.and_then(|put| put.target.condition.if_none_match())),
            ("range", range.as_deref()),
            ("x-amz-checksum-crc32", checksum(ChecksumAlgorithm::Crc32)),
            ("x-amz-checksum-crc32c", checksum(ChecksumAlgorithm::Crc32c)),
            ("x-amz-checksum-crc64nvme", checksum(ChecksumAlgorithm::Crc64Nvme)),
            ("x-amz-checksum-mode", same("x-amz-checksum-mode")),
            ("x-amz-content-sha256", same("x-amz-content-sha256")),
            ("x-amz-date", Some(stamp.as_str())),
            ("x-amz-expected-bucket-owner", asked.object.expected_bucket_owner.as_deref()),
            (MTIME, put.and_then(Put::mtime)),
            ("x-amz-request-payer", asked.object.request_payer.then_some("requester")),
            ("x-amz-security-token", same("x-amz-security-token")),
            ("x-amz-user-agent", same("x-amz-user-agent")),
        ];
        let signed = || signed.iter().filter_map(|(name, value)| Some((*name, (*value)?)));
        let payload = same("x-amz-content-sha256")?;

        let mut text = String::with_capacity(2048);
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        for part in [self.verb.method().as_str(), "\n", path, "\n"] {
            text.push_str(part);
        }
        // Sorted by name; there are at most two.
        if let Some((first, second)) = query.split_once('&') {
            text.push_str(second);
            text.push('&');
            text.push_str(first);
        } else {
            text.push_str(query);
        }
        text.push('\n');
        for (name, value) in signed() {
            for part in [name, ":", value, "\n"] {
                text.push_str(part);
            }
        }
        text.push('\n');
        let names = text.len();
        for (name, _) in signed() {
            text.push_str(name);
            text.push(';');
        }
        text.pop();
        let names = names..text.len();
        text.push('\n');
        text.push_str(payload);

        let mut headers = String::with_capacity(2048);
        let (signature, scope) = self.sign(&stamp, text.as_bytes());
        let mut line = |name: &str, value: &[&str]| {
            headers.push_str(name);
            headers.push_str(": ");
            value.iter().for_each(|part| headers.push_str(part));
            headers.push_str("\r\n");
        };
        for (name, value) in signed() {
            line(name, &[value]);
        }
        for (name, signed, value) in &self.same {
            if !signed {
                line(name, &[value]);
            }
        }
        let access_key = self.credentials.access_key_id();
        let signature = std::str::from_utf8(&signature).expect("hexadecimal digits");
        line(
            "authorization",
            &[
                sign::ALGORITHM,
                " Credential=",
                access_key,
                "/",
                &scope,
                ", SignedHeaders=",
                &text[names],
                ", Signature=",
                signature,
            ],
        );
        Some(Written { target, headers })
    }

    fn target(&self, asked: &Asked<'_>) -> String {
        let mut target = String::with_capacity(256);
        target.push_str(&self.prefix);
        encode(&asked.object.address.key, true, &mut target);
        let mut mark = '?';
        if !self.verb.query().is_empty() {
            target.push(mark);
            target.push_str(self.verb.query());
            mark = '&';
        }
        if let Some(version_id) = &asked.object.version_id {
            target.push(mark);
            target.push_str("versionId=");
            encode(version_id, false, &mut target);
        }
        target
    }

    fn sign(&self, stamp: &Stamp, canonical_request: &[u8]) -> ([u8; 64], String) {
        let mut kept = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        let key = match &mut *kept {
            Some(key) if key.is_of(stamp.day()) => key,
            kept => {
                let secret = self.credentials.secret_access_key();
                kept.insert(SigningKey::new(secret, stamp.day(), &self.region, "s3"))
            }
        };
        (key.sign(stamp, canonical_request), key.scope().to_owned())
    }
}

/// Percent-encodes all but RFC 3986's unreserved characters, and slashes where they are kept.
fn encode(text: &str, keep_slashes: bool, into: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => into.push(char::from(byte)),
            b'/' if keep_slashes => into.push('/'),
            _ => write!(into, "%{byte:02X}").expect("a string takes any text"),
        }
    }
}

impl Written {
    /// Names and values.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.headers.split_terminator("\r\n").filter_map(|line| line.split_once(": "))
    }
}

/// Without the signature, and without the signed text.
impl fmt::Debug for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Written").field("target", &self.target).finish_non_exhaustive()
    }
}

/// Without credentials and the key.
impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { verb, origin, prefix, region, ahead_seconds, .. } = self;
        let mut shown = f.debug_struct("Pattern");
        shown.field("verb", verb).field("origin", origin).field("prefix", prefix).field("region", region);
        shown.field("ahead_seconds", ahead_seconds).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

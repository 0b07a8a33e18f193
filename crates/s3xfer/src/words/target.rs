//! [`Target`]: the object that is written, the attributes kept with it, and the conditions of the write.

use std::fmt;

use super::checksum::ChecksumAlgorithm;
use super::object::{Argument, ArgumentError, ObjectAddress, ObjectRequest, SseCustomerKey};

/// Server-side encryption of a new object, with keys that the server keeps (S3 User Guide, "Protecting data with
/// server-side encryption"). For keys of your own see [`Upload::sse_customer_key`](crate::Upload::sse_customer_key).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServerSideEncryption {
    /// Keys that S3 manages (SSE-S3).
    S3,
    /// A key of AWS's Key Management Service (SSE-KMS).
    Kms {
        /// Id or ARN of the key; `None` for the account's own `aws/s3`.
        key_id: Option<String>,
    },
    /// Two layers with a key of AWS's Key Management Service (DSSE-KMS).
    KmsTwoLayers {
        /// Id or ARN of the key; `None` for the account's own `aws/s3`.
        key_id: Option<String>,
    },
}

/// The object's state on the server under which it may be written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum Condition {
    #[default]
    None,
    /// There is no object of that name (`If-None-Match: *`).
    Absent,
    /// The object there has this ETag (`If-Match`).
    IsVersion(String),
}

impl Condition {
    /// The value of `If-None-Match`.
    pub(crate) fn if_none_match(&self) -> Option<&'static str> {
        matches!(self, Self::Absent).then_some("*")
    }

    /// The value of `If-Match`.
    pub(crate) fn if_match(&self) -> Option<&str> {
        match self {
            Self::IsVersion(e_tag) => Some(e_tag),
            _ => None,
        }
    }
}

/// Displays as a condition that reads after "only if".
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("anything is there"),
            Self::Absent => f.write_str("no object of that name is there"),
            Self::IsVersion(e_tag) => write!(f, "the object there has the ETag {e_tag}"),
        }
    }
}

/// The attributes that S3 keeps with an object. Values go to the server as they are, which checks them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Attributes {
    pub(crate) content_type: Option<String>,
    pub(crate) cache_control: Option<String>,
    pub(crate) content_disposition: Option<String>,
    pub(crate) content_encoding: Option<String>,
    pub(crate) content_language: Option<String>,
    /// As HTTP writes dates.
    pub(crate) expires: Option<String>,
    /// Names and values, in the order they were given.
    pub(crate) metadata: Vec<(String, String)>,
    /// Keys and values, in the order they were given.
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) storage_class: Option<String>,
    pub(crate) acl: Option<String>,
    pub(crate) encryption: Option<ServerSideEncryption>,
}

impl Attributes {
    /// The tags as the header `x-amz-tagging` has them: a query string. `None` without tags.
    pub(crate) fn tagging(&self) -> Option<String> {
        let pairs: Vec<_> =
            self.tags.iter().map(|(key, value)| format!("{}={}", escaped(key), escaped(value))).collect();
        (!pairs.is_empty()).then(|| pairs.join("&"))
    }
}

/// Percent-encoded but for RFC 3986's unreserved letters.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(byte.into()),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// Whether requests carry the checksum of their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ChecksumUse {
    /// Yes, unless the server refuses it.
    #[default]
    Default,
    /// Yes: the caller has named the algorithm.
    Chosen,
    No,
}

/// An object that is to be written.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// Names the object, and the headers of every request for it.
    pub(crate) object: ObjectRequest,
    pub(crate) attributes: Attributes,
    pub(crate) condition: Condition,
    /// Computed of all bytes, whether it is sent or not.
    pub(crate) checksum: ChecksumAlgorithm,
    pub(crate) checksum_use: ChecksumUse,
}

impl Target {
    pub(crate) fn new(address: ObjectAddress) -> Self {
        Self {
            object: ObjectRequest::new(address),
            attributes: Attributes::default(),
            condition: Condition::None,
            checksum: ChecksumAlgorithm::Crc64Nvme,
            checksum_use: ChecksumUse::Default,
        }
    }

    pub(crate) fn address(&self) -> &ObjectAddress {
        &self.object.address
    }

    pub(crate) fn sse_customer_key(&self) -> Option<&SseCustomerKey> {
        self.object.sse_customer_key.as_ref()
    }

    /// Checks that requests for it can be written at all.
    ///
    /// # Errors
    ///
    /// The first invalid argument.
    pub(crate) fn check(&self) -> Result<(), ArgumentError> {
        self.object.check()?;
        let attributes = &self.attributes;
        let named = [
            (Argument::ContentType, &attributes.content_type),
            (Argument::CacheControl, &attributes.cache_control),
            (Argument::ContentDisposition, &attributes.content_disposition),
            (Argument::ContentEncoding, &attributes.content_encoding),
            (Argument::ContentLanguage, &attributes.content_language),
            (Argument::StorageClass, &attributes.storage_class),
            (Argument::Acl, &attributes.acl),
        ];
        let metadata = attributes.metadata.iter();
        for (name, value) in metadata {
            // RFC 9110, 5.1: a field name is a token.
            let odd = |letter: &char| !(letter.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(*letter));
            if name.is_empty() {
                return Err(ArgumentError::Empty { argument: Argument::Metadata });
            }
            text(Argument::Metadata, name, odd)?;
            text(Argument::Metadata, value, |letter| is_control(letter) || !letter.is_ascii())?;
        }
        for (argument, value) in named {
            if let Some(value) = value {
                text(argument, value, |letter| is_control(letter) || !letter.is_ascii())?;
            }
        }
        if let Condition::IsVersion(e_tag) = &self.condition {
            text(Argument::IfMatch, e_tag, |letter| !letter.is_ascii_graphic())?;
        }
        Ok(())
    }
}

/// Letters that end a header, or are none.
fn is_control(letter: &char) -> bool {
    letter.is_control() && *letter != '\t'
}

fn text(argument: Argument, text: &str, is_odd: impl FnMut(&char) -> bool) -> Result<(), ArgumentError> {
    match text.chars().find(is_odd) {
        Some(letter) => Err(ArgumentError::Letter { argument, letter }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        Target::new(ObjectAddress { bucket: "b".to_owned(), key: "k".to_owned() })
    }

    #[test]
    fn tags_are_a_query_string() {
        let mut attributes = Attributes::default();
        assert_eq!(attributes.tagging(), None);
        attributes.tags = vec![("a b".to_owned(), "c&d=é".to_owned()), ("e".to_owned(), String::new())];
        assert_eq!(attributes.tagging().as_deref(), Some("a%20b=c%26d%3D%C3%A9&e="));
    }

    #[test]
    fn attributes_that_no_header_can_carry_are_refused() {
        assert_eq!(target().check(), Ok(()));
        let mut with_line = target();
        with_line.attributes.content_type = Some("text/plain\r\nx-amz-acl: public-read".to_owned());
        let letter = '\r';
        assert_eq!(with_line.check(), Err(ArgumentError::Letter { argument: Argument::ContentType, letter }));
        let mut with_name = target();
        with_name.attributes.metadata = vec![("a:b".to_owned(), "c".to_owned())];
        assert_eq!(with_name.check(), Err(ArgumentError::Letter { argument: Argument::Metadata, letter: ':' }));
        let mut without_name = target();
        without_name.attributes.metadata = vec![(String::new(), "c".to_owned())];
        assert_eq!(without_name.check(), Err(ArgumentError::Empty { argument: Argument::Metadata }));
        let mut umlaut = target();
        umlaut.attributes.metadata = vec![("a".to_owned(), "ü".to_owned())];
        assert_eq!(umlaut.check(), Err(ArgumentError::Letter { argument: Argument::Metadata, letter: 'ü' }));
        let mut version = target();
        version.condition = Condition::IsVersion("\"0a\"".to_owned());
        assert_eq!(version.check(), Ok(()));
    }
}

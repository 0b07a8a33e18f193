//! `s3://BUCKET/KEY` as people write it.

use std::fmt;
use std::str::FromStr;

/// An object's address, or a bucket's, read from text such as `s3://my-bucket/my/key`.
///
/// The bucket may be the ARN of an access point, whose name has a `/` or a `:` in it; then it ends where the AWS CLI
/// ends it. A bucket without a key has an empty one.
///
/// ```
/// use s3xfer::S3Uri;
///
/// let uri: S3Uri = "s3://my-bucket/my/key".parse()?;
/// assert_eq!((uri.bucket(), uri.key()), ("my-bucket", "my/key"));
/// let uri: S3Uri = "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/mine/my/key".parse()?;
/// assert_eq!((uri.bucket(), uri.key()), ("arn:aws:s3:eu-west-1:123456789012:accesspoint/mine", "my/key"));
/// # Ok::<(), s3xfer::S3UriError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct S3Uri {
    bucket: String,
    key: String,
}

impl S3Uri {
    /// The bucket's name, or an access point's ARN; not empty.
    #[must_use]
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The object's key, which may be empty.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}

impl fmt::Display for S3Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, self.key)
    }
}

/// Why a text is not an [`S3Uri`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum S3UriError {
    /// It begins with something else.
    #[error("{text:?} does not begin with s3://")]
    Scheme {
        /// The text.
        text: String,
    },
    /// Nothing, or a `/`, follows the scheme.
    #[error("{text:?} names no bucket")]
    NoBucket {
        /// The text.
        text: String,
    },
}

impl FromStr for S3Uri {
    type Err = S3UriError;

    fn from_str(text: &str) -> Result<Self, S3UriError> {
        let address = text.strip_prefix("s3://").ok_or_else(|| S3UriError::Scheme { text: text.to_owned() })?;
        let (bucket, key) = match access_point(address) {
            Some(at) => {
                let (bucket, rest) = address.split_at(at);
                (bucket, rest.strip_prefix(['/', ':']).unwrap_or(rest))
            }
            None => address.split_once('/').unwrap_or((address, "")),
        };
        match bucket.is_empty() {
            true => Err(S3UriError::NoBucket { text: text.to_owned() }),
            false => Ok(Self { bucket: bucket.to_owned(), key: key.to_owned() }),
        }
    }
}

/// Bytes of the access point's ARN with which `address` begins, by the AWS CLI's three patterns for them
/// (`awscli/customizations/s3/utils.py`: `_S3_ACCESSPOINT_TO_BUCKET_KEY_REGEX`, `_S3_OUTPOST_...`,
/// `_S3_OBJECT_LAMBDA_...`).
fn access_point(address: &str) -> Option<usize> {
    let mut fields = address.splitn(6, ':');
    let (arn, partition, service) = (fields.next()?, fields.next()?, fields.next()?);
    let (region, account, resource) = (fields.next()?, fields.next()?, fields.next()?);
    let digits = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    let plain = region.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if arn != "arn" || !partition.starts_with("aws") || !digits || !plain {
        return None;
    }
    let rest = match service {
        "s3" => {
            let name = after(resource, "accesspoint")?;
            let rest = &name[name.find('/').unwrap_or(name.len())..];
            (rest.len() < name.len()).then_some(rest)
        }
        "s3-object-lambda" => after_name(after(resource, "accesspoint")?),
        "s3-outposts" => {
            let outpost = after_name(after(resource, "outpost")?)?;
            after_name(after(outpost.strip_prefix(['/', ':'])?, "accesspoint")?)
        }
        _ => None,
    }?;
    Some(address.len() - rest.len())
}

/// The text behind `word` and a separator.
fn after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    text.strip_prefix(word)?.strip_prefix(['/', ':'])
}

/// The text behind a name of 1 to 63 letters, digits and hyphens.
fn after_name(text: &str) -> Option<&str> {
    let length = text.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'-').count().min(63);
    (length > 0).then(|| &text[length..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(address: &str) -> (String, String) {
        let uri: S3Uri = format!("s3://{address}").parse().unwrap();
        (uri.bucket, uri.key)
    }

    #[test]
    fn a_bucket_ends_at_the_first_slash() {
        for (address, bucket, key) in [
            ("b/k", "b", "k"),
            ("b/k/l", "b", "k/l"),
            ("b//k", "b", "/k"),
            ("b/", "b", ""),
            ("b", "b", ""),
            ("b/ k?x#y", "b", " k?x#y"),
            ("arn:aws:s3:::b/k", "arn:aws:s3:::b", "k"),
            ("arn/k", "arn", "k"),
            ("arn:aws:s3:us-east-1:123:accesspoint/mine/k", "arn:aws:s3:us-east-1:123:accesspoint", "mine/k"),
        ] {
            assert_eq!(split(address), (bucket.to_owned(), key.to_owned()));
        }
    }

    /// Cases of the AWS CLI's own tests (`tests/unit/customizations/s3/test_utils.py`, `TestFindBucketKey`), and more.
    #[test]
    fn an_access_point_ends_where_the_aws_cli_ends_it() {
        for bucket in [
            "arn:aws:s3:us-west-2:123456789012:accesspoint/endpoint",
            "arn:aws:s3:us-west-2:123456789012:accesspoint:endpoint",
            "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint/mine",
            // A multi-region access point.
            "arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap",
            "arn:aws:s3-outposts:us-east-1:123456789012:outpost/op-0a12345678abcdefg/accesspoint/bucket-foo",
            "arn:aws:s3-outposts:us-east-1:123456789012:outpost:op-0a12345678abcdefg:accesspoint:bucket-foo",
            "arn:aws:s3-object-lambda:us-east-1:123456789012:accesspoint/my-lambda",
            "arn:aws:s3-object-lambda:us-east-1:123456789012:accesspoint:my-lambda",
        ] {
            assert_eq!(split(bucket), (bucket.to_owned(), String::new()));
            for key in ["key", "key/with/slashes", "key:with:colons", "/key"] {
                assert_eq!(split(&format!("{bucket}/{key}")), (bucket.to_owned(), key.to_owned()));
            }
        }
    }

    #[test]
    fn what_names_no_bucket_is_an_error() {
        let parse = |text: &str| text.parse::<S3Uri>().unwrap_err().to_string();
        assert_eq!(parse("b/k"), "\"b/k\" does not begin with s3://");
        assert_eq!(parse("S3://b/k"), "\"S3://b/k\" does not begin with s3://");
        assert_eq!(parse("s3://"), "\"s3://\" names no bucket");
        assert_eq!(parse("s3:///k"), "\"s3:///k\" names no bucket");
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics_and_what_is_shown_is_read_again(text in "(s3://)?(arn:aws:s3(-outposts|-object-lambda)?:[a-z-]{0,4}:(123456789012)?:)?(outpost[:/])?(accesspoint[:/])?\\PC{0,20}") {
            if let Ok(uri) = text.parse::<S3Uri>() {
                let again: S3Uri = uri.to_string().parse().unwrap();
                proptest::prop_assert_eq!(uri, again);
            }
        }
    }
}

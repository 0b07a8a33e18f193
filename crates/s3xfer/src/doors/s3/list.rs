//! ListObjectsV2, DeleteObjects and DeleteObject: one request each.
//!
//! Keys are asked for percent-encoded (`encoding-type=url`), for XML has no way to write some letters that a key may
//! hold (API reference, "ListObjectsV2").

use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::Region;
use aws_sdk_s3::types::{Delete, EncodingType, ObjectIdentifier, RequestPayer};
use aws_smithy_types::base64;
use futures::{FutureExt, TryFutureExt};
use md5::{Digest, Md5};

use super::writing::refuses_checksum;
use super::{Store, sent};
use crate::words::failure::{RequestError, RequestFailure};
use crate::words::listing::{ListRequest, ListedObject, NotDeleted, Page, PageAt};
use crate::words::object::{ObjectAddress, ObjectRequest};

/// S3's greatest page, and most keys of a DeleteObjects.
pub(crate) const MOST_KEYS: usize = 1000;

impl Store {
    /// The page of a listing that begins at `from`. The answer must be there before `patience` has passed.
    ///
    /// # Errors
    ///
    /// The failure, sorted by whether another attempt can help.
    pub(crate) async fn list(
        &self,
        asked: &ListRequest,
        from: &PageAt,
        patience: Duration,
    ) -> Result<Page, RequestFailure> {
        check(asked)?;
        let (token, after) = match from {
            PageAt::Start => (None, None),
            PageAt::Token(token) => (Some(token.as_str()), None),
            PageAt::After(after) => (None, Some(after.as_str())),
        };
        let output = self
            .follow(&asked.bucket, patience, None, |region| {
                let request = self
                    .client
                    .list_objects_v2()
                    .bucket(&asked.bucket)
                    .prefix(&asked.prefix)
                    .encoding_type(EncodingType::Url)
                    .set_continuation_token(token.map(str::to_owned))
                    .set_start_after(after.map(str::to_owned))
                    .set_request_payer(asked.request_payer.then_some(RequestPayer::Requester))
                    .set_expected_bucket_owner(asked.expected_bucket_owner.clone());
                sent!(request, of_its_own(&asked.bucket, region.as_ref()), |output| output)
            })
            .await?;
        let encoded = output.encoding_type == Some(EncodingType::Url);
        let next = match output.is_truncated {
            Some(true) => {
                let told = output.next_continuation_token.filter(|next| Some(next.as_str()) != token);
                let what = "the listing goes on, but the server does not say where";
                Some(told.ok_or_else(|| bad_response(what.to_owned()))?)
            }
            _ => None,
        };
        let objects = output.contents.unwrap_or_default().into_iter().map(|object| {
            let key = object.key.unwrap_or_default();
            let key = match encoded {
                true => decoded(&key).ok_or_else(|| bad_response(format!("the key {key:?} is not percent-encoded")))?,
                false => key,
            };
            if !key.starts_with(&asked.prefix) {
                return Err(bad_response(format!("the key {key:?} is not below the prefix {:?}", asked.prefix)));
            }
            let size = object.size.and_then(|size| u64::try_from(size).ok());
            let bytes = size.ok_or_else(|| bad_response(format!("the key {key:?} has no size")))?;
            let last_modified = object.last_modified.and_then(|time| SystemTime::try_from(time).ok());
            Ok(ListedObject { key, bytes, e_tag: object.e_tag, last_modified })
        });
        Ok(Page { objects: objects.collect::<Result<_, _>>()?, next })
    }

    /// Deletes up to [`MOST_KEYS`] objects with keys that XML can carry, and returns those that are still there. One
    /// that is not there counts as deleted. `None`: the server has no such request, or refuses the checksum that the
    /// SDK sends in it.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub(crate) async fn delete(
        &self,
        asked: &ListRequest,
        keys: &[&String],
        patience: Duration,
    ) -> Result<Option<Vec<NotDeleted>>, RequestFailure> {
        check(asked)?;
        let unwritten = |error: aws_sdk_s3::error::BuildError| {
            RequestFailure::Final(RequestError::NotSent { source: error.to_string().into() })
        };
        let mut delete = Delete::builder().quiet(true);
        for key in keys {
            delete = delete.objects(ObjectIdentifier::builder().key(*key).build().map_err(unwritten)?);
        }
        let delete = delete.build().map_err(unwritten)?;
        let output = self
            .follow(&asked.bucket, patience, None, |region| {
                let request = self
                    .client
                    .delete_objects()
                    .bucket(&asked.bucket)
                    .delete(delete.clone())
                    .set_request_payer(asked.request_payer.then_some(RequestPayer::Requester))
                    .set_expected_bucket_owner(asked.expected_bucket_owner.clone());
                // The SDK sends a CRC, which servers that know only the MD5 take for none.
                let request = request.customize().mutate_request(|request| {
                    if let Some(md5) = request.body().bytes().map(Md5::digest) {
                        request.headers_mut().insert("content-md5", base64::encode(md5));
                    }
                });
                let request = match of_its_own(&asked.bucket, region.as_ref()) {
                    Some(config) => request.config_override(config),
                    None => request,
                };
                request.send().boxed()
            })
            .await;
        let output = match output {
            Err(RequestFailure::Refused { status: 405, .. }) => return Ok(None),
            Err(failure) if refuses_checksum(&failure) => return Ok(None),
            output => output?,
        };
        let failed = output.errors.unwrap_or_default().into_iter().map(|error| NotDeleted {
            key: error.key.unwrap_or_default(),
            code: error.code.unwrap_or_else(|| "without an error code".to_owned()),
            message: error.message.unwrap_or_else(|| "no message given".to_owned()),
        });
        Ok(Some(failed.collect()))
    }

    /// Deletes one object. One that is not there counts as deleted.
    ///
    /// # Errors
    ///
    /// As [`list`](Self::list).
    pub(crate) async fn delete_one(
        &self,
        asked: &ListRequest,
        key: &str,
        patience: Duration,
    ) -> Result<(), RequestFailure> {
        let object = ObjectRequest::new(ObjectAddress { bucket: asked.bucket.clone(), key: key.to_owned() });
        let deleted = self.see_through(&object, patience, None, |region| {
            let request = self
                .client
                .delete_object()
                .bucket(&asked.bucket)
                .key(key)
                .set_request_payer(asked.request_payer.then_some(RequestPayer::Requester))
                .set_expected_bucket_owner(asked.expected_bucket_owner.clone());
            sent!(request, of_its_own(&asked.bucket, region.as_ref()), |_output| ())
        });
        match deleted.await {
            Err(RequestFailure::Refused { code, .. }) if code == "NoSuchKey" => Ok(()),
            deleted => deleted,
        }
    }
}

/// Whether XML can carry a key, in which other letters have no form (XML 1.0, 2.2).
pub(crate) fn has_form_in_xml(key: &str) -> bool {
    key.chars().all(|letter| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..))
}

/// Whether a request can be written at all.
fn check(asked: &ListRequest) -> Result<(), RequestFailure> {
    // Any key does where there is no prefix.
    let key = if asked.prefix.is_empty() { "-" } else { &asked.prefix };
    let address = ObjectAddress { bucket: asked.bucket.clone(), key: key.to_owned() };
    let expected_bucket_owner = asked.expected_bucket_owner.clone();
    let object = ObjectRequest { expected_bucket_owner, ..ObjectRequest::new(address) };
    object.check().map_err(|source| RequestFailure::Final(RequestError::Argument { source }))
}

/// The configuration that requests for the bucket need and others do not.
fn of_its_own(bucket: &str, region: Option<&Region>) -> Option<aws_sdk_s3::config::Builder> {
    // An access point has a host of its own, and no path.
    let arn = bucket.starts_with("arn:");
    if !arn && region.is_none() {
        return None;
    }
    let mut config = aws_sdk_s3::Config::builder();
    if let Some(region) = region {
        config.set_region(Some(region.clone()));
    }
    if arn {
        config.set_force_path_style(Some(false));
    }
    Some(config)
}

fn bad_response(what: String) -> RequestFailure {
    RequestFailure::Final(RequestError::BadResponse { what })
}

/// The text that was percent-encoded, in which S3 writes a space as `+`. `None` for text that is not.
pub(super) fn decoded(text: &str) -> Option<String> {
    if !text.contains(['%', '+']) {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, more @ ..] = rest {
        rest = more;
        match first {
            b'+' => bytes.push(b' '),
            b'%' => {
                let (digits, more) = rest.split_at_checked(2)?;
                let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = more;
            }
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_decoded_as_s3_encodes_them() {
        assert_eq!(decoded("a/b.txt").as_deref(), Some("a/b.txt"));
        assert_eq!(decoded("a+b%2Bc%20d%C3%A9").as_deref(), Some("a b+c dé"));
        for wrong in ["%", "%2", "%zz", "%+1", "%ff"] {
            assert_eq!(decoded(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn control_letters_have_no_form_in_xml() {
        for (key, has_form) in [("a b/é\u{10000}", true), ("a\tb\nc\rd", true), ("a\u{1}", false), ("\u{ffff}", false)]
        {
            assert_eq!(has_form_in_xml(key), has_form, "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn any_key_comes_back(key in any::<String>()) {
            let encoded: String = key.bytes().map(|byte| match byte {
                b' ' => "+".to_owned(),
                byte if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
                byte => format!("%{byte:02x}"),
            }).collect();
            prop_assert_eq!(decoded(&encoded), Some(key));
        }
    }
}

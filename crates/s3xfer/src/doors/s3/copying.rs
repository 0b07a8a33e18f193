//! Requests that copy: objects as they are, and ranges of them as parts of others.
//!
//! Amazon S3 API reference: CopyObject, UploadPartCopy, GetObjectTagging.

use std::ops::Range;
use std::time::Duration;

use aws_sdk_s3::types::RequestPayer;

use super::writing::{SentPart, Written, bad, describing, for_target, told_checksum, with_key};
use super::*;
use crate::words::object::ObjectAddress;
use crate::words::target::Target;

/// The source as `x-amz-copy-source` has it: `bucket/key`, percent-encoded, with the version if one is meant. An access
/// point is named by its ARN, with `/object/` before the key.
fn copy_source(source: &ObjectRequest) -> String {
    let ObjectAddress { bucket, key } = &source.address;
    let between = if bucket.starts_with("arn:") { "/object/" } else { "/" };
    let mut text = String::new();
    for byte in bucket.bytes().chain(between.bytes()).chain(key.bytes()) {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => text.push(byte.into()),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    match &source.version_id {
        Some(version_id) => format!("{text}?versionId={version_id}"),
        None => text,
    }
}

/// Names the source in a request that copies.
macro_rules! from_source {
    ($request:expr, $source:expr, $e_tag:expr) => {{
        let request = $request
            .copy_source(copy_source($source))
            .set_copy_source_if_match($e_tag.map(str::to_owned))
            .set_expected_source_bucket_owner($source.expected_bucket_owner.clone());
        match &$source.sse_customer_key {
            Some(key) => {
                let (key, sum) = customer_key::headers(key);
                request
                    .copy_source_sse_customer_algorithm("AES256")
                    .copy_source_sse_customer_key(key)
                    .copy_source_sse_customer_key_md5(sum)
            }
            None => request,
        }
    }};
}

/// Sends a PUT that has no body. The SDK's client leaves the length out then, and Ceph's gateway wants one (411).
macro_rules! send_empty {
    ($request:expr, $object:expr, $region:expr, |$output:ident| $answer:expr) => {{
        let request = $request.customize().mutate_request(|request| {
            request.headers_mut().insert("content-length", "0");
        });
        let request = match of_its_own($object, $region.as_ref()) {
            Some(config) => request.config_override(config),
            None => request,
        };
        request.send().map_ok(|$output| $answer).boxed()
    }};
}

impl Store {
    /// Copies the object if it has that ETag, with its headers, metadata and tags.
    ///
    /// # Errors
    ///
    /// The failure, sorted by whether another attempt can help; [`RequestFailure::Changed`] where either condition
    /// does not hold, the source's or the target's.
    pub(crate) async fn copy(
        &self,
        source: &ObjectRequest,
        e_tag: Option<&str>,
        target: &Target,
        within: Duration,
    ) -> Result<Written, RequestFailure> {
        let algorithm = target.checksum;
        let attempt = |region: Option<Region>| {
            let request = describing!(with_key!(for_target!(self.writer.copy_object(), target), target), target);
            let request = from_source!(request, source, strong(e_tag))
                .set_if_match(target.condition.if_match().map(str::to_owned))
                .set_if_none_match(target.condition.if_none_match().map(str::to_owned));
            send_empty!(request, &target.object, region, |output| Written {
                checksum: output.copy_object_result().and_then(|result| told_checksum!(result, algorithm)),
                e_tag: output.copy_object_result().and_then(|result| result.e_tag()).map(str::to_owned),
                version_id: output.version_id,
            })
        };
        self.see_through(&target.object, within, None, attempt).await
    }

    /// Copies `range` of the object, half-open and not empty, as the part `number`, from 1, of an upload.
    ///
    /// # Errors
    ///
    /// As [`copy`](Self::copy).
    pub(crate) async fn copy_part(
        &self,
        (source, e_tag, range): (&ObjectRequest, Option<&str>, &Range<u64>),
        target: &Target,
        (upload_id, number): (&str, i32),
        (within, sent): (Duration, &AtomicU64),
    ) -> Result<SentPart, RequestFailure> {
        let algorithm = target.checksum;
        let attempt = |region: Option<Region>| {
            let request = with_key!(for_target!(self.writer.upload_part_copy(), target), target);
            let request = from_source!(request, source, strong(e_tag))
                .copy_source_range(format!("bytes={}-{}", range.start, range.end - 1))
                .upload_id(upload_id)
                .part_number(number);
            send_empty!(request, &target.object, region, |output| output.copy_part_result)
        };
        let result = self.see_through(&target.object, within, Some(sent), attempt).await?;
        let result = result.ok_or_else(|| bad("no result in the answer to UploadPartCopy"))?;
        let checksum = told_checksum!(result, algorithm);
        let e_tag = result.e_tag.ok_or_else(|| bad("no ETag in the answer to UploadPartCopy"))?;
        Ok(SentPart { number, e_tag, checksum })
    }

    /// The object's tags: keys and values.
    ///
    /// # Errors
    ///
    /// As [`copy`](Self::copy).
    #[expect(clippy::result_large_err, reason = "the error is the SDK's, and passed on")]
    pub(crate) async fn tags(
        &self,
        object: &ObjectRequest,
        within: Duration,
    ) -> Result<Vec<(String, String)>, RequestFailure> {
        let attempt = |region: Option<Region>| {
            let request = self
                .writer
                .get_object_tagging()
                .bucket(&object.address.bucket)
                .key(&object.address.key)
                .set_version_id(object.version_id.clone())
                .set_request_payer(object.request_payer.then_some(RequestPayer::Requester))
                .set_expected_bucket_owner(object.expected_bucket_owner.clone());
            let request = request.customize();
            let request = match of_its_own(object, region.as_ref()) {
                Some(config) => request.config_override(config),
                None => request,
            };
            let tags = request.send().map(|answer| match answer {
                Ok(output) => Ok(output.tag_set),
                // Ceph's gateway answers with nothing where there are none.
                Err(error) if is_empty_success(&error) => Ok(Vec::new()),
                Err(error) => Err(error),
            });
            tags.boxed()
        };
        let tags = self.see_through(object, within, None, attempt).await?;
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }
}

/// Whether an answer is a success that has no body, where the SDK wants one.
fn is_empty_success<E>(error: &SdkError<E>) -> bool {
    error.raw_response().is_some_and(|answer| {
        answer.status().is_success() && answer.headers().get("content-length").is_some_and(|length| length == "0")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_percent_encoded_but_for_its_slashes() {
        let address = ObjectAddress { bucket: "b".to_owned(), key: "a b/ü+%?.txt".to_owned() };
        let mut source = ObjectRequest::new(address);
        assert_eq!(copy_source(&source), "b/a%20b/%C3%BC%2B%25%3F.txt");
        source.version_id = Some("v1".to_owned());
        assert!(copy_source(&source).ends_with("?versionId=v1"));
    }

    #[test]
    fn an_access_point_is_named_by_its_arn() {
        let bucket = "arn:aws:s3:eu-west-1:123456789012:accesspoint/ap".to_owned();
        let source = ObjectRequest::new(ObjectAddress { bucket, key: "a b".to_owned() });
        let encoded = "arn%3Aaws%3As3%3Aeu-west-1%3A123456789012%3Aaccesspoint/ap/object/a%20b";
        assert_eq!(copy_source(&source), encoded);
    }
}

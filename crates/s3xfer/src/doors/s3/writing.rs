//! Requests that write: objects in one piece, multipart uploads and their parts.
//!
//! Amazon S3 API reference: PutObject, CreateMultipartUpload, UploadPart, CompleteMultipartUpload,
//! AbortMultipartUpload, HeadObject. Bodies are signed as UNSIGNED-PAYLOAD: to hash them would
//! take as long as to send them, and their checksum is in a header, or is compared with the server's.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart, RequestPayer, ServerSideEncryption as SdkEncryption};

use super::outgoing::Outgoing;
use super::pattern::Put;
use super::*;
use crate::words::checksum::md5_in;
use crate::words::target::{Attributes, ChecksumUse, ServerSideEncryption, Target};

/// The server's word on an object that is written now.
#[derive(Debug, Clone, Default)]
pub(crate) struct Written {
    pub(crate) e_tag: Option<String>,
    pub(crate) version_id: Option<String>,
    /// The checksum of the algorithm that was asked for, where it is told.
    pub(crate) checksum: Option<u64>,
}

/// A part that the server has.
#[derive(Debug, Clone)]
pub(crate) struct SentPart {
    /// From 1.
    pub(crate) number: i32,
    pub(crate) e_tag: String,
    /// As the server computed it, where it tells.
    pub(crate) checksum: Option<u64>,
}

/// An object as the server describes it.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    pub(crate) bytes: u64,
    pub(crate) e_tag: Option<String>,
    pub(crate) version_id: Option<String>,
    pub(crate) checksum: StoredChecksum,
    pub(crate) attributes: Attributes,
}

/// Whether a server without that algorithm, or without any, has refused a request for its checksum. Cloudflare's R2
/// says 501 NotImplemented, Backblaze's B2 and MinIO before 2025 say 400. A server that wants a checksum says 400, too.
pub(super) fn refuses_checksum(failure: &RequestFailure) -> bool {
    let RequestFailure::Refused { status, code, message } = failure else { return false };
    match (status, &**code) {
        (501, _) => true,
        (400, "InvalidRequest" | "InvalidArgument" | "InvalidChecksum" | "NotImplemented") => {
            names_checksum(message) && !message.contains("required")
        }
        _ => false,
    }
}

fn names_checksum(message: &str) -> bool {
    message.to_ascii_lowercase().contains("checksum")
}

/// The refusal of a checksum that the caller has chosen, with the remedy.
fn with_remedy(mut refusal: RequestFailure) -> RequestFailure {
    if let RequestFailure::Refused { message, .. } = &mut refusal
        && names_checksum(message)
    {
        message.push_str("; upload with another algorithm (Upload::checksum), or with Upload::without_checksum");
    }
    refusal
}

/// A checksum as S3 writes it.
pub(super) fn written(algorithm: ChecksumAlgorithm, value: u64) -> String {
    let bytes = value.to_be_bytes();
    base64::encode(match algorithm {
        ChecksumAlgorithm::Crc64Nvme => &bytes[..],
        _ => &bytes[4..],
    })
}

/// The reverse; `None` for one of parts (`...-N`), and for a text of another width.
pub(super) fn read(algorithm: ChecksumAlgorithm, text: &str) -> Option<u64> {
    let bytes = base64::decode(text).ok()?;
    let wide = if algorithm == ChecksumAlgorithm::Crc64Nvme { 8 } else { 4 };
    (bytes.len() == wide).then(|| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// Puts a checksum into a request.
macro_rules! with_checksum {
    ($request:expr, $algorithm:expr, $value:expr) => {{
        let (request, text) = ($request, $value.map(|value| written($algorithm, value)));
        match $algorithm {
            ChecksumAlgorithm::Crc32 => request.set_checksum_crc32(text),
            ChecksumAlgorithm::Crc32c => request.set_checksum_crc32_c(text),
            ChecksumAlgorithm::Crc64Nvme => request.set_checksum_crc64_nvme(text),
        }
    }};
}

/// The checksum of that algorithm in an answer.
macro_rules! told_checksum {
    ($output:expr, $algorithm:expr) => {
        match $algorithm {
            ChecksumAlgorithm::Crc32 => $output.checksum_crc32(),
            ChecksumAlgorithm::Crc32c => $output.checksum_crc32_c(),
            ChecksumAlgorithm::Crc64Nvme => $output.checksum_crc64_nvme(),
        }
        .and_then(|text| $crate::doors::s3::writing::read($algorithm, text))
    };
}

/// The fields of every request for a target, but for the customer's key.
macro_rules! for_target {
    ($request:expr, $target:expr) => {
        $request
            .bucket(&$target.object.address.bucket)
            .key(&$target.object.address.key)
            .set_request_payer($target.object.request_payer.then_some(RequestPayer::Requester))
            .set_expected_bucket_owner($target.object.expected_bucket_owner.clone())
    };
}

/// The customer's key.
macro_rules! with_key {
    ($request:expr, $target:expr) => {{
        let request = $request;
        match $target.sse_customer_key() {
            Some(key) => {
                let (key, sum) = customer_key::headers(key);
                request.sse_customer_algorithm("AES256").sse_customer_key(key).sse_customer_key_md5(sum)
            }
            None => request,
        }
    }};
}

/// Headers that describe the object: those of `PutObject`, `CreateMultipartUpload` and `CopyObject`.
macro_rules! describing {
    ($request:expr, $target:expr) => {{
        let attributes = &$target.attributes;
        let (encryption, key_id) = $crate::doors::s3::writing::encryption(attributes.encryption.as_ref());
        let metadata = attributes.metadata.iter().cloned().collect::<std::collections::HashMap<_, _>>();
        $request
            .set_content_type(attributes.content_type.clone())
            .set_cache_control(attributes.cache_control.clone())
            .set_content_disposition(attributes.content_disposition.clone())
            .set_content_encoding(attributes.content_encoding.clone())
            .set_content_language(attributes.content_language.clone())
            .set_expires($crate::doors::s3::writing::date(attributes.expires.as_deref()))
            .set_metadata((!metadata.is_empty()).then_some(metadata))
            .set_tagging(attributes.tagging())
            .set_storage_class(attributes.storage_class.as_deref().map(aws_sdk_s3::types::StorageClass::from))
            .set_acl(attributes.acl.as_deref().map(aws_sdk_s3::types::ObjectCannedAcl::from))
            .set_server_side_encryption(encryption)
            .set_ssekms_key_id(key_id)
    }};
}

/// Sends it, with a configuration of its own where one is needed. Its output is `$answer`.
macro_rules! send {
    ($request:expr, $object:expr, $region:expr, |$output:ident| $answer:expr) => {{
        let request = $request.customize();
        let request = match of_its_own($object, $region.as_ref()) {
            Some(config) => request.config_override(config),
            None => request,
        };
        request.send().map_ok(move |$output| $answer).boxed()
    }};
}

/// The SDK sends no other text than a date.
pub(super) fn date(text: Option<&str>) -> Option<DateTime> {
    DateTime::from_str(text?, Format::HttpDate).ok()
}

pub(super) fn encryption(wanted: Option<&ServerSideEncryption>) -> (Option<SdkEncryption>, Option<String>) {
    match wanted {
        None => (None, None),
        Some(ServerSideEncryption::S3) => (Some(SdkEncryption::Aes256), None),
        Some(ServerSideEncryption::Kms { key_id }) => (Some(SdkEncryption::AwsKms), key_id.clone()),
        Some(ServerSideEncryption::KmsTwoLayers { key_id }) => (Some(SdkEncryption::AwsKmsDsse), key_id.clone()),
    }
}

pub(super) use {describing, for_target, send, told_checksum, with_key};

impl Store {
    /// Writes the object in one piece. `body` is asked for one whenever the request is sent; `checksum` is that of its
    /// `bytes`. The caller sets the deadline.
    ///
    /// # Errors
    ///
    /// The failure, sorted by whether another attempt can help.
    pub(crate) async fn put(
        &self,
        target: &Target,
        (bytes, checksum): (u64, u64),
        body: &(impl Fn() -> Outgoing + Send + Sync),
        sent: &AtomicU64,
    ) -> Result<Written, RequestFailure> {
        let algorithm = target.checksum;
        let put = move |with: bool| async move {
            let text = written(algorithm, checksum);
            let asked = Asked::put(Put { target, bytes, checksum: with.then_some(&text) });
            let request = |config| {
                let request = describing!(with_key!(for_target!(self.writer.put_object(), target), target), target);
                let request = with_checksum!(request, algorithm, with.then_some(checksum))
                    .set_if_match(target.condition.if_match().map(str::to_owned))
                    .set_if_none_match(target.condition.if_none_match().map(str::to_owned))
                    .body(body().into_byte_stream());
                sent!(request, config, |output| Written {
                    checksum: told_checksum!(output, algorithm),
                    e_tag: output.e_tag,
                    version_id: output.version_id,
                })
            };
            self.send_with(&asked, Duration::MAX, Some(sent), (&|| Some(body()), &request)).await
        };
        self.with_or_without(target, put).await
    }

    /// The answer to `send`, which is told whether its request is to carry checksums. Where the server refuses them,
    /// and the caller has not chosen them, it is sent once more without, and the client's later requests for the
    /// bucket carry none.
    async fn with_or_without<T, F>(&self, target: &Target, send: impl Fn(bool) -> F) -> Result<T, RequestFailure>
    where
        F: Future<Output = Result<T, RequestFailure>>,
    {
        let (bucket, algorithm) = (&target.object.address.bucket, target.checksum);
        let with = match target.checksum_use {
            ChecksumUse::Chosen => true,
            ChecksumUse::Default => !self.regions.refuses(bucket, algorithm),
            ChecksumUse::No => false,
        };
        if !with {
            return send(false).await;
        }
        let refusal = match send(true).await {
            Err(refusal) if refuses_checksum(&refusal) => refusal,
            sent => return sent,
        };
        if target.checksum_use == ChecksumUse::Chosen {
            return Err(with_remedy(refusal));
        }
        match send(false).await {
            Ok(answer) => {
                if self.regions.learn_refusal(bucket, algorithm) {
                    tracing::warn!(bucket, %algorithm, "the server refuses the checksum; writing objects without it");
                }
                Ok(answer)
            }
            Err(RequestFailure::Transient(error)) => Err(RequestFailure::Transient(error)),
            // The checksum was not the reason.
            Err(_) => Err(refusal),
        }
    }

    /// Begins a multipart upload; gives its id.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub(crate) async fn create_upload(&self, target: &Target, within: Duration) -> Result<String, RequestFailure> {
        let algorithm = aws_sdk_s3::types::ChecksumAlgorithm::from(target.checksum.name());
        let algorithm = &algorithm;
        let create = move |with: bool| {
            let attempt = move |region: Option<Region>| {
                let request = for_target!(self.writer.create_multipart_upload(), target);
                let request = describing!(with_key!(request, target), target)
                    .set_checksum_algorithm(with.then(|| algorithm.clone()))
                    .set_checksum_type(with.then_some(ChecksumType::FullObject));
                send!(request, &target.object, region, |output| output.upload_id)
            };
            self.see_through(&target.object, within, None, attempt)
        };
        let id = self.with_or_without(target, create).await?;
        id.filter(|id| !id.is_empty()).ok_or_else(|| bad("no upload id in the answer to CreateMultipartUpload"))
    }

    /// Sends the part `number`, from 1; with its `checksum`, if that is known before it is sent. Says, too, whether its
    /// ETag may be made of the bytes alone: it is an MD5 then, and there are no keys of the customer or of the Key
    /// Management Service, which a bucket may have by default.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub(crate) async fn put_part(
        &self,
        target: &Target,
        (upload_id, number): (&str, i32),
        checksum: Option<u64>,
        body: &(impl Fn() -> Outgoing + Send + Sync),
        sent: &AtomicU64,
    ) -> Result<(SentPart, bool), RequestFailure> {
        let algorithm = target.checksum;
        let put = move |with: bool| {
            let attempt = move |region: Option<Region>| {
                let request = with_key!(for_target!(self.writer.upload_part(), target), target);
                let request = with_checksum!(request, algorithm, checksum.filter(|_| with))
                    .upload_id(upload_id)
                    .part_number(number)
                    .body(body().into_byte_stream());
                send!(request, &target.object, region, |output| {
                    let own = matches!(output.server_side_encryption, None | Some(SdkEncryption::Aes256));
                    let same_e_tag = own && output.sse_customer_algorithm.is_none();
                    (told_checksum!(output, algorithm), output.e_tag, same_e_tag)
                })
            };
            self.see_through(&target.object, Duration::MAX, Some(sent), attempt)
        };
        let (checksum, e_tag, same_e_tag) = match checksum {
            Some(_) => self.with_or_without(target, put).await?,
            None => put(false).await?,
        };
        let e_tag = e_tag.ok_or_else(|| bad("no ETag in the answer to UploadPart"))?;
        let same_e_tag = same_e_tag && md5_in(&e_tag).is_some();
        Ok((SentPart { number, e_tag, checksum }, same_e_tag))
    }

    /// Makes an object of the parts, of so many bytes, whose checksum is `checksum`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub(crate) async fn complete_upload(
        &self,
        target: &Target,
        upload_id: &str,
        parts: &[SentPart],
        (checksum, within): (Option<u64>, Duration),
    ) -> Result<Written, RequestFailure> {
        let algorithm = target.checksum;
        let complete = move |with: bool| {
            let attempt = move |region: Option<Region>| {
                let checksum = checksum.filter(|_| with);
                let parts = parts.iter().map(|part| {
                    let listed = CompletedPart::builder().part_number(part.number).e_tag(&part.e_tag);
                    with_checksum!(listed, algorithm, part.checksum.filter(|_| with)).build()
                });
                let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
                let request = with_key!(for_target!(self.writer.complete_multipart_upload(), target), target);
                let request = with_checksum!(request, algorithm, checksum)
                    .upload_id(upload_id)
                    .set_checksum_type(checksum.map(|_| ChecksumType::FullObject))
                    .set_if_match(target.condition.if_match().map(str::to_owned))
                    .set_if_none_match(target.condition.if_none_match().map(str::to_owned))
                    .multipart_upload(parts);
                send!(request, &target.object, region, |output| Written {
                    checksum: told_checksum!(output, algorithm),
                    e_tag: output.e_tag,
                    version_id: output.version_id,
                })
            };
            self.see_through(&target.object, within, None, attempt)
        };
        self.with_or_without(target, complete).await
    }

    /// Aborts a multipart upload.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put); [`RequestFailure::Refused`] with `NoSuchUpload` where there is none of that id.
    pub(crate) async fn abort_upload(
        &self,
        object: &ObjectRequest,
        upload_id: &str,
        within: Duration,
    ) -> Result<(), RequestFailure> {
        let attempt = |region: Option<Region>| {
            let request = self
                .writer
                .abort_multipart_upload()
                .bucket(&object.address.bucket)
                .key(&object.address.key)
                .set_request_payer(object.request_payer.then_some(RequestPayer::Requester))
                .set_expected_bucket_owner(object.expected_bucket_owner.clone())
                .upload_id(upload_id);
            send!(request, object, region, |_output| ())
        };
        self.see_through(object, within, None, attempt).await
    }

    /// Asks the server about the present object.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub(crate) async fn describe(&self, object: &ObjectRequest, within: Duration) -> Result<Described, RequestFailure> {
        let attempt = |region: Option<Region>| {
            let request = addressed!(self.writer.head_object(), object).checksum_mode(ChecksumMode::Enabled);
            send!(request, object, region, |output| output)
        };
        let output = self.see_through(object, within, None, attempt).await?;
        let checksum = checksum_in!(output);
        let bytes = output.content_length.and_then(|bytes| u64::try_from(bytes).ok());
        Ok(Described {
            bytes: bytes.ok_or_else(|| bad("no Content-Length in the answer to HeadObject"))?,
            checksum,
            attributes: Attributes {
                content_type: output.content_type,
                cache_control: output.cache_control,
                content_disposition: output.content_disposition,
                content_encoding: output.content_encoding,
                content_language: output.content_language,
                expires: output.expires_string,
                metadata: output.metadata.unwrap_or_default().into_iter().collect(),
                ..Attributes::default()
            },
            e_tag: output.e_tag,
            version_id: output.version_id,
        })
    }
}

pub(super) fn bad(what: &str) -> RequestFailure {
    RequestFailure::Final(RequestError::BadResponse { what: what.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_written_as_s3_writes_them() {
        let crc64 = 0xae8b_1486_0a79_9888;
        let text = written(ChecksumAlgorithm::Crc64Nvme, crc64);
        assert_eq!((text.as_str(), read(ChecksumAlgorithm::Crc64Nvme, &text)), ("rosUhgp5mIg=", Some(crc64)));
        let text = written(ChecksumAlgorithm::Crc32, 0xcbf4_3926);
        assert_eq!((text.as_str(), read(ChecksumAlgorithm::Crc32, &text)), ("y/Q5Jg==", Some(0xcbf4_3926)));
        assert_eq!(read(ChecksumAlgorithm::Crc32, "y/Q5Jg==-2"), None);
        assert_eq!(read(ChecksumAlgorithm::Crc64Nvme, "y/Q5Jg=="), None);
    }

    #[test]
    fn a_refused_checksum_is_told_from_a_wrong_or_a_missing_one() {
        for (status, code, message, refuses) in [
            (501, "NotImplemented", "Header 'x-amz-checksum-algorithm' with value 'CRC64NVME' not implemented", true),
            (501, "NotImplemented", "A header you provided implies functionality that is not implemented", true),
            (400, "InvalidArgument", "Unsupported header 'x-amz-checksum-crc64nvme' received for this API call.", true),
            (400, "InvalidRequest", "Invalid checksum provided.", true),
            (400, "InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for Put requests", false),
            (400, "InvalidRequest", "The ACL is not valid.", false),
            (400, "BadDigest", "The CRC64NVME checksum you specified did not match what we received.", false),
            (403, "AccessDenied", "no checksum", false),
        ] {
            let (code, shown) = (code.to_owned(), message);
            let failure = RequestFailure::Refused { status, code, message: message.to_owned() };
            assert_eq!(refuses_checksum(&failure), refuses, "{shown}");
        }
        assert!(!refuses_checksum(&RequestFailure::Changed));
    }
}

//! Multipart uploads: create, upload and copy parts, complete, abort, list.

use std::collections::BTreeMap;

use super::convert::{
    algorithm, checksum_type, copy_conditions, error, etag, given_checksums, no_such_bucket, no_such_upload,
    set_checksums, size, standard_headers, tag, timestamp, writable,
};
use super::receive::{Declared, MAX_BODY_BYTES, receive};
use super::*;
use crate::doors::s3::{S3Error, S3ErrorCode};
use crate::engine::store::{self, State};
use crate::rules::checksum::{self, Sums};
use crate::rules::multipart::{CompleteError, Listed, MAX_PART_NUMBER, Part as StoredPart, Upload};
use crate::rules::{conditions, listing, range};
use crate::words::Algorithm;

fn upload<'a>(state: &'a mut State, bucket: &str, key: &str, id: &str) -> S3Result<&'a mut Upload> {
    let bucket = state.buckets.get_mut(bucket).ok_or_else(no_such_bucket)?;
    bucket.uploads.get_mut(id).filter(|upload| upload.key == key).ok_or_else(no_such_upload)
}

fn part_number(number: i32) -> S3Result<i32> {
    if (1..=MAX_PART_NUMBER).contains(&number) {
        return Ok(number);
    }
    let message = format!("Part number must be an integer between 1 and {MAX_PART_NUMBER}, inclusive");
    Err(error(S3ErrorCode::InvalidArgument, message))
}

/// Checks that a part's checksums are of the upload's algorithm only, and that there is one unless the algorithm is
/// S3's default.
fn fits(named: Option<Algorithm>, given: &[Algorithm]) -> S3Result<()> {
    let Some(named) = named else { return Ok(()) };
    let other = given.iter().find(|given| **given != named);
    let lacks = named != Algorithm::Crc64Nvme && !given.contains(&named);
    if other.is_none() && !lacks {
        return Ok(());
    }
    let (expected, actual) = (named.name(), other.map_or("null", |other| other.name()));
    let (expected, actual) = (expected.to_ascii_lowercase(), actual.to_ascii_lowercase());
    let message =
        format!("Checksum Type mismatch occurred, expected checksum Type: {expected}, actual checksum Type: {actual}");
    Err(error(S3ErrorCode::InvalidRequest, message))
}

impl From<CompleteError> for S3Error {
    fn from(reason: CompleteError) -> Self {
        let code = match reason {
            CompleteError::Empty => S3ErrorCode::MalformedXML,
            CompleteError::Order { .. } => S3ErrorCode::InvalidPartOrder,
            CompleteError::Invalid { .. } => S3ErrorCode::InvalidPart,
            CompleteError::TooSmall { .. } => S3ErrorCode::EntityTooSmall,
            CompleteError::Size { .. } => S3ErrorCode::InvalidRequest,
            CompleteError::Checksum { .. } => S3ErrorCode::BadDigest,
        };
        error(code, reason.to_string())
    }
}

impl Backend {
    pub(super) fn do_create_multipart_upload(
        &self,
        input: CreateMultipartUploadInput,
    ) -> S3Result<CreateMultipartUploadOutput> {
        let algorithm = algorithm(input.checksum_algorithm.as_ref())?;
        // S3's defaults: CRC64NVME is of the whole, the others are composite unless asked for.
        let default_composite = algorithm.is_some_and(|algorithm| algorithm != Algorithm::Crc64Nvme);
        let composite = match input.checksum_type.as_ref().map(ChecksumType::as_str) {
            None => default_composite,
            Some(ChecksumType::FULL_OBJECT) => false,
            Some(ChecksumType::COMPOSITE) => true,
            Some(other) => {
                return Err(error(S3ErrorCode::InvalidRequest, format!("The checksum type {other} is not known.")));
            }
        };
        let fits = match algorithm.unwrap_or(Algorithm::Crc64Nvme) {
            Algorithm::Crc64Nvme => !composite,
            algorithm => composite || algorithm.combines(),
        };
        if !fits {
            let message = "The checksum type cannot be used with the checksum algorithm.";
            return Err(error(S3ErrorCode::InvalidRequest, message));
        }
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let checksum_algorithm = input.checksum_algorithm.clone();
        let headers = standard_headers!(input);
        let mut state = self.store.lock();
        let id = state.upload_id();
        let uploads = &mut state.buckets.get_mut(&bucket).ok_or_else(no_such_bucket)?.uploads;
        let initiated = store::now();
        let upload = Upload { key: key.clone(), headers, algorithm, composite, parts: BTreeMap::new(), initiated };
        uploads.insert(id.clone(), upload);
        Ok(CreateMultipartUploadOutput {
            bucket: Some(bucket),
            checksum_type: checksum_algorithm.is_some().then(|| checksum_type(composite)).flatten(),
            checksum_algorithm,
            key: Some(key),
            upload_id: Some(id),
            ..Default::default()
        })
    }

    pub(super) async fn do_upload_part(&self, mut req: S3Request<UploadPartInput>) -> S3Result<UploadPartOutput> {
        let number = part_number(req.input.part_number)?;
        let (bucket, key, id) = (req.input.bucket.clone(), req.input.key.clone(), req.input.upload_id.clone());
        let mut also: Vec<_> = upload(&mut self.store.lock(), &bucket, &key, &id)?.algorithms().collect();
        also.extend(algorithm(req.input.checksum_algorithm.as_ref())?);
        let declared = Declared {
            body: req.input.body.take(),
            content_length: req.input.content_length,
            content_md5: req.input.content_md5.take(),
            checksums: given_checksums!(req.input),
            also,
        };
        let received = receive(&req, declared).await?;
        let mut output = UploadPartOutput { e_tag: etag(&received.sums.etag()), ..Default::default() };
        let mut state = self.store.lock();
        // The upload may have been aborted while the part arrived.
        let upload = upload(&mut state, &bucket, &key, &id)?;
        fits(upload.algorithm, &received.given)?;
        set_checksums!(output, |algorithm| {
            let told = received.given.contains(&algorithm) || upload.algorithm == Some(algorithm);
            received.sums.get(algorithm).filter(|_| told).map(checksum::base64)
        });
        upload
            .parts
            .insert(number, StoredPart { content: received.content, sums: received.sums, modified: store::now() });
        Ok(output)
    }

    pub(super) async fn do_upload_part_copy(&self, mut input: UploadPartCopyInput) -> S3Result<UploadPartCopyOutput> {
        let number = part_number(input.part_number)?;
        let algorithms: Vec<_> =
            upload(&mut self.store.lock(), &input.bucket, &input.key, &input.upload_id)?.algorithms().collect();
        let source = self.copied(&input.copy_source, &copy_conditions!(input))?;
        let content = match input.copy_source_range.as_deref() {
            None => source.content.clone(),
            Some(text) => {
                let size = source.content.len();
                let span = range::parse_copy_range(text, size).ok_or_else(|| {
                    let message =
                        format!("The x-amz-copy-source-range {text:?} is no range of a source of {size} bytes.");
                    error(S3ErrorCode::InvalidArgument, message)
                })?;
                source.content.view(span)
            }
        };
        if content.len() > MAX_BODY_BYTES {
            let message = format!("The specified copy range is larger than {MAX_BODY_BYTES} bytes.");
            return Err(error(S3ErrorCode::InvalidRequest, message));
        }
        // Hashing a part may take seconds, so it runs outside the runtime's threads.
        let hashed = content.clone();
        let sums = tokio::task::spawn_blocking(move || Sums::of(&hashed, algorithms));
        let sums = sums.await.map_err(|source| S3Error::with_source(S3ErrorCode::InternalError, Box::new(source)))?;
        let mut state = self.store.lock();
        let upload = upload(&mut state, &input.bucket, &input.key, &input.upload_id)?;
        let part = StoredPart { content, sums, modified: store::now() };
        let mut result = CopyPartResult {
            e_tag: etag(&part.sums.etag()),
            last_modified: timestamp(part.modified),
            ..Default::default()
        };
        let told = upload.algorithm;
        set_checksums!(result, |algorithm| part
            .sums
            .get(algorithm)
            .filter(|_| told == Some(algorithm))
            .map(checksum::base64));
        upload.parts.insert(number, part);
        Ok(UploadPartCopyOutput { copy_part_result: Some(result), ..Default::default() })
    }

    pub(super) fn do_complete_multipart_upload(
        &self,
        mut input: CompleteMultipartUploadInput,
    ) -> S3Result<CompleteMultipartUploadOutput> {
        let expected = given_checksums!(input);
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        if parts.iter().any(|part| part.part_number.is_none() || part.e_tag.is_none()) {
            return Err(convert::malformed_xml());
        }
        let listed: Vec<_> = parts
            .into_iter()
            .map(|part| Listed {
                number: part.part_number.unwrap_or(0),
                checksums: given_checksums!(part),
                etag: part.e_tag.map(|etag| etag.value().to_owned()),
            })
            .collect();
        let mut state = self.store.lock();
        let upload = upload(&mut state, &input.bucket, &input.key, &input.upload_id)?;
        let expected_size = input.mpu_object_size.and_then(|size| u64::try_from(size).ok());
        let object = upload.complete(&listed, self.min_part_bytes, expected_size, &expected, store::now())?;
        let (if_match, if_none_match) = (input.if_match.take().map(tag), input.if_none_match.take().map(tag));
        let bucket = state.buckets.get_mut(&input.bucket).ok_or_else(no_such_bucket)?;
        let current = bucket.objects.get(&input.key).map(|object| &*object.etag);
        writable(conditions::write(if_match.as_ref(), if_none_match.as_ref(), current))?;
        let mut output = CompleteMultipartUploadOutput {
            bucket: Some(input.bucket.clone()),
            checksum_type: checksum_type(object.checksums.composite),
            e_tag: etag(&object.etag),
            location: Some(format!("/{}/{}", input.bucket, input.key)),
            key: Some(input.key.clone()),
            ..Default::default()
        };
        set_checksums!(output, |algorithm| object.checksums.get(algorithm));
        bucket.uploads.remove(&input.upload_id);
        bucket.objects.insert(input.key, Arc::new(object));
        Ok(output)
    }

    pub(super) fn do_abort_multipart_upload(
        &self,
        input: &AbortMultipartUploadInput,
    ) -> S3Result<AbortMultipartUploadOutput> {
        let mut state = self.store.lock();
        upload(&mut state, &input.bucket, &input.key, &input.upload_id)?;
        let bucket = state.buckets.get_mut(&input.bucket).ok_or_else(no_such_bucket)?;
        bucket.uploads.remove(&input.upload_id);
        Ok(AbortMultipartUploadOutput::default())
    }

    pub(super) fn do_list_parts(&self, input: ListPartsInput) -> S3Result<ListPartsOutput> {
        let mut state = self.store.lock();
        let upload = upload(&mut state, &input.bucket, &input.key, &input.upload_id)?;
        let max = list::page_size("max-parts", input.max_parts)?;
        let after = input.part_number_marker.unwrap_or(0);
        let mut rest = upload.parts.iter().filter(|(number, _)| **number > after).peekable();
        let mut parts = Vec::new();
        while parts.len() < max
            && let Some((number, part)) = rest.next()
        {
            let mut entry = Part {
                e_tag: etag(&part.sums.etag()),
                last_modified: timestamp(part.modified),
                part_number: Some(*number),
                size: size(part.content.len()),
                ..Default::default()
            };
            let told = upload.algorithm;
            set_checksums!(entry, |algorithm| part
                .sums
                .get(algorithm)
                .filter(|_| told == Some(algorithm))
                .map(checksum::base64));
            parts.push(entry);
        }
        let truncated = rest.peek().is_some() && max > 0;
        Ok(ListPartsOutput {
            bucket: Some(input.bucket),
            checksum_algorithm: upload.algorithm.map(|algorithm| ChecksumAlgorithm::from_static(algorithm.name())),
            checksum_type: upload.algorithm.and_then(|_| checksum_type(upload.composite)),
            is_truncated: Some(truncated),
            key: Some(input.key),
            max_parts: i32::try_from(max).ok(),
            next_part_number_marker: parts.last().and_then(|part| part.part_number),
            part_number_marker: Some(after),
            parts: Some(parts),
            storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
            upload_id: Some(input.upload_id),
            ..Default::default()
        })
    }

    pub(super) fn do_list_multipart_uploads(
        &self,
        input: ListMultipartUploadsInput,
    ) -> S3Result<ListMultipartUploadsOutput> {
        let encode = list::encoder(input.encoding_type.as_ref())?;
        let max = list::page_size("max-uploads", input.max_uploads)?;
        let state = self.store.lock();
        let bucket = state.buckets.get(&input.bucket).ok_or_else(no_such_bucket)?;
        // Key and id in one text, in S3's order: keys hold no 0 byte here, as HTTP paths decode to none.
        let joined: std::collections::BTreeSet<String> =
            bucket.uploads.iter().map(|(id, upload)| format!("{}\0{id}", upload.key)).collect();
        let after =
            input.key_marker.as_deref().filter(|marker| !marker.is_empty()).map(|key| match &input.upload_id_marker {
                Some(id) if !id.is_empty() => format!("{key}\0{id}"),
                // Behind every upload of that key.
                _ => format!("{key}\0\u{10ffff}"),
            });
        let prefix = input.prefix.as_deref().unwrap_or("");
        let keys = joined.iter().map(String::as_str);
        let page = listing::page(keys, prefix, input.delimiter.as_deref(), after.as_deref(), max);
        let (mut uploads, mut prefixes) = (Vec::new(), Vec::new());
        for entry in &page.entries {
            match entry {
                listing::Entry::CommonPrefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(encode(prefix)) }),
                listing::Entry::Key(joined) => {
                    let Some((key, id)) = joined.rsplit_once('\0') else { continue };
                    uploads.push(MultipartUpload {
                        initiated: bucket.uploads.get(id).and_then(|upload| timestamp(upload.initiated)),
                        key: Some(encode(key)),
                        storage_class: Some(StorageClass::from_static(StorageClass::STANDARD)),
                        upload_id: Some(id.to_owned()),
                        ..Default::default()
                    });
                }
            }
        }
        let next = page.next.map(|next| next.rsplit_once('\0').unwrap_or((next, "")));
        Ok(ListMultipartUploadsOutput {
            bucket: Some(input.bucket),
            common_prefixes: Some(prefixes),
            delimiter: input.delimiter,
            encoding_type: input.encoding_type,
            is_truncated: Some(next.is_some()),
            key_marker: input.key_marker,
            max_uploads: i32::try_from(max).ok(),
            next_key_marker: next.map(|(key, _)| encode(key)),
            next_upload_id_marker: next.map(|(_, id)| id.to_owned()),
            prefix: input.prefix,
            upload_id_marker: input.upload_id_marker,
            uploads: Some(uploads),
            ..Default::default()
        })
    }
}

//! Get, head, put, delete and copy objects.

use std::collections::HashSet;
use std::ops::Range as Span;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::convert::{
    algorithm, checksum_type, copy_conditions, copy_source, error, etag, given_checksums, no_such_bucket, no_such_key,
    precondition_failed, set_checksums, size, standard_headers, tag, time, timestamp, writable,
};
use super::receive::{Declared, MAX_BODY_BYTES, receive};
use super::*;
use crate::doors::s3::{ByteStream, RemainingLength, S3Error, S3ErrorCode, StdError};
use crate::engine::store;
use crate::rules::conditions::{self, Conditions, Verdict};
use crate::rules::faults::{self, Refusal};
use crate::rules::{checksum, range};
use crate::words::{Algorithm, Checksums, Content, Object as Stored, RequestKind};

/// S3's greatest number of keys in one DeleteObjects (Amazon S3 API reference, "DeleteObjects").
const MOST_DELETED: usize = 1000;
/// Bytes of one slice handed to the connection: large enough that a frame's cost does not show.
const SLICE_BYTES: usize = 512 << 10;

/// The largest object a copy is hashed for: about two seconds of one core, as MD5 takes in half a gigabyte a second.
const MAX_REHASHED_BYTES: u64 = 1 << 30;

/// An object's bytes on their way out: slices, never copies, except for a slice with a byte to corrupt.
struct Outgoing {
    content: Content,
    span: Span<u64>,
    corrupt: Vec<u64>,
}

impl futures::Stream for Outgoing {
    type Item = Result<Bytes, StdError>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let left = usize::try_from(self.span.end - self.span.start).unwrap_or(usize::MAX);
        let at = self.span.start;
        let mut piece = self.content.slice(at, left.min(SLICE_BYTES));
        if piece.is_empty() {
            return Poll::Ready(None);
        }
        self.span.start += piece.len() as u64;
        let held = at..self.span.start;
        if self.corrupt.iter().any(|offset| held.contains(offset)) {
            let mut copy = piece.to_vec();
            for offset in self.corrupt.iter().filter(|offset| held.contains(offset)) {
                copy[(offset - at) as usize] ^= 0xff;
            }
            piece = copy.into();
        }
        Poll::Ready(Some(Ok(piece)))
    }
}

impl ByteStream for Outgoing {
    fn remaining_length(&self) -> RemainingLength {
        usize::try_from(self.span.end - self.span.start)
            .map_or_else(|_| RemainingLength::unknown(), RemainingLength::new_exact)
    }
}

/// The part of an object that was asked for.
struct Selected {
    span: Span<u64>,
    /// Whether the answer is 206 with a `Content-Range`.
    partial: bool,
    parts_count: Option<i32>,
}

fn unsatisfiable(size: u64) -> S3Error {
    let mut error = error(S3ErrorCode::InvalidRange, "The requested range is not satisfiable.");
    let mut headers = http::HeaderMap::new();
    let value = http::HeaderValue::from_str(&format!("bytes */{size}")).expect("digits are a header value");
    headers.insert(http::header::CONTENT_RANGE, value);
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/xml"));
    error.set_headers(headers);
    error
}

fn select(object: &Stored, asked: Option<Range>, part: Option<i32>) -> S3Result<Selected> {
    let size = object.content.len();
    match (asked, part) {
        (Some(_), Some(_)) => {
            Err(error(S3ErrorCode::InvalidRequest, "Cannot specify both Range header and partNumber query parameter."))
        }
        (Some(asked), None) => {
            let asked = match asked {
                Range::Int { first, last } => range::Asked::From { first, last },
                Range::Suffix { length } => range::Asked::Suffix { length },
            };
            let span = range::resolve(asked, size).ok_or_else(|| unsatisfiable(size))?;
            Ok(Selected { span, partial: true, parts_count: None })
        }
        (None, Some(number)) => {
            let span = object.part_range(number).ok_or_else(|| {
                let code = S3ErrorCode::Custom("InvalidPartNumber".into());
                let mut error = error(code, "The requested partnumber is not satisfiable.");
                error.set_status_code(http::StatusCode::RANGE_NOT_SATISFIABLE);
                error
            })?;
            let parts_count = i32::try_from(object.part_ends.len()).ok().filter(|n| *n > 0);
            Ok(Selected { partial: !span.is_empty(), span, parts_count })
        }
        (None, None) => Ok(Selected { span: 0..size, partial: false, parts_count: None }),
    }
}

fn readable(object: &Stored, conditions: &Conditions) -> S3Result<()> {
    match conditions.read(&object.etag, object.modified) {
        Verdict::Proceed => Ok(()),
        Verdict::Failed => Err(precondition_failed()),
        Verdict::NotModified => {
            let mut error = S3Error::new(S3ErrorCode::NotModified);
            let mut headers = http::HeaderMap::new();
            if let Ok(value) = http::HeaderValue::from_str(&format!("\"{}\"", object.etag)) {
                headers.insert(http::header::ETAG, value);
            }
            error.set_headers(headers);
            Err(error)
        }
    }
}

/// Larger synthetic objects are served without a checksum, because computing it would occupy a core for many seconds.
const MOST_SUMMED_BYTES: u64 = 64 << 30;

/// The checksums to answer with: all that are kept, and CRC64NVME of a synthetic object.
async fn checksums_of(object: &Arc<Stored>) -> Checksums {
    let synthetic = object.content.as_synthetic().is_some_and(|object| object.size() <= MOST_SUMMED_BYTES);
    if !synthetic || !object.checksums.values.is_empty() {
        return object.checksums.clone();
    }
    if object.late_crc64nvme.get().is_none() {
        let object = object.clone();
        // Computing takes hundreds of milliseconds for gigabytes, so it runs outside the runtime's threads. Paused time
        // does not advance meanwhile.
        let computed = tokio::task::spawn_blocking(move || {
            object.late_crc64nvme.get_or_init(|| checksum::base64(&checksum::crc64nvme(&object.content)));
        });
        if let Err(error) = computed.await {
            tracing::warn!(%error, "a checksum was not computed, as the runtime is shutting down");
        }
    }
    let value = object.late_crc64nvme.get().map(|value| (Algorithm::Crc64Nvme, value.clone()));
    Checksums { values: value.into_iter().collect(), composite: false }
}

fn enabled(mode: Option<&ChecksumMode>) -> bool {
    mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED)
}

/// The headers that GET and HEAD answer alike.
macro_rules! describe {
    ($output:expr, $object:expr, $selected:expr) => {{
        let (output, object, selected) = (&mut $output, &$object, &$selected);
        output.accept_ranges = Some("bytes".to_owned());
        output.cache_control = object.headers.cache_control.clone();
        output.content_disposition = object.headers.content_disposition.clone();
        output.content_encoding = object.headers.content_encoding.clone();
        output.content_language = object.headers.content_language.clone();
        output.content_length = size(selected.span.end - selected.span.start);
        output.content_range = selected.partial.then(|| range::content_range(&selected.span, object.content.len()));
        // S3's own default.
        let kind = object.headers.content_type.clone();
        output.content_type = Some(kind.unwrap_or_else(|| "binary/octet-stream".to_owned()));
        output.e_tag = etag(&object.etag);
        output.expires = object.headers.expires.and_then(timestamp);
        output.last_modified = timestamp(object.modified);
        output.metadata = object.headers.metadata.clone();
        output.parts_count = selected.parts_count;
        output.server_side_encryption = object.headers.encryption.clone().map(ServerSideEncryption::from);
        output.ssekms_key_id = object.headers.kms_key_id.clone();
        // As S3, which names every class but the default one.
        let class = object.headers.storage_class.clone().filter(|class| class != StorageClass::STANDARD);
        output.storage_class = class.map(StorageClass::from);
    }};
}

macro_rules! conditions {
    ($input:expr) => {
        Conditions {
            if_match: $input.if_match.take().map(tag),
            if_none_match: $input.if_none_match.take().map(tag),
            if_modified_since: $input.if_modified_since.take().and_then(time),
            if_unmodified_since: $input.if_unmodified_since.take().and_then(time),
        }
    };
}

impl Backend {
    pub(super) fn find(&self, bucket: &str, key: &str) -> S3Result<Arc<Stored>> {
        self.store.object(bucket, key).map_or_else(
            || {
                self.bucket_exists(bucket)?;
                Err(no_such_key())
            },
            Ok,
        )
    }

    pub(super) async fn do_get_object(&self, mut input: GetObjectInput) -> S3Result<S3Response<GetObjectOutput>> {
        let kind = RequestKind::GetObject;
        let ordinal = self.store.count(kind, &input.bucket, &input.key);
        let effects = faults::effects(&self.faults, kind, &input.key, ordinal);
        self.counters.faults.fetch_add(effects.count, std::sync::atomic::Ordering::Relaxed);
        if effects.replace {
            self.store.replace(&input.bucket, &input.key);
        }
        match effects.refusal {
            Some(Refusal::SlowDown) => return Err(error(S3ErrorCode::SlowDown, "Please reduce your request rate.")),
            Some(Refusal::InternalError) => {
                return Err(error(S3ErrorCode::InternalError, "We encountered an internal error. Please try again."));
            }
            // No fault of GETs.
            Some(Refusal::Conflict | Refusal::InSuccess(_)) | None => {}
        }
        let object = self.find(&input.bucket, &input.key)?;
        readable(&object, &conditions!(input))?;
        let asked = input.range.filter(|_| !effects.ignore_range);
        let selected = select(&object, asked, input.part_number)?;
        let mut output = GetObjectOutput::default();
        describe!(output, object, selected);
        output.tag_count = i32::try_from(object.headers.tags.len()).ok().filter(|count| *count > 0);
        if enabled(input.checksum_mode.as_ref()) && !selected.partial {
            let checksums = checksums_of(&object).await;
            set_checksums!(output, |algorithm| checksums.get(algorithm));
            output.checksum_type = (!checksums.values.is_empty()).then(|| checksum_type(checksums.composite)).flatten();
        }
        let mut span = selected.span;
        if let Some(max) = effects.max_length {
            span.end = span.end.min(span.start.saturating_add(max));
            output.content_length = size(span.end - span.start);
        }
        let outgoing = Outgoing { content: object.content.clone(), span, corrupt: effects.corrupt };
        output.body = Some(StreamingBlob::new(outgoing));
        let mut response = S3Response::new(output);
        if effects.count > 0 {
            let afterwards = Afterwards { partial: false, content_range: effects.content_range, body: effects.body };
            response.extensions.insert(afterwards);
        }
        Ok(response)
    }

    pub(super) async fn do_head_object(&self, mut input: HeadObjectInput) -> S3Result<S3Response<HeadObjectOutput>> {
        let object = self.find(&input.bucket, &input.key)?;
        readable(&object, &conditions!(input))?;
        let selected = select(&object, input.range, input.part_number)?;
        let mut output = HeadObjectOutput::default();
        describe!(output, object, selected);
        if enabled(input.checksum_mode.as_ref()) && !selected.partial {
            let checksums = checksums_of(&object).await;
            set_checksums!(output, |algorithm| checksums.get(algorithm));
            output.checksum_type = (!checksums.values.is_empty()).then(|| checksum_type(checksums.composite)).flatten();
        }
        let mut response = S3Response::new(output);
        if selected.partial {
            response.extensions.insert(Afterwards { partial: true, ..Afterwards::default() });
        }
        Ok(response)
    }

    pub(super) async fn do_put_object(&self, mut req: S3Request<PutObjectInput>) -> S3Result<PutObjectOutput> {
        self.bucket_exists(&req.input.bucket)?;
        let (if_match, if_none_match) = (req.input.if_match.take().map(tag), req.input.if_none_match.take().map(tag));
        let condition =
            |current: Option<&str>| writable(conditions::write(if_match.as_ref(), if_none_match.as_ref(), current));
        // Before the body, so that a refused one need not be sent; and again after it, as that may take a while.
        let (bucket, key) = (req.input.bucket.clone(), req.input.key.clone());
        condition(self.store.object(&bucket, &key).map(|object| object.etag.clone()).as_deref())?;
        let named = algorithm(req.input.checksum_algorithm.as_ref())?;
        let checksums = given_checksums!(req.input);
        let also = named.or_else(|| checksums.is_empty().then_some(Algorithm::Crc64Nvme));
        let declared = Declared {
            body: req.input.body.take(),
            content_length: req.input.content_length,
            content_md5: req.input.content_md5.take(),
            checksums,
            also: also.into_iter().collect(),
        };
        let received = receive(&req, declared).await?;
        // The checksum that the request named is kept, else CRC64NVME, as in S3 since December 2024.
        let keep = |algorithm: &Algorithm| {
            named == Some(*algorithm)
                || received.given.contains(algorithm)
                || (named.is_none() && received.given.is_empty())
        };
        let sums = received.sums.sums.iter().filter(|(algorithm, _)| keep(algorithm));
        let checksums = Checksums {
            values: sums.map(|(algorithm, sum)| (*algorithm, checksum::base64(sum))).collect(),
            composite: false,
        };
        let mut output = PutObjectOutput { e_tag: etag(&received.sums.etag()), ..Default::default() };
        set_checksums!(output, |algorithm| checksums.get(algorithm));
        output.checksum_type = checksum_type(false);
        let object = Stored {
            etag: received.sums.etag(),
            content: received.content,
            modified: store::now(),
            headers: standard_headers!(req.input),
            checksums,
            part_ends: Vec::new(),
            late_crc64nvme: OnceLock::new(),
        };
        let mut state = self.store.lock();
        let current =
            state.buckets.get(&bucket).and_then(|bucket| bucket.objects.get(&key)).map(|object| &*object.etag);
        condition(current)?;
        if !state.put(&bucket, &key, object) {
            return Err(no_such_bucket());
        }
        Ok(output)
    }

    pub(super) fn do_delete_object(&self, input: &DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
        let mut state = self.store.lock();
        let bucket = state.buckets.get_mut(&input.bucket).ok_or_else(no_such_bucket)?;
        let condition = input.if_match.clone().map(tag);
        let current = bucket.objects.get(&input.key).map(|object| &*object.etag);
        writable(conditions::write(condition.as_ref(), None, current))?;
        bucket.objects.remove(&input.key);
        Ok(DeleteObjectOutput::default())
    }

    pub(super) fn do_delete_objects(&self, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
        if !(1..=MOST_DELETED).contains(&input.delete.objects.len()) {
            return Err(convert::malformed_xml());
        }
        // The protocol layer reads letters that no XML may hold (XML 1.0, 2.2).
        let is_xml = |letter| matches!(letter, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..);
        if !input.delete.objects.iter().all(|object| object.key.chars().all(is_xml)) {
            return Err(convert::malformed_xml());
        }
        let mut state = self.store.lock();
        let bucket = state.buckets.get_mut(&input.bucket).ok_or_else(no_such_bucket)?;
        let keys: Vec<_> = input.delete.objects.into_iter().map(|object| object.key).collect();
        // S3 answers for each key once, and a key that is not there counts as deleted.
        let mut seen = HashSet::new();
        let mut deleted = Vec::new();
        for key in keys {
            bucket.objects.remove(&key);
            if seen.insert(key.clone()) {
                deleted.push(DeletedObject { key: Some(key), ..Default::default() });
            }
        }
        let deleted = (!input.delete.quiet.unwrap_or(false)).then_some(deleted);
        Ok(DeleteObjectsOutput { deleted, ..Default::default() })
    }

    /// The source of a copy, if its conditions hold.
    pub(super) fn copied(&self, source: &CopySource, conditions: &Conditions) -> S3Result<Arc<Stored>> {
        let (bucket, key) = copy_source(source)?;
        let object = self.find(bucket, key)?;
        match conditions.copy_source(&object.etag, object.modified) {
            Verdict::Proceed => Ok(object),
            Verdict::Failed | Verdict::NotModified => Err(precondition_failed()),
        }
    }

    pub(super) fn do_get_object_tagging(&self, input: &GetObjectTaggingInput) -> S3Result<GetObjectTaggingOutput> {
        let object = self.find(&input.bucket, &input.key)?;
        let tag = |(key, value): &(String, String)| Tag { key: Some(key.clone()), value: Some(value.clone()) };
        Ok(GetObjectTaggingOutput { tag_set: object.headers.tags.iter().map(tag).collect(), ..Default::default() })
    }

    /// A copy shares its source's bytes. Like S3, it is stored in one piece: an object uploaded in parts gets the MD5
    /// of its bytes as ETag, and checksums of the whole. Beyond [`MAX_REHASHED_BYTES`] ETag, checksums and parts are
    /// the source's, so that a copy of synthetic gigabytes is a map entry.
    pub(super) async fn do_copy_object(&self, request: S3Request<CopyObjectInput>) -> S3Result<CopyObjectOutput> {
        // The protocol layer does not know the conditions on the target, which S3 has since October 2025.
        let (if_match, if_none_match) =
            (convert::tag_of(&request.headers, "if-match")?, convert::tag_of(&request.headers, "if-none-match")?);
        let mut input = request.input;
        let source = self.copied(&input.copy_source, &copy_conditions!(input))?;
        self.bucket_exists(&input.bucket)?;
        if source.content.len() > MAX_BODY_BYTES {
            let message = "The specified copy source is larger than the maximum allowable size for a copy source: ";
            let message = format!("{message}{MAX_BODY_BYTES}");
            return Err(error(S3ErrorCode::InvalidRequest, message));
        }
        let replace = input.metadata_directive.as_ref().is_some_and(|d| d.as_str() == MetadataDirective::REPLACE);
        let retag = input.tagging_directive.as_ref().is_some_and(|d| d.as_str() == TaggingDirective::REPLACE);
        let tags = if retag { convert::tags(input.tagging.as_deref()) } else { source.headers.tags.clone() };
        let class = input.storage_class.as_ref().map(|class| class.as_str().to_owned());
        let encryption = input.server_side_encryption.as_ref().map(|encryption| encryption.as_str().to_owned());
        let kms_key_id = input.ssekms_key_id.clone();
        let changes = replace || class.is_some() || encryption.is_some();
        if !changes && copy_source(&input.copy_source)? == (input.bucket.as_str(), input.key.as_str()) {
            let message = "This copy request is illegal because it is trying to copy an object to itself without \
                           changing the object's metadata, storage class, website redirect location or encryption \
                           attributes.";
            return Err(error(S3ErrorCode::InvalidRequest, message));
        }
        let named = algorithm(input.checksum_algorithm.as_ref())?;
        let missing = named.is_some_and(|named| source.checksums.get(named).is_none());
        let in_parts = !source.part_ends.is_empty();
        let mut copy = Stored {
            content: source.content.clone(),
            etag: source.etag.clone(),
            modified: store::now(),
            headers: if replace { standard_headers!(input) } else { source.headers.clone() },
            checksums: source.checksums.clone(),
            part_ends: source.part_ends.clone(),
            late_crc64nvme: source.late_crc64nvme.clone(),
        };
        if (in_parts || missing) && source.content.len() <= MAX_REHASHED_BYTES {
            let mut algorithms: Vec<_> = match named {
                Some(named) => vec![named],
                None => source.checksums.values.iter().map(|(algorithm, _)| *algorithm).collect(),
            };
            if algorithms.is_empty() {
                algorithms.push(Algorithm::Crc64Nvme);
            }
            // Hashing may take seconds, so it runs outside the runtime's threads.
            let hashed = source.content.clone();
            let sums = tokio::task::spawn_blocking(move || checksum::Sums::of(&hashed, algorithms));
            let sums =
                sums.await.map_err(|source| S3Error::with_source(S3ErrorCode::InternalError, Box::new(source)))?;
            let values = sums.sums.iter().map(|(algorithm, sum)| (*algorithm, checksum::base64(sum))).collect();
            copy.checksums = Checksums { values, composite: false };
            copy.etag = sums.etag();
            copy.part_ends = Vec::new();
            copy.late_crc64nvme = OnceLock::new();
        }
        copy.headers.tags = tags;
        (copy.headers.storage_class, copy.headers.encryption, copy.headers.kms_key_id) =
            (class, encryption, kms_key_id);
        let mut result =
            CopyObjectResult { e_tag: etag(&copy.etag), last_modified: timestamp(copy.modified), ..Default::default() };
        set_checksums!(result, |algorithm| copy.checksums.get(algorithm));
        let mut state = self.store.lock();
        let current = state.buckets.get(&input.bucket).and_then(|bucket| bucket.objects.get(&input.key));
        writable(conditions::write(if_match.as_ref(), if_none_match.as_ref(), current.map(|object| &*object.etag)))?;
        if !state.put(&input.bucket, &input.key, copy) {
            return Err(no_such_bucket());
        }
        Ok(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
    }
}

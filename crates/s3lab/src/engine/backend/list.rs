//! List a bucket's objects, in both versions.

use std::ops::Bound;

use super::convert::{algorithms, checksum_type, error, etag, no_such_bucket, size, timestamp};
use super::*;
use crate::doors::s3::S3ErrorCode;
use crate::engine::store::Bucket as Stored;
use crate::rules::listing::{self, Entry};

/// S3's greatest page.
const MAX_PAGE: usize = 1000;

/// Most entries of a page: as many as are asked for, up to S3's own bound.
pub(super) fn page_size(name: &str, asked: Option<i32>) -> S3Result<usize> {
    match asked {
        None => Ok(MAX_PAGE),
        Some(n) => usize::try_from(n).map(|n| n.min(MAX_PAGE)).map_err(|_| {
            error(S3ErrorCode::InvalidArgument, format!("Argument {name} must be an integer between 0 and 2147483647"))
        }),
    }
}

/// The spelling of names: plain, or percent-encoded.
pub(super) fn encoder(encoding: Option<&EncodingType>) -> S3Result<fn(&str) -> String> {
    match encoding.map(EncodingType::as_str) {
        None | Some("") => Ok(|text: &str| text.to_owned()),
        Some("url") => Ok(listing::url_encode),
        Some(_) => Err(error(S3ErrorCode::InvalidArgument, "Invalid Encoding Method specified in Request")),
    }
}

/// One page in the protocol's words.
struct Listed {
    contents: ObjectList,
    prefixes: CommonPrefixList,
    next: Option<String>,
}

fn list(
    bucket: &Stored,
    (prefix, delimiter, after): (Option<&str>, Option<&str>, Option<&str>),
    max: usize,
    encode: fn(&str) -> String,
) -> Listed {
    let prefix = prefix.unwrap_or("");
    // Keys are sorted: begin where the prefix does, or the page, and end where the prefix does.
    let start = match after.filter(|after| *after >= prefix) {
        Some(after) => Bound::Excluded(after),
        None => Bound::Included(prefix),
    };
    let keys = bucket.objects.range::<str, _>((start, Bound::Unbounded));
    let keys = keys.map(|(key, _)| key.as_str()).take_while(|key| key.starts_with(prefix));
    let page = listing::page(keys, prefix, delimiter, after, max);
    let (mut contents, mut prefixes) = (Vec::new(), Vec::new());
    for entry in &page.entries {
        match entry {
            Entry::CommonPrefix(prefix) => prefixes.push(CommonPrefix { prefix: Some(encode(prefix)) }),
            Entry::Key(key) => {
                let object = &bucket.objects[*key];
                contents.push(Object {
                    checksum_algorithm: algorithms(&object.checksums),
                    checksum_type: algorithms(&object.checksums)
                        .and_then(|_| checksum_type(object.checksums.composite)),
                    e_tag: etag(&object.etag),
                    key: Some(encode(key)),
                    last_modified: timestamp(object.modified),
                    size: size(object.content.len()),
                    storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
                    ..Default::default()
                });
            }
        }
    }
    Listed { contents, prefixes, next: page.next.map(str::to_owned) }
}

fn some_text(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

impl Backend {
    pub(super) fn do_list_objects_v2(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        let max = page_size("max-keys", input.max_keys)?;
        let encode = encoder(input.encoding_type.as_ref())?;
        let resumed = input
            .continuation_token
            .as_deref()
            .map(|token| {
                listing::parse_token(token)
                    .ok_or_else(|| error(S3ErrorCode::InvalidArgument, "The continuation token provided is incorrect"))
            })
            .transpose()?;
        let after = resumed.as_deref().or_else(|| some_text(input.start_after.as_deref()));
        let state = self.store.lock();
        let bucket = state.buckets.get(&input.bucket).ok_or_else(no_such_bucket)?;
        let listed = list(bucket, (input.prefix.as_deref(), input.delimiter.as_deref(), after), max, encode);
        Ok(ListObjectsV2Output {
            common_prefixes: Some(listed.prefixes.clone()),
            continuation_token: input.continuation_token,
            delimiter: some_text(input.delimiter.as_deref()).map(encode),
            encoding_type: input.encoding_type,
            is_truncated: Some(listed.next.is_some()),
            key_count: i32::try_from(listed.contents.len() + listed.prefixes.len()).ok(),
            contents: Some(listed.contents),
            max_keys: i32::try_from(max).ok(),
            name: Some(input.bucket),
            next_continuation_token: listed.next.as_deref().map(listing::token),
            prefix: Some(encode(input.prefix.as_deref().unwrap_or(""))),
            start_after: input.start_after.as_deref().map(encode),
            ..Default::default()
        })
    }

    pub(super) fn do_list_objects(&self, input: ListObjectsInput) -> S3Result<ListObjectsOutput> {
        let max = page_size("max-keys", input.max_keys)?;
        let encode = encoder(input.encoding_type.as_ref())?;
        let after = some_text(input.marker.as_deref());
        let state = self.store.lock();
        let bucket = state.buckets.get(&input.bucket).ok_or_else(no_such_bucket)?;
        let listed = list(bucket, (input.prefix.as_deref(), input.delimiter.as_deref(), after), max, encode);
        // Version 1 names the next marker only with a delimiter; without, it is the last key.
        let next_marker =
            listed.next.as_deref().filter(|_| some_text(input.delimiter.as_deref()).is_some()).map(encode);
        Ok(ListObjectsOutput {
            common_prefixes: Some(listed.prefixes),
            contents: Some(listed.contents),
            delimiter: some_text(input.delimiter.as_deref()).map(encode),
            encoding_type: input.encoding_type,
            is_truncated: Some(listed.next.is_some()),
            marker: Some(encode(input.marker.as_deref().unwrap_or(""))),
            max_keys: i32::try_from(max).ok(),
            name: Some(input.bucket),
            next_marker,
            prefix: Some(encode(input.prefix.as_deref().unwrap_or(""))),
            ..Default::default()
        })
    }
}

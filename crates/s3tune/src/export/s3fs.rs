//! `storage_options` as JSON, for s3fs, fsspec, pandas and other libraries that pass them to s3fs.
//!
//! Source: s3fs's `core.py`. `max_concurrency` and `default_block_size` apply to `get()` and `cat()` since the releases
//! of 2026; in earlier releases `max_concurrency` applies to uploads only. A file that is opened for writing refuses
//! blocks below 5 MiB. As for boto3, botocore's pool keeps 10 connections by default. JSON has no comments: the notes
//! are returned separately.

use serde_json::json;

use super::carry::{Takes, Target, carry};
use super::{Body, Comments, Format, Recommendation};
use crate::results::BestError;

pub(super) static FORMAT: Format = Format {
    name: "s3fs",
    alias: Some("fsspec"),
    about: "storage_options for s3fs, fsspec and pandas, as JSON",
    tool: Some(TOOL),
    comments: Comments::Apart,
    write,
};

const TOOL: &str = "s3fs";

/// botocore's default.
const LEAST_CONNECTIONS: u64 = 10;
/// Least block of a file that is written: S3's least part.
const LEAST_WRITTEN: u64 = 5 << 20;

static TARGETS: [Target; 2] = [
    Target { name: "max_concurrency", boto3: Some("max_concurrency"), takes: Takes::COUNT },
    Target { name: "default_block_size", boto3: Some("multipart_chunksize"), takes: Takes::BYTES },
];

fn write(found: &Recommendation) -> Result<Body, BestError> {
    let mut carried = carry(found, TOOL, &TARGETS);
    let (requests, block) = (carried.number("max_concurrency"), carried.number("default_block_size"));
    let mut options = serde_json::Map::new();
    if let Some(requests) = requests {
        options.insert("max_concurrency".to_owned(), json!(requests));
        options.insert("config_kwargs".to_owned(), json!({"max_pool_connections": requests.max(LEAST_CONNECTIONS)}));
        carried.notes.push("Releases of s3fs before 2026 heed max_concurrency in uploads only.".to_owned());
    }
    if let Some(block) = block {
        options.insert("default_block_size".to_owned(), json!(block));
        if block < LEAST_WRITTEN {
            let note = "A file that is opened for writing takes no block below 5 MiB: give it a block_size of its own.";
            carried.notes.push(note.to_owned());
        }
    }
    Ok(Body { text: format!("{:#}\n", serde_json::Value::Object(options)), notes: carried.notes })
}

#[cfg(test)]
mod tests {
    use super::super::recommendation::tests::s3xfer;
    use super::*;

    #[test]
    fn it_is_one_json_object_with_what_is_said_apart() {
        let mut found = s3xfer();
        let exported = FORMAT.export(&found).unwrap();
        let options: serde_json::Value = serde_json::from_str(&exported.text).unwrap();
        let expected = json!({
            "max_concurrency": 61, "config_kwargs": {"max_pool_connections": 61}, "default_block_size": 7_190_169
        });
        assert_eq!(options, expected);
        assert!(
            exported.notes.iter().any(|note| note.contains("io_chunksize = 398803 is not carried")),
            "{exported:?}"
        );
        assert!(!exported.notes.iter().any(|note| note.contains("opened for writing")), "{exported:?}");

        found.config.insert("multipart_chunksize".to_owned(), json!(65_536));
        let exported = FORMAT.export(&found).unwrap();
        assert!(exported.notes.iter().any(|note| note.contains("opened for writing")), "{exported:?}");
    }
}

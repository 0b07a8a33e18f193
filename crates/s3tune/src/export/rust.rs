//! A Rust function that returns s3xfer's `TransferConfig`.

use super::carry::{Taken, Takes, Target, carry};
use super::{Body, Comments, Format, Recommendation};
use crate::engines::{ADAPTIVE, BOUNDS};
use crate::results::BestError;

pub(super) static FORMAT: Format = Format {
    name: "rust",
    alias: None,
    about: "a function that makes s3xfer's TransferConfig",
    tool: Some(TOOL),
    comments: Comments::After("//"),
    write,
};

const TOOL: &str = "s3xfer";

const fn shared(name: &'static str, takes: Takes) -> Target {
    Target { name, boto3: Some(name), takes }
}

const fn own(name: &'static str, takes: Takes) -> Target {
    Target { name, boto3: None, takes }
}

const SMALL: Takes = Takes::Count(1, u32::MAX as u64);

/// `TransferConfigBuilder`'s methods.
static TARGETS: [Target; 18] = [
    shared("multipart_threshold", Takes::BYTES),
    shared("max_concurrency", SMALL),
    shared("multipart_chunksize", Takes::BYTES),
    shared("num_download_attempts", SMALL),
    shared("max_io_queue", SMALL),
    shared("io_chunksize", Takes::BYTES),
    shared("use_threads", Takes::Switch),
    shared("max_bandwidth", Takes::BYTES),
    own("memory_limit", Takes::BYTES),
    own("connect_timeout_seconds", SMALL),
    own("first_byte_timeout_seconds", SMALL),
    own("stall_timeout_seconds", SMALL),
    own("patience_seconds", SMALL),
    own("min_bytes_per_second", Takes::Count(0, i64::MAX as u64)),
    own("min_rate_window_seconds", SMALL),
    own("transfer_timeout_seconds", SMALL),
    own("validate_checksum", Takes::Switch),
    own("adaptive_concurrency", Takes::Switch),
];

fn write(found: &Recommendation) -> Result<Body, BestError> {
    let mut carried = carry(found, TOOL, &TARGETS);
    // Another engine has no such switch, and its numbers are meant as they are. Without it ours are upper bounds.
    if found.engine != TOOL && BOUNDS.iter().any(|name| carried.number(name).is_some()) {
        carried.values.push((ADAPTIVE, Taken::Switch(false)));
    }
    let calls: String = carried.values.iter().map(|(name, value)| format!("        .{name}({value})\n")).collect();
    let text = format!(
        "pub fn transfer_config() -> Result<s3xfer::TransferConfig, s3xfer::ConfigError> {{\n    \
         s3xfer::TransferConfig::builder()\n{calls}        .build()\n}}\n"
    );
    Ok(Body { text, notes: carried.notes })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::recommendation::tests::{found, s3xfer};
    use super::*;
    use crate::engines::transfer_config as read;

    /// As exported, compiled.
    #[allow(unreachable_pub, reason = "it is public where it is pasted")]
    mod exported {
        include!("exported.txt");
    }

    #[test]
    fn the_function_compiles_and_its_values_are_in_force() {
        let mut found = s3xfer();
        for (name, value) in [
            ("max_bandwidth", json!(900_000_000)),
            ("memory_limit", json!(300_000_000)),
            ("connect_timeout_seconds", json!(3)),
            ("first_byte_timeout_seconds", json!(4)),
            ("stall_timeout_seconds", json!(5)),
            ("patience_seconds", json!(6)),
            ("min_bytes_per_second", json!(0)),
            ("min_rate_window_seconds", json!(7)),
            ("transfer_timeout_seconds", json!(8)),
            ("validate_checksum", json!(false)),
            ("adaptive_concurrency", json!(false)),
        ] {
            found.config.insert(name.to_owned(), value);
        }
        let text = FORMAT.export(&found).unwrap().text;
        assert_eq!(text, include_str!("exported.txt"), "exported.txt should be this:\n{text}");
        let config: tunekit::Config = serde_json::from_value(found.config.into()).unwrap();
        assert_eq!(exported::transfer_config().unwrap(), read(&config).unwrap());
    }

    #[test]
    fn the_numbers_of_another_engine_are_no_bounds() {
        for name in ["max_concurrency", "multipart_chunksize"] {
            let text = FORMAT.export(&found("boto3", &[(name, Some(name), Some(1), json!(61))])).unwrap().text;
            let calls = format!("        .{name}(61)\n        .adaptive_concurrency(false)\n        .build()\n");
            assert!(text.contains(&calls) && !text.contains("is not carried"), "{text}");
        }
        let text = FORMAT.export(&found("mytool", &[("retries", Some("num_download_attempts"), None, json!(3))]));
        assert!(!text.unwrap().text.contains("adaptive"));
    }
}

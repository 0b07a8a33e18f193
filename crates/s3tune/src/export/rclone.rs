//! Environment variables and flags for rclone.
//!
//! Sources: rclone's `docs/content/docs.md`, `fs/config.go`, `fs/sizesuffix.go` and `fs/operations/multithread.go`. `K`
//! is 1,024 bytes. rclone converts sizes to texts with three decimals (7190169 bytes become 6.857Mi, which is 7190085).
//! This export therefore writes multiples of 128 KiB, which rclone keeps exactly below 1 GiB; above, it rounds by less
//! than 0.05 %.

use super::carry::{Carried, Taken, Takes, Target, carry};
use super::{Body, Comments, Format, Recommendation};
use crate::results::BestError;

pub(super) static FORMAT: Format = Format {
    name: "rclone",
    alias: None,
    about: "rclone's environment, for a shell, and the same as flags",
    tool: Some(TOOL),
    comments: Comments::After("#"),
    write,
};

const TOOL: &str = "rclone";

const STEP: u64 = 128 << 10;
const SIZE: Takes = Takes::Bytes { unit: STEP, unit_name: "multiples of 128 KiB", least: STEP, most: i64::MAX as u64 };
const KIB: Takes = Takes::Bytes { unit: 1 << 10, unit_name: "whole KiB", least: 1 << 10, most: i64::MAX as u64 };

const fn own(name: &'static str, takes: Takes) -> Target {
    Target { name, boto3: None, takes }
}

static TARGETS: [Target; 9] = [
    Target { name: "multi_thread_streams", boto3: Some("max_concurrency"), takes: Takes::COUNT },
    Target { name: "multi_thread_chunk_size", boto3: Some("multipart_chunksize"), takes: SIZE },
    Target { name: "multi_thread_cutoff", boto3: Some("multipart_threshold"), takes: SIZE },
    Target { name: "bwlimit", boto3: Some("max_bandwidth"), takes: KIB },
    Target { name: "multi_thread_write_buffer_size", boto3: Some("io_chunksize"), takes: KIB },
    own("buffer_size", SIZE),
    own("transfers", Takes::COUNT),
    own("checkers", Takes::COUNT),
    own("low_level_retries", Takes::COUNT),
];

const SINCE_1_64: [&str; 2] = ["multi_thread_chunk_size", "multi_thread_write_buffer_size"];

fn write(found: &Recommendation) -> Result<Body, BestError> {
    let Carried { values, mut notes } = carry(found, TOOL, &TARGETS);
    if values.iter().any(|(name, _)| SINCE_1_64.contains(name)) {
        let text = [
            "multi_thread_chunk_size and multi_thread_write_buffer_size are known to rclone 1.64 and newer; earlier ones",
            "divide a file evenly among the streams, heed no such variables, and refuse the flags.",
        ];
        notes.extend(text.map(str::to_owned));
    }
    let values: Vec<(&str, String)> = values
        .into_iter()
        .map(|(name, value)| match (unit_bytes(name), value) {
            (Some(unit), Taken::Number(units)) => (name, format!("{}K", units * (unit >> 10))),
            (_, value) => (name, value.to_string()),
        })
        .collect();
    let flags: Vec<String> =
        values.iter().map(|(name, value)| format!("--{} {value}", name.replace('_', "-"))).collect();
    if !flags.is_empty() {
        notes.push(format!("As flags: {}", flags.join(" ")));
    }
    let text = values.iter().map(|(name, value)| format!("export RCLONE_{}={value}\n", name.to_uppercase())).collect();
    Ok(Body { text, notes })
}

/// The unit of a parameter that is a size.
fn unit_bytes(name: &str) -> Option<u64> {
    TARGETS.iter().find(|target| target.name == name).and_then(|target| match target.takes {
        Takes::Bytes { unit, .. } => Some(unit),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::recommendation::tests::{found, s3xfer};
    use super::*;

    #[test]
    fn variables_and_flags_say_the_same() {
        let text = FORMAT.export(&s3xfer()).unwrap().text;
        let variables = "export RCLONE_MULTI_THREAD_STREAMS=61\nexport RCLONE_MULTI_THREAD_CHUNK_SIZE=7040K\n\
                         export RCLONE_MULTI_THREAD_CUTOFF=8192K\nexport RCLONE_MULTI_THREAD_WRITE_BUFFER_SIZE=389K\n";
        assert_eq!(text.split_once("\n\n").unwrap().1, variables);
        let flags = "# As flags: --multi-thread-streams 61 --multi-thread-chunk-size 7040K --multi-thread-cutoff 8192K \
                     --multi-thread-write-buffer-size 389K\n";
        assert!(text.contains(flags), "{text}");
        assert!(
            text.contains("# multi_thread_chunk_size is rounded from 7190169 bytes: rclone takes multiples"),
            "{text}"
        );
        assert!(text.contains("# num_download_attempts = 5 is not carried"), "{text}");
    }

    #[test]
    fn its_own_parameters_are_carried_by_name() {
        let knobs = [
            ("buffer-size", None, Some(1 << 20), json!(32)),
            ("transfers", None, None, json!(8)),
            ("limit", Some("max_bandwidth"), Some(1), json!(1000)),
        ];
        let text = FORMAT.export(&found("rclone", &knobs)).unwrap().text;
        let expected = "export RCLONE_BWLIMIT=1K\nexport RCLONE_BUFFER_SIZE=32768K\nexport RCLONE_TRANSFERS=8\n";
        assert_eq!(text.split_once("\n\n").unwrap().1, expected);
    }
}

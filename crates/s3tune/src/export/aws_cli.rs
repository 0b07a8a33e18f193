//! A fragment of `~/.aws/config` for the AWS CLI.
//!
//! Sources: awscli's `customizations/s3/transferconfig.py` and its topic `s3-config`. Version 1 reads these keys and
//! ignores others. Version 2 has a second client, crt. It selects crt automatically on some large machines, and crt
//! ignores all of these keys except the part size. A rate is written in KB/s of 1,024 bytes, because version 1 reads no
//! smaller unit.

use super::carry::{Carried, Taken, Takes, Target, carry};
use super::{Body, Comments, Format, Recommendation};
use crate::results::BestError;

pub(super) static FORMAT: Format = Format {
    name: "aws-cli",
    alias: None,
    about: "a fragment of ~/.aws/config for the AWS CLI",
    tool: Some(TOOL),
    comments: Comments::After("#"),
    write,
};

const TOOL: &str = "aws-cli";

const CLIENT: &str = "preferred_transfer_client";

static TARGETS: [Target; 6] = [
    Target { name: CLIENT, boto3: Some(CLIENT), takes: Takes::Word(&["auto", "classic", "crt"]) },
    Target { name: "max_concurrent_requests", boto3: Some("max_concurrency"), takes: Takes::COUNT },
    Target { name: "max_queue_size", boto3: None, takes: Takes::COUNT },
    Target { name: "multipart_threshold", boto3: Some("multipart_threshold"), takes: Takes::BYTES },
    Target { name: "multipart_chunksize", boto3: Some("multipart_chunksize"), takes: Takes::BYTES },
    Target {
        name: "max_bandwidth",
        boto3: Some("max_bandwidth"),
        takes: Takes::Bytes {
            unit: 1 << 10,
            unit_name: "whole KB of 1,024 bytes",
            least: 1 << 10,
            most: i64::MAX as u64,
        },
    },
];

fn write(found: &Recommendation) -> Result<Body, BestError> {
    let Carried { mut values, mut notes } = carry(found, TOOL, &TARGETS);
    if values.iter().all(|(name, _)| *name != CLIENT) {
        values.insert(0, (CLIENT, Taken::Word("classic".to_owned())));
        notes.push(
            "Version 2's other client, crt, ignores max_concurrent_requests, max_queue_size, multipart_threshold and"
                .to_owned(),
        );
        notes.push(
            "max_bandwidth; preferred_transfer_client = classic keeps it away. Version 1 has no other.".to_owned(),
        );
    }
    let line = |(name, value): &(&str, Taken)| match *name {
        "max_bandwidth" => format!("  {name} = {value}KB/s\n"),
        _ => format!("  {name} = {value}\n"),
    };
    let text = format!("[default]\ns3 =\n{}", values.iter().map(line).collect::<String>());
    Ok(Body { text, notes })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::recommendation::tests::{found, s3xfer};
    use super::*;

    #[test]
    fn it_is_a_profile_with_nested_values() {
        let mut found = s3xfer();
        found.config.insert("max_bandwidth".to_owned(), json!(10_240_001));
        let text = FORMAT.export(&found).unwrap().text;
        let (comments, values) = text.split_once("\n\n").unwrap();
        let expected = "[default]\ns3 =\n  preferred_transfer_client = classic\n  max_concurrent_requests = 61\n  \
                        multipart_threshold = 8388608\n  multipart_chunksize = 7190169\n  max_bandwidth = 10000KB/s\n";
        assert_eq!(values, expected);
        assert!(comments.contains("max_bandwidth is rounded from 10240001 bytes"), "{comments}");
        assert!(comments.contains("crt, ignores max_concurrent_requests"), "{comments}");
    }

    #[test]
    fn its_own_parameters_are_carried_by_name() {
        let knobs = [
            ("max_concurrent_requests", Some("max_concurrency"), None, json!(50)),
            ("max_queue_size", None, None, json!(5000)),
        ];
        let text = FORMAT.export(&found("aws-cli", &knobs)).unwrap().text;
        assert!(text.contains("  max_concurrent_requests = 50\n  max_queue_size = 5000\n"), "{text}");
        assert!(!text.contains("not carried") && !text.contains("not measured"), "{text}");
    }
}

//! Python for boto3: `transfer_config` and the `client_config` that it needs.
//!
//! Sources: boto3's `boto3/s3/transfer.py` and s3transfer's `manager.py`. Every number must be greater than 0. The CRT
//! client ignores most parameters; boto3 selects it automatically on some large machines with awscrt. botocore keeps 10
//! connections in its pool unless `max_pool_connections` is set. With more requests at a time than that, botocore opens
//! and discards connections all the time.

use super::carry::{Carried, Taken, Takes, Target, carry};
use super::{Body, Comments, Format, Recommendation};
use crate::results::BestError;

pub(super) static FORMAT: Format = Format {
    name: "boto3",
    alias: None,
    about: "Python that defines transfer_config and client_config",
    tool: Some(TOOL),
    comments: Comments::After("#"),
    write,
};

const TOOL: &str = "boto3";

/// botocore's default.
const LEAST_CONNECTIONS: u64 = 10;

const fn target(name: &'static str, takes: Takes) -> Target {
    Target { name, boto3: Some(name), takes }
}

static TARGETS: [Target; 10] = [
    target("multipart_threshold", Takes::BYTES),
    target("max_concurrency", Takes::COUNT),
    target("multipart_chunksize", Takes::BYTES),
    target("num_download_attempts", Takes::COUNT),
    target("max_io_queue", Takes::COUNT),
    target("io_chunksize", Takes::BYTES),
    target("use_threads", Takes::Switch),
    target("max_bandwidth", Takes::BYTES),
    target("preferred_transfer_client", Takes::Word(&["auto", "classic", "crt"])),
    Target { name: CONNECTIONS, boto3: None, takes: Takes::COUNT },
];

/// botocore's, not `TransferConfig`'s.
const CONNECTIONS: &str = "max_pool_connections";
const CLIENT: &str = "preferred_transfer_client";

fn write(found: &Recommendation) -> Result<Body, BestError> {
    let Carried { mut values, mut notes } = carry(found, TOOL, &TARGETS);
    if values.iter().all(|(name, _)| *name != CLIENT) {
        values.push((CLIENT, Taken::Word("classic".to_owned())));
        notes.push("The other client, crt, ignores most of this. A boto3 that does not know".to_owned());
        notes.push("preferred_transfer_client has no other: leave it out there.".to_owned());
    }
    let number = |wanted: &str| {
        values.iter().find_map(|(name, value)| match value {
            Taken::Number(number) if *name == wanted => Some(*number),
            _ => None,
        })
    };
    let connections =
        [number(CONNECTIONS), number("max_concurrency")].into_iter().flatten().fold(LEAST_CONNECTIONS, u64::max);
    let arguments: String = values
        .iter()
        .filter(|(name, _)| *name != CONNECTIONS)
        .map(|(name, value)| format!("    {name}={},\n", in_python(value)))
        .collect();
    let text = format!(
        "from boto3.s3.transfer import TransferConfig\nfrom botocore.config import Config\n\n\
         # client.download_file(bucket, key, path, Config=transfer_config)\n\
         transfer_config = TransferConfig(\n{arguments})\n\n\
         # boto3.client(\"s3\", config=client_config)\n\
         client_config = Config(max_pool_connections={connections})\n"
    );
    Ok(Body { text, notes })
}

fn in_python(value: &Taken) -> String {
    match value {
        Taken::Number(number) => number.to_string(),
        Taken::Switch(true) => "True".to_owned(),
        Taken::Switch(false) => "False".to_owned(),
        Taken::Word(word) => format!("{word:?}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::recommendation::tests::{found, s3xfer};
    use super::*;

    #[test]
    fn it_is_the_python_that_one_would_write() {
        let text = FORMAT.export(&s3xfer()).unwrap().text;
        let code: String = text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
        let expected = "
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

transfer_config = TransferConfig(
    multipart_threshold=8388608,
    max_concurrency=61,
    multipart_chunksize=7190169,
    num_download_attempts=5,
    max_io_queue=10,
    io_chunksize=398803,
    use_threads=True,
    preferred_transfer_client=\"classic\",
)

client_config = Config(max_pool_connections=61)
";
        assert_eq!(code, expected);
    }

    #[test]
    fn there_are_never_fewer_connections_than_requests_or_than_by_default() {
        for (requests, pool, connections) in [(4, None, 10), (4, Some(20), 20), (50, Some(20), 50)] {
            let mut knobs = vec![("max_concurrency", Some("max_concurrency"), None, json!(requests))];
            knobs.extend(pool.map(|pool| (CONNECTIONS, None, None, json!(pool))));
            let text = FORMAT.export(&found("boto3", &knobs)).unwrap().text;
            assert!(text.contains(&format!("Config(max_pool_connections={connections})")), "{text}");
        }
    }

    #[test]
    fn the_client_that_was_measured_is_kept() {
        let knobs = [("preferred_transfer_client", None, None, json!("crt"))];
        let text = FORMAT.export(&found("boto3", &knobs)).unwrap().text;
        assert!(text.contains("preferred_transfer_client=\"crt\"") && !text.contains("classic"), "{text}");
    }
}

//! Python for the Amazon S3 connector for PyTorch.
//!
//! Source: s3torchconnector's `S3ClientConfig`; its client refuses a part below 5 MiB or above 5 GiB. The connector has
//! no parameter for the number of concurrent requests; its client makes as many as `throughput_target_gbps` needs.

use super::carry::{Takes, Target, carry};
use super::{Body, Comments, Format, Recommendation};
use crate::results::BestError;

pub(super) static FORMAT: Format = Format {
    name: "s3torchconnector",
    alias: None,
    about: "Python that defines s3client_config for the S3 connector for PyTorch",
    tool: Some(TOOL),
    comments: Comments::After("#"),
    write,
};

const TOOL: &str = "s3torchconnector";

static TARGETS: [Target; 1] = [Target {
    name: "part_size",
    boto3: Some("multipart_chunksize"),
    takes: Takes::Bytes { unit: 1, unit_name: "bytes", least: 5 << 20, most: 5 << 30 },
}];

fn write(found: &Recommendation) -> Result<Body, BestError> {
    let mut carried = carry(found, TOOL, &TARGETS);
    carried.notes.push("How many requests there are at a time follows from throughput_target_gbps.".to_owned());
    let part = carried.number("part_size").map_or_else(String::new, |bytes| format!("part_size={bytes}"));
    let text = format!(
        "from s3torchconnector import S3ClientConfig\n\n\
         # S3MapDataset.from_prefix(uri, region=region, s3client_config=s3client_config)\n\
         s3client_config = S3ClientConfig({part})\n"
    );
    Ok(Body { text, notes: carried.notes })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::recommendation::tests::s3xfer;
    use super::*;

    #[test]
    fn only_a_parts_size_is_carried_within_what_it_takes() {
        let mut found = s3xfer();
        let text = FORMAT.export(&found).unwrap().text;
        assert!(text.ends_with("s3client_config = S3ClientConfig(part_size=7190169)\n"), "{text}");
        assert!(text.contains("# max_concurrency = 61 is not carried"), "{text}");
        found.config.insert("multipart_chunksize".to_owned(), json!(65_536));
        let text = FORMAT.export(&found).unwrap().text;
        assert!(text.contains("S3ClientConfig(part_size=5242880)"), "{text}");
        assert!(text.contains("# part_size is 5242880 bytes, not 65536"), "{text}");
    }
}

//! The beginning of an s5cmd command line, before source and target.
//!
//! Sources: s5cmd's `command/cp.go` and `command/app.go`. A part's size is in whole MiB. A global flag of s5cmd goes
//! before `cp`. s5cmd fetches every object in parts, whatever its size.

use super::carry::{Takes, Target, carry};
use super::{Body, Comments, Format, Recommendation};
use crate::results::BestError;

pub(super) static FORMAT: Format = Format {
    name: "s5cmd",
    alias: None,
    about: "s5cmd's command line, to which source and target are appended",
    tool: Some(TOOL),
    comments: Comments::After("#"),
    write,
};

const TOOL: &str = "s5cmd";

const MIB: u64 = 1 << 20;

static TARGETS: [Target; 4] = [
    Target { name: "numworkers", boto3: None, takes: Takes::COUNT },
    Target { name: "retry_count", boto3: None, takes: Takes::Count(0, i64::MAX as u64) },
    Target { name: "concurrency", boto3: Some("max_concurrency"), takes: Takes::COUNT },
    Target {
        name: "part_size",
        boto3: Some("multipart_chunksize"),
        takes: Takes::Bytes { unit: MIB, unit_name: "whole MiB", least: MIB, most: i64::MAX as u64 },
    },
];

fn write(found: &Recommendation) -> Result<Body, BestError> {
    let carried = carry(found, TOOL, &TARGETS);
    let flags = |of_all: bool| -> String {
        let those = carried.values.iter().filter(|(name, _)| matches!(*name, "numworkers" | "retry_count") == of_all);
        those.map(|(name, value)| format!(" --{} {value}", name.replace('_', "-"))).collect()
    };
    let text = format!("s5cmd{} cp{}\n", flags(true), flags(false));
    Ok(Body { text, notes: carried.notes })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::recommendation::tests::{found, s3xfer};
    use super::*;

    #[test]
    fn it_is_a_command_line_and_says_what_was_rounded() {
        let text = FORMAT.export(&s3xfer()).unwrap().text;
        assert!(text.ends_with("\n\ns5cmd cp --concurrency 61 --part-size 7\n"), "{text}");
        assert!(text.contains("# part_size is rounded from 7190169 bytes: s5cmd takes whole MiB.\n"), "{text}");
    }

    #[test]
    fn what_holds_for_all_of_it_goes_first() {
        let knobs =
            [("part_size", Some("multipart_chunksize"), Some(MIB), json!(16)), ("numworkers", None, None, json!(8))];
        assert_eq!(FORMAT.export(&found("s5cmd", &knobs)).unwrap().text, "s5cmd --numworkers 8 cp --part-size 16\n");
    }
}

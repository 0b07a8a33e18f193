//! Environment variables for Polars.
//!
//! Sources: Polars' `crates/polars-io/src/cloud/concurrency.rs` and `concurrency_config.rs` (2026), and `pl_async.rs`
//! (before 2026). The variables are not documented, and a value that is not a number ends the process. The limit on
//! concurrent requests is `POLARS_INFLIGHT_REQUEST_BUDGET` in newer releases and `POLARS_CONCURRENCY_BUDGET` in older
//! ones; newer releases choose the number within the limit. The last two request sizes are for formats that are read in
//! order (CSV) and at random (Parquet); older releases know only the first.

use super::carry::{Carried, Taken, Takes, Target, carry};
use super::{Body, Comments, Format, Recommendation};
use crate::results::BestError;

pub(super) static FORMAT: Format = Format {
    name: "polars",
    alias: None,
    about: "Polars' environment, for a shell",
    tool: Some(TOOL),
    comments: Comments::After("#"),
    write,
};

const TOOL: &str = "polars";

const REQUESTS: Takes = Takes::Count(1, u32::MAX as u64);

static TARGETS: [Target; 5] = [
    Target { name: "inflight_request_budget", boto3: Some("max_concurrency"), takes: REQUESTS },
    Target { name: "concurrency_budget", boto3: Some("max_concurrency"), takes: REQUESTS },
    Target { name: "download_chunk_size", boto3: Some("multipart_chunksize"), takes: Takes::BYTES },
    Target { name: "download_chunk_size_streaming", boto3: Some("multipart_chunksize"), takes: Takes::BYTES },
    Target { name: "download_chunk_size_random_access", boto3: Some("multipart_chunksize"), takes: Takes::BYTES },
];

fn write(found: &Recommendation) -> Result<Body, BestError> {
    let Carried { values, mut notes } = carry(found, TOOL, &TARGETS);
    notes.push("Newer releases of Polars choose how many requests there are at a time, up to the budget.".to_owned());
    let line = |(name, value): &(&str, Taken)| format!("export POLARS_{}={value}\n", name.to_uppercase());
    Ok(Body { text: values.iter().map(line).collect(), notes })
}

#[cfg(test)]
mod tests {
    use super::super::recommendation::tests::s3xfer;
    use super::*;

    #[test]
    fn older_and_newer_releases_find_their_variables() {
        let text = FORMAT.export(&s3xfer()).unwrap().text;
        let expected = "export POLARS_INFLIGHT_REQUEST_BUDGET=61\nexport POLARS_CONCURRENCY_BUDGET=61\n\
                        export POLARS_DOWNLOAD_CHUNK_SIZE=7190169\nexport POLARS_DOWNLOAD_CHUNK_SIZE_STREAMING=7190169\n\
                        export POLARS_DOWNLOAD_CHUNK_SIZE_RANDOM_ACCESS=7190169\n";
        assert_eq!(text.split_once("\n\n").unwrap().1, expected);
    }
}

//! SQL for DuckDB 2.0 and newer.
//!
//! Sources: DuckDB's pages "I/O" and "Configuration", and `duckdb_settings()`. `async_threads` sets the number of
//! concurrent requests; before 2.0 every thread waited for its own request, so `threads` set it. DuckDB splits a large
//! read of a remote file into blocks and fetches them in parallel; a block's size is a power of two.

use super::carry::{Carried, Taken, Takes, Target, carry};
use super::{Body, Comments, Format, Recommendation};
use crate::results::BestError;

pub(super) static FORMAT: Format = Format {
    name: "duckdb",
    alias: None,
    about: "SET statements for DuckDB 2.0 and newer",
    tool: Some(TOOL),
    comments: Comments::After("--"),
    write,
};

const TOOL: &str = "duckdb";

static TARGETS: [Target; 2] = [
    Target { name: "async_threads", boto3: Some("max_concurrency"), takes: Takes::Count(1, 100_000) },
    Target {
        name: "external_file_cache_remote_max_block_size",
        boto3: Some("multipart_chunksize"),
        takes: Takes::PowerOfTwo,
    },
];

fn write(found: &Recommendation) -> Result<Body, BestError> {
    let mut carried = carry(found, TOOL, &TARGETS);
    if let Some(threads) = carried.number("async_threads") {
        carried
            .notes
            .push(format!("Before DuckDB 2.0 a thread makes one request at a time: SET threads = {threads}; there."));
    }
    let Carried { values, notes } = carried;
    let line = |(name, value): &(&str, Taken)| format!("SET {name} = {value};\n");
    Ok(Body { text: values.iter().map(line).collect(), notes })
}

#[cfg(test)]
mod tests {
    use super::super::recommendation::tests::s3xfer;
    use super::*;

    #[test]
    fn they_are_statements_and_say_what_was_rounded() {
        let text = FORMAT.export(&s3xfer()).unwrap().text;
        let expected = "SET async_threads = 61;\nSET external_file_cache_remote_max_block_size = 8388608;\n";
        assert_eq!(text.split_once("\n\n").unwrap().1, expected);
        assert!(text.contains("-- external_file_cache_remote_max_block_size is rounded from 7190169 bytes"), "{text}");
    }
}

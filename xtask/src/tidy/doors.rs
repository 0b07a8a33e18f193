//! Doors: every large foreign crate is named in few files, so that it can be understood, replaced or mocked there.
//!
//! The table lists these crates and files; other crates (serde, bytes, thiserror, ...) may be named anywhere. Tests may
//! name anything.

use super::rust::{self, is_word};
use super::{File, Finding};

/// A foreign crate as code spells it, and where it may be named: a file, or a folder that ends with `/`.
const DOORS: &[(&str, &[&str])] = &[
    ("argmin", &["crates/tunekit/src/rules/lbfgs.rs"]),
    ("argmin_math", &["crates/tunekit/src/rules/lbfgs.rs"]),
    ("aws_config", &["crates/s3xfer/src/doors/s3/access.rs"]),
    // The engine's client is made of the user's own SDK client, so its constructor has to name that type.
    (
        "aws_sdk_s3",
        &[
            "crates/s3tune/src/object.rs",
            "crates/s3xfer/src/doors/connector.rs",
            "crates/s3xfer/src/doors/s3.rs",
            "crates/s3xfer/src/doors/s3/",
            "crates/s3xfer/src/engine/client.rs",
            "crates/s3xfer/src/engine/client/builder.rs",
            "crates/s3xfer/src/lib.rs",
        ],
    ),
    ("aws_smithy_http_client", &["crates/s3xfer/src/doors/connector.rs"]),
    (
        "aws_smithy_runtime_api",
        &[
            "crates/s3lab/src/doors/sdk.rs",
            "crates/s3xfer/src/doors/connector.rs",
            "crates/s3xfer/src/doors/connector/sending.rs",
            "crates/s3xfer/src/doors/s3/",
        ],
    ),
    (
        "aws_smithy_types",
        &[
            "crates/s3lab/src/doors/sdk.rs",
            "crates/s3tune/src/object.rs",
            "crates/s3xfer/src/doors/connector.rs",
            "crates/s3xfer/src/doors/connector/proxy.rs",
            "crates/s3xfer/src/doors/s3.rs",
            "crates/s3xfer/src/doors/s3/",
        ],
    ),
    (
        "clap",
        &[
            "crates/s3tune/src/cli.rs",
            "crates/s3tune/src/cli/folders.rs",
            "crates/tunekit/src/commands/",
            "crates/tunekit/src/main.rs",
        ],
    ),
    (
        "crc_fast",
        &[
            "crates/s3lab/src/rules/checksum.rs",
            "crates/s3tune/src/checksum.rs",
            "crates/s3xfer/src/doors/disk/target.rs",
            "crates/s3xfer/src/doors/journal/format.rs",
            "crates/s3xfer/src/rules/checksum.rs",
        ],
    ),
    ("csv", &["crates/tunekit/src/doors/results.rs"]),
    ("faer", &["crates/tunekit/src/rules/cholesky.rs", "crates/tunekit/src/rules/eigen.rs"]),
    ("httparse", &["crates/s3xfer/src/doors/connector/head.rs"]),
    ("hyper", &["crates/s3lab/src/doors/tcp.rs"]),
    ("hyper_util", &["crates/s3lab/src/doors/tcp.rs"]),
    ("indicatif", &["crates/s3tune/src/show.rs"]),
    ("memmap2", &["crates/s3xfer/src/doors/connector/buffers.rs"]),
    // In s3tune: how a signal is handled.
    ("nix", &["crates/s3tune/src/commands.rs", "crates/s3xfer/src/doors/close.rs"]),
    ("parquet", &["crates/tunekit/src/doors/parquet.rs"]),
    ("plotters", &["crates/tunekit/src/doors/picture.rs"]),
    ("rcgen", &["crates/s3lab/src/doors/tls.rs"]),
    // Besides the disk: ending the group of a program that is tuned, a look at a socket that waits, limits of the
    // process.
    (
        "rustix",
        &[
            "crates/s3tune/src/commands/cp.rs",
            "crates/s3tune/src/commands/folders.rs",
            "crates/s3tune/src/engines/process.rs",
            "crates/s3xfer/src/doors/connector/stream.rs",
            "crates/s3xfer/src/doors/disk.rs",
            "crates/s3xfer/src/doors/disk/",
            "crates/s3xfer/src/doors/machine.rs",
            "crates/s3xfer/src/doors/source.rs",
            "crates/s3xfer/src/doors/special.rs",
            "crates/s3xfer/src/doors/tree.rs",
            "crates/tunekit/src/doors/process.rs",
            "crates/tunekit/src/doors/shared.rs",
        ],
    ),
    ("rustls", &["crates/s3lab/src/doors/tls.rs", "crates/s3xfer/src/doors/connector/tls.rs"]),
    ("rustls_native_certs", &["crates/s3xfer/src/doors/connector/tls.rs"]),
    ("s3s", &["crates/s3lab/src/doors/s3.rs"]),
    ("sobol_burley", &["crates/tunekit/src/rules/qmc.rs"]),
    ("statrs", &["crates/tunekit/src/rules/distribution.rs"]),
    ("tokio_rustls", &["crates/s3lab/src/doors/tls.rs"]),
    ("tracing_subscriber", &["crates/s3tune/src/main.rs", "crates/tunekit/src/main.rs"]),
];

/// Names of foreign crates outside their files.
pub(crate) fn check(file: &File) -> Vec<Finding> {
    check_against(DOORS, file)
}

/// Entries of the table whose file is gone.
pub(crate) fn check_table(files: &[File]) -> Vec<Finding> {
    let exists = |place: &str| files.iter().any(|file| file.path.starts_with(place));
    let places = DOORS.iter().flat_map(|(name, places)| places.iter().map(move |place| (name, *place)));
    places
        .filter(|(_, place)| !exists(place))
        .map(|(name, place)| {
            let what = format!("the door of {name}, {place}, does not exist; name the file that took its place");
            Finding::new("xtask/src/tidy/doors.rs", 0, what)
        })
        .collect()
}

fn check_against(doors: &[(&str, &[&str])], file: &File) -> Vec<Finding> {
    if !file.path.starts_with("crates/") || !file.path.contains("/src/") || rust::is_test_file(&file.path) {
        return Vec::new();
    }
    let code = rust::code_only(&file.text);
    let tests = rust::test_regions(&code);
    let mut findings = Vec::new();
    for (name, places) in doors {
        if places.iter().any(|place| file.path == *place || place.ends_with('/') && file.path.starts_with(place)) {
            continue;
        }
        let named = rust::words(&code, name)
            .filter(|at| is_crate_name(&code, *at, name) && !tests.iter().any(|region| region.contains(at)));
        let mut lines: Vec<usize> = named.map(|at| rust::line_of(&code, at)).collect();
        lines.dedup();
        for line in lines {
            let places = places.join(", ");
            let what =
                format!("{name} is named outside its door; go through {places}, or widen xtask/src/tidy/doors.rs");
            findings.push(Finding::new(&file.path, line, what));
        }
    }
    findings
}

/// Whether the word is the start of a path (`csv::Writer`, `use csv;`) and not a field, a variable or a module of ours.
fn is_crate_name(code: &str, at: usize, name: &str) -> bool {
    let before = code[..at].trim_end();
    let after = code[at + name.len()..].trim_start();
    // `::csv::Writer` starts at the root of all crates; `results::csv` is a module.
    let continues = before.strip_suffix("::").is_some_and(|path| path.bytes().next_back().is_some_and(is_word));
    let used = before.strip_suffix("use").is_some_and(|rest| !rest.bytes().next_back().is_some_and(is_word));
    !continues && (after.starts_with("::") || used)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[(&str, &[&str])] =
        &[("csv", &["crates/a/src/doors/csv.rs"]), ("faer", &["crates/a/src/rules/algebra/"])];

    fn lines(path: &str, text: &str) -> Vec<usize> {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        check_against(TABLE, &file).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn a_crate_named_outside_its_door_is_found() {
        assert_eq!(lines("crates/a/src/words.rs", "//! x\nuse csv::Writer;\n"), [2]);
        assert_eq!(lines("crates/a/src/words.rs", "fn f() { ::faer::Mat::new() }"), [1]);
        assert_eq!(lines("crates/a/src/words.rs", "use csv as table;"), [1]);
        assert_eq!(lines("crates/a/src/rules/algebra.rs", "use faer::Mat;"), [1]);
    }

    #[test]
    fn doors_tests_comments_and_namesakes_pass() {
        assert!(lines("crates/a/src/doors/csv.rs", "use csv::Writer;").is_empty());
        assert!(lines("crates/a/src/rules/algebra/solve.rs", "use faer::Mat;").is_empty());
        assert!(lines("crates/a/src/words.rs", "#[cfg(test)]\nmod tests { use csv::Reader; }").is_empty());
        assert!(
            lines("crates/a/src/words.rs", "// csv::Writer\nlet csv = self.csv; doors::csv::write(csv)").is_empty()
        );
        assert!(lines("crates/a/tests/t.rs", "use csv::Reader;").is_empty());
    }

    #[test]
    fn the_table_is_in_order() {
        assert!(DOORS.is_sorted_by_key(|(name, _)| *name));
    }
}

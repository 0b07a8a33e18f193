//! Every example that reads as an answer to "how do I ...?" runs to its end and prints the line that its reader looks
//! for.
//!
//! `cargo test` builds the examples with the tests; where only this test is asked for, `cargo build --workspace
//! --examples` does. Nothing of the library is linked here: the programs are run as they are.

#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::process::Command;

/// Runs the example, which stands beside the tests: `target/PROFILE/deps/examples-HASH`,
/// `target/PROFILE/examples/NAME`.
fn printed(name: &str) -> String {
    let tests = std::env::current_exe().unwrap();
    let path = tests.ancestors().nth(2).unwrap().join("examples").join(name);
    assert!(path.exists(), "{} is not built; run cargo build --workspace --examples", path.display());
    let output = Command::new(path).output().unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {}\n{out}\n{err}", output.status);
    out
}

#[test]
fn examples_print_what_their_readers_look_for() {
    for (name, expected) in [
        ("download_file", "20971520 bytes in "),
        ("upload_file", "again: "),
        ("read_as_stream", "5242880 lines"),
        ("sync_folder", "down again: 0 new, 2 unchanged"),
        ("continue_download", " of 62914560 bytes were there already"),
    ] {
        let out = printed(name);
        assert!(out.contains(expected), "{name}: {out}");
    }
}

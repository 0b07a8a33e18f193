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
        ("compare_two_configurations", " % less time than "),
        ("export_to_boto3", "transfer_config = "),
        ("tune_download", " s (mean of "),
        ("tune_my_own_program", "conclusion: "),
    ] {
        let out = printed(name);
        assert!(out.contains(expected), "{name}: {out}");
    }
}

#[test]
fn spans_carry_the_fields_that_logs_are_filtered_by() {
    let out = printed("print_spans");
    let (close, retried) = ("close", "request{attempt=2}");
    let line = out.lines().find(|line| line.contains(retried) && line.contains(close));
    let line = line.unwrap_or_else(|| panic!("no second attempt in\n{out}"));
    for field in [
        "study{metric=\"seconds\" searcher=\"random\" scheduler=\"fifo\" seed=1}:trial{trial=",
        " config=",
        "transfer{direction=\"download\" bucket=\"lab\" key=\"film.mp4\"}:part{part=",
        " range=",
    ] {
        assert!(line.contains(field), "{field} is missing in\n{line}");
    }
    for secret in ["lab-secret", "Authorization", "Credential="] {
        assert!(!out.contains(secret), "{secret} is in\n{out}");
    }
}

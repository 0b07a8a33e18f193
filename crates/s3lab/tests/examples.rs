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
fn the_example_over_tcp_prints_what_its_readers_look_for() {
    let out = printed("serve_any_client");
    assert!(out.contains("AWS_ENDPOINT_URL=http://127.0.0.1:"), "{out}");
}

#[cfg(feature = "sdk")]
#[test]
fn examples_inside_the_process_print_what_their_readers_look_for() {
    for (name, expected) in [
        ("test_without_sockets", "1 requests, ETag Some("),
        ("break_a_request", "answers: [200, 503, 200]; the client has tried again"),
        ("slow_network", "20000000 bytes in 20.1 s"),
        ("count_requests", "2 GETs of 3 requests"),
    ] {
        let out = printed(name);
        assert!(out.contains(expected), "{name}: {out}");
    }
}

//! `cargo xtask ci`, `tidy` and `bench`: the project's maintenance commands, in Rust, so that they run on every machine
//! that can build the project.
//!
//! This file has only the command line. `ci` has the steps of CI, `tidy` the house rules, `bench` the measurements, and
//! `metadata` cargo's view of the workspace. No crate of the workspace may depend on this one.

mod bench;
mod ci;
mod metadata;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask ci [--skip-tests]   everything a change must pass; stops at the first failure
       cargo xtask tidy                arrows, doors, the map and the house rules alone";

fn usage() -> String {
    let benches = [
        bench::USAGE,
        bench::tune::USAGE,
        bench::answer::USAGE,
        bench::auto::USAGE,
        bench::honesty::USAGE,
        bench::regret::USAGE,
    ];
    format!("{USAGE}\n       {}", benches.join("\n       "))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["ci"] => ci::run(&root(), ci::Tests::Run),
        ["ci", "--skip-tests"] => ci::run(&root(), ci::Tests::Skip),
        ["tidy"] => tidy::run(&root()),
        ["bench", "transfer", rest @ ..] => match bench::Options::parse(rest) {
            Ok(options) => bench::run(&root(), &options),
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::from(2);
            }
        },
        ["bench", "tune", rest @ ..] => match bench::tune::Options::parse(rest) {
            Ok(options) => bench::tune::run(&root(), &options),
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::from(2);
            }
        },
        ["bench", "answer", rest @ ..] => match bench::answer::Options::parse(rest) {
            Ok(options) => bench::answer::run(&root(), &options),
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::from(2);
            }
        },
        ["bench", "auto", rest @ ..] => match bench::auto::Options::parse(rest) {
            Ok(options) => bench::auto::run(&root(), &options),
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::from(2);
            }
        },
        ["bench", "honesty", rest @ ..] => match bench::honesty::Options::parse(rest) {
            Ok(options) => bench::honesty::run(&root(), &options),
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::from(2);
            }
        },
        ["bench", "regret", rest @ ..] => match bench::regret::Options::parse(rest) {
            Ok(options) => bench::regret::run(&root(), &options),
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::from(2);
            }
        },
        ["help" | "--help" | "-h"] => {
            println!("{}", usage());
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("{}", usage());
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// The workspace's folder, which contains this crate's folder.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lives in a folder of the workspace").to_path_buf()
}

//! `rig serve|measure|verify|keep`: what a benchmark needs around the program it measures.
//!
//! Here the command line only. `serve` is an S3 with the benchmark's objects, `measure` a stopwatch around one process,
//! `verify` compares what came out with what was to come, `keep` holds the scratch folder and removes it in the end.

mod keep;
mod measure;
mod serve;
mod verify;

use std::process::ExitCode;

use anyhow::Result;

const USAGE: &str = "\
usage: rig serve BUCKET [--tls PEM] [--profile FILE.toml] [KEY=BYTES | PREFIX*COUNT=BYTES]...
           an S3 on loopback; prints one JSON line; ends when its standard input does
       rig measure SECONDS OUTPUT -- COMMAND [ARGUMENT]...
           runs the command, ends it after SECONDS, and prints one JSON line; its output goes to the file OUTPUT
       rig verify FILE BUCKET KEY BYTES
       rig verify-many FOLDER BUCKET PREFIX COUNT BYTES
           exit code 0 when every byte is the object's, 1 with the first difference otherwise
       rig keep BYTES PLACE...
           makes a folder in the first place with room, prints its name, and removes it when its standard input ends";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done: Result<()> = match words.as_slice() {
        ["serve", bucket, rest @ ..] => serve::run(bucket, rest),
        ["measure", seconds, output, "--", command @ ..] if !command.is_empty() => {
            measure::run(seconds, output, command)
        }
        ["verify", file, bucket, key, bytes] => verify::one(file, bucket, key, bytes),
        ["verify-many", folder, bucket, prefix, count, bytes] => verify::many(folder, bucket, prefix, count, bytes),
        ["keep", bytes, places @ ..] if !places.is_empty() => keep::run(bytes, places),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

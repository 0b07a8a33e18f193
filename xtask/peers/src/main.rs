//! `peers ENGINE get|get-many ...`: one download by one of several engines, and nothing else, for a stopwatch around
//! it.
//!
//! Here the command line and the table of engines; each engine is a file beside this one, and says there how it is set.
//! Code common to all is in `task`. Measuring, serving and checking are the work of the other binary, `rig`.
//!
//! Fairness: every engine has the same profile (release, thin LTO), tokio's multi-threaded runtime as its `main` macro
//! makes it where it is asynchronous, credentials from the environment, and the concurrency its own documentation or
//! defaults suggest; small objects come [`task::MANY_IN_FLIGHT`] at once for all of them.

mod ceiling;
mod ours;
mod sdk;
mod stores;
mod task;
mod transfer_manager;

use std::process::ExitCode;

use anyhow::Result;
use task::{Task, Unsupported};

const USAGE: &str = "\
usage: peers ENGINE get ENDPOINT BUCKET KEY OUT [--concurrency N]
       peers ENGINE get-many ENDPOINT BUCKET PREFIX OUTDIR COUNT [--concurrency N]
       peers engines
OUT may be /dev/null. get-many fetches PREFIX00000 .. into OUTDIR/00000 .. . Prints the bytes it received.
Exit code 3: this engine cannot do that.";

const ENGINES: [&str; 8] =
    ["ceiling", "s3xfer", "s3xfer-sdk-http", "sdk-ranged", "sdk-stream", "tm", "object-store", "opendal"];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["engines"] {
        println!("{}", ENGINES.join("\n"));
        return ExitCode::SUCCESS;
    }
    let Some((engine, task)) = Task::parse(&arguments).filter(|(engine, _)| ENGINES.contains(&engine.as_str())) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&engine, &task) {
        Ok(bytes) => {
            println!("{bytes}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(if error.is::<Unsupported>() { 3 } else { 1 })
        }
    }
}

fn run(engine: &str, task: &Task) -> Result<u64> {
    if engine == "ceiling" {
        return ceiling::run(task);
    }
    tokio::runtime::Runtime::new()?.block_on(async {
        match engine {
            "s3xfer" => ours::run(task, ours::Http::Own).await,
            "s3xfer-sdk-http" => ours::run(task, ours::Http::Sdk).await,
            "sdk-ranged" => sdk::ranged(task).await,
            "sdk-stream" => sdk::stream(task).await,
            "tm" => transfer_manager::run(task).await,
            "object-store" => stores::object_store(task).await,
            _ => stores::opendal(task).await,
        }
    })
}

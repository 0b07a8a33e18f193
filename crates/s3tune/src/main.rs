//! The `s3tune` command.

use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;

use s3tune::cli::Command;
use s3tune::failure::Failure;
use s3tune::show::say;
use s3tune::{cli, commands};
use tracing::Level;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("s3tune: {}", failure.line()));
            failure.exit_code()
        }
    }
}

fn run() -> Result<(), Failure> {
    let arguments = cli::parse(std::env::args_os())?;
    let copies = matches!(arguments.command, Command::Cp(_) | Command::Sync(_));
    listen(copies);
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::work("start", &error))?;
    let ended = runtime.block_on(commands::execute(arguments.command));
    if copies {
        // The program does not wait for a thread that is stuck in a write to a pipe without a reader.
        runtime.shutdown_background();
    }
    ended
}

/// Writes events to standard error, because standard output belongs to the commands: the events that RUST_LOG selects
/// or, without it, the library's warnings during copies.
fn listen(copies: bool) {
    let asked: Option<Targets> = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok());
    let layer = fmt::layer().with_ansi(stderr().is_terminal());
    if asked.is_none() && copies {
        let begun = || {
            // Without a reader of standard error a warning has no use.
            let _ = write!(stderr(), "s3tune: ");
            stderr()
        };
        let layer = layer.with_ansi(false).with_writer(begun).without_time().with_target(false);
        let warnings = Targets::new().with_target("s3xfer", Level::WARN);
        tracing_subscriber::registry().with(layer.with_filter(warnings)).init();
    } else {
        let layer = layer.with_writer(stderr).with_filter(asked.unwrap_or_default());
        tracing_subscriber::registry().with(layer).init();
    }
}

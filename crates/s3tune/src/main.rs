//! The `s3tune` command.

use std::io::IsTerminal;
use std::process::ExitCode;

use s3tune::failure::Failure;
use s3tune::show::say;
use s3tune::{cli, commands};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    // Silent unless RUST_LOG asks for more; on standard error, for standard output is the commands'.
    let asked: Targets = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok()).unwrap_or_default();
    let layer = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(layer.with_filter(asked)).init();
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
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure::work("start", &error))?;
    runtime.block_on(commands::execute(arguments.command))
}

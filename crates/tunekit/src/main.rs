//! The program `tunekit`: studies of any program, and studies for any language.

mod commands;

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use commands::{Failure, Format, Rows};

/// Parameter search for anything, from any language.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the study of a TOML file, or go on with it.
    Run {
        /// The study: see docs/STUDIES.md.
        study: PathBuf,
        /// The folder for the journal, the tables and the trials' output.
        #[arg(long)]
        out: PathBuf,
        /// How many trials run at once, in place of the study's own number.
        #[arg(long)]
        workers: Option<usize>,
    },
    /// Go on with the study in a folder.
    Resume {
        /// The folder.
        folder: PathBuf,
        /// How many trials run at once, in place of the study's own number.
        #[arg(long)]
        workers: Option<usize>,
    },
    /// Show how a study stands; it may be running.
    Status {
        /// The folder.
        folder: PathBuf,
    },
    /// Print the best configuration as a JSON line.
    Best {
        /// The folder.
        folder: PathBuf,
    },
    /// Write a study in another format to standard output.
    Export {
        /// The folder.
        folder: PathBuf,
        /// The format.
        #[arg(long)]
        format: Format,
        /// The table, for formats that hold one.
        #[arg(long, default_value = "trials")]
        table: Rows,
    },
    /// Print what the scheduler of a study is going to do.
    Plan {
        /// The study.
        study: PathBuf,
    },
    /// Answer requests, one JSON line each, until stdin ends.
    Serve {
        /// Keep the study in this file, and go on with the one in it.
        #[arg(long)]
        journal: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    listen();
    match execute(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tunekit: {}", failure.line());
            failure.exit_code()
        }
    }
}

fn execute(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run { study, out, workers } => commands::run(&study, out, workers),
        Command::Resume { folder, workers } => commands::resume(folder, workers),
        Command::Status { folder } => commands::status(folder),
        Command::Best { folder } => commands::best(folder),
        Command::Export { folder, format, table } => commands::export(folder, format, table),
        Command::Plan { study } => commands::plan(&study),
        Command::Serve { journal } => commands::serve(journal),
    }
}

/// Events that RUST_LOG asks for go to standard error, for standard output is the commands'.
fn listen() {
    let asked: Option<Targets> = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok());
    let layer = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(layer.with_filter(asked.unwrap_or_default())).init();
}

//! The program `tunekit`: studies of any program, and studies for any language.

mod commands;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use commands::{Failure, Format, Kind, Rows, Work};

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
        /// Number of trials that run at once, in place of the study's own number.
        #[arg(long)]
        workers: Option<usize>,
        /// The starter of the programs, in place of the one that the study names.
        #[arg(long)]
        backend: Option<Kind>,
    },
    /// Go on with the study in a folder.
    Resume {
        /// The folder.
        folder: PathBuf,
        /// Number of trials that run at once, in place of the study's own number.
        #[arg(long)]
        workers: Option<usize>,
        /// The starter of the programs, in place of the one that the study names.
        #[arg(long)]
        backend: Option<Kind>,
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
    /// Write report.html and the tables into a study's folder; it may be running.
    Report {
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
    /// Compare the results of several studies of one problem.
    Compare {
        /// Their folders.
        #[arg(required = true)]
        folders: Vec<PathBuf>,
    },
    /// Print the plan of a study's scheduler.
    Plan {
        /// The study.
        study: PathBuf,
    },
    /// Read a study's journal anew.
    Replay {
        /// The folder.
        folder: PathBuf,
        /// Derive every decision once more, and say where one comes out differently.
        #[arg(long)]
        verify: bool,
    },
    /// Answer requests, one JSON line each, until stdin ends.
    Serve {
        /// Keep the study in this file, and go on with the one in it.
        #[arg(long)]
        journal: Option<PathBuf>,
        /// Answer clients that connect to this address, such as 127.0.0.1:7000, in place of stdin.
        #[arg(long, requires = "token_file")]
        listen: Option<SocketAddr>,
        /// The file with the token that clients show; made where there is none.
        #[arg(long, requires = "listen")]
        token_file: Option<PathBuf>,
        /// Serve the study of this TOML file, whose trials `tunekit worker` runs.
        #[arg(long, requires = "listen", requires = "out", conflicts_with = "journal")]
        study: Option<PathBuf>,
        /// The folder for that study.
        #[arg(long, requires = "study")]
        out: Option<PathBuf>,
    },
    /// Run trials of a study that `tunekit serve --study` serves.
    Worker {
        /// The same study.
        study: PathBuf,
        /// Address of the server.
        #[arg(long)]
        connect: SocketAddr,
        /// The file with the server's token.
        #[arg(long)]
        token_file: PathBuf,
        /// The folder for the trials' output.
        #[arg(long)]
        out: PathBuf,
        /// Number of trials that run at once, in place of the study's own number.
        #[arg(long)]
        workers: Option<usize>,
        /// Run one trial in each place, and go.
        #[arg(long)]
        once: bool,
        /// Other workers have the same folder: leave programs that run there alone.
        #[arg(long)]
        shared: bool,
        /// End after so many seconds.
        #[arg(long)]
        max_seconds: Option<u64>,
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
        Command::Run { study, out, workers, backend } => commands::run(&study, out, workers, backend),
        Command::Resume { folder, workers, backend } => commands::resume(folder, workers, backend),
        Command::Status { folder } => commands::status(folder),
        Command::Best { folder } => commands::best(folder),
        Command::Report { folder } => commands::report(folder),
        Command::Export { folder, format, table } => commands::export(folder, format, table),
        Command::Compare { folders } => commands::compare(folders),
        Command::Plan { study } => commands::plan(&study),
        Command::Replay { folder, verify } => commands::replay(folder, verify),
        Command::Serve { journal, listen: Some(address), token_file: Some(token), study, out } => {
            commands::listen(address, &token, journal, study.zip(out))
        }
        Command::Serve { journal, .. } => commands::serve(journal),
        Command::Worker { study, connect, token_file, out, workers, once, shared, max_seconds } => {
            commands::worker(&study, connect, &token_file, &out, Work { workers, once, shared, max_seconds })
        }
    }
}

/// Events that RUST_LOG asks for go to standard error, for standard output is the commands'.
fn listen() {
    let asked: Option<Targets> = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok());
    let layer = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(layer.with_filter(asked.unwrap_or_default())).init();
}

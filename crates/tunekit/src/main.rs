//! The program `tunekit`: studies of any program, and studies for any language.

mod commands;

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgGroup, Parser, Subcommand};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;
use tunekit::program::StudyFile;

use commands::{Failure, Format, Kind, Places, Rows, Work};

/// Parameter search for anything, from any language.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the study of a TOML file, or continue it.
    Run {
        /// The study: see docs/STUDIES.md.
        study: PathBuf,
        /// The folder for the journal, the tables and the trials' output.
        #[arg(long)]
        out: PathBuf,
        /// Number of trials that run at once, instead of the study's own number.
        #[arg(long, value_parser = workers)]
        workers: Option<usize>,
        /// The starter of the programs, instead of the starter in the study.
        #[arg(long)]
        backend: Option<Kind>,
    },
    /// Continue the study in a folder.
    Resume {
        /// The folder.
        folder: PathBuf,
        /// Number of trials that run at once, instead of the study's own number.
        #[arg(long, value_parser = workers)]
        workers: Option<usize>,
        /// The starter of the programs, instead of the starter in the study.
        #[arg(long)]
        backend: Option<Kind>,
    },
    /// Show the state of a study, which may be running.
    Status {
        /// The folder.
        folder: PathBuf,
    },
    /// Print the best configuration as a JSON line.
    Best {
        /// The folder.
        folder: PathBuf,
    },
    /// Write report.html and the tables into the folder of a study, which may be running.
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
    /// Read a study's journal again.
    Replay {
        /// The folder.
        folder: PathBuf,
        /// Derive every decision again, and report the first that differs.
        #[arg(long)]
        verify: bool,
    },
    /// Answer requests, one JSON line each, until stdin ends.
    #[command(group(ArgGroup::new("places").args(["listen", "folder"]).multiple(true)))]
    Serve {
        /// Keep the study in this file, and continue the study in it.
        #[arg(long)]
        journal: Option<PathBuf>,
        /// Answer clients that connect to this address, such as 127.0.0.1:7000, in place of stdin.
        #[arg(long, requires = "token_file")]
        listen: Option<SocketAddr>,
        /// The file with the token that clients send; created if it does not exist.
        #[arg(long, requires = "listen")]
        token_file: Option<PathBuf>,
        /// Answer clients through this folder, which they see too; created if it does not exist.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// Serve the study of this TOML file, whose trials `tunekit worker` runs.
        #[arg(long, requires = "places", requires = "out", conflicts_with = "journal")]
        study: Option<PathBuf>,
        /// The folder for that study.
        #[arg(long, requires = "study")]
        out: Option<PathBuf>,
    },
    /// Run trials of a study that `tunekit serve --study` serves.
    #[command(group(ArgGroup::new("place").args(["connect", "folder"]).required(true)))]
    Worker {
        /// The same study.
        study: PathBuf,
        /// Address of the server.
        #[arg(long, requires = "token_file")]
        connect: Option<SocketAddr>,
        /// The file with the server's token.
        #[arg(long, requires = "connect", conflicts_with = "folder")]
        token_file: Option<PathBuf>,
        /// The server's folder, in place of its address.
        #[arg(long)]
        folder: Option<PathBuf>,
        /// The folder for the trials' output.
        #[arg(long)]
        out: PathBuf,
        /// Number of trials that run at once, instead of the study's own number.
        #[arg(long, value_parser = workers)]
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
    listen();
    match parse().and_then(|arguments| execute(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("tunekit: {}", failure.line());
            failure.exit_code()
        }
    }
}

/// The process's arguments. For help and version, clap prints the text and ends the process.
fn parse() -> Result<Arguments, Failure> {
    Arguments::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            error.exit()
        }
        _ => Failure::Usage(one_line(&error)),
    })
}

/// clap's first line has the mistake; its context has the way to mend it.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let what = text.split("\n\n").next().unwrap_or(&text).trim_start_matches("error: ");
    let mut line = what.split_whitespace().collect::<Vec<_>>().join(" ");
    let suggested = [ContextKind::SuggestedArg, ContextKind::SuggestedValue, ContextKind::SuggestedSubcommand]
        .into_iter()
        .find_map(|kind| match error.get(kind) {
            Some(ContextValue::String(name)) => Some(name.clone()),
            Some(ContextValue::Strings(names)) => names.first().cloned(),
            _ => None,
        });
    if let Some(suggested) = suggested {
        line.push_str(&format!("; did you mean {suggested}?"));
    }
    line + " (--help lists them all)"
}

/// A number of workers.
fn workers(text: &str) -> Result<usize, String> {
    let most = StudyFile::MOST_WORKERS;
    let number = text.parse().ok().filter(|number| (1..=most).contains(number));
    number.ok_or_else(|| format!("use at least 1 and at most {most}"))
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
        Command::Serve { journal, listen: None, folder: None, .. } => commands::serve(journal),
        Command::Serve { journal, listen, token_file, folder, study, out } => {
            commands::listen(Places { listen: listen.zip(token_file), folder }, journal, study.zip(out))
        }
        Command::Worker { study, connect, token_file, folder, out, workers, once, shared, max_seconds } => {
            let connect = connect.zip(token_file);
            commands::worker(&study, &out, Work { connect, folder, workers, once, shared, max_seconds })
        }
    }
}

/// Events selected by RUST_LOG go to standard error, because standard output belongs to the commands.
fn listen() {
    let asked: Option<Targets> = std::env::var("RUST_LOG").ok().and_then(|filter| filter.parse().ok());
    let layer = fmt::layer().with_ansi(std::io::stderr().is_terminal()).with_writer(std::io::stderr);
    tracing_subscriber::registry().with(layer.with_filter(asked.unwrap_or_default())).init();
}

//! Measures uploads, folders, listings and syncs of s3tune beside other programs, against the embedded S3.
//! `cargo xtask bench transfer` runs it and files the tables. Each section is printed as Markdown on standard output,
//! progress on standard error.
//!
//! Every run is a process of its own, with a stopwatch process around it (`stopwatch`); programs take turns, and their
//! results are compared with the expected ones after the clock has stopped. The server runs in this process, so its
//! work is in none of the figures, but it shares the processors.

mod loads;
mod place;
mod programs;
mod race;
mod stopwatch;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures uploads, folders, listings and syncs of s3tune beside other programs
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder for the files
    #[arg(long, global = true, default_value = "/dev/shm")]
    folder: PathBuf,
    /// Runs of each program
    #[arg(long, global = true, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// A tenth of the bytes, files and keys
    #[arg(long, global = true)]
    quick: bool,
    /// Programs; those that are not installed are named below the table
    #[arg(long, global = true, value_delimiter = ',', default_value = "s3tune,s5cmd,rclone,boto3,aws-cli")]
    programs: Vec<String>,
    /// Cargo says so
    #[arg(long, global = true, hide = true)]
    bench: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// One section
    Section { name: Section },
    /// A process and its costs, as JSON
    #[command(hide = true)]
    Stopwatch {
        seconds: u64,
        log: PathBuf,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Lists a prefix with s3xfer
    #[command(hide = true)]
    List { endpoint: String, prefix: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Section {
    Upload,
    UploadShaped,
    FilesUp,
    FilesDown,
    Listing,
    FirstObject,
    Sync,
}

fn main() -> ExitCode {
    let Arguments { folder, rounds, quick, programs, what, .. } = Arguments::parse();
    let done = match what {
        What::Section { name } => loads::run(name, &loads::Size { rounds, quick }, &programs, &folder),
        What::Stopwatch { seconds, log, command } => stopwatch::run(seconds, &log, &command),
        What::List { endpoint, prefix } => programs::list(&endpoint, &prefix),
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

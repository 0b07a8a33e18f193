//! Measures the recommendations of s3tune. `cargo xtask bench answer` runs it and files the tables. Each section is
//! printed as Markdown on standard output, progress on standard error.

mod arena;
mod clients;
mod compat;
mod figures;
mod flat;
mod grid;
mod networks;
mod profiles;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use arena::Clock;
use profiles::Profiles;

/// Measures the recommendations of s3tune
#[derive(Debug, Parser)]
struct Arguments {
    /// Folder of the downloaded files
    #[arg(long, global = true, default_value = "/dev/shm")]
    folder: PathBuf,
    /// Cargo says so
    #[arg(long, global = true, hide = true)]
    bench: bool,
    #[command(subcommand)]
    section: Section,
}

#[derive(Debug, Subcommand)]
enum Section {
    /// Recommendations against an exhaustive grid on twelve networks
    Profiles {
        /// In virtual time
        #[arg(long)]
        simulated: bool,
        /// Search methods
        #[arg(long, value_delimiter = ',', default_value = "auto")]
        methods: Vec<String>,
        /// Studies of each network and method
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        seeds: u64,
        /// Seconds of a study's search
        #[arg(long, default_value_t = 40.0)]
        seconds: f64,
        /// Names of networks
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Recommendations where nothing is to be gained, in virtual time
    Flat {
        #[arg(long, default_value_t = 100)]
        seeds: u64,
        #[arg(long, default_value_t = 40.0)]
        seconds: f64,
        #[arg(long, default_value = "auto")]
        method: String,
    },
    /// Configurations a minute in the AWS sample's space
    Compat {
        #[arg(long, default_value_t = 5)]
        seeds: u64,
        #[arg(long, default_value_t = 40.0)]
        seconds: f64,
    },
    /// Other programs: tuned, exported, and felt again without s3tune
    Clients {
        /// Engines to tune; those that are not installed are named in the table
        #[arg(long, value_delimiter = ',', default_value = "boto3,aws-cli,s5cmd,rclone")]
        engines: Vec<String>,
        #[arg(long, default_value_t = 45.0)]
        seconds: f64,
        /// Pairs of downloads, default and exported, after the search
        #[arg(long, default_value_t = 7)]
        pairs: usize,
    },
}

fn main() -> ExitCode {
    let Arguments { folder, section, .. } = Arguments::parse();
    let table = match section {
        Section::Profiles { simulated, methods, seeds, seconds, only } => {
            let clock = if simulated { Clock::Virtual } else { Clock::Real };
            Profiles { clock, methods, seeds, seconds, only }.run(&folder)
        }
        Section::Flat { seeds, seconds, method } => flat::run(Clock::Virtual, &method, seeds, seconds, &folder),
        Section::Compat { seeds, seconds } => compat::run(seeds, seconds, &folder),
        Section::Clients { engines, seconds, pairs } => clients::run(&engines, seconds, pairs, &folder),
    };
    match table {
        Ok(table) => {
            println!("{table}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

//! The program `tunekit`: `tunekit serve` lets any language search, over JSON lines on stdin and stdout.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use tunekit::serve::Server;

/// Parameter search for anything, from any language.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answer requests, one JSON line each, until stdin ends.
    Serve {
        /// Keep the study in this file, and go on with the one in it.
        #[arg(long)]
        journal: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let Command::Serve { journal } = Arguments::parse().command;
    let server = journal.map_or_else(|| Ok(Server::new()), Server::with_journal);
    let mut server = match server {
        Ok(server) => server,
        Err(error) => {
            eprintln!("tunekit: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(warning) = server.warning() {
        eprintln!("tunekit: warning: {warning}");
    }
    match serve(&mut server) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tunekit: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(server: &mut Server) -> Result<(), Box<dyn std::error::Error>> {
    let started = Instant::now();
    let (mut input, mut output) = (io::stdin().lock(), io::stdout().lock());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line)? > 0 {
        let answer = server.answer_bytes(&line, started.elapsed())?;
        // A client that has gone away is the session's end, not an error of ours.
        match writeln!(output, "{answer}").and_then(|()| output.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
        line.clear();
    }
    Ok(())
}

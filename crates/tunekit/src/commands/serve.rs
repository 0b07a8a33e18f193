//! `tunekit serve`: a study for any language.

use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;
use std::time::Instant;

use tunekit::serve::Server;

use super::Failure;

/// Answers requests on standard input until that ends.
pub(crate) fn serve(journal: Option<PathBuf>) -> Result<(), Failure> {
    let server = journal.map_or_else(|| Ok(Server::new()), Server::with_journal);
    let mut server = server.map_err(|error| Failure::usage(&error))?;
    if let Some(warning) = server.warning() {
        eprintln!("tunekit: warning: {warning}");
    }
    answer(&mut server).map_err(|error| Failure::work(&*error))
}

fn answer(server: &mut Server) -> Result<(), Box<dyn std::error::Error>> {
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

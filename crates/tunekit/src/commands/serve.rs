//! `tunekit serve` and `tunekit worker`: a study for any language, and for workers elsewhere.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tunekit::Experiment;
use tunekit::program::{StudyFile, StudyFolder, write_tables};
use tunekit::serve::{Listener, Server, Token, WorkerOptions, work};
use tunekit::tuner::StopHandle;

use super::run::heed_signals;
use super::{Failure, print, write_report};

/// Answers requests on standard input until that ends.
pub(crate) fn serve(journal: Option<PathBuf>) -> Result<(), Failure> {
    let mut server = opened(journal)?;
    answer(&mut server).map_err(|error| Failure::work(&*error))
}

/// Answers requests of clients that connect, until the study is over or a signal ends it.
pub(crate) fn listen(
    address: SocketAddr,
    token: &Path,
    journal: Option<PathBuf>,
    study: Option<(PathBuf, PathBuf)>,
) -> Result<(), Failure> {
    let token = read_token(token, true)?;
    let mut held = None;
    let server = match study {
        None => opened(journal)?,
        Some((study, out)) => {
            let file = StudyFile::read(study).map_err(|error| Failure::usage(&error))?;
            let folder = StudyFolder::new(out);
            let lock = folder.prepare(&file)?;
            let server = opened(Some(folder.journal()))?;
            held = Some((folder, lock));
            server.with_study(file.setup, file.stop.max_trials).map_err(Failure::Usage)?
        }
    };
    let stop = StopHandle::new();
    runtime()?.block_on(async {
        heed_signals(&stop).map_err(|error| Failure::work(&error))?;
        let bound = Listener::bind(address, server, token).await;
        let listener = bound.map_err(|error| Failure::Usage(format!("cannot listen at {address}: {error}")))?;
        let address = listener.address().map_err(|error| Failure::work(&error))?;
        print(format!("{{\"listen\":\"{address}\"}}\n").as_bytes())?;
        listener.serve(stop.clone()).await.map_err(|error| Failure::work(&error))
    })?;
    if let Some((folder, _lock)) = &held {
        let study = folder.study()?;
        write_tables(&Experiment::of(&study), folder.path()).map_err(|error| Failure::work(&error))?;
        write_report(folder)?;
    }
    Ok(())
}

/// The settings of a worker.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) workers: Option<usize>,
    pub(crate) once: bool,
    pub(crate) shared: bool,
    pub(crate) max_seconds: Option<u64>,
}

/// Runs trials of a study that is served elsewhere.
pub(crate) fn worker(study: &Path, address: SocketAddr, token: &Path, out: &Path, how: Work) -> Result<(), Failure> {
    let mut file = StudyFile::read(study).map_err(|error| Failure::usage(&error))?;
    file.workers = how.workers.unwrap_or(file.workers);
    let mut options = WorkerOptions::default();
    (options.once, options.shares_folder) = (how.once, how.shared);
    options.job = std::env::var("SLURM_JOB_ID").ok();
    let token = read_token(token, false)?;
    let stop = StopHandle::new();
    let told = runtime()?.block_on(async {
        heed_signals(&stop).map_err(|error| Failure::work(&error))?;
        if let Some(seconds) = how.max_seconds {
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                stop.stop();
            });
        }
        work(address, &token, &file, out, &options, &stop).await.map_err(|error| Failure::work(&error))
    })?;
    if stop.is_stopped() {
        return Err(Failure::Work("interrupted; the trials that ran are given to other workers".to_owned()));
    }
    eprintln!("{told} runs told; the study is over");
    Ok(())
}

fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| Failure::work(&error))
}

fn opened(journal: Option<PathBuf>) -> Result<Server, Failure> {
    let server = journal.map_or_else(|| Ok(Server::new()), Server::with_journal);
    let server = server.map_err(|error| Failure::usage(&error))?;
    if let Some(warning) = server.warning() {
        eprintln!("tunekit: warning: {warning}");
    }
    Ok(server)
}

fn read_token(path: &Path, make: bool) -> Result<Token, Failure> {
    let token = if make { Token::read_or_make(path) } else { Token::read(path) };
    token.map_err(|error| Failure::Usage(format!("token file {}: {error}", path.display())))
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

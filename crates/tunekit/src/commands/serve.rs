//! `tunekit serve` and `tunekit worker`: a study for any language, and for workers elsewhere.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tunekit::Experiment;
use tunekit::journal::{JournalError, OpenError};
use tunekit::program::{StudyFile, StudyFolder, write_tables};
use tunekit::serve::{Listener, Server, ServerAddress, Token, WorkerError, WorkerOptions, work};
use tunekit::tuner::{StopHandle, StopRule};

use super::run::heed_signals;
use super::{Failure, print, write_report};

/// Operations of the file system that run at the end have so long.
const TO_END: Duration = Duration::from_secs(10);

/// Answers requests on standard input until that ends.
pub(crate) fn serve(journal: Option<PathBuf>) -> Result<(), Failure> {
    let mut server = opened(journal)?;
    answer(&mut server).map_err(|error| Failure::work(&*error))
}

/// The places where a server takes connections: an address with the file of its token, a folder, or both.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) listen: Option<(SocketAddr, PathBuf)>,
    pub(crate) folder: Option<PathBuf>,
}

/// Answers requests of clients that connect, until the study is over or a signal ends it.
pub(crate) fn listen(
    places: Places,
    journal: Option<PathBuf>,
    study: Option<(PathBuf, PathBuf)>,
) -> Result<(), Failure> {
    let study = match study {
        None => None,
        Some((study, out)) => {
            let file = StudyFile::read(&study).map_err(|error| Failure::usage(&error))?;
            heed_limits(&study, &file.stop)?;
            Some((file, StudyFolder::new(out)))
        }
    };
    let tcp = match places.listen {
        None => None,
        Some((address, token)) => Some((address, read_token(&token, true)?)),
    };
    let mut held = None;
    let server = match study {
        None => opened(journal)?,
        Some((file, folder)) => {
            let lock = folder.prepare(&file)?;
            let server = opened(Some(folder.journal()))?;
            held = Some((folder, lock));
            server.with_study(file.setup, file.stop.max_trials).map_err(Failure::Usage)?
        }
    };
    let stop = StopHandle::new();
    run(async {
        heed_signals(&stop).map_err(|error| Failure::work(&error))?;
        let folder = places.folder.as_deref();
        let listener = match (tcp, folder) {
            (Some((address, token)), folder) => {
                let bound = Listener::bind(address, server, token).await;
                let bound = bound.map_err(|error| Failure::Usage(format!("cannot listen at {address}: {error}")))?;
                match folder {
                    Some(folder) => bound.with_folder(folder),
                    None => Ok(bound),
                }
            }
            (None, Some(folder)) => Listener::in_folder(folder, server),
            (None, None) => return Err(Failure::Usage("name --listen or --folder".to_owned())),
        };
        let listener = listener.map_err(|error| Failure::usage(&error))?;
        let address = listener.address().map_err(|error| Failure::work(&error))?;
        let mut places = serde_json::Map::new();
        places.extend(address.map(|address| ("listen".to_owned(), address.to_string().into())));
        places.extend(folder.map(|folder| ("folder".to_owned(), folder.to_string_lossy().into())));
        print(format!("{}\n", serde_json::Value::Object(places)).as_bytes())?;
        listener.serve(stop.clone()).await.map_err(|error| Failure::work(&error))
    })?;
    if let Some((folder, _lock)) = &held {
        let study = folder.study()?;
        write_tables(&Experiment::of(&study), folder.path()).map_err(|error| Failure::work(&error))?;
        write_report(folder)?;
        // A server without a study of its own ends in no other way.
        if stop.is_stopped() {
            let error = "interrupted; the measurements are kept, and the same command continues the study";
            return Err(Failure::Work(error.to_owned()));
        }
    }
    Ok(())
}

/// Refuses a study that a server would never end, and names the limits that the server ignores.
fn heed_limits(study: &Path, rule: &StopRule) -> Result<(), Failure> {
    let study = study.display();
    if rule.max_trials.is_none() {
        let error = format!("study file {study}: a served study ends by max_trials in [stop] alone; set it");
        return Err(Failure::Usage(error));
    }
    for (name, is_set) in [
        ("max_wall_time_s", rule.max_wall_time.is_some()),
        ("max_measurements", rule.max_measurements.is_some()),
        ("max_cost", rule.max_cost.is_some()),
        ("target", rule.target.is_some()),
        ("plateau", rule.plateau.is_some()),
        ("noise_floor", rule.noise_floor.is_some()),
        ("all", !rule.all.is_empty()),
    ] {
        if is_set {
            eprintln!("tunekit: warning: study file {study}: {name} in [stop] does not end a served study");
        }
    }
    Ok(())
}

/// The settings of a worker.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) connect: Option<(SocketAddr, PathBuf)>,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) workers: Option<usize>,
    pub(crate) once: bool,
    pub(crate) shared: bool,
    pub(crate) max_seconds: Option<u64>,
}

/// Runs trials of a study that is served elsewhere.
pub(crate) fn worker(study: &Path, out: &Path, how: Work) -> Result<(), Failure> {
    let mut file = StudyFile::read(study).map_err(|error| Failure::usage(&error))?;
    file.workers = how.workers.unwrap_or(file.workers);
    let mut options = WorkerOptions::default();
    (options.once, options.shares_folder) = (how.once, how.shared);
    options.job = std::env::var("SLURM_JOB_ID").ok();
    let server = match (how.connect, how.folder) {
        (Some((address, token)), _) => ServerAddress::Tcp { address, token: read_token(&token, false)? },
        (None, Some(folder)) => ServerAddress::Folder(folder),
        (None, None) => return Err(Failure::Usage("name --connect or --folder".to_owned())),
    };
    let stop = StopHandle::new();
    let told = run(async {
        heed_signals(&stop).map_err(|error| Failure::work(&error))?;
        if let Some(seconds) = how.max_seconds {
            let stop = stop.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                stop.stop();
            });
        }
        work(&server, &file, out, &options, &stop).await.map_err(|error| match &error {
            WorkerError::Folder(_) => Failure::usage(&error),
            _ => Failure::work(&error),
        })
    })?;
    if stop.is_stopped() {
        return Err(Failure::Work("interrupted; the trials that ran are given to other workers".to_owned()));
    }
    eprintln!("{told} runs were told; the study is over");
    Ok(())
}

/// Runs the work. A file system that hangs does not hold up the end.
fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::work(&error))?;
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(TO_END);
    done
}

fn opened(journal: Option<PathBuf>) -> Result<Server, Failure> {
    let server = journal.map_or_else(|| Ok(Server::new()), Server::with_journal);
    let server = server.map_err(|error| match &error {
        OpenError::Journal(JournalError::Io { .. }) => Failure::work(&error),
        _ => Failure::usage(&error),
    })?;
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

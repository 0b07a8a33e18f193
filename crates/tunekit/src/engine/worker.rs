//! A worker: takes trials from a study that is served elsewhere ([`Listener`](super::listen::Listener)), over TCP or
//! through a shared folder, and runs the program for them.
//!
//! Each of its places has a connection of its own. When that is lost the program is ended, because the trial is given
//! to another worker, and the place connects again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::line::{Carriers, Line};
use super::program::{ProgramBackend, ProgramError};
use super::stop::StopHandle;
use super::study_file::StudyFile;
use super::token::Token;
use super::trial_run::{Before, Message, TrialRun};
use crate::doors::shared::{self, SharedFolderError};
use crate::rules::stream::Stream;
use crate::rules::study::SetupError;
use crate::rules::study::TellError;
use crate::words::event::{Event, Header};
use crate::words::trial::{Assignment, Checkpoint, Decision, Outcome, TrialId};
use crate::words::value::Config;

/// A worker says so often that it is there.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A server answers that at once. A worker without the answer is cut off, and the server gives its trial to another one
/// after the same time.
const TO_ANSWER_BEAT: Duration = Duration::from_secs(3 * HEARTBEAT.as_secs());
/// A server answers the greeting within this time.
const TO_GREET: Duration = Duration::from_secs(10);
/// A server answers within this time: a searcher may think for long.
const TO_ANSWER: Duration = Duration::from_secs(600);
/// A worker tries so long to reach a server that it has lost, or not found yet.
const TO_CONNECT: Duration = Duration::from_secs(60);
/// The longest line of a server that is taken from a folder: its study's header may hold earlier results.
const LONGEST_ANSWER: u64 = 1 << 28;
/// Why a server that is silent counts as lost.
const SILENT: &str = "it does not answer";
/// The time between two tries, and between two questions where there is nothing to do.
const PAUSE: Duration = Duration::from_millis(200);

/// The way to a server.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ServerAddress {
    /// Over TCP.
    Tcp {
        /// Its address.
        address: SocketAddr,
        /// The token that it asks for.
        token: Token,
    },
    /// Through a folder that the server sees, too, and that is the worker's owner's alone.
    Folder(PathBuf),
}

impl std::fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { address, .. } => write!(f, "{address}"),
            Self::Folder(path) => write!(f, "in folder {}", path.display()),
        }
    }
}

/// Why a worker ended before the study did.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// The server cannot be reached.
    #[error("server {server} cannot be reached: {reason}; start `tunekit serve` there, or name another")]
    Unreachable {
        /// The server.
        server: String,
        /// Why not.
        reason: String,
    },
    /// The server refuses the token, or a request.
    #[error("server {server} refuses: {reason}")]
    Refused {
        /// The server.
        server: String,
        /// The server's reason.
        reason: String,
    },
    /// The server's study is another one than the worker's.
    #[error("server {server} has another study: {difference}; give both the same study file")]
    OtherStudy {
        /// The server.
        server: String,
        /// The first part that differs.
        difference: String,
    },
    /// The folder is not the owner's alone.
    #[error(transparent)]
    Folder(SharedFolderError),
    /// The setup cannot be worked with.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The program cannot be run.
    #[error(transparent)]
    Program(#[from] ProgramError),
}

/// The duties of a worker besides running trials until the study is over.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerOptions {
    /// Whether each place runs one trial and goes.
    pub once: bool,
    /// Whether other workers have the same folder: then programs that run there may be theirs, and are left alone.
    pub shares_folder: bool,
    /// The job of the machine's queue that it runs in, which it tells the server.
    pub job: Option<String>,
}

/// Takes trials of the study from a server and runs them in `file.workers` places, with their folders in
/// `folder`, until the study is over or the handle says so. The number of trials it told.
///
/// # Errors
/// The server cannot be reached for a minute, refuses the token, or has another study; or others may use its folder.
pub async fn work(
    server: &ServerAddress,
    file: &StudyFile,
    folder: &Path,
    options: &WorkerOptions,
    stop: &StopHandle,
) -> Result<u64, WorkerError> {
    if let ServerAddress::Folder(path) = server
        && let Err(error @ SharedFolderError::Public { .. }) = shared::check(path)
    {
        return Err(WorkerError::Folder(error));
    }
    let header = file.setup.header()?;
    let make = if options.shares_folder { ProgramBackend::sharing } else { ProgramBackend::new };
    let backend = make(file.program.clone(), &header, folder, file.workers)?;
    let carriers = Carriers::default();
    let place = Place { server, carriers: &carriers, header: &header, backend: &backend, options };
    let places = futures::future::try_join_all((0..file.workers).map(|_| place.work()));
    let told = tokio::select! {
        biased;
        () = stop.stopped() => Ok(Vec::new()),
        told = places => told,
    };
    backend.settle().await;
    carriers.settle().await;
    Ok(told?.into_iter().sum())
}

/// One of a worker's places.
struct Place<'a> {
    server: &'a ServerAddress,
    carriers: &'a Carriers,
    header: &'a Header,
    backend: &'a ProgramBackend,
    options: &'a WorkerOptions,
}

/// The end of a connection.
enum Ended {
    /// The study is over.
    Over,
    /// The connection is lost.
    Lost(String),
}

/// The answer to `ask`.
#[derive(Deserialize)]
struct Asked {
    trial: TrialId,
    config: Config,
    resource: Option<u64>,
    resumed: bool,
    from: Option<Checkpoint>,
    after: Option<u64>,
    attempt: Option<u32>,
    /// The cost of the trial before.
    spent: Option<f64>,
    /// The folder of its checkpoint, where the server shares one.
    checkpoint: Option<PathBuf>,
}

impl Place<'_> {
    async fn work(&self) -> Result<u64, WorkerError> {
        let mut told = 0;
        let mut since = Instant::now();
        loop {
            let mut is_connected = false;
            match self.session(&mut told, &mut is_connected).await? {
                Ended::Over => return Ok(told),
                // Its trial has been given to another worker.
                Ended::Lost(_) if is_connected && self.options.once => return Ok(told),
                Ended::Lost(reason) => {
                    if is_connected {
                        since = Instant::now();
                    }
                    if since.elapsed() >= TO_CONNECT {
                        return Err(WorkerError::Unreachable { server: self.server.to_string(), reason });
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// A connection that has greeted, and the answer to that.
    async fn connect(&self, probe: bool) -> Result<(Line, Json), String> {
        let connecting = async {
            match self.server {
                ServerAddress::Tcp { address, .. } => TcpStream::connect(address).await.map(Line::tcp),
                ServerAddress::Folder(path) => self.carriers.connect(path, LONGEST_ANSWER).await,
            }
        };
        let connected = timeout(TO_GREET, connecting).await.map_err(|_| SILENT.to_owned())?;
        let mut line = connected.map_err(|error| error.to_string())?;
        let token = match self.server {
            ServerAddress::Tcp { token, .. } => Some(token.text()),
            ServerAddress::Folder(_) => None,
        };
        let job = self.options.job.as_ref().filter(|_| !probe);
        let beat = HEARTBEAT.as_secs_f64();
        let auth = json!({ "op": "auth", "token": token, "heartbeat_s": beat, "job": job, "probe": probe });
        let answer = line.ask_within(TO_GREET, &auth).await?;
        Ok((line, answer))
    }

    /// One connection.
    async fn session(&self, told: &mut u64, is_connected: &mut bool) -> Result<Ended, WorkerError> {
        let (mut line, greeted) = match self.connect(false).await {
            Ok(connected) => connected,
            Err(reason) => return Ok(Ended::Lost(reason)),
        };
        self.heed_refusal(&greeted)?;
        let answer = match line.ask(&json!({ "op": "header" })).await {
            Ok(answer) => answer,
            Err(reason) => return Ok(Ended::Lost(reason)),
        };
        self.heed_refusal(&answer)?;
        let theirs = match serde_json::from_value(answer) {
            Ok(Event::Header(theirs)) => *theirs,
            _ => return Ok(Ended::Lost("its answer does not read".to_owned())),
        };
        if let Some(difference) = theirs.difference(self.header) {
            let difference = difference.to_string();
            return Err(WorkerError::OtherStudy { server: self.server.to_string(), difference });
        }
        *is_connected = true;
        loop {
            let answer = match line.ask(&json!({ "op": "ask" })).await {
                Ok(answer) => answer,
                Err(reason) => return Ok(Ended::Lost(reason)),
            };
            if answer["done"] == true {
                return Ok(Ended::Over);
            }
            self.heed_refusal(&answer)?;
            if answer["wait"] == true {
                let pause = answer["pause_s"].as_f64().and_then(|pause| Duration::try_from_secs_f64(pause).ok());
                tokio::time::sleep(pause.unwrap_or(PAUSE).min(TO_CONNECT)).await;
                continue;
            }
            let asked: Asked = match serde_json::from_value(answer) {
                Ok(asked) => asked,
                Err(error) => return Ok(Ended::Lost(format!("its answer does not read: {error}"))),
            };
            match self.trial(&mut line, asked).await {
                Ok(()) => {
                    *told += 1;
                    if self.options.once {
                        return Ok(Ended::Over);
                    }
                }
                Err(reason) => return Ok(Ended::Lost(reason)),
            }
        }
    }

    fn heed_refusal(&self, answer: &Json) -> Result<(), WorkerError> {
        let refused =
            |reason: &str| WorkerError::Refused { server: self.server.to_string(), reason: reason.to_owned() };
        answer["error"].as_str().map_or(Ok(()), |reason| Err(refused(reason)))
    }

    /// Runs a trial, passes its reports on, and tells how it ended. Dropped, it ends the program.
    async fn trial(&self, line: &mut Line, asked: Asked) -> Result<(), String> {
        let Asked { trial, config, resource, resumed, from, after, attempt, spent, checkpoint } = asked;
        let config = self.header.space.conform(&config).map_err(|error| error.to_string())?;
        let last_step = after.or(from.map(|from| from.resource)).unwrap_or(0);
        let job = Assignment { trial, config, resource, resumed, from, after, attempt: attempt.unwrap_or(1) };
        let seed = Stream::keyed(self.header.seed, trial, "trial").bits();
        let (sender, mut reports) = mpsc::unbounded_channel::<Message>();
        let before = Before { last_step, spent: spent.unwrap_or(0.0), ..Before::default() };
        let mut run = std::pin::pin!(self.backend.run(TrialRun::new(job, 0, seed, before, checkpoint, sender)));
        let mut beat = tokio::time::interval(HEARTBEAT);
        let mut is_paused = false;
        // The server's reason for refusing a report.
        let mut refused = None;
        let outcome = loop {
            tokio::select! {
                biased;
                Some(message) = reports.recv() => {
                    let Message { step, measured, answer, .. } = message;
                    // A number that is not finite fails the trial, whichever it is; JSON has no other way to say so.
                    let value = Some(measured.value).filter(|_| measured.not_finite().is_none());
                    let mut request =
                        json!({ "op": "report", "trial": trial, "resource": step, "value": value, "cost": measured.cost });
                    for (name, values) in [("more", measured.more), ("constraints", measured.constraints)] {
                        if value.is_some() && !values.is_empty() {
                            request[name] = json!(values);
                        }
                    }
                    let said = self.ask_and_look(line, &request).await?;
                    let decision: Result<Decision, _> = serde_json::from_value(said["decision"].clone());
                    is_paused = is_paused || matches!(decision, Ok(Decision::Pause));
                    if let Some(reason) = said["error"].as_str() {
                        refused = Some(format!("its report is refused: {reason}"));
                    }
                    let not_running = TellError::NotRunning { trial, status: "refused" };
                    let _ = answer.send(decision.map_err(|_| not_running));
                }
                outcome = &mut run => break outcome,
                _ = beat.tick() => drop(line.ask_within(TO_ANSWER_BEAT, &json!({ "op": "ping" })).await?),
            }
        };
        if is_paused {
            return Ok(());
        }
        let request = match outcome.map(all_finite) {
            // The run knows only that its report was refused.
            Err(reason) => json!({ "op": "tell", "trial": trial, "failed": refused.unwrap_or(reason) }),
            Ok(Outcome::Failed(reason)) => json!({ "op": "tell", "trial": trial, "failed": reason }),
            Ok(Outcome::TimedOut(reason)) => json!({ "op": "tell", "trial": trial, "timed_out": reason }),
            Ok(Outcome::Infeasible(reason)) => json!({ "op": "tell", "trial": trial, "infeasible": reason }),
            Ok(Outcome::Done) => json!({ "op": "tell", "trial": trial }),
            Ok(Outcome::Value(value)) => json!({ "op": "tell", "trial": trial, "value": value }),
            Ok(Outcome::Measured(measured)) => {
                let mut request = serde_json::to_value(&*measured).unwrap_or_default();
                request["op"] = json!("tell");
                request["trial"] = json!(trial);
                request
            }
        };
        let said = line.ask(&request).await?;
        let Some(reason) = said["error"].as_str() else { return Ok(()) };
        let reason = format!("its result is refused: {reason}");
        line.ask(&json!({ "op": "tell", "trial": trial, "failed": reason })).await.map(drop)
    }

    /// Asks while the program runs. A searcher may think for long, so other connections show meanwhile whether the
    /// server is there: a worker that is cut off must end its program, for its trial is given to another one.
    async fn ask_and_look(&self, line: &mut Line, request: &Json) -> Result<Json, String> {
        let mut asking = std::pin::pin!(line.ask(request));
        let mut looking = std::pin::pin!(async {
            loop {
                tokio::time::sleep(HEARTBEAT).await;
                match timeout(TO_ANSWER_BEAT, self.look()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(reason)) => break reason,
                    Err(_) => break SILENT.to_owned(),
                }
            }
        });
        tokio::select! {
            biased;
            answer = &mut asking => answer,
            reason = &mut looking => Err(reason),
        }
    }

    /// Whether the server answers on a connection of its own.
    async fn look(&self) -> Result<(), String> {
        let (mut line, greeted) = self.connect(true).await?;
        let answer = line.ask(&json!({ "op": "ping" })).await?;
        let refused = [greeted, answer].iter().find_map(|answer| answer["error"].as_str().map(str::to_owned));
        refused.map_or(Ok(()), Err)
    }
}

/// The outcome, as JSON can carry it: a number that is not finite fails the trial, as it does in a study.
fn all_finite(outcome: Outcome) -> Outcome {
    let wrong = match &outcome {
        Outcome::Value(value) => Some(*value).filter(|value| !value.is_finite()),
        Outcome::Measured(measured) => measured.not_finite(),
        _ => None,
    };
    wrong.map_or(outcome, |value| Outcome::Failed(format!("the measurement is {value}, not a finite number")))
}

impl Line {
    async fn ask(&mut self, request: &Json) -> Result<Json, String> {
        self.ask_within(TO_ANSWER, request).await
    }

    async fn ask_within(&mut self, longest: Duration, request: &Json) -> Result<Json, String> {
        let mut answer = String::new();
        let asking = async {
            self.output.write_all(format!("{request}\n").as_bytes()).await?;
            self.input.read_line(&mut answer).await
        };
        let asked = timeout(longest, asking).await;
        let why = |reason: &str| self.fault().unwrap_or(reason).to_owned();
        match asked {
            Ok(Ok(0)) => Err(why("it closed the connection")),
            Ok(Ok(_)) => serde_json::from_str(&answer).map_err(|error| format!("its answer does not read: {error}")),
            Ok(Err(error)) => Err(why(&error.to_string())),
            Err(_) => Err(SILENT.to_owned()),
        }
    }
}

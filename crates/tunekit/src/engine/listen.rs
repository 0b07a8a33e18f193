//! `Listener`: one study for many clients, over TCP or through a shared folder. Each connection speaks the lines of
//! [`Server`].
//!
//! A client's first line carries the token; in a folder it promises signs of life instead ([`Greeting`]). A trial
//! belongs to the connection that asked for it: no other one may report or tell it, and when the connection ends it is
//! interrupted and asked for again. So a trial that was given to another client after a loss is never told twice. A
//! client may announce how often it sends something; it is lost when it has been silent for three times as long. Other
//! clients are lost when their connection ends. A `create` that is refused stops the connection that sent it, and no
//! other.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::greeting::Greeting;
use super::line::{Carriers, Line, on_disk, watch};
use super::serve::{Server, Standing};
use super::stop::StopHandle;
use super::token::Token;
use crate::doors::journal::JournalError;
use crate::doors::shared::{Connection, SharedFolder, SharedFolderError};
use crate::words::trial::TrialId;

/// The longest line a client may send.
const LONGEST_LINE: u64 = 4 << 20;
/// A client has so long to say its token.
const TO_GREET: Duration = Duration::from_secs(10);
/// The part of a longer line that is read and thrown away, so that its sender sees the answer.
const MOST_OF_THE_REST: u64 = 64 << 20;
/// The answers to an ask without a trial.
const DONE: &str = r#"{"done":true}"#;
const WAIT: &str = r#"{"wait":true}"#;
/// Clients have so long to go once the study is over.
const TO_LEAVE: Duration = Duration::from_secs(5);
/// The bounds of a client's heartbeat, in seconds.
const HEARTBEAT: std::ops::RangeInclusive<f64> = 0.1..=3600.0;
/// The same in a folder, which is looked at a few times a second.
const FOLDER_HEARTBEAT: std::ops::RangeInclusive<f64> = 1.0..=3600.0;

/// Why a study is no longer served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The shared folder is lost.
    #[error(transparent)]
    Folder(#[from] SharedFolderError),
}

/// Serves one study to many clients.
#[derive(Debug)]
pub struct Listener {
    tcp: Option<(TcpListener, Token)>,
    folder: Option<SharedFolder>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    server: Mutex<Server>,
    /// Held by the one that asks the server. Blocking threads that wait for it would leave none to read files.
    turn: tokio::sync::Mutex<()>,
    carriers: Carriers,
    started: Instant,
}

impl Listener {
    /// Listens at an address.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn bind(address: SocketAddr, server: Server, token: Token) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { tcp: Some((listener, token)), ..Self::of(server) })
    }

    /// Serves through a folder that clients see, too. It is made if there is none, for its owner alone. Connections
    /// that an earlier server left in it end.
    ///
    /// # Errors
    /// The folder cannot be made, is open to others, or is served by another process.
    pub fn in_folder(folder: &Path, server: Server) -> Result<Self, SharedFolderError> {
        Self::of(server).with_folder(folder)
    }

    /// Serves through a folder besides, as [`Listener::in_folder`] does.
    ///
    /// # Errors
    /// As [`Listener::in_folder`].
    pub fn with_folder(mut self, folder: &Path) -> Result<Self, SharedFolderError> {
        self.folder = Some(SharedFolder::serve(folder)?);
        Ok(self)
    }

    fn of(server: Server) -> Self {
        let (carriers, started) = (Carriers::default(), Instant::now());
        let shared = Shared { server: Mutex::new(server), turn: Default::default(), carriers, started };
        Self { tcp: None, folder: None, shared: Arc::new(shared) }
    }

    /// The address on which it listens; `None` if it serves through a folder alone.
    ///
    /// # Errors
    /// The operating system does not say.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        self.tcp.as_ref().map(|(listener, _)| listener.local_addr()).transpose()
    }

    /// Serves until the study is over, or the handle stops it. Trials that clients run at that moment are journalled as
    /// interrupted.
    ///
    /// # Errors
    /// The journal cannot be written; the study is then ahead of it. Or the folder was removed, or could not be listed
    /// for a minute.
    pub async fn serve(self, stop: StopHandle) -> Result<(), ServeError> {
        let (say, mut events) = mpsc::unbounded_channel::<Said>();
        let (arrived, mut arrivals) = mpsc::unbounded_channel::<Connection>();
        let mut clients = JoinSet::new();
        let mut watching = JoinSet::new();
        if let Some(folder) = &self.folder {
            watching.spawn(watch(folder.path().to_owned(), arrived.clone()));
        }
        let failed = loop {
            tokio::select! {
                biased;
                () = stop.stopped() => break None,
                said = events.recv() => match said {
                    Some(Said::Failed(error)) => break Some(error.into()),
                    Some(Said::Over) | None => break None,
                },
                (accepted, token) = accept(&self.tcp) => match accepted {
                    Ok(stream) => {
                        drop(clients.spawn(client(self.shared.clone(), Line::tcp(stream), token, say.clone())));
                    }
                    Err(error) => {
                        // Too many open files, for instance: later there may be fewer.
                        tracing::warn!(%error, "a connection cannot be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(connection) = arrivals.recv() => {
                    let line = self.shared.carriers.carry(connection, LONGEST_LINE);
                    clients.spawn(client(self.shared.clone(), line, None, say.clone()));
                }
                Some(lost) = watching.join_next() => if let (Ok(source), Some(folder)) = (lost, &self.folder) {
                    let path = folder.path().to_owned();
                    break Some(SharedFolderError::Io { path, action: "list it", source }.into());
                },
                Some(_) = clients.join_next() => {}
            }
        };
        drop(self.tcp);
        watching.shutdown().await;
        if failed.is_none() && !stop.is_stopped() {
            let _ = timeout(TO_LEAVE, async { while clients.join_next().await.is_some() {} }).await;
        }
        clients.shutdown().await;
        self.shared.carriers.settle().await;
        if let Some(folder) = self.folder
            && let Err(error) = on_disk(move || folder.clear().map_err(io::Error::other)).await
        {
            tracing::warn!(%error, "connections are left; the next server removes them");
        }
        match failed {
            // Its journal is in no doubt.
            None | Some(ServeError::Folder(_)) => {
                let now = self.shared.started.elapsed();
                lock(&self.shared).interrupt_open(now)?;
            }
            Some(ServeError::Journal(_)) => {}
        }
        failed.map_or(Ok(()), Err)
    }
}

/// The next connection over TCP, and the token that it has to show.
async fn accept(tcp: &Option<(TcpListener, Token)>) -> (io::Result<TcpStream>, Option<Token>) {
    match tcp {
        Some((listener, token)) => (listener.accept().await.map(|(stream, _)| stream), Some(token.clone())),
        None => std::future::pending().await,
    }
}

/// A message from a client's task to the listener.
enum Said {
    Failed(JournalError),
    Over,
}

fn lock(shared: &Shared) -> MutexGuard<'_, Server> {
    shared.server.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client from its first line to its last, and the clean-up after it. Without a token it came through the folder.
async fn client(shared: Arc<Shared>, line: Line, token: Option<Token>, say: mpsc::UnboundedSender<Said>) {
    let mut own = BTreeSet::new();
    // An error of the connection is its end.
    let _ = converse(&shared, line, token.as_ref(), &mut own, &say).await;
    if own.is_empty() {
        return;
    }
    let waiting = shared.clone();
    let _turn = waiting.turn.lock().await;
    let left = tokio::task::spawn_blocking(move || {
        let now = shared.started.elapsed();
        own.into_iter().try_for_each(|trial| lock(&shared).lose(trial, now))
    });
    if let Ok(Err(error)) = left.await {
        let _ = say.send(Said::Failed(error));
    }
}

/// Converses with a client until one of the two ends the connection.
async fn converse(
    shared: &Arc<Shared>,
    line: Line,
    token: Option<&Token>,
    own: &mut BTreeSet<TrialId>,
    say: &mpsc::UnboundedSender<Said>,
) -> io::Result<()> {
    let Line { mut input, mut output, .. } = line;
    let mut line = Vec::new();
    let mut patience = Some(TO_GREET);
    let mut is_known = false;
    let mut standing = Standing::default();
    loop {
        line.clear();
        let mut limited = (&mut input).take(LONGEST_LINE);
        let reading = limited.read_until(b'\n', &mut line);
        let read = match patience {
            Some(patience) => timeout(patience, reading).await.map_err(|_| io::ErrorKind::TimedOut)??,
            None => reading.await?,
        };
        if read as u64 == LONGEST_LINE && line.last() != Some(&b'\n') {
            let error = format!("a line has at most {LONGEST_LINE} bytes with its end; this one is longer");
            output.write_all(format!("{}\n", json!({ "error": error })).as_bytes()).await?;
            output.shutdown().await?;
            // Closed with bytes unread, the connection would be reset, and the answer could be lost on its way.
            let mut rest = input.take(MOST_OF_THE_REST);
            let _ = timeout(TO_LEAVE, tokio::io::copy_buf(&mut rest, &mut tokio::io::sink())).await;
            return Ok(());
        }
        if line.last() != Some(&b'\n') {
            return Ok(());
        }
        let request: Json = serde_json::from_slice(&line).unwrap_or_default();
        let op = request["op"].as_str().unwrap_or_default();
        let answer = if !is_known {
            let beats = if token.is_some() { HEARTBEAT } else { FOLDER_HEARTBEAT };
            let greeting = match Greeting::read(&line, token, beats) {
                Ok(greeting) => greeting,
                Err(refusal) => return output.write_all(format!("{refusal}\n").as_bytes()).await,
            };
            (is_known, patience) = (true, greeting.patience);
            json!({ "ok": true }).to_string()
        } else if op == "ping" {
            json!({ "ok": true }).to_string()
        } else {
            let trial = request["trial"].as_u64().map(TrialId);
            let is_foreign = matches!(op, "report" | "tell") && trial.is_some_and(|trial| !own.contains(&trial));
            if let Some(trial) = trial.filter(|_| is_foreign) {
                json!({ "error": format!("trial {trial} was not given out on this connection; ask for one") })
                    .to_string()
            } else {
                let _turn = shared.turn.lock().await;
                let (shared, asked, mine) = (shared.clone(), line.clone(), own.clone());
                let answering = tokio::task::spawn_blocking(move || {
                    let now = shared.started.elapsed();
                    let mut server = lock(&shared);
                    let mut standing = standing;
                    let mut answer = server.answer_to(&mut standing, &asked, now)?;
                    // Trials of other clients may still be lost, and must then be run again.
                    if answer == DONE && server.has_open_besides(&mine) {
                        answer = WAIT.to_owned();
                    }
                    Ok::<_, JournalError>((answer, standing, server.is_over()))
                });
                let (answer, is_over);
                (answer, standing, is_over) = match answering.await {
                    Ok(Ok(answered)) => answered,
                    Ok(Err(error)) => {
                        let _ = say.send(Said::Failed(error));
                        return Ok(());
                    }
                    Err(_) => return Ok(()),
                };
                let said: Json = serde_json::from_str(&answer).unwrap_or_default();
                match (op, trial) {
                    ("ask", _) => own.extend(said["trial"].as_u64().map(TrialId)),
                    ("tell", Some(trial)) if said["ok"] == true => drop(own.remove(&trial)),
                    ("report", Some(trial)) if said["decision"] == "pause" => drop(own.remove(&trial)),
                    _ => {}
                }
                if is_over {
                    let _ = say.send(Said::Over);
                }
                answer
            }
        };
        output.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::study::Setup;
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
    use crate::words::space::Space;

    /// The answer to a client's message.
    async fn say(client: &Connection, number: u64, line: &str) -> String {
        client.send(number, format!("{line}\n").as_bytes()).unwrap();
        loop {
            if let Some(answer) = client.receive(number, LONGEST_LINE).unwrap() {
                return String::from_utf8(answer).unwrap();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[test]
    fn clients_that_wait_for_the_study_do_not_keep_the_files_of_others_from_being_read() {
        const LONG: Duration = Duration::from_secs(60);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shared");
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let server = Server::new().with_study(Setup::new(space, Metric::minimize("loss")), Some(9)).unwrap();
        let listener = Listener::in_folder(&path, server).unwrap();
        let (shared, stop) = (listener.shared.clone(), StopHandle::new());
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.max_blocking_threads(4).enable_all().build().unwrap();
        let serving = runtime.spawn(listener.serve(stop.clone()));
        let clients: Vec<Connection> = (0..7).map(|_| Connection::open(&path).unwrap()).collect();
        runtime.block_on(async {
            for client in &clients {
                let greeted = say(client, 1, r#"{"op":"auth","heartbeat_s":60}"#);
                assert!(timeout(LONG, greeted).await.unwrap().contains("ok"));
            }
        });
        // A suggestion that takes long.
        let held = lock(&shared);
        runtime.block_on(async {
            for client in &clients[1..] {
                client.send(2, b"{\"op\":\"ask\"}\n").unwrap();
            }
            // They are read by then.
            tokio::time::sleep(Duration::from_secs(1)).await;
            let answered = say(&clients[0], 2, r#"{"op":"ping"}"#);
            assert!(timeout(LONG, answered).await.unwrap().contains("ok"));
        });
        drop(held);
        stop.stop();
        runtime.block_on(serving).unwrap().unwrap();
    }
}

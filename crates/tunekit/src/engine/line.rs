//! `Line`: a connection that carries lines both ways, over TCP or as files in a shared folder.
//!
//! A task carries the lines of a [`Line`] to and from the files of its [`Connection`]; the protocols above see the same
//! two streams as with a socket. The end of either stream ends the connection for both sides. A killed process leaves
//! no sign in a folder; only its silence shows that it is gone.
//!
//! The folder is checked at intervals that grow from [`SOON`] to [`SELDOM`]. If an operation of the file system takes
//! longer than [`TO_ANSWER`], the connection counts as lost.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, DuplexStream,
};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep, timeout};

use crate::doors::shared::{Connection, clients, is_gone};

/// The time between two looks for a message, after one was sent or received, and when nothing happens.
const SOON: Duration = Duration::from_millis(10);
const SELDOM: Duration = Duration::from_millis(200);
/// The time between two looks for new connections.
const ARRIVALS: Duration = Duration::from_millis(100);
/// The longest that the file system may take for an operation.
const TO_ANSWER: Duration = Duration::from_secs(10);
/// The other side has so long to read the last lines before their folder is removed.
const TO_PART: Duration = Duration::from_secs(3);
/// A folder that cannot be listed for so long counts as lost.
const TO_RECOVER: Duration = Duration::from_secs(60);
/// Bytes on their way between a protocol and its carrier.
const ON_THE_WAY: usize = 1 << 16;

/// A connection, for the protocol that is spoken on it.
pub(super) struct Line {
    pub(super) input: BufReader<Box<dyn AsyncRead + Send + Unpin>>,
    pub(super) output: Box<dyn AsyncWrite + Send + Unpin>,
    fault: Arc<OnceLock<String>>,
}

impl Line {
    /// Over TCP.
    pub(super) fn tcp(stream: TcpStream) -> Self {
        // Only slower without.
        let _ = stream.set_nodelay(true);
        let (input, output) = stream.into_split();
        Self { input: BufReader::new(Box::new(input)), output: Box::new(output), fault: Arc::default() }
    }

    /// Why it ended, if another reason is known than that the other side ended it.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.get().map(String::as_str)
    }
}

/// The tasks that carry lines through folders.
#[derive(Debug, Default)]
pub(super) struct Carriers(Mutex<JoinSet<()>>);

impl Carriers {
    /// Connects to the server of a folder. Whether there is one shows by its first answer.
    ///
    /// # Errors
    /// The folder is missing, or cannot be written.
    pub(super) async fn connect(&self, folder: &Path, longest: u64) -> io::Result<Line> {
        let folder = folder.to_owned();
        let connection = on_disk(move || Connection::open(&folder)).await?;
        Ok(self.carry(connection, longest))
    }

    /// The line of a connection. A line with more than `longest` bytes is cut off there and ends the input.
    pub(super) fn carry(&self, connection: Connection, longest: u64) -> Line {
        let (near, far) = tokio::io::duplex(ON_THE_WAY);
        let fault: Arc<OnceLock<String>> = Arc::default();
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Otherwise they would stay until the end.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(carry(connection, far, longest, fault.clone()));
        let (input, output) = tokio::io::split(near);
        Line { input: BufReader::new(Box::new(input)), output: Box::new(output), fault }
    }

    /// Waits, for a short time, until the lines that were dropped have delivered their last messages.
    pub(super) async fn settle(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let _ = timeout(2 * TO_PART, async { while tasks.join_next().await.is_some() {} }).await;
    }
}

/// Looks for new connections, until the folder is lost.
pub(super) async fn watch(folder: PathBuf, arrived: mpsc::UnboundedSender<Connection>) -> io::Error {
    let mut known = Default::default();
    let mut fails_since: Option<Instant> = None;
    loop {
        let path = folder.clone();
        match on_disk(move || clients(&path)).await {
            Ok(found) => {
                fails_since = None;
                for name in found.difference(&known) {
                    // Without a receiver this task ends, too.
                    let _ = arrived.send(Connection::of_client(&folder, name));
                }
                known = found;
            }
            Err(error) => {
                let since = *fails_since.get_or_insert_with(Instant::now);
                if is_gone(&error) || since.elapsed() >= TO_RECOVER {
                    return error;
                }
                tracing::warn!(%error, folder = %folder.display(), "a shared folder cannot be listed");
            }
        }
        sleep(ARRIVALS).await;
    }
}

/// The side that ended a connection.
enum Ended {
    Here,
    There,
}

async fn carry(connection: Connection, far: DuplexStream, longest: u64, fault: Arc<OnceLock<String>>) {
    let (from_here, mut to_here) = tokio::io::split(far);
    let mut from_here = BufReader::new(from_here);
    let sent = Notify::new();
    let mut inbox = Inbox { connection: connection.clone(), next: 1, read: None, longest };
    let ended = tokio::select! {
        ended = receive(&mut inbox, &mut to_here, &sent) => ended,
        ended = send(&connection, &mut from_here, &sent) => ended,
    };
    if let Err(error) = &ended
        && !is_gone(error)
    {
        tracing::warn!(%error, "a connection through a folder ended");
        // Before the streams end, upon which it is looked at.
        let _ = fault.set(error.to_string());
    }
    drop((from_here, to_here));
    if let Ok(Ended::Here) = ended {
        let parting = async { while inbox.next(&sent).await.is_ok_and(|message| !message.is_empty()) {} };
        let _ = timeout(TO_PART, parting).await;
    }
    if let Err(error) = on_disk(move || connection.remove()).await {
        tracing::warn!(%error, "an ended connection cannot be removed");
    }
}

/// The messages of the other side. Dropping a future of it loses none.
struct Inbox {
    connection: Connection,
    next: u64,
    /// The message before, which is still there.
    read: Option<u64>,
    longest: u64,
}

impl Inbox {
    /// Waits for the next message. A look follows soon after something was sent, for that may be answered.
    async fn next(&mut self, sent: &Notify) -> io::Result<Vec<u8>> {
        let mut pause = SOON;
        loop {
            tokio::select! {
                () = sleep(pause) => {}
                () = sent.notified() => {
                    pause = SOON;
                    sleep(pause).await;
                }
            }
            let (connection, next, read, longest) = (self.connection.clone(), self.next, self.read, self.longest);
            let look = move || {
                read.inspect(|read| connection.forget(*read));
                connection.receive(next, longest)
            };
            let found = on_disk(look).await?;
            self.read = None;
            if let Some(message) = found {
                (self.read, self.next) = (Some(next), next + 1);
                return Ok(message);
            }
            pause = (2 * pause).min(SELDOM);
        }
    }
}

/// Passes on the messages of the other side until its end.
async fn receive(inbox: &mut Inbox, to_here: &mut (impl AsyncWrite + Unpin), sent: &Notify) -> io::Result<Ended> {
    loop {
        let message = inbox.next(sent).await?;
        if message.is_empty() {
            return Ok(Ended::There);
        }
        let is_too_long = message.last() != Some(&b'\n');
        if to_here.write_all(&message).await.is_err() || is_too_long {
            // The protocol has its answer to that, or has ended; the end of its own lines ends the connection.
            let _ = to_here.shutdown().await;
            return std::future::pending().await;
        }
    }
}

/// Sends the lines of this side until their end, and then that.
async fn send(
    connection: &Connection,
    from_here: &mut (impl AsyncBufRead + Unpin),
    sent: &Notify,
) -> io::Result<Ended> {
    for number in 1.. {
        let mut line = Vec::new();
        from_here.read_until(b'\n', &mut line).await?;
        if line.last() != Some(&b'\n') {
            // Nobody waits for the rest of a line that was broken off.
            line.clear();
        }
        let is_end = line.is_empty();
        let connection = connection.clone();
        on_disk(move || connection.send(number, &line)).await?;
        sent.notify_one();
        if is_end {
            break;
        }
    }
    Ok(Ended::Here)
}

/// Runs an operation of the file system beside the others.
pub(super) async fn on_disk<T: Send + 'static>(
    operation: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match timeout(TO_ANSWER, spawn_blocking(operation)).await {
        Ok(Ok(done)) => done,
        Ok(Err(error)) => Err(io::Error::other(error)),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the file system does not answer")),
    }
}

//! [`Download`]: discover, plan, fetch in parallel, write, publish.
//!
//! Dropped at any await, the part tasks are aborted, the temporary file is removed, and no file appears under the target's
//! name.

use std::future::IntoFuture;
use std::panic;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::{JoinError, JoinSet, spawn_blocking};
use tokio::time::Instant;

use crate::doors::disk::StagedFile;
use crate::doors::s3::Answer;
use crate::engine::client::Client;
use crate::engine::fetch::{Counters, Discovered, FetchError, Fetcher, Version};
use crate::engine::write::Writer;
use crate::words::config::TransferConfig;
use crate::words::durability::Durability;
use crate::words::failure::DownloadError;
use crate::words::object::{ObjectAddress, Part};
use crate::words::progress::Progress;
use crate::words::report::TransferReport;

/// A download that has no target yet: [`Client::download`] makes it.
#[derive(Debug)]
#[must_use = "a download does nothing until it has a target and is awaited"]
pub struct Download {
    client: Client,
    object: ObjectAddress,
    progress: Progress,
}

/// A download into a file; awaiting it runs it.
#[derive(Debug)]
#[must_use = "a download does nothing until it is awaited"]
pub struct FileDownload {
    download: Download,
    target: PathBuf,
}

impl Download {
    pub(crate) fn new(client: Client, object: ObjectAddress) -> Self {
        Self { client, object, progress: Progress::new() }
    }

    /// Another configuration for this transfer alone. Its limits (`max_concurrency`, `max_bandwidth`) are then this
    /// transfer's own, no longer shared with the client's others.
    pub fn config(mut self, config: TransferConfig) -> Self {
        self.client = self.client.with_config(config);
        self
    }

    /// Counts into `progress`.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Into the file `target`, whose folder exists. A file that is there already is replaced, in one step and only by the
    /// whole object; until then the bytes are in a temporary file beside it. The new file survives a crash of this
    /// process, not of the machine: nothing waits for the device.
    pub fn to_file(self, target: impl Into<PathBuf>) -> FileDownload {
        FileDownload { download: self, target: target.into() }
    }
}

impl IntoFuture for FileDownload {
    type Output = Result<TransferReport, DownloadError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        run(self).boxed()
    }
}

async fn run(FileDownload { download, target }: FileDownload) -> Result<TransferReport, DownloadError> {
    let started = Instant::now();
    let Download { client: Client { store, config, limits }, object, progress } = download;
    let threads = config.use_threads();
    // In place, as is the renaming: handed to another thread, they would outlive this future when it is dropped.
    let staged = StagedFile::create(&target)?;

    let fetcher = Arc::new(Fetcher { store, object, config, limits, counters: Counters::default() });
    let permit = fetcher.limits.permit().await;
    let Discovered { version, plan, first } = fetcher.discover().await?;
    progress.set_total(version.object_bytes);
    let (file, object_bytes) = (staged.open_file(), version.object_bytes);
    let writer = Writer::new(file.clone(), &fetcher.config, progress);
    // Takes as long as the file system likes, unlike the two.
    match threads {
        true => spawn_blocking(move || file.reserve(object_bytes)).await.unwrap_or_else(propagate)?,
        false => file.reserve(object_bytes)?,
    }

    let transfer = Transfer { fetcher, version: Arc::new(version), writer };
    let fetched = if threads && !plan.in_turn() {
        transfer.fetch_in_parallel(plan.parts(), first, permit).await
    } else {
        transfer.fetch_in_turn(plan.parts(), first).await
    };
    match fetched {
        Err(FetchError::Failed(error)) => return Err(error),
        // A writer that stopped keeps the error, and one that did not may still meet one.
        Err(FetchError::Stopped) | Ok(()) => transfer.writer.finish().await?,
    }
    staged.publish(Durability::default())?;
    Ok(transfer.report(plan.len(), started))
}

/// A download whose object is known.
struct Transfer {
    fetcher: Arc<Fetcher>,
    version: Arc<Version>,
    writer: Writer,
}

impl Transfer {
    /// As many parts at a time as there are permits.
    async fn fetch_in_parallel(
        &self,
        mut parts: impl Iterator<Item = Part>,
        first: Answer,
        permit: OwnedSemaphorePermit,
    ) -> Result<(), FetchError> {
        let mut running = JoinSet::new();
        let mut next = parts.next();
        if let Some(part) = next.take() {
            self.spawn(&mut running, part, Some(first), permit);
            next = parts.next();
        }
        // Kept from one turn to the next, for it holds this transfer's place among those that wait. Never polled when
        // there is nothing to fetch: a permit that is granted and not taken would be missing to the others.
        let mut permit = pin!(self.fetcher.limits.permit());
        loop {
            tokio::select! {
                granted = &mut permit, if next.is_some() => {
                    permit.set(self.fetcher.limits.permit());
                    if let Some(part) = next.take() {
                        self.spawn(&mut running, part, None, granted);
                        next = parts.next();
                    }
                }
                Some(done) = running.join_next() => done.unwrap_or_else(propagate)?,
                else => return Ok(()),
            }
        }
    }

    fn spawn(
        &self,
        running: &mut JoinSet<Result<(), FetchError>>,
        part: Part,
        begun: Option<Answer>,
        permit: OwnedSemaphorePermit,
    ) {
        let (fetcher, version, writer) = (self.fetcher.clone(), self.version.clone(), self.writer.clone());
        running.spawn(async move {
            let _permit = permit;
            let _in_flight = fetcher.counters.in_flight();
            fetcher.part(&part, &version, begun, &writer).await
        });
    }

    /// One part after the other, on the caller's task.
    async fn fetch_in_turn(&self, parts: impl Iterator<Item = Part>, first: Answer) -> Result<(), FetchError> {
        let mut begun = Some(first);
        for part in parts {
            let _in_flight = self.fetcher.counters.in_flight();
            self.fetcher.part(&part, &self.version, begun.take(), &self.writer).await?;
        }
        Ok(())
    }

    fn report(self, parts: u64, started: Instant) -> TransferReport {
        let counters = &self.fetcher.counters;
        TransferReport {
            bytes: self.version.object_bytes,
            elapsed: started.elapsed(),
            e_tag: self.version.e_tag.clone(),
            parts,
            requests: counters.requests.load(Ordering::Relaxed),
            retries: counters.retries.load(Ordering::Relaxed),
            peak_requests: counters.peak_requests.load(Ordering::Relaxed),
            peak_io_queue: self.writer.peak(),
            writes: self.writer.writes(),
            config: self.fetcher.config.clone(),
        }
    }
}

/// A task ends without a value only by a panic, which is the caller's to see, or because the runtime is going away.
fn propagate<T>(error: JoinError) -> T {
    match error.try_into_panic() {
        Ok(payload) => panic::resume_unwind(payload),
        Err(_) => panic!("the tokio runtime was shut down during a transfer"),
    }
}

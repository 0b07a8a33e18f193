//! [`Download`]: what is downloaded, how, and into what.
//!
//! Dropped at any await, the part tasks are aborted, the temporary file is removed, and no file appears under the
//! target's name; only what [`FileDownload::resume`] keeps remains.

use std::future::IntoFuture;
use std::ops::RangeBounds;
use std::path::PathBuf;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use crate::engine::client::Client;
use crate::engine::stream::ObjectStream;
use crate::engine::transfer::in_time;
use crate::engine::{file, place};
use crate::words::config::TransferConfig;
use crate::words::durability::Durability;
use crate::words::failure::DownloadError;
use crate::words::object::{ByteRange, ObjectAddress, ObjectRequest, SseCustomerKey};
use crate::words::progress::{Progress, Share};
use crate::words::report::TransferReport;
use crate::words::sink::WriteAt;

/// A download that has no target yet: [`Client::download`] makes it.
#[derive(Debug)]
#[must_use = "a download does nothing until it has a target and is awaited"]
pub struct Download {
    pub(crate) client: Client,
    pub(crate) object: ObjectRequest,
    pub(crate) object_bytes: Option<u64>,
    pub(crate) progress: Share,
}

/// A download into a file; awaiting it runs it.
#[derive(Debug)]
#[must_use = "a download does nothing until it is awaited"]
pub struct FileDownload {
    pub(crate) download: Download,
    pub(crate) target: PathBuf,
    pub(crate) resume: bool,
    pub(crate) verify_kept: bool,
    pub(crate) durability: Durability,
}

impl Download {
    pub(crate) fn new(client: Client, object: ObjectAddress) -> Self {
        Self { client, object: ObjectRequest::new(object), object_bytes: None, progress: Progress::new().into() }
    }

    /// Another configuration for this transfer alone. Its limits (`max_concurrency`, `max_bandwidth`, `memory_limit`)
    /// are then this transfer's own, no longer shared with the client's others.
    pub fn config(mut self, config: TransferConfig) -> Self {
        self.client = self.client.with_config(config);
        self
    }

    /// Counts into `progress`, together with the other downloads that do.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.progress = progress.into();
        self
    }

    /// Only these bytes of the object. What lies behind the object's end is left out, as HTTP has it; a range of which
    /// the object has no byte is an error. The first byte of the range is the first of the target.
    pub fn range(mut self, bytes: impl RangeBounds<u64>) -> Self {
        self.object.range = ByteRange::of(bytes);
        self
    }

    /// This version of the object, not the newest one.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.object.version_id = Some(version_id.into());
        self
    }

    /// The object's size, where it is known, from a listing for one. An object that fits into one request is then asked
    /// for without a range, and its checksum comes along: one request, where a stranger takes two.
    pub fn object_bytes(mut self, bytes: u64) -> Self {
        self.object_bytes = Some(bytes);
        self
    }

    /// The key of an object that is encrypted with its owner's own (SSE-C).
    pub fn sse_customer_key(mut self, key: SseCustomerKey) -> Self {
        self.object.sse_customer_key = Some(key);
        self
    }

    /// Says that the requester pays for the requests and the data.
    pub fn request_payer(mut self) -> Self {
        self.object.request_payer = true;
        self
    }

    /// Has the server refuse the requests if the bucket belongs to another account than this one.
    pub fn expected_bucket_owner(mut self, account_id: impl Into<String>) -> Self {
        self.object.expected_bucket_owner = Some(account_id.into());
        self
    }

    /// Into the file `target`, whose folder exists. A file that is there already is replaced, in one step and only by
    /// the whole object; until then the bytes are in a temporary file beside it. Nothing waits for the device unless
    /// [`FileDownload::durability`] says so.
    ///
    /// A file that grows beyond the process's limit (`ulimit -f`) raises SIGXFSZ, which ends a process that does
    /// nothing about it. A program that wants [`DownloadError::Disk`] instead ("File too large") has to listen for the
    /// signal or ignore it: `tokio::signal::unix::signal(SignalKind::from_raw(25))` once, where 25 is SIGXFSZ (on Linux
    /// but for MIPS, and on macOS).
    ///
    /// A target that is no regular file takes the bytes as they come, in order: a FIFO, a terminal, `/dev/stdout`.
    /// `/dev/null` takes them in any order, like [`discard`](Self::discard).
    pub fn to_file(self, target: impl Into<PathBuf>) -> FileDownload {
        FileDownload {
            download: self,
            target: target.into(),
            resume: false,
            verify_kept: false,
            durability: Durability::default(),
        }
    }

    /// To a sink of the caller's, in any order and from several threads.
    ///
    /// # Errors
    ///
    /// [`DownloadError`]. What the sink has taken by then is the caller's to throw away.
    pub async fn to_write_at(self, sink: impl WriteAt) -> Result<TransferReport, DownloadError> {
        self.progress.clone().until_done(place::to_sink(self, sink)).boxed().await
    }

    /// Into memory, in one piece. The bytes count against
    /// [`memory_limit`](TransferConfig::memory_limit) until the download is done.
    ///
    /// # Errors
    ///
    /// [`DownloadError`]; [`DownloadError::TooLarge`] before anything is fetched that the limit has no room for.
    pub async fn to_bytes(self) -> Result<(Bytes, TransferReport), DownloadError> {
        self.progress.clone().until_done(place::to_memory(self)).boxed().await
    }

    /// To nowhere: every byte is fetched, checked and dropped.
    ///
    /// # Errors
    ///
    /// [`DownloadError`].
    pub async fn discard(self) -> Result<TransferReport, DownloadError> {
        // Boxed, as in all of these: the type of the future would be too deep for the compiler of a caller.
        self.progress.clone().until_done(place::to_nowhere(self)).boxed().await
    }

    /// As a stream of the bytes in order, fetched ahead in parallel as far as memory allows. What is read too slowly is
    /// not fetched faster: the stream is its own back-pressure.
    ///
    /// A stream that is not read keeps what it has fetched and, when memory is short, one request of the client's
    /// `max_concurrency`: streams that wait for each other should not be more than that.
    ///
    /// A checksum that does not match is told by the last item, when the bytes have been passed on already.
    #[must_use = "a stream does nothing until it is polled"]
    pub fn stream(self) -> ObjectStream {
        ObjectStream::new(self)
    }

    /// To a writer, in order; flushed, but not shut down, at the end.
    ///
    /// # Errors
    ///
    /// [`DownloadError`]; [`DownloadError::Sink`] when the writer fails.
    pub async fn to_writer(self, writer: impl AsyncWrite + Unpin) -> Result<TransferReport, DownloadError> {
        let (limit, object) = (self.client.config.transfer_timeout(), self.object.address.clone());
        // The stream's own deadline is not looked at while the writer takes its time.
        let progress = self.progress.clone();
        progress.until_done(in_time(limit, &object, self.pass_on(writer))).await
    }

    async fn pass_on(self, mut writer: impl AsyncWrite + Unpin) -> Result<TransferReport, DownloadError> {
        let object = self.object.address.to_string();
        let mut stream = self.stream();
        let mut at = 0_u64;
        let failed = |action: String, source| DownloadError::Sink { object: object.clone(), action, source };
        while let Some(frame) = futures::StreamExt::next(&mut stream).await {
            let frame = frame?;
            let action = |source| failed(format!("{} bytes at {at}", frame.len()), source);
            writer.write_all(&frame).await.map_err(action)?;
            at += frame.len() as u64;
        }
        writer.flush().await.map_err(|source| failed("the end of the bytes".to_owned(), source))?;
        Ok(stream.into_report().expect("a stream that has ended without an error has a report"))
    }
}

impl FileDownload {
    /// Keeps what was downloaded when the download ends early, however it does, and continues from there when the same
    /// object is downloaded to the same target again: after an error, a Ctrl-C, a `kill -9` or a crash of the machine.
    /// Only the parts in flight are fetched again.
    ///
    /// Beside the target lie a temporary file and its journal until the download succeeds. An object that was replaced
    /// meanwhile is refused with [`DownloadError::ObjectChanged`], and what was kept of the old one is removed. A
    /// temporary file that was cut, lengthened or swapped since then is not used; the download starts anew.
    ///
    /// The kept parts are not read again unless [`verify_kept`](Self::verify_kept) asks for it; the report says
    /// [`ValidatedAsReceived`](crate::Integrity::ValidatedAsReceived) then. While a download into the target is
    /// running, another one is an error; the tasks of one that was just dropped are waited for.
    ///
    /// A file system without locks (Lustre without `-o flock`, for one) cannot tell whether another download is
    /// running. There the download runs as if this were `false`, and a `tracing` warning says so.
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Reads the parts that an earlier download has left back from the disk before they are used, and fetches those
    /// again whose bytes have changed, or whose checksum is not known. So a broken device, or another program that
    /// wrote into the temporary file, cannot spoil the result. Costs the time to read them. Without effect unless the
    /// download [resumes](Self::resume).
    pub fn verify_kept(mut self, verify: bool) -> Self {
        self.verify_kept = verify;
        self
    }

    /// What the new file survives once the download has succeeded; by default the process's end, not the machine's.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
}

impl IntoFuture for FileDownload {
    type Output = Result<TransferReport, DownloadError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.download.progress.clone().until_done(file::run(self)).boxed()
    }
}

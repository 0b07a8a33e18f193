//! [`Download`]: an object, the options of its download, and its target.
//!
//! Dropped at any await, the part tasks are aborted, the temporary file is removed, and no file appears under the
//! target's name; only the files of [`FileDownload::resume`] remain.

use std::future::IntoFuture;
use std::ops::RangeBounds;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::AsyncWrite;

use crate::words::config::TransferOptions;
use crate::words::durability::Durability;
use crate::words::failure::TransferError;
use crate::words::object::{ByteRange, SseCustomerKey};
use crate::words::progress::Progress;
use crate::words::report::TransferReport;
use crate::words::sink::WriteAt;

pub(crate) mod discover;
mod expected;
mod fetch;
pub(crate) mod file;
pub(crate) mod order;
mod pieces;
mod pinned;
mod place;
pub(crate) mod stream;

use file::IntoFile;
use order::Order;
use stream::ObjectStream;

/// A download that has no target yet: [`Client::download`](crate::Client::download) makes it.
#[derive(Debug)]
#[must_use = "a download does nothing until it has a target and is awaited"]
pub struct Download {
    order: Order,
}

/// A download into a file; awaiting it runs it.
#[derive(Debug)]
#[must_use = "a download does nothing until it is awaited"]
pub struct FileDownload {
    order: Order,
    into: IntoFile,
}

impl Download {
    pub(crate) fn new(order: Order) -> Self {
        Self { order }
    }

    /// Other options for this transfer alone. The client's limits hold for it as for the others, together with them.
    pub fn options(mut self, options: TransferOptions) -> Self {
        self.order.shared = self.order.shared.with_options(options);
        self
    }

    /// Keeps the transfer's course for the [report](TransferReport::timeline): a [`Moment`](crate::Moment) for each
    /// period, which is at least a millisecond; of long transfers so many that there are at most 4,096. A download of
    /// one request has none but the last.
    pub fn timeline(mut self, every: Duration) -> Self {
        self.order.shared.timeline = Some(every);
        self
    }

    /// Counts into `progress`, together with the other downloads that do.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.order.progress = progress.into();
        self
    }

    /// Only these bytes of the object. Bytes past the object's end are left out, as HTTP has it; a range of which the
    /// object has no byte is an error. The first byte of the range is the first of the target.
    pub fn range(mut self, bytes: impl RangeBounds<u64>) -> Self {
        self.order.object.range = ByteRange::of(bytes);
        self
    }

    /// This version of the object, not the newest one.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.order.object.version_id = Some(version_id.into());
        self
    }

    /// The object's size, where it is known, from a listing for one. An object that fits into one request is then asked
    /// for without a range, and its checksum comes along: one request, where a stranger takes two.
    pub fn object_bytes(mut self, bytes: u64) -> Self {
        self.order.object_bytes = Some(bytes);
        self
    }

    /// The key of an object that is encrypted with its owner's own (SSE-C).
    pub fn sse_customer_key(mut self, key: SseCustomerKey) -> Self {
        self.order.object.sse_customer_key = Some(key);
        self
    }

    /// Says that the requester pays for the requests and the data.
    pub fn request_payer(mut self) -> Self {
        self.order.object.request_payer = true;
        self
    }

    /// Has the server refuse the requests if the bucket belongs to another account than this one.
    pub fn expected_bucket_owner(mut self, account_id: impl Into<String>) -> Self {
        self.order.object.expected_bucket_owner = Some(account_id.into());
        self
    }

    /// Into the file `target`, whose folder exists. A file that is there already is replaced, in one step and only by
    /// the whole object; until then the bytes are in a temporary file beside it. Nothing waits for the device unless
    /// [`FileDownload::durability`] says so.
    ///
    /// A file that grows beyond the process's limit (`ulimit -f`) raises SIGXFSZ, which ends a process that does
    /// nothing about it. A program that wants [`TransferError::Disk`] instead ("File too large") has to listen for the
    /// signal or ignore it: `tokio::signal::unix::signal(SignalKind::from_raw(25))` once, where 25 is SIGXFSZ (on Linux
    /// but for MIPS, and on macOS).
    ///
    /// A target that is no regular file takes the bytes as they come, in order: a FIFO, a terminal, `/dev/stdout`.
    /// `/dev/null` takes them in any order, like [`discard`](Self::discard).
    pub fn to_file(self, target: impl Into<PathBuf>) -> FileDownload {
        FileDownload { order: self.order, into: IntoFile::new(target.into()) }
    }

    /// To a sink of the caller's, in any order and from several threads.
    ///
    /// # Errors
    ///
    /// [`TransferError`]. The caller discards the bytes that the sink has taken by then.
    pub async fn to_write_at(self, sink: impl WriteAt) -> Result<TransferReport, TransferError> {
        self.order.run(|order| place::to_sink(order, sink)).boxed().await
    }

    /// Into memory, in one piece. The bytes count against
    /// [`memory_limit`](crate::TransferConfig::memory_limit) until the download is done.
    ///
    /// # Errors
    ///
    /// [`TransferError`]; [`TransferError::TooLarge`] before anything is fetched that the limit has no room for.
    pub async fn to_bytes(self) -> Result<(Bytes, TransferReport), TransferError> {
        self.order.run(place::to_memory).boxed().await
    }

    /// To nowhere: every byte is fetched, checked and dropped.
    ///
    /// # Errors
    ///
    /// [`TransferError`].
    pub async fn discard(self) -> Result<TransferReport, TransferError> {
        // Boxed, as in all of these: the type of the future would be too deep for the compiler of a caller.
        self.order.run(place::to_nowhere).boxed().await
    }

    /// As a stream of the bytes in order, fetched ahead in parallel as far as memory allows. A slow reader slows the
    /// download: the stream is its own back-pressure.
    ///
    /// A stream that is not read keeps the bytes that it has fetched and, when memory is short, one request of the
    /// client's `max_concurrency`: streams that wait for each other should not be more than that.
    ///
    /// A checksum that does not match is told by the last item, when the bytes have been passed on already.
    #[must_use = "a stream does nothing until it is polled"]
    pub fn stream(self) -> ObjectStream {
        ObjectStream::new(self.order)
    }

    /// To a writer, in order; flushed, but not shut down, at the end.
    ///
    /// # Errors
    ///
    /// [`TransferError`]; [`TransferError::Sink`] when the writer fails.
    pub async fn to_writer(self, writer: impl AsyncWrite + Unpin) -> Result<TransferReport, TransferError> {
        self.order.run(|order| stream::to_writer(order, writer)).await
    }
}

impl FileDownload {
    /// Keeps the downloaded parts when the download ends early, for any reason, and continues from there when the same
    /// object is downloaded to the same target again: after an error, a Ctrl-C, a `kill -9` or a crash of the machine.
    /// Only the parts in flight are fetched again.
    ///
    /// Beside the target lie a temporary file and its journal until the download succeeds. An object that was replaced
    /// meanwhile is refused with [`TransferError::ObjectChanged`], and the kept parts of the old one are removed. A
    /// temporary file that was cut, lengthened or swapped since then is not used; the download starts anew.
    ///
    /// The kept parts are not read again unless [`verify_kept`](Self::verify_kept) asks for it; the report says
    /// [`ValidatedAsReceived`](crate::Integrity::ValidatedAsReceived) then. While a download into the target is
    /// running, another one is an error; the tasks of one that was just dropped are waited for.
    ///
    /// A file system without locks (Lustre without `-o flock`, for one) cannot tell whether another download is
    /// running. There the download runs as if this were `false`, and a `tracing` warning says so.
    pub fn resume(mut self, resume: bool) -> Self {
        self.into.resume = resume;
        self
    }

    /// Reads the parts that an earlier download has left back from the disk before they are used, and fetches those
    /// again whose bytes have changed, or whose checksum is not known. So a broken device, or another program that
    /// wrote into the temporary file, cannot spoil the result. Costs the time to read them. Without effect unless the
    /// download [resumes](Self::resume).
    pub fn verify_kept(mut self, verify: bool) -> Self {
        self.into.verify_kept = verify;
        self
    }

    /// Gives the file the time of the last change that was kept with the object, where one was
    /// ([`TransferReport::modified`]).
    pub fn keep_time(mut self, keep: bool) -> Self {
        self.into.keep_time = keep;
        self
    }

    /// The events that the new file survives once the download has succeeded; by default the process's end, not the
    /// machine's.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.into.durability = durability;
        self
    }
}

impl IntoFuture for FileDownload {
    type Output = Result<TransferReport, TransferError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        let into = self.into;
        self.order.run(|order| file::run(order, into)).boxed()
    }
}

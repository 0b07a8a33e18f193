//! [`Download`]: an object, the options of its download, and its target.
//!
//! Dropping the future aborts the part tasks and removes the temporary file, and no file appears under the target's
//! name. Only the files of [`FileDownload::resume`] remain.

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

    /// Other options for this transfer only. The client's limits still apply to all its transfers together.
    pub fn options(mut self, options: TransferOptions) -> Self {
        self.order.shared = self.order.shared.with_options(options);
        self
    }

    /// Records the transfer's course for the [report](TransferReport::timeline): a [`Moment`](crate::Moment) for each
    /// period, which is at least a millisecond. A long transfer has at most 4,096 of them. A download of one request
    /// has only the last.
    pub fn timeline(mut self, every: Duration) -> Self {
        self.order.shared.timeline = Some(every);
        self
    }

    /// Counts into `progress`, which several downloads may share.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.order.progress = progress.into();
        self
    }

    /// Downloads only these bytes of the object. As in HTTP, bytes past the object's end are ignored, and a range
    /// without any byte of the object is an error. The first byte of the range is the first byte of the target.
    pub fn range(mut self, bytes: impl RangeBounds<u64>) -> Self {
        self.order.object.range = ByteRange::of(bytes);
        self
    }

    /// This version of the object, not the newest one.
    pub fn version_id(mut self, version_id: impl Into<String>) -> Self {
        self.order.object.version_id = Some(version_id.into());
        self
    }

    /// The object's size, if it is known, for instance from a listing. An object that fits into one request is then
    /// requested without a range, and the answer carries its checksum: one request instead of two.
    pub fn object_bytes(mut self, bytes: u64) -> Self {
        self.order.object_bytes = Some(bytes);
        self
    }

    /// The customer's key with which the object is encrypted (SSE-C).
    pub fn sse_customer_key(mut self, key: SseCustomerKey) -> Self {
        self.order.object.sse_customer_key = Some(key);
        self
    }

    /// Says that the requester pays for the requests and the data.
    pub fn request_payer(mut self) -> Self {
        self.order.object.request_payer = true;
        self
    }

    /// The server refuses the requests if the bucket does not belong to this account.
    pub fn expected_bucket_owner(mut self, account_id: impl Into<String>) -> Self {
        self.order.object.expected_bucket_owner = Some(account_id.into());
        self
    }

    /// Into the file `target`, in an existing folder. An existing file is replaced atomically, and only by the whole
    /// object; until then the bytes are in a temporary file beside it. The download does not wait for the device unless
    /// [`FileDownload::durability`] says so.
    ///
    /// A file that grows beyond the process's limit (`ulimit -f`) raises SIGXFSZ, which ends the process by default. A
    /// program that wants [`TransferError::Disk`] ("File too large") instead must handle or ignore the signal:
    /// `tokio::signal::unix::signal(SignalKind::from_raw(25))` once, where 25 is SIGXFSZ (on Linux but for MIPS, and on
    /// macOS).
    ///
    /// A target that is not a regular file (a FIFO, a terminal, `/dev/stdout`) gets the bytes in order. `/dev/null`
    /// gets them in any order, like [`discard`](Self::discard).
    pub fn to_file(self, target: impl Into<PathBuf>) -> FileDownload {
        FileDownload { order: self.order, into: IntoFile::new(target.into()) }
    }

    /// To the caller's own sink, in any order and from several threads.
    ///
    /// # Errors
    ///
    /// [`TransferError`]. The caller has to discard the bytes that the sink took before.
    pub async fn to_write_at(self, sink: impl WriteAt) -> Result<TransferReport, TransferError> {
        self.order.run(|order| place::to_sink(order, sink)).boxed().await
    }

    /// Into memory, in one piece. The bytes count against
    /// [`memory_limit`](crate::TransferConfig::memory_limit) until the download is done.
    ///
    /// # Errors
    ///
    /// [`TransferError`]; [`TransferError::TooLarge`], before anything is fetched, if the bytes exceed the limit.
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
    /// download (back-pressure).
    ///
    /// A stream that is not read keeps the bytes that it has fetched and, when memory is short, one request of the
    /// client's `max_concurrency`. So there should not be more streams than that which wait for each other.
    ///
    /// A checksum that does not match is reported by the last item, after the bytes have been passed on.
    #[must_use = "a stream does nothing until it is polled"]
    pub fn stream(self) -> ObjectStream {
        ObjectStream::new(self.order)
    }

    /// To a writer, in order. At the end the writer is flushed, but not shut down.
    ///
    /// # Errors
    ///
    /// [`TransferError`]; [`TransferError::Sink`] when the writer fails.
    pub async fn to_writer(self, writer: impl AsyncWrite + Unpin) -> Result<TransferReport, TransferError> {
        self.order.run(|order| stream::to_writer(order, writer)).await
    }
}

impl FileDownload {
    /// Keeps the downloaded parts if the download ends early for any reason: an error, a Ctrl-C, a `kill -9` or a crash
    /// of the machine. The next download of the same object to the same target continues from them. Only the parts in
    /// flight are fetched again.
    ///
    /// A temporary file and its journal lie beside the target until the download succeeds. If the object was replaced
    /// meanwhile, the download fails with [`TransferError::ObjectChanged`], and the kept parts of the old version are
    /// removed. A temporary file that was cut, lengthened or swapped is not used; the download starts over.
    ///
    /// The kept parts are not read again unless [`verify_kept`](Self::verify_kept) asks for it; without it, the report
    /// says [`ValidatedAsReceived`](crate::Integrity::ValidatedAsReceived). While a download into the target is
    /// running, a second one fails. A download that follows a dropped one waits for the end of its tasks.
    ///
    /// On a file system without locks (for instance Lustre without `-o flock`) a running download cannot be detected.
    /// There the download runs as if this were `false`, and logs a `tracing` warning.
    pub fn resume(mut self, resume: bool) -> Self {
        self.into.resume = resume;
        self
    }

    /// Reads the kept parts of an earlier download back from the disk before they are used. Parts with changed bytes,
    /// or without a known checksum, are fetched again. So a broken device, or another program that wrote into the
    /// temporary file, cannot spoil the result. It costs the time to read them, and has no effect unless the download
    /// [resumes](Self::resume).
    pub fn verify_kept(mut self, verify: bool) -> Self {
        self.into.verify_kept = verify;
        self
    }

    /// Gives the file the time of the last change that is stored with the object, if there is one
    /// ([`TransferReport::modified`]).
    pub fn keep_time(mut self, keep: bool) -> Self {
        self.into.keep_time = keep;
        self
    }

    /// The events that the new file survives after a successful download; by default the end of the process, not a
    /// crash of the machine.
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

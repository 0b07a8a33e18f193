//! Uploads: the public builder, and the kinds of upload.
//!
//! An upload that is dropped leaves no object, or the whole object if the server had finished it. A separate task
//! aborts its multipart upload, or keeps it if it can be continued.

mod collected;
pub(crate) mod content;
pub(crate) mod ending;
mod known;
pub(crate) mod multipart;
pub(crate) mod order;
pub(crate) mod part;
mod resume;
pub(crate) mod source;

use std::future::IntoFuture;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::doors::blocking;
use crate::doors::source::{self as source_file, Opened, READ_BYTES};
use crate::doors::special;
use crate::engine::limits::files;
use crate::engine::session::Session;
use crate::engine::target::target_settings;
use crate::rules::media_type;
use crate::rules::parts::Wanted;
use crate::words::action::SourceAction;
use crate::words::checksum::ChecksumAlgorithm;
use crate::words::failure::{RequestError, TransferError};
use crate::words::mtime;
use crate::words::progress::Progress;
use crate::words::report::TransferReport;
use crate::words::target::ChecksumUse;
use content::ReadPace;
use order::{Order, Resume};
use part::Carrier;
use source::{Kind, UploadSource};

/// The time to open files, and to read small ones, over all uploads of this process: a small file is opened and read
/// once.
static FILES_PACE: LazyLock<ReadPace> = LazyLock::new(ReadPace::new);

/// An upload; [`Client::upload`](crate::Client::upload) makes it, and awaiting it runs it.
///
/// A source below [`multipart_threshold`](crate::TransferConfig::multipart_threshold) is one PutObject; a larger one,
/// or one of unknown length, is a multipart upload whose parts go in parallel (S3 User Guide, "Uploading and copying
/// objects using multipart upload"). The object appears when all its bytes are there and their checksum agrees, or not
/// at all. After an error the multipart upload is aborted before the error is returned; dropping the future aborts it
/// in the background.
///
/// Memory: a request that sends a file, or bytes in memory, holds a few buffers of it; a part of a stream is in memory
/// until the server has it. Both stay within [`memory_limit`](crate::TransferConfig::memory_limit).
///
/// # Errors
///
/// [`TransferError`]. An existing object is unchanged then.
#[derive(Debug)]
#[must_use = "an upload does nothing until it is awaited"]
pub struct Upload {
    order: Order,
}

target_settings!(Upload);

impl Upload {
    pub(crate) fn new(order: Order) -> Self {
        Self { order }
    }

    /// Counts into `progress`, which several transfers may share. Bytes count when they are handed to the network for
    /// the first time, and not again when they are resent.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.order.progress = progress.into();
        self
    }

    /// The size of a stream in bytes, if it is known; the part size is then chosen for it. A stream with more or fewer
    /// bytes is still uploaded.
    pub fn object_bytes(mut self, bytes: u64) -> Self {
        self.order.object_bytes = Some(bytes);
        self
    }

    /// Continues an earlier upload of the same file to the same place, whether it stopped in this process or in one
    /// that was killed. If this upload stops, it can be continued in turn: the parts stay at the server, and a small
    /// journal lies beside the file (`.s3xfer-upload-...`) until the object is there. At most one part per connection
    /// is sent twice. Off by default; without effect on sources other than files, and on uploads of one request.
    ///
    /// An upload that is dropped, or fails with an error that another attempt may avoid, then stays at the server until
    /// it is continued or [aborted](crate::Client::abort_stale). Meanwhile its parts are charged like objects. If the
    /// file's size, modification time or inode has changed, the earlier upload is aborted, a warning is logged, and
    /// [`resumed_bytes`](TransferReport::resumed_bytes) is 0. The same happens if another content type, metadata,
    /// encryption or checksum is requested. If no journal can be written beside the file, a warning says so, and the
    /// upload cannot be continued.
    pub fn resume(mut self, resume: bool) -> Self {
        self.order.resume = if resume { Resume::BesideTheFile } else { Resume::No };
        self
    }

    /// As [`resume`](Self::resume), with the journal in this existing folder.
    pub fn resume_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.order.resume = Resume::In(folder.into());
        self
    }

    /// Keeps the time of the file's last change in the object's metadata, as `mtime`: seconds of the Unix epoch with
    /// nine decimal places, as rclone writes them. It overrides a [`metadata`](Self::metadata) entry of that name.
    /// Without effect on sources other than files.
    pub fn keep_time(mut self, keep: bool) -> Self {
        self.order.keep_time = keep;
        self
    }

    /// The checksum that is computed while the bytes are read, sent to S3, and stored with the object, of the
    /// FULL_OBJECT type; CRC64NVME by default. The upload fails if the server refuses this algorithm.
    ///
    /// Some servers other than S3 refuse the default algorithm. Then the request is sent again without a checksum, and
    /// so are the client's later requests for that bucket. A warning is logged, and the report's
    /// [`integrity`](TransferReport::integrity) is [`NoChecksum`](crate::NotValidated::NoChecksum), unless the server's
    /// answers carry a checksum anyway.
    pub fn checksum(mut self, algorithm: ChecksumAlgorithm) -> Self {
        (self.order.target.checksum, self.order.target.checksum_use) = (algorithm, ChecksumUse::Chosen);
        self
    }

    /// Sends no checksum, so the server cannot check the bytes. It is for servers that refuse checksums in a way that
    /// is not recognised. Of this and [`checksum`](Self::checksum), the last call counts.
    pub fn without_checksum(mut self) -> Self {
        self.order.target.checksum_use = ChecksumUse::No;
        self
    }

    /// `Content-Type`. Without it, the type is guessed from the key's extension; for unknown extensions it is
    /// `application/octet-stream`.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.order.target.attributes.content_type = Some(content_type.into());
        self
    }

    /// Turns the guess off: without a given content type it is `application/octet-stream` for any key.
    pub fn no_guessed_content_type(mut self) -> Self {
        self.order.guess_content_type = false;
        self
    }

    /// `Cache-Control`, given back with the object.
    pub fn cache_control(mut self, cache_control: impl Into<String>) -> Self {
        self.order.target.attributes.cache_control = Some(cache_control.into());
        self
    }

    /// `Content-Disposition`, given back with the object.
    pub fn content_disposition(mut self, content_disposition: impl Into<String>) -> Self {
        self.order.target.attributes.content_disposition = Some(content_disposition.into());
        self
    }

    /// `Content-Encoding`, given back with the object. The bytes are sent unchanged.
    pub fn content_encoding(mut self, content_encoding: impl Into<String>) -> Self {
        self.order.target.attributes.content_encoding = Some(content_encoding.into());
        self
    }

    /// `Content-Language`, given back with the object.
    pub fn content_language(mut self, content_language: impl Into<String>) -> Self {
        self.order.target.attributes.content_language = Some(content_language.into());
        self
    }

    /// One more entry of the object's own metadata (`x-amz-meta-NAME`), ASCII both; at most 2 KiB in all.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.order.target.attributes.metadata.push((name.into(), value.into()));
        self
    }

    /// One more tag of the object, at most ten (S3 User Guide, "Categorizing your objects using tags").
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.order.target.attributes.tags.push((key.into(), value.into()));
        self
    }

    /// Says that the requester pays for the requests and the data.
    pub fn request_payer(mut self) -> Self {
        self.order.target.object.request_payer = true;
        self
    }
}

impl IntoFuture for Upload {
    type Output = Result<TransferReport, TransferError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.order.run(run).boxed()
    }
}

/// Opens the source: on this thread if it is a regular file and opening has been quick lately, otherwise on a thread
/// that may block.
///
/// # Errors
///
/// The operating system's word.
async fn open(path: PathBuf) -> io::Result<Opened> {
    let looked = path.clone();
    match FILES_PACE.run(0, move || source_file::open_regular(&looked)).await? {
        Some(file) => Ok(Opened::File(file)),
        None => blocking::run(move || source_file::open(&path)).await,
    }
}

async fn run(order: Order) -> Result<TransferReport, TransferError> {
    let Order { shared, source, mut target, object_bytes, guess_content_type, least_part_bytes, resume, .. } = order;
    let Order { keep_time, progress, .. } = order;
    target.check().map_err(|source| TransferError::Request {
        object: target.address().to_string(),
        source: RequestError::Argument { source },
    })?;
    if target.attributes.content_type.is_none() {
        let guess = media_type::guess(&target.address().key).filter(|_| guess_content_type);
        target.attributes.content_type = Some(guess.unwrap_or(media_type::UNKNOWN).to_owned());
    }
    let config = &shared.config;
    let wanted = Wanted {
        chunk_bytes: config.multipart_chunksize(),
        is_bound: config.adaptive_concurrency(),
        least_bytes: least_part_bytes,
    };
    let session = Session::of_uploads(shared);
    match source.kind {
        Kind::Bytes(bytes) => {
            let carrier = Carrier::new(session, target, None);
            known::run(&carrier, known::Known::Bytes(bytes), (wanted, Resume::No), progress).await
        }
        Kind::Stream(stream) => {
            let carrier = Carrier::new(session, target, None);
            collected::run(&carrier, stream, (wanted, object_bytes), progress).await
        }
        Kind::File(path) => {
            let opened = files().await;
            let failed = |action, source| TransferError::Source { from: path.display().to_string(), action, source };
            let (looked, path_too) = (path.clone(), path.clone());
            match open(looked).await {
                Ok(Opened::File(file)) => {
                    if let Some(time) = file.modified().filter(|_| keep_time).and_then(mtime::written) {
                        target.attributes.metadata.push((mtime::NAME.to_owned(), time));
                    }
                    let carrier = Carrier::new(session, target, Some(path_too));
                    // A large file has reads enough to be judged by its own.
                    let is_small = file.bytes() <= READ_BYTES;
                    let pace = if is_small { FILES_PACE.clone() } else { ReadPace::new() };
                    let source = known::Known::File(Arc::new(file), pace);
                    let report = known::run(&carrier, source, (wanted, resume), progress).await;
                    drop(opened);
                    report
                }
                Ok(Opened::Stream(file)) => {
                    let carrier = Carrier::new(session, target, Some(path_too));
                    let stream = UploadSource::reader(tokio::fs::File::from_std(file));
                    let Kind::Stream(stream) = stream.kind else { unreachable!("a reader is a stream") };
                    collected::run(&carrier, stream, (wanted, object_bytes), progress).await
                }
                Ok(Opened::Fifo) => {
                    let reader = special::from_writer(&path, session.config.first_byte_timeout()).await;
                    let source = UploadSource::reader(reader.map_err(|error| failed(SourceAction::Open, error))?);
                    let carrier = Carrier::new(session, target, Some(path_too));
                    let Kind::Stream(stream) = source.kind else { unreachable!("a reader is a stream") };
                    collected::run(&carrier, stream, (wanted, object_bytes), progress).await
                }
                Ok(Opened::NothingToRead) => Err(failed(SourceAction::SendKind, io::ErrorKind::InvalidInput.into())),
                Err(error) => Err(failed(SourceAction::Open, error)),
            }
        }
    }
}

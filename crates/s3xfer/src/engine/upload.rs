//! Uploads: the public builder, and the ways it can go.
//!
//! Dropped before its end, an upload leaves no object, or the whole one where the server had it already; the multipart
//! upload that it had begun is aborted by a task of its own, or kept where it can be gone on with.

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
use std::path::PathBuf;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::doors::blocking;
use crate::doors::source::{self as source_file, Opened};
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

/// An upload; [`Client::upload`](crate::Client::upload) makes it, and awaiting it runs it.
///
/// A source below [`multipart_threshold`](crate::TransferConfig::multipart_threshold) is one PutObject; a larger one,
/// or one of unknown length, is a multipart upload whose parts go in parallel (S3 User Guide, "Uploading and copying
/// objects using multipart upload"). The object appears when all its bytes are there and their checksum agrees, or not
/// at all. An error aborts the multipart upload before it is told; dropping the future does so in the background.
///
/// Memory: a request that sends a file, or bytes in memory, holds a few buffers of it; a part of a stream is in memory
/// until the server has it. Both stay within [`memory_limit`](crate::TransferConfig::memory_limit).
///
/// # Errors
///
/// [`TransferError`]. An object that was there before is as it was then.
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

    /// Counts into `progress`, together with the other transfers that do. Bytes count when they have been handed to the
    /// network for the first time; sent again, they do not count again.
    pub fn progress(mut self, progress: Progress) -> Self {
        self.order.progress = progress.into();
        self
    }

    /// The source's size, where a stream's is known: parts are then as large as that needs. A stream that brings more
    /// or less is uploaded all the same.
    pub fn object_bytes(mut self, bytes: u64) -> Self {
        self.order.object_bytes = Some(bytes);
        self
    }

    /// Goes on where an earlier upload of the same file to the same place stopped, be it in this process or in one that
    /// was killed, and leaves the means to do so where this one stops: the parts at the server, and a small journal
    /// beside the file (`.s3xfer-upload-...`), which goes when the object is there. At most one part a connection is
    /// sent twice. Off by default; without effect on sources other than files, and on those that are one request.
    ///
    /// An upload that is dropped, or fails with an error that another attempt may not meet, then stays at the server,
    /// where its parts are charged as objects are, until it is gone on with or [aborted](crate::Client::abort_stale). A
    /// file whose size, time of modification or inode differs is not gone on with: the earlier upload is aborted, a
    /// warning is logged, and [`resumed_bytes`](TransferReport::resumed_bytes) is 0. The same holds where another
    /// content type, metadata, encryption or checksum is asked for. Where no journal can be written beside the file, a
    /// warning says so, and the upload cannot be gone on with.
    pub fn resume(mut self, resume: bool) -> Self {
        self.order.resume = if resume { Resume::BesideTheFile } else { Resume::No };
        self
    }

    /// As [`resume`](Self::resume), with the journal in that folder, which has to be there.
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

    /// The checksum that is computed of the bytes as they are read, sent along, and kept by S3 with the object, of the
    /// FULL_OBJECT type; CRC64NVME by default. The upload fails where the server refuses it.
    ///
    /// Some servers other than S3 refuse the default, too. The request is then sent once more without a checksum, and
    /// the client's later requests for that bucket have none. A warning is logged, and the report's
    /// [`integrity`](TransferReport::integrity) is [`NoChecksum`](crate::NotValidated::NoChecksum) unless the server
    /// tells one all the same.
    pub fn checksum(mut self, algorithm: ChecksumAlgorithm) -> Self {
        (self.order.target.checksum, self.order.target.checksum_use) = (algorithm, ChecksumUse::Chosen);
        self
    }

    /// No request carries a checksum, so the server compares the bytes with nothing. For servers that refuse checksums
    /// in a way that is not recognised; see [`checksum`](Self::checksum), of which the last call counts.
    pub fn without_checksum(mut self) -> Self {
        self.order.target.checksum_use = ChecksumUse::No;
        self
    }

    /// `Content-Type`. Without it, the type is guessed from the key's extension; `application/octet-stream` where that
    /// says nothing.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.order.target.attributes.content_type = Some(content_type.into());
        self
    }

    /// The content type is `application/octet-stream` where none is given, for any key.
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

    /// `Content-Encoding`, given back with the object. The bytes are not encoded, they are as the source has them.
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
            match blocking::run(move || source_file::open(&looked)).await {
                Ok(Opened::File(file)) => {
                    if let Some(time) = file.modified().filter(|_| keep_time).and_then(mtime::written) {
                        target.attributes.metadata.push((mtime::NAME.to_owned(), time));
                    }
                    let carrier = Carrier::new(session, target, Some(path_too));
                    let source = known::Known::File(Arc::new(file), ReadPace::new());
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
                Ok(Opened::NothingToRead) => {
                    Err(failed(SourceAction::SendKind, std::io::ErrorKind::InvalidInput.into()))
                }
                Err(error) => Err(failed(SourceAction::Open, error)),
            }
        }
    }
}

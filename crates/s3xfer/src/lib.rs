//! Fast downloads, uploads and copies for S3: large objects in parallel parts, and whole folders.
//!
//! A download ends as the object's exact bytes under the target's name, or as a typed error and no file there. Every
//! request is pinned to the version that the first request saw. A body that breaks off is resumed at the byte where it
//! stopped. The bytes are compared with the object's checksum, and the file gets the target's name when it is whole. An
//! upload or a copy ends as the whole object, or as a typed error and nothing left at the server.
//!
//! No configuration is needed: the engine finds the number of requests and the size of parts while it transfers, and
//! remembers them for the next transfer ([`TransferMemory`]). [`TransferConfig`] has upper bounds for both. It has
//! boto3's eight parameters with the same names and meanings, so a configuration that was tuned for boto3 works here,
//! and the reverse. Buffers stay within its `memory_limit`, whatever the other values are. The report names the limit
//! of a transfer ([`Verdict`]).
//!
//! In this example the object is in a lab inside the process. For your own objects, begin with [`Client::from_env`] or
//! [`Client::builder`].
//!
//! ```
//! use s3xfer::Client;
//! # use s3lab::Lab;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let lab = Lab::builder().bucket("my-bucket").synthetic("my-bucket", "my/key", 20 << 20).build()?;
//! # let folder = tempfile::tempdir()?;
//! # let target = folder.path().join("target.bin");
//! let client = Client::builder()
//!     .endpoint_url(Lab::ENDPOINT)
//!     .keys(lab.access_key(), lab.secret_key())
//!     .http_client(lab.http_client())
//!     .without_environment()
//!     .build()
//!     .await?;
//! let report = client.download("my-bucket", "my/key").to_file(&target).await?;
//! assert_eq!(report.bytes, 20 << 20);
//! assert_eq!(std::fs::metadata(&target)?.len(), 20 << 20);
//! # Ok(())
//! # }
//! ```
//!
//! | into | by |
//! |---|---|
//! | a file, which appears whole; a crash can be continued | [`Download::to_file`], [`FileDownload::resume`] |
//! | a stream of bytes in order; any `AsyncWrite` | [`Download::stream`], [`Download::to_writer`] |
//! | memory | [`Download::to_bytes`] |
//! | your own sink, which is written at positions | [`Download::to_write_at`], [`WriteAt`], tested by [`conformance`] |
//! | nowhere | [`Download::discard`] |
//!
//! | other directions | by |
//! |---|---|
//! | a file, bytes or a stream into S3 | [`Client::upload`], [`UploadSource`] |
//! | an object to another place in S3 | [`Client::copy`] |
//! | all objects below a prefix into a folder | [`Client::download_prefix`] |
//! | all files below a folder into S3 | [`Client::upload_folder`] |
//! | all objects below a prefix to another place in S3 | [`Client::copy_prefix`] |
//! | the names below a prefix | [`Client::list`] |
//! | multipart uploads that were left unfinished | [`Client::abort_stale`] |
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `config` | yes | [`Client::from_env`], [`ClientBuilder::profile`], settings from AWS's variables, files, roles |
//!
//! Unix only: files are written at positions (`pwritev` on Linux).

#![cfg_attr(docsrs, feature(doc_cfg))]
// A library's words are for its callers; the programs print.
#![warn(clippy::print_stdout)]

#[cfg(not(unix))]
compile_error!("s3xfer needs Unix, because it writes files at positions and locks them");

mod doors;
mod engine;
mod rules;
mod words;

pub use aws_sdk_s3;
pub use bytes::Bytes;

pub use crate::doors::s3::ResolvedAccess;
pub use crate::engine::batch::across::PrefixCopy;
pub use crate::engine::batch::down::PrefixDownload;
pub use crate::engine::batch::up::FolderUpload;
pub use crate::engine::client::{Client, ClientBuilder};
pub use crate::engine::conformance;
pub use crate::engine::copy::Copy;
pub use crate::engine::download::stream::ObjectStream;
pub use crate::engine::download::{Download, FileDownload};
pub use crate::engine::listing::ObjectListing;
pub use crate::engine::memory::TransferMemory;
pub use crate::engine::stale::StaleUpload;
pub use crate::engine::upload::Upload;
pub use crate::engine::upload::source::UploadSource;
pub use crate::words::action::{DiskAction, Lacking, SinkAction, SourceAction};
pub use crate::words::batch::{
    BatchAction, BatchError, BatchItem, BatchOutcome, BatchReport, ItemError, OnFailure, Symlinks,
};
pub use crate::words::batch_progress::{BatchProgress, BatchSnapshot};
pub use crate::words::checksum::{ChecksumAlgorithm, Integrity, NotValidated};
pub use crate::words::client_error::ClientError;
pub use crate::words::compare::Compare;
pub use crate::words::config::{ConfigError, TransferConfig, TransferConfigBuilder, TransferOptions};
pub use crate::words::download_url::{DownloadUrl, DownloadUrlError};
pub use crate::words::durability::Durability;
pub use crate::words::failure::{RequestError, TransferError, TransferErrorKind};
pub use crate::words::globs::Globs;
pub use crate::words::listing::ListedObject;
pub use crate::words::names::NameError;
pub use crate::words::object::{Argument, ArgumentError, SseCustomerKey};
pub use crate::words::parameter::{Parameter, ParameterValue, Unit};
pub use crate::words::progress::{Progress, ProgressSnapshot};
pub use crate::words::report::{TransferReport, Waits};
pub use crate::words::sink::WriteAt;
pub use crate::words::target::ServerSideEncryption;
pub use crate::words::timeline::Moment;
pub use crate::words::uri::{S3Uri, S3UriError};
pub use crate::words::verdict::{Bottleneck, Evidence, Verdict};

/// The README's example is compiled, and run where it can be.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

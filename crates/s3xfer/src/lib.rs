//! Fast downloads from S3: one object in many ranges at once, written in place, exact or not at all.
//!
//! A download ends as the object's exact bytes under the target's name, or as a typed error and no file there. Every
//! request is pinned to the version that the first one saw; a body that breaks off is resumed at the byte where it
//! stopped; the bytes go to a temporary file that is renamed when it is whole. [`TransferConfig`] is boto3's, with the
//! same eight names and meanings, so a configuration that was tuned for one serves the other.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use s3xfer::{Client, TransferConfig};
//!
//! let config = TransferConfig::builder().max_concurrency(64).build()?;
//! let client = Client::from_env().await.with_config(config);
//! let report = client.download("my-bucket", "my/key").to_file("target.bin").await?;
//! println!("{} bytes in {:.1} s", report.bytes, report.elapsed.as_secs_f64());
//! # Ok(())
//! # }
//! ```
//!
//! | room | what is there |
//! |---|---|
//! | words | [`TransferConfig`], [`TransferReport`], [`Progress`], [`DownloadError`]: plain types, checked when made |
//! | rules | plan, retry, pacing, coalescing, Content-Range: pure functions and state machines |
//! | doors | S3 through aws-sdk-s3; the disk |
//! | engine | [`Client`], [`Download`]: the async code that moves bytes from one door to the other |
//!
//! Unix only: files are written at positions (`pwritev` on Linux).

mod doors;
mod engine;
mod rules;
mod words;

pub use crate::engine::client::Client;
pub use crate::engine::download::{Download, FileDownload};
pub use crate::words::config::{ConfigError, TransferConfig, TransferConfigBuilder};
pub use crate::words::failure::{DownloadError, DownloadErrorKind, RequestError};
pub use crate::words::progress::{Progress, ProgressSnapshot};
pub use crate::words::report::TransferReport;

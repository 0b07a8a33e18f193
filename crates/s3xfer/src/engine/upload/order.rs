//! [`Order`]: the source and target of an upload, and the client's limits for it.

use std::future::Future;
use std::path::PathBuf;

use super::source::UploadSource;
use crate::engine::deadline::in_time;
use crate::engine::shared::Shared;
use crate::words::failure::TransferError;
use crate::words::progress::{Progress, Share};
use crate::words::target::Target;

/// An upload that nobody has begun.
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) shared: Shared,
    pub(crate) source: UploadSource,
    pub(crate) target: Target,
    /// The size of a stream, where the caller knows it.
    pub(crate) object_bytes: Option<u64>,
    /// Whether the content type is guessed from the key where none is given.
    pub(crate) guess_content_type: bool,
    /// The size below which the server takes no part but the last.
    pub(crate) least_part_bytes: u64,
    pub(crate) resume: Resume,
    /// Whether the time of the file's last change is kept with the object.
    pub(crate) keep_time: bool,
    pub(crate) progress: Share,
}

/// Whether an upload of a file goes on where an earlier one stopped, and where that is written down.
#[derive(Debug, Clone, Default)]
pub(crate) enum Resume {
    #[default]
    No,
    BesideTheFile,
    In(PathBuf),
}

impl Order {
    pub(crate) fn new(shared: Shared, source: UploadSource, target: Target) -> Self {
        Self {
            shared,
            source,
            target,
            object_bytes: None,
            guess_content_type: true,
            least_part_bytes: crate::rules::parts::LEAST_PART_BYTES,
            resume: Resume::No,
            keep_time: false,
            progress: Progress::new().into(),
        }
    }

    /// Runs `upload` with this order, in no more than `transfer_timeout`. Its share of the progress is taken back
    /// unless it succeeds.
    ///
    /// # Errors
    ///
    /// [`TransferError::TimedOut`], and those of `upload`.
    pub(crate) async fn run<T, F>(self, upload: impl FnOnce(Self) -> F) -> Result<T, TransferError>
    where
        F: Future<Output = Result<T, TransferError>>,
    {
        let (limit, object) = (self.shared.config.transfer_timeout(), self.target.address().clone());
        in_time("upload", limit, object, self.progress.clone(), upload(self)).await
    }
}

//! [`BatchReport`]: the outcome of each object of a prefix or file of a folder, and their totals.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use crate::words::failure::TransferError;
use crate::words::names::NameError;

/// The policy of a batch after a failed object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnFailure {
    /// Ends with that error. Running transfers are dropped and leave nothing half-made.
    #[default]
    Stop,
    /// Continues with the others; the report counts the failures.
    GoOn,
}

/// The policy of an upload for symbolic links below its folder. The folder itself may be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Symlinks {
    /// Skips them; the report counts them as [left out](BatchReport::left_out).
    #[default]
    Skip,
    /// Uploads the files and folders that they lead to, anywhere on the machine. A link to a folder that it is in is an
    /// error.
    Follow,
}

/// The action for one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BatchAction {
    /// An object is downloaded, uploaded or copied.
    Transfer,
    /// An empty folder is made from a key that ends with `/`, or such an object from an empty folder.
    MakeFolder,
    /// A file or an object is deleted that the source does not have.
    Delete,
}

/// The outcome.
#[derive(Debug)]
#[non_exhaustive]
pub enum BatchOutcome {
    /// It is done.
    Done,
    /// A dry run would have done it.
    WouldBeDone,
    /// A sync found it the same on both sides.
    Unchanged,
    /// It is not a file: a symbolic link that is not followed, a FIFO, a socket, a device, or the temporary file of an
    /// unfinished download. Or it is the object with the source prefix as its key, in a copy to a whole bucket, where
    /// no key would remain for it.
    LeftOut,
    /// It failed.
    Failed(ItemError),
}

/// One object or file, and its outcome.
#[derive(Debug)]
#[non_exhaustive]
pub struct BatchItem {
    /// The path below the prefix and the folder, with `/` between names; an empty folder's ends with one.
    pub name: String,
    /// Its size; 0 where that is not known.
    pub bytes: u64,
    /// The action.
    pub action: BatchAction,
    /// Its outcome.
    pub outcome: BatchOutcome,
}

/// Why an object or a file of a batch failed.
///
/// Displays as a fragment with its name and the reason.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ItemError {
    /// The name cannot be one on the other side. Nothing was sent, and nothing written.
    #[error("{name} {source}")]
    Name {
        /// The key, or the path.
        name: String,
        /// Why not.
        source: NameError,
    },
    /// The transfer failed, or something on the disk did.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// The server did not delete the object.
    #[error("s3://{bucket}/{key} is not deleted: the server says {code}: {message}")]
    NotDeleted {
        /// Its bucket.
        bucket: String,
        /// Its key.
        key: String,
        /// S3's error code.
        code: String,
        /// The server's words.
        message: String,
    },
    /// One of the two prefixes of a copy is below the other: the copies would be copied, too.
    #[error("{source_prefix} and {target_prefix} overlap; copy to a prefix of its own")]
    Overlap {
        /// `s3://bucket/prefix`.
        source_prefix: String,
        /// `s3://bucket/prefix`.
        target_prefix: String,
    },
    /// A file or a folder cannot be examined. Its contents are unknown, so nothing there is deleted.
    #[error("{} cannot be examined", path.display())]
    Unlisted {
        /// Its path.
        path: PathBuf,
        /// The operating system's word.
        source: io::Error,
    },
}

/// The results of a batch. Failed items are given to the batch's `on_each`; the first
/// [`MOST_KEPT_FAILURES`](Self::MOST_KEPT_FAILURES) are also kept here.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct BatchReport {
    /// Objects transferred.
    pub transferred: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Empty folders made.
    pub folders: u64,
    /// Objects, or files, that a sync found the same on both sides.
    pub unchanged: u64,
    /// Objects or files deleted.
    pub deleted: u64,
    /// Names that are not files: links that are not followed, FIFOs, sockets, devices.
    pub left_out: u64,
    /// Objects that failed, and names that are not possible at the target.
    pub failed: u64,
    /// The first of these.
    pub failures: Vec<ItemError>,
    /// From the call to the end.
    pub elapsed: Duration,
    /// Whether this was a dry run: the figures count planned actions.
    pub dry_run: bool,
}

impl BatchReport {
    /// Most failures that a report keeps.
    pub const MOST_KEPT_FAILURES: usize = 100;

    /// Whether nothing has failed.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.failed == 0
    }

    /// Counts an item.
    pub(crate) fn count(&mut self, item: BatchItem) {
        match (item.outcome, item.action) {
            (BatchOutcome::Done | BatchOutcome::WouldBeDone, action) => match action {
                BatchAction::Transfer => {
                    (self.transferred, self.bytes) = (self.transferred + 1, self.bytes + item.bytes)
                }
                BatchAction::MakeFolder => self.folders += 1,
                BatchAction::Delete => self.deleted += 1,
            },
            (BatchOutcome::Unchanged, _) => self.unchanged += 1,
            (BatchOutcome::LeftOut, _) => self.left_out += 1,
            (BatchOutcome::Failed(error), _) => {
                self.failed += 1;
                if self.failures.len() < Self::MOST_KEPT_FAILURES {
                    self.failures.push(error);
                }
            }
        }
    }
}

/// The reason why a batch ended early, with the report of its work until then.
#[derive(Debug)]
#[non_exhaustive]
pub struct BatchError {
    /// The error.
    pub error: ItemError,
    /// The objects that were done before.
    pub report: Box<BatchReport>,
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for BatchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

//! [`DiskAction`], [`SourceAction`] and [`SinkAction`]: the step at which a file, a source or a sink failed.

use std::fmt;
use std::path::PathBuf;

/// A step on a target, or beside it, that failed. Displays as words that read after "cannot"; "it" is the target.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskAction {
    /// Examine the present file.
    Look,
    /// Follow a link to its file.
    FollowLink,
    /// Follow a link that leads nowhere.
    FollowDeadLink {
        /// The link's text.
        leads_to: PathBuf,
    },
    /// Put a file where a folder is.
    ReplaceFolder,
    /// Put a file where something other than a regular file is.
    ReplaceSpecial,
    /// Take a name that is a folder's.
    UseName,
    /// Open the folder that the target is in.
    OpenFolder,
    /// Open a FIFO or a device.
    Open,
    /// Wait for a FIFO to be read from.
    AwaitReader {
        /// Seconds of the wait.
        seconds: u64,
    },
    /// Close a FIFO or a device.
    Close,
    /// Create the temporary file.
    Create,
    /// Take the temporary file while another transfer has it.
    TakeFromRunning,
    /// Take the temporary file while the rest of a transfer that was dropped has it.
    TakeFromDropped,
    /// Reserve room on the device.
    Reserve {
        /// All that the file will have.
        bytes: u64,
    },
    /// Write bytes of the object.
    Write {
        /// Number of bytes.
        bytes: u64,
        /// The first one's place, counted from the first wanted byte.
        offset: u64,
    },
    /// Read kept bytes back.
    Read {
        /// Number of bytes.
        bytes: u64,
        /// The first one's place.
        offset: u64,
    },
    /// Learn how many bytes the file has.
    Measure,
    /// Discard kept bytes.
    Empty,
    /// Sync the bytes.
    SyncBytes,
    /// Sync the bytes and the name.
    SyncFile,
    /// Sync the folder, and so the name.
    SyncName,
    /// Close the temporary file.
    CloseTemporary,
    /// Make sure that the temporary file is whole.
    Publish,
    /// Give the temporary file its name, where it had none.
    Link,
    /// Give the temporary file its name.
    Rename,
    /// Remove the journal of an earlier transfer.
    RemoveJournal,
    /// Begin a journal.
    BeginJournal,
    /// Write to the journal.
    WriteJournal,
    /// Sync the journal.
    SyncJournal,
    /// Tie the temporary file to its journal.
    Mark,
    /// Remove that tie.
    Unmark,
    /// Take the journal of an upload while another one writes to it.
    TakeUploadJournal,
    /// Give the file the object's time.
    SetTime,
    /// Make a folder.
    MakeFolder,
    /// List a folder.
    ListFolder,
    /// Remove it.
    Remove,
}

impl fmt::Display for DiskAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Look => "look at it",
            Self::FollowLink => "follow the link to its file",
            Self::FollowDeadLink { leads_to } => {
                return write!(f, "follow the link: its target {} does not exist", leads_to.display());
            }
            Self::ReplaceFolder => "replace a folder by the object's file",
            Self::ReplaceSpecial => "replace it by the object's file",
            Self::UseName => "use it as a file's name",
            Self::OpenFolder => "open its folder",
            Self::Open => "open it for writing",
            Self::AwaitReader { seconds } => {
                return write!(f, "write to it: nobody has opened it for reading within {seconds} s");
            }
            Self::Close => "close it",
            Self::Create => "create a temporary file beside it",
            Self::TakeFromRunning => "stage a file for it: another download into it is running",
            Self::TakeFromDropped => "stage a file for it: the last download into it was dropped, but is still writing",
            Self::Reserve { bytes } => return write!(f, "reserve {bytes} bytes"),
            Self::Write { bytes, offset } => return write!(f, "write {bytes} bytes at {offset}"),
            Self::Read { bytes, offset } => {
                return write!(f, "read {bytes} bytes at {offset} of its temporary file");
            }
            Self::Measure => "read its size",
            Self::Empty => "empty its temporary file",
            Self::SyncBytes => "bring its bytes to the device",
            Self::SyncFile => "bring its bytes and its name to the device",
            Self::SyncName => "make sure that its new name is on the device",
            Self::CloseTemporary => "close its temporary file",
            Self::Publish => "publish its temporary file",
            Self::Link => "give it the finished temporary file",
            Self::Rename => "rename the finished temporary file to it",
            Self::RemoveJournal => "remove an earlier download's journal beside it",
            Self::BeginJournal => "begin the journal beside it",
            Self::WriteJournal => "write to the journal beside it",
            Self::SyncJournal => "bring its journal to the device",
            Self::Mark => "mark its temporary file",
            Self::Unmark => "cut the mark off its temporary file",
            Self::TakeUploadJournal => "go on with it: another upload of the same file to the same place is running",
            Self::SetTime => "give it the object's time",
            Self::MakeFolder => "make the folder",
            Self::ListFolder => "list the folder",
            Self::Remove => "remove it",
        })
    }
}

/// A step on the file that is uploaded, or on the stream, that failed. Displays as words that read after "cannot".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceAction {
    /// Open it.
    Open,
    /// Read its size.
    Look,
    /// Send a source that is neither a file nor readable like one, such as a folder.
    SendKind,
    /// Read bytes of it.
    Read {
        /// The first one's place, from its beginning.
        offset: u64,
    },
}

impl fmt::Display for SourceAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("open it"),
            Self::Look => f.write_str("read its size"),
            Self::SendKind => f.write_str("upload it: it is not a file, FIFO or device"),
            Self::Read { offset } => write!(f, "read it at byte {offset}"),
        }
    }
}

/// The thing that an upload of a stream cannot have while other streams hold it. Displays as a noun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lacking {
    /// Room for a part within [`memory_limit`](crate::TransferConfig::memory_limit).
    Memory,
    /// One of the [`max_concurrency`](crate::TransferConfig::max_concurrency) requests.
    Requests,
}

impl Lacking {
    /// The parameter to raise.
    pub(crate) fn parameter(self) -> &'static str {
        match self {
            Self::Memory => "memory_limit",
            Self::Requests => "max_concurrency",
        }
    }
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "room in memory for a part",
            Self::Requests => "every request that may be in flight",
        })
    }
}

/// Something that a sink was asked to take. Displays as words that read after "did not take".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkAction {
    /// The announcement of how many bytes will come.
    Reserve {
        /// Number of bytes.
        bytes: u64,
    },
    /// Bytes of the object.
    Write {
        /// Number of bytes.
        bytes: u64,
        /// The first one's place, counted from the first wanted byte.
        offset: u64,
    },
    /// The end of the bytes.
    Flush,
}

impl fmt::Display for SinkAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reserve { bytes } => write!(f, "a reservation of {bytes} bytes"),
            Self::Write { bytes, offset } => write!(f, "{bytes} bytes at {offset}"),
            Self::Flush => f.write_str("the end of the bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_told_in_words_that_read_after_cannot() {
        for (action, words) in [
            (DiskAction::Write { bytes: 5, offset: 7 }, "write 5 bytes at 7"),
            (DiskAction::Read { bytes: 5, offset: 7 }, "read 5 bytes at 7 of its temporary file"),
            (DiskAction::AwaitReader { seconds: 3 }, "write to it: nobody has opened it for reading within 3 s"),
            (DiskAction::Rename, "rename the finished temporary file to it"),
        ] {
            assert_eq!(action.to_string(), words);
        }
        assert_eq!(SinkAction::Reserve { bytes: 9 }.to_string(), "a reservation of 9 bytes");
        assert_eq!(SinkAction::Write { bytes: 9, offset: 1 }.to_string(), "9 bytes at 1");
    }
}

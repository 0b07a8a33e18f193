//! Staged files of dropped downloads of this process, until the last of their tasks has released them.
//!
//! A lock shows only that a file is in use. The next download has to know by whom: a running download is reported as an
//! error, but the rest of a dropped download ends in a moment.

use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use super::folder::unlock;

/// There are few at any time: finished ones are removed whenever another one is added.
static LEAVING: Mutex<Vec<Leaving>> = Mutex::new(Vec::new());

struct Leaving {
    open: Weak<()>,
    id: Id,
}

/// An open file, and whether it still is.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    /// The first error of a sync. The kernel reports it once for each open file, and then forgets it.
    sync_failed: OnceLock<Failure>,
    /// Behind the file, so that it goes after it: an `Arc` of the file itself counts nobody a moment before the file is
    /// closed and its lock free.
    open: Arc<()>,
}

/// Device and inode: of no other file as long as somebody has this one open.
type Id = (u64, u64);

/// Only threads that are about to end still write to it.
pub(super) fn add(file: &Opened) -> io::Result<()> {
    let id = id(file)?;
    let mut leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
    leaving.retain(|left| left.open.strong_count() > 0);
    leaving.push(Leaving { open: Arc::downgrade(&file.open), id });
    Ok(())
}

/// Whether a task that is about to end has `file`, which may have been opened by others as well.
pub(super) fn has(file: &File) -> io::Result<bool> {
    let id = id(file)?;
    let leaving = LEAVING.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(leaving.iter().any(|left| left.id == id && left.open.strong_count() > 0))
}

fn id(file: &File) -> io::Result<Id> {
    let found = file.metadata()?;
    Ok((found.dev(), found.ino()))
}

/// An error that can be returned more than once.
#[derive(Debug)]
struct Failure {
    kind: io::ErrorKind,
    text: String,
}

impl Opened {
    /// Syncs the file by `sync`, unless a sync of it failed before: then it fails again.
    pub(super) fn sync_once(&self, sync: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
        let again = |failure: &Failure| Err(io::Error::new(failure.kind, failure.text.clone()));
        if let Some(failure) = self.sync_failed.get() {
            return again(failure);
        }
        sync(&self.file).or_else(|error| {
            again(self.sync_failed.get_or_init(|| Failure { kind: error.kind(), text: error.to_string() }))
        })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        unlock(&self.file);
    }
}

impl From<File> for Opened {
    fn from(file: File) -> Self {
        Self { file, sync_failed: OnceLock::new(), open: Arc::default() }
    }
}

impl Deref for Opened {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

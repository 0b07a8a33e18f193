//! [`Calls`]: the disk's operations in order, for tests to observe and to make fail.
//!
//! Outside of tests no step is watched, and every one is taken.

use std::io;
use std::path::Path;
#[cfg(test)]
use std::sync::Arc;

/// A step whose place in the order, or whose failure, matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// The lock of a file that can be continued.
    Lock,
    /// A piece of the object.
    Write,
    /// The mark behind the object's bytes.
    Mark,
    /// The mark is taken off.
    Unmark,
    /// The data on the device.
    SyncData,
    /// A handle to the data is closed.
    Close,
    /// The data gets the target's name.
    Publish,
    /// A new beginning of the journal gets the journal's name.
    BeginJournal,
    /// A line at the journal's end.
    Record,
    /// The journal on the device.
    SyncJournal,
    /// The journal goes.
    RemoveJournal,
    /// The names in the folder on the device.
    SyncFolder,
}

/// Watches the steps in one folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calls {
    #[cfg(test)]
    watch: Option<Arc<tests::Watch>>,
}

impl Calls {
    /// Those in `folder`.
    pub(super) fn of(folder: &Path) -> Self {
        #[cfg(test)]
        return Self { watch: tests::Watch::of(folder) };
        #[cfg(not(test))]
        {
            let _ = folder;
            Self {}
        }
    }

    /// Takes the step, unless a test has it fail.
    pub(crate) fn take<T>(&self, call: Call, step: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        #[cfg(test)]
        if let Some(watch) = &self.watch {
            watch.see(call)?;
        }
        let _ = call;
        step()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::path::PathBuf;
    use std::sync::{Mutex, Weak};
    use std::thread::{self, ThreadId};

    use super::*;

    static WATCHES: Mutex<Vec<(PathBuf, Weak<Watch>)>> = Mutex::new(Vec::new());

    /// Sees every step in a folder as long as it lives.
    #[derive(Debug, Default)]
    pub(crate) struct Watch {
        seen: Mutex<Vec<(Call, ThreadId)>>,
        /// Each fails once.
        failures: Mutex<Vec<(Call, rustix::io::Errno)>>,
    }

    impl Watch {
        /// To be called before a file of that folder is opened.
        pub(crate) fn over(folder: &Path) -> Arc<Self> {
            let watch = Arc::new(Self::default());
            let mut watches = WATCHES.lock().unwrap();
            watches.retain(|(_, watch)| watch.strong_count() > 0);
            watches.push((folder.canonicalize().unwrap(), Arc::downgrade(&watch)));
            watch
        }

        pub(super) fn of(folder: &Path) -> Option<Arc<Self>> {
            let folder = folder.canonicalize().ok()?;
            let watches = WATCHES.lock().unwrap();
            watches.iter().find(|(watched, _)| *watched == folder).and_then(|(_, watch)| watch.upgrade())
        }

        pub(super) fn see(&self, call: Call) -> io::Result<()> {
            self.seen.lock().unwrap().push((call, thread::current().id()));
            let mut failures = self.failures.lock().unwrap();
            match failures.iter().position(|(failing, _)| *failing == call) {
                Some(at) => Err(failures.remove(at).1.into()),
                None => Ok(()),
            }
        }

        /// The next `call` ends with `errno`, and is not made. Those after it are.
        pub(crate) fn fail_once(&self, call: Call, errno: rustix::io::Errno) {
            self.failures.lock().unwrap().push((call, errno));
        }

        /// All steps so far, without those that only move bytes.
        pub(crate) fn steps(&self) -> Vec<Call> {
            let moves = [Call::Lock, Call::Write, Call::Mark, Call::Record];
            self.seen().into_iter().filter(|call| !moves.contains(call)).collect()
        }

        /// All steps so far.
        pub(crate) fn seen(&self) -> Vec<Call> {
            self.seen.lock().unwrap().iter().map(|(call, _)| *call).collect()
        }

        /// The steps that this thread has taken.
        pub(crate) fn by_this_thread(&self) -> Vec<Call> {
            let here = thread::current().id();
            let seen = self.seen.lock().unwrap();
            seen.iter().filter(|(_, thread)| *thread == here).map(|(call, _)| *call).collect()
        }
    }
}

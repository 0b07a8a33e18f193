//! `LockedFile`: a file with one holder at a time.

use std::fs::{File, TryLockError};
use std::ops::{Deref, DerefMut};

/// An open file and its lock (`flock`), which is released when this is dropped or the process ends.
///
/// A close alone might not release it at once: a program that another thread starts at that moment has a copy of every
/// open file, with its lock, until its own code begins.
#[derive(Debug)]
pub(crate) struct LockedFile(File);

impl LockedFile {
    /// Takes the lock of a file that was opened for this.
    ///
    /// # Errors
    /// Somebody else has it, or the file system has no locks.
    pub(crate) fn lock(file: File) -> Result<Self, TryLockError> {
        file.try_lock()?;
        Ok(Self(file))
    }
}

impl Drop for LockedFile {
    fn drop(&mut self) {
        // A lock that cannot be given back goes with the file.
        let _ = self.0.unlock();
    }
}

impl Deref for LockedFile {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for LockedFile {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_of_the_file_does_not_hold_the_lock() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let locked = LockedFile::lock(file.reopen().unwrap()).unwrap();
        // A program that is being started has such a copy.
        let copy = locked.try_clone().unwrap();
        assert!(matches!(LockedFile::lock(file.reopen().unwrap()), Err(TryLockError::WouldBlock)));
        drop(locked);
        LockedFile::lock(file.reopen().unwrap()).unwrap();
        drop(copy);
    }
}

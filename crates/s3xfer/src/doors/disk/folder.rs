//! [`Folder`]: the target's folder, held open, and the operations in it that staging consists of.
//!
//! Names are looked up in the open folder, so a change of the working directory during a download has no effect.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
#[cfg(target_os = "linux")]
use std::sync::OnceLock;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::calls::{Call, Calls};

/// Read and write for everybody, less the umask: as any program makes its files.
const ORDINARY: Mode = Mode::from_raw_mode(0o666);
/// For its owner alone.
const PRIVATE: Mode = Mode::from_raw_mode(0o600);

/// A link that another user put there is not followed, and a FIFO is not waited for.
const CAREFUL: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK);

#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
    calls: Calls,
}

/// Whether a lock was to be had.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lock {
    Taken,
    /// Another open file holds the lock.
    Held,
    /// The file system has none.
    Unknown,
}

impl Folder {
    /// The folder of a path.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        let access = OFlags::PATH;
        #[cfg(not(target_os = "linux"))]
        let access = OFlags::RDONLY;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let opened = rustix::fs::open(folder, access | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { fd: opened, calls: Calls::of(folder) })
    }

    /// A folder that is open already, at this path when it was opened.
    pub(super) fn opened(folder: &OwnedFd, path: &Path) -> io::Result<Self> {
        Ok(Self { fd: folder.try_clone()?, calls: Calls::of(path) })
    }

    /// The steps that tests watch.
    pub(crate) fn calls(&self) -> &Calls {
        &self.calls
    }

    /// The length in bytes of names that every folder accepts.
    pub(super) const ANY_NAME_MAX: usize = 64;

    /// Most bytes of a name in it, and never more than Linux and macOS allow anywhere.
    pub(super) fn name_max(&self) -> usize {
        /// `NAME_MAX`.
        const USUAL: u64 = 255;
        let told = rustix::fs::fstatvfs(&self.fd).map_or(0, |disk| disk.f_namemax);
        // Below this no temporary name could tell two targets apart; such a file system answers for itself.
        let most = if told < Self::ANY_NAME_MAX as u64 { USUAL } else { told.min(USUAL) };
        usize::try_from(most).expect("at most 255")
    }

    /// A file without a name, which the kernel removes with its last open file; `None` where that cannot be had or
    /// could not be given a name later.
    #[cfg(target_os = "linux")]
    pub(super) fn unnamed(&self) -> io::Result<Option<File>> {
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        let file = match rustix::fs::openat(&self.fd, ".", flags, ORDINARY) {
            Ok(file) => File::from(file),
            // The file system has no such files, or the kernel does not know the flag.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        };
        // Without /proc, as in some containers, older kernels let nothing but a privilege give it a name.
        static HAS_LINKS: OnceLock<bool> = OnceLock::new();
        Ok(HAS_LINKS.get_or_init(|| std::fs::symlink_metadata(link_of(&file)).is_ok()).then_some(file))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn unnamed(&self) -> io::Result<Option<File>> {
        Ok(None)
    }

    /// Gives a nameless file a name that is free.
    #[cfg(target_os = "linux")]
    pub(super) fn link(&self, file: &File, name: &OsStr) -> io::Result<()> {
        match self.link_open(file, name) {
            // A kernel before 6.10 answers so to processes without the privilege (open(2), O_TMPFILE); any kernel does
            // where the folder is gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.link_through_proc(file, name),
            linked => linked,
        }
    }

    /// Without a look into /proc, which makes an entry for any name that is asked for.
    #[cfg(target_os = "linux")]
    fn link_open(&self, file: &File, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::linkat(file, "", &self.fd, name, AtFlags::EMPTY_PATH)?)
    }

    #[cfg(target_os = "linux")]
    fn link_through_proc(&self, file: &File, name: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::linkat(rustix::fs::CWD, link_of(file), &self.fd, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn link(&self, _: &File, _: &OsStr) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A file that was not there before, to write and to read.
    pub(super) fn create_new(&self, name: &OsStr) -> io::Result<File> {
        let flags = CAREFUL | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(rustix::fs::openat(&self.fd, name, flags, ORDINARY)?.into())
    }

    /// An existing file that is ours, to write and to read.
    pub(crate) fn open_ours(&self, name: &OsStr) -> io::Result<File> {
        let file = rustix::fs::openat(&self.fd, name, CAREFUL | OFlags::RDWR, Mode::empty())?;
        self.ours(file)
    }

    /// An existing file that is ours, to read.
    pub(crate) fn read_ours(&self, name: &OsStr) -> io::Result<File> {
        let file = rustix::fs::openat(&self.fd, name, CAREFUL | OFlags::RDONLY, Mode::empty())?;
        self.ours(file)
    }

    /// An empty file that only its owner reads, in place of any earlier one; written at its end only.
    pub(crate) fn create_private(&self, name: &OsStr) -> io::Result<File> {
        let flags = CAREFUL | OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::EXCL;
        self.remove(name)?;
        Ok(rustix::fs::openat(&self.fd, name, flags, PRIVATE)?.into())
    }

    /// A file that was not there before, which only its owner reads and writes.
    pub(crate) fn create_ours(&self, name: &OsStr) -> io::Result<File> {
        let flags = CAREFUL | OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
        Ok(rustix::fs::openat(&self.fd, name, flags, PRIVATE)?.into())
    }

    /// A file that another user put under a predictable name could hold anything, now or later.
    fn ours(&self, file: OwnedFd) -> io::Result<File> {
        let found = rustix::fs::fstat(&file)?;
        if !rustix::fs::FileType::from_raw_mode(found.st_mode).is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        if found.st_uid != rustix::process::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it belongs to another user"));
        }
        Ok(file.into())
    }

    /// Whether a name leads to something.
    pub(crate) fn has(&self, name: &OsStr) -> bool {
        rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
    }

    /// Whether this file has this name.
    pub(crate) fn is(&self, file: &File, name: &OsStr) -> io::Result<bool> {
        let opened = rustix::fs::fstat(file)?;
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(named) => Ok((named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Takes the file's lock, if it is free. It belongs to the open file and goes with the last handle to it, however
    /// the process ends.
    pub(crate) fn lock(&self, file: &File) -> io::Result<Lock> {
        let lock = || rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive);
        match self.calls.take(Call::Lock, || Ok(rustix::io::retry_on_intr(lock)?)) {
            Ok(()) => Ok(Lock::Taken),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::WOULDBLOCK) => Ok(Lock::Held),
                Some(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(Lock::Unknown),
                _ => Err(error),
            },
        }
    }

    /// Atomic: a reader of `to` sees the old file or the new one.
    pub(crate) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        Ok(rustix::fs::renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Whether there was something to remove.
    pub(crate) fn remove(&self, name: &OsStr) -> io::Result<bool> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until the names in it are on the device.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.calls.take(Call::SyncFolder, || {
            // A descriptor that only names the folder (O_PATH) cannot be synced.
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let readable = rustix::fs::openat(&self.fd, ".", flags, Mode::empty())?;
            Ok(rustix::fs::fsync(readable.as_fd())?)
        })
    }
}

/// Releases the file's lock before the file is closed. A close alone might not release it at once: a program that
/// another thread starts at that moment has a copy of every open file, with its lock, until its own code begins.
pub(crate) fn unlock(file: &File) {
    // A lock that cannot be given back goes with the file.
    let _ = rustix::fs::flock(file, FlockOperation::Unlock);
}

/// Whether the file has more names than one. Writing to it would change the file under the other names too.
pub(super) fn has_other_names(file: &File) -> io::Result<bool> {
    Ok(rustix::fs::fstat(file)?.st_nlink > 1)
}

/// The place in /proc of an open file's link.
#[cfg(target_os = "linux")]
fn link_of(file: &File) -> std::path::PathBuf {
    use std::os::fd::AsRawFd;

    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;

    #[test]
    fn a_nameless_file_is_given_a_name_either_way_but_never_one_that_is_taken() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::of(&place.path().join("x")).unwrap();
        let Some(mut file) = folder.unnamed().unwrap() else {
            eprintln!("skipped: no files without a name in {}", place.path().display());
            return;
        };
        file.write_all(b"bytes").unwrap();
        folder.link_through_proc(&file, "proc".as_ref()).unwrap();
        folder.link(&file, "linked".as_ref()).unwrap();
        for name in ["proc", "linked"] {
            assert_eq!(fs::read(place.path().join(name)).unwrap(), b"bytes");
            assert_eq!(folder.link(&file, name.as_ref()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        }
        fs::remove_dir_all(place.path()).unwrap();
        assert_eq!(folder.link(&file, "gone".as_ref()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

//! A file that is uploaded: opened once, read at positions, and checked for changes.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use rustix::fs::OFlags;

use super::connector::buffers::{Buffers, FRAME_BYTES};
use crate::words::unfinished::SourceIdentity;

/// Most bytes that are read at once.
pub(crate) const READ_BYTES: u64 = FRAME_BYTES as u64;

/// Buffers of all uploads of this process.
static BUFFERS: LazyLock<Arc<Buffers>> = LazyLock::new(|| Buffers::of(FRAME_BYTES));

/// An open regular file.
#[derive(Debug)]
pub(crate) struct SourceFile {
    path: PathBuf,
    file: File,
    seen: SourceIdentity,
}

/// The kind of file that a path leads to.
#[derive(Debug)]
pub(crate) enum Opened {
    File(SourceFile),
    /// A terminal, a device, a pipe without a name: read in order, to its end.
    Stream(File),
    /// A FIFO with a name, which is not opened: see [`from_writer`](crate::doors::special::from_writer).
    Fifo,
    /// A folder, or a socket.
    NothingToRead,
}

fn seen(metadata: &Metadata) -> SourceIdentity {
    SourceIdentity {
        bytes: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        device: metadata.dev(),
        inode: metadata.ino(),
    }
}

/// Opens it, unless it is a named FIFO. Blocks.
///
/// # Errors
///
/// The operating system's word.
pub(crate) fn open(path: &Path) -> io::Result<Opened> {
    // A pipe without a name, such as the target of `/dev/stdin`, has no path of its own, and opens at once.
    if fs::metadata(path)?.file_type().is_fifo() && fs::canonicalize(path).is_ok() {
        return Ok(Opened::Fifo);
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let kind = metadata.file_type();
    Ok(match () {
        () if kind.is_file() => Opened::File(SourceFile { path: path.to_owned(), seen: seen(&metadata), file }),
        () if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() => Opened::Stream(file),
        () => Opened::NothingToRead,
    })
}

/// Like [`open`], for a regular file that opens without waiting; `None` if the caller must use `open`, on a thread that
/// may block. Files that are not regular are not touched.
///
/// # Errors
///
/// The operating system's word.
pub(crate) fn open_regular(path: &Path) -> io::Result<Option<SourceFile>> {
    if !fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    // Otherwise a FIFO that has replaced the file would wait for a writer, and a file with a lease would wait for the
    // program that holds the lease.
    let at_once = i32::try_from(OFlags::NONBLOCK.bits()).expect("a flag of open(2)");
    let file = match OpenOptions::new().read(true).custom_flags(at_once).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(None);
    }
    // Reads wait, on any file system.
    rustix::fs::fcntl_setfl(&file, rustix::fs::fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(Some(SourceFile { path: path.to_owned(), seen: seen(&metadata), file }))
}

impl SourceFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Size, time and inode when it was opened.
    pub(crate) fn identity(&self) -> &SourceIdentity {
        &self.seen
    }

    /// The time of its last change when it was opened; `None` before 1970.
    pub(crate) fn modified(&self) -> Option<SystemTime> {
        let (seconds, nanoseconds) = self.seen.modified;
        let since = Duration::new(u64::try_from(seconds).ok()?, u32::try_from(nanoseconds).ok()?);
        SystemTime::UNIX_EPOCH.checked_add(since)
    }

    /// Bytes when it was opened.
    pub(crate) fn bytes(&self) -> u64 {
        self.seen.bytes
    }

    /// Whether the file is unchanged since it was opened, by its size and modification time. Blocks.
    ///
    /// # Errors
    ///
    /// The operating system's word.
    pub(crate) fn is_unchanged(&self) -> io::Result<bool> {
        Ok(seen(&self.file.metadata()?) == self.seen)
    }

    /// Reads `bytes`, at most [`READ_BYTES`] of them. Blocks.
    ///
    /// # Errors
    ///
    /// The operating system's word; [`io::ErrorKind::UnexpectedEof`] when the file has become shorter.
    pub(crate) fn read(&self, bytes: &Range<u64>) -> io::Result<Bytes> {
        let mut frame = BUFFERS.take();
        let mut at = bytes.start;
        while at < bytes.end {
            // No more than a frame.
            let left = (bytes.end - at) as usize;
            let room = frame.room();
            let most = left.min(room.len());
            match self.file.read_at(&mut room[..most], at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    frame.advance(read);
                    at += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(frame.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_opened_without_waiting() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "bytes").unwrap();
        let file = open_regular(&at("file")).unwrap().unwrap();
        assert_eq!((file.bytes(), &*file.read(&(1..5)).unwrap()), (5, &b"ytes"[..]));
        assert!(!rustix::fs::fcntl_getfl(&file.file).unwrap().contains(OFlags::NONBLOCK));
        // Nobody writes into it: to open it would take for ever.
        rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for other in [at("fifo"), folder.path().to_owned(), "/dev/null".into()] {
            assert!(open_regular(&other).unwrap().is_none(), "{}", other.display());
        }
        assert_eq!(open_regular(&at("missing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}

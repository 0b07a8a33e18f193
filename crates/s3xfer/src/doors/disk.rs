//! The disk: a file beside the target, reserved before the first request, and given the target's name when it is whole.
//!
//! Everything here blocks; the caller chooses the thread. The journal (`journal.rs`) keeps the state of an interrupted
//! download.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustix::io::Errno;

use crate::doors::close::close;
use crate::words::action::DiskAction;
use crate::words::failure::TransferError;
use crate::words::piece::Piece;

mod calls;
mod folder;
mod leaving;
mod staged;
mod target;

pub(crate) use calls::Call;
use calls::Calls;
#[cfg(test)]
pub(crate) use calls::tests::Watch;
pub(crate) use folder::{Folder, Lock, unlock};
use leaving::Opened;
pub(crate) use staged::{Claimed, Place, StagedFile};
pub(crate) use target::{Target, classify};

/// The open file, to write to from anywhere.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile {
    file: Arc<Opened>,
    /// Its final name; errors name it.
    target: Arc<Path>,
    calls: Calls,
}

impl OpenFile {
    /// Reserves the file's room, so that a full disk is known before anything else is downloaded. The file's present
    /// bytes stay, and a longer file stays as long.
    ///
    /// On ext4 that costs nothing: 3 GiB are reserved within 10 ms, and writing them afterwards in pieces of 1 MiB
    /// takes 0.35 s of CPU, 0.55 s where only the length was set before (best of 8 runs each; extents are found, not
    /// made). In a file system that is memory, reserving clears every page that is then written: 3 GiB in `/dev/shm`
    /// take 2.1 s of CPU and 3.1 s in all, 1.1 s and 1.2 s with the length alone (best of 3). So there the look at the
    /// free room has to do.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`]. File systems that cannot reserve get the length only.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), TransferError> {
        let fail = |source| disk_error(&self.target, DiskAction::Reserve { bytes }, source);
        if bytes == 0 {
            return Ok(());
        }
        // Some file systems (ext4) take all the room there is before they say that it is not enough, and every other
        // program on the machine meets a full disk meanwhile.
        let disk = Disk::of(&self.file);
        if let Some(free) = disk.free
            && free < bytes
        {
            let held = rustix::fs::fstat(&**self.file).map_err(|errno| fail(errno.into()))?.st_blocks;
            if !has_room(bytes, u64::try_from(held).unwrap_or(0), free) {
                return Err(fail(io::ErrorKind::StorageFull.into()));
            }
        }
        let lengthen = || match self.file.metadata()?.len() < bytes {
            true => self.file.set_len(bytes),
            false => Ok(()),
        };
        if disk.is_memory {
            return lengthen().map_err(fail);
        }
        let reserved = loop {
            match rustix::fs::fallocate(&**self.file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => break lengthen(),
                other => break other.map_err(io::Error::from),
            }
        };
        reserved.map_err(fail)
    }

    /// Waits until all bytes that were written, by anybody, are on the device.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`]. Some of the bytes may be lost then. The kernel tells that once for each open file, so
    /// every later call fails with the same error.
    pub(crate) fn sync_data(&self) -> Result<(), TransferError> {
        self.file
            .sync_once(|file| self.calls.take(Call::SyncData, || file.sync_data()))
            .map_err(|source| disk_error(&self.target, DiskAction::SyncBytes, source))
    }

    /// As [`sync_data`](Self::sync_data), with everything that is known of the file.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn sync_all(&self) -> Result<(), TransferError> {
        self.file
            .sync_once(|file| self.calls.take(Call::SyncData, || file.sync_all()))
            .map_err(|source| disk_error(&self.target, DiskAction::SyncFile, source))
    }

    /// Gives the file a time at which it was last changed.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`].
    pub(crate) fn set_modified(&self, time: SystemTime) -> Result<(), TransferError> {
        let fail = |source| disk_error(&self.target, DiskAction::SetTime, source);
        self.file.set_modified(time).map_err(fail)
    }

    /// Closes a handle to the file and returns the file system's answer. Some (NFS, AFS, FUSE with quotas) take every
    /// write and tell only then that there was no room for it (close(2), "Dealing with error returns from close()").
    /// May wait for the network.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`]: bytes are lost.
    pub(crate) fn close_a_handle(&self) -> Result<(), TransferError> {
        let fail = |source| disk_error(&self.target, DiskAction::CloseTemporary, source);
        match self.file.try_clone() {
            Ok(handle) => self.calls.take(Call::Close, || close(handle)).map_err(fail),
            // No descriptor is left for a handle. A sync needs none and tells the same.
            Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::MFILE | Errno::NFILE)) => self.sync_data(),
            Err(error) => Err(fail(error)),
        }
    }

    /// Makes sure that the file has so many bytes, no more and no fewer.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`].
    pub(crate) fn must_have(&self, bytes: u64) -> Result<(), TransferError> {
        let length = self.len()?;
        if length == bytes {
            return Ok(());
        }
        let what = format!("it has {length} bytes instead of {bytes}, so another program has changed it; try again");
        let source = io::Error::new(io::ErrorKind::InvalidData, what);
        Err(disk_error(&self.target, DiskAction::Publish, source))
    }

    /// Bytes of the file as it is.
    pub(crate) fn len(&self) -> Result<u64, TransferError> {
        let found = self.file.metadata().map_err(|source| disk_error(&self.target, DiskAction::Measure, source))?;
        Ok(found.len())
    }

    /// Removes its contents.
    pub(crate) fn empty(&self) -> Result<(), TransferError> {
        self.file.set_len(0).map_err(|source| disk_error(&self.target, DiskAction::Empty, source))
    }

    /// Fills `buffer` with the bytes at `offset`. The file must be one that can be continued; others are only written.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`], also where the file has fewer bytes.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), TransferError> {
        self.file.read_exact_at(buffer, offset).map_err(|source| {
            let bytes = buffer.len() as u64;
            disk_error(&self.target, DiskAction::Read { bytes, offset }, source)
        })
    }

    /// Writes the mark of a file that can be continued, behind the object's bytes.
    pub(crate) fn write_mark(&self, mark: &[u8], offset: u64) -> io::Result<()> {
        self.calls.take(Call::Mark, || self.file.write_all_at(mark, offset))
    }

    /// Cuts the file behind the object's bytes.
    pub(crate) fn unmark(&self, bytes: u64) -> io::Result<()> {
        self.calls.take(Call::Unmark, || self.file.set_len(bytes))
    }

    /// Writes a piece at its place.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`].
    pub(crate) fn write(&self, piece: &Piece) -> Result<(), TransferError> {
        self.calls.take(Call::Write, || write_all_at(&self.file, piece)).map_err(|source| {
            let action = DiskAction::Write { bytes: piece.len(), offset: piece.offset };
            disk_error(&self.target, action, source)
        })
    }
}

/// One `pwritev` for a piece, more where the kernel takes less of it.
#[cfg(target_os = "linux")]
fn write_all_at(file: &File, piece: &Piece) -> io::Result<()> {
    /// `IOV_MAX`.
    const MOST_SLICES: usize = 1024;

    let mut offset = piece.offset;
    for frames in piece.frames.chunks(MOST_SLICES) {
        let mut slices: Vec<io::IoSlice<'_>> = frames.iter().map(|frame| io::IoSlice::new(frame)).collect();
        let mut rest = &mut slices[..];
        while !rest.is_empty() {
            let written = match rustix::io::pwritev(file, rest, offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno.into()),
            };
            offset += written as u64;
            io::IoSlice::advance_slices(&mut rest, written);
        }
    }
    Ok(())
}

/// Elsewhere, one write a frame.
#[cfg(not(target_os = "linux"))]
fn write_all_at(file: &File, piece: &Piece) -> io::Result<()> {
    let mut offset = piece.offset;
    for frame in &piece.frames {
        file.write_all_at(frame, offset)?;
        offset += frame.len() as u64;
    }
    Ok(())
}

/// Whether `bytes` fit into a file that holds so many blocks and a disk that has so many bytes free. A continued
/// download may already hold most of its room.
fn has_room(bytes: u64, held_blocks: u64, free: u64) -> bool {
    /// Bytes of a block in `st_blocks`, whatever the file system's own blocks are.
    const BLOCK: u64 = 512;

    bytes.saturating_sub(held_blocks.saturating_mul(BLOCK)) <= free
}

/// The file system that a file is in.
struct Disk {
    /// Bytes that are free; `None` where nobody counts them.
    free: Option<u64>,
    /// tmpfs or ramfs.
    is_memory: bool,
}

impl Disk {
    #[cfg(target_os = "linux")]
    fn of(file: &File) -> Self {
        /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of Linux's `magic.h`.
        const MAGIC: [u64; 2] = [0x0102_1994, 0x8584_58f6];

        let Ok(found) = rustix::fs::fstatfs(file) else {
            return Self { free: None, is_memory: false };
        };
        // Their types are not the same everywhere, and none of them is negative.
        let block = u64::try_from(if found.f_frsize > 0 { found.f_frsize } else { found.f_bsize }).unwrap_or(0);
        let free = (found.f_blocks > 0).then(|| found.f_bavail.saturating_mul(block));
        // The magic is the lower half, and may look negative.
        Self { free, is_memory: MAGIC.contains(&u64::from(found.f_type as u32)) }
    }

    #[cfg(not(target_os = "linux"))]
    fn of(file: &File) -> Self {
        let found = rustix::fs::fstatvfs(file).ok().filter(|found| found.f_blocks > 0);
        Self { free: found.map(|found| found.f_bavail.saturating_mul(found.f_frsize)), is_memory: false }
    }
}

fn disk_error(path: &Path, action: DiskAction, source: io::Error) -> TransferError {
    TransferError::Disk { path: path.to_owned(), action, source }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use bytes::Bytes;

    use super::*;
    use crate::words::failure::TransferErrorKind;

    fn opened(path: &Path) -> OpenFile {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
        OpenFile { file: Arc::new(file.into()), target: path.into(), calls: Calls::default() }
    }

    #[test]
    fn a_piece_of_more_frames_than_one_call_takes_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("object");
        let staged = StagedFile::create(&target).unwrap();
        let bytes: Vec<u8> = (0..5000_u32).map(|i| i as u8).collect();
        let frames = bytes.chunks(2).map(Bytes::copy_from_slice).collect();
        staged.open_file().write(&Piece { offset: 3, frames }).unwrap();
        staged.publish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), [vec![0; 3], bytes].concat());
    }

    #[test]
    fn a_full_disk_is_told_as_one() {
        let full = opened(Path::new("/dev/full"));
        let error = full.write(&Piece { offset: 0, frames: vec![Bytes::from_static(b"x")] }).unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::DiskFull, "{error}");
        let folder = tempfile::tempdir().unwrap();
        let error = opened(&folder.path().join("x")).reserve(1 << 60).unwrap_err();
        assert_eq!(error.kind(), TransferErrorKind::DiskFull, "{error}");
        assert_eq!(error.to_string().split(": ").nth(1), Some("cannot reserve 1152921504606846976 bytes"));
    }

    #[test]
    fn room_that_a_file_has_already_is_not_asked_for_again() {
        assert!(has_room(1000, 0, 1000) && !has_room(1001, 0, 1000));
        assert!(has_room(1512, 1, 1000) && !has_room(1513, 1, 1000));
        assert!(has_room(100, 8, 0) && !has_room(u64::MAX, 8, 1 << 62));
    }

    #[test]
    fn room_is_reserved_around_what_is_there() {
        // One of these is memory on most Linux machines, the other mostly is not.
        for folder in ["/dev/shm", "/var/tmp"].map(Path::new).iter().filter(|folder| folder.is_dir()) {
            let folder = tempfile::tempdir_in(folder).unwrap();
            let path = folder.path().join("x");
            fs::write(&path, "begun").unwrap();
            let file = opened(&path);
            file.reserve(100_000).unwrap();
            let bytes = fs::read(&path).unwrap();
            assert_eq!((bytes.len(), &bytes[..5], bytes[5..].iter().max()), (100_000, &b"begun"[..], Some(&0)));
            assert_eq!(file.len().unwrap(), 100_000);
            file.sync_data().unwrap();
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_file_system_that_is_memory_is_known_as_one_and_fills_no_page_beforehand() {
        use std::os::unix::fs::MetadataExt;

        let told = rustix::fs::statfs("/dev/shm").map(|found| found.f_type);
        if told.ok() != Some(0x0102_1994) {
            eprintln!("skipped: /dev/shm is not a tmpfs here");
            return;
        }
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        let path = folder.path().join("x");
        opened(&path).reserve(1 << 20).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().blocks(), 0);
    }
}

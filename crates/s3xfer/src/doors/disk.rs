//! The disk: a file beside the target, reserved before a byte is asked for, given its name when it is whole.
//!
//! Everything here blocks; who calls it decides on which thread. What a download that broke off leaves for the next one
//! is in the journal, next door.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::words::failure::DownloadError;
use crate::words::piece::Piece;

mod folder;
mod leaving;
mod staged;
mod target;

use leaving::Opened;
pub(crate) use staged::{Place, StagedFile};
pub(crate) use target::{Target, classify};

/// The open file, to write to from anywhere.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile {
    file: Arc<Opened>,
    /// What it will be called; errors are about that.
    target: Arc<Path>,
}

impl OpenFile {
    /// Reserves the file's room, so that a full disk is known before anything else is downloaded. What the file holds
    /// already stays.
    ///
    /// On ext4 that costs nothing: 3 GiB are reserved within 10 ms, and writing them afterwards in pieces of 1 MiB takes
    /// 0.35 s of CPU, 0.55 s where only the length was set before (best of 8 runs each; extents are found, not made). In a
    /// file system that is memory, reserving clears every page that is then written: 3 GiB in `/dev/shm` take 2.1 s of CPU
    /// and 3.1 s in all, 1.1 s and 1.2 s with the length alone (best of 3). So there the look at the free room has to do.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Disk`]. File systems that cannot reserve get the length only.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<(), DownloadError> {
        let fail = |source| disk_error(&self.target, &format!("reserve {bytes} bytes"), source);
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
        if disk.is_memory {
            return self.file.set_len(bytes).map_err(fail);
        }
        let reserved = loop {
            match rustix::fs::fallocate(&**self.file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => break self.file.set_len(bytes),
                other => break other.map_err(io::Error::from),
            }
        };
        reserved.map_err(fail)
    }

    /// Waits until all bytes that were written, by anybody, are on the device.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Disk`]. Some of the bytes may be lost then, and the kernel says so only once: another call that
    /// succeeds proves nothing.
    pub(crate) fn sync_data(&self) -> Result<(), DownloadError> {
        self.file.sync_data().map_err(|source| disk_error(&self.target, "bring its bytes to the device", source))
    }

    /// A device whose sync fails, as a broken one's does.
    #[cfg(test)]
    pub(crate) fn that_cannot_be_synced() -> Self {
        let path = Path::new("/dev/null");
        let file = File::options().write(true).open(path).expect("every Unix has it");
        Self { file: Arc::new(file.into()), target: path.into() }
    }

    /// Bytes of the file as it is.
    pub(crate) fn len(&self) -> Result<u64, DownloadError> {
        let found = self.file.metadata().map_err(|source| disk_error(&self.target, "look at its size", source))?;
        Ok(found.len())
    }

    /// Throws away what is in it.
    pub(crate) fn empty(&self) -> Result<(), DownloadError> {
        self.file.set_len(0).map_err(|source| disk_error(&self.target, "empty its temporary file", source))
    }

    /// Writes a piece at its place.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Disk`].
    pub(crate) fn write(&self, piece: &Piece) -> Result<(), DownloadError> {
        write_all_at(&self.file, piece).map_err(|source| {
            let action = format!("write {} bytes at {}", piece.len(), piece.offset);
            disk_error(&self.target, &action, source)
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
                Err(rustix::io::Errno::INTR) => continue,
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
        std::os::unix::fs::FileExt::write_all_at(file, frame, offset)?;
        offset += frame.len() as u64;
    }
    Ok(())
}

/// Whether `bytes` fit into a file that holds so many blocks and a disk that has so many bytes free. Of a download that is
/// continued, most of the room may be taken already.
fn has_room(bytes: u64, held_blocks: u64, free: u64) -> bool {
    /// Of `st_blocks`, whatever the file system's own are.
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

fn disk_error(path: &Path, action: &str, source: io::Error) -> DownloadError {
    DownloadError::Disk { path: path.to_owned(), action: action.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};

    use bytes::Bytes;

    use super::*;
    use crate::words::durability::Durability;
    use crate::words::failure::DownloadErrorKind;

    fn opened(path: &Path) -> OpenFile {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).unwrap();
        OpenFile { file: Arc::new(file.into()), target: path.into() }
    }

    #[test]
    fn a_piece_of_more_frames_than_one_call_takes_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("object");
        let staged = StagedFile::create(&target).unwrap();
        let bytes: Vec<u8> = (0..5000_u32).map(|i| i as u8).collect();
        let frames = bytes.chunks(2).map(Bytes::copy_from_slice).collect();
        staged.open_file().write(&Piece { offset: 3, frames }).unwrap();
        staged.publish(Durability::PageCache).unwrap();
        assert_eq!(fs::read(&target).unwrap(), [vec![0; 3], bytes].concat());
    }

    #[test]
    fn a_full_disk_is_told_as_one() {
        let full = opened(Path::new("/dev/full"));
        let error = full.write(&Piece { offset: 0, frames: vec![Bytes::from_static(b"x")] }).unwrap_err();
        assert_eq!(error.kind(), DownloadErrorKind::DiskFull, "{error}");
        let folder = tempfile::tempdir().unwrap();
        let error = opened(&folder.path().join("x")).reserve(1 << 60).unwrap_err();
        assert_eq!(error.kind(), DownloadErrorKind::DiskFull, "{error}");
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

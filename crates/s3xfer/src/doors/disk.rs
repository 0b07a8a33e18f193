//! The disk: a temporary file beside the target, reserved before a byte is asked for, renamed when it is whole.
//!
//! Everything here blocks; who calls it decides on which thread.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::words::failure::DownloadError;
use crate::words::piece::Piece;

/// Most bytes of a file name on the file systems that matter (`NAME_MAX` of Linux and macOS).
const NAME_MAX: usize = 255;

/// A file under its temporary name. Dropped before [`publish`](Self::publish), it is removed; a writer that still holds
/// the open file then writes into nothing.
#[derive(Debug)]
pub(crate) struct StagedFile {
    file: OpenFile,
    path: PathBuf,
    published: bool,
}

/// The open file, to write to from anywhere.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile {
    file: Arc<File>,
    /// What it will be called; errors are about that.
    target: Arc<Path>,
}

impl StagedFile {
    /// Creates the temporary file `.<name>.<nonce>.s3xfer` in the target's folder, so that a target that cannot be written is
    /// known before anything is downloaded.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Disk`] when the target is not a name for a regular file, or its folder is missing or read-only.
    pub(crate) fn create(target: &Path, nonce: u64) -> Result<Self, DownloadError> {
        let disk = |action: &str, source| disk_error(target, action, source);
        match fs::metadata(target) {
            Ok(found) if found.is_dir() => {
                return Err(disk("replace a folder by the object's file", io::ErrorKind::IsADirectory.into()));
            }
            Ok(found) if !found.is_file() => {
                let source = io::Error::new(io::ErrorKind::InvalidInput, "not a regular file");
                return Err(disk("replace it by the object's file", source));
            }
            _ => {}
        }
        // `file_name` passes over a slash at the end, which asks for a folder.
        let a_file = !target.as_os_str().as_encoded_bytes().ends_with(b"/");
        let name = target.file_name().filter(|_| a_file).ok_or_else(|| {
            disk("use it as a file's name", io::Error::new(io::ErrorKind::InvalidInput, "it names a folder"))
        })?;
        let suffix = format!(".{nonce:08x}.s3xfer");
        let name = name.to_string_lossy();
        let kept = (0..=name.len().min(NAME_MAX - 1 - suffix.len())).rev().find(|&end| name.is_char_boundary(end));
        let path = target.with_file_name(format!(".{}{suffix}", &name[..kept.unwrap_or(0)]));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|source| disk("create a temporary file beside it", source))?;
        let file = OpenFile { file: Arc::new(file), target: target.into() };
        Ok(Self { file, path, published: false })
    }

    /// A handle to reserve and write through.
    pub(crate) fn open_file(&self) -> OpenFile {
        self.file.clone()
    }

    /// Gives the file its name, in one step: whoever opens the target sees the old file or the whole new one. The bytes
    /// are in the kernel's hands by then, not necessarily on the device.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Disk`]; the temporary file is removed then.
    pub(crate) fn publish(mut self) -> Result<(), DownloadError> {
        fs::rename(&self.path, &self.file.target)
            .map_err(|source| disk_error(&self.file.target, "rename the finished temporary file to it", source))?;
        self.published = true;
        Ok(())
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a temporary file is left behind");
        }
    }
}

impl OpenFile {
    /// Reserves the file's room, so that a full disk is known before anything else is downloaded.
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
        if let Ok(disk) = rustix::fs::fstatvfs(&*self.file)
            && disk.f_blocks > 0
            && disk.f_bavail.saturating_mul(disk.f_frsize) < bytes
        {
            return Err(fail(io::ErrorKind::StorageFull.into()));
        }
        let reserved = loop {
            match rustix::fs::fallocate(&*self.file, rustix::fs::FallocateFlags::empty(), 0, bytes) {
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => break self.file.set_len(bytes),
                other => break other.map_err(io::Error::from),
            }
        };
        reserved.map_err(fail)
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

fn disk_error(path: &Path, action: &str, source: io::Error) -> DownloadError {
    DownloadError::Disk { path: path.to_owned(), action: action.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_piece_of_more_frames_than_one_call_takes_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("object");
        let staged = StagedFile::create(&target, 1).unwrap();
        let bytes: Vec<u8> = (0..5000_u32).map(|i| i as u8).collect();
        let frames = bytes.chunks(2).map(Bytes::copy_from_slice).collect();
        staged.open_file().write(&Piece { offset: 3, frames }).unwrap();
        staged.publish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), [vec![0; 3], bytes].concat());
    }

    #[test]
    fn a_file_that_is_not_published_is_removed_and_the_old_one_kept() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("object");
        fs::write(&target, "old").unwrap();
        let staged = StagedFile::create(&target, 2).unwrap();
        staged.open_file().reserve(1000).unwrap();
        drop(staged);
        assert_eq!(fs::read(&target).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_longest_name_still_leaves_room_for_the_temporary_one() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["n".repeat(NAME_MAX), "é".repeat(NAME_MAX / 2)] {
            let target = folder.path().join(&name);
            StagedFile::create(&target, u64::MAX).unwrap().publish().unwrap();
            assert!(target.exists());
        }
    }

    #[test]
    fn a_target_that_cannot_be_a_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for target in [folder.path().to_owned(), folder.path().join("missing/x"), PathBuf::from("/"), PathBuf::from("")]
        {
            let error = StagedFile::create(&target, 3).unwrap_err();
            assert!(matches!(error, DownloadError::Disk { .. }), "{error}");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}

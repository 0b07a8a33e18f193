//! [`Gauge`]: the progress of a download, for those that watch it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use s3xfer::Progress;

/// The progress of one download. Clones are of the same download.
///
/// For our own engine it counts the bytes that were written. For another program it measures the disk space of the
/// files in the target's folder, whatever their names are. A program that reserves the disk beforehand seems to be done
/// at once, and one that keeps bytes in memory seems to be late.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<Mutex<Source>>);

#[derive(Debug, Default)]
enum Source {
    /// No download has begun.
    #[default]
    Nothing,
    /// Ours counts.
    Progress(Progress),
    /// The folder that another program writes to.
    Folder { path: PathBuf, object_bytes: u64 },
}

impl Gauge {
    /// For one download.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The share of the object's bytes that is there, from 0 to 1; `None` where nothing is known. For another program
    /// it reads the folder again.
    #[must_use]
    pub fn fraction(&self) -> Option<f64> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Source::Nothing => None,
            Source::Progress(progress) => {
                let now = progress.snapshot();
                Some(share(now.written_bytes, now.total_bytes?))
            }
            Source::Folder { path, object_bytes } => Some(share(allocated(path)?, *object_bytes)),
        }
    }

    pub(super) fn watch_progress(&self) -> Progress {
        let progress = Progress::new();
        self.set(Source::Progress(progress.clone()));
        progress
    }

    /// Watches the folder of `target`.
    pub(super) fn watch_folder(&self, target: &Path, object_bytes: u64) {
        let path = target.parent().unwrap_or(Path::new("/")).to_owned();
        self.set(Source::Folder { path, object_bytes });
    }

    fn set(&self, source: Source) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = source;
    }
}

fn share(bytes: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { (bytes as f64 / of as f64).min(1.0) }
}

/// Bytes of the disk that the files in a folder take, those in folders below it included. `None` where the folder
/// cannot be read; a file that vanishes meanwhile counts nothing.
fn allocated(folder: &Path) -> Option<u64> {
    let below = |entry: fs::DirEntry| match entry.metadata() {
        // Links are not followed: they may lead anywhere.
        Ok(data) if data.is_dir() => allocated(&entry.path()).unwrap_or(0),
        // POSIX leaves the unit open; Linux and macOS count in 512 bytes, whatever the file system's block is.
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    Some(fs::read_dir(folder).ok()?.flatten().map(below).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_as_full_as_its_files_whatever_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let gauge = Gauge::new();
        assert_eq!(gauge.fraction(), None);
        gauge.watch_folder(&folder.path().join("out"), 4 << 20);
        assert_eq!(gauge.fraction(), Some(0.0));
        fs::create_dir(folder.path().join("parts")).unwrap();
        // A hole takes no disk: parts are often written out of turn.
        let sparse = fs::File::create(folder.path().join("parts/out.part")).unwrap();
        sparse.set_len(4 << 20).unwrap();
        let before = gauge.fraction().unwrap();
        assert!(before < 0.1, "{before}");
        fs::write(folder.path().join("out.a1b2"), vec![1; 1 << 20]).unwrap();
        let quarter = gauge.fraction().unwrap();
        assert!((0.24..0.35).contains(&quarter), "{quarter}");
        fs::write(folder.path().join("more"), vec![1; 8 << 20]).unwrap();
        assert_eq!(gauge.fraction(), Some(1.0));
        drop(folder);
        assert_eq!(gauge.fraction(), None);
    }
}

//! Files that appear whole or not at all: they are written beside their place, flushed to the disk, and then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The reason why a file of the run's folder could not be written. An earlier file at its path remains.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The path ends in no file name, as `..` does.
    #[error("write {}: the path names no file", path.display())]
    NoFileName {
        /// The path as given.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("write {}: {source}", path.display())]
    Io {
        /// The path of the file.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

/// Replaces the file at `path` by a file with these `bytes`. The folder must exist.
///
/// The temporary file's name contains the process id. Two processes that write the same path therefore do not mix their
/// bytes, and the later rename wins.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    let name = path.file_name().ok_or_else(|| WriteError::NoFileName { path: path.to_owned() })?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}.tmp", std::process::id()));
    let temporary = path.with_file_name(temporary_name);

    let written = write_and_rename(&temporary, path, bytes);
    if written.is_err() {
        // The first error is the one to report; a temporary file that cannot be removed changes nothing about it.
        let _ = fs::remove_file(&temporary);
    }
    written.map_err(|source| WriteError::Io { path: path.to_owned(), source })
}

fn write_and_rename(temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).open(temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    drop(file);
    fs::rename(temporary, path)?;
    // On Unix the new name itself is durable once its folder is; other systems cannot open a folder.
    if cfg!(unix) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_whole(&path, b"a longer first text").unwrap();
        write_whole(&path, b"second").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"second");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_what_was_there_and_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        fs::create_dir_all(path.join("inside")).unwrap();
        let error = write_whole(&path, b"x").unwrap_err();
        assert!(matches!(&error, WriteError::Io { path: named, .. } if *named == path), "{error}");
        assert!(path.join("inside").is_dir());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let error = write_whole(Path::new("no-such-folder/summary.json"), b"x").unwrap_err();
        assert!(error.to_string().starts_with("write no-such-folder/summary.json: "), "{error}");
        assert!(matches!(write_whole(Path::new(".."), b"x"), Err(WriteError::NoFileName { .. })));
    }
}

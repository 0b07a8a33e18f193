//! Closing a file with its error.
//!
//! Dropping a [`File`] discards the error of close(2). Some file systems accept every write and report a full disk or a
//! failed device only at the close: NFS, AFS, FUSE with a quota (close(2), "Dealing with error returns from close()").

use std::fs::File;
use std::io;

/// Closes `file`, and returns the file system's error. The descriptor is gone in any case.
///
/// It blocks: file systems that report errors late also do their work late. To have the error and the file, close a
/// duplicate ([`File::try_clone`]); such file systems flush at every close(2), not only at the last.
///
/// # Errors
///
/// The error of close(2), EINTR included: after it nothing proves that the bytes were accepted.
pub(crate) fn close(file: File) -> io::Result<()> {
    Ok(nix::unistd::close(file)?)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::fd::OwnedFd;

    use super::*;

    fn opened(path: &str) -> File {
        File::options().write(true).open(path).expect("a device that every Unix has")
    }

    #[test]
    fn a_file_is_closed_once_and_without_an_error_where_there_is_none() {
        close(opened("/dev/null")).unwrap();
        let file = opened("/dev/null");
        let duplicate = file.try_clone().unwrap();
        close(duplicate).unwrap();
        // The other one is open still.
        (&file).write_all(b"x").unwrap();
        close(file).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn an_error_that_a_write_told_is_not_told_again() {
        let file = opened("/dev/full");
        assert_eq!((&file).write_all(b"x").unwrap_err().kind(), io::ErrorKind::StorageFull);
        close(file).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn nobody_has_the_descriptor_afterwards() {
        let (reader, writer) = io::pipe().unwrap();
        close(File::from(OwnedFd::from(writer))).unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "", "the end is seen once all writers are closed");
    }
}

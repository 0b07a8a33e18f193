//! The file that a target's path leads to, and the names of the files beside it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::disk_error;
use crate::words::action::DiskAction;
use crate::words::failure::TransferError;

/// The file that a target's path leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A regular file, or a name that is free for one: the path with its last link resolved.
    Regular(PathBuf),
    /// The null device: bytes are for nobody.
    Null,
    /// A FIFO, a socket or another device: bytes go in order, and there is nothing to rename.
    Special,
}

/// Looks where `target` leads. A link is followed to the file it is for.
///
/// # Errors
///
/// [`TransferError::Disk`] when that is a folder, or a name for one (a slash at the end), or a link to nothing.
pub(crate) fn classify(target: &Path) -> Result<Target, TransferError> {
    let fail = |action, source| Err(disk_error(target, action, source));
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    // Most targets are free names, and one look is enough for them.
    let seen = fs::symlink_metadata(target);
    let is_link = seen.as_ref().is_ok_and(Metadata::is_symlink);
    match if is_link { fs::metadata(target) } else { seen } {
        Ok(found) if found.is_dir() => {
            return fail(DiskAction::ReplaceFolder, io::ErrorKind::IsADirectory.into());
        }
        Ok(found) if is_null(&found) => return Ok(Target::Null),
        Ok(found) if !found.is_file() => return Ok(Target::Special),
        Ok(_) if !is_link => return Ok(Target::Regular(target.to_owned())),
        Ok(_) => {
            let resolved = fs::canonicalize(target);
            return resolved
                .map_or_else(|source| fail(DiskAction::FollowLink, source), |path| Ok(Target::Regular(path)));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return fail(DiskAction::Look, error),
        Err(error) if is_link => {
            let leads_to = fs::read_link(target).unwrap_or_default();
            return fail(DiskAction::FollowDeadLink { leads_to }, error);
        }
        Err(_) => {}
    }
    // `file_name` passes over a slash at the end, which asks for a folder.
    let a_file = !target.as_os_str().as_bytes().ends_with(b"/");
    match target.file_name().filter(|_| a_file) {
        Some(_) => Ok(Target::Regular(target.to_owned())),
        None => fail(DiskAction::UseName, invalid("it names a folder")),
    }
}

/// Linux's null device is the character device 1:3, wherever its name is.
#[cfg(target_os = "linux")]
fn is_null(found: &Metadata) -> bool {
    found.file_type().is_char_device() && found.rdev() == rustix::fs::makedev(1, 3)
}

#[cfg(not(target_os = "linux"))]
fn is_null(found: &Metadata) -> bool {
    let null = || fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == found.rdev());
    found.file_type().is_char_device() && null()
}

/// The names of the files beside a target.
#[derive(Debug)]
pub(super) struct Names {
    /// The target itself.
    pub(super) target: OsString,
    /// The data of a download that can be continued.
    pub(super) data: OsString,
    /// Its journal.
    pub(super) journal: OsString,
    /// The journal's beginning, until it is whole.
    pub(super) journal_new: OsString,
    stem: OsString,
}

/// The longest ending: that of `journal_new`, or a numbered name with Linux's largest process id.
const LONGEST_ENDING: usize = ".s3xfer-4194304-9999".len();

/// For the target's name among those of `name_max` bytes.
const fn room(name_max: usize) -> usize {
    name_max - 1 - LONGEST_ENDING
}

impl Names {
    /// Whether the target's name need not be shortened where names have at most `name_max` bytes.
    pub(super) fn fit(target: &OsStr, name_max: usize) -> bool {
        target.len() <= room(name_max)
    }

    /// All names are functions of the target's name, so that the next download finds the files of an earlier one.
    ///
    /// A name that leaves no room for an ending is shortened by whole characters and carries a hash of all of it. (Two
    /// targets whose files met after all would take turns, not mix: a lock and the journal's checkpoint tell them
    /// apart.)
    pub(super) fn new(target: &OsStr, name_max: usize) -> Self {
        let room = room(name_max);
        let mut stem = OsString::from(".");
        if Self::fit(target, name_max) {
            stem.push(target);
        } else {
            let hash = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, target.as_bytes());
            let hash = format!("~{hash:016x}");
            let name = target.to_string_lossy();
            stem.push(&name[..name.floor_char_boundary(room - hash.len())]);
            stem.push(hash);
        }
        let with = |ending: &str| {
            let mut name = stem.clone();
            name.push(ending);
            name
        };
        Self {
            target: target.to_owned(),
            data: with(".s3xfer"),
            journal: with(".s3xfer-journal"),
            journal_new: with(".s3xfer-journal-new"),
            stem,
        }
    }

    /// The name of a file that exists for a moment, or whose usual name is taken: the `number`th of this process.
    pub(super) fn numbered(&self, number: u16) -> OsString {
        let mut name = self.stem.clone();
        name.push(format!(".s3xfer-{}-{number}", std::process::id()));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(target: &OsStr) -> Vec<OsString> {
        let names = Names::new(target, 255);
        let numbered = names.numbered(9999);
        vec![names.data, names.journal, names.journal_new, numbered]
    }

    #[test]
    fn names_that_are_shortened_alike_do_not_meet() {
        let (one, other) = (format!("{}one", "n".repeat(252)), format!("{}two", "n".repeat(252)));
        for (a, b) in all(one.as_ref()).iter().zip(&all(other.as_ref())) {
            assert_ne!(a, b);
            assert!(a.len() <= 255 && b.len() <= 255, "{a:?}");
        }
    }

    #[test]
    fn names_are_shortened_by_whole_characters_and_only_when_they_must() {
        for length in 1..=255 {
            let name: String = "é".repeat(length / 2) + &"x".repeat(length % 2);
            for beside in all(name.as_ref()) {
                assert!(beside.len() <= 255, "{beside:?}");
                let text = beside.to_str().unwrap();
                assert_eq!(text.starts_with(&format!(".{name}.")), length <= 255 - 1 - LONGEST_ENDING, "{text}");
            }
        }
        assert_eq!(all("object.bin".as_ref())[..2], [".object.bin.s3xfer", ".object.bin.s3xfer-journal"]);
    }

    #[test]
    fn names_that_are_not_text_stay_apart() {
        let [one, other] = [b"a\xff", b"a\xfe"].map(|name| OsStr::from_bytes(name).to_owned());
        assert_ne!(all(&one), all(&other));
        let long = |last: u8| OsString::from(OsStr::from_bytes(&[&[0xff; 250][..], &[last]].concat()));
        assert_ne!(all(&long(1)), all(&long(2)));
        assert!(all(&long(1)).iter().all(|name| name.len() <= 255));
    }

    #[test]
    fn a_target_is_what_it_leads_to() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(classify(&file).unwrap(), Target::Regular(file.clone()));
        let free = folder.path().join("free");
        assert_eq!(classify(&free).unwrap(), Target::Regular(free));

        let link = folder.path().join("link");
        std::os::unix::fs::symlink("file", &link).unwrap();
        let again = folder.path().join("again");
        std::os::unix::fs::symlink("link", &again).unwrap();
        assert_eq!(classify(&again).unwrap(), Target::Regular(fs::canonicalize(&file).unwrap()));

        assert_eq!(classify(Path::new("/dev/null")).unwrap(), Target::Null);
        let null = folder.path().join("null");
        std::os::unix::fs::symlink("/dev/null", &null).unwrap();
        assert_eq!(classify(&null).unwrap(), Target::Null);
        assert_eq!(classify(Path::new("/dev/zero")).unwrap(), Target::Special);
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(classify(&socket).unwrap(), Target::Special);
    }

    #[test]
    fn a_link_to_nothing_is_an_error_that_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).unwrap();
        let error = classify(&link).unwrap_err().to_string();
        assert!(error.contains("its target nowhere does not exist"), "{error}");
    }

    #[test]
    fn a_target_that_cannot_be_a_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let too_long = folder.path().join("n".repeat(256));
        let below_a_file = folder.path().join("file/x");
        let slash = folder.path().join("new/");
        for target in [folder.path(), Path::new("/"), Path::new(""), Path::new(".."), &too_long, &below_a_file, &slash]
        {
            let error = classify(target).unwrap_err();
            assert!(matches!(error, TransferError::Disk { .. }), "{error}");
        }
    }
}

//! A folder into which files are written, with everything below it. No link below it is followed: every folder on the
//! path is opened relative to its parent, without following links.
//!
//! The folder itself may be behind links, because the caller named it. Everything here blocks briefly.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Bound;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::words::action::DiskAction;
use crate::words::failure::TransferError;
use crate::words::names::NameError;

mod walk;

pub(crate) use walk::{Kind, Walk, Walked};

/// For everybody, less the umask: as any program makes its folders.
const ORDINARY: Mode = Mode::from_raw_mode(0o777);

/// A folder, open.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    fd: Arc<OwnedFd>,
    /// The folder that was asked for last: keys come in order, so the next one is likely to be in it, too.
    last: Mutex<Option<(String, Arc<OwnedFd>)>>,
    /// Folders that files are being put into, and how many. Such a folder may look empty: a file without a name is in
    /// it.
    in_use: Mutex<BTreeMap<String, usize>>,
}

/// Why something below the folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TreeError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Disk(#[from] TransferError),
}

/// A name for a file, in a folder that is open. [`Tree::remove`] leaves the folder alone until this is dropped.
#[derive(Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) folder: Arc<OwnedFd>,
    /// To be shown, and for its last part.
    pub(crate) path: PathBuf,
    _in_use: InUse<'a>,
}

/// Keeps a folder, and those above it, from being removed.
#[derive(Debug)]
struct InUse<'a> {
    tree: &'a Tree,
    folder: &'a str,
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        let mut in_use = self.tree.in_use();
        if let Some(files) = in_use.get_mut(self.folder) {
            *files -= 1;
            if *files == 0 {
                in_use.remove(self.folder);
            }
        }
    }
}

impl Tree {
    /// Opens the folder; if it does not exist and `make` is set, creates it first.
    ///
    /// # Errors
    ///
    /// [`TransferError::Disk`].
    pub(crate) fn open(root: &Path, make: bool) -> Result<Self, TransferError> {
        let fail = |action, source| TransferError::Disk { path: root.to_owned(), action, source };
        if make {
            fs::create_dir_all(root).map_err(|source| fail(DiskAction::MakeFolder, source))?;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(root, flags, Mode::empty());
        let fd = opened.map_err(|errno| fail(DiskAction::ListFolder, errno.into()))?;
        Ok(Self { root: root.to_owned(), fd: Arc::new(fd), last: Mutex::default(), in_use: Mutex::default() })
    }

    /// Most bytes of a name in it, as the file system says; 255 where it says nothing that can be.
    pub(crate) fn name_max(&self) -> usize {
        let told = rustix::fs::fstatvfs(&self.fd).map_or(0, |disk| disk.f_namemax);
        usize::try_from(told).ok().filter(|told| (8..=4096).contains(told)).unwrap_or(255)
    }

    /// Whether the folder ignores the case of names. The test writes nothing: it looks up an existing name, in the
    /// folder or beside it, in the other case. Without such a name, macOS and Windows count as ignoring the case, other
    /// systems not.
    pub(crate) fn ignores_case(&self) -> bool {
        let inside = fs::read_dir(&self.root).into_iter().flatten().flatten().take(100);
        let inside = inside.map(|entry| (self.fd.try_clone(), entry.file_name()));
        let own = fs::canonicalize(&self.root).ok();
        let beside = own.as_deref().and_then(|own| {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let parent = rustix::fs::open(own.parent()?, flags, Mode::empty()).map_err(io::Error::from);
            Some((parent, own.file_name()?.to_owned()))
        });
        for (folder, name) in inside.chain(beside) {
            let (Ok(folder), Some(name)) = (folder, name.to_str()) else { continue };
            let swapped: String = name.chars().map(other_case).collect();
            if swapped == name {
                continue;
            }
            let look = |name: &str| rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW);
            match (look(name), look(&swapped)) {
                (Ok(one), Ok(other)) => return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
                (Ok(_), Err(Errno::NOENT)) => return false,
                _ => {}
            }
        }
        cfg!(any(target_os = "macos", windows))
    }

    /// The path of something below it, for errors.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// The folder at this path below it, created if it is missing.
    ///
    /// # Errors
    ///
    /// [`NameError`] if the path leads through a link or a file, [`TransferError::Disk`].
    pub(crate) fn folder(&self, relative: &str) -> Result<Arc<OwnedFd>, TreeError> {
        let _in_use = self.use_folder(relative);
        self.walk_to(relative, true)
    }

    fn use_folder<'a>(&'a self, folder: &'a str) -> InUse<'a> {
        *self.in_use().entry(folder.to_owned()).or_default() += 1;
        InUse { tree: self, folder }
    }

    fn in_use(&self) -> MutexGuard<'_, BTreeMap<String, usize>> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn walk_to(&self, relative: &str, make: bool) -> Result<Arc<OwnedFd>, TreeError> {
        if relative.is_empty() {
            return Ok(self.fd.clone());
        }
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((path, fd)) = &*last
            && path == relative
        {
            return Ok(fd.clone());
        }
        let mut folder = self.fd.clone();
        let mut end = 0;
        for name in relative.split('/') {
            end += name.len();
            folder = Arc::new(self.step(&folder, name, &relative[..end], make)?);
            end += 1;
        }
        *last = Some((relative.to_owned(), folder.clone()));
        Ok(folder)
    }

    /// The folder `name` in `folder`.
    fn step(&self, folder: &OwnedFd, name: &str, path: &str, make: bool) -> Result<OwnedFd, TreeError> {
        let fail = |action, errno: Errno| TransferError::Disk { path: self.path(path), action, source: errno.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        let open = || rustix::fs::openat(folder, name, flags, Mode::empty());
        let opened = match open() {
            Err(Errno::NOENT) if make => match rustix::fs::mkdirat(folder, name, ORDINARY) {
                Ok(()) | Err(Errno::EXIST) => open(),
                Err(errno) => return Err(fail(DiskAction::MakeFolder, errno).into()),
            },
            opened => opened,
        };
        match opened {
            Ok(opened) => Ok(opened),
            // Linux says ENOTDIR for a link, too.
            Err(errno @ (Errno::NOTDIR | Errno::LOOP)) => {
                match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(found) if FileType::from_raw_mode(found.st_mode).is_symlink() => {
                        Err(NameError::BehindLink { link: path.to_owned() }.into())
                    }
                    Ok(_) => Err(NameError::FileInTheWay { file: path.to_owned() }.into()),
                    Err(_) => Err(fail(DiskAction::OpenFolder, errno).into()),
                }
            }
            Err(errno) => Err(fail(DiskAction::OpenFolder, errno).into()),
        }
    }

    /// A name for the file at this path, with the folders that lead there.
    ///
    /// # Errors
    ///
    /// As [`folder`](Self::folder); [`NameError::NotAFile`] if a link, a folder or a device has that name.
    pub(crate) fn spot<'a>(&'a self, relative: &'a str) -> Result<Spot<'a>, TreeError> {
        let (parent, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        let in_use = self.use_folder(parent);
        let folder = self.walk_to(parent, true)?;
        match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if !FileType::from_raw_mode(found.st_mode).is_file() => Err(NameError::NotAFile.into()),
            Ok(_) | Err(Errno::NOENT) => Ok(Spot { folder, path: self.path(relative), _in_use: in_use }),
            Err(errno) => {
                let (path, action) = (self.path(relative), DiskAction::Look);
                Err(TransferError::Disk { path, action, source: errno.into() }.into())
            }
        }
    }

    /// Whether [`spot`](Self::spot) would find a link, a file or a device in the way by now. Makes nothing.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn would_be_spot(&self, relative: &str) -> Result<(), TreeError> {
        let (parent, name) = relative.rsplit_once('/').unwrap_or(("", relative));
        let folder = match self.walk_to(parent, false) {
            Ok(folder) => folder,
            Err(TreeError::Disk(TransferError::Disk { source, .. })) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) if !FileType::from_raw_mode(found.st_mode).is_file() => Err(NameError::NotAFile.into()),
            _ => Ok(()),
        }
    }

    /// Removes the file or folder at this path, and then the folders above it that have become empty; a missing one
    /// counts as removed. `keep` selects the folders that stay. A folder that is not empty, or that a [`Spot`] is in,
    /// stays without an error.
    ///
    /// # Errors
    ///
    /// [`TreeError`].
    pub(crate) fn remove(&self, relative: &str, keep: impl Fn(&str) -> bool) -> Result<(), TreeError> {
        let asked = relative.trim_end_matches('/');
        let (mut path, mut is_folder) = (asked, relative.ends_with('/'));
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        loop {
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let folder = self.walk_to(parent, false)?;
            let removed = match is_folder {
                true => self.remove_folder(&folder, name, path),
                false => rustix::fs::unlinkat(&folder, name, AtFlags::empty()),
            };
            match removed {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(Errno::NOTEMPTY | Errno::EXIST) if is_folder => break,
                // Only the first one was asked for.
                Err(_) if path.len() < asked.len() => break,
                Err(errno) => {
                    let (path, action) = (self.path(path), DiskAction::Remove);
                    return Err(TransferError::Disk { path, action, source: errno.into() }.into());
                }
            }
            if parent.is_empty() || keep(parent) {
                break;
            }
            (path, is_folder) = (parent, true);
        }
        Ok(())
    }

    /// Removes the empty folder `name` in `folder`, whose path is `path`.
    ///
    /// # Errors
    ///
    /// The operating system's word; [`Errno::NOTEMPTY`] for a folder that a [`Spot`] is in or below, too.
    fn remove_folder(&self, folder: &OwnedFd, name: &str, path: &str) -> rustix::io::Result<()> {
        // Held until the folder is gone: the next spot in it creates it again.
        let in_use = self.in_use();
        let beginning = (Bound::Included(path), Bound::Unbounded);
        let mut used = in_use.range::<str, _>(beginning).map_while(|(used, _)| used.strip_prefix(path));
        if used.any(|rest| rest.is_empty() || rest.starts_with('/')) {
            return Err(Errno::NOTEMPTY);
        }
        let removed = rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
        removed
    }
}

fn other_case(letter: char) -> char {
    match letter.is_ascii_lowercase() {
        true => letter.to_ascii_uppercase(),
        false => letter.to_ascii_lowercase(),
    }
}

/// A time of the file system; `None` if this system cannot represent it.
fn time(seconds: i64, nanoseconds: i64) -> Option<SystemTime> {
    let nanoseconds = Duration::from_nanos(u64::try_from(nanoseconds).ok()?);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    match seconds < 0 {
        true => SystemTime::UNIX_EPOCH.checked_sub(whole)?.checked_add(nanoseconds),
        false => SystemTime::UNIX_EPOCH.checked_add(whole)?.checked_add(nanoseconds),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn name_error<T: std::fmt::Debug>(ended: Result<T, TreeError>) -> NameError {
        match ended {
            Err(TreeError::Name(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn folders_are_made_and_links_are_not_followed() {
        let (place, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let tree = Tree::open(&place.path().join("new/root"), true).unwrap();
        tree.spot("a/b/c").unwrap();
        assert!(place.path().join("new/root/a/b").is_dir());
        symlink(outside.path(), place.path().join("new/root/link")).unwrap();
        symlink("a", place.path().join("new/root/a/inside")).unwrap();
        let link = |link: &str| NameError::BehindLink { link: link.to_owned() };
        assert_eq!(name_error(tree.spot("link/x")), link("link"));
        assert_eq!(name_error(tree.would_be_spot("link/x")), link("link"));
        assert_eq!(name_error(tree.spot("a/inside/x")), link("a/inside"));
        assert_eq!(name_error(tree.spot("link")), NameError::NotAFile);
        assert_eq!(name_error(tree.spot("a")), NameError::NotAFile);
        fs::write(place.path().join("new/root/file"), "").unwrap();
        assert_eq!(name_error(tree.spot("file/x")), NameError::FileInTheWay { file: "file".to_owned() });
        assert!(tree.spot("file").is_ok());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_was_swapped_for_a_link_is_not_followed() {
        let (place, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let tree = Tree::open(place.path(), false).unwrap();
        let spot = tree.spot("a/x").unwrap();
        fs::rename(place.path().join("a"), place.path().join("b")).unwrap();
        symlink(outside.path(), place.path().join("a")).unwrap();
        let staged = crate::doors::disk::StagedFile::create_in(&spot.folder, &spot.path).unwrap();
        staged.publish().unwrap();
        assert!(place.path().join("b/x").is_file());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_goes_with_the_folders_that_it_leaves_empty() {
        let place = tempfile::tempdir().unwrap();
        let tree = Tree::open(place.path(), false).unwrap();
        for folder in ["a/b/c", "a/kept"] {
            tree.folder(folder).unwrap();
        }
        fs::write(place.path().join("a/b/c/x"), "").unwrap();
        tree.remove("a/b/c/x", |_| false).unwrap();
        assert!(!place.path().join("a/b").exists() && place.path().join("a/kept").exists());
        tree.remove("a/kept/", |folder| folder == "a").unwrap();
        assert!(place.path().join("a").is_dir());
        tree.remove("a/gone", |_| true).unwrap();
    }

    #[test]
    fn a_folder_with_something_in_it_stays_also_where_that_has_no_name_yet() {
        let place = tempfile::tempdir().unwrap();
        let tree = Tree::open(place.path(), false).unwrap();
        let spot = tree.spot("a/b/new").unwrap();
        for gone in ["a/b/old", "a/b/", "a/"] {
            tree.remove(gone, |_| false).unwrap();
            assert!(place.path().join("a/b").is_dir(), "{gone}");
        }
        tree.folder("a/b-2").unwrap();
        tree.remove("a/b-2/", |_| false).unwrap();
        assert!(!place.path().join("a/b-2").exists());
        drop(spot);
        fs::write(place.path().join("a/x"), "").unwrap();
        tree.remove("a/", |_| false).unwrap();
        tree.remove("a/b/", |_| false).unwrap();
        assert!(place.path().join("a/x").is_file() && !place.path().join("a/b").exists());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn case_is_told_by_what_is_there() {
        let place = tempfile::tempdir().unwrap();
        let tree = Tree::open(place.path(), false).unwrap();
        fs::write(place.path().join("Name"), "").unwrap();
        assert!(!tree.ignores_case());
        // The same file under both names is how a file system looks that ignores case.
        fs::hard_link(place.path().join("Name"), place.path().join("nAME")).unwrap();
        assert!(tree.ignores_case());
        assert_eq!(tree.name_max(), 255);
    }
}

//! [`Walk`]: the files below a folder, in the order of their keys.
//!
//! Memory: the names in the folders on the current path. It blocks.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::time;
use crate::doors::journal::upload::is_journal;
use crate::words::batch::Symlinks;

/// Something below the folder.
#[derive(Debug)]
pub(crate) struct Walked {
    /// The path below the folder, with `/` between names; the path of a folder ends with `/`. A name that is not text
    /// is shown approximately.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) kind: Kind,
}

/// The kinds of [`Walked`].
#[derive(Debug)]
pub(crate) enum Kind {
    File {
        bytes: u64,
        modified: Option<SystemTime>,
    },
    EmptyFolder {
        modified: Option<SystemTime>,
    },
    /// A link that is not followed, or something that has no bytes of its own: a FIFO, a socket, a device.
    NoFile,
    NotUtf8,
    /// It could not be examined: nothing is known of the names below it.
    Unlisted(io::Error),
}

/// Goes through a folder.
#[derive(Debug)]
pub(crate) struct Walk {
    links: Symlinks,
    /// The folders on the way, the outermost first.
    open: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    /// The way to it, empty or with a `/` at its end.
    name: String,
    path: PathBuf,
    /// In reverse order.
    entries: Vec<Entry>,
    /// Device and inode number, which detect a link back to a folder above.
    id: (u64, u64),
}

/// No more than its order needs: a folder may have millions.
#[derive(Debug)]
struct Entry {
    /// The name for comparisons in the order of keys: the name of a folder, or of a followed link to a folder, ends
    /// with `/`.
    sort: Vec<u8>,
    is_link: bool,
}

impl Entry {
    fn is_folder(&self) -> bool {
        self.sort.ends_with(b"/")
    }

    fn file_name(&self) -> &OsStr {
        OsStr::from_bytes(self.sort.strip_suffix(b"/").unwrap_or(&self.sort))
    }
}

impl Walk {
    /// Goes through `root`, which is a folder.
    ///
    /// # Errors
    ///
    /// The operating system's error if it cannot be listed.
    pub(crate) fn new(root: &Path, links: Symlinks) -> io::Result<Self> {
        let found = fs::metadata(root)?;
        let level = level(String::new(), root.to_owned(), (found.dev(), found.ino()), links)?;
        Ok(Self { links, open: vec![level] })
    }

    /// The entry's name as a key, and whether it is text; a name that is not text is converted with losses.
    fn named(level: &Level, entry: &Entry) -> (String, bool) {
        match std::str::from_utf8(&entry.sort) {
            Ok(name) => (format!("{}{name}", level.name), true),
            Err(_) => (format!("{}{}", level.name, String::from_utf8_lossy(&entry.sort)), false),
        }
    }
}

impl Iterator for Walk {
    type Item = Walked;

    fn next(&mut self) -> Option<Walked> {
        loop {
            let level = self.open.last_mut()?;
            let Some(entry) = level.entries.pop() else {
                self.open.pop();
                continue;
            };
            let (name, is_text) = Self::named(level, &entry);
            let path = level.path.join(entry.file_name());
            let walked = |kind| Some(Walked { name: name.clone(), path: path.clone(), kind });
            if entry.is_link && self.links == Symlinks::Skip {
                return walked(Kind::NoFile);
            }
            let found = match entry.is_link {
                true => fs::metadata(&path),
                false => fs::symlink_metadata(&path),
            };
            let found = match found {
                Ok(found) => found,
                // Gone since its folder was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !entry.is_link => continue,
                Err(error) => return walked(Kind::Unlisted(error)),
            };
            if !is_text {
                return walked(Kind::NotUtf8);
            }
            if found.is_dir() != entry.is_folder() {
                let what = "a file has become a folder, or the other way round, while it was looked at";
                return walked(Kind::Unlisted(io::Error::other(what)));
            }
            let modified = time(found.mtime(), found.mtime_nsec());
            if found.is_file() {
                return walked(Kind::File { bytes: found.len(), modified });
            }
            if !found.is_dir() {
                return walked(Kind::NoFile);
            }
            let id = (found.dev(), found.ino());
            let on_the_way: HashSet<(u64, u64)> = self.open.iter().map(|level| level.id).collect();
            if on_the_way.contains(&id) {
                let what = "it leads back to a folder that it is in; remove it, or skip symbolic links";
                return walked(Kind::Unlisted(io::Error::other(what)));
            }
            match self::level(name.clone(), path.clone(), id, self.links) {
                Ok(level) if level.entries.is_empty() => return walked(Kind::EmptyFolder { modified }),
                Ok(level) => self.open.push(level),
                Err(error) => return walked(Kind::Unlisted(error)),
            }
        }
    }
}

fn level(name: String, path: PathBuf, id: (u64, u64), links: Symlinks) -> io::Result<Level> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(&path)? {
        let entry = entry?;
        let file_name = entry.file_name();
        // The journal of an interrupted upload does not belong to the folder's files.
        if is_journal(&file_name) {
            continue;
        }
        let kind = entry.file_type()?;
        let is_link = kind.is_symlink();
        let is_folder = match is_link && links == Symlinks::Follow {
            true => fs::metadata(entry.path()).is_ok_and(|found| found.is_dir()),
            false => kind.is_dir(),
        };
        let mut sort = file_name.into_vec();
        if is_folder {
            sort.push(b'/');
        }
        entries.push(Entry { sort, is_link });
    }
    entries.sort_unstable_by(|one, other| other.sort.cmp(&one.sort));
    Ok(Level { name, path, entries, id })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(root: &Path, links: Symlinks) -> Vec<String> {
        Walk::new(root, links).unwrap().map(|walked| walked.name).collect()
    }

    #[test]
    fn files_come_in_the_order_of_their_keys() {
        let place = tempfile::tempdir().unwrap();
        for file in ["a/z", "a!", "a.txt", "a/b/c", "b", "é"] {
            let path = place.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file).unwrap();
        }
        fs::create_dir(place.path().join("empty")).unwrap();
        fs::write(place.path().join("a/.s3xfer-upload-0123456789abcdef"), "a journal").unwrap();
        for other in [".s3xfer-upload-0123456789abcdef0", ".s3xfer-upload-notes"] {
            fs::write(place.path().join(other), "no journal").unwrap();
        }
        let found = names(place.path(), Symlinks::Skip);
        assert_eq!(found[..2], [".s3xfer-upload-0123456789abcdef0", ".s3xfer-upload-notes"]);
        assert_eq!(found[2..], ["a!", "a.txt", "a/b/c", "a/z", "b", "empty/", "é"]);
        assert!(found.is_sorted());
    }

    #[test]
    fn a_name_that_changes_its_kind_meanwhile_is_told() {
        let place = tempfile::tempdir().unwrap();
        for file in ["a", "b", "c"] {
            fs::write(place.path().join(file), "").unwrap();
        }
        let mut walk = Walk::new(place.path(), Symlinks::Skip).unwrap();
        assert_eq!(walk.next().unwrap().name, "a");
        fs::remove_file(place.path().join("b")).unwrap();
        fs::remove_file(place.path().join("c")).unwrap();
        fs::create_dir(place.path().join("c")).unwrap();
        let next = walk.next().unwrap();
        assert!(matches!(&next, Walked { name, kind: Kind::Unlisted(_), .. } if name == "c"), "{next:?}");
        assert!(walk.next().is_none());
    }

    #[test]
    fn links_are_skipped_or_followed_but_not_in_circles() {
        let (place, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("x"), "x").unwrap();
        symlink(outside.path(), place.path().join("link")).unwrap();
        symlink(".", place.path().join("round")).unwrap();
        symlink("nowhere", place.path().join("dead")).unwrap();
        let kinds = |links| Walk::new(place.path(), links).unwrap().map(|w| (w.name, w.kind)).collect::<Vec<_>>();
        assert!(kinds(Symlinks::Skip).iter().all(|(_, kind)| matches!(kind, Kind::NoFile)));
        let followed = kinds(Symlinks::Follow);
        assert!(matches!(&followed[0], (name, Kind::Unlisted(_)) if name == "dead"), "{followed:?}");
        assert!(matches!(&followed[1], (name, Kind::File { bytes: 1, .. }) if name == "link/x"), "{followed:?}");
        assert!(matches!(&followed[2], (name, Kind::Unlisted(_)) if name == "round/"), "{followed:?}");
    }
}

//! [`UploadJournal`]: the record from which the next upload of the same file to the same place continues.
//!
//! It lies beside the file, or in a folder that the caller names, and is only appended to. Its first line is on the
//! device before the server is asked to begin, so a process or machine that ends at any moment leaves a record of the
//! upload that it may have begun. A part's record follows the server's answer. If a crash loses a record, that part is
//! sent again.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use super::format::{Chain, Lines, lines};
use crate::doors::disk::{Folder, Lock, unlock};
use crate::words::unfinished::{SavedUpload, Unfinished, UploadRecord};

/// Other versions are not read: their uploads are aborted with [`Client::abort_stale`](crate::Client::abort_stale).
const VERSION: u32 = 1;
/// The beginning of every journal's name. Sixteen hexadecimal digits follow.
const PREFIX: &str = ".s3xfer-upload-";
/// Nobody's journal is longer: 10,000 parts take less than 2 MB.
const MOST_BYTES: u64 = 16 << 20;
/// Times that a journal may be removed between its opening and its locking.
const LOOKS: u32 = 16;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    s3xfer_upload: u32,
    unfinished: Unfinished,
}

/// The journal of one upload, locked as long as it lives.
#[derive(Debug)]
pub(crate) struct UploadJournal {
    path: PathBuf,
    folder: Folder,
    name: OsString,
    file: File,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    chain: Chain,
    at: u64,
    /// Nothing is written any more: behind a torn line nothing counts.
    failed: bool,
}

/// The answer to a wish for a journal.
#[derive(Debug)]
pub(crate) enum Opened {
    /// It is the caller's, with the state that an earlier upload has left in it.
    Ours(Box<UploadJournal>, Option<Box<SavedUpload>>),
    /// There is none, and none was to be made.
    Absent,
    /// Another upload holds it.
    Held,
}

/// Whether a file of that name is a journal, or may be one.
pub(crate) fn is_journal(name: &OsStr) -> bool {
    let digits = name.as_bytes().strip_prefix(PREFIX.as_bytes());
    digits.is_some_and(|digits| {
        digits.len() == 16 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The path of the journal of an upload of the file `source` to that place, in `folder` or beside the file.
pub(crate) fn journal_path(source: &Path, place: [&str; 2], folder: Option<&Path>) -> io::Result<PathBuf> {
    // Elsewhere files of the same name meet.
    let (folder, named) = match folder {
        Some(folder) => (folder.to_owned(), std::path::absolute(source)?.into_os_string()),
        None => (source.with_file_name(""), source.file_name().unwrap_or(OsStr::new("")).to_owned()),
    };
    let mut text = Vec::new();
    for word in place.map(str::as_bytes).into_iter().chain([named.as_bytes()]) {
        text.extend_from_slice(&(word.len() as u64).to_le_bytes());
        text.extend_from_slice(word);
    }
    Ok(folder.join(format!("{PREFIX}{:016x}", super::format::hash(&text))))
}

impl UploadJournal {
    /// Opens the journal of that path and takes its lock; makes one if there is none and `make` says so. Blocks.
    ///
    /// # Errors
    ///
    /// The operating system's word; [`io::ErrorKind::Unsupported`] where files have no locks.
    pub(crate) fn open(path: &Path, make: bool) -> io::Result<Opened> {
        let folder = Folder::of(path)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
        for _ in 0..LOOKS {
            let file = match folder.open_ours(&name) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !make => return Ok(Opened::Absent),
                Err(error) if error.kind() == io::ErrorKind::NotFound => match folder.create_ours(&name) {
                    Ok(file) => file,
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                    Err(error) => return Err(error),
                },
                Err(error) => return Err(error),
            };
            match folder.lock(&file)? {
                Lock::Taken => {}
                Lock::Held => return Ok(Opened::Held),
                Lock::Unknown => return Err(io::ErrorKind::Unsupported.into()),
            }
            // Between opening and locking, the earlier owner may have removed it: the lock is then of a file without a
            // name.
            if !folder.is(&file, &name)? {
                continue;
            }
            let mut text = Vec::new();
            (&file).take(MOST_BYTES).read_to_end(&mut text)?;
            let read = lines::<Header, UploadRecord>(&text).filter(|lines| lines.header.s3xfer_upload == VERSION);
            let (saved, state) = match read {
                Some(Lines { header, records, bytes, chain }) => {
                    let state = State { chain, at: bytes as u64, failed: false };
                    (Some(SavedUpload::new(header.unfinished, records)), state)
                }
                None => (None, State { chain: Chain::START, at: 0, failed: false }),
            };
            // An incomplete last line is removed before anything is appended.
            file.set_len(state.at)?;
            let journal = Self { path: path.to_owned(), folder, name, file, state: Mutex::new(state) };
            return Ok(Opened::Ours(Box::new(journal), saved.map(Box::new)));
        }
        Err(io::ErrorKind::WouldBlock.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts over: the old contents are dropped. The journal is on the device when this returns. Blocks.
    ///
    /// # Errors
    ///
    /// The operating system's word.
    pub(crate) fn begin(&self, unfinished: Unfinished) -> io::Result<()> {
        let mut state = self.state();
        let (line, chain) = Chain::START.line(&Header { s3xfer_upload: VERSION, unfinished });
        state.failed = true;
        self.file.set_len(0)?;
        self.file.write_all_at(line.as_bytes(), 0)?;
        self.file.sync_data()?;
        self.folder.sync()?;
        *state = State { chain, at: line.len() as u64, failed: false };
        Ok(())
    }

    /// Adds a record. If a write fails, this record and all later ones are only logged: the upload continues, and a
    /// later upload sends those parts again. Blocks.
    pub(crate) fn add(&self, record: &UploadRecord) {
        let mut state = self.state();
        if state.failed {
            return;
        }
        let (line, next) = state.chain.line(record);
        match self.file.write_all_at(line.as_bytes(), state.at) {
            Ok(()) => {
                state.at += line.len() as u64;
                state.chain = next;
            }
            Err(error) => {
                state.failed = true;
                tracing::warn!(path = %self.path.display(), %error, "an upload's journal cannot be written any more");
            }
        }
    }

    /// Removes the journal, because there is nothing to continue. Blocks.
    pub(crate) fn remove(&self) {
        self.state().failed = true;
        if let Err(error) = self.folder.remove(&self.name) {
            tracing::warn!(path = %self.path.display(), %error, "the journal of an ended upload is left behind");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UploadJournal {
    fn drop(&mut self) {
        unlock(&self.file);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::words::unfinished::tests::{part, unfinished};

    fn open(path: &Path) -> (UploadJournal, Option<SavedUpload>) {
        match UploadJournal::open(path, true).unwrap() {
            Opened::Ours(journal, saved) => (*journal, saved.map(|saved| *saved)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_is_added_is_there_for_the_next_upload_and_a_torn_end_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        assert!(matches!(UploadJournal::open(&path, false).unwrap(), Opened::Absent));
        let (journal, saved) = open(&path);
        assert_eq!(saved, None);
        journal.begin(unfinished()).unwrap();
        let records = [
            UploadRecord::Begun { upload_id: "id".to_owned() },
            UploadRecord::Part(part(1, "\"b\"")),
            UploadRecord::Completing { checksum: u64::MAX, e_tag: None },
        ];
        records.iter().for_each(|record| journal.add(record));
        drop(journal);
        let whole = fs::read(&path).unwrap();
        assert_eq!(open(&path).1, Some(SavedUpload::new(unfinished(), records.clone())));
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let (journal, saved) = open(&path);
            let Some(saved) = saved else { continue };
            let known = [saved.upload_id.is_some(), !saved.parts.is_empty(), saved.completing.is_some()];
            let known = known.into_iter().take_while(|known| *known).count();
            assert_eq!(saved, SavedUpload::new(unfinished(), records[..known].to_vec()), "cut at {length}");
            // A record that is added behind a torn end is read.
            journal.add(&UploadRecord::Part(part(2, "\"c\"")));
            drop(journal);
            assert!(open(&path).1.unwrap().parts.contains_key(&2), "cut at {length}");
        }
    }

    #[test]
    fn a_journal_has_one_owner_and_is_gone_when_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let (journal, _) = open(&path);
        journal.begin(unfinished()).unwrap();
        assert!(matches!(UploadJournal::open(&path, true).unwrap(), Opened::Held));
        // A program that another thread starts has a copy of the open file for a moment.
        let copy = journal.file.try_clone().unwrap();
        drop(journal);
        let (journal, _) = open(&path);
        drop(copy);
        journal.remove();
        assert!(!path.exists());
        assert_eq!(open(&path).1, None);
    }

    #[test]
    fn journals_of_different_files_and_places_do_not_meet() {
        let name = |source: &str, place, folder: Option<&str>| {
            journal_path(Path::new(source), place, folder.map(Path::new)).unwrap()
        };
        let place = ["b", "k"];
        let one = name("/x/file", place, None);
        assert_eq!(one.parent(), Some(Path::new("/x")));
        assert_eq!(name("file", place, None).parent(), Some(Path::new("")));
        let others =
            [name("/x/other", place, None), name("/x/file", ["bk", ""], None), name("/x/file", ["b", "l"], None)];
        assert!(others.iter().all(|other| *other != one));
        assert_ne!(name("/x/file", place, Some("/j")), name("/y/file", place, Some("/j")));
        assert_eq!(name("/x/file", place, Some("/j")).parent(), Some(Path::new("/j")));
    }
}

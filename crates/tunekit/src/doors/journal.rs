//! `JournalFile`: events on disk, one JSON line each, appended and synced before their effects. The start of a trial is
//! synced with the next event ([`Event::may_wait`]).
//!
//! The study gives the events their meaning. A line counts once its end is written: a process that is killed while it
//! appends leaves at most one line without an end, and the next writer drops it. Any other line that cannot be read, or
//! that differs from the line that was written there ([`seal`]), is damage. It is reported with its line number, not
//! skipped.

mod seal;

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use self::seal::{Sealed, Seals};
use super::lock::LockedFile;
use crate::words::event::{Event, SEALED};

/// Why a journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file system refused.
    #[error("journal {}: cannot {action}: {source}", path.display())]
    Io {
        /// The journal.
        path: PathBuf,
        /// The operation that failed.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// Another process writes it.
    #[error("journal {} is being written by another process; wait for it, or use another journal", path.display())]
    Locked {
        /// The journal.
        path: PathBuf,
    },
    /// The file is not a journal.
    #[error("{} is not a journal; it was not changed; name another file", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// A line is not an event.
    #[error("journal {} is damaged in line {line}: {reason}; restore it, or cut it off before that line", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The fault in it.
        reason: String,
    },
}

/// The contents of a journal.
#[derive(Debug)]
#[non_exhaustive]
pub struct Contents {
    /// Its events, in order.
    pub events: Vec<Event>,
    /// Bytes after the last whole line, left by a killed writer: they are not an event, and are dropped.
    pub torn_bytes: usize,
    /// The checks so far, for the lines that follow.
    seals: Seals,
}

/// A journal open for appending, by one writer at a time: the file stays locked until this is dropped.
///
/// ```
/// use tunekit::{Domain, Metric, Setup, Space, Study};
/// use tunekit::journal::JournalFile;
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("journal.jsonl");
/// let space = Space::new().with("n", Domain::int(1, 8)?)?;
/// let mut study = Study::new(Setup::new(space, Metric::minimize("loss")))?;
/// let (mut journal, before) = JournalFile::open(&path)?;
/// assert!(before.events.is_empty());
/// let job = study.ask()?;
/// journal.append(&study.take_events())?;
/// drop(journal);
///
/// let mut again = Study::replay(JournalFile::read(&path)?.events)?;
/// again.interrupt_open();
/// assert_eq!(again.ask()?.assignment().map(|a| a.config), job.assignment().map(|a| a.config));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JournalFile {
    path: PathBuf,
    file: LockedFile,
    /// The end of the last whole line; `None` after a failure that could not be undone.
    len: Option<u64>,
    seals: Seals,
    /// The same for the part that is certainly on the disk.
    safe: (u64, Seals),
}

impl JournalFile {
    /// Opens a journal for appending, creates it if it is missing, and reads its contents. A torn last line is cut off;
    /// [`Contents::torn_bytes`] gives its length.
    ///
    /// # Errors
    /// The file system refuses, another process has it open, or a line is damaged.
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, Contents), JournalError> {
        let path = path.as_ref().to_path_buf();
        let fail = |action| io_error(&path, action);
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path).map_err(fail("open it"))?;
        let mut file = match LockedFile::lock(file) {
            Ok(file) => file,
            Err(TryLockError::WouldBlock) => return Err(JournalError::Locked { path }),
            Err(TryLockError::Error(source)) => return Err(fail("lock it")(source)),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(fail("read it"))?;
        let contents = parse(&path, &bytes)?;
        let len = (bytes.len() - contents.torn_bytes) as u64;
        if contents.torn_bytes > 0 {
            tracing::warn!(path = %path.display(), bytes = contents.torn_bytes, "the last line had no end, as after a kill while it was written; it is cut off");
            file.set_len(len).map_err(fail("cut off its torn last line"))?;
        }
        file.seek(SeekFrom::Start(len)).map_err(fail("seek in it"))?;
        // The file's name must outlive a crash too.
        if let Some(folder) = path.parent() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder).and_then(|f| f.sync_all()).map_err(fail("sync its folder"))?;
        }
        Ok((Self { path, file, len: Some(len), seals: contents.seals, safe: (len, contents.seals) }, contents))
    }

    /// Reads a journal without locking or changing it, even while a writer appends.
    ///
    /// # Errors
    /// The file system refuses, or a line is damaged.
    pub fn read(path: impl AsRef<Path>) -> Result<Contents, JournalError> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(io_error(path, "read it"))?;
        parse(path, &bytes)
    }

    /// The journal's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends events and returns once they are on the disk: all of them, or none after an error. Events that only
    /// start trials are handed to the operating system and reach the disk with the next events or
    /// [`JournalFile::sync`]; a kill of the process loses none of them.
    ///
    /// # Errors
    /// The file system refuses, for instance because the disk is full. The written part of the events is removed again,
    /// together with earlier events that had not reached the disk. If that fails, too, every later append fails, so
    /// that no event follows half a line.
    pub fn append(&mut self, events: &[Event]) -> Result<(), JournalError> {
        if events.is_empty() {
            return Ok(());
        }
        let Some(len) = self.len else {
            let source = io::Error::other("an earlier append failed half-way");
            return Err(io_error(&self.path, "append")(source));
        };
        let mut lines = String::new();
        let mut seals = self.seals;
        for event in events {
            lines.push_str(&seals.seal(&event.to_line()));
            lines.push('\n');
        }
        if let Err(source) = self.file.write_all(lines.as_bytes()) {
            self.take_back(len);
            return Err(io_error(&self.path, "append")(source));
        }
        self.len = Some(len + lines.len() as u64);
        self.seals = seals;
        if events.iter().all(Event::may_wait) { Ok(()) } else { self.sync() }
    }

    /// Returns once all appended events are on the disk. Call it before effects that depend on them, such as the
    /// removal of a checkpoint that the last events made superfluous.
    ///
    /// # Errors
    /// As [`JournalFile::append`].
    pub fn sync(&mut self) -> Result<(), JournalError> {
        let Some(len) = self.len.filter(|len| *len != self.safe.0) else { return Ok(()) };
        match self.file.sync_data() {
            Ok(()) => {
                self.safe = (len, self.seals);
                Ok(())
            }
            Err(source) => {
                let (len, seals) = self.safe;
                self.seals = seals;
                self.take_back(len);
                Err(io_error(&self.path, "sync")(source))
            }
        }
    }

    fn take_back(&mut self, len: u64) {
        let undone = self.file.set_len(len).and_then(|()| self.file.seek(SeekFrom::Start(len)));
        self.len = undone.ok();
    }
}

fn io_error(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_path_buf();
    move |source| JournalError::Io { path, action, source }
}

/// The beginning of every line.
const EVENT_START: &[u8] = br#"{"event":""#;

fn parse(path: &Path, bytes: &[u8]) -> Result<Contents, JournalError> {
    let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
    // Without a whole line, a killed writer can only have left the beginning of an event.
    if whole == 0 && !bytes.starts_with(EVENT_START) && !EVENT_START.starts_with(bytes) {
        return Err(JournalError::NotAJournal { path: path.to_path_buf() });
    }
    let mut seals = Seals::default();
    let mut events = Vec::new();
    for (i, line) in bytes[..whole].split_inclusive(|b| *b == b'\n').enumerate() {
        let damaged = |reason: String| JournalError::Damaged { path: path.to_path_buf(), line: i + 1, reason };
        let had_begun = seals.has_begun();
        let sealed = seals.check(&line[..line.len() - 1]);
        let event: Event = serde_json::from_slice(line).map_err(|error| damaged(error.to_string()))?;
        let must = had_begun || matches!(&event, Event::Header(header) if header.schema >= SEALED);
        match sealed {
            Sealed::Wrong => {
                return Err(damaged(
                    "its check does not match the line and those before it, so at least one of them was changed"
                        .to_owned(),
                ));
            }
            Sealed::No if must => return Err(damaged("its check is missing".to_owned())),
            Sealed::Yes | Sealed::No => events.push(event),
        }
    }
    // A whole line followed by a byte that is not a line end does not come from a killed writer.
    let torn = &bytes[whole..];
    if let Some((_, line)) = torn.split_last()
        && { seals }.check(line) == Sealed::Yes
    {
        let (path, line) = (path.to_path_buf(), events.len() + 1);
        return Err(JournalError::Damaged { path, line, reason: "its end is another byte".to_owned() });
    }
    Ok(Contents { events, torn_bytes: torn.len(), seals })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::trial::{Outcome, TrialId};

    fn event(trial: u64) -> Event {
        Event::Interrupt { trial: TrialId(trial), at_s: Some(1.5) }
    }

    #[test]
    fn what_is_appended_is_read_back_and_appended_to() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let (mut journal, contents) = JournalFile::open(&path).unwrap();
        assert!(contents.events.is_empty());
        journal.append(&[event(0), event(1)]).unwrap();
        drop(journal);
        let (mut journal, contents) = JournalFile::open(&path).unwrap();
        assert_eq!(contents.events, [event(0), event(1)]);
        journal.append(&[event(2)]).unwrap();
        assert_eq!(JournalFile::read(&path).unwrap().events, [event(0), event(1), event(2)]);
    }

    #[test]
    fn a_file_that_is_no_journal_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.json");
        for text in ["{\"some\": 1}", "x", "{\"events\": []}"] {
            std::fs::write(&path, text).unwrap();
            assert!(matches!(JournalFile::open(&path), Err(JournalError::NotAJournal { .. })), "{text}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_journal_torn_at_any_byte_keeps_its_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        // Longer than any later event, so that none leaves the rest of a torn line behind it.
        let long =
            |i| Event::Tell { trial: TrialId(i), outcome: Outcome::Failed("no route to host".to_owned()), at_s: None };
        let lines: Vec<String> = (0..3).map(|i| long(i).to_line() + "\n").collect();
        let text = lines.concat();
        for cut in 0..=text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            let (mut journal, contents) = JournalFile::open(&path).unwrap();
            let whole = text[..cut].matches('\n').count();
            assert_eq!(contents.events.len(), whole);
            assert_eq!(contents.torn_bytes, cut - lines[..whole].concat().len());
            journal.append(&[event(9)]).unwrap();
            drop(journal);
            let after = JournalFile::read(&path).unwrap();
            assert_eq!((after.events.len(), after.torn_bytes), (whole + 1, 0));
        }
    }

    /// A journal of a study, as this version writes it.
    fn written(path: &Path) -> Vec<u8> {
        let header = r#"{"event":"header","schema":4,"space":{"x":{"type":"int","lo":1,"hi":9}},"seed":1,
            "searcher":"random","scheduler":"fifo"}"#;
        let header: Event = serde_json::from_str(header).unwrap();
        let (mut journal, _) = JournalFile::open(path).unwrap();
        journal.append(&[header]).unwrap();
        for i in 0..3 {
            journal.append(&[event(i)]).unwrap();
        }
        // The same event twice is two lines that differ by their places alone.
        journal.append(&[event(1), event(1)]).unwrap();
        std::fs::read(path).unwrap()
    }

    #[test]
    fn every_bit_that_changed_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let bytes = written(&path);
        assert_eq!(parse(&path, &bytes).unwrap().events.len(), 6);
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[at] ^= 1 << bit;
                assert!(parse(&path, &changed).is_err(), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn lines_that_are_gone_doubled_or_elsewhere_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let bytes = written(&path);
        let lines: Vec<&[u8]> = bytes.split_inclusive(|b| *b == b'\n').collect();
        let noticed = |lines: &[&[u8]], what: &str| assert!(parse(&path, &lines.concat()).is_err(), "{what}");
        for i in 0..lines.len() {
            let mut doubled = lines.clone();
            doubled.insert(i, lines[i]);
            noticed(&doubled, "doubled");
            // Without its last line it is the journal of a study that had not come so far.
            if i + 1 < lines.len() {
                let mut gone = lines.clone();
                gone.remove(i);
                noticed(&gone, "gone");
            }
            for j in 0..i {
                let mut swapped = lines.clone();
                swapped.swap(i, j);
                noticed(&swapped, "swapped");
            }
        }
    }

    #[test]
    fn lines_of_earlier_versions_are_read_and_covered_by_those_that_follow() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let old = format!("{}\n{}\n", event(0).to_line(), event(1).to_line());
        std::fs::write(&path, &old).unwrap();
        let (mut journal, contents) = JournalFile::open(&path).unwrap();
        assert_eq!(contents.events.len(), 2);
        journal.append(&[event(2)]).unwrap();
        assert_eq!(JournalFile::read(&path).unwrap().events, [event(0), event(1), event(2)]);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(&old));
        // A bit in an old line is noticed now.
        std::fs::write(&path, text.replacen("1.5", "1.4", 1)).unwrap();
        assert!(matches!(JournalFile::read(&path), Err(JournalError::Damaged { line: 3, .. })));
        // A line without a check after one that has it did not come from a version of ours.
        std::fs::write(&path, format!("{text}{old}")).unwrap();
        assert!(matches!(JournalFile::read(&path), Err(JournalError::Damaged { line: 4, .. })));
    }

    #[test]
    fn damage_is_named_by_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        std::fs::write(&path, format!("{}\n{{\"event\":\"ask\"\n{}\n", event(0).to_line(), event(1).to_line()))
            .unwrap();
        for error in [JournalFile::open(&path).err(), JournalFile::read(&path).err()] {
            assert!(matches!(error, Some(JournalError::Damaged { line: 2, .. })), "{error:?}");
        }
    }

    #[test]
    fn a_second_writer_is_kept_out_and_a_reader_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("j");
        let (mut journal, _) = JournalFile::open(&path).unwrap();
        journal.append(&[event(0)]).unwrap();
        assert!(matches!(JournalFile::open(&path), Err(JournalError::Locked { .. })));
        assert_eq!(JournalFile::read(&path).unwrap().events.len(), 1);
    }
}

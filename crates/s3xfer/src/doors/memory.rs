//! The file of a [`TransferMemory`](crate::TransferMemory): JSON that people can read and delete.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use crate::doors::disk::{Folder, Lock, unlock};
use crate::words::found::{Found, Kept, Place};

/// Most places that are kept; the oldest go first.
const MOST_PLACES: usize = 1000;
/// Most bytes of a file that is read.
const MOST_BYTES: u64 = 4 << 20;
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    version: u32,
    places: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    endpoint: String,
    bucket: String,
    /// Seconds of the Unix epoch.
    found_at: u64,
    requests: f64,
    body_bytes_per_second: f64,
    first_byte_seconds: f64,
    /// Missing in files of versions that did not know it; those versions take a file that has it for another kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_answer_seconds: Option<f64>,
    link_was_full: bool,
    more_were_worse: bool,
    /// `null`: none were refused.
    requests_per_second: Option<f64>,
    least_part_bytes: f64,
}

/// Everything in the file; nothing where there is none.
///
/// # Errors
///
/// It cannot be read, or holds something else.
pub(crate) fn read(path: &Path) -> io::Result<Vec<(Place, Kept)>> {
    let wrong = |why: String| {
        let message =
            format!("{}: {why}; the file is not a memory of transfers; delete it or name another file", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    };
    let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
        Ok(metadata) if !metadata.is_file() => return Err(wrong("not a regular file".to_owned())),
        Ok(metadata) if metadata.len() > MOST_BYTES => return Err(wrong(format!("larger than {MOST_BYTES} bytes"))),
        Ok(_) => {}
    }
    let bytes = fs::read(path).map_err(failed)?;
    let contents: Contents = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    if contents.version != VERSION {
        return Err(wrong(format!("version {} of the format, not {VERSION}", contents.version)));
    }
    let entries = contents.places.into_iter().map(|entry| {
        let place = Place { endpoint: entry.endpoint, bucket: entry.bucket };
        let found = Found {
            requests: entry.requests,
            body_rate: entry.body_bytes_per_second,
            first_byte: entry.first_byte_seconds,
            first_answer: entry.first_answer_seconds,
            is_full: entry.link_was_full,
            more_are_worse: entry.more_were_worse,
            per_second: entry.requests_per_second,
            least_part: entry.least_part_bytes,
        };
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(entry.found_at));
        match (found.checked(), at) {
            (Some(found), Some(at)) => Ok((place, Kept { found, at })),
            _ => Err(wrong(format!("a number of {}, bucket {} is out of range", place.endpoint, place.bucket))),
        }
    });
    entries.collect()
}

/// Writes `ours` into the file, and keeps its other entries; for the same place, the newest. Waits while another
/// process does the same. Blocks.
///
/// # Errors
///
/// Those of [`read`]; it cannot be written. The file is as it was then.
pub(crate) fn merge(path: &Path, ours: Vec<(Place, Kept)>) -> io::Result<()> {
    merge_at(path, ours, SystemTime::now())
}

fn merge_at(path: &Path, ours: Vec<(Place, Kept)>, now: SystemTime) -> io::Result<()> {
    let _turn = Turn::take(path)?;
    // Written while the clock was ahead, an entry would stay the newest until the clock has reached it.
    let date = |kept: &Kept| if kept.at > now { SystemTime::UNIX_EPOCH } else { kept.at };
    let mut all: BTreeMap<Place, Kept> = BTreeMap::new();
    for (place, kept) in read(path)?.into_iter().chain(ours) {
        let newest = all.entry(place).or_insert(kept);
        if date(&kept) >= date(newest) {
            *newest = kept;
        }
    }
    while all.len() > MOST_PLACES {
        let oldest = all.iter().min_by_key(|(_, kept)| date(kept)).map(|(place, _)| place.clone());
        oldest.and_then(|place| all.remove(&place));
    }
    let entries = all.into_iter().map(|(Place { endpoint, bucket }, Kept { found, at })| Entry {
        endpoint,
        bucket,
        found_at: at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        requests: found.requests,
        body_bytes_per_second: found.body_rate,
        first_byte_seconds: found.first_byte,
        first_answer_seconds: found.first_answer,
        link_was_full: found.is_full,
        more_were_worse: found.more_are_worse,
        requests_per_second: found.per_second,
        least_part_bytes: found.least_part,
    });
    let mut text = serde_json::to_vec_pretty(&Contents { version: VERSION, places: entries.collect() })?;
    text.push(b'\n');
    replace(path, &text).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The right to read the file and replace it. It is the lock of a file beside it, which goes when this is dropped.
struct Turn {
    folder: Folder,
    name: OsString,
    file: File,
}

impl Turn {
    /// Waits until no other process holds the lock. If the file system has no locks, or the owner hangs, it continues
    /// without the lock: the file is still replaced in one step, but an entry may be lost.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        /// A merge takes milliseconds; a process that was stopped in the middle of one keeps its lock.
        const PATIENCE: Duration = Duration::from_secs(5);
        const PAUSE: Duration = Duration::from_millis(2);

        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let beside = path.with_file_name(&name);
        let failed = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", beside.display()));
        let folder = Folder::of(path).map_err(failed)?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let opened = match folder.open_ours(&name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => folder.create_ours(&name),
                opened => opened,
            };
            let file = match opened {
                Ok(file) => file,
                // Another process was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(failed(error)),
            };
            match folder.lock(&file).map_err(failed)? {
                // Between opening and locking, the earlier owner may have removed it.
                Lock::Taken if folder.is(&file, &name).map_err(failed)? => {
                    return Ok(Some(Self { folder, name, file }));
                }
                Lock::Taken => {}
                Lock::Held => thread::sleep(PAUSE),
                Lock::Unknown => {
                    folder.remove(&name).map_err(failed)?;
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // A file that a killed process left belongs to no process, and the next one takes it.
        let _ = self.folder.remove(&self.name);
        unlock(&self.file);
    }
}

/// Gives the file that content, in one step.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidFilename))?;
    let mut beside = name.to_owned();
    beside.push(format!(".{}-{:08x}", std::process::id(), rand::random::<u32>()));
    let beside: PathBuf = path.with_file_name(beside);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .and_then(|mut file| file.write_all(text))
        .and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(requests: f64, seconds: u64) -> Kept {
        let found = Found {
            requests,
            body_rate: 2e7,
            first_byte: 0.03,
            first_answer: Some(0.13),
            is_full: true,
            more_are_worse: false,
            per_second: None,
            least_part: 0.0,
        };
        Kept { found, at: SystemTime::UNIX_EPOCH + Duration::from_secs(seconds) }
    }

    fn place(bucket: &str) -> Place {
        Place { endpoint: "https://s3.example".to_owned(), bucket: bucket.to_owned() }
    }

    #[test]
    fn the_newest_of_each_place_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.json");
        assert!(read(&path).unwrap().is_empty());
        merge(&path, vec![(place("a"), kept(10.0, 50)), (place("b"), kept(20.0, 50))]).unwrap();
        merge(&path, vec![(place("a"), kept(11.0, 60)), (place("b"), kept(21.0, 40)), (place("c"), kept(30.0, 1))])
            .unwrap();
        let expected = vec![(place("a"), kept(11.0, 60)), (place("b"), kept(20.0, 50)), (place("c"), kept(30.0, 1))];
        assert_eq!(read(&path).unwrap(), expected);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn the_oldest_places_go_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.json");
        let many = (0..MOST_PLACES as u64 + 5).map(|n| (place(&n.to_string()), kept(10.0, 100 + n))).collect();
        merge(&path, many).unwrap();
        let left = read(&path).unwrap();
        assert_eq!(left.len(), MOST_PLACES);
        assert!(left.iter().all(|(_, kept)| kept.at >= SystemTime::UNIX_EPOCH + Duration::from_secs(105)));
    }

    #[test]
    fn an_entry_of_a_time_to_come_is_replaced_and_is_the_first_to_go() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.json");
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        merge_at(&path, vec![(place("a"), kept(10.0, 9000)), (place("b"), kept(20.0, 9000))], at(9000)).unwrap();
        // The clock was ahead, and is right now.
        merge_at(&path, vec![(place("a"), kept(11.0, 100))], at(100)).unwrap();
        assert_eq!(read(&path).unwrap(), [(place("a"), kept(11.0, 100)), (place("b"), kept(20.0, 9000))]);
        let many = (0..MOST_PLACES as u64 - 1).map(|n| (place(&n.to_string()), kept(10.0, 101))).collect();
        merge_at(&path, many, at(200)).unwrap();
        let left = read(&path).unwrap();
        assert!(left.len() == MOST_PLACES && left.iter().all(|(_, kept)| kept.at < at(200)));
    }

    #[test]
    fn of_entries_that_many_write_at_once_none_is_lost() {
        const WRITERS: u64 = 4;
        const EACH: u64 = 25;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.json");
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let path = &path;
                scope.spawn(move || {
                    for n in 0..EACH {
                        let name = format!("{writer}-{n}");
                        merge(path, vec![(place(&name), kept(10.0, 100))]).unwrap();
                    }
                });
            }
        });
        assert_eq!(read(&path).unwrap().len() as u64, WRITERS * EACH);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_of_a_version_without_the_first_answer_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.json");
        merge(&path, vec![(place("a"), kept(10.0, 50))]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let lines = text.lines().filter(|line| !line.contains("first_answer_seconds"));
        fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
        let (_, read) = read(&path).unwrap().remove(0);
        assert_eq!(read.found, Found { first_answer: None, ..kept(10.0, 50).found });
    }

    #[test]
    fn a_file_of_another_kind_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("memory.json");
        let entry = r#"{"endpoint":"e","bucket":"b","found_at":1,"requests":0,"body_bytes_per_second":1,
            "first_byte_seconds":1,"link_was_full":true,"more_were_worse":false,"requests_per_second":null,
            "least_part_bytes":0}"#;
        let too_slow = entry.replace(r#""requests":0"#, r#""requests":9"#).replace("null", "1e-300");
        for (text, says) in [
            ("hello", "line 1"),
            (r#"{"version":7,"places":[]}"#, "version 7"),
            (r#"{"version":1,"places":[],"more":1}"#, "more"),
            (&format!(r#"{{"version":1,"places":[{entry}]}}"#), "out of range"),
            (&format!(r#"{{"version":1,"places":[{too_slow}]}}"#), "out of range"),
        ] {
            fs::write(&path, text).unwrap();
            let error = merge(&path, vec![(place("a"), kept(10.0, 50))]).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("memory.json"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert!(read(folder.path()).unwrap_err().to_string().contains("not a regular file"));
    }
}

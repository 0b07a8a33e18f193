//! Journals on a real file system: what a killed process and a crashed machine leave, and what the next download makes of
//! it.

use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use tempfile::TempDir;

use super::*;
use crate::words::checkpoint::tests::checkpoint;
use crate::words::durability::Durability;
use crate::words::piece::Piece;

const PARTS: [u64; 10] = [4, 0, 9, 1, 2, 7, 3, 8, 6, 5];

fn target(folder: &Path) -> PathBuf {
    folder.join("object")
}

fn journal_path(folder: &Path) -> PathBuf {
    folder.join(".object.s3xfer-journal")
}

/// A new file: ext4 brings one that is cut and written again to the device at once, which takes its time.
fn put(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The object's byte at an offset, never 0, which is what a byte that was not written is.
fn byte(offset: u64) -> u8 {
    u8::try_from(offset % 251).unwrap() + 1
}

fn write_part(file: &OpenFile, number: u64) {
    let bytes = checkpoint().part(number).unwrap();
    let frame: Vec<u8> = bytes.clone().map(byte).collect();
    file.write(&Piece { offset: bytes.start, frames: vec![Bytes::from(frame)] }).unwrap();
}

fn crc(number: u64) -> Option<u64> {
    Some(number * 1000)
}

fn begin(staged: &StagedFile, boot: &str) -> (Journal, Vec<u64>) {
    let saved = Journal::open_in(staged, Some(boot));
    let (journal, done) = Journal::begin_in(staged, checkpoint(), saved, Some(boot.to_owned())).unwrap();
    staged.open_file().reserve(checkpoint().file_bytes()).unwrap();
    (journal, done.into_iter().map(|part| part.number).collect())
}

/// Downloads `parts` in the start `boot`, syncing after every third, and ends early.
fn some_parts(folder: &Path, boot: &str, parts: &[u64]) -> Vec<u64> {
    let staged = StagedFile::resumable(&target(folder)).unwrap();
    let (journal, done) = begin(&staged, boot);
    for (number, part) in parts.iter().enumerate() {
        write_part(&staged.open_file(), *part);
        journal.part_written(*part, crc(*part)).unwrap();
        if number % 3 == 2 {
            journal.sync().unwrap();
        }
    }
    done
}

/// What the next download would go on with; the folder stays as it is.
fn saved(folder: &Path, boot: &str) -> Option<Saved> {
    let staged = StagedFile::resumable(&target(folder)).unwrap();
    let saved = Journal::open_in(&staged, Some(boot));
    staged.place().keep(true);
    saved
}

fn numbers(saved: &Option<Saved>) -> Vec<u64> {
    saved.iter().flat_map(|saved| saved.done.iter().map(|part| part.number)).collect()
}

fn scratch() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_process_that_is_killed_at_any_step_loses_what_was_in_flight_and_a_machine_what_was_not_synced() {
    // Each step of a download leaves the journal as it is then; `device` is the data that a crash of the machine leaves at
    // worst: what was there when the last sync of it returned, and nothing else.
    let folder = scratch();
    let staged = StagedFile::resumable(&target(folder.path())).unwrap();
    let (journal, _) = begin(&staged, "first");
    let data = folder.path().join(".object.s3xfer");
    let mut device = vec![0; 95];
    let mut steps = vec![(fs::read(journal_path(folder.path())).unwrap(), fs::read(&data).unwrap(), device.clone())];
    for (number, part) in PARTS.into_iter().enumerate() {
        write_part(&staged.open_file(), part);
        steps.push((steps.last().unwrap().0.clone(), fs::read(&data).unwrap(), device.clone()));
        journal.part_written(part, crc(part)).unwrap();
        steps.push((fs::read(journal_path(folder.path())).unwrap(), fs::read(&data).unwrap(), device.clone()));
        if number % 3 == 2 {
            device = fs::read(&data).unwrap();
            steps.push((steps.last().unwrap().0.clone(), device.clone(), device.clone()));
            journal.sync().unwrap();
            steps.push((fs::read(journal_path(folder.path())).unwrap(), device.clone(), device.clone()));
        }
    }
    drop((journal, staged));

    let mut most = (0, 0);
    let mut before = 0;
    for (journal, in_kernel, on_device) in steps {
        // Any beginning of the journal may be all there is of it. The shorter ones had their turn, with less data.
        for length in before..=journal.len() {
            put(&journal_path(folder.path()), &journal[..length]);
            for (boot, data_left) in [("first", &in_kernel), ("second", &on_device)] {
                put(&data, data_left);
                let saved = saved(folder.path(), boot);
                let claimed = numbers(&saved);
                assert!(PARTS.starts_with(&claimed), "{claimed:?}");
                for part in saved.iter().flat_map(|saved| &saved.done) {
                    for at in checkpoint().part(part.number).unwrap() {
                        assert_eq!(data_left[at as usize], byte(at), "part {} in {boot}, cut at {length}", part.number);
                    }
                    assert_eq!(part.crc, crc(part.number));
                }
                if length == journal.len() {
                    let recorded = journal.windows(6).filter(|window| window == b"\"part\"").count();
                    match boot {
                        "first" => assert_eq!(claimed.len(), recorded, "no part that was recorded is lost"),
                        _ => assert_eq!(claimed.len() % 3, 0, "but for those that are not on the device"),
                    }
                }
                match boot {
                    "first" => most.0 = most.0.max(claimed.len()),
                    _ => most.1 = most.1.max(claimed.len()),
                }
            }
        }
        before = journal.len();
    }
    assert_eq!(most, (10, 9));
}

#[test]
fn a_download_goes_on_again_and_again_and_ends_whole() {
    let folder = scratch();
    assert_eq!(some_parts(folder.path(), "first", &PARTS[..4]), [0; 0]);
    // The kernel runs on: all four count.
    assert_eq!(some_parts(folder.path(), "first", &PARTS[4..5]), PARTS[..4]);
    // It does not: three were synced.
    assert_eq!(some_parts(folder.path(), "second", &PARTS[3..6]), PARTS[..3]);
    // Torn in the last record.
    let journal = OpenOptions::new().write(true).open(journal_path(folder.path())).unwrap();
    journal.set_len(journal.metadata().unwrap().len() - 3).unwrap();
    // What is recorded behind the torn end counts.
    assert_eq!(some_parts(folder.path(), "second", &PARTS[6..8]), PARTS[..6]);

    let staged = StagedFile::resumable(&target(folder.path())).unwrap();
    let (journal, done) = begin(&staged, "second");
    assert_eq!(done, PARTS[..8]);
    for part in &PARTS[8..] {
        write_part(&staged.open_file(), *part);
        journal.part_written(*part, None).unwrap();
    }
    staged.publish(Durability::Synced).unwrap();
    assert_eq!(fs::read(target(folder.path())).unwrap(), (0..95).map(byte).collect::<Vec<u8>>());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn parts_that_only_the_kernel_has_stay_so_when_the_journal_is_written_anew() {
    let folder = scratch();
    some_parts(folder.path(), "first", &PARTS[..4]);
    some_parts(folder.path(), "first", &[]);
    assert_eq!(numbers(&saved(folder.path(), "first")), PARTS[..4]);
    assert_eq!(numbers(&saved(folder.path(), "second")), PARTS[..3]);
}

#[test]
fn a_start_of_the_machine_that_has_no_name_is_never_the_same_one() {
    let folder = scratch();
    let staged = StagedFile::resumable(&target(folder.path())).unwrap();
    let (journal, _) = Journal::begin_in(&staged, checkpoint(), None, None).unwrap();
    staged.open_file().reserve(95).unwrap();
    journal.part_written(1, None).unwrap();
    assert_eq!(numbers(&Journal::open_in(&staged, None)), [0; 0]);
    journal.sync().unwrap();
    assert_eq!(numbers(&Journal::open_in(&staged, None)), [1]);
}

#[test]
fn another_object_or_version_or_cut_starts_anew_in_an_empty_file() {
    let others = [
        Checkpoint { key: "another".to_owned(), ..checkpoint() },
        Checkpoint { e_tag: Some("\"other\"".to_owned()), ..checkpoint() },
        Checkpoint { part_bytes: 11, ..checkpoint() },
        Checkpoint { range: Some(0..95), ..checkpoint() },
        Checkpoint { checksum: None, ..checkpoint() },
    ];
    for other in others {
        let folder = scratch();
        some_parts(folder.path(), "boot", &PARTS);
        let staged = StagedFile::resumable(&target(folder.path())).unwrap();
        let saved = Journal::open_in(&staged, Some("boot"));
        assert_eq!(saved.as_ref().map(|saved| &saved.checkpoint), Some(&checkpoint()));
        let (journal, done) = Journal::begin_in(&staged, other, saved, Some("boot".to_owned())).unwrap();
        assert_eq!((done, staged.open_file().len().unwrap()), (vec![], 0));
        drop((journal, staged));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "and nothing was written to keep");
    }
}

#[test]
fn an_object_without_a_version_is_not_continued() {
    let nameless = || Checkpoint { e_tag: None, last_modified: None, ..checkpoint() };
    let folder = scratch();
    let staged = StagedFile::resumable(&target(folder.path())).unwrap();
    let saved = Saved { checkpoint: nameless(), done: vec![DonePart { number: 1, crc: None, synced: true }] };
    assert_eq!(Journal::begin(&staged, nameless(), Some(saved)).unwrap().1, []);
}

#[test]
fn a_file_that_does_not_hold_what_its_journal_says_is_not_continued() {
    let folder = scratch();
    some_parts(folder.path(), "boot", &[9]);
    assert_eq!(numbers(&saved(folder.path(), "boot")), [9]);
    let data = OpenOptions::new().write(true).open(folder.path().join(".object.s3xfer")).unwrap();
    data.set_len(94).unwrap();
    drop(data);
    assert_eq!(saved(folder.path(), "boot"), None);
    fs::remove_file(folder.path().join(".object.s3xfer")).unwrap();
    assert_eq!(saved(folder.path(), "boot"), None);
}

#[test]
fn a_journal_that_cannot_be_read_is_no_error() {
    let folder = scratch();
    for text in [&b""[..], b"\n", b"\xff\xfe\n", b"{\"s3xfer_journal\":2} 00000000\n", &[0; 5000]] {
        some_parts(folder.path(), "boot", &PARTS[..4]);
        fs::write(journal_path(folder.path()), text).unwrap();
        assert_eq!(some_parts(folder.path(), "boot", &PARTS[..1]), [0; 0]);
        assert_eq!(numbers(&saved(folder.path(), "boot")), PARTS[..1]);
        fs::remove_file(journal_path(folder.path())).unwrap();
    }
    fs::create_dir(journal_path(folder.path())).unwrap();
    assert_eq!(saved(folder.path(), "boot"), None);
}

#[test]
fn bytes_are_not_thrown_away_before_the_journal_that_speaks_of_them() {
    let folder = scratch();
    some_parts(folder.path(), "boot", &[1]);
    // What cannot be removed as a file.
    fs::remove_file(journal_path(folder.path())).unwrap();
    fs::create_dir(journal_path(folder.path())).unwrap();
    let staged = StagedFile::resumable(&target(folder.path())).unwrap();
    let error = Journal::begin(&staged, checkpoint(), None).unwrap_err();
    assert!(error.to_string().ends_with("cannot begin the journal beside it"), "{error}");
    assert_eq!(staged.open_file().len().unwrap(), 95);
}

#[test]
fn only_its_owner_reads_it() {
    let folder = scratch();
    some_parts(folder.path(), "boot", &[1]);
    assert_eq!(fs::metadata(journal_path(folder.path())).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_journal_that_cannot_be_written_is_an_error_from_then_on_and_what_it_has_is_kept() {
    let folder = scratch();
    let staged = StagedFile::resumable(&target(folder.path())).unwrap();
    let (mut journal, _) = begin(&staged, "boot");
    journal.part_written(1, None).unwrap();
    let whole = journal.file;
    journal.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = journal.part_written(2, None).unwrap_err();
    assert_eq!(error.kind(), crate::words::failure::DownloadErrorKind::DiskFull, "{error}");
    journal.file = whole;
    assert!(journal.part_written(3, None).is_err(), "its end may be torn");
    drop((journal, staged));
    assert_eq!(numbers(&saved(folder.path(), "boot")), [1]);
}

#[test]
fn a_device_that_fails_leaves_nothing_to_continue() {
    let folder = scratch();
    let staged = StagedFile::resumable(&target(folder.path())).unwrap();
    let (mut journal, _) = begin(&staged, "boot");
    journal.part_written(1, None).unwrap();
    journal.data = OpenFile::that_cannot_be_synced();
    assert!(journal.sync().is_err());
    assert!(journal.part_written(2, None).is_err());
    drop((journal, staged));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn it_asks_to_be_synced_after_so_many_bytes_and_not_while_it_is() {
    let large = Checkpoint { object_bytes: 3 << 30, first_bytes: 100 << 20, part_bytes: 100 << 20, ..checkpoint() };
    let folder = scratch();
    let staged = StagedFile::resumable(&target(folder.path())).unwrap();
    let (journal, _) = Journal::begin(&staged, large, None).unwrap();
    for (part, wants) in [(0, false), (1, false), (2, true)] {
        journal.part_written(part, None).unwrap();
        assert_eq!(journal.wants_sync(), wants, "after part {part}");
    }
    journal.state().syncing = true;
    assert!(!journal.wants_sync());
    journal.state().syncing = false;
    journal.sync().unwrap();
    assert!(!journal.wants_sync());
    let length = journal.file.metadata().unwrap().len();
    journal.sync().unwrap();
    assert_eq!(journal.file.metadata().unwrap().len(), length, "nothing new, nothing said");
}

#[test]
fn a_part_that_comes_while_the_device_works_is_not_called_synced() {
    let folder = scratch();
    let staged = StagedFile::resumable(&target(folder.path())).unwrap();
    let (journal, _) = begin(&staged, "first");
    journal.part_written(1, None).unwrap();
    let count = journal.begin_sync().unwrap();
    journal.part_written(2, None).unwrap();
    assert_eq!(journal.begin_sync(), None, "one at a time");
    journal.sync_parts(count).unwrap();
    journal.state().syncing = false;
    assert_eq!(numbers(&Journal::open_in(&staged, Some("second"))), [1]);
    journal.sync().unwrap();
    assert_eq!(numbers(&Journal::open_in(&staged, Some("second"))), [1, 2]);
}

/// Not a test: the process that [`a_process_that_is_killed_leaves_its_parts_and_no_lock`] kills.
#[test]
#[ignore = "no test by itself: the process that `a_process_that_is_killed_leaves_its_parts_and_no_lock` starts and kills"]
fn a_process_to_kill() {
    let Some(folder) = std::env::var_os("S3XFER_TEST_FOLDER") else { return };
    let staged = StagedFile::resumable(&target(Path::new(&folder))).unwrap();
    let (journal, _) = Journal::begin(&staged, checkpoint(), None).unwrap();
    staged.open_file().reserve(95).unwrap();
    for part in &PARTS[..3] {
        write_part(&staged.open_file(), *part);
        journal.part_written(*part, crc(*part)).unwrap();
    }
    write_part(&staged.open_file(), PARTS[3]);
    // Nothing else of this process's output is this one byte at its end.
    io::stderr().write_all(b"\x04").unwrap();
    std::thread::park();
    panic!("never unparked");
}

#[test]
fn a_process_that_is_killed_leaves_its_parts_and_no_lock() {
    let folder = scratch();
    let this_test = std::thread::current().name().expect("tests have names").to_owned();
    let other = this_test.replace("a_process_that_is_killed_leaves_its_parts_and_no_lock", "a_process_to_kill");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &other, "--ignored", "--nocapture"])
        .env("S3XFER_TEST_FOLDER", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let ready = io::BufReader::new(child.stderr.take().unwrap()).bytes().any(|byte| byte.unwrap() == 4);
    let refused = StagedFile::resumable(&target(folder.path()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ready, "the process ended early");
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("another download into it is running"), "{refused}");

    let staged = StagedFile::resumable(&target(folder.path())).unwrap();
    let saved = Journal::open(&staged);
    // Where the machine's starts have no name, what is not synced does not count.
    let expected: &[u64] = if boot_id().is_some() { &PARTS[..3] } else { &[] };
    assert_eq!(numbers(&saved), expected);
}

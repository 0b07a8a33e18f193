//! Journals on a real file system: the state after a killed process or a crashed machine, and the next download's use
//! of it.

use std::fs::OpenOptions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::doors::disk::{Claimed, Watch};
use crate::words::checkpoint::tests::checkpoint;
use crate::words::piece::Piece;

/// A file that can be continued, where nothing is in its way.
fn resumable(target: &Path) -> Result<StagedFile, TransferError> {
    match StagedFile::resumable(target)? {
        Claimed::Ours(staged) => Ok(staged),
        other => panic!("{other:?}"),
    }
}

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

/// The object's byte at an offset, never 0, which is the value of bytes that were not written.
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

fn record(journal: &Journal, number: u64, crc: Option<u64>) -> Result<(), TransferError> {
    match journal.checkpoint.written(number, crc) {
        Record::Part(part) => journal.part_written(part),
        other => panic!("{other:?}"),
    }
}

fn begin(staged: &StagedFile, boot: &str) -> (Journal, Vec<u64>) {
    let saved = Journal::open_in(staged, Some(boot));
    let (journal, done) = Journal::begin_in(staged, checkpoint(), saved, Some(boot.to_owned())).unwrap();
    staged.open_file().reserve(checkpoint().file_bytes()).unwrap();
    (journal, done.into_iter().map(|part| part.number).collect())
}

/// Downloads `parts` in the start `boot`, syncing after every third, and ends early.
fn some_parts(folder: &Path, boot: &str, parts: &[u64]) -> Vec<u64> {
    let staged = resumable(&target(folder)).unwrap();
    let (journal, done) = begin(&staged, boot);
    for (number, part) in parts.iter().enumerate() {
        write_part(&staged.open_file(), *part);
        record(&journal, *part, crc(*part)).unwrap();
        if number % 3 == 2 {
            journal.sync().unwrap();
        }
    }
    done
}

/// The state from which the next download would go on; the folder stays as it is.
fn saved(folder: &Path, boot: &str) -> Option<Saved> {
    let staged = resumable(&target(folder)).unwrap();
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
    // Each step of a download leaves the journal as it is then; `device` is the least data that a crash of the machine
    // leaves: the file at the return of its last sync, and nothing else.
    let folder = scratch();
    let staged = resumable(&target(folder.path())).unwrap();
    let (journal, _) = begin(&staged, "first");
    let data = folder.path().join(".object.s3xfer");
    let mut device = vec![0; 95];
    let mut steps = vec![(fs::read(journal_path(folder.path())).unwrap(), fs::read(&data).unwrap(), device.clone())];
    for (number, part) in PARTS.into_iter().enumerate() {
        write_part(&staged.open_file(), part);
        steps.push((steps.last().unwrap().0.clone(), fs::read(&data).unwrap(), device.clone()));
        record(&journal, part, crc(part)).unwrap();
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
    // Records behind the torn end count.
    assert_eq!(some_parts(folder.path(), "second", &PARTS[6..8]), PARTS[..6]);

    let staged = resumable(&target(folder.path())).unwrap();
    let (journal, done) = begin(&staged, "second");
    assert_eq!(done, PARTS[..8]);
    for part in &PARTS[8..] {
        write_part(&staged.open_file(), *part);
        record(&journal, *part, None).unwrap();
    }
    journal.end().unwrap();
    staged.publish().unwrap();
    assert_eq!(fs::read(target(folder.path())).unwrap(), (0..95).map(byte).collect::<Vec<u8>>());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_file_whose_mark_was_cut_off_is_known_as_such_until_it_has_one_again() {
    let folder = scratch();
    let staged = resumable(&target(folder.path())).unwrap();
    let (journal, _) = begin(&staged, "boot");
    for part in PARTS {
        write_part(&staged.open_file(), part);
        record(&journal, part, None).unwrap();
    }
    let is_unmarked = || Journal::open_in(&staged, Some("boot")).map(|saved| (saved.done.len(), saved.is_unmarked));
    assert_eq!(is_unmarked(), Some((10, false)));
    journal.end().unwrap();
    assert_eq!((is_unmarked(), staged.open_file().len().unwrap()), (Some((10, true)), 95));
    journal.mark_again();
    assert_eq!(is_unmarked(), Some((10, false)));
    // Another length is another file.
    journal.end().unwrap();
    staged.open_file().reserve(96).unwrap();
    assert_eq!(is_unmarked(), None);
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
    let staged = resumable(&target(folder.path())).unwrap();
    let (journal, _) = Journal::begin_in(&staged, checkpoint(), None, None).unwrap();
    staged.open_file().reserve(95).unwrap();
    record(&journal, 1, None).unwrap();
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
        let staged = resumable(&target(folder.path())).unwrap();
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
    let folder = scratch();
    let nameless = || Checkpoint { e_tag: None, last_modified: None, ..checkpoint() };
    let staged = resumable(&target(folder.path())).unwrap();
    let (journal, _) = Journal::begin(&staged, nameless(), None).unwrap();
    write_part(&staged.open_file(), 1);
    record(&journal, 1, None).unwrap();
    journal.sync().unwrap();
    let saved = Journal::open(&staged);
    assert_eq!(numbers(&saved), [1]);
    assert_eq!(Journal::begin(&staged, nameless(), saved).unwrap().1, []);
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
fn a_file_that_is_longer_than_its_mark_says_is_not_continued() {
    let folder = scratch();
    some_parts(folder.path(), "boot", &PARTS[..4]);
    let data = OpenOptions::new().write(true).open(folder.path().join(".object.s3xfer")).unwrap();
    data.set_len(data.metadata().unwrap().len() + 1).unwrap();
    drop(data);
    assert_eq!(saved(folder.path(), "boot"), None);
}

#[test]
fn every_journal_has_an_identity_of_its_own_also_one_that_goes_on() {
    let folder = scratch();
    let identity = || {
        let staged = resumable(&target(folder.path())).unwrap();
        let (journal, done) = begin(&staged, "boot");
        let part = PARTS[done.len()];
        write_part(&staged.open_file(), part);
        record(&journal, part, crc(part)).unwrap();
        (journal.id, done.len())
    };
    let (first, second) = (identity(), identity());
    assert_eq!((first.1, second.1), (0, 1));
    assert_ne!(first.0, second.0);
}

#[test]
fn a_journal_that_cannot_be_read_is_no_error() {
    let folder = scratch();
    for text in [&b""[..], b"\n", b"\xff\xfe\n", b"{\"s3xfer_journal\":1} 00000000\n", &[0; 5000]] {
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
    // A folder cannot be removed as a file.
    fs::remove_file(journal_path(folder.path())).unwrap();
    fs::create_dir(journal_path(folder.path())).unwrap();
    let staged = resumable(&target(folder.path())).unwrap();
    let error = Journal::begin(&staged, checkpoint(), None).unwrap_err();
    assert!(error.to_string().ends_with("cannot begin the journal beside it"), "{error}");
    assert_eq!(staged.open_file().len().unwrap(), 4096 + MARK_BYTES as u64, "the mark is there, too");
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
    let staged = resumable(&target(folder.path())).unwrap();
    let (mut journal, _) = begin(&staged, "boot");
    record(&journal, 1, None).unwrap();
    let whole = journal.file;
    journal.file = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let error = record(&journal, 2, None).unwrap_err();
    assert_eq!(error.kind(), crate::words::failure::TransferErrorKind::DiskFull, "{error}");
    journal.file = whole;
    assert!(record(&journal, 3, None).is_err(), "its end may be torn");
    drop((journal, staged));
    assert_eq!(numbers(&saved(folder.path(), "boot")), [1]);
}

#[test]
fn a_device_that_fails_leaves_nothing_to_continue() {
    let folder = scratch();
    let watch = Watch::over(folder.path());
    let staged = resumable(&target(folder.path())).unwrap();
    let (journal, _) = begin(&staged, "boot");
    record(&journal, 1, None).unwrap();
    watch.fail_once(Call::SyncData, rustix::io::Errno::IO);
    assert!(journal.sync().is_err());
    let later = record(&journal, 2, None).unwrap_err();
    let cause = std::error::Error::source(&later).unwrap().to_string();
    assert!(cause.contains("Input/output error"), "the first error is told again: {cause}");
    drop((journal, staged));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_device_that_fails_late_takes_no_later_download_s_journal_away() {
    let folder = scratch();
    let watch = Watch::over(folder.path());
    let staged = resumable(&target(folder.path())).unwrap();
    let (journal, _) = begin(&staged, "boot");
    for part in PARTS {
        write_part(&staged.open_file(), part);
        record(&journal, part, None).unwrap();
    }
    journal.end().unwrap();
    staged.publish().unwrap();
    assert_eq!(some_parts(folder.path(), "boot", &PARTS[..4]), [0; 0]);
    watch.fail_once(Call::SyncData, rustix::io::Errno::IO);
    assert!(journal.sync().is_err());
    assert_eq!(numbers(&saved(folder.path(), "boot")), PARTS[..4]);
}

#[test]
fn it_is_synced_before_it_takes_the_place_of_one_that_was() {
    let folder = scratch();
    some_parts(folder.path(), "boot", &PARTS[..3]);
    let watch = Watch::over(folder.path());
    some_parts(folder.path(), "boot", &PARTS[3..4]);
    assert_eq!(watch.steps(), [Call::SyncJournal, Call::BeginJournal]);
}

#[test]
fn data_journal_and_folder_are_synced_in_this_order_and_the_folder_once() {
    let folder = scratch();
    let watch = Watch::over(folder.path());
    some_parts(folder.path(), "boot", &PARTS[..6]);
    let begin = [Call::RemoveJournal, Call::BeginJournal];
    let syncs = [Call::SyncData, Call::SyncJournal, Call::SyncFolder, Call::SyncData, Call::SyncJournal];
    assert_eq!(watch.steps(), [&begin[..], &syncs[..]].concat());
    // A part's bytes, the mark that has it, its record; and so on.
    let of_a_part = [Call::Write, Call::Mark, Call::Record];
    let moves: Vec<Call> = watch.seen().into_iter().filter(|call| of_a_part.contains(call)).collect();
    let synced = [&of_a_part.repeat(3)[..], &[Call::Record]].concat();
    assert_eq!(moves, synced.repeat(2));
}

#[test]
fn it_asks_to_be_synced_after_so_many_bytes_and_not_while_it_is() {
    let part_bytes = SYNC_EVERY / 5 * 2;
    let large = Checkpoint { object_bytes: 3 << 30, first_bytes: part_bytes, part_bytes, ..checkpoint() };
    let folder = scratch();
    let staged = resumable(&target(folder.path())).unwrap();
    let (journal, _) = Journal::begin(&staged, large, None).unwrap();
    for (part, wants) in [(0, false), (1, false), (2, true)] {
        record(&journal, part, None).unwrap();
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
    let staged = resumable(&target(folder.path())).unwrap();
    let (journal, _) = begin(&staged, "first");
    record(&journal, 1, None).unwrap();
    let count = journal.begin_sync().unwrap();
    record(&journal, 2, None).unwrap();
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
    let staged = resumable(&target(Path::new(&folder))).unwrap();
    let (journal, _) = Journal::begin(&staged, checkpoint(), None).unwrap();
    staged.open_file().reserve(95).unwrap();
    for part in &PARTS[..3] {
        write_part(&staged.open_file(), *part);
        record(&journal, *part, crc(*part)).unwrap();
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
    let refused = resumable(&target(folder.path()));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ready, "the process ended early");
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("another download into it is running"), "{refused}");

    let staged = resumable(&target(folder.path())).unwrap();
    let saved = Journal::open(&staged);
    // Where the machine's starts have no identity, bytes that are not synced do not count.
    let expected: &[u64] = if boot_id().is_some() { &PARTS[..3] } else { &[] };
    assert_eq!(numbers(&saved), expected);
}

/// One thing that happens to the two files of a download.
#[derive(Debug, Clone)]
enum Step {
    /// The object of that number is downloaded as far as some parts, which are synced after so many; perhaps to the end
    /// of the parts, where the mark is cut off.
    Download {
        object: u8,
        parts: usize,
        sync_after: usize,
        ends: bool,
    },
    /// The machine ends: of either file its last synced state is left, or all.
    Crash {
        data_is_lost: bool,
        journal_is_lost: bool,
    },
    Keep(usize),
    PutBack {
        slot: usize,
        data: bool,
        journal: bool,
    },
    Cut(u64),
    Lengthen(u64),
    /// As long as it was, with a hole in it.
    CutAndLengthen(u64),
    RemoveData,
    RemoveJournal,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (0..2_u8, 0..6_usize, 1..4_usize, any::<bool>())
            .prop_map(|(object, parts, sync_after, ends)| Step::Download { object, parts, sync_after, ends }),
        1 => any::<(bool, bool)>()
            .prop_map(|(data_is_lost, journal_is_lost)| Step::Crash { data_is_lost, journal_is_lost }),
        2 => (0..3_usize).prop_map(Step::Keep),
        2 => (0..3_usize, any::<bool>(), any::<bool>())
            .prop_map(|(slot, data, journal)| Step::PutBack { slot, data, journal }),
        1 => (0..5000_u64).prop_map(Step::Cut),
        1 => (1..200_u64).prop_map(Step::Lengthen),
        1 => (0..95_u64).prop_map(Step::CutAndLengthen),
        1 => Just(Step::RemoveData),
        1 => Just(Step::RemoveJournal),
    ]
}

type Files = [Option<Vec<u8>>; 2];

/// A folder in which steps are taken.
struct Scene {
    folder: TempDir,
    boot: u32,
    /// Data and journal as they were synced last.
    device: Files,
    slots: [Files; 3],
}

impl Scene {
    fn paths(&self) -> [PathBuf; 2] {
        [self.folder.path().join(".object.s3xfer"), journal_path(self.folder.path())]
    }

    fn files(&self) -> Files {
        self.paths().map(|path| fs::read(path).ok())
    }

    fn put_back(&self, which: usize, bytes: &Option<Vec<u8>>) {
        let path = &self.paths()[which];
        match bytes {
            Some(bytes) => fs::write(path, bytes).unwrap(),
            None => drop(fs::remove_file(path)),
        }
    }

    fn of(object: u8) -> Checkpoint {
        Checkpoint { key: format!("object {object}"), e_tag: Some(format!("{object}")), ..checkpoint() }
    }

    fn byte(object: u8, offset: u64) -> u8 {
        byte(offset) ^ (object << 7)
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Download { object, parts, sync_after, ends } => self.download(object, parts, sync_after, ends),
            Step::Crash { data_is_lost, journal_is_lost } => {
                self.boot += 1;
                for (which, lost) in [data_is_lost, journal_is_lost].into_iter().enumerate() {
                    if lost {
                        self.put_back(which, &self.device[which]);
                    }
                }
            }
            Step::Keep(slot) => self.slots[slot] = self.files(),
            Step::PutBack { slot, data, journal } => {
                for (which, put) in [data, journal].into_iter().enumerate() {
                    if put {
                        self.put_back(which, &self.slots[slot][which]);
                    }
                }
            }
            Step::RemoveData => drop(fs::remove_file(&self.paths()[0])),
            Step::RemoveJournal => drop(fs::remove_file(&self.paths()[1])),
            Step::Cut(_) | Step::Lengthen(_) | Step::CutAndLengthen(_) => {
                let Ok(data) = OpenOptions::new().write(true).open(&self.paths()[0]) else { return };
                let length = data.metadata().unwrap().len();
                match *step {
                    Step::Cut(bytes) => data.set_len(length.saturating_sub(bytes)).unwrap(),
                    Step::Lengthen(bytes) => data.set_len(length + bytes).unwrap(),
                    Step::CutAndLengthen(at) => {
                        data.set_len(at).unwrap();
                        data.set_len(length).unwrap();
                    }
                    _ => {}
                }
            }
        }
    }

    fn download(&mut self, object: u8, parts: usize, sync_after: usize, ends: bool) {
        let boot = self.boot.to_string();
        let staged = resumable(&target(self.folder.path())).unwrap();
        let file = staged.open_file();
        let saved = Journal::open_in(&staged, Some(&boot)).filter(|saved| saved.checkpoint == Self::of(object));
        // Without its mark a file is read before it is believed.
        let saved = saved.map(|mut saved| {
            saved.done.retain(|part| !saved.is_unmarked || self.holds(object, part.number));
            saved
        });
        let (journal, done) = Journal::begin_in(&staged, Self::of(object), saved, Some(boot)).unwrap();
        file.reserve(95).unwrap();
        let done: Vec<u64> = done.into_iter().map(|part| part.number).collect();
        let missing: Vec<u64> = PARTS.into_iter().filter(|part| !done.contains(part)).collect();
        for (number, part) in missing.iter().take(parts).enumerate() {
            let bytes = checkpoint().part(*part).unwrap();
            let frame: Vec<u8> = bytes.clone().map(|at| Self::byte(object, at)).collect();
            file.write(&Piece { offset: bytes.start, frames: vec![Bytes::from(frame)] }).unwrap();
            record(&journal, *part, None).unwrap();
            if number % sync_after == 0 {
                journal.sync().unwrap();
                self.device = self.files();
            }
        }
        if ends && missing.len() <= parts {
            journal.end().unwrap();
        }
        // Killed here: nobody tidies up.
        staged.place().keep(true);
    }

    fn holds(&self, object: u8, part: u64) -> bool {
        let data = fs::read(&self.paths()[0]).unwrap();
        checkpoint().part(part).unwrap().all(|at| data[at as usize] == Self::byte(object, at))
    }

    /// Every part that the next download would not fetch is there, whichever object it is of.
    fn judge(&self) {
        let kept = self.files();
        let staged = resumable(&target(self.folder.path())).unwrap();
        if let Some(saved) = Journal::open_in(&staged, Some(&self.boot.to_string())) {
            let object = u8::from(saved.checkpoint == Self::of(1));
            for part in saved.done.iter().filter(|_| !saved.is_unmarked) {
                assert!(self.holds(object, part.number), "part {} of {object}", part.number);
            }
        }
        staged.place().keep(true);
        drop(staged);
        for (which, bytes) in kept.iter().enumerate() {
            if self.files()[which] != *bytes {
                self.put_back(which, bytes);
            }
        }
    }
}

proptest! {
    #[test]
    fn whatever_happens_to_the_files_no_part_counts_that_is_not_there(steps in prop::collection::vec(step(), 1..14)) {
        let mut scene = Scene { folder: scratch(), boot: 0, device: Default::default(), slots: Default::default() };
        for step in &steps {
            scene.take(step);
            scene.judge();
        }
    }
}
